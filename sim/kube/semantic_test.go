package kube

import (
	"math/rand"
	"reflect"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/randfill"
)

// upstreamEquality is equality.Semantic as upstream has it, before a store adds to it.
var upstreamEquality = equality.Semantic.Copy()

// TestPlainEquality compares SamePlain with equality.Semantic on random values, their copies, copies with one change
// somewhere, and copies in which what is empty is nil or the other way round.
func TestPlainEquality(t *testing.T) {
	if len(upstreamEquality.Equalities) != 6 {
		t.Fatalf("equality.Semantic has functions for %d types in this version of Kubernetes, not 6",
			len(upstreamEquality.Equalities))
	}
	plainAgrees[corev1.PodTemplateSpec](t)
	plainAgrees[appsv1.DeploymentSpec](t)
	plainAgrees[appsv1.DeploymentStatus](t)
	plainAgrees[appsv1.ReplicaSetSpec](t)
	plainAgrees[appsv1.ReplicaSetStatus](t)
	plainAgrees[autoscalingv2.HorizontalPodAutoscalerSpec](t)
	plainAgrees[autoscalingv2.HorizontalPodAutoscalerStatus](t)
}

func plainAgrees[T any, P interface {
	*T
	DeepCopy() *T
}](t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	fill := randfill.New().RandSource(rng).NilChance(0.5).NumElements(0, 2).MaxDepth(12).Funcs(
		func(q *resource.Quantity, c randfill.Continue) {
			*q = *resource.NewMilliQuantity(c.Int63n(5000), "DecimalSI")
		},
		func(t *metav1.Time, c randfill.Continue) { t.Time = time.Unix(c.Int63n(5), c.Int63n(5)) },
		func(f *metav1.FieldsV1, c randfill.Continue) { f.SetRawBytes([]byte(c.String(3))) },
	)
	equal := 0
	for range 300 {
		var a, other T
		fill.Fill(&a)
		b := P(&a).DeepCopy()
		switch rng.Intn(5) {
		case 0:
		case 1:
			fill.Fill(&other)
			b = &other
		default:
			disturb(rng, reflect.ValueOf(b).Elem())
		}
		want := upstreamEquality.DeepEqual(&a, b)
		if got := SamePlain(&a, b); got != want {
			t.Fatalf("%T: equal is %v, upstream says %v:\n%+v\n%+v", a, got, want, a, *b)
		}
		if want {
			equal++
		}
	}
	if equal < 30 || equal > 270 {
		t.Errorf("%T: %d of 300 pairs were equal: the test says little", *new(T), equal)
	}
	var none *T
	if SamePlain(none, new(T)) || !SamePlain(none, none) {
		t.Errorf("%T: nil is not like nothing else", none)
	}
}

// disturb changes one thing of v, or writes an equal one in another way.
func disturb(rng *rand.Rand, v reflect.Value) {
	for {
		switch q, ok := v.Addr().Interface().(*resource.Quantity); {
		case ok && rng.Intn(2) == 0:
			*q = resource.MustParse(q.AsDec().String()) // the same, kept in another form
			return
		case ok:
			q.Add(resource.MustParse("1m"))
			return
		}
		if _, ok := v.Addr().Interface().(*metav1.Time); ok {
			return
		}
		switch v.Kind() {
		case reflect.Struct:
			v = v.Field(rng.Intn(v.NumField()))
			continue
		case reflect.Pointer:
			if v.IsNil() || rng.Intn(4) == 0 {
				v.Set(reflect.New(v.Type().Elem()))
				return
			}
			v = v.Elem()
			continue
		case reflect.Slice:
			if v.Len() > 0 {
				v = v.Index(rng.Intn(v.Len()))
				continue
			}
			if v.IsNil() {
				v.Set(reflect.MakeSlice(v.Type(), 0, 0))
			} else {
				v.SetZero()
			}
		case reflect.Map:
			disturbMap(rng, v)
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Int32, reflect.Int64:
			v.SetInt(v.Int() + 1)
		}
		return
	}
}

// disturbMap drops a key, renames one, or makes an empty map of none.
func disturbMap(rng *rand.Rand, v reflect.Value) {
	if v.Len() == 0 {
		v.Set(reflect.MakeMap(v.Type()))
		return
	}
	key := v.MapKeys()[0]
	kept := v.MapIndex(key)
	v.SetMapIndex(key, reflect.Value{})
	if rng.Intn(2) == 0 {
		v.SetMapIndex(reflect.ValueOf(key.String()+"x").Convert(key.Type()), kept)
	}
}

// TestPlainEqualityIsUsed says that a store makes upstream's code compare templates so.
func TestPlainEqualityIsUsed(t *testing.T) {
	newFixture(t)
	if _, ok := equality.Semantic.Equalities[reflect.TypeFor[*corev1.PodTemplateSpec]()]; !ok {
		t.Error("equality.Semantic has no function for templates of pods")
	}
}
