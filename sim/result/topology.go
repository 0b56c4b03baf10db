package result

// Topology is where nodes stand to each other, and how wide the ways between them are. Bandwidths are GB/s (10⁹ bytes
// per second) in one direction.
type Topology struct {
	Layers []TopologyLayer // coarse to fine; the last is the nodes themselves
	Pools  []TopologyPool  // whose nodes have NICs or links between GPUs
}

// TopologyLayer is one layer of it.
type TopologyLayer struct {
	Name    string
	Kind    string           // region, zone, core, spine, leaf, nvlink or node
	Labels  []string         // keys of the node labels that carry its domains
	Domains []TopologyDomain // by first node; none in the layer of nodes
	Nodes   int              // that are in a domain of the layer
	GPUs    int64            // of these nodes
}

// TopologyDomain is one domain of a layer.
type TopologyDomain struct {
	Name   string
	Within string // name of the domain it lies in, of the nearest coarser layer that has one; "" = none
	Places int    // nodes it was built for
	Nodes  int    // nodes it has
	GPUs   int64  // of these nodes
	// UplinkGBs is the bandwidth of all its uplinks; 0 = without limit, and in a layer of kind nvlink always: what leaves
	// such a domain goes through the nodes' NICs.
	UplinkGBs float64
	// Oversubscription is what its members can send up together ÷ UplinkGBs; 0 without a limit.
	Oversubscription float64
	Rails            int // equal parts of it, one for each NIC of a node
}

// TopologyPool is how the nodes of a pool are joined.
type TopologyPool struct {
	Name    string
	NICs    int     // of a node, for traffic between GPUs
	NICGBs  float64 // of one of them; 0 = not known
	Link    string  // kind of link between the GPUs of a node; "" = PCIe
	LinkGBs float64 // what one GPU can send over it to all its peers together
}
