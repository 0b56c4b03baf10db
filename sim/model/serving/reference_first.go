package serving

import "orrery/sim/plan"

// formFirst is how engines schedule that compute prompts before everything else: when there are prompts that have room,
// nobody decodes meanwhile.
func (r *Reference) formFirst() {
	budget := r.budget
	if n := len(r.running); n > 0 && !r.running[n-1].decoding {
		m := r.running[n-1]
		tokens := min(m.target-m.done, budget)
		budget -= tokens
		r.grow(m, r.prompted(m.done+tokens, m.target))
		r.chunk(m, tokens)
	}
	if r.looks() {
		r.admit(budget)
	}
	r.look.interrupt = len(r.chunks) > 0
	if r.look.interrupt {
		r.look.prefilled = r.look.decoded
		return
	}
	need := func() int {
		n := 0
		for _, m := range r.running {
			n += r.logical(r.context(m)) - m.blocks
		}
		return n
	}
	fell := true
	for need() > r.cache.free {
		if r.preset == plan.EngineSGLang {
			r.preempt(r.least(), false)
			r.estimate()
			fell = false
		} else {
			r.preempt(r.running[len(r.running)-1], true)
		}
	}
	if fell && len(r.running) > 0 {
		r.look.ratio = max(r.look.ratio-ratioFall, ratioLeast)
	}
	for _, m := range r.running {
		r.grow(m, r.logical(r.context(m)))
		r.decodes = append(r.decodes, m)
	}
}

// looks says whether the engine looks at its queue.
func (r *Reference) looks() bool {
	l := &r.look
	switch r.preset {
	case plan.EngineSGLang:
		return !l.blocked || l.decoded-l.blockedAt >= ratioLook
	case plan.EngineTGI: // backends/v3/src/backend.rs, batching_task
		n := len(r.running)
		return n == 0 || !l.interrupt && (l.decoded-l.prefilled+1 >= waitingTokens ||
			len(r.waiting) >= n*servedTenths/10)
	}
	return true
}

// least is the sequence that SGLang retracts first (srt/managers/schedule_batch.py, retract_decode): that with the
// least output, of these the one with the longest prompt.
func (r *Reference) least() *member {
	var best *member
	for _, m := range r.running {
		if best == nil || m.q.Generated < best.q.Generated ||
			m.q.Generated == best.q.Generated && m.q.Input >= best.q.Input {
			best = m
		}
	}
	return best
}

// estimate is SGLang's new ratio after a retraction.
func (r *Reference) estimate() {
	var decoded, most int64
	for _, m := range r.running {
		decoded += int64(m.q.Generated) + retractSteps
		most += int64(r.output(m.q))
	}
	r.look.ratio = min(decoded*1_000_000/(most+1), 1_000_000)
}
