package kube

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	resourcev1ac "k8s.io/client-go/applyconfigurations/resource/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/google/go-cmp/cmp"
)

// eachClient runs a test with clients of every wire format, in process and over a socket.
func eachClient(t *testing.T, test func(t *testing.T, f *fixture, cs kubernetes.Interface)) {
	for _, media := range []string{typeJSON, typeProtobuf} {
		t.Run(media, func(t *testing.T) {
			f := newFixture(t)
			cfg := f.RESTConfig(nil)
			cfg.ContentType, cfg.AcceptContentTypes = media, media
			test(t, f, kubernetes.NewForConfigOrDie(cfg))
		})
	}
	t.Run("socket", func(t *testing.T) {
		f := newFixture(t)
		srv := httptest.NewServer(f.Handler(nil))
		defer srv.Close()
		test(t, f, kubernetes.NewForConfigOrDie(&rest.Config{Host: srv.URL, QPS: -1}))
	})
}

func TestClientLifeCycle(t *testing.T) {
	eachClient(t, func(t *testing.T, f *fixture, cs kubernetes.Interface) {
		pods := cs.CoreV1().Pods("default")
		if _, err := pods.Create(bg, gpuPod("a"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := pods.Create(bg, gpuPod("a"), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
			t.Errorf("created twice: %v", err)
		}
		if err := pods.Bind(bg, binding("a", "n"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		p, err := pods.Get(bg, "a", metav1.GetOptions{})
		if err != nil || p.Spec.NodeName != "n" {
			t.Fatalf("%v %v", p, err)
		}
		if _, err := pods.UpdateStatus(bg, ready(p), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		p.Labels["late"] = "1"
		if _, err := pods.Update(bg, p, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
			t.Errorf("stale update: %v", err)
		}
		list, err := pods.List(bg, metav1.ListOptions{FieldSelector: "spec.nodeName=n"})
		if err != nil || len(list.Items) != 1 || list.ResourceVersion != fmt.Sprint(f.ResourceVersion()) {
			t.Errorf("list: %v %v", list, err)
		}
		if _, err := pods.List(bg, metav1.ListOptions{FieldSelector: "spec.x=n"}); !apierrors.IsBadRequest(err) {
			t.Errorf("unsupported field selector: %v", err)
		}
		err = pods.EvictV1(bg, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "a"}})
		if err != nil || f.pod("a").DeletionTimestamp == nil {
			t.Errorf("evict: %v", err)
		}
		if err := pods.Delete(bg, "a", *metav1.NewDeleteOptions(0)); err != nil || f.pod("a") != nil {
			t.Errorf("delete: %v", err)
		}
		if _, err := pods.Get(bg, "a", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("get: %v", err)
		}
		for _, name := range []string{"x", "y"} {
			create(f, gpuPod(name))
		}
		if err := pods.DeleteCollection(bg, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app=x"}); err != nil {
			t.Fatal(err)
		}
		if objs, _ := f.List(podsGVR, "", nil, nil); len(objs) != 0 {
			t.Errorf("%d pods left", len(objs))
		}
		dry, err := pods.Create(bg, gpuPod("dry"), metav1.CreateOptions{DryRun: []string{"All"}})
		if err != nil || dry.UID == "" || f.pod("dry") != nil {
			t.Errorf("dry run: %v %v", dry, err)
		}
		if _, err := cs.CoreV1().Events("default").Create(bg, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e"}},
			metav1.CreateOptions{}); err != nil || f.DroppedEvents() != 1 {
			t.Errorf("event: %v, dropped %d", err, f.DroppedEvents())
		}
	})
}

func TestClientPatches(t *testing.T) {
	eachClient(t, func(t *testing.T, f *fixture, cs kubernetes.Interface) {
		pods := cs.CoreV1().Pods("default")
		create(f, gpuPod("a"))
		for _, tc := range []struct {
			pt    types.PatchType
			sub   string
			patch string
			check func(p *corev1.Pod) bool
		}{
			{types.StrategicMergePatchType, "status", `{"status":{"conditions":[{"type":"A","status":"True"}]}}`,
				func(p *corev1.Pod) bool { return len(p.Status.Conditions) == 1 }},
			{types.StrategicMergePatchType, "status", `{"status":{"conditions":[{"type":"B","status":"True"},` +
				`{"type":"A","status":"False"}],"nominatedNodeName":"n"}}`,
				func(p *corev1.Pod) bool {
					c := p.Status.Conditions
					return len(c) == 2 && c[1].Type == "A" && c[1].Status == "False"
				}},
			{types.StrategicMergePatchType, "status", `{"status":{"conditions":[{"type":"A","$patch":"delete"}]}}`,
				func(p *corev1.Pod) bool { return len(p.Status.Conditions) == 1 && p.Status.NominatedNodeName == "n" }},
			{types.MergePatchType, "status", `{"status":{"nominatedNodeName":null}}`,
				func(p *corev1.Pod) bool { return p.Status.NominatedNodeName == "" && len(p.Status.Conditions) == 1 }},
			{types.MergePatchType, "", `{"metadata":{"labels":{"m":"1","app":null}}}`,
				func(p *corev1.Pod) bool { return p.Labels["m"] == "1" && len(p.Labels) == 1 }},
			{types.JSONPatchType, "", `[{"op":"add","path":"/metadata/annotations","value":{"k":"v"}}]`,
				func(p *corev1.Pod) bool { return p.Annotations["k"] == "v" && p.Labels["m"] == "1" }},
		} {
			p, err := pods.Patch(bg, "a", tc.pt, []byte(tc.patch), metav1.PatchOptions{}, subs(tc.sub)...)
			if err != nil || !tc.check(p) {
				t.Errorf("%s: %v: %+v", tc.patch, err, p.Status)
			}
		}
		bad := func(pt types.PatchType, patch string, is func(error) bool) {
			t.Helper()
			if _, err := pods.Patch(bg, "a", pt, []byte(patch), metav1.PatchOptions{}); !is(err) {
				t.Errorf("%s: %v", patch, err)
			}
		}
		bad(types.MergePatchType, `{"metadata":{"uid":"other"}}`, apierrors.IsConflict)
		bad(types.MergePatchType, `{"metadata":{"resourceVersion":"1"}}`, apierrors.IsConflict)
		bad(types.MergePatchType, `{"metadata":{"name":"other"}}`, apierrors.IsBadRequest)
		bad(types.MergePatchType, `{"metadata":`, apierrors.IsBadRequest)
		bad(types.StrategicMergePatchType, `{"spec":{"containers":[{"name":"work","image":7}]}}`, apierrors.IsInvalid)
		bad(types.StrategicMergePatchType, `{"spec":{"nodeName":"n"}}`, apierrors.IsInvalid)
		bad("application/x-patch", `{}`, apierrors.IsUnsupportedMediaType)
	})
}

func subs(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func TestServerSideApply(t *testing.T) {
	f := newFixture(t)
	cs := f.clientset()
	cms := cs.CoreV1().ConfigMaps("default")
	apply := func(manager string, force bool, data map[string]string) (*corev1.ConfigMap, error) {
		return cms.Apply(bg, corev1ac.ConfigMap("c", "default").WithData(data), metav1.ApplyOptions{FieldManager: manager,
			Force: force})
	}
	if c, err := apply("one", false, map[string]string{"a": "1", "b": "1"}); err != nil || c.ManagedFields != nil {
		t.Fatalf("create by apply: %v %v", c, err)
	}
	if c, err := apply("two", false, map[string]string{"c": "2"}); err != nil || len(c.Data) != 3 {
		t.Fatalf("another manager: %v %v", c, err)
	}
	if _, err := apply("two", false, map[string]string{"a": "2"}); !apierrors.IsConflict(err) {
		t.Errorf("owned by another: %v", err)
	}
	if c, err := apply("two", true, map[string]string{"a": "2"}); err != nil || c.Data["a"] != "2" || c.Data["c"] != "" {
		t.Errorf("forced: %v %v", c, err)
	}
	if c, err := apply("one", false, map[string]string{}); err != nil || len(c.Data) != 1 || c.Data["a"] != "2" {
		t.Errorf("dropped fields should go unless another owns them: %v %v", c, err)
	}
	gvr := corev1.SchemeGroupVersion.WithResource("configmaps")
	if _, err := f.Patch(gvr, "default", "c", types.MergePatchType, []byte(`{"data":{"a":"9"}}`), "",
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := apply("two", false, map[string]string{"a": "2"}); !apierrors.IsConflict(err) ||
		!strings.Contains(err.Error(), otherManager) {
		t.Errorf("changed by an update since: %v", err)
	}
	create(f, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "plain", Namespace: "default"},
		Data: map[string]string{"a": "1"}})
	if _, err := cms.Apply(bg, corev1ac.ConfigMap("plain", "default").WithData(map[string]string{"a": "2"}),
		metav1.ApplyOptions{FieldManager: "one"}); !apierrors.IsConflict(err) ||
		!strings.Contains(err.Error(), "before-first-apply") {
		t.Errorf("created without apply: %v", err)
	}
	claim := create(f, &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: "r", Namespace: "default"},
		Spec: resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{{Name: "g",
			Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: "gpu"}}}}}})
	got, err := cs.ResourceV1().ResourceClaims("default").ApplyStatus(bg, resourcev1ac.ResourceClaim("r", "default").
		WithStatus(resourcev1ac.ResourceClaimStatus().WithReservedFor(resourcev1ac.ResourceClaimConsumerReference().
			WithResource("pods").WithName("p").WithUID("u"))), metav1.ApplyOptions{FieldManager: "x", Force: true})
	// Upstream refuses a reservation without an allocation; what matters is that the status got that far.
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "status.reservedFor") {
		t.Errorf("%s: %v %v", claim.Name, got, err)
	}
}

func TestScaleAndOtherVersions(t *testing.T) {
	f := newFixture(t)
	cs := f.clientset()
	create(f, makeDeployment("d", 3))
	deps := cs.AppsV1().Deployments("default")
	sc, err := deps.GetScale(bg, "d", metav1.GetOptions{})
	if err != nil || sc.Spec.Replicas != 3 || sc.Status.Selector != "app=d" {
		t.Fatalf("%v %v", sc, err)
	}
	sc.Spec.Replicas = 5
	if sc, err = deps.UpdateScale(bg, "d", sc, metav1.UpdateOptions{}); err != nil || sc.Spec.Replicas != 5 {
		t.Fatalf("%v %v", sc, err)
	}
	if _, err := deps.Patch(bg, "d", types.MergePatchType, []byte(`{"spec":{"replicas":2}}`), metav1.PatchOptions{},
		"scale"); err != nil {
		t.Fatal(err)
	}
	obj, err := f.Get(appsv1.SchemeGroupVersion.WithResource("deployments"), "default", "d")
	if err != nil || *obj.(*appsv1.Deployment).Spec.Replicas != 2 {
		t.Errorf("%v %v", obj, err)
	}
	percent := int32(50)
	hpa := &autoscalingv1.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "h", Namespace: "default"},
		Spec: autoscalingv1.HorizontalPodAutoscalerSpec{MaxReplicas: 4, TargetCPUUtilizationPercentage: &percent,
			ScaleTargetRef: autoscalingv1.CrossVersionObjectReference{Kind: "Deployment", Name: "d", APIVersion: "apps/v1"}}}
	_, err = cs.AutoscalingV1().HorizontalPodAutoscalers("default").Create(bg, hpa, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	v2, err := cs.AutoscalingV2().HorizontalPodAutoscalers("default").Get(bg, "h", metav1.GetOptions{})
	if err != nil || len(v2.Spec.Metrics) != 1 || v2.Spec.Metrics[0].Type != autoscalingv2.ResourceMetricSourceType {
		t.Errorf("as v2: %v %v", v2, err)
	}
	v1, err := cs.AutoscalingV1().HorizontalPodAutoscalers("").List(bg, metav1.ListOptions{})
	if err != nil || len(v1.Items) != 1 || *v1.Items[0].Spec.TargetCPUUtilizationPercentage != 50 {
		t.Errorf("as v1: %v %v", v1, err)
	}
}

// TestUpstreamInformers runs client-go's own reflectors and informers against the store, in virtual time.
func TestUpstreamInformers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		create(f, gpuPod("a"))
		fac := informers.NewSharedInformerFactory(f.clientset(), 0)
		inf := fac.Core().V1().Pods().Informer()
		var h follower
		if _, err := inf.AddEventHandler(h.handler()); err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		fac.Start(stop)
		fac.WaitForCacheSync(stop)
		synctest.Wait()
		create(f, gpuPod("b"))
		f.bind("a", "n")
		if err := f.Delete(podsGVR, "default", "b", nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want := []string{"initial a Pending", "add b Pending", "update a Pending", "delete b Pending"}
		if d := cmp.Diff(want, h.log); d != "" {
			t.Error(d)
		}
		time.Sleep(time.Hour)
		close(stop)
		fac.Shutdown()
	})
}

// TestGate checks that a client blocked in its gate is durably blocked and holds nothing.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		type waiting struct {
			call Call
			fn   func()
			done chan struct{}
		}
		queue := make(chan waiting, 10)
		cs, err := f.Clientset(func(c Call, fn func()) {
			w := waiting{c, fn, make(chan struct{})}
			queue <- w
			<-w.done
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "b"} {
			go cs.CoreV1().Pods("default").Create(bg, gpuPod(name), metav1.CreateOptions{}) //nolint:errcheck // seen below
		}
		synctest.Wait()
		create(f, gpuPod("mine"))
		calls := []waiting{<-queue, <-queue}
		slices.SortFunc(calls, func(a, b waiting) int { return strings.Compare(a.call.String(), b.call.String()) })
		var got []string
		for _, w := range calls {
			got = append(got, w.call.String())
			w.fn()
			close(w.done)
			synctest.Wait()
		}
		if d := cmp.Diff([]string{"pods/default/a//create", "pods/default/b//create"}, got); d != "" {
			t.Error(d)
		}
		if f.pod("a") == nil || f.pod("b") == nil {
			t.Error("gated creates did not happen")
		}
	})
}

func TestDiscovery(t *testing.T) {
	f := newFixture(t)
	d := f.clientset().Discovery()
	groups, lists, err := d.ServerGroupsAndResources()
	if err != nil || len(groups) < 10 {
		t.Fatalf("%d groups, %v", len(groups), err)
	}
	n := 0
	for _, l := range lists {
		for _, r := range l.APIResources {
			if !strings.Contains(r.Name, "/") {
				n++
			}
		}
	}
	if n != len(f.Resources()) {
		t.Errorf("%d resources discovered, %d served", n, len(f.Resources()))
	}
	if v, err := d.ServerVersion(); err != nil || v.GitVersion != "v1.37.2" {
		t.Errorf("%v %v", v, err)
	}
	m, err := f.RESTMapper().RESTMapping(schema.GroupKind{Group: "apps", Kind: "Deployment"})
	if err != nil || m.Resource.Resource != "deployments" || m.Scope.Name() != meta.RESTScopeNameNamespace {
		t.Errorf("%v %v", m, err)
	}
}

// widget is a custom resource.
type widget struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              map[string]string `json:"spec,omitempty"`
	Status            map[string]string `json:"status,omitempty"`
}

type widgetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []widget `json:"items"`
}

func (w *widget) DeepCopyObject() runtime.Object {
	out := *w
	w.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	return &out
}

func (l *widgetList) DeepCopyObject() runtime.Object { out := *l; return &out }

func TestControllerRuntimeClientAndCustomResources(t *testing.T) {
	gv := schema.GroupVersion{Group: "example.com", Version: "v1"}
	extra := runtime.NewScheme()
	extra.AddKnownTypeWithName(gv.WithKind("Widget"), &widget{})
	extra.AddKnownTypeWithName(gv.WithKind("WidgetList"), &widgetList{})
	metav1.AddToGroupVersion(extra, gv)
	f := newFixture(t, func(o *Options) {
		o.Schemes = []*runtime.Scheme{extra}
		o.ClusterScoped = []schema.GroupKind{{Group: "example.com", Kind: "Widget"}}
	})
	c, err := f.Client(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &widget{ObjectMeta: metav1.ObjectMeta{Name: "w"}, Spec: map[string]string{"a": "1"},
		Status: map[string]string{"no": "x"}}
	if err := c.Create(bg, w); err != nil || w.Generation != 1 || w.Status != nil {
		t.Fatalf("%+v %v", w, err)
	}
	w.Status = map[string]string{"ok": "1"}
	if err := c.Status().Update(bg, w); err != nil || w.Generation != 1 || w.Status["ok"] != "1" {
		t.Fatalf("%+v %v", w, err)
	}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"b":"2"},"status":{"ok":"2"}}`))
	if err := c.Patch(bg, w, patch); err != nil || w.Generation != 2 || w.Status["ok"] != "1" || len(w.Spec) != 2 {
		t.Fatalf("%+v %v", w, err)
	}
	var list widgetList
	if err := c.List(bg, &list); err != nil || len(list.Items) != 1 {
		t.Fatalf("%+v %v", list, err)
	}
	var p corev1.Pod
	create(f, gpuPod("a"))
	if err := c.Get(bg, client.ObjectKey{Namespace: "default", Name: "a"}, &p); err != nil || p.Name != "a" {
		t.Fatal(err)
	}
	if err := c.Get(bg, client.ObjectKey{Namespace: "default", Name: "b"}, &p); !apierrors.IsNotFound(err) {
		t.Errorf("absent: %v", err)
	}
	watching, err := c.Watch(bg, &widgetList{})
	if err != nil {
		t.Fatal(err)
	}
	defer watching.Stop()
	if e := <-watching.ResultChan(); e.Object.(*widget).Spec["b"] != "2" {
		t.Errorf("watch: %+v", e)
	}
}
