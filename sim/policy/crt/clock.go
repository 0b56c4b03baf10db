package crt

import (
	"sync"
	"time"

	"k8s.io/utils/clock"

	"orrery/sim/engine"
	"orrery/sim/units"
)

// Clock is a clock.Clock whose timers are events of the engine, for upstream programs that take a clock: two that end
// at one instant end in the order in which they were set.
type Clock struct {
	e *engine.Engine
	// Idle, where not nil, says that a timer never ends: it is asked when a timer is set, with the number of other timers
	// that run, on the goroutine that sets it.
	Idle func(d units.Duration, others int) bool

	mu      sync.Mutex
	touched []*timer // since the last barrier
	live    int      // timers that run and could be stopped
	running map[*timer]bool
	closed  bool
}

// NewClock returns a clock. Its sleeps and timers keep a run alive, what After returns does not.
func NewClock(e *engine.Engine) *Clock {
	c := &Clock{e: e, running: map[*timer]bool{}}
	e.OnSettled(c.settled)
	return c
}

var _ clock.Clock = (*Clock)(nil)

// timer is a clock.Timer. The clock guards it.
type timer struct {
	c          *Clock
	ch         chan time.Time
	background bool
	counted    bool // by Clock.live, while it is armed
	idle       bool // it never ends

	d       units.Duration
	armed   bool
	touched bool
	event   *engine.Event // driver only
}

// Now implements clock.PassiveClock.
func (c *Clock) Now() time.Time { return c.e.Clock() }

// Since implements clock.PassiveClock.
func (c *Clock) Since(t time.Time) units.Duration { return c.Now().Sub(t) }

// After implements clock.Clock.
func (c *Clock) After(d units.Duration) <-chan time.Time { return c.start(d, true, false).ch }

// NewTimer implements clock.Clock.
func (c *Clock) NewTimer(d units.Duration) clock.Timer { return c.start(d, false, true) }

// Sleep implements clock.Clock.
func (c *Clock) Sleep(d units.Duration) { <-c.start(d, false, false).ch }

// Tick implements clock.Clock. A tick never comes: programs that tick have no place in lockstep.
func (c *Clock) Tick(units.Duration) <-chan time.Time { return nil }

func (c *Clock) start(d units.Duration, background, counted bool) *timer {
	t := &timer{c: c, ch: make(chan time.Time, 1), background: background, counted: counted}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		t.ch <- c.e.Clock()
		return t
	}
	t.idle = counted && c.Idle != nil && c.Idle(d, c.live)
	c.running[t] = true
	t.arm(d)
	return t
}

// Close ends all timers, so that nobody waits for one any more.
func (c *Clock) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for t := range c.running {
		t.end()
	}
}

// end has the timer end now. The caller holds the clock.
func (t *timer) end() {
	t.disarm()
	delete(t.c.running, t)
	select {
	case t.ch <- t.c.e.Clock():
	default:
	}
}

// arm starts the timer. The caller holds the clock.
func (t *timer) arm(d units.Duration) {
	if t.idle {
		return
	}
	if t.counted && !t.armed {
		t.c.live++
	}
	t.d, t.armed = d, true
	t.touch()
}

// disarm stops the timer. The caller holds the clock.
func (t *timer) disarm() (was bool) {
	if was = t.armed; was {
		t.armed = false
		if t.counted {
			t.c.live--
		}
	}
	return was || t.idle
}

// touch has the driver look at the timer. The caller holds the clock.
func (t *timer) touch() {
	if !t.touched {
		t.touched = true
		t.c.touched = append(t.c.touched, t)
	}
	t.c.e.Nudge()
}

// C implements clock.Timer.
func (t *timer) C() <-chan time.Time { return t.ch }

// Stop implements clock.Timer.
func (t *timer) Stop() bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	was := t.disarm()
	delete(t.c.running, t)
	t.touch()
	return was
}

// Reset implements clock.Timer.
func (t *timer) Reset(d units.Duration) bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	was := t.disarm()
	t.idle = false
	t.c.running[t] = true
	t.arm(d)
	return was
}

// settled makes events of the timers that were set.
func (c *Clock) settled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.touched {
		t.touched = false
		c.e.Cancel(t.event)
		if !t.armed {
			continue
		}
		push := c.e.At
		if t.background {
			push = c.e.Background
		}
		t.event = push(c.e.Now().Add(max(t.d, 0)).RoundUp(), engine.PhaseObserve, "timer", func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			t.end()
		})
	}
	c.touched = c.touched[:0]
}
