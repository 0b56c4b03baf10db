package kube

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/scale"
)

// answered is an answer or an error with all that a client sees of it.
func answered(obj any, err error) string {
	if err != nil {
		var st apierrors.APIStatus
		if errors.As(err, &st) {
			status := st.Status()
			return err.Error() + " " + status.String()
		}
		return err.Error()
	}
	text, _ := json.Marshal(obj)
	return string(text)
}

// TestDirectScale reads and writes scales and the status of an autoscaler with and without the short cuts and expects
// the same calls and answers.
func TestDirectScale(t *testing.T) {
	var answers, calls [2][]string
	for i := range 2 {
		f := newFixture(t)
		gate := func(c Call, fn func()) { calls[i] = append(calls[i], c.String()); fn() }
		cs, err := f.Clientset(gate)
		if err != nil {
			t.Fatal(err)
		}
		labels := map[string]string{"app": "d"}
		container := []corev1.Container{{Name: "c", Image: "c"}}
		create(f, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "d"},
			Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
					Spec: corev1.PodSpec{Containers: container}}}})
		hpa := create(f, autoscalerOf("d"))
		scales := f.Scales(gate)
		hpas := f.Autoscalers(cs.AutoscalingV2(), gate)
		if i == 0 {
			config := f.RESTConfig(gate)
			if scales, err = scale.NewForConfig(config, f.RESTMapper(), dynamic.LegacyAPIPathResolverFunc,
				scale.NewDiscoveryScaleKindResolver(discovery.NewDiscoveryClientForConfigOrDie(config))); err != nil {
				t.Fatal(err)
			}
			hpas = cs.AutoscalingV2()
		}
		note := func(obj any, err error) { answers[i] = append(answers[i], answered(obj, err)) }
		gr := schema.GroupResource{Group: "apps", Resource: "deployments"}
		sc, err := scales.Scales("default").Get(t.Context(), gr, "d", metav1.GetOptions{})
		note(sc, err)
		note(scales.Scales("default").Get(t.Context(), gr, "none", metav1.GetOptions{}))
		note(scales.Scales("default").Get(t.Context(), schema.GroupResource{Resource: "pods"}, "d", metav1.GetOptions{}))
		for _, n := range []int32{3, 3, -1} { // the second one comes too late
			put := sc.DeepCopy()
			put.Spec.Replicas = n
			note(scales.Scales("default").Update(t.Context(), gr, put, metav1.UpdateOptions{}))
		}
		note(scales.Scales("default").Update(t.Context(), gr, &autoscalingv1.Scale{
			ObjectMeta: metav1.ObjectMeta{Name: "d"}, Spec: autoscalingv1.ScaleSpec{Replicas: 2}}, metav1.UpdateOptions{}))

		for _, change := range statusChanges() {
			put := hpa.DeepCopy()
			change(put)
			out, err := hpas.HorizontalPodAutoscalers("default").UpdateStatus(t.Context(), put, metav1.UpdateOptions{})
			note(out, err)
			if err == nil {
				hpa = out
			}
		}
	}
	for i, want := range answers[0] {
		if got := answers[1][i]; got != want {
			t.Errorf("answer %d: direct answer\n%s\nwant\n%s", i, got, want)
		}
	}
	if !slices.Equal(calls[0], calls[1]) || len(calls[0]) == 0 {
		t.Errorf("calls %v, want %v", calls[1], calls[0])
	}
}

// autoscalerOf returns an autoscaler of a Deployment.
func autoscalerOf(name string) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name,
		Labels: map[string]string{"a": "b"}},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 5,
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name}}}
}

// statusChanges are what is sent as an update of an autoscaler's status, each on top of the last that was accepted.
func statusChanges() []func(*autoscalingv2.HorizontalPodAutoscaler) {
	at := metav1.NewTime(time.Date(2030, 1, 1, 1, 2, 3, 987654321, time.UTC))
	value := autoscalingv2.MetricValueStatus{AverageValue: resource.NewMilliQuantity(1500, resource.DecimalSI)}
	return []func(*autoscalingv2.HorizontalPodAutoscaler){
		func(a *autoscalingv2.HorizontalPodAutoscaler) {
			a.Status = autoscalingv2.HorizontalPodAutoscalerStatus{CurrentReplicas: 1, DesiredReplicas: 2, LastScaleTime: &at,
				Conditions: []autoscalingv2.HorizontalPodAutoscalerCondition{{Type: autoscalingv2.AbleToScale,
					Status: corev1.ConditionTrue, LastTransitionTime: at, Reason: "r", Message: "m"}},
				CurrentMetrics: []autoscalingv2.MetricStatus{{Type: autoscalingv2.PodsMetricSourceType,
					Pods: &autoscalingv2.PodsMetricStatus{Metric: autoscalingv2.MetricIdentifier{Name: "x"}, Current: value}}}}
		},
		func(*autoscalingv2.HorizontalPodAutoscaler) {}, // nothing
		func(a *autoscalingv2.HorizontalPodAutoscaler) { a.Spec.MaxReplicas, a.Status.CurrentReplicas = 9, 2 },
		func(a *autoscalingv2.HorizontalPodAutoscaler) { a.Labels, a.Status.CurrentReplicas = nil, 3 },
		func(a *autoscalingv2.HorizontalPodAutoscaler) { a.Status.DesiredReplicas = -1 },
		func(a *autoscalingv2.HorizontalPodAutoscaler) { a.ResourceVersion = "1" },
		func(a *autoscalingv2.HorizontalPodAutoscaler) { a.Name = "none" },
		func(a *autoscalingv2.HorizontalPodAutoscaler) {
			a.Status.CurrentMetrics = []autoscalingv2.MetricStatus{{Type: autoscalingv2.ObjectMetricSourceType,
				Object: &autoscalingv2.ObjectMetricStatus{Metric: autoscalingv2.MetricIdentifier{Name: "x"}, Current: value}}}
		},
		func(a *autoscalingv2.HorizontalPodAutoscaler) {
			n := int64(-1)
			a.Status.Conditions[0].ObservedGeneration = &n
		},
	}
}

// TestSelectorText compares selectors as text with upstream's.
func TestSelectorText(t *testing.T) {
	for _, sel := range []*metav1.LabelSelector{nil, {}, {MatchLabels: map[string]string{}},
		{MatchLabels: map[string]string{"b": "2", "a": "1", "example.com/c": ""}},
		{MatchLabels: map[string]string{"a": "1"}, MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "b", Operator: metav1.LabelSelectorOpExists}}}} {
		if got, want := selectorText(sel), metav1.FormatLabelSelector(sel); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
