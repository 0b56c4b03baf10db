package dra

import (
	"fmt"
	"slices"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
)

// firstRenderNode is the minor number of Linux' first DRM render node.
const firstRenderNode = 128

// gaudiDeviceID stands in for the PCI device ID in names of Gaudi devices; no decision depends on it.
const gaudiDeviceID = "0x1060"

// amd returns whole AMD GPUs.
func (n Node) amd() []resourcev1.Device {
	out := make([]resourcev1.Device, len(n.UUIDs))
	for i := range n.UUIDs {
		out[i] = resourcev1.Device{Name: fmt.Sprintf("gpu-%d-%d", i, firstRenderNode+i),
			Attributes: attributes{}.text("type", "amdgpu", "productName", n.Product).pci(i)}
		if n.MemoryMiB > 0 {
			out[i].Capacity = capacities{"memory": capacity(n.MemoryMiB << 20)}
		}
	}
	slices.SortFunc(out, byName)
	return out
}

// gaudi returns Gaudi accelerators.
func (n Node) gaudi() []resourcev1.Device {
	healthy := true
	out := make([]resourcev1.Device, len(n.UUIDs))
	for i := range n.UUIDs {
		a := attributes{}.text("model", n.Product, "serial", n.UUIDs[i], "resource.kubernetes.io/pcieRoot", pciRoot(i))
		a["healthy"] = resourcev1.DeviceAttribute{BoolValue: &healthy}
		out[i] = resourcev1.Device{Name: strings.NewReplacer(":", "-", ".", "-").Replace(pciBusID(i)) + "-" + gaudiDeviceID,
			Attributes: a}
	}
	return out
}

func byName(a, b resourcev1.Device) int { return strings.Compare(a.Name, b.Name) }
