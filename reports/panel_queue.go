package reports

import (
	"orrery/sim/result"
)

func queuePanel() Panel {
	return Panel{"queue", "Queue over time", "How much work was waiting, and when?", buildQueue}
}

func buildQueue(d *result.Data) Content {
	s := &d.Series
	if len(s.T) == 0 {
		return Content{Headline: "No time passed in the run."}
	}
	c := Content{}
	if peak, at := maxOf(s.PendingPods[:min(len(s.PendingPods), len(s.T))]); peak <= 0 {
		c.Headline = "No pod waited long enough to show."
	} else {
		c.Headline = "The queue was longest " + FormatDuration(s.T[at]) + " after the start, with " +
			FormatNumber(peak) + " pods waiting on average over " + FormatDuration(s.Bin) + "."
	}
	b := newBins(s.T, s.Bin, len(s.T), pointsMax)
	x := Axis{"time since start", b.unit.name}
	c.Charts = []Chart{
		{ID: "pods-over-time", Title: "Pods waiting and running", Kind: Line, X: x, Y: Axis{"pods", "count"},
			Times: b.edges, Series: []ChartSeries{
				{Name: "waiting", Role: RolePods, Values: b.mean(s.PendingPods)},
				{Name: "running", Role: RoleUsed, Values: b.mean(s.RunningPods)}}},
		{ID: "gpus-pending-over-time", Title: "GPUs asked for by waiting pods", Kind: Line, X: x,
			Y: Axis{"GPUs asked for", "devices"}, Times: b.edges,
			Series: []ChartSeries{{Name: "GPUs asked for", Role: RoleGPUs, Values: b.mean(s.PendingGPUs)}}},
	}
	t := Table{ID: "over-time", Title: "Queue, average in each period", Columns: []Column{
		{"from_seconds", "From", "s", Duration}, {"to_seconds", "To", "s", Duration},
		{"pending_pods", "Pods waiting", "", Number}, {"running_pods", "Pods running", "", Number},
		{"pending_gpus", "Asked for by waiting pods", "GPUs", Number}}}
	periodRows(&t, newBins(s.T, s.Bin, len(s.T), periodsMax), s.PendingPods, s.RunningPods, s.PendingGPUs)
	c.Tables = []Table{t}
	c.Notes = []string{b.note(s.Bin), "A pod waits from its creation until it is bound to a node."}
	return c
}
