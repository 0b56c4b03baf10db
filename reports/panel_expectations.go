package reports

import (
	"orrery/sim/result"
)

func expectationsPanel() Panel {
	return Panel{"expectations", "Expectations", "Did the run meet what the scenario expects?", buildExpectations}
}

func buildExpectations(d *result.Data) Content {
	if len(d.Summary.Expectations) == 0 {
		return Content{Headline: "The scenario expects nothing in particular."}
	}
	t := Table{ID: "expectations", Title: "Expectations", Columns: []Column{{"path", "Figure in result.json", "", Text},
		{"min", "At least", "", Number}, {"max", "At most", "", Number}, {"value", "Value", "", Number},
		{"met", "Met", "", Text}}}
	bound := func(f *float64) Cell {
		if f == nil {
			return None()
		}
		return N(*f)
	}
	for _, e := range d.Summary.Expectations {
		met := "yes"
		if !e.Met {
			met = "NO"
		}
		t.Rows = append(t.Rows, []Cell{T(e.Path), bound(e.Min), bound(e.Max), N(e.Value), T(met)})
	}
	_, text, _ := findExpectations(d)
	return Content{Headline: text, Tables: []Table{t}}
}
