package training

import (
	"fmt"
	"math"

	"orrery/sim/plan"
)

// Memory is what the fullest GPU of a job holds, in bytes.
type Memory struct {
	States      float64 // parameters, gradients, optimiser state
	Activations float64 // kept for the backward pass
	Other       float64 // CUDA context, communication buffers, fragmentation
}

// Total is all of it.
func (m Memory) Total() float64 { return m.States + m.Activations + m.Other }

// Memory of training, bytes per parameter and per value.
const (
	paramBytes, adamBytes = 2, 12 // bf16 parameter; fp32 master copy and two moments (NVIDIA/Megatron-LM, commit d98e8a6)
	// keptBytes is what a layer keeps per token and hidden size with fused attention: 34 (Korthikanti et al., arXiv
	// 2205.05198), and 2, its input, when all of it is computed again.
	keptBytes, keptInput = 34, 2
	// keptScores is what attention without a fused kernel keeps per score (the same).
	keptScores = 5
	// otherBytes is what aiconfigurator (commit 095f58a) sets aside on every GPU: 3.5 GB and 0.4 GB for NCCL.
	otherBytes = 3.9e9
	// logitBytes is the output layer's values, in fp32 and bf16.
	logitBytes = 6
)

// MemoryOf returns what a job needs on each of its GPUs.
func MemoryOf(t *plan.Training, ranks int) Memory {
	j := newJob(t, ranks, &plan.Accelerator{Half: 1, MemoryGBs: 1}, fitted)
	m := shape{t.Model}
	var out Memory
	for _, part := range j.held() {
		switch t.Sharding {
		case plan.ShardFull:
			out.States += part.params * (paramBytes + gradientBytes + adamBytes) / part.ranks
		case plan.ShardOptimizer:
			out.States += float64(part.params * (paramBytes + gradientBytes + adamBytes/part.ranks))
		default:
			out.States += float64(part.params * (paramBytes + gradientBytes + adamBytes))
		}
	}
	if t.Sharding == plan.ShardFull { // two layers are there as a whole, one at work and one on its way
		out.States += float64(2 * paramBytes * j.heldLayerParams())
	}
	tensor := float64(t.Tensor)
	layer := j.tokens * float64(m.Hidden) * keptBytes / tensor
	layer += j.tokens * float64(m.TopK) * float64(2*m.Hidden+2*expertMatrices*m.ExpertWidth) / tensor
	if m.Kernels == plan.KernelsNone {
		layer += keptScores * j.tokens * float64(t.Sequence) * m.heads() / tensor
	}
	kept, working := layer, 0.0
	if t.Recompute == plan.RecomputeFull {
		kept, working = float64(j.tokens*float64(m.Hidden))*keptInput/tensor, layer
	}
	// The first stage has a micro-batch in flight for each stage behind it; interleaving adds a part of one.
	flight := math.Min(j.micro, float64(t.Pipeline)) * (1 + float64(t.Pipeline-1)/float64(t.Pipeline*t.Stages))
	if t.Stages == 1 {
		flight = math.Min(j.micro, float64(t.Pipeline))
	}
	out.Activations = float64(kept*j.layers*flight) + working
	if t.Pipeline == 1 {
		out.Activations += logitBytes * j.tokens * float64(m.Vocabulary) / tensor
	}
	out.Other = otherBytes
	return out
}

// memorySlack is how far the model may be above a GPU's memory before a job is refused: the jobs of the validation, all
// of which ran, are found up to this much too large, because frameworks save where the model does not.
const memorySlack = 1.25

// CheckMemory returns an error when a job does not fit its GPUs, which says by how much and what would fit.
func CheckMemory(t *plan.Training, ranks int, gpu *plan.Accelerator) error {
	have := gpu.MemoryMiB * (1 << 20)
	need := MemoryOf(t, ranks)
	if t.Model == nil || have == 0 || need.Total() <= have*memorySlack {
		return nil
	}
	return fmt.Errorf("%s needs %.0f GB on each of %d %s, which have %.0f GB (%.0f GB parameters, gradients and "+
		"optimiser state, %.0f GB activations, %.0f GB other); %s", t.Name, need.Total()/1e9, ranks, gpu.GPU, have/1e9,
		need.States/1e9, need.Activations/1e9, need.Other/1e9, fits(t, ranks, gpu, have))
}

// fits words the smallest change that makes a job fit.
func fits(t *plan.Training, ranks int, gpu *plan.Accelerator, have float64) string {
	try := *t
	ok := func() bool {
		return try.Tensor*try.Pipeline*try.Context <= ranks && MemoryOf(&try, ranks).Total() <= have
	}
	if try.Sharding = plan.ShardFull; ok() {
		return "sharding: full would fit"
	}
	if try.Recompute = plan.RecomputeFull; t.Recompute != plan.RecomputeFull && ok() {
		return "sharding: full and recompute: full would fit"
	}
	try.Sharding = t.Sharding
	if ok() {
		return "recompute: full would fit"
	}
	for try.Pipeline <= t.Model.Layers {
		for try.Tensor = t.Tensor; try.Tensor <= max(gpu.PerNode, 1); try.Tensor *= 2 {
			if ok() {
				return fmt.Sprintf("tensor: %d, pipeline: %d and recompute: full would fit", try.Tensor, try.Pipeline)
			}
		}
		try.Pipeline *= 2
	}
	return fmt.Sprintf("no parallelism over %d of them fits; use more GPUs or larger ones", ranks)
}

// endLayers is the layers that the embeddings at both ends may count as when layers are dealt to stages (Llama 3 405B
// has 126 layers on 128 stages, arXiv 2407.21783).
const endLayers = 2

// Check returns an error when a job's groups cannot be formed from its ranks.
func Check(t *plan.Training, ranks int) error {
	if t.Model == nil {
		return nil
	}
	model := t.Tensor * t.Pipeline * t.Context
	switch {
	case ranks%model != 0:
		return fmt.Errorf("tensor %d × pipeline %d × context %d = %d GPUs do not divide %d; take a multiple of %d",
			t.Tensor, t.Pipeline, t.Context, model, ranks, model)
	case t.Expert > 1 && t.Model.Experts == 0:
		return fmt.Errorf("expert: %d, but %s has no experts; remove it", t.Expert, t.Name)
	case t.Model.Experts > 0 && t.Model.Experts%t.Expert != 0:
		return fmt.Errorf("expert: %d does not divide the %d experts of %s", t.Expert, t.Model.Experts, t.Name)
	case (ranks/t.Pipeline)%t.Expert != 0:
		return fmt.Errorf("expert: %d does not divide the %d ranks of a pipeline stage", t.Expert, ranks/t.Pipeline)
	case t.Pipeline*t.Stages > t.Model.Layers+endLayers:
		return fmt.Errorf("pipeline %d × stages %d are more than the %d layers of %s", t.Pipeline, t.Stages,
			t.Model.Layers, t.Name)
	case t.GlobalBatch > 0 && t.GlobalBatch%(ranks/model*t.MicroBatch) != 0:
		return fmt.Errorf("globalBatch %d is not a multiple of %d data-parallel ranks × microBatch %d", t.GlobalBatch,
			ranks/model, t.MicroBatch)
	}
	return nil
}
