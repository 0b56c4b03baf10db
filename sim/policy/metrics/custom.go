package metrics

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	promlabels "github.com/prometheus/prometheus/model/labels"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	"k8s.io/metrics/pkg/client/custom_metrics"
)

// errUnable is prometheus-adapter's: it does not tell its callers what Prometheus said.
var errUnable = errors.New("unable to fetch metrics")

// adapterKey is a question to the adapter: a metric of the objects of one kind in one namespace.
type adapterKey struct{ kind, namespace, metric, selector string }

type customClient struct{ client }

// NamespacedMetrics implements custom_metrics.CustomMetricsClient.
func (c customClient) NamespacedMetrics(namespace string) custom_metrics.MetricsInterface {
	return customMetrics{c.client, namespace}
}

// RootScopedMetrics implements custom_metrics.CustomMetricsClient. The only kind that it has metrics of is Namespace.
func (c customClient) RootScopedMetrics() custom_metrics.MetricsInterface {
	return customMetrics{c.client, ""}
}

// customMetrics answers for one namespace.
type customMetrics struct {
	client
	namespace string
}

// resourceOf is the resource of a kind, as the adapter names it in errors.
func resourceOf(gk schema.GroupKind) schema.GroupResource {
	plural, _ := meta.UnsafeGuessKindToResource(gk.WithVersion(""))
	return plural.GroupResource()
}

// GetForObject implements custom_metrics.MetricsInterface.
func (c customMetrics) GetForObject(gk schema.GroupKind, name, metric string, sel labels.Selector) (
	out *v1beta2.MetricValue, err error) {
	sel = sent(sel)
	c.gate(fmt.Sprintf("get custom metric %s of %s %s/%s", metric, gk, c.namespace, name), func() {
		namespace := c.namespace
		if gk.Kind == "Namespace" {
			namespace = name
		}
		var values map[string]float64
		if values, err = c.store.byObject(gk, namespace, metric, sel, []string{name}); err != nil {
			return
		}
		v, ok := values[name]
		if !ok {
			err = notFound(resourceOf(gk), metric, name)
			return
		}
		x := c.value(gk, name, metric, v)
		out = &x
	})
	return out, err
}

// GetForObjects implements custom_metrics.MetricsInterface. The objects are pods: only those have selectors here.
func (c customMetrics) GetForObjects(gk schema.GroupKind, selector labels.Selector, metric string,
	sel labels.Selector) (out *v1beta2.MetricValueList, err error) {
	selector, sel = sent(selector), sent(sel)
	c.gate(fmt.Sprintf("list custom metric %s of %s in %s: %s", metric, gk, c.namespace, selector), func() {
		if gk != (schema.GroupKind{Kind: "Pod"}) {
			err = notFound(resourceOf(gk), metric, "")
			return
		}
		var names []string
		for _, t := range c.store.spaces[c.namespace] {
			name := t.o.Pod.Name
			if selector.Matches(labels.Set(t.o.Pod.Labels)) && (len(names) == 0 || names[len(names)-1] != name) {
				names = append(names, name)
			}
		}
		if len(names) == 0 {
			err = notFound(resourceOf(gk), metric, "")
			return
		}
		var values map[string]float64
		if values, err = c.store.byObject(gk, c.namespace, metric, sel, names); err != nil {
			return
		}
		out = &v1beta2.MetricValueList{}
		for _, name := range names {
			if v, ok := values[name]; ok {
				out.Items = append(out.Items, c.value(gk, name, metric, v))
			}
		}
	})
	return out, err
}

// value makes an answer. Its time is that of the question, as prometheus-adapter's is.
func (c customMetrics) value(gk schema.GroupKind, name, metric string, v float64) v1beta2.MetricValue {
	return v1beta2.MetricValue{
		DescribedObject: corev1.ObjectReference{Kind: gk.Kind, APIVersion: "/v1", Name: name, Namespace: c.namespace},
		Metric:          v1beta2.MetricIdentifier{Name: metric, Selector: &metav1.LabelSelector{}},
		Timestamp:       c.store.timestamp(c.store.now()), Value: quantity(v)}
}

// byObject returns a metric by the names of objects of a kind in a namespace; objects are those asked for, sorted.
func (s *Store) byObject(gk schema.GroupKind, namespace, metric string, sel labels.Selector, objects []string) (
	map[string]float64, error) {
	label := strings.ToLower(gk.Kind)
	q, whole, err := s.ask(gk, namespace, metric, sel)
	if err != nil {
		return nil, err
	}
	var res Result
	if whole {
		res, err = q.Eval(s.now())
	} else {
		res, err = q.evalOf(s.now(), restriction{label, namespace, objects})
	}
	if err != nil {
		return nil, unable()
	}
	out := make(map[string]float64, len(objects))
	for _, v := range res.Values {
		name := v.Labels.Get(label)
		if name == "" || whole && !inSpace(v.Labels, namespace, sel) {
			continue
		}
		if _, twice := out[name]; !twice { // the adapter takes the first
			out[name] = v.V
		}
	}
	return out, nil
}

// inSpace reports whether an element of a rule's result is about the namespace, where it says which, and selected.
func inSpace(ls promlabels.Labels, namespace string, sel labels.Selector) bool {
	if n := ls.Get("namespace"); n != "" && n != namespace {
		return false
	}
	return sel.Empty() || sel.Matches(labels.Set(ls.Map()))
}

// ask returns the expression that answers a question. whole: it is a rule, whose result is about all namespaces.
func (s *Store) ask(gk schema.GroupKind, namespace, metric string, sel labels.Selector) (q *Query, whole bool,
	err error) {
	if q := named(s.custom, metric); q != nil {
		return q, true, nil
	}
	key := adapterKey{gk.String(), namespace, metric, sel.String()}
	if q := s.adapter[key]; q != nil {
		return q, false, nil
	}
	name, counter := s.exposed(metric)
	if name == "" {
		s.missed[metric] = true
		return nil, false, notFound(resourceOf(gk), metric, "")
	}
	matchers, err := matchersOf(sel)
	if err != nil {
		return nil, false, err
	}
	matchers = append([]string{fmt.Sprintf("__name__=%q", name), fmt.Sprintf("namespace=%q", namespace)}, matchers...)
	text := "{" + strings.Join(matchers, ",") + "}"
	if counter {
		text = fmt.Sprintf("rate(%s[%ds])", text, int(rateInterval.Seconds()))
	}
	if q, err = s.Query(fmt.Sprintf("sum(%s) by (%s)", text, strings.ToLower(gk.Kind))); err != nil {
		return nil, false, unable()
	}
	s.adapter[key] = q
	return q, false, nil
}

// named returns what is named metric, its colons written either way.
func named[T any](m map[string]T, metric string) (out T) {
	if x, ok := m[metric]; ok {
		return x
	}
	var names []string
	for name := range m {
		if strings.ReplaceAll(name, ":", "_") == metric {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return out
	}
	return m[slices.Min(names)]
}

// exposed returns the series that the adapter's default rules serve as metric, and whether it is a counter.
func (s *Store) exposed(metric string) (name string, counter bool) {
	for _, end := range []string{"", "_total", "_seconds_total"} {
		x := named(s.names, metric+end)
		if x == nil {
			continue
		}
		total, seconds := strings.HasSuffix(x.name, "_total"), strings.HasSuffix(x.name, "_seconds_total")
		if end == "" && !total || end == "_total" && !seconds || end == "_seconds_total" {
			return x.name, total
		}
	}
	return "", false
}

// matchersOf writes a metric's selector as PromQL matchers (pkg/naming/metric_namer.go of prometheus-adapter).
func matchersOf(sel labels.Selector) ([]string, error) {
	requirements, _ := sel.Requirements()
	var out []string
	for _, r := range requirements {
		values := r.Values().List()
		slices.Sort(values)
		for i := range values {
			values[i] = regexp.QuoteMeta(values[i])
		}
		all := strings.Join(values, "|")
		switch r.Operator() {
		case selection.In, selection.Equals, selection.DoubleEquals:
			out = append(out, fmt.Sprintf("%s=~%q", r.Key(), all))
		case selection.NotIn, selection.NotEquals:
			out = append(out, fmt.Sprintf("%s!~%q", r.Key(), all))
		case selection.Exists:
			out = append(out, fmt.Sprintf("%s!=%q", r.Key(), ""))
		case selection.DoesNotExist:
			out = append(out, fmt.Sprintf("%s=%q", r.Key(), ""))
		default:
			return nil, unable()
		}
	}
	return out, nil
}
