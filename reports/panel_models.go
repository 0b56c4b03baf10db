package reports

import (
	"strings"

	"orrery/sim/result"
)

func modelsPanel() Panel {
	return Panel{"models", "Models", "Which figures come from models, and how far are they off?", buildModels}
}

func buildModels(d *result.Data) Content {
	list := d.Summary.Models
	if len(list) == 0 {
		return Content{Headline: "No model was used: work takes as long as the trace says."}
	}
	t := Table{ID: "models", Title: "Model cards", Columns: []Column{{"model", "Model", "", Text},
		{"formula", "What it computes", "", Text}, {"sources", "Sources", "", Text},
		{"calibration", "Calibration", "", Text}, {"error", "Error", "", Text}, {"leaves_out", "Leaves out", "", Text}}}
	var names []string
	for _, m := range list {
		t.Rows = append(t.Rows, []Cell{T(m.Name), T(m.Formula), T(strings.Join(m.Sources, "; ")), T(orNone(m.Calibration)),
			T(orNone(m.Error)), T(strings.Join(m.LeavesOut, "; "))})
		names = append(names, m.Name)
	}
	verb := " are"
	if len(list) == 1 {
		verb = " is"
	}
	return Content{Headline: plural(int64(len(list)), "model") + verb + " behind figures of this report: " +
		clip(strings.Join(names, ", "), 200) + ".", Tables: []Table{t}}
}

func orNone(s string) string {
	if s == "" {
		return "none stated"
	}
	return s
}
