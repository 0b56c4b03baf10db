package training

import (
	"orrery/sim/model/collective"
	"orrery/sim/plan"
)

// Result is what a job's placement makes of its speed.
type Result struct {
	// Ideal is a step in the best placement the network has for the job, on the GPUs it landed on; Actual one where it
	// is. With an intensity class the ideal step of a job of several nodes takes one second.
	Ideal, Actual Step
	// Hardware is the speed of the GPUs it landed on against those it was described for, both ideally placed. Placement is
	// ideal ÷ actual step time, at most 1.
	Hardware, Placement float64
	// Tokens is what one GPU gets through per second of the actual step; 0 with an intensity class.
	Tokens float64
	// Uplinks is what a step sends over the uplinks of each layer's domains, in the order of layers and domains;
	// domains that nothing leaves or enters are not in it.
	Uplinks []Uplink
	// Network is the exposed seconds of a step that pass each layer's uplinks: what grows when they are shared.
	Network []float64
}

// Uplink is the bytes that leave and enter a domain during one step.
type Uplink struct {
	Layer, Domain int
	Up, Down      float64
}

// Estimate returns the speed of a job from where its ranks are. The placement has at least one rank, and its nodes
// carry the figures of their GPUs.
func Estimate(t *plan.Training, p Placement) Result { return estimate(t, p, fitted) }

func estimate(t *plan.Training, p Placement, par parameters) Result {
	if t.Ranks != plan.RanksPods {
		p = p.ordered()
	}
	n, gpu := p.Ranks(), p.slowest()
	best := ideal(n, gpu, p.Layers)
	var r Result
	var world *world
	r.Ideal, _ = step(t, best, gpu, par)
	r.Actual, world = step(t, p, gpu, par)
	r.Hardware = 1
	if ref := t.Reference; ref != nil && ref.GPU != gpu.GPU {
		there, _ := step(t, ideal(n, ref, p.Layers), ref, par)
		r.Hardware = there.Total() / r.Ideal.Total()
	}
	r.Placement = min(1, r.Ideal.Total()/r.Actual.Total())
	if t.Model != nil {
		j := newJob(t, n, gpu, par)
		r.Tokens = j.micro * float64(j.data*t.MicroBatch*t.Sequence) / float64(n) / r.Actual.Total()
	}
	r.traffic(world)
	return r
}

// step returns the step of a job in a placement, and the placement with what the step sent.
func step(t *plan.Training, p Placement, gpu *plan.Accelerator, par parameters) (Step, *world) {
	w := newWorld(p, gpu)
	if t.Model == nil {
		return class(t, w, gpu), w
	}
	j := newJob(t, len(w.at), gpu, par)
	return j.run(w), w
}

// traffic takes what the step sent out of the world. A layer that traffic passes has a part in all that is exposed
// between domains: a collective waits for its slowest edge.
func (r *Result) traffic(w *world) {
	r.Network = make([]float64, len(w.layers))
	for l := range w.total {
		for d, f := range w.total[l] {
			if f.up > 0 || f.down > 0 {
				r.Uplinks = append(r.Uplinks, Uplink{l, w.domains[l][d], f.up, f.down})
				r.Network[l] = r.Actual.Communication()
			}
		}
	}
}

// class is the step of a job known only by its intensity. In the best placement on two full nodes of its GPUs it
// computes for 1-share seconds and waits share seconds for collectives; elsewhere these take as much longer as the
// collective does.
func class(t *plan.Training, w *world, gpu *plan.Accelerator) Step {
	in := t.Intensity
	ref := gpu
	if t.Reference != nil {
		ref = t.Reference
	}
	s := Step{Compute: (1 - in.Share) * ref.Half / gpu.Half}
	n := len(w.at)
	if n < 2 {
		return s
	}
	per := max(ref.PerNode, 1)
	two := collective.Group{Link: linkOf(ref), Ranks: 2 * per, Domains: 2, Least: per}
	unit := collective.Time(collective.AllReduce, in.MessageBytes, two)
	g := w.shape(group{0, 1, n})
	times := in.Share / unit
	w.begin()
	w.ring(times / (1 - classHidden) * 2 * in.MessageBytes * part(g.Domains))
	s.Data = w.end(times*collective.Time(collective.AllReduce, in.MessageBytes, g), 1)
	return s
}

// classHidden is the part of communication that hides behind computation and yet loads the links: middle of 50 to 80 %
// for data parallelism.
const classHidden = 0.65
