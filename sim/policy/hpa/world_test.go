package hpa_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	upstreammetrics "k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	custommetrics "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	externalmetrics "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	resourceclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
	"k8s.io/metrics/pkg/client/custom_metrics"
	"k8s.io/metrics/pkg/client/external_metrics"

	"orrery/sim/engine"
	"orrery/sim/kube"
	"orrery/sim/policy/hpa"
	"orrery/sim/policy/workloads"
	"orrery/sim/units"
)

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

var podsGVR = corev1.SchemeGroupVersion.WithResource("pods")

// world is an API with autoscalers, the workload controllers and a kubelet that makes every pod ready after a while.
type world struct {
	engine *engine.Engine
	store  *kube.Store
	clock  func() time.Time
	free   bool                                   // upstream runs by itself
	ready  func(pod *corev1.Pod) time.Duration    // from creation to readiness
	load   map[string]func(time.Duration) float64 // by metric: demand, or what one pod uses if it begins with "pod:"
	scales []string                               // what happened
	said   []string
	syncs  int
	writes hash.Hash
	mu     sync.Mutex
	known  map[string][]*corev1.Pod // running pods by selector
}

// play runs a world until the horizon. setup fills in loads; manifests are created first.
func play(t testing.TB, free bool, manifests string, horizon time.Duration, setup func(*world)) *world {
	t.Helper()
	w := &world{free: free, load: map[string]func(time.Duration) float64{}, writes: sha256.New(), known: map[string][]*corev1.Pod{},
		ready: func(*corev1.Pod) time.Duration { return 20 * time.Second }}
	setup(w)
	old := utilruntime.ErrorHandlers
	defer func() { utilruntime.ErrorHandlers = old }()
	utilruntime.ErrorHandlers = []utilruntime.ErrorHandler{func(_ context.Context, err error, msg string, _ ...any) {
		if !hpa.Routine(err) && !workloads.Routine(err) {
			t.Errorf("%s: %s: %v", w.now(), msg, err)
		}
	}}
	objects, err := kube.DecodeManifests("test", []byte(manifests))
	if err != nil {
		t.Fatal(err)
	}
	err = engine.Bubble(engine.Watchdog{}, func() error { return w.run(objects, horizon) })
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) run(objects []runtime.Object, horizon time.Duration) error {
	var err error
	if w.engine, err = engine.New(engine.Params{Epoch: epoch}, nil); err != nil {
		return err
	}
	w.clock = w.engine.Clock
	if w.free {
		w.clock = time.Now
	}
	if w.store, err = kube.New(kube.Options{Now: w.clock, OnCommit: w.committed}); err != nil {
		return err
	}
	stop, err := w.start()
	if err != nil {
		return err
	}
	defer stop()
	for _, obj := range objects {
		obj.(metav1.Object).SetNamespace("default")
		w.engine.At(0, engine.PhaseArrive, "create", func() {
			if _, err := w.store.Create(obj); err != nil {
				w.engine.Stop(err)
			}
		})
	}
	_, err = w.engine.Run(units.Time(horizon))
	return err
}

// start starts the controllers, and returns what stops them.
func (w *world) start() (stop func(), err error) {
	if w.free {
		return w.startFree()
	}
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
	c, err := hpa.Start(hpa.Params{Engine: w.engine, Autoscalers: w.store.Autoscalers(cs.AutoscalingV2(), gate),
		Scales: w.store.Scales(gate), Mapper: w.store.RESTMapper(), Informers: f, Metrics: w.metrics(), Flags: hpa.Defaults,
		Told: func(e hpa.Event) {
			w.said = append(w.said, fmt.Sprintf("%s %s: %s: %s", w.now(), e.Autoscaler.Name, e.Reason, e.Message))
		}})
	if err != nil {
		return nil, err
	}
	return func() { wl.Close(); c.Close(); w.engine.Drain() }, nil
}

// startFree starts upstream's controllers as kube-controller-manager does, with its informers and queues.
func (w *world) startFree() (stop func(), err error) {
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), logr.Discard()))
	cs, err := w.store.Clientset(nil)
	if err != nil {
		cancel()
		return nil, err
	}
	f := informers.NewSharedInformerFactory(cs, 0)
	rsc := replicaset.NewReplicaSetController(ctx, f.Apps().V1().ReplicaSets(), f.Core().V1().Pods(), cs, 500)
	dc, err := deployment.NewDeploymentController(ctx, f.Apps().V1().Deployments(), f.Apps().V1().ReplicaSets(),
		f.Core().V1().Pods(), cs)
	if err != nil {
		cancel()
		return nil, err
	}
	d, m := hpa.Defaults, w.metrics()
	hc := podautoscaler.NewHorizontalController(ctx, cs.CoreV1(), w.store.Scales(nil), cs.AutoscalingV2(),
		w.store.RESTMapper(), upstreammetrics.NewRESTMetricsClient(m.Resource, m.Custom, m.External),
		f.Autoscaling().V2().HorizontalPodAutoscalers(), f.Core().V1().Pods(), d.SyncPeriod, d.DownscaleStabilization,
		d.Tolerance, d.CPUInitialization, d.InitialReadiness)
	f.Start(ctx.Done())
	for _, run := range []func(context.Context, int){rsc.Run, dc.Run, hc.Run} {
		go run(ctx, 5)
	}
	return func() { cancel(); f.Shutdown(); time.Sleep(time.Hour) }, nil
}

func (w *world) now() string { return w.clock().Sub(epoch).Truncate(time.Second).String() }

// after runs fn after d.
func (w *world) after(d time.Duration, fn func()) {
	if w.free {
		time.AfterFunc(d, fn)
		return
	}
	w.engine.After(d, engine.PhaseRelease, "kubelet", fn)
}

// committed is the kubelet, and keeps what happens.
func (w *world) committed(k kube.Commit) {
	m := k.New.(metav1.Object)
	fmt.Fprintf(w.writes, "%s %s %s %s %s %d\n", w.clock(), k.Verb, k.GVR.Resource, m.GetName(), k.Sub, k.RV)
	if kind, n, ok := kube.Replicas(k.New); ok && k.Verb == kube.VerbUpdate && metav1.GetControllerOf(m) == nil {
		if _, was, _ := kube.Replicas(k.Old); was != n {
			w.scales = append(w.scales, fmt.Sprintf("%s %s %s %d->%d", w.now(), kind, m.GetName(), was, n))
		}
	}
	if a, ok := k.New.(*autoscalingv2.HorizontalPodAutoscaler); ok && k.Verb == kube.VerbUpdate {
		w.syncs++
		fmt.Fprintf(w.writes, "%v\n", a.Status.CurrentMetrics)
	}
	pod, ok := k.New.(*corev1.Pod)
	if ok {
		w.mu.Lock()
		w.known = map[string][]*corev1.Pod{}
		w.mu.Unlock()
	}
	switch {
	case !ok:
	case k.Verb == kube.VerbCreate:
		w.after(w.ready(pod), func() { w.start1(pod.Name) })
	case k.Verb == kube.VerbUpdate && pod.DeletionTimestamp != nil && k.Old.(*corev1.Pod).DeletionTimestamp == nil:
		w.after(5*time.Second, func() { _ = w.store.Delete(podsGVR, "default", pod.Name, metav1.NewDeleteOptions(0)) })
	}
}

// start1 makes a pod run and be ready.
func (w *world) start1(name string) {
	obj, err := w.store.Get(podsGVR, "default", name)
	if err != nil {
		return // it was deleted before
	}
	pod := obj.(*corev1.Pod).DeepCopy()
	now := metav1.NewTime(w.clock().Truncate(time.Second))
	pod.Status.Phase, pod.Status.StartTime = corev1.PodRunning, &now
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady,
		Status: corev1.ConditionTrue, LastTransitionTime: now})
	_, _ = w.store.Update(pod, "status")
}

// running are the ready pods that a selector selects.
func (w *world) running(ls labels.Selector) (out []*corev1.Pod) {
	key := ls.String()
	w.mu.Lock()
	defer w.mu.Unlock()
	if known, ok := w.known[key]; ok {
		return known
	}
	defer func() { w.known[key] = out }()
	objs, _ := w.store.List(podsGVR, "default", ls, nil)
	for _, obj := range objs {
		pod := obj.(*corev1.Pod)
		if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
			out = append(out, pod)
		}
	}
	return out
}

// value is a metric's value now; what is no pod's is shared by n.
func (w *world) value(metric string, n int) (resource.Quantity, bool) {
	at := w.clock().Sub(epoch)
	if fn := w.load["pod:"+metric]; fn != nil {
		return *resource.NewMilliQuantity(int64(fn(at)*1000), resource.DecimalSI), true
	}
	fn := w.load[metric]
	if fn == nil {
		return resource.Quantity{}, false
	}
	return *resource.NewMilliQuantity(int64(fn(at)*1000/float64(max(n, 1))), resource.DecimalSI), true
}

func (w *world) metrics() hpa.Metrics {
	return hpa.Metrics{Resource: w, Custom: custom{w}, External: external{w}}
}

// PodMetricses implements resourceclient.PodMetricsesGetter.
func (w *world) PodMetricses(string) resourceclient.PodMetricsInterface { return podMetrics{w: w} }

type podMetrics struct {
	resourceclient.PodMetricsInterface
	w *world
}

func (p podMetrics) List(_ context.Context, o metav1.ListOptions) (*metricsv1beta1.PodMetricsList, error) {
	ls, err := labels.Parse(o.LabelSelector)
	if err != nil {
		return nil, err
	}
	pods, out := p.w.running(ls), &metricsv1beta1.PodMetricsList{}
	for _, pod := range pods {
		m := metricsv1beta1.PodMetrics{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
			Timestamp: metav1.NewTime(p.w.clock()), Window: metav1.Duration{Duration: 15 * time.Second}}
		for _, c := range pod.Spec.Containers {
			usage := corev1.ResourceList{}
			for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
				if q, ok := p.w.value(c.Name+"/"+string(r), len(pods)); ok {
					usage[r] = q
				}
			}
			m.Containers = append(m.Containers, metricsv1beta1.ContainerMetrics{Name: c.Name, Usage: usage})
		}
		out.Items = append(out.Items, m)
	}
	return out, nil
}

type custom struct{ w *world }

func (c custom) RootScopedMetrics() custom_metrics.MetricsInterface       { return c }
func (c custom) NamespacedMetrics(string) custom_metrics.MetricsInterface { return c }

func (c custom) GetForObject(_ schema.GroupKind, name, metric string, _ labels.Selector) (*custommetrics.MetricValue,
	error) {
	q, ok := c.w.value(metric, 1)
	if !ok {
		return hpa.NoMetrics().Custom.RootScopedMetrics().GetForObject(schema.GroupKind{Kind: "Service"}, name, metric, nil)
	}
	return &custommetrics.MetricValue{Timestamp: metav1.NewTime(c.w.clock()), Value: q}, nil
}

func (c custom) GetForObjects(gk schema.GroupKind, ls labels.Selector, metric string, _ labels.Selector) (
	*custommetrics.MetricValueList, error) {
	out := &custommetrics.MetricValueList{}
	pods := c.w.running(ls)
	for _, pod := range pods {
		q, ok := c.w.value(metric, len(pods))
		if !ok {
			return hpa.NoMetrics().Custom.RootScopedMetrics().GetForObjects(gk, ls, metric, nil)
		}
		out.Items = append(out.Items, custommetrics.MetricValue{Timestamp: metav1.NewTime(c.w.clock()), Value: q,
			DescribedObject: corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name}})
	}
	return out, nil
}

type external struct{ w *world }

func (e external) NamespacedMetrics(string) external_metrics.MetricsInterface { return e }

func (e external) List(metric string, ls labels.Selector) (*externalmetrics.ExternalMetricValueList, error) {
	q, ok := e.w.value(metric, 1)
	if !ok {
		return hpa.NoMetrics().External.NamespacedMetrics("").List(metric, ls)
	}
	return &externalmetrics.ExternalMetricValueList{Items: []externalmetrics.ExternalMetricValue{{MetricName: metric,
		Timestamp: metav1.NewTime(e.w.clock()), Value: q}}}, nil
}

// autoscaled is a Deployment with its HorizontalPodAutoscaler, whose spec is completed by more, indented by two.
func autoscaled(name string, most int, more string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers:
      - {name: c, image: c, resources: {requests: {cpu: 1, memory: 1Gi}}}
      - {name: side, image: s, resources: {requests: {cpu: 1, memory: 1Gi}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: %[1]s}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: %[1]s}
  maxReplicas: %[2]d
%[3]s---
`, name, most, more)
}

// wants compares what happened with what should have, a line each.
func wants(t *testing.T, what string, got []string, want string) {
	t.Helper()
	if text := strings.Join(got, "\n"); text != strings.TrimSpace(want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, text, strings.TrimSpace(want))
	}
}

// condition returns a condition of an autoscaler.
func (w *world) condition(name, kind string) string {
	obj, err := w.store.Get(autoscalingv2.SchemeGroupVersion.WithResource("horizontalpodautoscalers"), "default", name)
	if err != nil {
		return err.Error()
	}
	for _, c := range obj.(*autoscalingv2.HorizontalPodAutoscaler).Status.Conditions {
		if string(c.Type) == kind {
			return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
		}
	}
	return "none"
}
