package plan

import "orrery/sim/units"

// Drivers of a pool: who offers its GPUs to the scheduler.
const (
	DriverDevicePlugin = "device-plugin" // extended resources in the node's status
	DriverDRA          = "dra"           // ResourceSlices of dynamic resource allocation
)

// DRA is how a pool's driver of dynamic resource allocation offers GPUs and prepares them.
type DRA struct {
	// Device is the driver's name, which is also that of its DeviceClass of whole GPUs, e.g. gpu.nvidia.com.
	Device string
	// Product, Architecture and ComputeCapability are attributes of the pool's GPUs as the driver publishes them; "" =
	// it does not.
	Product, Architecture, ComputeCapability string
	// DynamicMIG offers every GPU with MIG both whole and in each of its partitions, which are made for the pod that
	// gets them and unmade after it. Otherwise partitions are those of the pool's layout, or there are none.
	DynamicMIG bool
	// Prepare is how long the kubelet's driver takes to prepare a pod's devices before its containers start.
	Prepare Spread
	// CreateMIG is added for each partition that has to be made.
	CreateMIG Spread
	// Daemon is how long the daemon of a compute domain takes on a node until pods of the domain may start there.
	Daemon Spread
}

// Spread is a span drawn from a triangular distribution.
type Spread struct{ Low, Mode, High units.Duration }

// Claim is what a pod asks for by a resource claim of its own: the devices of the first of Any that can be had.
type Claim struct {
	Name string          // of the claim within the pod; a DNS-1123 label
	Any  []DeviceRequest // in order of preference; at least one
}

// DeviceRequest asks for devices of one class.
type DeviceRequest struct {
	Name      string   // within the claim; a DNS-1123 label
	Class     string   // DeviceClass
	Selectors []string // CEL expressions, of which all must hold
	Count     int      // devices, ≥ 1
	// Device, Model and MIG say of which driver, catalogue key ("" = any) and MIG profile ("" = whole GPUs) the devices
	// are that class and selectors admit.
	Device, Model, MIG string
	// GPUs is the physical capacity that the devices stand for.
	GPUs units.MilliGPU
}

// DeviceCount returns the number of devices: slots, and those that the first alternative of every claim asks for.
func (p Pod) DeviceCount() int {
	n := p.Slots
	for _, c := range p.Claims {
		n += c.Any[0].Count
	}
	return n
}
