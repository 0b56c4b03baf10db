// Package workqueue is client-go's work queue in lockstep with the engine: an upstream controller whose queue it
// is gets one item at a time, as an event of its own, and the next one when it has finished with the first and
// everybody is quiescent. Delays are events, too, so that two items of one instant come in the order in which they
// were added and not as Go's timers fire.
package workqueue

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	upstream "k8s.io/client-go/util/workqueue"

	"orrery/sim/engine"
	"orrery/sim/units"
)

// Queue implements client-go's TypedRateLimitingInterface. It may have several workers, which take turns: a grant
// goes to any one of those that wait, and they are all alike.
type Queue[T comparable] struct {
	e     *engine.Engine
	name  string
	o     Options[T]
	grant chan struct{}
	down  chan struct{}

	mu      sync.Mutex
	list    []T
	dirty   map[T]bool       // to be processed
	busy    map[T]units.Time // being processed, since when
	delayed []wait[T]        // since the last barrier
	idle    int              // workers that wait in Get
	shut    bool
	polls   map[T]int  // so many times in a row
	looks   map[T]look // items that wait only because they were to come again

	timers map[T]timer   // driver only
	next   *engine.Event // driver only
	begun  bool          // driver only
}

// Options of a queue.
type Options[T comparable] struct {
	// Limiter says when an item comes again that AddRateLimited is called for. Required.
	Limiter upstream.TypedRateLimiter[T]
	// BackgroundRetries makes AddRateLimited, and BackgroundDelays makes AddAfter, wait in the background: what comes back
	// only to look again does not keep a run alive in which nothing else happens.
	BackgroundRetries, BackgroundDelays bool
	// LongRetry, if not 0, makes AddRateLimited wait in the background when the limiter says so much or more.
	LongRetry time.Duration
	// Poll is for controllers whose items, having been processed without an error, come again at the pace of the limiter
	// just to look at the clock: AddRateLimited followed by Forget. Such an item comes again after Poll, and after Polls
	// times of that not any more until somebody else adds it. 0 = as upstream has it, for ever.
	Poll  time.Duration
	Polls int
	// Background, where not nil, says instead of the above which delays wait in the background. failed is set for those of
	// AddRateLimited.
	Background func(d time.Duration, failed bool) bool
	// Still, where not nil, says that an item which comes again only because its processing asked for that (AddAfter) need
	// not be processed: nothing that decides has changed since the last time it was, which began at the given instant. It
	// then comes again after the same delay. Driver only.
	Still func(since units.Time) bool
	// Sort puts what was added before the run began in the order of its text: for a controller with several
	// sources, which Go starts in any order.
	Sort bool
}

// wait is an item that comes later.
type wait[T comparable] struct {
	item       T
	d          time.Duration
	background bool
	limited    bool       // by AddRateLimited
	since      units.Time // when the processing began that asked for it; < 0 = none did
}

// look is an item that comes again after a delay: the delay, and when the processing began that asked for it.
type look struct {
	after time.Duration
	since units.Time
}

// timer is the event that adds an item.
type timer struct {
	*engine.Event
	background bool
}

// New returns a queue. Failed items come again after base, doubled each time, at most most.
func New[T comparable](e *engine.Engine, name string, base, most time.Duration) *Queue[T] {
	return With(e, name, Options[T]{Limiter: upstream.NewTypedItemExponentialFailureRateLimiter[T](base, most)})
}

// With returns a queue with options.
func With[T comparable](e *engine.Engine, name string, o Options[T]) *Queue[T] {
	q := &Queue[T]{e: e, name: name, o: o, grant: make(chan struct{}), down: make(chan struct{}), dirty: map[T]bool{},
		busy: map[T]units.Time{}, polls: map[T]int{}, looks: map[T]look{}, timers: map[T]timer{}}
	e.OnSettled(q.settled)
	return q
}

// Add implements workqueue.TypedInterface: an item that waits is not added again, one in work comes again.
func (q *Queue[T]) Add(item T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.polls, item)
	delete(q.looks, item)
	q.add(item)
}

// add is Add for callers that hold mu.
func (q *Queue[T]) add(item T) {
	if q.shut || q.dirty[item] {
		return
	}
	q.dirty[item] = true
	if _, busy := q.busy[item]; !busy {
		q.list = append(q.list, item)
		q.e.Nudge()
	}
}

// Len implements workqueue.TypedInterface.
func (q *Queue[T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list)
}

// Get implements workqueue.TypedInterface: it waits until the driver grants an item.
func (q *Queue[T]) Get() (item T, shutdown bool) {
	q.mu.Lock()
	q.idle++
	q.mu.Unlock()
	q.e.Nudge()
	select {
	case <-q.grant:
	case <-q.down:
		return item, true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	item = q.list[0]
	q.list = slices.Delete(q.list, 0, 1)
	delete(q.dirty, item)
	delete(q.looks, item)
	q.busy[item] = q.e.Now()
	return item, false
}

// Done implements workqueue.TypedInterface.
func (q *Queue[T]) Done(item T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.busy, item)
	if q.dirty[item] {
		q.list = append(q.list, item)
	}
}

// AddAfter implements workqueue.TypedDelayingInterface: of several delays of an item the one that ends first counts.
func (q *Queue[T]) AddAfter(item T, d time.Duration) {
	q.later(wait[T]{item: item, d: d, background: q.o.BackgroundDelays})
}

// AddRateLimited implements workqueue.TypedRateLimitingInterface.
func (q *Queue[T]) AddRateLimited(item T) {
	d := q.o.Limiter.When(item)
	q.later(wait[T]{item: item, d: d, limited: true,
		background: q.o.BackgroundRetries || q.o.LongRetry > 0 && d >= q.o.LongRetry})
}

// later adds an item after a while.
func (q *Queue[T]) later(w wait[T]) {
	if w.d <= 0 {
		q.Add(w.item)
		return
	}
	if q.o.Background != nil {
		w.background = q.o.Background(w.d, w.limited)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	w.since = -1
	if since, busy := q.busy[w.item]; busy && !w.limited {
		w.since = since
	}
	q.delayed = append(q.delayed, w)
	q.e.Nudge()
}

// Forget implements workqueue.TypedRateLimitingInterface.
func (q *Queue[T]) Forget(item T) {
	q.o.Limiter.Forget(item)
	if q.o.Poll == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.IndexFunc(q.delayed, func(w wait[T]) bool { return w.limited && w.item == item })
	switch {
	case i < 0:
	case q.polls[item] < q.o.Polls:
		q.polls[item]++
		q.delayed[i].d = q.o.Poll
	default:
		q.delayed = slices.Delete(q.delayed, i, i+1)
	}
}

// NumRequeues implements workqueue.TypedRateLimitingInterface.
func (q *Queue[T]) NumRequeues(item T) int { return q.o.Limiter.NumRequeues(item) }

// ShutDown implements workqueue.TypedInterface.
func (q *Queue[T]) ShutDown() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.shut {
		q.shut = true
		close(q.down)
	}
}

// ShutDownWithDrain implements workqueue.TypedInterface.
func (q *Queue[T]) ShutDownWithDrain() { q.ShutDown() }

// ShuttingDown implements workqueue.TypedInterface.
func (q *Queue[T]) ShuttingDown() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.shut
}

// settled turns delays into events and grants a worker the next item.
func (q *Queue[T]) settled() {
	q.mu.Lock()
	if !q.begun {
		q.begun = true
		if q.o.Sort {
			slices.SortStableFunc(q.list, func(a, b T) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
	}
	delayed, ready := q.delayed, q.idle > 0 && len(q.list) > 0
	q.delayed = nil
	q.mu.Unlock()
	for _, w := range delayed {
		q.wait(w)
	}
	if ready && !q.next.Pending() {
		q.next = q.e.At(q.e.Now(), engine.PhaseObserve, q.name, func() {
			if q.passed() {
				return
			}
			q.mu.Lock()
			q.idle--
			q.mu.Unlock()
			q.grant <- struct{}{}
		})
	}
}

// passed puts off the first item that waits, when it need not be processed. Driver only.
func (q *Queue[T]) passed() bool {
	if q.o.Still == nil {
		return false
	}
	q.mu.Lock()
	item := q.list[0]
	l, ok := q.looks[item]
	if ok = ok && l.since >= 0 && q.o.Still(l.since); ok {
		q.list = slices.Delete(q.list, 0, 1)
		delete(q.dirty, item)
		delete(q.looks, item)
	}
	q.mu.Unlock()
	if !ok {
		return false
	}
	w := wait[T]{item: item, d: l.after, background: q.o.BackgroundDelays, since: l.since}
	if q.o.Background != nil {
		w.background = q.o.Background(w.d, false)
	}
	q.wait(w)
	return true
}

// wait schedules an item that comes later. Driver only.
func (q *Queue[T]) wait(w wait[T]) {
	at := q.e.Now().Add(w.d).RoundUp()
	if t := q.timers[w.item]; t.Pending() {
		if t.At() <= at && (w.background || !t.background) {
			return
		}
		at, w.background = min(at, t.At()), w.background && t.background
		q.e.Cancel(t.Event)
	}
	schedule := q.e.At
	if w.background {
		schedule = q.e.Background
	}
	q.timers[w.item] = timer{schedule(at, engine.PhaseObserve, fmt.Sprintf("%s: %v", q.name, w.item), func() {
		delete(q.timers, w.item)
		q.mu.Lock()
		defer q.mu.Unlock()
		if !q.dirty[w.item] && q.o.Still != nil {
			q.looks[w.item] = look{w.d, w.since}
		}
		q.add(w.item)
	}), w.background}
}
