package kube

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/google/go-cmp/cmp"
)

// twin is a dumb model of pods: it knows which exist, on which node, in which state, and nothing else.
type twin map[string]*twinPod

type twinPod struct {
	node        string
	phase       corev1.PodPhase
	terminating bool
	final       bool // has a finalizer
}

// expect compares an answer of the store with what the model expects.
func expect(t *testing.T, what string, err error, is func(error) bool) {
	t.Helper()
	if is == nil && err != nil || is != nil && !is(err) {
		t.Fatalf("%s: %v", what, err)
	}
}

// step does one random operation on both.
func (m twin) step(t *testing.T, f *fixture, rng *rand.Rand) {
	name := fmt.Sprint("p", rng.IntN(12))
	p := m[name]
	missing := func(is func(error) bool) func(error) bool {
		if p == nil {
			return apierrors.IsNotFound
		}
		return is
	}
	switch rng.IntN(7) {
	case 0, 1:
		m.create(t, f, name, rng.IntN(4) == 0)
	case 2:
		var is func(error) bool
		if p != nil && (p.node != "" || p.terminating) {
			is = apierrors.IsConflict
		}
		expect(t, "bind "+name, f.Bind("default", binding(name, "n")), missing(is))
		if p != nil && is == nil {
			p.node = "n"
		}
	case 3:
		phase := []corev1.PodPhase{corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed}[rng.IntN(3)]
		_, err := f.Patch(podsGVR, "default", name, types.MergePatchType,
			[]byte(fmt.Sprintf(`{"status":{"phase":%q}}`, phase)), "status", metav1.PatchOptions{})
		expect(t, "phase "+name, err, missing(nil))
		if p != nil {
			p.phase = phase
		}
	case 4:
		expect(t, "delete "+name, f.Delete(podsGVR, "default", name, nil), missing(nil))
		m.delete(name, false)
	case 5:
		expect(t, "kill "+name, f.Delete(podsGVR, "default", name, metav1.NewDeleteOptions(0)), missing(nil))
		m.delete(name, true)
	case 6:
		_, err := f.Patch(podsGVR, "default", name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), "",
			metav1.PatchOptions{})
		expect(t, "release "+name, err, missing(nil))
		if p != nil {
			p.final = false
			if obj := f.pod(name); p.terminating && obj == nil {
				delete(m, name)
			} else if p.terminating && *obj.DeletionGracePeriodSeconds == 0 {
				t.Fatalf("%s has no finalizer and no grace period left, and is still there", name)
			}
		}
	}
}

func (m twin) create(t *testing.T, f *fixture, name string, final bool) {
	obj := gpuPod(name)
	if final {
		obj.Finalizers = []string{"x/y"}
	}
	_, err := f.Create(obj)
	if m[name] != nil {
		expect(t, "create "+name, err, apierrors.IsAlreadyExists)
		return
	}
	expect(t, "create "+name, err, nil)
	m[name] = &twinPod{phase: corev1.PodPending, final: final}
}

// delete models a delete, at once or with the pod's own grace period.
func (m twin) delete(name string, now bool) {
	p := m[name]
	if p == nil {
		return
	}
	graceful := p.node != "" && !now && p.phase != corev1.PodSucceeded && p.phase != corev1.PodFailed
	if p.terminating && !now {
		return
	}
	p.terminating = true
	if !graceful && !p.final {
		delete(m, name)
	}
}

// TestTwin runs random operations against the store and the model, and checks what must hold always: versions grow by
// one, watches and informers see every commit in order, caches equal the store, quota equals a recount.
func TestTwin(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		f := newFixture(t)
		create(f, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q", Namespace: "default"},
			Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"pods": resource.MustParse("100"),
				"requests.cpu": resource.MustParse("1000"), "count/pods": resource.MustParse("1000")}}})
		var commits, seen, watched []uint64
		last := f.ResourceVersion()
		f.opts.OnCommit = func(c Commit) {
			if last++; c.RV != last {
				t.Fatalf("commit %d after %d", c.RV, last-1)
			}
			if c.GVR == podsGVR {
				commits = append(commits, c.RV)
			}
		}
		inf := f.Informer(podsGVR, nil)
		rv := func(obj any) uint64 {
			n, _ := strconv.ParseUint(obj.(*corev1.Pod).ResourceVersion, 10, 64)
			return n
		}
		note := func(obj any) { seen = append(seen, rv(obj)) }
		if _, err := inf.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: note,
			UpdateFunc: func(_, obj any) { note(obj) }, DeleteFunc: note}); err != nil {
			t.Fatal(err)
		}
		w, err := f.watch(f.kinds.byGVR[podsGVR], selection{}, watchStart{})
		if err != nil {
			t.Fatal(err)
		}
		m := twin{}
		for range 400 {
			m.step(t, f, rng)
			for w.ready() {
				e, _ := w.next(nil)
				watched = append(watched, rv(e.Object))
			}
			m.check(t, f, inf.GetIndexer())
		}
		if d := cmp.Diff(commits, seen); d != "" {
			t.Errorf("seed %d: informer: %s", seed, d)
		}
		if d := cmp.Diff(commits, watched); d != "" {
			t.Errorf("seed %d: watch: %s", seed, d)
		}
	}
}

// check compares the store with the model, the cache with the store, and the quota with a recount.
func (m twin) check(t *testing.T, f *fixture, index cache.Indexer) {
	t.Helper()
	objs, err := f.List(podsGVR, "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := twin{}
	for _, obj := range objs {
		p := obj.(*corev1.Pod)
		got[p.Name] = &twinPod{p.Spec.NodeName, p.Status.Phase, p.DeletionTimestamp != nil, len(p.Finalizers) > 0}
		if cached, ok, _ := index.GetByKey("default/" + p.Name); !ok || cached != any(p) {
			t.Fatalf("the cache is behind on %s", p.Name)
		}
	}
	if d := cmp.Diff(m, got, cmp.AllowUnexported(twinPod{})); d != "" {
		t.Fatal(d)
	}
	if n := len(index.List()); n != len(objs) {
		t.Fatalf("%d cached, %d stored", n, len(objs))
	}
	running := 0
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if p := m[name].phase; p != corev1.PodSucceeded && p != corev1.PodFailed {
			running++
		}
	}
	obj, err := f.Get(corev1.SchemeGroupVersion.WithResource("resourcequotas"), "default", "q")
	if err != nil {
		t.Fatal(err)
	}
	used := obj.(*corev1.ResourceQuota).Status.Used
	pods, cpu, count := used["pods"], used["requests.cpu"], used["count/pods"]
	if pods.Value() != int64(running) || cpu.Value() != int64(running) || count.Value() != int64(len(m)) {
		t.Fatalf("quota says %v, want %d running of %d", used, running, len(m))
	}
}
