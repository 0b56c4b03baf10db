package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"orrery/reports"
	reportterm "orrery/reports/term"
	"orrery/sim/catalog"
)

// showEntries prints entries one after the other, the prices among them in one table, and at the end all sources.
func showEntries(w io.Writer, entries []catalog.Entry) error {
	var b bytes.Buffer
	var sources sourceList
	var money []catalog.Entry
	o := allRows(w)
	what := map[string]string{catalog.KindGPUs: "GPU", catalog.KindNodes: "node type", catalog.KindFabrics: "fabric",
		catalog.KindTopologies: "topology", catalog.KindEnergy: "energy"}
	for _, e := range entries {
		if e.Kind == catalog.KindPrices || e.Kind == catalog.KindCapex {
			money = append(money, e)
			continue
		}
		fmt.Fprintf(&b, "%s %s\n", what[e.Kind], e.Key)
		if len(e.Aliases) > 0 {
			hang(&b, "aliases", strings.Join(e.Aliases, ", "), o.Width)
		}
		for _, f := range e.Facts {
			hang(&b, f.Name, f.Value, o.Width)
		}
		b.WriteString("\n")
		if err := reportterm.Table(&b, figureTable(e, &sources), o); err != nil {
			return err
		}
		b.WriteString("\n")
	}
	if len(money) > 0 {
		if err := reportterm.Table(&b, moneyTable(money, &sources), o); err != nil {
			return err
		}
		b.WriteString("\n")
	}
	b.WriteString("Sources\n")
	for i, s := range sources {
		hang(&b, fmt.Sprintf("[%d]", i+1), s, o.Width)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// hang writes a name and a text that is broken into lines of the width, below each other.
func hang(b *bytes.Buffer, name, text string, width int) {
	if width == 0 {
		width = 100
	}
	line := fmt.Sprintf("  %-13s", name)
	printable := func(r rune) rune { // a name in a user's file must not send control sequences
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}
	for _, word := range strings.Fields(strings.Map(printable, text)) {
		if len(line)+1+len(word) > width && strings.TrimSpace(line) != "" {
			fmt.Fprintln(b, line)
			line = strings.Repeat(" ", 15)
		}
		line += " " + word
	}
	fmt.Fprintln(b, line)
}

// sourceList numbers sources in the order in which they are first used.
type sourceList []string

func (l *sourceList) mark(source string) reports.Cell {
	i := slices.Index(*l, source)
	if i < 0 {
		i = len(*l)
		*l = append(*l, source)
	}
	return reports.T(fmt.Sprintf("[%d]", i+1))
}

// figureTable has a line for each figure, for what other documents say instead, and for what is not known.
func figureTable(e catalog.Entry, sources *sourceList) reports.Table {
	t := reports.Table{ID: e.Key, Title: "Figures (the name ends with the unit)", Columns: []reports.Column{
		column("figure", "Figure", "", reports.Text), column("value", "Value", "", reports.Text),
		column("confidence", "Confidence", "", reports.Text), column("source", "Source", "", reports.Text),
		column("note", "Note", "", reports.Text)}}
	for _, f := range e.Figures {
		t.Rows = append(t.Rows, figureRows(f.Name, f.Figure, sources)...)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Missing)) {
		t.Rows = append(t.Rows, []reports.Cell{reports.T(name), reports.None(), reports.T(""), reports.T(""),
			reports.T("missing: " + e.Missing[name])})
	}
	return t
}

func figureRows(name string, f catalog.Figure, sources *sourceList) [][]reports.Cell {
	rows := [][]reports.Cell{{reports.T(name), reports.T(exact(f.Value)), reports.T(f.Confidence),
		sources.mark(f.Source), reports.T(f.Note)}}
	for _, a := range f.Alternatives {
		rows = append(rows, []reports.Cell{reports.T("  or"), reports.T(exact(a.Value)), reports.T(""),
			sources.mark(a.Source), reports.T(a.Note)})
	}
	return rows
}

// exact writes a figure as it stands in the catalogue.
func exact(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// moneyTable lists prices and capex of GPUs.
func moneyTable(entries []catalog.Entry, sources *sourceList) reports.Table {
	t := figureTable(catalog.Entry{Key: "prices"}, sources)
	t.Title, t.Columns[0].Name = "Prices", "Price"
	for _, e := range entries {
		var words []string
		for _, f := range e.Facts {
			switch f.Name {
			case "gpus":
				words = append(words, "of "+f.Value)
			case "default":
				words = append(words, "(default)")
			default:
				words = append(words, f.Value)
			}
		}
		for _, f := range e.Figures {
			t.Rows = append(t.Rows, figureRows(f.Name+" "+strings.Join(words, " "), f.Figure, sources)...)
		}
	}
	return t
}
