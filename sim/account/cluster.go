package account

import (
	"fmt"

	"orrery/sim/journal"
	"orrery/sim/units"
)

// pool is a node pool as declared and its size now and at the peak.
type pool struct {
	journal.Pool
	index               int
	mig                 bool // GPUs of it are, or were, divided into MIG instances
	nodes, nodesPeak    int64
	devices, devicePeak int64
}

// slotsPerGPU returns how many allocatable units a GPU has.
func (p *pool) slotsPerGPU() int { return max(1, p.SlotsPerGPU) }

// podsMax returns how many pods a node of the pool takes.
func (p *pool) podsMax() int64 {
	if p.MaxPods > 0 {
		return p.MaxPods
	}
	return journal.MaxPods
}

// node is a node, who owns what of it, and its book.
type node struct {
	name  string
	pool  *pool
	state string
	gpus  int
	peak  int // most GPUs it had
	devices
	owned          units.MilliGPU
	cpu, mem, pods int64    // asked by the pods that are bound to it and not over
	domains        []string // by layer of the topology; nil = not known

	last                                 units.Time // books are settled up to here
	capT, usedT, idleT, downT, existence units.Integral
	heat                                 heatRow
}

func (n *node) capacity() units.MilliGPU { return units.MilliGPU(n.gpus) * units.GPU }

func (f *Fold) addPool(b journal.Pool) error {
	if f.byPool[b.Pool] != nil {
		return fmt.Errorf("pool %s declared twice", b.Pool)
	}
	if b.GPUsPerNode < 0 || b.SlotsPerGPU < 0 || b.CPUMilli < 0 || b.MemoryMiB < 0 {
		return fmt.Errorf("pool %s has a negative size", b.Pool)
	}
	p := &pool{Pool: b, index: len(f.pools)}
	f.pools = append(f.pools, p)
	f.byPool[b.Pool] = p
	f.places.pool(b)
	return nil
}

// setNode announces a node or changes its state.
func (f *Fold) setNode(b journal.Node) error {
	p := f.byPool[b.Pool]
	switch {
	case p == nil:
		return fmt.Errorf("node %s of the undeclared pool %q", b.Node, b.Pool)
	case b.GPUs < 0:
		return fmt.Errorf("node %s with %d GPUs", b.Node, b.GPUs)
	case b.State != journal.NodeUp && b.State != journal.NodeDown && b.State != journal.NodeRemoved:
		return fmt.Errorf("node %s in the unknown state %q", b.Node, b.State)
	}
	if err := f.checkDomains(b); err != nil {
		return err
	}
	n := f.nodes[b.Node]
	if n == nil {
		n = &node{name: b.Node, pool: p, state: journal.NodeRemoved, last: f.now}
		f.nodes[b.Node] = n
		f.inOrder = append(f.inOrder, n)
		f.heat.nodes(len(f.nodes))
		f.places.node(b)
	}
	if n.pool != p {
		return fmt.Errorf("node %s moves from pool %s to %s", b.Node, n.pool.Pool.Pool, b.Pool)
	}
	f.settleNode(n)
	f.settleOwners(n)
	f.count(n, -1)
	n.state, n.gpus, n.domains = b.State, b.GPUs, b.Domains
	if b.State != journal.NodeRemoved {
		n.peak = max(n.peak, b.GPUs)
	}
	if n.state == journal.NodeRemoved {
		n.offers = nil
	} else if err := n.resize(); err != nil {
		return err
	}
	f.count(n, 1)
	p.nodesPeak = max(p.nodesPeak, p.nodes)
	p.devicePeak = max(p.devicePeak, p.devices)
	return nil
}

// count adds (sign 1) or takes away (sign −1) what the node contributes to the ledger in its present state.
func (f *Fold) count(n *node, sign int64) {
	if n.state == journal.NodeRemoved {
		return
	}
	amount := n.capacity() * units.MilliGPU(sign)
	f.led.capacity += amount
	n.pool.nodes += sign
	n.pool.devices += int64(n.gpus) * sign
	if n.state == journal.NodeDown {
		f.led.down += amount
		return
	}
	f.led.up += amount
	f.led.used += n.owned * units.MilliGPU(sign)
	if n.offers != nil || n.parts != nil {
		f.countMIG(n, sign)
	}
}

// settleNode books the node's time up to now.
func (f *Fold) settleNode(n *node) {
	span := f.now.Sub(n.last)
	if span == 0 {
		return
	}
	if n.state != journal.NodeRemoved {
		n.existence.Add(1, span)
		n.capT.Add(int64(n.capacity()), span)
		used := n.owned
		if n.state == journal.NodeDown {
			n.downT.Add(int64(n.capacity()), span)
			used = 0
		} else {
			n.usedT.Add(int64(used), span)
			n.idleT.Add(int64(n.capacity()-used), span)
		}
		if n.gpus > 0 {
			f.heat.add(&n.heat, n.last, f.now, int64(used), int64(n.capacity()))
		}
	}
	n.last = f.now
}

// assign gives the slots to the pod; they must exist and be free.
func (f *Fold) assign(p *pod, b journal.PodAssign) error {
	n := p.node
	if len(b.Slots) != p.slotsAsked {
		return fmt.Errorf("pod %s asked for %d slots and is assigned %d", p.name, p.slotsAsked, len(b.Slots))
	}
	if len(b.Slots) == 0 {
		return nil
	}
	f.settleNode(n)
	p.slots = make([]slot, len(b.Slots))
	for i, js := range b.Slots {
		s, err := f.slot(n, js)
		if err != nil {
			return fmt.Errorf("pod %s is assigned devices: %w", p.name, err)
		}
		if s.profile != 0 {
			f.assignInstance(n, s)
		}
		if err := n.own(s, p, f.profiles.names); err != nil {
			return err
		}
		p.owned += js.Share
		p.slots[i] = s
	}
	p.ownedSince = f.now
	n.owned += p.owned
	f.hold(p, p.owned)
	if n.state == journal.NodeUp {
		f.led.used += p.owned
	}
	return nil
}

// release takes the pod's slots back.
func (f *Fold) release(p *pod) error {
	if len(p.slots) == 0 {
		return nil
	}
	n := p.node
	f.settleNode(n)
	f.settleOwned(p)
	for _, s := range p.slots {
		if err := n.disown(s, p, f.profiles.names); err != nil {
			return err
		}
		if s.profile != 0 && n.state == journal.NodeUp {
			f.use(n, s, !n.instanceOwned(s), -1)
		}
	}
	f.hold(p, -p.owned)
	n.owned -= p.owned
	if n.state == journal.NodeUp {
		f.led.used -= p.owned
	}
	p.owned = 0
	return nil
}

// settleOwned books the device time a pod has owned in working order up to now: for its job, tenant and size.
func (f *Fold) settleOwned(p *pod) {
	span := f.now.Sub(p.ownedSince)
	p.ownedSince = f.now
	if p.owned == 0 || span == 0 || p.node.state != journal.NodeUp {
		return
	}
	t := f.noJob
	if p.job != nil {
		p.job.ownedT.Add(int64(p.owned), span)
		p.job.size.ownedT.Add(int64(p.owned), span)
		t = p.job.tenant
	} else if p.service != nil {
		t = p.service.tenant
	} else if t == nil {
		t = f.tenant("")
		f.noJob = t
	}
	t.pool(p.node.pool.index).Add(int64(p.owned), span)
}
