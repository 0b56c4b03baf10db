package engine

import "orrery/sim/units"

// heap is a 4-ary heap of events in their total order, with the keys beside the pointers: most comparisons touch no
// event. Cancelled events stay until they surface or until they are half of the heap, so that cancelling is O(1)
// amortised.
type heap struct {
	ev   []entry
	dead int
}

// entry is an event and its place in the order.
type entry struct {
	at    units.Time
	order uint64 // phase and sequence
	ev    *Event
}

// seqBits is how much of an entry's order is the sequence: enough for nine thousand years of a million events a second.
const seqBits = 58

func less(a, b *entry) bool { return a.at < b.at || a.at == b.at && a.order < b.order }

func (h *heap) push(ev *Event) {
	h.ev = append(h.ev, entry{ev.at, uint64(ev.phase)<<seqBits | ev.seq, ev})
	h.up(len(h.ev) - 1)
}

// peek returns the first live event, or nil.
func (h *heap) peek() *Event {
	for len(h.ev) > 0 && h.ev[0].ev.fn == nil {
		h.dead--
		h.removeTop()
	}
	if len(h.ev) == 0 {
		return nil
	}
	return h.ev[0].ev
}

// pop removes the first live event, which peek has just returned.
func (h *heap) pop() *Event {
	top := h.ev[0].ev
	h.removeTop()
	return top
}

func (h *heap) removeTop() {
	n := len(h.ev) - 1
	h.ev[0] = h.ev[n]
	h.ev[n] = entry{}
	h.ev = h.ev[:n]
	h.down(0)
}

// compact drops cancelled events when they are the majority of a heap worth the work.
func (h *heap) compact() {
	if h.dead < 1024 || h.dead*2 < len(h.ev) {
		return
	}
	live := h.ev[:0]
	for _, x := range h.ev {
		if x.ev.fn != nil {
			live = append(live, x)
		}
	}
	clear(h.ev[len(live):])
	h.ev, h.dead = live, 0
	for i := len(h.ev) / 4; i >= 0; i-- {
		h.down(i)
	}
}

func (h *heap) up(i int) {
	x := h.ev[i]
	for i > 0 {
		parent := (i - 1) / 4
		if !less(&x, &h.ev[parent]) {
			break
		}
		h.ev[i] = h.ev[parent]
		i = parent
	}
	h.ev[i] = x
}

func (h *heap) down(i int) {
	if i >= len(h.ev) {
		return
	}
	x := h.ev[i]
	for {
		first := 4*i + 1
		if first >= len(h.ev) {
			break
		}
		least := first
		for j := first + 1; j < min(first+4, len(h.ev)); j++ {
			if less(&h.ev[j], &h.ev[least]) {
				least = j
			}
		}
		if !less(&h.ev[least], &x) {
			break
		}
		h.ev[i] = h.ev[least]
		i = least
	}
	h.ev[i] = x
}

// names lists up to n live events in heap order, for diagnostics.
func (h *heap) names(n int) []string {
	var out []string
	for _, x := range h.ev {
		if len(out) == n {
			break
		}
		if x.ev.fn != nil {
			out = append(out, x.ev.name)
		}
	}
	return out
}
