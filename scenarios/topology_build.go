package scenarios

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"orrery/sim/plan"
)

// planLinks gives every pool its links, and every node its place and labels when the scenario says where nodes stand.
func (s *Scenario) planLinks(p *plan.Plan) {
	t := s.Cluster.Topology
	for i := range s.Cluster.Pools {
		pool := &s.Cluster.Pools[i]
		p.Pools[i].Links = s.links(pool, t.of(s, pool))
	}
	if t == nil {
		return
	}
	b := &siting{s: s, t: t, p: p, at: map[string]map[string]*site{}}
	b.run()
}

// of returns the fabric a pool is on, nil for none.
func (t *Topology) of(s *Scenario, pool *Pool) *Fabric {
	if t == nil {
		return nil
	}
	var rest *Fabric
	for i := range t.Fabrics {
		f := &t.Fabrics[i]
		if slices.Contains(f.Pools, pool.Name) {
			return f
		}
		if len(f.Pools) == 0 && pool.GPUsPerNode > 0 {
			rest = f
		}
	}
	return rest
}

// siting gives nodes their domains.
type siting struct {
	s     *Scenario
	t     *Topology
	p     *plan.Plan
	at    map[string]map[string]*site // kind → name
	order []*site                     // as they are met
	where [][]*site                   // by node, then by index into plan.LayerKinds
}

// site is a domain in the making.
type site struct {
	kind, name string
	number     int    // of its kind on its fabric, in the order of nodes; -1 = it has a name of its own
	prefix     string // of its name
	layer      *FabricLayer
	uplinkGBs  *float64 // of the domain itself
	hopNs      int64
	places     int // 0 = as many as it has
	nodes      []int
	feed       float64 // what its members can send up, or its uplink where that is less, GB/s
	domain     plan.Domain
}

// run fills in the plan's topology.
func (b *siting) run() {
	b.where = make([][]*site, len(b.p.Nodes))
	for i := range b.where {
		b.where[i] = make([]*site, len(plan.LayerKinds()))
	}
	for i := range b.t.Fabrics {
		f := &b.t.Fabrics[i]
		if len(f.Domains) > 0 {
			b.named(f)
		} else {
			b.fill(f)
		}
	}
	b.zones()
	b.nameNumbered()
	b.uplinks()
	b.finish()
}

// put notes that a node is in a site.
func (b *siting) put(node int, x *site) {
	b.where[node][slices.Index(plan.LayerKinds(), x.kind)] = x
	if x.nodes == nil {
		b.order = append(b.order, x)
	}
	x.nodes = append(x.nodes, node)
}

// zones puts nodes into the zones and regions of their pools.
func (b *siting) zones() {
	known := map[string]*site{}
	for i, n := range b.p.Nodes {
		pool := &b.s.Cluster.Pools[n.Pool]
		for _, z := range []struct {
			kind, name string
			up         *Uplink
		}{{plan.LayerRegion, pool.Region, b.t.Region}, {plan.LayerZone, pool.Zone, b.t.Zone}} {
			if z.name == "" {
				continue
			}
			x := known[z.kind+" "+z.name]
			if x == nil {
				x = &site{kind: z.kind, name: z.name, number: -1, layer: z.up.layer(z.kind)}
				if z.up != nil {
					x.hopNs = nanoseconds(z.up.HopMicros)
				}
				known[z.kind+" "+z.name] = x
			}
			b.put(i, x)
		}
	}
}

// layer turns the way out of a zone into a layer's.
func (u *Uplink) layer(kind string) *FabricLayer {
	none := 0
	l := &FabricLayer{Kind: kind, Nodes: &none}
	if u != nil {
		l.UplinkGBs, l.Oversubscription = u.UplinkGBs, u.Oversubscription
	}
	return l
}

// nameNumbered gives numbered sites names of equal width, so that their order as text is that of their numbers.
func (b *siting) nameNumbered() {
	most := map[string]int{}
	for _, x := range b.order {
		most[x.kind+x.prefix] = max(most[x.kind+x.prefix], x.number)
	}
	for _, x := range b.order {
		if x.number >= 0 {
			x.name = fmt.Sprintf("%s%0*d", x.prefix, len(strconv.Itoa(most[x.kind+x.prefix])), x.number)
		}
	}
}

// uplinks finds what every site can send up, fine to coarse.
func (b *siting) uplinks() {
	kinds := plan.LayerKinds()
	below := make([]float64, len(b.p.Nodes)) // what each node adds to the site above: its part of what lies below
	room := make([]float64, len(b.p.Nodes))  // and how many places it stands for
	for i, n := range b.p.Nodes {
		l := b.p.Pools[n.Pool].Links
		below[i], room[i] = float64(l.NICs)*l.NICGBs, 1
	}
	for k := len(kinds) - 1; k >= 0; k-- {
		for _, x := range b.order {
			if x.kind != kinds[k] || x.kind == plan.LayerNVLink {
				continue
			}
			down, have := 0.0, 0.0
			for _, n := range x.nodes {
				down, have = down+below[n], have+room[n]
			}
			if places := float64(x.places); places > have { // built for more than stand there
				down, have = float64(down*places)/have, places
			}
			x.limit(down)
			for _, n := range x.nodes {
				below[n], room[n] = x.feed/float64(len(x.nodes)), have/float64(len(x.nodes))
			}
		}
	}
}

// limit settles a site's uplink when its members can send down GB/s up to it.
func (x *site) limit(down float64) {
	up := 0.0
	switch {
	case x.uplinkGBs != nil:
		up = *x.uplinkGBs
	case x.layer.UplinkGBs != nil:
		up = *x.layer.UplinkGBs
	case x.layer.Oversubscription != nil:
		up = down / *x.layer.Oversubscription
	case x.layer.Nodes == nil || *x.layer.Nodes > 0:
		up = down
	}
	x.feed = down
	if up = thousandth(up); up > 0 {
		x.feed = up
		x.domain.UplinkGBs, x.domain.Oversubscription = up, thousandth(down/up)
	}
}

// thousandth rounds what is recorded, so that the last bits of a division do not show.
func thousandth(f float64) float64 { return math.Round(f*1000) / 1000 }

// finish writes the plan.
func (b *siting) finish() {
	kinds := plan.LayerKinds()
	top := &plan.Topology{}
	index := make([]int, len(kinds)) // of the layer in the topology, -1 = not in use
	for k, kind := range kinds {
		index[k] = -1
		used := slices.ContainsFunc(b.order, func(x *site) bool { return x.kind == kind })
		if used || kind == plan.LayerNode {
			index[k] = len(top.Layers)
			top.Layers = append(top.Layers, plan.Layer{Name: b.layerName(kind), Kind: kind})
		}
	}
	b.label(top.Layers)
	for k, kind := range kinds {
		var of []*site
		for _, x := range b.order {
			if x.kind == kind {
				of = append(of, x)
			}
		}
		slices.SortStableFunc(of, func(a, b *site) int { return slices.Min(a.nodes) - slices.Min(b.nodes) })
		for _, x := range of {
			x.domain.Layer, x.domain.Name, x.domain.HopNs = index[k], x.name, x.hopNs
			x.domain.Places = max(x.places, len(x.nodes))
			x.domain.Rails = 1
			if x.layer != nil && x.layer.Rails != nil {
				x.domain.Rails = *x.layer.Rails
				if x.domain.Rails == 0 {
					x.domain.Rails = max(b.p.Pools[b.p.Nodes[x.nodes[0]].Pool].Links.NICs, 1)
				}
			}
			top.Domains = append(top.Domains, x.domain)
		}
	}
	for i := range b.p.Nodes {
		n := &b.p.Nodes[i]
		for k := range kinds[:len(kinds)-1] {
			if index[k] < 0 {
				continue
			}
			name := ""
			if x := b.where[i][k]; x != nil {
				name = x.name
			}
			n.Domains = append(n.Domains, name)
		}
		n.Domains = append(n.Domains, n.Name)
		n.Labels = b.labelsOf(top.Layers, i)
	}
	b.p.Topology = top
	b.warn(top)
}

// layerName returns what the scenario calls the layers of a kind: what all fabrics agree on, else the kind.
func (b *siting) layerName(kind string) string {
	name := ""
	for i := range b.t.Fabrics {
		for _, l := range b.t.Fabrics[i].Layers {
			if l.Kind != kind || l.Name == "" {
				continue
			}
			if name != "" && name != l.Name {
				return kind
			}
			name = l.Name
		}
	}
	if name == "" {
		return kind
	}
	return name
}

// warn says of which layers nobody said how wide the way between two domains is.
func (b *siting) warn(top *plan.Topology) {
	for i, l := range top.Layers[:len(top.Layers)-1] {
		n := 0
		for _, d := range top.Domains {
			if d.Layer == i && d.UplinkGBs == 0 && l.Kind != plan.LayerNVLink {
				n++
			}
		}
		if n > 1 {
			b.p.Warnings = append(b.p.Warnings, plan.Warning{Code: "topology-no-uplink", Count: int64(n),
				Message: fmt.Sprintf("domains of layer %s whose way out has no bandwidth in the scenario: it is taken to be "+
					"without limit", l.Name)})
		}
	}
}
