package serving

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"orrery/sim/plan"
	"orrery/sim/sketch"
	"orrery/sim/units"
)

// counts are ends and arrivals of requests.
type counts struct{ arrived, completed, rejected, tooLong, timedOut, stopped int64 }

// service is a service and its requests.
type service struct {
	p      *Plane
	index  int
	plan   *plan.Service
	before int // stages ahead of the model; it is the stage with this index
	stages []*stage
	held   bool // the answer goes out only when all stages have passed

	source     plan.RequestSource
	pending    plan.Request // the next to arrive
	arrivals   actor
	deadlines  list // in the order of expiry: all have the same time-out
	expiry     actor
	entry      pool // replicas that take new requests
	decode     pool // replicas that take KV caches
	backoffs   *rand.Rand
	total      counts
	places     [placesCount]int64
	window     window
	routings   int64 // requests that have reached the router since the beginning
	turnedAway int64 // because its queue was full or its replicas were saturated
	refused    int64 // because they would not fit a replica
	refusal    string
	series     []series
	kvSum      float64 // over ready replicas, while a scrape goes on
	waitingSum int
}

// window is what is counted from one end of a window to the next.
type window struct {
	counts
	retries, lost, good    int64
	input, cached, output  int64
	ttft, tpot, e2e, queue sketch.Hist
	stages                 []sketch.Hist
	gone                   integrals // of replicas that went
}

func (p *Plane) newService(i int) (*service, error) {
	s := &service{p: p, index: i, plan: &p.p.Services[i]}
	if len(s.plan.Groups) == 0 {
		return nil, fmt.Errorf("service %s has no group of replicas", s.plan.Name)
	}
	s.before = len(s.plan.Before)
	for k := range s.plan.Before {
		s.stages = append(s.stages, newStage(p, s, &s.plan.Before[k], k))
	}
	s.stages = append(s.stages, nil) // the model
	for k := range s.plan.After {
		s.stages = append(s.stages, newStage(p, s, &s.plan.After[k], s.before+1+k))
		s.held = s.held || s.plan.After[k].Reject > 0
	}
	for _, st := range s.stages {
		if st != nil && (st.plan.Service >= len(p.p.Services) || st.plan.Service == i) {
			return nil, fmt.Errorf("service %s, stage %s: its service is number %d of %d; it must be another of them",
				s.plan.Name, st.plan.Name, st.plan.Service, len(p.p.Services))
		}
	}
	if len(s.stages) > 1 {
		s.window.stages = make([]sketch.Hist, len(s.stages))
	}
	s.deadlines.which = byDeadline
	s.arrivals = actor{rank: classSource | uint64(i), act: s.arrive}
	s.expiry = actor{rank: classDeadlines | uint64(i), act: s.expire}
	s.backoffs = p.p.Streams.Stream("serving/" + s.plan.Name + "/back-off")
	s.entry.init(s, p.p.Streams.Stream("serving/"+s.plan.Name+"/route"))
	s.decode.init(s, p.p.Streams.Stream("serving/"+s.plan.Name+"/route-decode"))
	s.series = s.describe()
	return s, nil
}

// generates says whether the service answers with tokens; a classic model behind a batch server does not.
func (s *service) generates() bool { return s.plan.Engine.Preset != plan.EngineBatch }

// generated is how many tokens the request's answer has.
func (r *request) generated() int {
	if !r.svc.generates() {
		return 0
	}
	return r.output
}

// readNext takes the next request from the source.
func (s *service) readNext() error {
	last := s.pending.At
	next, err := s.source.Next()
	switch {
	case errors.Is(err, io.EOF):
		s.p.sources--
		s.p.agenda.set(&s.arrivals, never)
		return nil
	case err != nil:
		return fmt.Errorf("requests of service %s: %w", s.plan.Name, err)
	case next.At < last:
		return fmt.Errorf("requests of service %s: request %d is at %v, before the one ahead of it at %v: sort them by time",
			s.plan.Name, next.ID, next.At, last)
	case next.Input < 1 || next.Output < 1:
		return fmt.Errorf("requests of service %s: request %d has %d tokens of input and %d of output: both must be ≥ 1",
			s.plan.Name, next.ID, next.Input, next.Output)
	}
	s.pending = next
	s.p.agenda.set(&s.arrivals, next.At)
	return nil
}

// arrive lets the pending request arrive.
func (s *service) arrive() error {
	p := s.p
	r := p.obtain(s)
	r.id, r.tenant = s.pending.ID, s.pending.Tenant
	r.input, r.output = s.pending.Input, s.pending.Output
	if len(s.pending.Prefix) > 0 {
		r.own = append(r.own[:0], s.pending.Prefix...)
		r.prefix, r.prefixTokens = r.own, s.source.PrefixTokens()
	}
	if err := s.readNext(); err != nil {
		return err
	}
	p.send(r)
	return nil
}

// level is the priority of a tenant's requests at a batch server, 0 = there are none.
func (s *service) level(tenant string) int {
	b := s.plan.Engine.Batch
	if b == nil || len(b.Queues) == 0 {
		return 0
	}
	if l := b.Tenants[tenant]; l > 0 {
		return l
	}
	return b.Level
}

// prefixTokens is the size of the blocks that its requests name, 0 = they name none.
func (s *service) prefixTokens() int {
	if s.source == nil {
		return 0
	}
	return s.source.PrefixTokens()
}

// watch puts a request into the list of time-outs.
func (s *service) watch(r *request) {
	if s.plan.Client.Timeout == 0 {
		return
	}
	s.deadlines.push(r)
	r.expires = true
	if s.deadlines.n == 1 {
		s.p.agenda.set(&s.expiry, r.sent.Add(s.plan.Client.Timeout))
	}
}

// unwatch takes it out again.
func (s *service) unwatch(r *request) {
	if !r.expires {
		return
	}
	r.expires = false
	first := s.deadlines.first == r
	s.deadlines.remove(r)
	if !first {
		return
	}
	next := never
	if s.deadlines.first != nil {
		next = s.deadlines.first.sent.Add(s.plan.Client.Timeout)
	}
	s.p.agenda.set(&s.expiry, next)
}

// expire ends the try of the request whose time is over.
func (s *service) expire() error {
	r := s.deadlines.first
	s.p.abandon(r)
	s.p.tryAgain(r, timedOut)
	return nil
}

// window of waiting before try n+1: full jitter, uniform between 0 and the exponential bound (M. Brooker, Exponential
// Backoff And Jitter, AWS Architecture Blog, 4 March 2015).
func (s *service) backoff(n int) units.Duration {
	bound, most := s.plan.Client.Backoff, s.plan.Client.MaxWait
	for i := 1; i < n && bound < 1<<61 && (most == 0 || bound < most); i++ {
		bound *= 2
	}
	if most > 0 {
		bound = min(bound, most)
	}
	if bound <= 0 {
		return 0
	}
	return units.Duration(s.backoffs.Int64N(int64(bound) + 1))
}
