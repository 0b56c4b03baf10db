package account

import (
	"fmt"

	"orrery/sim/journal"
	"orrery/sim/result"
)

// places collects where nodes stand. It is told once, before the nodes.
type places struct {
	layers []result.TopologyLayer
	index  []map[string]int // by layer: domain → index
	pools  []result.TopologyPool
}

// pool takes how the nodes of a pool are joined, where that is told.
func (x *places) pool(b journal.Pool) {
	if b.NICs > 0 || b.Link != "" {
		x.pools = append(x.pools, result.TopologyPool{Name: b.Pool, NICs: b.NICs, NICGBs: perSecondGB(b.NICMB),
			Link: b.Link, LinkGBs: perSecondGB(b.LinkMB)})
	}
}

func perSecondGB(mb int64) float64 { return float64(mb) / 1000 }

func (x *places) layer(b journal.Layer) error {
	for _, l := range x.layers {
		if l.Name == b.Layer {
			return fmt.Errorf("a second layer %q", b.Layer)
		}
	}
	x.layers = append(x.layers, result.TopologyLayer{Name: b.Layer, Kind: b.LayerKind, Labels: b.Labels})
	x.index = append(x.index, map[string]int{})
	return nil
}

func (x *places) domain(b journal.Domain) error {
	for i := range x.layers {
		l := &x.layers[i]
		if l.Name != b.Layer {
			continue
		}
		if _, twice := x.index[i][b.Domain]; twice {
			return fmt.Errorf("a second domain %q of layer %q", b.Domain, b.Layer)
		}
		x.index[i][b.Domain] = len(l.Domains)
		l.Domains = append(l.Domains, result.TopologyDomain{Name: b.Domain, Places: b.Places, Rails: b.Rails,
			UplinkGBs: perSecondGB(b.Uplink), Oversubscription: float64(b.Oversubscription) / 1000})
		return nil
	}
	return fmt.Errorf("domain %q of the unknown layer %q", b.Domain, b.Layer)
}

// node adds a new node to its domains.
func (x *places) node(b journal.Node) {
	within := ""
	for i, name := range b.Domains {
		if i >= len(x.layers) || name == "" {
			continue
		}
		l := &x.layers[i]
		l.Nodes++
		l.GPUs += int64(b.GPUs)
		if at, ok := x.index[i][name]; ok {
			d := &l.Domains[at]
			d.Nodes++
			d.GPUs += int64(b.GPUs)
			d.Within = within
			within = name
		}
	}
}

// nodeKind is the kind of the layer whose domains are the nodes themselves.
const nodeKind = "node"

// kind returns the kind of a layer, "" when it was not described.
func (x *places) kind(layer string) string {
	for _, l := range x.layers {
		if l.Name == layer {
			return l.Kind
		}
	}
	return ""
}

// result returns what is known, nil when nothing is.
func (x *places) result() *result.Topology {
	if len(x.layers) == 0 {
		return nil
	}
	return &result.Topology{Layers: x.layers, Pools: x.pools}
}
