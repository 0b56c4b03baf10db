package sim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"

	"orrery/sim/fleet"
	"orrery/sim/journal"
	"orrery/sim/kwok"
	"orrery/sim/plan"
)

// lostNode is the reason of pods that are lost with their node.
const lostNode = "node"

// Nodes returns the Node objects of a plan, ready for a KWOK cluster, in the plan's order.
func Nodes(p *plan.Plan) []*corev1.Node {
	out := make([]*corev1.Node, 0, len(p.Nodes))
	for _, n := range p.Nodes {
		out = append(out, nodeObject(n, &p.Pools[n.Pool]))
	}
	return out
}

// ExportNodes returns the plan's nodes as YAML documents that `kubectl apply` to a KWOK cluster takes.
func ExportNodes(p *plan.Plan) ([]byte, error) { return kwok.ExportYAML(Nodes(p)) }

// nodeObject is the Node of a machine of a pool whose devices are ready.
func nodeObject(n plan.Node, pool *plan.Pool) *corev1.Node {
	params := kwok.NodeParams{Name: n.Name, Pool: pool.Name, GPUModel: pool.GPUModel, GPUs: pool.GPUsPerNode,
		Resource: pool.Resource, Replicas: pool.SlotsPerGPU, CPUMilli: pool.CPUMilli, MemoryMiB: pool.MemoryMiB,
		MemoryMiBPerGPU: pool.MemoryMiBPerGPU, MaxPods: pool.MaxPods, Labels: nodeLabels(*pool, n)}
	if pool.Slots != nil {
		params.Devices, params.MemoryMiBPerGPU = pool.Offers(), 0 // the labels say what an instance has
	}
	for _, t := range pool.Taints {
		params.Taints = append(params.Taints, corev1.Taint{Key: t.Key, Value: t.Value, Effect: corev1.TaintEffect(t.Effect)})
	}
	if pool.Driver == plan.DriverDRA {
		params.GPUs, params.Devices = 0, nil // the status of the node does not know them
	}
	return kwok.BuildNode(params)
}

// buildNodes creates the nodes that are there from the beginning.
func (c *cluster) buildNodes() error {
	c.pools = map[string]*plan.Pool{}
	c.cloud = newClouds(c)
	for _, n := range c.plan.Nodes {
		pool := &c.plan.Pools[n.Pool]
		obj := nodeObject(n, pool)
		c.cloud.adopt(obj, pool)
		if err := c.joinNode(n.Name, pool, obj); err != nil {
			return err
		}
		if err := c.publish(n, pool); err != nil {
			return err
		}
		c.record(c.nodeRecord(n, pool, journal.NodeUp))
		if pool.Slots != nil {
			own, _ := c.fleet.Node(n.Name)
			c.record(partition(own))
		}
	}
	return nil
}

// joinNode takes a machine into the fleet and creates its Node.
func (c *cluster) joinNode(name string, pool *plan.Pool, obj *corev1.Node) error {
	resource := pool.Resource
	if pool.Driver == plan.DriverDRA {
		resource = "" // only claims give its devices
	}
	n, err := fleet.MakeNode(fleet.MakeNodeParams{Name: name, Pool: pool.Name, Model: pool.GPUModel, Resource: resource,
		GPUs: pool.GPUsPerNode, Replicas: pool.SlotsPerGPU, Slots: fleetSlots(pool.Slots), Most: pool.Most})
	if err != nil {
		return err
	}
	if err := c.fleet.Add(n); err != nil {
		return err
	}
	c.pools[name] = pool
	if _, err := c.store.Create(obj); err != nil {
		return fmt.Errorf("creating node %s: %w", name, err)
	}
	return nil
}

// joinBare is joinNode for a machine whose kubelet has joined before its GPU driver: the Node says nothing of GPUs, and
// none is given out.
func (c *cluster) joinBare(name string, pool *plan.Pool, whole *corev1.Node) error {
	bare := whole.DeepCopy()
	for key := range whole.Labels {
		if byDriver(key) {
			delete(bare.Labels, key)
		}
	}
	for r := range pool.Offers() {
		delete(bare.Status.Capacity, corev1.ResourceName(r))
		delete(bare.Status.Allocatable, corev1.ResourceName(r))
	}
	if err := c.joinNode(name, pool, bare); err != nil {
		return err
	}
	return c.fleet.SetDown(name, true)
}

// byDriver reports whether a node label is set by what is installed with a GPU driver: feature discovery, an operator.
func byDriver(key string) bool {
	return slices.ContainsFunc([]string{"nvidia.com/", "amd.com/", "beta.amd.com/", "habana.ai/"},
		func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// equip makes the devices of a bare node allocatable: labels by feature discovery, then the device plugin's resources,
// or the driver's resource slices.
func (c *cluster) equip(n plan.Node, pool *plan.Pool, whole *corev1.Node) error {
	if err := c.fleet.SetDown(n.Name, false); err != nil {
		return err
	}
	obj, err := c.store.Get(nodesResource, "", n.Name)
	if apierrors.IsNotFound(err) {
		return nil // somebody has deleted it; the machine is still paid for
	}
	if err != nil {
		return err
	}
	node := obj.(*corev1.Node).DeepCopy()
	for key, value := range whole.Labels {
		if _, set := node.Labels[key]; byDriver(key) && !set {
			node.Labels[key] = value
		}
	}
	if obj, err = c.store.Update(node, ""); err != nil {
		return err
	}
	if pool.Driver == plan.DriverDRA {
		return c.publish(n, pool)
	}
	node = obj.(*corev1.Node).DeepCopy()
	for r, count := range c.fleet.Offers(n.Name) {
		q := *resource.NewQuantity(int64(count), resource.DecimalSI)
		node.Status.Capacity[corev1.ResourceName(r)], node.Status.Allocatable[corev1.ResourceName(r)] = q, q
	}
	_, err = c.store.Update(node, "status")
	return err
}

// removeNode takes a node out of the cluster whose machine is no more. Its pods are gone with it: the API learns of
// their end at once, which in a real cluster takes the garbage collector of pods a minute or two. An object that
// finalizers hold stays, closed to the scheduler.
func (c *cluster) removeNode(name string) error {
	if c.pools[name] == nil {
		return fmt.Errorf("removing node %s: there is none", name)
	}
	c.closeNode(name)
	pods, err := c.store.List(podsResource, "", nil, fields.OneTermEqualSelector("spec.nodeName", name))
	if err != nil {
		return err
	}
	slices.SortFunc(pods, func(a, b runtime.Object) int {
		return cmp.Compare(podKey(a.(*corev1.Pod)), podKey(b.(*corev1.Pod)))
	})
	for _, obj := range pods {
		if err := c.collect(obj.(*corev1.Pod)); err != nil {
			return err
		}
	}
	delete(c.pools, name)
	c.starts.forget(name)
	if err := c.fleet.Remove(name); err != nil {
		return err
	}
	if err := c.unpublish(name); err != nil {
		return err
	}
	if err := c.store.Delete(nodesResource, "", name, &metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
		return err
	}
	return nil
}

// collect deletes a pod whose node is no more, as the garbage collector of pods does: at once.
func (c *cluster) collect(pod *corev1.Pod) error {
	if c.deleting[podKey(pod)] == "" {
		c.deleting[podKey(pod)] = lostNode
	}
	err := c.store.Delete(podsResource, pod.Namespace, pod.Name, metav1.NewDeleteOptions(0))
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// orphaned reports whether a pod is bound to a node that went away while the binding was under way.
func (c *cluster) orphaned(pod *corev1.Pod) bool {
	return pod.Spec.NodeName != "" && c.pools[pod.Spec.NodeName] == nil
}

// closeNode keeps the scheduler from a node.
func (c *cluster) closeNode(name string) {
	obj, err := c.store.Get(nodesResource, "", name)
	if err != nil || obj.(*corev1.Node).Spec.Unschedulable {
		return
	}
	node := obj.(*corev1.Node).DeepCopy()
	node.Spec.Unschedulable = true
	if _, err := c.store.Update(node, ""); err != nil {
		c.upstream.add("node-gone", fmt.Sprintf("closing node %s: %v", name, err))
	}
}

// unpublish deletes the resource slices of a node that is no more.
func (c *cluster) unpublish(name string) error {
	if c.drivers.byNode[name] == nil {
		return nil
	}
	delete(c.drivers.byNode, name)
	list, err := c.store.List(slicesResource, "", nil, fields.OneTermEqualSelector("spec.nodeName", name))
	if err != nil {
		return err
	}
	var errs []error
	for _, obj := range list {
		s := obj.(*resourcev1.ResourceSlice)
		if err := c.store.Delete(slicesResource, "", s.Name, &metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

var slicesResource = resourcev1.SchemeGroupVersion.WithResource("resourceslices")

// nodeRecord is the journal's record of a node's state.
func (c *cluster) nodeRecord(n plan.Node, pool *plan.Pool, state string) journal.Node {
	return journal.Node{Node: n.Name, Pool: pool.Name, State: state, GPUs: pool.GPUsPerNode, Domains: n.Domains}
}
