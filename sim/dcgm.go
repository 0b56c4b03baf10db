package sim

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"orrery/sim/fleet"
	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/policy/metrics"
	"orrery/sim/units"
)

// devices are what NVIDIA's dcgm-exporter shows of each GPU of a node, or of each MIG instance: what it does, and whose
// it is (NVIDIA/dcgm-exporter, internal/pkg/rendermetrics/render_metrics.go at 5f9250c and etc/default-counters.csv at
// 00d6d34). Its own labels win over those of the scrape (honorLabels), so that pod, namespace and container are those
// of the pod that holds the GPU; without one they are not there. A GPU that several pods share is shown once for each,
// with the label vgpu, as the exporter does with --kubernetes-virtual-gpus. DCGM knows no utilization of a GPU in MIG
// mode; the busy part of each instance is in DCGM_FI_PROF_GR_ENGINE_ACTIVE. The numbers of instances, GPU_I_ID, are
// ours; a driver's version and the PCI bus are not known.
type devices struct {
	c    *cluster
	list map[string]*devicePage // of pods by namespace/name, of nodes by name
}

// devicePage is the part of an exporter's page about one pod, or about what nobody holds.
type devicePage struct {
	pod     types.UID
	target  *metrics.Target
	samples []metrics.Sample
	seen    units.Time
}

func newDevices(c *cluster) *devices { return &devices{c: c, list: map[string]*devicePage{}} }

// wantsDevices reports whether somebody asks for what GPUs report; nobody looks at them otherwise.
func wantsDevices(p *plan.Plan) bool {
	const mark = "DCGM_"
	asks := func(m plan.ExternalMetric) bool { return strings.Contains(m.Query, mark) }
	return slices.ContainsFunc(p.Metrics.Custom, asks) || slices.ContainsFunc(p.Metrics.External, asks) ||
		slices.ContainsFunc(p.Manifests, func(f plan.File) bool { return bytes.Contains(f.Data, []byte(mark)) })
}

// use is what is done with a device.
type use struct {
	busy   float64 // part of the time since the last scrape
	memory float64 // MiB; < 0 = not known
}

// scrape reads the exporters of all nodes, after the servers were scraped.
func (x *devices) scrape(at units.Time) {
	for _, name := range x.c.fleet.Names() {
		pool := x.c.poolOfNode(name)
		if pool == nil || !strings.HasPrefix(pool.Resource, "nvidia.com/") {
			continue
		}
		if n, ok := x.c.fleet.Node(name); ok {
			x.node(at, &n, pool)
		}
	}
	x.flush(at)
}

// node adds what a node's exporter shows to the pages of its pods, and to its own.
func (x *devices) node(at units.Time, n *fleet.Node, pool *plan.Pool) {
	idle := x.page(at, n.Name, n.Name)
	for i := range n.GPUs {
		d := &n.GPUs[i]
		if d.Down {
			continue
		}
		all := slices.Concat(d.Slots, d.Made)
		whole, held := use{}, 0
		for _, s := range all {
			if s.Owner != "" && s.Profile == "" {
				u := x.use(s.Owner)
				whole.busy, whole.memory, held = whole.busy+u.busy, plus(whole.memory, u.memory), held+1
			}
		}
		shown := false
		for k, s := range all {
			labels := x.labels(n.Name, pool, d, s, k)
			switch {
			case s.Profile != "":
				x.show(x.pageOf(at, n.Name, s.Owner, idle), labels, x.use(s.Owner), memoryOf(pool, s), true)
			case s.Owner != "":
				x.show(x.pageOf(at, n.Name, s.Owner, idle), labels, whole, memoryOf(pool, s), false)
			case held == 0 && !shown:
				x.show(idle, labels, use{}, memoryOf(pool, s), false)
				shown = true
			}
		}
	}
}

// plus adds amounts of memory of which one may not be known.
func plus(a, b float64) float64 {
	if a < 0 || b < 0 {
		return -1
	}
	return a + b
}

// use is what an owner does with each of its devices. A job's pod keeps them busy while it runs; what it has in their
// memory is not known.
func (x *devices) use(owner string) use {
	if owner == "" {
		return use{}
	}
	if r := x.c.replicaOf(owner); r != nil {
		if r.state == journal.ReplicaReady || r.state == journal.ReplicaDraining {
			busy, memory, _ := x.c.services.plane.Device(r.name)
			return use{busy, memory}
		}
		slots := max(x.c.group(r).Pod.Slots, 1)
		return use{memory: x.c.starts.loaded(owner) * 1024 / float64(slots)}
	}
	if pod := x.pod(owner); pod != nil && pod.Status.Phase == corev1.PodRunning {
		return use{1, -1}
	}
	return use{}
}

func (x *devices) pod(owner string) *corev1.Pod {
	namespace, name, _ := strings.Cut(owner, "/")
	if obj, err := x.c.store.Get(podsResource, namespace, name); err == nil {
		return obj.(*corev1.Pod)
	}
	return nil
}

// memoryOf is the memory of a device, or of an instance, MiB; 0 = not known.
func memoryOf(pool *plan.Pool, s fleet.Slot) float64 {
	switch {
	case s.Profile == "":
		return float64(pool.MemoryMiBPerGPU)
	case pool.Accelerator == nil:
		return 0
	}
	return deviceOf(pool, journal.Slot{Profile: s.Profile, Share: s.Share}).MemoryMiB
}

// labels are the exporter's of a device, or of the instance or the share that is slot k of it.
func (x *devices) labels(node string, pool *plan.Pool, d *fleet.Device, s fleet.Slot, k int) []metrics.Label {
	number := strconv.Itoa(d.Index)
	out := []metrics.Label{{Name: "gpu", Value: number}, {Name: "UUID", Value: d.UUID},
		{Name: "device", Value: "nvidia" + number}, {Name: "modelName", Value: modelName(pool)}}
	switch {
	case s.Profile != "":
		out = append(out, metrics.Label{Name: "GPU_I_PROFILE", Value: s.Profile},
			metrics.Label{Name: "GPU_I_ID", Value: strconv.Itoa(k + 1)})
	case s.Owner != "" && s.Share < units.GPU:
		out = append(out, metrics.Label{Name: "vgpu", Value: strconv.Itoa(s.Replica)})
	}
	return append(out, metrics.Label{Name: "Hostname", Value: node})
}

// modelName is the name of a pool's GPUs as NVML has it. GPU feature discovery writes dashes for its blanks; of those
// of the A100's name all but the first are dashes there, too.
func modelName(pool *plan.Pool) string {
	product := strings.TrimSuffix(pool.Labels["nvidia.com/gpu.product"], "-SHARED")
	switch {
	case pool.DRA.Product != "":
		return pool.DRA.Product
	case product == "":
		return pool.GPUModel
	case strings.Contains(product, "A100-"):
		return strings.Replace(product, "-", " ", 1)
	}
	return strings.ReplaceAll(product, "-", " ")
}

// show adds the samples of a device to a page.
func (x *devices) show(p *devicePage, labels []metrics.Label, u use, memory float64, instance bool) {
	busy := min(u.busy, 1)
	add := func(name string, v float64) {
		p.samples = append(p.samples, metrics.Sample{Name: name, Labels: labels, Value: v})
	}
	if !instance {
		add("DCGM_FI_DEV_GPU_UTIL", math.Floor(float64(100*busy)+0.5))
	}
	add("DCGM_FI_PROF_GR_ENGINE_ACTIVE", busy)
	if u.memory >= 0 && memory > 0 {
		used := math.Floor(min(u.memory, memory))
		add("DCGM_FI_DEV_FB_USED", used)
		add("DCGM_FI_DEV_FB_FREE", math.Floor(memory)-used)
	}
}

// pageOf returns the page of the pod that holds something on a node; what holds it and is no pod, as nobody's.
func (x *devices) pageOf(at units.Time, node, owner string, idle *devicePage) *devicePage {
	if owner == "" || x.list[owner] == nil && x.pod(owner) == nil {
		return idle
	}
	return x.page(at, owner, node)
}

// page returns a page, a new one if there is none. key is a pod's, or the node's name.
func (x *devices) page(at units.Time, key, node string) *devicePage {
	p := x.list[key]
	var id types.UID
	if key != node && (p == nil || p.seen != at) {
		if pod := x.pod(key); pod != nil {
			id = pod.UID
		}
		if p != nil && id != "" && id != p.pod { // another pod, of the same name, perhaps on another node
			x.end(at, key, p)
			p = nil
		}
	}
	if p == nil {
		p = &devicePage{seen: -1, pod: id}
		x.list[key] = p
		o := metrics.TargetOptions{HonorLabels: true, Labels: []metrics.Label{{Name: "job", Value: "dcgm-exporter"},
			{Name: "node", Value: node}}}
		if key != node {
			x.describe(&o, key)
		}
		var err error
		p.target, err = x.c.metrics.store.Target(o)
		x.c.fallible(err)
	}
	if p.seen != at {
		p.seen, p.samples = at, p.samples[:0]
	}
	return p
}

// describe fills in what is known of a pod. The label service is the service of the scenario, as everywhere.
func (x *devices) describe(o *metrics.TargetOptions, key string) {
	pod := x.pod(key)
	o.Part, o.Pod = true, metrics.Pod{Namespace: pod.Namespace, Name: pod.Name, Labels: pod.Labels}
	o.Labels = append(o.Labels, metrics.Label{Name: "namespace", Value: pod.Namespace},
		metrics.Label{Name: "pod", Value: pod.Name},
		metrics.Label{Name: "container", Value: pod.Spec.Containers[0].Name})
	if r := x.c.replicaOf(key); r != nil {
		o.Labels = append(o.Labels, metrics.Label{Name: "service", Value: x.c.service(r).Name})
	}
}

// flush stores what was read. Series of pods that hold nothing any more end with this scrape: their GPUs are still
// there, and somebody else's.
func (x *devices) flush(at units.Time) {
	keys := make([]string, 0, len(x.list))
	for key := range x.list {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		switch p := x.list[key]; {
		case p.seen != at:
			x.end(at, key, p)
		case p.target != nil:
			x.c.metrics.store.Scrape(at, p.target, p.samples)
		}
	}
}

// end ends the series of a page.
func (x *devices) end(at units.Time, key string, p *devicePage) {
	if p.target != nil {
		x.c.metrics.store.Scrape(at, p.target, nil)
		x.c.metrics.store.Remove(at, p.target)
	}
	delete(x.list, key)
}
