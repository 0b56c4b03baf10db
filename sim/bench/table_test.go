package bench

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// table collects what the benchmarks measured; TestMain prints it once, at the end, as the README shows it.
var table []string

func TestMain(m *testing.M) {
	m.Run()
	if len(table) > 0 {
		fmt.Println("| work | pods bound | attempts | CPU | pods/s | peak memory | times faster than upstream's own cycle |")
		fmt.Println("|---|---|---|---|---|---|---|")
		fmt.Println(strings.Join(table, "\n"))
	}
}

// spread is the least, the middle and the greatest of several runs.
type spread struct{ least, middle, greatest float64 }

func spreadOf(values []float64) spread {
	slices.Sort(values)
	return spread{values[0], values[len(values)/2], values[len(values)-1]}
}

func (s spread) String() string {
	if s.least == s.greatest {
		return figure(s.middle)
	}
	return fmt.Sprintf("%s (%s–%s)", figure(s.middle), figure(s.least), figure(s.greatest))
}

// figure prints a number with no more digits than it deserves.
func figure(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// row puts a line into the table: what ours runs measured, and upstream's, if there is one.
func row(b *testing.B, work string, ours []measured, upstream *measured) {
	b.Helper()
	var cpu, rate, ratio []float64
	peak := int64(0)
	for _, m := range ours {
		cpu = append(cpu, m.cpu.Seconds())
		rate = append(rate, float64(m.summary.Pods.Bound)/m.wall.Seconds())
		peak = max(peak, m.rss)
		if upstream != nil {
			ratio = append(ratio, upstream.cpu.Seconds()/m.cpu.Seconds())
		}
	}
	times := "–"
	if upstream != nil {
		s := spreadOf(ratio)
		times = fmt.Sprintf("%s; upstream's took %s", s, upstream.cpu.Round(time.Second))
		b.ReportMetric(s.least, "x-least")
		b.ReportMetric(s.middle, "x-median")
		b.ReportMetric(s.greatest, "x-greatest")
	}
	s := ours[0].summary
	table = append(table, fmt.Sprintf("| %s | %d | %d | %s s | %s | %.1f GiB | %s |", work, s.Pods.Bound,
		s.Scheduler.Attempts, spreadOf(cpu), spreadOf(rate), float64(peak)/(1<<30), times))
	ours[0].report(b)
}
