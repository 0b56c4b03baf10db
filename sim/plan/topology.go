package plan

// Topology says where nodes stand to each other: domains within domains, from regions down to single nodes, and how
// wide the way out of each domain is.
//
// The domains of one layer have nodes of their own, and every domain lies within one domain of each coarser layer that
// its nodes have. Nodes say their domains themselves, see Node.Domains.
type Topology struct {
	// Layers, coarse to fine. The last has kind LayerNode: every node is a domain of its own there.
	Layers []Layer
	// Domains of all layers but the last, by layer and then by first node. Each has at least one node.
	Domains []Domain
}

// Kinds of layers, coarse to fine.
const (
	LayerRegion = "region"
	LayerZone   = "zone"
	LayerCore   = "core"   // a data centre or pod: what hangs below one group of core switches
	LayerSpine  = "spine"  // a block: what hangs below one group of spine switches
	LayerLeaf   = "leaf"   // what hangs below one leaf switch, or below the rail leaves of one scalable unit
	LayerNVLink = "nvlink" // nodes whose GPUs share one scale-up domain, such as the trays of an NVL72 rack
	LayerNode   = "node"
)

// LayerKinds lists the kinds of layers, coarse to fine. A topology has at most one layer of each, in this order.
func LayerKinds() []string {
	return []string{LayerRegion, LayerZone, LayerCore, LayerSpine, LayerLeaf, LayerNVLink, LayerNode}
}

// Layer is a layer of a topology.
type Layer struct {
	Name string // as the scenario calls it; unique, the kind unless it says otherwise
	Kind string // LayerRegion … LayerNode
	// Labels are the keys of the node labels that carry the layer's domains; empty when none does.
	Labels []string
}

// Domain is one domain of a layer that holds more than single nodes.
type Domain struct {
	Layer int    // index into Topology.Layers
	Name  string // unique in the layer
	// Places is how many nodes the domain was built for; at least as many as it has.
	Places int
	// UplinkGBs is the bandwidth from the domain to what lies above it in one direction, GB/s (10⁹ bytes per second), of
	// all its uplinks together. Scale-up domains (LayerNVLink) have none, 0: what leaves them goes through the nodes'
	// NICs. 0 elsewhere means without limit.
	UplinkGBs float64
	// Oversubscription is what the domain's own members can send up together, divided by UplinkGBs; 0 without a limit.
	Oversubscription float64
	// Rails is the number of leaves side by side that make the domain, one for each NIC of a node; 1 = one network.
	// Every rail has an equal part of UplinkGBs.
	Rails int
	// HopNs is how long a switch of the domain takes to pass a message on, in nanoseconds.
	HopNs int64
}

// Kinds of links between GPUs, as the catalogue names them. "" is none but PCIe.
const (
	LinkNVLink   = "nvlink"
	LinkBridge   = "nvlink-bridge" // bridges over two or four neighbouring cards
	LinkXGMI     = "xgmi"
	LinkEthernet = "ethernet" // Gaudi's own ports
)

// MeshDGX1 is the hybrid cube mesh of eight V100 in a DGX-1: no switch, and one or two NVLinks between some pairs only.
const MeshDGX1 = "dgx-1"

// Links is how the GPUs of a node reach each other and the network. Bandwidths are GB/s (10⁹ bytes per second) in one
// direction; 0 = not known.
type Links struct {
	Kind string // LinkNVLink …; "" = none but PCIe
	// GBs is what one GPU can send over links of this kind to all its peers together.
	GBs float64
	// PeerGBs is what it can send to any one peer where every pair has wires of its own (xGMI, Gaudi); 0 = a switch: GBs
	// to any peer.
	PeerGBs float64
	// Mesh names wiring in which not all pairs are equal: MeshDGX1; "" = all are.
	Mesh string
	// Domain is the number of GPUs the links tie together: 2 for a bridge over a pair, 8 for an HGX board, 72 for an NVL72
	// rack. More than a node's GPUs = the links reach other nodes.
	Domain int
	// PCIeGBs is what one GPU can send over PCIe.
	PCIeGBs float64
	// NICs of a node for traffic between GPUs, and what each can send.
	NICs   int
	NICGBs float64
}
