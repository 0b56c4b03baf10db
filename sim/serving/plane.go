package serving

import (
	"errors"
	"fmt"

	"orrery/sim/journal"
	model "orrery/sim/model/serving"
	"orrery/sim/plan"
	"orrery/sim/rng"
	"orrery/sim/units"
)

// Params is what a plane is made of.
type Params struct {
	Services []plan.Service
	Sources  []plan.RequestSource
	// Streams are the run's random streams. Every service draws from its own.
	Streams *rng.Source
	// Record takes the records Replica, Requests and RequestEnd. It may be called at a later instant than the record
	// speaks of.
	Record func(journal.Body)
	// Requests asks for a RequestEnd of every request.
	Requests bool
	// Exposed says which metrics a scrape gives, by name; nil = all. What nobody looks at costs next to nothing. It is
	// asked when a replica comes, and by Reexpose.
	Exposed func(name string) bool
	// NewReplica makes the engine of a replica.
	NewReplica func(model.Spec) (model.Replica, error)
}

// Plane is all services' requests and replicas. It belongs to one goroutine.
type Plane struct {
	p        Params
	now      units.Time
	windowed units.Time // end of the last window
	agenda   agenda
	events   events
	timed    actor // of events
	services []*service
	byName   map[string]*replica // for look-ups only
	replicas []*replica          // those that are not gone, in the order of readiness
	replicaN uint64
	spare    []*request
	inFlight int
	sources  int // that are not exhausted
	series   int // numbers of metric series given out
	scraper  scraper
	view     view  // of the replica that is scraped
	err      error // what ended the run
}

// New makes a plane and reads the first request of every source. Its error holds every problem found.
func New(params Params) (*Plane, error) {
	p := &Plane{p: params, byName: map[string]*replica{}}
	p.timed = actor{rank: classEvents, act: p.scheduled}
	var problems []error
	reader := make([]string, len(params.Sources))
	for i := range params.Services {
		s, err := p.newService(i)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		p.services = append(p.services, s)
		n := params.Services[i].Requests
		if n >= len(params.Sources) {
			problems = append(problems, fmt.Errorf("service %s: its requests are source %d, but the run has %d sources",
				s.plan.Name, n, len(params.Sources)))
		} else if n >= 0 && reader[n] != "" {
			problems = append(problems, fmt.Errorf("service %s: source %d already feeds service %s; a source feeds one service",
				s.plan.Name, n, reader[n]))
		} else if n >= 0 {
			reader[n] = s.plan.Name
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	for _, s := range p.services {
		if s.plan.Requests >= 0 {
			s.source = params.Sources[s.plan.Requests]
			p.sources++
			if err := s.readNext(); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// Advance simulates everything up to and including an instant. An error, of a source or of an engine, ends the run:
// every later call returns it too.
func (p *Plane) Advance(to units.Time) error {
	if p.err != nil {
		return p.err
	}
	if to < p.now {
		return fmt.Errorf("serving: the plane is at %v and cannot go back to %v", p.now, to)
	}
	for len(p.agenda.heap) > 0 && p.agenda.heap[0].at <= to {
		a := p.agenda.heap[0]
		p.now = max(p.now, a.at)
		if p.err = a.act(); p.err != nil {
			return p.err
		}
	}
	p.now = to
	return nil
}

// Next is the earliest instant at which anything may happen by itself, model.Never when nothing will: requests may
// still wait for a replica.
func (p *Plane) Next() units.Time {
	if len(p.agenda.heap) == 0 {
		return never
	}
	return p.agenda.heap[0].at
}

// Done says that all sources are exhausted and no request is in flight.
func (p *Plane) Done() bool { return p.sources == 0 && p.inFlight == 0 }

// Now is the instant up to which the plane has been simulated.
func (p *Plane) Now() units.Time { return p.now }

// schedule makes something happen to a request after a while, unless its epoch grows before.
func (p *Plane) schedule(after units.Duration, r *request, what kind) {
	p.events.push(event{at: p.now.Add(after), req: r, epoch: r.epoch, what: what})
	p.agenda.set(&p.timed, p.events.next())
}

// scheduled does the first thing that was scheduled.
func (p *Plane) scheduled() error {
	e := p.events.pop()
	p.agenda.set(&p.timed, p.events.next())
	r := e.req
	if r.epoch != e.epoch {
		return nil
	}
	switch e.what {
	case toRouter:
		p.route(r)
	case toStage:
		p.reachStage(r)
	case fromStage:
		p.leaveStage(r)
	case stepEnds:
		p.endStep(r)
	case failed:
		p.hearFailure(r)
	case sendAgain:
		p.send(r)
	case transferred:
		p.received(r)
	}
	return nil
}

// record writes a record, if anyone wants it.
func (p *Plane) record(b journal.Body) {
	if p.p.Record != nil {
		p.p.Record(b)
	}
}
