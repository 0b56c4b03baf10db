package metrics

import (
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	"k8s.io/metrics/pkg/client/external_metrics"
)

// ExternalServer serves external metrics beside the plan's expressions.
type ExternalServer interface {
	// External returns the thousandths of a metric. mine is false when the metric is not the server's.
	External(namespace, metric string, selector labels.Selector) (milli []int64, mine bool, err error)
}

// Serve adds a server, which is asked before the plan's expressions.
func (s *Store) Serve(x ExternalServer) { s.servers = append(s.servers, x) }

type externalClient struct{ client }

// NamespacedMetrics implements external_metrics.ExternalMetricsClient.
func (c externalClient) NamespacedMetrics(namespace string) external_metrics.MetricsInterface {
	return externalMetrics{c.client, namespace}
}

// externalMetrics answers for one namespace.
type externalMetrics struct {
	client
	namespace string
}

// List implements external_metrics.MetricsInterface. The plan's expressions are about the whole cluster: the namespace
// of the question does not restrict them, its selector does.
func (c externalMetrics) List(metric string, selector labels.Selector) (out *v1beta1.ExternalMetricValueList,
	err error) {
	selector = sent(selector)
	c.gate("list external metric "+c.namespace+"/"+metric+" "+selector.String(), func() {
		out, err = c.list(metric, selector)
	})
	return out, err
}

func (c externalMetrics) list(metric string, selector labels.Selector) (*v1beta1.ExternalMetricValueList, error) {
	s := c.store
	now := s.now()
	out := &v1beta1.ExternalMetricValueList{}
	for _, x := range s.servers {
		milli, mine, err := x.External(c.namespace, metric, selector)
		if err != nil {
			return nil, err
		}
		if mine {
			for _, v := range milli {
				out.Items = append(out.Items, v1beta1.ExternalMetricValue{MetricName: metric, Timestamp: s.timestamp(now),
					Value: milliQuantity(v)})
			}
			return out, nil
		}
	}
	q := named(s.external, metric)
	if q == nil {
		s.missed[metric] = true
		return nil, notFound(externalResource(c.namespace), metric, "")
	}
	res, err := q.Eval(now)
	if err != nil {
		return nil, unable()
	}
	for _, v := range res.Values {
		ls := v.Labels.Map()
		if selector.Empty() || selector.Matches(labels.Set(ls)) {
			out.Items = append(out.Items, v1beta1.ExternalMetricValue{MetricName: metric, MetricLabels: ls,
				Timestamp: s.timestamp(now), Value: quantity(v.V)})
		}
	}
	return out, nil
}

// externalResource is what the adapter says a metric was looked for: in the namespace default, namespaces; in all
// others nothing (pkg/external-provider/provider.go, selectGroupResource, of prometheus-adapter).
func externalResource(namespace string) schema.GroupResource {
	if namespace == "default" {
		return schema.GroupResource{Resource: "namespaces"}
	}
	return schema.GroupResource{}
}
