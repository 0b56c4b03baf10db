package reports

import (
	"fmt"

	"orrery/sim/result"
)

func summaryPanel() Panel {
	return Panel{"summary", "Summary", "How did the cluster do?", buildSummary}
}

func buildSummary(d *result.Data) Content {
	s := &d.Summary
	c := Content{Findings: Findings(d), Cards: cards(d)}
	if !onlyServices(d) {
		c.Tables = []Table{jobsTable(d), figuresTable(d)}
	}
	for _, f := range c.Findings {
		if f.Rule == "use" && c.Headline == "" || f.Rule == "answers" {
			c.Headline = f.Text
		}
	}
	n := plural(s.Jobs.Submitted, "job")
	switch {
	case onlyServices(d):
		n = plural(s.Serving.Requests.Arrived, "request")
	case s.Serving != nil:
		n += ", " + plural(s.Serving.Requests.Arrived, "request")
	}
	c.Notes = append(c.Notes, fmt.Sprintf("n = %s and %s; %s of simulated time from %s.",
		n, plural(s.Pods.Created, "pod"), FormatDuration(s.SimulatedSeconds), epoch(s)))
	if s.Repeatable {
		c.Notes = append(c.Notes,
			"One run of a deterministic simulation: the figures are exact for this trace and seed, hence no intervals.")
	} else {
		c.Notes = append(c.Notes, "One sample: no interval can be given; run several seeds to get one.")
	}
	return c
}

func epoch(s *result.Summary) string {
	if s.Epoch == "" {
		return "time zero"
	}
	return s.Epoch
}

// cards are the figures of the first screen.
func cards(d *result.Data) []Card {
	s, g := &d.Summary, &d.Summary.GPU
	out := []Card{{"GPU time used", absent, "no GPU was in service"}, {"Idle while jobs waited", absent, "of GPU time"}}
	if service := inService(g); service > 0 {
		out[0] = Card{"GPU time used", FormatShare(ratio(g.UsedHours, service)),
			"of " + FormatNumber(service) + " GPU-hours in service"}
		out[1] = Card{"Idle while jobs waited", FormatShare(ratio(idleWhileWaiting(g), service)),
			FormatNumber(idleWhileWaiting(g)) + " GPU-hours"}
	}
	wait := Card{"Queue wait, median", absent, "no job was placed"}
	if w := &s.QueueWait; w.Count > 0 {
		wait.Value, wait.Sub = FormatDuration(w.P50), "99th percentile "+FormatDuration(w.P99)
	}
	jobs := Card{"Jobs completed", FormatCount(float64(s.Jobs.Completed)),
		"of " + FormatCount(float64(s.Jobs.Submitted)) + " submitted"}
	if s.Jobs.Pending > 0 {
		jobs.Sub += ", " + FormatCount(float64(s.Jobs.Pending)) + " pending"
	}
	cost := Card{"Cost", shortUSD(s.Cost.TotalUSD), shortUSD(s.Cost.IdleUSD) + " of it for idle GPUs"}
	if s.Serving != nil && clean(s.Serving.USD) > 0 {
		cost.Sub = shortUSD(s.Serving.USD) + " for the services, " + shortUSD(s.Cost.IdleUSD) + " for idle GPUs"
	}
	switch {
	case s.Cost.TotalUSD <= 0 && s.Cost.Unpriced > 0:
		cost.Value, cost.Sub = absent, "no price is known for the GPUs"
	case s.Cost.Unpriced > 0:
		cost.Sub += "; " + plural(s.Cost.Unpriced, "GPU") + " without a price"
	}
	if s.Serving != nil && len(s.Serving.ServiceNames) > 0 {
		if onlyServices(d) {
			return append(servingCards(s.Serving), cost)
		}
		return append(append(servingCards(s.Serving), out...), wait, jobs, cost)
	}
	return append(out, wait, jobs, cost)
}

func jobsTable(d *result.Data) Table {
	j := &d.Summary.Jobs
	t := Table{ID: "jobs", Title: "Jobs by their state at the end of the run", Columns: []Column{
		{"state", "State", "", Text}, {"jobs", "Jobs", "", Count}, {"share", "Share of submitted", "", Share},
		{"meaning", "Meaning", "", Text}}}
	add := func(state string, n int64, meaning string) {
		share := None()
		if j.Submitted > 0 {
			share = N(ratio(float64(n), float64(j.Submitted)))
		}
		t.Rows = append(t.Rows, []Cell{T(state), I(n), share, T(meaning)})
	}
	add("completed", j.Completed, "ended with success")
	add("failed", j.Failed, "ended failed, as the trace says")
	add("killed", j.Killed, "ended killed, as the trace says")
	add("running", j.Running, "all pods placed at least once, not ended")
	add("pending", j.Pending, "not ended, never fully placed")
	add("rejected", j.Rejected, "refused by the Kubernetes API")
	add("submitted", j.Submitted, "all of the above")
	return t
}

func figuresTable(d *result.Data) Table {
	t := distributionTable("distributions", "Times and slowdown", "Jobs")
	s := &d.Summary
	addDistribution(&t, "queue wait", "s", &s.QueueWait)
	addDistribution(&t, "start-up", "s", &s.Startup)
	addDistribution(&t, "job completion", "s", &s.JobCompletion)
	addDistribution(&t, "slowdown", "×", &s.Slowdown)
	return t
}

// distributionTable has a row per distribution. The cells are numbers in the unit named in the row; counted names what
// was counted.
func distributionTable(id, title, counted string) Table {
	return Table{ID: id, Title: title, Columns: []Column{{"quantity", "Quantity", "", Text}, {"unit", "Unit", "", Text},
		{"n", counted, "", Count}, {"mean", "Mean", "", Number}, {"p50", "Median", "", Number},
		{"p90", "p90", "", Number}, {"p95", "p95", "", Number}, {"p99", "p99", "", Number}, {"max", "Max", "", Number}}}
}

func addDistribution(t *Table, name, unit string, w *result.Distribution) {
	row := []Cell{T(name), T(unit), I(w.Count)}
	for _, f := range []float64{w.Mean, w.P50, w.P90, w.P95, w.P99, w.Max} {
		row = append(row, numIf(w.Count > 0, f))
	}
	t.Rows = append(t.Rows, row)
}

// numIf is a number cell where the number exists.
func numIf(exists bool, f float64) Cell {
	if !exists {
		return None()
	}
	return N(f)
}
