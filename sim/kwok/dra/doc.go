// Package dra is the part of a node's drivers of dynamic resource allocation (DRA) that the API server and the
// scheduler see: the ResourceSlices they publish, the DeviceClasses they are installed with, and what the names of
// allocated devices mean. It is pure: it makes objects and reads names; package kwok prepares devices.
//
// # NVIDIA
//
// Driver gpu.nvidia.com, as kubernetes-sigs/dra-driver-nvidia-gpu at 095b7a1 (cmd/gpu-kubelet-plugin: driver.go,
// partitions.go, deviceinfo.go, mig.go) publishes it for API servers from 1.35 on. The pool is the node. Without
// DynamicMIG one slice holds all devices: gpu-<minor> for a GPU without partitions, and for a partitioned one
// gpu-<minor>-mig-<profile>-<GI profile ID>-<start> for each instance of its static layout. With DynamicMIG the first
// slice holds a counter set of each GPU and the others the devices of one GPU each: the whole GPU, which consumes all
// of its counters, and every placement of every profile, which consumes the profile's capacities and one counter for
// each memory slice it occupies. Devices of a slice are in the order of their names, and slices in the order of the
// GPUs; the allocator takes the first that fits, so this order decides where partitions land.
//
// On GPUs of the Ampere family MIG mode cannot be changed without a reset: the driver then offers the partitions of a
// GPU or the whole GPU, not both. Which, is a matter of how the machine was set up; here dynamic MIG on Ampere offers
// the partitions.
//
// Driver compute-domain.nvidia.com, on nodes with multi-node NVLink (label nvidia.com/gpu.clique): devices channel-0
// and daemon-0, so that a node takes one pod of compute domains at a time. ComputeDomain is its custom resource.
//
// # AMD and Intel
//
// Driver gpu.amd.com (ROCm/k8s-gpu-dra-driver, docs/driver-attributes.md at 06dbe58): whole GPUs of the type amdgpu,
// named gpu-<card>-<render node>. Driver gaudi.intel.com (intel/intel-resource-drivers-for-kubernetes,
// doc/gaudi/USAGE.md): named by the PCI address and device ID, with the attribute model. Partitions of either vendor
// are not modelled.
//
// # Assumed
//
// What no scenario says and no catalogue knows is the same on every node and has no meaning: the versions of the
// driver and of CUDA, PCI addresses (one root complex for each GPU), and the device ID of Gaudi. Not published:
// numaNode, addressingMode, VFIO devices.
package dra
