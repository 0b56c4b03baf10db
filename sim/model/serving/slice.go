package serving

import (
	"fmt"
	"strings"

	"orrery/sim/mig"
	"orrery/sim/plan"
)

// Slice returns the MIG instance of a profile as a device of its own: the profile's memory, its share of the memory's
// bandwidth by memory slices, its share of arithmetic by multiprocessors, or by compute slices where their number is
// not known (NVIDIA, MIG user guide, driver 580: memory, bandwidth and multiprocessors are a GPU instance's own).
// It has no links to other instances. The error says what the GPU has.
func Slice(acc plan.Accelerator, profile string) (plan.Accelerator, error) {
	g, ok := mig.Lookup(acc.GPU)
	if !ok {
		return acc, fmt.Errorf("%s cannot be divided with MIG; these can: %s", acc.GPU, strings.Join(mig.GPUs(), ", "))
	}
	p, ok := g.Profile(profile)
	if !ok {
		return acc, fmt.Errorf("%s has no MIG profile %s; it has %s", acc.GPU, profile, strings.Join(g.Names(), ", "))
	}
	whole := g.Whole()
	compute := float64(p.Compute) / float64(whole.Compute)
	if p.SMs > 0 && whole.SMs > 0 {
		compute = float64(p.SMs) / float64(whole.SMs)
	}
	memory := float64(p.Slices) / float64(g.MemorySlices)
	if p.MemoryMiB > 0 {
		acc.MemoryMiB = float64(p.MemoryMiB)
	} else {
		acc.MemoryMiB *= memory
	}
	acc.Half, acc.FP8, acc.FP4 = acc.Half*compute, acc.FP8*compute, acc.FP4*compute
	acc.MemoryGBs *= memory
	acc.GPU += ":" + profile
	acc.LinkKind, acc.LinkGBs, acc.PeerGBs, acc.LinkGPUs = "", 0, 0, 1
	acc.PerNode = 1
	return acc, nil
}
