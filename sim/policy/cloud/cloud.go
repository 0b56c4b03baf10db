// Package cloud is what autoscalers of nodes see of a cloud: types of machines with prices and availability, orders,
// and machines. The simulator implements it; no autoscaler knows how long a boot will take.
package cloud

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"orrery/sim/units"
)

// Offering is one way to have an instance type.
type Offering struct {
	Zone         string
	CapacityType string  // on-demand, spot or reserved
	Price        float64 // USD per hour of the whole machine
	Available    bool    // now
	// Pool is the run's pool that such machines belong to.
	Pool string
}

// InstanceType is a type of machine.
type InstanceType struct {
	Name      string // value of node.kubernetes.io/instance-type
	Arch      string // value of kubernetes.io/arch
	CPUMilli  int64
	MemoryMiB int64
	MaxPods   int64
	// Devices are the extended resources of a machine whose devices are ready, e.g. nvidia.com/gpu: 8.
	Devices   map[string]int64
	Labels    map[string]string // of its nodes, beside zone and capacity type
	Offerings []Offering        // in a fixed order
}

// Order asks for a machine.
type Order struct {
	Node         string // name of the node that it will be
	InstanceType string
	CapacityType string
	Zone         string // "" = any that has it
	Pool         string // of the run, where it must be a certain one of several that have such machines
	Labels       map[string]string
	Annotations  map[string]string
	Taints       []corev1.Taint // of the node when it registers
	By           string         // Kind/name of who wants it, for the journal
	Reason       string
}

// States of a machine.
const (
	Pending     = "pending"     // ordered; it has no node yet
	Running     = "running"     // its node has registered
	Terminating = "terminating" // it will be gone
)

// Machine is a machine of the cloud.
type Machine struct {
	ID           string // provider ID of its node
	Node         string
	InstanceType string
	CapacityType string
	Zone         string
	Pool         string
	State        string
	Ordered      units.Time
}

// NoCapacity is the error of an order that the cloud cannot fill.
type NoCapacity struct{ InstanceType, CapacityType, Zone string }

// Error implements error in the words of cloud APIs.
func (e *NoCapacity) Error() string {
	return fmt.Sprintf("InsufficientInstanceCapacity: no %s capacity for %s in %s", e.CapacityType, e.InstanceType, e.Zone)
}

// Cloud is the cloud. Its methods belong to the driver goroutine: controllers call them through the gate.
type Cloud interface {
	// Types lists the instance types on offer, in a fixed order.
	Types() []InstanceType
	// Order asks for a machine; it exists at once, and its node registers later. The error may be a *NoCapacity.
	Order(Order) (Machine, error)
	// Terminate ends a machine: its node goes, with the pods that are left. An unknown ID is an error.
	Terminate(id, reason string) error
	// Machines lists those that are not gone, in the order of their orders.
	Machines() []Machine
}
