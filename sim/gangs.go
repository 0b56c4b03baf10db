package sim

import (
	"fmt"

	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"orrery/sim/engine"
	"orrery/sim/workload"
)

var podGroupsResource = schedulingv1beta1.SchemeGroupVersion.WithResource("podgroups")

// CreateGroup makes the PodGroup object of a gang.
func (c *cluster) CreateGroup(g *workload.Group) error {
	c.refused = c.createGroup(g)
	return c.refused
}

func (c *cluster) createGroup(g *workload.Group, owners ...metav1.OwnerReference) error {
	gang := g.Job.Gang
	pg := &schedulingv1beta1.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: g.Job.Namespace, Name: g.Name,
		Labels: podLabels(g.Job), OwnerReferences: owners}}
	pg.Spec.SchedulingPolicy.Gang = &schedulingv1beta1.GangSchedulingPolicy{MinCount: int32(g.Min)}
	pg.Spec.PriorityClassName = g.Job.PriorityClass
	if gang.TopologyKey != "" {
		pg.Spec.SchedulingConstraints = &schedulingv1beta1.PodGroupSchedulingConstraints{
			Topology: []schedulingv1beta1.TopologyConstraint{{Key: gang.TopologyKey}}}
	}
	if gang.DisruptAll {
		pg.Spec.DisruptionMode = &schedulingv1beta1.DisruptionMode{All: &schedulingv1beta1.AllDisruptionMode{}}
	}
	_, err := c.store.Create(pg)
	return err
}

// ShrinkGroup lowers the minCount of a gang's PodGroup.
func (c *cluster) ShrinkGroup(g *workload.Group) {
	ns, name, n := g.Job.Namespace, g.Name, int32(g.Min)
	c.engine.After(0, engine.PhaseRelease, "shrink "+name, func() {
		obj, err := c.store.Get(podGroupsResource, ns, name)
		if apierrors.IsNotFound(err) {
			return // the job has ended meanwhile
		}
		if err == nil {
			pg := obj.(*schedulingv1beta1.PodGroup).DeepCopy()
			pg.Spec.SchedulingPolicy.Gang.MinCount = n
			_, err = c.store.Update(pg, "")
		}
		if err != nil {
			c.fail(fmt.Errorf("lowering minCount of pod group %s/%s: %w", ns, name, err))
		}
	})
}

// DeleteGroup deletes the PodGroup of a gang, as an event of its own: the caller is in the middle of a pod's deletion.
func (c *cluster) DeleteGroup(g *workload.Group) {
	ns, name := g.Job.Namespace, g.Name
	c.engine.After(0, engine.PhaseRelease, "delete group "+name, func() {
		err := c.store.Delete(podGroupsResource, ns, name, metav1.NewDeleteOptions(0))
		if err != nil && !apierrors.IsNotFound(err) {
			c.fail(fmt.Errorf("deleting pod group %s/%s: %w", ns, name, err))
		}
	})
}

var _ workload.Groups = (*cluster)(nil)
