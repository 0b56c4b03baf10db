package kube

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/google/go-cmp/cmp"
)

// owned returns a pod owned by obj.
func owned(name string, kind string, obj metav1.Object, block bool) *corev1.Pod {
	p := gpuPod(name)
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: obj.GetName(),
		UID: obj.GetUID(), BlockOwnerDeletion: &block}}
	return p
}

var rsGVR = appsv1.SchemeGroupVersion.WithResource("replicasets")

func makeReplicaSet(name string) *appsv1.ReplicaSet {
	l := map[string]string{"app": name}
	meta := metav1.ObjectMeta{Name: name, Namespace: "default"}
	return &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: l}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: l}, Spec: oneContainer}}}
}

func TestGarbageCollection(t *testing.T) {
	policy := func(p metav1.DeletionPropagation) *metav1.DeleteOptions {
		return &metav1.DeleteOptions{PropagationPolicy: &p}
	}
	for name, tc := range map[string]struct {
		options *metav1.DeleteOptions
		want    []string
	}{
		"background": {nil, []string{"delete replicasets default/rs", "delete pods default/a", "delete pods default/b"}},
		"orphan": {policy(metav1.DeletePropagationOrphan), []string{"update replicasets default/rs",
			"update pods default/a", "update pods default/b", "delete replicasets default/rs"}},
		"foreground": {policy(metav1.DeletePropagationForeground), []string{"update replicasets default/rs",
			"delete pods default/a", "delete pods default/b", "delete replicasets default/rs"}},
	} {
		f := newFixture(t)
		rs := create(f, makeReplicaSet("rs"))
		create(f, owned("a", "ReplicaSet", rs, true))
		create(f, owned("b", "ReplicaSet", rs, true))
		f.take()
		if err := f.Delete(rsGVR, "default", "rs", tc.options); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tc.want, f.take()); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestGarbageKeepsGraceAndOtherOwners(t *testing.T) {
	f := newFixture(t)
	rs, other := create(f, makeReplicaSet("rs")), create(f, makeReplicaSet("other"))
	create(f, owned("bound", "ReplicaSet", rs, true))
	f.bind("bound", "n")
	shared := owned("shared", "ReplicaSet", rs, true)
	shared.OwnerReferences = append(shared.OwnerReferences, owned("", "ReplicaSet", other, false).OwnerReferences...)
	create(f, shared)
	f.take()
	foreground := metav1.DeletePropagationForeground
	if err := f.Delete(rsGVR, "default", "rs", &metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		t.Fatal(err)
	}
	if f.pod("bound").DeletionTimestamp == nil {
		t.Error("the bound pod should be terminating")
	}
	if refs := f.pod("shared").OwnerReferences; len(refs) != 1 || refs[0].UID != other.UID {
		t.Errorf("the shared pod should have lost one owner: %v", refs)
	}
	if _, err := f.Get(rsGVR, "default", "rs"); err != nil {
		t.Errorf("the owner should wait for the bound pod: %v", err)
	}
	if err := f.Delete(podsGVR, "default", "bound", metav1.NewDeleteOptions(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Get(rsGVR, "default", "rs"); !apierrors.IsNotFound(err) {
		t.Errorf("the owner should be gone with its last dependent: %v", err)
	}
	late := owned("late", "ReplicaSet", rs, false)
	create(f, late)
	if f.pod("late") != nil {
		t.Error("a pod of an owner that is gone should be collected")
	}
}

func TestNamespaces(t *testing.T) {
	f := newFixture(t)
	if err := f.Delete(namespacesGVR, "", "default", nil); !apierrors.IsForbidden(err) {
		t.Errorf("deleting default: %v", err)
	}
	create(f, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "x"}})
	p := gpuPod("p")
	p.Namespace = "x"
	create(f, p)
	b := binding("p", "n")
	if err := f.Bind("x", b); err != nil {
		t.Fatal(err)
	}
	f.take()
	if err := f.Delete(namespacesGVR, "", "x", nil); err != nil {
		t.Fatal(err)
	}
	late := gpuPod("late")
	late.Namespace = "x"
	if _, err := f.Create(late); !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		t.Errorf("creating in a terminating namespace: %v", err)
	}
	if err := f.Delete(podsGVR, "x", "p", metav1.NewDeleteOptions(0)); err != nil {
		t.Fatal(err)
	}
	want := []string{"update namespaces /x", "update pods x/p", "delete pods x/p", "delete namespaces /x"}
	if d := cmp.Diff(want, f.take()); d != "" {
		t.Error(d)
	}
}

func TestQuota(t *testing.T) {
	f := newFixture(t)
	create(f, gpuPod("before"))
	hard := corev1.ResourceList{"requests.nvidia.com/gpu": resource.MustParse("3"), "pods": resource.MustParse("10"),
		"count/replicasets.apps": resource.MustParse("1")}
	create(f, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q", Namespace: "default"},
		Spec: corev1.ResourceQuotaSpec{Hard: hard}})
	used := func(want string) {
		t.Helper()
		obj, err := f.Get(corev1.SchemeGroupVersion.WithResource("resourcequotas"), "default", "q")
		if err != nil {
			t.Fatal(err)
		}
		u := obj.(*corev1.ResourceQuota).Status.Used
		gpu, pods, rs := u["requests.nvidia.com/gpu"], u["pods"], u["count/replicasets.apps"]
		if got := fmt.Sprint(gpu.Value(), pods.Value(), rs.Value()); got != want {
			t.Errorf("used %s, want %s", got, want)
		}
	}
	used("1 1 0")
	create(f, gpuPod("a"))
	create(f, gpuPod("b"))
	create(f, makeReplicaSet("rs"))
	used("3 3 1")
	_, err := f.Create(gpuPod("c"))
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "exceeded quota: q") {
		t.Errorf("over quota: %v", err)
	}
	if _, err := f.Create(makeReplicaSet("rs2")); !apierrors.IsForbidden(err) {
		t.Errorf("over the count: %v", err)
	}
	f.bind("a", "n")
	done := f.pod("a").DeepCopy()
	done.Status.Phase = corev1.PodSucceeded
	if _, err := f.Update(done, "status"); err != nil {
		t.Fatal(err)
	}
	used("2 2 1")
	if err := f.Delete(podsGVR, "default", "a", nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Delete(podsGVR, "default", "b", nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Delete(rsGVR, "default", "rs", nil); err != nil {
		t.Fatal(err)
	}
	used("1 1 0")
}

func TestLimitRangeAndPriority(t *testing.T) {
	f := newFixture(t)
	create(f, &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "l", Namespace: "default"},
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer,
			Default: corev1.ResourceList{"cpu": resource.MustParse("4")},
			Max:     corev1.ResourceList{"cpu": resource.MustParse("8")}}}}})
	p := create(f, gpuPod("a"))
	if got := p.Spec.Containers[0].Resources.Limits["cpu"]; got.Value() != 4 {
		t.Errorf("default limit: %v", got)
	}
	big := gpuPod("big")
	big.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("9")
	big.Spec.Containers[0].Resources.Limits["cpu"] = resource.MustParse("9")
	if _, err := f.Create(big); !apierrors.IsForbidden(err) {
		t.Errorf("over the maximum: %v", err)
	}
	sys := gpuPod("sys")
	sys.Spec.PriorityClassName = "system-node-critical"
	if got := create(f, sys); *got.Spec.Priority != 2000001000 {
		t.Errorf("priority %d", *got.Spec.Priority)
	}
}

// follower collects what a handler is told.
type follower struct{ log []string }

func (h *follower) handler() cache.ResourceEventHandler {
	note := func(verb string, obj any) {
		p := obj.(*corev1.Pod)
		h.log = append(h.log, strings.TrimSpace(fmt.Sprintf("%s %s %s", verb, p.Name, p.Status.Phase)))
	}
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    func(obj any, initial bool) { note(map[bool]string{true: "initial", false: "add"}[initial], obj) },
		UpdateFunc: func(_, obj any) { note("update", obj) },
		DeleteFunc: func(obj any) { note("delete", obj) },
	}
}

func TestInformer(t *testing.T) {
	f := newFixture(t)
	create(f, gpuPod("old"))
	inf := f.Informer(podsGVR, activePods)
	var h follower
	reg, err := inf.AddEventHandler(h.handler())
	if err != nil || !reg.HasSynced() || !inf.HasSynced() {
		t.Fatal("an informer is always synced", err)
	}
	if err := inf.AddIndexers(cache.Indexers{"node": func(obj any) ([]string, error) {
		return []string{obj.(*corev1.Pod).Spec.NodeName}, nil
	}}); err != nil {
		t.Fatal(err)
	}
	create(f, gpuPod("a"))
	f.bind("a", "n")
	if got, _ := inf.GetIndexer().ByIndex("node", "n"); len(got) != 1 || got[0] != any(f.pod("a")) {
		t.Errorf("by node: %v", got)
	}
	done := f.pod("a").DeepCopy()
	done.Status.Phase = corev1.PodFailed
	if _, err := f.Update(done, "status"); err != nil {
		t.Fatal(err)
	}
	if err := f.Delete(podsGVR, "default", "a", nil); err != nil {
		t.Fatal(err)
	}
	want := []string{"initial old Pending", "add a Pending", "update a Pending", "delete a Pending"}
	if d := cmp.Diff(want, h.log); d != "" {
		t.Error(d)
	}
	if err := inf.RemoveEventHandler(reg); err != nil {
		t.Fatal(err)
	}
	create(f, gpuPod("b"))
	if len(h.log) != len(want) || len(inf.GetStore().List()) != 2 {
		t.Error("a removed handler was called, or the cache is behind")
	}
}

func TestHandlersMayWrite(t *testing.T) {
	f := newFixture(t)
	first, second := f.Informer(podsGVR, nil), f.Informer(podsGVR, nil)
	var h follower
	nested := cache.ResourceEventHandlerFuncs{AddFunc: func(obj any) {
		if p := obj.(*corev1.Pod); p.Spec.NodeName == "" {
			f.bind(p.Name, "n")
			h.log = append(h.log, "bound "+f.pod(p.Name).Spec.NodeName)
		}
	}}
	if _, err := first.AddEventHandler(nested); err != nil {
		t.Fatal(err)
	}
	if _, err := second.AddEventHandler(h.handler()); err != nil {
		t.Fatal(err)
	}
	create(f, gpuPod("a"))
	want := []string{"bound n", "add a Pending", "update a Pending"}
	if d := cmp.Diff(want, h.log); d != "" {
		t.Error(d)
	}
}

func TestFactory(t *testing.T) {
	f := newFixture(t)
	fac := f.InformerFactory(f.clientset())
	var told []func()
	late := f.InformerFactory(nil, Deliver(func(fn func()) { told = append(told, fn) }))
	pods := fac.Core().V1().Pods()
	if pods.Informer().GetIndexer() != fac.InformerFor(&corev1.Pod{}, nil).GetIndexer() {
		t.Error("two informers on one type")
	}
	lister := late.Core().V1().Pods().Lister().Pods("default")
	stop := make(chan struct{})
	close(stop)
	create(f, gpuPod("a"))
	fac.Start(stop)
	if synced := fac.WaitForCacheSync(stop); len(synced) != 1 {
		t.Errorf("synced %v", synced)
	}
	if _, err := pods.Lister().Pods("default").Get("a"); err != nil {
		t.Error(err)
	}
	if _, err := lister.Get("a"); !apierrors.IsNotFound(err) || len(told) != 1 {
		t.Errorf("a delivered informer should not know yet: %v", err)
	}
	told[0]()
	if _, err := lister.Get("a"); err != nil {
		t.Error(err)
	}
	g, err := fac.ForResource(podsGVR)
	if err != nil || g.Informer().GetIndexer() != pods.Informer().GetIndexer() {
		t.Errorf("ForResource: %v", err)
	}
	for _, k := range f.kinds.ordered {
		if fac.InformerFor(k.newObject(), nil) == nil {
			t.Errorf("no informer on %s", k.gvr)
		}
	}
}

func TestWatch(t *testing.T) {
	f := newFixture(t)
	create(f, gpuPod("a"))
	from := fmt.Sprint(f.ResourceVersion())
	unbound := fields.OneTermEqualSelector("spec.nodeName", "")
	fresh, err := f.Watch(podsGVR, "", "", nil, unbound)
	if err != nil {
		t.Fatal(err)
	}
	create(f, gpuPod("b"))
	f.bind("a", "n")
	resumed, err := f.Watch(podsGVR, "default", from, nil, unbound)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Delete(podsGVR, "default", "b", nil); err != nil {
		t.Fatal(err)
	}
	read := func(w watch.Interface, n int) (out []string) {
		for range n {
			e := <-w.ResultChan()
			out = append(out, fmt.Sprintf("%s %s", e.Type, e.Object.(*corev1.Pod).Name))
		}
		w.Stop()
		return out
	}
	if d := cmp.Diff([]string{"ADDED a", "ADDED b", "DELETED a", "DELETED b"}, read(fresh, 4)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"ADDED b", "DELETED a", "DELETED b"}, read(resumed, 3)); d != "" {
		t.Error(d)
	}
	if n := len(f.tables[f.kinds.byGVR[podsGVR]].watchers); n != 0 {
		t.Errorf("%d watchers left", n)
	}
	for i := range historyLength + 10 {
		p := f.pod("a").DeepCopy()
		p.Labels["i"] = fmt.Sprint(i)
		if _, err := f.Update(p, ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Watch(podsGVR, "", from, nil, nil); !apierrors.IsResourceExpired(err) {
		t.Errorf("from long ago: %v", err)
	}
}

// TestWatchHistory holds the ring of changes against a list of all of them.
func TestWatchHistory(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h history
	var all []pastCommit
	now := time.Unix(0, 0)
	for rv := uint64(1); rv <= 20_000; rv += 1 + rng.Uint64N(2) {
		if rng.IntN(3000) == 0 {
			now = now.Add(time.Hour) // all that is old goes
		}
		now = now.Add(time.Duration(rng.IntN(100)) * time.Millisecond)
		h.add(Commit{RV: rv}, now)
		all = append(all, pastCommit{Commit{RV: rv}, now})
		from := rng.Uint64N(rv + 1)
		if rng.IntN(2) == 0 {
			from = rv - min(rv, rng.Uint64N(400))
		}
		want := slices.IndexFunc(all, func(c pastCommit) bool { return c.RV > from })
		if want < 0 {
			want = len(all)
		}
		got, ok := h.since(from)
		missed := len(all) - want
		if ok && (len(got) != missed || missed > 0 && got[0].RV != all[want].RV) {
			t.Fatalf("since %d at %d: %d changes, want %d", from, rv, len(got), missed)
		}
		fresh := missed <= historyLeast || missed <= historyLength && now.Sub(all[want].at) <= historyAge
		if fresh != ok {
			t.Fatalf("since %d at %d: known is %v, want %v: %d changes, the first %s ago", from, rv, ok, fresh, missed,
				now.Sub(all[want].at))
		}
	}
}

func TestSortedCommits(t *testing.T) {
	f := newFixture(t)
	var rvs []uint64
	f.opts.OnCommit = func(c Commit) { rvs = append(rvs, c.RV) }
	rs := create(f, makeReplicaSet("rs"))
	for i := range 5 {
		create(f, owned(fmt.Sprint("p", i), "ReplicaSet", rs, false))
	}
	if err := f.Delete(rsGVR, "default", "rs", nil); err != nil {
		t.Fatal(err)
	}
	if len(rvs) != 12 || !slices.IsSorted(rvs) || rvs[11]-rvs[0] != 11 {
		t.Errorf("resource versions %v", rvs)
	}
}
