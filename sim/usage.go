package sim

import (
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"

	"orrery/sim/policy/keda"
	"orrery/sim/policy/metrics"
	"orrery/sim/units"
)

// What pods use of CPU and memory is modelled, as far as resource metrics can show it. A pod of a job, or of an object
// that is no service's, uses what it asked for. A server keeps one core busy for each of its GPUs while it computes
// (the loop that launches kernels polls) and a tenth of one for its front end, and three quarters of the memory it
// asked for: assumptions, for which no measurement was at hand.
const (
	coreNanos      = 1_000_000_000
	serverIdle     = coreNanos / 10
	serverMemory   = 3 // quarters of the request
	memoryQuarters = 4
)

// usages says what pods use.
type usages struct {
	c    *cluster
	seen map[string]units.Time
}

// wantsUsage reports whether some autoscaler reads resource metrics; nobody measures them otherwise.
func (p *parts) wantsUsage() bool {
	for _, m := range p.manifests {
		if a, ok := m.object.(*autoscalingv2.HorizontalPodAutoscaler); ok {
			for _, x := range a.Spec.Metrics {
				if x.Type == autoscalingv2.ResourceMetricSourceType || x.Type == autoscalingv2.ContainerResourceMetricSourceType {
					return true
				}
			}
			if len(a.Spec.Metrics) == 0 { // upstream's default is CPU
				return true
			}
		}
		if keda.ReadsResources(m.object) {
			return true
		}
	}
	return false
}

// tell measures all running pods, as metrics-server does: it knows a pod from its second look on.
func (u *usages) tell(at units.Time) {
	store, window := u.c.metrics.store, u.c.metrics.store.Resolution()
	list, err := u.c.store.List(podsResource, "", nil, nil)
	if err != nil {
		u.c.fail(err)
		return
	}
	for _, obj := range list {
		pod := obj.(*corev1.Pod)
		key := podKey(pod)
		if pod.Status.Phase != corev1.PodRunning {
			if _, known := u.seen[key]; known {
				delete(u.seen, key)
				store.Unuse(pod.Namespace, pod.Name)
			}
			continue
		}
		if _, known := u.seen[key]; known {
			store.Use(at, window, metrics.Pod{Namespace: pod.Namespace, Name: pod.Name, Labels: pod.Labels}, u.containers(pod))
		}
		u.seen[key] = at
	}
	for key, last := range u.seen {
		if last != at { // gone since; the order of forgetting shows nowhere
			delete(u.seen, key)
			namespace, name, _ := strings.Cut(key, "/")
			store.Unuse(namespace, name)
		}
	}
}

// containers are what a pod's containers use: of a server the first, the others nothing.
func (u *usages) containers(pod *corev1.Pod) []metrics.ContainerUsage {
	out := make([]metrics.ContainerUsage, len(pod.Spec.Containers))
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		out[i] = metrics.ContainerUsage{Name: c.Name, CPU: c.Resources.Requests.Cpu().MilliValue() * (coreNanos / 1000),
			Memory: c.Resources.Requests.Memory().Value()}
	}
	r := u.c.replicaOf(podKey(pod))
	if r == nil || len(out) == 0 {
		return out
	}
	gpus := float64(u.c.group(r).Pod.Slots)
	asked := resource.PodRequests(pod, resource.PodResourcesOptions{})
	busy, _, _ := u.c.services.plane.Device(r.name) // nothing while it starts
	out[0].CPU = serverIdle + int64(gpus*busy*coreNanos)
	out[0].Memory = asked.Memory().Value() / memoryQuarters * serverMemory
	return out
}
