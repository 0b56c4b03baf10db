package reports

import (
	"fmt"

	"orrery/sim/result"
)

func waitsPanel() Panel {
	return Panel{"waits", "Queue waits", "How long did jobs wait for their resources?", buildWaits}
}

func buildWaits(d *result.Data) Content {
	w, h := &d.Summary.QueueWait, &d.WaitHist
	c := Content{Tables: []Table{percentilesTable(w)}}
	if w.Count <= 0 {
		c.Headline = "No job was placed, so there is no wait to show."
	} else {
		c.Headline = waitText(w)
	}
	n := min(len(h.Counts), max(0, len(h.Edges)-1))
	if n > 0 && w.Count > 0 {
		chart := Chart{ID: "wait-histogram", Title: "Jobs by queue wait", Kind: Histogram,
			X: Axis{"queue wait", "bins grow by a constant factor"}, Y: Axis{"jobs", "count"},
			Series: []ChartSeries{{Name: "jobs", Role: RoleUsed}}}
		t := Table{ID: "histogram", Title: "Jobs by queue wait", Columns: []Column{
			{"above_seconds", "Longer than", "s", Duration}, {"up_to_seconds", "Up to", "s", Duration},
			{"jobs", "Jobs", "", Count}, {"cumulative_share", "Jobs up to here", "", Share}}}
		var total, sum float64
		for _, k := range h.Counts[:n] {
			total += float64(k)
		}
		first, last := span(h.Counts[:n])
		for i := range n {
			sum += float64(h.Counts[i])
			if i < first || i > last {
				continue
			}
			chart.Categories = append(chart.Categories, binLabel(h, i))
			chart.Series[0].Values = append(chart.Series[0].Values, float64(h.Counts[i]))
			t.Rows = append(t.Rows, []Cell{N(h.Edges[i]), N(h.Edges[i+1]), I(h.Counts[i]),
				numIf(total > 0, ratio(sum, total))})
		}
		c.Charts, c.Tables = []Chart{chart}, append(c.Tables, t)
	}
	c.Notes = []string{fmt.Sprintf("n = %s placed. Queue wait: from submission until all pods of the job are bound. "+
		"Percentiles are values of the full sample (nearest rank), not estimates.", plural(w.Count, "job"))}
	if p := neverPlaced(&d.Summary.Jobs, w); p > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("%s never placed %s not in these figures; their waits so far are among "+
			"the longest waits below.", plural(p, "job"), map[bool]string{true: "is", false: "are"}[p == 1]))
	}
	return c
}

// span is the first and last bin that holds something; (0, -1) when none does.
func span(counts []int64) (first, last int) {
	last = -1
	for i, k := range counts {
		if k != 0 {
			if last < 0 {
				first = i
			}
			last = i
		}
	}
	return first, last
}

// binLabel names a bin by its upper edge; the lower one is its neighbour's.
func binLabel(h *result.Histogram, i int) string {
	return "≤ " + shortDuration(h.Edges[i+1])
}

func percentilesTable(w *result.Distribution) Table {
	t := Table{ID: "percentiles", Title: "Percentiles of the queue wait", Columns: []Column{
		{"statistic", "Statistic", "", Text}, {"wait_seconds", "Queue wait", "s", Duration}}}
	for _, p := range []struct {
		name string
		f    float64
	}{{"mean", w.Mean}, {"median", w.P50}, {"p90", w.P90}, {"p95", w.P95}, {"p99", w.P99}, {"max", w.Max}} {
		t.Rows = append(t.Rows, []Cell{T(p.name), numIf(w.Count > 0, p.f)})
	}
	return t
}

// waitColumns are the columns of a distribution of waits in tables that have one per row.
func waitColumns() []Column {
	return []Column{{"placed_jobs", "Placed", "", Count}, {"wait_p50_seconds", "Wait, median", "s", Duration},
		{"wait_p95_seconds", "Wait, p95", "s", Duration}, {"wait_max_seconds", "Wait, max", "s", Duration}}
}

func waitCells(w *result.Distribution) []Cell {
	some := w.Count > 0
	return []Cell{I(w.Count), numIf(some, w.P50), numIf(some, w.P95), numIf(some, w.Max)}
}

// waitBars draws medians and 95th percentiles of several distributions side by side.
func waitBars(id, title, axis, unit string, names []string, waits []result.Distribution) Chart {
	top := 0.0
	for _, w := range waits {
		top = max(top, clean(w.P95))
	}
	u := unitOf(top)
	c := Chart{ID: id, Title: title, Kind: Bar, X: Axis{axis, unit}, Y: Axis{"queue wait", u.name}, Categories: names,
		Series: []ChartSeries{{Name: "median", Role: RoleTypical}, {Name: "p95", Role: RoleTail}}}
	for _, w := range waits {
		c.Series[0].Values = append(c.Series[0].Values, clean(w.P50)/u.seconds)
		c.Series[1].Values = append(c.Series[1].Values, clean(w.P95)/u.seconds)
	}
	return c
}
