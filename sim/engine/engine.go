// Package engine is the discrete-event core: one event heap with a total order, one driver goroutine, one virtual
// clock shared with whatever upstream code runs beside it.
//
// A run lives in one testing/synctest bubble (see Bubble). Inside it time.Now, timers and sleeps of upstream code are
// virtual, and synctest.Wait is the barrier "everything upstream is quiescent". The driver takes the first event,
// applies it, waits for quiescence, and goes on; between two events it sleeps, which moves the bubble's clock.
//
// Upstream goroutines reach the world only through Call, the gate: the caller blocks, and the driver performs the call
// as an event of its own. Calls that become waiting between two barriers are put in the order of their keys, not of
// the Go scheduler's choice, so that a run repeats at any GOMAXPROCS.
//
// The package knows nothing of Kubernetes or GPUs.
package engine

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"orrery/sim/units"
)

// Phase orders events at one instant. Each precedes the next for a reason.
type Phase uint8

// The phases of one instant, in order.
const (
	PhaseFault   Phase = iota // what breaks, breaks before anything of this instant can rely on it
	PhaseRelease              // what ends, frees its devices before anything new asks for them
	PhaseArrive               // new work is seen by every decision of its own instant
	PhaseObserve              // API calls and watch deliveries: controllers see the state of this instant
	PhaseDecide               // scheduling cycles act on what was observed
	PhaseStart                // what was decided begins
	PhaseSample               // measurements see the instant's final state
	phases
)

// String returns the phase's name.
func (p Phase) String() string {
	if p >= phases {
		return fmt.Sprintf("phase(%d)", p)
	}
	return [phases]string{"fault", "release", "arrive", "observe", "decide", "start", "sample"}[p]
}

// Event is a scheduled action. It is ordered by (time, phase, sequence of scheduling).
type Event struct {
	at         units.Time
	phase      Phase
	background bool
	seq        uint64
	name       string
	fn         func() // nil once cancelled or done
}

// At returns the event's instant.
func (ev *Event) At() units.Time { return ev.at }

// Pending reports whether the event has neither run nor been cancelled.
func (ev *Event) Pending() bool { return ev != nil && ev.fn != nil }

// call is a goroutine waiting in the gate.
type call struct {
	key     string
	latency func() units.Duration
	fn      func()
	done    chan struct{}

	performed bool
}

// perform runs the call and releases its goroutine. Driver only.
func (c *call) perform() {
	c.fn()
	c.performed = true
	close(c.done)
}

// Params configures an Engine.
type Params struct {
	// Epoch is the wall-clock instant that Kubernetes objects carry at time zero. It must be after 2000-01-01 UTC, where
	// the bubble's clock starts.
	Epoch time.Time
	// InstantCap bounds the number of events at one instant (livelock guard). 0 = DefaultInstantCap.
	InstantCap int
	// Between is called on the driver before every event, when every other goroutine of the bubble waits: whatever holds
	// up the process, as a garbage collection does, holds up nothing then. Optional. It must not touch the run.
	Between func()
}

// DefaultInstantCap is far above what the largest legitimate burst needs (a million pods submitted at once cost about
// ten events each) and is reached within a minute by a loop that never lets time pass.
const DefaultInstantCap = 20_000_000

// Engine is one run's event heap and clock. All methods but Call, Clock and Progress belong to the driver goroutine.
type Engine struct {
	epoch      time.Time
	now        atomic.Int64
	heap       heap
	foreground int // scheduled events that are not background
	seq        uint64
	executed   uint64
	instantCap int
	between    func()
	atInstant  int
	settled    []func()
	stopped    error
	begun      bool
	timer      *time.Timer

	mu        sync.Mutex
	waiting   []*call
	scheduled []*call // turned into events; driver only
	wake      chan struct{}

	progress *Progress
}

// Progress is what a watchdog or progress bar outside the bubble may read at any time.
type Progress struct {
	Events atomic.Uint64
	Now    atomic.Int64 // units.Time
	state  atomic.Pointer[string]
}

// Last returns the name of the event that runs or ran last.
func (p *Progress) Last() string {
	if s := p.state.Load(); s != nil {
		return *s
	}
	return ""
}

// preparation is virtual time before time zero in which upstream code may poll and sleep while it is being built.
const preparation = time.Minute

// New returns an engine at time zero. It must be called inside Bubble. Until Run is called the bubble's clock is a
// little before the epoch, so that what upstream code waits for while it is built costs no simulated time.
func New(p Params, progress *Progress) (*Engine, error) {
	if d := time.Until(p.Epoch) - preparation; d > 0 {
		time.Sleep(d)
	} else if d < 0 {
		return nil, fmt.Errorf("epoch %s is before the virtual clock's start %s: choose a later epoch",
			p.Epoch.Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339))
	}
	if p.InstantCap == 0 {
		p.InstantCap = DefaultInstantCap
	}
	if p.Between == nil {
		p.Between = func() {}
	}
	if progress == nil {
		progress = new(Progress)
	}
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &Engine{epoch: p.Epoch, instantCap: p.InstantCap, between: p.Between, wake: make(chan struct{}, 1), timer: t,
		progress: progress}, nil
}

// Now returns the current instant.
func (e *Engine) Now() units.Time { return units.Time(e.now.Load()) }

// Clock returns the current instant as Kubernetes objects carry it. Safe for any goroutine.
func (e *Engine) Clock() time.Time { return e.epoch.Add(units.Duration(e.now.Load())).UTC() }

// Events returns the number of events executed so far.
func (e *Engine) Events() uint64 { return e.executed }

// At schedules fn at instant t, which is moved up to the engine's grid and must not be in the past. name appears in
// diagnostics only.
func (e *Engine) At(t units.Time, p Phase, name string, fn func()) *Event {
	return e.push(t, p, name, fn, false)
}

// After schedules fn d from now. A negative d is a broken invariant and panics.
func (e *Engine) After(d units.Duration, p Phase, name string, fn func()) *Event {
	return e.push(e.Now().Add(d), p, name, fn, false)
}

// Background schedules an event that does not keep the run alive: periodic checks and samples. A run in which only
// background events are left has drained.
func (e *Engine) Background(t units.Time, p Phase, name string, fn func()) *Event {
	return e.push(t, p, name, fn, true)
}

func (e *Engine) push(t units.Time, p Phase, name string, fn func(), background bool) *Event {
	if t < e.Now() {
		panic(fmt.Sprintf("engine: event %q scheduled at %s, before now %s", name, t, e.Now()))
	}
	e.seq++
	ev := &Event{at: t.RoundUp(), phase: p, background: background, seq: e.seq, name: name, fn: fn}
	if !background {
		e.foreground++
	}
	e.heap.push(ev)
	return ev
}

// Cancel withdraws an event. Cancelling nil, a done or a cancelled event does nothing.
func (e *Engine) Cancel(ev *Event) {
	if !ev.Pending() {
		return
	}
	ev.fn = nil
	if !ev.background {
		e.foreground--
	}
	e.heap.dead++
	e.heap.compact()
}

// OnSettled registers fn to run on the driver after every barrier. It may schedule events, nothing else.
func (e *Engine) OnSettled(fn func()) { e.settled = append(e.settled, fn) }

// Call performs fn on the driver goroutine, latency after now, and returns when it is done. It is for goroutines of
// upstream code; on the driver it would wait for itself. key must describe the call completely enough that two calls
// with equal keys may be performed in either order.
func (e *Engine) Call(key string, latency units.Duration, fn func()) {
	e.CallAfter(key, func() units.Duration { return latency }, fn)
}

// CallAfter is Call with a latency that depends on the calls before it, as a rate limit does. It is asked for on the
// driver goroutine, for calls of one instant in the order of their keys: not in the order in which Go happened to run
// the goroutines that make them.
func (e *Engine) CallAfter(key string, latency func() units.Duration, fn func()) {
	c := &call{key: key, latency: latency, fn: fn, done: make(chan struct{})}
	e.mu.Lock()
	e.waiting = append(e.waiting, c)
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
	<-c.done
}

// Nudge makes a driver that sleeps look whether there is something new to do, at the present instant. It is for parts
// that are told something by goroutines of upstream code, which a timer of Go's may have woken, and do with it what
// they do in OnSettled. It is safe for any goroutine.
func (e *Engine) Nudge() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Settle waits until every goroutine of the bubble is blocked, then turns the calls waiting in the gate into events,
// ordered by key.
func (e *Engine) Settle() {
	synctest.Wait()
	e.mu.Lock()
	waiting := e.waiting
	e.waiting = nil
	e.mu.Unlock()
	select {
	case <-e.wake:
	default:
	}
	if len(waiting) > 1 {
		slices.SortStableFunc(waiting, func(a, b *call) int { return cmp.Compare(a.key, b.key) })
	}
	if len(e.scheduled) > 64 {
		e.scheduled = slices.DeleteFunc(e.scheduled, func(c *call) bool { return c.performed })
	}
	for _, c := range waiting {
		e.After(c.latency(), PhaseObserve, c.key, c.perform)
		e.scheduled = append(e.scheduled, c)
	}
	for _, fn := range e.settled {
		fn()
	}
}

// Ends of a run.
var (
	// ErrLivelock reports that events keep happening at one instant.
	ErrLivelock = errors.New("livelock")
)

// Run executes events. With until < 0 it ends when none but background ones are left (drained). With until ≥ 0 it
// ends at until, whatever is left; drained then says whether anything but background events was.
func (e *Engine) Run(until units.Time) (drained bool, err error) {
	if err := e.begin(); err != nil {
		return false, err
	}
	for {
		e.Settle()
		ev := e.heap.peek()
		if until < 0 && e.foreground == 0 {
			return true, nil
		}
		if until >= 0 && (ev == nil || ev.at > until) {
			if e.sleep(until) {
				return e.foreground == 0, nil
			}
			continue
		}
		if ev.at > e.Now() && !e.sleep(ev.at) {
			continue
		}
		e.heap.pop()
		e.between()
		if err := e.execute(ev); err != nil {
			return false, err
		}
		if e.stopped != nil {
			return false, e.stopped
		}
	}
}

// begin moves the bubble's clock to time zero.
func (e *Engine) begin() error {
	if e.begun {
		return nil
	}
	e.begun = true
	synctest.Wait()
	left := time.Until(e.epoch)
	if left <= 0 {
		return fmt.Errorf("building the run took more than %s of virtual time", preparation)
	}
	time.Sleep(left)
	return nil
}

// Stop ends Run with err after the current event.
func (e *Engine) Stop(err error) { e.stopped = err }

// Drain lets goroutines that still wait in the gate, or sleep for a while (in a client's rate limiter), finish, so that
// the bubble can end: once its main function has returned, time stands still in a bubble. No other events run any more.
func (e *Engine) Drain() {
	e.settled = nil
	const quiet = 3 // rounds without a call before everybody counts as gone
	for idle := 0; idle < quiet; idle++ {
		synctest.Wait()
		e.mu.Lock()
		waiting := append(e.scheduled, e.waiting...)
		e.scheduled, e.waiting = nil, nil
		e.mu.Unlock()
		for _, c := range waiting {
			if !c.performed {
				c.perform()
				idle = 0
			}
		}
		time.Sleep(preparation)
	}
}

func (e *Engine) execute(ev *Event) error {
	e.atInstant++
	if e.atInstant > e.instantCap {
		return fmt.Errorf("%w: more than %d events at %s; the last was %q; next: %s",
			ErrLivelock, e.instantCap, e.Now(), ev.name, strings.Join(e.heap.names(10), ", "))
	}
	e.executed++
	e.progress.Events.Store(e.executed)
	e.progress.state.Store(&ev.name)
	fn := ev.fn
	ev.fn = nil
	if !ev.background {
		e.foreground--
	}
	fn()
	return nil
}

// sleep moves the clock to t. It reports false when a call entered the gate before.
func (e *Engine) sleep(t units.Time) bool {
	if now := units.Time(time.Since(e.epoch)); now != e.Now() {
		panic(fmt.Sprintf("engine: the clock moved from %s to %s during %q: something below the engine sleeps on the driver",
			e.Now(), now, e.progress.Last()))
	}
	e.timer.Reset(t.Sub(e.Now()))
	reached := true
	select {
	case <-e.timer.C:
	case <-e.wake:
		reached = false
		e.timer.Stop()
	}
	now := units.Time(time.Since(e.epoch))
	e.now.Store(int64(now))
	e.progress.Now.Store(int64(now))
	e.atInstant = 0
	// The timer may have fired together with a wake-up; then the call waits for the next barrier at this instant.
	return reached || now >= t
}
