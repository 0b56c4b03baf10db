package reports

import (
	"fmt"

	"orrery/sim/result"
)

// scalingsShown bounds the rows of scale events.
const scalingsShown = 200

func scalingPanel() Panel {
	return Panel{"scaling", "Scaling", "Who changed the number of replicas, when, and why?", buildScaling}
}

func buildScaling(d *result.Data) Content {
	if len(d.Scalings) == 0 && len(d.Conditions) == 0 {
		return Content{Headline: "Nothing changed the number of replicas.", Absent: d.Summary.Serving == nil}
	}
	t := Table{ID: "events", Title: "Changes of replicas", Columns: []Column{{"t_seconds", "When", "s", Duration},
		{"object", "What", "", Text}, {"from", "From", "", Count}, {"to", "To", "", Count}, {"by", "By", "", Text},
		{"reason", "Why, in its words", "", Text}}}
	ups, downs := 0, 0
	for i, x := range d.Scalings {
		if x.To > x.From {
			ups++
		} else {
			downs++
		}
		if i < scalingsShown {
			t.Rows = append(t.Rows, []Cell{N(x.Seconds), T(x.Object), I(int64(x.From)), I(int64(x.To)), T(x.By), T(x.Reason)})
		}
	}
	c := Content{Tables: []Table{t}, Headline: fmt.Sprintf("Replicas were changed %s: %d times up, %d times down.",
		times(int64(len(d.Scalings))), ups, downs)}
	if len(d.Scalings) > scalingsShown {
		c.Notes = append(c.Notes, fmt.Sprintf("The first %d of %d changes; the journal has all (records of kind scale).",
			scalingsShown, len(d.Scalings)))
	}
	if len(d.Conditions) > 0 {
		said := Table{ID: "conditions", Title: "What the autoscalers say of themselves at the end", Columns: []Column{
			{"object", "Object", "", Text}, {"type", "Condition", "", Text}, {"status", "Status", "", Text},
			{"reason", "Reason", "", Text}, {"message", "Message", "", Text}, {"since_seconds", "Since", "s", Duration},
			{"changes", "Changes", "", Count}}}
		for _, x := range d.Conditions {
			said.Rows = append(said.Rows, []Cell{T(x.Object), T(x.Type), T(x.Status), T(x.Reason), T(x.Message), N(x.Seconds),
				I(x.Changes)})
			if x.Type == "ScalingActive" && x.Status == "False" && x.Reason != "ScalingDisabled" {
				c.Findings = append(c.Findings, Finding{Rule: "scaling-inactive", Level: Bad,
					Text: fmt.Sprintf("%s cannot scale: %s: %s", x.Object, x.Reason, x.Message)})
			}
		}
		c.Tables = append(c.Tables, said)
	}
	if len(d.Scalings) == 0 {
		c.Headline = "Nothing changed the number of replicas."
	}
	return c
}
