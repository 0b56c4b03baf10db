package serving

import (
	"orrery/sim/journal"
	"orrery/sim/units"
)

// outcome is how a request ends.
type outcome uint8

const (
	completed outcome = iota
	rejected
	timedOut
	stopped
)

var outcomeNames = [...]string{
	completed: journal.RequestCompleted, rejected: journal.RequestRejected,
	timedOut: journal.RequestTimedOut, stopped: journal.RequestStopped,
}

// send is the client's: a try begins.
func (p *Plane) send(r *request) {
	r.reset()
	r.tries++
	r.sent = p.now
	r.move(travelling)
	r.svc.watch(r)
	p.enterStage(r)
}

// enterStage sends a request off to the next stage of its pipeline, or ends it behind the last.
func (p *Plane) enterStage(r *request) {
	s := r.svc
	if r.stage == len(s.stages) {
		p.complete(r)
		return
	}
	r.entered = p.now
	hop, what := s.plan.Router.Hop, toRouter
	if st := s.stages[r.stage]; st != nil {
		hop, what = st.plan.Hop, toStage
	}
	if hop > 0 {
		p.schedule(hop, r, what)
	} else if what == toRouter {
		p.route(r)
	} else {
		p.reachStage(r)
	}
}

// goBack sends a request back from the stage that it is in.
func (p *Plane) goBack(r *request) {
	r.move(travelling)
	if hop := r.hop(); hop > 0 {
		p.schedule(hop, r, fromStage)
	} else {
		p.leaveStage(r)
	}
}

// modelDone goes on with a request that has all its tokens.
func (p *Plane) modelDone(r *request) {
	if r.parent != nil {
		r.move(travelling)
		p.complete(r)
		return
	}
	p.goBack(r)
}

// hop is the time to where the request is: its stage, or its service's router.
func (r *request) hop() units.Duration {
	if st := r.svc.stages[r.stage]; st != nil {
		return st.plan.Hop
	}
	return r.svc.plan.Router.Hop
}

// leaveStage takes note of a stage that is over. A stage may end the whole request.
func (p *Plane) leaveStage(r *request) {
	if len(r.svc.stages) > 1 {
		r.spent = append(r.spent, p.now.Sub(r.entered))
	}
	st := r.svc.stages[r.stage]
	r.stage++
	if st != nil {
		r.added += st.plan.AddInput
		if st.stops() {
			p.end(r, stopped)
			return
		}
	}
	p.enterStage(r)
}

// route finds a replica for a request that has reached its service's router, or lets it wait, or turns it away.
func (p *Plane) route(r *request) {
	s := r.svc
	s.routings++
	r.routed = p.now
	if s.sheds(r) {
		s.turnedAway++
		p.fail(r)
		return
	}
	if s.entry.queue.n == 0 {
		if to := s.entry.pick(r); to != nil {
			p.submit(r, to)
			return
		}
	}
	if bound := s.plan.Router.MaxQueue; bound > 0 && s.entry.queue.n >= bound {
		s.turnedAway++
		p.fail(r)
		return
	}
	r.move(queued)
	s.entry.queue.push(r)
}

// submit gives a request to a replica, which may find that it never fits.
func (p *Plane) submit(r *request, to *replica) {
	r.move(atReplica)
	to.take(r)
	q := r.ready(false)
	q.Submitted = p.now
	ok := to.engine.Submit(p.now, q)
	to.look()
	if !ok {
		to.drop(r)
		to.failures++
		if r.svc.refused++; r.svc.refused == 1 {
			r.svc.refusal = q.Refused
		}
		r.final = true
		p.fail(r)
	}
}

// dispatch gives waiting requests to replicas that have room, oldest first.
func (p *Plane) dispatch(o *pool) {
	for o.queue.n > 0 {
		r := o.queue.first
		to := o.pick(r)
		if to == nil {
			return
		}
		o.queue.remove(r)
		if o == &o.svc.decode {
			p.transfer(r, to)
		} else {
			p.submit(r, to)
		}
	}
}

// fail tells those who wait for a request that this try has failed: its client, or the request whose stage it is.
func (p *Plane) fail(r *request) {
	r.epoch++
	if parent := r.parent; parent != nil {
		final := r.final
		p.end(r, rejected)
		parent.child = nil
		parent.final = final
		r = parent
		r.epoch++
	}
	r.move(travelling)
	if hop := r.hop(); hop > 0 {
		p.schedule(hop, r, failed)
	} else {
		p.hearFailure(r)
	}
}

func (p *Plane) hearFailure(r *request) {
	r.epoch++
	p.tryAgain(r, rejected)
}

// tryAgain lets the client of a failed try wait and send it again, or ends the request when there are no retries left.
func (p *Plane) tryAgain(r *request, why outcome) {
	s := r.svc
	s.unwatch(r)
	if r.final || r.tries > s.plan.Client.Retries {
		p.end(r, why)
		return
	}
	s.window.retries++
	r.move(backingOff)
	p.schedule(s.backoff(r.tries), r, sendAgain)
}

// abandon takes a request out of wherever it is. What was computed for it is lost.
func (p *Plane) abandon(r *request) {
	r.epoch++
	switch r.place {
	case queued:
		if r.from != nil {
			r.from.sending.remove(r)
			r.from = nil
			r.svc.decode.queue.remove(r)
		} else {
			r.svc.entry.queue.remove(r)
		}
	case atReplica:
		at := r.at
		at.engine.Abort(p.now, r.q)
		r.q = nil // it may be in an iteration that still runs
		at.aborted++
		at.look()
		at.drop(r)
		r.move(travelling)
		p.dispatch(at.pool)
	case moving:
		at := r.at
		r.from.sending.remove(r)
		r.from = nil
		at.drop(r)
		r.move(travelling)
		p.dispatch(at.pool)
	case inStep:
		p.leaveStep(r)
	case elsewhere:
		child := r.child
		r.child = nil
		p.abandon(child)
		p.end(child, timedOut)
	}
	if r.place != travelling {
		r.move(travelling)
	}
}

// end ends a request for good.
func (p *Plane) end(r *request, how outcome) {
	s := r.svc
	s.unwatch(r)
	for _, c := range []*counts{&s.total, &s.window.counts} {
		switch how {
		case completed:
			c.completed++
		case rejected:
			c.rejected++
			if r.final {
				c.tooLong++
			}
		case timedOut:
			c.timedOut++
		case stopped:
			c.stopped++
		}
	}
	if p.p.Requests && how != completed {
		p.recordEnd(r, how, false)
	}
	p.dispose(r)
}

// complete ends a request whose answer has reached the client.
func (p *Plane) complete(r *request) {
	s, w := r.svc, &r.svc.window
	e2e, ttft := p.now.Sub(r.arrived), p.firstSeen(r).Sub(r.arrived)
	var tpot units.Duration
	if s.generates() && r.output > 1 {
		tpot = r.ended.Sub(r.first) / units.Duration(r.output-1)
		w.tpot.Add(int64(tpot))
	}
	w.e2e.Add(int64(e2e))
	w.ttft.Add(int64(ttft))
	w.queue.Add(int64(r.begun.Sub(r.routed)))
	for k, d := range r.spent {
		w.stages[k].Add(int64(d))
	}
	w.input += int64(r.modelInput())
	w.cached += int64(r.cached)
	w.output += int64(r.generated())
	good := within(ttft, s.plan.SLO.TTFT) && within(tpot, s.plan.SLO.TPOT) && within(e2e, s.plan.SLO.E2E)
	if good {
		w.good++
	}
	if p.p.Requests {
		p.recordEnd(r, completed, good)
	}
	parent := r.parent
	p.end(r, completed)
	if parent != nil {
		parent.child = nil
		p.goBack(parent)
	}
}

// firstSeen is when whoever sent a request sees its first token; never = not yet.
func (p *Plane) firstSeen(r *request) units.Time {
	switch {
	case r.first == never || r.parent != nil:
		return r.first
	case r.svc.held:
		return p.now
	}
	return r.first.Add(r.svc.plan.Router.Hop)
}

// within says whether a latency meets a bound; 0 = no bound.
func within(d, bound units.Duration) bool { return bound == 0 || d <= bound }
