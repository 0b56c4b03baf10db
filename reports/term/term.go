// Package term renders a run's panels for a terminal: plain text that reads the same without colour, fits the given
// width and never lets a name from the trace send control sequences.
package term

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/text"

	"orrery/reports"
	"orrery/sim/result"
)

// Options says how to render.
type Options struct {
	Width  int      // columns of the terminal; 0 means 100, and less than 40 counts as 40
	Panels []string // IDs of the panels to show, in this order; empty means all
	Rows   int      // most rows of a table; 0 means 20, negative means all
}

const (
	widthDefault = 100
	widthMin     = 40
	rowsDefault  = 20
)

func (o Options) normal() Options {
	if o.Width == 0 {
		o.Width = widthDefault
	}
	o.Width = max(o.Width, widthMin)
	if o.Rows == 0 {
		o.Rows = rowsDefault
	}
	return o
}

// Render writes the panels of a run. It fails on an unknown panel, naming the known ones, and when w does; nothing is
// written in the first case.
func Render(w io.Writer, d *result.Data, o Options) error {
	o = o.normal()
	panels, err := choose(o.Panels)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, p := range panels {
		c := p.Build(d)
		if c.Absent && len(o.Panels) == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		renderSection(&b, reports.Section{Panel: p, Content: c}, o)
	}
	_, err = w.Write(trimLines(b.Bytes()))
	return err
}

// choose finds the panels asked for.
func choose(ids []string) ([]reports.Panel, error) {
	all := reports.Panels()
	if len(ids) == 0 {
		return all, nil
	}
	var out []reports.Panel
	var known, unknown []string
	for _, p := range all {
		known = append(known, p.ID)
	}
	for _, id := range ids {
		i := slices.Index(known, id)
		if i < 0 {
			unknown = append(unknown, id)
			continue
		}
		out = append(out, all[i])
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("no such panel: %s; the panels are %s", strings.Join(unknown, ", "),
			strings.Join(known, ", "))
	}
	return out, nil
}

// RenderComparison writes a comparison, all of it. It fails only when w does.
func RenderComparison(w io.Writer, c *reports.Comparison, o Options) error {
	o = o.normal()
	var b bytes.Buffer
	for i, s := range c.Sections {
		if i > 0 {
			b.WriteString("\n")
		}
		renderSection(&b, s, o)
	}
	_, err := w.Write(trimLines(b.Bytes()))
	return err
}

func renderSection(b *bytes.Buffer, s reports.Section, o Options) {
	title := s.Title + " — " + s.Question
	fmt.Fprintf(b, "%s\n%s\n", wrap(title, o.Width, ""), strings.Repeat("═", min(o.Width, text.StringWidth(title))))
	if len(s.Findings) > 0 {
		for _, f := range s.Findings {
			fmt.Fprintf(b, "%s %s\n", mark(f.Level), wrap(f.Text, o.Width-2, "  "))
		}
	} else if s.Headline != "" {
		fmt.Fprintln(b, wrap(s.Headline, o.Width, ""))
	}
	for _, c := range s.Charts {
		renderChart(b, c, o)
	}
	for _, t := range s.Tables {
		renderTable(b, t, o)
	}
	if s.Text != "" {
		b.WriteString("\n")
		for line := range strings.SplitSeq(strings.TrimRight(s.Text, "\n"), "\n") {
			b.WriteString(strings.Repeat(" ", indent(line)) + safe(strings.TrimLeft(line, " ")) + "\n")
		}
	}
	for i, n := range s.Notes {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(b, "* %s\n", wrap(n, o.Width-2, "  "))
	}
}

func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// mark makes the level visible without colour.
func mark(l reports.Level) string {
	switch l {
	case reports.Good:
		return "✓"
	case reports.Warn:
		return "!"
	case reports.Bad:
		return "✗"
	}
	return "·"
}

// safe makes a string from outside harmless on a terminal: control and invisible formatting characters, which could
// move the cursor, change colours or reverse text, become a replacement character, and line breaks become spaces.
func safe(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// wrap breaks s into lines of at most width, and indents all but the first.
func wrap(s string, width int, hang string) string {
	lines := strings.Split(text.WrapSoft(safe(s), width), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n"+hang)
}

// trimLines removes the blanks that padding leaves at the ends of lines.
func trimLines(b []byte) []byte {
	lines := bytes.Split(b, []byte("\n"))
	for i := range lines {
		lines[i] = bytes.TrimRight(lines[i], " ")
	}
	return bytes.Join(lines, []byte("\n"))
}
