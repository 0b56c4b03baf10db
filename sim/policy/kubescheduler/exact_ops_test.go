package kubescheduler_test

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourcev1 "k8s.io/api/resource/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"orrery/sim/kube"
)

var (
	pdbsGVR    = policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets")
	classesGVR = resourcev1.SchemeGroupVersion.WithResource("deviceclasses")
)

// step draws what happens next. Steps often share an instant, so that several changes lie between two cycles; those
// that aim at an existing object choose it when they are played, by a number drawn here.
func (m *maker) step() {
	gap := pick(m.dice, 0, 0, 5*time.Millisecond, 300*time.Millisecond, time.Second, 3*time.Second, 9*time.Second,
		2700*time.Millisecond)
	if gap >= 300*time.Millisecond {
		gap += m.odd()
	}
	m.at = m.at.Add(gap)
	switch k := m.n(100); {
	case k < 24 && m.w.gates["GenericWorkload"] && m.one(2):
		m.gang(pick(m.dice, m.templates...))
	case k < 24:
		m.burst(pick(m.dice, m.templates...), pick(m.dice, 1, 2, 3, 5, 8, 12, 20))
	case k < 36 && m.pods < m.most:
		m.arrive(m.named(m.pod()))
	case k < 55:
		m.podStep(m.n(256))
	case k < 85:
		m.nodeStep(m.n(256))
	default:
		m.otherStep(m.n(256))
	}
}

// odd is a little time that keeps steps from being whole seconds apart. Without SchedulerPopFromBackoffQ upstream
// compares a pod's back-off, which lasts whole seconds, with the clock to the nanosecond, while a change moves pods in
// the order of a Go map, and each look at the clock moves it on by a nanosecond: a pod that failed whole seconds before
// the change goes to one part of the queue or another as the map has it, with upstream's cycle as with ours.
func (m *maker) odd() time.Duration { return time.Duration(m.n(256)) * 1700 * time.Microsecond }

func (m *maker) burst(template *v1.Pod, n int) {
	for range min(n, m.most-m.pods) {
		m.arrive(m.named(template))
	}
}

// gang creates a pod group and its members, most often of one template. Some lack members, some have more than they need,
// and some have members that only upstream's own path can place.
func (m *maker) gang(template *v1.Pod) {
	m.gangs++
	name := fmt.Sprintf("g%03d", m.gangs)
	n := pick(m.dice, 2, 3, 4, 6)
	pg := &schedulingv1beta1.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: template.Namespace, Name: name}}
	pg.Spec.PriorityClassName = template.Spec.PriorityClassName
	pg.Spec.SchedulingPolicy.Gang = &schedulingv1beta1.GangSchedulingPolicy{MinCount: int32(max(1, n-pick(m.dice, 0, 0, 1, -1)))}
	what := "gang "
	if m.w.gates["TopologyAwareWorkloadScheduling"] && !m.one(4) {
		what = "domain "
		key := pick(m.dice, v1.LabelTopologyZone, "pool", "size", v1.LabelHostname)
		pg.Spec.SchedulingConstraints = &schedulingv1beta1.PodGroupSchedulingConstraints{
			Topology: []schedulingv1beta1.TopologyConstraint{{Key: key}}}
	}
	if m.one(3) {
		pg.Spec.DisruptionMode = &schedulingv1beta1.DisruptionMode{All: &schedulingv1beta1.AllDisruptionMode{}}
	}
	m.add(what+name, func(s *kube.Store) error { _, err := s.Create(pg.DeepCopy()); return err })
	odd := m.pod()
	for range min(n, m.most-m.pods) {
		p := m.named(template)
		if m.one(5) {
			o := m.named(odd)
			o.Namespace, o.Spec.SchedulerName = p.Namespace, p.Spec.SchedulerName
			o.Spec.PriorityClassName = p.Spec.PriorityClassName
			p = o
		}
		p.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &name}
		m.add("member "+p.Name, create(p))
	}
}

// arrive creates a pod: now and then gated, nominated or with its node already given.
func (m *maker) arrive(p *v1.Pod) {
	switch m.n(40) {
	case 37:
		p.Spec.SchedulingGates = []v1.PodSchedulingGate{{Name: "later"}}
		m.add("gated "+p.Name, create(p))
	case 38:
		node := fmt.Sprintf("n%03d", m.n(m.nodes))
		m.add("nominated "+p.Name, func(s *kube.Store) error {
			if err := create(p)(s); err != nil {
				return err
			}
			return nominate(s, p.Namespace, p.Name, node)
		})
	case 39:
		p.Spec.NodeName = fmt.Sprintf("n%03d", m.n(m.nodes))
		m.add("static "+p.Name, create(p))
	default:
		m.add("arrive "+p.Name, create(p))
	}
}

func nominate(s *kube.Store, ns, name, node string) error {
	return change(s, podsGVR, ns, name, "status", func(p *v1.Pod) { p.Status.NominatedNodeName = node })
}

// change updates an object.
func change[T interface {
	runtime.Object
	DeepCopy() T
}](s *kube.Store, gvr schema.GroupVersionResource, ns, name, sub string, edit func(T)) error {
	obj, err := s.Get(gvr, ns, name)
	if err != nil {
		return err
	}
	x := obj.(T).DeepCopy()
	edit(x)
	_, err = s.Update(x, sub)
	return err
}

// aim picks one of the pods that match, or nil.
func aim(s *kube.Store, number int, match func(*v1.Pod) bool) *v1.Pod {
	objs, err := s.List(podsGVR, "", nil, nil)
	if err != nil {
		panic(err)
	}
	var pods []*v1.Pod
	for _, o := range objs {
		if p := o.(*v1.Pod); match(p) {
			pods = append(pods, p)
		}
	}
	if len(pods) == 0 {
		return nil
	}
	return pods[number%len(pods)]
}

func waiting(p *v1.Pod) bool { return p.Spec.NodeName == "" && len(p.Spec.SchedulingGates) == 0 }
func placed(p *v1.Pod) bool  { return p.Spec.NodeName != "" && p.DeletionTimestamp == nil }
func anyPod(*v1.Pod) bool    { return true }

// toPod adds a step that does something to one of the pods that match.
func (m *maker) toPod(what string, number int, match func(*v1.Pod) bool, do func(*kube.Store, *v1.Pod) error) {
	m.add(what, func(s *kube.Store) error {
		if p := aim(s, number, match); p != nil {
			return do(s, p)
		}
		return nil
	})
}

// edit adds a step that changes one of the pods that match.
func (m *maker) edit(what string, number int, match func(*v1.Pod) bool, sub string, edit func(*v1.Pod)) {
	m.toPod(what, number, match, func(s *kube.Store, p *v1.Pod) error {
		return change(s, podsGVR, p.Namespace, p.Name, sub, edit)
	})
}

// remove deletes a pod with its own grace period.
func remove(s *kube.Store, p *v1.Pod) error { return s.Delete(podsGVR, p.Namespace, p.Name, nil) }

// podStep does something to a pod.
func (m *maker) podStep(number int) {
	switch m.n(14) {
	case 0, 1:
		m.toPod("withdraw", number, waiting, remove)
	case 2, 3:
		m.toPod("delete", number, placed, remove)
	case 4:
		m.edit("finish", number, placed, "status", func(p *v1.Pod) { p.Status.Phase = v1.PodSucceeded })
	case 5, 6:
		app := pick(m.dice, "x", "y", "z")
		m.edit("label", number, pick(m.dice, waiting, placed, anyPod), "", func(p *v1.Pod) {
			p.Labels = maps.Clone(p.Labels)
			p.Labels["app"] = app
		})
	case 7:
		m.edit("tolerate", number, waiting, "", func(p *v1.Pod) {
			p.Spec.Tolerations = append(p.Spec.Tolerations, v1.Toleration{Key: "special", Operator: v1.TolerationOpExists,
				Effect: v1.TaintEffectNoSchedule})
		})
	case 8, 9:
		m.edit("ungate", number, func(p *v1.Pod) bool { return len(p.Spec.SchedulingGates) > 0 }, "",
			func(p *v1.Pod) { p.Spec.SchedulingGates = nil })
	case 10: // as something outside the scheduler may: no node changes, but what fits on two of them does
		node := fmt.Sprintf("n%03d", m.n(m.nodes))
		m.edit("nominate", number, waiting, "status", func(p *v1.Pod) { p.Status.NominatedNodeName = node })
	case 11:
		m.edit("dismiss", number, func(p *v1.Pod) bool { return waiting(p) && p.Status.NominatedNodeName != "" }, "status",
			func(p *v1.Pod) { p.Status.NominatedNodeName = "" })
	case 12:
		again := m.named(m.pod())
		m.toPod("replace", number, anyPod, func(s *kube.Store, p *v1.Pod) error {
			if err := s.Delete(podsGVR, p.Namespace, p.Name, metav1.NewDeleteOptions(0)); err != nil {
				return err
			}
			again := again.DeepCopy()
			again.Namespace, again.Name = p.Namespace, p.Name
			_, err := s.Create(again)
			return err
		})
	default:
		cpu := *resource.NewMilliQuantity(int64(100+100*m.n(20)), resource.DecimalSI)
		m.edit("resize", number, placed, "resize", func(p *v1.Pod) {
			p.Spec.Containers[0].Resources.Requests[v1.ResourceCPU] = cpu
		})
	}
}

// toNode adds a step that does something to one of the nodes.
func (m *maker) toNode(what string, number int, do func(*kube.Store, *v1.Node) error) {
	m.add(what, func(s *kube.Store) error {
		objs, err := s.List(nodesGVR, "", nil, nil)
		if err != nil || len(objs) == 0 {
			return err
		}
		return do(s, objs[number%len(objs)].(*v1.Node))
	})
}

func (m *maker) editNode(what string, number int, sub string, edit func(*v1.Node)) {
	m.toNode(what, number, func(s *kube.Store, n *v1.Node) error {
		return change(s, nodesGVR, "", n.Name, sub, edit)
	})
}

// nodeStep does something to a node.
func (m *maker) nodeStep(number int) {
	switch m.n(20) {
	case 0, 1, 2:
		m.add("grow", create(m.node()))
	case 3, 4:
		m.toNode("shrink", number, func(s *kube.Store, n *v1.Node) error { return lose(s, n.Name) })
	case 5:
		again := m.nodeNamed("")
		m.toNode("renew", number, func(s *kube.Store, n *v1.Node) error {
			again := again.DeepCopy()
			again.Name, again.Labels[v1.LabelHostname] = n.Name, n.Name
			if err := lose(s, n.Name); err != nil {
				return err
			}
			_, err := s.Create(again)
			return err
		})
	case 6, 7:
		m.toNode("drain", number, drain)
	case 8, 9:
		m.toNode("cordon", number, func(s *kube.Store, n *v1.Node) error { return toggle(s, n.Name) })
	case 10, 11, 12:
		labels := m.nodeLabels("")
		m.editNode("relabel", number, "", func(n *v1.Node) {
			n.Labels = maps.Clone(labels)
			n.Labels[v1.LabelHostname] = n.Name
		})
	case 13, 14:
		taints := m.taints()
		m.editNode("taint", number, "", func(n *v1.Node) { n.Spec.Taints = taints })
	case 15, 16:
		res := m.allocatable()
		m.editNode("capacity", number, "status", func(n *v1.Node) { n.Status.Capacity, n.Status.Allocatable = res, res })
	case 17, 18: // changes ImageLocality's score of other nodes with the image, too
		images := m.images()
		m.editNode("images", number, "status", func(n *v1.Node) { n.Status.Images = images })
	default:
		m.editNode("annotate", number, "", func(n *v1.Node) { n.Annotations = map[string]string{"x": strconv.Itoa(number)} })
	}
}

// lose removes a node, and its pods as the pod garbage collector would.
func lose(s *kube.Store, name string) error {
	if err := s.Delete(nodesGVR, "", name, nil); err != nil {
		return err
	}
	return each(s, name, func(p *v1.Pod) error {
		return s.Delete(podsGVR, p.Namespace, p.Name, metav1.NewDeleteOptions(0))
	})
}

func drain(s *kube.Store, n *v1.Node) error {
	if err := change(s, nodesGVR, "", n.Name, "", func(n *v1.Node) { n.Spec.Unschedulable = true }); err != nil {
		return err
	}
	return each(s, n.Name, func(p *v1.Pod) error { return remove(s, p) })
}

// each does something to every pod of a node.
func each(s *kube.Store, node string, do func(*v1.Pod) error) error {
	objs, err := s.List(podsGVR, "", nil, nil)
	if err != nil {
		return err
	}
	for _, o := range objs {
		if p := o.(*v1.Pod); p.Spec.NodeName == node {
			if err := do(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// deviceClass adds or withdraws a class of devices, as if a driver published the extended resource: nodes without it in
// their status may have it all the same. Seldom, as it sends all pods that ask for the resource another way.
func (m *maker) deviceClass(resource string) {
	if !m.one(2) || m.w.gates["SchedulerAsyncAPICalls"] {
		// Before it binds a pod with claims upstream writes the pod's status, with that gate in the background: whether
		// the binding still finds that write in the queue and drops it is a race of goroutines.
		return
	}
	m.add("deviceclass", func(s *kube.Store) error {
		if s.Delete(classesGVR, "", "gpu", nil) == nil {
			return nil
		}
		_, err := s.Create(&resourcev1.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: "gpu"},
			Spec: resourcev1.DeviceClassSpec{ExtendedResourceName: &resource}})
		return err
	})
}

// otherStep changes what is neither pod nor node.
func (m *maker) otherStep(number int) {
	switch m.n(8) {
	case 0, 1: // budgets have no controller here
		left, ns := int32(m.n(3)), pick(m.dice, "default", "team")
		m.add("budget", func(s *kube.Store) error {
			if _, err := s.Get(pdbsGVR, ns, "keep"); err != nil {
				b := budget().(*policyv1.PodDisruptionBudget)
				b.Namespace = ns
				if _, err := s.Create(b); err != nil {
					return err
				}
			}
			return change(s, pdbsGVR, ns, "keep", "status", func(b *policyv1.PodDisruptionBudget) {
				b.Status.DisruptionsAllowed = left
			})
		})
	case 2: // gives the pods it selects default constraints to be spread by
		svc := &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: pick(m.dice, "default", "team"),
			Name: fmt.Sprintf("s%03d", len(m.w.ops))}}
		svc.Spec.Selector = map[string]string{"app": pick(m.dice, "x", "y", "z")}
		svc.Spec.ClusterIP = "None"
		svc.Spec.Ports = []v1.ServicePort{{Port: 80}}
		m.add("service", create(svc))
	case 3:
		team := pick(m.dice, "yes", "no")
		m.add("namespace", func(s *kube.Store) error {
			return change(s, v1.SchemeGroupVersion.WithResource("namespaces"), "", "team", "", func(n *v1.Namespace) {
				n.Labels = map[string]string{"team": team}
			})
		})
	case 4:
		m.deviceClass(pick(m.dice, "nvidia.com/gpu", "nvidia.com/gpu", "example.com/other"))
	default: // one more wave of work: what keeps a backlog
		m.burst(pick(m.dice, m.templates...), 1+number%12)
	}
}
