package sim

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"

	"orrery/sim/kwok"
	"orrery/sim/kwok/dra"
	"orrery/sim/mig"
	"orrery/sim/plan"
	"orrery/sim/policy/kubescheduler"
)

// drivers are the drivers of dynamic resource allocation, by node. Those of one pool's nodes share what they have in
// common.
type drivers struct {
	byNode map[string]*kwok.Driver
	byPool map[string]*kwok.Driver
}

// driverNode returns a node as its driver sees it.
func (c *cluster) driverNode(own plan.Node, pool *plan.Pool) dra.Node {
	n := dra.Node{Name: own.Name, Driver: pool.DRA.Device, Product: pool.DRA.Product,
		Architecture: pool.DRA.Architecture, ComputeCapability: pool.DRA.ComputeCapability,
		MemoryMiB: pool.MemoryMiBPerGPU, Dynamic: pool.DRA.DynamicMIG}
	if node, ok := c.fleet.Node(n.Name); ok {
		for _, gpu := range node.GPUs {
			n.UUIDs = append(n.UUIDs, gpu.UUID)
		}
	}
	n.MIG, _ = mig.Lookup(pool.GPUModel)
	if pool.Slots != nil {
		n.Layouts = layouts(*pool)
	}
	if n.Driver == dra.NVIDIA {
		n.Clique = nodeLabels(*pool, own)[cliqueLabel]
	}
	return n
}

// layouts returns the MIG instances of each GPU of a pool's node; nil for a GPU that is whole.
func layouts(pool plan.Pool) [][]mig.Instance {
	out := make([][]mig.Instance, pool.GPUsPerNode)
	for g := range out {
		list, divided := pool.Slots[g]
		if !divided {
			continue
		}
		out[g] = []mig.Instance{}
		for _, s := range list {
			if s.Replica == 0 {
				out[g] = append(out[g], mig.Instance{Profile: s.Profile, Start: s.Start})
			}
		}
	}
	return out
}

// publish lets the drivers of a node offer its devices.
func (c *cluster) publish(own plan.Node, pool *plan.Pool) error {
	if pool.Driver != plan.DriverDRA || pool.GPUsPerNode == 0 {
		return nil
	}
	n := c.driverNode(own, pool)
	d := c.drivers.byPool[pool.Name]
	if d == nil {
		d = &kwok.Driver{Devices: dra.Devices(n), Timing: pool.DRA}
		c.drivers.byPool[pool.Name] = d
	}
	c.drivers.byNode[n.Name] = d
	for _, slice := range dra.Slices(n) {
		if _, err := c.store.Create(slice); err != nil {
			return fmt.Errorf("publishing the devices of node %s: %w", n.Name, err)
		}
	}
	return nil
}

// buildClasses creates the DeviceClasses that come with the pools' drivers, but those that the manifests define.
func (c *cluster) buildClasses() error {
	var names []string
	for _, p := range c.plan.Pools {
		if p.Driver == plan.DriverDRA {
			names = append(names, p.DRA.Device)
		}
		if p.Driver == plan.DriverDRA && p.DRA.Device == dra.NVIDIA {
			names = append(names, dra.ComputeDomainDriver) // installed with it
		}
	}
	slices.Sort(names)
	for _, driver := range slices.Compact(names) {
		for _, class := range dra.Classes(driver) {
			if c.defines(class) {
				continue
			}
			if _, err := c.store.Create(class); err != nil {
				return fmt.Errorf("creating DeviceClass %s: %w", class.Name, err)
			}
		}
	}
	return nil
}

// defines reports whether the manifests have a DeviceClass of that name.
func (c *cluster) defines(class *resourcev1.DeviceClass) bool {
	return slices.ContainsFunc(c.parts.manifests, func(m manifest) bool {
		own, ok := m.object.(*resourcev1.DeviceClass)
		return ok && own.Name == class.Name
	})
}

// repeatable reports whether a run of the plan is known to repeat byte for byte. With claims the scheduler writes to a
// pod before it binds it; with SchedulerAsyncAPICalls it is a race between goroutines whether the binding still finds
// that write in the queue.
func repeatable(p *plan.Plan) bool {
	claims := slices.ContainsFunc(p.Pools, func(o plan.Pool) bool { return o.Driver == plan.DriverDRA }) ||
		slices.ContainsFunc(p.Manifests, func(f plan.File) bool { return bytes.Contains(f.Data, []byte("resource.k8s.io/")) })
	gates := p.Scheduler.FeatureGates
	return kubescheduler.Repeatable(gates) && !(claims && gates["SchedulerAsyncAPICalls"]) && karpenterRepeats(p)
}

var claimsResource = resourcev1.SchemeGroupVersion.WithResource("resourceclaims")

// kubeletClaims is what kubelets read of claims.
func (c *cluster) kubeletClaims() *kwok.Claims {
	if !c.hasDRA() {
		return nil
	}
	get := func(namespace, name string) *resourcev1.ResourceClaim {
		obj, err := c.store.Get(claimsResource, namespace, name)
		if err != nil {
			return nil
		}
		return obj.(*resourcev1.ResourceClaim)
	}
	return &kwok.Claims{Drivers: c.drivers.byNode, Domain: c.awaitDaemon, Get: get}
}

// claimSlots counts the GPUs and partitions that the claims of a pod of no job ask for.
func (c *cluster) claimSlots(pod *corev1.Pod) (slots int) {
	for _, claim := range pod.Spec.ResourceClaims {
		if claim.ResourceClaimTemplateName == nil {
			continue
		}
		obj, err := c.store.Get(templatesResource, pod.Namespace, *claim.ResourceClaimTemplateName)
		if err != nil {
			continue
		}
		for _, r := range obj.(*resourcev1.ResourceClaimTemplate).Spec.Spec.Devices.Requests {
			class, count := "", int64(0)
			switch {
			case r.Exactly != nil:
				class, count = r.Exactly.DeviceClassName, r.Exactly.Count
			case len(r.FirstAvailable) > 0:
				class, count = r.FirstAvailable[0].DeviceClassName, r.FirstAvailable[0].Count
			}
			if c.offersGPUs(class) {
				slots += int(count)
			}
		}
	}
	return slots
}

var (
	templatesResource = resourcev1.SchemeGroupVersion.WithResource("resourceclaimtemplates")
	classesResource   = resourcev1.SchemeGroupVersion.WithResource("deviceclasses")
)

// offersGPUs reports whether a class is of devices of one of the GPU drivers, which its expressions then name.
func (c *cluster) offersGPUs(class string) bool {
	obj, err := c.store.Get(classesResource, "", class)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(obj.(*resourcev1.DeviceClass).Spec.Selectors, func(s resourcev1.DeviceSelector) bool {
		return s.CEL != nil && slices.ContainsFunc([]string{dra.NVIDIA, dra.AMD, dra.Gaudi},
			func(driver string) bool { return strings.Contains(s.CEL.Expression, driver) })
	})
}
