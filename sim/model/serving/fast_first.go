package serving

import (
	"math"

	"orrery/sim/plan"
)

// formFirst is Reference.formFirst. It reports whether a sequence lost its place.
func (f *Fast) formFirst() (preempted bool) {
	budget := f.budget
	if s := f.partial; s != nil {
		f.partial = nil
		tokens := min(s.target-s.done, budget)
		budget -= tokens
		f.grow(s, f.prompted(s.done+tokens, s.target))
		f.chunk(s, tokens)
	}
	if f.preset == plan.EngineSGLang && f.decoded-f.blockedAt >= ratioLook {
		f.blocked = false
	}
	if !f.blocked && f.looks() {
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
			s = f.least()
		}
		need -= f.logical(s.offset+f.decoded*f.gain) - f.blocksOf(s)
		if f.preempt(s, f.preset != plan.EngineSGLang); f.preset == plan.EngineSGLang {
			f.estimate()
		}
		preempted = true
	}
	f.take(need)
	return preempted
}

// looks says whether the engine looks at its queue, if its first request was not refused before.
func (f *Fast) looks() bool {
	if f.preset != plan.EngineTGI || f.running.n == 0 {
		return true
	}
	return !f.interrupt && (f.decoded-f.prefilled+1 >= waitingTokens ||
		f.waiting.n >= f.running.n*servedTenths/10)
}

// unlooked is how many iterations pass until the engine looks at its queue again, if nothing else happens.
func (f *Fast) unlooked() int64 {
	switch {
	case f.waiting.n == 0 || f.running.n >= f.sequences:
	case f.preset == plan.EngineSGLang && f.blocked:
		return max(ratioLook-(f.decoded-f.blockedAt), 1)
	case f.preset == plan.EngineTGI && !f.blocked:
		if f.waiting.n >= f.running.n*servedTenths/10 {
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

// least is Reference.least.
func (f *Fast) least() *seq {
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
