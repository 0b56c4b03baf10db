package term

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"

	"orrery/reports"
	"orrery/sim/result"
)

// contentWidth is what 80 columns leave behind a label.
const contentWidth = 66

// Short writes the few figures that a run ends with: at most 25 lines of at most 80 columns.
func Short(w io.Writer, d *result.Data) error {
	s := &d.Summary
	var b bytes.Buffer
	line := func(label, format string, a ...any) {
		content := clip(safe(fmt.Sprintf(format, a...)), contentWidth)
		fmt.Fprintf(&b, "%s %s\n", text.AlignLeft.Apply(label, 13), content)
	}
	name := s.Scenario
	if name == "" {
		name = "(unnamed)"
	}
	line("scenario", "%s, seed %d", clip(name, 40), s.Seed)
	line("simulated", "%s%s", reports.FormatDuration(s.SimulatedSeconds), endWord(s.EndReason))
	served := s.Serving != nil && len(s.Serving.ServiceNames) > 0
	if !served || s.Jobs.Submitted > 0 {
		shortJobs(line, &s.Jobs)
		shortWaits(line, s)
	}
	if served {
		rows := 2
		if s.Jobs.Submitted == 0 {
			rows = 8
		}
		shortServices(line, s.Serving, rows)
		shortServing(line, s)
	}
	shortGPUs(line, &s.GPU)
	shortCost(line, &s.Cost, &s.GPU)
	if len(s.Warnings) > 0 {
		var codes []string
		for i := range s.Warnings {
			if code := s.Warnings[i].Code; !slices.Contains(codes, code) {
				codes = append(codes, code)
			}
		}
		line("warnings", "%s", strings.Join(codes, ", "))
	}
	if n := len(s.Expectations); n > 0 {
		met := 0
		for _, e := range s.Expectations {
			if e.Met {
				met++
			}
		}
		line("expectations", "%d of %d met", met, n)
	}
	_, err := w.Write(trimLines(b.Bytes()))
	return err
}

type lineFunc func(label, format string, a ...any)

func shortJobs(line lineFunc, j *result.Jobs) {
	var parts []string
	for _, p := range []struct {
		n    int64
		name string
	}{{j.Completed, "completed"}, {j.Failed, "failed"}, {j.Killed, "killed"}, {j.Running, "running"},
		{j.Pending, "pending"}, {j.Rejected, "rejected"}} {
		if p.n != 0 {
			parts = append(parts, reports.FormatCount(float64(p.n))+" "+p.name)
		}
	}
	line("jobs", "%s submitted", reports.FormatCount(float64(j.Submitted)))
	for len(parts) > 0 { // three to a line: six numbers of ten digits would not fit one
		n := min(3, len(parts))
		line("", "%s", strings.Join(parts[:n], ", "))
		parts = parts[n:]
	}
	if j.NeverSchedulable > 0 {
		line("", "%s of the pending can never be placed: larger than any node",
			reports.FormatCount(float64(j.NeverSchedulable)))
	}
	if j.Preempted > 0 || j.Restarts > 0 {
		line("", "%s preempted, %s restarts", reports.FormatCount(float64(j.Preempted)),
			reports.FormatCount(float64(j.Restarts)))
	}
}

func shortWaits(line lineFunc, s *result.Summary) {
	if w := &s.QueueWait; w.Count > 0 {
		text := fmt.Sprintf("median %s, p95 %s, p99 %s, max %s", reports.FormatDuration(w.P50),
			reports.FormatDuration(w.P95), reports.FormatDuration(w.P99), reports.FormatDuration(w.Max))
		if utf8.RuneCountInString(text) > contentWidth { // the longest wait is worth more than its neighbour
			text = fmt.Sprintf("median %s, p95 %s, max %s", reports.FormatDuration(w.P50),
				reports.FormatDuration(w.P95), reports.FormatDuration(w.Max))
		}
		line("queue wait", "%s", text)
	} else {
		line("queue wait", "no job was placed")
	}
	if w := &s.Slowdown; w.Count > 0 {
		line("slowdown", "median %s, p95 %s, max %s", reports.FormatNumber(w.P50), reports.FormatNumber(w.P95),
			reports.FormatNumber(w.Max))
	}
}

// shortServices has a line on all requests and one on each service, at most rows of them.
func shortServices(line lineFunc, s *result.Serving, rows int) {
	q := &s.Requests
	text := fmt.Sprintf("%s arrived", reports.FormatCount(float64(q.Arrived)))
	failed := "failed"
	switch {
	case q.TimedOut == 0 && q.TooLong == q.Rejected:
		failed = "too long"
	case q.TimedOut == 0:
		failed = "rejected"
	case q.Rejected == 0:
		failed = "timed out"
	}
	for _, p := range []struct {
		n    int64
		name string
	}{{q.Completed + q.Stopped, "answered"}, {q.Rejected + q.TimedOut, failed}, {q.InFlight, "in flight"}} {
		if p.n > 0 {
			text += fmt.Sprintf(", %s %s", reports.FormatCount(float64(p.n)), p.name)
		}
	}
	line("requests", "%s", text)
	row := func(label, service, ttft, tpot, within, price string) {
		line(label, "%-16s %11s %11s %9s %10s", clip(safe(service), 16), ttft, tpot, within, price)
	}
	row("services", "", "TTFT p99", "TPOT p99", "within", "$/M tokens")
	names := s.ServiceNames
	more := len(names) - rows
	if more > 0 {
		names = names[:rows-1]
	}
	for _, name := range names {
		v := s.Services[name]
		ttft, tpot, within, price := "–", "–", "–", "–"
		if v.TTFT.Count > 0 {
			ttft = reports.FormatDuration(v.TTFT.P99)
		}
		if v.TPOT.Count > 0 {
			tpot = reports.FormatDuration(v.TPOT.P99)
		}
		if r := &v.Requests; r.Completed+r.Rejected+r.TimedOut > 0 {
			within = reports.FormatShare(v.Attainment)
		}
		if v.USDPerMTokens > 0 {
			price = strings.TrimPrefix(reports.FormatUSD(v.USDPerMTokens), "$")
		}
		row("", name, ttft, tpot, within, price)
	}
	if more > 0 {
		line("", "and %d more; the report has all", more+1)
	}
}

// shortServing has a line on what the services held, and one on how replicas came.
func shortServing(line lineFunc, s *result.Summary) {
	v := s.Serving
	if v.GPUHours <= 0 {
		return
	}
	text := fmt.Sprintf("%s GPU-hours held, %s of them computing", reports.FormatNumber(v.GPUHours),
		reports.FormatShare(v.BusyHours/v.GPUHours))
	if v.USD > 0 {
		text = fmt.Sprintf("%s for %s", reports.FormatUSD(v.USD), text)
	}
	line("", "%s", text)
	if x := s.Starts; x != nil && x.Pods > 0 {
		line("cold starts", "%s, median %s, p95 %s", reports.FormatCount(float64(x.Pods)),
			reports.FormatDuration(x.Total.P50), reports.FormatDuration(x.Total.P95))
	}
}

func shortGPUs(line lineFunc, g *result.GPU) {
	if g.CapacityHours <= 0 {
		line("GPUs", "%s devices, no GPU time", reports.FormatCount(float64(g.Devices)))
		return
	}
	line("GPUs", "%s devices, %s GPU-hours", reports.FormatCount(float64(g.Devices)),
		reports.FormatNumber(g.CapacityHours))
	row := func(label string, hours float64) {
		line("", "%-26s %16s %9s", label, reports.FormatNumber(hours), reports.FormatShare(hours/g.CapacityHours))
	}
	row("used", g.UsedHours)
	row("idle: fits nowhere", g.IdleFragmentedHours)
	row("idle: not yet judged", g.IdleWaitingHours)
	row("idle: no demand", g.IdleNoDemandHours)
	row("down", g.DownHours)
}

func shortCost(line lineFunc, c *result.Cost, g *result.GPU) {
	switch {
	case c.TotalUSD <= 0 && c.Unpriced > 0:
		line("cost", "not known: %s GPUs have no price", reports.FormatCount(float64(c.Unpriced)))
		return
	case c.TotalUSD <= 0:
		line("cost", "$0")
		return
	}
	line("cost", "%s (%s), of which idle GPUs %s", reports.FormatUSD(c.TotalUSD), c.Basis, reports.FormatUSD(c.IdleUSD))
	if g.UsedHours > 0 {
		line("", "%s per used GPU-hour", reports.FormatUSD(c.PerGPUUSD))
	}
	if c.Unpriced > 0 {
		line("", "without %s GPUs that have no price", reports.FormatCount(float64(c.Unpriced)))
	}
	if c.EnergyKWh > 0 {
		line("energy", "%s kWh", reports.FormatNumber(c.EnergyKWh))
	}
}

func endWord(s string) string {
	switch s {
	case "drained":
		return ", then nothing left could change"
	case "horizon":
		return ", the time limit"
	}
	return ""
}

func clip(s string, max int) string {
	if r := []rune(s); len(r) > max {
		return string(r[:max-1]) + "…"
	}
	return s
}
