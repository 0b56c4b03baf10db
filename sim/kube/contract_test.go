package kube

import (
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/google/go-cmp/cmp"
)

func TestCreateFillsWhatTheServerFills(t *testing.T) {
	f := newFixture(t)
	sent := gpuPod("a")
	p := create(f, sent)
	if p == sent || sent.UID != "" || sent.Spec.DNSPolicy != "" {
		t.Error("Create kept or changed the object sent")
	}
	if p.UID == "" || len(p.UID) != 36 || p.UID[14] != '4' {
		t.Errorf("UID %q is not shaped like a UUID", p.UID)
	}
	if !p.CreationTimestamp.Time.Equal(f.now.Truncate(time.Second)) {
		t.Errorf("created %v, want the whole second of %v", p.CreationTimestamp, f.now)
	}
	if p.Status.Phase != corev1.PodPending || p.Status.QOSClass != corev1.PodQOSBurstable || p.Generation != 1 {
		t.Errorf("status %v %v generation %d", p.Status.Phase, p.Status.QOSClass, p.Generation)
	}
	if p.Spec.SchedulerName != "default-scheduler" || p.Spec.DNSPolicy != corev1.DNSClusterFirst {
		t.Error("defaults are missing")
	}
	if p.Spec.Priority == nil || *p.Spec.Priority != 0 || len(p.Spec.Tolerations) != 2 {
		t.Errorf("admission: priority %v, tolerations %v", p.Spec.Priority, p.Spec.Tolerations)
	}
	if p.Kind != "" || p.ManagedFields != nil {
		t.Error("stored with type meta or managed fields")
	}
}

func TestCreateRefuses(t *testing.T) {
	f := newFixture(t)
	create(f, gpuPod("there"))
	with := func(change func(*corev1.Pod)) *corev1.Pod {
		p := gpuPod("x")
		change(p)
		return p
	}
	half := func(p *corev1.Pod) {
		r := p.Spec.Containers[0].Resources
		r.Limits["nvidia.com/gpu"], r.Requests["nvidia.com/gpu"] = resource.MustParse("500m"), resource.MustParse("500m")
	}
	system := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "system-x"}, Value: 1}
	negative := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q", Namespace: "default"},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"pods": resource.MustParse("-1")}}}
	for name, tc := range map[string]struct {
		obj  runtime.Object
		is   func(error) bool
		text string
	}{
		"name taken":   {gpuPod("there"), apierrors.IsAlreadyExists, `pods "there" already exists`},
		"no namespace": {with(func(p *corev1.Pod) { p.Namespace = "nowhere" }), apierrors.IsNotFound, "nowhere"},
		"no containers": {with(func(p *corev1.Pod) { p.Spec.Containers = nil }), apierrors.IsInvalid,
			"spec.containers: Required"},
		"bad name": {gpuPod("Not_A_Name"), apierrors.IsInvalid, "metadata.name"},
		"bad label": {with(func(p *corev1.Pod) { p.Labels = map[string]string{"a b": ""} }), apierrors.IsInvalid,
			"metadata.labels"},
		"version set": {with(func(p *corev1.Pod) { p.ResourceVersion = "1" }), apierrors.IsInternalError,
			"resourceVersion should not be set"},
		"unknown class": {with(func(p *corev1.Pod) { p.Spec.PriorityClassName = "none" }), apierrors.IsForbidden,
			"no PriorityClass with name none"},
		"half a GPU":      {with(half), apierrors.IsInvalid, "must be an integer"},
		"reserved prefix": {system, apierrors.IsInvalid, "reserved"},
		"negative count":  {negative, apierrors.IsInvalid, "greater than or equal to 0"},
	} {
		_, err := f.Create(tc.obj)
		if err == nil || !tc.is(err) || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: got %v, want one saying %q", name, err, tc.text)
		}
	}
	if f.pod("x") != nil || len(f.take()) != 1 {
		t.Error("a refused create left something behind")
	}
}

func TestUpdateLocksAndNoOps(t *testing.T) {
	f := newFixture(t)
	first := create(f, gpuPod("a"))
	p := first.DeepCopy()
	p.Labels["new"] = "1"
	out, err := f.Update(p, "")
	if err != nil {
		t.Fatal(err)
	}
	second := out.(*corev1.Pod)
	if second.ResourceVersion == first.ResourceVersion || second.Generation != 1 || first.Labels["new"] != "" {
		t.Errorf("version %s, generation %d, or the old object changed", second.ResourceVersion, second.Generation)
	}
	if _, err := f.Update(p, ""); !apierrors.IsConflict(err) {
		t.Errorf("stale version: %v, want Conflict", err)
	}
	f.take()
	if again, err := f.Update(second, ""); err != nil || again != second || len(f.take()) != 0 {
		t.Errorf("no-op: %v, commits %v", err, f.log)
	}
	other := second.DeepCopy()
	other.UID = "other"
	if _, err := f.Update(other, ""); !apierrors.IsConflict(err) {
		t.Errorf("other UID: %v, want Conflict", err)
	}
	blind := second.DeepCopy()
	blind.ResourceVersion = ""
	blind.Labels["blind"] = "1"
	if _, err := f.Update(blind, ""); err != nil {
		t.Errorf("unconditional update: %v", err)
	}
	gone := gpuPod("gone")
	if _, err := f.Update(gone, ""); !apierrors.IsNotFound(err) {
		t.Errorf("absent: %v, want NotFound", err)
	}
	fixed := f.pod("a").DeepCopy()
	fixed.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("7")
	if _, err := f.Update(fixed, ""); !apierrors.IsInvalid(err) {
		t.Errorf("changing a pod's requests: %v, want Invalid", err)
	}
}

func TestStatusIsSeparate(t *testing.T) {
	f := newFixture(t)
	d := create(f, makeDeployment("d", 3))
	both := d.DeepCopy()
	both.Status.Replicas, both.Spec.Replicas = 9, new(int32)
	out, err := f.Update(both, "")
	if err != nil {
		t.Fatal(err)
	}
	got := out.(*appsv1.Deployment)
	if got.Status.Replicas != 0 || *got.Spec.Replicas != 0 || got.Generation != d.Generation+1 {
		t.Errorf("main update: status %d spec %d generation %d", got.Status.Replicas, *got.Spec.Replicas, got.Generation)
	}
	both = got.DeepCopy()
	five := int32(5)
	both.Status.Replicas, both.Spec.Replicas = 9, &five
	out, err = f.Update(both, "status")
	if err != nil {
		t.Fatal(err)
	}
	if got2 := out.(*appsv1.Deployment); got2.Status.Replicas != 9 || *got2.Spec.Replicas != 0 ||
		got2.Generation != got.Generation {
		t.Errorf("status update: status %d spec %d generation %d", got2.Status.Replicas, *got2.Spec.Replicas,
			got2.Generation)
	}
	if _, err := f.Update(both, "nonsense"); !apierrors.IsNotFound(err) {
		t.Errorf("unknown subresource: %v", err)
	}
}

func makeDeployment(name string, n int32) *appsv1.Deployment {
	l := map[string]string{"app": name}
	meta := metav1.ObjectMeta{Name: name, Namespace: "default"}
	return &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
		Replicas: &n, Selector: &metav1.LabelSelector{MatchLabels: l}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: l}, Spec: oneContainer}}}
}

var oneContainer = corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}

func TestJobGetsSelector(t *testing.T) {
	f := newFixture(t)
	j := create(f, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "j", Namespace: "default"}, Spec: batchv1.JobSpec{
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{{Name: "c", Image: "i"}}}}}})
	if j.Spec.Selector.MatchLabels["batch.kubernetes.io/controller-uid"] != string(j.UID) ||
		j.Spec.Template.Labels["batch.kubernetes.io/job-name"] != "j" {
		t.Errorf("selector %v, labels %v", j.Spec.Selector, j.Spec.Template.Labels)
	}
}

func TestGenerateNameAndUIDRepeat(t *testing.T) {
	run := func() (names []string) {
		f := newFixture(t)
		for range 50 {
			p := gpuPod("")
			p.GenerateName = "job-"
			p = create(f, p)
			names = append(names, p.Name+" "+string(p.UID))
		}
		return names
	}
	a, b := run(), run()
	if d := cmp.Diff(a, b); d != "" {
		t.Error(d)
	}
	slices.Sort(a)
	if len(slices.Compact(a)) != 50 {
		t.Error("names or UIDs repeat within a run")
	}
}

func TestBind(t *testing.T) {
	f := newFixture(t)
	create(f, gpuNode("n1"))
	p := create(f, gpuPod("a"))
	p = p.DeepCopy()
	p.Status.NominatedNodeName = "n1"
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
		Reason: "Unschedulable"}}
	if _, err := f.Update(p, "status"); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(time.Minute)
	f.bind("a", "n1")
	got := f.pod("a")
	c := got.Status.Conditions[0]
	if got.Spec.NodeName != "n1" || got.Status.NominatedNodeName != "" || c.Status != corev1.ConditionTrue ||
		c.Reason != "" || !c.LastTransitionTime.Time.Equal(f.now.Truncate(time.Second)) || got.Generation != 1 {
		t.Errorf("bound pod: %+v", got)
	}
	if got.Labels[corev1.LabelTopologyZone] != "z1" {
		t.Errorf("topology labels: %v", got.Labels)
	}
	conflict := func(name, want string) {
		t.Helper()
		err := f.Bind("default", binding(name, "n1"))
		if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want Conflict saying %q", err, want)
		}
	}
	conflict("a", `pod a is already assigned to node "n1"`)
	gated := gpuPod("gated")
	gated.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "x"}}
	create(f, gated)
	conflict("gated", "non-empty .spec.schedulingGates")
	held := gpuPod("held")
	held.Finalizers = []string{"x/y"}
	create(f, held)
	if err := f.Delete(podsGVR, "default", "held", nil); err != nil {
		t.Fatal(err)
	}
	conflict("held", "is being deleted")
	if err := f.Bind("default", binding("none", "n1")); !apierrors.IsNotFound(err) {
		t.Errorf("absent pod: %v", err)
	}
	if err := f.Bind("default", binding("a", "")); !apierrors.IsInvalid(err) {
		t.Errorf("no target: %v", err)
	}
	create(f, gpuPod("b"))
	b := binding("b", "n1")
	b.UID = "other"
	if err := f.Bind("default", b); !apierrors.IsConflict(err) {
		t.Errorf("other UID: %v", err)
	}
}

func TestPodDeletion(t *testing.T) {
	f := newFixture(t)
	create(f, gpuPod("unbound"))
	create(f, gpuPod("bound"))
	create(f, gpuPod("done"))
	f.bind("bound", "n")
	f.bind("done", "n")
	done := f.pod("done").DeepCopy()
	done.Status.Phase = corev1.PodSucceeded
	if _, err := f.Update(done, "status"); err != nil {
		t.Fatal(err)
	}
	f.take()
	for _, name := range []string{"unbound", "bound", "done"} {
		if err := f.Delete(podsGVR, "default", name, nil); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"delete pods default/unbound", "update pods default/bound", "delete pods default/done"}
	if d := cmp.Diff(want, f.take()); d != "" {
		t.Error(d)
	}
	p := f.pod("bound")
	if p.DeletionTimestamp == nil || *p.DeletionGracePeriodSeconds != 30 || p.Generation != 2 ||
		!p.DeletionTimestamp.Time.Equal(f.now.Truncate(time.Second).Add(30*time.Second)) {
		t.Errorf("terminating pod: %v %v", p.DeletionTimestamp, p.Generation)
	}
	if err := f.Delete(podsGVR, "default", "bound", nil); err != nil || len(f.take()) != 0 {
		t.Errorf("deleting again: %v, want nothing", err)
	}
	f.now = f.now.Add(10 * time.Second)
	if err := f.Delete(podsGVR, "default", "bound", metav1.NewDeleteOptions(5)); err != nil {
		t.Fatal(err)
	}
	if p := f.pod("bound"); *p.DeletionGracePeriodSeconds != 1 ||
		!p.DeletionTimestamp.Time.Equal(f.now.Truncate(time.Second)) {
		t.Errorf("shortened: %v %v", p.DeletionTimestamp, *p.DeletionGracePeriodSeconds)
	}
	f.take()
	if err := f.Delete(podsGVR, "default", "bound", metav1.NewDeleteOptions(0)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"delete pods default/bound"}, f.take()); d != "" {
		t.Error(d)
	}
	if err := f.Delete(podsGVR, "default", "bound", nil); !apierrors.IsNotFound(err) {
		t.Errorf("gone: %v", err)
	}
}

func TestFinalizersAndPreconditions(t *testing.T) {
	f := newFixture(t)
	cm := create(f, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "default",
		Finalizers: []string{"x/y"}}})
	gvr := corev1.SchemeGroupVersion.WithResource("configmaps")
	wrong := types.UID("wrong")
	err := f.Delete(gvr, "default", "c", &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &wrong}})
	if !apierrors.IsConflict(err) {
		t.Errorf("UID precondition: %v", err)
	}
	version := "1"
	err = f.Delete(gvr, "default", "c", &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{
		ResourceVersion: &version}})
	if !apierrors.IsConflict(err) {
		t.Errorf("version precondition: %v", err)
	}
	if err := f.Delete(gvr, "default", "c", nil); err != nil {
		t.Fatal(err)
	}
	obj, err := f.Get(gvr, "default", "c")
	if err != nil || obj.(*corev1.ConfigMap).DeletionTimestamp == nil {
		t.Fatalf("with a finalizer it should stay, deleting: %v %v", obj, err)
	}
	free := obj.(*corev1.ConfigMap).DeepCopy()
	free.Finalizers = nil
	f.take()
	if _, err := f.Update(free, ""); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"delete configmaps default/c"}, f.take()); d != "" {
		t.Error(d)
	}
	_ = cm
}

func TestEviction(t *testing.T) {
	f := newFixture(t)
	p := create(f, gpuPod("a"))
	create(f, gpuPod("pending"))
	f.bind("a", "n")
	if _, err := f.Update(ready(f.pod("a")), "status"); err != nil {
		t.Fatal(err)
	}
	one := intstr.FromInt32(1)
	sel := &metav1.LabelSelector{MatchLabels: p.Labels}
	b := create(f, &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "b", Namespace: "default"},
		Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: sel}})
	evict := func(name string) error {
		return f.Evict("default", &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	if err := evict("a"); !apierrors.IsTooManyRequests(err) || !strings.Contains(err.Error(), "disruption budget") {
		t.Errorf("before the controller saw the budget: %v", err)
	}
	set := func(allowed int32) {
		obj, _ := f.Get(pdbsGVR, "default", "b")
		b2 := obj.(*policyv1.PodDisruptionBudget).DeepCopy()
		b2.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: b.Generation, DisruptionsAllowed: allowed,
			CurrentHealthy: 1, DesiredHealthy: 1, ExpectedPods: 1}
		if _, err := f.Update(b2, "status"); err != nil {
			t.Fatal(err)
		}
	}
	set(0)
	if err := evict("a"); !apierrors.IsTooManyRequests(err) ||
		!apierrors.HasStatusCause(err, policyv1.DisruptionBudgetCause) {
		t.Errorf("nothing allowed: %v", err)
	}
	if err := evict("pending"); err != nil || f.pod("pending") != nil {
		t.Errorf("a pending pod disrupts nothing: %v", err)
	}
	set(1)
	if err := evict("a"); err != nil {
		t.Fatal(err)
	}
	obj, _ := f.Get(pdbsGVR, "default", "b")
	st := obj.(*policyv1.PodDisruptionBudget).Status
	if _, ok := st.DisruptedPods["a"]; !ok || st.DisruptionsAllowed != 0 {
		t.Errorf("budget after the eviction: %+v", st)
	}
	got := f.pod("a")
	last := got.Status.Conditions[len(got.Status.Conditions)-1]
	if got.DeletionTimestamp == nil || last.Type != corev1.DisruptionTarget {
		t.Errorf("evicted pod: %+v", got.Status.Conditions)
	}
}

func TestListsAndSelectors(t *testing.T) {
	f := newFixture(t)
	create(f, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a-first"}})
	for _, name := range []string{"c", "a", "b"} {
		create(f, gpuPod(name))
	}
	other := gpuPod("z")
	other.Namespace, other.Labels = "a-first", nil
	create(f, other)
	f.bind("b", "n")
	names := func(ns string, ls labels.Selector, fs fields.Selector) string {
		t.Helper()
		objs, err := f.List(podsGVR, ns, ls, fs)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, o := range objs {
			out = append(out, o.(*corev1.Pod).Name)
		}
		return strings.Join(out, " ")
	}
	app := labels.SelectorFromSet(labels.Set{"app": "x"})
	for _, tc := range []struct{ got, want string }{
		{names("", nil, nil), "z a b c"},
		{names("default", nil, nil), "a b c"},
		{names("", app, nil), "a b c"},
		{names("", nil, fields.OneTermEqualSelector("spec.nodeName", "n")), "b"},
		{names("", nil, fields.OneTermEqualSelector("metadata.name", "z")), "z"},
		{names("", app, fields.OneTermNotEqualSelector("spec.nodeName", "n")), "a c"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %q, want %q", tc.got, tc.want)
		}
	}
	_, err := f.List(podsGVR, "", nil, fields.OneTermEqualSelector("spec.nope", "1"))
	if !apierrors.IsBadRequest(err) {
		t.Errorf("unsupported field: %v", err)
	}
}
