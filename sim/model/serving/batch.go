package serving

import (
	"fmt"
	"math/bits"
	"math/rand/v2"

	"orrery/sim/plan"
	"orrery/sim/rng"
	"orrery/sim/units"
)

// Batch is a Replica of a classic model behind a dynamic batcher (Triton Inference Server, dynamic_batching). Requests
// wait in one queue. When an instance of the model is free, a batch goes to it as soon as it is full or its oldest
// request has waited the longest delay; with no delay whatever waits goes at once. Requests of one instant are batched
// together.
//
// A batch's answers come together at its end, so that the first token's instant is the last one's.
type Batch struct {
	model     plan.BatchModel
	draws     *rand.Rand
	speed     int64 // millionths
	instances []instance
	queue     []*item // from head on; those that were aborted have no sequence
	head      int
	meter     meter
	late      late
	busy      int // instances
}

type instance struct {
	end   units.Time // Never = free
	items []*item
}

type item struct {
	q  *Sequence
	at units.Time
}

// NewBatch returns the replica of a spec with plan.EngineBatch.
func NewBatch(s Spec) (Replica, error) {
	m := s.Engine.Batch
	switch {
	case m == nil:
		return nil, fmt.Errorf("preset %s needs a batch model", plan.EngineBatch)
	case m.MaxBatch < 1 || m.Instances < 1:
		return nil, fmt.Errorf("batches of %d and %d instances: both are at least 1", m.MaxBatch, m.Instances)
	case m.Base < 0 || m.PerItem < 0 || m.PerToken < 0 || m.MaxDelay < 0 || m.CV < 0:
		return nil, fmt.Errorf("times and coefficients of variation of a batch model are at least 0")
	case m.Exponential && m.CV > 0:
		return nil, fmt.Errorf("an exponential distribution has a coefficient of variation of its own; remove cv or " +
			"exponential")
	}
	b := &Batch{model: *m, draws: rng.New(s.Seed).Stream("batch times"), speed: full,
		instances: make([]instance, m.Instances)}
	for i := range b.instances {
		b.instances[i].end = Never
	}
	return b, nil
}

// Submit implements Replica.
func (b *Batch) Submit(at units.Time, q *Sequence) bool {
	b.advance(at, &b.late)
	q.Submitted, q.Begun, q.First, q.Ended = at, Never, Never, Never
	q.Cached, q.Generated, q.Preempted, q.Refused, q.state = 0, 0, 0, "", nil
	if q.Input < 1 || q.Output < 1 {
		q.Refused = fmt.Sprintf("%d input and %d output tokens: both are at least 1", q.Input, q.Output)
		return false
	}
	it := &item{q, at}
	q.state = it
	b.queue = append(b.queue, it)
	b.meter.waiting++
	return true
}

// Abort implements Replica. A batch that runs is not shortened.
func (b *Batch) Abort(at units.Time, q *Sequence) {
	b.advance(at, &b.late)
	it, _ := q.state.(*item)
	if it == nil {
		return
	}
	q.state, it.q = nil, nil
	if q.Begun == Never {
		b.meter.waiting--
	}
}

// Advance implements Replica.
func (b *Batch) Advance(to units.Time, tell Events) {
	b.late.tell(tell)
	b.advance(to, tell)
}

func (b *Batch) advance(to units.Time, tell Events) {
	for {
		i, end := b.earliest()
		send := b.dispatch()
		switch {
		case end <= send && end <= to:
			b.meter.to(end)
			b.complete(i, end, tell)
		case send < end && send < to:
			b.meter.to(send)
			b.start(send)
		default:
			b.meter.to(to)
			return
		}
	}
}

// earliest is the instance that is done first, and when.
func (b *Batch) earliest() (int, units.Time) {
	best, end := -1, Never
	for i := range b.instances {
		if e := b.instances[i].end; e < end {
			best, end = i, e
		}
	}
	return best, end
}

// dispatch is when the next batch starts, if nobody comes; Never while no instance is free.
func (b *Batch) dispatch() units.Time {
	for b.head < len(b.queue) && b.queue[b.head].q == nil {
		b.pop()
	}
	switch {
	case b.meter.waiting == 0 || b.busy == len(b.instances):
		return Never
	case b.meter.waiting >= b.model.MaxBatch:
		return b.meter.now.RoundUp()
	}
	return max(b.queue[b.head].at.Add(b.model.MaxDelay), b.meter.now).RoundUp()
}

func (b *Batch) pop() *item {
	it := b.queue[b.head]
	b.queue[b.head] = nil
	if b.head++; b.head > 64 && 2*b.head > len(b.queue) {
		n := copy(b.queue, b.queue[b.head:])
		clear(b.queue[n:])
		b.queue, b.head = b.queue[:n], 0
	}
	return it
}

// start sends a batch to a free instance.
func (b *Batch) start(at units.Time) {
	i := 0
	for b.instances[i].end != Never {
		i++
	}
	x := &b.instances[i]
	longest := 0
	for len(x.items) < b.model.MaxBatch && b.meter.waiting > 0 {
		it := b.pop()
		if it.q == nil {
			continue
		}
		x.items = append(x.items, it)
		it.q.Begun = at
		longest = max(longest, it.q.Input)
		b.meter.waiting--
	}
	n := units.Duration(len(x.items))
	mean := b.model.Base + n*b.model.PerItem + units.Duration(longest)*b.model.PerToken
	x.end = b.after(at, max(b.draw(mean), units.Tick))
	b.meter.running += len(x.items)
	b.busy++
	b.meter.busy = true
}

// after is when so much of an instance's own time has passed.
func (b *Batch) after(at units.Time, d units.Duration) units.Time {
	if b.speed == full {
		return at.Add(d).RoundUp()
	}
	return at.Add(scaled(d, full, b.speed)).RoundUp()
}

// scaled is d × by ÷ of, rounded up.
func scaled(d units.Duration, by, of int64) units.Duration {
	hi, lo := bits.Mul64(uint64(d), uint64(by))
	if hi >= uint64(of) {
		return units.Duration(Never / 2)
	}
	q, r := bits.Div64(hi, lo, uint64(of))
	if r > 0 {
		q++
	}
	return units.Duration(min(q, uint64(Never/2)))
}

// draw is the time of a batch.
func (b *Batch) draw(mean units.Duration) units.Duration {
	switch {
	case b.model.Exponential:
		return units.Duration(float64(mean) * exponential(b.draws))
	case b.model.CV > 0:
		shape := 1 / float64(b.model.CV*b.model.CV)
		return units.Duration(float64(mean) * gamma(b.draws, shape) / shape)
	}
	return mean
}

// complete ends the batch of an instance.
func (b *Batch) complete(i int, at units.Time, tell Events) {
	x := &b.instances[i]
	x.end = Never
	b.busy--
	b.meter.busy = b.busy > 0
	b.meter.running -= len(x.items)
	b.meter.load.Iterations++
	for k, it := range x.items {
		x.items[k] = nil
		q := it.q
		if q == nil {
			continue
		}
		q.First, q.Ended, q.Generated, q.state = at, at, q.Output, nil
		b.meter.load.Prefilled += int64(q.Input)
		b.meter.load.Generated += int64(q.Output)
		tell.First(q)
		tell.Ended(q)
	}
	x.items = x.items[:0]
}

// Next implements Replica.
func (b *Batch) Next() units.Time {
	if len(b.late.events) > 0 {
		return b.meter.now
	}
	_, end := b.earliest()
	if d := b.dispatch(); d < Never {
		end = min(end, d+units.Time(units.Tick))
	}
	return end
}

// SetSpeed implements Replica.
func (b *Batch) SetSpeed(at units.Time, millionths int64) {
	b.advance(at, &b.late)
	millionths = max(millionths, 1)
	for i := range b.instances {
		if x := &b.instances[i]; x.end != Never {
			x.end = at.Add(scaled(x.end.Sub(at), b.speed, millionths)).RoundUp()
		}
	}
	b.speed = millionths
}

// Load implements Replica. A classic model has no KV cache.
func (b *Batch) Load() Load {
	l := b.meter.load
	l.Running, l.Waiting = b.meter.running, b.meter.waiting
	return l
}
