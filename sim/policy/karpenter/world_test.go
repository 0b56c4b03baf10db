package karpenter

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes"
	toolscache "k8s.io/client-go/tools/cache"
	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/kube"
	"orrery/sim/plan"
	"orrery/sim/policy/cloud"
	"orrery/sim/units"
)

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

var (
	podsGVR  = corev1.SchemeGroupVersion.WithResource("pods")
	nodesGVR = corev1.SchemeGroupVersion.WithResource("nodes")

	nodePoolsGVR = schema.GroupVersionResource{Group: "karpenter.sh", Version: "v1", Resource: "nodepools"}
)

// world is a cluster of an API, a cloud, Karpenter, a scheduler that takes the first node that fits, and kubelets.
type world struct {
	t     testing.TB
	e     *engine.Engine
	s     *kube.Store
	k     *Controller
	cloud *fakeCloud
	log   []string
	hash  uint64
	quiet bool // the log is not kept
	every bool // Karpenter looks as often as upstream has it
	// keep are values of the do-not-disrupt annotation of pods, by app.
	keep  map[string]string
	talk  bool // the log says why nodes are not consolidated
	sched *engine.Event
	pods  int
}

func (w *world) note(format string, args ...any) {
	if !w.quiet {
		w.log = append(w.log, fmt.Sprintf("%9s ", w.e.Now().Sub(0).Truncate(time.Second))+fmt.Sprintf(format, args...))
	}
}

// in builds a world and runs fn in its bubble.
func in(t testing.TB, k plan.Karpenter, types []cloud.InstanceType, fn func(*world) error) *world {
	t.Helper()
	return play(&world{t: t}, k, types, fn)
}

// play is in for a world that says more.
func play(w *world, k plan.Karpenter, types []cloud.InstanceType, fn func(*world) error) *world {
	w.t.Helper()
	handlers := utilruntime.ErrorHandlers
	utilruntime.ErrorHandlers = nil
	defer func() { utilruntime.ErrorHandlers = handlers }()
	err := engine.Bubble(engine.Watchdog{}, func() error {
		if err := w.build(k, types); err != nil {
			return err
		}
		defer func() {
			w.k.Close()
			w.e.Drain()
		}()
		return fn(w)
	})
	if err == nil {
		err = w.k.Err()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return w
}

func (w *world) build(k plan.Karpenter, types []cloud.InstanceType) (err error) {
	w.keep = map[string]string{}
	if w.e, err = engine.New(engine.Params{Epoch: epoch}, nil); err != nil {
		return err
	}
	defs, err := kube.NewCustoms(Definitions()...)
	if err != nil {
		return err
	}
	if w.s, err = kube.New(kube.Options{Now: w.e.Clock, OnCommit: w.committed, Schemes: []*runtime.Scheme{Scheme()},
		Customs: defs}); err != nil {
		return err
	}
	w.cloud = &fakeCloud{w: w, types: types, boot: 4 * time.Minute, out: map[market]bool{}}
	cfg := w.s.RESTConfig(func(c kube.Call, fn func()) { w.e.Call(c.String(), 5*time.Millisecond, fn) })
	cs, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	f := w.s.InformerFactory(cs, kube.AllPods(), kube.Deliver(func(fn func()) {
		w.e.After(time.Millisecond, engine.PhaseObserve, "watch", fn)
	}))
	w.k, err = Start(Params{Engine: w.e, Client: cfg, Mapper: w.s.RESTMapper(), Cloud: w.cloud, Flags: k,
		EveryLook: w.every,
		Informer: func(gvr schema.GroupVersionResource) (toolscache.SharedIndexInformer, error) {
			g, err := f.ForResource(gvr)
			if err != nil {
				return nil, err
			}
			return g.Informer(), nil
		},
		Record: func(b journal.Body) {
			if c, ok := b.(journal.Condition); ok && (c.Type != "Unconsolidatable" || w.talk) {
				w.note("%s %s: %s", c.Object, c.Type, c.Message)
			}
		},
		Error: func(message string, err error) { w.note("error: %s: %v", message, err) },
	})
	return err
}

// apply creates objects of a manifest.
func (w *world) apply(text string) error {
	defs, err := kube.NewCustoms(Definitions()...)
	if err != nil {
		return err
	}
	objects, err := kube.Decoding{Schemes: []*runtime.Scheme{Scheme()}, Customs: defs}.Manifests("m.yaml", []byte(text))
	if err != nil {
		return err
	}
	for _, obj := range objects {
		if m := obj.(metav1.Object); m.GetNamespace() == "" && obj.GetObjectKind().GroupVersionKind().Kind == "PodDisruptionBudget" {
			m.SetNamespace("default")
		}
		if _, err := w.s.Create(obj); apierrors.IsAlreadyExists(err) {
			err = w.change(obj)
			if err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
	}
	return nil
}

// change gives an object that is there another spec.
func (w *world) change(obj runtime.Object) error {
	next, ok := obj.(*v1.NodePool)
	if !ok {
		return fmt.Errorf("changing a %T", obj)
	}
	was, err := w.s.Get(nodePoolsGVR, "", next.Name)
	if err != nil {
		return err
	}
	pool := was.(*v1.NodePool).DeepCopy()
	pool.Spec = next.Spec
	_, err = w.s.Update(pool, "")
	return err
}

// committed keeps the hash of all writes, and is the scheduler's and kubelets' eye.
func (w *world) committed(c kube.Commit) {
	if w.cloud == nil {
		return
	}
	if w.k != nil {
		w.k.Committed(c)
	}
	h := fnv.New64a()
	text, _ := runtime.Encode(unstructuredJSON{}, c.New)
	fmt.Fprintf(h, "%d %d %s %s %s %s", w.hash, w.e.Now(), c.Verb, c.GVR.Resource, c.Sub, text)
	w.hash = h.Sum64()
	for _, cond := range Conditions(c.Old, c.New) {
		if strings.HasPrefix(cond.Object, "NodePool/") && cond.Type == "Ready" {
			w.note("%s is %s=%s %s", cond.Object, cond.Type, cond.Status, cond.Message)
		}
	}
	switch o := c.New.(type) {
	case *corev1.Pod:
		w.podCommitted(c, o)
	case *corev1.Node:
		old, _ := c.Old.(*corev1.Node)
		if c.Verb == kube.VerbDelete {
			w.note("node %s is gone", o.Name)
		} else if o.Labels[v1.NodeInitializedLabelKey] != "" && (old == nil || old.Labels[v1.NodeInitializedLabelKey] == "") {
			w.note("node %s is initialized", o.Name)
		}
		w.kick()
	}
}

func (w *world) podCommitted(c kube.Commit, o *corev1.Pod) {
	old, _ := c.Old.(*corev1.Pod)
	switch {
	case c.Verb == kube.VerbDelete:
		if o.Spec.NodeName != "" && o.Labels["app"] != "" && o.DeletionTimestamp != nil {
			w.e.After(0, engine.PhaseArrive, "replace", func() { w.replace(o) })
		}
	case o.DeletionTimestamp != nil && (old == nil || old.DeletionTimestamp == nil):
		w.e.After(10*time.Second, engine.PhaseRelease, "kubelet", func() {
			_ = w.s.Delete(podsGVR, o.Namespace, o.Name, metav1.NewDeleteOptions(0))
		})
	case o.Spec.NodeName != "" && old != nil && old.Spec.NodeName == "":
		w.e.After(5*time.Second, engine.PhaseStart, "kubelet", func() { w.setStatus(o, corev1.PodRunning) })
	}
	w.kick()
}

// replace makes a new pod for one that was evicted, as its controller would; one that was scaled away stays away.
func (w *world) replace(o *corev1.Pod) {
	if o.Annotations["scaled-down"] == "" {
		w.pod(o.Labels["app"], o.Spec)
	}
}

func (w *world) setStatus(o *corev1.Pod, phase corev1.PodPhase) {
	obj, err := w.s.Get(podsGVR, o.Namespace, o.Name)
	if err != nil {
		return
	}
	p := obj.(*corev1.Pod).DeepCopy()
	p.Status.Phase = phase
	now := metav1.NewTime(w.e.Clock())
	p.Status.StartTime = &now
	_, _ = w.s.Update(p, "status")
}

// create makes pods with GPUs.
func (w *world) create(app string, n, gpus int) {
	for range n {
		w.pod(app, gpuPod(gpus))
	}
}

func gpuPod(gpus int) corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i",
		Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("2"),
			"memory": resource.MustParse("8Gi"), "nvidia.com/gpu": *resource.NewQuantity(int64(gpus), resource.DecimalSI)}}}}}
}

func (w *world) pod(app string, spec corev1.PodSpec) {
	w.pods++
	spec.NodeName = ""
	owner, err := w.owner(app, spec)
	if err != nil {
		w.t.Error(err)
		return
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("%s-%03d", app, w.pods),
		Labels: map[string]string{"app": app}, OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner,
			appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))}}, Spec: spec}
	if keep := w.keep[app]; keep != "" {
		p.Annotations = map[string]string{v1.DoNotDisruptAnnotationKey: keep}
	}
	obj, err := w.s.Create(p)
	if err != nil {
		w.t.Error(err)
		return
	}
	created := obj.(*corev1.Pod).DeepCopy()
	created.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
		Reason: corev1.PodReasonUnschedulable}}
	_, _ = w.s.Update(created, "status")
}

// owner is the ReplicaSet of an app; nobody keeps it.
func (w *world) owner(app string, spec corev1.PodSpec) (*appsv1.ReplicaSet, error) {
	if obj, err := w.s.Get(appsv1.SchemeGroupVersion.WithResource("replicasets"), "default", app); err == nil {
		return obj.(*appsv1.ReplicaSet), nil
	}
	labels := map[string]string{"app": app}
	obj, err := w.s.Create(&appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: app},
		Spec: appsv1.ReplicaSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec}}})
	if err != nil {
		return nil, err
	}
	return obj.(*appsv1.ReplicaSet), nil
}

// scale leaves n pods of an app, the oldest.
func (w *world) scale(app string, n int) {
	list := w.list(app)
	for _, p := range list[min(n, len(list)):] {
		q := p.DeepCopy()
		q.Annotations = map[string]string{"scaled-down": "true"}
		_, _ = w.s.Update(q, "")
		_ = w.s.Delete(podsGVR, p.Namespace, p.Name, nil)
	}
}

func (w *world) list(app string) (out []*corev1.Pod) {
	objs, _ := w.s.List(podsGVR, "", nil, nil)
	for _, o := range objs {
		if p := o.(*corev1.Pod); (app == "" || p.Labels["app"] == app) && p.DeletionTimestamp == nil {
			out = append(out, p)
		}
	}
	return out
}

// kick has the scheduler look at the pods soon.
func (w *world) kick() {
	if w.sched.Pending() {
		return
	}
	w.sched = w.e.After(100*time.Millisecond, engine.PhaseDecide, "schedule", w.schedule)
}

func (w *world) schedule() {
	nodes, _ := w.s.List(nodesGVR, "", nil, nil)
	for _, p := range w.list("") {
		if p.Spec.NodeName != "" {
			continue
		}
		for _, o := range nodes {
			if n := o.(*corev1.Node); w.fits(p, n) {
				_ = w.s.Bind(p.Namespace, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name},
					Target: corev1.ObjectReference{Kind: "Node", Name: n.Name}})
				break
			}
		}
	}
}

func (w *world) fits(p *corev1.Pod, n *corev1.Node) bool {
	if n.Spec.Unschedulable || !labels.SelectorFromSet(p.Spec.NodeSelector).Matches(labels.Set(n.Labels)) {
		return false
	}
	for i := range n.Spec.Taints {
		tolerates := func(t corev1.Toleration) bool { return t.Key == n.Spec.Taints[i].Key }
		if !slices.ContainsFunc(p.Spec.Tolerations, tolerates) {
			return false
		}
	}
	free := n.Status.Allocatable.DeepCopy()
	objs, _ := w.s.List(podsGVR, "", nil, nil)
	for _, o := range objs {
		if q := o.(*corev1.Pod); q.Spec.NodeName == n.Name {
			for name, r := range q.Spec.Containers[0].Resources.Requests {
				have := free[name]
				have.Sub(r)
				free[name] = have
			}
		}
	}
	for name, r := range p.Spec.Containers[0].Resources.Requests {
		have := free[name]
		if r.Cmp(have) > 0 {
			return false
		}
	}
	return true
}

// show says how many pods are on each node.
func (w *world) show() string {
	var out []string
	nodes, _ := w.s.List(nodesGVR, "", nil, nil)
	for _, o := range nodes {
		n, k := o.(*corev1.Node), 0
		for _, p := range w.list("") {
			if p.Spec.NodeName == n.Name {
				k++
			}
		}
		out = append(out, fmt.Sprintf("%s: %s %s, %d pods", n.Name, n.Labels[corev1.LabelInstanceTypeStable],
			n.Labels[v1.CapacityTypeLabelKey], k))
	}
	slices.Sort(out)
	waiting := 0
	for _, p := range w.list("") {
		if p.Spec.NodeName == "" {
			waiting++
		}
	}
	return strings.Join(append(out, fmt.Sprintf("%d pods wait", waiting)), "\n")
}

// run lets time pass.
func (w *world) run(d units.Duration) error {
	_, err := w.e.Run(w.e.Now().Add(d))
	return err
}
