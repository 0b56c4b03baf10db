package scenarios

import (
	"cmp"

	"orrery/sim/plan"
)

// Topology is where nodes stand to each other: in which NVLink domain, below which leaf, spine and core, in which zone,
// and how wide the way from one to the other is. Zones and regions come from the pools.
type Topology struct {
	// Whose node labels say where a node stands; several at once are fine (see "Topology" above for the keys). Zone and
	// region are always labelled as Kubernetes does.
	Labels []string `yaml:"labels" enum:"kubernetes|topograph|topograph-legacy|nvidia|gke|aws|oci"`
	// Label keys of your own: layer → key, e.g. leaf: example.com/switch.
	CustomLabels map[string]string `yaml:"customLabels"`
	// The networks. Nodes of two fabrics meet in the zone, or where the zones meet.
	Fabrics []Fabric `yaml:"fabrics" required:"true"`
	// The way out of a zone; without it zones are joined without limit.
	Zone *Uplink `yaml:"zone,omitempty"`
	// The way out of a region; without it regions are joined without limit.
	Region *Uplink `yaml:"region,omitempty"`
}

// SetDefaults labels nodes as Kubernetes, topograph and NVIDIA's GPU feature discovery do.
func (t *Topology) SetDefaults() {
	t.Labels = []string{labelsKubernetes, labelsTopograph, labelsNVIDIA}
}

// Fabric is one network for the traffic between GPUs: a preset, a preset with layers changed, or layers of your own.
// Nodes fill its domains in the order of the pools.
type Fabric struct {
	// Beginning of its domains' names; needed when there are several fabrics.
	Name string `yaml:"name"`
	// Pools whose nodes are on it. Empty: every pool with GPUs that no other fabric names.
	Pools []string `yaml:"pools"`
	// Shape to start from (see "Topology" above). Empty: layers or domains say all.
	Preset string `yaml:"preset" enum:"|rail-optimized|fat-tree|nvl72|roce-3-tier"`
	// Key of the network in the catalogue, e.g. infiniband-ndr. It gives nicGbps and the time through a switch where they
	// are not said.
	Network string `yaml:"network"`
	// NICs of one node for traffic between GPUs. Default: the node type's, else one for each GPU.
	NICs *int `yaml:"nics,omitempty" min:"1" max:"64"`
	// Rate of one NIC in one direction, 10⁹ bits per second. Default: the node type's, else the network's.
	NICGbps *float64 `yaml:"nicGbps,omitempty" min:"0.1" max:"100000"`
	// Nodes whose GPUs share one NVLink domain, e.g. 18 in an NVL72 rack of trays with 4 GPUs. Default: what the
	// catalogue says of the node type or GPU; 1 for ordinary servers.
	NVLinkDomainNodes *int `yaml:"nvlinkDomainNodes,omitempty" min:"1" max:"10000"`
	// Layers of switches, coarse to fine. With a preset they change its layers of the same kind, field by field.
	Layers []FabricLayer `yaml:"layers"`
	// Domains by name and with their nodes, for a network that exists. Without them nodes fill domains in order.
	Domains []FabricDomain `yaml:"domains"`
}

// FabricLayer is a layer of switches.
type FabricLayer struct {
	// What the layer is: core (a data centre or pod), spine (a block) or leaf (a leaf switch; with rails, the rail leaves
	// of a scalable unit together).
	Kind string `yaml:"kind" required:"true" enum:"core|spine|leaf"`
	// What you call it. Default: its kind.
	Name string `yaml:"name"`
	// Nodes below one domain, a multiple of that of the next finer layer. 0: all nodes of the zone that are on the fabric.
	Nodes *int `yaml:"nodes,omitempty" min:"0" max:"200000"`
	// What a domain's members can send up together ÷ what its own uplinks carry: 1 = full bisection. Default: 1, and
	// without limit for a layer with nodes: 0.
	Oversubscription *float64 `yaml:"oversubscription,omitempty" min:"0.001" max:"1000"`
	// Bandwidth of all uplinks of one domain in one direction, 10⁹ bytes per second, in place of oversubscription.
	UplinkGBs *float64 `yaml:"uplinkGBs,omitempty" min:"0.001" max:"100000000"`
	// Leaves side by side, NIC r of every node on leaf r. 0: as many as a node has NICs, the default of the presets
	// rail-optimized and nvl72 for leaves. Else the default is 1.
	Rails *int `yaml:"rails,omitempty" min:"0" max:"64"`
	// Time through one switch, microseconds. Default: the network's.
	HopMicros *float64 `yaml:"hopMicros,omitempty" min:"0" max:"1000000"`
}

// FabricDomain is one domain of a layer.
type FabricDomain struct {
	// Kind of its layer; nvlink for nodes that share one NVLink domain.
	Layer string `yaml:"layer" required:"true" enum:"core|spine|leaf|nvlink"`
	// Its name, unique in the layer; it becomes the value of the node label.
	Name string `yaml:"name" required:"true" min:"1"`
	// Nodes in it, by name; node[01-32] stands for node01 … node32.
	Nodes []string `yaml:"nodes"`
	// Domains in it, of any finer layer.
	Domains []string `yaml:"domains"`
	// Bandwidth of all its uplinks in one direction, 10⁹ bytes per second, in place of the layer's.
	UplinkGBs *float64 `yaml:"uplinkGBs,omitempty" min:"0.001" max:"100000000"`
}

// Uplink is the way out of a zone or region; exactly one of the first two.
type Uplink struct {
	// Bandwidth in one direction, 10⁹ bytes per second.
	UplinkGBs *float64 `yaml:"uplinkGBs,omitempty" min:"0.001" max:"100000000"`
	// What its members can send up together ÷ what the uplink carries.
	Oversubscription *float64 `yaml:"oversubscription,omitempty" min:"0.001" max:"1000000"`
	// Time a message takes through it, microseconds.
	HopMicros float64 `yaml:"hopMicros" min:"0" max:"10000000"`
}

// Place is where a pool's nodes stand in their fabric.
type Place struct {
	// The pool's first node begins a new domain of this layer. node: it comes right behind the pool before.
	Begin string `yaml:"begin" enum:"core|spine|leaf|node"`
	// Places left empty before the first node.
	Skip int `yaml:"skip" min:"0" max:"200000"`
}

// SetDefaults begins a new leaf.
func (p *Place) SetDefaults() { p.Begin = plan.LayerLeaf }

// Presets of fabrics.
const (
	presetRail    = "rail-optimized"
	presetFatTree = "fat-tree"
	presetNVL72   = "nvl72"
	presetRoCE    = "roce-3-tier"
)

// Sizes of presets.
const (
	// railUnitNodes is a scalable unit of an H100 SuperPOD: 32 nodes of 8 GPUs below 8 rail leaves, each with 32 ports
	// down and 32 up (NVIDIA DGX SuperPOD reference architecture, as Stas Bekman, Machine Learning Engineering, has it).
	railUnitNodes = 32
	// railPodNodes is four units, the most that two tiers of 64-port switches join; beyond it a core comes on top. The
	// reference architecture stops at 127 nodes, one place taken by the subnet manager. From memory, medium confidence.
	railPodNodes = 4 * railUnitNodes
	// rackNodes is the trays of an NVL72 rack (ai-dynamo/aiconfigurator, commit 095f58a: 18 trays of 4 GPUs), and
	// rackUnitNodes a scalable unit of eight such racks, 576 GPUs (two independent public models, medium confidence).
	rackNodes     = 18
	rackUnitNodes = 8 * rackNodes
	// Meta's RoCE cluster of 24,576 H100 (The Llama 3 Herd of Models, arXiv 2407.21783, from memory): racks of two nodes,
	// pods of 3,072 GPUs with full bisection, and a seventh of it between pods.
	roceRackNodes        = 2
	rocePodNodes         = 3072 / 8
	roceOversubscription = 7
	// switchPorts is the radix of a fat tree's switches where the catalogue's network has none: that of NVIDIA Quantum-2.
	switchPorts = 64
)

// presetLayers returns the layers of a preset, coarse to fine, for nodes with so many NICs and switches with so many
// ports.
func presetLayers(preset string, nics, ports int) []FabricLayer {
	layer := func(kind string, nodes int, over float64, rails int) FabricLayer {
		l := FabricLayer{Kind: kind, Nodes: &nodes, Rails: &rails}
		if nodes > 0 {
			l.Oversubscription = &over
		}
		return l
	}
	switch preset {
	case presetRail:
		return []FabricLayer{layer(plan.LayerCore, 0, 0, 1), layer(plan.LayerSpine, railPodNodes, 1, 1),
			layer(plan.LayerLeaf, railUnitNodes, 1, 0)}
	case presetFatTree:
		// k-ary fat tree (Al-Fares, Loukissas, Vahdat, SIGCOMM 2008): half of a switch's ports go down, and a pod has half
		// as many leaves as a switch has ports.
		leaf := max(ports/2/nics, 1)
		return []FabricLayer{layer(plan.LayerCore, 0, 0, 1), layer(plan.LayerSpine, leaf*(ports/2), 1, 1),
			layer(plan.LayerLeaf, leaf, 1, 1)}
	case presetNVL72:
		return []FabricLayer{layer(plan.LayerSpine, 0, 0, 1), layer(plan.LayerLeaf, rackUnitNodes, 1, 0)}
	case presetRoCE:
		return []FabricLayer{layer(plan.LayerCore, 0, 0, 1), layer(plan.LayerSpine, rocePodNodes, roceOversubscription, 1),
			layer(plan.LayerLeaf, roceRackNodes, 1, 1)}
	}
	return nil
}

// merge lays the scenario's own layers over a preset's.
func merge(preset, own []FabricLayer) []FabricLayer {
	byKind := map[string]FabricLayer{}
	for _, l := range preset {
		byKind[l.Kind] = l
	}
	for _, l := range own {
		p, ok := byKind[l.Kind]
		if !ok {
			byKind[l.Kind] = l
			continue
		}
		p.Name = cmp.Or(l.Name, p.Name)
		p.Nodes, p.Rails = cmp.Or(l.Nodes, p.Nodes), cmp.Or(l.Rails, p.Rails)
		p.HopMicros = cmp.Or(l.HopMicros, p.HopMicros)
		if l.Oversubscription != nil || l.UplinkGBs != nil {
			p.Oversubscription, p.UplinkGBs = l.Oversubscription, l.UplinkGBs
		}
		byKind[l.Kind] = p
	}
	var out []FabricLayer
	for _, kind := range switchLayers() {
		if l, ok := byKind[kind]; ok {
			out = append(out, l)
		}
	}
	return out
}

// switchLayers lists the layers that are made of switches, coarse to fine.
func switchLayers() []string { return []string{plan.LayerCore, plan.LayerSpine, plan.LayerLeaf} }
