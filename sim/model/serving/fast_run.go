package serving

import (
	"math"
	"math/bits"

	"orrery/sim/plan"
	"orrery/sim/units"
)

// span is the time of the first k iterations of the run.
func (f *Fast) span(k int64) int64 { return k*f.first + k*(k-1)/2*f.more }

// until is when the run ends.
func (f *Fast) until() units.Time {
	if f.endOf != f.iterations {
		f.end, f.endOf = f.clock.at(f.start+f.span(f.iterations)), f.iterations
	}
	return f.end
}

// within is the number of iterations of the run, at least 1, after which the clock shows u or more.
func (f *Fast) within(u int64) int64 {
	need := u - f.start
	if need <= f.first {
		return 1
	}
	// more/2 k² + (first - more/2) k = need, solved without a difference of nearly equal numbers
	half := float64(float64(f.more) / 2)
	b := float64(f.first) - half
	root := math.Sqrt(float64(b*b) + float64(4*half*float64(need)))
	k := min(max(int64(math.Ceil(2*float64(need)/(b+root))), 1), f.iterations)
	for k > 1 && f.span(k-1) >= need {
		k--
	}
	for k < f.iterations && f.span(k) < need {
		k++
	}
	return k
}

// cut ends the run at the first end of an iteration at or after an instant: something may change there.
func (f *Fast) cut(at units.Time) {
	if f.phase == working && f.iterations > 1 {
		f.iterations = f.within(f.clock.least(at))
	}
}

// arrived ends the run where a sequence that has just come may be let in.
func (f *Fast) arrived(at units.Time) {
	blocked := f.blocked
	if f.preset == plan.EngineSGLang {
		blocked = f.full
	}
	if f.phase != working || f.iterations == 1 || blocked || f.running.n >= f.sequences {
		return
	}
	k := f.within(f.clock.least(at))
	if f.preset == plan.EngineTGI && (f.short || f.waiting.n < f.running.n*servedTenths/10) {
		k = max(k, waitingTokens-1-(f.decoded-f.prefilled))
	}
	f.iterations = min(f.iterations, k)
}

// sync brings the state to the last end of an iteration within the run. At the very instant of one, the next has not
// been formed yet.
func (f *Fast) sync() {
	if f.phase != working || f.iterations == 1 {
		return
	}
	next := f.meter.now - f.meter.now%units.Time(units.Tick) + units.Time(units.Tick)
	k := f.within(f.clock.least(next)) - 1
	if k == 0 {
		return
	}
	if f.clock.at(f.start+f.span(k)) == f.meter.now {
		f.iterations = k
		f.complete(f.meter.now, &f.late) // nobody ends here: the run was longer
		f.phase, f.at = forming, f.meter.now
		return
	}
	f.pass(k, k)
	f.endOf = 0
	f.iterations -= k
	f.first += k * f.more
}

// pass counts k iterations of the run, and takes the blocks of that many iterations beyond the first.
func (f *Fast) pass(k, grow int64) {
	span := f.span(k)
	f.meter.load.Iterations += k
	if !f.decoding {
		f.meter.spent(span, f.cache.used(), f.compute)
		f.start += span
		return
	}
	n, moment := f.growth(grow)
	f.take(n)
	f.meter.spent(span, f.cache.used(), f.compute)
	f.meter.kv -= moment
	f.meter.parts += k * int64(f.batch) * f.gain
	f.decoded += k
	f.start += span
}

// take takes blocks for sequences that run.
func (f *Fast) take(n int) {
	if n > 0 {
		f.cache.take(n)
		f.promised -= n
	}
}

// crossing is how many blocks the decoding sequences need more in this iteration than in the last one.
func (f *Fast) crossing() int {
	if f.parts == 1 {
		m := int64(len(f.classes))
		return int(f.classes[mod(1-f.decoded, m)])
	}
	f.decoded--
	n, _ := f.growth(1)
	f.decoded++
	return n
}

// classify counts a decoding sequence, or takes one away.
func (f *Fast) classify(offset int64, n int32) {
	class := mod(offset, int64(len(f.classes)))
	f.classes[class] += n
	if f.classes[class] == 0 {
		f.some[class>>6] &^= 1 << (class & 63)
	} else {
		f.some[class>>6] |= 1 << (class & 63)
	}
}

func mod(a, m int64) int64 {
	if a %= m; a < 0 {
		a += m
	}
	return a
}

// growth is how many blocks the decoding sequences need in the k iterations after this one, and the sum of the times
// from the beginning of the run until each is taken.
func (f *Fast) growth(k int64) (blocks int, moment float64) {
	if f.batch == 0 || k == 0 {
		return 0, 0
	}
	m := int64(len(f.classes))
	if f.parts > 1 {
		return f.growthParts(k)
	}
	class := mod(-f.decoded, m) // needs a block in the next iteration: offset + decoded + 1 = 1 modulo m
	for j := int64(1); j <= min(k, m); j++ {
		if c := f.classes[class]; c > 0 {
			times := (k-j)/m + 1
			blocks += int(c) * int(times)
			moment += float64(float64(c) * f.moments(j, m, times))
		}
		if class--; class < 0 {
			class = m - 1
		}
	}
	return blocks, moment
}

// moments is the sum of the times until the iterations j, j+m, j+2m, …, of which there are n.
func (f *Fast) moments(j, m, n int64) float64 {
	if n == 1 {
		return float64(f.span(j))
	}
	a, b, c := float64(j), float64(m), float64(n)
	pairs := c * (c - 1) / 2
	sum := float64(a*c) + float64(b*pairs)
	squares := float64(a*a*c) + float64(2*a*b*pairs) + float64(b*b*pairs*(2*c-1)/3)
	half := float64(float64(f.more) / 2)
	return float64((float64(f.first)-half)*sum) + float64(half*squares)
}

// growthParts is growth where a step brings parts of tokens.
func (f *Fast) growthParts(k int64) (blocks int, moment float64) {
	m := int64(len(f.classes))
	now, reach := mod(f.decoded*f.gain, m), k*f.gain
	// What a sequence of the last class of these needs first begins right away, what one of the first needs last.
	from, to := int64(0), m
	if reach < m {
		from = mod(1-reach-now, m)
		to = from + reach
	}
	for from < to {
		end := min(to, m)
		for w := from >> 6; w<<6 < end; w++ {
			word := f.some[w]
			if lead := from - w<<6; lead > 0 {
				word &= ^uint64(0) << lead
			}
			if over := (w+1)<<6 - end; over > 0 {
				word &= ^uint64(0) >> over
			}
			for ; word != 0; word &= word - 1 {
				class := w<<6 + int64(bits.TrailingZeros64(word))
				left := -class - now // parts until its next block begins
				for left < 0 {
					left += m
				}
				c := f.classes[class]
				for ; left < reach; left += m { // in the first iteration that brings more
					blocks += int(c)
					moment += float64(float64(c) * float64(f.span(left/f.gain+1)))
				}
			}
		}
		from, to = 0, to-m
	}
	return blocks, moment
}

// room is the most iterations, up to n, that the blocks that are free allow. The first has its blocks.
func (f *Fast) room(n int64) int64 {
	m := int64(len(f.classes))
	worst := int64(f.batch) * ((n-1)*f.gain/m + 1 + (f.gain-1)/m)
	free := f.cache.free
	if f.mixed && f.blocked && f.pinning {
		free = min(free, f.cache.unnamed())
	}
	if worst <= int64(free) {
		return n
	}
	low, high := int64(1), n
	for low < high {
		mid := (low + high + 1) / 2
		if b, _ := f.growth(mid - 1); b <= free {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}

// longestRun bounds the time of a run, so that sums do not overflow: a quarter hour of the devices' time.
const longestRun = slipBeyond

// begin starts a run of at most n iterations in which the batch decodes.
func (f *Fast) begin(n int64) {
	l := f.costs.decode(f.batch)
	c := f.context + int64(f.batch)*f.decoded*f.gain
	grow := int64(f.batch) * f.gain
	slope, until := l.slope, l.knee
	if c > l.knee {
		slope, until = l.beyond, math.MaxInt64
	}
	for _, turn := range [2]int64{l.computeFrom, l.computeTo} {
		if turn > c {
			until = min(until, turn-1)
		}
	}
	f.first, f.more, f.compute, f.decoding = max(l.at(c), shortest), slope*grow, l.compute(c), true
	if l.at(c) < shortest {
		n = 1
	}
	if until < math.MaxInt64 {
		n = min(n, (until-c)/grow+1)
	}
	if n > 1 {
		n = f.room(n)
	}
	for n > 1 && float64(n)*(float64(f.first)+float64(float64(n)*float64(f.more))) > longestRun {
		n /= 2
	}
	f.iterations = n
	f.phase, f.meter.busy = working, true
}
