package reports

import (
	"orrery/sim/result"
)

func warningsPanel() Panel {
	return Panel{"warnings", "Warnings", "What must a reader know before trusting these figures?", buildWarnings}
}

func buildWarnings(d *result.Data) Content {
	w := d.Summary.Warnings
	if len(w) == 0 {
		return Content{Headline: "There are no warnings."}
	}
	t := Table{ID: "warnings", Title: "Warnings", Columns: []Column{{"code", "Code", "", Text},
		{"count", "Times", "", Count}, {"message", "Message", "", Text}}}
	for _, x := range w {
		t.Rows = append(t.Rows, []Cell{T(x.Code), I(x.Count), T(x.Message)})
	}
	return Content{Headline: plural(int64(len(w)), "kind") + " of warning.", Tables: []Table{t}}
}
