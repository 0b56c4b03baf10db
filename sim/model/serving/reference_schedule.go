package serving

import "orrery/sim/plan"

// form decides what the next iteration has in it.
func (r *Reference) form() {
	for i := 0; i < len(r.running); {
		if m := r.running[i]; m.aborted {
			if m.decoding {
				r.look.stale++
			} else {
				r.look.full = false
			}
			r.remove(m)
		} else {
			i++
		}
	}
	r.decodes, r.chunks = r.decodes[:0], r.chunks[:0]
	if r.mixed {
		r.formMixed()
	} else {
		r.formFirst()
	}
	if len(r.decodes) == 0 && len(r.chunks) == 0 {
		if len(r.running) > 0 || len(r.waiting) > 0 {
			panic("serving: sequences are there and none can run")
		}
		r.phase, r.meter.busy, r.look.ratio = idle, false, ratioFirst
		return
	}
	w := work{decodes: len(r.decodes)}
	for _, m := range r.decodes {
		w.context += r.context(m) - int64(r.proposed)*r.parts
	}
	for _, c := range r.chunks {
		w.add(c.m.done, c.tokens)
	}
	var d int64
	d, r.compute = r.costs.duration(w)
	r.end = r.start + d
	r.phase, r.meter.busy = working, true
}

// context is the parts of tokens that a decoding sequence has in the cache in this iteration, with proposed ones.
func (r *Reference) context(m *member) int64 { return r.entering(m.target) + m.steps*r.gain }

// formMixed is how vLLM schedules (v1/core/sched/scheduler.py, schedule): those that run in the order of admission,
// then those that wait, until the tokens of the iteration are used up.
func (r *Reference) formMixed() {
	budget, preempted := r.budget, false
	for i := 0; i < len(r.running) && budget > 0; i++ {
		m := r.running[i]
		tokens := 1 + r.proposed
		want := 0
		if m.decoding {
			want = r.logical(r.context(m))
		} else {
			tokens = min(m.target-m.done, budget)
			want = r.prompted(m.done+tokens, m.target)
		}
		for want-m.blocks > r.cache.free {
			last := r.running[len(r.running)-1]
			r.preempt(last, true)
			preempted = true
			if last == m {
				return
			}
		}
		budget -= tokens
		r.grow(m, want)
		if m.decoding {
			r.decodes = append(r.decodes, m)
		} else {
			r.chunk(m, tokens)
		}
	}
	if !preempted {
		r.admit(budget)
	}
}

// grow takes the blocks that a sequence needs more.
func (r *Reference) grow(m *member, want int) {
	for ; m.blocks < want; m.blocks++ {
		r.cache.take(1)
	}
}

// chunk puts a piece of a prompt into the iteration.
func (r *Reference) chunk(m *member, tokens int) {
	r.chunks = append(r.chunks, chunk{m, tokens})
	if r.naming == namedAhead {
		r.name(m, m.done+tokens)
	}
}

// name lets others find the pieces that are complete in the first tokens of a prompt. Where a piece is there already
// SGLang gives its own copy up.
func (r *Reference) name(m *member, tokens int) {
	q := m.q
	for n := r.pieces(q); m.named < n && (m.named+1)*q.PrefixTokens <= tokens; m.named++ {
		m.name = chain(m.name, q.Prefix[m.named])
		width := r.upTo(q, m.named+1) - r.upTo(q, m.named)
		x := r.cache.name(m.name, width)
		if x == nil && r.naming == namedChunk {
			x = r.cache.find(m.name)
			r.cache.hold(x)
			r.cache.give(width)
		}
		if x != nil {
			m.held = append(m.held, x)
			m.shared += width
		}
	}
}

// preempt takes a sequence's blocks away. It waits again, and all of its tokens have to be computed again.
func (r *Reference) preempt(m *member, front bool) {
	if m.decoding { // what it had of a further token is gone
		r.meter.parts += int64(m.q.Generated-m.from)*r.parts - m.steps*r.gain
	}
	r.remove(m)
	m.target = m.q.Input + m.q.Generated
	m.received = false // what came from elsewhere is gone
	m.q.Preempted++
	r.meter.load.Preemptions++
	r.meter.waiting++
	if !front {
		r.waiting = append(r.waiting, m)
		return
	}
	r.waiting = append(r.waiting, nil)
	copy(r.waiting[1:], r.waiting)
	r.waiting[0] = m
}

// admit lets sequences that wait in, in their order, until one finds no room.
func (r *Reference) admit(budget int) {
	expected := r.underway()
	for i := 0; i < len(r.waiting) && budget > 0 && len(r.running) < r.sequences; {
		m := r.waiting[i]
		if expected != nil {
			if next, ok := r.missing(m); ok && expected[next] {
				i++ // another one computes what it needs
				continue
			} else if ok {
				expected[next] = true
			}
		}
		tokens, ok := r.enter(m, budget)
		if !ok {
			return
		}
		budget -= tokens
	}
}

// underway is TensorRT-LLM's reason to pass a request over (capacityScheduler.cpp, beneficialToSkip): the first pieces
// that prompts lack which are being computed. nil = nobody is passed over.
func (r *Reference) underway() map[uint64]bool {
	if r.preset != plan.EngineTRTLLM || !r.prefixes {
		return nil
	}
	out := map[uint64]bool{}
	for _, m := range r.running {
		if next, ok := r.missing(m); ok && !m.decoding {
			out[next] = true
		}
	}
	return out
}

// missing is the first piece of a prompt that the prefix cache lacks.
func (r *Reference) missing(m *member) (uint64, bool) {
	at := uint64(0)
	for i := range r.pieces(m.q) {
		if at = chain(at, m.q.Prefix[i]); r.cache.find(at) == nil {
			return at, true
		}
	}
	return 0, false
}

// enter lets a sequence in when there is room. It returns the tokens that it takes of the iteration.
func (r *Reference) enter(m *member, budget int) (int, bool) {
	if m.received {
		return r.enterReceived(m, budget)
	}
	found, name, cached, unused := r.hits(r.cache, m.q, m.target)
	left := m.target - cached*int(r.block)
	tokens, charge := min(left, budget), min(left, budget)
	if r.preset == plan.EngineTGI { // queue.rs, next_batch: what is cached counts, too
		left, tokens, charge = m.target, left, m.target
	}
	if !r.chunked && left > budget {
		if len(r.decodes) > 0 || len(r.chunks) > 0 {
			return 0, false
		}
		tokens = m.target - cached*int(r.block) // a prompt that is longer than an iteration may be has one of its own
	}
	first := cached*int(r.block) + tokens
	want := r.prompted(first, m.target)
	if max(want, r.least(m.target))-cached+unused > r.cache.free || !r.fits(m, cached, unused) {
		r.look.full = true
		return 0, false
	}
	if tokens == 0 {
		return 0, false
	}
	r.join(m)
	if m.q.Preempted == 0 {
		m.q.Cached = cached * int(r.block)
		r.meter.load.PrefixHits += int64(m.q.Cached)
		if r.prefixes {
			r.meter.load.PrefixQueries += int64(m.q.Input)
		}
	}
	at := uint64(0)
	for i := range found {
		at = chain(at, m.q.Prefix[i])
		x := r.cache.find(at)
		r.cache.hold(x)
		m.held = append(m.held, x)
	}
	m.named, m.name = found, name
	m.blocks, m.shared, m.done = cached, cached, cached*int(r.block)
	r.grow(m, want)
	r.chunk(m, tokens)
	return charge, true
}

// enterReceived lets a sequence in whose prompt was computed elsewhere.
func (r *Reference) enterReceived(m *member, budget int) (int, bool) {
	target := m.q.Input + m.q.Generated - 1
	want, tokens := r.prompted(target, target), 0
	if r.mixed {
		want, tokens = r.logical(r.entering(target)), 1+r.proposed
	}
	if tokens > budget || budget <= 0 { // prompts have it; there is more when they are done
		return 0, false
	}
	if want > r.cache.free || !r.fits(m, 0, 0) {
		r.look.full = true
		return 0, false
	}
	r.join(m)
	m.target, m.done, m.decoding, m.steps, m.from = target, target, true, 0, m.q.Generated
	r.grow(m, want)
	if r.mixed {
		r.decodes = append(r.decodes, m)
	}
	return tokens, true
}

// join puts one that waits among those that run.
func (r *Reference) join(m *member) {
	if r.waiting[0] == m { // but for TensorRT-LLM
		r.waiting = r.waiting[1:]
	} else {
		r.waiting = without(r.waiting, m)
	}
	r.running = append(r.running, m)
	m.resident = true
	r.meter.waiting--
	r.meter.running++
	if m.q.Begun == Never {
		m.q.Begun = r.at
	}
}

// fits says whether there will be room for what a sequence may still need, as the engine reckons it.
func (r *Reference) fits(m *member, cached, unused int) bool {
	switch {
	case r.whole:
		promised, peaks := 0, 0
		for _, x := range r.running {
			promised += x.peak - x.blocks
			peaks += x.peak
		}
		return r.fitsWhole(m.peak, cached, unused, r.cache.free, promised, peaks)
	case r.preset != plan.EngineSGLang || len(r.running) == 0:
		return true
	}
	var decoding, other int64 // in parts, in tokens
	for _, x := range r.running {
		if x.decoding {
			left := int64(r.output(x.q)-x.from)*r.parts - x.steps*r.gain
			decoding += min(left, clipOutput*r.parts)
		}
	}
	for _, c := range r.chunks {
		other += r.reserved(c.m.q, c.m.done+c.tokens < c.m.target)
	}
	need := int64(m.target) - int64(cached)*r.block + r.reserved(m.q, false)
	return need < int64(r.cache.free-unused)*r.block-other-decoding*r.look.ratio/(r.parts*1_000_000)
}
