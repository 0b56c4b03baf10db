package topology

import (
	"math"
	"slices"
)

// nicNs is the time a message takes through the sending and the receiving NIC together: about 2 µs one way for RDMA
// (NVIDIA ConnectX data sheets; from memory of the field, not measured here).
const nicNs = 2000

// scaleUpNs is a hop through NVLink switches: 0.6 µs, the latency of one step of a tree over NVLink in NCCL's own cost
// model (NVIDIA/nccl src/graph/tuning.cc at 5067397, hwLat, protocol LL).
const scaleUpNs = 600

// Path is the way from one node to another.
type Path struct {
	// Links are their IDs from the sender to the receiver; empty from a node to itself.
	Links []int
	// Layer is the layer whose switches join the two: the finest of which one domain holds both; -1 = the root.
	Layer int
	// Switches counts the hops: 1 below one leaf or within a scale-up domain, 3 over a spine, 5 over a core.
	Switches int
	// GBs is the bandwidth of the narrowest link, +Inf when none has a limit.
	GBs float64
	// Ns is what a small message takes, in nanoseconds.
	Ns int64
}

// Path returns the way from node a to node b. It costs as many steps as there are layers.
func (g *Graph) Path(a, b int) Path {
	p := Path{Layer: g.NodeLayer(), GBs: math.Inf(1)}
	if a == b {
		return p
	}
	if g.nvlink >= 0 && g.Same(a, b, g.nvlink) {
		p.Layer, p.Switches, p.Ns = g.nvlink, 1, scaleUpNs
		p.add(g, g.domains[g.first+a].Port, g.domains[g.first+b].Port+1)
		return p
	}
	p.Ns = nicNs
	up, down := g.climb(a, b), g.climb(b, a)
	for _, d := range up {
		p.add(g, g.domains[d].Up)
	}
	for i := len(down) - 1; i >= 0; i-- {
		p.add(g, g.domains[down[i]].Up+1)
	}
	p.Layer = g.Join(a, b)
	p.Switches = len(p.Links) - 1
	for _, way := range [][]int{up, down} {
		for _, d := range way {
			p.Ns += g.domains[d].HopNs // a node's own is 0
		}
	}
	if p.Layer >= 0 {
		p.Ns += g.domains[g.Domain(a, p.Layer)].HopNs
	}
	return p
}

// climb returns the domains that a message from a node to another one leaves, fine to coarse, the node first. Scale-up
// domains are no stations.
func (g *Graph) climb(from, to int) []int {
	out := make([]int, 0, len(g.layers))
	for l := g.NodeLayer(); l >= 0; l-- {
		if l == g.nvlink {
			continue
		}
		d := g.Domain(from, l)
		if d >= 0 && d == g.Domain(to, l) {
			break
		}
		if d >= 0 {
			out = append(out, d)
		}
	}
	return out
}

func (p *Path) add(g *Graph, links ...int) {
	for _, l := range links {
		p.Links = append(p.Links, l)
		if gbs := g.links[l].GBs; gbs > 0 {
			p.GBs = min(p.GBs, gbs)
		}
	}
}

// Use says that some of a job's nodes reach others of it through a link.
type Use struct {
	Link   int // ID of the way out; the way in, Opposite(Link), carries the same in collectives
	Inside int // nodes of the job within the link's domain: those that send through it
	Beyond int // nodes of the job on the other side: all others, or of kind LinkNVLink those in the scale-up domain
}

// Crossing returns the links that lie between the nodes of a job, by ID: exactly those of the paths between any two of
// them. Nodes must be distinct.
func (g *Graph) Crossing(nodes []int) []Use {
	if len(nodes) < 2 {
		return nil
	}
	var out []Use
	for l := range g.layers {
		if l == g.nvlink || l == g.NodeLayer() {
			continue
		}
		for _, d := range g.touch(nodes, l) {
			if inside := g.counts[d]; inside < len(nodes) {
				out = append(out, Use{Link: g.domains[d].Up, Inside: inside, Beyond: len(nodes) - inside})
			}
		}
	}
	if g.nvlink >= 0 {
		g.touch(nodes, g.nvlink)
	}
	for _, n := range nodes {
		near := 1 // nodes of the job in its scale-up domain
		if g.nvlink >= 0 && g.Domain(n, g.nvlink) >= 0 {
			near = g.counts[g.Domain(n, g.nvlink)]
		}
		if near < len(nodes) {
			out = append(out, Use{Link: g.domains[g.first+n].Up, Inside: 1, Beyond: len(nodes) - near})
		}
		if near > 1 {
			out = append(out, Use{Link: g.domains[g.first+n].Port, Inside: 1, Beyond: near - 1})
		}
	}
	slices.SortFunc(out, func(a, b Use) int { return a.Link - b.Link })
	return out
}

// touch returns the domains of a layer that nodes are in, and leaves in counts how many are in each.
func (g *Graph) touch(nodes []int, layer int) []int {
	g.unmark()
	var out []int
	for _, n := range nodes {
		d := g.Domain(n, layer)
		if d < 0 {
			continue
		}
		if g.once(d) {
			g.counts[d] = 0
			out = append(out, d)
		}
		g.counts[d]++
	}
	return out
}
