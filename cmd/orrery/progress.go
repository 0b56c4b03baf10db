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
	"orrery/sim/plan"
	"orrery/sim/units"
)

// Intervals between two updates, in wall time: often enough to look alive on a terminal, rarely enough for a log.
const (
	barInterval  = 200 * time.Millisecond
	lineInterval = 5 * time.Second
)

// progress shows how far a run is: a bar on a terminal, plain lines elsewhere.
type progress struct {
	w       io.Writer
	p       *sim.Progress
	horizon units.Duration
	total   int64 // jobs, 0 = unknown
	started time.Time
	quit    chan struct{}
	done    sync.WaitGroup
	bar     *progressbar.ProgressBar
}

// counted is a source that knows how many jobs it has.
type counted interface{ Jobs() int64 }

func startProgress(w io.Writer, p *sim.Progress, horizon units.Duration, jobs plan.JobSource) *progress {
	g := &progress{w: w, p: p, horizon: horizon, started: time.Now(), quit: make(chan struct{})}
	if c, ok := jobs.(counted); ok {
		g.total = c.Jobs()
	}
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
	if g.horizon == 0 && g.total == 0 {
		limit = -1 // a spinner: nobody knows how much there is
	}
	return progressbar.NewOptions64(limit, progressbar.OptionSetWriter(g.w), progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(barInterval/2))
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

// fraction is how much of the run is done, as far as known.
func (g *progress) fraction() float64 {
	var f float64
	if g.total > 0 {
		f = float64(g.p.Ended.Load()) / float64(g.total)
	}
	if g.horizon > 0 {
		f = max(f, float64(g.p.Now.Load())/float64(g.horizon))
	}
	return min(f, 1)
}

func (g *progress) show() {
	elapsed := time.Since(g.started).Seconds()
	text := fmt.Sprintf("simulated %s · %d/%d jobs ended · %.0f events/s", days(time.Duration(g.p.Now.Load())),
		g.p.Ended.Load(), g.p.Submitted.Load(), float64(g.p.Events.Load())/elapsed)
	f := g.fraction()
	if g.bar != nil {
		g.bar.Describe(text)
		_ = g.bar.Set64(int64(f * 1000)) // drawing progress must never stop a run
		return
	}
	if f > 0 {
		text += fmt.Sprintf(" · %.0f %% · %s left", f*100, (time.Duration(elapsed*(1-f)/f) * time.Second).Round(time.Second))
	}
	fmt.Fprintln(g.w, text)
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
