package term

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"orrery/reports"
)

var blocks = []rune("▁▂▃▄▅▆▇█")

// renderChart draws series over time as one line of blocks each, on one scale. Other kinds of charts say nothing that
// their tables do not.
func renderChart(b *bytes.Buffer, c reports.Chart, o Options) {
	if c.Kind != reports.StackedArea && c.Kind != reports.Line || len(c.Times) < 2 {
		return
	}
	top, name := 0.0, 0
	for _, s := range c.Series {
		name = max(name, text.StringWidth(safe(s.Name)))
		for _, v := range s.Values {
			top = max(top, v)
		}
	}
	room := o.Width - name - 20
	if room < 8 || top <= 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", wrap(fmt.Sprintf("%s, 0 to %s, over %s of %s to %s %s", c.Title, reports.FormatNumber(top),
		c.X.Name, reports.FormatNumber(c.Times[0]), reports.FormatNumber(c.Times[len(c.Times)-1]), c.X.Unit),
		o.Width, ""))
	for _, s := range c.Series {
		line, peak := spark(s.Values, top, room)
		fmt.Fprintf(b, "%s  %s  max %s\n", text.AlignLeft.Apply(safe(s.Name), name), line, reports.FormatNumber(peak))
	}
}

// spark draws the values in at most width characters; each shows the average of its part.
func spark(values []float64, top float64, width int) (line string, peak float64) {
	n := min(width, len(values))
	var out strings.Builder
	for i := range n {
		from, to := i*len(values)/n, (i+1)*len(values)/n
		sum := 0.0
		for _, v := range values[from:to] {
			sum += v
			peak = max(peak, v)
		}
		mean := sum / float64(to-from)
		if mean <= 0 {
			out.WriteByte(' ')
			continue
		}
		k := int(mean / top * float64(len(blocks)))
		out.WriteRune(blocks[min(max(k, 0), len(blocks)-1)])
	}
	return out.String(), peak
}
