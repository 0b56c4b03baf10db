package serving

import (
	"fmt"
	"math"
	"math/bits"
	"strings"

	"orrery/sim/model/collective"
	"orrery/sim/plan"
)

// parameters are those of all models and GPUs together; fitted.go has their values, the card says where they come from.
type parameters struct {
	gemm      float64 // of the measured matrix ceiling that the layers' matrix products reach
	fp4       float64 // of the fp4 ceiling, which nobody measured, beside fp8
	attention float64 // of the half-precision ceiling that attention over prompts reaches
	weights   float64 // of the memory's bandwidth when weights are read
	cache     float64 // of the memory's bandwidth when the KV cache is read
	wide      float64 // bytes of element-wise traffic per token, layer and hidden value
	hide      float64 // of the lesser of arithmetic and weight traffic that shows beside the greater
	iteration float64 // seconds of an iteration whatever it does: the engine's host side
	layer     float64 // seconds of a layer whatever it does: starts and ends of its kernels
	expert    float64 // the same of a layer's routing and dispatch to experts
	sequence  float64 // seconds of each sequence in an iteration: sampling, scheduling, streaming
	fp4Card   float64 // fp4 of the chips of workstations, whose matrix units are others (sm_120)
	grouped4  float64 // of what grouped products in 8 bits reach of their ceiling, those in fp4 on data-centre chips
	eager     float64 // seconds that the host takes to start an expert layer's kernels one by one
	host      float64 // seconds of the host for each sequence, which the GPUs' work hides
	grace     float64 // both with Grace as the host ÷ with x86
	stream    float64 // seconds that a server's front end takes for a token: detokenising, answers in pieces over HTTP
	unhidden  float64 // seconds of the host for each sequence in pipelines, which nothing hides
	skew      float64 // load of the GPU whose experts get the most ÷ mean, where experts are spread over GPUs
	reduce    float64 // seconds of a small all-reduce by the engines' own kernels
	bareLayer float64 // layer for the measured iterations, whose kernels are not an engine's
}

// Step is how long an iteration of one replica takes. It is made once for a replica and does not change.
//
// An iteration processes decodes sequences, one new token each, and prefillTokens tokens of prompts. What the GPUs do
// comes one after the other, layer by layer: matrix products (arithmetic or reading of weights, whichever takes
// longer, and a part of the other), attention (reading the KV cache; arithmetic for prompts), element-wise work,
// communication. So the time is linear in the context that the decoding sequences have, see Line.
//
// Pipeline parallelism: the engine's batch is dealt to as many micro-batches as there are stages. An iteration is the
// round in which each of them passes all stages: as long as one micro-batch takes through all layers. Throughput is
// that of a full pipeline; a request gets a token each round.
//
// Expert parallelism (Spec.Expert > 1) comes with data-parallel attention, as engines deploy it: each GPU of the tensor
// group holds the attention of all heads for its share of the sequences, and tokens travel to their experts and back.
type Step struct {
	// Seconds of one GPU for a micro-batch through all layers. perToken and the like have to be multiplied, all and
	// fixed are there in any case.
	denseToken, denseAll float64 // matrix products outside experts: arithmetic, reading weights
	experts              experts
	headToken, headAll   float64 // the output layer, for tokens that are sampled
	wideToken            float64
	contextFull          float64 // per token of context: layers that attend to all of it
	contextWindow        float64 // and those that attend to a window
	pairFull, pairWindow float64 // per query-key pair of prompts, likewise
	window               float64 // tokens
	hide                 float64
	fixed                float64
	sequence             float64
	eager, host          float64 // of the host: an iteration with prompts, each of its sequences
	front                float64 // of the front end: each token
	stages               int
	ranks                int                // GPUs that hold sequences each for itself: data-parallel attention
	links                [linkSizes]float64 // communication of micro-batches of 2^i tokens
	contextCompute       bool               // reading the context is limited by arithmetic, not memory
}

// linkSizes bounds the micro-batches whose communication is tabulated: 2^23 tokens.
const linkSizes = 24

// Bytes of a weight. FP4 has a scale of 8 bits for each 16 values (NVIDIA, "Introducing NVFP4", 2025-06-24).
const (
	halfBytes, fp8Bytes = 2, 1
	fp4Bytes            = 0.5 + 1.0/16
)

// Latent attention (DeepSeek-AI, arXiv 2412.19437, section 4.2): heads of 128 values and 64 rotary ones, so that the
// mean of keys (192) and values (128) is 160, and the cached vector without its rotary part is 64 shorter.
const latentHead, latentRotary = 160, 64

// latentProjections is the parameters of a layer's latent attention ÷ (hidden × query): 187 million ÷ (7168 × 20480).
const latentProjections = 1.27

// defaultHead is the size of a head where a model does not say.
const defaultHead = 128

// NewStep prepares a replica. The error says what of the spec cannot be run and what could.
func NewStep(s Spec) (*Step, error) { return newStep(s, &fitted) }

func newStep(s Spec, par *parameters) (*Step, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	m, d := shape{s.Engine.Model}, &s.Device
	tp, pp := float64(s.Tensor), float64(s.Pipeline)
	rate := matrixRate(d, s.Engine.Precision, par) * par.gemm
	weight := weightBytes(s.Engine.Precision)
	read := d.MemoryGBs * 1e9 * par.weights
	quantised, half := s.outside()
	st := &Step{hide: par.hide, sequence: par.sequence, stages: s.Pipeline, ranks: 1}

	st.denseToken = 2 * (quantised/rate + half/(d.Half*1e12*par.gemm)) / tp
	st.denseAll = (float64(quantised*weight) + float64(half*halfBytes)) / tp / read
	if s.Expert > 1 { // each GPU reads all of the attention's weights for its part of the tokens
		st.denseAll *= tp
		st.ranks = s.Tensor
	}
	st.addExperts(s, par)
	head := float64(float64(m.Vocabulary) * float64(m.Hidden)) // half precision in quantised models too
	// The last stage has it for every micro-batch, and the others wait for the last stage.
	st.headToken = 2 * head / tp / (d.Half * 1e12 * par.gemm) * pp
	st.headAll = head * halfBytes / tp / read * pp
	if s.Expert > 1 { // likewise, and each samples its own tokens
		st.headAll *= tp
	}
	st.wideToken = (float64(par.wide*float64(m.Hidden)*float64(m.Layers)) + float64(m.inner()*(4*halfBytes+weight))) /
		(d.MemoryGBs * 1e9 * par.weights)
	if s.Expert > 1 {
		st.wideToken /= tp
	}
	st.attention(s, par)
	st.fixed = float64(par.iteration*pp) + float64(par.layer*float64(m.Layers)) +
		float64(par.expert*float64(m.MoELayers)) + float64((pp-1)*stageMicros*1e-6)
	st.hosts(s, par)
	st.communication(s, par)
	return st, nil
}

// hosts fills in what the host takes.
func (st *Step) hosts(s Spec, par *parameters) {
	st.eager, st.host, st.front = par.eager*float64(s.Engine.Model.MoELayers), par.host, par.stream
	spec := speculationOf(s.Engine.Speculative)
	st.front *= float64(spec.gain) / float64(spec.parts)
	if s.Pipeline > 1 {
		st.sequence += par.unhidden
	}
	if s.Expert > 1 { // each GPU has a process of its own, with its part of the sequences
		st.host, st.front = st.host/float64(s.Tensor), st.front/float64(s.Tensor)
	}
	if strings.HasPrefix(s.Device.GPU, "gb") || strings.HasPrefix(s.Device.GPU, "gh") {
		st.eager, st.host = st.eager*par.grace, st.host*par.grace
	}
}

// stageMicros is the latency of handing a micro-batch to the next stage: NCCL's send and receive over NVLink
// (NVIDIA/nccl src/graph/tuning.cc, commit 5067397: base 8.4 µs and 3.4 µs a step).
const stageMicros = 11.8

// attention fills in what a token of context and a pair of prompts cost.
func (st *Step) attention(s Spec, par *parameters) {
	m, d := shape{s.Engine.Model}, &s.Device
	tp := float64(s.Tensor)
	full := float64(m.Layers - m.WindowLayers)
	read := m.layerCacheBytes(s.Engine.KVBytes) * cacheShare(s) / (d.MemoryGBs * 1e9 * par.cache)
	work := 4 * float64(m.Query)
	if m.Latent {
		work = 2 * float64(m.Query) / latentHead * float64(2*m.KV-latentRotary)
	}
	work /= tp * d.Half * 1e12 * par.attention
	st.contextCompute = work > read
	one := math.Max(read, work)
	st.contextFull, st.contextWindow = one*full, one*float64(m.WindowLayers)
	pair := 4 * float64(m.Query) / (tp * d.Half * 1e12 * par.attention)
	st.pairFull, st.pairWindow = pair*full, pair*float64(m.WindowLayers)
	st.window = float64(m.Window)
}

// touched is the part of a layer's experts that n tokens meet, for n = 0, 1, …, until it is all but 1: each token
// meets k different ones, all equally likely.
func touched(experts, k int) []float64 {
	miss := 1 - float64(k)/float64(experts)
	out, none := []float64{0}, 1.0
	for none > 1e-6 && len(out) < 1<<16 {
		none = float64(none * miss)
		out = append(out, 1-none)
	}
	return out
}

// communication tabulates what the tensor group sends.
func (st *Step) communication(s Spec, par *parameters) {
	m := shape{s.Engine.Model}
	for i := range st.links {
		tokens := float64(int64(1) << i)
		t := 0.0
		if s.Tensor > 1 {
			t = s.layerLinks(tokens, par)
		}
		if s.Pipeline > 1 {
			sent := float64(float64(s.Pipeline-1)*tokens*float64(m.Hidden)) * halfBytes
			t += sent / (collective.PeerGBs(s.link()) * 1e9)
		}
		if i > 0 {
			t = math.Max(t, st.links[i-1]) // measured curves may dip where the algorithm changes
		}
		st.links[i] = t
	}
}

// layerLinks is what the tensor group sends for tokens, in all layers: two all-reduces each, or with expert parallelism
// the way to the experts and back in those that have them.
func (s Spec) layerLinks(tokens float64, par *parameters) float64 {
	m := shape{s.Engine.Model}
	g := collective.Group{Link: s.link(), Ranks: s.Tensor, Domains: s.domains()}
	g.Least = s.Tensor / g.Domains
	bytes := float64(tokens*float64(m.Hidden)) * halfBytes
	if s.Expert < 2 {
		return float64(2*m.Layers) * allReduce(bytes, g, par)
	}
	return float64(m.MoELayers) * s.exchange(bytes, g, par)
}

// allReduce is NCCL's or, where that is faster, the one of the engines' own kernels for small messages: every GPU reads
// the whole vector from all others (one shot), or a part of it and then the sums (two shots).
func allReduce(bytes float64, g collective.Group, par *parameters) float64 {
	t := collective.Time(collective.AllReduce, bytes, g)
	if g.Domains > 1 || g.Link.Kind != "nvlink" {
		return t
	}
	n := float64(g.Ranks)
	peer := g.Link.GBs * 1e9 * ownKernels
	own := par.reduce + math.Min(float64((n-1)*bytes)/peer, par.reduce+float64(2*(n-1)/n*bytes)/peer)
	return math.Min(t, own)
}

// ownKernels is what the engines' all-reduce kernels reach of the link: assumed to be what two GPUs reach of it in an
// all-reduce of NCCL (H100 318 of 450 GB/s, aiconfigurator, commit 095f58a).
const ownKernels = 318.0 / 450

// domains is how many scale-up domains a tensor group is spread over.
func (s Spec) domains() int {
	perNode := max(s.Tensor*s.Pipeline/max(s.Nodes, 1), 1)
	if s.Tensor <= perNode || s.Device.LinkGPUs >= s.Tensor && s.Device.LinkGPUs > s.Device.PerNode {
		return 1
	}
	return (s.Tensor + perNode - 1) / perNode
}

func (s Spec) link() collective.Link {
	d := &s.Device
	return collective.Link{GPU: d.GPU, Kind: d.LinkKind, GBs: d.LinkGBs, PeerGBs: d.PeerGBs, GPUs: d.LinkGPUs,
		PCIeGBs: d.PCIeGBs, NICGBs: d.NICGBs}
}

// matrixRate is what the GPU multiplies in a precision, operations per second. A GPU without units for it computes in
// the next wider format that it has; only the weights are small then.
func matrixRate(d *plan.Accelerator, precision string, par *parameters) float64 {
	rate := d.Half
	if precision == plan.PrecisionFP8 || precision == plan.PrecisionFP4 {
		rate = math.Max(rate, d.FP8)
	}
	if precision == plan.PrecisionFP4 {
		part := par.fp4
		if workstation(d) {
			part = par.fp4Card
		}
		rate = math.Max(rate, d.FP4*part)
	}
	return rate * 1e12
}

// workstation reports whether the GPU's chip is that of workstations (compute capability 12.0), whose matrix units are
// others than those of the same generation's data-centre chips.
func workstation(d *plan.Accelerator) bool { return strings.HasPrefix(d.GPU, "rtx") }

// weightBytes of one parameter.
func weightBytes(precision string) float64 {
	switch precision {
	case plan.PrecisionFP8:
		return fp8Bytes
	case plan.PrecisionFP4:
		return fp4Bytes
	}
	return halfBytes
}

// Parts is what an iteration's seconds are made of.
type Parts struct {
	Compute  float64 // arithmetic
	Memory   float64 // reading weights and KV cache, element-wise work
	Links    float64 // communication that nothing hides
	Overhead float64 // host, kernel starts, sampling
}

// Total is the iteration.
func (p Parts) Total() float64 { return p.Compute + p.Memory + p.Links + p.Overhead }

// ComputeBound reports whether arithmetic takes the most of it.
func (p Parts) ComputeBound() bool { return p.Compute > p.Memory+p.Links }

// product adds matrix products to the parts: the longer of arithmetic and reading weights, and hide of the other.
func (p *Parts) product(work, read, hide float64) {
	if work > read {
		p.Compute += float64(work) + float64(hide*read)
	} else {
		p.Memory += float64(read) + float64(hide*work)
	}
}

// micro is the tokens of a micro-batch and which part of the context it has.
func (st *Step) micro(tokens int) (int, float64) {
	stages := min(st.stages, max(tokens, 1))
	return (tokens + stages - 1) / stages, 1 / float64(stages)
}

// fullest is what the GPU with the most of so many sequences has of them ÷ an equal part. The others wait for it.
func (st *Step) fullest(sequences int) float64 {
	if st.ranks == 1 || sequences == 0 {
		return 1
	}
	return float64((sequences+st.ranks-1)/st.ranks*st.ranks) / float64(sequences)
}

// base is an iteration without the context of decoding sequences.
func (st *Step) base(decodes, prefillTokens int, prefillAttention int64, prefillSeqs int) (p Parts) {
	n, part := st.micro(decodes + prefillTokens)
	if n <= 0 {
		return p
	}
	t := float64(n)
	uneven := st.fullest(prefillSeqs)
	own := t // of sequences' own work, as much as if all GPUs had what the fullest has
	if uneven > 1 && prefillSeqs > 0 {
		own += float64(float64(prefillTokens) * part * (uneven - 1))
	}
	p.product(own*st.denseToken, st.denseAll, st.hide)
	st.experts.add(&p, n)
	sampled := float64(decodes + prefillSeqs)
	p.product(sampled*part*st.headToken, st.headAll, st.hide)
	p.Memory += float64(own * st.wideToken)
	if prefillAttention > 0 {
		pairs := float64(prefillAttention) * uneven
		p.Compute += float64(pairs * part * st.pairFull)
		if st.window > 0 {
			p.Compute += float64(min(pairs, float64(prefillTokens)*uneven*st.window) * part * st.pairWindow)
		}
	}
	i := bits.Len(uint(n)) - 1
	p.Links = st.links[min(i, linkSizes-1)]
	if i < linkSizes-1 {
		low := float64(int(1) << i)
		p.Links += float64((st.links[i+1] - p.Links) * (t - low) / low)
	}
	p.Overhead = st.fixed + float64(sampled*st.sequence)
	return p
}

// Parts returns an iteration in parts; see Seconds.
func (st *Step) Parts(decodes int, decodeContext int64, prefillTokens int, prefillAttention int64,
	prefillSeqs int) Parts {
	p := st.base(decodes, prefillTokens, prefillAttention, prefillSeqs)
	l := st.line(decodes, prefillTokens)
	l.Base = p.Total()
	t := l.context(decodeContext)
	if st.contextCompute {
		p.Compute += t
	} else {
		p.Memory += t
	}
	if prefillSeqs == 0 {
		p.Overhead += max(l.atLeast(float64(decodes)*st.front).At(decodeContext)-p.Total(), 0)
	}
	p.Overhead += st.waits(decodes, prefillSeqs, p.Total())
	return p
}

// waits is how long the GPUs, busy for so long, wait for the host in an iteration with prompts. Iterations that only
// decode are started as one graph; those with prompts are not.
func (st *Step) waits(decodes, prefillSeqs int, busy float64) float64 {
	if prefillSeqs == 0 {
		return 0
	}
	n := float64(decodes + prefillSeqs)
	least := float64(n * st.front)
	if st.eager > 0 {
		least = max(least, st.eager+float64(n*st.host))
	}
	return max(least-busy, 0)
}

// Seconds returns how long one iteration takes in which decodes sequences get a token each, with decodeContext tokens
// of context together, and prefillTokens tokens of prompts are computed for prefillSeqs sequences. prefillAttention is
// the query-key pairs of these: the sum over chunks of chunk × (tokens before it + (chunk+1)/2).
//
// A sequence that checks k proposed tokens beside its own (speculative decoding) counts as a decode with k more
// prefillTokens, and k × its context more prefillAttention.
//
// It is 0 when nothing is processed. More of anything never takes less time, except that with pipeline parallelism more
// sequences share the same context among more micro-batches until all stages are busy, and with data-parallel attention
// among more GPUs.
func (st *Step) Seconds(decodes int, decodeContext int64, prefillTokens int, prefillAttention int64,
	prefillSeqs int) float64 {
	if decodes+prefillTokens <= 0 {
		return 0
	}
	p := st.base(decodes, prefillTokens, prefillAttention, prefillSeqs)
	l := st.line(decodes, prefillTokens)
	if l.Base = p.Total(); prefillSeqs == 0 {
		return l.atLeast(float64(decodes) * st.front).At(decodeContext)
	}
	t := l.At(decodeContext)
	return t + st.waits(decodes, prefillSeqs, t)
}

// check says what of a spec cannot be run.
func (s Spec) check() error {
	m := shape{s.Engine.Model}
	switch {
	case s.Engine.Model == nil:
		return fmt.Errorf("an engine without a model has no iterations; preset %s has times of its own", plan.EngineBatch)
	case s.Tensor < 1 || s.Pipeline < 1 || s.Expert < 1:
		return fmt.Errorf("tensor %d, pipeline %d, expert %d: each is at least 1", s.Tensor, s.Pipeline, s.Expert)
	case int(m.heads())%s.Tensor != 0:
		return fmt.Errorf("tensor %d does not divide the %d attention heads of %s", s.Tensor, int(m.heads()), m.Name)
	case s.Pipeline > m.Layers:
		return fmt.Errorf("pipeline %d is more than the %d layers of %s", s.Pipeline, m.Layers, m.Name)
	case s.Expert > 1 && m.Experts == 0:
		return fmt.Errorf("expert: %d, but %s has no experts; remove it", s.Expert, m.Name)
	case s.Tensor%s.Expert != 0:
		return fmt.Errorf("expert %d does not divide tensor %d: experts are spread over the GPUs of a tensor group", s.Expert,
			s.Tensor)
	case s.Expert > 1 && m.Experts%s.Expert != 0:
		return fmt.Errorf("expert %d does not divide the %d experts of %s", s.Expert, m.Experts, m.Name)
	case s.Device.Half <= 0 || s.Device.MemoryGBs <= 0:
		return fmt.Errorf("the speed of %s is not known: it needs the rate of half-precision operations and the "+
			"memory's bandwidth", s.Device.GPU)
	}
	return nil
}
