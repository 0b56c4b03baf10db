package reports

import (
	"fmt"

	"orrery/sim/result"
)

func slowdownPanel() Panel {
	return Panel{"slowdown", "Completion and slowdown", "How much longer did jobs take than their work needs?",
		buildSlowdown}
}

func buildSlowdown(d *result.Data) Content {
	s := &d.Summary
	t := distributionTable("completion", "Completion times and slowdown", "Jobs")
	addDistribution(&t, "start-up", "s", &s.Startup)
	addDistribution(&t, "job completion", "s", &s.JobCompletion)
	addDistribution(&t, "slowdown", "×", &s.Slowdown)
	c := Content{Tables: []Table{t}, Notes: []string{
		fmt.Sprintf("n = %s that succeeded (slowdown, completion), %s whose pods all ran (start-up).",
			plural(s.Slowdown.Count, "job"), FormatCount(float64(s.Startup.Count))),
		"Start-up: from the last pod bound until each pod has run, preempted and replaced ones included. " +
			"Completion: from submission to end. Slowdown: completion ÷ run time, so waits, start-up and work " +
			"done again all count; it weighs most on short jobs."}}
	switch w := &s.Slowdown; {
	case w.Count <= 0:
		c.Headline = "No job succeeded, so there is no slowdown to show."
	case w.Max <= 1.005:
		c.Headline = "No job that succeeded took noticeably longer than its work needs."
	case w.P50 <= 1.005:
		c.Headline = fmt.Sprintf("At least half of the jobs that succeeded were not slowed noticeably; the mean is "+
			"%s times the run time, the worst %s times.", FormatNumber(w.Mean), FormatNumber(w.Max))
	default:
		c.Headline = fmt.Sprintf("The median job took %s times its run time, the worst %s times.",
			FormatNumber(w.P50), FormatNumber(w.Max))
	}
	return c
}
