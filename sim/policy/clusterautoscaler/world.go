package clusterautoscaler

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/resource"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"orrery/sim/units"
)

var (
	podsResource    = corev1.SchemeGroupVersion.WithResource("pods")
	nodesResource   = corev1.SchemeGroupVersion.WithResource("nodes")
	budgetsResource = policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets")
)

// toBeDeleted is the taint of a node that is going.
const toBeDeleted = "ToBeDeletedByClusterAutoscaler"

// world is the cluster at a scan, and what the simulation makes of it.
type world struct {
	nodes   []*simNode // by name
	byName  map[string]*simNode
	pending []*corev1.Pod // unschedulable, the most important first
	young   bool          // some are too young to be looked at
	budgets []*policyv1.PodDisruptionBudget
}

// simNode is a node of the simulation.
type simNode struct {
	node *corev1.Node
	info *framework.NodeInfo
	pods []*corev1.Pod // that are on it in the API, not over
}

// look reads the API.
func (a *Autoscaler) look() (*world, error) {
	w := &world{byName: map[string]*simNode{}}
	nodes, err := a.p.Store.List(nodesResource, "", nil, nil)
	if err != nil {
		return nil, err
	}
	for _, obj := range nodes {
		n := newNode(obj.(*corev1.Node))
		w.nodes = append(w.nodes, n)
		w.byName[n.node.Name] = n
	}
	slices.SortFunc(w.nodes, func(a, b *simNode) int { return cmp.Compare(a.node.Name, b.node.Name) })
	pods, err := a.p.Store.List(podsResource, "", nil, nil)
	if err != nil {
		return nil, err
	}
	class := map[types.UID]string{}
	told := map[types.UID]string{}
	for _, obj := range pods {
		pod := obj.(*corev1.Pod)
		if n := w.byName[pod.Spec.NodeName]; n != nil && !over(pod) {
			n.info.AddPod(pod)
			n.pods = append(n.pods, pod)
		}
		if pod.Spec.NodeName != "" || !a.unschedulable(pod) {
			continue
		}
		if a.p.Engine.Clock().Sub(pod.CreationTimestamp.Time) < a.delay(pod) {
			w.young = true
			continue
		}
		if class[pod.UID] = a.class[pod.UID]; class[pod.UID] == "" {
			class[pod.UID] = classOf(pod)
		}
		if text, ok := a.told[pod.UID]; ok {
			told[pod.UID] = text
		}
		w.pending = append(w.pending, pod)
	}
	a.class, a.told = class, told
	slices.SortStableFunc(w.pending, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(priority(b), priority(a)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name))
	})
	budgets, err := a.p.Store.List(budgetsResource, "", nil, nil)
	for _, obj := range budgets {
		w.budgets = append(w.budgets, obj.(*policyv1.PodDisruptionBudget))
	}
	return w, err
}

// delay is how old a pod must be before it is looked at. A pod may ask for longer than the flag says.
func (a *Autoscaler) delay(p *corev1.Pod) units.Duration {
	own, err := time.ParseDuration(p.Annotations[annotationPodDelay])
	if err != nil {
		own = 0
	}
	return max(own, a.p.Flags.NewPodScaleUpDelay)
}

func newNode(n *corev1.Node) *simNode {
	info := framework.NewNodeInfo()
	info.SetNode(n)
	return &simNode{node: n, info: info}
}

func over(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func priority(p *corev1.Pod) int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}

// unschedulable reports whether a pod is one that new nodes may help: the scheduler has refused it, and it does not
// wait for victims of its preemption.
func (a *Autoscaler) unschedulable(p *corev1.Pod) bool {
	if p.DeletionTimestamp != nil || over(p) || p.Status.NominatedNodeName != "" || len(p.Spec.ResourceClaims) > 0 ||
		priority(p) < expendable {
		return false
	}
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse &&
			c.Reason == corev1.PodReasonUnschedulable
	})
}

// classOf names what decides where a pod fits: pods of one class fit on the same nodes.
func classOf(p *corev1.Pod) string {
	type container struct {
		Requests corev1.ResourceList
		Ports    []corev1.ContainerPort
	}
	key := struct {
		Containers  []container
		Init        []corev1.ResourceList
		Overhead    corev1.ResourceList
		Selector    map[string]string
		Affinity    *corev1.Affinity
		Tolerations []corev1.Toleration
	}{Overhead: p.Spec.Overhead, Selector: p.Spec.NodeSelector, Affinity: p.Spec.Affinity,
		Tolerations: p.Spec.Tolerations}
	for _, c := range p.Spec.Containers {
		key.Containers = append(key.Containers, container{c.Resources.Requests, c.Ports})
	}
	for _, c := range p.Spec.InitContainers {
		key.Init = append(key.Init, c.Resources.Requests)
	}
	text, err := json.Marshal(key)
	if err != nil {
		return string(p.UID)
	}
	return string(text)
}

// refusal returns why a pod does not fit on a node, in the scheduler's words; "" = it does.
func refusal(p *corev1.Pod, n *simNode) string {
	if n.node.Spec.Unschedulable {
		return "node(s) were unschedulable"
	}
	if t, found := corev1helpers.FindMatchingUntoleratedTaint(logr.Discard(), n.node.Spec.Taints, p.Spec.Tolerations,
		func(t *corev1.Taint) bool {
			return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
		}, false); found {
		return "node(s) had untolerated taint(s) {" + t.Key + ": " + t.Value + "}"
	}
	why := scheduler.AdmissionCheck(p, n.info, false)
	switch {
	case len(why) == 0:
		return ""
	case why[0].InsufficientResource != nil:
		return why[0].InsufficientResource.Reason
	}
	return why[0].Reason
}

// place puts a pod on the first of the nodes on which it fits.
func place(p *corev1.Pod, nodes []*simNode) *simNode {
	for _, n := range nodes {
		if refusal(p, n) == "" {
			n.info.AddPod(p)
			return n
		}
	}
	return nil
}

// ready reports whether a node takes pods, its GPUs included.
func ready(n *corev1.Node, gpu corev1.ResourceName) bool {
	if q := n.Status.Allocatable[gpu]; gpu != "" && q.IsZero() {
		return false
	}
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// requests sums what pods ask of a resource, in thousandths for CPU.
func requests(pods []*corev1.Pod, r corev1.ResourceName) (sum int64) {
	for _, p := range pods {
		q := resource.PodRequests(p, resource.PodResourcesOptions{})[r]
		sum += amount(q, r)
	}
	return sum
}

// controlledBy returns the kind of a pod's controller, "" without one.
func controlledBy(p *corev1.Pod) string {
	if ref := metav1.GetControllerOf(p); ref != nil {
		return ref.Kind
	}
	return ""
}
