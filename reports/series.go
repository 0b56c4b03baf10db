package reports

import (
	"math"
	"slices"

	"orrery/sim/result"
)

// pointsMax is the most points of a time series a chart gets: about one per two pixels of a wide screen.
const pointsMax = 600

// timeUnit is a unit of elapsed time for axes.
type timeUnit struct {
	name    string
	seconds float64
}

// unitOf picks the unit in which a span reads well.
func unitOf(seconds float64) timeUnit {
	switch {
	case seconds < 300:
		return timeUnit{"s", 1}
	case seconds < 5*3600:
		return timeUnit{"min", 60}
	case seconds < 5*86400:
		return timeUnit{"h", 3600}
	}
	return timeUnit{"d", 86400}
}

// clean replaces what is not finite by 0, for values that are drawn.
func clean(f float64) float64 {
	if !finite(f) {
		return 0
	}
	return f
}

// bins is a time series cut into equal groups of source bins.
type bins struct {
	edges []float64 // in unit, one more than groups
	unit  timeUnit
	per   int // source bins in a group
	n     int // source bins
}

// newBins groups the source's bins so that at most max groups remain.
func newBins(t []float64, width float64, n, max int) bins {
	b := bins{per: 1, n: min(n, len(t))}
	if b.n == 0 {
		b.unit = unitOf(0)
		return b
	}
	b.per = (b.n + max - 1) / max
	end := clean(t[b.n-1] + width)
	b.unit = unitOf(end - clean(t[0]))
	for i := 0; i < b.n; i += b.per {
		b.edges = append(b.edges, clean(t[i])/b.unit.seconds)
	}
	b.edges = append(b.edges, end/b.unit.seconds)
	return b
}

// mean averages v over each group. Source bins are equally wide, so the mean over time is the plain mean.
func (b bins) mean(v []float64) []float64 {
	out := make([]float64, 0, len(b.edges))
	for i := 0; i < b.n; i += b.per {
		sum, count := 0.0, 0.0
		for j := i; j < min(i+b.per, b.n, len(v)); j++ {
			sum += clean(v[j])
			count++
		}
		out = append(out, ratio(sum, count))
	}
	return out
}

// seconds is the span of group i in seconds since time zero.
func (b bins) seconds(i int) (from, to float64) {
	return b.edges[i] * b.unit.seconds, b.edges[i+1] * b.unit.seconds
}

// binsNote says what one point of a chart stands for.
func (b bins) note(width float64) string {
	return "Each point is the average over " + FormatDuration(width*float64(b.per)) + ", so areas are exact."
}

// capacity adds up the states of a series: what exists at each bin.
func capacity(s *result.Series) []float64 {
	out := make([]float64, len(s.T))
	for _, v := range [][]float64{s.Used, s.IdleNoDemand, s.IdleFragmented, s.IdleWaiting, s.Down} {
		for i := range min(len(v), len(out)) {
			out[i] += clean(v[i])
		}
	}
	return out
}

// maxOf is the largest value and its index; 0 and -1 without values.
func maxOf(v []float64) (float64, int) {
	best, at := math.Inf(-1), -1
	for i, f := range v {
		if finite(f) && f > best {
			best, at = f, i
		}
	}
	if at < 0 {
		return 0, -1
	}
	return best, at
}

// drawn leaves out the series that are zero everywhere: they would only fill the legend. The first one stays.
func drawn(s []ChartSeries) []ChartSeries {
	return slices.DeleteFunc(s, func(x ChartSeries) bool {
		return x.Name != s[0].Name && !slices.ContainsFunc(x.Values, func(f float64) bool { return f != 0 })
	})
}
