// Package html renders a run's panels as one offline HTML file: no request leaves it, it opens without a server, reads
// without JavaScript (the tables) and is the same bytes for the same data.
package html

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"orrery/reports"
	"orrery/sim/result"
)

//go:embed assets/page.html.tmpl assets/style.css assets/report.js assets/echarts.min.js.gz
var assets embed.FS

// Limits that keep the file readable and light. What they leave out is said where it is left out, and is whole in the
// CSV and JSON forms.
const (
	rowsMax     = 200     // rows of a table
	rowsOpen    = 9       // rows of a table that is shown unfolded
	cellMax     = 600     // characters of a cell
	wholeMax    = 20      // characters of a cell that stays on one line
	textMax     = 1 << 18 // bytes of preformatted text
	findingsTop = 5       // findings on the first screen
)

type page struct {
	Title, Scenario, Description string
	Facts                        []string
	From                         string  // what it was made of
	Top                          section // the first panel: cards, findings
	Findings, MoreFindings       []reports.Finding
	Sections                     []section
	Style                        template.CSS
	ECharts, Script              template.JS
}

type section struct {
	ID, Title, Question, Headline string
	Cards                         []reports.Card
	Charts                        []figure
	Tables                        []table
	Notes                         []string
	Text                          string
}

type figure struct {
	ID, Title string
	Height    int
	Spec      template.JS // JSON, with <, > and & escaped
}

type table struct {
	ID, Title string
	Heads     []head
	Rows      [][]cell
	Total     int  // rows of the whole table
	Cut       bool // not all of them are here
	Folded    bool
}

type head struct {
	Text  string
	Right bool
	Whole bool
}

type cell struct {
	Text  string
	Right bool
	Whole bool // too short to be broken into lines
}

// Render writes the report. It fails only when w does.
func Render(w io.Writer, d *result.Data) error {
	s := &d.Summary
	p := &page{Scenario: clean(s.Scenario), Description: clean(s.Description), Facts: facts(s), From: "one run"}
	if p.Scenario == "" {
		p.Scenario = "(unnamed scenario)"
	}
	p.Title = p.Scenario + " – Orrery report"
	return p.write(w, reports.Build(d))
}

// RenderComparison writes the page of a comparison. It fails only when w does.
func RenderComparison(w io.Writer, c *reports.Comparison) error {
	p := &page{Scenario: clean(c.Title), From: fmt.Sprintf("%d runs", len(c.Runs))}
	var names []string
	for _, f := range c.Facts {
		p.Facts = append(p.Facts, clean(f))
	}
	for _, r := range c.Runs {
		names = append(names, r.Name)
	}
	p.Title = clean(strings.Join(names, ", ")) + " – Orrery comparison"
	return p.write(w, c.Sections)
}

// write fills the page with sections, the first of them on top, and writes it.
func (p *page) write(w io.Writer, sections []reports.Section) error {
	err := p.fill(sections)
	if err == nil {
		err = p.load()
	}
	if err != nil {
		return fmt.Errorf("rendering the HTML report: %w", err)
	}
	source, err := assets.ReadFile("assets/page.html.tmpl")
	if err != nil {
		return fmt.Errorf("rendering the HTML report: %w", err)
	}
	t, err := template.New("page").Funcs(template.FuncMap{"nb": noBreak}).Parse(string(source))
	if err != nil {
		return fmt.Errorf("rendering the HTML report: %w", err)
	}
	b := bufio.NewWriterSize(w, 1<<16)
	if err := t.Execute(b, p); err != nil {
		return fmt.Errorf("rendering the HTML report: %w", err)
	}
	return b.Flush()
}

func (p *page) fill(sections []reports.Section) error {
	for i, sec := range sections {
		v, err := fromSection(sec)
		if err != nil {
			return err
		}
		if i > 0 {
			p.Sections = append(p.Sections, v)
			continue
		}
		p.Top = v
		for k, f := range sec.Findings {
			f.Text = clean(f.Text)
			if k < findingsTop {
				p.Findings = append(p.Findings, f)
			} else {
				p.MoreFindings = append(p.MoreFindings, f)
			}
		}
	}
	return nil
}

// load reads the embedded style and scripts.
func (p *page) load() error {
	style, err := assets.ReadFile("assets/style.css")
	if err != nil {
		return err
	}
	script, err := assets.ReadFile("assets/report.js")
	if err != nil {
		return err
	}
	packed, err := assets.ReadFile("assets/echarts.min.js.gz")
	if err != nil {
		return err
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	library, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	p.Style, p.Script, p.ECharts = template.CSS(style), template.JS(script), template.JS(library)
	return nil
}

func facts(s *result.Summary) []string {
	out := []string{reports.FormatDuration(s.SimulatedSeconds) + " simulated"}
	if s.Epoch != "" {
		out = append(out, "from "+clean(s.Epoch))
	}
	if s.Trace != "" {
		out = append(out, "trace "+clean(s.Trace))
	}
	return append(out, fmt.Sprintf("seed %d", s.Seed))
}

func fromSection(s reports.Section) (section, error) {
	out := section{ID: s.ID, Title: s.Title, Question: s.Question, Headline: clean(s.Headline)}
	for _, c := range s.Cards {
		out.Cards = append(out.Cards, reports.Card{Label: clean(c.Label), Value: c.Value, Sub: clean(c.Sub)})
	}
	for _, c := range s.Charts {
		f, err := newFigure(s.ID, c)
		if err != nil {
			return out, err
		}
		out.Charts = append(out.Charts, f)
	}
	for _, t := range s.Tables {
		out.Tables = append(out.Tables, fromTable(s.ID, t))
	}
	for _, n := range s.Notes {
		out.Notes = append(out.Notes, clean(n))
	}
	out.Text = strings.Map(visible, strings.ToValidUTF8(s.Text, "\uFFFD"))
	if len(out.Text) > textMax {
		out.Text = strings.ToValidUTF8(out.Text[:textMax], "") +
			"\n… cut here; the whole is in scenario.yaml of the result folder.\n"
	}
	return out, nil
}

func fromTable(panel string, t reports.Table) table {
	out := table{ID: panel + "-" + t.ID, Title: t.Title, Total: len(t.Rows), Folded: len(t.Rows) > rowsOpen}
	for _, c := range t.Columns {
		out.Heads = append(out.Heads, head{clean(c.Header()), c.Right(), utf8.RuneCountInString(c.Header()) <= wholeMax})
	}
	rows := t.Rows
	if len(rows) > rowsMax {
		rows, out.Cut = rows[:rowsMax], true
	}
	for _, r := range rows {
		line := make([]cell, len(r))
		for k, v := range r {
			text := clean(t.Columns[k].Format(v))
			line[k] = cell{text, t.Columns[k].Right(), utf8.RuneCountInString(text) <= wholeMax}
		}
		out.Rows = append(out.Rows, line)
	}
	return out
}

// clean bounds a text and makes invisible what could deceive: control characters and those that reverse the text.
func clean(s string) string {
	s = strings.Map(visible, strings.ToValidUTF8(s, "\uFFFD"))
	if r := []rune(s); len(r) > cellMax {
		return string(r[:cellMax-1]) + "…"
	}
	return s
}

// visible replaces characters that deceive; line breaks and tabs do not.
func visible(r rune) rune {
	if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
		return unicode.ReplacementChar
	}
	return r
}

// noBreak keeps a number and its unit, and the parts of a unit, on one line.
func noBreak(s string) string {
	return strings.NewReplacer(" %", "\u00a0%", "GPU-hour", "GPU\u2011hour", "pod-hour", "pod\u2011hour").Replace(s)
}

// toJSON encodes without floating-point noise; encoding/json escapes <, > and &, so that no text ends the script.
func toJSON(v any) (template.JS, error) {
	b, err := json.Marshal(v)
	return template.JS(b), err
}
