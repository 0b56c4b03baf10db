package keda

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"orrery/sim/kube"
	"orrery/sim/policy/metrics"
	"orrery/sim/units"
)

// Types of triggers that are simulated.
const (
	typePrometheus = "prometheus"
	typeCron       = "cron"
	typeCPU        = "cpu"
	typeMemory     = "memory"
	typeWorkload   = "kubernetes-workload"
)

// sources are what triggers read. They are nil while a ScaledObject is only checked.
type sources struct {
	metrics *metrics.Store
	store   *kube.Store
	clock   func(units.Time) time.Time
}

// trigger is one trigger of a ScaledObject.
type trigger struct {
	name   string // the user's
	metric string // external metric that it becomes; "" of cpu and memory
	cached bool   // the autoscaler is answered from the last poll
	spec   autoscalingv2.MetricSpec
	// read returns the value and whether it activates the object. Nil of cpu and memory.
	read func(now units.Time) (value float64, active bool, err error)
}

// newTrigger reads trigger i.
func newTrigger(s sources, so *v1alpha1.ScaledObject, i int) (*trigger, error) {
	t := &so.Spec.Triggers[i]
	m := &metadata{values: t.Metadata, used: map[string]bool{}}
	out := &trigger{name: t.Name, cached: t.UseCachedMetrics}
	var err error
	switch t.Type {
	case typePrometheus:
		err = out.prometheus(s, m, i, t.MetricType)
	case typeCron:
		err = out.cron(s, m, i, t.MetricType)
	case typeWorkload:
		err = out.workload(s, m, i, t.MetricType, so.Namespace, so.IsUsingModifiers())
	case typeCPU:
		err = out.usage(m, corev1.ResourceCPU, t.MetricType)
	case typeMemory:
		err = out.usage(m, corev1.ResourceMemory, t.MetricType)
	case "":
		return nil, errors.New("type is required")
	default:
		return nil, fmt.Errorf("type %q is not simulated: use %s, %s, %s, %s or %s; what a queue or another service would "+
			"report can be asked of the run's own metrics with a prometheus trigger", t.Type, typePrometheus, typeCron, typeCPU,
			typeMemory, typeWorkload)
	}
	if err = errors.Join(err, m.rest(t.Type)); err != nil {
		return nil, err
	}
	return out, nil
}

// metadata reads a trigger's parameters (pkg/scalers/scalersconfig/typed_config.go).
type metadata struct {
	values map[string]string
	used   map[string]bool
	errs   []error
}

// value returns a parameter; one that is empty or of blanks only is as good as absent.
func (m *metadata) value(name string) (text string, ok bool) {
	m.used[name] = true
	text = strings.TrimSpace(m.values[name])
	return text, text != ""
}

// text returns a required parameter.
func (m *metadata) text(name string) string {
	v, ok := m.value(name)
	if !ok {
		m.errs = append(m.errs, fmt.Errorf("missing required parameter %q in metadata", name))
	}
	return v
}

// number returns a parameter that is a number; required without otherwise.
func (m *metadata) number(name string, otherwise ...float64) float64 {
	if _, ok := m.value(name); !ok && len(otherwise) > 0 {
		return otherwise[0]
	}
	before := len(m.errs)
	text := m.text(name)
	v, err := strconv.ParseFloat(text, 64)
	if len(m.errs) > before {
		return 0
	}
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		m.errs = append(m.errs, fmt.Errorf("parameter %q: %q is not a number", name, text))
	}
	return v
}

// flag returns an optional parameter that is true or false.
func (m *metadata) flag(name string, otherwise bool) bool {
	text, ok := m.value(name)
	if !ok {
		return otherwise
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		m.errs = append(m.errs, fmt.Errorf("parameter %q: %q is neither true nor false", name, text))
	}
	return v
}

// ignore accepts parameters that mean nothing here.
func (m *metadata) ignore(names ...string) {
	for _, n := range names {
		m.used[n] = true
	}
}

// rest reports what was wrong and what nobody asked for. KEDA passes over unknown parameters; a misspelled one would
// then silently have its default.
func (m *metadata) rest(kind string) error {
	for _, name := range slices.Sorted(maps.Keys(m.values)) {
		if !m.used[name] && len(m.used) > 0 {
			m.errs = append(m.errs, fmt.Errorf("a %s trigger has no parameter %q; it has %s", kind, name,
				strings.Join(slices.Sorted(maps.Keys(m.used)), ", ")))
		}
	}
	return errors.Join(m.errs...)
}

// external makes the trigger an external metric (pkg/scalers/scaler.go, GetMetricTargetType, GetMetricTargetMili).
func (t *trigger) external(i int, name string, kind autoscalingv2.MetricTargetType, target float64) error {
	q := quantity(target)
	goal := autoscalingv2.MetricTarget{Type: kind}
	switch kind {
	case "", autoscalingv2.AverageValueMetricType:
		goal.Type, goal.AverageValue = autoscalingv2.AverageValueMetricType, &q
	case autoscalingv2.ValueMetricType:
		goal.Value = &q
	default:
		return fmt.Errorf("metricType %q: external metrics have 'Value' or 'AverageValue'", kind)
	}
	t.metric = fmt.Sprintf("s%d-%s", i, normalize(name))
	t.spec = autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType,
		External: &autoscalingv2.ExternalMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: t.metric}, Target: goal}}
	return nil
}

// normalize is pkg/util/normalize_string.go.
func normalize(s string) string {
	return strings.NewReplacer("/", "-", ".", "-", ":", "-", "%", "-", "(", "-", ")", "-").Replace(s)
}

// quantity is pkg/scalers/scaler.go, quantityFromFloat64: rounded to thousandths, and nothing below 0.
func quantity(v float64) resource.Quantity {
	if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
		return resource.MustParse("0")
	}
	return resource.MustParse(strconv.FormatFloat(v, 'f', 3, 64))
}

// prometheus is pkg/scalers/prometheus_scaler.go.
func (t *trigger) prometheus(s sources, m *metadata, i int, kind autoscalingv2.MetricTargetType) error {
	m.text("serverAddress")
	text, threshold := m.text("query"), m.number("threshold")
	activation, ignoreNull := m.number("activationThreshold", 0), m.flag("ignoreNullValues", true)
	m.ignore("queryParameters", "namespace", "customHeaders", "unsafeSsl", "awsRegion", "timeout", "identityOwner",
		"authModes", "metricName")
	if text != "" {
		scalar, err := metrics.Check(text)
		if err == nil && scalar {
			err = fmt.Errorf("query %q gives a scalar, which KEDA cannot read: write vector(%s)", text, text)
		}
		if err != nil {
			m.errs = append(m.errs, err)
		}
	}
	if s.metrics != nil && text != "" {
		q, err := s.metrics.Query(text)
		if err != nil {
			return err
		}
		t.read = func(now units.Time) (float64, bool, error) {
			v, err := ask(q, now, ignoreNull)
			return v, err == nil && v > activation, err
		}
	}
	return t.external(i, "prometheus", kind, threshold)
}

// ask is ExecutePromQuery.
func ask(q *metrics.Query, now units.Time, ignoreNull bool) (float64, error) {
	res, err := q.Eval(now)
	if err != nil {
		return -1, errors.New("prometheus query api returned error. status: 422")
	}
	switch {
	case len(res.Values) == 0 && ignoreNull:
		return 0, nil
	case len(res.Values) == 0:
		return -1, errors.New("prometheus metrics 'prometheus' target may be lost, the result is empty")
	case len(res.Values) > 1:
		return -1, fmt.Errorf("prometheus query %s returned multiple elements", q)
	}
	v := res.Values[0].V
	if math.IsInf(v, 0) || math.IsNaN(v) {
		if ignoreNull {
			return 0, nil
		}
		return -1, fmt.Errorf("prometheus query returns %f", v)
	}
	return v, nil
}

// usage is pkg/scalers/cpu_memory_scaler.go.
func (t *trigger) usage(m *metadata, name corev1.ResourceName, kind autoscalingv2.MetricTargetType) error {
	text := m.text("value")
	m.ignore("containerName")
	if _, ok := m.values["type"]; ok {
		m.used["type"] = true
		return errors.New("parameter 'type' was removed in KEDA 2.18: write metricType beside type and metadata")
	}
	goal := autoscalingv2.MetricTarget{Type: kind}
	switch kind {
	case autoscalingv2.AverageValueMetricType:
		q, err := resource.ParseQuantity(text)
		if err != nil {
			return fmt.Errorf("parameter \"value\": %q is not a quantity", text)
		}
		goal.AverageValue = &q
	case autoscalingv2.UtilizationMetricType:
		v, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return fmt.Errorf("parameter \"value\": %q is not a whole number of percent", text)
		}
		percent := int32(v)
		goal.AverageUtilization = &percent
	default:
		return fmt.Errorf("metricType %q: a %s trigger has 'Utilization' or 'AverageValue'", kind, name)
	}
	if container := m.values["containerName"]; container != "" {
		t.spec = autoscalingv2.MetricSpec{Type: autoscalingv2.ContainerResourceMetricSourceType,
			ContainerResource: &autoscalingv2.ContainerResourceMetricSource{Name: name, Target: goal, Container: container}}
		return nil
	}
	t.spec = autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{Name: name, Target: goal}}
	return nil
}
