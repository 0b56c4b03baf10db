package serving

import (
	"fmt"

	"orrery/sim/journal"
	model "orrery/sim/model/serving"
	"orrery/sim/plan"
	"orrery/sim/sketch"
	"orrery/sim/units"
)

// integrals are what replicas did in a window.
type integrals struct {
	prefilled, generated, preemptions          int64
	running, waiting, kv, busy, compute, ready units.Duration
	groupBusy                                  []units.Duration // by group, where there are several
}

// account adds what the replica did since the last window, and begins the next.
func (r *replica) account(to *integrals) {
	r.advance()
	now, was := r.engine.Load(), r.windowed
	to.prefilled += now.Prefilled - was.Prefilled
	to.generated += now.Generated - was.Generated
	to.preemptions += now.Preemptions - was.Preemptions
	to.running += now.RunningTime - was.RunningTime
	to.waiting += now.WaitingTime - was.WaitingTime
	to.kv += now.KVTime - was.KVTime
	to.busy += now.Busy - was.Busy
	if n := len(r.svc.plan.Groups); n > 1 {
		if to.groupBusy == nil {
			to.groupBusy = make([]units.Duration, n)
		}
		to.groupBusy[r.Group] += now.Busy - was.Busy
	}
	to.compute += now.ComputeBound - was.ComputeBound
	to.ready += r.p.now.Sub(r.readyFrom)
	r.windowed, r.readyFrom = now, r.p.now
}

// Window ends a window of time at an instant: it checks the account and writes a record of every service.
func (p *Plane) Window(at units.Time) error {
	if err := p.Advance(at); err != nil {
		return err
	}
	if err := p.Check(); err != nil {
		p.err = err
		return err
	}
	sums := make([]integrals, len(p.services))
	for i, s := range p.services {
		sums[i] = s.window.gone
	}
	for _, r := range p.replicas {
		r.account(&sums[r.svc.index])
	}
	for i, s := range p.services {
		p.record(s.requests(&sums[i], at.Sub(p.windowed)))
		s.window.reset()
	}
	p.windowed = at
	return p.Advance(at) // what the engines told while they were looked at
}

// requests is the record of a service's window.
func (s *service) requests(sum *integrals, span units.Duration) journal.Requests {
	w := &s.window
	b := journal.Requests{
		Service: s.plan.Name, Span: span,
		Arrived: w.arrived, Completed: w.completed, Rejected: w.rejected, TimedOut: w.timedOut, Stopped: w.stopped,
		TooLong: w.tooLong, InFlight: s.inFlight(), Queued: int64(s.entry.queue.n + s.decode.queue.n),
		Retries: w.retries, Lost: w.lost, Good: w.good,
		Input: w.input, Cached: w.cached, Output: w.output,
		Prefilled: sum.prefilled, Generated: sum.generated, Preemptions: sum.preemptions,
		Running: sum.running, Waiting: sum.waiting, KV: sum.kv, Busy: sum.busy, Compute: sum.compute, Ready: sum.ready,
		GroupBusy: sum.groupBusy,
		TTFT:      latencies(&w.ttft), TPOT: latencies(&w.tpot), E2E: latencies(&w.e2e), Queue: latencies(&w.queue),
	}
	for k := range w.stages {
		b.Stages = append(b.Stages, latencies(&w.stages[k]))
	}
	return b
}

func latencies(h *sketch.Hist) journal.Latencies {
	return journal.Latencies{Pairs: h.Sparse(), Sum: units.Duration(h.Sum()), Max: units.Duration(h.Max())}
}

// reset begins the next window in the memory of the last.
func (w *window) reset() {
	old := *w
	*w = window{ttft: old.ttft, tpot: old.tpot, e2e: old.e2e, queue: old.queue, stages: old.stages}
	for _, h := range []*sketch.Hist{&w.ttft, &w.tpot, &w.e2e, &w.queue} {
		h.Reset()
	}
	for k := range w.stages {
		w.stages[k].Reset()
	}
}

// inFlight is how many of the service's requests have arrived and not ended, counted where they are.
func (s *service) inFlight() int64 {
	n := int64(0)
	for _, at := range s.places {
		n += at
	}
	return n
}

// Check says whether every request that has arrived is accounted for: ended in one way, or in one place. The counts of
// places must agree with the lists that requests stand in. It costs a look at every replica and no request.
func (p *Plane) Check() error {
	all := int64(0)
	at := make([]int64, len(p.services))
	for _, r := range p.replicas {
		at[r.svc.index] += int64(r.has.n)
	}
	for i, s := range p.services {
		t, n := s.total, s.inFlight()
		all += n
		if sum := t.completed + t.rejected + t.timedOut + t.stopped + n; sum != t.arrived {
			return fmt.Errorf("serving: at %v service %s had %d requests, but %d completed, %d were rejected, %d timed out, "+
				"%d were stopped and %d are in flight: %d", p.now, s.plan.Name, t.arrived, t.completed, t.rejected, t.timedOut,
				t.stopped, n, sum)
		}
		if held := int64(s.entry.queue.n + s.decode.queue.n); held != s.places[queued] {
			return fmt.Errorf("serving: at %v the router of service %s holds %d requests, but %d are said to be there",
				p.now, s.plan.Name, held, s.places[queued])
		}
		if want := s.places[atReplica] + s.places[moving]; at[i] != want {
			return fmt.Errorf("serving: at %v replicas of service %s have %d requests, but %d are said to be there",
				p.now, s.plan.Name, at[i], want)
		}
		if s.places[nowhere] != 0 {
			return fmt.Errorf("serving: at %v %d requests of service %s are nowhere", p.now, s.places[nowhere], s.plan.Name)
		}
	}
	if all != int64(p.inFlight) {
		return fmt.Errorf("serving: at %v services have %d requests in flight, the plane %d", p.now, all, p.inFlight)
	}
	return nil
}

// recordEnd writes the record of a request that ends now.
func (p *Plane) recordEnd(r *request, how outcome, good bool) {
	b := journal.RequestEnd{
		Service: r.svc.plan.Name, Request: r.id, Tenant: r.tenant, Outcome: outcomeNames[how], Replica: r.lastReplica,
		Tries: r.tries, Input: r.modelInput(), Output: r.generated(), Cached: r.cached, Arrived: r.arrived, Ended: p.now,
		Preemptions: r.preempted, Good: good,
	}
	if r.begun != never {
		b.Begun = r.begun
	}
	if first := p.firstSeen(r); first != never {
		b.First = min(first, p.now)
	}
	p.record(b)
}

var _ model.Events = (*replica)(nil)

// warnRefused is the code of requests that no replica can hold.
const warnRefused = "requests-too-long"

// Warnings tells of requests that were rejected because they would never fit a replica.
func (p *Plane) Warnings() (out []plan.Warning) {
	for _, s := range p.services {
		if s.refused > 0 {
			out = append(out, plan.Warning{Code: warnRefused, Count: s.refused, Message: fmt.Sprintf("service %s: requests "+
				"that its replicas cannot hold are rejected; the first: %s. Give replicas more room (engine.maxModelTokens, "+
				"tensor, a larger GPU), or cut requests (requests.maxInput, maxOutput)", s.plan.Name, s.refusal)})
		}
	}
	return out
}
