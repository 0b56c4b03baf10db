package hpa

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/util/selectors"
)

// tracker is upstream's hpaSelectorTracker (k8s.io/kubernetes v1.37.2 pkg/controller/podautoscaler/
// hpa_selector_store.go): which autoscalers select which pods.
type tracker interface {
	PutIfAbsent(namespace string, key selectors.Key, selector labels.Selector) bool
	PutIfPresent(namespace string, key selectors.Key, selector labels.Selector) bool
	Delete(namespace string, key selectors.Key)
	HPAsMatchingPods(namespace string, pods []*corev1.Pod, limit int) []selectors.Key
}

// ordered is upstream's tracker, asked for all autoscalers that select some pods, of which it returns the first ones by
// name. Upstream takes the first that it meets in a map and names them in the order of another, in the condition
// AmbiguousSelector: any ones, in another order each time.
type ordered struct{ tracker }

// HPAsMatchingPods implements tracker.
func (o ordered) HPAsMatchingPods(namespace string, pods []*corev1.Pod, limit int) []selectors.Key {
	keys := o.tracker.HPAsMatchingPods(namespace, pods, 0)
	slices.SortFunc(keys, func(a, b selectors.Key) int { return cmp.Compare(a.Name, b.Name) }) // all in one namespace
	if limit > 0 && len(keys) > limit {
		keys = keys[:limit]
	}
	return keys
}

// orderSelectors puts what a controller's tracker says in order. Its field's type is not exported, so that control.Swap
// cannot name it.
func orderSelectors(hc *podautoscaler.HorizontalController) error {
	const field = "selectorTracker"
	f := reflect.ValueOf(hc).Elem().FieldByName(field)
	if !f.IsValid() || f.Kind() != reflect.Interface || !reflect.TypeFor[ordered]().Implements(f.Type()) {
		return fmt.Errorf("%T has no field %s of the known type in this version of Kubernetes", hc, field)
	}
	f = reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
	upstream, ok := f.Interface().(tracker)
	if !ok {
		return fmt.Errorf("the %s of %T is a %T in this version of Kubernetes", field, hc, f.Interface())
	}
	f.Set(reflect.ValueOf(ordered{upstream}))
	return nil
}
