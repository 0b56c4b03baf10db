package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"orrery/sim/engine"
	"orrery/sim/fleet"
	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/topology"
	"orrery/sim/units"
)

// Labels of the GPU operator's MIG manager and the values of its state (github.com/NVIDIA/mig-parted,
// deployments/container/reconfigure-mig.sh, 2026).
const (
	labelMIGConfig = "nvidia.com/mig.config"
	labelMIGState  = "nvidia.com/mig.config.state"

	migPending = "pending"
	migSuccess = "success"
	migFailed  = "failed"
)

// evictRetry is how long `kubectl drain` waits after an eviction that a budget does not allow, and between looks at
// pods that are still there (k8s.io/kubectl v0.37.2, pkg/drain/drain.go and default.go).
const evictRetry = 5 * time.Second

var nodesResource = corev1.SchemeGroupVersion.WithResource("nodes")

// fleetSlots turns a plan's division of GPUs into the fleet's.
func fleetSlots(slots map[int][]plan.Slot) map[int][]fleet.Slot {
	if slots == nil {
		return nil
	}
	out := map[int][]fleet.Slot{}
	for g, list := range slots {
		out[g] = []fleet.Slot{}
		for _, s := range list {
			out[g] = append(out[g], fleet.Slot{Resource: s.Resource, Replica: s.Replica, Share: s.Share, Profile: s.Profile,
				Start: s.Start, Slices: s.Slices})
		}
	}
	return out
}

// partition is the journal's record of how a node's GPUs are divided.
func partition(n fleet.Node) journal.Partition {
	r := journal.Partition{Node: n.Name}
	for _, d := range n.GPUs {
		for _, s := range d.Slots {
			r.Slots = append(r.Slots, journal.Slot{Index: d.Index, Replica: s.Replica, Share: s.Share, Profile: s.Profile,
				Start: s.Start, Slices: s.Slices})
		}
	}
	return r
}

// policy is how the device plugins of the plan pick devices: where some GPUs of a node are wired to some others only,
// by that; else the lowest free indices, which on a switch are as good as any.
func (c *cluster) policy() fleet.Policy {
	wired := func(p plan.Pool) bool { return p.Links.Mesh != "" || p.Links.Kind == plan.LinkBridge }
	if !slices.ContainsFunc(c.plan.Pools, wired) {
		return nil
	}
	return fleet.Aligned{Prefer: func(node string, free []int, count int) []int {
		pool := c.pools[node]
		if pool == nil || !wired(*pool) {
			return nil
		}
		return topology.Pref(pool.Links, pool.GPUsPerNode, free, count)
	}}
}

// migManager plays the repartitions of a plan. Each node does one after the other.
type migManager struct {
	c    *cluster
	busy map[int]bool                // by node: a change is going on
	next map[int][]*plan.Repartition // by node: what is to follow
}

func (c *cluster) buildMIG() {
	if len(c.plan.Repartitions) == 0 {
		return
	}
	m := &migManager{c: c, busy: map[int]bool{}, next: map[int][]*plan.Repartition{}}
	for i := range c.plan.Repartitions {
		r := &c.plan.Repartitions[i]
		c.engine.At(r.At, engine.PhaseRelease, "repartition", func() {
			for _, n := range r.Nodes {
				m.ask(n, r)
			}
		})
	}
}

// ask changes the label that tells the node's MIG manager what to do.
func (m *migManager) ask(node int, r *plan.Repartition) {
	if m.gone(node) {
		return
	}
	if m.busy[node] {
		m.next[node] = append(m.next[node], r)
		return
	}
	m.busy[node] = true
	m.edit(node, func(n *corev1.Node) {
		n.Labels[labelMIGConfig] = r.Config
		n.Labels[labelMIGState] = migPending
	})
	if !r.Drain {
		m.begin(node, r)
		return
	}
	m.edit(node, func(n *corev1.Node) { n.Spec.Unschedulable = true })
	m.drain(node, r)
}

// gone reports whether the node has left the cluster, and forgets what was to be done there.
func (m *migManager) gone(node int) bool {
	if m.c.pools[m.c.plan.Nodes[node].Name] != nil {
		return false
	}
	delete(m.busy, node)
	delete(m.next, node)
	return true
}

// done ends a node's change and begins the next.
func (m *migManager) done(node int) {
	m.busy[node] = false
	if next := m.next[node]; len(next) > 0 {
		m.next[node] = next[1:]
		m.ask(node, next[0])
	}
}

// drain evicts what runs on the node until nothing is left.
func (m *migManager) drain(node int, r *plan.Repartition) {
	c, name := m.c, m.c.plan.Nodes[node].Name
	if m.gone(node) {
		return
	}
	pods, err := c.store.List(podsResource, "", nil, fields.OneTermEqualSelector("spec.nodeName", name))
	if err != nil {
		c.fail(fmt.Errorf("draining node %s: %w", name, err))
		return
	}
	if len(pods) == 0 {
		m.begin(node, r)
		return
	}
	for _, obj := range pods {
		pod := obj.(*corev1.Pod)
		if pod.DeletionTimestamp != nil {
			continue
		}
		err := c.store.Evict(pod.Namespace, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace,
			Name: pod.Name}})
		if err != nil && !apierrors.IsTooManyRequests(err) && !apierrors.IsNotFound(err) {
			c.upstream.add("mig-drain", err.Error())
		}
	}
	c.engine.After(evictRetry, engine.PhaseRelease, "drain "+name, func() { m.drain(node, r) })
}

// begin stops the node's device plugin and changes the division, if nobody uses the GPUs.
func (m *migManager) begin(node int, r *plan.Repartition) {
	c, name := m.c, m.c.plan.Nodes[node].Name
	slots, changes := m.division(node, r)
	if !changes {
		m.end(node, r, migSuccess)
		return
	}
	if err := c.fleet.SetDown(name, true); err != nil {
		c.fail(err)
		return
	}
	m.offer(node)
	if len(c.fleet.Owners(name)) > 0 {
		c.engine.After(r.Apply, engine.PhaseRelease, "repartition fails on "+name, func() { m.up(node, r, migFailed) })
		return
	}
	m.state(node, journal.NodeDown)
	c.engine.After(r.Apply, engine.PhaseRelease, "repartitioned "+name, func() {
		if m.gone(node) {
			return
		}
		err := c.fleet.Divide(name, slots)
		if errors.Is(err, fleet.ErrNodeInUse) { // a pod that was given devices by somebody else meanwhile
			m.state(node, journal.NodeUp)
			m.up(node, r, migFailed)
			return
		}
		if err != nil {
			c.fail(err)
			return
		}
		n, _ := c.fleet.Node(name)
		c.record(partition(n))
		m.state(node, journal.NodeUp)
		m.up(node, r, migSuccess)
	})
}

// division returns the new division of every GPU of the node, and whether it differs from what there is.
func (m *migManager) division(node int, r *plan.Repartition) (slots map[int][]fleet.Slot, changes bool) {
	pool := &m.c.plan.Pools[m.c.plan.Nodes[node].Pool]
	slots = fleetSlots(r.Slots)
	n, _ := m.c.fleet.Node(m.c.plan.Nodes[node].Name)
	for _, d := range n.GPUs {
		if _, ok := slots[d.Index]; !ok {
			slots[d.Index] = fleet.Replicas(fleet.Slot{Resource: pool.Resource, Share: units.GPU}, max(pool.SlotsPerGPU, 1))
		}
		changes = changes || !slices.EqualFunc(d.Slots, slots[d.Index], func(a, b fleet.Slot) bool {
			a.Owner, a.Generation = "", 0
			return a == b
		})
	}
	return slots, changes
}

// up starts the node's device plugin again.
func (m *migManager) up(node int, r *plan.Repartition, state string) {
	name := m.c.plan.Nodes[node].Name
	if m.gone(node) {
		return
	}
	if err := m.c.fleet.SetDown(name, false); err != nil {
		m.c.fail(err)
		return
	}
	m.offer(node)
	m.end(node, r, state)
}

// end tells how the change went: in the labels of the MIG manager and of the GPU's feature discovery.
func (m *migManager) end(node int, r *plan.Repartition, state string) {
	if state == migFailed {
		m.c.upstream.add("mig-failed", "the MIG manager failed on nodes whose GPUs were in use; the first: "+
			m.c.plan.Nodes[node].Name)
	}
	m.edit(node, func(n *corev1.Node) {
		n.Labels[labelMIGState] = state
		if state != migSuccess {
			return
		}
		maps.DeleteFunc(n.Labels, func(key, _ string) bool { return discovered(key) && r.Labels[key] == "" })
		for key, value := range r.Labels {
			if discovered(key) {
				n.Labels[key] = value
			}
		}
	})
	if r.Drain {
		m.edit(node, func(n *corev1.Node) { n.Spec.Unschedulable = false })
	}
	m.done(node)
}

// discovered reports whether a node label is one of those that the GPU's feature discovery sets by the division.
func discovered(key string) bool {
	return strings.HasPrefix(key, "nvidia.com/gpu.") || strings.HasPrefix(key, "nvidia.com/mig-") ||
		key == "nvidia.com/mig.strategy"
}

// offer writes what the node's device plugin offers into the node's status, as the kubelet does.
func (m *migManager) offer(node int) {
	name := m.c.plan.Nodes[node].Name
	offers := m.c.fleet.Offers(name)
	m.write(node, "status", func(n *corev1.Node) {
		for r, count := range offers {
			q := *resource.NewQuantity(int64(count), resource.DecimalSI)
			n.Status.Capacity[corev1.ResourceName(r)], n.Status.Allocatable[corev1.ResourceName(r)] = q, q
		}
	})
}

// edit changes metadata or specification of the Node object.
func (m *migManager) edit(node int, change func(*corev1.Node)) { m.write(node, "", change) }

// write changes the Node object.
func (m *migManager) write(node int, sub string, change func(*corev1.Node)) {
	name := m.c.plan.Nodes[node].Name
	obj, err := m.c.store.Get(nodesResource, "", name)
	if err == nil {
		n := obj.(*corev1.Node).DeepCopy()
		if n.Labels == nil {
			n.Labels = map[string]string{}
		}
		change(n)
		_, err = m.c.store.Update(n, sub)
	}
	if err != nil {
		m.c.fail(fmt.Errorf("the MIG manager of node %s: %w", name, err))
	}
}

// state records that the node's GPUs are in or out of service.
func (m *migManager) state(node int, state string) {
	n := m.c.plan.Nodes[node]
	pool := &m.c.plan.Pools[n.Pool]
	m.c.record(m.c.nodeRecord(n, pool, state))
}
