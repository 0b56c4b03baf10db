package reportstest

import (
	"fmt"
	"math/rand/v2"

	"orrery/sim/result"
)

// topology is where the nodes of the layers stand, with hostile names.
func topology(d *result.Data, perNode int) {
	t := &result.Topology{Pools: []result.TopologyPool{{Name: d.Pools[0].Name, NICs: perNode, NICGBs: 50, Link: "nvlink",
		LinkGBs: 450}}}
	within := ""
	for i, l := range d.Layers {
		layer := result.TopologyLayer{Name: l.Name, Kind: l.Name, Labels: []string{"fabric.example/<" + l.Name + ">"}}
		for _, o := range l.Domains {
			x := result.TopologyDomain{Name: o.Name, Within: within, Places: o.Nodes, Nodes: o.Nodes, GPUs: o.GPUs, Rails: 1,
				Oversubscription: 1, UplinkGBs: float64(o.GPUs) * 50}
			if i == 0 {
				x.Oversubscription, x.UplinkGBs = 4, x.UplinkGBs/4
			}
			layer.Nodes, layer.GPUs = layer.Nodes+o.Nodes, layer.GPUs+o.GPUs
			layer.Domains = append(layer.Domains, x)
		}
		within = l.Domains[0].Name
		t.Layers = append(t.Layers, layer)
	}
	t.Layers = append(t.Layers, result.TopologyLayer{Name: "node", Kind: "node", Nodes: len(d.Nodes)})
	d.Topology = t
}

// randomTopology draws a topology of any figures.
func randomTopology(d *result.Data, r *rand.Rand) {
	t := &result.Topology{}
	for l := range r.IntN(4) {
		layer := result.TopologyLayer{Name: fmt.Sprint("layer", l), Nodes: r.IntN(3), GPUs: int64(r.IntN(9))}
		for i := range r.IntN(4) {
			layer.Domains = append(layer.Domains, result.TopologyDomain{Name: fmt.Sprint("d", i), Places: r.IntN(3),
				Nodes: r.IntN(3), GPUs: int64(r.IntN(3)), UplinkGBs: amount(r), Oversubscription: amount(r)})
		}
		t.Layers = append(t.Layers, layer)
	}
	for i := range r.IntN(3) {
		t.Pools = append(t.Pools, result.TopologyPool{Name: fmt.Sprint("p", i), NICs: r.IntN(9), NICGBs: amount(r)})
	}
	d.Topology = t
}
