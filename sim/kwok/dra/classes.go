package dra

import (
	"fmt"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DeviceClasses beside those of whole GPUs.
const (
	ClassMIG     = "mig.nvidia.com"
	ClassDaemon  = "compute-domain-daemon.nvidia.com"
	ClassChannel = "compute-domain-default-channel.nvidia.com"
)

// extendedResources are the extended resources that the drivers' charts let their class of whole GPUs stand for. The
// charts of AMD and Intel name none; these are those of the vendors' device plugins, so that jobs need not know which
// driver a pool has: an assumption.
var extendedResources = map[string]string{NVIDIA: "nvidia.com/gpu", AMD: "amd.com/gpu", Gaudi: "habana.ai/gaudi"}

// Classes returns the DeviceClasses that the installation of a driver creates, by name.
//
// Source: the charts of kubernetes-sigs/dra-driver-nvidia-gpu at 095b7a1 (gpu.nvidia.com, mig.nvidia.com and the two of
// compute domains), ROCm/k8s-gpu-dra-driver (gpu.amd.com), intel/intel-resource-drivers-for-kubernetes
// (gaudi.intel.com).
func Classes(driver string) []*resourcev1.DeviceClass {
	typed := func(name, driver, condition string) *resourcev1.DeviceClass {
		expression := fmt.Sprintf("device.driver == '%s'", driver)
		if condition != "" {
			expression += fmt.Sprintf(" && device.attributes['%s'].%s", driver, condition)
		}
		return &resourcev1.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: resourcev1.DeviceClassSpec{Selectors: []resourcev1.DeviceSelector{
				{CEL: &resourcev1.CELDeviceSelector{Expression: expression}}}}}
	}
	var out []*resourcev1.DeviceClass
	switch driver {
	case NVIDIA:
		out = []*resourcev1.DeviceClass{typed(NVIDIA, NVIDIA, "type == 'gpu'"), typed(ClassMIG, NVIDIA, "type == 'mig'")}
	case AMD:
		out = []*resourcev1.DeviceClass{typed(AMD, AMD, "type == 'amdgpu'")}
	case Gaudi:
		out = []*resourcev1.DeviceClass{typed(Gaudi, Gaudi, "")}
	case ComputeDomainDriver:
		return []*resourcev1.DeviceClass{typed(ClassDaemon, driver, "type == 'daemon'"),
			typed(ClassChannel, driver, fmt.Sprintf("type == 'channel' && device.attributes['%s'].id == 0", driver))}
	}
	if len(out) > 0 {
		resource := extendedResources[driver]
		out[0].Spec.ExtendedResourceName = &resource
	}
	return out
}
