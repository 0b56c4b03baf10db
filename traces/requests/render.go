package requests

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"orrery/traces"
)

// rowsShown bounds the tables of services and tenants in the text form; the JSON form has all rows.
const rowsShown = 20

// JSON writes the description as indented JSON, with a newline at the end.
func (d Description) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(d)
}

// Text writes the description as tables for a terminal.
func (d Description) Text(w io.Writer) error {
	return traces.WriteTables(w, d.headTable(), d.numberTable(), d.tokenTable(), d.shareTable("Service", d.Services),
		d.shareTable("Tenant", d.Tenants))
}

func (d Description) headTable() table.Writer {
	t := traces.NewTable()
	add := func(key, value string) {
		if value != "" {
			t.AppendRow(table.Row{key, value})
		}
	}
	h := d.Header
	add("Trace", h.Name)
	source, more, _ := strings.Cut(h.Source, "\n")
	if more != "" {
		source += " (parameters in the header)"
	}
	add("Source", source)
	add("Licence", h.Licence)
	add("Citation", h.Citation)
	add("Time zero", h.TimeZero)
	add("Importer", h.Importer)
	add("Generator", h.Generator)
	for _, n := range h.Notes {
		add("Note", n)
	}
	for _, s := range h.Skipped {
		add("Skipped", fmt.Sprintf("%d rows: %s (first: %s)", s.Rows, s.Reason, s.First))
	}
	return t
}

func (d Description) numberTable() table.Writer {
	t := traces.NewTable()
	t.AppendRow(table.Row{"Requests", d.Requests})
	t.AppendRow(table.Row{"Time", fmt.Sprintf("from %s to %s", traces.Span(d.FirstSeconds), traces.Span(d.LastSeconds))})
	a := d.Arrivals
	t.AppendRow(table.Row{"Arrivals", fmt.Sprintf("%.4g a second, gap CV %.2f, variance/mean in a second %.2f",
		a.PerSecond, a.GapCV, a.Dispersion)})
	t.AppendRow(table.Row{"Minutes", fmt.Sprintf("peak/mean %.2f, %d without requests", a.MinutePeakToMean,
		a.EmptyMinutes)})
	if d.Sessions > 0 {
		t.AppendRow(table.Row{"Sessions", fmt.Sprintf("%d, %.2f requests each", d.Sessions, d.TurnsMean)})
	}
	if p := d.Prefix; p.Blocks > 0 {
		t.AppendRow(table.Row{"Prefix", fmt.Sprintf("%d requests name %d blocks of %d tokens, %d different", p.Requests,
			p.Blocks, d.Header.PrefixTokens, p.DistinctBlocks)})
		t.AppendRow(table.Row{"Infinite prefix cache", fmt.Sprintf("would hit %.1f %% of the blocks, %.1f %% of the input",
			100*p.BlockHits, 100*p.TokenHits)})
	}
	return t
}

func (d Description) tokenTable() table.Writer {
	t := traces.NewTable()
	t.AppendHeader(table.Row{"Tokens", "Total", "Mean", "Min", "p50", "p90", "p95", "p99", "Max"})
	add := func(name string, k Tokens) {
		t.AppendRow(table.Row{name, k.Total, fmt.Sprintf("%.1f", k.Mean), k.Min, k.P50, k.P90, k.P95, k.P99, k.Max})
	}
	add("input", d.Input)
	add("output", d.Output)
	return t
}

func (d Description) shareTable(title string, rows []Share) table.Writer {
	t := traces.NewTable()
	t.AppendHeader(table.Row{title, "Requests", "%", "Input tokens", "Mean", "Output tokens", "Mean"})
	for i, s := range rows {
		if i == rowsShown {
			t.AppendRow(table.Row{fmt.Sprintf("… and %d more", len(rows)-i)})
			break
		}
		name := s.Name
		if name == "" {
			name = "(not given)"
		}
		mean := func(n int64) string { return fmt.Sprintf("%.1f", float64(n)/float64(s.Requests)) }
		t.AppendRow(table.Row{name, s.Requests, traces.Percent(float64(s.Requests), float64(d.Requests)), s.InputTokens,
			mean(s.InputTokens), s.OutputTokens, mean(s.OutputTokens)})
	}
	return t
}
