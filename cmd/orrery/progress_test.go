package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"orrery/sim"
)

// TestProgress checks what is said of a run in progress: nothing of the time left before it can be told, then the rest
// at the speed so far, and the time limit where it is nearer than the last job.
func TestProgress(t *testing.T) {
	var p sim.Progress
	var out bytes.Buffer
	g := startProgress(&out, &p, 0, workload{jobs: 100, steps: 200})
	g.stop()
	if out.Len() > 0 {
		t.Errorf("a run of no time talks: %q", &out)
	}
	if got := g.left(time.Minute); got != "" {
		t.Errorf("time left of a run not begun: %q", got)
	}
	p.Submitted.Store(40)
	p.Ended.Store(10)
	p.Now.Store(int64(3 * 24 * time.Hour))
	if got := g.left(time.Minute); got != " · 25 % · about 3m0s left" {
		t.Errorf("a quarter done: %q", got)
	}
	if got := g.text(time.Minute); !strings.HasPrefix(got, "3.0 days · 10/100 jobs ended · ") {
		t.Errorf("text %q", got)
	}
	g.horizon = 4 * 24 * time.Hour
	if got := g.fraction(); got != 0.75 {
		t.Errorf("fraction %v, want that of the time limit", got)
	}
	p.Ended.Store(500)
	if got := g.fraction(); got != 1 {
		t.Errorf("fraction %v of a run with restarts", got)
	}
	g = startProgress(&out, &p, 0, workload{requests: 1000})
	g.stop()
	p.Requests.Store(250)
	if got := g.text(time.Minute); !strings.HasPrefix(got, "3.0 days · 250/1000 requests ended · ") || g.fraction() != 0.25 {
		t.Errorf("services alone: %q, %v done", got, g.fraction())
	}
	g.load.jobs, g.load.steps = 100, 1000
	if got := g.text(time.Minute); !strings.HasPrefix(got, "3.0 days · 500/100 jobs ended · 250/1000 requests") ||
		g.fraction() != 0.25 {
		t.Errorf("jobs and services: %q, %v done", got, g.fraction())
	}
	for columns, want := range map[int]int{0: 4, 80: 4, 100: 20, 300: 30} {
		if got := barWidth(columns); got != want {
			t.Errorf("barWidth(%d) = %d, want %d", columns, got, want)
		}
	}
}
