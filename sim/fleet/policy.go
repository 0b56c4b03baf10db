package fleet

import "fmt"

// Ref names a slot of a node by its positions in Node.GPUs and Device.Slots.
type Ref struct{ GPU, Slot int }

// Policy chooses which free slots of a node an owner gets. Choose is asked only when the node has at least count free
// slots; it must return exactly count distinct free ones, in any order, and must not change the node. The choice must
// depend on nothing but the node's state.
type Policy interface {
	Choose(n *Node, count int) []Ref
}

// Distributed is the default of NVIDIA's device plugin for shared GPUs: take the next slot from the GPU with the
// fewest owned slots, then from the one this choice has taken fewest from. On whole GPUs it is the lowest free indices.
//
// Source: github.com/NVIDIA/k8s-device-plugin, internal/rm/allocate.go at 046b76b, AllocationPolicyDistributed. The
// plugin leaves equal GPUs, and the replicas of one GPU, to the order of a Go map; here the lowest index comes first.
type Distributed struct{}

// Packed fills the GPU with the most owned slots first, so that other GPUs stay wholly free.
//
// Source: as Distributed, AllocationPolicyPacked.
type Packed struct{}

// Spread takes from the GPU that this choice has taken fewest from, then from the one with the fewest owned slots, so
// that one owner gets as many different GPUs as there are.
//
// Source: as Distributed, AllocationPolicySpread.
type Spread struct{}

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

// gpuState is what a policy ranks a GPU by.
type gpuState struct {
	owned, picked int
	free          []int // positions of free slots, ascending
}

// Choose implements Policy.
func (Distributed) Choose(n *Node, count int) []Ref {
	return greedy(n, count, func(a, b *gpuState) bool {
		return a.owned < b.owned || a.owned == b.owned && a.picked < b.picked
	})
}

// Choose implements Policy.
func (Packed) Choose(n *Node, count int) []Ref {
	return greedy(n, count, func(a, b *gpuState) bool {
		return a.owned > b.owned || a.owned == b.owned && a.picked < b.picked
	})
}

// Choose implements Policy.
func (Spread) Choose(n *Node, count int) []Ref {
	return greedy(n, count, func(a, b *gpuState) bool {
		return a.picked < b.picked || a.picked == b.picked && a.owned < b.owned
	})
}

// greedy takes count slots one by one, each from the first GPU that no other precedes. A node has so few GPUs that a
// scan beats a heap.
func greedy(n *Node, count int, before func(a, b *gpuState) bool) []Ref {
	states := make([]gpuState, len(n.GPUs))
	for g, d := range n.GPUs {
		for i, s := range d.Slots {
			if s.Owner == "" {
				states[g].free = append(states[g].free, i)
			}
		}
		states[g].owned = len(d.Slots) - len(states[g].free)
	}
	out := make([]Ref, 0, count)
	for range count {
		best := -1
		for g := range states {
			if len(states[g].free) > 0 && (best < 0 || before(&states[g], &states[best])) {
				best = g
			}
		}
		s := &states[best]
		out = append(out, Ref{best, s.free[0]})
		s.free = s.free[1:]
		s.owned++
		s.picked++
	}
	return out
}
