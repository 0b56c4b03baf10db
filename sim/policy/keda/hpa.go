package keda

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// version is the release of KEDA that is followed, as its label says.
const version = "2.20.2"

// hpaName is getHPAName of controllers/keda/hpa.go.
func hpaName(so *v1alpha1.ScaledObject) string {
	if a := so.Spec.Advanced; a != nil && a.HorizontalPodAutoscalerConfig != nil &&
		a.HorizontalPodAutoscalerConfig.Name != "" {
		return a.HorizontalPodAutoscalerConfig.Name
	}
	return "keda-hpa-" + so.Name
}

// newHPA is newHPAForScaledObject.
func (s *scaled) newHPA(so *v1alpha1.ScaledObject) *autoscalingv2.HorizontalPodAutoscaler {
	labels := map[string]string{"app.kubernetes.io/name": labelOf(hpaName(so)), "app.kubernetes.io/version": version,
		"app.kubernetes.io/part-of": so.Name, "app.kubernetes.io/managed-by": "keda-operator"}
	excluded := strings.Split(so.Annotations[v1alpha1.ScaledObjectExcludedLabelsAnnotation], ",")
	for k, v := range so.Labels {
		if !slices.Contains(excluded, k) {
			labels[k] = v
		}
	}
	gvk := s.target.GroupVersionKind()
	owner := metav1.NewControllerRef(so, v1alpha1.GroupVersion.WithKind("ScaledObject"))
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: hpaName(so), Namespace: so.Namespace, Labels: labels,
			Annotations: maps.Clone(so.Annotations), OwnerReferences: []metav1.OwnerReference{*owner}},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: gvk.Kind, Name: so.Spec.ScaleTargetRef.Name,
				APIVersion: gvk.GroupVersion().String()},
			MinReplicas: so.GetHPAMinReplicas(), MaxReplicas: so.GetHPAMaxReplicas(), Metrics: s.metricSpecs(so),
			Behavior: behavior(so)},
	}
}

// labelOf cuts a name to what a label may be.
func labelOf(name string) string {
	if len(name) <= longestLabel {
		return name
	}
	return strings.TrimRightFunc(name[:longestLabel], func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsNumber(r)
	})
}

// behavior is the autoscaler's, with directions closed that annotations pause.
func behavior(so *v1alpha1.ScaledObject) *autoscalingv2.HorizontalPodAutoscalerBehavior {
	var b *autoscalingv2.HorizontalPodAutoscalerBehavior
	if a := so.Spec.Advanced; a != nil && a.HorizontalPodAutoscalerConfig != nil {
		b = a.HorizontalPodAutoscalerConfig.Behavior.DeepCopy()
	}
	off := autoscalingv2.DisabledPolicySelect
	for _, x := range []struct {
		paused bool
		rules  func() **autoscalingv2.HPAScalingRules
	}{{so.NeedToPauseScaleIn(), func() **autoscalingv2.HPAScalingRules { return &b.ScaleDown }},
		{so.NeedToPauseScaleOut(), func() **autoscalingv2.HPAScalingRules { return &b.ScaleUp }}} {
		if !x.paused {
			continue
		}
		if b == nil {
			b = &autoscalingv2.HorizontalPodAutoscalerBehavior{}
		}
		if rules := x.rules(); *rules == nil {
			*rules = &autoscalingv2.HPAScalingRules{SelectPolicy: &off}
		} else {
			(*rules).SelectPolicy = &off
		}
	}
	return b
}

// metricSpecs is getScaledObjectMetricSpecs: the triggers by type of metric, or those of usage and the composite.
func (s *scaled) metricSpecs(so *v1alpha1.ScaledObject) []autoscalingv2.MetricSpec {
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.ScaledObjectOwnerAnnotation: so.Name}}
	var out []autoscalingv2.MetricSpec
	for _, t := range s.triggers {
		spec := *t.spec.DeepCopy()
		if spec.External != nil {
			spec.External.Metric.Selector = selector
		}
		out = append(out, spec)
	}
	// KEDA's sort is not stable; its order of equal types is that of the triggers for the few that there are.
	slices.SortStableFunc(out, func(a, b autoscalingv2.MetricSpec) int { return cmp.Compare(a.Type, b.Type) })
	if !so.IsUsingModifiers() {
		return out
	}
	m := so.Spec.Advanced.ScalingModifiers
	out = slices.DeleteFunc(out, func(x autoscalingv2.MetricSpec) bool { return x.Resource == nil })
	target, _ := strconv.ParseFloat(m.Target, 64)
	q := resource.NewMilliQuantity(int64(target*1000), resource.DecimalSI)
	goal := autoscalingv2.MetricTarget{Type: m.MetricType}
	if m.MetricType == autoscalingv2.ValueMetricType {
		goal.Value = q
	} else {
		goal.Type, goal.AverageValue = autoscalingv2.AverageValueMetricType, q
	}
	return append(out, autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType,
		External: &autoscalingv2.ExternalMetricSource{Target: goal, Metric: autoscalingv2.MetricIdentifier{
			Name: v1alpha1.CompositeMetricName, Selector: selector}}})
}

// hpasGVR are the autoscalers.
var hpasGVR = autoscalingv2.SchemeGroupVersion.WithResource("horizontalpodautoscalers")

// ensureHPA is ensureHPAForScaledObjectExists. It reports whether a new one was made.
func (c *Controller) ensureHPA(s *scaled, so *v1alpha1.ScaledObject) (created bool, err error) {
	want := s.newHPA(so)
	if old := so.Status.HpaName; old != "" && old != want.Name {
		if _, err := c.p.Store.Get(hpasGVR, so.Namespace, old); err == nil {
			if err := c.p.Store.Delete(hpasGVR, so.Namespace, old, nil); err != nil {
				return false, err
			}
		}
	}
	obj, err := c.p.Store.Get(hpasGVR, so.Namespace, want.Name)
	if err != nil {
		_, err = c.p.Store.Create(want)
		return err == nil, err
	}
	// One of that name which is another's is taken over; the webhook has refused what must not be.
	have := obj.(*autoscalingv2.HorizontalPodAutoscaler)
	if len(want.Spec.Metrics) == len(have.Spec.Metrics) && equality.Semantic.DeepDerivative(want.Spec, have.Spec) &&
		equality.Semantic.DeepEqual(want.Spec.Behavior, have.Spec.Behavior) &&
		equality.Semantic.DeepDerivative(want.Labels, have.Labels) &&
		(want.Annotations != nil || have.Annotations == nil) &&
		equality.Semantic.DeepDerivative(want.Annotations, have.Annotations) {
		return false, nil
	}
	next := have.DeepCopy() // the API writes nothing when only defaults of a behaviour differ
	next.Spec, next.Labels, next.Annotations, next.OwnerReferences = want.Spec, want.Labels, want.Annotations,
		want.OwnerReferences
	_, err = c.p.Store.Update(next, "")
	return false, err
}
