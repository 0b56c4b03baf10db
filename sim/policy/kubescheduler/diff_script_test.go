package kubescheduler_test

import (
	"fmt"
	randv2 "math/rand/v2"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"orrery/sim/kube"
	"orrery/sim/policy/kubescheduler"
	"orrery/sim/units"
)

func node(name, zone string, cpu, gpus int64, labels map[string]string, taints ...v1.Taint) func() runtime.Object {
	return func() runtime.Object {
		res := v1.ResourceList{
			v1.ResourceCPU: *resource.NewQuantity(cpu, resource.DecimalSI), v1.ResourceMemory: resource.MustParse("1Ti"),
			v1.ResourcePods: resource.MustParse("110"), "nvidia.com/gpu": *resource.NewQuantity(gpus, resource.DecimalSI)}
		l := map[string]string{v1.LabelHostname: name, v1.LabelTopologyZone: zone}
		for k, v := range labels {
			l[k] = v
		}
		return &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: l}, Spec: v1.NodeSpec{Taints: taints},
			Status: v1.NodeStatus{Capacity: res, Allocatable: res}}
	}
}

// world draws scripts.
type world struct {
	*randv2.Rand
	sc       script
	nodes    []string
	live     []string
	priority []int32
}

// draw makes a random script: pools behind taints and labels, pods that come and go, nodes tainted and freed.
func draw(seed uint64, nodes, ops int, gates map[string]bool) script {
	w := world{Rand: randv2.New(randv2.NewPCG(seed, 99))}
	w.sc.gates = gates
	w.sc.config = kubescheduler.DefaultConfig
	if nodes > 100 {
		// So many nodes that filtering stops early. Preemption tries all of them, or Go's map order would pick some.
		w.sc.config += `profiles:
- pluginConfig:
  - name: DefaultPreemption
    args: {minCandidateNodesPercentage: 100, minCandidateNodesAbsolute: 1000}
`
	}
	special := v1.Taint{Key: "special", Value: "yes", Effect: v1.TaintEffectNoSchedule}
	for i := range nodes {
		name, pool := fmt.Sprintf("n%03d", i), []string{"a", "b", "c"}[i%3]
		var taints []v1.Taint
		if pool == "c" {
			taints = append(taints, special)
		}
		w.nodes = append(w.nodes, name)
		make := node(name, []string{"z1", "z2"}[i%2], 64, int64(4+i%2*4),
			map[string]string{"pool": pool}, taints...)
		// One after the other: a reflector's first list is in Go's map order, and so would be the scheduler's node list.
		w.sc.ops = append(w.sc.ops, op{units.Time(i+1) * units.Time(time.Millisecond), "node " + name,
			func(s *kube.Store) error { _, err := s.Create(make()); return err }})
	}
	// A priority of its own for every pod leaves preemption no ties.
	for i := range ops {
		w.priority = append(w.priority, int32(i+1)*10)
	}
	w.Shuffle(ops, func(i, j int) { w.priority[i], w.priority[j] = w.priority[j], w.priority[i] })
	w.sc.objects = append(w.sc.objects, func() runtime.Object { return budget() })
	at := units.Time(0)
	for i := range ops {
		at = at.Add(time.Duration(200+w.IntN(900)) * 10 * time.Millisecond)
		w.step(i, at.Add(300*time.Microsecond))
	}
	w.sc.until = at.Add(12 * time.Minute) // beyond upstream's flush of unschedulable pods
	return w.sc
}

func budget() runtime.Object {
	one := policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget")
	b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "keep", Namespace: "default"}}
	b.SetGroupVersionKind(one)
	b.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"protected": "yes"}}
	return b
}

func (w *world) step(i int, at units.Time) {
	add := func(what string, do func(*kube.Store) error) {
		w.sc.ops = append(w.sc.ops, op{at, what, do})
		at = at.Add(20 * time.Millisecond)
	}
	switch k := w.IntN(20); {
	case k < 12 || len(w.live) == 0:
		for j := range 1 + w.IntN(3)/2 {
			w.create(fmt.Sprintf("p%03d-%d", i, j), w.priority[i]+int32(j), add)
		}
	case k < 17:
		x := w.IntN(len(w.live))
		name := w.live[x]
		w.live = slices.Delete(w.live, x, x+1)
		add("delete "+name, func(s *kube.Store) error {
			_ = s.Delete(podsGVR, "default", name, metav1.NewDeleteOptions(0)) // a victim may be gone already
			return nil
		})
	default:
		name := w.nodes[w.IntN(len(w.nodes))]
		add("taint "+name, func(s *kube.Store) error { return toggle(s, name) })
	}
}

func (w *world) create(name string, priority int32, add func(string, func(*kube.Store) error)) {
	p := kube.PodParams{Namespace: "default", Name: name, PriorityClassName: "c-" + name, CPUMilli: 1000 + int64(w.IntN(8000)),
		MemoryMiB: 1024, Resource: "nvidia.com/gpu", Count: []int64{1, 2, 4, 4, 8, 8}[w.IntN(6)],
		TerminationGracePeriodSeconds: int64(w.IntN(3) * 20), SchedulerName: "default-scheduler"}
	if w.IntN(3) == 0 {
		p.Tolerations = []v1.Toleration{{Key: "special", Operator: v1.TolerationOpExists}}
	}
	if w.IntN(4) == 0 {
		p.Require = []kube.Requirement{{Key: "pool", Values: []string{"a", "c"}}}
	}
	if w.IntN(5) == 0 {
		p.Labels = map[string]string{"protected": "yes"}
	}
	class := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "c-" + name}, Value: priority}
	if w.IntN(3) > 0 || w.sc.gates["SchedulerAsyncAPICalls"] {
		never := v1.PreemptNever
		class.PreemptionPolicy = &never
	}
	w.live = append(w.live, name)
	add("create "+name, func(s *kube.Store) error {
		if _, err := s.Create(class.DeepCopy()); err != nil {
			return err
		}
		_, err := s.Create(kube.NewPod(p))
		return err
	})
}

func toggle(s *kube.Store, name string) error {
	obj, err := s.Get(nodesGVR, "", name)
	if err != nil {
		return err
	}
	n := obj.(*v1.Node).DeepCopy()
	n.Spec.Unschedulable = !n.Spec.Unschedulable
	_, err = s.Update(n, "")
	return err
}
