package kwok

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/apis/v1alpha1"
	"sigs.k8s.io/kwok/pkg/utils/gotpl"
	"sigs.k8s.io/kwok/pkg/utils/lifecycle"
	"sigs.k8s.io/yaml"

	"orrery/sim/fleet"
	"orrery/sim/plan"
	"orrery/sim/rng"
)

// kwokStages reads stages as a KWOK cluster does: by its own types, defaults and conversions, strictly.
func kwokStages(t testing.TB, files []plan.File, kind string) []*internalversion.Stage {
	t.Helper()
	var out []*internalversion.Stage
	for _, f := range files {
		for _, doc := range strings.Split("\n"+string(f.Data), "\n---\n") {
			var s v1alpha1.Stage
			if err := yaml.UnmarshalStrict([]byte(doc), &s); err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			v1alpha1.SetObjectDefaults_Stage(&s)
			internal, err := internalversion.ConvertToInternalStage(&s)
			if err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			if internal.Spec.ResourceRef.Kind == kind {
				out = append(out, internal)
			}
		}
	}
	return out
}

// outcome is what playing one stage on an object does, in a comparable form.
type outcome struct {
	Stage string
	Delay []time.Duration
	Steps []string // patches (type, sub-resource, JSON) and deletions
	After string   // the object, JSON; "" when it is gone
}

// byKWOK evaluates and plays a stage with KWOK's own code, renderer included; only the functions that read the cluster
// and the clock are ours.
func byKWOK(t testing.TB, stages []*internalversion.Stage, obj runtime.Object, c *Controller, now time.Time) outcome {
	t.Helper()
	lc, err := lifecycle.NewLifecycle(stages)
	if err != nil {
		t.Fatal(err)
	}
	m := obj.(metav1.Object)
	ev := &lifecycle.Event{Labels: m.GetLabels(), Annotations: m.GetAnnotations(), Data: obj}
	s, err := lc.Match(context.Background(), ev)
	if err != nil {
		t.Fatal(err)
	}
	if s == nil {
		return outcome{}
	}
	out := outcome{Stage: s.Name()}
	if out.Delay, _, err = s.DelayRangePossible(context.Background(), ev, now); err != nil {
		t.Fatal(err)
	}
	if out.Delay == nil { // KWOK tells "no delay" from "a delay of 0", and treats them alike
		out.Delay = []time.Duration{0}
	}
	after, gone := obj, false
	c.playing = m.GetName()
	_, err = s.DoSteps(0, m.GetFinalizers(), obj, gotpl.NewRenderer(c.funcs()),
		func(e *internalversion.StageEvent) error {
			out.Steps = append(out.Steps, fmt.Sprintf("event %s %s %s", e.Type, e.Reason, e.Message))
			return nil
		},
		func() error {
			out.Steps = append(out.Steps, "delete grace 0")
			gone = true
			return nil
		},
		func(p *lifecycle.Patch) error {
			out.Steps = append(out.Steps, fmt.Sprintf("patch %s %s %s", p.Type, p.Subresource, p.Data))
			if after, err = applyPatch(after, p.Type, p.Data); err != nil {
				return err
			}
			return nil
		},
		func(*lifecycle.Apply) error { return fmt.Errorf("no apply here") })
	if err != nil {
		t.Fatalf("%s: %v", s.Name(), err)
	}
	if !gone || len(after.(metav1.Object).GetFinalizers()) > 0 {
		out.After = bare(t, after)
	}
	return out
}

// bare is an object as JSON without what writes and deletions count up.
func bare(t testing.TB, o runtime.Object) string {
	c := o.DeepCopyObject()
	c.(metav1.Object).SetResourceVersion("")
	if p, ok := c.(*corev1.Pod); ok && p.DeletionTimestamp != nil {
		p.DeletionGracePeriodSeconds, p.DeletionTimestamp = nil, nil
	}
	return mustJSON(t, c)
}

// byOurs does the same with the controller.
func byOurs(t testing.TB, files []plan.File, obj runtime.Object, general bool, now time.Time) outcome {
	t.Helper()
	clock := &testClock{}
	api := newTestAPI(t, clock)
	c := testController(t, api, files, func(p *Params) { p.General, p.Epoch = general, now })
	cyc := c.p.Stages.cycle[reflect.TypeOf(obj)]
	o := &object{key: objectKey{reflect.TypeOf(obj), obj.(metav1.Object).GetNamespace(), obj.(metav1.Object).GetName()},
		cycle: cyc, obj: obj}
	v, err := c.view(o, obj)
	if err != nil {
		t.Fatal(err)
	}
	list, err := cyc.candidates(v)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		return outcome{}
	}
	if len(list) > 1 {
		t.Fatalf("%d candidates", len(list))
	}
	v.since = now
	d, err := list[0].delay(v)
	if err != nil {
		t.Fatal(err)
	}
	out := outcome{Stage: list[0].name, Delay: []time.Duration{d.low}}
	switch {
	case d.random():
		out.Delay = append(out.Delay, d.high)
	case d.jitter:
		out.Delay = []time.Duration{d.high}
	}
	api.commit("create", nil, obj)
	key := keyOf(obj)
	o.pending = &pending{stage: list[0]}
	c.p.Hooks.Event = func(_ runtime.Object, typ, reason, msg string) {
		api.log = append(api.log, fmt.Sprintf("event %s %s %s", typ, reason, msg))
	}
	c.p.Hooks.Warn = func(code, msg string) { t.Fatal(code, msg) }
	c.play(o, o.pending)
	out.Steps = api.log
	if after := api.objects[key]; after != nil {
		out.After = bare(t, after)
	}
	return out
}

// shippedSet is the compiled shipped stages: compiling takes milliseconds, and controllers do not change them.
var shippedSet = sync.OnceValue(func() *Set {
	set, err := Load(nil)
	if err != nil {
		panic(err)
	}
	return set
})

func testController(t testing.TB, api *testAPI, files []plan.File, change func(*Params)) *Controller {
	t.Helper()
	set := shippedSet()
	if files != nil {
		var err error
		if set, err = Load(files); err != nil {
			t.Fatal(err)
		}
	}
	p := Params{Clock: api.clock, API: api, Stages: set, Fleet: fleet.New(nil), Random: rng.New(7), Epoch: testEpoch}
	if change != nil {
		change(&p)
	}
	return New(p)
}

// randomPod draws a pod that the shipped stages may find in any state.
func randomPod(r *rand.Rand, now time.Time) *corev1.Pod {
	one := func(s ...string) string { return s[r.IntN(len(s))] }
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u-1",
		Annotations: map[string]string{}},
		Spec: corev1.PodSpec{NodeName: "n", HostNetwork: r.IntN(4) == 0}}
	p.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour))
	for i := range 1 + r.IntN(2) {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprintf("c%d", i),
			Image: one("a", `b"q`, "1.5", "c: d")})
	}
	for i := range r.IntN(3) {
		x := corev1.Container{Name: fmt.Sprintf("i%d", i), Image: "init"}
		always := corev1.ContainerRestartPolicyAlways
		if r.IntN(2) == 0 {
			x.RestartPolicy = &always
		}
		p.Spec.InitContainers = append(p.Spec.InitContainers, x)
	}
	for i := range r.IntN(3) {
		t := corev1.PodConditionType(fmt.Sprintf("gate-%d", i))
		p.Spec.ReadinessGates = append(p.Spec.ReadinessGates, corev1.PodReadinessGate{ConditionType: t})
	}
	p.Status.Phase = corev1.PodPhase(one("Pending", "Pending", "Running", "Running", "Running", "Succeeded", "Failed",
		"Unknown"))
	for _, c := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodReady, corev1.PodInitialized, "gate-0"} {
		if r.IntN(2) == 0 {
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: c, ObservedGeneration: r.Int64N(3),
				Status: corev1.ConditionStatus(one("True", "False")), Reason: one("", "Because"),
				LastTransitionTime: metav1.NewTime(now.Add(-time.Minute))})
		}
	}
	if p.Status.Phase != corev1.PodPending {
		start := metav1.NewTime(now.Add(-30 * time.Second))
		if r.IntN(5) > 0 {
			p.Status.StartTime = &start
		}
		p.Status.PodIP, p.Status.PodIPs = "10.9.9.9", []corev1.PodIP{{IP: "10.9.9.9"}}
	}
	for _, f := range []string{"kwok.x-k8s.io/fake", "batch.kubernetes.io/job-tracking", "other/f"} {
		if r.IntN(4) == 0 {
			p.Finalizers = append(p.Finalizers, f)
		}
	}
	if r.IntN(3) == 0 {
		grace := r.Int64N(60)
		at := metav1.NewTime(now.Add(time.Duration(grace) * time.Second))
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &at, &grace
	}
	for _, a := range []string{AnnotationReadyDelay, AnnotationReadyJitter, AnnotationCompleteDelay, AnnotationDeleteDelay,
		AnnotationDeleteJitter} {
		if r.IntN(3) == 0 {
			p.Annotations[a] = one("", "0s", "1h2m3.5s", "20s", "nonsense", "-3s", stamp(now.Add(10*time.Second)))
		}
	}
	if r.IntN(2) == 0 {
		p.Annotations[AnnotationCompleteOutcome] = one("failed", "killed", "succeeded", "")
	}
	return p
}

// TestShippedStagesAgainstKWOK holds three evaluations equal on random pods: KWOK's own, our general form (equal
// patches, byte for byte) and the native form (equal objects afterwards).
func TestShippedStagesAgainstKWOK(t *testing.T) {
	stages := kwokStages(t, Shipped(), "Pod")
	played := map[string]int{}
	now := testEpoch.Add(1234 * time.Second)
	for seed := range uint64(1200) {
		r := rand.New(rand.NewPCG(seed, 3))
		p := randomPod(r, now)
		ref := testController(t, newTestAPI(t, &testClock{}), nil, func(x *Params) { x.Epoch = now })
		want := byKWOK(t, stages, p.DeepCopy(), ref, now)
		general := byOurs(t, nil, p.DeepCopy(), true, now)
		if diff := cmp.Diff(want, general); diff != "" {
			t.Fatalf("seed %d, general form (-KWOK +ours):\n%s", seed, diff)
		}
		native := byOurs(t, nil, p.DeepCopy(), false, now)
		native.Steps, want.Steps = nil, nil
		if diff := cmp.Diff(want, native); diff != "" {
			t.Fatalf("seed %d, native form (-KWOK +ours):\n%s\npod: %s", seed, diff, mustJSON(t, p))
		}
		played[want.Stage]++
	}
	for _, s := range []string{"", "pod-ready", "pod-complete", "pod-fail", "pod-delete"} {
		if played[s] < 20 {
			t.Errorf("%q was chosen only %d times: %v", s, played[s], played)
		}
	}
}

// TestKWOKStagesAgainstKWOK runs stage sets of KWOK's own repository, where the Go module cache has them: they are read
// without complaint, and do what they do there.
func TestKWOKStagesAgainstKWOK(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok").Output()
	if err != nil || len(strings.TrimSpace(string(dir))) == 0 {
		t.Skip("the go command cannot tell where the module sigs.k8s.io/kwok is")
	}
	root := filepath.Join(strings.TrimSpace(string(dir)), "kustomize", "stage")
	now := testEpoch.Add(time.Second)
	for _, set := range []string{"pod/fast", "pod/general", "node/fast", "node/chaos", "node/heartbeat"} {
		var files []plan.File
		names, _ := filepath.Glob(filepath.Join(root, set, "*.yaml"))
		for _, n := range names {
			if filepath.Base(n) == "kustomization.yaml" {
				continue
			}
			data, err := os.ReadFile(n)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, plan.File{Name: n, Data: data})
		}
		if len(files) == 0 {
			t.Fatalf("no stages in %s/%s", root, set)
		}
		inputs, _ := filepath.Glob(filepath.Join(root, set, "testdata", "*.input.yaml"))
		for _, in := range inputs {
			data, err := os.ReadFile(in)
			if err != nil {
				t.Fatal(err)
			}
			obj, kind := runtime.Object(&corev1.Pod{}), "Pod"
			if strings.HasPrefix(set, "node") {
				obj, kind = &corev1.Node{}, "Node"
			}
			data = []byte(strings.ReplaceAll(string(data), "<Now>", stamp(testEpoch)))
			if err := yaml.Unmarshal(data, obj); err != nil {
				t.Fatal(err)
			}
			obj.GetObjectKind().SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(""))
			ref := testController(t, newTestAPI(t, &testClock{}), files, func(x *Params) { x.Epoch = now })
			ref.addr = addresses{}
			want := byKWOK(t, kwokStages(t, files, kind), obj.DeepCopyObject(), ref, now)
			got := byOurs(t, files, obj.DeepCopyObject(), false, now)
			if want.Stage == "" {
				t.Errorf("%s: no stage", in)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-KWOK +ours):\n%s", in, diff)
			}
		}
	}
}

// TestTreeIsJSON holds the forms that expressions and templates see equal to a round trip through JSON.
func TestTreeIsJSON(t *testing.T) {
	for seed := range uint64(300) {
		p := randomPod(rand.New(rand.NewPCG(seed, 9)), testEpoch)
		var want, wantNumbers any
		data := mustJSON(t, p)
		if err := json.Unmarshal([]byte(data), &want); err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(strings.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&wantNumbers); err != nil {
			t.Fatal(err)
		}
		v := &view{object: p, meta: p}
		if diff := cmp.Diff(want, v.event().Data); diff != "" {
			t.Fatalf("seed %d, for jq:\n%s", seed, diff)
		}
		if diff := cmp.Diff(wantNumbers, forTemplate(p)); diff != "" {
			t.Fatalf("seed %d, for templates:\n%s", seed, diff)
		}
	}
}
