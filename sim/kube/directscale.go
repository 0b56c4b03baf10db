package kube

import (
	"context"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	autoscalingclient "k8s.io/client-go/kubernetes/typed/autoscaling/v2"
	"k8s.io/client-go/scale"
)

var autoscalersGVR = autoscalingv2.SchemeGroupVersion.WithResource("horizontalpodautoscalers")

// Scales returns a scale client of this store. Its requests pass the gate, and are neither encoded nor decoded. It does
// not patch.
func (s *Store) Scales(gate Gate) scale.ScalesGetter { return scales{s, gate} }

type scales struct {
	store *Store
	gate  Gate
}

// Scales implements scale.ScalesGetter.
func (c scales) Scales(ns string) scale.ScaleInterface { return namespacedScales{c, ns} }

type namespacedScales struct {
	scales
	ns string
}

// call describes a request for the scale of an object of k.
func (c namespacedScales) call(verb string, k *kind, name string) Call {
	return Call{Verb: verb, Resource: k.gvr.GroupResource().String(), Namespace: c.ns, Name: name, Subresource: "scale"}
}

// Get implements scale.ScaleInterface.
func (c namespacedScales) Get(ctx context.Context, gr schema.GroupResource, name string, _ metav1.GetOptions) (
	*autoscalingv1.Scale, error) {
	k, err := c.store.lookup(gr.WithVersion(""))
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	var out *autoscalingv1.Scale
	c.gate.run(c.call("get", k, name), func() { out, err = c.store.scale(k, c.ns, name) })
	if err != nil {
		return nil, apierrors.FromObject(statusError(err))
	}
	return out, nil
}

// Update implements scale.ScaleInterface.
func (c namespacedScales) Update(ctx context.Context, gr schema.GroupResource, sc *autoscalingv1.Scale,
	o metav1.UpdateOptions) (*autoscalingv1.Scale, error) {
	k, err := c.store.lookup(gr.WithVersion(""))
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	sc = sc.DeepCopy()
	sc.Namespace = c.ns
	var out *autoscalingv1.Scale
	c.gate.run(c.call("update", k, sc.Name), func() { out, err = c.store.updateScale(k, sc, len(o.DryRun) > 0) })
	if err != nil {
		return nil, apierrors.FromObject(statusError(err))
	}
	return out, nil
}

// Patch implements scale.ScaleInterface.
func (c namespacedScales) Patch(_ context.Context, gvr schema.GroupVersionResource, _ string, _ types.PatchType,
	_ []byte, _ metav1.PatchOptions) (*autoscalingv1.Scale, error) {
	return nil, apierrors.NewMethodNotSupported(gvr.GroupResource(), "patch")
}

// Autoscalers returns a client for HorizontalPodAutoscalers that asks cs for everything but updates of their status.
// These pass the gate and are neither encoded nor decoded, and the store takes over what is sent: the caller does not
// change it any more. What is answered is only to be read.
func (s *Store) Autoscalers(cs autoscalingclient.HorizontalPodAutoscalersGetter, gate Gate,
) autoscalingclient.HorizontalPodAutoscalersGetter {
	return autoscalers{cs, s, gate}
}

type autoscalers struct {
	client autoscalingclient.HorizontalPodAutoscalersGetter
	store  *Store
	gate   Gate
}

// HorizontalPodAutoscalers implements autoscalingclient.HorizontalPodAutoscalersGetter.
func (c autoscalers) HorizontalPodAutoscalers(ns string) autoscalingclient.HorizontalPodAutoscalerInterface {
	return namespacedAutoscalers{c.client.HorizontalPodAutoscalers(ns), c, ns}
}

type namespacedAutoscalers struct {
	autoscalingclient.HorizontalPodAutoscalerInterface
	autoscalers
	ns string
}

// UpdateStatus implements autoscalingclient.HorizontalPodAutoscalerInterface.
func (c namespacedAutoscalers) UpdateStatus(ctx context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler,
	o metav1.UpdateOptions) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	if len(o.DryRun) > 0 || hpa.Namespace != c.ns || hpa.Name == "" {
		return c.HorizontalPodAutoscalerInterface.UpdateStatus(ctx, hpa, o)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out runtime.Object
	var err error
	call := Call{Verb: "update", Resource: autoscalersGVR.GroupResource().String(), Namespace: c.ns, Name: hpa.Name,
		Subresource: "status"}
	c.gate.run(call, func() { out, err = c.store.updateAutoscalerStatus(hpa) })
	if err != nil {
		return nil, apierrors.FromObject(statusError(err))
	}
	return out.(*autoscalingv2.HorizontalPodAutoscaler), nil
}

// updateAutoscalerStatus updates the status of an autoscaler that the store takes over.
func (s *Store) updateAutoscalerStatus(hpa *autoscalingv2.HorizontalPodAutoscaler) (out runtime.Object, err error) {
	k := s.kinds.byGVR[autoscalersGVR]
	wholeSeconds(&hpa.Status)
	err = s.transact(func() error {
		old, _ := s.peek(k, hpa.Namespace, hpa.Name).(*autoscalingv2.HorizontalPodAutoscaler)
		if old != nil && checkVersion(k, hpa, old, "status") == nil && s.quickAutoscaler(old, hpa) {
			out, err = s.put(k, old, hpa, "status", false)
			return err
		}
		out, err = s.updateLocked(k, hpa.DeepCopy(), "status", false)
		return err
	})
	return out, err
}

// wholeSeconds leaves of a status's times what their encoding does.
func wholeSeconds(st *autoscalingv2.HorizontalPodAutoscalerStatus) {
	if st.LastScaleTime != nil {
		t := wholeSecond(*st.LastScaleTime)
		st.LastScaleTime = &t
	}
	for i := range st.Conditions {
		st.Conditions[i].LastTransitionTime = wholeSecond(st.Conditions[i].LastTransitionTime)
	}
}

// quickAutoscaler is quickStatus for autoscalers: it makes obj, sent with a status update, the object to be stored, or
// reports false and leaves it alone. What upstream checks is what is checked here (ValidateHorizontalPodAutoscaler-
// StatusUpdate and the declared validation of v2, v1.37.2, which is about references to objects).
func (s *Store) quickAutoscaler(old, obj *autoscalingv2.HorizontalPodAutoscaler) bool {
	st := &obj.Status
	if s.exact || obj.GenerateName != old.GenerateName || !sameMap(obj.Labels, old.Labels) ||
		!sameMap(obj.Annotations, old.Annotations) || len(obj.Finalizers)+len(old.Finalizers) > 0 ||
		old.DeletionTimestamp != nil || st.CurrentReplicas < 0 || st.DesiredReplicas < 0 {
		return false
	}
	for i := range st.Conditions {
		if st.Conditions[i].ObservedGeneration != nil {
			return false
		}
	}
	for i := range st.CurrentMetrics {
		if st.CurrentMetrics[i].Type == autoscalingv2.ObjectMetricSourceType {
			return false
		}
	}
	for key := range old.Annotations {
		if isOldAutoscalerAnnotation(key) {
			return false
		}
	}
	obj.TypeMeta, obj.ObjectMeta, obj.Spec = metav1.TypeMeta{}, old.ObjectMeta, old.Spec
	return true
}

// isOldAutoscalerAnnotation reports whether a conversion to v2 drops the annotation.
func isOldAutoscalerAnnotation(key string) bool {
	const prefix = "autoscaling.alpha.kubernetes.io/"
	return len(key) >= len(prefix) && key[:len(prefix)] == prefix
}
