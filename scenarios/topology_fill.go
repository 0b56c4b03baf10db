package scenarios

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"

	"orrery/sim/plan"
)

// shape returns the layers of a fabric, coarse to fine.
func (f *Fabric) shape(s *Scenario) []FabricLayer {
	nics, ports := 1, switchPorts
	for i := range s.Cluster.Pools {
		if pool := &s.Cluster.Pools[i]; s.Cluster.Topology.of(s, pool) == f {
			nics = max(s.nics(pool, f), 1)
			break
		}
	}
	if net, ok := s.network(f); ok && net.SwitchPorts != nil {
		ports = int(net.SwitchPorts.Value)
	}
	return merge(presetLayers(f.Preset, nics, ports), f.Layers)
}

// prefix is the beginning of the names of a fabric's domains.
func (f *Fabric) prefix(what string) string {
	if f.Name == "" {
		return what + "-"
	}
	return f.Name + "-" + what + "-"
}

// hopNs is the time through one switch of a layer.
func (s *Scenario) hopNs(f *Fabric, l *FabricLayer) int64 {
	if l.HopMicros != nil {
		return nanoseconds(*l.HopMicros)
	}
	if net, ok := s.network(f); ok && net.SwitchMicros != nil {
		return nanoseconds(net.SwitchMicros.Value)
	}
	return 0
}

func nanoseconds(micros float64) int64 { return int64(math.Round(micros * 1000)) }

// rows is the state of filling one zone of a fabric.
type rows struct {
	next  int // place of the next node
	sites map[string]*site
}

// fill puts nodes into a fabric's domains in order: place p of a zone is in the domain p ÷ size of each layer.
func (b *siting) fill(f *Fabric) {
	layers := f.shape(b.s)
	byZone := map[string]*rows{}
	count := map[string]int{} // sites made, by kind
	first := 0
	for i := range b.s.Cluster.Pools {
		pool := &b.s.Cluster.Pools[i]
		nodes := len(pool.nodeNames())
		if b.t.of(b.s, pool) == f {
			r := byZone[pool.Zone]
			if r == nil {
				r = &rows{sites: map[string]*site{}}
				byZone[pool.Zone] = r
			}
			r.next = pool.begin(layers, r.next)
			rack := b.s.nvlinkNodes(pool, f)
			for n := range nodes {
				for k := range layers {
					l := &layers[k]
					b.put(first+n, r.site(b.s, f, l, count))
				}
				if rack > 1 {
					b.put(first+n, r.rack(f, pool, n/rack, rack, count))
				}
				r.next++
			}
		}
		first += nodes
	}
}

// begin returns the place of a pool's first node.
func (p *Pool) begin(layers []FabricLayer, next int) int {
	place := Place{}
	place.SetDefaults()
	if p.Topology != nil {
		place = *p.Topology
	}
	for i := range layers {
		if layers[i].Kind == place.Begin && layers[i].Nodes != nil && *layers[i].Nodes > 0 {
			size := *layers[i].Nodes
			next = (next + size - 1) / size * size
		}
	}
	return next + place.Skip
}

// site returns the site of a layer that the next place is in.
func (r *rows) site(s *Scenario, f *Fabric, l *FabricLayer, count map[string]int) *site {
	number, places := 0, 0
	if l.Nodes != nil && *l.Nodes > 0 {
		places = *l.Nodes
		number = r.next / places
	}
	key := l.Kind + " " + strconv.Itoa(number)
	x := r.sites[key]
	if x == nil {
		x = &site{kind: l.Kind, number: count[l.Kind], prefix: f.prefix(cmp.Or(l.Name, l.Kind)), layer: l, places: places,
			hopNs: s.hopNs(f, l)}
		count[l.Kind]++
		r.sites[key] = x
	}
	return x
}

// rack returns the scale-up domain of a pool's node.
func (r *rows) rack(f *Fabric, pool *Pool, number, places int, count map[string]int) *site {
	key := plan.LayerNVLink + " " + pool.Name + " " + strconv.Itoa(number)
	x := r.sites[key]
	if x == nil {
		x = &site{kind: plan.LayerNVLink, number: count[plan.LayerNVLink], prefix: f.prefix(plan.LayerNVLink), places: places}
		count[plan.LayerNVLink]++
		r.sites[key] = x
	}
	return x
}

// named puts nodes into domains that the scenario lists.
func (b *siting) named(f *Fabric) {
	index := map[string]int{}
	for i, n := range b.p.Nodes {
		index[n.Name] = i
	}
	layers := f.shape(b.s)
	byName := map[string]*FabricDomain{}
	for i := range f.Domains {
		byName[f.Domains[i].Name] = &f.Domains[i]
	}
	for i := range f.Domains {
		d := &f.Domains[i]
		x := &site{kind: d.Layer, name: d.Name, number: -1, uplinkGBs: d.UplinkGBs, layer: &FabricLayer{Kind: d.Layer}}
		for k := range layers {
			if layers[k].Kind == d.Layer {
				x.layer = &layers[k]
				x.hopNs = b.s.hopNs(f, &layers[k])
			}
		}
		var members []int
		d.each(byName, func(node string) {
			if n, ok := index[node]; ok {
				members = append(members, n)
			}
		})
		slices.Sort(members)
		for _, n := range slices.Compact(members) {
			b.put(n, x)
		}
	}
}

// each calls fn with the nodes of a domain and of the domains in it, which are of finer layers.
func (d *FabricDomain) each(all map[string]*FabricDomain, fn func(node string)) {
	for _, list := range d.Nodes {
		names, _ := expand(list)
		for _, n := range names {
			fn(n)
		}
	}
	for _, name := range d.Domains {
		if in := all[name]; in != nil && finer(in.Layer, d.Layer) {
			in.each(all, fn)
		}
	}
}

// finer reports whether layers of kind a are finer than those of kind b.
func finer(a, b string) bool {
	kinds := plan.LayerKinds()
	return slices.Index(kinds, a) > slices.Index(kinds, b)
}

var rangeForm = regexp.MustCompile(`^([^\[\]]*)\[(\d{1,9})-(\d{1,9})\]([^\[\]]*)$`)

// expand returns the names that a range like node[01-32] stands for; a text without brackets is itself.
func expand(text string) ([]string, error) {
	m := rangeForm.FindStringSubmatch(text)
	if m == nil {
		if regexp.MustCompile(`[\[\]]`).MatchString(text) {
			return nil, fmt.Errorf("%q is not a range of nodes; write it like node[01-32]", text)
		}
		return []string{text}, nil
	}
	from, _ := strconv.Atoi(m[2])
	to, _ := strconv.Atoi(m[3])
	if from > to || to-from >= nodesMax {
		return nil, fmt.Errorf("%q is not a range of up to %d nodes; write it like node[01-32]", text, nodesMax)
	}
	var out []string
	for n := from; n <= to; n++ {
		out = append(out, fmt.Sprintf("%s%0*d%s", m[1], len(m[2]), n, m[4]))
	}
	return out, nil
}
