package kube

import (
	"reflect"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Upstream's controllers compare specs and statuses with equality.Semantic, above all the Deployment controller, which
// compares the template of a Deployment with those of its ReplicaSets four times a sync. Semantic walks values by
// reflection, remembers every struct it comes by in a map, against cycles, and boxes every string; on a template that
// is a hundred times the work of the comparison. It takes functions for types, so those that are compared all the
// time have one here, which says the same.

// plainEquality makes equality.Semantic, once in a process, compare what runs compare all the time without that work.
var plainEquality = sync.OnceValue(func() error {
	return equality.Semantic.AddFuncs(
		SamePlain[corev1.PodTemplateSpec],
		SamePlain[appsv1.DeploymentSpec],
		SamePlain[appsv1.DeploymentStatus],
		SamePlain[appsv1.ReplicaSetSpec],
		SamePlain[appsv1.ReplicaSetStatus],
		SamePlain[autoscalingv2.HorizontalPodAutoscalerSpec],
		SamePlain[autoscalingv2.HorizontalPodAutoscalerStatus],
	)
})

// SamePlain is equality.Semantic.DeepEqual of types of the API that do not refer to themselves. What pointers of these
// types point to is compared, never a whole object: upstream's server-side apply has its own rules for those.
func SamePlain[T any](a, b *T) bool {
	if a == b || a == nil || b == nil {
		return a == b
	}
	return sameValue(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem())
}

// The types that equality.Semantic has functions for, as far as types of the API use them.
var (
	quantityType  = reflect.TypeFor[resource.Quantity]()
	timeType      = reflect.TypeFor[metav1.Time]()
	microTimeType = reflect.TypeFor[metav1.MicroTime]()
	fieldsType    = reflect.TypeFor[metav1.FieldsV1]()
)

// sameValue compares two values of the same type. Like equality.Semantic it takes nothing and an empty list or map for
// the same.
func sameValue(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.String:
		return a.String() == b.String()
	case reflect.Struct:
		return sameStruct(a, b)
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() || a.UnsafePointer() == b.UnsafePointer() {
			return a.IsNil() == b.IsNil()
		}
		return sameValue(a.Elem(), b.Elem())
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		if a.Len() == 0 || a.UnsafePointer() == b.UnsafePointer() {
			return true
		}
		for i := range a.Len() {
			if !sameValue(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		return sameMapValue(a, b)
	case reflect.Bool:
		return a.Bool() == b.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return a.Int() == b.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return a.Uint() == b.Uint()
	default: // none in the types compared here
		return equality.Semantic.DeepEqual(a.Interface(), b.Interface())
	}
}

// sameStruct is sameValue of structs.
func sameStruct(a, b reflect.Value) bool {
	switch a.Type() {
	case quantityType, timeType, microTimeType, fieldsType:
		if !a.CanAddr() || !b.CanAddr() {
			return equality.Semantic.DeepEqual(a.Interface(), b.Interface())
		}
		return sameOpaque(a.Addr().Interface(), b.Addr().Interface())
	}
	for i := range a.NumField() {
		if !sameValue(a.Field(i), b.Field(i)) {
			return false
		}
	}
	return true
}

// sameOpaque compares what equality.Semantic has functions for, with what those do.
func sameOpaque(a, b any) bool {
	switch a := a.(type) {
	case *resource.Quantity:
		return a.Cmp(*b.(*resource.Quantity)) == 0
	case *metav1.Time:
		return a.UTC() == b.(*metav1.Time).UTC() //nolint:staticcheck // as equality.Semantic has it
	case *metav1.MicroTime:
		return a.UTC() == b.(*metav1.MicroTime).UTC() //nolint:staticcheck // as equality.Semantic has it
	case *metav1.FieldsV1:
		return a.Equal(*b.(*metav1.FieldsV1))
	}
	return false
}

// sameMapValue is sameValue of maps. As in equality.Semantic, a key that only b has counts by the number of keys.
func sameMapValue(a, b reflect.Value) bool {
	if a.Len() != b.Len() {
		return false
	}
	if a.Len() == 0 || a.UnsafePointer() == b.UnsafePointer() {
		return true
	}
	switch x := a.Interface().(type) {
	case map[string]string:
		return sameMap(x, b.Interface().(map[string]string))
	case corev1.ResourceList:
		y := b.Interface().(corev1.ResourceList)
		for name, p := range x {
			if q, ok := y[name]; !ok || p.Cmp(q) != 0 {
				return false
			}
		}
		return true
	}
	for it := a.MapRange(); it.Next(); {
		v := b.MapIndex(it.Key())
		if !v.IsValid() || !sameValue(it.Value(), v) {
			return false
		}
	}
	return true
}
