package reports

import (
	"fmt"
	"maps"
	"slices"

	"orrery/sim/result"
)

func schedulerPanel() Panel {
	return Panel{"scheduler", "Scheduler", "How hard did the scheduler work, and which plugin said no?", buildScheduler}
}

func buildScheduler(d *result.Data) Content {
	s, j := &d.Summary.Scheduler, &d.Summary.Jobs
	t := Table{ID: "work", Title: "Scheduling work", Columns: []Column{{"figure", "Figure", "", Text},
		{"value", "Value", "", Number}, {"unit", "Unit", "", Text}}, Rows: [][]Cell{
		{T("attempts"), I(s.Attempts), T("scheduling cycles")},
		{T("scheduled"), I(s.Scheduled), T("scheduling cycles")},
		{T("unschedulable"), I(s.Unschedulable), T("scheduling cycles")},
		{T("errors"), I(s.Errors), T("scheduling cycles")},
		{T("attempts per scheduled pod"), numIf(s.Scheduled > 0, ratio(float64(s.Attempts), float64(s.Scheduled))),
			T("cycles per pod")},
		{T("preemption victims"), I(s.Preemptions), T("pods")},
		{T("jobs preempted at least once"), I(j.Preempted), T("jobs")},
		{T("restarts"), I(j.Restarts), T("pods")},
		{T("work lost to restarts"), N(d.Summary.GPU.LostHours), T("GPU-hours")}}}
	plugins := Table{ID: "rejections", Title: "Rejections by plugin", Columns: []Column{
		{"plugin", "Plugin", "", Text}, {"rejections", "Attempts rejected", "", Count}}}
	names := slices.Sorted(maps.Keys(s.ByPlugin))
	slices.SortStableFunc(names, func(a, b string) int { // ties stay in the order of names
		switch x, y := s.ByPlugin[a], s.ByPlugin[b]; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	chart := Chart{ID: "rejections-by-plugin", Title: "Attempts rejected by plugin", Kind: Bar,
		X: Axis{"plugin", "name"}, Y: Axis{"rejected", "attempts"},
		Series: []ChartSeries{{Name: "rejected", Role: RoleFragmented}}}
	for _, name := range names {
		plugins.Rows = append(plugins.Rows, []Cell{T(name), I(s.ByPlugin[name])})
		chart.Categories = append(chart.Categories, name)
		chart.Series[0].Values = append(chart.Series[0].Values, float64(s.ByPlugin[name]))
	}
	c := Content{Tables: []Table{t}, Notes: []string{"An attempt rejected by several plugins counts for each of them."}}
	if len(names) > 0 {
		c.Tables = append(c.Tables, plugins)
	}
	if len(names) > 1 {
		c.Charts = []Chart{chart}
	}
	if s.Attempts <= 0 {
		c.Headline = "The scheduler had nothing to do."
		return c
	}
	c.Headline = fmt.Sprintf("%s of %s found a node.", FormatShare(ratio(float64(s.Scheduled), float64(s.Attempts))),
		plural(s.Attempts, "attempt"))
	if len(names) > 0 && s.ByPlugin[names[0]] > 0 {
		c.Headline += " Most rejections came from " + names[0] + "."
	}
	return c
}
