package serving

import (
	"math"

	"orrery/sim/model/collective"
	"orrery/sim/plan"
)

// experts is what the routed experts of a micro-batch cost one GPU, in all layers that have them.
type experts struct {
	row     float64   // seconds of arithmetic at the ceiling of one token at one expert, of the GPU's part of a layer
	copies  float64   // experts that see a token
	count   float64   // of a layer
	part    float64   // of the ceiling that large products reach
	all     float64   // seconds of reading all weights
	touched []float64 // part of a layer's experts that n tokens meet
	traffic float64   // seconds of memory traffic of a token on its way to its experts and back
}

// Measured on one H100 and one H200 with the grouped products of PyTorch, which are CUTLASS's (testdata/measure.py,
// sections experts and layers): both take equally long when a layer's experts have 1 to 128 tokens each, and in bf16 as
// in 8 bits as long as an even product of groupedFloor rows would take at the ceiling, unless reading the weights takes
// longer.
const (
	// groupedTile is the rows of a tile. An expert's tokens fill whole tiles, so that half of one is empty on average.
	groupedTile = 128
	// groupedFloor is the rows at the ceiling in whose time a lone tile is done.
	groupedFloor = 300
	// groupedHalf and grouped8 are the parts of the matrix ceiling that wide experts reach with thousands of tokens each.
	groupedHalf, grouped8 = 0.83, 0.70
	// groupedWidth is the width at which an expert reaches half of that, on a GPU of 1e15 operations per second: 768 wide
	// ones reach 0.71 and 1536 wide ones 0.79 in half precision.
	groupedWidth = 150
	// groupedHide is hide of experts: at the turn from reading to arithmetic the two overlap almost fully.
	groupedHide = 0.1
)

// elementwise is the part of the memory's bandwidth that kernels reach which read and write each value once: casts of
// large matrices to 8 bits, 0.50 to 0.61 on one H200 (testdata/measure.py, section shapes).
const elementwise = 0.57

// addExperts fills in what mixtures of experts cost.
func (st *Step) addExperts(s Spec, par *parameters) {
	m, d := shape{s.Engine.Model}, &s.Device
	if m.Experts == 0 {
		return
	}
	tp := float64(s.Tensor)
	x := &st.experts
	x.copies, x.count, x.part = float64(m.TopK), float64(m.Experts), grouped8
	if s.Engine.Precision == plan.PrecisionHalf {
		x.part = groupedHalf
	}
	rate := matrixRate(d, s.Engine.Precision, par)
	width := float64(m.ExpertWidth) / float64(s.Tensor/s.Expert)
	x.part *= width / (width + float64(groupedWidth*x.part*rate/1e15))
	if s.Engine.Precision == plan.PrecisionFP4 && !workstation(d) {
		x.part *= par.grouped4
	}
	if s.Expert > 1 { // the others wait for the GPU whose experts see the most tokens
		x.part /= par.skew
	}
	x.row = 2 * m.ExpertParams / x.count / tp / rate
	x.all = m.ExpertParams * weightBytes(s.Engine.Precision) / tp / (d.MemoryGBs * 1e9 * par.weights)
	x.touched = touched(m.Experts, m.TopK)
	// Each copy of a token is gathered, in the experts' precision, comes out of the first product in half precision, goes
	// through the activation, and comes out of the second to be added up.
	in := weightBytes(s.Engine.Precision)
	row := float64(float64(m.Hidden)*(float64(2*in)+2*halfBytes)) + float64(width*(4*halfBytes+in))
	share := float64(s.Expert) // of the copies each GPU has its experts'
	x.traffic = row * x.copies / share * float64(m.MoELayers) / (d.MemoryGBs * 1e9 * elementwise)
}

// add puts the experts of n tokens into an iteration.
func (x *experts) add(p *Parts, n int) {
	if len(x.touched) == 0 {
		return
	}
	part := 1.0
	if n < len(x.touched) {
		part = x.touched[n]
	}
	met := x.count * part
	rows := max(met*groupedFloor, (float64(float64(n)*x.copies)+float64(met*groupedTile/2))/x.part)
	p.product(rows*x.row, part*x.all, groupedHide)
	p.Memory += float64(float64(n) * x.traffic)
}

// exchange is what carrying tokens to the experts of other GPUs and back takes in one layer: everything is gathered,
// in the experts' precision, and what the experts give is added up in half precision on the way back. It is what
// engines do by default (TensorRT-LLM 1.0, CutlassFusedMoE with data-parallel attention; vLLM, all2all backend
// allgather_reducescatter). Between domains only what a GPU's experts need is sent, as by DeepEP.
func (s Spec) exchange(bytes float64, g collective.Group, par *parameters) float64 {
	if g.Domains > 1 {
		g.Copies = s.Engine.Model.TopK
		sent := bytes / float64(s.Tensor) * float64(min(s.Engine.Model.TopK, s.Tensor))
		return 2 * math.Max(collective.Time(collective.AllToAll, sent, g), par.reduce)
	}
	there := bytes / halfBytes * weightBytes(s.Engine.Precision)
	t := collective.Time(collective.AllGather, there, g) + collective.Time(collective.ReduceScatter, bytes, g)
	return math.Max(t, 2*par.reduce)
}
