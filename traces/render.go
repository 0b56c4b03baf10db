package traces

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

// rowsShown bounds the tables of tenants and sizes in the text form; the JSON form has all rows.
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
	parts := []table.Writer{d.headTable(), d.numberTable()}
	parts = append(parts, d.shareTable("GPUs per job", foldFractions(d.Sizes)), d.shareTable("Tenant", d.Tenants),
		d.shareTable("Outcome", d.Outcomes))
	if len(d.Models) > 0 {
		parts = append(parts, d.shareTable("GPU models", d.Models))
	}
	if len(d.Priorities) > 1 {
		parts = append(parts, d.shareTable("Priority", d.Priorities))
	}
	return WriteTables(w, parts...)
}

// WriteTables writes tables with an empty line between them.
func WriteTables(w io.Writer, parts ...table.Writer) error {
	for i, p := range parts {
		if i > 0 {
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
		}
		if _, err := io.WriteString(w, trimLines(p.Render())+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// NewTable returns an empty table for a terminal, without borders.
func NewTable() table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Options.DrawBorder = false
	t.Style().Options.SeparateColumns = false
	return t
}

func (d Description) headTable() table.Writer {
	t := NewTable()
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
	t := NewTable()
	t.AppendRow(table.Row{"Jobs", fmt.Sprintf("%d (%d with GPUs, %d of them fractional)", d.Jobs, d.GPUJobs,
		d.FractionalJobs)})
	if d.ForeverJobs > 0 {
		t.AppendRow(table.Row{"Jobs without end", strconv.FormatInt(d.ForeverJobs, 10)})
	}
	t.AppendRow(table.Row{"Submissions", fmt.Sprintf("from %s to %s", Span(d.FirstSubmit), Span(d.LastSubmitSeconds))})
	t.AppendRow(table.Row{"GPUs asked", trimFloat(d.GPUsAsked)})
	t.AppendRow(table.Row{"GPU-hours", fmt.Sprintf("%.1f (%.1f GPUs busy on average if nothing waited)", d.GPUHours,
		d.GPUsOffered)})
	t.AppendRow(table.Row{"Run", quantileText(d.Run)})
	if d.Wait.N > 0 {
		t.AppendRow(table.Row{"Wait in the source", quantileText(d.Wait)})
	}
	t.AppendRow(table.Row{"Arrivals", fmt.Sprintf("%.2f an hour, gap CV %.2f, hourly variance/mean %.2f, peak/mean %.2f",
		d.Arrivals.PerHour, d.Arrivals.GapCV, d.Arrivals.HourlyDispersion, d.Arrivals.HourlyPeakToMean)})
	return t
}

func (d Description) shareTable(title string, rows []Share) table.Writer {
	t := NewTable()
	t.AppendHeader(table.Row{title, "Jobs", "Jobs %", "GPU-hours", "GPU-hours %"})
	for i, s := range rows {
		if i == rowsShown {
			t.AppendRow(table.Row{fmt.Sprintf("… and %d more", len(rows)-i)})
			break
		}
		name := s.Name
		if name == "" {
			name = "(not given)"
		}
		t.AppendRow(table.Row{name, s.Jobs, Percent(float64(s.Jobs), float64(d.Jobs)), fmt.Sprintf("%.1f", s.GPUHours),
			Percent(s.GPUHours, d.GPUHours)})
	}
	return t
}

// foldFractions puts the shares of a GPU into one row when there are many, so that whole GPUs stay in sight.
func foldFractions(sizes []Share) []Share {
	const many = 4
	first := slices.IndexFunc(sizes, func(s Share) bool { return s.GPUs > 0 })
	last := slices.IndexFunc(sizes, func(s Share) bool { return s.GPUs >= 1 })
	if last < 0 {
		last = len(sizes)
	}
	if first < 0 || last-first < many {
		return sizes
	}
	fold := Share{Name: fmt.Sprintf("%s to %s (%d shares)", sizes[first].Name, sizes[last-1].Name, last-first)}
	for _, s := range sizes[first:last] {
		fold.Jobs += s.Jobs
		fold.GPUHours += s.GPUHours
	}
	return slices.Concat(sizes[:first], []Share{fold}, sizes[last:])
}

// trimLines removes the padding at the ends of lines.
func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func quantileText(q Quantiles) string {
	return fmt.Sprintf("mean %s, p50 %s, p90 %s, p95 %s, p99 %s, max %s (n=%d)", Span(q.Mean), Span(q.P50), Span(q.P90),
		Span(q.P95), Span(q.P99), Span(q.Max), q.N)
}

// Percent shows part ÷ whole in per cent.
func Percent(part, whole float64) string {
	if whole == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f", 100*part/whole)
}

// Span shows seconds as people read them: days from two days on.
func Span(seconds float64) string {
	d := time.Duration(seconds * 1e9)
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.1f d", d.Hours()/24)
	case d >= time.Minute:
		return d.Round(time.Second).String()
	}
	return strconv.FormatFloat(seconds, 'g', 4, 64) + "s"
}

func trimFloat(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
