package topology

import (
	"fmt"

	"orrery/sim/plan"
)

// Domain is a domain of one layer. Nodes are domains too, those of the last layer.
type Domain struct {
	ID     int // index into Graph.Domains
	Layer  int // index into Graph.Layers
	Name   string
	Parent int   // ID of the domain it lies in, of the nearest coarser layer that has one; -1 = none
	Inside []int // IDs of the domains whose parent it is, ascending
	Nodes  []int // indices into the plan's nodes, ascending
	GPUs   int   // of its nodes
	// Places, Rails, Oversubscription and HopNs are the plan's; a node has one place and as many rails as NICs.
	Places, Rails    int
	Oversubscription float64
	HopNs            int64
	// Up is the ID of the link that leads out of the domain, Up+1 that of the link into it. A scale-up domain has none:
	// -1.
	Up int
	// Port is the ID of the link from a node into its scale-up domain, Port+1 that back; -1 = the domain is no node, or
	// one without such a domain.
	Port int
}

// Kinds of links.
const (
	LinkNIC    = "nic"    // a node's NICs
	LinkUplink = "uplink" // all uplinks of a domain of switches
	LinkNVLink = "nvlink" // the NVLink ports of a node's GPUs into a scale-up domain of several nodes
)

// Link is one direction of what a domain hangs on.
type Link struct {
	ID     int // index into Graph.Links
	Domain int // ID of the domain that it leads out of, or into
	Kind   string
	Down   bool // into the domain
	// GBs is its bandwidth in GB/s (10⁹ bytes per second); 0 = without limit, or not known.
	GBs float64
	// Rails is the number of equal parts of it, each for one NIC of every node (or one GPU, of kind LinkNVLink).
	Rails int
}

// Of returns the part of the link's bandwidth that a job has which uses so many rails of each of its nodes.
func (l Link) Of(rails int) float64 {
	if rails >= l.Rails {
		return l.GBs
	}
	return l.GBs * float64(max(rails, 0)) / float64(l.Rails)
}

// Opposite returns the ID of the link of the other direction.
func Opposite(link int) int { return link ^ 1 }

// Graph is the topology of a plan. It does not change, but its methods share scratch memory: it is not for concurrent
// use.
type Graph struct {
	layers  []plan.Layer
	domains []Domain // by layer, then by first node
	links   []Link
	of      []int    // node × layers + layer → ID; -1 = in none
	first   int      // ID of node 0
	nvlink  int      // index of the scale-up layer, -1 = none
	kinds   []string // of the GPUs, by node
	gpus    []int    // by node
	index   map[string]int

	// Scratch, by domain: when it was last met, and how often since.
	marks  []uint32
	mark   uint32
	counts []int
	best   map[request]Placement
	rooms  map[room][]int
}

// New returns the topology of a plan. Without one in the plan it is a single layer, of nodes that nothing but their
// NICs keeps apart. The error says which domain or node is not as plan.Topology demands.
func New(p *plan.Plan) (*Graph, error) {
	b := builder{p: p, g: &Graph{nvlink: -1, index: map[string]int{}, best: map[request]Placement{},
		rooms: map[room][]int{}}}
	t := p.Topology
	if t == nil {
		t = &plan.Topology{Layers: []plan.Layer{{Name: plan.LayerNode, Kind: plan.LayerNode}}}
	}
	if err := b.build(t); err != nil {
		return nil, fmt.Errorf("building the topology: %w", err)
	}
	return b.g, nil
}

// Layers returns the layers, coarse to fine; the last is that of the nodes.
func (g *Graph) Layers() []plan.Layer { return g.layers }

// NodeLayer returns the index of the last layer, in which every node is a domain of its own.
func (g *Graph) NodeLayer() int { return len(g.layers) - 1 }

// ScaleUp returns the index of the layer of scale-up domains of several nodes, or -1.
func (g *Graph) ScaleUp() int { return g.nvlink }

// Domains returns all domains by ID: layer by layer from the coarsest, within a layer by first node.
func (g *Graph) Domains() []Domain { return g.domains }

// Links returns all links by ID. Links of one domain stand side by side, the way out before the way in.
func (g *Graph) Links() []Link { return g.links }

// Nodes returns the number of nodes.
func (g *Graph) Nodes() int { return len(g.gpus) }

// Node returns a node's index in the plan, by name.
func (g *Graph) Node(name string) (int, bool) {
	i, ok := g.index[name]
	return i, ok
}

// Domain returns the ID of the node's domain in a layer, or -1 when it is in none.
func (g *Graph) Domain(node, layer int) int { return g.of[node*len(g.layers)+layer] }

// Same reports whether two nodes are in one domain of a layer.
func (g *Graph) Same(a, b, layer int) bool {
	d := g.Domain(a, layer)
	return d >= 0 && d == g.Domain(b, layer)
}

// Join returns the finest layer of which one domain holds both nodes, or -1.
func (g *Graph) Join(a, b int) int {
	for l := len(g.layers) - 1; l >= 0; l-- {
		if g.Same(a, b, l) {
			return l
		}
	}
	return -1
}

// Span is what a set of nodes touches.
type Span struct {
	// Domains counts them, one number for each layer. A node without a domain counts as one of its own.
	Domains []int
	// Finest is the finest layer of which one domain holds all the nodes, -1 when none does.
	Finest int
}

// Span returns the domains a set of nodes touches. Nodes may come several times.
func (g *Graph) Span(nodes []int) Span {
	s := Span{Domains: make([]int, len(g.layers)), Finest: -1}
	for l := range g.layers {
		g.unmark()
		alone := 0
		for _, n := range nodes {
			d := g.Domain(n, l)
			if d < 0 {
				d = g.first + n
				if g.once(d) {
					alone++
					s.Domains[l]++
				}
			} else if g.once(d) {
				s.Domains[l]++
			}
		}
		if s.Domains[l] == 1 && alone == 0 {
			s.Finest = l
		}
	}
	return s
}

func (g *Graph) unmark() {
	if g.mark++; g.mark == 0 {
		clear(g.marks)
		g.mark = 1
	}
}

// once marks a domain and reports whether it was not marked yet.
func (g *Graph) once(d int) bool {
	if g.marks[d] == g.mark {
		return false
	}
	g.marks[d] = g.mark
	return true
}
