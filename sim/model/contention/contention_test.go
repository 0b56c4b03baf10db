package contention

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// naive divides all links among all flows in tiny steps: the rate per weight of all grows, and who has enough or meets a
// full link stops.
func naive(capacity []float64, flows [][]Use) []float64 {
	most, rate, fixed := make([]float64, len(flows)), make([]float64, len(flows)), make([]bool, len(flows))
	highest := 0.0
	for i, uses := range flows {
		for _, u := range uses {
			most[i] = max(most[i], u.Demand/u.Weight)
		}
		fixed[i] = len(uses) == 0
		highest = max(highest, most[i])
	}
	const steps = 20_000
	for s := range steps {
		level := highest * float64(s+1) / steps
		for i := range flows {
			if fixed[i] {
				continue
			}
			before := rate[i]
			rate[i] = min(level, most[i])
			for _, u := range flows[i] {
				sum := 0.0
				for k := range flows {
					for _, v := range flows[k] {
						if v.Link == u.Link {
							sum += rate[k] / most[k] * v.Demand
						}
					}
				}
				if sum > capacity[u.Link] {
					rate[i], fixed[i] = before, true
				}
			}
		}
	}
	out := make([]float64, len(flows))
	for i := range flows {
		out[i] = 1
		if most[i] > 0 {
			out[i] = rate[i] / most[i]
		}
	}
	return out
}

// TestAgainstNaive holds the division, kept up to date through additions and removals, against one made anew in steps.
func TestAgainstNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for world := range 60 {
		var n Network
		capacity := make([]float64, 1+r.IntN(5))
		for i := range capacity {
			capacity[i] = 1 + 9*r.Float64()
			n.AddLink(capacity[i])
		}
		var live []*Flow
		for range 6 + r.IntN(8) {
			if len(live) > 0 && r.IntN(3) == 0 {
				i := r.IntN(len(live))
				n.Remove(live[i])
				live = slices.Delete(live, i, i+1)
			} else {
				var uses []Use
				for _, l := range r.Perm(len(capacity))[:r.IntN(len(capacity)+1)] {
					uses = append(uses, Use{LinkID(l), 0.1 + 4*r.Float64(), float64(1 + r.IntN(8))})
				}
				f, _ := n.Add(uses)
				live = append(live, f)
			}
			check(t, &n, capacity)
		}
		flows := make([][]Use, len(live))
		for i, f := range live {
			flows[i] = f.uses
		}
		for i, want := range naive(capacity, flows) {
			if got := float64(live[i].Speed()) / Full; math.Abs(got-want) > 0.01 {
				t.Fatalf("world %d, flow %d: speed %.4f, want %.4f\n%v\n%v", world, i, got, want, capacity, flows)
			}
		}
	}
}

// check holds what must be true of any division: no link carries more than it can, and who is slowed has a full link.
func check(t *testing.T, n *Network, capacity []float64) {
	t.Helper()
	full := make([]bool, len(capacity))
	for i := range capacity {
		carried, _ := n.Load(LinkID(i))
		if carried > capacity[i] {
			t.Fatalf("link %d carries %v of %v", i, carried, capacity[i])
		}
		full[i] = carried > capacity[i]*0.9999
	}
	for _, f := range n.flows {
		if f.speed < Full && !slices.ContainsFunc(f.uses, func(u Use) bool { return full[u.Link] }) {
			t.Fatalf("a flow at %d has no full link", f.speed)
		}
	}
}

// TestKnown holds cases that can be divided by hand.
func TestKnown(t *testing.T) {
	var n Network
	l := n.AddLink(10)
	heavy, _ := n.Add([]Use{{l, 8, 8}})
	light, changed := n.Add([]Use{{l, 1, 8}})
	if heavy.Speed() != Full || light.Speed() != Full || len(changed) != 0 {
		t.Errorf("9 of 10: %d and %d, %d changed", heavy.Speed(), light.Speed(), len(changed))
	}
	// 8 + 1 + 8 on 10: the light one keeps its all, the others get half of 9.
	third, changed := n.Add([]Use{{l, 8, 8}})
	if want := int64(4.5 / 8 * Full); heavy.Speed() != want || third.Speed() != want || light.Speed() != Full {
		t.Errorf("17 of 10: %d, %d and %d", heavy.Speed(), third.Speed(), light.Speed())
	}
	if len(changed) != 1 || changed[0] != heavy {
		t.Errorf("%d flows changed", len(changed))
	}
	if changed := n.Remove(third); len(changed) != 1 || heavy.Speed() != Full {
		t.Errorf("after the third has gone: %d", heavy.Speed())
	}
	// Twice the NICs, twice the share.
	m := n.AddLink(3)
	two, _ := n.Add([]Use{{m, 4, 2}})
	one, _ := n.Add([]Use{{m, 4, 1}})
	if two.Speed() != Full/2 || one.Speed() != Full/4 {
		t.Errorf("weights 2 and 1 on 3: %d and %d", two.Speed(), one.Speed())
	}
}

// TestFloor: a link far too narrow slows its flows to a millionth, and a wider one beside it stays within its capacity.
func TestFloor(t *testing.T) {
	var n Network
	narrow, wide := n.AddLink(1e-12), n.AddLink(1)
	a, _ := n.Add([]Use{{narrow, 1, 1}, {wide, 1, 1}})
	b, _ := n.Add([]Use{{wide, 2, 1}})
	if a.Speed() != 1 || b.Speed() >= Full/2+1 || b.Speed() < Full/2-1 {
		t.Errorf("speeds %d and %d, want 1 and half of full", a.Speed(), b.Speed())
	}
	if n.Remove(a); b.Speed() != Full/2 {
		t.Errorf("alone on a link of half its demand: %d", b.Speed())
	}
}
