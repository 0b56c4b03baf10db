package account

import (
	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/sketch"
	"orrery/sim/units"
)

// serviceBinsMax bounds the bins of a service's series: each holds histograms.
const serviceBinsMax = 240

// serviceSeries holds windows merged into bins of equal width, which widen as time goes on.
type serviceSeries struct {
	width units.Duration // of a bin; 0 = no window yet
	bins  []serviceBin
}

// serviceBin is the account of one bin.
type serviceBin struct {
	sum             journal.Requests // counts and tokens
	time            serviceTimes
	ttft, tpot, e2e latencies
}

// add takes a window that ends at end. A window belongs to the bin in which it begins.
func (s *serviceSeries) add(end units.Time, b *journal.Requests) {
	if b.Span <= 0 {
		if len(s.bins) == 0 {
			s.bins = make([]serviceBin, 1)
		}
		s.bins[len(s.bins)-1].add(b) // what happened at the very instant of the last window's end
		return
	}
	if s.width == 0 {
		s.width = b.Span
	}
	begin := end.Add(-b.Span)
	i := int(units.Duration(begin) / s.width)
	for i >= serviceBinsMax {
		s.merge()
		i = int(units.Duration(begin) / s.width)
	}
	for len(s.bins) <= i {
		s.bins = append(s.bins, serviceBin{})
	}
	s.bins[i].add(b)
}

// merge doubles the width of the bins.
func (s *serviceSeries) merge() {
	s.width *= 2
	for i := range s.bins {
		if i%2 == 0 {
			s.bins[i/2] = s.bins[i]
			continue
		}
		s.bins[i/2].merge(&s.bins[i])
	}
	s.bins = s.bins[:(len(s.bins)+1)/2]
}

func (t *serviceBin) add(b *journal.Requests) {
	t.count(b)
	t.time.add(b)
	t.ttft.add(b.TTFT)
	t.tpot.add(b.TPOT)
	t.e2e.add(b.E2E)
}

func (t *serviceBin) merge(o *serviceBin) {
	t.count(&o.sum)
	t.time.merge(&o.time)
	for _, x := range []struct{ to, from *latencies }{{&t.ttft, &o.ttft}, {&t.tpot, &o.tpot}, {&t.e2e, &o.e2e}} {
		x.to.pairs = sketch.MergePairs(x.to.pairs, x.from.pairs)
		x.to.sum = x.to.sum.Plus(x.from.sum)
		x.to.top = max(x.to.top, x.from.top)
	}
}

// count adds what can be summed; of what is a state the later one stays.
func (t *serviceBin) count(b *journal.Requests) {
	s := &t.sum
	s.Span += b.Span
	s.Arrived += b.Arrived
	s.Completed += b.Completed
	s.Rejected += b.Rejected
	s.TimedOut += b.TimedOut
	s.Good += b.Good
	s.Output += b.Output
	s.InFlight = b.InFlight
}

// result returns rates, averages and percentiles.
func (s *serviceSeries) result() (out result.ServiceSeries) {
	n := len(s.bins)
	if out.Bin = s.width.Seconds(); out.Bin == 0 {
		n = 0 // no time has passed
	}
	columns := []*[]float64{&out.T, &out.Arrived, &out.Completed, &out.Rejected, &out.TimedOut, &out.Good, &out.TTFT50,
		&out.TTFT95, &out.TTFT99, &out.TPOT50, &out.TPOT95, &out.TPOT99, &out.E2E50, &out.E2E95, &out.E2E99, &out.Ready,
		&out.Busy, &out.Running, &out.Waiting, &out.KV, &out.InFlight, &out.OutputTokens, &out.Attainment}
	for _, c := range columns {
		*c = make([]float64, n)
	}
	for i := range n {
		b := &s.bins[i]
		span := b.sum.Span.Seconds()
		if span == 0 {
			span = out.Bin
		}
		rate := func(v int64) float64 { return float64(v) / span }
		mean := func(t units.Integral) float64 { return seconds(t) / span }
		out.T[i] = float64(i) * out.Bin
		out.Arrived[i], out.Completed[i], out.Good[i] = rate(b.sum.Arrived), rate(b.sum.Completed), rate(b.sum.Good)
		out.Rejected[i], out.TimedOut[i] = rate(b.sum.Rejected), rate(b.sum.TimedOut)
		out.OutputTokens[i] = rate(b.sum.Output)
		out.Ready[i], out.Busy[i] = mean(b.time.ready), mean(b.time.busy)
		out.Running[i], out.Waiting[i] = mean(b.time.running), mean(b.time.waiting)
		if ready := seconds(b.time.ready); ready > 0 {
			out.KV[i] = seconds(b.time.kv) / ready
		}
		out.InFlight[i] = float64(b.sum.InFlight)
		for _, x := range []struct {
			l             *latencies
			p50, p95, p99 []float64
		}{{&b.ttft, out.TTFT50, out.TTFT95, out.TTFT99}, {&b.tpot, out.TPOT50, out.TPOT95, out.TPOT99},
			{&b.e2e, out.E2E50, out.E2E95, out.E2E99}} {
			d := x.l.distribution()
			x.p50[i], x.p95[i], x.p99[i] = d.P50, d.P95, d.P99
		}
		out.Attainment[i] = 1
		if ended := b.sum.Completed + b.sum.Rejected + b.sum.TimedOut; ended > 0 {
			out.Attainment[i] = float64(b.sum.Good) / float64(ended)
		}
	}
	return out
}

// total is the histogram of the whole run.
func (s *serviceSeries) total(of func(*serviceBin) *latencies) (sum latencies) {
	for i := range s.bins {
		l := of(&s.bins[i])
		sum.pairs = sketch.MergePairs(sum.pairs, l.pairs)
		sum.sum = sum.sum.Plus(l.sum)
		sum.top = max(sum.top, l.top)
	}
	return sum
}

// histogramParts of an octave make the bars of a latency histogram.
const histogramParts = 4

// histogram puts a latency histogram into log-spaced bars, in seconds.
func (l *latencies) histogram() (h result.Histogram) {
	if len(l.pairs) == 0 {
		return h
	}
	const wide = 64 / histogramParts // buckets of the sketch in a bar
	first, last := l.pairs[0]/wide, l.pairs[len(l.pairs)-2]/wide
	h.Counts = make([]int64, last-first+1)
	for b := first; b <= last+1; b++ {
		low, _ := sketch.Bounds(int32(b * wide))
		h.Edges = append(h.Edges, float64(low)/1e9)
	}
	for i := 0; i < len(l.pairs); i += 2 {
		h.Counts[l.pairs[i]/wide-first] += l.pairs[i+1]
	}
	return h
}
