package kube

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/tools/cache"
	featuregatetesting "k8s.io/component-base/featuregate/testing"
	"k8s.io/kubernetes/pkg/features"
)

var podGroupsGVR = schedulingv1beta1.SchemeGroupVersion.WithResource("podgroups")

func member(name, group string) *corev1.Pod {
	p := gpuPod(name)
	p.Spec.SchedulingGroup = &corev1.PodSchedulingGroup{PodGroupName: &group}
	return p
}

func podGroup(name string, policy schedulingv1beta1.PodGroupSchedulingPolicy) *schedulingv1beta1.PodGroup {
	pg := &schedulingv1beta1.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	pg.Spec.SchedulingPolicy = policy
	return pg
}

func gangOf(n int32) schedulingv1beta1.PodGroupSchedulingPolicy {
	return schedulingv1beta1.PodGroupSchedulingPolicy{Gang: &schedulingv1beta1.GangSchedulingPolicy{MinCount: n}}
}

func TestSchedulingGroupNeedsItsGate(t *testing.T) {
	f := newFixture(t)
	if g := create(f, member("p", "gang")).Spec.SchedulingGroup; g != nil {
		t.Errorf("the gate is off, and the pod keeps its group %v", g)
	}
}

func TestPodGroups(t *testing.T) {
	featuregatetesting.SetFeatureGateDuringTest(t, utilfeature.DefaultFeatureGate, features.GenericWorkload, true)
	f := newFixture(t)
	create(f, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "high"}, Value: 100})
	cs := f.clientset()
	informer := f.InformerFactory(cs).Scheduling().V1beta1().PodGroups()
	var seen []string
	if _, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { seen = append(seen, "add "+o.(metav1.Object).GetName()) },
		UpdateFunc: func(_, o any) { seen = append(seen, "update "+o.(metav1.Object).GetName()) },
		DeleteFunc: func(o any) { seen = append(seen, "delete "+o.(metav1.Object).GetName()) },
	}); err != nil {
		t.Fatal(err)
	}
	groups := cs.SchedulingV1beta1().PodGroups("default")

	in := podGroup("gang", gangOf(4))
	in.Spec.PriorityClassName = "high"
	in.Status.Conditions = []metav1.Condition{{Type: "Made", Status: "True", Reason: "Up", LastTransitionTime: metav1.Now()}}
	pg, err := groups.Create(bg, in, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if pg.Spec.Priority == nil || *pg.Spec.Priority != 100 || len(pg.Status.Conditions) > 0 {
		t.Errorf("created: %+v", pg)
	}
	pg, err = groups.Patch(bg, "gang", types.StrategicMergePatchType, []byte(`{"status":{"conditions":[{"type":`+
		`"PodGroupInitiallyScheduled","status":"False","reason":"Unschedulable","lastTransitionTime":"2030-01-01T00:00:00Z"}]}}`),
		metav1.PatchOptions{}, "status")
	if err != nil || len(pg.Status.Conditions) != 1 {
		t.Errorf("status: %v, %+v", err, pg)
	}
	pg.Spec.SchedulingPolicy.Gang.MinCount = 3
	pg.Status.Conditions = nil
	if pg, err = groups.Update(bg, pg, metav1.UpdateOptions{}); err != nil || pg.Spec.SchedulingPolicy.Gang.MinCount != 3 ||
		len(pg.Status.Conditions) != 1 {
		t.Errorf("update: %v, %+v", err, pg)
	}
	if err := groups.Delete(bg, "gang", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if want := []string{"add gang", "update gang", "update gang", "delete gang"}; !slices.Equal(seen, want) {
		t.Errorf("the informer told %v, want %v", seen, want)
	}
	workload := &schedulingv1beta1.Workload{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "w"}}
	workload.Spec.PodGroupTemplates = []schedulingv1beta1.PodGroupTemplate{{Name: "workers", SchedulingPolicy: gangOf(2)}}
	if _, err := cs.SchedulingV1beta1().Workloads("default").Create(bg, workload, metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
}

func TestPodGroupsRefused(t *testing.T) {
	featuregatetesting.SetFeatureGateDuringTest(t, utilfeature.DefaultFeatureGate, features.GenericWorkload, true)
	f := newFixture(t)
	both := gangOf(2)
	both.Basic = &schedulingv1beta1.BasicSchedulingPolicy{}
	for i, policy := range []schedulingv1beta1.PodGroupSchedulingPolicy{{}, gangOf(0), both} {
		_, err := f.Create(podGroup(fmt.Sprint("g", i), policy))
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "schedulingPolicy") {
			t.Errorf("%+v: %v", policy, err)
		}
	}
	unknown := podGroup("unknown", gangOf(1))
	unknown.Spec.PriorityClassName = "nobody"
	if _, err := f.Create(unknown); !apierrors.IsForbidden(err) {
		t.Errorf("a class that does not exist: %v", err)
	}
	p := create(f, member("p", "gang"))
	if g := p.Spec.SchedulingGroup; g == nil || *g.PodGroupName != "gang" {
		t.Fatalf("the pod lost its group: %v", g)
	}
	other := "other"
	p = p.DeepCopy()
	p.Spec.SchedulingGroup.PodGroupName = &other
	if _, err := f.Update(p, ""); !apierrors.IsInvalid(err) {
		t.Errorf("a pod that changes its group: %v", err)
	}
	if _, err := f.Get(podGroupsGVR, "default", "gang"); !apierrors.IsNotFound(err) {
		t.Errorf("a pod makes no group: %v", err)
	}
}
