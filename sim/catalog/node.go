package catalog

import (
	"slices"
	"strings"
)

// Node is a type of server or cloud instance. Figures that are not known are nil; Missing says why.
type Node struct {
	Key     string // lower-case name, unique among node types
	Aliases []string
	GPU     string // key of its GPUs
	GPUs    int    // GPUs that its operating system sees
	Note    string
	Missing map[string]string // name of the YAML field → reason

	CPUs      *Figure // processors: vCPUs of a cloud instance, physical cores of a server
	MemoryMiB *Figure // memory of the CPUs
	NICs      *Figure // network ports for traffic between GPUs; storage and management ports are not counted
	NICGbps   *Figure // rate of one of them in one direction, 1e9 bits per second
	MaxWatts  *Figure // of the whole node, GPUs included

	// DomainGPUs is given where the scale-up link joins more GPUs than the node has, as in a rack of GB200. See Domain.
	DomainGPUs *Figure
	// Domain is how many GPUs the scale-up link joins: DomainGPUs, or as many of the node's GPUs as their link can.
	Domain int

	Arch         string // value of the label kubernetes.io/arch: amd64, or arm64 with Grace CPUs
	Fabric       string // key of the fabric that its NICs are ports of; empty when not said
	InstanceType string // value of the label node.kubernetes.io/instance-type
	Provider     string // aws, azure, gcp; empty for a server one buys
}

// Figures lists the figures of the node type that are known, in a fixed order.
func (n Node) Figures() []Named {
	var l figureList
	l.add("cpus", n.CPUs)
	l.add("memoryMiB", n.MemoryMiB)
	l.add("nics", n.NICs)
	l.add("nicGbps", n.NICGbps)
	l.add("maxWatts", n.MaxWatts)
	l.add("domainGPUs", n.DomainGPUs)
	return l
}

// Kinds of fabric.
const (
	InfiniBand = "infiniband"
	RoCE       = "roce"
	EFA        = "efa"           // Elastic Fabric Adapter of AWS
	GPUDirect  = "gpudirect-tcp" // TCPX and TCPXO of Google Cloud
)

// Fabric is a network between nodes. Figures that are not known are nil; Missing says why.
type Fabric struct {
	Key     string // lower-case name, unique among fabrics
	Aliases []string
	Kind    string
	Note    string
	Missing map[string]string

	LinkGbps     *Figure // rate of one port in one direction, 1e9 bits per second
	SwitchPorts  *Figure // ports of one switch at that rate
	SwitchMicros *Figure // time through one switch, microseconds
	NICMicros    *Figure // from memory to memory of two nodes without the switches, one way, microseconds
	NodeGBs      *Figure // what a node sends in one direction through all its ports, 1e9 bytes per second, where fixed
}

// Figures lists the figures of the fabric that are known, in a fixed order.
func (f Fabric) Figures() []Named {
	var l figureList
	l.add("linkGbps", f.LinkGbps)
	l.add("switchPorts", f.SwitchPorts)
	l.add("switchMicros", f.SwitchMicros)
	l.add("nicMicros", f.NICMicros)
	l.add("nodeGBs", f.NodeGBs)
	return l
}

// Topology is a reference network: how a vendor or an operator joins nodes.
type Topology struct {
	Key     string // lower-case name, unique among topologies
	Aliases []string
	Fabric  string  // key
	Node    string  // key of the node type; empty when not said
	Rails   *Figure // leaf switches of a unit, each joined to the same NIC of all its nodes; nil without rails
	Layers  []Layer // coarse to fine
	Note    string
}

// Layer is one level of a reference network.
type Layer struct {
	Name string
	GPUs *Figure // in one domain of the layer
	// Oversubscription is the bandwidth of all ports below one domain ÷ that of its uplinks: 1 without any, 7 at 1:7.
	// Nil when not said.
	Oversubscription *Figure
}

// Figures lists the figures of the topology that are known, in a fixed order.
func (t Topology) Figures() []Named {
	var l figureList
	l.add("rails", t.Rails)
	for _, layer := range t.Layers {
		l.add(layer.Name+".gpus", layer.GPUs)
		l.add(layer.Name+".oversubscription", layer.Oversubscription)
	}
	return l
}

// LookupNode returns the node type with the given key, alias or cloud's name of the instance type; upper and lower case
// are the same. The error suggests names.
func (c *Catalog) LookupNode(name string) (Node, error) {
	if _, named := c.nodes[strings.ToLower(name)]; !named {
		// As the cloud writes it: p5.48xlarge. Of several node types of one the last counts, which a user gave.
		for _, n := range slices.Backward(c.Nodes) {
			if n.InstanceType != "" && strings.EqualFold(n.InstanceType, name) {
				return n, nil
			}
		}
	}
	return lookup(c.nodes, c.Nodes, name, "node type",
		func(n Node) []string { return slices.Concat(n.Aliases, []string{n.Key}) })
}

// LookupFabric returns the fabric with the given key or alias; upper and lower case are the same. The error suggests
// names.
func (c *Catalog) LookupFabric(name string) (Fabric, error) {
	return lookup(c.fabrics, c.Fabrics, name, "fabric",
		func(f Fabric) []string { return slices.Concat(f.Aliases, []string{f.Key}) })
}

// LookupTopology returns the reference network with the given key or alias; upper and lower case are the same. The
// error suggests names.
func (c *Catalog) LookupTopology(name string) (Topology, error) {
	return lookup(c.topologies, c.Topologies, name, "topology",
		func(t Topology) []string { return slices.Concat(t.Aliases, []string{t.Key}) })
}
