package metrics

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"
	resourceclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"

	"orrery/sim/units"
)

// ContainerUsage is what a container used over a window.
type ContainerUsage struct {
	Name   string
	CPU    int64 // thousandths of a millionth of a core: nanocores, as metrics-server computes them
	Memory int64 // bytes, the working set at the end
}

// podUsage is the usage of one pod.
type podUsage struct {
	pod     Pod
	metrics v1beta1.PodMetrics
}

// Use sets what a pod used over the window that ends now. metrics-server knows a pod from its second look on, since it
// needs two for a rate; the caller keeps to that.
func (s *Store) Use(at units.Time, window units.Duration, pod Pod, containers []ContainerUsage) {
	list := s.usage[pod.Namespace]
	i, found := findUsage(list, pod.Name)
	if !found {
		list = slices.Insert(list, i, &podUsage{})
		s.usage[pod.Namespace] = list
	}
	u := list[i]
	u.pod = pod
	u.metrics = v1beta1.PodMetrics{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name,
		Labels: pod.Labels}, Timestamp: s.timestamp(at), Window: metav1.Duration{Duration: window}}
	u.metrics.Containers = make([]v1beta1.ContainerMetrics, len(containers))
	for i, c := range containers {
		u.metrics.Containers[i] = v1beta1.ContainerMetrics{Name: c.Name, Usage: corev1.ResourceList{
			corev1.ResourceCPU:    *resource.NewScaledQuantity(c.CPU, resource.Nano),
			corev1.ResourceMemory: *resource.NewQuantity(c.Memory, resource.BinarySI)}}
	}
}

// Unuse forgets a pod.
func (s *Store) Unuse(namespace, pod string) {
	list := s.usage[namespace]
	if i, found := findUsage(list, pod); found {
		s.usage[namespace] = slices.Delete(list, i, i+1)
	}
}

func findUsage(list []*podUsage, pod string) (int, bool) {
	return slices.BinarySearchFunc(list, pod, func(u *podUsage, name string) int {
		return strings.Compare(u.pod.Name, name)
	})
}

// podMetrics is the resource of the metrics API.
var podMetrics = schema.GroupResource{Group: "metrics.k8s.io", Resource: "pods"}

type resourceClient struct{ client }

// PodMetricses implements resourceclient.PodMetricsesGetter.
func (c resourceClient) PodMetricses(namespace string) resourceclient.PodMetricsInterface {
	return podMetricses{c.client, namespace}
}

// podMetricses answers for one namespace.
type podMetricses struct {
	client
	namespace string
}

// Get implements resourceclient.PodMetricsInterface.
func (p podMetricses) Get(_ context.Context, name string, _ metav1.GetOptions) (out *v1beta1.PodMetrics, err error) {
	p.gate("get podmetrics "+p.namespace+"/"+name, func() {
		list := p.store.usage[p.namespace]
		if i, found := findUsage(list, name); found {
			out = list[i].metrics.DeepCopy()
			return
		}
		err = apierrors.NewNotFound(podMetrics, p.namespace+"/"+name)
	})
	return out, err
}

// List implements resourceclient.PodMetricsInterface. The items share their containers with the store and must not be
// changed.
func (p podMetricses) List(_ context.Context, o metav1.ListOptions) (*v1beta1.PodMetricsList, error) {
	selector, err := labels.Parse(o.LabelSelector)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	out := &v1beta1.PodMetricsList{}
	p.gate("list podmetrics "+p.namespace+" "+o.LabelSelector, func() {
		for _, u := range p.store.usage[p.namespace] {
			if selector.Matches(labels.Set(u.pod.Labels)) {
				out.Items = append(out.Items, u.metrics)
			}
		}
	})
	return out, nil
}

// Watch implements resourceclient.PodMetricsInterface. metrics-server does not offer it either.
func (p podMetricses) Watch(context.Context, metav1.ListOptions) (watch.Interface, error) {
	return nil, apierrors.NewMethodNotSupported(podMetrics, "watch")
}
