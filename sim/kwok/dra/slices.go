package dra

import (
	"fmt"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"orrery/sim/mig"
)

// Drivers and their DeviceClasses of whole GPUs, which have the same names.
const (
	NVIDIA = "gpu.nvidia.com"
	AMD    = "gpu.amd.com"
	Gaudi  = "gaudi.intel.com"
)

// Node describes the GPUs of a node to its driver. All are alike.
type Node struct {
	Name   string
	Driver string   // NVIDIA, AMD or Gaudi
	UUIDs  []string // of each GPU, by minor number
	// Product, Architecture and ComputeCapability are attributes; "" = not published.
	Product, Architecture, ComputeCapability string
	MemoryMiB                                int64 // 0 = not known
	// MIG is the geometry of GPUs that can be partitioned; nil for others.
	MIG *mig.Geometry
	// Dynamic offers every GPU whole and in every partition.
	Dynamic bool
	// Layouts are the instances of each GPU without Dynamic, by minor number; nil = whole, empty = a GPU in MIG mode
	// that has none.
	Layouts [][]mig.Instance
	// Clique names the NVLink domain of several nodes that the node belongs to; "" = none.
	Clique string
}

// Versions that NVIDIA's driver publishes. No decision depends on them: assumptions.
const (
	driverVersion     = "580.65.6"
	cudaDriverVersion = "13.0.0"
)

// Slices returns what the node's drivers publish, in the order of their names.
func Slices(n Node) []*resourcev1.ResourceSlice {
	if len(n.UUIDs) == 0 {
		return nil
	}
	var specs []resourcev1.ResourceSliceSpec
	switch {
	case n.Driver == NVIDIA && n.Dynamic && n.MIG != nil:
		specs = n.dynamic()
	case n.Driver == NVIDIA:
		specs = chunk(n.static())
	case n.Driver == AMD:
		specs = chunk(n.amd())
	case n.Driver == Gaudi:
		specs = chunk(n.gaudi())
	}
	out := n.publish(n.Driver, specs)
	if n.Clique != "" {
		out = append(out, n.publish(ComputeDomainDriver, chunk(n.channels()))...)
	}
	return out
}

// chunk puts devices into as few slices as the API allows.
func chunk(devices []resourcev1.Device) (out []resourcev1.ResourceSliceSpec) {
	for len(devices) > 0 {
		k := min(len(devices), resourcev1.ResourceSliceMaxDevices)
		out = append(out, resourcev1.ResourceSliceSpec{Devices: devices[:k]})
		devices = devices[k:]
	}
	return out
}

// publish makes the slices of a pool. Upstream's library has the API server generate the end of their names; here it is
// a number, so that the allocator, which goes by names, sees the slices in the order in which the driver gave them.
func (n Node) publish(driver string, specs []resourcev1.ResourceSliceSpec) []*resourcev1.ResourceSlice {
	out := make([]*resourcev1.ResourceSlice, len(specs))
	for i, spec := range specs {
		spec.Driver, spec.NodeName = driver, &n.Name
		spec.Pool = resourcev1.ResourcePool{Name: n.Name, Generation: 1, ResourceSliceCount: int64(len(specs))}
		out[i] = &resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%s-%05d", n.Name, driver, i)},
			Spec: spec}
	}
	return out
}

// attributes and capacities under construction.
type (
	attributes map[resourcev1.QualifiedName]resourcev1.DeviceAttribute
	capacities map[resourcev1.QualifiedName]resourcev1.DeviceCapacity
)

// text adds string attributes, given as pairs of name and value, without the empty ones.
func (a attributes) text(pairs ...string) attributes {
	for i := 0; i < len(pairs); i += 2 {
		if v := pairs[i+1]; v != "" {
			a[resourcev1.QualifiedName(pairs[i])] = resourcev1.DeviceAttribute{StringValue: &v}
		}
	}
	return a
}

// version adds version attributes as text does strings.
func (a attributes) version(pairs ...string) attributes {
	for i := 0; i < len(pairs); i += 2 {
		if v := pairs[i+1]; v != "" {
			a[resourcev1.QualifiedName(pairs[i])] = resourcev1.DeviceAttribute{VersionValue: &v}
		}
	}
	return a
}

func capacity(n int64) resourcev1.DeviceCapacity {
	return resourcev1.DeviceCapacity{Value: *resource.NewQuantity(n, resource.BinarySI)}
}

// pci adds the standard attributes of a PCI device: every GPU has a root complex of its own, an assumption that
// decides something only for claims that ask for GPUs under one root.
func (a attributes) pci(gpu int) attributes {
	return a.text("resource.kubernetes.io/pciBusID", pciBusID(gpu), "resource.kubernetes.io/pcieRoot", pciRoot(gpu))
}

func pciBusID(gpu int) string { return fmt.Sprintf("%04x:%02x:00.0", 0, 0x10+gpu) }
func pciRoot(gpu int) string  { return fmt.Sprintf("pci%04x:%02x", 0, 0x0f+gpu) }
