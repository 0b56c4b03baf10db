package reports

import (
	"fmt"

	"orrery/sim/result"
)

func migPanel() Panel {
	return Panel{"mig", "GPU use by MIG profile", "Which MIG instances were used, and which lay idle?", buildMIG}
}

func buildMIG(d *result.Data) Content {
	m := d.Summary.MIG
	if m == nil || len(m.Profiles) == 0 {
		return Content{Headline: "No GPU was divided into MIG instances.", Absent: true}
	}
	t := Table{ID: "profiles", Title: "MIG instances by profile", Columns: []Column{{"profile", "Profile", "", Text},
		{"memory_slices", "Memory slices", "", Count}, {"instances_peak", "Instances at most", "", Count},
		{"assigned", "Times given to a pod", "", Count}, {"offered_gpu_hours", "Offered", "GPU-hours", Number},
		{"used_gpu_hours", "Used", "GPU-hours", Number}, {"idle_gpu_hours", "Idle", "GPU-hours", Number},
		{"used_share", "Used share", "", Share}, {"offered_slice_hours", "Offered", "slice-hours", Number},
		{"used_slice_hours", "Used", "slice-hours", Number}}}
	chart := Chart{ID: "use-by-profile", Title: "GPU time of MIG instances", Kind: StackedBar,
		X: Axis{"profile", "name"}, Y: Axis{"GPU time", "GPU-hours"},
		Series: []ChartSeries{{Name: "used", Role: RoleUsed}, {Name: "idle", Role: RoleIdle}}}
	worst := -1
	for i, p := range m.Profiles {
		some := clean(p.OfferedHours) > 0
		t.Rows = append(t.Rows, []Cell{T(p.Profile), I(p.Slices), I(p.InstancesPeak), I(p.Assigned), N(p.OfferedHours),
			N(p.UsedHours), N(p.IdleHours), numIf(some, p.UsedFraction), N(p.OfferedSliceHours), N(p.UsedSliceHours)})
		chart.Categories = append(chart.Categories, p.Profile)
		chart.Series[0].Values = append(chart.Series[0].Values, clean(p.UsedHours))
		chart.Series[1].Values = append(chart.Series[1].Values, clean(p.IdleHours))
		if clean(p.IdleHours) > 0 && (worst < 0 || p.IdleHours > m.Profiles[worst].IdleHours) {
			worst = i
		}
	}
	if n := len(chart.Categories); n > pointsMax {
		chart.Categories = chart.Categories[:pointsMax]
		for i := range chart.Series {
			chart.Series[i].Values = chart.Series[i].Values[:pointsMax]
		}
	}
	c := Content{Charts: []Chart{chart}, Tables: []Table{t}}
	switch {
	case clean(m.OfferedHours) <= 0:
		c.Headline = "MIG instances existed for no measurable time."
	case worst < 0:
		c.Headline = "All MIG instances were used all the time."
	default:
		c.Headline = fmt.Sprintf("%s of the time of all MIG instances was used; %s lay idle most, %s GPU-hours.",
			FormatShare(ratio(m.UsedHours, m.OfferedHours)), m.Profiles[worst].Profile,
			FormatNumber(m.Profiles[worst].IdleHours))
	}
	c.Notes = []string{fmt.Sprintf("A further %s GPU-hours of partitioned GPUs belong to no instance that the partition "+
		"offers.", FormatNumber(m.StrandedHours)),
		"GPU-hours: an instance counts as its compute slices' part of the GPU. Offered: instances of a static partition, " +
			"on nodes in service; instances made at need count as offered while a pod owns them. Slice-hours: memory slices × " +
			"time."}
	return c
}
