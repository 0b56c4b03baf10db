package serving

import (
	"orrery/sim/plan"
	"orrery/sim/units"
)

// core is what both replicas of language models have.
type core struct {
	rules
	costs *costs
	cache *pool
	clock clock
	meter meter
	late  late
}

func newCore(s *Spec, step stepper, kvTokens int64) (*core, error) {
	r, err := rulesOf(s, kvTokens)
	if err != nil {
		return nil, err
	}
	c, err := newCosts(step, &s.Engine)
	if err != nil {
		return nil, err
	}
	// SGLang, TensorRT-LLM and TGI keep what is free beside what is cached, and forget only what they must.
	cache := newPool(r.blocks, r.preset != plan.EngineVLLM)
	return &core{rules: *r, costs: c, cache: cache, clock: clock{speed: full}}, nil
}

// modelled is a spec's step times and KV cache.
func modelled(s *Spec) (stepper, int64, error) {
	fit, err := FitOf(*s)
	if err != nil {
		return nil, 0, err
	}
	step, err := NewStep(*s)
	if err != nil {
		return nil, 0, err
	}
	return step, fit.KVTokens, nil
}

// phase is what a replica is in.
type phase int

const (
	idle    phase = iota
	forming       // an iteration may begin at an instant; whoever comes at that instant takes part
	working       // iterations run
)

// accept prepares a sequence that is submitted, or refuses it. done says that it needs nothing more.
func (c *core) accept(at units.Time, q *Sequence) (ok, done bool) {
	q.Submitted, q.Begun, q.Ended = at, Never, Never
	q.Cached, q.Preempted, q.state = 0, 0, nil
	if q.Received {
		q.Generated = max(q.Generated, 1)
	} else {
		q.Generated, q.First = 0, Never
	}
	if q.Refused = c.refuses(q); q.Refused != "" {
		return false, false
	}
	if q.Generated >= c.output(q) {
		q.Begun, q.Ended = at, at
		c.late.Ended(q)
		return true, true
	}
	return true, false
}

// late are events of instants that have passed and that nobody could be told yet.
type late struct {
	events []event
}

type event struct {
	q     *Sequence
	first bool
}

// First implements Events.
func (l *late) First(q *Sequence) { l.events = append(l.events, event{q, true}) }

// Ended implements Events.
func (l *late) Ended(q *Sequence) { l.events = append(l.events, event{q, false}) }

func (l *late) tell(to Events) {
	for _, e := range l.events {
		if e.first {
			to.First(e.q)
		} else {
			to.Ended(e.q)
		}
	}
	clear(l.events)
	l.events = l.events[:0]
}

// meter counts.
type meter struct {
	now              units.Time
	running, waiting int
	busy             bool
	load             Load
	parts            int64   // of tokens generated
	kv, compute      float64 // blocks × fine units and fine units, of the devices' time
	kvBefore         float64 // the same in nanoseconds, before the last change of speed
	computeBefore    float64
}

// to moves time on, with everything as it is.
func (m *meter) to(t units.Time) {
	d := t.Sub(m.now)
	if d <= 0 {
		return
	}
	m.now = t
	m.load.RunningTime += units.Duration(m.running) * d
	m.load.WaitingTime += units.Duration(m.waiting) * d
	if m.busy {
		m.load.Busy += d
	}
}

// spent counts so much of the devices' time with so many blocks in use.
func (m *meter) spent(u int64, used int, compute bool) {
	m.kv += float64(float64(u) * float64(used))
	if compute {
		m.compute += float64(u)
	}
}

// slower is a change of speed from the one given.
func (m *meter) slower(speed int64) {
	scale := full / float64(speed) / fine
	m.kvBefore += float64(m.kv * scale)
	m.computeBefore += float64(m.compute * scale)
	m.kv, m.compute = 0, 0
}

// read returns the counters.
func (c *core) read() Load {
	m := &c.meter
	l := m.load
	l.Running, l.Waiting = m.running, m.waiting
	l.KVTokens, l.KVUsed = int64(c.blocks)*c.block, int64(c.cache.used())*c.block
	l.Generated = m.parts / c.parts
	scale := full / float64(c.clock.speed) / fine
	l.KVTime = units.Duration((m.kvBefore + float64(m.kv*scale)) / float64(c.blocks))
	l.ComputeBound = units.Duration(m.computeBefore + float64(m.compute*scale))
	return l
}
