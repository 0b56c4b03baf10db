package metrics

import (
	"math"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	resourceclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
	"k8s.io/metrics/pkg/client/custom_metrics"
	"k8s.io/metrics/pkg/client/external_metrics"

	"orrery/sim/units"
)

// Gate performs fn for a caller outside the driver goroutine; key describes the request, as engine.Call wants it.
type Gate func(key string, fn func())

// Clients returns clients of the three metrics APIs, as k8s.io/kubernetes/pkg/controller/podautoscaler/metrics takes
// them. Their requests pass the gate; with nil they are answered at once, which is right for callers that never run
// beside the driver or each other.
func (s *Store) Clients(gate Gate) (resourceclient.PodMetricsesGetter, custom_metrics.CustomMetricsClient,
	external_metrics.ExternalMetricsClient) {
	if gate == nil {
		gate = func(_ string, fn func()) { fn() }
	}
	c := client{s, gate}
	return resourceClient{c}, customClient{c}, externalClient{c}
}

// client is what the clients have in common.
type client struct {
	store *Store
	gate  Gate
}

// sent is a selector as it arrives at a server. One that matches nothing, which is what no selector becomes in the
// autoscalers' controller, is written like one that matches everything.
func sent(selector labels.Selector) labels.Selector {
	if selector == nil || selector.String() == "" {
		return labels.Everything()
	}
	return selector
}

// timestamp returns an instant as API objects carry it.
func (s *Store) timestamp(at units.Time) metav1.Time {
	return metav1.NewTime(time.UnixMilli(s.epochMS).Add(units.Duration(at)).UTC())
}

// Milli returns a value in thousandths as prometheus-adapter converts it (pkg/custom-provider/provider.go, metricFor):
// cut off, not rounded; not a number is 0. What does not fit becomes the nearest that does; upstream leaves that to the
// processor.
func Milli(v float64) int64 {
	switch m := v * 1000; {
	case math.IsNaN(m):
		return 0
	case m >= math.MaxInt64:
		return math.MaxInt64
	case m <= math.MinInt64:
		return math.MinInt64
	default:
		return int64(m)
	}
}

// quantity returns a value as the metrics APIs carry it.
func quantity(v float64) resource.Quantity { return milliQuantity(Milli(v)) }

func milliQuantity(milli int64) resource.Quantity {
	return *resource.NewMilliQuantity(milli, resource.DecimalSI)
}

// notFound is the answer about a metric that nobody exposes (sigs.k8s.io/custom-metrics-apiserver v1.37.0,
// pkg/provider/errors.go).
func notFound(gr schema.GroupResource, metric, name string) error {
	message := "the server could not find the metric " + metric + " for " + gr.String()
	if name != "" {
		message += " " + name
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: 404,
		Reason: metav1.StatusReasonNotFound, Message: message}}
}

// unable is what the adapter says when Prometheus refuses its query.
func unable() error {
	return apierrors.NewInternalError(errUnable)
}
