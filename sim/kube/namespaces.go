package kube

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var namespacesGVR = corev1.SchemeGroupVersion.WithResource("namespaces")

// immortalNamespaces may not be deleted (k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle).
var immortalNamespaces = map[string]bool{
	metav1.NamespaceDefault: true, metav1.NamespaceSystem: true, metav1.NamespacePublic: true,
}

// systemNamespaces exist in every cluster.
func systemNamespaces() []runtime.Object {
	var out []runtime.Object
	for _, name := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic,
		corev1.NamespaceNodeLease} {
		out = append(out, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	return out
}

// admitNamespace is upstream's NamespaceLifecycle on create: the namespace must exist and not be terminating.
func (s *Store) admitNamespace(k *kind, m metav1.Object) error {
	if !k.namespaced || m.GetNamespace() == "" {
		return nil // validation reports the missing namespace
	}
	obj := s.peek(s.kinds.byGVR[namespacesGVR], "", m.GetNamespace())
	if obj == nil {
		return apierrors.NewNotFound(namespacesGVR.GroupResource(), m.GetNamespace())
	}
	if obj.(*corev1.Namespace).Status.Phase != corev1.NamespaceTerminating {
		return nil
	}
	err := apierrors.NewForbidden(k.gvr.GroupResource(), m.GetName(), fmt.Errorf(
		"unable to create new content in namespace %s because it is being terminated", m.GetNamespace()))
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
		Type:    corev1.NamespaceTerminatingCause,
		Message: fmt.Sprintf("namespace %s is being terminated", m.GetNamespace()), Field: "metadata.namespace",
	})
	return err
}

// holdsNamespace reports whether obj is a namespace that still has a finalizer in its spec.
func holdsNamespace(obj runtime.Object) bool {
	n, ok := obj.(*corev1.Namespace)
	return ok && len(n.Spec.Finalizers) > 0
}

// deleteNamespace begins to terminate a namespace; the rest happens in finishNamespace as its content goes.
func (s *Store) deleteNamespace(k *kind, old *corev1.Namespace) (runtime.Object, error) {
	if immortalNamespaces[old.Name] {
		return nil, apierrors.NewForbidden(schema.GroupResource{Resource: "namespaces"}, old.Name,
			fmt.Errorf("this namespace may not be deleted"))
	}
	if old.DeletionTimestamp != nil {
		return old, nil
	}
	obj := k.shallow(old).(*corev1.Namespace)
	now := s.stamp()
	obj.DeletionTimestamp = &now
	obj.Status.Phase = corev1.NamespaceTerminating
	s.commit(k, VerbUpdate, "", old, obj)
	s.garbage = append(s.garbage, refOf(k, obj))
	return obj, nil
}

// finishNamespace does the namespace controller's work: delete the content, and once none is left, finalize and
// remove the namespace.
func (s *Store) finishNamespace(k *kind, n *corev1.Namespace) {
	for _, ck := range s.kinds.ordered {
		s.data.RLock()
		var objs []runtime.Object
		if len(s.tables[ck].objs[n.Name]) > 0 && ck.namespaced {
			objs = s.listLocked(ck, selection{ns: n.Name})
		}
		s.data.RUnlock()
		for _, obj := range objs {
			m := obj.(metav1.Object)
			if m.GetDeletionTimestamp() == nil {
				background := metav1.DeletePropagationBackground
				_, _ = s.deleteLocked(ck, n.Name, m.GetName(), metav1.DeleteOptions{PropagationPolicy: &background})
			}
		}
	}
	s.data.RLock()
	left := s.perNS[n.Name]
	s.data.RUnlock()
	if left > 0 {
		return
	}
	old := s.peek(k, "", n.Name)
	if old == nil || len(old.(*corev1.Namespace).Finalizers) > 0 {
		return
	}
	s.remove(k, old, old)
}

// afterContentGone looks again at a terminating namespace when its last object goes.
func (s *Store) afterContentGone(ns string) {
	if ns == "" {
		return
	}
	s.data.RLock()
	left := s.perNS[ns]
	s.data.RUnlock()
	if left > 0 {
		return
	}
	k := s.kinds.byGVR[namespacesGVR]
	if obj := s.peek(k, "", ns); obj != nil && obj.(*corev1.Namespace).DeletionTimestamp != nil {
		s.garbage = append(s.garbage, refOf(k, obj.(metav1.Object)))
	}
}
