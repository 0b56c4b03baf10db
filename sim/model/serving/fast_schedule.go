package serving

import (
	"orrery/sim/plan"
	"orrery/sim/units"
)

// complete ends the run.
func (f *Fast) complete(at units.Time, tell Events) {
	f.pass(f.iterations, f.iterations-1)
	if f.start > slipBeyond {
		f.start -= f.clock.slip(f.start)
	}
	for len(f.ends) > 0 && f.ends[0].last == f.decoded && f.decoding {
		s := f.ends[0]
		out := f.output(s.q)
		f.meter.parts += int64(out-s.from)*f.parts - (s.last-s.entered)*f.gain
		f.stale++
		if !s.aborted {
			s.q.Generated = out
		}
		f.leave(s, at, tell)
	}
	for _, c := range f.chunks {
		f.computed(c.s, c.tokens, at, tell)
	}
}

// computed ends a chunk of a prompt.
func (f *Fast) computed(s *seq, tokens int, at units.Time, tell Events) {
	q := s.q
	f.meter.load.Prefilled += int64(tokens)
	s.done += tokens
	if f.naming == namedChunk || f.naming == namedPrompt && s.done >= s.target {
		f.name(s, s.done)
	}
	if s.done < s.target {
		return
	}
	if f.partial == s {
		f.partial = nil
	}
	f.meter.parts += f.parts
	from := s.target - q.Input + 1
	f.decode(s, from)
	if !s.aborted {
		if q.Generated = from; from == 1 {
			q.First = at
			tell.First(q)
		}
	}
	if from >= f.output(q) {
		f.full = false
		f.leave(s, at, tell)
	}
}

// decode lets a sequence decode from this iteration on. It has the blocks of its prompt.
func (f *Fast) decode(s *seq, from int) {
	s.decoding, s.from, s.entered = true, from, f.decoded
	s.last = f.decoded + f.steps(from, f.output(s.q))
	s.offset = f.entering(s.target) - f.decoded*f.gain
	f.batch++
	f.context += s.offset - int64(f.proposed)*f.parts
	f.left += int64(f.output(s.q)-from)*f.parts + s.entered*f.gain
	if s.long = f.output(s.q)-from > clipOutput; s.long {
		f.long++
	}
	f.classify(s.offset, 1)
	f.ends.push(s)
}

// undecode is the opposite.
func (f *Fast) undecode(s *seq) {
	s.blocks = f.blocksOf(s)
	s.decoding = false
	f.batch--
	f.context -= s.offset - int64(f.proposed)*f.parts
	f.left -= int64(f.output(s.q)-s.from)*f.parts + s.entered*f.gain
	if s.long {
		f.long--
	}
	f.classify(s.offset, -1)
	f.ends.remove(s)
}

// blocksOf is the blocks that a decoding sequence had in the last iteration.
func (f *Fast) blocksOf(s *seq) int { return f.logical(s.offset + (f.decoded-1)*f.gain) }

// leave ends a sequence.
func (f *Fast) leave(s *seq, at units.Time, tell Events) {
	f.remove(s)
	if s.aborted {
		return // the list of those forgets it
	}
	q := s.q
	q.Ended, q.state = at, nil
	f.forget(s)
	tell.Ended(q)
}

// remove takes a sequence out of those that run; see Reference.remove.
func (f *Fast) remove(s *seq) {
	if s.decoding {
		f.undecode(s)
		if f.naming == namedEnd {
			f.name(s, s.target)
		}
	}
	if f.partial == s {
		f.partial = nil
	}
	f.running.remove(s)
	f.meter.running--
	s.resident = false
	f.blocked, f.short = false, false
	f.peaks -= s.peak
	f.promised -= s.peak - s.blocks
	f.cache.give(s.blocks - s.shared)
	for i := len(s.held) - 1; i >= 0; i-- {
		f.cache.letGo(s.held[i])
	}
	s.held = s.held[:0]
	s.blocks, s.shared, s.named, s.name, s.done = 0, 0, 0, 0, 0
}

// form decides what the next run has in it.
func (f *Fast) form() {
	for i, s := range f.aborted {
		if s.resident {
			if s.decoding {
				f.stale++
			} else {
				f.full = false
			}
			f.remove(s)
		}
		f.forget(s)
		f.aborted[i] = nil
	}
	f.aborted = f.aborted[:0]
	f.chunks = f.chunks[:0]
	f.jumps++
	f.endOf = 0
	var preempted bool
	if f.mixed {
		preempted = f.formMixed()
	} else {
		preempted = f.formFirst()
	}
	switch {
	case len(f.chunks) > 0:
		f.formed()
	case f.batch > 0:
		n := f.ends[0].last - f.decoded
		if preempted {
			n = 1
		}
		f.begin(min(n, f.unlooked()))
	case f.running.n > 0 || f.waiting.n > 0:
		panic("serving: sequences are there and none can run")
	default:
		f.phase, f.meter.busy = idle, false
		f.ratio, f.ratioAt = ratioFirst, f.decoded
	}
}

// formed starts the one iteration that has prompts.
func (f *Fast) formed() {
	var w work
	f.decoding = f.mixed && f.batch > 0
	if f.decoding {
		w.decodes, w.context = f.batch, f.context+int64(f.batch)*f.decoded*f.gain
	}
	for _, c := range f.chunks {
		w.add(c.s.done, c.tokens)
	}
	f.first, f.compute = f.costs.duration(w)
	f.more, f.iterations = 0, 1
	f.phase, f.meter.busy = working, true
}

// formMixed is Reference.formMixed. It reports whether a sequence lost its place.
func (f *Fast) formMixed() (preempted bool) {
	need := f.crossing()
	if need > f.cache.unnamed() && f.pinning {
		f.blocked = false
	}
	switch {
	case need <= f.cache.free:
		f.take(need)
	case f.cache.spare && len(f.cache.named) > 0:
		preempted = true
		f.exhausted()
	default:
		preempted = true
		for need > f.cache.free {
			last := f.running.tail
			if last.decoding {
				need -= f.logical(last.offset+f.decoded*f.gain) - f.blocksOf(last)
			}
			f.preempt(last, true)
		}
		f.take(need)
	}
	budget := f.budget - f.batch*(1+f.proposed)
	if s := f.partial; s != nil && budget > 0 {
		tokens := min(s.target-s.done, budget)
		want := f.prompted(s.done+tokens, s.target)
		if want-s.blocks > f.cache.free {
			f.preempt(s, true)
			return true
		}
		budget -= tokens
		f.grow(s, want)
		f.chunk(s, tokens)
	}
	if !preempted && !f.blocked {
		f.admit(budget)
	}
	return preempted
}

// exhausted gives blocks for the next token to one sequence after the other, and takes the latest ones' away. What is
// taken first matters where blocks without a name are taken before named ones.
func (f *Fast) exhausted() {
	for s := f.running.head; s != nil && s.decoding; s = s.next {
		need := f.logical(s.offset+f.decoded*f.gain) - f.blocksOf(s)
		for need > f.cache.free {
			last := f.running.tail
			f.preempt(last, true)
			if last == s {
				return
			}
		}
		f.take(need)
	}
}

// grow takes the blocks that a prompt needs more.
func (f *Fast) grow(s *seq, want int) {
	f.take(want - s.blocks)
	s.blocks = want
}

// chunk is Reference.chunk.
func (f *Fast) chunk(s *seq, tokens int) {
	f.chunks = append(f.chunks, piecework{s, tokens})
	if s.done+tokens < s.target {
		f.partial = s
	}
	if f.naming == namedAhead {
		f.name(s, s.done+tokens)
	}
}

// name is Reference.name.
func (f *Fast) name(s *seq, tokens int) {
	q := s.q
	for n := f.pieces(q); s.named < n && (s.named+1)*q.PrefixTokens <= tokens; s.named++ {
		s.name = chain(s.name, q.Prefix[s.named])
		width := f.upTo(q, s.named+1) - f.upTo(q, s.named)
		x := f.cache.name(s.name, width)
		if x == nil && f.naming == namedChunk {
			x = f.cache.find(s.name)
			f.cache.hold(x)
			f.cache.give(width)
		}
		if x != nil {
			s.held = append(s.held, x)
			s.shared += width
		}
		f.blocked = false // whoever waits may find it
	}
}

// preempt is Reference.preempt.
func (f *Fast) preempt(s *seq, front bool) {
	q := s.q
	if s.decoding {
		q.Generated = f.generated(s)
		f.meter.parts += int64(q.Generated-s.from)*f.parts - (f.decoded-s.entered)*f.gain
	}
	f.remove(s)
	s.target = q.Input + q.Generated
	s.received = false
	q.Preempted++
	f.meter.load.Preemptions++
	f.meter.waiting++
	if front {
		f.waiting.pushFront(s)
	} else {
		f.waiting.pushBack(s)
	}
}

// admit is Reference.admit.
func (f *Fast) admit(budget int) {
	if f.preset == plan.EngineTRTLLM && f.prefixes {
		f.admitPassing(budget)
		return
	}
	for f.waiting.n > 0 && budget > 0 && f.running.n < f.sequences {
		tokens, ok := f.enter(f.waiting.head, budget)
		if !ok {
			return
		}
		budget -= tokens
	}
}

// admitPassing is Reference.admit for TensorRT-LLM with prefix caching, which passes some over. Whoever is waits for a
// prompt that is in this iteration, so that there is no run meanwhile.
func (f *Fast) admitPassing(budget int) {
	clear(f.seen)
	if s := f.partial; s != nil {
		if next, ok := f.missing(s); ok {
			f.seen[next] = true
		}
	}
	passed := false
	for s := f.waiting.head; s != nil && budget > 0 && f.running.n < f.sequences; {
		after := s.next
		next, ok := f.missing(s)
		if ok && f.seen[next] {
			passed, s = true, after
			continue
		}
		if ok {
			f.seen[next] = true
		}
		tokens, ok := f.enter(s, budget)
		if !ok {
			break
		}
		budget, s = budget-tokens, after
	}
	if passed {
		f.blocked = false
	}
}

// missing is Reference.missing.
func (f *Fast) missing(s *seq) (uint64, bool) {
	at := uint64(0)
	for i := range f.pieces(s.q) {
		if at = chain(at, s.q.Prefix[i]); f.cache.find(at) == nil {
			return at, true
		}
	}
	return 0, false
}

// enter is Reference.enter.
func (f *Fast) enter(s *seq, budget int) (int, bool) {
	if s.received {
		return f.enterReceived(s, budget)
	}
	q := s.q
	found, name, cached, unused := f.hits(f.cache, q, s.target)
	left := s.target - cached*int(f.block)
	tokens, charge := min(left, budget), min(left, budget)
	if f.preset == plan.EngineTGI {
		left, tokens, charge = s.target, left, s.target
	}
	if !f.chunked && left > budget {
		if f.mixed && f.batch > 0 || len(f.chunks) > 0 {
			f.blocked, f.refused, f.pinning = len(f.chunks) == 0, s, unused > 0
			return 0, false
		}
		tokens = s.target - cached*int(f.block)
	}
	want := f.prompted(cached*int(f.block)+tokens, s.target)
	if max(want, f.least(s.target))-cached+unused > f.cache.free || !f.fits(s, cached, unused) {
		f.blocked, f.refused, f.full, f.pinning = true, s, true, unused > 0
		return 0, false
	}
	if tokens == 0 {
		return 0, false
	}
	f.join(s)
	if q.Preempted == 0 {
		q.Cached = cached * int(f.block)
		f.meter.load.PrefixHits += int64(q.Cached)
		if f.prefixes {
			f.meter.load.PrefixQueries += int64(q.Input)
		}
	}
	at := uint64(0)
	for i := range found {
		at = chain(at, q.Prefix[i])
		x := f.cache.find(at)
		f.cache.hold(x)
		s.held = append(s.held, x)
	}
	s.named, s.name = found, name
	s.blocks, s.shared, s.done = cached, cached, cached*int(f.block)
	f.promised += s.peak - s.blocks
	f.grow(s, want)
	f.chunk(s, tokens)
	return charge, true
}

// enterReceived is Reference.enterReceived.
func (f *Fast) enterReceived(s *seq, budget int) (int, bool) {
	q := s.q
	target := q.Input + q.Generated - 1
	want, tokens := f.prompted(target, target), 0
	if f.mixed {
		want, tokens = f.logical(f.entering(target)), 1+f.proposed
	}
	if tokens > budget || budget <= 0 { // prompts have it; there is more when they are done
		return 0, false
	}
	if want > f.cache.free || !f.fits(s, 0, 0) {
		f.blocked, f.refused, f.full, f.pinning = true, s, true, false
		return 0, false
	}
	f.join(s)
	s.target, s.done = target, target
	f.promised += s.peak
	f.grow(s, want)
	f.decode(s, q.Generated)
	return tokens, true
}

// join puts one that waits among those that run.
func (f *Fast) join(s *seq) {
	f.waiting.remove(s)
	f.running.pushBack(s)
	s.resident = true
	f.order++
	s.order = f.order
	f.peaks += s.peak
	f.short = false
	f.meter.waiting--
	f.meter.running++
	if s.q.Begun == Never {
		s.q.Begun = f.at
	}
}

// fits is Reference.fits.
func (f *Fast) fits(s *seq, cached, unused int) bool {
	if f.whole {
		return f.fitsWhole(s.peak, cached, unused, f.cache.free, f.promised, f.peaks)
	}
	if f.preset != plan.EngineSGLang || f.running.n == 0 {
		return true
	}
	var other int64
	for _, c := range f.chunks {
		other += f.reserved(c.s.q, c.s.done+c.tokens < c.s.target)
	}
	need := int64(s.target) - int64(cached)*f.block + f.reserved(s.q, false)
	return need < int64(f.cache.free-unused)*f.block-other-f.expected()*f.ratioNow()/(f.parts*1_000_000)
}

// expected is the parts of tokens that SGLang expects those that decode to generate.
func (f *Fast) expected() int64 {
	if f.long == 0 {
		return f.left - int64(f.batch)*f.decoded*f.gain
	}
	var sum int64
	for s := f.running.head; s != nil; s = s.next {
		if s.decoding {
			left := int64(f.output(s.q)-s.from)*f.parts - (f.decoded-s.entered)*f.gain
			sum += min(left, clipOutput*f.parts)
		}
	}
	return sum
}
