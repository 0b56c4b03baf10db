// Package contention divides links among those who send over them at one time: uplinks of switches, storage, and GPUs
// whose time is sliced, all of which are a capacity that several share.
//
// # Formula
//
// A flow is one team of pods. Running at full speed it asks for Demand on each link of its own, averaged over a step
// of its work, and its speed falls with what it gets: at speed x it carries x × Demand on every one of its links. Links
// are divided by weighted max-min fairness: the rate per unit of weight (a NIC, a process) grows equally for all flows
// until a flow has all it asks for, or a link of its own is full. So
//
//   - on every link Σ x × Demand ≤ Capacity,
//   - nobody's speed can be raised without lowering that of one whose rate per weight is no higher.
//
// This is what fair queueing at packet level comes to (Bertsekas and Gallager, Data Networks, 2nd ed. 1992, section
// 6.5.2: max-min flow control), and what flow-level simulators of data centres use.
//
// Nobody is slower than a millionth of full speed. Flows at that floor may overfill a link, which is thousands of times
// too narrow for them.
//
// # What it leaves out
//
// Demand is an average over a step. Two jobs whose bursts of communication meet slow each other more than the model
// says, two that alternate by luck or by design less. Adaptive routing is taken to be perfect: a domain's uplinks are
// one link. No error was measured: no public data set of contended training runs was found.
package contention

import (
	"fmt"
	"math"
	"slices"
)

// Full is the speed of a flow that gets all it asks for, in millionths.
const Full = 1_000_000

// LinkID names a link of a Network.
type LinkID int

// Use is what a flow asks of one link.
type Use struct {
	Link   LinkID
	Demand float64 // at full speed, in the unit of the link's capacity; > 0
	Weight float64 // > 0: how many equal parties the flow has there (NICs, processes)
}

// Flow is one party on the network. It belongs to its Network from Add to Remove.
type Flow struct {
	uses  []Use
	speed int64
	index int // in Network.flows; -1 when not there
	seq   uint64

	// Of one solution.
	rate, most float64
	fixed      bool
}

// Speed returns the flow's speed in millionths, from 1 to Full.
func (f *Flow) Speed() int64 { return f.speed }

type link struct {
	capacity float64
	demand   float64 // of all its flows at full speed; recounted, so that no error adds up
	flows    []*Flow // in the order they came

	// Of one solution.
	spare, weight float64
	mark          int
}

// Network is links and the flows on them. The zero value has none. It is not safe for concurrent use.
type Network struct {
	links []link
	flows []*Flow
	next  uint64
	mark  int
}

// AddLink adds a link with a capacity > 0 in any unit, e.g. GB/s or GPUs.
func (n *Network) AddLink(capacity float64) LinkID {
	if !(capacity > 0) || math.IsInf(capacity, 0) {
		panic(fmt.Sprintf("contention: link of capacity %v", capacity))
	}
	n.links = append(n.links, link{capacity: capacity})
	return LinkID(len(n.links) - 1)
}

// Add puts a flow on its links, at most once on each, and returns it with all flows whose speed is another now, itself
// not among them, in the order in which they came.
func (n *Network) Add(uses []Use) (*Flow, []*Flow) {
	f := &Flow{uses: slices.Clone(uses), speed: Full, index: len(n.flows), seq: n.next}
	n.next++
	n.flows = append(n.flows, f)
	for _, u := range f.uses {
		if !(u.Demand > 0 && u.Weight > 0) {
			panic(fmt.Sprintf("contention: demand %v of weight %v", u.Demand, u.Weight))
		}
		l := &n.links[u.Link]
		l.flows = append(l.flows, f)
		l.recount(u.Link)
	}
	changed := n.settle(f)
	return f, slices.DeleteFunc(changed, func(g *Flow) bool { return g == f })
}

// Remove takes a flow off and returns those whose speed is another now, in the order in which they came.
func (n *Network) Remove(f *Flow) []*Flow {
	if f.index < 0 || n.flows[f.index] != f {
		panic("contention: a flow that is not on the network")
	}
	last := len(n.flows) - 1
	n.flows[f.index] = n.flows[last]
	n.flows[f.index].index = f.index
	n.flows[last] = nil
	n.flows = n.flows[:last]
	f.index = -1
	for _, u := range f.uses {
		l := &n.links[u.Link]
		l.flows = slices.DeleteFunc(l.flows, func(g *Flow) bool { return g == f })
		l.recount(u.Link)
	}
	return n.settle(f)
}

// Load returns what the link carries and its capacity.
func (n *Network) Load(id LinkID) (carried, capacity float64) {
	l := &n.links[id]
	for _, f := range l.flows {
		carried += float64(float64(f.speed) / Full * f.on(id).Demand)
	}
	return carried, l.capacity
}

// above is what the link carries of flows above the floor.
func (n *Network) above(id LinkID) (carried float64) {
	for _, f := range n.links[id].flows {
		if f.speed > 1 {
			carried += float64(float64(f.speed) / Full * f.on(id).Demand)
		}
	}
	return carried
}

// on returns the flow's use of a link.
func (f *Flow) on(id LinkID) Use {
	for _, u := range f.uses {
		if u.Link == id {
			return u
		}
	}
	return Use{}
}

func (l *link) recount(id LinkID) {
	l.demand = 0
	for _, f := range l.flows {
		l.demand += f.on(id).Demand
	}
}

// over reports whether the link cannot carry what its flows ask for.
func (l *link) over() bool { return l.demand > l.capacity }

// settle divides anew what the change of one flow can have changed: the links that are overloaded, or that slowed some
// flow before, connected to it by flows.
func (n *Network) settle(f *Flow) (changed []*Flow) {
	flows, links := n.reach(f)
	if len(flows) == 0 {
		return nil
	}
	n.divide(flows, links)
	for _, g := range flows {
		speed := g.share()
		if speed != g.speed {
			g.speed = speed
			changed = append(changed, g)
		}
	}
	for _, id := range links {
		if carried, capacity := n.above(id), n.links[id].capacity; carried > capacity*(1+1e-9) { // float sums, nothing more
			panic(fmt.Sprintf("contention: link %d carries %v of %v", id, carried, capacity))
		}
	}
	slices.SortFunc(changed, func(a, b *Flow) int { return int(int64(a.seq) - int64(b.seq)) })
	return changed
}

// reach returns the flows and overloaded links connected to f. Only an overloaded link binds anybody: where the sum of
// all demands fits, it fits at any speed. A link that f has just relieved is not overloaded any more, but its flows may
// go faster.
func (n *Network) reach(f *Flow) (flows []*Flow, links []LinkID) {
	n.mark++
	seen := map[*Flow]bool{f: true}
	queue := []*Flow{f}
	for len(queue) > 0 {
		g := queue[0]
		queue = queue[1:]
		if g.index >= 0 {
			flows = append(flows, g)
		}
		for _, u := range g.uses {
			l := &n.links[u.Link]
			if l.mark == n.mark || !l.over() && g != f {
				continue
			}
			l.mark = n.mark
			if l.over() {
				links = append(links, u.Link)
			}
			for _, h := range l.flows {
				if !seen[h] && (l.over() || h.speed < Full) {
					seen[h] = true
					queue = append(queue, h)
				}
			}
		}
	}
	slices.SortFunc(flows, func(a, b *Flow) int { return int(int64(a.seq) - int64(b.seq)) })
	slices.Sort(links)
	return flows, links
}

// divide fills the links: see the package comment.
func (n *Network) divide(flows []*Flow, links []LinkID) {
	for _, f := range flows {
		f.rate, f.fixed, f.most = 0, false, 0
		for _, u := range f.uses {
			f.most = max(f.most, u.Demand/u.Weight)
		}
	}
	for _, id := range links {
		n.links[id].spare = n.links[id].capacity
	}
	for left := len(flows); left > 0; {
		level := n.level(flows, links)
		var stop []*Flow // chosen before any is taken off the links, which the choice reads
		for _, f := range flows {
			if !f.fixed && (f.most <= level || n.bound(f, level)) {
				stop = append(stop, f)
			}
		}
		if len(stop) == 0 { // the level's rounding: nobody can have more than it
			stop = slices.DeleteFunc(slices.Clone(flows), func(f *Flow) bool { return f.fixed })
		}
		for _, f := range stop {
			f.rate, f.fixed = min(f.most, level), true
			for _, u := range f.uses {
				n.links[u.Link].spare -= float64(f.rate / f.most * u.Demand)
			}
		}
		left -= len(stop)
	}
}

// level returns the highest rate per weight that all flows not yet fixed can have together, up to what they ask for.
func (n *Network) level(flows []*Flow, links []LinkID) float64 {
	level := math.Inf(1)
	for _, f := range flows {
		if !f.fixed {
			level = min(level, f.most)
		}
	}
	for _, id := range links {
		l := &n.links[id]
		l.weight = 0
		for _, f := range l.flows {
			if !f.fixed {
				l.weight += f.on(id).Demand / f.most
			}
		}
		if l.weight > 0 {
			level = min(level, max(l.spare, 0)/l.weight)
		}
	}
	return level
}

// bound reports whether one of the flow's links is full when all run at the level.
func (n *Network) bound(f *Flow, level float64) bool {
	const slack = 1e-12 // the level came from such a division; the product need not be the same number
	for _, u := range f.uses {
		l := &n.links[u.Link]
		if l.mark == n.mark && l.over() && l.weight > 0 && float64(level*l.weight) >= float64(l.spare*(1-slack)) {
			return true
		}
	}
	return false
}

// share is the flow's part of its demand in millionths, rounded down so that no link is overfull.
func (f *Flow) share() int64 {
	if f.rate >= f.most {
		return Full
	}
	return max(1, int64(f.rate/f.most*Full))
}
