package serving

import (
	"orrery/sim/plan"
	"orrery/sim/units"
)

// Fast is a Replica that jumps from one change of the batch to the next. Its rules are the reference's, and so are its
// events, to the instant.
//
// Between two changes all sequences decode, so that their context grows by the same amount every iteration. An
// iteration's time is linear in it, and so the times of a run of iterations are sums in closed form. When sequences end
// is known in iterations of decoding, which does not depend on time: a heap has them in that order. Blocks of the cache
// are counted by residues: how many sequences will need a new block in how many iterations. A change costs the
// logarithm of the batch.
type Fast struct {
	core
	phase phase
	at    units.Time // forming: the instant
	start int64      // of the run, on the clock

	// The run: iterations without prompts, or one with prompts.
	iterations  int64
	first, more int64 // the first one's time, and how much longer each is than the one before
	compute     bool
	decoding    bool // the batch decodes in it

	end     units.Time // of the run, when it has endOf iterations
	endOf   int64
	jumps   int64    // runs so far
	decoded int64    // iterations of decoding so far
	batch   int      // sequences that decode
	context int64    // sum of seq.offset, without proposed tokens
	left    int64    // what they have to generate, in parts, at decoded = 0
	classes []int32  // sequences by seq.offset modulo a block
	some    []uint64 // a bit for each class that has any
	ends    finishes // those that decode

	running, waiting list
	partial          *seq // its prompt is computed in pieces; the last of running
	chunks           []piecework
	aborted          []*seq // that still run, in the order of admission
	order            uint64
	promised         int   // blocks that running sequences may still need; kept when they must get them
	blocked          bool  // the first that waits found no room, and will not before something changes
	pinning          bool  // it would keep pieces that are free now; without them it may fit
	refused          *seq  // who found none
	full             bool  // Reference's look.full
	stale            int   // Reference's look.stale
	long             int   // those that decode with more to go than SGLang expects
	peaks            int   // of those that run
	short            bool  // TGI: too few can be let in together, and others that come change nothing
	ratio, ratioAt   int64 // SGLang's, and decoded when it was that
	prefilled        int64
	interrupt        bool
	keys             []rank // memory for order
	seen             map[uint64]bool
	bin              []*seq
}

// seq is a sequence in the fast replica.
type seq struct {
	q          *Sequence
	prev, next *seq
	order      uint64
	place      int // in ends
	last       int64
	offset     int64 // parts of tokens it has in the cache in an iteration, less decoded × gain
	entered    int64 // decoded when it began to decode
	from       int   // tokens generated then
	target     int
	done       int
	blocks     int // before it decodes
	shared     int
	peak       int
	held       []*piece
	named      int
	name       uint64
	decoding   bool
	resident   bool
	received   bool
	aborted    bool
	long       bool // counted in Fast.long
}

type piecework struct {
	s      *seq
	tokens int
}

// New returns the replica of a spec.
func New(s Spec) (Replica, error) {
	if s.Engine.Preset == plan.EngineBatch {
		return NewBatch(s)
	}
	step, kvTokens, err := modelled(&s)
	if err != nil {
		return nil, err
	}
	r, err := newFast(&s, step, kvTokens)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func newFast(s *Spec, step stepper, kvTokens int64) (*Fast, error) {
	c, err := newCore(s, step, kvTokens)
	if err != nil {
		return nil, err
	}
	f := &Fast{core: *c, ratio: ratioFirst, seen: map[uint64]bool{}}
	f.classes = make([]int32, f.block*f.parts)
	f.some = make([]uint64, (len(f.classes)+63)/64)
	return f, nil
}

// Submit implements Replica.
func (f *Fast) Submit(at units.Time, q *Sequence) bool {
	f.advance(at, &f.late)
	ok, done := f.accept(at, q)
	if !ok || done {
		return ok
	}
	s := f.fresh()
	s.q, s.target, s.peak, s.received = q, q.Input, f.peak(q), q.Received
	q.state = s
	f.waiting.pushBack(s)
	f.meter.waiting++
	if f.phase == idle {
		f.phase, f.at = forming, at.RoundUp()
		f.clock.anchor, f.start = f.at, 0
	}
	f.arrived(at)
	return true
}

func (f *Fast) fresh() *seq {
	if n := len(f.bin); n > 0 {
		s := f.bin[n-1]
		f.bin = f.bin[:n-1]
		return s
	}
	return &seq{}
}

// forget puts a sequence that is gone aside, to be used again.
func (f *Fast) forget(s *seq) {
	*s = seq{held: s.held[:0]}
	f.bin = append(f.bin, s)
}

// Abort implements Replica.
func (f *Fast) Abort(at units.Time, q *Sequence) {
	f.advance(at, &f.late)
	s, _ := q.state.(*seq)
	if s == nil {
		return
	}
	q.state = nil
	if s.resident {
		f.sync()
		if s.decoding {
			q.Generated = f.generated(s)
		}
		own := *q // the owner may use it again before the iteration ends
		s.q, s.aborted = &own, true
		f.aborted = append(f.aborted, s)
		for i := len(f.aborted) - 1; i > 0 && f.aborted[i-1].order > s.order; i-- {
			f.aborted[i-1], f.aborted[i] = s, f.aborted[i-1]
		}
		f.cut(at)
		return
	}
	if f.refused == s || f.short || f.preset == plan.EngineTGI {
		f.blocked, f.short = false, false
		f.cut(at)
	}
	f.waiting.remove(s)
	f.meter.waiting--
	f.forget(s)
}

// Advance implements Replica.
func (f *Fast) Advance(to units.Time, tell Events) {
	if len(f.late.events) > 0 {
		f.late.tell(tell)
	}
	f.advance(to, tell)
}

func (f *Fast) advance(to units.Time, tell Events) {
	for {
		switch f.phase {
		case idle:
			f.meter.to(to)
			return
		case forming:
			if f.at >= to {
				f.meter.to(to)
				return
			}
			f.meter.to(f.at)
			f.form()
		case working:
			end := f.until()
			if end > to {
				f.meter.to(to)
				return
			}
			f.meter.to(end)
			f.complete(end, tell)
			f.phase, f.at = forming, end
		}
	}
}

// Next implements Replica.
func (f *Fast) Next() units.Time {
	switch {
	case len(f.late.events) > 0:
		return f.meter.now
	case f.phase == forming:
		return f.at + units.Time(units.Tick)
	case f.phase == working:
		return f.until()
	}
	return Never
}

// SetSpeed implements Replica.
func (f *Fast) SetSpeed(at units.Time, millionths int64) {
	f.advance(at, &f.late)
	millionths = max(millionths, 1)
	if f.phase != idle {
		f.sync()
		passed := f.clock.passed(at)
		part := int64(0)
		if f.phase == working {
			part = max(passed-f.start, 0)
		}
		f.meter.spent(part, f.cache.used(), f.compute)
		f.meter.slower(f.clock.speed)
		f.meter.spent(-part, f.cache.used(), f.compute)
		f.start, f.clock.anchor = f.start-passed, max(f.clock.anchor, at)
	} else {
		f.meter.slower(f.clock.speed)
	}
	f.clock.speed, f.endOf = millionths, 0
}

// Load implements Replica.
func (f *Fast) Load() Load {
	if f.phase != working {
		return f.read()
	}
	f.sync()
	if f.phase != working {
		return f.read()
	}
	kept := f.meter
	f.meter.spent(max(f.clock.passed(f.meter.now)-f.start, 0), f.cache.used(), f.compute)
	l := f.read()
	f.meter = kept
	return l
}

// generated is the tokens that a decoding sequence has.
func (f *Fast) generated(s *seq) int {
	return f.grown(s.from, f.output(s.q), f.decoded-s.entered)
}
