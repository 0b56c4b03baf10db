package kwok

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/kwok/dra"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// Claims is what kubelets need to prepare devices that the scheduler has allocated to claims of their pods.
type Claims struct {
	// Get returns a claim of the API, or nil.
	Get func(namespace, name string) *resourcev1.ResourceClaim
	// Drivers of the nodes that have some, by node name. Nodes of a pool may share theirs.
	Drivers map[string]*Driver
	// Domain tells how long a pod must wait for the daemon of its compute domain on a node, from now on. It is asked once
	// for each claim of a channel, when the node has the pod. nil = not at all.
	Domain func(pod *corev1.Pod, node string, claim *resourcev1.ResourceClaim) units.Duration
}

// Driver is a node's drivers of dynamic resource allocation.
type Driver struct {
	Devices map[string]dra.Device // by name
	Timing  plan.DRA
}

// claimNames are the names of a pod's claims, generated ones included, in the order of the pod; ok is false when one
// of them has not been made yet.
func claimNames(pod *corev1.Pod) (names []string, ok bool) {
	for _, c := range pod.Spec.ResourceClaims {
		name := c.ResourceClaimName
		if name == nil {
			i := slices.IndexFunc(pod.Status.ResourceClaimStatuses,
				func(s corev1.PodResourceClaimStatus) bool { return s.Name == c.Name })
			if i < 0 {
				return nil, false
			}
			if name = pod.Status.ResourceClaimStatuses[i].ResourceClaimName; name == nil {
				continue // it turned out not to be needed
			}
		}
		names = append(names, *name)
	}
	if s := pod.Status.ExtendedResourceClaimStatus; s != nil {
		names = append(names, s.ResourceClaimName)
	}
	return names, true
}

// claimed is what a pod's claims give it.
type claimed struct {
	slots  []journal.Slot
	create int            // partitions that have to be made
	wait   units.Duration // for daemons of compute domains
}

// claimed reads the claims of a pod that its node has just got. ok is false when one of them is not allocated and
// reserved for the pod: the real kubelet then asks again until it is.
func (c *Controller) claimed(pod *corev1.Pod) (out claimed, ok bool) {
	names, ok := claimNames(pod)
	if !ok || len(names) == 0 || c.p.Claims == nil {
		return claimed{}, ok
	}
	node := pod.Spec.NodeName
	for _, name := range names {
		claim := c.p.Claims.Get(pod.Namespace, name)
		if claim == nil || claim.Status.Allocation == nil || !slices.ContainsFunc(claim.Status.ReservedFor,
			func(r resourcev1.ResourceClaimConsumerReference) bool { return r.UID == pod.UID }) {
			return claimed{}, false
		}
		channel := false
		for _, r := range claim.Status.Allocation.Devices.Results {
			d := c.p.Claims.device(node, r)
			channel = channel || d.Channel
			if d.GPU {
				out.slots = append(out.slots, d.Slot)
			}
			if d.Create {
				out.create++
			}
		}
		if channel && c.p.Claims.Domain != nil {
			out.wait = max(out.wait, c.p.Claims.Domain(pod, node, claim))
		}
	}
	return out, true
}

// device returns what an allocated device is: nothing of ours when its driver is the user's own.
func (x *Claims) device(node string, r resourcev1.DeviceRequestAllocationResult) dra.Device {
	d := x.Drivers[node]
	if d == nil || r.Pool != node {
		return dra.Device{}
	}
	return d.Devices[r.Driver+"/"+r.Device]
}

// take gives a pod the devices of its claims. The scheduler has seen to it that they are free.
func (c *Controller) take(s *podState, owner string, slots []journal.Slot) ([]journal.Slot, error) {
	if len(slots) == 0 {
		return nil, nil
	}
	out, err := c.p.Fleet.AssignExact(s.node, owner, slots)
	if err != nil {
		return nil, &refusal{ReasonUnexpectedAdmission, fmt.Sprintf("Allocate failed due to %v, which is unexpected", err)}
	}
	s.devices = true
	return out, nil
}

// prepare holds the pod back until its drivers have prepared the devices.
func (c *Controller) prepare(o *object, pod *corev1.Pod, got claimed) {
	names, _ := claimNames(pod)
	if len(names) == 0 || c.p.Claims == nil {
		return
	}
	d := c.p.Claims.Drivers[pod.Spec.NodeName]
	if d == nil {
		return
	}
	r := c.stream(o, "dra-prepare", 0)
	span := Triangular(d.Timing.Prepare, r.Float64())
	for range got.create {
		span += Triangular(d.Timing.CreateMIG, r.Float64())
	}
	o.pod.heldUntil = c.p.Clock.Now().Add(max(span, got.wait)).RoundUp()
	if o.pod.heldUntil > c.p.Clock.Now() {
		c.p.Clock.At(o.pod.heldUntil, engine.PhaseStart, "dra-prepare", func() {
			if c.objects[o.key] == o {
				c.evaluate(o)
			}
		})
	}
}

// held reports whether the object is a pod whose containers cannot start yet: its devices are not prepared, or it is on
// hold.
func (c *Controller) held(o *object) bool {
	if o.pod == nil || o.pod.heldUntil <= c.p.Clock.Now() && !c.holds[o.key] {
		return false
	}
	return o.obj.(*corev1.Pod).DeletionTimestamp == nil
}

// Triangular returns the span below which a triangular distribution has the probability u.
func Triangular(s plan.Spread, u float64) units.Duration {
	if s.High <= s.Low {
		return s.Low
	}
	low, mode, high := float64(s.Low), float64(s.Mode), float64(s.High)
	rise := (mode - low) / (high - low)
	if u < rise {
		return units.Duration(low + math.Sqrt(float64(u*(high-low))*(mode-low)))
	}
	return units.Duration(high - math.Sqrt(float64((1-u)*(high-low))*(high-mode)))
}

// claimCommitted looks again at the pods that wait for a claim, by name.
func (c *Controller) claimCommitted(claim *resourcev1.ResourceClaim) {
	if len(c.unclaimed) == 0 {
		return
	}
	var waiting []*object
	for o := range c.unclaimed {
		if o.key.ns == claim.Namespace {
			waiting = append(waiting, o)
		}
	}
	slices.SortFunc(waiting, func(a, b *object) int { return cmp.Compare(a.key.name, b.key.name) })
	for _, o := range waiting {
		c.podCommitted(o.obj.(*corev1.Pod), false)
	}
}
