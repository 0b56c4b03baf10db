package engine

// heap is a binary heap of events in their total order. Cancelled events stay until they surface or until they are
// half of the heap, so that cancelling is O(1) amortised.
type heap struct {
	ev   []*Event
	dead int
}

func less(a, b *Event) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	if a.phase != b.phase {
		return a.phase < b.phase
	}
	return a.seq < b.seq
}

func (h *heap) push(ev *Event) {
	h.ev = append(h.ev, ev)
	h.up(len(h.ev) - 1)
}

// peek returns the first live event, or nil.
func (h *heap) peek() *Event {
	for len(h.ev) > 0 && h.ev[0].fn == nil {
		h.dead--
		h.removeTop()
	}
	if len(h.ev) == 0 {
		return nil
	}
	return h.ev[0]
}

// pop removes the first live event, which peek has just returned.
func (h *heap) pop() *Event {
	top := h.ev[0]
	h.removeTop()
	return top
}

func (h *heap) removeTop() {
	n := len(h.ev) - 1
	h.ev[0] = h.ev[n]
	h.ev[n] = nil
	h.ev = h.ev[:n]
	h.down(0)
}

// compact drops cancelled events when they are the majority of a heap worth the work.
func (h *heap) compact() {
	if h.dead < 1024 || h.dead*2 < len(h.ev) {
		return
	}
	live := h.ev[:0]
	for _, ev := range h.ev {
		if ev.fn != nil {
			live = append(live, ev)
		}
	}
	clear(h.ev[len(live):])
	h.ev, h.dead = live, 0
	for i := len(h.ev)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

func (h *heap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !less(h.ev[i], h.ev[parent]) {
			return
		}
		h.ev[i], h.ev[parent] = h.ev[parent], h.ev[i]
		i = parent
	}
}

func (h *heap) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h.ev) {
			return
		}
		if r := child + 1; r < len(h.ev) && less(h.ev[r], h.ev[child]) {
			child = r
		}
		if !less(h.ev[child], h.ev[i]) {
			return
		}
		h.ev[i], h.ev[child] = h.ev[child], h.ev[i]
		i = child
	}
}

// names lists up to n live events in heap order, for diagnostics.
func (h *heap) names(n int) []string {
	var out []string
	for _, ev := range h.ev {
		if len(out) == n {
			break
		}
		if ev.fn != nil {
			out = append(out, ev.name)
		}
	}
	return out
}
