package sim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/policy/cloud"
	"orrery/sim/units"
)

// clouds is the cloud that the plan's elastic pools come from. It is physics: it knows how long a boot will take and
// when a spot machine is taken back; autoscalers see what cloud.Cloud shows.
//
// A machine is paid for from its launch until it is gone. In between its pool has a node: out of service while the
// machine boots, installs its driver or terminates, in service while its devices can be used.
type clouds struct {
	c        *cluster
	machines []*machine // that are not gone, in the order of their orders
	byID     map[string]*machine
	names    map[string]int // how often a node of that name has been ordered
	serial   int
	told     []func(cloud.Machine, units.Duration)
}

func newClouds(c *cluster) *clouds {
	return &clouds{c: c, byID: map[string]*machine{}, names: map[string]int{}}
}

// of returns the cloud as one kind of autoscaler sees it: with its own pools only.
func (x *clouds) of(by string) cloud.Cloud { return cloudView{x, by} }

// onInterrupt has fn told of every spot interruption: the machine, and how long it has from now on.
func (x *clouds) onInterrupt(fn func(cloud.Machine, units.Duration)) { x.told = append(x.told, fn) }

// elastic are the pools that come from the cloud at the request of one kind of autoscaler, in the plan's order.
func (x *clouds) elastic(by string) (out []*plan.Pool) {
	for i := range x.c.plan.Pools {
		if p := &x.c.plan.Pools[i]; p.Elastic != nil && p.Elastic.By == by {
			out = append(out, p)
		}
	}
	return out
}

// zones are those that a pool's machines can be in.
func zones(p *plan.Pool) []string {
	if len(p.Elastic.Zones) > 0 {
		return p.Elastic.Zones
	}
	return []string{p.Labels[corev1.LabelTopologyZone]}
}

// available reports whether one more machine of a pool can be had now.
func (x *clouds) available(p *plan.Pool) bool {
	now, e := x.c.engine.Now(), p.Elastic
	if slices.ContainsFunc(e.StockOuts, func(s plan.Span) bool { return s.From <= now && now < s.To }) {
		return false
	}
	return e.Stock < 0 || x.count(func(m *machine) bool { return m.pool == p }) < e.Stock
}

// promised reports whether a machine of the pool can be had now, or when a stock-out ends that goes on now.
func (x *clouds) promised(p *plan.Pool) bool {
	taken := x.count(func(m *machine) bool { return m.pool == p })
	return p.Elastic.Stock < 0 || taken < p.Elastic.Stock
}

func (x *clouds) count(which func(*machine) bool) (n int) {
	for _, m := range x.machines {
		if which(m) {
			n++
		}
	}
	return n
}

// price is that of a whole machine in USD per hour; 0 when it is not known.
func price(p *plan.Pool) float64 {
	switch {
	case !p.Price.Known:
		return 0
	case p.GPUsPerNode > 0:
		return (p.Price.PerGPUHour * units.MicroUSD(p.GPUsPerNode)).USD()
	}
	return p.Price.PerNodeHour.USD()
}

// cloudView implements cloud.Cloud.
type cloudView struct {
	x  *clouds
	by string
}

// Types implements cloud.Cloud.
func (v cloudView) Types() []cloud.InstanceType {
	var out []cloud.InstanceType
	for _, p := range v.x.elastic(v.by) {
		i := slices.IndexFunc(out, func(t cloud.InstanceType) bool { return t.Name == p.Elastic.InstanceType })
		if i < 0 {
			i = len(out)
			out = append(out, instanceType(p))
		}
		for _, zone := range zones(p) {
			out[i].Offerings = append(out[i].Offerings, cloud.Offering{Zone: zone, CapacityType: p.Elastic.CapacityType,
				Price: price(p), Available: v.x.available(p), Pool: p.Name})
		}
	}
	return out
}

// instanceType is the type of a pool's machines, without offerings.
func instanceType(p *plan.Pool) cloud.InstanceType {
	whole := nodeObject(plan.Node{}, p)
	t := cloud.InstanceType{Name: p.Elastic.InstanceType, CPUMilli: p.CPUMilli, MemoryMiB: p.MemoryMiB,
		MaxPods: whole.Status.Allocatable.Pods().Value(), Devices: map[string]int64{}, Labels: maps.Clone(whole.Labels)}
	t.Arch = t.Labels[corev1.LabelArchStable]
	t.Labels[corev1.LabelInstanceTypeStable] = t.Name
	delete(t.Labels, corev1.LabelTopologyZone)
	if p.Driver != plan.DriverDRA {
		for r, n := range p.Offers() {
			t.Devices[r] = int64(n)
		}
	}
	return t
}

// Machines implements cloud.Cloud.
func (v cloudView) Machines() []cloud.Machine {
	var out []cloud.Machine
	for _, m := range v.x.machines {
		if m.pool.Elastic.By == v.by {
			out = append(out, m.Machine)
		}
	}
	return out
}

// Order implements cloud.Cloud.
func (v cloudView) Order(o cloud.Order) (cloud.Machine, error) {
	x := v.x
	if o.Node == "" || x.c.pools[o.Node] != nil || x.count(func(m *machine) bool { return m.Node == o.Node }) > 0 {
		return cloud.Machine{}, fmt.Errorf("ordering a machine: the node name %q is empty or taken", o.Node)
	}
	var pool *plan.Pool
	known := false
	for _, p := range x.elastic(v.by) {
		if p.Elastic.InstanceType != o.InstanceType || p.Elastic.CapacityType != o.CapacityType ||
			o.Zone != "" && !slices.Contains(zones(p), o.Zone) || o.Pool != "" && o.Pool != p.Name {
			continue
		}
		if !known {
			pool, known = p, true // for the journal, should there be no stock
		}
		if x.available(p) {
			pool = p
			return x.launch(o, pool).Machine, nil
		}
	}
	if !known {
		return cloud.Machine{}, fmt.Errorf("ordering a machine: there is no %s %s in zone %q", o.CapacityType,
			o.InstanceType, o.Zone)
	}
	err := &cloud.NoCapacity{InstanceType: o.InstanceType, CapacityType: o.CapacityType,
		Zone: cmp.Or(o.Zone, zones(pool)[0])}
	x.c.record(journal.Machine{Node: o.Node, Pool: pool.Name, State: journal.MachineFailed, By: o.By, Reason: err.Error()})
	return cloud.Machine{}, err
}

// Terminate implements cloud.Cloud.
func (v cloudView) Terminate(id, reason string) error {
	m := v.x.byID[id]
	if m == nil || m.pool.Elastic.By != v.by {
		return fmt.Errorf("terminating machine %q: there is none", id)
	}
	v.x.terminate(m, reason)
	return nil
}

// zone picks the zone of a new machine: the one asked for, else the one in which the pool has the fewest.
func (x *clouds) zone(p *plan.Pool, asked string) string {
	if asked != "" {
		return asked
	}
	return slices.MinFunc(zones(p), func(a, b string) int {
		in := func(zone string) int {
			return x.count(func(m *machine) bool { return m.pool == p && m.Zone == zone })
		}
		return cmp.Compare(in(a), in(b))
	})
}

// check ends the run when physics fails.
func (c *cluster) check(err error) {
	if err != nil {
		c.fail(err)
	}
}

var _ cloud.Cloud = cloudView{}

// later schedules a step of a machine's life, which keeps the run alive.
func (x *clouds) later(at units.Time, what string, m *machine, fn func()) {
	m.next = x.c.engine.At(at, engine.PhaseRelease, what+" "+m.Node, fn)
}
