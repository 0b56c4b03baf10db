package topology

import (
	"fmt"
	"slices"

	"orrery/sim/plan"
)

type builder struct {
	p *plan.Plan
	g *Graph
}

func (b *builder) build(t *plan.Topology) error {
	if err := b.checkLayers(t.Layers); err != nil {
		return err
	}
	g := b.g
	g.layers = t.Layers
	g.nvlink = slices.IndexFunc(t.Layers, func(l plan.Layer) bool { return l.Kind == plan.LayerNVLink })
	ids := make([]map[string]int, len(t.Layers))
	for i := range ids {
		ids[i] = map[string]int{}
	}
	for _, d := range t.Domains {
		if err := b.checkDomain(t, d); err != nil {
			return err
		}
		if _, twice := ids[d.Layer][d.Name]; twice {
			return fmt.Errorf("layer %s has the domain %q twice", t.Layers[d.Layer].Name, d.Name)
		}
		ids[d.Layer][d.Name] = len(g.domains)
		g.domains = append(g.domains, Domain{ID: len(g.domains), Layer: d.Layer, Name: d.Name, Parent: -1,
			Places: d.Places, Rails: max(d.Rails, 1), Oversubscription: d.Oversubscription, HopNs: d.HopNs, Up: -1, Port: -1})
	}
	g.first = len(g.domains)
	for i, n := range b.p.Nodes {
		if err := b.addNode(i, n, ids, t); err != nil {
			return err
		}
	}
	if err := b.nest(); err != nil {
		return err
	}
	b.link(t)
	g.marks, g.counts = make([]uint32, len(g.domains)), make([]int, len(g.domains))
	return nil
}

func (b *builder) checkLayers(layers []plan.Layer) error {
	kinds := plan.LayerKinds()
	last := -1
	for _, l := range layers {
		at := slices.Index(kinds, l.Kind)
		if at <= last {
			return fmt.Errorf("layer %s of kind %q: kinds are %v, in this order", l.Name, l.Kind, kinds)
		}
		last = at
	}
	if last != len(kinds)-1 {
		return fmt.Errorf("the last layer is not of kind %s", plan.LayerNode)
	}
	return nil
}

func (b *builder) checkDomain(t *plan.Topology, d plan.Domain) error {
	if d.Layer < 0 || d.Layer >= len(t.Layers)-1 {
		return fmt.Errorf("domain %q: no layer above the nodes has the number %d", d.Name, d.Layer)
	}
	if n := len(b.g.domains); n > 0 && b.g.domains[n-1].Layer > d.Layer {
		return fmt.Errorf("domain %q: domains are not in the order of their layers", d.Name)
	}
	if d.UplinkGBs < 0 || d.UplinkGBs != 0 && t.Layers[d.Layer].Kind == plan.LayerNVLink {
		return fmt.Errorf("domain %q: an uplink of %v GB/s", d.Name, d.UplinkGBs)
	}
	return nil
}

func (b *builder) addNode(i int, n plan.Node, ids []map[string]int, t *plan.Topology) error {
	g := b.g
	pool := b.p.Pools[n.Pool]
	if _, twice := g.index[n.Name]; twice {
		return fmt.Errorf("node %q is there twice", n.Name)
	}
	g.index[n.Name] = i
	g.gpus = append(g.gpus, pool.GPUsPerNode)
	g.kinds = append(g.kinds, pool.GPUModel)
	id := g.first + i
	g.domains = append(g.domains, Domain{ID: id, Layer: len(t.Layers) - 1, Name: n.Name, Parent: -1, Nodes: []int{i},
		GPUs: pool.GPUsPerNode, Places: 1, Rails: max(pool.Links.NICs, 1), Up: -1, Port: -1})
	if b.p.Topology == nil {
		g.of = append(g.of, id)
		return nil
	}
	if len(n.Domains) != len(t.Layers) || n.Domains[len(n.Domains)-1] != n.Name {
		return fmt.Errorf("node %q: domains %v for %d layers, the last of which is the node's", n.Name, n.Domains,
			len(t.Layers))
	}
	for l, name := range n.Domains[:len(n.Domains)-1] {
		d := -1
		if name != "" {
			var ok bool
			if d, ok = ids[l][name]; !ok {
				return fmt.Errorf("node %q: layer %s has no domain %q", n.Name, t.Layers[l].Name, name)
			}
			g.domains[d].Nodes = append(g.domains[d].Nodes, i)
			g.domains[d].GPUs += pool.GPUsPerNode
		}
		g.of = append(g.of, d)
	}
	g.of = append(g.of, id)
	return nil
}

// nest finds every domain's parent, and that all its nodes agree on it.
func (b *builder) nest() error {
	g := b.g
	for i := range g.domains {
		d := &g.domains[i]
		if len(d.Nodes) == 0 {
			return fmt.Errorf("the domain %q of layer %s has no nodes", d.Name, g.layers[d.Layer].Name)
		}
		d.Places = max(d.Places, len(d.Nodes))
		for l := d.Layer - 1; l >= 0; l-- {
			above := g.Domain(d.Nodes[0], l)
			for _, n := range d.Nodes {
				if g.Domain(n, l) != above {
					return fmt.Errorf("the domain %q of layer %s reaches over two domains of layer %s: nodes %s and %s",
						d.Name, g.layers[d.Layer].Name, g.layers[l].Name, b.p.Nodes[d.Nodes[0]].Name, b.p.Nodes[n].Name)
				}
			}
			if above >= 0 && d.Parent < 0 {
				d.Parent = above
				g.domains[above].Inside = append(g.domains[above].Inside, i)
			}
		}
	}
	return nil
}

// link makes the links: two for every domain, and two more for a node in a scale-up domain.
func (b *builder) link(t *plan.Topology) {
	g := b.g
	for i, d := range t.Domains {
		if d.Layer != g.nvlink {
			g.domains[i].Up = g.addLinks(i, LinkUplink, d.UplinkGBs, max(d.Rails, 1))
		}
	}
	for i, n := range b.p.Nodes {
		links := b.p.Pools[n.Pool].Links
		d := &g.domains[g.first+i]
		d.Up = g.addLinks(d.ID, LinkNIC, float64(links.NICs)*links.NICGBs, max(links.NICs, 1))
		if g.nvlink >= 0 && g.Domain(i, g.nvlink) >= 0 {
			d.Port = g.addLinks(d.ID, LinkNVLink, float64(d.GPUs)*links.GBs, max(d.GPUs, 1))
		}
	}
}

func (g *Graph) addLinks(domain int, kind string, gbs float64, rails int) int {
	id := len(g.links)
	for _, down := range []bool{false, true} {
		g.links = append(g.links, Link{ID: len(g.links), Domain: domain, Kind: kind, Down: down, GBs: gbs, Rails: rails})
	}
	return id
}
