package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

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
	c := Content{Tables: []Table{causesOfScaling(d), t}}
	c.Headline = fmt.Sprintf("Replicas were changed %s: %d times up, %d times down.",
		times(int64(len(d.Scalings))), ups, downs)
	if chart, ok := wantedChart(d); ok {
		c.Charts = append(c.Charts, chart)
	}
	if len(d.Scalings) > scalingsShown {
		c.Notes = append(c.Notes, fmt.Sprintf("The first %d of %d changes; the journal has all (records of kind scale).",
			scalingsShown, len(d.Scalings)))
	}
	if len(d.Conditions) > 0 {
		said := Table{ID: "conditions", Title: "What the autoscalers say of themselves at the end", Columns: []Column{
			{"object", "Object", "", Text}, {"condition", "Condition", "", Text}, {"reason", "Reason", "", Text},
			{"message", "Message", "", Text}, {"since_seconds", "Since", "s", Duration},
			{"changes", "Changes", "", Count}}}
		machines := int64(0)
		for _, x := range d.Conditions {
			if kind, _, _ := strings.Cut(x.Object, "/"); kind == "Node" || kind == "NodeClaim" {
				machines++
				continue
			}
			said.Rows = append(said.Rows, []Cell{T(x.Object), T(x.Type + ": " + x.Status), T(x.Reason), T(x.Message),
				N(x.Seconds), I(x.Changes)})
		}
		c.Tables = append(c.Tables, said)
		if machines > 0 {
			c.Notes = append(c.Notes, fmt.Sprintf("Without %s of single machines (Node, NodeClaim): `orrery explain RESULT_DIR "+
				"nodeclaim/NAME` shows them.", plural(machines, "condition")))
		}
		if level, text, ok := findInactive(d); ok {
			c.Findings = append(c.Findings, Finding{"autoscaler-inactive", level, text})
		}
	}
	if len(d.Scalings) == 0 {
		c.Headline = "Nothing changed the number of replicas."
	}
	return c
}

// causesShown bounds the rows of causes.
const causesShown = 12

// causesOfScaling counts changes by who made them and why, most frequent first.
func causesOfScaling(d *result.Data) Table {
	t := Table{ID: "causes", Title: "Changes by their causes", Columns: []Column{{"by", "By", "", Text},
		{"reason", "Why, in its words", "", Text}, {"times", "Times", "", Count},
		{"replicas_added", "Replicas added", "", Count}, {"replicas_removed", "Replicas removed", "", Count}}}
	type why struct {
		by, reason            string
		times, added, removed int64
	}
	var list []why
	for _, x := range d.Scalings {
		i := slices.IndexFunc(list, func(c why) bool { return c.by == x.By && c.reason == x.Reason })
		if i < 0 {
			i = len(list)
			list = append(list, why{by: x.By, reason: x.Reason})
		}
		list[i].times++
		list[i].added += max(0, int64(x.To)-int64(x.From))
		list[i].removed += max(0, int64(x.From)-int64(x.To))
	}
	slices.SortStableFunc(list, func(a, b why) int { return cmp.Compare(b.times, a.times) })
	rest := why{by: "others"}
	for i, c := range list {
		if i < causesShown || len(list) == causesShown+1 {
			t.Rows = append(t.Rows, []Cell{T(c.by), T(c.reason), I(c.times), I(c.added), I(c.removed)})
			continue
		}
		rest.times, rest.added, rest.removed = rest.times+c.times, rest.added+c.added, rest.removed+c.removed
	}
	if rest.times > 0 {
		t.Rows = append(t.Rows, []Cell{T(rest.by), None(), I(rest.times), I(rest.added), I(rest.removed)})
	}
	return t
}

// wantedShown bounds the objects of the chart of wanted replicas: more lines cannot be told apart.
const wantedShown = 6

// wantedChart draws how many replicas each object should have, as its changes say; before the first of them it is what
// that one changed. At one instant the last change counts.
func wantedChart(d *result.Data) (Chart, bool) {
	c := Chart{ID: "wanted", Title: "Replicas wanted", Kind: Line, Y: Axis{"replicas", "count"}}
	end := clean(d.Summary.SimulatedSeconds)
	var at []float64
	index := map[string]int{}
	for _, x := range d.Scalings {
		if t := clean(x.Seconds); t > 0 && t < end {
			at = append(at, t)
		}
		if _, known := index[x.Object]; !known && len(index) < wantedShown {
			index[x.Object] = len(c.Series)
			c.Series = append(c.Series, ChartSeries{Name: clip(x.Object, 40), Role: stageRoles[len(c.Series)]})
		}
	}
	if len(at) == 0 {
		return c, false
	}
	if len(c.Series) == 1 { // a chart of one line has no legend
		c.Title += ": " + c.Series[0].Name
	}
	slices.Sort(at)
	at = append(append([]float64{0}, slices.Compact(at)...), end)
	unit := unitOf(end)
	for _, t := range at {
		c.Times = append(c.Times, t/unit.seconds)
	}
	c.X = Axis{"time", unit.name}
	for i := range c.Series {
		c.Series[i].Values = make([]float64, len(at)-1)
	}
	seen := map[string]bool{}
	for _, x := range d.Scalings { // by time
		i, known := index[x.Object]
		if !known {
			continue
		}
		v := c.Series[i].Values
		from, _ := slices.BinarySearch(at, min(max(clean(x.Seconds), 0), end))
		if !seen[x.Object] {
			seen[x.Object] = true
			fill(v[:min(from, len(v))], float64(x.From))
		}
		fill(v[min(from, len(v)):], float64(x.To))
	}
	return c, true
}

// fill sets all values.
func fill(v []float64, f float64) {
	for i := range v {
		v[i] = f
	}
}
