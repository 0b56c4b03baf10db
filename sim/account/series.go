package account

import (
	"orrery/sim/result"
	"orrery/sim/units"
)

// widths are the bin widths a series steps through as the run gets longer, in seconds; each divides the next, so bins
// merge whole, and all are spans people use. Beyond the last, widths double.
var widths = [...]int64{1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400}

// width returns the bin width at a level.
func width(level int) units.Duration {
	if level < len(widths) {
		return units.Duration(widths[level]) * 1e9
	}
	return units.Duration(widths[len(widths)-1]<<(level-len(widths)+1)) * 1e9
}

// ratio returns how many bins of a level make one of the next.
func ratio(level int) int { return int(width(level+1) / width(level)) }

// binsMax bounds the bins of the series: enough for a chart's pixels, few enough for a browser.
const binsMax = 1000

// series holds exact integrals of the ledger's channels in bins that start at time zero and widen as time goes on.
type series struct {
	level int
	bins  [][nChannels]units.Integral
}

// add books the state over [from, to).
func (s *series) add(from, to units.Time, now *channels) {
	for (to-1)/units.Time(width(s.level)) >= binsMax { // divided: the product may overflow
		s.merge()
	}
	w := units.Time(width(s.level))
	for from < to {
		i := int(from / w)
		for len(s.bins) <= i {
			s.bins = append(s.bins, [nChannels]units.Integral{})
		}
		stop := min(to, units.Time(i+1)*w)
		bin := &s.bins[i]
		for c := range bin {
			bin[c].Add(now[c], stop.Sub(from))
		}
		from = stop
	}
}

func (s *series) merge() {
	n := ratio(s.level)
	s.level++
	for i := range s.bins {
		if i%n == 0 {
			s.bins[i/n] = s.bins[i]
			continue
		}
		for c := range s.bins[i] {
			s.bins[i/n][c] = s.bins[i/n][c].Plus(s.bins[i][c])
		}
	}
	s.bins = s.bins[:(len(s.bins)+n-1)/n]
}

// result returns the time averages of a run that ended at end.
func (s *series) result(end units.Time) result.Series {
	w := width(s.level)
	n := len(s.bins)
	out := result.Series{Bin: w.Seconds(), T: make([]float64, n)}
	columns := [nChannels]*[]float64{&out.Used, &out.IdleNoDemand, &out.IdleFragmented, &out.IdleWaiting, &out.Down,
		&out.PendingPods, &out.RunningPods, &out.PendingGPUs}
	for c := range columns {
		*columns[c] = make([]float64, n)
	}
	for i := range s.bins {
		start := units.Time(i) * units.Time(w)
		out.T[i] = start.Seconds()
		hours := min(w, end.Sub(start)).Hours()
		for c := range columns {
			v := s.bins[i][c]
			if c == chPendingPods || c == chRunningPods {
				(*columns[c])[i] = v.Hours() / hours
			} else {
				(*columns[c])[i] = v.GPUHours() / hours
			}
		}
	}
	return out
}

// heatScale is the common bin width of the nodes' heat rows. Rows catch up with it when they are touched.
type heatScale struct {
	level int
	max   int // bins a row may have
}

// Bounds of the heat map's bins by the number of nodes: 16 bytes a cell, so 10^4 nodes take 10 MB.
const (
	heatBins     = 120
	heatBinsMany = 60 // from heatMany nodes
	heatBinsHuge = 30 // from heatHuge nodes
	heatMany     = 2000
	heatHuge     = 10000
)

// nodes sets the bound for a number of nodes.
func (h *heatScale) nodes(n int) {
	switch {
	case n >= heatHuge:
		h.max = heatBinsHuge
	case n >= heatMany:
		h.max = heatBinsMany
	default:
		h.max = heatBins
	}
}

// fit widens the bins until to fits the bound.
func (h *heatScale) fit(to units.Time) {
	for (to-1)/units.Time(width(h.level)) >= units.Time(max(1, h.max)) {
		h.level++
	}
}

// heatRow is a node's use by bin, in milli-GPU·seconds. Sums are floats: a colour needs no exactness, and the order of
// additions is the journal's.
type heatRow struct {
	level int
	cells []heatCell
}

type heatCell struct{ used, cap float64 }

// add books used and existing milli-GPUs over [from, to).
func (h *heatScale) add(r *heatRow, from, to units.Time, used, capacity int64) {
	h.fit(to)
	r.widen(h.level)
	w := units.Time(width(r.level))
	for from < to {
		i := int(from / w)
		for len(r.cells) <= i {
			r.cells = append(r.cells, heatCell{})
		}
		stop := min(to, units.Time(i+1)*w)
		span := stop.Sub(from).Seconds()
		r.cells[i].used += float64(float64(used) * span)
		r.cells[i].cap += float64(float64(capacity) * span)
		from = stop
	}
}

// widen merges the row's bins up to a level.
func (r *heatRow) widen(level int) {
	for ; r.level < level; r.level++ {
		n := ratio(r.level)
		for i, c := range r.cells {
			if i%n == 0 {
				r.cells[i/n] = c
				continue
			}
			r.cells[i/n].used += c.used
			r.cells[i/n].cap += c.cap
		}
		r.cells = r.cells[:(len(r.cells)+n-1)/n]
	}
}

// result returns the used fractions in n bins of the scale, −1 where the node was not there.
func (h *heatScale) result(r *heatRow, n int) []float32 {
	r.widen(h.level)
	out := make([]float32, n)
	for i := range out {
		out[i] = -1
		if i < len(r.cells) && r.cells[i].cap > 0 {
			out[i] = float32(r.cells[i].used / r.cells[i].cap)
		}
	}
	return out
}
