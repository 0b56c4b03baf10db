package serving

import (
	model "orrery/sim/model/serving"
	"orrery/sim/units"
)

// never is an instant that does not come.
const never = model.Never

// Classes of actors: what comes first at one instant.
const (
	classReplica uint64 = iota << 56
	classEvents
	classDeadlines
	classSource
)

// actor is something that will do something next at a known instant.
type actor struct {
	at   units.Time
	rank uint64 // class and number: the order at one instant
	pos  int    // in the agenda, from 1; 0 = it is not there
	act  func() error
}

func (a *actor) before(b *actor) bool { return a.at < b.at || a.at == b.at && a.rank < b.rank }

// agenda is a binary heap of actors that knows where each is.
type agenda struct{ heap []*actor }

// set moves an actor to an instant; never takes it out.
func (g *agenda) set(a *actor, at units.Time) {
	switch {
	case at == never && a.pos == 0:
		a.at = at
	case at == never:
		g.remove(a)
		a.at = at
	case a.pos == 0:
		a.at = at
		g.heap = append(g.heap, a)
		g.up(len(g.heap) - 1)
	case at < a.at:
		a.at = at
		g.up(a.pos - 1)
	case at > a.at:
		a.at = at
		g.down(a.pos - 1)
	}
}

func (g *agenda) remove(a *actor) {
	i, n := a.pos-1, len(g.heap)-1
	last := g.heap[n]
	g.heap[n] = nil
	g.heap = g.heap[:n]
	a.pos = 0
	if i < n {
		g.heap[i], last.pos = last, i+1
		g.up(i)
		g.down(last.pos - 1)
	}
}

func (g *agenda) up(i int) {
	a := g.heap[i]
	for i > 0 {
		parent := (i - 1) / 2
		if !a.before(g.heap[parent]) {
			break
		}
		g.heap[i] = g.heap[parent]
		g.heap[i].pos = i + 1
		i = parent
	}
	g.heap[i], a.pos = a, i+1
}

func (g *agenda) down(i int) {
	a := g.heap[i]
	for {
		child := 2*i + 1
		if child >= len(g.heap) {
			break
		}
		if child+1 < len(g.heap) && g.heap[child+1].before(g.heap[child]) {
			child++
		}
		if !g.heap[child].before(a) {
			break
		}
		g.heap[i] = g.heap[child]
		g.heap[i].pos = i + 1
		i = child
	}
	g.heap[i], a.pos = a, i+1
}

// kind is what a scheduled event does with its request.
type kind uint8

const (
	toRouter    kind = iota // the request reaches its service's router
	toStage                 // it reaches a stage
	fromStage               // it is back from a stage, or from the model
	stepEnds                // a timed step is over
	failed                  // the client hears that the try failed
	sendAgain               // the client's back-off is over
	transferred             // the KV cache has arrived at the decode replica
)

// event is something that was scheduled for a request. It counts only while the request's epoch is the same.
type event struct {
	at    units.Time
	order uint64
	req   *request
	epoch uint32
	what  kind
}

// events is a 4-ary heap of events in the order of time and of scheduling.
type events struct {
	heap []event
	last uint64
}

func (a *event) before(b *event) bool { return a.at < b.at || a.at == b.at && a.order < b.order }

func (h *events) push(e event) {
	h.last++
	e.order = h.last
	h.heap = append(h.heap, e)
	i := len(h.heap) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&h.heap[parent]) {
			break
		}
		h.heap[i] = h.heap[parent]
		i = parent
	}
	h.heap[i] = e
}

// next is the instant of the first event, never when there is none.
func (h *events) next() units.Time {
	if len(h.heap) == 0 {
		return never
	}
	return h.heap[0].at
}

func (h *events) pop() event {
	top, n := h.heap[0], len(h.heap)-1
	e := h.heap[n]
	h.heap[n] = event{}
	h.heap = h.heap[:n]
	if n == 0 {
		return top
	}
	i := 0
	for {
		first := 4*i + 1
		if first >= n {
			break
		}
		least := first
		for j := first + 1; j < min(first+4, n); j++ {
			if h.heap[j].before(&h.heap[least]) {
				least = j
			}
		}
		if !h.heap[least].before(&e) {
			break
		}
		h.heap[i] = h.heap[least]
		i = least
	}
	h.heap[i] = e
	return top
}
