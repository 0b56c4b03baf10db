package clusterautoscaler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	corev1helpers "k8s.io/component-helpers/resource"

	"orrery/sim/journal"
	"orrery/sim/policy/cloud"
)

// option is a group's offer.
type option struct {
	group *group
	count int           // nodes
	pods  []*corev1.Pod // that they would take
}

// scaleUp adds nodes for pods that need some. hope says that pods are left that a later scan may help.
func (a *Autoscaler) scaleUp(w *world) (added, hope bool) {
	need := a.needy(w)
	if len(need) == 0 {
		return false, w.young
	}
	var options []option
	reasons := map[string]int{}
	byClass := map[string]map[string]int{} // why groups do not help
	for _, g := range a.groups {
		o, why, later := a.offer(w, g, need)
		hope = hope || later
		switch {
		case o.count > 0:
			options = append(options, o)
		case why != "":
			reasons[why]++
		default:
			a.explain(g, need, byClass)
		}
	}
	best := a.best(options)
	if best == nil {
		a.refuse(need, reasons, byClass)
		return false, hope || w.young
	}
	hope = hope || w.young
	shares := a.shares(best, need)
	for i, s := range shares {
		part := *best
		part.group, part.count = s.group, s.count
		if i > 0 {
			part.pods = nil // they are told of the first
		}
		grown, failed := a.grow(&part, best.pods)
		added, hope = added || grown, hope || failed && a.hopes(s.group)
	}
	return added, hope
}

// hopes reports whether a group may help later.
func (a *Autoscaler) hopes(g *group) bool { return g.failures < keepsAlive && a.p.Promised(g.Name) }

// needy returns the pending pods that fit on no node that is there or on its way.
func (a *Autoscaler) needy(w *world) (need []*corev1.Pod) {
	var nodes []*simNode
	for _, n := range w.nodes {
		if g := a.groupOf(n); g == nil || ready(n.node, g.GPU) {
			nodes = append(nodes, n)
		}
	}
	for _, g := range a.groups {
		for i := range g.upcoming {
			nodes = append(nodes, g.fresh(fmt.Sprintf("upcoming-%s-%d", g.Name, i)))
		}
	}
	full := map[string]bool{} // classes that fit nowhere any more
	for _, p := range w.pending {
		class := a.class[p.UID]
		if full[class] {
			need = append(need, p)
		} else if place(p, nodes) == nil {
			full[class] = true
			need = append(need, p)
		}
	}
	return need
}

// groupOf returns the group of a node, or nil.
func (a *Autoscaler) groupOf(n *simNode) *group {
	for _, g := range a.groups {
		for _, m := range g.machines {
			if m.Node == n.node.Name {
				return g
			}
		}
	}
	return nil
}

// fresh is a new node of the group in the simulation.
func (g *group) fresh(name string) *simNode {
	n := *g.Template
	n.Name = name
	n.Labels = maps.Clone(n.Labels)
	n.Labels[corev1.LabelHostname] = name
	return newNode(&n)
}

// offer is what a group can do for pods that need a node. Without one, why says what keeps the group as a whole from
// it, "" that no pod fits; later says that it may be another answer one day.
func (a *Autoscaler) offer(w *world, g *group, need []*corev1.Pod) (o option, why string, later bool) {
	room := min(g.Max-g.size(), maxPerScaleUp)
	total := len(w.nodes)
	for _, x := range a.groups {
		for _, m := range x.machines {
			if w.byName[m.Node] == nil {
				total++
			}
		}
	}
	if most := a.p.Flags.MaxNodesTotal; most > 0 {
		room = min(room, most-total)
		if most <= total {
			return o, "max total nodes in cluster reached", false
		}
	}
	if room <= 0 {
		return o, "max node group size reached", false
	}
	pods := a.fitting(g, need)
	if len(pods) == 0 {
		return o, "", false
	}
	if a.p.Engine.Now() < g.until {
		return o, "in backoff after failed scale-up", a.hopes(g)
	}
	o = option{group: g}
	o.count, o.pods = estimate(g, pods, room)
	return o, "", false
}

// fitting returns the pods that fit on an empty node of a group.
func (a *Autoscaler) fitting(g *group, need []*corev1.Pod) (pods []*corev1.Pod) {
	empty, fits := g.fresh("template-"+g.Name), map[string]bool{}
	for _, p := range need {
		class := a.class[p.UID]
		if _, known := fits[class]; !known {
			fits[class] = refusal(p, empty) == ""
		}
		if fits[class] {
			pods = append(pods, p)
		}
	}
	return pods
}

// estimate fills new nodes first-fit, the largest pods first, and returns how many it takes, at most room, and the pods
// that they hold.
func estimate(g *group, pods []*corev1.Pod, room int) (count int, placed []*corev1.Pod) {
	pods = slices.Clone(pods)
	cpu, mem := g.Template.Status.Allocatable.Cpu().MilliValue(), g.Template.Status.Allocatable.Memory().Value()
	score := func(p *corev1.Pod) float64 {
		r := corev1helpers.PodRequests(p, corev1helpers.PodResourcesOptions{})
		return part(r.Cpu().MilliValue(), cpu) + part(r.Memory().Value(), mem)
	}
	slices.SortStableFunc(pods, func(a, b *corev1.Pod) int { return cmp.Compare(score(b), score(a)) })
	var nodes []*simNode
	for _, p := range pods {
		if place(p, nodes) == nil {
			if len(nodes) == room {
				continue
			}
			n := g.fresh(fmt.Sprintf("e-%d", len(nodes)))
			if place(p, []*simNode{n}) == nil {
				continue
			}
			nodes = append(nodes, n)
		}
		placed = append(placed, p)
	}
	return len(nodes), placed
}

func part(x, of int64) float64 {
	if of <= 0 {
		return 0
	}
	return float64(x) / float64(of)
}

// amount is a quantity in the unit of utilization.
func amount(q apiresource.Quantity, r corev1.ResourceName) int64 {
	if r == corev1.ResourceCPU {
		return q.MilliValue()
	}
	return q.Value()
}

// grow orders the nodes of an offer, for pods.
func (a *Autoscaler) grow(o *option, pods []*corev1.Pod) (added, failed bool) {
	g, now := o.group, a.p.Engine.Now()
	from, ordered := g.size(), 0
	reason := fmt.Sprintf("%d unschedulable pod(s), the first %s/%s", len(pods), pods[0].Namespace, pods[0].Name)
	for range o.count {
		a.serial[g.Name]++
		_, err := a.p.Cloud.Order(cloud.Order{Node: fmt.Sprintf("%s-ca-%d", g.Name, a.serial[g.Name]),
			InstanceType: g.InstanceType, CapacityType: g.CapacityType, Pool: g.Name, By: "NodeGroup/" + g.Name, Reason: reason})
		if err != nil {
			a.fail(g, now)
			failed = true
			break
		}
		ordered++
	}
	if ordered == 0 {
		a.say(o.pods, "False", "FailedToScaleUpGroup", "scale-up of "+g.Name+" failed: the cloud has no machine")
		return false, true
	}
	a.lastAdd = now
	a.p.Record(journal.Scale{Object: "NodeGroup/" + g.Name, From: int32(from), To: int32(from + ordered), By: By,
		Reason: reason})
	a.say(o.pods, "True", "TriggeredScaleUp", fmt.Sprintf("pod triggered scale-up: [{%s %d->%d (max: %d)}]", g.Name, from,
		from+ordered, g.Max))
	return true, failed
}

// explain counts why a group's node would take no pod, by class.
func (a *Autoscaler) explain(g *group, need []*corev1.Pod, byClass map[string]map[string]int) {
	empty, seen := g.fresh("template-"+g.Name), map[string]bool{}
	for _, p := range need {
		class := a.class[p.UID]
		if seen[class] {
			continue
		}
		seen[class] = true
		if byClass[class] == nil {
			byClass[class] = map[string]int{}
		}
		byClass[class][refusal(p, empty)]++
	}
}

// refuse says of pods why no scale-up helps them.
func (a *Autoscaler) refuse(need []*corev1.Pod, reasons map[string]int, byClass map[string]map[string]int) {
	for _, p := range need {
		all := maps.Clone(reasons)
		for why, n := range byClass[a.class[p.UID]] {
			all[why] += n
		}
		var parts []string
		for _, why := range slices.Sorted(maps.Keys(all)) {
			parts = append(parts, fmt.Sprintf("%d %s", all[why], why))
		}
		a.say([]*corev1.Pod{p}, "False", "NotTriggerScaleUp", "pod didn't trigger scale-up: "+strings.Join(parts, ", "))
	}
}

// say records what the autoscaler tells of pods, when it is something new.
func (a *Autoscaler) say(pods []*corev1.Pod, status, reason, message string) {
	for _, p := range pods {
		if a.told[p.UID] == message {
			continue
		}
		a.told[p.UID] = message
		a.p.Record(journal.Condition{Object: "Pod/" + p.Namespace + "/" + p.Name, Type: "ScaleUp", Status: status,
			Reason: reason, Message: message})
	}
}
