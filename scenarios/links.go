package scenarios

import (
	"orrery/sim/catalog"
	"orrery/sim/plan"
)

// bitsPerByte turns the Gb/s of networks into the GB/s of everything else.
const bitsPerByte = 8

// serverGPUsMax is the most GPUs that one server sold holds (DGX-2, GCP a2-megagpu-16g). A scale-up domain that is
// larger joins several nodes.
const serverGPUsMax = 16

// pcieGBs is what a GPU on 16 PCIe lanes can send in one direction, by generation: 31, 63 and 121 GB/s for the fourth
// to the sixth (Stas Bekman, Machine Learning Engineering, commit 744d01e); the third has half of the fourth's rate.
func pcieGBs(generation int) float64 {
	return map[int]float64{3: 15.75, 4: 31.5, 5: 63, 6: 121}[generation]
}

// links returns how the GPUs of a pool's nodes reach each other and the network, as far as the catalogue and the pool's
// fabric (nil = none) know.
func (s *Scenario) links(pool *Pool, f *Fabric) plan.Links {
	l := plan.Links{NICs: s.nics(pool, f), NICGBs: s.nicGbps(pool, f) / bitsPerByte}
	gpu, err := s.catalog.Lookup(pool.GPU)
	if pool.GPU == "" || err != nil {
		return l
	}
	if gpu.PCIeGen != nil {
		l.PCIeGBs = pcieGBs(int(gpu.PCIeGen.Value))
	}
	if gpu.Link.Kind == "" || gpu.Link.GBs == nil {
		return l
	}
	l.Kind, l.GBs = gpu.Link.Kind, gpu.Link.GBs.Value
	if gpu.Link.PeerGBs != nil {
		l.PeerGBs = gpu.Link.PeerGBs.Value
	}
	l.Domain = min(linkDomainMax(gpu.Link), pool.GPUsPerNode)
	if nodes := s.nvlinkNodes(pool, f); nodes > 1 {
		l.Domain = nodes * pool.GPUsPerNode
	}
	if gpu.Family == familyVolta && l.Kind == plan.LinkNVLink && pool.GPUsPerNode <= meshGPUs {
		l.Mesh = plan.MeshDGX1
	}
	return l
}

// linkDomainMax is how many GPUs of one server the link joins at most: on boards with switches, more than on others.
func linkDomainMax(l catalog.Link) int {
	most := l.Domain()
	if l.Kind == catalog.NVLink && l.DomainGPUs != nil {
		for _, a := range l.DomainGPUs.Alternatives {
			most = max(most, int(a.Value))
		}
	}
	return most
}

// Servers of up to eight V100 join them without a switch; those of sixteen (DGX-2) have NVSwitches.
const (
	familyVolta = "volta"
	meshGPUs    = 8
)

// server returns the catalogue's type of a pool's nodes: the one the pool names, else that of its instance type.
func (s *Scenario) server(pool *Pool) (catalog.Node, bool) {
	gpu, err := s.catalog.Lookup(pool.GPU)
	if err != nil {
		return catalog.Node{}, false
	}
	for _, n := range s.catalog.Nodes {
		named := pool.Node != "" && n.Key == pool.Node
		rented := pool.Node == "" && n.InstanceType != "" && n.InstanceType == pool.InstanceType
		if (named || rented) && n.GPU == gpu.Key {
			return n, true
		}
	}
	return catalog.Node{}, false
}

// nics returns the NICs of one of a pool's nodes; one for each GPU when nobody says.
func (s *Scenario) nics(pool *Pool, f *Fabric) int {
	if f != nil && f.NICs != nil {
		return *f.NICs
	}
	if n, ok := s.server(pool); ok && n.NICs != nil {
		return int(n.NICs.Value)
	}
	return pool.GPUsPerNode
}

// nicGbps returns the rate of one NIC, 0 when nobody says.
func (s *Scenario) nicGbps(pool *Pool, f *Fabric) float64 {
	if f != nil && f.NICGbps != nil {
		return *f.NICGbps
	}
	if n, ok := s.server(pool); ok && n.NICGbps != nil {
		return n.NICGbps.Value
	}
	if net, ok := s.network(f); ok && net.LinkGbps != nil {
		return net.LinkGbps.Value
	}
	return 0
}

// network returns the catalogue's entry of a fabric's network: the one the scenario names, else that of the node type
// of the first pool on it.
func (s *Scenario) network(f *Fabric) (catalog.Fabric, bool) {
	if f == nil {
		return catalog.Fabric{}, false
	}
	name := f.Network
	for i := range s.Cluster.Pools {
		if pool := &s.Cluster.Pools[i]; name == "" && s.Cluster.Topology.of(s, pool) == f {
			n, _ := s.server(pool)
			name = n.Fabric
		}
	}
	net, err := s.catalog.LookupFabric(name)
	return net, name != "" && err == nil
}

// nvlinkNodes returns how many nodes of a pool share one NVLink domain, 1 = each has its own.
func (s *Scenario) nvlinkNodes(pool *Pool, f *Fabric) int {
	if f == nil || pool.GPUsPerNode == 0 {
		return 1
	}
	if f.NVLinkDomainNodes != nil {
		return *f.NVLinkDomainNodes
	}
	if n, ok := s.server(pool); ok && n.Domain > n.GPUs {
		return n.Domain / n.GPUs
	}
	gpu, err := s.catalog.Lookup(pool.GPU)
	if err == nil && gpu.Link.Domain() > serverGPUsMax {
		return max(gpu.Link.Domain()/pool.GPUsPerNode, 1)
	}
	if f.Preset == presetNVL72 {
		return rackNodes
	}
	return 1
}
