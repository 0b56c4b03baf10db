package clusterautoscaler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"orrery/sim/policy/cloud"
	"orrery/sim/units"
)

// Annotations that the autoscaler reads.
const (
	annotationNoScaleDown = "cluster-autoscaler.kubernetes.io/scale-down-disabled" // of nodes
	annotationSafe        = "cluster-autoscaler.kubernetes.io/safe-to-evict"       // of pods
	annotationSafeVolumes = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
	annotationPodDelay    = "cluster-autoscaler.kubernetes.io/pod-scale-up-delay"
)

// candidate is a node that could go.
type candidate struct {
	node    *simNode
	group   *group
	machine cloud.Machine
	unready bool
	empty   bool
}

// scaleDown keeps the list of unneeded nodes and ends those that have been on it for long enough.
func (a *Autoscaler) scaleDown(w *world) {
	now, f := a.p.Engine.Now(), a.p.Flags
	list := a.removable(w)
	unneeded := map[string]units.Time{}
	for _, c := range list {
		since, ok := a.unneeded[c.node.node.Name]
		if !ok {
			since = now
		}
		unneeded[c.node.node.Name] = since
	}
	a.unneeded = unneeded
	if now.Sub(a.lastAdd) < f.DelayAfterAdd || now.Sub(a.lastDelete) < f.DelayAfterDelete ||
		now.Sub(a.lastFailure) < f.DelayAfterFailure {
		return
	}
	drains := 0
	for _, drained := range a.deleting {
		if drained {
			drains++
		}
	}
	going := map[*group]int{}
	empties := len(a.deleting) - drains
	for _, empty := range []bool{true, false} {
		for _, c := range list {
			wait := f.Unneeded
			if c.unready {
				wait = f.UnreadyUnneeded
			}
			if c.empty != empty || now.Sub(unneeded[c.node.node.Name]) < wait ||
				c.group.size()-a.leaving(c.group)-going[c.group] <= c.group.Min {
				continue
			}
			if empties+drains >= f.MaxEmptyBulkDelete || !empty && drains >= maxDrains {
				break
			}
			if empty {
				empties++
			} else {
				drains++
			}
			a.remove(c)
		}
	}
}

// leaving counts the nodes of a group that are being deleted and still counted in its size.
func (a *Autoscaler) leaving(g *group) (n int) {
	for _, m := range g.machines {
		if _, ok := a.deleting[m.Node]; ok {
			n++
		}
	}
	return n
}

// removable returns the nodes that are not needed: hardly used, and their pods can go elsewhere. Those that were so at
// the last scan come first.
func (a *Autoscaler) removable(w *world) (out []candidate) {
	now := a.p.Engine.Now()
	maps.DeleteFunc(a.stuck, func(_ string, until units.Time) bool { return until <= now })
	var list []candidate
	var others []*simNode // to which pods can be moved
	for _, n := range w.nodes {
		g := a.groupOf(n)
		if _, going := a.deleting[n.node.Name]; going {
			continue
		}
		if g == nil || ready(n.node, g.GPU) {
			others = append(others, n)
		}
		if g == nil {
			continue
		}
		c := candidate{node: n, group: g, unready: !ready(n.node, g.GPU)}
		c.machine = g.machines[slices.IndexFunc(g.machines, func(m cloud.Machine) bool { return m.Node == n.node.Name })]
		if _, recently := a.stuck[n.node.Name]; !recently && a.eligible(c) {
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(x, y candidate) int {
		rank := func(c candidate) int {
			if _, ok := a.unneeded[c.node.node.Name]; ok {
				return 0
			}
			return 1
		}
		return cmp.Compare(rank(x), rank(y))
	})
	for _, c := range list {
		move, ok := a.toMove(w, c.node)
		rest := slices.DeleteFunc(slices.Clone(others), func(n *simNode) bool { return n == c.node })
		if !ok || !moved(move, rest) {
			a.stuck[c.node.node.Name] = now.Add(a.p.Flags.UnremovableRecheck)
			continue
		}
		c.empty, others = len(move) == 0, rest
		out = append(out, c)
	}
	return out
}

// moved puts pods on other nodes of the simulation, all or none.
func moved(pods []*corev1.Pod, nodes []*simNode) bool {
	type change struct {
		node *simNode
		info *simNode
	}
	var undo []change
	for _, bound := range pods {
		p := bound.DeepCopy()
		p.Spec.NodeName = ""
		i := slices.IndexFunc(nodes, func(n *simNode) bool { return refusal(p, n) == "" })
		if i < 0 {
			for _, u := range slices.Backward(undo) {
				u.node.info = u.info.info
			}
			return false
		}
		n := nodes[i]
		undo = append(undo, change{n, &simNode{info: n.info}})
		n.info = n.info.SnapshotConcrete()
		n.info.AddPod(p)
	}
	return true
}

// eligible reports whether a node is used little enough to be looked at.
func (a *Autoscaler) eligible(c candidate) bool {
	if c.node.node.Annotations[annotationNoScaleDown] == "true" {
		return false
	}
	if c.unready { // a young one is on its way
		return a.known[c.machine.ID] || a.p.Engine.Now().Sub(c.machine.Ordered) >= a.p.Flags.MaxProvision
	}
	use, gpu := a.utilization(c.node, c.group.GPU)
	if gpu {
		return use < a.p.Flags.GPUUtilizationThreshold
	}
	return use < a.p.Flags.UtilizationThreshold
}

// utilization is what pods ask for of a node: of its GPUs when it has some, else the larger part of CPU and memory.
func (a *Autoscaler) utilization(n *simNode, gpu corev1.ResourceName) (use float64, byGPU bool) {
	pods := n.pods
	if a.p.Flags.IgnoreDaemonSets {
		pods = slices.DeleteFunc(slices.Clone(pods), func(p *corev1.Pod) bool { return controlledBy(p) == "DaemonSet" })
	}
	of := func(r corev1.ResourceName) float64 {
		return part(requests(pods, r), amount(n.node.Status.Allocatable[r], r))
	}
	if gpu != "" {
		return of(gpu), true
	}
	return max(of(corev1.ResourceCPU), of(corev1.ResourceMemory)), false
}

// toMove returns the pods that have to go elsewhere when a node goes; false when one of them may not.
func (a *Autoscaler) toMove(w *world, n *simNode) (pods []*corev1.Pod, ok bool) {
	for _, p := range n.pods {
		switch {
		case p.Annotations[corev1.MirrorPodAnnotationKey] != "" || controlledBy(p) == "DaemonSet":
			continue
		case p.DeletionTimestamp != nil: // it goes by itself
			continue
		case a.blocks(w, p):
			return nil, false
		}
		pods = append(pods, p)
	}
	return pods, true
}

// movers are the kinds of controllers that make a pod again.
var movers = []string{"ReplicationController", "ReplicaSet", "Job", "StatefulSet"}

// blocks reports whether a pod keeps its node from being removed.
func (a *Autoscaler) blocks(w *world, p *corev1.Pod) bool {
	budgeted := false
	for _, b := range w.budgets {
		s, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || b.Namespace != p.Namespace || !s.Matches(labels.Set(p.Labels)) {
			continue
		}
		budgeted = true
		if b.Status.DisruptionsAllowed < 1 {
			return true
		}
	}
	if p.Annotations[annotationSafe] == "true" {
		return false
	}
	f := a.p.Flags
	return p.Annotations[annotationSafe] == "false" || !slices.Contains(movers, controlledBy(p)) ||
		f.SkipSystemPods && p.Namespace == metav1.NamespaceSystem && !budgeted ||
		f.SkipNodesWithLocalStorage && localStorage(p)
}

// localStorage reports whether a pod loses data when it is moved that it does not call safe to lose.
func localStorage(p *corev1.Pod) bool {
	safe := strings.Split(p.Annotations[annotationSafeVolumes], ",")
	return slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
		if slices.Contains(safe, v.Name) {
			return false
		}
		return v.HostPath != nil || v.EmptyDir != nil && v.EmptyDir.Medium != corev1.StorageMediumMemory
	})
}

// why is what the journal says of a node that goes.
func (a *Autoscaler) why(c candidate) string {
	use, gpu := a.utilization(c.node, c.group.GPU)
	what, state := "CPU or memory", "unneeded"
	if gpu {
		what = "GPU"
	}
	if c.unready {
		state = "unready"
	}
	return fmt.Sprintf("%s for %s, %s utilization %.3g", state, a.p.Engine.Now().Sub(a.unneeded[c.node.node.Name]), what,
		use)
}
