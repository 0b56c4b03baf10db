package reports

import (
	"fmt"

	"orrery/sim/result"
)

func sizesPanel() Panel {
	return Panel{"sizes", "Waits by job size", "Do large jobs wait longer than small ones?", buildSizes}
}

func buildSizes(d *result.Data) Content {
	t := Table{ID: "sizes", Title: "Jobs by the number of GPUs they ask for", Columns: append([]Column{
		{"gpus", "Size", "GPUs", Number}, {"jobs", "Jobs", "", Count}, {"gpu_hours", "Used", "GPU-hours", Number}},
		waitColumns()...)}
	var names []string
	var waits []result.Distribution
	slowest := -1
	for i, s := range d.Sizes {
		t.Rows = append(t.Rows, append([]Cell{N(s.GPUs.GPUs()), I(s.Jobs), N(s.GPUHours)}, waitCells(&s.Wait)...))
		if s.Wait.Count == 0 {
			continue
		}
		names, waits = append(names, FormatNumber(s.GPUs.GPUs())), append(waits, s.Wait)
		if slowest < 0 || s.Wait.P95 > d.Sizes[slowest].Wait.P95 {
			slowest = i
		}
	}
	c := Content{Tables: []Table{t}, Notes: []string{"Jobs never placed count as jobs but have no wait."}}
	switch {
	case len(d.Sizes) == 0:
		return Content{Headline: "No job was submitted."}
	case slowest < 0:
		c.Headline = "No job was placed."
	case d.Sizes[slowest].Wait.P95 <= 0:
		c.Headline = "At every size, at least 95 in 100 placed jobs did not wait."
	case len(waits) == 1:
		c.Headline = fmt.Sprintf("All jobs placed ask for %s GPUs.", names[0])
	default:
		s := d.Sizes[slowest]
		c.Headline = fmt.Sprintf("Jobs of %s GPUs had the longest waits: 1 in 20 waited %s or longer (%s placed).",
			FormatNumber(s.GPUs.GPUs()), FormatDuration(s.Wait.P95), plural(s.Wait.Count, "job"))
	}
	const shown = 40 // bars; more cannot be told apart
	if len(names) > shown {
		c.Notes = append(c.Notes, fmt.Sprintf("The chart shows the %d smallest of %d sizes.", shown, len(names)))
		names, waits = names[:shown], waits[:shown]
	}
	if len(waits) > 0 {
		c.Charts = []Chart{waitBars("waits-by-size", "Queue wait by job size", "job size", "GPUs", names, waits)}
	}
	return c
}
