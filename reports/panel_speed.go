package reports

import (
	"fmt"

	"orrery/sim/result"
)

func speedPanel() Panel {
	return Panel{"speed", "Speed of work", "How much GPU time did placement, sharing and hardware cost?", buildSpeed}
}

func buildSpeed(d *result.Data) Content {
	s := d.Summary.Speed
	if s == nil || s.Jobs <= 0 {
		return Content{Headline: "The speed of work was not modelled: every job took as long as its trace says."}
	}
	t := Table{ID: "lost", Title: "Where GPU time at work went", Columns: []Column{{"what", "What", "", Text},
		{"gpu_hours", "GPU time", "GPU-hours", Number}, {"share", "Share", "", Share},
		{"meaning", "Meaning", "", Text}}}
	add := func(what string, hours float64, meaning string) {
		t.Rows = append(t.Rows, []Cell{T(what), N(hours), numIf(possible(s) > 0, ratio(hours, possible(s))), T(meaning)})
	}
	add("at work", s.WorkingHours, "GPUs of jobs that work, whatever their speed")
	add("gained: hardware", s.GainedHours, "GPUs faster than the job was described for")
	add("lost: hardware", s.HardwareHours, "GPUs slower than the job was described for")
	add("lost: placement", s.PlacementHours, "pods stand farther from each other than in the best place the cluster has")
	add("lost: sharing", s.SharingHours, "network links or GPUs shared with others; a part of a GPU instead of all of it")
	add("effective", s.EffectiveHours, "what the same work takes at its ideal: at work + gained − lost")
	slow := distributionTable("slowdown", "Slowdown against the ideal", "Jobs")
	addDistribution(&slow, "slowdown of work", "×", &s.Slowdown)
	c := Content{Headline: speedText(s), Tables: []Table{t, slow}, Notes: []string{
		fmt.Sprintf("n = %s. Slowdown of work: time at work ÷ time the same work takes alone, in the best place this "+
			"cluster has, on the GPUs it was described for; below 1 where faster GPUs do it. Waits do not count, as they do "+
			"in the slowdown under “Completion and slowdown”.", plural(s.Jobs, "job")),
		"Gains and losses are in hours of the kind of GPU that the jobs were described for; shares are of at work " +
			"+ gained. Losses are charged in the order hardware, placement, sharing: each with what it takes of what is " +
			"left. The models behind the speeds, and their errors, are under “Models”."}}
	if chart, ok := slowdownHistogram(&d.SpeedHist); ok {
		c.Charts = append(c.Charts, lossChart(s), chart)
	}
	return c
}

func lossChart(s *result.Speed) Chart {
	return Chart{ID: "lost-by-cause", Title: "GPU time lost at work, by cause", Kind: Bar, X: Axis{"cause", "name"},
		Y: Axis{"lost", "GPU-hours"}, Categories: []string{"placement", "sharing", "hardware"},
		Series: []ChartSeries{{Name: "lost", Role: RoleFragmented,
			Values: []float64{clean(s.PlacementHours), clean(s.SharingHours), clean(s.HardwareHours)}}}}
}

func slowdownHistogram(h *result.Histogram) (Chart, bool) {
	n := min(len(h.Counts), max(0, len(h.Edges)-1), pointsMax)
	if n == 0 {
		return Chart{}, false
	}
	c := Chart{ID: "slowdown-histogram", Title: "Jobs by slowdown against the ideal", Kind: Histogram,
		X: Axis{"slowdown", "×"}, Y: Axis{"jobs", "count"}, Series: []ChartSeries{{Name: "jobs", Role: RoleUsed}}}
	first, last := span(h.Counts[:n])
	for i := first; i <= last; i++ {
		c.Categories = append(c.Categories, "≤ "+FormatNumber(h.Edges[i+1]))
		c.Series[0].Values = append(c.Series[0].Values, float64(h.Counts[i]))
	}
	return c, last >= first
}

func speedText(s *result.Speed) string {
	work := clean(s.WorkingHours)
	if work <= 0 {
		return "Jobs worked for no measurable time."
	}
	lost := clean(s.PlacementHours) + clean(s.SharingHours) + clean(s.HardwareHours)
	if lost <= 0 {
		return "No GPU time at work was lost: every job ran at its ideal speed or faster."
	}
	most, why := clean(s.PlacementHours), "because a job's pods stood far apart"
	if x := clean(s.SharingHours); x > most {
		most, why = x, "because jobs shared network links or GPUs with others"
	}
	if clean(s.HardwareHours) > most {
		why = "because GPUs were slower than those jobs were described for"
	}
	return fmt.Sprintf("%s of what the GPUs at work could do (%s of %s GPU-hours) was lost, most of it %s.",
		FormatShare(ratio(lost, possible(s))), FormatNumber(lost), FormatNumber(possible(s)), why)
}
