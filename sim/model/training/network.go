package training

import (
	"orrery/sim/plan"
	"orrery/sim/topology"
)

// Network is the layers of a cluster's topology as the model sees them. It remembers the best placements it was asked
// for; it is not for concurrent use.
type Network struct {
	graph  *topology.Graph
	empty  Placement // layers, uplinks and storage, no nodes
	ideals map[idealKey]Step
}

type idealKey struct {
	t   *plan.Training
	gpu *plan.Accelerator
	n   int
}

// NewNetwork reads a topology. storage may be nil.
func NewNetwork(g *topology.Graph, storage *plan.Storage) *Network {
	n := &Network{graph: g, ideals: map[idealKey]Step{}}
	n.empty.Storage = storage
	links, domains := g.Links(), g.Domains()
	n.empty.Uplinks = make([]float64, len(domains))
	for l, layer := range g.Layers() {
		n.empty.Layers = append(n.empty.Layers, Layer{Name: layer.Name, ScaleUp: layer.Kind == plan.LayerNVLink,
			Node: l == g.NodeLayer()})
	}
	for i := range domains {
		d := &domains[i]
		layer := &n.empty.Layers[d.Layer]
		layer.GPUs = max(layer.GPUs, d.GPUs)
		layer.HopMicros = max(layer.HopMicros, 2*float64(d.HopNs)/1e3) // a switch on the way up and one down
		if d.Up >= 0 {
			n.empty.Uplinks[i] = links[d.Up].GBs
			layer.UplinkGBs = max(layer.UplinkGBs, links[d.Up].GBs)
		}
	}
	return n
}

// Node is node i of the plan with GPUs of a job, ready for a placement.
func (n *Network) Node(i int, gpu *plan.Accelerator, gpus []int) Node {
	node := Node{ID: i, GPU: gpu, GPUs: gpus, Domains: make([]int, len(n.empty.Layers))}
	for l := range node.Domains {
		node.Domains[l] = n.graph.Domain(i, l)
	}
	return node
}

// Estimate is the package's Estimate for nodes of the network, in the order of the pods. Domains in the result are the
// graph's. The same *plan.Training stands for the same job.
func (n *Network) Estimate(t *plan.Training, nodes []Node) Result {
	p := n.empty
	p.Nodes = nodes
	return estimate(t, p, func(job *plan.Training, ranks int, gpu *plan.Accelerator) Step {
		if job != t { // what is left of one
			s, _ := step(job, ideal(ranks, gpu, n.empty), gpu, fitted)
			return s
		}
		key := idealKey{t, gpu, ranks}
		s, ok := n.ideals[key]
		if !ok {
			s, _ = step(t, ideal(ranks, gpu, n.empty), gpu, fitted)
			n.ideals[key] = s
		}
		return s
	})
}
