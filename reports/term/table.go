package term

import (
	"bytes"
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"orrery/reports"
)

const (
	gap      = 2  // blanks after a column, the last one included
	textMin  = 14 // a text column is not wrapped narrower than this, or a quarter of the width where that is more
	cellsMax = 600
)

// style is a table without colour and borders; only the header is underlined.
func style() table.Style {
	s := table.StyleLight
	s.Box.PaddingLeft, s.Box.PaddingRight = "", "  "
	s.Options = table.Options{SeparateHeader: true}
	s.Format.Header, s.Format.HeaderAlign = text.FormatDefault, text.AlignDefault
	return s
}

// Table writes one table that belongs to no panel. It fails only when w does.
func Table(w io.Writer, t reports.Table, o Options) error {
	var b bytes.Buffer
	renderTable(&b, t, o.normal())
	_, err := w.Write(trimLines(bytes.TrimPrefix(b.Bytes(), []byte("\n"))))
	return err
}

// renderTable writes a table, wrapping long texts; where even that is too wide, in parts that repeat the first column.
func renderTable(b *bytes.Buffer, t reports.Table, o Options) {
	fmt.Fprintf(b, "\n%s\n", wrap(t.Title, o.Width, ""))
	if len(t.Rows) == 0 {
		b.WriteString("(none)\n")
		return
	}
	rows := t.Rows
	if o.Rows > 0 && len(rows) > o.Rows {
		rows = rows[:o.Rows]
	}
	head, cells := formatted(t, rows)
	for i, cols := range split(t.Columns, head, cells, o.Width) {
		if i > 0 {
			b.WriteString("\n")
		}
		writePart(b, t, head, cells, cols, o.Width)
	}
	if n := len(t.Rows) - len(rows); n > 0 {
		note := "… and " + reports.FormatCount(float64(n)) + " more; the CSV files have them all."
		fmt.Fprintln(b, wrap(note, o.Width, ""))
	}
}

// formatted writes all cells for people.
func formatted(t reports.Table, rows [][]reports.Cell) (head []string, cells [][]string) {
	for _, c := range t.Columns {
		head = append(head, safe(c.Header()))
	}
	for _, r := range rows {
		var line []string
		for k, v := range r {
			s := safe(t.Columns[k].Format(v))
			if runes := []rune(s); len(runes) > cellsMax {
				s = string(runes[:cellsMax-1]) + "…"
			}
			line = append(line, s)
		}
		cells = append(cells, line)
	}
	return head, cells
}

// widths are the natural widths of the columns, and the least they can be wrapped to.
func widths(columns []reports.Column, head []string, cells [][]string, width int) (natural, least []int) {
	for k := range head {
		w := 1
		for _, r := range cells {
			w = max(w, text.StringWidth(r[k]))
		}
		small := w
		if columns[k].Kind == reports.Text {
			small = min(w, max(textMin, width/4))
		}
		natural = append(natural, max(w, text.StringWidth(head[k])))
		least = append(least, max(small, min(text.StringWidth(head[k]), 10)))
	}
	return natural, least
}

// split divides the columns into parts that fit; each part begins with the first column.
func split(columns []reports.Column, head []string, cells [][]string, width int) [][]int {
	_, least := widths(columns, head, cells, width)
	var parts [][]int
	part, used := []int{0}, gap+least[0]
	for k := 1; k < len(head); k++ {
		if used+gap+least[k] > width && len(part) > 1 {
			parts = append(parts, part)
			part, used = []int{0}, gap+least[0]
		}
		part = append(part, k)
		used += gap + least[k]
	}
	return append(parts, part)
}

// fit gives each column of a part its width: what it needs, less what the widest must give up, down to the least.
func fit(natural, least []int, cols []int, width int) map[int]int {
	out := map[int]int{}
	total := gap * len(cols)
	for _, k := range cols {
		out[k] = natural[k]
		total += natural[k]
	}
	for ; total > width; total-- {
		widest := -1
		for _, k := range cols {
			if out[k] > least[k] && (widest < 0 || out[k] > out[widest]) {
				widest = k
			}
		}
		if widest < 0 {
			break // only a first column wider than the terminal gets here; its text is broken below
		}
		out[widest]--
	}
	return out
}

func writePart(b *bytes.Buffer, t reports.Table, head []string, cells [][]string, cols []int, width int) {
	natural, least := widths(t.Columns, head, cells, width)
	room := fit(natural, least, cols, width)
	w := table.NewWriter()
	w.SetStyle(style())
	var configs []table.ColumnConfig
	header := table.Row{}
	for i, k := range cols {
		align := text.AlignLeft
		if t.Columns[k].Right() {
			align = text.AlignRight
		}
		configs = append(configs, table.ColumnConfig{Number: i + 1, Align: align, AlignHeader: align})
		header = append(header, wrap(head[k], room[k], ""))
	}
	w.SetColumnConfigs(configs)
	w.AppendHeader(header)
	for _, r := range cells {
		row := table.Row{}
		for _, k := range cols {
			row = append(row, wrap(r[k], room[k], "")) // not by the table, which pads broken lines on the right
		}
		w.AppendRow(row)
	}
	b.WriteString(w.Render())
	b.WriteString("\n")
}
