package training

import (
	"orrery/sim/model/collective"
	"orrery/sim/model/storage"
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
	// Network is the exposed seconds of a step that pass each layer's uplinks: what grows when they are shared. One
	// second can pass several layers.
	Network []float64
}

// Uplink is the bytes that leave and enter a domain during one step.
type Uplink struct {
	Layer, Domain int
	Up, Down      float64
}

// Estimate returns the speed of a job from where its ranks are. The placement has at least one rank, and its nodes
// carry the figures of their GPUs. Ranks that the job's groups do not divide are what is left of it when some pods have
// done their work: they are taken to go on with a copy of the model each.
func Estimate(t *plan.Training, p Placement) Result {
	return estimate(t, p, func(t *plan.Training, n int, gpu *plan.Accelerator) Step {
		s, _ := step(t, ideal(n, gpu, p), gpu, fitted)
		return s
	})
}

// estimate is Estimate with a way to get the step of the best placement of n GPUs of a kind.
func estimate(t *plan.Training, p Placement, best func(t *plan.Training, n int, gpu *plan.Accelerator) Step) Result {
	t = divided(t, p.Ranks())
	if t.Ranks != plan.RanksPods {
		p = p.ordered()
	}
	n, gpu := p.Ranks(), p.slowest()
	r := Result{Ideal: best(t, n, gpu), Hardware: 1}
	var w *world
	r.Actual, w = step(t, p, gpu, fitted)
	if ref := t.Reference; ref != nil && ref.GPU != gpu.GPU {
		r.Hardware = best(t, n, ref).Total() / r.Ideal.Total()
	}
	r.Placement = min(1, r.Ideal.Total()/r.Actual.Total())
	if t.Model != nil {
		j := newJob(t, n, gpu, fitted)
		r.Tokens = j.tokensPerStep() / float64(n) / r.Actual.Total()
	}
	r.Network = w.exposed
	for l := range w.total {
		for d, f := range w.total[l] {
			if f.up > 0 || f.down > 0 {
				r.Uplinks = append(r.Uplinks, Uplink{l, w.domains[l][d], f.up, f.down})
			}
		}
	}
	return r
}

// divided returns a job whose groups can be formed from so many ranks: the job itself, or without groups.
func divided(t *plan.Training, ranks int) *plan.Training {
	if Check(t, ranks) == nil {
		return t
	}
	rest := *t
	rest.Tensor, rest.Pipeline, rest.Stages, rest.Context, rest.Expert, rest.GlobalBatch = 1, 1, 1, 1, 1, 0
	return &rest
}

// step returns the step of a job in a placement, and the placement with what the step sent.
func step(t *plan.Training, p Placement, gpu *plan.Accelerator, par parameters) (Step, *world) {
	w := newWorld(p, gpu)
	var s Step
	if t.Model == nil {
		s = class(t, w, gpu)
	} else {
		j := newJob(t, len(w.at), gpu, par)
		s = j.run(w)
	}
	if t.Save != nil && t.Save.Every > 0 {
		nodes := 0
		for i := range p.Nodes {
			if i == 0 || p.Nodes[i].ID != p.Nodes[i-1].ID {
				nodes++
			}
		}
		stall := storage.Stall(t.Save, len(w.at), nodes, p.Storage, 1)
		s.Checkpoint = s.Total() * stall.Seconds() / t.Save.Every.Seconds()
	}
	return s, w
}

// class is the step of a job known only by its intensity. In the best placement on four full nodes of its GPUs it
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
	few := collective.Group{Link: linkOf(ref), Ranks: classNodes * per, Domains: classNodes, Least: per}
	unit := collective.Time(collective.AllReduce, in.MessageBytes, few)
	g := w.shape(group{0, 1, n})
	times := in.Share / (1 - classHidden) / unit // hidden ones too: they load the links
	w.begin()
	w.ring(times * 2 * in.MessageBytes * part(g.Domains))
	all := w.end(times*collective.Time(collective.AllReduce, in.MessageBytes, g), 1)
	s.Data = all * (1 - classHidden)
	w.charge(s.Data)
	return s
}

// classHidden is the part of communication that hides behind computation and yet loads the links: middle of 50 to 80 %
// for data parallelism.
const classHidden = 0.65

// classNodes is the size of job that an intensity class is defined for: the one for which collectives between nodes
// were measured. With more nodes all-reduces send up to a third more, so that high is 31 % of the step on 2 nodes and
// 47 % on 32, within the 30 to 50 % that are published.
const classNodes = 4
