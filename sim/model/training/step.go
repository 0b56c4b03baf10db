package training

import (
	"math"

	"orrery/sim/model/collective"
	"orrery/sim/model/exact"
	"orrery/sim/plan"
)

// Step is the time of one optimiser step in seconds, by what the GPUs do or wait for. The parts add up to Total.
type Step struct {
	Compute    float64 // matrix multiplications, attention, element-wise work
	Tensor     float64 // exposed communication of tensor (and sequence) parallelism
	Context    float64 // of context parallelism
	Expert     float64 // of expert parallelism
	Data       float64 // of data parallelism and sharding
	Pipeline   float64 // of passing activations between stages
	Bubble     float64 // stages that have nothing to do
	Optimizer  float64 // updating the parameters
	Straggler  float64 // waiting for the slowest GPU
	Overhead   float64 // launches, input, logging
	Checkpoint float64 // a step's share of writing checkpoints
}

// Total is the length of the step.
func (s Step) Total() float64 {
	return s.Compute + s.Communication() + s.Bubble + s.Optimizer + s.Straggler + s.Overhead + s.Checkpoint
}

// Communication is all exposed communication.
func (s Step) Communication() float64 { return s.Tensor + s.Context + s.Expert + s.Data + s.Pipeline }

// parameters are the numbers that hold for all models and machines. The card says which are fitted.
type parameters struct {
	// gemm is what large matrix multiplications of a training step reach of the measured ceiling.
	gemm float64
	// narrow is the inner width at which experts' multiplications, many and small, reach half of gemm.
	narrow float64
	// attention is what fused attention, forward and backward, reaches of the half-precision ceiling.
	attention float64
	// wide is the bytes of memory traffic, as a multiple of the hidden size, that the element-wise work of a layer
	// causes per token, forward and backward.
	wide float64
	// tensor, data and expert are the parts of each communication that hide behind computation.
	tensor, data, expert float64
	sigma                float64 // relative standard deviation of GPUs' speeds
	overhead             float64 // launches, input and logging, as a part of computation
}

// Constants that are not fitted.
const (
	// memoryEfficiency is what streams reach of the memory's bandwidth (aiconfigurator, commit 095f58a: 0.8).
	memoryEfficiency = 0.8
	// optimizerBytes is the traffic per parameter of the optimiser: 16 to 20 bytes (Adam: parameter, gradient, two
	// moments and the master copy).
	optimizerBytes = 18
	half           = 2 // bytes of a bf16 number
	gradientBytes  = 4 // gradients are reduced in fp32 by default (NVIDIA/Megatron-LM, commit d98e8a6)
)

// shape of a job: sizes that follow from plan.Training and the number of ranks.
type job struct {
	*plan.Training
	ranks, data  int     // all ranks; data-parallel ones
	batch        int     // sequences a step
	micro        float64 // micro-batches of a rank and step
	tokens       float64 // of a micro-batch on one rank of a context-parallel group
	layers       float64 // of one pipeline stage
	gpu          *plan.Accelerator
	par          parameters
	forwardParts float64 // forward passes a step: 1, and 1 more with full recomputation
}

func newJob(t *plan.Training, ranks int, gpu *plan.Accelerator, par parameters) job {
	j := job{Training: t, ranks: ranks, gpu: gpu, par: par, forwardParts: 1}
	model := t.Tensor * t.Pipeline * t.Context
	j.data = max(ranks/model, 1)
	j.batch = t.GlobalBatch
	if j.batch == 0 {
		j.batch = j.data * t.MicroBatch
		if t.Pipeline > 1 {
			j.batch *= defaultRounds * t.Pipeline
		}
	}
	j.micro = math.Max(1, math.Ceil(float64(j.batch)/float64(j.data*t.MicroBatch)))
	j.tokens = float64(t.MicroBatch*t.Sequence) / float64(t.Context)
	j.layers = float64(t.Model.Layers) / float64(t.Pipeline)
	if t.Recompute == plan.RecomputeFull {
		j.forwardParts = 2
	}
	return j
}

// tokensPerStep is what all ranks get through in a step.
func (j *job) tokensPerStep() float64 { return j.micro * float64(j.data*j.MicroBatch*j.Sequence) }

// defaultRounds is the micro-batches for each pipeline stage when no global batch is given: enough that the bubble is
// an eighth without interleaving.
const defaultRounds = 8

// rate returns the operations per second of matrix multiplications in the job's precision.
func (j *job) rate() float64 {
	r := j.gpu.Half
	switch {
	case j.Precision == plan.PrecisionFP8 && j.gpu.FP8 > 0:
		r = j.gpu.FP8
	case j.Precision == plan.PrecisionFP4 && j.gpu.FP4 > 0:
		r = j.gpu.FP4
	case j.Precision == plan.PrecisionFP4 && j.gpu.FP8 > 0:
		r = j.gpu.FP8
	}
	return r * 1e12
}

// microBatch returns the seconds of one micro-batch, forward and backward, on one GPU: matrix multiplications (never
// faster than their weights come from memory), attention, and element-wise work bound by memory.
func (j *job) microBatch() float64 {
	m, t := shape{j.Model}, float64(j.Tensor)
	passes := 2 + j.forwardParts // a backward pass is two forward ones
	dense, expert := m.layerParams()
	gemm := 2 * passes * j.tokens * j.layers / t * dense / (j.rate() * j.par.gemm)
	if m.experts() {
		width := float64(m.ExpertWidth)
		gemm += 2 * passes * j.tokens * j.layers / t * expert / (j.rate() * j.par.gemm * width / (width + j.par.narrow))
	}
	memory := j.gpu.MemoryGBs * 1e9 * memoryEfficiency
	weights := passes * half * j.heldLayerParams() * j.layers
	gemm = math.Max(gemm, weights/memory)

	// Causal attention does half of the square; the fused kernel computes the scores again going back.
	recomputed := 3.5
	if j.Recompute == plan.RecomputeFull {
		recomputed++
	}
	attention := recomputed * 2 * j.tokens * j.layers / t * float64(j.Sequence) * float64(m.Query)
	attention /= j.attentionRate()
	if m.Kernels == plan.KernelsNone {
		attention += passes / 3 * unfusedBytes * j.tokens * j.layers / t * float64(j.Sequence) * m.heads() / memory
	}
	wide := passes / 3 * (j.par.wide + float64(permuteBytes*float64(m.TopK))) * j.tokens * j.layers / t *
		float64(m.Hidden) / memory

	// The output layer, on the last stage only: its share of a stage on average.
	logits := 6 * j.tokens / t * float64(m.Vocabulary) * float64(m.Hidden) / float64(j.Pipeline)
	logits /= j.gpu.Half * 1e12 * j.par.gemm
	return gemm + attention + wide + logits
}

// attentionRate is the operations per second of attention.
func (j *job) attentionRate() float64 {
	rate := j.gpu.Half * 1e12 * j.par.attention
	if j.Model.Kernels == plan.KernelsFlash1 {
		rate /= flash1Slower
		if j.gpu.Family != "ampere" {
			rate /= flash2Slower
		}
	}
	return rate
}

// How much slower older fused attention is: FlashAttention-2 is about twice as fast as the first (Dao, arXiv
// 2307.08691), and FlashAttention-3 1.5 to 2 times as fast as 2 on Hopper (Shah et al., arXiv 2407.08608).
const (
	flash1Slower = 2.0
	flash2Slower = 1.5
)

// permuteBytes is the memory traffic of sorting tokens by expert and back, per token, expert seen and hidden size: read
// and written in 2 bytes, for dispatch and combine, forward and backward.
const permuteBytes = 16

// unfusedBytes is the memory traffic per score of attention without a fused kernel, forward and backward: mask, softmax
// and dropout each read and write 2 bytes, about 5 times forward and 8 backward (from the tensors that Korthikanti et
// al., arXiv 2205.05198, count).
const unfusedBytes = 26

// computing returns a step with all that needs no other GPU.
func (j *job) computing() (s Step, micro float64) {
	micro = j.microBatch()
	s.Compute = micro * j.micro
	updated := 0.0
	for _, part := range j.held() {
		if j.Sharding == plan.ShardNone {
			part.ranks = 1
		}
		updated += part.params / part.ranks
	}
	s.Optimizer = optimizerBytes * updated / (j.gpu.MemoryGBs * 1e9 * memoryEfficiency)
	s.Overhead = j.par.overhead * s.Compute
	return s, micro
}

// replicated is parameters of one GPU and how many ranks have the same.
type replicated struct{ params, ranks float64 }

// held is the parameters of one GPU before data-parallel sharding: outside experts, which tensor parallelism splits,
// and in experts, which it does not: they are dealt out over all ranks of a stage (parallel folding, arXiv 2504.14960).
func (j *job) held() [2]replicated {
	m, stage := j.Model, float64(j.data*j.Tensor*j.Context)
	return [2]replicated{
		{(m.Params - m.ExpertParams) / float64(j.Tensor*j.Pipeline), float64(j.data * j.Context)},
		{m.ExpertParams / float64(j.Pipeline*j.Expert), math.Max(1, stage/float64(j.Expert))},
	}
}

// heldLayerParams is those of one layer, experts shared out.
func (j *job) heldLayerParams() float64 {
	m := shape{j.Model}
	embedding := m.embeddings()
	dense := (m.Params - m.ExpertParams - embedding) / float64(m.Layers*j.Tensor)
	return dense + m.ExpertParams/float64(m.Layers*j.Expert)
}

// straggler returns how much longer the slowest of n GPUs takes than the average: the expected greatest of n normal
// variables, σ × (√(2 ln n) − (ln ln n + ln 4π) ÷ 2√(2 ln n)).
func (p parameters) straggler(n int) float64 {
	if n < 3 {
		return p.sigma * float64(n-1) * 0.56 // the greatest of two: 1/√π
	}
	root := math.Sqrt(2 * exact.Log(float64(n)))
	return p.sigma * (root - (exact.Log(exact.Log(float64(n)))+exact.Log(4*math.Pi))/(2*root))
}

// run adds communication to a step. w is where the ranks are.
func (j *job) run(w *world) Step {
	s, micro := j.computing()
	t, c, e, p := j.Tensor, j.Context, j.Expert, j.Pipeline
	used := t * c * p * j.data
	perStage := used / p
	tensor := j.tensor(w, t, used)
	w.charge(tensor * j.micro)
	context := j.context(w, t, c, used)
	w.charge(context * j.micro)
	expert := j.expert(w, t, e, used)
	w.charge(expert * j.micro)
	s.Tensor, s.Context, s.Expert = tensor*j.micro, context*j.micro, expert*j.micro
	busy := micro + tensor + context + expert
	s.Bubble = float64(p-1) / float64(j.Stages) * busy
	s.Pipeline = j.pipeline(w, t, p, perStage)
	w.charge(s.Pipeline)
	s.Data = j.dataParallel(w, t, c, p, perStage, busy)
	w.charge(s.Data)
	s.Straggler = j.par.straggler(used) * (s.Compute + s.Bubble)
	return s
}

// tensor returns the exposed seconds of tensor parallelism in a micro-batch: with sequence parallelism two all-gathers
// and two reduce-scatters forward and as many backward in each layer, and the forward ones again when recomputing.
func (j *job) tensor(w *world, t, used int) float64 {
	if t < 2 {
		return 0
	}
	bytes := float64(j.tokens*float64(j.Model.Hidden)) * half
	times := float64(2 * (1 + j.forwardParts) * j.layers)
	w.begin()
	worst := 0.0
	for first := 0; first < used; first += t {
		g := w.shape(group{first, 1, t})
		one := collective.Time(collective.AllGather, bytes, g) + collective.Time(collective.ReduceScatter, bytes, g)
		worst = math.Max(worst, times*one)
		w.ring(times * 2 * bytes * part(g.Domains))
	}
	exposed := w.end(worst, j.micro)
	if j.Model.Kernels == plan.KernelsNone {
		return exposed
	}
	return exposed * (1 - j.par.tensor)
}

func part(k int) float64 { return float64(k-1) / float64(k) }

// context returns the exposed seconds of context parallelism in a micro-batch: keys and values go round the ring,
// forward and twice backward, behind the attention of the part at hand.
func (j *job) context(w *world, t, c, used int) float64 {
	if c < 2 {
		return 0
	}
	m := shape{j.Model}
	bytes := float64(j.tokens*2*float64(m.KV)) * half / float64(t)
	times := float64(c-1) * (2 + j.forwardParts) * j.layers
	w.begin()
	worst := 0.0
	for block := 0; block < used; block += t * c {
		for i := range t {
			g := w.shape(group{block + i, t, c})
			worst = math.Max(worst, times*collective.Time(collective.PointToPoint, bytes, g))
			w.ring(times * bytes)
		}
	}
	behind := 3.5 * 2 * j.tokens * j.layers / float64(t) * float64(j.Sequence) * float64(m.Query)
	behind /= j.attentionRate()
	return math.Max(0, w.end(worst, j.micro)-behind)
}

// expert returns the exposed seconds of expert parallelism in a micro-batch: dispatch and combine, forward and
// backward, in each layer with experts.
func (j *job) expert(w *world, t, e, used int) float64 {
	if e < 2 || !(shape{j.Model}).experts() {
		return 0
	}
	m := shape{j.Model}
	bytes := float64(j.tokens/float64(t)*float64(m.Hidden)*float64(m.TopK)) * half
	times := 2 * (1 + j.forwardParts) * float64(m.MoELayers) / float64(j.Pipeline)
	if j.Precision != plan.PrecisionHalf { // what is dispatched forward is in fp8, half the bytes
		times -= j.forwardParts / 2 * float64(m.MoELayers) / float64(j.Pipeline)
	}
	w.begin()
	worst := 0.0
	for first := 0; first+e <= used; first += e {
		g := w.shape(group{first, 1, e})
		g.Copies = m.TopK
		worst = math.Max(worst, times*collective.Time(collective.AllToAll, bytes, g))
		w.allToAll(times*bytes, e)
	}
	return w.end(worst, j.micro) * (1 - j.par.expert)
}

// pipeline returns the exposed seconds of passing activations in a step. Interleaved schedules hide them but for
// filling and draining the pipeline; without interleaving every pass is waited for.
func (j *job) pipeline(w *world, t, p, perStage int) float64 {
	if p < 2 {
		return 0
	}
	bytes := float64(j.tokens*float64(j.Model.Hidden)) * half / float64(t)
	w.begin()
	worst := 0.0
	passes := 2 * j.micro * float64(j.Stages)
	for stage := range p {
		next := (stage + 1) % p
		if next == 0 && j.Stages == 1 {
			continue
		}
		for i := range perStage {
			a, b := stage*perStage+i, next*perStage+i
			g := w.shape(group{min(a, b), max(a, b) - min(a, b), 2})
			worst = math.Max(worst, collective.Time(collective.PointToPoint, bytes, g))
			w.pass(a, b, passes/2*bytes)
			w.pass(b, a, passes/2*bytes)
		}
	}
	waits := 2 * float64(p-1)
	if j.Stages == 1 {
		waits += 2 * j.micro
	}
	return math.Max(waits*worst, w.end(0, 1)*waits/passes)
}

// dataParallel returns the exposed seconds of data parallelism in a step: gradients are reduced behind the backward
// pass of the last micro-batch and parameters gathered behind the first forward pass; with full sharding parameters are
// gathered twice and gradients reduced in every micro-batch, behind all of the work.
func (j *job) dataParallel(w *world, t, c, p, perStage int, busy float64) float64 {
	d := j.data * c
	if d < 2 {
		return 0
	}
	// Parameters that no other rank has need no reduction.
	held := 0.0
	for _, part := range j.held() {
		if part.ranks > 1 {
			held += part.params
		}
	}
	gather, reduce, times, window := half*held, gradientBytes*held, 1.0, busy
	if j.Sharding == plan.ShardFull {
		gather, reduce, times, window = 2*half*held, half*held, j.micro, busy*j.micro
	}
	w.begin()
	worst := 0.0
	for stage := range p {
		for i := range t {
			g := w.shape(group{stage*perStage + i, t, d})
			var one float64
			if j.Sharding == plan.ShardNone {
				one = collective.Time(collective.AllReduce, reduce, g)
				w.ring(2 * reduce * part(g.Domains))
			} else {
				one = collective.Time(collective.AllGather, gather, g)
				one += collective.Time(collective.ReduceScatter, reduce, g)
				w.ring(times * (gather + reduce) * part(g.Domains))
			}
			worst = math.Max(worst, one*times)
		}
	}
	all := w.end(worst, 1)
	return all - math.Min(all*j.par.data, window)
}
