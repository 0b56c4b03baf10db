package clusterautoscaler

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/units"
)

// removal is a node on its way out.
type removal struct {
	a         *Autoscaler
	node, id  string
	reason    string
	evictedBy units.Time // all evictions must have been accepted by then
	goneBy    units.Time // all pods must have gone by then
}

// remove begins to end a node: it is tainted, drained if pods are on it, and terminated.
func (a *Autoscaler) remove(c candidate) {
	now, name := a.p.Engine.Now(), c.node.node.Name
	r := &removal{a: a, node: name, id: c.machine.ID, reason: a.why(c), evictedBy: now.Add(evictionTime)}
	r.goneBy = now.Add(evictionTime + a.p.Flags.MaxGracefulTermination + evictionBuffer)
	if !r.taint(true) {
		return
	}
	size := c.group.size() - a.leaving(c.group)
	a.deleting[name] = !c.empty
	delete(a.unneeded, name)
	a.lastDelete = now
	a.p.Record(journal.Scale{Object: "NodeGroup/" + c.group.Name, From: int32(size), To: int32(size - 1), By: By,
		Reason: "node " + name + ": " + r.reason})
	if c.empty {
		r.after(deleteDelay, r.finish)
		return
	}
	r.drain()
}

func (r *removal) after(d units.Duration, fn func()) {
	r.a.p.Engine.After(d, engine.PhaseRelease, "cluster-autoscaler removes "+r.node, fn)
}

// pods returns those that have to leave the node before it goes.
func (r *removal) pods() (out []*corev1.Pod) {
	list, err := r.a.p.Store.List(podsResource, "", nil, fields.OneTermEqualSelector("spec.nodeName", r.node))
	if err != nil {
		r.a.p.Fail(err)
		return nil
	}
	for _, obj := range list {
		if p := obj.(*corev1.Pod); !over(p) && controlledBy(p) != "DaemonSet" {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *corev1.Pod) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return out
}

// drain evicts the node's pods and waits until they have gone.
func (r *removal) drain() {
	now := r.a.p.Engine.Now()
	left, refused := r.pods(), false
	for _, p := range left {
		if p.DeletionTimestamp != nil {
			continue
		}
		var grace *int64
		most := int64(r.a.p.Flags.MaxGracefulTermination.Seconds())
		if g := p.Spec.TerminationGracePeriodSeconds; g != nil && *g > most {
			grace = &most
		}
		err := r.a.p.Store.Evict(p.Namespace, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace,
			Name: p.Name}, DeleteOptions: &metav1.DeleteOptions{GracePeriodSeconds: grace}})
		refused = refused || err != nil && !apierrors.IsNotFound(err)
	}
	switch {
	case len(left) == 0:
		r.after(deleteDelay, r.finish)
	case refused && now >= r.evictedBy, now >= r.goneBy:
		r.giveUp()
	case refused:
		r.after(evictionRetry, r.drain)
	default:
		r.after(drainPoll, r.drain)
	}
}

// giveUp leaves the node as it was.
func (r *removal) giveUp() {
	r.taint(false)
	delete(r.a.deleting, r.node)
	r.a.lastFailure = r.a.p.Engine.Now()
	r.a.p.Record(journal.Condition{Object: "Node/" + r.node, Type: "ScaleDown", Status: "False",
		Reason: "ScaleDownFailed", Message: "failed to drain the node, aborting"})
}

// finish terminates the machine, unless pods have come meanwhile or it has gone by itself.
func (r *removal) finish() {
	a := r.a
	alive := false
	for _, m := range a.p.Cloud.Machines() {
		alive = alive || m.ID == r.id
	}
	if alive && len(r.pods()) > 0 {
		r.giveUp()
		return
	}
	delete(a.deleting, r.node)
	if !alive {
		return
	}
	if err := a.p.Cloud.Terminate(r.id, r.reason); err != nil {
		a.p.Fail(err)
	}
}

// taint closes the node to the scheduler, or opens it again.
func (r *removal) taint(on bool) bool {
	store := r.a.p.Store
	obj, err := store.Get(nodesResource, "", r.node)
	if err != nil {
		return false
	}
	n := obj.(*corev1.Node).DeepCopy()
	n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == toBeDeleted })
	if on {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: toBeDeleted, Effect: corev1.TaintEffectNoSchedule})
	}
	_, err = store.Update(n, "")
	return err == nil
}
