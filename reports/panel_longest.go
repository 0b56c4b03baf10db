package reports

import (
	"orrery/sim/result"
)

func longestPanel() Panel {
	return Panel{"longest", "Longest waits", "Which jobs waited longest, and for what?", buildLongest}
}

func buildLongest(d *result.Data) Content {
	if len(d.Longest) == 0 {
		return Content{Headline: "No job waited."}
	}
	t := Table{ID: "jobs", Title: "Jobs by queue wait", Columns: []Column{{"job", "Job", "", Text},
		{"tenant", "Tenant", "", Text}, {"gpus", "Asked for", "GPUs", Number}, {"pods", "Pods", "", Count},
		{"state", "State", "", Text}, {"submit_seconds", "Submitted", "s", Duration},
		{"wait_seconds", "Waited", "s", Duration}, {"run_seconds", "Run time", "s", Duration},
		{"restarts", "Restarts", "", Count}, {"reason", "Last verdict", "", Text}}}
	for _, j := range d.Longest {
		t.Rows = append(t.Rows, []Cell{T(j.Job), T(tenantName(j.Tenant)), N(j.GPUs), I(int64(j.Pods)), T(j.State),
			N(j.SubmitSeconds), N(j.WaitSeconds), numIf(j.RunSeconds > 0, j.RunSeconds), I(int64(j.Restarts)),
			T(j.Reason)})
	}
	first := d.Longest[0]
	c := Content{Tables: []Table{t}, Notes: []string{"At most the 50 longest. Submitted: since the start of the run. " +
		"Last verdict: the scheduler's last refusal before the job was placed. A pending job counts with its wait up to " +
		"the end of the run, one that ended unplaced up to its end."}}
	switch {
	case first.WaitSeconds <= 0:
		c.Headline = "No job waited."
	case first.State == "pending":
		c.Headline = "The longest wait, " + FormatDuration(first.WaitSeconds) + " so far, is that of " + first.Job +
			", which was never placed."
	default:
		c.Headline = "The longest wait, " + FormatDuration(first.WaitSeconds) + ", was that of " + first.Job + "."
	}
	return c
}
