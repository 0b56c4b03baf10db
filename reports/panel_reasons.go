package reports

import (
	"fmt"
	"strings"

	"orrery/sim/result"
)

func reasonsPanel() Panel {
	return Panel{"reasons", "Why pods waited", "What did the scheduler say to the pods that waited?", buildReasons}
}

func buildReasons(d *result.Data) Content {
	if len(d.Reasons) == 0 {
		return Content{Headline: "The scheduler refused no pod.", Absent: onlyServices(d)}
	}
	t := Table{ID: "reasons", Title: "Verdicts by the time pods waited under them", Columns: []Column{
		{"number", "No.", "", Count}, {"message", "In the scheduler's words", "", Text}, {"plugins", "Plugins", "", Text},
		{"pod_hours", "Waited", "pod-hours", Number}, {"share_of_pod_hours", "Share", "", Share},
		{"gpu_hours", "Asked for", "GPU-hours", Number}, {"pods", "Pods", "", Count},
		{"attempts", "Attempts", "", Count}}}
	total := 0.0
	for _, r := range d.Reasons {
		total += clean(r.PodHours)
	}
	chart := Chart{ID: "pod-hours-by-reason", Title: "Time waited by verdict", Kind: Bar,
		X: Axis{"verdict", "number in the table"}, Y: Axis{"waited", "pod-hours"},
		Series: []ChartSeries{{Name: "pod-hours", Role: RoleFragmented}}}
	const shown = 12
	for i, r := range d.Reasons {
		t.Rows = append(t.Rows, []Cell{I(int64(i + 1)), T(verdict(r.Message)), T(strings.Join(r.Plugins, ", ")),
			N(r.PodHours), numIf(total > 0, ratio(r.PodHours, total)), N(r.GPUHours), I(r.Pods), I(r.Attempts)})
		if i < shown {
			chart.Categories = append(chart.Categories, fmt.Sprintf("%d", i+1))
			chart.Series[0].Values = append(chart.Series[0].Values, clean(r.PodHours))
		}
	}
	c := Content{Tables: []Table{t}, Notes: []string{
		"Messages are the scheduler's own, with the counts of nodes removed so that equal reasons add up. " +
			"Pod-hours: time with this as the latest verdict. GPU-hours: the same times the GPUs asked for. " +
			"A pod counts under every verdict it ever got."}}
	first := d.Reasons[0]
	if total <= 0 {
		c.Headline = "The scheduler refused pods, but none waited measurably for it."
		return c
	}
	c.Headline = fmt.Sprintf("%s of the %s pod-hours waited after a refusal were under: %s",
		FormatShare(ratio(first.PodHours, total)), FormatNumber(total), quote(verdict(first.Message), 200))
	if len(chart.Categories) > 1 {
		c.Charts = []Chart{chart}
	}
	return c
}

func verdict(message string) string {
	if message == "" {
		return "(no message)"
	}
	return message
}

// quote puts a message in quotation marks and ends the sentence.
func quote(message string, max int) string {
	message = clip(message, max)
	if strings.HasSuffix(message, ".") {
		return "“" + message + "”"
	}
	return "“" + message + "”."
}
