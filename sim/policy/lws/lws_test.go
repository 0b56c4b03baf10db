package lws_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"math/rand"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	v1 "sigs.k8s.io/lws/api/leaderworkerset/v1"

	"orrery/sim/engine"
	"orrery/sim/kube"
	"orrery/sim/policy/lws"
	"orrery/sim/policy/workloads"
	"orrery/sim/units"
)

var (
	epoch   = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	podsGVR = corev1.SchemeGroupVersion.WithResource("pods")
	setsGVR = v1.GroupVersion.WithResource("leaderworkersets")
)

// world is an API with the controllers and a kubelet.
type world struct {
	t          *testing.T
	engine     *engine.Engine
	store      *kube.Store
	hash       hash.Hash
	made, gone []string
}

// set returns a LeaderWorkerSet of n groups of three.
func set(n int) string {
	return fmt.Sprintf(`apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: llm, namespace: default}
spec:
  replicas: %d
  leaderWorkerTemplate:
    size: 3
    restartPolicy: RecreateGroupOnPodRestart
    workerTemplate:
      spec: {containers: [{name: c, image: c, resources: {requests: {nvidia.com/gpu: 8}, limits: {nvidia.com/gpu: 8}}}]}
`, n)
}

// play runs a world. script is called at time 0.
func play(t *testing.T, horizon time.Duration, script func(*world)) *world {
	t.Helper()
	w := &world{t: t, hash: sha256.New()}
	old := utilruntime.ErrorHandlers
	defer func() { utilruntime.ErrorHandlers = old }()
	utilruntime.ErrorHandlers = []utilruntime.ErrorHandler{func(_ context.Context, err error, msg string, _ ...any) {
		if !workloads.Routine(err) {
			t.Errorf("%s: %v", msg, err)
		}
	}}
	if err := engine.Bubble(engine.Watchdog{}, func() error { return w.run(horizon, script) }); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) run(horizon time.Duration, script func(*world)) error {
	rand.Seed(1) //nolint:staticcheck // as kubescheduler.New does: upstream's retries after a conflict have a random delay
	var err error
	if w.engine, err = engine.New(engine.Params{Epoch: epoch}, nil); err != nil {
		return err
	}
	if w.store, err = kube.New(kube.Options{Now: w.engine.Clock, OnCommit: w.committed, Webhooks: lws.Webhooks(),
		Schemes: []*apiruntime.Scheme{lws.Scheme()}}); err != nil {
		return err
	}
	gate := func(call kube.Call, fn func()) { w.engine.Call(call.String(), 0, fn) }
	factory := func() informers.SharedInformerFactory {
		return w.store.InformerFactory(nil, kube.AllPods(), kube.Deliver(func(tell func()) {
			w.engine.After(0, engine.PhaseObserve, "watch", tell)
		}))
	}
	c, err := workloads.Start(workloads.Params{Engine: w.engine, Informers: factory(),
		Client: func() (kubernetes.Interface, error) { return w.store.Workloads(gate) }})
	if err != nil {
		return err
	}
	m, err := lws.Start(lws.Params{Engine: w.engine, Client: w.store.RESTConfig(gate), Mapper: w.store.RESTMapper(),
		Informers: factory()})
	if err != nil {
		c.Close()
		w.engine.Drain()
		return err
	}
	w.engine.At(0, engine.PhaseArrive, "script", func() { script(w) })
	_, err = w.engine.Run(units.Time(horizon))
	c.Close()
	m.Close()
	w.engine.Drain()
	return err
}

// at runs fn later.
func (w *world) at(d time.Duration, fn func()) {
	w.engine.At(units.Time(d), engine.PhaseArrive, "script", fn)
}

func (w *world) create(text string) error {
	objects, err := kube.DecodeManifests("test", []byte(text), lws.Scheme())
	if err != nil {
		return err
	}
	_, err = w.store.Create(objects[0])
	return err
}

// set returns the LeaderWorkerSet.
func (w *world) set() *v1.LeaderWorkerSet {
	obj, err := w.store.Get(setsGVR, "default", "llm")
	if err != nil {
		w.t.Fatal(err)
	}
	return obj.DeepCopyObject().(*v1.LeaderWorkerSet)
}

func (w *world) scale(n int32) {
	s := w.set()
	s.Spec.Replicas = &n
	if _, err := w.store.Update(s, ""); err != nil {
		w.t.Error(err)
	}
}

// committed is the kubelet, and takes notes.
func (w *world) committed(k kube.Commit) {
	m := k.New.(metav1.Object)
	fmt.Fprintf(w.hash, "%s %s %s %s %s %d\n", w.engine.Now(), k.Verb, k.GVR.Resource, m.GetName(), k.Sub, k.RV)
	pod, ok := k.New.(*corev1.Pod)
	switch {
	case !ok:
	case k.Verb == kube.VerbCreate:
		w.made = append(w.made, pod.Name)
		w.engine.After(time.Second, engine.PhaseRelease, "bind", func() {
			_ = w.store.Bind("default", &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: pod.Name},
				Target: corev1.ObjectReference{Kind: "Node", Name: "n"}})
		})
		w.engine.After(20*time.Second, engine.PhaseRelease, "ready", func() { w.start(pod.Name) })
	case k.Verb == kube.VerbUpdate && pod.DeletionTimestamp != nil && k.Old.(*corev1.Pod).DeletionTimestamp == nil:
		w.gone = append(w.gone, pod.Name)
		w.engine.After(5*time.Second, engine.PhaseRelease, "gone", func() {
			_ = w.store.Delete(podsGVR, "default", pod.Name, metav1.NewDeleteOptions(0))
		})
	}
}

func (w *world) start(name string) {
	obj, err := w.store.Get(podsGVR, "default", name)
	if err != nil || obj.(*corev1.Pod).DeletionTimestamp != nil {
		return
	}
	pod := obj.(*corev1.Pod).DeepCopy()
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady,
		Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(w.engine.Clock().Truncate(time.Second))})
	if _, err := w.store.Update(pod, "status"); err != nil {
		w.t.Error(err)
	}
}

// TestGroups: every group has a leader and its workers, which know each other; groups come and go with the replicas.
func TestGroups(t *testing.T) {
	w := play(t, time.Hour, func(w *world) {
		if err := w.create(set(2)); err != nil {
			w.t.Error(err)
		}
		w.at(10*time.Minute, func() { w.scale(3) })
		w.at(20*time.Minute, func() { w.scale(1) })
	})
	made := slices.Sorted(slices.Values(w.made))
	if got := strings.Join(made, " "); got != "llm-0 llm-0-1 llm-0-2 llm-1 llm-1-1 llm-1-2 llm-2 llm-2-1 llm-2-2" {
		t.Errorf("made %s", got)
	}
	gone := slices.Sorted(slices.Values(w.gone))
	if got := strings.Join(gone, " "); got != "llm-1 llm-1-1 llm-1-2 llm-2 llm-2-1 llm-2-2" {
		t.Errorf("gone %s", got)
	}
	if s := w.set(); s.Status.ReadyReplicas != 1 || s.Status.HPAPodSelector == "" {
		t.Errorf("%+v", s.Status)
	}
	obj, err := w.store.Get(podsGVR, "default", "llm-0-1")
	if err != nil {
		t.Fatal(err)
	}
	pod := obj.(*corev1.Pod)
	env := map[string]string{}
	for _, e := range pod.Spec.Containers[0].Env {
		env[e.Name] = e.Value
	}
	if pod.Labels[v1.WorkerIndexLabelKey] != "1" || env[v1.LwsLeaderAddress] != "llm-0.llm.default" {
		t.Errorf("labels %v, environment %v", pod.Labels, env)
	}
}

// TestGroupRestarts: a group that loses a pod is made anew as a whole.
func TestGroupRestarts(t *testing.T) {
	w := play(t, time.Hour, func(w *world) {
		if err := w.create(set(2)); err != nil {
			w.t.Error(err)
		}
		w.at(10*time.Minute, func() {
			if err := w.store.Delete(podsGVR, "default", "llm-1-2", nil); err != nil {
				w.t.Error(err)
			}
		})
	})
	count := map[string]int{}
	for _, name := range w.made {
		count[name]++
	}
	if count["llm-0"] != 1 || count["llm-0-1"] != 1 || count["llm-1"] != 2 || count["llm-1-1"] != 2 ||
		count["llm-1-2"] < 2 || w.set().Status.ReadyReplicas != 2 {
		t.Errorf("made %v, gone %v, status %+v", w.made, w.gone, w.set().Status)
	}
}

// TestRefused: upstream's webhook refuses what it does not like.
func TestRefused(t *testing.T) {
	play(t, time.Minute, func(w *world) {
		err := w.create(strings.Replace(set(2), "size: 3", "size: 0", 1))
		if err == nil || !strings.Contains(err.Error(), "size must be equal or greater than 1") {
			w.t.Error(err)
		}
	})
}

// TestRepeats: every write is the same at any number of processors.
func TestRepeats(t *testing.T) {
	var first string
	for _, n := range []int{1, 2, 8, 2} {
		old := runtime.GOMAXPROCS(n)
		w := play(t, time.Hour, func(w *world) {
			if err := w.create(set(12)); err != nil {
				w.t.Error(err)
			}
			w.at(10*time.Minute, func() { w.scale(20) })
			w.at(20*time.Minute, func() { w.scale(3) })
			w.at(30*time.Minute, func() {
				s := w.set()
				s.Spec.LeaderWorkerTemplate.WorkerTemplate.Spec.Containers[0].Image = "two"
				if _, err := w.store.Update(s, ""); err != nil {
					w.t.Error(err)
				}
			})
		})
		runtime.GOMAXPROCS(old)
		got := fmt.Sprintf("%x", w.hash.Sum(nil))
		if first == "" {
			first = got
		}
		if got != first || len(w.made) < 69 {
			t.Errorf("GOMAXPROCS %d: %s, before %s; %d pods made", n, got, first, len(w.made))
		}
	}
}
