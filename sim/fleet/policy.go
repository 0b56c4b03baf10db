package fleet

import (
	"cmp"
	"fmt"
	"slices"

	"orrery/sim/units"
)

// Ref names a static slot of a node by its positions in Node.GPUs and Device.Slots.
type Ref struct{ GPU, Slot int }

func compareRefs(a, b Ref) int { return cmp.Or(cmp.Compare(a.GPU, b.GPU), cmp.Compare(a.Slot, b.Slot)) }

// Policy chooses which free slots of a resource an owner gets. Choose is asked only when the node has at least count
// free ones (see Device.Free); it must return exactly count distinct ones, in any order, and must not change the node.
// The choice must depend on nothing but the node's state.
type Policy interface {
	Choose(n *Node, resource string, count int) []Ref
}

// Distributed is the default of NVIDIA's device plugin for shared GPUs and MIG devices: take the next slot from the
// device with the fewest owned slots, then from the one this choice has taken fewest from. On whole GPUs it is the
// lowest free indices. A device is a GPU, or a MIG instance with its replicas.
//
// Source: github.com/NVIDIA/k8s-device-plugin, internal/rm/allocate.go at 046b76b, AllocationPolicyDistributed. The
// plugin leaves equal devices, and the replicas of one, to the order of a Go map; here the lowest index comes first.
type Distributed struct{}

// Packed fills the device with the most owned slots first, so that others stay wholly free.
//
// Source: as Distributed, AllocationPolicyPacked.
type Packed struct{}

// Spread takes from the device that this choice has taken fewest from, then from the one with the fewest owned slots,
// so that one owner gets as many different ones as there are.
//
// Source: as Distributed, AllocationPolicySpread.
type Spread struct{}

// Aligned is the policy of NVIDIA's device plugin for whole GPUs: the set of GPUs that are best connected to each
// other. Everything else, and a node of which Prefer knows nothing, is given out by Distributed.
//
// Source: as Distributed, alignedAlloc, which asks gpuallocator's best-effort policy.
type Aligned struct {
	// Prefer chooses count of the free GPUs of a node, all by index; nil = no opinion. It must depend on nothing else.
	Prefer func(node string, free []int, count int) []int
}

// Choose implements Policy.
func (a Aligned) Choose(n *Node, resource string, count int) []Ref {
	var free []int
	at := map[int]Ref{}
	for g := range n.GPUs {
		d := &n.GPUs[g]
		for i, s := range d.Slots {
			if s.Resource != resource || !d.Free(i) {
				continue
			}
			if s.Share != units.GPU || s.Profile != "" {
				return Distributed{}.Choose(n, resource, count)
			}
			free = append(free, d.Index)
			at[d.Index] = Ref{g, i}
		}
	}
	picked := a.Prefer(n.Name, slices.Clone(free), count)
	if picked == nil {
		return Distributed{}.Choose(n, resource, count)
	}
	out := make([]Ref, 0, count)
	for _, index := range picked {
		r, ok := at[index]
		if !ok {
			panic(fmt.Sprintf("fleet: GPU %d of node %s is preferred, and is not free", index, n.Name))
		}
		delete(at, index)
		out = append(out, r)
	}
	return out
}

// policies lists what PolicyByName knows, the default first.
var policies = []struct {
	name   string
	policy Policy
}{{"distributed", Distributed{}}, {"packed", Packed{}}, {"spread", Spread{}}}

// PolicyByName returns the policy NVIDIA's device plugin calls name. "" is the default.
func PolicyByName(name string) (Policy, error) {
	if name == "" {
		return policies[0].policy, nil
	}
	for _, p := range policies {
		if p.name == name {
			return p.policy, nil
		}
	}
	return nil, fmt.Errorf("unknown allocation policy %q: write distributed, packed or spread", name)
}

// deviceState is what a policy ranks a device by: a GPU or a MIG instance.
type deviceState struct {
	owned, picked int
	free          []Ref // ascending
}

// Choose implements Policy.
func (Distributed) Choose(n *Node, resource string, count int) []Ref {
	return greedy(n, resource, count, func(a, b *deviceState) bool {
		return a.owned < b.owned || a.owned == b.owned && a.picked < b.picked
	})
}

// Choose implements Policy.
func (Packed) Choose(n *Node, resource string, count int) []Ref {
	return greedy(n, resource, count, func(a, b *deviceState) bool {
		return a.owned > b.owned || a.owned == b.owned && a.picked < b.picked
	})
}

// Choose implements Policy.
func (Spread) Choose(n *Node, resource string, count int) []Ref {
	return greedy(n, resource, count, func(a, b *deviceState) bool {
		return a.picked < b.picked || a.picked == b.picked && a.owned < b.owned
	})
}

// greedy takes count slots one by one, each from the first device that no other precedes. A node has so few devices
// that a scan beats a heap.
func greedy(n *Node, resource string, count int, before func(a, b *deviceState) bool) []Ref {
	states := make([]deviceState, 0, len(n.GPUs))
	for g := range n.GPUs {
		d := &n.GPUs[g]
		for i, s := range d.Slots {
			if i == 0 || s.Start != d.Slots[i-1].Start || s.Profile != d.Slots[i-1].Profile {
				states = append(states, deviceState{})
			}
			st := &states[len(states)-1]
			if s.Owner != "" {
				st.owned++
			} else if s.Resource == resource && d.Free(i) {
				st.free = append(st.free, Ref{g, i})
			}
		}
	}
	out := make([]Ref, 0, count)
	for range count {
		best := -1
		for i := range states {
			if len(states[i].free) > 0 && (best < 0 || before(&states[i], &states[best])) {
				best = i
			}
		}
		s := &states[best]
		out = append(out, s.free[0])
		s.free = s.free[1:]
		s.owned++
		s.picked++
	}
	return out
}
