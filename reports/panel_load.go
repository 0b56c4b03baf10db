package reports

import (
	"fmt"

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
		{"busy_share", "Busy", "", Share}, {"kv_share", "KV cache used", "", Share},
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
		c.Charts = append(c.Charts, Chart{ID: "load-" + s.Name, Title: s.Name + ": requests asked and answered", Kind: Line,
			X: Axis{"time", b.unit.name}, Y: Axis{"requests", "per second"}, Times: b.edges,
			Series: []ChartSeries{{Name: "arrived", Role: RoleCapacity, Values: b.mean(r.Arrived)},
				{Name: "completed", Role: RoleUsed, Values: b.mean(r.Completed)},
				{Name: "rejected or timed out", Role: RoleDown, Values: sum(b.mean(r.Rejected), b.mean(r.TimedOut))}}},
			Chart{ID: "replicas-" + s.Name, Title: s.Name + ": replicas", Kind: Line, X: Axis{"time", b.unit.name},
				Y: Axis{"replicas", "count"}, Times: b.edges,
				Series: []ChartSeries{{Name: "ready", Role: RoleCapacity, Values: b.mean(r.Ready)},
					{Name: "busy", Role: RoleUsed, Values: b.mean(r.Busy)}}},
			Chart{ID: "queue-" + s.Name, Title: s.Name + ": requests in the servers", Kind: StackedArea,
				X: Axis{"time", b.unit.name}, Y: Axis{"requests", "count"}, Times: b.edges,
				Series: []ChartSeries{{Name: "running", Role: RoleUsed, Values: b.mean(r.Running)},
					{Name: "waiting", Role: RoleWaiting, Values: b.mean(r.Waiting)}}})
		c.Notes = append(c.Notes, s.Name+": "+b.note(r.Bin))
		if peak, at := maxOf(r.Waiting); at >= 0 && peak > most {
			most, worst = peak, fmt.Sprintf("The longest queue was at %s: %s requests waiting on average over %s, %s after the "+
				"start.", s.Name, FormatNumber(peak), FormatDuration(r.Bin), FormatDuration(r.T[at]))
		}
	}
	c.Headline = worst
	if worst == "" {
		c.Headline = "No request waited at a replica for long enough to show."
	}
	if note != "" {
		c.Notes = append(c.Notes, note)
	}
	return c
}

// sum adds two lists, value by value.
func sum(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] + b[i]
	}
	return out
}
