package karpenter

import (
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/scheduling"

	"orrery/sim/plan"
	"orrery/sim/policy/cloud"
	"orrery/sim/units"
)

// discovered are the domains of labels that feature discovery gives a node once its driver runs. Karpenter cannot know
// them before, and refuses pods that select by them unless a NodePool's template promises them, as in real clusters.
var discovered = []string{"nvidia.com/", "amd.com/", "beta.amd.com/", "habana.ai/"}

// poolLabel is that of the run's pools, which machines of one type can be in different ones of.
const poolLabel = "orrery.dev/pool"

// reservationLabel tells reservations apart, as karpenter-provider-aws does with its own label.
const reservationLabel = "orrery.dev/capacity-reservation"

// reservedMachines is how many machines a reservation is believed to have: the cloud does not say, and refuses when it
// has none.
const reservedMachines = 1 << 20

// declareLabels makes the labels of a cloud's machines well-known to Karpenter, as providers do with theirs.
func declareLabels(types []cloud.InstanceType) {
	for _, t := range types {
		for key := range t.Labels {
			if knows(key) {
				v1.WellKnownLabels.Insert(key)
			}
		}
	}
	cloudprovider.ReservationIDLabel = reservationLabel
	cloudprovider.ReservedCapacityLabels.Insert(reservationLabel)
	v1.WellKnownLabels.Insert(reservationLabel)
}

// knows reports whether a provider knows a label of machines that do not exist yet.
func knows(key string) bool {
	found := func(domain string) bool { return strings.HasPrefix(key, domain) }
	return !slices.ContainsFunc(discovered, found) && key != poolLabel &&
		!v1.RestrictedLabels.Has(key) && key != corev1.LabelHostname
}

// instanceType is a type of machine as Karpenter's scheduler sees it. off says which offerings are not to be tried.
func instanceType(t cloud.InstanceType, off func(o cloud.Offering) bool) *cloudprovider.InstanceType {
	out := &cloudprovider.InstanceType{Name: t.Name, Capacity: capacity(t),
		Overhead: &cloudprovider.InstanceTypeOverhead{}}
	var zones, kinds []string
	for _, o := range t.Offerings {
		if !slices.Contains(zones, o.Zone) {
			zones = append(zones, o.Zone)
		}
		if !slices.Contains(kinds, o.CapacityType) {
			kinds = append(kinds, o.CapacityType)
		}
		out.Offerings = append(out.Offerings, offering(o, !off(o)))
	}
	in := func(key string, values ...string) *scheduling.Requirement {
		return scheduling.NewRequirement(key, corev1.NodeSelectorOpIn, values...)
	}
	out.Requirements = scheduling.NewRequirements(in(corev1.LabelInstanceTypeStable, t.Name),
		in(corev1.LabelArchStable, t.Arch), in(corev1.LabelOSStable, "linux"), in(corev1.LabelTopologyZone, zones...),
		in(v1.CapacityTypeLabelKey, kinds...),
		scheduling.NewRequirement(corev1.LabelWindowsBuild, corev1.NodeSelectorOpDoesNotExist))
	for _, key := range slices.Sorted(maps.Keys(t.Labels)) {
		if knows(key) && !out.Requirements.Has(key) {
			out.Requirements.Add(in(key, t.Labels[key]))
		}
	}
	return out
}

// capacity is what a machine has for pods. Pools say what is left for pods, so that nothing is taken off for the
// system.
func capacity(t cloud.InstanceType) corev1.ResourceList {
	out := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(t.CPUMilli, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(t.MemoryMiB<<20, resource.BinarySI),
		corev1.ResourcePods:   *resource.NewQuantity(t.MaxPods, resource.DecimalSI),
	}
	for name, n := range t.Devices {
		out[corev1.ResourceName(name)] = *resource.NewQuantity(n, resource.DecimalSI)
	}
	return out
}

// offering is a way to have a machine as Karpenter's scheduler sees it.
func offering(o cloud.Offering, available bool) *cloudprovider.Offering {
	labels := map[string]string{v1.CapacityTypeLabelKey: o.CapacityType, corev1.LabelTopologyZone: o.Zone}
	out := &cloudprovider.Offering{Price: o.Price, Available: available}
	if o.CapacityType == plan.CapacityReserved {
		labels[reservationLabel] = o.Pool
		out.ReservationCapacity = reservedMachines
	}
	out.Requirements = scheduling.NewLabelRequirements(labels)
	if o.CapacityType != plan.CapacityReserved {
		out.Requirements.Add(scheduling.NewRequirement(reservationLabel, corev1.NodeSelectorOpDoesNotExist))
	}
	return out
}

// catalog is what the provider knows of the cloud's offer.
type catalog struct {
	types []cloud.InstanceType
	known []*cloudprovider.InstanceType // nil = to be made again
	off   map[market]units.Time         // offerings that were out of stock, until then
	next  units.Time                    // when the first of them is tried again
}

// market is what an offering is told apart by.
type market struct{ instanceType, zone, capacityType string }

// ice is how long an offering that was out of stock is not tried again: UnavailableOfferingsTTL of
// karpenter-provider-aws (pkg/cache/cache.go, v1.14.1).
const ice = 3 * time.Minute

// list returns the instance types as they are known now, and whether that is not as before.
func (c *catalog) list(now units.Time) (types []*cloudprovider.InstanceType, again bool) {
	if c.known != nil && (len(c.off) == 0 || now < c.next) {
		return c.known, false
	}
	c.next = 0
	for m, until := range c.off {
		if until <= now {
			delete(c.off, m)
		} else if c.next == 0 || until < c.next {
			c.next = until
		}
	}
	c.known = nil
	for _, t := range c.types {
		c.known = append(c.known, instanceType(t, func(o cloud.Offering) bool {
			_, off := c.off[market{t.Name, o.Zone, o.CapacityType}]
			return off
		}))
	}
	return c.known, true
}

// unavailable notes that an offering is out of stock.
func (c *catalog) unavailable(m market, now units.Time) {
	c.off[m] = now.Add(ice)
	c.known = nil
}
