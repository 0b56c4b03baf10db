package plan

import (
	"slices"

	"orrery/sim/units"
)

// More sharing strategies of a pool, beside SharingNone and SharingTimeSlicing.
const (
	SharingMPS = "mps"
	SharingMIG = "mig"
)

// Slot is one allocatable unit of a GPU that is divided into MIG instances.
type Slot struct {
	Resource string // extended resource it is offered as
	Replica  int    // of the instance, by time-slicing; 0 when it is not replicated
	Share    units.MilliGPU
	// Profile is the MIG profile. The instance occupies the memory slices Start … Start+Slices-1.
	Profile       string
	Start, Slices int
}

// Repartition is a new division of the GPUs of some of a pool's nodes, by the GPU operator's MIG manager.
type Repartition struct {
	At     units.Time
	Config string // value of the node label nvidia.com/mig.config
	Nodes  []int  // indices into Plan.Nodes, ascending, all of one pool
	// Slots is the division of every GPU of such a node, by index. A GPU without an entry is whole.
	Slots map[int][]Slot
	// Labels of the nodes afterwards, in place of those the GPU's feature discovery has set.
	Labels map[string]string
	// Drain cordons a node, evicts its pods and waits until they are gone. Otherwise a GPU in use makes the node fail:
	// its division stays.
	Drain bool
	// Apply is how long the GPUs are out of service while the division changes, a reboot included.
	Apply units.Duration
}

// Offers counts the slots of each extended resource that a node of the pool offers at first.
func (p *Pool) Offers() map[string]int { return p.OffersWith(p.Slots) }

// OffersWith is Offers with another division of the GPUs.
func (p *Pool) OffersWith(slots map[int][]Slot) map[string]int {
	out := map[string]int{}
	for g := range p.GPUsPerNode {
		list, divided := slots[g]
		if !divided {
			out[p.Resource] += max(p.SlotsPerGPU, 1)
		}
		for _, s := range list {
			out[s.Resource]++
		}
	}
	return out
}

// Asks returns what one unit of an extended resource stands for in the pool: the GPU capacity, rounded up, and the MIG
// profile, "" for none. ok is false when the pool does not offer it.
func (p *Pool) Asks(resource string) (share units.MilliGPU, profile string, ok bool) {
	per := units.MilliGPU(max(p.SlotsPerGPU, 1))
	for g := range p.GPUsPerNode {
		list, divided := p.Slots[g]
		if !divided && resource == p.Resource {
			return (units.GPU + per - 1) / per, "", true
		}
		for _, s := range list {
			if s.Resource == resource && s.Share >= share {
				share, profile, ok = s.Share, s.Profile, true // of instances that differ by rounding the largest
			}
		}
		if ok {
			return share, profile, true
		}
	}
	return 0, "", false
}

// Divided returns the indices of the GPUs that are divided into MIG instances, ascending.
func (p *Pool) Divided() []int {
	var out []int
	for g := range p.Slots {
		out = append(out, g)
	}
	slices.Sort(out)
	return out
}
