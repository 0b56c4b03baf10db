package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"orrery/sim/units"
)

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// inBubble runs fn with a fresh engine and fails the test on an error.
func inBubble(t *testing.T, p Params, fn func(*Engine) error) error {
	t.Helper()
	if p.Epoch.IsZero() {
		p.Epoch = epoch
	}
	return Bubble(Watchdog{}, func() error {
		e, err := New(p, nil)
		if err != nil {
			return err
		}
		return fn(e)
	})
}

// TestOrder checks the total order (time, phase, sequence) on random events against a stable sort.
func TestOrder(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		type key struct {
			at    units.Time
			phase Phase
			seq   int
		}
		var want, got []key
		err := inBubble(t, Params{}, func(e *Engine) error {
			var cancelled []*Event
			for i := range 3000 {
				k := key{units.Time(r.Int64N(40)) * units.Time(time.Second), Phase(r.IntN(int(phases))), i}
				ev := e.At(k.at, k.phase, "x", func() {
					if e.Now() != k.at {
						t.Errorf("event of %s ran at %s", k.at, e.Now())
					}
					got = append(got, k)
				})
				if r.IntN(3) == 0 {
					cancelled = append(cancelled, ev)
					continue
				}
				want = append(want, k)
			}
			for _, ev := range cancelled {
				e.Cancel(ev)
				e.Cancel(ev)
			}
			_, err := e.Run(-1)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		sort.SliceStable(want, func(i, j int) bool {
			a, b := want[i], want[j]
			return a.at < b.at || a.at == b.at && a.phase < b.phase
		})
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: events ran in another order than (time, phase, sequence)", seed)
		}
	}
}

// TestGateOrder lets many goroutines call at one instant and expects the order of their keys, at any GOMAXPROCS.
func TestGateOrder(t *testing.T) {
	for _, procs := range []int{1, 2, 8} {
		old := runtime.GOMAXPROCS(procs)
		var got []string
		err := inBubble(t, Params{}, func(e *Engine) error {
			var wg sync.WaitGroup
			e.At(0, PhaseArrive, "start", func() {
				for i := range 50 {
					wg.Go(func() {
						key := fmt.Sprintf("k%02d", (i*37)%50)
						e.Call(key, time.Millisecond, func() { got = append(got, fmt.Sprint(e.Now(), " ", key)) })
					})
				}
			})
			_, err := e.Run(-1)
			wg.Wait()
			return err
		})
		runtime.GOMAXPROCS(old)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 50 || !slices.IsSorted(got) || got[0] != "1ms k00" {
			t.Fatalf("GOMAXPROCS %d: calls not in key order: %v", procs, got)
		}
	}
}

// TestGateLimit lets many goroutines call at one instant through a limit of one call a second: their turns follow their
// keys, too.
func TestGateLimit(t *testing.T) {
	for _, procs := range []int{1, 2, 8} {
		old := runtime.GOMAXPROCS(procs)
		var got, want []string
		err := inBubble(t, Params{}, func(e *Engine) error {
			var wg sync.WaitGroup
			turn := units.Duration(0)
			limit := func() units.Duration { turn += time.Second; return turn }
			e.At(0, PhaseArrive, "start", func() {
				for i := range 20 {
					want = append(want, fmt.Sprintf("%ds k%02d", i+1, i))
					wg.Go(func() {
						key := fmt.Sprintf("k%02d", (i*7)%20)
						e.CallAfter(key, limit, func() { got = append(got, fmt.Sprintf("%ds %s", e.Now()/1e9, key)) })
					})
				}
			})
			_, err := e.Run(-1)
			wg.Wait()
			return err
		})
		runtime.GOMAXPROCS(old)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("GOMAXPROCS %d: turns not in key order: %v", procs, got)
		}
	}
}

// TestForeignTimer checks that a call made by a timer of upstream code between two events wakes the driver in time.
func TestForeignTimer(t *testing.T) {
	err := inBubble(t, Params{}, func(e *Engine) error {
		var at units.Time
		done := make(chan struct{})
		e.At(0, PhaseArrive, "spawn", func() {
			go func() {
				time.Sleep(90*time.Minute + 500)
				e.Call("late", 0, func() { at = e.Now() })
				close(done)
			}()
		})
		e.At(units.Time(5*time.Hour), PhaseArrive, "end", func() {})
		if _, err := e.Run(-1); err != nil {
			return err
		}
		<-done
		if want := units.Time(90*time.Minute + 1000); at != want {
			return fmt.Errorf("call performed at %s, want %s (the next tick of the grid)", at, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDrainedAndHorizon(t *testing.T) {
	err := inBubble(t, Params{}, func(e *Engine) error {
		polls := 0
		var poll func()
		poll = func() { polls++; e.Background(e.Now().Add(time.Second), PhaseSample, "poll", poll) }
		e.Background(0, PhaseSample, "poll", poll)
		e.At(units.Time(10*time.Second), PhaseArrive, "last", func() {})
		drained, err := e.Run(units.Time(5 * time.Second))
		if err != nil || drained || e.Now() != units.Time(5*time.Second) || polls != 6 {
			return fmt.Errorf("horizon: drained %v at %s with %d polls, err %v", drained, e.Now(), polls, err)
		}
		drained, err = e.Run(-1)
		if err != nil || !drained || e.Now() != units.Time(10*time.Second) {
			return fmt.Errorf("drain: drained %v at %s, err %v", drained, e.Now(), err)
		}
		drained, err = e.Run(units.Time(20 * time.Second))
		if err != nil || !drained || e.Now() != units.Time(20*time.Second) || polls != 21 {
			return fmt.Errorf("beyond: drained %v at %s with %d polls, err %v", drained, e.Now(), polls, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// Nothing at all: the clock still reaches the horizon.
	err = inBubble(t, Params{}, func(e *Engine) error {
		if drained, err := e.Run(units.Time(time.Hour)); err != nil || !drained || e.Now() != units.Time(time.Hour) {
			return fmt.Errorf("empty: drained %v at %s, err %v", drained, e.Now(), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLivelock(t *testing.T) {
	err := inBubble(t, Params{InstantCap: 1000}, func(e *Engine) error {
		var again func()
		again = func() { e.After(0, PhaseDecide, "again", again) }
		e.At(0, PhaseDecide, "again", again)
		_, err := e.Run(-1)
		return err
	})
	if !errors.Is(err, ErrLivelock) || !strings.Contains(err.Error(), `"again"`) {
		t.Fatalf("want a livelock error that names the event, got %v", err)
	}
}

// TestHang holds a mutex across a virtual wait, which stops the bubble's clock for ever, and expects the watchdog's
// report to name the culprit.
func TestHang(t *testing.T) {
	p := new(Progress)
	var mu sync.Mutex
	release := make(chan struct{})
	err := Bubble(Watchdog{Patience: 200 * time.Millisecond, Progress: p}, func() error {
		e, err := New(Params{Epoch: epoch}, p)
		if err != nil {
			return err
		}
		e.At(0, PhaseDecide, "hold", func() {
			go func() { mu.Lock(); <-release; mu.Unlock() }() // a channel from outside is never durably blocked
		})
		e.At(1000, PhaseDecide, "never", func() { mu.Lock(); defer mu.Unlock(); e.Now() })
		_, err = e.Run(-1)
		return err
	})
	var hang *HangError
	if !errors.As(err, &hang) {
		t.Fatalf("want a HangError, got %v", err)
	}
	if hang.Last != "hold" || hang.Stacks == "" {
		t.Errorf("report lacks the state: last %q", hang.Last)
	}
	close(release)
}

func TestPanicIsReported(t *testing.T) {
	err := inBubble(t, Params{}, func(e *Engine) error {
		e.At(0, PhaseStart, "boom", func() { panic("broken invariant") })
		_, err := e.Run(-1)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "broken invariant") {
		t.Fatalf("got %v", err)
	}
}

func BenchmarkEvent(b *testing.B) {
	_ = Bubble(Watchdog{}, func() error {
		e, err := New(Params{Epoch: epoch}, nil)
		if err != nil {
			return err
		}
		n := 0
		var next func()
		next = func() {
			if n++; n < b.N {
				e.After(time.Millisecond, PhaseArrive, "next", next)
			}
		}
		e.At(0, PhaseArrive, "next", next)
		_, err = e.Run(-1)
		return err
	})
}
