package serving

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"

	"orrery/sim/plan"
	"orrery/sim/rng"
	"orrery/sim/units"
)

// Batch is a Replica of a classic model behind a dynamic batcher, as Triton Inference Server's
// (triton-inference-server/core, commit 01ea7d9, src/dynamic_batch_scheduler.cc, GetDynamicBatch; commit 05295b7,
// src/scheduler_utils.cc, PriorityQueue). Requests wait in a queue for each level of priority. When an instance of the
// model is free, those that wait are looked at level by level, in the order of arrival, up to the largest batch: the
// largest preferred size that they fill goes at once; when the oldest of them has waited the longest delay, or there is
// no delay, all go; otherwise the batcher waits. Requests of one instant are batched together.
//
// A request that waits longer than its queue's time-out is given up with Ended and Refused set, or put behind the
// others of its level; one that finds its queue full is given up at once. A batch's answers come together at its end,
// so that the first token's instant is the last one's; with preserved order not before those of earlier batches.
type Batch struct {
	model     plan.BatchModel
	draws     *rand.Rand
	speed     int64 // millionths
	instances []instance
	levels    []level // from the most urgent
	preferred []int   // ascending
	meter     meter
	late      late
	busy      int      // instances
	held      []*group // preserved order: batches that have begun, by when
	spare     []*group
}

type instance struct {
	end   units.Time // Never = free
	group *group
}

// group is a batch.
type group struct {
	items []*item
	done  bool
}

type item struct {
	q  *Sequence // nil = it was aborted
	at units.Time
	in *fifo
}

// level is the requests of one priority that wait.
type level struct {
	plan.BatchQueue
	fresh, delayed fifo
}

// fifo is a queue of requests in the order of arrival.
type fifo struct {
	items []*item // from head on
	head  int
	live  int // that were not aborted
}

func (f *fifo) push(it *item) {
	it.in = f
	f.items = append(f.items, it)
	f.live++
}

// first is the oldest request, nil = there is none.
func (f *fifo) first() *item {
	for f.live > 0 && f.items[f.head].q == nil {
		f.drop()
	}
	if f.live == 0 {
		return nil
	}
	return f.items[f.head]
}

// pop takes the oldest request out; there must be one.
func (f *fifo) pop() *item {
	it := f.first()
	f.drop()
	f.live--
	return it
}

func (f *fifo) drop() {
	f.items[f.head] = nil
	if f.head++; f.head > 64 && 2*f.head > len(f.items) {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
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
	case m.PreserveOrder && len(m.Queues) > 1:
		return nil, fmt.Errorf("%d levels of priority and the order preserved: one of them only", len(m.Queues))
	}
	b := &Batch{model: *m, draws: rng.New(s.Seed).Stream("batch times"), speed: full,
		instances: make([]instance, m.Instances), levels: make([]level, max(len(m.Queues), 1))}
	for i := range b.instances {
		b.instances[i].end = Never
	}
	for i, q := range m.Queues {
		if q.Timeout < 0 || q.MaxSize < 0 || q.Delay && m.PreserveOrder {
			return nil, fmt.Errorf("queue of level %d: time-outs and sizes are at least 0, and nothing is put behind others "+
				"where the order is preserved", i+1)
		}
		b.levels[i].BatchQueue = q
	}
	b.preferred = slices.Clone(m.Preferred)
	slices.Sort(b.preferred)
	if n := len(b.preferred); n == 0 {
		b.preferred = []int{m.MaxBatch}
	} else if b.preferred[0] < 1 || b.preferred[n-1] > m.MaxBatch {
		return nil, fmt.Errorf("preferred batches of %v: each is between 1 and the largest batch, %d", m.Preferred,
			m.MaxBatch)
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
	l := &b.levels[min(max(q.Level, 1), len(b.levels))-1]
	if n := l.fresh.live + l.delayed.live; l.MaxSize > 0 && n >= l.MaxSize {
		q.Refused = fmt.Sprintf("%d requests wait already", n)
		q.Ended = at
		b.late.Ended(q)
		return true
	}
	it := &item{q: q, at: at}
	q.state = it
	l.fresh.push(it)
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
		it.in.live--
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
		k, over := b.expiry()
		_, send := b.dispatch()
		switch {
		case over <= end && over <= send && over <= to:
			b.meter.to(over)
			b.giveUp(k, tell)
		case end <= send && end <= to:
			b.meter.to(end)
			b.complete(i, end, tell)
		case send < end && send < over && send < to:
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

// expiry is the level that has the next request to give up, and when: the first instant at which it has waited longer
// than its time-out.
func (b *Batch) expiry() (int, units.Time) {
	best, over := -1, Never
	for i := range b.levels {
		l := &b.levels[i]
		if l.Timeout == 0 || l.Delay {
			continue
		}
		if it := l.fresh.first(); it != nil {
			if t := it.at.Add(l.Timeout).RoundUp() + units.Time(units.Tick); t < over {
				best, over = i, t
			}
		}
	}
	return best, over
}

// giveUp gives the oldest request of a level up.
func (b *Batch) giveUp(k int, tell Events) {
	l := &b.levels[k]
	q := l.fresh.pop().q
	b.meter.waiting--
	q.state = nil
	q.Refused, q.Ended = fmt.Sprintf("it waited longer than %v", l.Timeout), b.meter.now
	tell.Ended(q)
}

// dispatch is how many requests the next batch has and when it starts, if nobody comes; Never while no instance is
// free.
func (b *Batch) dispatch() (int, units.Time) {
	n := min(b.meter.waiting, b.model.MaxBatch)
	if n == 0 || b.busy == len(b.instances) {
		return 0, Never
	}
	best := 0
	for _, size := range b.preferred {
		if size <= n {
			best = size
		}
	}
	delay := b.model.MaxDelay
	now := b.meter.now.RoundUp()
	if delay == 0 {
		if best > 0 {
			n = best
		}
		return n, now
	}
	switch over := b.oldest(n).Add(delay).RoundUp(); {
	case over <= now:
		return n, now
	case best > 0:
		return best, now
	default:
		return n, over
	}
}

// oldest is when the oldest of the next n requests came.
func (b *Batch) oldest(n int) units.Time {
	at := Never
	for i := range b.levels {
		for _, f := range []*fifo{&b.levels[i].fresh, &b.levels[i].delayed} {
			if it := f.first(); it != nil && n > 0 {
				at = min(at, it.at)
				n -= f.live
			}
		}
	}
	return at
}

// next takes the request out that is to go first.
func (b *Batch) next() *item {
	for i := range b.levels {
		l := &b.levels[i]
		switch {
		case l.fresh.live > 0:
			return l.fresh.pop()
		case l.delayed.live > 0:
			return l.delayed.pop()
		}
	}
	panic("serving: more requests batched than wait")
}

// put puts those that have waited too long behind the others of their level, where that is the level's way.
func (b *Batch) put(now units.Time) {
	for i := range b.levels {
		l := &b.levels[i]
		for it := l.fresh.first(); l.Delay && l.Timeout > 0 && it != nil && now > it.at.Add(l.Timeout); {
			l.delayed.push(l.fresh.pop())
			it = l.fresh.first()
		}
	}
}

// start sends a batch to a free instance.
func (b *Batch) start(at units.Time) {
	b.put(at)
	n, _ := b.dispatch()
	i := 0
	for b.instances[i].end != Never {
		i++
	}
	g := b.group()
	longest := 0
	for range n {
		it := b.next()
		g.items = append(g.items, it)
		it.q.Begun = at
		longest = max(longest, it.q.Input)
	}
	b.meter.waiting -= n
	mean := b.model.Base + units.Duration(n)*b.model.PerItem + units.Duration(longest)*b.model.PerToken
	b.instances[i] = instance{end: b.after(at, max(b.draw(mean), units.Tick)), group: g}
	if b.model.PreserveOrder {
		b.held = append(b.held, g)
	}
	b.meter.running += n
	b.busy++
	b.meter.busy = true
}

func (b *Batch) group() *group {
	if n := len(b.spare); n > 0 {
		g := b.spare[n-1]
		b.spare = b.spare[:n-1]
		return g
	}
	return &group{}
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
	g := b.instances[i].group
	b.instances[i] = instance{end: Never}
	b.busy--
	b.meter.busy = b.busy > 0
	b.meter.running -= len(g.items)
	b.meter.load.Iterations++
	if !b.model.PreserveOrder {
		b.answer(g, at, tell)
		return
	}
	g.done = true
	for len(b.held) > 0 && b.held[0].done {
		b.answer(b.held[0], at, tell)
		b.held = slices.Delete(b.held, 0, 1)
	}
}

// answer gives the answers of a batch.
func (b *Batch) answer(g *group, at units.Time, tell Events) {
	for k, it := range g.items {
		g.items[k] = nil
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
	g.items, g.done = g.items[:0], false
	b.spare = append(b.spare, g)
}

// Next implements Replica.
func (b *Batch) Next() units.Time {
	if len(b.late.events) > 0 {
		return b.meter.now
	}
	_, end := b.earliest()
	_, over := b.expiry()
	end = min(end, over)
	if _, d := b.dispatch(); d < Never {
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
