package serving

import "orrery/sim/plan"

// form decides what the next iteration has in it.
func (r *Reference) form() {
	for i := 0; i < len(r.running); {
		if m := r.running[i]; m.aborted {
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

// chunk puts a piece of a prompt into the iteration, and names the pieces that it completes.
func (r *Reference) chunk(m *member, tokens int) {
	r.chunks = append(r.chunks, chunk{m, tokens})
	q := m.q
	for n := r.pieces(q); m.named < n && (m.named+1)*q.PrefixTokens <= m.done+tokens; m.named++ {
		m.name = chain(m.name, q.Prefix[m.named])
		width := r.upTo(q, m.named+1) - r.upTo(q, m.named)
		if x := r.cache.name(m.name, width); x != nil {
			m.held = append(m.held, x)
			m.shared += width
		}
		r.look.blocked = false // whoever waits may find it
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
	for len(r.waiting) > 0 && budget > 0 && len(r.running) < r.sequences {
		m := r.waiting[0]
		tokens, ok := r.enter(m, budget)
		if !ok {
			return
		}
		budget -= tokens
	}
}

// enter lets a sequence in when there is room. It returns the tokens that it takes of the iteration.
func (r *Reference) enter(m *member, budget int) (int, bool) {
	if m.received {
		return r.enterReceived(m, budget)
	}
	found, name, cached, unused := r.hits(r.cache, m.q, m.target)
	left := m.target - cached*int(r.block)
	tokens := min(left, budget)
	if !r.chunked && left > budget {
		if len(r.decodes) > 0 || len(r.chunks) > 0 {
			return 0, false
		}
		tokens = left // a prompt that is longer than an iteration may be has one of its own
	}
	first := cached*int(r.block) + tokens
	want := r.prompted(first, m.target)
	if want-cached+unused > r.cache.free || !r.fits(m, cached, unused) {
		r.look.blocked, r.look.blockedAt = true, r.look.decoded
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
	return tokens, true
}

// enterReceived lets a sequence in whose prompt was computed elsewhere.
func (r *Reference) enterReceived(m *member, budget int) (int, bool) {
	target := m.q.Input + m.q.Generated - 1
	want, tokens := r.prompted(target, target), 0
	if r.mixed {
		want, tokens = r.logical(r.entering(target)), 1+r.proposed
	}
	if tokens > budget { // prompts have it; there is more when they are done
		return 0, false
	}
	if want > r.cache.free || !r.fits(m, 0, 0) {
		r.look.blocked, r.look.blockedAt = true, r.look.decoded
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

// join puts the first that waits among those that run.
func (r *Reference) join(m *member) {
	r.waiting = r.waiting[1:]
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
	if r.whole {
		promised := 0
		for _, x := range r.running {
			promised += x.peak - x.blocks
		}
		return m.peak-cached+unused <= r.cache.free-promised
	}
	if r.preset != plan.EngineSGLang || len(r.running) == 0 {
		return true
	}
	// srt/managers/schedule_policy.py, PrefillAdder.
	var decoding, other int64
	for _, x := range r.running {
		left := int64(r.output(x.q) - x.q.Generated)
		if x.decoding {
			decoding += int64(r.output(x.q)-x.from)*r.parts - x.steps*r.gain
		} else {
			other += left + int64(r.prompted(x.target, x.target)-x.blocks)*r.block
		}
	}
	all := int64(r.prompted(m.target, m.target)-cached+unused) * r.block
	all += int64(r.output(m.q) - m.q.Generated)
	return all <= int64(r.cache.free)*r.block-other-decoding*r.look.ratio/(r.parts*1_000_000)
}
