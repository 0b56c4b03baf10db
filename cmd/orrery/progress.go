package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"orrery/sim"
	"orrery/sim/units"
)

// Intervals between two updates, in wall time: often enough to look alive on a terminal, rarely enough for a log.
const (
	barInterval  = 200 * time.Millisecond
	lineInterval = 5 * time.Second
)

// fractionTold is how much must be done before the time left is told: an estimate from less would mislead.
const fractionTold = 0.01

// progress shows how far a run is: a bar on a terminal, plain lines elsewhere.
type progress struct {
	w       io.Writer
	p       *sim.Progress
	horizon units.Duration
	load    workload
	started time.Time
	quit    chan struct{}
	done    sync.WaitGroup
	bar     *progressbar.ProgressBar
}

func startProgress(w io.Writer, p *sim.Progress, horizon units.Duration, load workload) *progress {
	g := &progress{w: w, p: p, horizon: horizon, load: load, started: time.Now(), quit: make(chan struct{})}
	if w == io.Discard {
		return g
	}
	interval := lineInterval
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		interval = barInterval
		g.bar = g.newBar()
	}
	g.done.Go(func() { g.loop(interval) })
	return g
}

func (g *progress) newBar() *progressbar.ProgressBar {
	limit := int64(1000) // thousandths
	if g.horizon == 0 && g.load.steps == 0 && g.load.requests == 0 {
		limit = -1 // a spinner: nobody knows how much there is
	}
	return progressbar.NewOptions64(limit, progressbar.OptionSetWriter(g.w),
		progressbar.OptionSetWidth(barWidth(width(g.w))),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(barInterval/2))
}

// barWidth is what a line of the terminal leaves for the bar itself: a line that wraps cannot be drawn over.
func barWidth(columns int) int {
	const rest = 80 // text of a long run, percentage and times
	return min(max(columns-rest, 4), 30)
}

func (g *progress) loop(interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-g.quit:
			return
		case <-tick.C:
			g.show()
		}
	}
}

// fraction is how much of the run is done, as far as known: of jobs or requests, whichever are further from their end,
// or of the time limit, where it is nearer.
func (g *progress) fraction() float64 {
	f := 0.0
	switch jobs, requests := g.jobs(), g.requests(); {
	case g.load.steps > 0 && g.load.requests > 0:
		f = min(jobs, requests)
	case g.load.steps > 0:
		f = jobs
	case g.load.requests > 0:
		f = requests
	}
	if g.horizon > 0 {
		f = max(f, float64(g.p.Now.Load())/float64(g.horizon))
	}
	return min(f, 1)
}

// jobs is the part of the submissions and ends of jobs that have happened, requests that of the requests that have
// ended.
func (g *progress) jobs() float64 {
	return min(1, float64(g.p.Submitted.Load()+g.p.Ended.Load())/float64(g.load.steps))
}

func (g *progress) requests() float64 { return float64(g.p.Requests.Load()) / float64(g.load.requests) }

// text says how far the run is, elapsed wall time after its start.
func (g *progress) text(elapsed time.Duration) string {
	text := days(time.Duration(g.p.Now.Load()))
	if g.load.jobs > 0 || g.load.requests == 0 {
		text += fmt.Sprintf(" · %d/%d jobs ended", g.p.Ended.Load(), g.load.jobs)
	}
	if g.load.requests > 0 {
		text += fmt.Sprintf(" · %d/%d requests ended", g.p.Requests.Load(), g.load.requests)
	}
	return text + fmt.Sprintf(" · %.0f events/s", float64(g.p.Events.Load())/elapsed.Seconds())
}

// left says how much wall time is left when the rest goes as fast as what is done; "" when too little is done to tell.
func (g *progress) left(elapsed time.Duration) string {
	f := g.fraction()
	if f < fractionTold {
		return ""
	}
	rest := time.Duration(elapsed.Seconds() * (1 - f) / f * float64(time.Second))
	return fmt.Sprintf(" · %.0f %% · about %s left", f*100, rest.Round(time.Second))
}

func (g *progress) show() {
	elapsed := time.Since(g.started)
	if g.bar != nil {
		g.bar.Describe(g.text(elapsed))
		_ = g.bar.Set64(int64(g.fraction() * 1000)) // drawing progress must never stop a run
		return
	}
	fmt.Fprintln(g.w, "simulated "+g.text(elapsed)+g.left(elapsed))
}

func (g *progress) stop() {
	close(g.quit)
	g.done.Wait()
	if g.bar != nil {
		_ = g.bar.Finish() // see show
	}
}

// days formats a simulated span the way people say it.
func days(d time.Duration) string {
	if d < 48*time.Hour {
		return d.Round(time.Second).String()
	}
	return fmt.Sprintf("%.1f days", d.Hours()/24)
}
