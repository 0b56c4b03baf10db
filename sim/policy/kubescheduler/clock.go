package kubescheduler

import (
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// queueClock is the clock of the scheduling queue. Now never returns one instant twice, so that nothing in the queue
// is ordered by Go's map order. Its timers and tickers fire when the driver says so; in upstream they only pace the
// flush of the back-off queue.
type queueClock struct {
	clock.RealClock // the bubble's virtual time
	mu              sync.Mutex
	last            time.Time
	pacer           chan time.Time // what upstream's flush loop waits for
}

func (c *queueClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.RealClock.Now()
	if !now.After(c.last) {
		now = c.last.Add(1)
	}
	c.last = now
	return now
}

func (c *queueClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

func (c *queueClock) NewTimer(time.Duration) clock.Timer { return c.newPacer() }

func (c *queueClock) NewTicker(time.Duration) clock.Ticker { return tickerPacer{c.newPacer()} }

func (c *queueClock) newPacer() pacer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pacer = make(chan time.Time, 1)
	return pacer{c.pacer}
}

// tick lets the flush loop run once. It reports false when the loop does not wait yet.
func (c *queueClock) tick() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pacer == nil {
		return false
	}
	select {
	case c.pacer <- c.last:
	default: // the loop has not taken the previous tick
	}
	return true
}

type pacer struct{ c chan time.Time }

func (p pacer) C() <-chan time.Time      { return p.c }
func (p pacer) Stop() bool               { return true }
func (p pacer) Reset(time.Duration) bool { return true }

type tickerPacer struct{ p pacer }

func (t tickerPacer) C() <-chan time.Time { return t.p.c }
func (t tickerPacer) Stop()               {}
