package sim

import (
	"maps"
	"math"

	"orrery/sim/journal"
	"orrery/sim/plan"
)

// nodeLabels returns the labels of a node: its pool's, and over them its own.
func nodeLabels(pool plan.Pool, n plan.Node) map[string]string {
	if len(n.Labels) == 0 {
		return pool.Labels
	}
	out := maps.Clone(pool.Labels)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, n.Labels)
	return out
}

// poolRecord announces a pool, with its links when the plan says where nodes stand.
func poolRecord(p *plan.Plan, pool *plan.Pool) journal.Pool {
	r := journal.Pool{Pool: pool.Name, GPUModel: pool.GPUModel, GPUsPerNode: pool.GPUsPerNode,
		SlotsPerGPU: max(pool.SlotsPerGPU, 1), CPUMilli: pool.CPUMilli, MemoryMiB: pool.MemoryMiB,
		ResourceName: pool.Resource}
	if pool.MaxPods != journal.MaxPods {
		r.MaxPods = pool.MaxPods
	}
	if l := pool.Links; p.Topology != nil {
		r.NICs, r.NICMB, r.Link, r.LinkMB = l.NICs, perSecondMB(l.NICGBs), l.Kind, perSecondMB(l.GBs)
	}
	return r
}

// perSecondMB turns GB/s into the whole MB/s of the journal.
func perSecondMB(gbs float64) int64 { return int64(math.Round(gbs * 1000)) }

// announceTopology tells the journal where nodes stand, when the plan says so.
func (c *cluster) announceTopology() {
	t := c.plan.Topology
	if t == nil {
		return
	}
	var names journal.Topology
	for _, l := range t.Layers {
		names.Layers = append(names.Layers, l.Name)
	}
	c.record(names)
	for _, l := range t.Layers {
		c.record(journal.Layer{Layer: l.Name, LayerKind: l.Kind, Labels: l.Labels})
	}
	for _, d := range t.Domains {
		c.record(journal.Domain{Layer: t.Layers[d.Layer].Name, Domain: d.Name, Places: d.Places, Rails: d.Rails,
			Uplink: perSecondMB(d.UplinkGBs), Oversubscription: int64(math.Round(d.Oversubscription * 1000))})
	}
}
