package sim

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"

	"orrery/sim/model/card"
	"orrery/sim/plan"
	"orrery/sim/policy/keda"
	"orrery/sim/policy/metrics"
	"orrery/sim/units"
)

// What pods use of CPU and memory is modelled, as far as resource metrics can show it: see usageCard.
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

// asksForUsage finds metrics of resources in autoscalers, and triggers on them.
var asksForUsage = regexp.MustCompile(`type"?:\s*"?(ContainerResource|Resource|cpu|memory)\b`)

// showsUsage reports whether a run can depend on what pods and GPUs are seen to use.
func showsUsage(p *plan.Plan) bool {
	return wantsDevices(p) || slices.ContainsFunc(p.Manifests, func(f plan.File) bool {
		scales := bytes.Contains(f.Data, []byte("HorizontalPodAutoscaler"))
		return scales && !bytes.Contains(f.Data, []byte("metrics")) ||
			(scales || bytes.Contains(f.Data, []byte("ScaledObject"))) && asksForUsage.Match(f.Data)
	})
}

// usageCard describes what autoscalers see of the use of cores, memory and GPUs.
func usageCard() card.Card {
	return card.Card{
		Name: "usage", Title: "What pods and GPUs are seen to use",
		Question: "Which use of CPU and memory does metrics-server report of a pod, and which use of its GPUs does DCGM?",
		Formula: []string{
			"CPU of a server = 0.1 core for its front end + 1 core × GPUs × the part of the time in which they compute (the " +
				"loop that launches kernels polls); memory = ¾ of the request",
			"CPU and memory of any other pod = its requests",
			"utilization of a server's GPU = the part of the time between two scrapes in which the model's iterations ran; of " +
				"a job's, 100 % while its pod runs; of one that nobody uses yet or that nobody holds, 0",
			"memory of a server's GPU = memoryUtilization × its memory when it is ready (of a classic model what it says); " +
				"while it starts, the weights that have been loaded",
		},
		Sources: []string{
			"NVIDIA/dcgm-exporter, internal/pkg/rendermetrics/render_metrics.go at 5f9250c, etc/default-counters.csv at " +
				"00d6d34: names, labels and units",
			"kubernetes-sigs/metrics-server v0.8, flag metric-resolution: how often, and that a pod is known from the second " +
				"look on",
			"the figures of CPU and memory are assumptions: no measurement was at hand",
		},
		Error: []string{"not measured"},
		Omits: []string{
			"CPU of tokenizers and of an API server under load, which grows with the requests",
			"memory of a job's GPUs, for which there are no series", "the context of CUDA, some hundreds of MiB of each GPU",
			"power, temperature, clocks and the activity of single units (DCGM_FI_PROF_SM_ACTIVE and so on)",
			"GPUs of other makers than NVIDIA",
		},
	}
}
