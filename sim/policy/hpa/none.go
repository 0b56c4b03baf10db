package hpa

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	custommetrics "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	externalmetrics "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	resourceclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
	"k8s.io/metrics/pkg/client/custom_metrics"
	"k8s.io/metrics/pkg/client/external_metrics"
)

// NoMetrics are the metrics APIs of a cluster that serves none of them.
func NoMetrics() Metrics { return Metrics{noResource{}, noCustom{}, noExternal{}} }

// missing is the API server's answer to a path that nobody serves.
func missing(group, resource string) error {
	return apierrors.NewGenericServerResponse(404, "get", schema.GroupResource{Group: group, Resource: resource}, "",
		"404 page not found", 0, true)
}

type noResource struct{}

// PodMetricses implements resourceclient.PodMetricsesGetter.
func (noResource) PodMetricses(string) resourceclient.PodMetricsInterface { return noPods{} }

type noPods struct {
	resourceclient.PodMetricsInterface
}

// List implements resourceclient.PodMetricsInterface.
func (noPods) List(context.Context, metav1.ListOptions) (*metricsv1beta1.PodMetricsList, error) {
	return nil, missing("metrics.k8s.io", "pods")
}

type noCustom struct{}

// RootScopedMetrics implements custom_metrics.CustomMetricsClient.
func (noCustom) RootScopedMetrics() custom_metrics.MetricsInterface { return noCustom{} }

// NamespacedMetrics implements custom_metrics.CustomMetricsClient.
func (noCustom) NamespacedMetrics(string) custom_metrics.MetricsInterface { return noCustom{} }

// GetForObject implements custom_metrics.MetricsInterface.
func (noCustom) GetForObject(gk schema.GroupKind, _, metric string, _ labels.Selector) (*custommetrics.MetricValue,
	error) {
	return nil, missing("custom.metrics.k8s.io", gk.String()+"/"+metric)
}

// GetForObjects implements custom_metrics.MetricsInterface.
func (noCustom) GetForObjects(gk schema.GroupKind, _ labels.Selector, metric string, _ labels.Selector) (
	*custommetrics.MetricValueList, error) {
	return nil, missing("custom.metrics.k8s.io", gk.String()+"/"+metric)
}

type noExternal struct{}

// NamespacedMetrics implements external_metrics.ExternalMetricsClient.
func (noExternal) NamespacedMetrics(string) external_metrics.MetricsInterface { return noExternal{} }

// List implements external_metrics.MetricsInterface.
func (noExternal) List(metric string, _ labels.Selector) (*externalmetrics.ExternalMetricValueList, error) {
	return nil, missing("external.metrics.k8s.io", metric)
}
