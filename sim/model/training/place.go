package training

import (
	"cmp"
	"slices"

	"orrery/sim/model/collective"
	"orrery/sim/plan"
)

// Placement is where the ranks of a job are.
type Placement struct {
	// Layers of the network above the node, coarse to fine: spine, leaf, rack … The last may be the rack-scale domain of
	// the GPUs' own link.
	Layers []Layer
	// Nodes that hold ranks, in the order of the pods. A node may occur more than once, when several pods are on it.
	Nodes []Node
	// Uplinks is what each domain's uplinks carry, by the domain's number; nil = what the layers say.
	Uplinks []float64
	// Storage is where checkpoints go; nil = they cost no time.
	Storage *plan.Storage
}

// Layer is one layer of the network.
type Layer struct {
	Name string
	// UplinkGBs is what the uplinks of one domain, the widest, carry in one direction, 1e9 bytes per second; 0 = enough
	// for its nodes.
	UplinkGBs float64
	// HopMicros is the latency that passing the layer adds, one way.
	HopMicros float64
	// GPUs is how many GPUs the largest domain holds; 0 = all. It decides what the best placement is.
	GPUs int
	// ScaleUp says that the GPUs' own link joins the domain's nodes, so that traffic within it needs no network.
	ScaleUp bool
	// Node says that each node is a domain of its own, whose uplinks are its network adapters.
	Node bool
}

// Node is a node with ranks of a job.
type Node struct {
	ID   int // of the node, equal for entries on one node
	GPU  *plan.Accelerator
	GPUs []int // indices of the job's GPUs on the node, in the order of the ranks
	// Domains are the numbers of the node's domains, one for each layer; -1 = in none.
	Domains []int
}

// Ranks is the number of the job's GPUs.
func (p Placement) Ranks() int {
	n := 0
	for i := range p.Nodes {
		n += len(p.Nodes[i].GPUs)
	}
	return n
}

// ordered returns the placement with ranks in the order of the network: domain by domain, node by node.
func (p Placement) ordered() Placement {
	nodes := slices.Clone(p.Nodes)
	slices.SortStableFunc(nodes, func(a, b Node) int {
		return cmp.Or(slices.Compare(a.Domains, b.Domains), cmp.Compare(a.ID, b.ID))
	})
	p.Nodes = nodes
	return p
}

// slowest is the GPU that sets the pace: every step waits for all ranks.
func (p Placement) slowest() *plan.Accelerator {
	best := p.Nodes[0].GPU
	for i := range p.Nodes {
		if g := p.Nodes[i].GPU; g.Half < best.Half {
			best = g
		}
	}
	return best
}

// ideal is the best placement of n GPUs of a kind in the network of another placement: full nodes, side by side.
func ideal(n int, gpu *plan.Accelerator, in Placement) Placement {
	per, layers := max(gpu.PerNode, 1), in.Layers
	p := Placement{Layers: layers, Storage: in.Storage}
	for first := 0; first < n; first += per {
		node := Node{ID: first / per, GPU: gpu, Domains: make([]int, len(layers))}
		for i := range min(per, n-first) {
			node.GPUs = append(node.GPUs, i)
		}
		for l, layer := range layers {
			switch nodes := layer.GPUs / per; {
			case layer.ScaleUp && gpu.LinkGPUs <= per:
				node.Domains[l] = -1
			case layer.Node:
				node.Domains[l] = node.ID
			case nodes > 0:
				node.Domains[l] = node.ID / nodes
			}
		}
		p.Nodes = append(p.Nodes, node)
	}
	return p
}

// world is a placement made ready for looking at groups of ranks.
type world struct {
	layers []Layer
	nodes  []Node
	at     []int // rank → index into nodes
	index  []int // rank → index of its GPU on the node
	island []int // index into nodes → scale-up domain
	// slot is where an island stands among the hops of the group last looked at, when stamp says it is in them.
	slot, stamp []int
	serial      int
	hops        []hop
	link        collective.Link
	// domains are the distinct domains by layer, sorted; dom is the place of a node's domain in them, -1 = none.
	domains [][]int
	dom     [][]int // by layer, then index into nodes
	// sum holds what the current phase sends over each domain's uplinks, and total the same over all phases.
	sum, total [][]flow
	// passed says which layers the phase last ended went over; exposed is the seconds waited for those that did.
	passed  []bool
	exposed []float64
	uplinks []float64 // by domain number, or nil
}

// flow is bytes that leave and enter a domain.
type flow struct{ up, down float64 }

func newWorld(p Placement, gpu *plan.Accelerator) *world {
	w := &world{layers: p.Layers, nodes: p.Nodes, link: linkOf(gpu), island: make([]int, len(p.Nodes)),
		passed: make([]bool, len(p.Layers)), exposed: make([]float64, len(p.Layers)), uplinks: p.Uplinks}
	for i := range p.Nodes {
		for _, g := range p.Nodes[i].GPUs {
			w.at, w.index = append(w.at, i), append(w.index, g)
		}
	}
	for l := range p.Layers {
		var ids []int
		for i := range p.Nodes {
			if d := p.Nodes[i].Domains[l]; d >= 0 {
				ids = append(ids, d)
			}
		}
		slices.Sort(ids)
		ids = slices.Compact(ids)
		dom := make([]int, len(p.Nodes))
		for i := range p.Nodes {
			dom[i] = -1
			if at, ok := slices.BinarySearch(ids, p.Nodes[i].Domains[l]); ok {
				dom[i] = at
			}
		}
		w.domains, w.dom = append(w.domains, ids), append(w.dom, dom)
		w.sum, w.total = append(w.sum, make([]flow, len(ids))), append(w.total, make([]flow, len(ids)))
	}
	w.islands()
	return w
}

// islands numbers the scale-up domains: the layer of the GPUs' own link where there is one, else the node.
func (w *world) islands() {
	type key struct{ layer, id int }
	seen := map[key]int{}
	for i := range w.nodes {
		k := key{-1, w.nodes[i].ID}
		for l := range w.layers {
			if w.layers[l].ScaleUp && w.dom[l][i] >= 0 {
				k = key{l, w.dom[l][i]}
			}
		}
		id, ok := seen[k]
		if !ok {
			id = len(seen)
			seen[k] = id
		}
		w.island[i] = id
	}
	w.slot, w.stamp = make([]int, len(seen)), make([]int, len(seen))
}

func linkOf(a *plan.Accelerator) collective.Link {
	return collective.Link{GPU: a.GPU, Kind: a.LinkKind, GBs: a.LinkGBs, PeerGBs: a.PeerGBs, GPUs: a.LinkGPUs,
		PCIeGBs: a.PCIeGBs, NICGBs: a.NICGBs}
}

// group is ranks first, first+stride, …, count of them.
type group struct{ first, stride, count int }

// hop is a scale-up domain of a group: the first of its nodes, and how many ranks it holds.
type hop struct{ island, node, ranks int }

// shape looks at where a group's ranks are. The domains it passes are in w.hops until the next call.
func (w *world) shape(g group) collective.Group {
	hops := w.hops[:0]
	w.serial++
	pair, split := -1, false
	for k := range g.count {
		rank := g.first + k*g.stride
		node := w.at[rank]
		if bridge := w.link.GPUs; w.link.Kind == "nvlink-bridge" && bridge > 0 {
			p := w.index[rank] / bridge
			split = split || pair >= 0 && p != pair
			pair = p
		}
		is := w.island[node]
		if w.stamp[is] != w.serial {
			w.stamp[is], w.slot[is] = w.serial, len(hops)
			hops = append(hops, hop{is, node, 0})
		}
		hops[w.slot[is]].ranks++
	}
	out := collective.Group{Link: w.link, Ranks: g.count, Domains: len(hops), Least: hops[0].ranks}
	for _, h := range hops {
		out.Least = min(out.Least, h.ranks)
	}
	if split {
		out.Link.Kind = "" // the GPUs hang on different bridges: they meet over PCIe
	}
	if len(hops) > 1 {
		out.Slow, out.HopMicros = w.crossing(hops)
	}
	w.hops = hops
	return out
}

// What crossing the network's upper layers costs a collective, beside the capacity of uplinks: flows collide where they
// are spread over many equal paths. Same leaf 1; other leaf of a pod 1.02 to 1.05; other pod 1.10 to 1.17 (Arnold,
// arXiv 2509.15940: up to 17 % for collectives that cross the spine). Middles.
const (
	slowLeaf = 1.035
	slowPod  = 1.135
)

// crossing says what a group's path between domains costs: penalty and latency.
func (w *world) crossing(hops []hop) (slow, micros float64) {
	crossed := 0
	for l := range w.layers {
		if w.layers[l].ScaleUp || w.layers[l].Node {
			continue
		}
		first := w.dom[l][hops[0].node]
		for _, h := range hops[1:] {
			if w.dom[l][h.node] != first {
				crossed++
				micros += w.layers[l].HopMicros
				break
			}
		}
	}
	switch crossed {
	case 0:
		return 1, micros
	case 1:
		return slowLeaf, micros
	}
	return slowPod, micros
}
