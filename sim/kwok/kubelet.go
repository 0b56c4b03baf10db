package kwok

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/component-helpers/resource"
	"k8s.io/kubernetes/pkg/apis/core/v1/helper/qos"

	"orrery/sim/engine"
	"orrery/sim/fleet"
	"orrery/sim/journal"
	"orrery/sim/units"
)

// Hooks is what happens on nodes, for the journal and the models. Each is called on the driver goroutine from inside
// OnCommit, in the order of what happened, and must not write to the API; nil hooks are not called. Pods are the
// stored objects: read only.
type Hooks struct {
	// Assigned: a node has admitted a pod; slots are the pod's own until Released (none when it asked for none).
	Assigned func(pod *corev1.Pod, node string, slots []journal.Slot)
	// Started: the pod's containers run.
	Started func(pod *corev1.Pod)
	// Ended: the pod's containers have stopped, or never ran and never will (rejected, or deleted before they ran).
	// Phase is Succeeded or Failed. For a pod that was deleted the reason is that of its DisruptionTarget condition
	// (e.g. PreemptionByScheduler), else Deleted.
	Ended func(pod *corev1.Pod, phase, reason string)
	// Released: the node has given up everything it held for an Assigned pod. Exactly once, after Ended.
	Released func(pod *corev1.Pod, node string)
	// Gone: the pod object is no more. Also for pods that never had a node.
	Gone func(pod *corev1.Pod)
	// Event: a stage sends a Kubernetes event about an object. It is called while the stage is played.
	Event func(obj runtime.Object, eventType, reason, message string)
	// Warn: something went wrong that KWOK would log: a stage that cannot be evaluated or played.
	Warn func(code, message string)
}

// ReasonDeleted is Ended's reason for a pod that was deleted without saying why.
const ReasonDeleted = "Deleted"

// ReasonUnexpectedAdmission is the real kubelet's reason to reject a pod whose devices it cannot allocate
// (kubernetes v1.37.2, pkg/kubelet/lifecycle/predicate.go).
const ReasonUnexpectedAdmission = "UnexpectedAdmissionError"

// annotationNode marks the nodes KWOK simulates, with the value "fake" (KWOK v0.8.0,
// --manage-nodes-with-annotation-selector as its releases deploy it).
const annotationNode = "kwok.x-k8s.io/node"

var (
	podType  = reflect.TypeFor[*corev1.Pod]()
	nodeType = reflect.TypeFor[*corev1.Node]()
)

// nodeState is a managed node as its kubelet knows it.
type nodeState struct {
	allocatable corev1.ResourceList
	ips         []string
	used        amounts // of admitted pods that have not ended
}

// podState is a pod on a managed node.
type podState struct {
	node     string
	at       *nodeState // the node of that name which admitted it; a later one does not know the pod
	requests amounts
	ips      []string
	rejected bool
	reason   string // of the rejection
	message  string
	started  bool
	ended    bool
	assigned bool // until released
	devices  bool // the fleet knows it as an owner
	// heldUntil is when the devices of its claims are prepared: no stage begins before.
	heldUntil units.Time
}

// amounts are quantities by resource: CPU in thousandths of a core, everything else in its unit.
type amounts map[corev1.ResourceName]int64

func owner(p *corev1.Pod) string { return p.Namespace + "/" + p.Name }

func terminal(p corev1.PodPhase) bool { return p == corev1.PodSucceeded || p == corev1.PodFailed }

// nodeCommitted follows a node.
func (c *Controller) nodeCommitted(n *corev1.Node, gone bool) {
	o := c.object(objectKey{nodeType, "", n.Name})
	o.obj = n
	if gone || n.Annotations[annotationNode] != "fake" {
		delete(c.nodes, n.Name)
		o.node = nil
		c.forget(o)
		return
	}
	fresh := o.node == nil
	if fresh {
		o.node = &nodeState{used: amounts{}}
		c.nodes[n.Name] = o.node
	}
	o.node.allocatable = n.Status.Allocatable
	o.node.ips = hostIPs(n)
	c.evaluate(o)
	if !fresh {
		return
	}
	waiting := c.waiting[n.Name]
	delete(c.waiting, n.Name)
	for _, w := range waiting {
		if c.objects[w.key] == w {
			c.podCommitted(w.obj.(*corev1.Pod), false)
		}
	}
}

// podCommitted follows a pod.
func (c *Controller) podCommitted(pod *corev1.Pod, gone bool) {
	k := objectKey{podType, pod.Namespace, pod.Name}
	o := c.objects[k]
	if o == nil {
		if pod.Spec.NodeName == "" || gone {
			if gone && c.p.Hooks.Gone != nil {
				c.p.Hooks.Gone(pod)
			}
			return
		}
		o = c.object(k)
	}
	o.obj = pod
	if gone {
		if o.pod != nil {
			c.stopped(o, pod)
		}
		c.forget(o)
		if c.p.Hooks.Gone != nil {
			c.p.Hooks.Gone(pod)
		}
		return
	}
	if o.pod == nil && !c.admit(o, pod) {
		return
	}
	c.follow(o, pod)
	c.evaluate(o)
}

// follow tells the hooks what the pod's status says has happened.
func (c *Controller) follow(o *object, pod *corev1.Pod) {
	s := o.pod
	if pod.Status.Phase == corev1.PodRunning && !s.started && !s.ended {
		s.started = true
		if c.p.Hooks.Started != nil {
			c.p.Hooks.Started(pod)
		}
	}
	switch {
	case terminal(pod.Status.Phase):
		c.end(o, pod, string(pod.Status.Phase), endReason(pod))
	case pod.DeletionTimestamp != nil && pod.DeletionGracePeriodSeconds != nil && *pod.DeletionGracePeriodSeconds == 0:
		c.stopped(o, pod) // only finalizers hold the object
		c.p.Clock.At(c.p.Clock.Now(), engine.PhaseRelease, "pod-stopped", func() { c.sayStopped(o) })
	}
}

// stopped ends a pod because it is deleted.
func (c *Controller) stopped(o *object, pod *corev1.Pod) {
	reason := ReasonDeleted
	for _, x := range pod.Status.Conditions {
		if x.Type == corev1.DisruptionTarget && x.Status == corev1.ConditionTrue && x.Reason != "" {
			reason = x.Reason
		}
	}
	c.end(o, pod, string(corev1.PodFailed), reason)
}

// endReason is why a terminal pod ended: its own reason, else that of the first container that says one.
func endReason(pod *corev1.Pod) string {
	if pod.Status.Reason != "" {
		return pod.Status.Reason
	}
	if pod.Status.Phase == corev1.PodSucceeded {
		return ""
	}
	for _, s := range pod.Status.ContainerStatuses {
		if t := s.State.Terminated; t != nil && t.Reason != "" {
			return t.Reason
		}
	}
	return ""
}

// end releases what the node holds for the pod, once.
func (c *Controller) end(o *object, pod *corev1.Pod, phase, reason string) {
	s := o.pod
	if s.ended {
		return
	}
	s.ended = true
	if c.p.Hooks.Ended != nil {
		c.p.Hooks.Ended(pod, phase, reason)
	}
	if !s.assigned {
		return
	}
	s.assigned = false
	for r, q := range s.requests {
		s.at.used[r] -= q
	}
	if s.devices {
		if _, err := c.p.Fleet.Release(owner(pod)); err != nil {
			panic(fmt.Sprintf("kwok: %v", err)) // assigned by admit
		}
	}
	if c.p.Hooks.Released != nil {
		c.p.Hooks.Released(pod, s.node)
	}
}

// admit decides about a pod that its node sees for the first time, as the real kubelet does: devices first, then the
// other resources. It reports false when the pod is not (yet) for a managed node, or has ended already.
func (c *Controller) admit(o *object, pod *corev1.Pod) bool {
	n := c.nodes[pod.Spec.NodeName]
	switch {
	case pod.Spec.NodeName == "" || terminal(pod.Status.Phase):
		return false
	case n == nil:
		if w := c.waiting[pod.Spec.NodeName]; !slices.Contains(w, o) {
			c.waiting[pod.Spec.NodeName] = append(w, o)
		}
		return false
	}
	got, ok := c.claimed(pod)
	if !ok && pod.DeletionTimestamp == nil {
		c.unclaimed[o] = true
		return false
	}
	delete(c.unclaimed, o)
	s := &podState{node: pod.Spec.NodeName, at: n, requests: c.requestsOf(pod)}
	o.pod = s
	slots, err := c.allocate(n, s, pod, got.slots)
	var no *refusal
	if errors.As(err, &no) {
		s.rejected, s.reason, s.message = true, no.reason, no.message
		c.p.Clock.At(c.p.Clock.Now(), engine.PhaseStart, "pod-reject", func() { c.reject(o) })
		return true
	}
	s.assigned = true
	for r, q := range s.requests {
		n.used[r] += q
	}
	if c.p.Hooks.Assigned != nil {
		c.p.Hooks.Assigned(pod, s.node, slots)
	}
	c.prepare(o, pod, got)
	return true
}

// refusal is why a kubelet does not take a pod.
type refusal struct{ reason, message string }

func (r *refusal) Error() string { return r.reason + ": " + r.message }

// allocate takes the pod's devices, if the node has them and everything else the pod asks for. The words are those of
// kubernetes v1.37.2: cm/devicemanager/manager.go, cm/admission/errors.go and lifecycle/predicate.go.
// Devices of claims are given by the scheduler, and so are GPUs that it wrote into the pod's annotations.
func (c *Controller) allocate(n *nodeState, s *podState, pod *corev1.Pod, given []journal.Slot) (
	[]journal.Slot, error) {
	owner := owner(pod)
	written, err := c.written(s, pod)
	if err != nil {
		return nil, &refusal{ReasonUnexpectedAdmission, "Allocate failed due to " + err.Error() +
			", which is unexpected"}
	}
	given = append(slices.Clip(given), written...)
	slots, err := c.take(s, owner, given)
	if err != nil {
		return nil, err
	}
	devices := c.devicesOf(s)
	for _, r := range devices {
		got, err := c.p.Fleet.Assign(s.node, owner, string(r), int(s.requests[r]))
		if err != nil {
			c.giveBack(s, owner)
			return nil, &refusal{ReasonUnexpectedAdmission, "Allocate failed due to " + allocateError(err, r) +
				", which is unexpected"}
		}
		s.devices, slots = true, got
	}
	if len(devices) > 1 || len(devices) > 0 && len(given) > 0 {
		_, slots, _ = c.p.Fleet.Holding(owner)
	}
	if r := n.lacks(s.requests, devices); r != "" {
		c.giveBack(s, owner)
		return nil, &refusal{"OutOf" + string(r), fmt.Sprintf("Node didn't have enough resource: %s, requested: %d, "+
			"used: %d, capacity: %d", r, s.requests[r], n.used[r], capacity(n.allocatable, r))}
	}
	return slots, nil
}

// devicesOf returns the resources that a pod asks for and a device plugin of its node offers, sorted.
func (c *Controller) devicesOf(s *podState) []corev1.ResourceName {
	var list []corev1.ResourceName
	for r, want := range s.requests {
		if _, ok := c.p.Fleet.Free(s.node, string(r)); ok && want > 0 {
			list = append(list, r)
		}
	}
	slices.Sort(list)
	return list
}

// giveBack returns the devices of a pod that is refused after all.
func (c *Controller) giveBack(s *podState, owner string) {
	if !s.devices {
		return
	}
	if _, err := c.p.Fleet.Release(owner); err != nil {
		panic(fmt.Sprintf("kwok: %v", err))
	}
	s.devices = false
}

// allocateError says why a device plugin's resource was not given, in the words of the kubelet's device manager and of
// NVIDIA's device plugin (github.com/NVIDIA/k8s-device-plugin at 046b76b, internal/plugin/server.go and
// internal/rm/nvml_manager.go, ValidateRequest).
func allocateError(err error, r corev1.ResourceName) string {
	var few *fleet.UnavailableError
	var limit *fleet.LimitError
	switch {
	case errors.As(err, &few):
		return fmt.Sprintf("requested number of devices unavailable for %s. Requested: %d, Available: %d", r,
			few.Requested, few.Available)
	case errors.As(err, &limit):
		return fmt.Sprintf("rpc error: code = Unknown desc = invalid allocation request for %q: invalid request: "+
			"maximum request size for shared resources is %d; found %d", r, limit.Most, limit.Requested)
	}
	return err.Error()
}

// lacks returns the first resource that the node has too little of, or "": pods, CPU, memory and ephemeral storage,
// then others by name. A resource the node does not know is no matter of the kubelet's, and devices are the fleet's.
func (n *nodeState) lacks(want amounts, devices []corev1.ResourceName) corev1.ResourceName {
	first := []corev1.ResourceName{corev1.ResourcePods, corev1.ResourceCPU, corev1.ResourceMemory,
		corev1.ResourceEphemeralStorage}
	rank := func(r corev1.ResourceName) int {
		if i := slices.Index(first, r); i >= 0 {
			return i
		}
		return len(first)
	}
	var lacking []corev1.ResourceName
	for r, q := range want {
		_, known := n.allocatable[r]
		if q > 0 && (known || rank(r) < len(first)) && n.used[r]+q > capacity(n.allocatable, r) &&
			!slices.Contains(devices, r) {
			lacking = append(lacking, r)
		}
	}
	if lacking == nil {
		return ""
	}
	return slices.MinFunc(lacking, func(a, b corev1.ResourceName) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
}

func capacity(l corev1.ResourceList, r corev1.ResourceName) int64 {
	q := l[r]
	if r == corev1.ResourceCPU {
		return q.MilliValue()
	}
	return q.Value()
}

// requestsKept bounds the memory of requestsOf: when full it forgets everything.
const requestsKept = 4096

// requestsOf is requestsOf for a stored pod. Stored objects are immutable and the API lets pods share what is alike, so
// the pod's first container stands for its whole specification.
func (c *Controller) requestsOf(pod *corev1.Pod) amounts {
	if len(pod.Spec.Containers) == 0 {
		return requestsOf(pod)
	}
	key := &pod.Spec.Containers[0]
	out, ok := c.requests[key]
	if !ok {
		if c.requests == nil || len(c.requests) >= requestsKept {
			c.requests = map[*corev1.Container]amounts{}
		}
		out = requestsOf(pod)
		c.requests[key] = out
	}
	return out
}

// requestsOf sums what a pod asks for, itself included as one of the node's pods.
func requestsOf(pod *corev1.Pod) amounts {
	list := resource.PodRequests(pod, resource.PodResourcesOptions{})
	out := make(amounts, len(list)+1)
	for r := range list {
		out[r] = capacity(list, r)
	}
	out[corev1.ResourcePods] = 1
	return out
}

// reject writes the status of a refused pod, as the real kubelet does (kubernetes v1.37.2, kubelet.go, rejectPod).
func (c *Controller) reject(o *object) {
	pod := o.obj.(*corev1.Pod)
	if c.objects[o.key] != o || terminal(pod.Status.Phase) {
		return
	}
	p := *pod
	p.Status.QOSClass = qos.GetPodQOS(pod)
	p.Status.Phase = corev1.PodFailed
	p.Status.Reason = o.pod.reason
	p.Status.Message = "Pod was rejected: " + o.pod.message
	if _, err := c.p.API.Update(&p, "status"); err != nil && !apierrors.IsNotFound(err) {
		c.warn("kwok-kubelet", "rejecting pod %s: %v", owner(pod), err)
	}
}

// sayStopped writes the phase of a pod that was deleted and has stopped, for who holds its object by a finalizer, as
// the real kubelet does (kubernetes v1.37.2, pkg/kubelet/kubelet_pods.go, generateAPIPodStatus: a terminal phase for
// every pod whose containers have stopped).
func (c *Controller) sayStopped(o *object) {
	pod := o.obj.(*corev1.Pod)
	if c.objects[o.key] != o || terminal(pod.Status.Phase) {
		return
	}
	p := *pod
	p.Status.Phase = corev1.PodFailed
	if _, err := c.p.API.Update(&p, "status"); err != nil && !apierrors.IsNotFound(err) {
		c.warn("kwok-kubelet", "pod %s has stopped: %v", owner(pod), err)
	}
}

// stopAnnotations tells the pod-delete stage how long a running pod's containers take to stop.
func stopAnnotations(pod *corev1.Pod, stop units.Duration, hidden map[string]string) map[string]string {
	if g := pod.DeletionGracePeriodSeconds; g != nil {
		stop = min(stop, units.Duration(*g)*time.Second)
	}
	if pod.Status.Phase != corev1.PodRunning {
		stop = 0
	}
	out := map[string]string{AnnotationDeleteDelay: stop.String(), AnnotationDeleteJitter: stop.String()}
	maps.Copy(out, hidden)
	return out
}
