package reports

import (
	"fmt"

	"orrery/sim/result"
)

func gpusPanel() Panel {
	return Panel{"gpus", "GPU use over time", "What did the GPUs do, and why were they idle?", buildGPUs}
}

func buildGPUs(d *result.Data) Content {
	s, g := &d.Series, &d.Summary.GPU
	c := Content{Tables: []Table{ledgerTable(g)}}
	total := capacity(s)
	switch peak, _ := maxOf(s.Used); {
	case g.CapacityHours <= 0:
		c.Headline = "There was no GPU time."
	case g.UsedHours <= 0:
		c.Headline = "No GPU was used."
	default:
		hours := d.Summary.SimulatedSeconds / 3600
		c.Headline = fmt.Sprintf("On average %s of %s GPUs were used, at most %s.",
			FormatNumber(ratio(g.UsedHours, hours)), FormatNumber(ratio(g.CapacityHours, hours)), FormatNumber(peak))
	}
	if len(s.T) > 0 {
		b := newBins(s.T, s.Bin, len(s.T), pointsMax)
		c.Charts = []Chart{{ID: "gpus-over-time", Title: "GPUs by state", Kind: StackedArea,
			X: Axis{"time since start", b.unit.name}, Y: Axis{"GPUs", "devices"}, Times: b.edges,
			Series: []ChartSeries{
				{Name: "used", Role: RoleUsed, Values: b.mean(s.Used)},
				{Name: "idle: fits nowhere", Role: RoleFragmented, Values: b.mean(s.IdleFragmented)},
				{Name: "idle: not yet judged", Role: RoleWaiting, Values: b.mean(s.IdleWaiting)},
				{Name: "idle: no demand", Role: RoleNoDemand, Values: b.mean(s.IdleNoDemand)},
				{Name: "down", Role: RoleDown, Values: b.mean(s.Down)},
				{Name: "capacity", Role: RoleCapacity, Values: b.mean(total), Overlay: true},
			}}}
		c.Tables = append(c.Tables, gpuPeriods(s))
		c.Notes = append(c.Notes, b.note(s.Bin))
	}
	c.Notes = append(c.Notes, "Idle “fits nowhere”: asked for by pods whose latest attempt found no node, "+
		"back-off included. "+
		"Idle “not yet judged”: asked for by pods without a verdict so far, or whose latest attempt was an error. "+
		"Idle “no demand”: more GPUs free than all waiting pods ask for. Used: owned by a pod, from binding to release.")
	return c
}

func ledgerTable(g *result.GPU) Table {
	t := Table{ID: "ledger", Title: "Where the GPU time went", Columns: []Column{{"state", "State", "", Text},
		{"gpu_hours", "GPU time", "GPU-hours", Number}, {"share_of_capacity", "Share of capacity", "", Share}}}
	add := func(state string, hours float64) {
		t.Rows = append(t.Rows, []Cell{T(state), N(hours),
			numIf(g.CapacityHours > 0, ratio(hours, g.CapacityHours))})
	}
	add("used", g.UsedHours)
	add("of which lost to restarts", g.LostHours)
	add("idle: fits nowhere", g.IdleFragmentedHours)
	add("idle: not yet judged", g.IdleWaitingHours)
	add("idle: no demand", g.IdleNoDemandHours)
	add("down", g.DownHours)
	add("capacity", g.CapacityHours)
	return t
}

// periodsMax is the number of rows of tables over time: enough to follow a day by hours.
const periodsMax = 24

func gpuPeriods(s *result.Series) Table {
	b := newBins(s.T, s.Bin, len(s.T), periodsMax)
	t := Table{ID: "over-time", Title: "GPUs by state, average in each period", Columns: []Column{
		{"from_seconds", "From", "s", Duration}, {"to_seconds", "To", "s", Duration}, {"used_gpus", "Used", "GPUs", Number},
		{"idle_fragmented_gpus", "Idle: fits nowhere", "GPUs", Number},
		{"idle_waiting_gpus", "Idle: not yet judged", "GPUs", Number},
		{"idle_no_demand_gpus", "Idle: no demand", "GPUs", Number}, {"down_gpus", "Down", "GPUs", Number}}}
	periodRows(&t, b, s.Used, s.IdleFragmented, s.IdleWaiting, s.IdleNoDemand, s.Down)
	return t
}

// periodRows adds a row per group of bins: from, to and the averages of the series.
func periodRows(t *Table, b bins, series ...[]float64) {
	means := make([][]float64, len(series))
	for k, v := range series {
		means[k] = b.mean(v)
	}
	for i := 0; i+1 < len(b.edges); i++ {
		from, to := b.seconds(i)
		row := []Cell{N(from), N(to)}
		for _, m := range means {
			row = append(row, N(m[i]))
		}
		t.Rows = append(t.Rows, row)
	}
}
