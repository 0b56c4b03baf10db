package keda_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"strings"
	"testing"
	"time"

	"github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/kube"
	"orrery/sim/plan"
	"orrery/sim/policy/hpa"
	"orrery/sim/policy/keda"
	"orrery/sim/policy/metrics"
	"orrery/sim/policy/workloads"
	"orrery/sim/units"
)

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

var (
	podsGVR   = corev1.SchemeGroupVersion.WithResource("pods")
	scaledGVR = v1alpha1.GroupVersion.WithResource("scaledobjects")
	hpasGVR   = autoscalingv2.SchemeGroupVersion.WithResource("horizontalpodautoscalers")
)

// world is an API with a Deployment app, KEDA, metrics of a gateway, and, if full, the workload controllers, upstream's
// horizontal pod autoscaler and a kubelet that makes pods ready after 20 s.
type world struct {
	t          testing.TB
	full       bool
	epoch      time.Time
	engine     *engine.Engine
	store      *kube.Store
	metrics    *metrics.Store
	keda       *keda.Controller
	load       map[string]func(seconds float64) float64 // what the gateway shows, by metric; NaN: not at all
	scales     []string
	conditions []string
	because    map[string]string
	writes     hash.Hash
	at         map[time.Duration]func()
}

// play runs a world until the horizon.
func play(t testing.TB, manifests string, horizon time.Duration, setup func(*world)) *world {
	t.Helper()
	w := &world{t: t, epoch: epoch, load: map[string]func(float64) float64{}, because: map[string]string{},
		writes: sha256.New(), at: map[time.Duration]func(){}}
	if setup != nil {
		setup(w)
	}
	old := utilruntime.ErrorHandlers
	defer func() { utilruntime.ErrorHandlers = old }()
	utilruntime.ErrorHandlers = []utilruntime.ErrorHandler{func(_ context.Context, err error, msg string, _ ...any) {
		if !hpa.Routine(err) && !workloads.Routine(err) {
			t.Errorf("%s: %s: %v", w.now(), msg, err)
		}
	}}
	objects, err := kube.DecodeManifests("test", []byte(manifests), keda.Scheme())
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Bubble(engine.Watchdog{}, func() error { return w.run(objects, horizon) }); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) run(objects []runtime.Object, horizon time.Duration) error {
	var err error
	if w.engine, err = engine.New(engine.Params{Epoch: w.epoch}, nil); err != nil {
		return err
	}
	w.store, err = kube.New(kube.Options{Now: w.engine.Clock, OnCommit: w.committed,
		Schemes: []*runtime.Scheme{keda.Scheme()}, ClusterScoped: keda.ClusterScoped()})
	if err != nil {
		return err
	}
	if w.metrics, err = metrics.New(metrics.Options{Epoch: w.epoch, Now: w.engine.Now, Plan: plan.Metrics{}}); err != nil {
		return err
	}
	stop := func() {}
	if w.full {
		if stop, err = w.start(); err != nil {
			return err
		}
	}
	defer func() { stop() }()
	w.keda, err = keda.Start(keda.Params{Engine: w.engine, Store: w.store, Metrics: w.metrics, Scales: w.store.Scales(nil),
		Because: func(object, by, reason string) { w.because[object] = by + ": " + reason },
		Record:  w.record})
	if err != nil {
		return err
	}
	defer w.keda.Close()
	gateway, err := w.metrics.Target(metrics.TargetOptions{Labels: []metrics.Label{{Name: "job", Value: "gateway"}}})
	if err != nil {
		return err
	}
	w.scrape(0, gateway)
	for _, obj := range objects {
		obj.(metav1.Object).SetNamespace("default")
		w.engine.At(0, engine.PhaseArrive, "create", func() {
			if _, err := w.store.Create(obj); err != nil {
				w.engine.Stop(err)
			}
		})
	}
	for d, fn := range w.at {
		w.engine.At(units.Time(d), engine.PhaseArrive, "test", fn)
	}
	_, err = w.engine.Run(units.Time(horizon))
	return err
}

// scrape scrapes the gateway every 15 s.
func (w *world) scrape(at units.Time, t *metrics.Target) {
	w.engine.Background(at, engine.PhaseArrive, "scrape", func() {
		var page []metrics.Sample
		for name, fn := range w.load {
			if v := fn(at.Seconds()); v == v {
				page = append(page, metrics.Sample{Name: name, Value: v})
			}
		}
		w.metrics.Scrape(at, t, page)
		w.scrape(at.Add(15*time.Second), t)
	})
}

// start starts kube-controller-manager's controllers.
func (w *world) start() (stop func(), err error) {
	gate := func(call kube.Call, fn func()) { w.engine.Call(call.String(), 0, fn) }
	f := w.store.InformerFactory(nil, kube.AllPods(), kube.Deliver(func(tell func()) {
		w.engine.After(0, engine.PhaseObserve, "watch", tell)
	}))
	wl, err := workloads.Start(workloads.Params{Engine: w.engine, Informers: f,
		Client: func() (kubernetes.Interface, error) { return w.store.Workloads(gate) }})
	if err != nil {
		return nil, err
	}
	cs, err := w.store.Clientset(gate)
	if err != nil {
		return nil, err
	}
	resource, custom, external := w.metrics.Clients(nil)
	c, err := hpa.Start(hpa.Params{Engine: w.engine, Autoscalers: w.store.Autoscalers(cs.AutoscalingV2(), gate),
		Scales: w.store.Scales(gate), Mapper: w.store.RESTMapper(), Informers: f, Flags: hpa.Defaults,
		Metrics: hpa.Metrics{Resource: resource, Custom: custom, External: external}})
	if err != nil {
		return nil, err
	}
	return func() { wl.Close(); c.Close(); w.engine.Drain() }, nil
}

func (w *world) now() string { return w.engine.Now().String() }

func (w *world) record(b journal.Body) {
	if c, ok := b.(journal.Condition); ok {
		w.conditions = append(w.conditions, fmt.Sprintf("%s %s %s %s", w.now(), c.Type, c.Status, c.Reason))
	}
}

// committed notes changes of replicas, and is the kubelet.
func (w *world) committed(k kube.Commit) {
	m := k.New.(metav1.Object)
	fmt.Fprintf(w.writes, "%s %s %s %s %s %d\n", w.engine.Clock(), k.Verb, k.GVR.Resource, m.GetName(), k.Sub, k.RV)
	if kind, n, ok := kube.Replicas(k.New); ok && k.Verb == kube.VerbUpdate && metav1.GetControllerOf(m) == nil {
		if _, was, _ := kube.Replicas(k.Old); was != n {
			object := kind + "/" + m.GetNamespace() + "/" + m.GetName()
			w.scales = append(w.scales, fmt.Sprintf("%s %d->%d %s", w.now(), was, n, w.because[object]))
			delete(w.because, object)
		}
	}
	pod, ok := k.New.(*corev1.Pod)
	switch {
	case !ok || !w.full:
	case k.Verb == kube.VerbCreate:
		w.engine.After(20*time.Second, engine.PhaseRelease, "kubelet", func() { w.ready(pod.Name) })
	case k.Verb == kube.VerbUpdate && pod.DeletionTimestamp != nil && k.Old.(*corev1.Pod).DeletionTimestamp == nil:
		w.engine.After(5*time.Second, engine.PhaseRelease, "kubelet", func() {
			_ = w.store.Delete(podsGVR, "default", pod.Name, metav1.NewDeleteOptions(0))
		})
	}
}

func (w *world) ready(name string) {
	obj, err := w.store.Get(podsGVR, "default", name)
	if err != nil {
		return
	}
	pod := obj.(*corev1.Pod).DeepCopy()
	now := metav1.NewTime(w.engine.Clock().Truncate(time.Second))
	pod.Status.Phase, pod.Status.StartTime = corev1.PodRunning, &now
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady,
		Status: corev1.ConditionTrue, LastTransitionTime: now})
	_, _ = w.store.Update(pod, "status")
}

// replicas sets the replicas of the Deployment, as a user does.
func (w *world) replicas(n int32) {
	gvr := appsv1.SchemeGroupVersion.WithResource("deployments")
	obj, err := w.store.Get(gvr, "default", "app")
	if err != nil {
		w.t.Fatal(err)
	}
	d := obj.(*appsv1.Deployment).DeepCopy()
	d.Spec.Replicas = &n
	if _, err := w.store.Update(d, ""); err != nil {
		w.t.Error(err)
	}
}

// object returns a ScaledObject as stored.
func (w *world) object(name string) *v1alpha1.ScaledObject {
	w.t.Helper()
	obj, err := w.store.Get(scaledGVR, "default", name)
	if err != nil {
		w.t.Fatal(err)
	}
	return obj.(*v1alpha1.ScaledObject)
}

// hpa returns an autoscaler as stored, nil when there is none.
func (w *world) hpa(name string) *autoscalingv2.HorizontalPodAutoscaler {
	obj, err := w.store.Get(hpasGVR, "default", name)
	if err != nil {
		return nil
	}
	return obj.(*autoscalingv2.HorizontalPodAutoscaler)
}

// step is a load that has a value from each of some instants on: second, value, second, value …
func step(pairs ...float64) func(float64) float64 {
	return func(at float64) float64 {
		v := 0.0
		for i := 0; i < len(pairs); i += 2 {
			if at >= pairs[i] {
				v = pairs[i+1]
			}
		}
		return v
	}
}

// app is a Deployment app with replicas.
func app(replicas int) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  replicas: %d
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec: {containers: [{name: c, image: c, resources: {requests: {cpu: 1, memory: 1Gi}}}]}
---
`, replicas)
}

// scaled is a ScaledObject app of the Deployment; spec is indented by two.
func scaled(spec string) string {
	return `apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: app}
spec:
  scaleTargetRef: {name: app}
` + spec + "\n"
}

const queue = `  triggers:
  - type: prometheus
    metadata: {serverAddress: "http://prometheus:9090", query: sum(queue), threshold: "5"%s}
`

// wants compares lines.
func wants(t *testing.T, what string, got []string, want string) {
	t.Helper()
	if text := strings.Join(got, "\n"); text != strings.TrimSpace(want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, text, strings.TrimSpace(want))
	}
}
