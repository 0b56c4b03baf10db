package dra

import (
	"fmt"
	"slices"

	resourcev1 "k8s.io/api/resource/v1"
)

// ComputeDomainDriver is the driver of multi-node NVLink.
const ComputeDomainDriver = "compute-domain.nvidia.com"

// Names of the devices of ComputeDomainDriver.
const (
	channelDevice = "channel-0"
	daemonDevice  = "daemon-0"
)

// channels returns the devices that let pods of a compute domain reach each other's memory.
func (n Node) channels() []resourcev1.Device {
	zero := int64(0)
	id := resourcev1.DeviceAttribute{IntValue: &zero}
	channel, daemon := attributes{"id": id}.text("type", "channel"), attributes{"id": id}.text("type", "daemon")
	return []resourcev1.Device{{Name: channelDevice, Attributes: channel}, {Name: daemonDevice, Attributes: daemon}}
}

// common are the attributes that a GPU and its partitions share.
func (n Node) common() attributes {
	brand := "Nvidia"
	if isTesla(n.Product) {
		brand = "Tesla"
	}
	return attributes{}.text("productName", n.Product, "brand", brand, "architecture", n.Architecture).
		version("cudaComputeCapability", n.ComputeCapability, "driverVersion", driverVersion,
			"cudaDriverVersion", cudaDriverVersion)
}

// isTesla reports whether NVML says that a product is of the brand Tesla, which its name then begins with.
func isTesla(product string) bool { return len(product) >= 5 && product[:5] == "Tesla" }

// whole returns GPU i.
func (n Node) whole(i int) resourcev1.Device {
	d := resourcev1.Device{Name: gpuName(i), Attributes: n.common().text("type", "gpu", "uuid", n.UUIDs[i]).pci(i)}
	if n.MemoryMiB > 0 {
		d.Capacity = capacities{"memory": capacity(n.MemoryMiB << 20)}
	}
	return d
}

func gpuName(i int) string { return fmt.Sprintf("gpu-%d", i) }

// static returns the devices of GPUs that nobody partitions at run time.
func (n Node) static() []resourcev1.Device {
	var out []resourcev1.Device
	for i := range n.UUIDs {
		if i >= len(n.Layouts) || n.Layouts[i] == nil {
			out = append(out, n.whole(i))
			continue
		}
		for _, inst := range n.Layouts[i] {
			out = append(out, n.instance(i, inst))
		}
	}
	slices.SortFunc(out, byName)
	return out
}
