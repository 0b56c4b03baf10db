// Package card is the form in which every model of the simulator states what it is: formula, sources, calibration,
// error and what it leaves out, so that a reader can decide how far to believe it.
package card

import (
	"fmt"
	"strings"
)

// Card describes a model.
type Card struct {
	Name     string // one word, as the command line calls it
	Title    string
	Question string   // what the model answers
	Formula  []string // in words and symbols, one statement each
	// Sources are where formulas and constants come from: document, commit or paper, date.
	Sources []string
	// Calibration is which parameters were fitted, on what; empty = none.
	Calibration []string
	// Error is how far the model is off, and on what data; computed by a test, not typed.
	Error []string
	// Omits is what the model leaves out.
	Omits []string
	// Table is the validation, Markdown; "" = none.
	Table string
}

// sections are the parts of a card in the order in which they are shown.
func (c Card) sections() []struct {
	title string
	lines []string
} {
	return []struct {
		title string
		lines []string
	}{
		{"Formula", c.Formula}, {"Sources", c.Sources}, {"Calibration", c.Calibration}, {"Error", c.Error},
		{"Left out", c.Omits},
	}
}

// Markdown writes the card as a section of a document, with headings of the given level and one below.
func (c Card) Markdown(level int) string {
	var b strings.Builder
	head := strings.Repeat("#", level)
	fmt.Fprintf(&b, "%s %s\n\n%s\n", head, c.Title, c.Question)
	for _, s := range c.sections() {
		if len(s.lines) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s# %s\n\n", head, s.title)
		for _, l := range s.lines {
			fmt.Fprintf(&b, "- %s\n", l)
		}
	}
	if c.Table != "" {
		fmt.Fprintf(&b, "\n%s# Validation\n\n%s", head, c.Table)
	}
	return b.String()
}

// Missing returns the names of the sections that a card must have and lacks.
func (c Card) Missing() []string {
	var out []string
	for _, f := range []struct {
		name  string
		empty bool
	}{
		{"Name", c.Name == ""}, {"Title", c.Title == ""}, {"Question", c.Question == ""},
		{"Formula", len(c.Formula) == 0}, {"Sources", len(c.Sources) == 0}, {"Error", len(c.Error) == 0},
		{"Omits", len(c.Omits) == 0},
	} {
		if f.empty {
			out = append(out, f.name)
		}
	}
	return out
}
