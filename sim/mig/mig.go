// Package mig knows how GPUs are divided into MIG instances: the profiles of every GPU that can be partitioned, where
// each may be placed, which layouts are legal, and which place the driver picks when none is said.
//
// It is pure: a layout is a list of instances, and no state is kept. The facts are in geometries.yaml, each geometry
// with its source and confidence. Compute instances within a GPU instance are left out: the device plugin offers only
// GPU instances whose one compute instance spans them.
package mig

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"orrery/sim/units"
)

// Engines counts the fixed-function engines of a GPU instance, as nvidia-smi lists them.
type Engines struct {
	Copy     int `yaml:"ce"`
	Decoders int `yaml:"dec"`
	Encoders int `yaml:"enc"`
	JPEG     int `yaml:"jpeg"`
	OFA      int `yaml:"ofa"` // optical flow accelerators
}

// Profile is a kind of GPU instance.
type Profile struct {
	Name    string // e.g. 1g.10gb+me
	ID      int    // GPU instance profile ID, as nvidia-smi mig -cgi and DRA device names have it (not NVML's enum)
	Compute int    // compute slices
	Slices  int    // memory slices
	Starts  []int  // first memory slices it may have, ascending
	Max     int    // instances of it on one GPU
	// MemoryMiB is the instance's memory; 0 = not known.
	MemoryMiB int64
	SMs       int      // multiprocessors; 0 = not known
	Engines   *Engines // nil = not known
}

// Geometry is how one model of GPU can be divided. It does not change after loading.
type Geometry struct {
	MemorySlices  int // units in which placements are counted: 8, 4 or 12
	ComputeSlices int
	Profiles      []Profile // by compute slices, then as the vendor lists them; the last spans the GPU
	Source        string    // where the figures come from, with the date
	Confidence    string    // high, medium or low

	limited []string // engines of which all instances together have no more than the GPU
}

// Instance is a GPU instance at a place: it occupies the memory slices Start … Start+Slices-1 of its profile.
type Instance struct {
	Profile string
	Start   int
}

// String gives the instance as profile@start.
func (i Instance) String() string { return fmt.Sprintf("%s@%d", i.Profile, i.Start) }

// Profile returns the profile of a name; ok is false when the GPU has none of that name.
func (g *Geometry) Profile(name string) (p Profile, ok bool) {
	for _, p := range g.Profiles {
		if p.Name == name {
			return p, true
		}
	}
	return Profile{}, false
}

// Names returns the names of all profiles in the geometry's order.
func (g *Geometry) Names() []string {
	names := make([]string, len(g.Profiles))
	for i, p := range g.Profiles {
		names[i] = p.Name
	}
	return names
}

// Whole returns the profile that spans the GPU, e.g. 7g.80gb.
func (g *Geometry) Whole() Profile {
	return slices.MaxFunc(g.Profiles, func(a, b Profile) int { return cmp.Compare(a.Compute, b.Compute) })
}

// unit is the number of memory slices in which one compute slice stands: slice 7 of the usual 8 has none of its own.
func (g *Geometry) unit() int { return g.MemorySlices / g.ComputeSlices }

// Share is the part of the GPU's compute slices that an instance has, in thousandths. The shares of the instances of
// one layout never sum to more than one GPU; those of ComputeSlices instances of one compute slice sum to exactly one.
// An unknown profile has none.
func (g *Geometry) Share(i Instance) units.MilliGPU {
	p, ok := g.Profile(i.Profile)
	if !ok {
		return 0
	}
	cum := func(k int) units.MilliGPU { return units.GPU * units.MilliGPU(k) / units.MilliGPU(g.ComputeSlices) }
	at := i.Start / g.unit()
	return cum(at+p.Compute) - cum(at)
}

// mask is a range of memory slices as a set of bits.
func mask(start, n int) uint64 { return (1<<n - 1) << start }

// Resource is the extended resource under which the device plugin's strategy "mixed" offers instances of a profile:
// "+" is no part of a resource name and becomes ".".
//
// Source: github.com/NVIDIA/k8s-device-plugin, internal/rm/device_map.go and api/config/v1/resources.go at 1b826ac.
func Resource(profile string) string {
	return "nvidia.com/mig-" + strings.ReplaceAll(profile, "+", ".")
}

// compare orders instances by place.
func compare(a, b Instance) int {
	return cmp.Or(cmp.Compare(a.Start, b.Start), strings.Compare(a.Profile, b.Profile))
}

// Sort orders instances by their first slice.
func Sort(list []Instance) { slices.SortFunc(list, compare) }
