package reports

import (
	"fmt"

	"orrery/sim/result"
)

func startsPanel() Panel {
	return Panel{"starts", "Cold starts", "How long did new replicas and machines take, and where did the time go?",
		buildStarts}
}

func buildStarts(d *result.Data) Content {
	s := d.Summary.Starts
	if (s == nil || s.Pods == 0) && d.Summary.Machines == nil {
		return Content{Headline: "No replica of a service started.", Absent: d.Summary.Serving == nil}
	}
	c := Content{Headline: "No replica of a service started."}
	if s != nil && s.Pods > 0 {
		t := distributionTable("starts", "From the creation of a pod until it takes requests", "Replicas")
		addDistribution(&t, "wait for a node", "s", &s.Wait)
		for _, name := range s.StageNames {
			x := s.Stages[name]
			addDistribution(&t, name, "s", &x)
		}
		addDistribution(&t, "start on the node", "s", &s.Start)
		addDistribution(&t, "total", "s", &s.Total)
		c.Tables = append(c.Tables, t)
		c.Headline = startsText(s)
		if chart, ok := startsChart(d, s); ok {
			c.Charts = append(c.Charts, chart)
		}
		c.Notes = append(c.Notes, fmt.Sprintf("n = %s. Wait: from the pod's creation until it is bound, machines that had "+
			"to be bought included. Stages are spans of a pod on its node; their distributions and sources are in the models' "+
			"cards.", plural(s.Pods, "replica")))
	}
	if m := d.Summary.Machines; m != nil {
		machines(&c, m)
	}
	return c
}

// startsText names the longest stage.
func startsText(s *result.Starts) string {
	most, name := clean(s.Wait.Mean), "waiting for a node"
	for _, n := range s.StageNames {
		if mean := clean(s.Stages[n].Mean); mean > most {
			most, name = mean, n
		}
	}
	return fmt.Sprintf("A new replica took %s at the median and %s at the 95th percentile; the longest part was %s (%s "+
		"on average).", FormatDuration(s.Total.P50), FormatDuration(s.Total.P95), name, FormatDuration(most))
}

// stageRoles colour the stages of a start.
var stageRoles = []Role{RoleNodeKind, RoleGPUCount, RoleMemory, RoleCPU, RoleGang, RolePodLimit, RoleOther}

func startsChart(d *result.Data, s *result.Starts) (Chart, bool) {
	list, _ := shownServices(d)
	c := Chart{ID: "start-stages", Title: "Mean time from a pod's creation until it takes requests", Kind: StackedBar,
		X: Axis{"service", "name"}, Y: Axis{"time", "s"}, Series: []ChartSeries{{Name: "wait for a node", Role: RoleWaiting}}}
	for i, name := range s.StageNames {
		c.Series = append(c.Series, ChartSeries{Name: name, Role: stageRoles[min(i, len(stageRoles)-1)]})
	}
	for _, x := range list {
		if len(x.StartStages) != len(s.StageNames) {
			continue
		}
		c.Categories = append(c.Categories, clip(x.Name, 16))
		c.Series[0].Values = append(c.Series[0].Values, clean(x.StartWait))
		for i, v := range x.StartStages {
			c.Series[i+1].Values = append(c.Series[i+1].Values, clean(v))
		}
	}
	c.Series = drawn(c.Series)
	return c, len(c.Categories) > 0
}

// machineSteps are the states that a machine's steps lead to, in order, and what the step is.
var machineSteps = []struct{ state, what string }{{"launched", "the cloud's answer"},
	{"failed", "refused, or too late"},
	{"registered", "boot, until the kubelet joins"}, {"driver", "driver and toolkit"},
	{"ready", "device plugin, until GPUs can be used"}, {"interrupted", "until an interruption"},
	{"terminating", "until its end begins"}, {"gone", "until it is no longer paid for"}}

// machines adds what became of machines.
func machines(c *Content, m *result.Machines) {
	t := Table{ID: "machines", Title: "Machines", Columns: []Column{{"what", "What", "", Text},
		{"value", "Value", "", Number}, {"unit", "Unit", "", Text}}, Rows: [][]Cell{
		{T("ordered"), I(m.Ordered), T("machines")}, {T("not to be had"), I(m.Failed), T("orders")},
		{T("became ready"), I(m.Ready), T("machines")}, {T("interrupted"), I(m.Interrupted), T("machines")},
		{T("ended"), I(m.Gone), T("machines")}, {T("most at a time"), I(m.Peak), T("machines")},
		{T("paid for"), N(m.Hours), T("machine-hours")}}}
	steps := distributionTable("machine-steps", "Steps of a machine", "Machines")
	for _, s := range machineSteps {
		if x, ok := m.Steps[s.state]; ok {
			addDistribution(&steps, s.state+": "+s.what, "s", &x)
		}
	}
	c.Tables = append(c.Tables, t, steps)
	if m.Ordered > 0 {
		c.Findings = append(c.Findings, Finding{Rule: "machines", Level: Info, Text: fmt.Sprintf("%s were ordered and %s "+
			"ended in the run; at most %d were paid for at a time, %s machine-hours in all.", plural(m.Ordered, "machine"),
			FormatCount(float64(m.Gone)), m.Peak, FormatNumber(m.Hours))})
	}
}
