package kwok

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"orrery/sim/engine"
	"orrery/sim/units"
)

var testEpoch = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// testClock is a heap of events as engine.Engine has one, without the bubble.
type testClock struct {
	now    units.Time
	seq    int
	events []*testEvent
}

type testEvent struct {
	at    units.Time
	phase engine.Phase
	seq   int
	name  string
	fn    func()
	key   *engine.Event
}

func (c *testClock) Now() units.Time { return c.now }

func (c *testClock) At(t units.Time, p engine.Phase, name string, fn func()) *engine.Event {
	if t < c.now {
		panic(fmt.Sprintf("%s is scheduled at %s, before now %s", name, t, c.now))
	}
	c.seq++
	e := &testEvent{t.RoundUp(), p, c.seq, name, fn, new(engine.Event)}
	c.events = append(c.events, e)
	return e.key
}

func (c *testClock) Cancel(ev *engine.Event) {
	c.events = slices.DeleteFunc(c.events, func(e *testEvent) bool { return e.key == ev })
}

// run plays events up to and including an instant.
func (c *testClock) run(until units.Time) {
	for len(c.events) > 0 {
		e := slices.MinFunc(c.events, func(a, b *testEvent) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.phase, b.phase), cmp.Compare(a.seq, b.seq))
		})
		if e.at > until {
			break
		}
		c.now = e.at
		c.Cancel(e.key)
		e.fn()
	}
	c.now = max(c.now, until)
}

// testAPI is a small API server for pods, nodes and whatever else is put into it.
type testAPI struct {
	t        testing.TB
	clock    *testClock
	objects  map[string]runtime.Object
	rv       int
	onCommit func(verb string, old, new runtime.Object)
	log      []string // patches and deletions as they came in
	fail     func(what string) error
}

func newTestAPI(t testing.TB, clock *testClock) *testAPI {
	return &testAPI{t: t, clock: clock, objects: map[string]runtime.Object{},
		onCommit: func(string, runtime.Object, runtime.Object) {}}
}

func keyOf(o runtime.Object) string {
	m, _ := meta.Accessor(o)
	kind, _ := meta.UnsafeGuessKindToResource(corev1.SchemeGroupVersion.WithKind(reflect.TypeOf(o).Elem().Name()))
	return kind.Resource + "/" + m.GetNamespace() + "/" + m.GetName()
}

func (a *testAPI) commit(verb string, old, obj runtime.Object) runtime.Object {
	if obj == nil {
		delete(a.objects, keyOf(old))
		a.onCommit(verb, old, nil)
		return nil
	}
	a.rv++
	m, _ := meta.Accessor(obj)
	m.SetResourceVersion(strconv.Itoa(a.rv))
	a.objects[keyOf(obj)] = obj
	a.onCommit(verb, old, obj)
	return obj
}

func (a *testAPI) create(obj runtime.Object) runtime.Object {
	m, _ := meta.Accessor(obj)
	m.SetCreationTimestamp(metav1.NewTime(testEpoch.Add(time.Duration(a.clock.now)).Truncate(time.Second)))
	if p, ok := obj.(*corev1.Pod); ok && p.Status.Phase == "" {
		p.Status.Phase = corev1.PodPending
	}
	return a.commit("create", nil, obj)
}

// edit commits a change of an object; sub-resources are not kept apart.
func edit[T runtime.Object](a *testAPI, obj T, change func(T)) T {
	old, ok := a.objects[keyOf(obj)].(T)
	if !ok {
		a.t.Fatalf("no %s", keyOf(obj))
	}
	n := old.DeepCopyObject().(T)
	change(n)
	return a.commit("update", old, n).(T)
}

func (a *testAPI) pod(name string) *corev1.Pod {
	p, _ := a.objects["pods/ns/"+name].(*corev1.Pod)
	return p
}

func notFound(name string) error {
	return apierrors.NewNotFound(schema.GroupResource{Resource: "things"}, name)
}

func (a *testAPI) Update(obj runtime.Object, sub string) (runtime.Object, error) {
	if a.fail != nil {
		if err := a.fail("update"); err != nil {
			return nil, err
		}
	}
	m, _ := meta.Accessor(obj)
	old := a.objects[keyOf(obj)]
	if old == nil {
		return nil, notFound(keyOf(obj))
	}
	o, _ := meta.Accessor(old)
	if o.GetResourceVersion() != m.GetResourceVersion() {
		return nil, apierrors.NewConflict(schema.GroupResource{}, m.GetName(), fmt.Errorf("stale"))
	}
	return a.write(old, obj.DeepCopyObject()), nil
}

// write commits unless nothing changes.
func (a *testAPI) write(old, n runtime.Object) runtime.Object {
	if mustJSON(a.t, old) == mustJSON(a.t, n) {
		return old
	}
	if m, _ := meta.Accessor(n); m.GetDeletionTimestamp() != nil && len(m.GetFinalizers()) == 0 {
		if p, ok := n.(*corev1.Pod); !ok || *p.DeletionGracePeriodSeconds == 0 {
			return a.commit("delete", n, nil)
		}
	}
	return a.commit("update", old, n)
}

func (a *testAPI) Patch(gvr schema.GroupVersionResource, ns, name string, pt types.PatchType, data []byte, sub string,
	_ metav1.PatchOptions) (runtime.Object, error) {
	a.log = append(a.log, fmt.Sprintf("patch %s %s %s", pt, sub, data))
	if a.fail != nil {
		if err := a.fail("patch"); err != nil {
			return nil, err
		}
	}
	old := a.objects[gvr.Resource+"/"+ns+"/"+name]
	if old == nil {
		return nil, notFound(name)
	}
	n, err := applyPatch(old, pt, data)
	if err != nil {
		return nil, err
	}
	return a.write(old, n), nil
}

// applyPatch patches as the API server does.
func applyPatch(old runtime.Object, pt types.PatchType, data []byte) (runtime.Object, error) {
	doc, err := json.Marshal(old)
	if err != nil {
		return nil, err
	}
	switch pt {
	case types.StrategicMergePatchType:
		doc, err = strategicpatch.StrategicMergePatch(doc, data, old)
	case types.MergePatchType:
		doc, err = jsonpatch.MergePatch(doc, data)
	case types.JSONPatchType:
		var p jsonpatch.Patch
		if p, err = jsonpatch.DecodePatch(data); err == nil {
			doc, err = p.Apply(doc)
		}
	default:
		err = fmt.Errorf("patch type %s", pt)
	}
	if err != nil {
		return nil, err
	}
	n := reflect.New(reflect.TypeOf(old).Elem()).Interface().(runtime.Object)
	return n, json.Unmarshal(doc, n)
}

func (a *testAPI) Delete(gvr schema.GroupVersionResource, ns, name string, o *metav1.DeleteOptions) error {
	a.log = append(a.log, fmt.Sprintf("delete grace %d", *o.GracePeriodSeconds))
	old := a.objects[gvr.Resource+"/"+ns+"/"+name]
	if old == nil {
		return notFound(name)
	}
	n := old.DeepCopyObject()
	m, _ := meta.Accessor(n)
	grace := *o.GracePeriodSeconds
	end := testEpoch.Add(time.Duration(a.clock.now)).Add(time.Duration(grace) * time.Second)
	at := metav1.NewTime(end.Truncate(time.Second))
	if was := m.GetDeletionTimestamp(); was == nil || at.Before(was) {
		m.SetDeletionTimestamp(&at)
	}
	if p, ok := n.(*corev1.Pod); ok {
		if p.Spec.NodeName == "" || terminal(p.Status.Phase) {
			grace = 0
		}
		if p.DeletionGracePeriodSeconds != nil {
			grace = min(grace, *p.DeletionGracePeriodSeconds)
		}
		p.DeletionGracePeriodSeconds = &grace
		a.write(old, n)
		return nil
	}
	a.write(old, n)
	return nil
}

func mustJSON(t testing.TB, o any) string {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
