package engine

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Watchdog watches a bubble from outside, in wall time.
type Watchdog struct {
	// Patience is how long a run may go without executing an event before it counts as hung. 0 = DefaultPatience.
	Patience time.Duration
	// Progress is the run's progress; nil disables the watchdog.
	Progress *Progress
}

// DefaultPatience is long against the slowest single step known (announcing 10^5 nodes takes seconds).
const DefaultPatience = 3 * time.Minute

// HangError says that a bubble stopped making progress. The bubble cannot be stopped from outside: the process should
// end after reporting it.
type HangError struct {
	Patience time.Duration
	Events   uint64
	At       string
	Last     string
	// Mutexes are stacks of goroutines of the bubble that wait for a mutex: a lock held across a virtual wait stops
	// the clock, because a mutex waiter does not count as blocked.
	Mutexes []string
	// Stacks holds every goroutine's stack.
	Stacks string
}

// Error names the state in which the run hangs.
func (h *HangError) Error() string {
	why := "no goroutine waits for a mutex; upstream code may be spinning"
	if n := len(h.Mutexes); n > 0 {
		why = fmt.Sprintf("%d goroutine(s) wait for a mutex that is held across a virtual wait; the first:\n%s",
			n, h.Mutexes[0])
	}
	return fmt.Sprintf("the simulation hangs: no event for %s of wall time at simulated %s after %d events, during %q; %s",
		h.Patience, h.At, h.Events, h.Last, why)
}

// Bubble runs fn in a fresh bubble of virtual time and returns its error. A panic of fn is returned as an error with
// its stack. When the watchdog finds the bubble hung, Bubble returns a *HangError and leaves the bubble behind.
func Bubble(w Watchdog, fn func() error) error {
	// os/signal starts its goroutine on first use; that must not happen inside a bubble (upstream's cache debugger
	// listens for SIGUSR2).
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR2)
	signal.Stop(c)
	done := make(chan error, 1)
	go func() {
		var err error
		synctest.Test(new(testing.T), func(*testing.T) { err = protect(fn) })
		done <- err
	}()
	if w.Progress == nil {
		return <-done
	}
	return w.watch(done)
}

func protect(fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return fn()
}

func (w Watchdog) watch(done <-chan error) error {
	if w.Patience == 0 {
		w.Patience = DefaultPatience
	}
	tick := time.NewTicker(w.Patience / 8)
	defer tick.Stop()
	last, since := w.Progress.Events.Load(), time.Now()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
		}
		if n := w.Progress.Events.Load(); n != last {
			last, since = n, time.Now()
		} else if time.Since(since) >= w.Patience {
			return w.hang(last)
		}
	}
}

func (w Watchdog) hang(events uint64) *HangError {
	buf := make([]byte, 16<<20)
	stacks := string(buf[:runtime.Stack(buf, true)])
	h := &HangError{Patience: w.Patience, Events: events, Last: w.Progress.Last(), Stacks: stacks,
		At: time.Duration(w.Progress.Now.Load()).String()}
	for _, g := range strings.Split(stacks, "\n\n") {
		head, _, _ := strings.Cut(g, "\n")
		if strings.Contains(head, "synctest bubble") && strings.Contains(head, "Mutex") {
			h.Mutexes = append(h.Mutexes, g)
		}
	}
	return h
}
