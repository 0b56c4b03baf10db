package scenarios

import (
	"fmt"
	"slices"
	"strings"

	"orrery/sim/plan"
	"orrery/sim/strict"
	"orrery/sim/topology"
)

// checkTopology reports what is wrong with the places of nodes.
func (s *Scenario) checkTopology() {
	p := s.doc.Problemf
	t := s.Cluster.Topology
	if t == nil {
		for i, pool := range s.Cluster.Pools {
			if pool.Topology != nil {
				at := fmt.Sprintf("cluster.pools[%d].topology", i)
				p(at, "%s: the cluster has no topology; add cluster.topology, or remove it", at)
			}
		}
		return
	}
	if s.doc.Has("cluster.topology.fabrics") && len(t.Fabrics) == 0 {
		p("cluster.topology.fabrics", "cluster.topology.fabrics: there is none; add e.g. - preset: rail-optimized")
	}
	s.checkPlaceLabels(t)
	s.checkLayerNames(t)
	s.checkUplink("cluster.topology.zone", t.Zone)
	s.checkUplink("cluster.topology.region", t.Region)
	s.checkFabricPools(t)
	names := map[string]int{}
	for i := range t.Fabrics {
		f := &t.Fabrics[i]
		at := fmt.Sprintf("cluster.topology.fabrics[%d]", i)
		if len(t.Fabrics) > 1 && f.Name == "" {
			p(at, "%s.name is missing: there are several fabrics; add one", at)
		}
		if first, twice := names[f.Name]; twice && f.Name != "" {
			p(at+".name", "%s.name: fabric %q is there twice, first as fabrics[%d]; rename one", at, f.Name, first)
		}
		names[f.Name] = i
		if f.Name != "" && !labelName.MatchString(f.Name) {
			p(at+".name", "%s.name: %q is not made of a-z, 0-9 and -; write it like east", at, f.Name)
		}
		s.checkFabric(at, f)
	}
	if s.doc.Err() == nil {
		s.checkNesting()
	}
}

func (s *Scenario) checkUplink(at string, u *Uplink) {
	if u != nil && (u.UplinkGBs == nil) == (u.Oversubscription == nil) {
		s.doc.Problemf(at, "%s: give exactly one of uplinkGBs and oversubscription", at)
	}
}

// checkFabricPools checks that every pool is on one fabric at most, and that those with GPUs are on one.
func (s *Scenario) checkFabricPools(t *Topology) {
	p := s.doc.Problemf
	var pools []string
	for _, pool := range s.Cluster.Pools {
		pools = append(pools, pool.Name)
	}
	on := map[string]int{}
	rest := -1
	for i := range t.Fabrics {
		at := fmt.Sprintf("cluster.topology.fabrics[%d]", i)
		if len(t.Fabrics[i].Pools) == 0 {
			if rest >= 0 {
				p(at, "%s.pools: this fabric and fabrics[%d] take all pools; name the pools of one", at, rest)
			}
			rest = i
		}
		for j, name := range t.Fabrics[i].Pools {
			field := fmt.Sprintf("%s.pools[%d]", at, j)
			if !slices.Contains(pools, name) {
				p(field, "%s: there is no pool %q; %s", field, name, strict.Suggest(name, pools))
			}
			if first, twice := on[name]; twice {
				p(field, "%s: pool %q is on fabrics[%d] already; keep one", field, name, first)
			}
			on[name] = i
		}
	}
	if rest >= 0 || len(t.Fabrics) == 0 {
		return
	}
	for i, pool := range s.Cluster.Pools {
		if _, ok := on[pool.Name]; !ok && pool.GPUsPerNode > 0 {
			at := fmt.Sprintf("cluster.pools[%d]", i)
			p(at, "%s: pool %q has GPUs and is on no fabric; name it in one of cluster.topology.fabrics", at, pool.Name)
		}
	}
}

func (s *Scenario) checkFabric(at string, f *Fabric) {
	p := s.doc.Problemf
	if f.Network != "" {
		if _, err := s.catalog.LookupFabric(f.Network); err != nil {
			p(at+".network", "%s.network: %v; or write nicGbps", at, err)
		}
	}
	if f.Preset == "" && len(f.Layers) == 0 && len(f.Domains) == 0 {
		p(at, "%s: nothing says its shape; add preset, layers or domains", at)
	}
	if f.Preset != "" && len(f.Domains) > 0 {
		p(at+".preset", "%s.preset: domains say who stands where; remove the preset, and say oversubscription under layers",
			at)
	}
	rack := 1
	for i := range s.Cluster.Pools {
		pool := &s.Cluster.Pools[i]
		if s.Cluster.Topology.of(s, pool) != f {
			continue
		}
		rack = max(rack, s.nvlinkNodes(pool, f))
		if pool.GPUsPerNode > 0 && s.nicGbps(pool, f) == 0 && s.catalog != nil {
			p(at, "%s: the rate of the NICs of pool %q is not known; add network: infiniband-ndr or the like, or nicGbps", at,
				pool.Name)
		}
		s.checkPlace(fmt.Sprintf("cluster.pools[%d].topology", i), pool.Topology, f)
	}
	s.checkLayers(at, f, rack)
	s.checkDomains(at, f)
}

func (s *Scenario) checkPlace(at string, place *Place, f *Fabric) {
	if place == nil {
		return
	}
	if len(f.Domains) > 0 {
		s.doc.Problemf(at, "%s: the fabric lists its domains and their nodes; remove it", at)
		return
	}
	var kinds []string
	for _, l := range f.shape(s) {
		kinds = append(kinds, l.Kind)
	}
	if place.Begin != plan.LayerNode && !slices.Contains(kinds, place.Begin) {
		s.doc.Problemf(at+".begin", "%s.begin: the fabric has no layer %s; want one of: %s, node", at, place.Begin,
			strings.Join(kinds, ", "))
	}
}

// checkLayers checks the scenario's own layers and, with those of the preset, that every domain is made of whole ones
// of the layer below. rack is the size of the largest scale-up domain in nodes.
func (s *Scenario) checkLayers(at string, f *Fabric, rack int) {
	p := s.doc.Problemf
	last := -1
	for i, l := range f.Layers {
		field := fmt.Sprintf("%s.layers[%d]", at, i)
		k := slices.Index(switchLayers(), l.Kind)
		if k >= 0 && k <= last {
			p(field, "%s: %s comes after a layer that is no coarser; order them core, spine, leaf, each once", field, l.Kind)
		}
		last = max(last, k)
		switch {
		case l.UplinkGBs != nil && l.Oversubscription != nil:
			p(field, "%s: uplinkGBs and oversubscription say the same; keep one", field)
		case len(f.Domains) > 0 && l.Nodes != nil:
			p(field+".nodes", "%s.nodes: domains say which nodes they have; remove it", field)
		case f.Preset == "" && len(f.Domains) == 0 && l.Nodes == nil:
			p(field, "%s.nodes is missing; add how many nodes one domain has, or 0 for all", field)
		}
		if l.Name != "" && !labelName.MatchString(l.Name) {
			p(field+".name", "%s.name: %q is not made of a-z, 0-9 and -; write it like rack", field, l.Name)
		}
	}
	if len(f.Domains) > 0 {
		return
	}
	below, what := rack, "nodes of an NVLink domain"
	layers := f.shape(s)
	for i := len(layers) - 1; i >= 0; i-- {
		l := layers[i]
		if l.Nodes == nil {
			continue
		}
		if n := *l.Nodes; n > 0 && (below == 0 || n%below != 0) {
			p(at, "%s: a %s of %d nodes is not made of whole groups of %d, the %s; change one under layers", at, l.Kind, n,
				below, what)
		}
		below, what = *l.Nodes, "nodes of a "+l.Kind
	}
}

// checkDomains checks the lists of domains and nodes.
func (s *Scenario) checkDomains(at string, f *Fabric) {
	p := s.doc.Problemf
	nodes := map[string]bool{}
	for i := range s.Cluster.Pools {
		if pool := &s.Cluster.Pools[i]; s.Cluster.Topology.of(s, pool) == f {
			for _, n := range pool.nodeNames() {
				nodes[n] = true
			}
		}
	}
	layers := map[string]string{}
	for i, d := range f.Domains {
		if _, twice := layers[d.Name]; twice {
			p(fmt.Sprintf("%s.domains[%d].name", at, i), "%s.domains[%d].name: domain %q is there twice; rename one", at, i,
				d.Name)
		}
		layers[d.Name] = d.Layer
	}
	placed := map[string]string{}
	for i, d := range f.Domains {
		field := fmt.Sprintf("%s.domains[%d]", at, i)
		s.checkDomain(field, d, layers)
		for j, text := range d.Nodes {
			here := fmt.Sprintf("%s.nodes[%d]", field, j)
			names, err := expand(text)
			if err != nil {
				p(here, "%s: %v", here, err)
			}
			for _, n := range names {
				if !nodes[n] {
					p(here, "%s: no pool on this fabric has a node %q; correct the name", here, n)
					break
				}
				if other := placed[n]; other != "" {
					p(here, "%s: node %q is listed in domain %q already; keep one, and put domains into domains", here, n, other)
					break
				}
				placed[n] = d.Name
			}
		}
	}
	if len(f.Domains) == 0 {
		return
	}
	for _, n := range sortedKeys(nodes) {
		if placed[n] == "" {
			p(at+".domains", "%s.domains: node %q is in none; add it to one", at, n)
			return
		}
	}
}

func (s *Scenario) checkDomain(field string, d FabricDomain, layers map[string]string) {
	p := s.doc.Problemf
	if len(d.Name) > 253 || !labelValues.MatchString(d.Name[:min(len(d.Name), labelValueMax)]) {
		p(field+".name", "%s.name: %q cannot be a label value; use letters, digits, - _ and .", field, d.Name)
	}
	if len(d.Nodes)+len(d.Domains) == 0 {
		p(field, "%s: %q is empty; add nodes or domains, or remove it", field, d.Name)
	}
	if d.UplinkGBs != nil && d.Layer == plan.LayerNVLink {
		p(field+".uplinkGBs", "%s.uplinkGBs: what leaves an NVLink domain goes through its nodes' NICs; remove it", field)
	}
	for j, name := range d.Domains {
		here := fmt.Sprintf("%s.domains[%d]", field, j)
		layer, ok := layers[name]
		switch {
		case !ok:
			p(here, "%s: there is no domain %q; %s", here, name, strict.Suggest(name, sortedKeys(layers)))
		case !finer(layer, d.Layer):
			p(here, "%s: %q is of layer %s, which is not finer than %s; exchange them", here, name, layer, d.Layer)
		}
	}
}

// checkLayerNames checks that no two layers are called alike: gangs and results know layers by their names.
func (s *Scenario) checkLayerNames(t *Topology) {
	kinds := map[string]string{} // of the names met
	for _, kind := range plan.LayerKinds() {
		kinds[kind] = kind
	}
	for i := range t.Fabrics {
		for j, l := range t.Fabrics[i].Layers {
			field := fmt.Sprintf("cluster.topology.fabrics[%d].layers[%d].name", i, j)
			if kind := kinds[l.Name]; kind != "" && kind != l.Kind {
				s.doc.Problemf(field, "%s: %q is the name of layers of the kind %s; choose another", field, l.Name, kind)
			}
			if l.Name != "" {
				kinds[l.Name] = l.Kind
			}
		}
	}
}

// checkPlaceLabels checks the keys of labels, and that pools leave them alone.
func (s *Scenario) checkPlaceLabels(t *Topology) {
	p := s.doc.Problemf
	at := "cluster.topology.customLabels"
	taken := map[string]string{}
	for _, kind := range sortedKeys(t.CustomLabels) {
		own := t.CustomLabels[kind]
		field := at + "." + kind
		if !slices.Contains(plan.LayerKinds(), kind) {
			p(field, "%s: there is no layer %q; %s", field, kind, strict.Suggest(kind, plan.LayerKinds()))
		}
		switch {
		case !isKey(own):
			p(field, "%s: %q is not a label key; write it like example.com/switch", field, own)
		case taken[own] != "":
			p(field, "%s: the key %s is that of layer %s already; choose another", field, own, taken[own])
		case own == hostnameLabel || own == zoneLabel || own == regionLabel:
			p(field, "%s: %s is Kubernetes' own; choose another", field, own)
		case s.labelled(own) != "":
			p(field, "%s: the nodes of pool %q have a label %s of their own; choose another", field, s.labelled(own), own)
		}
		taken[own] = kind
	}
	for i := range s.Cluster.Pools {
		pool := &s.Cluster.Pools[i]
		for _, k := range sortedKeys(pool.Labels) {
			if slices.Contains(t.keys(), k) {
				field := fmt.Sprintf("cluster.pools[%d].labels[%q]", i, k)
				p(field, "cluster.pools[%d].labels: %s is set by cluster.topology; remove it", i, k)
			}
		}
	}
}

// labelled returns the first pool whose nodes have a label that the simulator sets beside those of the topology.
func (s *Scenario) labelled(key string) string {
	for i := range s.Cluster.Pools {
		pool := &s.Cluster.Pools[i]
		if _, own := pool.Labels[key]; !own && s.labels(pool)[key] != "" {
			return pool.Name
		}
	}
	return ""
}

// keys lists all keys that the topology's labels can have, but those that come from the pools.
func (t *Topology) keys() []string {
	var out []string
	for _, scheme := range t.Labels {
		if scheme == labelsKubernetes {
			continue
		}
		for _, kind := range plan.LayerKinds() {
			for tier := range switchLayers() {
				out = append(out, placeKeys(scheme, kind, tier)...)
			}
		}
	}
	for _, kind := range sortedKeys(t.CustomLabels) {
		out = append(out, t.CustomLabels[kind])
	}
	return out
}

// checkNesting builds the places of nodes and reports what only shows then: domains that cross each other.
func (s *Scenario) checkNesting() {
	p := s.bare()
	s.planLinks(p)
	if _, err := topology.New(p); err != nil {
		text := err.Error()
		s.doc.Problemf("cluster.topology", "cluster.topology: %s; every domain must lie within one domain of each coarser "+
			"layer", text[strings.LastIndex(text, "topology: ")+len("topology: "):])
	}
}

// bare is the plan's pools and nodes with what the places of nodes depend on.
func (s *Scenario) bare() *plan.Plan {
	p := &plan.Plan{}
	for i := range s.Cluster.Pools {
		pool := &s.Cluster.Pools[i]
		p.Pools = append(p.Pools, plan.Pool{Name: pool.Name, GPUsPerNode: pool.GPUsPerNode})
		for _, name := range pool.nodeNames() {
			p.Nodes = append(p.Nodes, plan.Node{Name: name, Pool: i})
		}
	}
	return p
}
