package account

import (
	"math/bits"
	"slices"

	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/units"
)

// Causes of fragmentation, in the order in which a pod and a node are tried against them.
const (
	causeNodeKind = iota
	causeGPUCount
	causeMIG
	causeCPU
	causeMemory
	causePods
	causeGang
	causeTopology
	causeOther
	nCauses
)

// causeIDs are the causes' names in results.
var causeIDs = [nCauses]string{"node_kind", "gpu_count", "mig_geometry", "cpu", "memory", "pods", "gang", "topology",
	"other"}

// split says which part of the whole each cause has, in billionths, which they add up to.
type split [nCauses]int64

const (
	million = 1_000_000
	billion = 1_000_000_000
)

// fragBinsMax bounds the bins of the causes, hence how often the cluster is looked at: about six times as often at
// most in a run of a month, since bins widen and fill again.
const fragBinsMax = 250

// fragmentation divides the fragmented GPU time by cause, in bins that widen like those of series.
type fragmentation struct {
	level   int
	bins    []fragBin
	samples int64
	rooms   []room         // scratch
	said    []int          // scratch
	whole   units.Integral // what the bins' sums must add up to
}

type fragBin struct {
	split   split // of the bin's first fragmented time
	sampled bool
	sums    [nCauses]units.Integral // milli-GPU × billionths × time
}

// fragmented books the fragmented GPUs of the span [from, to) in which the cluster was as it is now.
func (f *Fold) fragmented(from, to units.Time, amount int64) {
	if amount == 0 {
		return
	}
	g := &f.frag
	for (to-1)/units.Time(width(g.level)) >= fragBinsMax {
		g.merge()
	}
	w := units.Time(width(g.level))
	var fresh *split
	for from < to {
		i := int(from / w)
		for len(g.bins) <= i {
			g.bins = append(g.bins, fragBin{})
		}
		bin := &g.bins[i]
		if !bin.sampled {
			if fresh == nil {
				now := f.causes()
				fresh = &now
				g.samples++
			}
			bin.split, bin.sampled = *fresh, true
		}
		stop := min(to, units.Time(i+1)*w)
		g.whole.Add(amount*billion, stop.Sub(from))
		for c, part := range bin.split {
			bin.sums[c].Add(amount*part, stop.Sub(from))
		}
		from = stop
	}
}

func (g *fragmentation) merge() {
	n := ratio(g.level)
	g.level++
	for i := range g.bins {
		if i%n == 0 {
			g.bins[i/n] = g.bins[i]
			continue
		}
		into := &g.bins[i/n]
		for c := range into.sums {
			into.sums[c] = into.sums[c].Plus(g.bins[i].sums[c])
		}
		if g.bins[i].sampled {
			into.split, into.sampled = g.bins[i].split, true
		}
	}
	g.bins = g.bins[:(len(g.bins)+n-1)/n]
}

// causes divides the free GPUs of the cluster as it is now among the causes that keep the refused pods from them.
func (f *Fold) causes() split {
	list := f.shapes.waiting()
	var demand units.MilliGPU
	for _, s := range list {
		demand += s.demand
	}
	rooms := f.frag.rooms[:0]
	for _, n := range f.inOrder {
		if n.state == journal.NodeUp && n.capacity() > n.owned {
			rooms = append(rooms, n.room())
		}
	}
	var weight [nCauses]uint64
	verdicts := slices.Grow(f.frag.said[:0], len(rooms))[:len(rooms)]
	f.frag.rooms, f.frag.said = rooms, verdicts
	for _, s := range list {
		part := uint64(s.demand) * million / uint64(demand)
		fit := f.tryAll(rooms, s, verdicts)
		for i, cause := range verdicts {
			if cause == causeOther {
				cause = fit
			}
			weight[cause] += uint64(rooms[i].idle) * part
		}
	}
	return inBillionths(weight)
}

// tryAll tries the shape against each room and returns what to say of rooms in which one pod of it fits: that the gang
// does not, or nothing.
func (f *Fold) tryAll(rooms []room, s *shape, verdicts []int) (fit int) {
	var total int64
	byDomain := map[string]int64{}
	within := int64(0)
	for i := range rooms {
		cause, pods := f.fits(&rooms[i], s)
		verdicts[i] = cause
		total += pods
		if s.gang > 1 && s.within != anywhere && pods > 0 {
			d := rooms[i].node.domain(s.within)
			byDomain[d] += pods
			within = max(within, byDomain[d])
		}
	}
	switch {
	case s.gang > 1 && total < int64(s.gang):
		return causeGang
	case s.gang > 1 && s.within != anywhere && within < int64(s.gang):
		return causeTopology
	}
	return causeOther
}

// domain names the node's domain of a layer.
func (n *node) domain(layer int) string {
	if layer >= 0 && layer < len(n.domains) && n.domains[layer] != "" {
		return n.domains[layer]
	}
	return "\x00" + n.name
}

// inBillionths divides a billion as the weights are, without a rest.
func inBillionths(weight [nCauses]uint64) (out split) {
	var total, sum uint64
	for _, w := range weight {
		total += w
	}
	if total == 0 { // no room: GPUs came free or nodes went in the same instant
		out[causeOther] = billion
		return out
	}
	var before uint64
	for c, w := range weight {
		sum += w
		hi, lo := bits.Mul64(sum, billion)
		upTo, _ := bits.Div64(hi, lo, total)
		out[c] = int64(upTo - before)
		before = upTo
	}
	return out
}

// fragmentationResult returns the causes; nil where no GPU time was fragmented.
func (f *Fold) fragmentationResult() (*result.Fragmentation, result.FragmentationSeries) {
	g := &f.frag
	if g.samples == 0 {
		return nil, result.FragmentationSeries{}
	}
	w := width(g.level)
	series := result.FragmentationSeries{Bin: w.Seconds()}
	out := &result.Fragmentation{IdleHours: f.led.sums[chFragmented].GPUHours(), Samples: g.samples,
		BinSeconds: w.Seconds()}
	bins := int((f.now + units.Time(w) - 1) / units.Time(w))
	for i := range bins {
		series.T = append(series.T, (units.Time(i) * units.Time(w)).Seconds())
	}
	fields := [nCauses]*float64{&out.NodeKindHours, &out.GPUCountHours, &out.MIGHours, &out.CPUHours, &out.MemoryHours,
		&out.PodsHours, &out.GangHours, &out.TopologyHours, &out.OtherHours}
	most := -1.0
	for c, field := range fields {
		cause := result.Cause{ID: causeIDs[c], GPUs: make([]float64, bins)}
		var sum units.Integral
		for i, b := range g.bins {
			sum = sum.Plus(b.sums[c])
			hours := min(w, f.now.Sub(units.Time(i)*units.Time(w))).Hours()
			cause.GPUs[i] = b.sums[c].GPUHours() / billion / hours
		}
		cause.Hours = sum.GPUHours() / billion
		*field = cause.Hours
		series.Causes = append(series.Causes, cause)
		if cause.Hours > most {
			most, out.MainCause = cause.Hours, causeIDs[c]
		}
	}
	return out, series
}

// sum returns the sum of all causes in all bins.
func (g *fragmentation) sum() (sum units.Integral) {
	for _, b := range g.bins {
		for _, part := range b.sums {
			sum = sum.Plus(part)
		}
	}
	return sum
}
