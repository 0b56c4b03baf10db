package reports

import (
	"fmt"
	"strconv"
	"strings"

	"orrery/sim/result"
)

func latencyPanel() Panel {
	return Panel{"latency", "Latency", "How long did users wait, and when?", buildLatency}
}

func buildLatency(d *result.Data) Content {
	list, note := shownServices(d)
	if len(list) == 0 {
		return Content{Headline: "There were no services.", Absent: true}
	}
	c := Content{Headline: latencyText(d)}
	for _, s := range list {
		v := d.Summary.Serving.Services[s.Name]
		if v.TTFT.Count == 0 && v.E2E.Count == 0 {
			continue
		}
		r, id := &s.Series, idOf(s.Name)
		b := newBins(r.T, r.Bin, len(r.T), pointsMax)
		for _, x := range []struct {
			id, title     string
			p50, p95, p99 []float64
			bound         float64
			hist          *result.Histogram
			n             int64
		}{{"ttft", "time to first token", r.TTFT50, r.TTFT95, r.TTFT99, v.TTFTBound, &s.TTFT, v.TTFT.Count},
			{"tpot", "time per output token", r.TPOT50, r.TPOT95, r.TPOT99, v.TPOTBound, &s.TPOT, v.TPOT.Count},
			{"e2e", "end to end", r.E2E50, r.E2E95, r.E2E99, v.E2EBound, &s.E2E, v.E2E.Count}} {
			if x.n == 0 || x.id == "e2e" && v.TTFT.Count > 0 && x.bound == 0 {
				continue
			}
			if b.n > 0 {
				c.Charts = append(c.Charts, percentileChart(x.id+"-"+id, s.Name+": "+x.title, b, x.p50, x.p95, x.p99,
					x.bound))
			}
			if chart, ok := latencyHistogram(x.id+"-histogram-"+id, s.Name+": requests by "+x.title, x.hist,
				x.bound); ok {
				c.Charts = append(c.Charts, chart)
			}
		}
	}
	for i := range d.Services {
		if s := &d.Services[i]; len(s.Stages) > 1 {
			c.Tables = append(c.Tables, stagesTable(s))
		}
	}
	c.Notes = []string{"Percentiles of a point are of the requests that completed in its span; where none did there is " +
		"no line. The axis is logarithmic. Bars of histograms grow by a constant factor; the one that holds the objective " +
		"counts as within it."}
	if note != "" {
		c.Notes = append(c.Notes, note)
	}
	return c
}

// percentileChart draws percentiles over time, and the objective as a line.
func percentileChart(id, title string, b bins, p50, p95, p99 []float64, bound float64) Chart {
	top, _ := maxOf(p99)
	u := fineUnit(max(top, bound))
	scale := func(v []float64) []float64 {
		out := b.peak(v)
		for i := range out {
			out[i] /= u.seconds
		}
		return out
	}
	c := Chart{ID: id, Title: title, Kind: Line, X: Axis{"time", b.unit.name}, Y: Axis{"latency", u.name}, Log: true,
		Times: b.edges,
		Series: []ChartSeries{{Name: "median", Role: RoleTypical, Values: scale(p50)},
			{Name: "p95", Role: RoleTail, Values: scale(p95)}, {Name: "p99", Role: RoleExtreme, Values: scale(p99)}}}
	if bound > 0 {
		line := make([]float64, max(0, len(b.edges)-1))
		for i := range line {
			line[i] = bound / u.seconds
		}
		c.Series = append(c.Series, ChartSeries{Name: "objective", Role: RoleTarget, Values: line})
	}
	return c
}

// fineUnit is unitOf with milliseconds below a few seconds.
func fineUnit(seconds float64) timeUnit {
	if seconds < 5 {
		return timeUnit{"ms", 0.001}
	}
	return unitOf(seconds)
}

// peak is the largest value of each group: a mean of percentiles would hide the bad ones.
func (b bins) peak(v []float64) []float64 {
	out := make([]float64, 0, len(b.edges))
	for i := 0; i < b.n; i += b.per {
		top := 0.0
		for j := i; j < min(i+b.per, b.n, len(v)); j++ {
			top = max(top, clean(v[j]))
		}
		out = append(out, top)
	}
	return out
}

// latencyHistogram draws how many requests took how long: those within the objective, where there is one, and beyond.
func latencyHistogram(id, title string, h *result.Histogram, bound float64) (Chart, bool) {
	n := min(len(h.Counts), max(0, len(h.Edges)-1), pointsMax)
	if n == 0 {
		return Chart{}, false
	}
	c := Chart{ID: id, Title: title, Kind: Histogram, X: Axis{"latency", "upper end of each bar"},
		Y: Axis{"requests", "count"}, Series: []ChartSeries{{Name: "requests", Role: RoleUsed}}}
	if bound > 0 {
		c.Series = []ChartSeries{{Name: "within the objective of " + shortLatency(bound), Role: RoleUsed},
			{Name: "beyond it", Role: RoleLost}}
	}
	first, last := span(h.Counts[:n])
	for i := first; i <= last; i++ {
		c.Categories = append(c.Categories, "≤ "+shortLatency(h.Edges[i+1]))
		in, out := float64(h.Counts[i]), 0.0
		if bound > 0 && h.Edges[i] >= bound {
			in, out = 0, in
		}
		c.Series[0].Values = append(c.Series[0].Values, in)
		if bound > 0 {
			c.Series[1].Values = append(c.Series[1].Values, out)
		}
	}
	return c, last >= first
}

// shortLatency writes a latency for an axis.
func shortLatency(s float64) string {
	switch ms := s * 1000; {
	case s >= 1:
		return shortDuration(s)
	case ms >= 9.95:
		return FormatCount(ms) + " ms"
	case ms >= 0.995:
		return strings.TrimSuffix(strconv.FormatFloat(ms, 'f', 1, 64), ".0") + " ms"
	default:
		return FormatNumber(ms) + " ms"
	}
}

func stagesTable(s *result.ServiceDetail) Table {
	t := Table{ID: "stages-" + idOf(s.Name), Title: s.Name + ": stages of the pipeline", Columns: []Column{
		{"stage", "Stage", "", Text}, {"requests", "Requests", "", Count}, {"mean_seconds", "Mean", "s", Duration},
		{"p50_seconds", "Median", "s", Duration}, {"p95_seconds", "p95", "s", Duration},
		{"p99_seconds", "p99", "s", Duration}}}
	for _, x := range s.Stages {
		some := x.Time.Count > 0
		t.Rows = append(t.Rows, []Cell{T(x.Name), I(x.Time.Count), numIf(some, x.Time.Mean), numIf(some, x.Time.P50),
			numIf(some, x.Time.P95), numIf(some, x.Time.P99)})
	}
	return t
}

// latencyText names the service with the worst tail against its objective, or else the longest.
func latencyText(d *result.Data) string {
	worst, text := -1.0, "No request completed, so there is no latency to show."
	for _, name := range d.Summary.Serving.ServiceNames {
		v := d.Summary.Serving.Services[name]
		x, what, bound := &v.TTFT, "first token", v.TTFTBound
		if x.Count == 0 {
			x, what, bound = &v.E2E, "answer", v.E2EBound
		}
		if x.Count == 0 {
			continue
		}
		rank := clean(x.P99)
		if bound > 0 {
			rank = 1e6 + x.P99/bound
		}
		if rank <= worst {
			continue
		}
		worst = rank
		text = fmt.Sprintf("At %s the median wait for the %s was %s, and one in a hundred waited longer than %s", name, what,
			FormatDuration(x.P50), FormatDuration(x.P99))
		if bound > 0 {
			text += fmt.Sprintf(" (objective: %s)", FormatDuration(bound))
		}
		text += "."
	}
	return text
}
