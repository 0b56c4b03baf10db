package keda

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/expr-lang/expr"
	"github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"orrery/sim/units"
)

// observation is what a trigger gave, after fallback.
type observation struct {
	milli    int64
	active   bool
	fallback bool
	err      error
}

// reading is a trigger's own word.
type reading struct {
	value  float64
	active bool
	err    error
}

// observe asks a trigger.
func (c *Controller) observe(s *scaled, so *v1alpha1.ScaledObject, t *trigger, now units.Time) observation {
	var r reading
	r.value, r.active, r.err = t.read(now)
	return c.settled(s, so, t, r)
}

// settled is GetMetricsWithFallback of pkg/fallback/fallback.go: it counts failures, and after too many of them puts
// the value in their place that asks for the fallback's replicas.
func (c *Controller) settled(s *scaled, so *v1alpha1.ScaledObject, t *trigger, r reading) observation {
	configured := so.Spec.Fallback != nil && validFallback(so)
	if r.err == nil {
		if configured {
			s.health[t.metric] = 0
		}
		q := quantity(r.value)
		return observation{milli: q.MilliValue(), active: r.active}
	}
	if !configured {
		return observation{err: r.err}
	}
	s.health[t.metric]++
	f := so.Spec.Fallback
	if s.health[t.metric] <= f.FailureThreshold {
		return observation{err: r.err}
	}
	if f.Behavior == v1alpha1.FallbackBehaviorScalingModifiers {
		return observation{milli: -1000}
	}
	milli, err := c.fallback(s, so, t)
	if err != nil {
		return observation{err: err}
	}
	return observation{milli: milli, fallback: true}
}

// validFallback is HasValidFallback.
func validFallback(so *v1alpha1.ScaledObject) bool {
	if so.IsUsingModifiers() {
		v, err := strconv.ParseInt(so.Spec.Advanced.ScalingModifiers.Target, 10, 64)
		if err != nil || v <= 0 {
			return false
		}
	}
	return so.Spec.Fallback.FailureThreshold >= 0 && so.Spec.Fallback.Replicas >= 0
}

// fallback is doFallback: the value with which the autoscaler computes the replicas that the fallback wants.
func (c *Controller) fallback(s *scaled, so *v1alpha1.ScaledObject, t *trigger) (int64, error) {
	f := so.Spec.Fallback
	replicas := int64(f.Replicas)
	if f.Behavior != v1alpha1.FallbackBehaviorStatic && f.Behavior != "" {
		n, err := c.replicas(s, so)
		if err != nil {
			return 0, err
		}
		switch current := int64(n); f.Behavior {
		case v1alpha1.FallbackBehaviorCurrentReplicas:
			replicas = current
		case v1alpha1.FallbackBehaviorCurrentReplicasIfHigher:
			replicas = max(replicas, current)
		case v1alpha1.FallbackBehaviorCurrentReplicasIfLower:
			replicas = min(replicas, current)
		}
	}
	goal, share := t.spec.External.Target, float64(replicas)
	modified := so.IsUsingModifiers()
	kind := goal.Type
	if modified {
		kind = so.Spec.Advanced.ScalingModifiers.MetricType
	}
	if kind == autoscalingv2.ValueMetricType {
		ready, err := c.ready(s, so)
		if err != nil || ready == 0 {
			return 0, errors.New("error performing fallback")
		}
		share /= float64(ready)
	}
	var unit float64
	switch {
	case modified:
		unit, _ = strconv.ParseFloat(so.Spec.Advanced.ScalingModifiers.Target, 64)
	case goal.AverageValue != nil:
		unit = goal.AverageValue.AsApproximateFloat64()
	default:
		unit = goal.Value.AsApproximateFloat64()
	}
	return int64(unit * 1000 * share), nil
}

// ready is getReadyReplicasCount.
func (c *Controller) ready(s *scaled, so *v1alpha1.ScaledObject) (int, error) {
	scale, err := c.scaleOf(s, so)
	if err != nil {
		return 0, err
	}
	selector, err := labels.Parse(scale.Status.Selector)
	if err != nil {
		return 0, err
	}
	pods, err := c.p.Store.List(podsGVR, so.Namespace, selector, nil)
	n := 0
	for _, o := range pods {
		p := o.(*corev1.Pod)
		for _, x := range p.Status.Conditions {
			if p.Status.Phase == corev1.PodRunning && x.Type == corev1.PodReady && x.Status == corev1.ConditionTrue {
				n++
			}
		}
	}
	return n, err
}

// compose is HandleScalingModifiers: the formula over the triggers' values, by name. It reports false when the formula
// gives no number.
func (s *scaled) compose(so *v1alpha1.ScaledObject, values map[string]int64, fallback []int64) (milli int64, ok bool) {
	if len(fallback) > 0 {
		return fallback[0], true
	}
	data := map[string]any{}
	for _, t := range s.triggers {
		v, found := values[t.metric]
		if !found || t.name == "" {
			continue
		}
		// Past its failure threshold a trigger is nil to the formula.
		if so.FallbackScalingModifiers() && s.health[t.metric] > so.Spec.Fallback.FailureThreshold {
			data[t.name] = nil
			continue
		}
		data[t.name] = resource.NewMilliQuantity(v, resource.DecimalSI).AsApproximateFloat64()
	}
	out, err := expr.Run(s.formula, data)
	if err != nil {
		return 0, false
	}
	v, isFloat := out.(float64)
	if out == nil && so.Spec.Fallback != nil {
		target, err := strconv.ParseFloat(so.Spec.Advanced.ScalingModifiers.Target, 64)
		v, isFloat = float64(so.Spec.Fallback.Replicas)*target, err == nil
	}
	return int64(v * 1000), isFloat
}

// External implements metrics.ExternalServer: pkg/provider/provider.go and GetScaledObjectMetrics of
// pkg/scaling/scale_handler.go. It may run beside the driver while that waits, and changes nothing but the counts of
// failures, which the next poll writes.
func (c *Controller) External(namespace, metric string, selector labels.Selector) (milli []int64, mine bool,
	err error) {
	name, mine := selector.RequiresExactMatch(v1alpha1.ScaledObjectOwnerAnnotation)
	if !mine {
		return nil, false, nil
	}
	s := c.objects[namespace+"/"+name]
	obj, err := c.p.Store.Get(scaledGVR, namespace, name)
	if err != nil || s == nil || s.triggers == nil {
		return nil, true, failure(fmt.Sprintf("ScaledObject.keda.sh %q not found", name))
	}
	so := obj.(*v1alpha1.ScaledObject)
	composite := so.IsUsingModifiers()
	values, failed, asked := map[string]int64{}, false, false
	var out, fallback []int64
	for _, t := range s.triggers {
		if t.metric == "" || !composite && t.metric != metric {
			continue
		}
		asked = true
		var o observation
		if r, ok := s.records[t.metric]; ok && t.cached {
			o = c.settled(s, so, t, r)
		} else {
			o = c.observe(s, so, t, c.p.Engine.Now())
		}
		switch {
		case o.err != nil:
			failed = true
			continue
		case o.fallback:
			fallback = append(fallback, o.milli)
		}
		values[t.metric] = o.milli
		out = append(out, o.milli)
	}
	if failed { // KEDA builds its scalers anew, and forgets what they said
		clear(s.records)
	}
	switch {
	case failed && len(fallback) == 0:
		return nil, true, failure("metric:" + metric + " encountered error")
	case !asked || len(out) == 0:
		return nil, true, failure("no matching metrics found for " + metric)
	}
	if composite {
		v, ok := s.compose(so, values, fallback)
		if !ok {
			return nil, true, nil
		}
		out = []int64{v}
	}
	return out, true, nil
}

// failure is an error of the operator as it reaches the autoscaler: through the metrics server's RPC
// (pkg/metricsservice/server.go) and an API server, which passes the text on.
func failure(text string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: 500,
		Message: "rpc error: code = Unknown desc = error when getting metric values " + text}}
}
