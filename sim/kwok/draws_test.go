package kwok

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"orrery/sim/plan"
	"orrery/sim/rng"
)

// draws starts many pods with the shipped start-up delay and returns when each ran.
func draws(t testing.TB, seed uint64, names []string) map[string]time.Duration {
	t.Helper()
	out := map[string]time.Duration{}
	clock := &testClock{}
	api := newTestAPI(t, clock)
	c := testController(t, api, nil, func(p *Params) {
		p.Random = rng.New(seed)
		p.Hooks.Started = func(p *corev1.Pod) { out[p.Name] = time.Duration(clock.now) }
	})
	api.onCommit = c.OnCommit
	api.create(BuildNode(NodeParams{Name: "n", CPUMilli: 1, MaxPods: 1 << 20}))
	for _, n := range names {
		api.create(makePod(n, "n", 0, 0))
	}
	clock.run(10 * second)
	return out
}

func TestJitterAndStreams(t *testing.T) {
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("p%d", i))
	}
	got := draws(t, 1, names)
	var sum, low, high float64
	low = math.Inf(1)
	for _, d := range got {
		sum += d.Seconds()
		low, high = min(low, d.Seconds()), max(high, d.Seconds())
	}
	// Uniform on [1.5 s, 5 s): mean 3.25 s, standard deviation of the mean 3.5/√12/√1000 = 0.032 s.
	if mean := sum / 1000; len(got) != 1000 || low < 1.5 || high >= 5 || math.Abs(mean-3.25) > 4*0.032 {
		t.Errorf("%d delays from %.3f s to %.3f s, mean %.3f s", len(got), low, high, mean)
	}
	if diff := cmp.Diff(got, draws(t, 1, names)); diff != "" {
		t.Errorf("the same seed gave other delays:\n%s", diff)
	}
	alone := draws(t, 1, names[500:501])
	if alone["p500"] != got["p500"] {
		t.Errorf("p500 starts at %s alone and at %s in company", alone["p500"], got["p500"])
	}
	if other := draws(t, 2, names[:1]); other["p0"] == got["p0"] {
		t.Error("another seed gave the same delay")
	}
}

const weighted = `
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: %s}
spec:
  resourceRef: {kind: Pod}
  selector:
    matchLabels: {w: "1"}
    matchExpressions:
    - {key: .status.phase, operator: In, values: [Pending]}
  weight: %d
  weightFrom: {expressionFrom: '.metadata.annotations["%s/weight"]'}
  next:
    statusTemplate: "phase: %s"
`

func TestWeights(t *testing.T) {
	files := []plan.File{
		{Name: "a.yaml", Data: fmt.Appendf(nil, weighted, "a", 1, "a", "Succeeded")},
		{Name: "b.yaml", Data: fmt.Appendf(nil, weighted, "b", 3, "b", "Failed")},
	}
	count := func(annotations map[string]string, n int) (a int) {
		w := newWorld(t, 1, 1, files, nil)
		for i := range n {
			p := makePod(fmt.Sprintf("p%d", i), "n", 0, 0)
			p.Labels, p.Annotations = map[string]string{"w": "1"}, annotations
			w.api.create(p)
			w.clock.run(w.clock.now)
			if w.api.pod(p.Name).Status.Phase == corev1.PodSucceeded {
				a++
			}
		}
		return a
	}
	within := func(what string, got, n int, p float64) {
		t.Helper()
		if sd := math.Sqrt(float64(n) * p * (1 - p)); math.Abs(float64(got)-p*float64(n)) > 4*sd {
			t.Errorf("%s: %d of %d, want about %.0f", what, got, n, p*float64(n))
		}
	}
	within("1 to 3", count(nil, 800), 800, 0.25)
	within("from annotations, 9 to 1", count(map[string]string{"a/weight": "9", "b/weight": "1"}, 800), 800, 0.9)
	within("all 0", count(map[string]string{"a/weight": "0", "b/weight": "0"}, 400), 400, 0.5)
	if got := count(map[string]string{"a/weight": "0"}, 50); got != 0 {
		t.Errorf("weight 0 against 3 was chosen %d times", got)
	}
	// A weight that is no number leaves the other one alone, and no choice.
	if got := count(map[string]string{"b/weight": "?"}, 50); got != 50 {
		t.Errorf("the only weight was chosen %d times of 50", got)
	}
}

// chain is a set of stages with everything else: steps of every kind, CEL, immediate next stages, other kinds.
const chain = `
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: label}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - cel: {expression: '!("step" in self.metadata.labels)'}
  immediateNextStage: true
  steps:
  - event: {type: Normal, reason: Labelling, message: hello}
  - finalizers: {add: [{value: example.com/f}]}
  - patch:
      root: metadata
      template: |
        labels: {step: "1", at: {{ Now | Quote }}, keys: {{ keys .metadata.annotations | join "." | Quote }}}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: finish}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector: {matchLabels: {step: "1"}}
  delay: {durationMilliseconds: 2000}
  steps:
  - patch: {type: json, root: metadata, template: '[{"op":"replace","path":"/labels/step","value":"2"}]'}
  - finalizers: {empty: true}
  - delete: true
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: claim}
spec:
  resourceRef: {kind: PersistentVolumeClaim}
  selector: {matchExpressions: [{key: .status.phase, operator: NotIn, values: [Bound]}]}
  delay: {durationMilliseconds: 500}
  next: {statusTemplate: 'phase: Bound'}
`

func TestEveryKindOfStep(t *testing.T) {
	w := newWorld(t, 1, 1, []plan.File{{Name: "chain.yaml", Data: []byte(chain)}}, nil)
	p := makePod("a", "n", 0, 0)
	p.Annotations = map[string]string{"b": "", "a": "", "c": ""}
	w.api.create(p)
	pvc := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "v", Namespace: "ns"}}
	w.api.commit("create", nil, pvc)
	w.c.p.Hidden = nil
	w.clock.run(second)
	w.expect("0s assigned a on n: ", "0s event Normal Labelling hello")
	got := w.api.pod("a")
	want := map[string]string{"step": "1", "at": "2026-03-01T00:00:00Z", "keys": "a.b.c"}
	if diff := cmp.Diff(want, got.Labels); diff != "" {
		t.Errorf("labels:\n%s", diff)
	}
	if !cmp.Equal(got.Finalizers, []string{"example.com/f"}) {
		t.Errorf("finalizers %v", got.Finalizers)
	}
	pvc = w.api.objects["persistentvolumeclaims/ns/v"].(*corev1.PersistentVolumeClaim)
	if pvc.Status.Phase != corev1.ClaimBound {
		t.Errorf("claim is %q", pvc.Status.Phase)
	}
	w.clock.run(10 * second)
	w.expect(`2s ended a Failed "Deleted"`, "2s released a on n", "2s gone a")
}
