package workloads_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes"

	"orrery/sim/engine"
	"orrery/sim/kube"
	"orrery/sim/policy/workloads"
	"orrery/sim/units"
)

var (
	epoch          = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	podsGVR        = corev1.SchemeGroupVersion.WithResource("pods")
	deploymentsGVR = appsv1.SchemeGroupVersion.WithResource("deployments")
)

// world is an API with the workload controllers and a kubelet.
type world struct {
	t      *testing.T
	engine *engine.Engine
	store  *kube.Store
	ready  func(*corev1.Pod) time.Duration // from creation to readiness; < 0 = never
	hash   hash.Hash
	writes int
	// made and gone are the pods in the order of their creation and the beginning of their deletion; most and least are
	// bounds of the ready and of all pods that are not being deleted, since mark.
	made, gone       []string
	live, readyNow   map[string]bool
	leastReady, most int
}

// play runs a world. script is called at time 0.
func play(t *testing.T, horizon time.Duration, script func(*world)) *world {
	t.Helper()
	w := &world{t: t, hash: sha256.New(), live: map[string]bool{}, readyNow: map[string]bool{},
		ready: func(*corev1.Pod) time.Duration { return 10 * time.Second }}
	old := utilruntime.ErrorHandlers
	defer func() { utilruntime.ErrorHandlers = old }()
	utilruntime.ErrorHandlers = []utilruntime.ErrorHandler{func(_ context.Context, err error, msg string, _ ...any) {
		if !workloads.Routine(err) && !strings.Contains(err.Error(), "exceeded quota") {
			t.Errorf("%s: %v", msg, err)
		}
	}}
	if err := engine.Bubble(engine.Watchdog{}, func() error { return w.run(horizon, script) }); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) run(horizon time.Duration, script func(*world)) error {
	var err error
	if w.engine, err = engine.New(engine.Params{Epoch: epoch}, nil); err != nil {
		return err
	}
	if w.store, err = kube.New(kube.Options{Now: w.engine.Clock, OnCommit: w.committed}); err != nil {
		return err
	}
	gate := func(call kube.Call, fn func()) { w.engine.Call(call.String(), 0, fn) }
	c, err := workloads.Start(workloads.Params{Engine: w.engine,
		Client: func() (kubernetes.Interface, error) { return w.store.Workloads(gate) },
		Informers: w.store.InformerFactory(nil, kube.AllPods(), kube.Deliver(func(tell func()) {
			w.engine.After(0, engine.PhaseObserve, "watch", tell)
		}))})
	if err != nil {
		return err
	}
	defer w.engine.Drain()
	defer c.Close()
	w.engine.At(0, engine.PhaseArrive, "script", func() { script(w) })
	_, err = w.engine.Run(units.Time(horizon))
	return err
}

// at runs fn later.
func (w *world) at(d time.Duration, fn func()) {
	w.engine.At(units.Time(d), engine.PhaseArrive, "script", fn)
}

// create makes the objects of manifests.
func (w *world) create(text string) {
	objects, err := kube.DecodeManifests("test", []byte(text))
	if err != nil {
		w.t.Error(err)
	}
	for _, obj := range objects {
		obj.(metav1.Object).SetNamespace("default")
		if _, err := w.store.Create(obj); err != nil {
			w.t.Error(err)
		}
	}
}

// change updates the Deployment.
func (w *world) change(fn func(*appsv1.Deployment)) {
	d := w.deployment().DeepCopy()
	fn(d)
	if _, err := w.store.Update(d, ""); err != nil {
		w.t.Error(err)
	}
}

func (w *world) deployment() *appsv1.Deployment {
	obj, err := w.store.Get(deploymentsGVR, "default", "web")
	if err != nil {
		w.t.Error(err)
		return &appsv1.Deployment{}
	}
	return obj.(*appsv1.Deployment)
}

// progressing is the Deployment's condition of this type.
func (w *world) progressing() string {
	for _, c := range w.deployment().Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing {
			return c.Reason
		}
	}
	return ""
}

// mark begins to measure the bounds anew.
func (w *world) mark() { w.leastReady, w.most = len(w.readyNow), len(w.live) }

// committed is the kubelet, and takes notes.
func (w *world) committed(k kube.Commit) {
	m := k.New.(metav1.Object)
	w.writes++
	fmt.Fprintf(w.hash, "%s %s %s %s %s %d\n", w.engine.Now(), k.Verb, k.GVR.Resource, m.GetName(), k.Sub, k.RV)
	pod, ok := k.New.(*corev1.Pod)
	if !ok {
		return
	}
	switch {
	case k.Verb == kube.VerbCreate:
		w.made, w.live[pod.Name] = append(w.made, pod.Name), true
		if d := w.ready(pod); d >= 0 {
			w.engine.After(d, engine.PhaseRelease, "ready", func() { w.start(pod.Name) })
		}
	case k.Verb == kube.VerbDelete:
		w.leave(pod.Name)
	case pod.DeletionTimestamp != nil && k.Old.(*corev1.Pod).DeletionTimestamp == nil:
		w.leave(pod.Name)
		w.engine.After(5*time.Second, engine.PhaseRelease, "gone", func() {
			_ = w.store.Delete(podsGVR, "default", pod.Name, metav1.NewDeleteOptions(0))
		})
	}
	w.leastReady, w.most = min(w.leastReady, len(w.readyNow)), max(w.most, len(w.live))
}

func (w *world) leave(name string) {
	if w.live[name] {
		w.gone = append(w.gone, name)
	}
	delete(w.live, name)
	delete(w.readyNow, name)
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
	w.readyNow[name] = true
	if _, err := w.store.Update(pod, "status"); err != nil {
		w.t.Error(err)
	}
}

// deployment returns a Deployment with a number of replicas; more goes into its spec.
func deployment(replicas int, more string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: one}]}
%s`, replicas, more)
}

// TestRollingUpdate: a new image replaces all pods, within the strategy's bounds, and an old ReplicaSet stays behind.
func TestRollingUpdate(t *testing.T) {
	w := play(t, 10*time.Minute, func(w *world) {
		w.create(deployment(10, "  strategy: {rollingUpdate: {maxSurge: 3, maxUnavailable: 2}}\n"))
		w.at(time.Minute, func() {
			w.mark()
			w.change(func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "two" })
		})
	})
	if len(w.made) != 20 || len(w.gone) != 10 || w.leastReady != 8 || w.most != 13 {
		t.Errorf("%d pods made, %d gone, at least %d ready, at most %d", len(w.made), len(w.gone), w.leastReady, w.most)
	}
	if d := w.deployment(); d.Status.UpdatedReplicas != 10 || d.Status.AvailableReplicas != 10 ||
		d.Annotations["deployment.kubernetes.io/revision"] != "2" || w.progressing() != "NewReplicaSetAvailable" {
		t.Errorf("%+v", d.Status)
	}
}

// TestMinReadySeconds: a pod counts as available when it has been ready for that long, and the next one is replaced
// then.
func TestMinReadySeconds(t *testing.T) {
	var done units.Time
	w := play(t, 10*time.Minute, func(w *world) {
		w.create(deployment(2, "  minReadySeconds: 30\n  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}\n"))
		w.at(2*time.Minute, func() {
			w.change(func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "two" })
		})
		w.engine.OnSettled(func() {
			if len(w.gone) == 2 && done == 0 {
				done = w.engine.Now()
			}
		})
	})
	if want := units.Time(2*time.Minute + 2*(10+30)*time.Second); done != want || len(w.made) != 4 {
		t.Errorf("the last old pod went at %s, want %s; %d pods made", done, want, len(w.made))
	}
}

// TestIncompleteScaleUp: a scale-up that waits for an hour keeps nobody busy; without the bound on polls the controller
// looks 36,000 times.
func TestIncompleteScaleUp(t *testing.T) {
	var before, after uint64
	w := play(t, 2*time.Hour, func(w *world) {
		w.create(deployment(2, ""))
		w.at(30*time.Minute, func() {
			w.ready = func(*corev1.Pod) time.Duration { return -1 }
			w.change(func(d *appsv1.Deployment) { n := int32(4); d.Spec.Replicas = &n })
		})
		w.at(31*time.Minute, func() { before = w.engine.Events() })
		w.at(91*time.Minute, func() {
			after = w.engine.Events()
			for name := range w.live { // the nodes have come
				w.start(name)
			}
		})
	})
	if n := after - before; n > 60 {
		t.Errorf("%d events in an hour in which nothing happened", n)
	}
	if d := w.deployment(); d.Status.AvailableReplicas != 4 || w.progressing() != "NewReplicaSetAvailable" {
		t.Errorf("%+v", d.Status)
	}
}

// TestTimedOut: a rollout that does not get on is said to have timed out when its deadline has passed.
func TestTimedOut(t *testing.T) {
	var at units.Time
	play(t, time.Hour, func(w *world) {
		w.ready = func(*corev1.Pod) time.Duration { return -1 }
		w.create(deployment(2, "  progressDeadlineSeconds: 90\n"))
		w.engine.Background(0, engine.PhaseSample, "", func() {})
		w.engine.OnSettled(func() {
			if at == 0 && w.engine.Now() > 0 && w.progressing() == "ProgressDeadlineExceeded" {
				at = w.engine.Now()
			}
		})
	})
	if at < units.Time(90*time.Second) || at > units.Time(92*time.Second) {
		t.Errorf("timed out at %s", at)
	}
}

// TestScaleDownChoice: upstream takes pods that are not ready first, then the youngest of the ready ones.
func TestScaleDownChoice(t *testing.T) {
	var old []string
	w := play(t, time.Hour, func(w *world) {
		w.create(deployment(2, ""))
		w.at(20*time.Minute, func() {
			old = slices.Clone(w.made)
			w.change(func(d *appsv1.Deployment) { n := int32(4); d.Spec.Replicas = &n })
		})
		w.at(21*time.Minute, func() {
			w.ready = func(*corev1.Pod) time.Duration { return -1 }
			w.change(func(d *appsv1.Deployment) { n := int32(5); d.Spec.Replicas = &n })
		})
		w.at(22*time.Minute, func() { w.change(func(d *appsv1.Deployment) { n := int32(4); d.Spec.Replicas = &n }) })
		w.at(23*time.Minute, func() { w.change(func(d *appsv1.Deployment) { n := int32(2); d.Spec.Replicas = &n }) })
	})
	if len(w.gone) != 3 || w.gone[0] != w.made[4] {
		t.Fatalf("gone %v of %v", w.gone, w.made)
	}
	for _, name := range old {
		if slices.Contains(w.gone, name) {
			t.Errorf("%s is of the oldest, and gone: %v", name, w.gone)
		}
	}
}

// TestReadyInNoTime: pods that are ready at the instant of their creation may be deleted at that instant, which makes
// upstream divide by zero.
func TestReadyInNoTime(t *testing.T) {
	w := play(t, time.Minute, func(w *world) {
		w.ready = func(*corev1.Pod) time.Duration { return 0 }
		w.create(deployment(4, ""))
		w.engine.At(0, engine.PhaseSample, "scale", func() {
			w.change(func(d *appsv1.Deployment) { n := int32(1); d.Spec.Replicas = &n })
		})
	})
	if len(w.live) != 1 {
		t.Errorf("%d pods are left", len(w.live))
	}
}

// TestStatefulSet: pods come one after the other, each when the one before is ready, and go in the opposite order.
func TestStatefulSet(t *testing.T) {
	w := play(t, 10*time.Minute, func(w *world) {
		w.create(strings.Replace(strings.Replace(deployment(3, "  serviceName: web\n"), "Deployment", "StatefulSet", 1),
			"name: web", "name: db", 1))
		w.at(2*time.Minute, func() {
			gvr := appsv1.SchemeGroupVersion.WithResource("statefulsets")
			obj, err := w.store.Get(gvr, "default", "db")
			if err != nil {
				w.t.Error(err)
				return
			}
			set, n := obj.DeepCopyObject().(*appsv1.StatefulSet), int32(1)
			set.Spec.Replicas = &n
			if _, err := w.store.Update(set, ""); err != nil {
				w.t.Error(err)
			}
		})
	})
	if !slices.Equal(w.made, []string{"db-0", "db-1", "db-2"}) || !slices.Equal(w.gone, []string{"db-2", "db-1"}) {
		t.Errorf("made %v, gone %v", w.made, w.gone)
	}
}

// TestRepeats: every write is the same at any number of processors, with pods made and deleted by hundreds at a time,
// some of them refused by a quota.
func TestRepeats(t *testing.T) {
	var first string
	for _, n := range []int{1, 2, 8, 2} {
		old := runtime.GOMAXPROCS(n)
		w := play(t, time.Hour, func(w *world) {
			w.create(deployment(150, "") + `---
apiVersion: v1
kind: ResourceQuota
metadata: {name: q}
spec: {hard: {pods: 180}}
`)
			w.at(10*time.Minute, func() { w.change(func(d *appsv1.Deployment) { n := int32(200); d.Spec.Replicas = &n }) })
			w.at(20*time.Minute, func() {
				w.change(func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "two" })
			})
			w.at(40*time.Minute, func() { w.change(func(d *appsv1.Deployment) { n := int32(20); d.Spec.Replicas = &n }) })
		})
		runtime.GOMAXPROCS(old)
		got := fmt.Sprintf("%d %x", w.writes, w.hash.Sum(nil))
		if first == "" {
			first = got
		}
		if got != first || len(w.live) != 20 {
			t.Errorf("GOMAXPROCS %d: %s, before %s; %d pods", n, got, first, len(w.live))
		}
	}
}
