package clusterautoscaler

import (
	"math"

	corev1 "k8s.io/api/core/v1"
)

// Expanders.
const (
	ExpanderRandom     = "random"
	ExpanderMostPods   = "most-pods"
	ExpanderLeastWaste = "least-waste"
	ExpanderPrice      = "price"
	ExpanderPriority   = "priority"
)

// best picks one of the offers by the expander, equal ones at random; nil without offers.
func (a *Autoscaler) best(options []option) *option {
	if len(options) == 0 {
		return nil
	}
	score := func(option) float64 { return 0 } // lower is better
	switch a.p.Flags.Expander {
	case ExpanderMostPods:
		score = func(o option) float64 { return -float64(len(o.pods)) }
	case ExpanderLeastWaste, "":
		score = waste
	case ExpanderPrice:
		score = func(o option) float64 { return float64(o.group.Price*float64(o.count)) / float64(len(o.pods)) }
	case ExpanderPriority:
		score = func(o option) float64 {
			if x, ok := a.p.Flags.Priorities[o.group.Name]; ok {
				return -float64(x)
			}
			return math.Inf(1)
		}
	}
	var least []int
	for i, o := range options {
		switch {
		case len(least) == 0 || score(o) < score(options[least[0]]):
			least = []int{i}
		case score(o) == score(options[least[0]]):
			least = append(least, i)
		}
	}
	if len(least) == 1 {
		return &options[least[0]]
	}
	return &options[least[a.random.IntN(len(least))]]
}

// waste is the part of an offer's CPU plus the part of its memory that its pods do not ask for.
func waste(o option) float64 {
	return wasted(o, corev1.ResourceCPU) + wasted(o, corev1.ResourceMemory)
}

func wasted(o option, r corev1.ResourceName) float64 {
	have := amount(o.group.Template.Status.Capacity[r], r) * int64(o.count)
	return part(have-requests(o.pods, r), have)
}
