package sim

import (
	"fmt"
	"maps"
	"slices"

	"orrery/sim/journal"
	model "orrery/sim/model/serving"
	"orrery/sim/plan"
	"orrery/sim/units"
	"orrery/sim/workload"
)

// poolOfNode returns the pool of a node that the fleet knows.
func (c *cluster) poolOfNode(name string) *plan.Pool {
	n, ok := c.fleet.Node(name)
	if !ok {
		return nil
	}
	for i := range c.plan.Pools {
		if c.plan.Pools[i].Name == n.Pool {
			return &c.plan.Pools[i]
		}
	}
	return nil
}

// replicaSpec is what the model needs of a replica: the devices that its pods got, and how many nodes they are on. The
// slowest device counts, since the others wait for it.
func (c *cluster) replicaSpec(r *replica) (spec model.Spec, err error) {
	s, g := c.service(r), c.group(r)
	spec = model.Spec{Engine: s.Engine, Role: g.Role, Tensor: g.Tensor, Pipeline: g.Pipeline, Expert: g.Expert,
		Seed: uint64(c.streams.Int63("serving/" + r.name))}
	nodes, devices := map[string]bool{}, 0
	for _, key := range slices.Sorted(maps.Keys(r.pods)) {
		node, slots, ok := c.fleet.Holding(key)
		if !ok {
			continue // no devices: a model on CPUs
		}
		nodes[node] = true
		devices += len(slots)
		pool := c.poolOfNode(node)
		if pool == nil || pool.Accelerator == nil {
			return spec, fmt.Errorf("nothing is known of how fast the GPUs of node %s are", node)
		}
		for _, slot := range slots {
			if d := deviceOf(pool, slot); spec.Device.GPU == "" || d.MemoryGBs < spec.Device.MemoryGBs {
				spec.Device = d
			}
		}
	}
	if need := g.Tensor * g.Pipeline; devices < need && s.Engine.Preset != plan.EngineBatch {
		return spec, fmt.Errorf("its pods have %d GPUs, and tensor %d × pipeline %d need %d", devices, g.Tensor, g.Pipeline,
			need)
	}
	spec.Nodes = max(len(nodes), 1)
	return spec, nil
}

// deviceOf is the device that a slot is: a whole GPU, a MIG instance, or a share of the memory of one whose time is
// shared.
func deviceOf(pool *plan.Pool, slot journal.Slot) plan.Accelerator {
	d := *pool.Accelerator
	if slot.Profile != "" {
		if slice, err := model.Slice(d, slot.Profile); err == nil { // the pool's layout has been checked
			d = slice
		}
		return d
	}
	if slot.Share < units.GPU {
		// Neighbours keep their models in the same memory; what they leave of the time, physics says.
		d.MemoryMiB *= float64(slot.Share) / float64(units.GPU)
	}
	return d
}

// scaleUpDomain names the domain of fast links that a replica's GPUs are in: the topology's, or else the node. "" when
// they are in several.
func (c *cluster) scaleUpDomain(r *replica) string {
	domain := ""
	for _, key := range slices.Sorted(maps.Keys(r.pods)) {
		node, _, ok := c.fleet.Holding(key)
		if !ok {
			continue
		}
		at := "node " + node
		if n := c.nvlinkDomain(node); n != "" {
			at = "nvlink " + n
		}
		if domain != "" && at != domain {
			return ""
		}
		domain = at
	}
	return domain
}

// nvlinkDomain is the topology's NVLink domain of a node that the plan has; "" = none.
func (c *cluster) nvlinkDomain(node string) string {
	if c.plan.Topology == nil || c.pace == nil {
		return ""
	}
	id, known := c.pace.graph.Node(node)
	if !known {
		return ""
	}
	for i, layer := range c.plan.Topology.Layers {
		if domains := c.plan.Nodes[id].Domains; layer.Kind == plan.LayerNVLink && i < len(domains) {
			return domains[i]
		}
	}
	return ""
}

// beginShare puts a replica on the GPUs that it shares with others. A server counts as always busy: its kernels are
// ready whenever there is a request.
func (c *cluster) beginShare(r *replica) {
	if c.pace == nil {
		return
	}
	m := &paced{served: r}
	client := &client{team: m, demand: workload.FullSpeed}
	for _, key := range slices.Sorted(maps.Keys(r.pods)) {
		node, slots, ok := c.fleet.Holding(key)
		pool := c.poolOfNode(node)
		if !ok || pool == nil || !shared(pool) {
			continue
		}
		for _, s := range slots {
			if divided(pool, s) {
				c.pace.shares.add(client, key, node, pool, s)
			}
			if s.Profile != "" { // the instance is its device: it can keep busy no more than that
				client.demand = int64(s.Share) * (workload.FullSpeed / int64(units.GPU))
			}
		}
	}
	if len(client.on) == 0 {
		return
	}
	m.client, r.paced = client, m
	others := c.pace.shares.begin(client)
	c.reshared(m)
	c.pace.retell(nil, others)
}

// endShare takes a replica off the GPUs that it shared.
func (c *cluster) endShare(r *replica) {
	if r.paced != nil {
		m := r.paced
		r.paced = nil
		c.pace.retell(nil, c.pace.shares.end(m.client))
	}
}

// reshared tells a replica that others leave it another part of its GPUs.
func (c *cluster) reshared(m *paced) {
	r := m.served
	if r.state != journal.ReplicaReady && r.state != journal.ReplicaDraining {
		return
	}
	c.fallible(c.services.plane.SetSpeed(c.engine.Now(), r.name, m.client.speed))
}
