package karpenter

import (
	"fmt"
	"io"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"

	"orrery/sim/engine"
	"orrery/sim/plan"
	"orrery/sim/policy/cloud"
	"orrery/sim/units"
)

// unstructuredJSON writes objects as JSON.
type unstructuredJSON struct{}

func (unstructuredJSON) Encode(obj runtime.Object, w io.Writer) error {
	text, err := json.Marshal(obj)
	if err == nil {
		_, err = w.Write(text)
	}
	return err
}
func (unstructuredJSON) Identifier() runtime.Identifier { return "test" }

// fakeCloud is a cloud.
type fakeCloud struct {
	w        *world
	types    []cloud.InstanceType
	machines []cloud.Machine
	boot     units.Duration
	serial   int
	out      map[market]bool
}

// gpuType is a type of machine with GPUs in two zones, spot at two fifths of the price if it is to be had.
func gpuType(name string, gpus int64, price float64, kinds ...string) cloud.InstanceType {
	t := cloud.InstanceType{Name: name, Arch: "amd64", CPUMilli: gpus * 12000, MemoryMiB: gpus * 128 << 10, MaxPods: 110,
		Devices: map[string]int64{"nvidia.com/gpu": gpus}, Labels: map[string]string{"example.com/gpu": "h100",
			"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "orrery.dev/pool": name}}
	for _, kind := range kinds {
		for i, zone := range []string{"z1", "z2"} {
			p := price * (1 + 0.125*float64(i))
			if kind == plan.CapacitySpot {
				p *= 0.375
			}
			t.Offerings = append(t.Offerings, cloud.Offering{Zone: zone, CapacityType: kind, Price: p, Available: true,
				Pool: name + "-" + kind})
		}
	}
	return t
}

// h100s are three sizes of machine.
func h100s(kinds ...string) []cloud.InstanceType {
	return []cloud.InstanceType{gpuType("h100.1x", 1, 4, kinds...), gpuType("h100.4x", 4, 15, kinds...),
		gpuType("h100.8x", 8, 28, kinds...)}
}

func (c *fakeCloud) Types() []cloud.InstanceType { return c.types }

func (c *fakeCloud) Order(o cloud.Order) (cloud.Machine, error) {
	if c.out[market{o.InstanceType, o.Zone, o.CapacityType}] {
		return cloud.Machine{}, &cloud.NoCapacity{InstanceType: o.InstanceType, CapacityType: o.CapacityType, Zone: o.Zone}
	}
	i := slices.IndexFunc(c.types, func(t cloud.InstanceType) bool { return t.Name == o.InstanceType })
	if i < 0 {
		return cloud.Machine{}, fmt.Errorf("no type %s", o.InstanceType)
	}
	c.serial++
	m := cloud.Machine{ID: fmt.Sprintf("sim:///%d", c.serial), Node: o.Node, InstanceType: o.InstanceType,
		CapacityType: o.CapacityType, Zone: o.Zone, State: cloud.Pending, Ordered: c.w.e.Now()}
	c.machines = append(c.machines, m)
	c.w.note("cloud: %s is a %s %s in %s, for %s", o.Node, o.CapacityType, o.InstanceType, o.Zone, o.By)
	c.w.e.After(c.boot, engine.PhaseArrive, "boot "+o.Node, func() { c.join(m.ID, o, c.types[i]) })
	return m, nil
}

func (c *fakeCloud) find(id string) *cloud.Machine {
	for i := range c.machines {
		if c.machines[i].ID == id {
			return &c.machines[i]
		}
	}
	return nil
}

// join makes the node of a machine; its GPUs come a minute later.
func (c *fakeCloud) join(id string, o cloud.Order, t cloud.InstanceType) {
	m := c.find(id)
	if m == nil || m.State != cloud.Pending {
		return
	}
	m.State = cloud.Running
	bare := t
	bare.Devices = nil
	labels := map[string]string{corev1.LabelHostname: o.Node}
	for k, v := range o.Labels {
		labels[k] = v
	}
	status := corev1.NodeStatus{Capacity: capacity(bare), Allocatable: capacity(bare), Conditions: []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(c.w.e.Clock())}}}
	obj, err := c.w.s.Create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: o.Node, Labels: labels},
		Spec: corev1.NodeSpec{ProviderID: id, Taints: o.Taints}})
	if err != nil {
		c.w.t.Error(err)
		return
	}
	c.setStatus(obj, status)
	c.w.e.After(time.Minute, engine.PhaseStart, "gpus", func() {
		obj, err := c.w.s.Get(nodesGVR, "", o.Node)
		if err != nil {
			return
		}
		status := obj.(*corev1.Node).Status
		status.Capacity, status.Allocatable = capacity(t), capacity(t)
		c.setStatus(obj, status)
	})
}

func (c *fakeCloud) setStatus(obj runtime.Object, s corev1.NodeStatus) {
	n := obj.(*corev1.Node).DeepCopy()
	n.Status = s
	if _, err := c.w.s.Update(n, "status"); err != nil {
		c.w.t.Error(err)
	}
}

func (c *fakeCloud) Terminate(id, reason string) error {
	m := c.find(id)
	if m == nil {
		return fmt.Errorf("no machine %s", id)
	}
	c.w.note("cloud: %s is terminated: %s", m.Node, reason)
	m.State = cloud.Terminating
	node := m.Node
	c.w.e.After(40*time.Second, engine.PhaseRelease, "terminated", func() {
		c.machines = slices.DeleteFunc(c.machines, func(m cloud.Machine) bool { return m.ID == id })
		for _, p := range c.w.list("") {
			if p.Spec.NodeName == node {
				_ = c.w.s.Delete(podsGVR, p.Namespace, p.Name, metav1.NewDeleteOptions(0))
			}
		}
	})
	return nil
}

func (c *fakeCloud) Machines() []cloud.Machine { return slices.Clone(c.machines) }
