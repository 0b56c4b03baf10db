package reports

import (
	"fmt"
	"slices"

	"orrery/sim/result"
)

func loadPanel() Panel {
	return Panel{"load", "Load and replicas", "Did the replicas keep up with what was asked of them?", buildLoad}
}

func buildLoad(d *result.Data) Content {
	list, note := shownServices(d)
	if len(list) == 0 {
		return Content{Headline: "There were no services.", Absent: true}
	}
	c := Content{}
	t := Table{ID: "replicas", Title: "Replicas and what they did", Columns: []Column{{"service", "Service", "", Text},
		{"ready_mean", "Ready, mean", "", Number}, {"ready_max", "Ready, most", "", Count},
		{"busy_share", "Computing", "", Share}, {"kv_share", "KV cache used", "", Share},
		{"running_mean", "Running, mean", "", Number}, {"waiting_mean", "Waiting, mean", "", Number},
		{"preemptions", "Preemptions", "", Count}, {"cached_share", "Prompt tokens cached", "", Share},
		{"scale_ups", "Scale-ups", "", Count}, {"scale_downs", "Scale-downs", "", Count}}}
	for _, name := range d.Summary.Serving.ServiceNames {
		v := d.Summary.Serving.Services[name]
		t.Rows = append(t.Rows, []Cell{T(name), N(v.ReplicasMean), I(v.ReplicasMax),
			numIf(v.ReadyHours > 0 || v.BusyFraction > 0, v.BusyFraction), N(v.KVMean), N(v.RunningMean),
			N(v.WaitingMean), I(v.Preemptions), numIf(v.InputTokens > 0, ratio(float64(v.CachedTokens),
				float64(v.InputTokens))), I(v.ScaleUps), I(v.ScaleDowns)})
	}
	c.Tables = []Table{t}
	var worst string
	most := 0.0
	for _, s := range list {
		r := &s.Series
		b := newBins(r.T, r.Bin, len(r.T), pointsMax)
		if b.n == 0 {
			continue
		}
		c.Charts = append(c.Charts, Chart{ID: "load-" + idOf(s.Name), Title: s.Name + ": requests asked and answered",
			Kind: Line, X: Axis{"time", b.unit.name}, Y: Axis{"requests", "per second"}, Times: b.edges,
			Series: drawn([]ChartSeries{{Name: "arrived", Role: RoleCapacity, Values: b.mean(r.Arrived)},
				{Name: "completed", Role: RoleUsed, Values: b.mean(r.Completed)},
				{Name: "rejected or timed out", Role: RoleLost, Values: sum(b.mean(r.Rejected), b.mean(r.TimedOut))},
				{Name: "ready replicas at the best rate seen", Role: RoleTarget, Values: b.mean(shown(r))}})},
			Chart{ID: "replicas-" + idOf(s.Name), Title: s.Name + ": replicas ready and computing", Kind: Line,
				X: Axis{"time", b.unit.name},
				Y: Axis{"replicas", "count"}, Times: b.edges,
				Series: []ChartSeries{{Name: "ready", Role: RoleCapacity, Values: b.mean(r.Ready)},
					{Name: "computing", Role: RoleUsed, Values: b.mean(r.Busy)}}},
			Chart{ID: "queue-" + idOf(s.Name), Title: s.Name + ": requests in the servers", Kind: StackedArea,
				X: Axis{"time", b.unit.name}, Y: Axis{"requests", "count"}, Times: b.edges,
				Series: []ChartSeries{{Name: "running", Role: RoleUsed, Values: b.mean(r.Running)},
					{Name: "waiting", Role: RoleWaiting, Values: b.mean(r.Waiting)}}})
		if note := b.note(r.Bin); !slices.Contains(c.Notes, note) {
			c.Notes = append(c.Notes, note)
		}
		if peak, at := maxOf(r.Waiting); at >= 0 && peak > most {
			most, worst = peak, fmt.Sprintf("The longest queue was at %s, %s after the start: %s requests waited in its "+
				"servers (average of %s).", s.Name, FormatDuration(r.T[at]), about(peak), FormatDuration(r.Bin))
			if peak < queueMatter*max(1, clean(r.Ready[at])) {
				worst = fmt.Sprintf("Queues stayed short: at most %s requests waited in the servers of %s (average of %s), less "+
					"than one for each that was ready.", FormatNumber(peak), s.Name, FormatDuration(r.Bin))
			}
		}
	}
	c.Headline = worst
	if worst == "" {
		c.Headline = "No request waited at a replica for long enough to show."
	}
	c.Notes = append(c.Notes, "What replicas can do at most is not measured. “At the best rate seen” multiplies the "+
		"ready ones by the most requests that one completed per second in any span of the run: they can do that, and "+
		"perhaps more. The time in which they compute is no measure of what is left: a server that decodes one request "+
		"computes all the time, as one with a hundred does, so look at what runs and waits.")
	if note != "" {
		c.Notes = append(c.Notes, note)
	}
	return c
}

// shown is what the ready replicas would do if each did as much as the best span of the run has shown, per second.
func shown(r *result.ServiceSeries) []float64 {
	best := bestRate(r)
	out := make([]float64, len(r.Ready))
	for i, n := range r.Ready {
		out[i] = clean(n * best)
	}
	return out
}

// bestRate is the most requests that a ready replica completed per second in any bin.
func bestRate(r *result.ServiceSeries) (best float64) {
	for i, done := range r.Completed {
		if i < len(r.Ready) && clean(r.Ready[i]) >= 1 { // less is a span that began or ended without any
			best = max(best, ratio(clean(done), r.Ready[i]))
		}
	}
	return best
}

// sum adds two lists, value by value.
func sum(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] + b[i]
	}
	return out
}
