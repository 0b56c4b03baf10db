package serving

import (
	"orrery/sim/plan"
	"orrery/sim/units"
)

// Reference is a Replica that goes through every iteration and every sequence in it, as the engines do. It is what the
// fast one is checked against.
type Reference struct {
	core
	phase      phase
	at         units.Time // forming: the instant
	start, end int64      // of the iteration, on the clock
	compute    bool
	running    []*member // in the order of admission
	waiting    []*member
	decodes    []*member // of the iteration
	chunks     []chunk
	look       look
}

// member is a sequence in the reference.
type member struct {
	q        *Sequence
	target   int // tokens to be in the cache before it can decode
	done     int // tokens of them that are
	decoding bool
	from     int   // tokens generated when decoding began
	steps    int64 // iterations of decoding
	blocks   int   // it uses, its own and shared ones
	shared   int   // blocks of them that are not its own
	held     []*piece
	named    int    // pieces of its prompt that have been named or looked for
	name     uint64 // of the last of them
	peak     int
	aborted  bool
	resident bool
	received bool // its prompt was computed elsewhere and is still in the cache
}

type chunk struct {
	m      *member
	tokens int
}

// look is what a scheduler remembers about its queue.
type look struct {
	ratio     int64 // SGLang's, millionths
	full      bool  // SGLang: somebody found no room, so that the queue is not looked at
	stale     int   // SGLang: sequences that have ended since the last step of decoding was formed
	decoded   int64 // iterations with decoding, so far
	prefilled int64 // TGI: decoded when the last prompts were computed
	interrupt bool  // TGI: the last iteration computed prompts
}

// NewReference returns the slow replica of a spec.
func NewReference(s Spec) (Replica, error) {
	if s.Engine.Preset == plan.EngineBatch {
		return NewBatch(s)
	}
	step, kvTokens, err := modelled(&s)
	if err != nil {
		return nil, err
	}
	r, err := newReference(&s, step, kvTokens)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func newReference(s *Spec, step stepper, kvTokens int64) (*Reference, error) {
	c, err := newCore(s, step, kvTokens)
	if err != nil {
		return nil, err
	}
	return &Reference{core: *c, look: look{ratio: ratioFirst}}, nil
}

// Submit implements Replica.
func (r *Reference) Submit(at units.Time, q *Sequence) bool {
	r.advance(at, &r.late)
	ok, done := r.accept(at, q)
	if !ok || done {
		return ok
	}
	m := &member{q: q, target: q.Input, peak: r.peak(q), received: q.Received}
	q.state = m
	r.waiting = append(r.waiting, m)
	r.meter.waiting++
	if r.phase == idle {
		r.phase, r.at = forming, at.RoundUp()
		r.clock.anchor, r.start, r.end = r.at, 0, 0
	}
	return true
}

// Abort implements Replica.
func (r *Reference) Abort(at units.Time, q *Sequence) {
	r.advance(at, &r.late)
	m, _ := q.state.(*member)
	if m == nil || m.aborted {
		return
	}
	q.state = nil
	if m.resident {
		own := *q // the owner may use it again before the iteration ends
		m.q, m.aborted = &own, true
		return
	}
	r.waiting = without(r.waiting, m)
	r.meter.waiting--
}

func without(list []*member, m *member) []*member {
	for i, x := range list {
		if x == m {
			return append(list[:i], list[i+1:]...)
		}
	}
	panic("serving: a sequence is not where it should be")
}

// Advance implements Replica.
func (r *Reference) Advance(to units.Time, tell Events) {
	r.late.tell(tell)
	r.advance(to, tell)
}

func (r *Reference) advance(to units.Time, tell Events) {
	for {
		switch r.phase {
		case idle:
			r.meter.to(to)
			return
		case forming:
			if r.at >= to {
				r.meter.to(to)
				return
			}
			r.meter.to(r.at)
			r.form()
		case working:
			end := r.clock.at(r.end)
			if end > to {
				r.meter.to(to)
				return
			}
			r.meter.to(end)
			r.complete(end, tell)
			r.phase, r.at = forming, end
		}
	}
}

// Next implements Replica.
func (r *Reference) Next() units.Time {
	switch {
	case len(r.late.events) > 0:
		return r.meter.now
	case r.phase == forming:
		return r.at + units.Time(units.Tick)
	case r.phase == working:
		return r.clock.at(r.end)
	}
	return Never
}

// SetSpeed implements Replica.
func (r *Reference) SetSpeed(at units.Time, millionths int64) {
	r.advance(at, &r.late)
	millionths = max(millionths, 1)
	if r.phase != idle {
		passed := r.clock.passed(at)
		part := int64(0)
		if r.phase == working {
			part = max(passed-r.start, 0)
		}
		r.meter.spent(part, r.cache.used(), r.compute)
		r.meter.slower(r.clock.speed)
		r.meter.spent(-part, r.cache.used(), r.compute)
		r.start, r.end, r.clock.anchor = r.start-passed, r.end-passed, max(r.clock.anchor, at)
	} else {
		r.meter.slower(r.clock.speed)
	}
	r.clock.speed = millionths
}

// Load implements Replica.
func (r *Reference) Load() Load {
	if r.phase != working {
		return r.read()
	}
	kept := r.meter
	r.meter.spent(max(r.clock.passed(r.meter.now)-r.start, 0), r.cache.used(), r.compute)
	l := r.read()
	r.meter = kept
	return l
}

// complete ends an iteration.
func (r *Reference) complete(at units.Time, tell Events) {
	r.meter.spent(r.end-r.start, r.cache.used(), r.compute)
	r.start = r.end
	if r.start > slipBeyond {
		n := r.clock.slip(r.start)
		r.start -= n
		r.end -= n
	}
	r.meter.load.Iterations++
	for _, m := range r.decodes {
		m.steps++
		r.meter.parts += r.gain
		q, out := m.q, r.output(m.q)
		if !m.aborted {
			q.Generated = r.grown(m.from, out, m.steps)
		}
		if n := r.rules.steps(m.from, out); m.steps == n {
			r.meter.parts += int64(out-m.from)*r.parts - n*r.gain
			r.look.stale++
			r.leave(m, at, tell)
		}
	}
	if len(r.decodes) > 0 {
		r.look.decoded++
	}
	for _, c := range r.chunks {
		r.computed(c.m, c.tokens, at, tell)
	}
}

// computed ends a chunk of a prompt.
func (r *Reference) computed(m *member, tokens int, at units.Time, tell Events) {
	q := m.q
	r.meter.load.Prefilled += int64(tokens)
	m.done += tokens
	if r.naming == namedChunk || r.naming == namedPrompt && m.done >= m.target {
		r.name(m, m.done)
	}
	if m.done < m.target {
		return
	}
	r.meter.parts += r.parts
	m.decoding, m.steps, m.from = true, 0, m.target-q.Input+1
	if !m.aborted {
		if q.Generated = m.from; m.from == 1 {
			q.First = at
			tell.First(q)
		}
	}
	if m.from >= r.output(q) {
		r.look.full = false
		r.leave(m, at, tell)
	}
}

// leave ends a sequence.
func (r *Reference) leave(m *member, at units.Time, tell Events) {
	r.remove(m)
	if m.aborted {
		return
	}
	m.q.Ended, m.q.state = at, nil
	tell.Ended(m.q)
}

// remove takes a sequence out of those that run. Its own blocks are free before the pieces it shares, and these from
// the last to the first, so that the beginning of a prompt is kept longest.
func (r *Reference) remove(m *member) {
	if r.naming == namedEnd && m.decoding {
		r.name(m, m.target)
	}
	r.running = without(r.running, m)
	r.meter.running--
	m.resident = false
	r.cache.give(m.blocks - m.shared)
	for i := len(m.held) - 1; i >= 0; i-- {
		r.cache.letGo(m.held[i])
	}
	m.held = m.held[:0]
	m.blocks, m.shared, m.named, m.name, m.done, m.decoding = 0, 0, 0, 0, 0, false
}
