// Package workqueue is client-go's work queue in lockstep with the engine: an upstream controller whose queue it
// is gets one item at a time, as an event of its own, and the next one when it has finished with the first and
// everybody is quiescent. Delays are events, too, so that two items of one instant come in the order in which they
// were added and not as Go's timers fire.
package workqueue

import (
	"fmt"
	"slices"
	"sync"
	"time"

	upstream "k8s.io/client-go/util/workqueue"

	"orrery/sim/engine"
)

// Queue implements client-go's TypedRateLimitingInterface for a controller with one worker.
type Queue[T comparable] struct {
	e       *engine.Engine
	name    string
	limiter upstream.TypedRateLimiter[T]
	grant   chan struct{}
	down    chan struct{}

	mu      sync.Mutex
	list    []T
	dirty   map[T]bool // to be processed
	busy    map[T]bool // being processed
	delayed []wait[T]  // since the last barrier
	idle    bool       // the worker waits in Get
	shut    bool

	timers map[T]*engine.Event // driver only
	next   *engine.Event       // driver only
}

// wait is an item that comes later.
type wait[T comparable] struct {
	item T
	d    time.Duration
}

// New returns a queue. Failed items come again after base, doubled each time, at most most.
func New[T comparable](e *engine.Engine, name string, base, most time.Duration) *Queue[T] {
	q := &Queue[T]{e: e, name: name, grant: make(chan struct{}), down: make(chan struct{}), dirty: map[T]bool{},
		busy: map[T]bool{}, timers: map[T]*engine.Event{},
		limiter: upstream.NewTypedItemExponentialFailureRateLimiter[T](base, most)}
	e.OnSettled(q.settled)
	return q
}

// Add implements workqueue.TypedInterface: an item that waits is not added again, one in work comes again.
func (q *Queue[T]) Add(item T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.shut || q.dirty[item] {
		return
	}
	q.dirty[item] = true
	if !q.busy[item] {
		q.list = append(q.list, item)
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
	q.idle = true
	q.mu.Unlock()
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
	q.busy[item] = true
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
	if d <= 0 {
		q.Add(item)
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.delayed = append(q.delayed, wait[T]{item, d})
}

// AddRateLimited implements workqueue.TypedRateLimitingInterface.
func (q *Queue[T]) AddRateLimited(item T) { q.AddAfter(item, q.limiter.When(item)) }

// Forget implements workqueue.TypedRateLimitingInterface.
func (q *Queue[T]) Forget(item T) { q.limiter.Forget(item) }

// NumRequeues implements workqueue.TypedRateLimitingInterface.
func (q *Queue[T]) NumRequeues(item T) int { return q.limiter.NumRequeues(item) }

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

// settled turns delays into events and grants the worker its next item.
func (q *Queue[T]) settled() {
	q.mu.Lock()
	delayed, ready := q.delayed, q.idle && len(q.list) > 0
	q.delayed = nil
	q.mu.Unlock()
	for _, w := range delayed {
		at := q.e.Now().Add(w.d).RoundUp()
		if t := q.timers[w.item]; t.Pending() {
			if t.At() <= at {
				continue
			}
			q.e.Cancel(t)
		}
		q.timers[w.item] = q.e.At(at, engine.PhaseObserve, fmt.Sprintf("%s: %v", q.name, w.item), func() {
			delete(q.timers, w.item)
			q.Add(w.item)
		})
	}
	if ready && !q.next.Pending() {
		q.next = q.e.At(q.e.Now(), engine.PhaseObserve, q.name, func() {
			q.mu.Lock()
			q.idle = false
			q.mu.Unlock()
			q.grant <- struct{}{}
		})
	}
}
