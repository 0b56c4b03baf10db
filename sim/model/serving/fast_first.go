package serving

import (
	"math"
	"slices"

	"orrery/sim/plan"
)

// formFirst is Reference.formFirst. It reports whether a sequence lost its place.
func (f *Fast) formFirst() (preempted bool) {
	if f.running.n == 0 || f.role == plan.RolePrefill {
		f.full, f.stale = false, 0
	}
	budget := f.budget
	if s := f.partial; s != nil {
		f.partial = nil
		tokens := min(s.target-s.done, budget)
		budget -= tokens
		f.grow(s, f.prompted(s.done+tokens, s.target))
		f.chunk(s, tokens)
	}
	switch {
	case f.waiting.n == 0:
	case f.preset == plan.EngineSGLang:
		f.admitFirst(budget)
	case !f.blocked && f.looks():
		f.admit(budget)
	}
	if f.interrupt = len(f.chunks) > 0; f.interrupt {
		f.prefilled = f.decoded
		return false
	}
	need := f.crossing()
	for need > f.cache.free {
		s := f.running.tail
		if f.preset == plan.EngineSGLang {
			s = f.shortest()
		}
		need -= f.logical(s.offset+f.decoded*f.gain) - f.blocksOf(s)
		if f.preempt(s, f.preset != plan.EngineSGLang); f.preset == plan.EngineSGLang {
			f.estimate()
		}
		preempted = true
	}
	f.take(need)
	if f.stale > 0 || preempted {
		f.full = false
	}
	f.stale = 0
	return preempted
}

// admitFirst is Reference.admitFirst.
func (f *Fast) admitFirst(budget int) {
	if f.full || len(f.chunks) == 0 && f.running.n+f.stale >= f.sequences {
		f.full = true
		return
	}
	f.reorder()
	for {
		if f.running.n+f.stale >= f.sequences {
			f.full = true
			return
		}
		tokens, ok := f.enter(f.waiting.head, budget)
		if budget -= tokens; !ok || budget <= 0 || f.waiting.n == 0 {
			return
		}
	}
}

// rank is where a sequence belongs in the queue: smaller ones first.
type rank struct {
	s     *seq
	value int
}

// reorder is Reference.order.
func (f *Fast) reorder() {
	if !f.ordered || f.waiting.n < 2 || f.waiting.n > orderedQueue {
		return
	}
	clear(f.seen)
	f.keys = f.keys[:0]
	moved := false
	for s := f.waiting.head; s != nil; s = s.next {
		k := rank{s, f.matched(s)}
		n := len(f.keys)
		moved = moved || n > 0 && f.keys[n-1].value > k.value
		f.keys = append(f.keys, k)
	}
	if !moved {
		return
	}
	slices.SortStableFunc(f.keys, func(a, b rank) int { return a.value - b.value })
	f.waiting = list{}
	for _, k := range f.keys {
		f.waiting.pushBack(k.s)
	}
}

// matched is the place of one that waits in the queue, behind those that have been looked at before.
func (f *Fast) matched(s *seq) int {
	_, _, cached, _ := f.hits(f.cache, s.q, s.target)
	matched := cached * int(f.block)
	if matched > sharedTokens {
		return -matched
	}
	n, at, same, all := f.pieces(s.q), uint64(0), 0, true
	for i := range n {
		at = chain(at, s.q.Prefix[i])
		if all = all && f.seen[at]; all {
			same++
		}
		if same*s.q.PrefixTokens >= sharedTokens {
			return 1
		}
	}
	at = 0
	for i := range n {
		at = chain(at, s.q.Prefix[i])
		f.seen[at] = true
	}
	return -matched
}

// looks is Reference.looks, for an engine whose first request was not refused before.
func (f *Fast) looks() bool {
	if f.preset != plan.EngineTGI || f.running.n == 0 {
		return true
	}
	if f.interrupt {
		return false
	}
	if f.decoded-f.prefilled+1 >= waitingTokens {
		return true
	}
	least := f.running.n * servedTenths / 10
	if f.waiting.n < least {
		return false
	}
	f.short = f.short || f.candidates() < least
	return !f.short
}

// candidates is Reference.candidates.
func (f *Fast) candidates() int {
	budget, peaks, n := f.budget, f.peaks, 0
	for s := f.waiting.head; s != nil; s = s.next {
		charge := s.target
		if s.received {
			charge = 0
		}
		peaks += s.peak
		if budget <= 0 || n > 0 && charge > budget || peaks > f.blocks || f.running.n+n >= f.sequences {
			break
		}
		budget -= charge
		n++
	}
	return n
}

// unlooked is how many iterations pass until the engine looks at its queue again, if nothing else happens.
func (f *Fast) unlooked() int64 {
	switch {
	case f.waiting.n == 0:
	case f.preset == plan.EngineSGLang:
		if !f.full {
			return 1
		}
	case f.running.n >= f.sequences:
	case f.preset == plan.EngineTGI && !f.blocked:
		if !f.short && f.waiting.n >= f.running.n*servedTenths/10 {
			return 1
		}
		return max(waitingTokens-1-(f.decoded-f.prefilled), 1)
	}
	return math.MaxInt64
}

// ratioNow is SGLang's ratio, after so many iterations of decoding.
func (f *Fast) ratioNow() int64 {
	if f.decoded <= f.ratioAt {
		return f.ratio
	}
	return max(f.ratio-(f.decoded-f.ratioAt)*ratioFall, ratioLeast)
}

// shortest is Reference.shortest.
func (f *Fast) shortest() *seq {
	if f.proposed > 0 {
		return f.running.tail
	}
	var best *seq
	generated := 0
	for s := f.running.head; s != nil; s = s.next {
		g := f.generated(s)
		if best == nil || g < generated || g == generated && s.q.Input >= best.q.Input {
			best, generated = s, g
		}
	}
	return best
}

// estimate is Reference.estimate.
func (f *Fast) estimate() {
	var decoded, most int64
	for s := f.running.head; s != nil; s = s.next {
		decoded += int64(f.generated(s)) + retractSteps
		most += int64(f.output(s.q))
	}
	f.ratio, f.ratioAt = min(decoded*1_000_000/(most+1), 1_000_000), f.decoded+1
}
