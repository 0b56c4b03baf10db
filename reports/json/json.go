// Package json writes a run's panels as one JSON document for scripts that want what the report shows; scripts that
// want figures read result.json.
package json

import (
	"encoding/json"
	"fmt"
	"io"

	"orrery/reports"
	"orrery/sim/result"
)

// FormatVersion is the version of the document. It changes when a field is removed or changes meaning.
const FormatVersion = 1

type document struct {
	Format   int     `json:"orrery_report"`
	Scenario string  `json:"scenario"`
	Seed     uint64  `json:"seed"`
	Panels   []panel `json:"panels"`
}

type comparison struct {
	Format int      `json:"orrery_comparison"`
	Runs   []string `json:"runs"`
	Panels []panel  `json:"panels"`
}

type panel struct {
	ID       string            `json:"id"`
	Title    string            `json:"title"`
	Question string            `json:"question"`
	Headline string            `json:"headline"`
	Findings []reports.Finding `json:"findings,omitempty"`
	Cards    []reports.Card    `json:"cards,omitempty"`
	Charts   []chart           `json:"charts,omitempty"`
	Tables   []table           `json:"tables,omitempty"`
	Notes    []string          `json:"notes,omitempty"`
	Text     string            `json:"text,omitempty"`
}

type table struct {
	ID      string           `json:"id"`
	Title   string           `json:"title"`
	Columns []reports.Column `json:"columns"`
	Rows    [][]reports.Cell `json:"rows"`
}

type chart struct {
	ID         string                `json:"id"`
	Title      string                `json:"title"`
	Kind       reports.ChartKind     `json:"kind"`
	X          reports.Axis          `json:"x"`
	Y          reports.Axis          `json:"y"`
	Times      []float64             `json:"times,omitempty"` // in x.unit; bin starts and the last end
	Categories []string              `json:"categories,omitempty"`
	Series     []reports.ChartSeries `json:"series,omitempty"`
	Rows       []string              `json:"rows,omitempty"`
	Heat       [][]float64           `json:"heat,omitempty"` // -1 = not there
	Value      *reports.Axis         `json:"value,omitempty"`
}

// Render writes the document. It fails only when w does. The same data give the same bytes.
func Render(w io.Writer, d *result.Data) error {
	return write(w, document{Format: FormatVersion, Scenario: d.Summary.Scenario, Seed: d.Summary.Seed,
		Panels: panels(reports.Build(d))})
}

// RenderComparison writes the document of a comparison. It fails only when w does.
func RenderComparison(w io.Writer, c *reports.Comparison) error {
	doc := comparison{Format: FormatVersion, Panels: panels(c.Sections)}
	for _, r := range c.Runs {
		doc.Runs = append(doc.Runs, r.Name)
	}
	return write(w, doc)
}

func panels(sections []reports.Section) (out []panel) {
	for _, s := range sections {
		p := panel{ID: s.ID, Title: s.Title, Question: s.Question, Headline: s.Headline, Findings: s.Findings,
			Cards: s.Cards, Notes: s.Notes, Text: s.Text}
		for _, t := range s.Tables {
			rows := t.Rows
			if rows == nil {
				rows = [][]reports.Cell{} // an empty list, not null
			}
			p.Tables = append(p.Tables, table{t.ID, t.Title, t.Columns, rows})
		}
		for _, c := range s.Charts {
			p.Charts = append(p.Charts, fromChart(c))
		}
		out = append(out, p)
	}
	return out
}

func write(w io.Writer, doc any) error {
	b, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		return fmt.Errorf("writing the report as JSON: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

func fromChart(c reports.Chart) chart {
	out := chart{ID: c.ID, Title: c.Title, Kind: c.Kind, X: c.X, Y: c.Y, Times: c.Times, Categories: c.Categories,
		Series: c.Series, Rows: c.Rows, Heat: c.Heat}
	if c.Kind == reports.HeatMap {
		out.Value = &c.Value
	}
	return out
}
