package serving

import (
	"fmt"
	"math"
	"strings"

	"orrery/sim/catalog"
	"orrery/sim/model/training"
	"orrery/sim/plan"
)

const gib = 1 << 30

// shape reads a model: what the formulas need of it.
type shape struct{ *plan.Model }

// embeddings is the parameters of input and output embedding.
func (m shape) embeddings() float64 {
	one := float64(float64(m.Vocabulary) * float64(m.Hidden))
	if m.Tied {
		return one
	}
	return float64(2 * one)
}

func (m shape) head() int {
	if m.Head > 0 {
		return m.Head
	}
	return defaultHead
}

// outside is the parameters of the layers outside experts: those in the replica's precision, and those that stay in
// half precision: latent attention's in fp4 (nvidia/DeepSeek-R1-FP4, see NVIDIA/Model-Optimizer issue 150).
func (s Spec) outside() (quantised, half float64) {
	m := shape{s.Engine.Model}
	quantised = m.Params - m.ExpertParams - m.embeddings()
	if m.Latent && s.Engine.Precision == plan.PrecisionFP4 {
		half = math.Min(float64(m.Layers)*float64(m.Hidden)*float64(m.Query)*latentProjections, quantised)
	}
	return quantised - half, half
}

// inner is the widths of all layers' dense feed-forward networks together, of three matrices each: what attention does
// not have of the parameters outside experts.
func (m shape) inner() float64 {
	outside := (m.Params - m.ExpertParams - m.embeddings()) / float64(m.Hidden)
	return math.Max(outside-float64(2*m.Layers*(m.Query+m.KV)), 0) / 3
}

// heads is the number of attention heads.
func (m shape) heads() float64 {
	if m.Latent {
		return math.Max(math.Floor(float64(m.Query)/latentHead), 1)
	}
	return math.Max(math.Floor(float64(m.Query)/float64(m.head())), 1)
}

// TokenBytes is what the KV cache holds of one token in all layers, when each value has valueBytes; how much of it the
// transfer of a request's cache to another replica moves, too.
func TokenBytes(m *plan.Model, valueBytes int) float64 {
	return shape{m}.layerCacheBytes(valueBytes) * float64(m.Layers)
}

// layerCacheBytes is what the KV cache holds of a token in one layer, on all GPUs together if nothing is there twice.
func (m shape) layerCacheBytes(valueBytes int) float64 {
	values := 2 * m.KV
	if m.Latent {
		values = m.KV
	}
	return float64(values * max(valueBytes, 1))
}

// cacheShare is the part of the KV cache's bytes in a layer that each GPU of the tensor group holds and reads: an equal
// part, but at least one head, and with latent attention all of it. Data-parallel attention, which comes with expert
// parallelism, divides sequences instead.
func cacheShare(s Spec) float64 {
	m := shape{s.Engine.Model}
	tp := float64(s.Tensor)
	switch {
	case s.Expert > 1:
		return 1 / tp
	case m.Latent:
		return 1
	}
	heads := math.Max(float64(m.KV)/float64(m.head()), 1)
	return math.Max(1/tp, 1/heads)
}

// Fit is the memory of each GPU of a replica and what its KV cache holds. All GPUs are taken to be as full as the
// fullest one.
type Fit struct {
	BudgetGiB  float64 // what the engine takes of the GPU
	WeightsGiB float64
	ReserveGiB float64 // activations, graphs, communication buffers
	CacheGiB   float64 // what the KV cache takes of the rest
	KVTokens   int64   // of all sequences together, in whole blocks
	TokenBytes float64 // of the KV cache of one token, on all GPUs together
}

// unfit is the error of a model that does not fit.
type unfit struct{ text string }

func (e *unfit) Error() string { return e.text }

// FitOf returns the memory of a replica. When the model does not fit, the error says by how much and what would: more
// GPUs, a smaller precision, another GPU.
func FitOf(s Spec) (Fit, error) {
	if err := s.check(); err != nil {
		return Fit{}, err
	}
	f := s.fit()
	if s.Device.MemoryMiB == 0 {
		return f, fmt.Errorf("the memory of %s is not known, so that its KV cache is not", s.Device.GPU)
	}
	if f.KVTokens > 0 {
		return f, nil
	}
	m := s.Engine.Model
	need := f.WeightsGiB + f.ReserveGiB + f.leastCache(s)
	return f, &unfit{fmt.Sprintf("%s in %s over %s needs %.1f GiB on each %s (%.1f GiB weights, %.1f GiB reserve and a "+
		"KV cache of at least one block) and gets %.1f GiB (%.2f of %.1f GiB): %s too little; %s", m.Name,
		s.Engine.Precision, s.gpus(), need, s.Device.GPU, f.WeightsGiB, f.ReserveGiB, f.BudgetGiB,
		s.Engine.MemoryUtilization, s.Device.MemoryMiB/1024, size(need-f.BudgetGiB), s.wouldFit())}
}

// size words an amount of memory.
func size(gib float64) string {
	if gib < 0.1 {
		return fmt.Sprintf("%.1f MiB", gib*1024)
	}
	return fmt.Sprintf("%.1f GiB", gib)
}

// gpus words the number of GPUs of a replica.
func (s Spec) gpus() string {
	out := fmt.Sprintf("tensor %d", s.Tensor)
	if s.Pipeline > 1 {
		out += fmt.Sprintf(" × pipeline %d", s.Pipeline)
	}
	return out
}

func (f Fit) leastCache(s Spec) float64 {
	return float64(f.TokenBytes * cacheShare(s) / float64(s.Pipeline) * float64(max(s.Engine.BlockTokens, 1)) / gib)
}

// fit computes the memory; KVTokens is 0 when there is too little.
func (s Spec) fit() Fit {
	m := shape{s.Engine.Model}
	e := &s.Engine
	tp := float64(s.Tensor)
	perStage := math.Ceil(float64(m.Layers) / float64(s.Pipeline))
	stage := perStage / float64(m.Layers)
	weight := weightBytes(e.Precision)
	quantised, half := s.outside()
	dense := float64((float64(quantised*weight) + float64(half*halfBytes)) * stage)
	if s.Expert < 2 {
		dense /= tp
	}
	ends := float64(m.embeddings() * halfBytes) // of the first and the last stage
	if s.Pipeline > 1 && !m.Tied {
		ends /= 2
	}
	if s.Expert < 2 { // data-parallel attention samples its own sequences, and has all of both embeddings
		ends /= tp
	}
	f := Fit{BudgetGiB: float64(s.Device.MemoryMiB / 1024 * e.MemoryUtilization), ReserveGiB: e.ReserveGiB}
	f.WeightsGiB = float64((dense + float64(m.ExpertParams*weight*stage/tp) + ends) / gib)
	layer := m.layerCacheBytes(e.KVBytes)
	f.TokenBytes = TokenBytes(e.Model, e.KVBytes)
	f.CacheGiB = math.Max(f.BudgetGiB-f.WeightsGiB-f.ReserveGiB, 0)
	if e.CacheFraction > 0 {
		f.CacheGiB *= e.CacheFraction
	}
	mine := layer * cacheShare(s) * perStage
	tokens := f.CacheGiB * gib / mine
	if m.WindowLayers > 0 {
		// Windowed layers keep their window for each sequence at most; what that takes is set aside, unless holding all
		// tokens in all layers leaves room for more.
		windowed := float64(m.WindowLayers) / float64(m.Layers)
		aside := float64(float64(m.Window) * float64(e.MaxSequences) * mine * windowed)
		tokens = math.Max(tokens, (float64(f.CacheGiB*gib)-aside)/(mine*(1-windowed)))
	}
	block := float64(max(e.BlockTokens, 1))
	f.KVTokens = int64(math.Floor(math.Max(tokens, 0)/block) * block)
	return f
}

// wouldFit names changes that make a model fit, each on its own.
func (s Spec) wouldFit() string {
	var out []string
	// What is proposed should hold a request of the greatest length, as vLLM demands before it starts.
	least := max(int64(s.Engine.MaxModelTokens), 1)
	ok := func(t Spec) bool { return t.check() == nil && t.fit().KVTokens >= least }
	for t := s; t.Tensor <= max(s.Device.PerNode, s.Device.LinkGPUs, 1); t.Tensor *= 2 {
		if t.Tensor > s.Tensor && ok(t) {
			out = append(out, fmt.Sprintf("tensor: %d", t.Tensor))
			break
		}
	}
	for _, p := range []string{plan.PrecisionFP8, plan.PrecisionFP4} {
		t := s
		t.Engine.Precision = p
		if weightBytes(p) < weightBytes(s.Engine.Precision) && ok(t) {
			out = append(out, "precision: "+p)
			break
		}
	}
	if g := s.smallest(ok); g != "" {
		out = append(out, g+" instead")
	}
	if len(out) == 0 {
		for t := s; t.Pipeline <= s.Engine.Model.Layers; t.Pipeline *= 2 {
			t.Tensor = max(s.Tensor, s.Device.PerNode)
			if t.Expert = s.Expert; ok(t) {
				return fmt.Sprintf("tensor: %d and pipeline: %d would fit", t.Tensor, t.Pipeline)
			}
		}
		return "no number of them would do; take larger GPUs"
	}
	return strings.Join(out, ", or ") + " would fit"
}

// smallest is the catalogue's GPU with the least memory that a model fits on with the same parallelism; "" = none.
func (s Spec) smallest(ok func(Spec) bool) string {
	cat, err := catalog.Load()
	if err != nil {
		return "" // the catalogue's own tests report it
	}
	best, least := "", math.Inf(1)
	for _, g := range cat.GPUs {
		a, err := training.Accelerator(g, training.Host{PerNode: max(s.Device.PerNode, 1)})
		if err != nil || a.GPU == s.Device.GPU || a.MemoryMiB == 0 || a.MemoryMiB >= least {
			continue
		}
		t := s
		if t.Device = *a; ok(t) {
			best, least = a.GPU, a.MemoryMiB
		}
	}
	return best
}
