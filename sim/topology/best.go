package topology

import "slices"

// Placement is nodes of a job and how many of its pods each has.
type Placement struct {
	Nodes []int // indices into the plan's nodes, distinct, in the order in which they were filled
	Pods  []int // aligned
	Span  Span
}

// request is what Best was asked.
type request struct {
	kind       string
	pods, size int
}

// room is a kind of GPU and a size of pods; rooms counts how many such pods the empty nodes of every domain hold.
type room struct {
	kind string
	size int
}

// Best returns the tightest placement that the empty cluster has for pods of gpusPerPod GPUs of a kind (a catalogue
// key; "" = any): within one domain of the finest layer that holds them all, and below it in the fullest parts first,
// so that few are touched. ok is false when the cluster is too small, or gpusPerPod is not positive. The result is
// shared: do not change it.
//
// No placement has its Finest in a finer layer. How many domains it touches below that is the least possible where
// domains of a layer are equally large, and near it elsewhere: choosing parts one after the other, the largest first,
// is no exhaustive search.
func (g *Graph) Best(kind string, pods, gpusPerPod int) (p Placement, ok bool) {
	if pods <= 0 || gpusPerPod <= 0 {
		return Placement{}, false
	}
	r := request{kind, pods, gpusPerPod}
	if p, ok := g.best[r]; ok {
		return p, len(p.Nodes) > 0
	}
	f := filler{g: g, room: g.roomFor(room{kind, gpusPerPod})}
	all := make([]int, 0, len(g.domains))
	for i := range g.domains {
		all = append(all, i)
	}
	if d := f.tightest(all, pods); d >= 0 {
		f.fill(d, pods)
	} else {
		f.fillFrom(g.tops(), pods)
	}
	if len(f.out.Nodes) > 0 {
		f.out.Span = g.Span(f.out.Nodes)
	}
	g.best[r] = f.out
	return f.out, len(f.out.Nodes) > 0
}

// roomFor returns how many pods every domain holds, by ID.
func (g *Graph) roomFor(r room) []int {
	if have, ok := g.rooms[r]; ok {
		return have
	}
	have := make([]int, len(g.domains))
	for i := len(g.domains) - 1; i >= 0; i-- { // parents come before what is inside them
		d := &g.domains[i]
		if d.Layer == g.NodeLayer() && (r.kind == "" || g.kinds[i-g.first] == r.kind) {
			have[i] = d.GPUs / r.size
		}
		if d.Parent >= 0 {
			have[d.Parent] += have[i]
		}
	}
	g.rooms[r] = have
	return have
}

// tops returns the domains that lie in no other.
func (g *Graph) tops() []int {
	var out []int
	for i := range g.domains {
		if g.domains[i].Parent < 0 {
			out = append(out, i)
		}
	}
	return out
}

// filler fills empty domains with pods.
type filler struct {
	g    *Graph
	room []int
	out  Placement
}

// tightest returns, of the given domains that hold n pods, the one of the finest layer, of those the one with the least
// room, of those the first; -1 when none does.
func (f *filler) tightest(of []int, n int) int {
	best := -1
	for _, d := range of {
		if f.room[d] < n {
			continue
		}
		if best < 0 || f.g.domains[d].Layer > f.g.domains[best].Layer ||
			f.g.domains[d].Layer == f.g.domains[best].Layer && f.room[d] < f.room[best] {
			best = d
		}
	}
	return best
}

// fill puts n pods, which fit, into a domain.
func (f *filler) fill(d, n int) {
	dom := &f.g.domains[d]
	if dom.Layer == f.g.NodeLayer() {
		f.out.Nodes = append(f.out.Nodes, dom.Nodes[0])
		f.out.Pods = append(f.out.Pods, n)
		return
	}
	f.fillFrom(dom.Inside, n)
}

// fillFrom puts n pods into some of the given domains: into the largest ones while none holds what is left, then into
// the part of one that holds it most tightly. When they do not fit, nothing is filled.
func (f *filler) fillFrom(domains []int, n int) {
	total := 0
	for _, d := range domains {
		total += f.room[d]
	}
	if total < n {
		return
	}
	order := slices.Clone(domains)
	slices.SortStableFunc(order, func(a, b int) int { return f.room[b] - f.room[a] })
	for i, d := range order {
		if f.room[d] < n {
			f.fill(d, f.room[d])
			n -= f.room[d]
			continue
		}
		var fits []int
		for _, d := range order[i:] {
			if f.room[d] >= n {
				fits = append(fits, f.below(d)...)
			}
		}
		f.fill(f.tightest(fits, n), n)
		return
	}
}

// below returns a domain and all within it.
func (f *filler) below(d int) []int {
	out := []int{d}
	for i := 0; i < len(out); i++ {
		out = append(out, f.g.domains[out[i]].Inside...)
	}
	return out
}
