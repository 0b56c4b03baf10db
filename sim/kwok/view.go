package kwok

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kwok/pkg/utils/lifecycle"
)

// view is an object as stages see it: with the hidden annotations, which the stored object does not have.
type view struct {
	object  runtime.Object // shallow copy when there are hidden annotations; never changed
	meta    metav1.Object
	hidden  map[string]string
	typed   bool      // CEL wants Go types
	general bool      // use the general form of stages even where there is a native one
	since   time.Time // when the stage began to wait
	ev      *lifecycle.Event
}

// view returns the view of an object with hidden annotations.
func (c *cycle) view(obj runtime.Object, hidden map[string]string) (*view, error) {
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, err
	}
	return &view{object: obj, meta: m, hidden: hidden, typed: c.typed}, nil
}

// annotation returns an annotation, the hidden one before the stored one.
func (v *view) annotation(name string) (string, bool) {
	if x, ok := v.hidden[name]; ok {
		return x, true
	}
	x, ok := v.meta.GetAnnotations()[name]
	return x, ok
}

// merged returns the object with the hidden annotations among its own.
func (v *view) merged() runtime.Object {
	if len(v.hidden) == 0 {
		return v.object
	}
	all := make(map[string]string, len(v.hidden)+len(v.meta.GetAnnotations()))
	maps.Copy(all, v.meta.GetAnnotations())
	maps.Copy(all, v.hidden)
	switch o := v.object.(type) {
	case *corev1.Pod:
		p := *o
		p.Annotations = all
		return &p
	case *corev1.Node:
		n := *o
		n.Annotations = all
		return &n
	}
	o := v.object.DeepCopyObject()
	m, _ := meta.Accessor(o)
	m.SetAnnotations(all)
	return o
}

// event returns the view in the form KWOK evaluates expressions on. It is made once. jq sees what json.Unmarshal
// would make of the object; for CEL it is the Go value of a Pod or Node, else the same tree as for jq.
func (v *view) event() *lifecycle.Event {
	if v.ev != nil {
		return v.ev
	}
	o := v.merged()
	m, _ := meta.Accessor(o)
	v.ev = &lifecycle.Event{Labels: m.GetLabels(), Annotations: m.GetAnnotations()}
	switch o.(type) {
	case *corev1.Pod, *corev1.Node:
		if v.typed {
			v.ev.Data = o
			return v.ev
		}
	}
	t := tree(o, func(i int64) any { return float64(i) }, func(f float64) any { return f })
	v.ev.Data = t
	if v.typed {
		v.ev.Data = &unstructured.Unstructured{Object: t}
	}
	return v.ev
}

// forTemplate returns an object as KWOK's templates see it: as JSON whose numbers keep their digits.
func forTemplate(o any) any {
	return tree(o, func(i int64) any { return json.Number(strconv.FormatInt(i, 10)) }, func(f float64) any {
		b, err := json.Marshal(f)
		if err != nil {
			panic(fmt.Sprintf("kwok: %v in an object", f))
		}
		return json.Number(b)
	})
}

// tree turns an object into maps and slices, as a round trip through JSON would, numbers by the given functions.
func tree(o any, whole func(int64) any, broken func(float64) any) map[string]any {
	t, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		panic(fmt.Sprintf("kwok: %T has no JSON form: %v", o, err)) // every API object has
	}
	var walk func(x any) any
	walk = func(x any) any {
		switch x := x.(type) {
		case map[string]any:
			for k, e := range x {
				x[k] = walk(e)
			}
		case []any:
			for i, e := range x {
				x[i] = walk(e)
			}
		case int64:
			return whole(x)
		case float64:
			return broken(x)
		}
		return x
	}
	return walk(t).(map[string]any)
}
