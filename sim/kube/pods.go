package kube

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
	pdbhelper "k8s.io/component-helpers/apps/poddisruptionbudget"
)

var (
	podsGVR = corev1.SchemeGroupVersion.WithResource("pods")
	pdbsGVR = policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets")
)

// maxDisruptedPods is upstream's MaxDisruptedPodSize (pkg/registry/core/pod/storage/eviction.go).
const maxDisruptedPods = 2000

// Bind binds a pod to a node (the pods/binding subresource). A pod that is gone is NotFound; one that is bound,
// terminating or gated is a Conflict. The target node need not exist, as in upstream.
func (s *Store) Bind(ns string, b *corev1.Binding) error {
	return s.transact(func() error { return s.bindLocked(ns, b) })
}

// bindLocked is Bind for callers that hold write.
func (s *Store) bindLocked(ns string, b *corev1.Binding) error {
	if err := validateBinding(b); err != nil {
		return err
	}
	k := s.kinds.byGVR[podsGVR]
	obj := s.peek(k, ns, b.Name)
	if obj == nil {
		return apierrors.NewNotFound(podsGVR.GroupResource(), b.Name)
	}
	old := obj.(*corev1.Pod)
	if err := bindConflict(old, b); err != nil {
		sub := podsGVR.GroupResource()
		sub.Resource += "/binding"
		return apierrors.NewConflict(sub, b.Name, err)
	}
	s.decorated = s.decorated || len(b.Annotations) > 0 || len(b.Labels) > 0
	p := k.shallow(old).(*corev1.Pod)
	p.Spec.NodeName = b.Target.Name
	p.Status.NominatedNodeName = ""
	p.Annotations = merged(p.Annotations, b.Annotations)
	p.Labels = merged(merged(p.Labels, b.Labels), s.topologyLabels(b.Target))
	p.Status.Conditions = withCondition(p.Status.Conditions, corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: s.stamp(),
	})
	s.commit(k, VerbUpdate, "binding", old, p)
	s.afterUpdate(k, old, p)
	return nil
}

// validateBinding is upstream's ValidatePodBinding.
func validateBinding(b *corev1.Binding) error {
	var errs field.ErrorList
	target := field.NewPath("target")
	if b.Target.Kind != "" && b.Target.Kind != "Node" {
		errs = append(errs, field.NotSupported(target.Child("kind"), b.Target.Kind, []string{"Node", "<empty>"}))
	}
	if b.Target.Name == "" {
		errs = append(errs, field.Required(target.Child("name"), ""))
	}
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Binding").GroupKind(), b.Name, errs)
}

// bindConflict returns why p cannot be bound, or nil.
func bindConflict(p *corev1.Pod, b *corev1.Binding) error {
	switch {
	case b.UID != "" && b.UID != p.UID:
		return fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", b.UID, p.UID)
	case b.ResourceVersion != "" && b.ResourceVersion != p.ResourceVersion:
		return fmt.Errorf("Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v",
			b.ResourceVersion, p.ResourceVersion)
	case p.DeletionTimestamp != nil:
		return fmt.Errorf("pod %s is being deleted, cannot be assigned to a host", p.Name)
	case p.Spec.NodeName != "":
		return fmt.Errorf("pod %v is already assigned to node %q", p.Name, p.Spec.NodeName)
	case len(p.Spec.SchedulingGates) != 0:
		return fmt.Errorf("pod %v has non-empty .spec.schedulingGates", p.Name)
	}
	return nil
}

// merged returns have with add's entries over it, copying only when something is added.
func merged(have, add map[string]string) map[string]string {
	if len(add) == 0 {
		return have
	}
	out := make(map[string]string, len(have)+len(add))
	maps.Copy(out, have)
	maps.Copy(out, add)
	return out
}

// withCondition returns the conditions with c set; a condition that keeps its status keeps its transition time.
func withCondition(have []corev1.PodCondition, c corev1.PodCondition) []corev1.PodCondition {
	out := make([]corev1.PodCondition, len(have), len(have)+1)
	copy(out, have)
	for i := range out {
		if out[i].Type == c.Type {
			if out[i].Status == c.Status {
				c.LastTransitionTime = out[i].LastTransitionTime
			}
			out[i] = c
			return out
		}
	}
	return append(out, c)
}

// Evict deletes a pod if its disruption budget allows (the pods/eviction subresource): TooManyRequests means not now.
func (s *Store) Evict(ns string, e *policyv1.Eviction) error {
	return s.transact(func() error { return s.evictLocked(ns, e) })
}

// evictLocked is Evict for callers that hold write. It follows EvictionREST.Create; upstream's retries on conflict are
// not needed as nobody else writes.
func (s *Store) evictLocked(ns string, e *policyv1.Eviction) error {
	k := s.kinds.byGVR[podsGVR]
	obj := s.peek(k, ns, e.Name)
	if obj == nil {
		return apierrors.NewNotFound(podsGVR.GroupResource(), e.Name)
	}
	p := obj.(*corev1.Pod)
	o := metav1.DeleteOptions{}
	if e.DeleteOptions != nil {
		o = *e.DeleteOptions
	}
	// A pod that is not running yet or any more, or that is going already, is no disruption.
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed ||
		p.Status.Phase == corev1.PodPending || p.DeletionTimestamp != nil {
		return s.evictPod(k, p, o)
	}
	budgets, err := s.budgetsOf(p)
	if err != nil {
		return err
	}
	if len(budgets) == 0 {
		return s.evictPod(k, p, o)
	}
	b := budgets[0]
	if !mayEvictUnready(p, b) {
		if err := s.chargeBudget(p, b, len(o.DryRun) > 0); err != nil {
			return err
		}
	}
	return s.evictPod(k, p, o)
}

// budgetsOf returns the disruption budgets that select p; more than one is an error, as in upstream.
func (s *Store) budgetsOf(p *corev1.Pod) ([]*policyv1.PodDisruptionBudget, error) {
	objs, _ := s.list(s.kinds.byGVR[pdbsGVR], selection{ns: p.Namespace})
	var out []*policyv1.PodDisruptionBudget
	for _, obj := range objs {
		b := obj.(*policyv1.PodDisruptionBudget)
		sel, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err == nil && sel.Matches(labels.Set(p.Labels)) {
			out = append(out, b)
		}
	}
	if len(out) > 1 {
		return nil, &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: 500,
			Message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."}}
	}
	return out, nil
}

// mayEvictUnready reports whether the budget lets a pod go that is not ready and so disrupts nothing.
func mayEvictUnready(p *corev1.Pod, b *policyv1.PodDisruptionBudget) bool {
	ready := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
	if ready {
		return false
	}
	policy := b.Spec.UnhealthyPodEvictionPolicy
	return policy != nil && *policy == policyv1.AlwaysAllow ||
		b.Status.CurrentHealthy >= b.Status.DesiredHealthy && b.Status.DesiredHealthy > 0
}

// chargeBudget takes one disruption from the budget and records the pod, or says why it cannot
// (EvictionREST.checkAndDecrement).
func (s *Store) chargeBudget(p *corev1.Pod, old *policyv1.PodDisruptionBudget, dry bool) error {
	if old.Status.ObservedGeneration < old.Generation {
		err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 10)
		return withBudgetCause(err, fmt.Sprintf("The disruption budget %s is still being processed by the server.",
			old.Name))
	}
	prefix := fmt.Sprintf("The disruption budget %s does not allow evicting pods currently", old.Name)
	gr := pdbsGVR.GroupResource()
	gr.Resource = "poddisruptionbudget"
	switch {
	case old.Status.DisruptionsAllowed < 0:
		err := apierrors.NewForbidden(gr, old.Name, errors.New("pdb disruptions allowed is negative"))
		return withBudgetCause(err, prefix+": pdb disruptions allowed is negative")
	case len(old.Status.DisruptedPods) > maxDisruptedPods:
		err := apierrors.NewForbidden(gr, old.Name,
			errors.New("DisruptedPods map too big - too many evictions not confirmed by PDB controller"))
		return withBudgetCause(err, prefix+": too many pending evictions not confirmed by PDB controller")
	case old.Status.DisruptionsAllowed == 0:
		err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
		return withBudgetCause(err, exhausted(old, prefix))
	case dry:
		return nil
	}
	b := old.DeepCopy()
	b.Status.DisruptionsAllowed--
	if b.Status.DisruptionsAllowed == 0 {
		pdbhelper.UpdateDisruptionAllowedCondition(b)
	}
	if b.Status.DisruptedPods == nil {
		b.Status.DisruptedPods = map[string]metav1.Time{}
	}
	b.Status.DisruptedPods[p.Name] = s.stamp()
	k := s.kinds.byGVR[pdbsGVR]
	s.commit(k, VerbUpdate, "status", old, b)
	s.afterUpdate(k, old, b)
	return nil
}

// exhausted says why a budget allows no disruption.
func exhausted(b *policyv1.PodDisruptionBudget, prefix string) string {
	c := meta.FindStatusCondition(b.Status.Conditions, policyv1.DisruptionAllowedCondition)
	refused := c != nil && c.Status == metav1.ConditionFalse && c.Message != ""
	switch {
	case refused && c.Reason == policyv1.SyncFailedReason:
		return fmt.Sprintf("%s because it failed sync: %s", prefix, c.Message)
	case b.Status.CurrentHealthy <= b.Status.DesiredHealthy:
		return fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently", b.Name,
			b.Status.DesiredHealthy, b.Status.CurrentHealthy)
	case refused:
		return fmt.Sprintf("%s (%s): %s", prefix, c.Reason, c.Message)
	}
	return prefix
}

// withBudgetCause adds the cause clients look for.
func withBudgetCause(err *apierrors.StatusError, message string) error {
	if err.ErrStatus.Details == nil {
		err.ErrStatus.Details = &metav1.StatusDetails{}
	}
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes,
		metav1.StatusCause{Type: policyv1.DisruptionBudgetCause, Message: message})
	return err
}

// evictPod marks the pod as disrupted and deletes it.
func (s *Store) evictPod(k *kind, old *corev1.Pod, o metav1.DeleteOptions) error {
	if err := checkDelete(k, old, &o); err != nil {
		return err
	}
	if len(o.DryRun) == 0 {
		p := k.shallow(old).(*corev1.Pod)
		p.Status.Conditions = withCondition(p.Status.Conditions, corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, LastTransitionTime: s.stamp(),
			Reason: "EvictionByEvictionAPI", Message: "Eviction API: evicting",
		})
		if !sameObject(old, p) {
			s.commit(k, VerbUpdate, "status", old, p)
			s.afterUpdate(k, old, p)
		}
		if o.Preconditions != nil && o.Preconditions.ResourceVersion != nil {
			pre := *o.Preconditions
			pre.ResourceVersion = &p.ResourceVersion
			o.Preconditions = &pre
		}
	}
	_, err := s.deleteLocked(k, old.Namespace, old.Name, o)
	return err
}
