package serving

import (
	"math"
	"math/rand/v2"

	"orrery/sim/model/exact"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// z99 is the 99th percentile of the standard normal distribution (NIST/SEMATECH e-Handbook of Statistical Methods,
// 1.3.6.7.1).
const z99 = 2.3263478740408408

// stage is a step of a service's pipeline.
type stage struct {
	p     *Plane
	plan  *plan.Stage
	draw  *rand.Rand
	sigma float64 // of the logarithm of the time
	busy  int
	queue list
}

func newStage(p *Plane, s *service, of *plan.Stage, k int) *stage {
	st := &stage{p: p, plan: of}
	st.draw = p.p.Streams.Stream("serving/" + s.plan.Name + "/stage/" + of.Name)
	if of.Service < 0 && of.P99 > of.Median && of.Median > 0 {
		st.sigma = exact.Log(float64(of.P99)/float64(of.Median)) / z99
	}
	return st
}

// time draws how long a timed step takes.
func (st *stage) time() units.Duration {
	if st.sigma == 0 {
		return st.plan.Median
	}
	factor := exact.Exp2(float64(st.sigma*normal(st.draw)) / math.Ln2)
	return units.Duration(float64(st.plan.Median) * factor)
}

// stops draws whether the whole request ends at this stage.
func (st *stage) stops() bool {
	part := st.plan.Hit + st.plan.Reject
	return part > 0 && st.draw.Float64() < part
}

// normal draws from the standard normal distribution by Marsaglia's polar method (G. Marsaglia and T. A. Bray, SIAM
// Review 6, 1964), in operations that round alike everywhere.
func normal(draw *rand.Rand) float64 {
	for {
		u, v := float64(2*draw.Float64())-1, float64(2*draw.Float64())-1
		s := float64(u*u) + float64(v*v)
		if s > 0 && s < 1 {
			return u * math.Sqrt(float64(-2*exact.Log(s))/s)
		}
	}
}

// reachStage lets a request begin with the stage that it has come to.
func (p *Plane) reachStage(r *request) {
	st := r.svc.stages[r.stage]
	if st.plan.Service >= 0 {
		p.callStage(r, p.services[st.plan.Service], st.plan)
		return
	}
	r.move(inStep)
	if st.plan.Servers > 0 && st.busy == st.plan.Servers {
		st.queue.push(r)
		return
	}
	st.begin(r)
}

func (st *stage) begin(r *request) {
	st.busy++
	r.serving = true
	st.p.schedule(st.time(), r, stepEnds)
}

// endStep goes on with a request whose timed step is over.
func (p *Plane) endStep(r *request) {
	p.leaveStep(r)
	p.goBack(r)
}

// leaveStep takes a request out of its timed step, done or not, and lets the next one begin.
func (p *Plane) leaveStep(r *request) {
	st := r.svc.stages[r.stage]
	r.move(travelling)
	if !r.serving {
		st.queue.remove(r)
		return
	}
	r.serving = false
	st.busy--
	if next := st.queue.first; next != nil {
		st.queue.remove(next)
		st.begin(next)
	}
}

// callStage sends a request of a stage to another service's router.
func (p *Plane) callStage(r *request, to *service, st *plan.Stage) {
	r.move(elsewhere)
	c := p.obtain(to)
	c.parent, r.child = r, c
	c.id, c.tenant = r.id, r.tenant
	c.input, c.output = r.modelInput(), r.output
	if st.Input > 0 {
		c.input = st.Input
	} else {
		c.prefix, c.prefixTokens = r.prefix, r.prefixTokens
	}
	if st.Output > 0 {
		c.output = st.Output
	}
	c.tries, c.stage, c.sent, c.entered = 1, to.before, p.now, p.now
	p.route(c)
}
