package serving

import (
	"slices"

	"orrery/sim/plan"
)

// formFirst is how engines schedule that compute prompts before everything else: when there are prompts that have room,
// nobody decodes meanwhile.
func (r *Reference) formFirst() {
	l := &r.look
	if len(r.running) == 0 || r.role == plan.RolePrefill {
		l.full, l.stale = false, 0
	}
	budget := r.budget
	if n := len(r.running); n > 0 && !r.running[n-1].decoding {
		m := r.running[n-1]
		tokens := min(m.target-m.done, budget)
		budget -= tokens
		r.grow(m, r.prompted(m.done+tokens, m.target))
		r.chunk(m, tokens)
	}
	switch {
	case len(r.waiting) == 0:
	case r.preset == plan.EngineSGLang:
		r.admitFirst(budget)
	case r.looks():
		r.admit(budget)
	}
	l.interrupt = len(r.chunks) > 0
	if l.interrupt {
		l.prefilled = l.decoded
		return
	}
	need := func() int {
		n := 0
		for _, m := range r.running {
			n += r.logical(r.context(m)) - m.blocks
		}
		return n
	}
	before := len(r.running)
	for need() > r.cache.free {
		if r.preset == plan.EngineSGLang {
			r.preempt(r.shortest(), false)
			r.estimate()
		} else {
			r.preempt(r.running[len(r.running)-1], true)
		}
	}
	if before == len(r.running) && before > 0 {
		l.ratio = max(l.ratio-ratioFall, ratioLeast)
	}
	if l.stale > 0 || before > len(r.running) { // scheduler.py, update_running_batch
		l.full = false
	}
	l.stale = 0
	for _, m := range r.running {
		r.grow(m, r.logical(r.context(m)))
		r.decodes = append(r.decodes, m)
	}
}

// admitFirst is how SGLang looks at its queue (srt/managers/scheduler.py, get_new_batch_prefill): once somebody has
// found no room, not before a step of decoding is formed with fewer sequences. Those that have ended have their places
// until then.
func (r *Reference) admitFirst(budget int) {
	l := &r.look
	taken := func() bool { return len(r.running)+l.stale >= r.sequences }
	if l.full || len(r.chunks) == 0 && taken() {
		l.full = true
		return
	}
	r.order()
	for {
		if taken() {
			l.full = true
			return
		}
		tokens, ok := r.enter(r.waiting[0], budget)
		if budget -= tokens; !ok || budget <= 0 || len(r.waiting) == 0 {
			return
		}
	}
}

// order puts the queue in order by the longest match in the prefix cache (srt/managers/schedule_policy.py,
// SchedulePolicy). Of those that lack a beginning which others share, all but the first come last: they will find it.
func (r *Reference) order() {
	if !r.ordered || len(r.waiting) > orderedQueue {
		return
	}
	keys := map[*member]int{}
	var others []*Sequence
	for _, m := range r.waiting {
		_, _, cached, _ := r.hits(r.cache, m.q, m.target)
		matched := cached * int(r.block)
		keys[m] = -matched
		if matched > sharedTokens {
			continue
		}
		same := 0
		for _, q := range others {
			n := 0
			for n < min(r.pieces(q), r.pieces(m.q)) && q.Prefix[n] == m.q.Prefix[n] {
				n++
			}
			same = max(same, n*m.q.PrefixTokens)
		}
		if same >= sharedTokens {
			keys[m] = 1
		} else {
			others = append(others, m.q)
		}
	}
	slices.SortStableFunc(r.waiting, func(a, b *member) int { return keys[a] - keys[b] })
}

// looks says whether TGI lets others in (backends/v3/src/backend.rs, batching_task, and queue.rs, next_batch): not
// between two prompts, and unless a while has passed only as many at once as pay for the interruption.
func (r *Reference) looks() bool {
	l, n := &r.look, len(r.running)
	return r.preset != plan.EngineTGI || n == 0 || !l.interrupt && (l.decoded-l.prefilled+1 >= waitingTokens ||
		r.candidates() >= n*servedTenths/10)
}

// candidates is how many of those that wait TGI could let in together.
func (r *Reference) candidates() int {
	budget, peaks := r.budget, 0
	for _, m := range r.running {
		peaks += m.peak
	}
	for i, m := range r.waiting {
		charge := m.target
		if m.received {
			charge = 0
		}
		peaks += m.peak
		if budget <= 0 || i > 0 && charge > budget || peaks > r.blocks || len(r.running)+i >= r.sequences {
			return i
		}
		budget -= charge
	}
	return len(r.waiting)
}

// shortest is the sequence that SGLang retracts first (srt/managers/schedule_batch.py, retract_decode): that with the
// least output, of these the one with the longest prompt; with speculation the latest.
func (r *Reference) shortest() *member {
	var best *member
	for _, m := range r.running {
		if best == nil || r.proposed > 0 || m.q.Generated < best.q.Generated ||
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
