package kube

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Delete deletes an object, or begins to: an object with finalizers stays until they are gone, and a pod on a node
// stays for its grace period, until a second delete with grace period 0 (the kubelet's). Nil options mean the defaults
// of the API, not "at once".
func (s *Store) Delete(gvr schema.GroupVersionResource, ns, name string, o *metav1.DeleteOptions) error {
	k, err := s.lookup(gvr)
	if err != nil {
		return err
	}
	_, err = s.delete(k, ns, name, o)
	return err
}

// delete is Delete; it returns the last state of the object.
func (s *Store) delete(k *kind, ns, name string, o *metav1.DeleteOptions) (out runtime.Object, err error) {
	opts := metav1.DeleteOptions{}
	if o != nil {
		opts = *o
	}
	err = s.transact(func() error {
		out, err = s.deleteLocked(k, ns, name, opts)
		return err
	})
	return out, err
}

// deleteLocked is delete for callers that hold write.
func (s *Store) deleteLocked(k *kind, ns, name string, o metav1.DeleteOptions) (runtime.Object, error) {
	old := s.peek(k, ns, name)
	if old == nil {
		return nil, apierrors.NewNotFound(k.gvr.GroupResource(), name)
	}
	if err := checkDelete(k, old.(metav1.Object), &o); err != nil {
		return nil, err
	}
	if len(o.DryRun) > 0 {
		return old, nil
	}
	if n, ok := old.(*corev1.Namespace); ok {
		return s.deleteNamespace(k, n)
	}
	period, graceful, pending := grace(old, &o)
	if pending {
		return old, nil
	}
	obj := k.shallow(old)
	m := obj.(metav1.Object)
	m.SetFinalizers(withGarbageFinalizers(m.GetFinalizers(), o))
	if graceful {
		s.setDeletion(m, old.(metav1.Object), period)
	}
	switch {
	case len(m.GetFinalizers()) > 0 && !graceful:
		s.markDeleting(m)
	case len(m.GetFinalizers()) > 0 || graceful && period > 0:
	default:
		return s.remove(k, old, obj), nil
	}
	if sameObject(old, obj) {
		return old, nil
	}
	if err := s.quotas.change(k, old, obj); err != nil {
		return nil, err
	}
	s.commit(k, VerbUpdate, "", old, obj)
	s.afterUpdate(k, old, obj)
	return obj, nil
}

// checkDelete checks the options and preconditions of a delete.
func checkDelete(k *kind, m metav1.Object, o *metav1.DeleteOptions) error {
	if errs := metav1validation.ValidateDeleteOptions(o); len(errs) > 0 {
		return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "DeleteOptions"}, "", errs)
	}
	if o.GracePeriodSeconds != nil && *o.GracePeriodSeconds < 0 {
		one := int64(1)
		o.GracePeriodSeconds = &one
	}
	if o.Preconditions == nil {
		return nil
	}
	gr := schema.GroupResource{Group: k.gvk.Group, Resource: k.gvk.Kind}
	if uid := o.Preconditions.UID; uid != nil && *uid != m.GetUID() {
		return apierrors.NewConflict(gr, m.GetName(), fmt.Errorf("the UID in the precondition (%s) does not match "+
			"the UID in record (%s). The object might have been deleted and then recreated", *uid, m.GetUID()))
	}
	if rv := o.Preconditions.ResourceVersion; rv != nil && *rv != m.GetResourceVersion() {
		return apierrors.NewConflict(gr, m.GetName(), fmt.Errorf("the ResourceVersion in the precondition (%s) does "+
			"not match the ResourceVersion in record (%s). The object might have been modified", *rv,
			m.GetResourceVersion()))
	}
	return nil
}

// grace decides how a delete proceeds: with which grace period, whether the kind is deleted gracefully at all (only
// pods are), and whether a graceful deletion is pending already that the request does not shorten
// (rest.BeforeDelete and the pod strategy's CheckGracefulDelete).
func grace(obj runtime.Object, o *metav1.DeleteOptions) (period int64, graceful, pending bool) {
	p, ok := obj.(*corev1.Pod)
	if !ok {
		return 0, false, false
	}
	if p.DeletionTimestamp != nil {
		have := p.DeletionGracePeriodSeconds
		switch {
		case have == nil || *have == 0:
			return 0, false, false
		case o.GracePeriodSeconds == nil || *o.GracePeriodSeconds >= *have:
			return 0, false, true
		}
		return *o.GracePeriodSeconds, true, false
	}
	switch {
	case o.GracePeriodSeconds != nil:
		period = *o.GracePeriodSeconds
	case p.Spec.TerminationGracePeriodSeconds != nil:
		period = *p.Spec.TerminationGracePeriodSeconds
	}
	if p.Spec.NodeName == "" || p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
		period = 0
	}
	if period < 0 {
		period = 1
	}
	return period, true, false
}

// setDeletion writes a grace period into m. The first graceful deletion counts as a change of the spec; a later one
// moves the deadline back by the grace period saved, but not into the past.
func (s *Store) setDeletion(m, om metav1.Object, period int64) {
	now := s.stamp()
	was := om.GetDeletionTimestamp()
	if was == nil {
		deadline := metav1.NewTime(now.Add(time.Duration(period) * time.Second))
		m.SetDeletionTimestamp(&deadline)
		m.SetDeletionGracePeriodSeconds(&period)
		if m.GetGeneration() > 0 {
			m.SetGeneration(m.GetGeneration() + 1)
		}
		return
	}
	deadline := metav1.NewTime(was.Add(time.Duration(period-*om.GetDeletionGracePeriodSeconds()) * time.Second))
	if deadline.Before(&now) {
		deadline = now
		if period != 0 {
			period = 1
		}
	}
	m.SetDeletionTimestamp(&deadline)
	m.SetDeletionGracePeriodSeconds(&period)
}

// markDeleting marks an object that waits for its finalizers (registry.markAsDeleting).
func (s *Store) markDeleting(m metav1.Object) {
	now := s.stamp()
	if m.GetDeletionTimestamp() == nil && m.GetGeneration() > 0 {
		m.SetGeneration(m.GetGeneration() + 1)
	}
	if was := m.GetDeletionTimestamp(); was == nil || was.After(now.Time) {
		m.SetDeletionTimestamp(&now)
	}
	var zero int64
	m.SetDeletionGracePeriodSeconds(&zero)
}

// withGarbageFinalizers adds or removes the finalizers that ask for orphaning or foreground deletion of dependents.
func withGarbageFinalizers(have []string, o metav1.DeleteOptions) []string {
	var orphan, foreground bool
	switch {
	case o.OrphanDependents != nil: //nolint:staticcheck // still part of the API
		orphan = *o.OrphanDependents //nolint:staticcheck // still part of the API
	case o.PropagationPolicy != nil:
		orphan = *o.PropagationPolicy == metav1.DeletePropagationOrphan
		foreground = *o.PropagationPolicy == metav1.DeletePropagationForeground
	default:
		return have
	}
	var out []string
	for _, f := range have {
		if f != metav1.FinalizerOrphanDependents && f != metav1.FinalizerDeleteDependents {
			out = append(out, f)
		}
	}
	if orphan {
		out = append(out, metav1.FinalizerOrphanDependents)
	}
	if foreground {
		out = append(out, metav1.FinalizerDeleteDependents)
	}
	return out
}

// remove takes an object out of the store. last is its last state; it is copied. It returns the state told.
func (s *Store) remove(k *kind, old, last runtime.Object) runtime.Object {
	gone := k.shallow(last)
	// The release of quota cannot fail: it only lowers what is used.
	_ = s.quotas.change(k, old, nil)
	s.commit(k, VerbDelete, "", old, gone)
	s.applied.forget(gone.(metav1.Object).GetUID())
	s.afterDelete(k, gone)
	return gone
}

// DeleteCollection deletes the selected objects of a resource, in key order. It stops at the first error.
func (s *Store) deleteCollection(k *kind, sel selection, o *metav1.DeleteOptions) error {
	objs, _ := s.list(k, sel)
	for _, obj := range objs {
		m := obj.(metav1.Object)
		if _, err := s.delete(k, m.GetNamespace(), m.GetName(), o); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}
