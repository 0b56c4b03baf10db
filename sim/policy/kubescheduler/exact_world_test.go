package kubescheduler_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"orrery/sim/kube"
	"orrery/sim/policy/kubescheduler"
	"orrery/sim/units"
)

// exactWorld is a cluster, its scheduler and what happens to them: everything that a run depends on but the cycle.
type exactWorld struct {
	config  string
	gates   map[string]bool
	pace    pace
	seed    int64
	objects []runtime.Object // created at the beginning, in order
	ops     []op
	until   units.Time

	plant func(*kubescheduler.Scheduler) // puts a defect into our cycle
}

// stream feeds dice with pseudo-random bytes without end.
func stream(seed uint64) *dice {
	r := rand.New(rand.NewPCG(seed, 2026))
	var word uint64
	left := 0
	return &dice{next: func() (byte, bool) {
		if left == 0 {
			word, left = r.Uint64(), 8
		}
		b := byte(word)
		word, left = word>>8, left-1
		return b, true
	}}
}

// bytesOf feeds dice with the bytes of a fuzzer.
func bytesOf(data []byte) *dice {
	return &dice{next: func() (byte, bool) {
		if len(data) == 0 {
			return 0, false
		}
		b := data[0]
		data = data[1:]
		return b, true
	}}
}

// maker draws a world.
type maker struct {
	*dice
	w         exactWorld
	profiles  []string
	templates []*v1.Pod
	nodes     int // names given out
	pods      int
	gangs     int
	most      int  // pods
	plain     bool // nodes without taints
	at        units.Time
}

// Limits of a world, which keep the time to play it in bounds.
const (
	maxSteps = 60
	maxPods  = 150
)

// drawWorld draws a world of at most maxSteps steps: of as many as the stream has bytes for, when it ends.
func drawWorld(d *dice) exactWorld {
	m := maker{dice: d}
	m.w.config, m.profiles = drawConfig(d)
	m.w.gates, m.w.pace, m.w.seed = drawGates(d), drawPace(d), int64(d.n(1<<16))
	m.classes()
	m.w.objects = append(m.w.objects, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team",
		Labels: map[string]string{"team": "yes"}}})
	nodes := 8 + d.n(16)
	switch {
	case d.one(14):
		nodes = 130 + d.n(130) // filtering stops early, if enough of them are plain
		m.plain = !d.one(4)
	case d.one(4):
		nodes = 8 + d.n(33)
	}
	for range nodes {
		m.w.objects = append(m.w.objects, m.node())
	}
	m.plain = false
	m.most = pick(d, 30, 30, 30, 50, maxPods)
	for range 2 + d.n(4) {
		m.templates = append(m.templates, m.pod())
	}
	steps := 20 + d.n(maxSteps-20)
	for i := 0; i < steps && (!d.dry || i == 0); i++ {
		m.step()
	}
	// Long enough for back-offs to end; sometimes for upstream's flush of unschedulable pods.
	m.w.until = m.at.Add(pick(d, 10*time.Second, 10*time.Second, 10*time.Second, 40*time.Second,
		40*time.Second, 40*time.Second, 40*time.Second, 6*time.Minute))
	return m.w
}

// classes are the priority classes of every world.
func (m *maker) classes() {
	never := v1.PreemptNever
	for name, value := range map[string]int32{"low": 10, "middle": 11, "high": 1000, "meek": 2000} {
		c := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value}
		if name == "meek" {
			c.PreemptionPolicy = &never
		}
		m.w.objects = append(m.w.objects, c)
	}
	// By name, as a map has no order.
	slices.SortFunc(m.w.objects, func(a, b runtime.Object) int {
		return int(a.(*schedulingv1.PriorityClass).Value - b.(*schedulingv1.PriorityClass).Value)
	})
}

func amount(n int64) resource.Quantity { return *resource.NewQuantity(n, resource.DecimalSI) }

func gib(n int64) resource.Quantity { return *resource.NewQuantity(n<<30, resource.BinarySI) }

// node draws a node of a new name.
func (m *maker) node() *v1.Node {
	m.nodes++
	return m.nodeNamed(fmt.Sprintf("n%03d", m.nodes-1))
}

func (m *maker) nodeNamed(name string) *v1.Node {
	n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: m.nodeLabels(name)},
		Spec: v1.NodeSpec{Taints: m.taints(), Unschedulable: m.one(20)}}
	n.Status.Allocatable = m.allocatable()
	n.Status.Capacity = n.Status.Allocatable
	if m.one(4) {
		n.Status.Images = m.images()
	}
	return n
}

func (m *maker) nodeLabels(name string) map[string]string {
	l := map[string]string{v1.LabelHostname: name, "pool": pick(m.dice, "a", "b", "c"), "size": strconv.Itoa(m.n(4))}
	if !m.one(8) {
		l[v1.LabelTopologyZone] = pick(m.dice, "z1", "z2", "z3")
	}
	return l
}

func (m *maker) allocatable() v1.ResourceList {
	r := v1.ResourceList{v1.ResourceCPU: amount(pick[int64](m.dice, 64, 16, 8, 32)),
		v1.ResourceMemory: gib(pick[int64](m.dice, 256, 64, 16)), v1.ResourcePods: amount(pick[int64](m.dice, 110, 110, 6))}
	if g := pick[int64](m.dice, 8, 4, 2, 1, 0); g > 0 {
		r["nvidia.com/gpu"] = amount(g)
	}
	return r
}

func (m *maker) taints() (out []v1.Taint) {
	if m.plain {
		return nil
	}
	for _, e := range some(m.dice, 8, v1.TaintEffectNoSchedule, v1.TaintEffectPreferNoSchedule, v1.TaintEffectNoExecute) {
		out = append(out, v1.Taint{Key: pick(m.dice, "special", "odd"), Value: pick(m.dice, "yes", "no"), Effect: e})
	}
	return out
}

func (m *maker) images() (out []v1.ContainerImage) {
	for _, name := range some(m.dice, 2, "work:latest", "big:latest", "huge:latest") {
		out = append(out, v1.ContainerImage{Names: []string{name}, SizeBytes: int64(1+m.n(9)) * 100 << 20})
	}
	return out
}

// pod draws a pod without a name. Few are special in any one way; many are in some way.
func (m *maker) pod() *v1.Pod {
	grace := pick[int64](m.dice, 0, 5, 30)
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Labels: map[string]string{
		"app": pick(m.dice, "x", "y", "z")}}}
	if m.one(6) {
		p.Namespace = "team"
	}
	p.Spec = v1.PodSpec{SchedulerName: pick(m.dice, m.profiles...), RestartPolicy: v1.RestartPolicyNever,
		TerminationGracePeriodSeconds: &grace, PriorityClassName: pick(m.dice, "", "low", "low", "middle", "high", "meek"),
		Containers: []v1.Container{m.container("work")}, Tolerations: m.tolerations()}
	if m.one(10) {
		p.Spec.InitContainers = []v1.Container{m.container("init")}
	}
	if m.one(6) {
		p.Spec.NodeSelector = pick(m.dice, map[string]string{"pool": "a"}, map[string]string{"pool": "b", "size": "1"},
			map[string]string{v1.LabelTopologyZone: "z1"}, map[string]string{v1.LabelHostname: "n003"})
	}
	if m.one(4) {
		p.Spec.Affinity = &v1.Affinity{NodeAffinity: m.nodeAffinity()}
	}
	if m.one(8) {
		if p.Spec.Affinity == nil {
			p.Spec.Affinity = &v1.Affinity{}
		}
		m.podAffinity(p.Spec.Affinity)
	}
	if m.one(12) {
		p.Spec.TopologySpreadConstraints = []v1.TopologySpreadConstraint{{MaxSkew: int32(1 + m.n(2)),
			TopologyKey:       pick(m.dice, v1.LabelTopologyZone, v1.LabelHostname),
			WhenUnsatisfiable: pick(m.dice, v1.DoNotSchedule, v1.ScheduleAnyway), LabelSelector: m.selector()}}
	}
	if m.one(40) {
		p.Spec.Volumes = []v1.Volume{{Name: "data", VolumeSource: v1.VolumeSource{PersistentVolumeClaim: // does not exist
		&v1.PersistentVolumeClaimVolumeSource{ClaimName: "missing"}}}}
	}
	return p
}

func (m *maker) container(name string) v1.Container {
	c := v1.Container{Name: name, Image: pick(m.dice, "work", "work", "big", "huge:latest")}
	c.Resources.Requests, c.Resources.Limits = v1.ResourceList{}, v1.ResourceList{}
	if g := pick[int64](m.dice, 1, 1, 2, 4, 8, 0); g > 0 {
		c.Resources.Requests["nvidia.com/gpu"] = amount(g)
		c.Resources.Limits["nvidia.com/gpu"] = amount(g)
	}
	if cpu := pick[int64](m.dice, 1000, 4000, 12000, 0, 100); cpu > 0 {
		c.Resources.Requests[v1.ResourceCPU] = *resource.NewMilliQuantity(cpu, resource.DecimalSI)
	}
	if mem := pick[int64](m.dice, 1, 8, 0, 30); mem > 0 {
		c.Resources.Requests[v1.ResourceMemory] = gib(mem)
	}
	if m.one(6) {
		c.Ports = []v1.ContainerPort{{ContainerPort: 80, HostPort: int32(8000 + m.n(2)),
			Protocol: pick(m.dice, v1.ProtocolTCP, v1.ProtocolTCP, v1.ProtocolUDP),
			HostIP:   pick(m.dice, "", "", "10.0.0.1", "10.0.0.2")}}
	}
	return c
}

func (m *maker) tolerations() []v1.Toleration {
	return some(m.dice, 6, v1.Toleration{Key: "special", Operator: v1.TolerationOpExists},
		v1.Toleration{Key: "odd", Operator: v1.TolerationOpEqual, Value: "yes", Effect: v1.TaintEffectNoSchedule},
		v1.Toleration{Key: "odd", Operator: v1.TolerationOpExists, Effect: v1.TaintEffectPreferNoSchedule},
		v1.Toleration{Key: v1.TaintNodeUnschedulable, Operator: v1.TolerationOpExists})
}

func (m *maker) nodeAffinity() *v1.NodeAffinity {
	a := &v1.NodeAffinity{}
	if m.one(2) {
		a.PreferredDuringSchedulingIgnoredDuringExecution = []v1.PreferredSchedulingTerm{
			{Weight: int32(1 + m.n(100)), Preference: m.nodeTerm()}}
		if m.one(2) {
			return a
		}
	}
	req := &v1.NodeSelector{}
	a.RequiredDuringSchedulingIgnoredDuringExecution = req
	if m.one(3) {
		// One name only. For several, upstream's PreFilter returns a set and findNodesThatFitPod ranges over it: which of
		// two equally good nodes is taken then follows Go's map order, and two runs of upstream itself differ.
		req.NodeSelectorTerms = []v1.NodeSelectorTerm{{MatchFields: []v1.NodeSelectorRequirement{
			{Key: metav1.ObjectNameField, Operator: v1.NodeSelectorOpIn, Values: []string{fmt.Sprintf("n%03d", m.n(12))}}}}}
		return a
	}
	for range 1 + m.n(2) {
		req.NodeSelectorTerms = append(req.NodeSelectorTerms, m.nodeTerm())
	}
	return a
}

func (m *maker) nodeTerm() v1.NodeSelectorTerm {
	r := pick(m.dice,
		v1.NodeSelectorRequirement{Key: "pool", Operator: v1.NodeSelectorOpIn, Values: []string{"a", "c"}},
		v1.NodeSelectorRequirement{Key: "pool", Operator: v1.NodeSelectorOpNotIn, Values: []string{"a"}},
		v1.NodeSelectorRequirement{Key: v1.LabelTopologyZone, Operator: v1.NodeSelectorOpExists},
		v1.NodeSelectorRequirement{Key: "size", Operator: v1.NodeSelectorOpGt, Values: []string{"1"}})
	return v1.NodeSelectorTerm{MatchExpressions: []v1.NodeSelectorRequirement{r}}
}

func (m *maker) selector() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": pick(m.dice, "x", "y", "z")}}
}

// podAffinity adds affinity or anti-affinity, required or preferred.
func (m *maker) podAffinity(a *v1.Affinity) {
	term := v1.PodAffinityTerm{TopologyKey: pick(m.dice, v1.LabelHostname, v1.LabelTopologyZone),
		LabelSelector: m.selector()}
	if m.one(4) {
		term.NamespaceSelector = pick(m.dice, &metav1.LabelSelector{},
			&metav1.LabelSelector{MatchLabels: map[string]string{"team": "yes"}})
	}
	must := []v1.PodAffinityTerm{term}
	may := []v1.WeightedPodAffinityTerm{{Weight: int32(1 + m.n(100)), PodAffinityTerm: term}}
	switch m.n(5) {
	case 0, 4:
		a.PodAntiAffinity = &v1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: must}
	case 1:
		a.PodAntiAffinity = &v1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: may}
	case 2:
		a.PodAffinity = &v1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: must}
	case 3:
		a.PodAffinity = &v1.PodAffinity{PreferredDuringSchedulingIgnoredDuringExecution: may}
	}
}

// named returns a pod of a template with a name of its own and what differs between pods of one template.
func (m *maker) named(template *v1.Pod) *v1.Pod {
	p := template.DeepCopy()
	p.Name = fmt.Sprintf("p%03d", m.pods)
	m.pods++
	labels := maps.Clone(p.Labels)
	if m.one(3) {
		labels["own"] = p.Name
	}
	if m.one(4) {
		labels["protected"] = "yes"
	}
	p.Labels = labels
	// The kubelet lets it run for so many seconds.
	p.Annotations = map[string]string{"life": strconv.Itoa(pick(m.dice, 20, 8, 40, 3, 14))}
	return p
}

func create(obj runtime.Object) func(*kube.Store) error {
	return func(s *kube.Store) error {
		_, err := s.Create(obj.DeepCopyObject())
		return err
	}
}

// add appends a step at the current instant. The first word of what is counted.
func (m *maker) add(what string, do func(*kube.Store) error) {
	m.w.ops = append(m.w.ops, op{m.at, what, do})
}

func (p pace) String() string {
	return fmt.Sprintf("attempt %s + %s per node, api %s, watch %s", p.scheduler.Attempt, p.scheduler.AttemptPerNode, p.api,
		p.watch)
}

// String describes the world's configuration.
func (w exactWorld) String() string {
	return fmt.Sprintf("%sgates %v; %s; %d objects, %d steps, until %s", w.config, w.gates, w.pace, len(w.objects),
		len(w.ops), w.until)
}
