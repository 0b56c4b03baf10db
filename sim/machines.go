package sim

import (
	"maps"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/kwok"
	"orrery/sim/model/exact"
	"orrery/sim/plan"
	"orrery/sim/policy/cloud"
	"orrery/sim/units"

	"fmt"
)

// machine is a machine of the cloud and what will become of it.
type machine struct {
	cloud.Machine
	pool  *plan.Pool
	node  plan.Node
	whole *corev1.Node // as it will be when its devices are ready
	by    string
	state string     // the latest of the journal's
	since units.Time // of state
	paid  bool
	draws
	next      *engine.Event // of its life
	interrupt *engine.Event
}

// draws are the random numbers of a machine's life, all drawn when it is ordered.
type draws struct {
	allocate, boot, driver, devices, ending units.Duration
	interrupted                             units.Duration // from its launch; < 0 = never
}

// draw draws a machine's life from a stream of its own.
func (x *clouds) draw(name string, p *plan.Pool) (d draws) {
	x.names[name]++
	r := x.c.streams.Stream("machine/" + name + "/" + strconv.Itoa(x.names[name]))
	b := p.Elastic.Boot
	for _, s := range []struct {
		to *units.Duration
		of plan.Spread
	}{{&d.allocate, b.Allocate}, {&d.boot, b.Boot}, {&d.driver, b.Driver}, {&d.devices, b.Devices},
		{&d.ending, b.Terminate}} {
		*s.to = kwok.Triangular(s.of, r.Float64())
	}
	d.interrupted = -1
	if h := p.Elastic.InterruptPerHour; h > 0 {
		if hours := -exact.Log(1-r.Float64()) / h; hours < 1e5 { // longer than any run, and no overflow
			d.interrupted = units.FromSeconds(float64(hours * 3600))
		}
	}
	return d
}

// adopt makes a machine of a node of an elastic pool that is there at the beginning.
func (x *clouds) adopt(obj *corev1.Node, p *plan.Pool) {
	if p.Elastic == nil {
		return
	}
	zone := obj.Labels[corev1.LabelTopologyZone]
	if len(p.Elastic.Zones) > 0 && !slices.Contains(p.Elastic.Zones, zone) {
		zone = x.zone(p, "")
	}
	m := x.add(obj.Name, p, zone)
	m.State, m.state, m.paid = cloud.Running, journal.MachineReady, true
	m.whole = obj
	m.dress(nil)
	x.fear(m)
}

// add makes a machine.
func (x *clouds) add(name string, p *plan.Pool, zone string) *machine {
	x.serial++
	m := &machine{pool: p, node: plan.Node{Name: name}, draws: x.draw(name, p), since: x.c.engine.Now()}
	m.Machine = cloud.Machine{ID: fmt.Sprintf("orrery:///%s/i-%08d", zone, x.serial), Node: name,
		InstanceType: p.Elastic.InstanceType, CapacityType: p.Elastic.CapacityType, Zone: zone, Pool: p.Name,
		State: cloud.Pending, Ordered: x.c.engine.Now()}
	x.machines = append(x.machines, m)
	x.byID[m.ID] = m
	return m
}

// dress gives the machine's Node what the cloud and the order say of it.
func (m *machine) dress(o *cloud.Order) {
	n := m.whole
	n.Labels = maps.Clone(n.Labels)
	n.Labels[corev1.LabelInstanceTypeStable] = m.InstanceType
	if m.Zone != "" {
		n.Labels[corev1.LabelTopologyZone] = m.Zone
	}
	n.Spec.ProviderID = m.ID
	if o == nil {
		return
	}
	maps.Copy(n.Labels, o.Labels)
	maps.Copy(n.Annotations, o.Annotations)
	for _, t := range o.Taints {
		if !slices.ContainsFunc(n.Spec.Taints, func(have corev1.Taint) bool { return have.MatchTaint(&t) }) {
			n.Spec.Taints = append(n.Spec.Taints, t)
		}
	}
}

// launch orders a machine of a pool that has one.
func (x *clouds) launch(o cloud.Order, p *plan.Pool) *machine {
	m := x.add(o.Node, p, x.zone(p, o.Zone))
	m.by = o.By
	m.whole = nodeObject(m.node, p)
	m.dress(&o)
	x.say(m, journal.MachineOrdered, o.Reason)
	x.later(m.since.Add(m.allocate), "launch", m, func() {
		m.paid = true
		x.say(m, journal.MachineLaunched, "")
		x.c.record(x.c.nodeRecord(m.node, p, journal.NodeDown))
		x.fear(m)
		x.later(m.since.Add(m.boot), "boot", m, func() { x.c.check(x.register(m)) })
	})
	return m
}

// say records a state of a machine.
func (x *clouds) say(m *machine, state, reason string) {
	now := x.c.engine.Now()
	x.c.record(journal.Machine{Node: m.Node, Pool: m.Pool, State: state, Took: now.Sub(m.since), By: m.by,
		Reason: reason})
	m.state, m.since = state, now
}

// register has the machine's kubelet join. A machine without GPUs is ready then.
func (x *clouds) register(m *machine) error {
	m.State = cloud.Running
	x.say(m, journal.MachineRegistered, "")
	if m.pool.GPUsPerNode == 0 {
		if err := x.c.joinNode(m.Node, m.pool, m.whole); err != nil {
			return err
		}
		return x.ready(m)
	}
	if err := x.c.joinBare(m.Node, m.pool, m.whole); err != nil {
		return err
	}
	x.later(m.since.Add(m.driver), "driver", m, func() {
		x.say(m, journal.MachineDriver, "")
		x.later(m.since.Add(m.devices), "devices", m, func() {
			if err := x.c.equip(m.node, m.pool, m.whole); err != nil {
				x.c.fail(err)
				return
			}
			x.c.check(x.ready(m))
		})
	})
	return nil
}

// ready puts the machine's capacity into service.
func (x *clouds) ready(m *machine) error {
	x.say(m, journal.MachineReady, "")
	x.c.record(x.c.nodeRecord(m.node, m.pool, journal.NodeUp))
	if m.pool.Slots != nil {
		own, _ := x.c.fleet.Node(m.Node)
		x.c.record(partition(own))
	}
	return nil
}

// fear schedules the machine's interruption, if it will have one. A run does not wait for that.
func (x *clouds) fear(m *machine) {
	if m.interrupted < 0 {
		return
	}
	e := x.c.engine
	m.interrupt = e.Background(e.Now().Add(m.interrupted), engine.PhaseFault, "interrupt "+m.Node, func() {
		if m.State == cloud.Terminating {
			return
		}
		notice := m.pool.Elastic.Notice
		x.c.record(journal.Machine{Node: m.Node, Pool: m.Pool, State: journal.MachineInterrupted, By: "cloud",
			Reason: fmt.Sprintf("spot interruption, %s ahead", notice.Round(time.Second))})
		m.interrupt = e.Background(e.Now().Add(notice), engine.PhaseFault, "reclaim "+m.Node, func() { x.reclaim(m) })
		for _, fn := range x.told {
			fn(m.Machine, notice)
		}
	})
}

// reclaim takes an interrupted machine away.
func (x *clouds) reclaim(m *machine) {
	if m.State == cloud.Terminating {
		return
	}
	m.by = "cloud"
	if x.leave(m) {
		x.gone(m, "spot interruption")
		// Whoever asks for machines has yet to see that this one is missed: the run does not end before.
		x.c.engine.After(x.notices(), engine.PhaseSample, "missed "+m.Node, func() {})
	}
}

// notices is how long autoscalers take at most to see that a machine is gone: a scan that is due and one behind it, or
// Karpenter's longest batch, well below a minute.
func (x *clouds) notices() units.Duration {
	least := time.Minute
	if ca := x.c.plan.Autoscalers.ClusterAutoscaler; ca != nil {
		least = max(least, 2*ca.ScanInterval)
	}
	return least
}

// terminate ends a machine at somebody's request.
func (x *clouds) terminate(m *machine, reason string) {
	if m.State == cloud.Terminating {
		return
	}
	if !x.leave(m) {
		return
	}
	m.State = cloud.Terminating
	if !m.paid {
		x.gone(m, reason)
		return
	}
	x.say(m, journal.MachineTerminating, reason)
	x.c.record(x.c.nodeRecord(m.node, m.pool, journal.NodeDown))
	x.later(m.since.Add(m.ending), "terminate", m, func() { x.gone(m, "") })
}

// leave stops what the machine was about to do and takes its node out of the cluster.
func (x *clouds) leave(m *machine) bool {
	x.c.engine.Cancel(m.next)
	x.c.engine.Cancel(m.interrupt)
	if x.c.pools[m.Node] == nil {
		return true
	}
	err := x.c.removeNode(m.Node)
	x.c.check(err)
	return err == nil
}

// gone ends a machine's bill.
func (x *clouds) gone(m *machine, reason string) {
	m.State = cloud.Terminating
	x.machines = slices.DeleteFunc(x.machines, func(o *machine) bool { return o == m })
	delete(x.byID, m.ID)
	x.say(m, journal.MachineGone, reason)
	if m.paid {
		x.c.record(x.c.nodeRecord(m.node, m.pool, journal.NodeRemoved))
	}
}
