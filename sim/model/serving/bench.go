package serving

import (
	"math"

	"orrery/sim/plan"
)

// What trtllm-bench, with which the load table was measured, sets when nothing is said of it (NVIDIA/TensorRT-LLM
// tensorrt_llm/bench/build/tuning.py and bench/benchmark/utils/general.py, commit 04cba88): sequences that the KV cache
// is thought to hold, not more than benchSequences, and as many tokens as keep prompts in step with decoding, not more
// than benchTokens; prompts are not divided.
const (
	benchSequences = 4096
	benchTokens    = 32768
)

// bench returns the spec as trtllm-bench sets it up for requests of one length, and the limits that its engine has: of
// requests at a time and of tokens in an iteration. With data-parallel attention each GPU schedules for itself; in a
// pipeline each micro-batch has limits of its own.
func (s Spec) bench(input, output int) Spec {
	m, e := shape{s.Engine.Model}, &s.Engine
	tp, pp := float64(s.Tensor), float64(s.Pipeline)
	stored := m.Params // elements of the checkpoint, each taken to have the bytes of the quantised ones
	perElement := weightBytes(e.Precision)
	if e.Precision == plan.PrecisionFP4 { // two in a byte, which counts as one element, and scales
		stored = float64((m.Params-m.embeddings())*(0.5+1.0/16)) + m.embeddings()
		perElement = 0.5
	}
	heads := math.Max(tp, float64(m.KV)/float64(m.head()))
	token := 2 * float64(m.Layers) * heads * float64(m.head()) * float64(e.KVBytes)
	free := float64(tp*pp*s.Device.MemoryMiB*(1<<20)) - float64(stored*perElement)
	held := free * e.CacheFraction / (token * float64(input+output))
	raw := math.Min(held, benchSequences) / pp
	tokens := math.Min(raw*(1+float64(input)/float64(output)), benchTokens)
	sequences := 0
	switch up := func(step float64) int { return int(step * math.Ceil(raw/step)) }; {
	case raw < 256:
		sequences = max(64, up(32))
	case raw < 1024:
		sequences = up(128)
	default:
		sequences = up(256)
	}
	budget := 0
	switch up := func(step float64) int { return int(step * math.Ceil(tokens/step)) }; {
	case tokens < 4096:
		budget = max(2048, up(256))
	case tokens < 8192:
		budget = up(512)
	default:
		budget = up(1024)
	}
	budget = max(budget, input+sequences)
	e.MaxSequences, e.MaxBatchedTokens, e.ChunkedPrefill = sequences, budget, false
	e.ReserveGiB = reserve(*e)
	e.MaxSequences *= s.groups()
	e.MaxBatchedTokens *= s.groups()
	return s
}

// groups is how many schedulers work side by side.
func (s Spec) groups() int {
	if s.Expert > 1 {
		return s.Pipeline * s.Tensor
	}
	return s.Pipeline
}

// benchGraphs are the batches whose decoding was captured as a graph; others are padded to the next one, or to the most
// that the engine takes (perf-overview.md as cited in validation.yaml).
var benchGraphs = []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 384, 512, 1024, 2048, 4096, 8192}

// padded is the batch that decodes for so many requests.
func padded(requests, most int) int {
	for _, g := range benchGraphs {
		if g >= requests {
			return max(min(g, most), requests)
		}
	}
	return requests
}
