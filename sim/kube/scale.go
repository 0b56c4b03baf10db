package kube

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	lwsv1 "sigs.k8s.io/lws/api/leaderworkerset/v1"
)

// scaleParts are the fields behind a scale.
type scaleParts struct {
	replicas *int32
	selector string
	observed int32
	set      func(runtime.Object, int32) // writes replicas into an object whose spec is its own
}

// scalePartsOf reads the scale of the kinds that have one.
func scalePartsOf(obj runtime.Object) (scaleParts, bool) {
	switch o := obj.(type) {
	case *appsv1.Deployment:
		return scaleParts{o.Spec.Replicas, selectorText(o.Spec.Selector), o.Status.Replicas,
			func(obj runtime.Object, n int32) { obj.(*appsv1.Deployment).Spec.Replicas = &n }}, true
	case *appsv1.ReplicaSet:
		return scaleParts{o.Spec.Replicas, selectorText(o.Spec.Selector), o.Status.Replicas,
			func(obj runtime.Object, n int32) { obj.(*appsv1.ReplicaSet).Spec.Replicas = &n }}, true
	case *appsv1.StatefulSet:
		return scaleParts{o.Spec.Replicas, selectorText(o.Spec.Selector), o.Status.Replicas,
			func(obj runtime.Object, n int32) { obj.(*appsv1.StatefulSet).Spec.Replicas = &n }}, true
	case *corev1.ReplicationController:
		return scaleParts{o.Spec.Replicas, labels.SelectorFromSet(o.Spec.Selector).String(), o.Status.Replicas,
			func(obj runtime.Object, n int32) { obj.(*corev1.ReplicationController).Spec.Replicas = &n }}, true
	case *lwsv1.LeaderWorkerSet: // as its definition says
		return scaleParts{o.Spec.Replicas, o.Status.HPAPodSelector, o.Status.Replicas,
			func(obj runtime.Object, n int32) { obj.(*lwsv1.LeaderWorkerSet).Spec.Replicas = &n }}, true
	}
	return scaleParts{}, false
}

// Replicas returns the kind of an object that has a scale, and how many replicas it should have.
func Replicas(obj runtime.Object) (kind string, n int32, ok bool) {
	parts, ok := scalePartsOf(obj)
	if !ok {
		return "", 0, false
	}
	if parts.replicas != nil {
		n = *parts.replicas
	}
	return reflect.TypeOf(obj).Elem().Name(), n, true
}

// scale returns the scale of an object.
func (s *Store) scale(k *kind, ns, name string) (*autoscalingv1.Scale, error) {
	obj := s.peek(k, ns, name)
	if obj == nil {
		if _, ok := scalePartsOf(k.newObject()); ok {
			return nil, apierrors.NewNotFound(k.gvr.GroupResource(), name)
		}
		return nil, subresourceMissing(k, "scale")
	}
	if out := scaleOf(obj); out != nil {
		return out, nil
	}
	return nil, subresourceMissing(k, "scale")
}

// selectorText is metav1.FormatLabelSelector. Upstream validates every key and value with regular expressions, each
// time; those of selectors of stored workloads are valid.
func selectorText(sel *metav1.LabelSelector) string {
	if sel == nil || len(sel.MatchLabels) == 0 || len(sel.MatchExpressions) > 0 {
		return metav1.FormatLabelSelector(sel)
	}
	var b strings.Builder
	for i, key := range slices.Sorted(maps.Keys(sel.MatchLabels)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(key + "=" + sel.MatchLabels[key])
	}
	return b.String()
}

// scaleOf makes the scale of an object, nil if it has none.
func scaleOf(obj runtime.Object) *autoscalingv1.Scale {
	parts, ok := scalePartsOf(obj)
	if !ok {
		return nil
	}
	m := obj.(metav1.Object)
	out := &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: m.GetName(), Namespace: m.GetNamespace(), UID: m.GetUID(),
			ResourceVersion: m.GetResourceVersion(), CreationTimestamp: m.GetCreationTimestamp()},
		Status: autoscalingv1.ScaleStatus{Replicas: parts.observed, Selector: parts.selector},
	}
	if parts.replicas != nil {
		out.Spec.Replicas = *parts.replicas
	}
	out.GetObjectKind().SetGroupVersionKind(autoscalingv1.SchemeGroupVersion.WithKind("Scale"))
	return out
}

// updateScale sets the replicas of an object.
func (s *Store) updateScale(k *kind, sc *autoscalingv1.Scale, dry bool) (out *autoscalingv1.Scale, err error) {
	err = s.transact(func() error {
		out, err = s.updateScaleLocked(k, sc, dry)
		return err
	})
	return out, err
}

// updateScaleLocked is updateScale for callers that hold write.
func (s *Store) updateScaleLocked(k *kind, sc *autoscalingv1.Scale, dry bool) (*autoscalingv1.Scale, error) {
	if _, err := s.scale(k, sc.Namespace, sc.Name); err != nil {
		return nil, err
	}
	old := s.peek(k, sc.Namespace, sc.Name)
	if sc.Spec.Replicas < 0 {
		return nil, apierrors.NewInvalid(autoscalingv1.SchemeGroupVersion.WithKind("Scale").GroupKind(), sc.Name,
			field.ErrorList{field.Invalid(field.NewPath("spec", "replicas"), sc.Spec.Replicas,
				"must be greater than or equal to 0")})
	}
	obj := old.DeepCopyObject()
	m := obj.(metav1.Object)
	if sc.ResourceVersion != "" {
		m.SetResourceVersion(sc.ResourceVersion)
	}
	if sc.UID != "" && sc.UID != m.GetUID() {
		return nil, apierrors.NewConflict(k.gvr.GroupResource(), sc.Name, fmt.Errorf(
			"Precondition failed: UID in precondition: %v, UID in object meta: %v", sc.UID, m.GetUID()))
	}
	parts, _ := scalePartsOf(obj)
	parts.set(obj, sc.Spec.Replicas)
	stored, err := s.replace(k, old, obj, "", dry)
	if err != nil {
		return nil, err
	}
	return scaleOf(stored), nil
}
