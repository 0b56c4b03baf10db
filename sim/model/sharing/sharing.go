package sharing

import (
	"fmt"

	"orrery/sim/mig"
	"orrery/sim/units"
)

// Kind is a way of having a part of a GPU.
type Kind int

// Ways of having a part of a GPU.
const (
	Whole       Kind = iota // the GPU alone
	TimeSlicing             // a replica of a time-sliced GPU, or of a time-sliced MIG instance
	MPS                     // a replica of a GPU under the multi-process service
	MIG                     // a MIG instance alone
	Fixed                   // a share that software enforces
)

// One is the speed of work alone on the whole GPU, in millionths: the unit of all speeds here.
const One = 1_000_000

// Assumptions, in millionths. See Card for where they come from.
const (
	switchLoss      = One * 100 / 2100 // s: of time-slicing, with more than one client at work
	mpsInterference = 100_000          // i: of MPS, when the others have all the rest of the GPU
)

// Use is one client on a part of a GPU.
type Use struct {
	Kind Kind
	// Share is the client's part of the GPU's compute: needed for MPS and Fixed.
	Share units.MilliGPU
	// GPU and Profile name the MIG instance, by catalogue key and profile: needed for MIG, and for TimeSlicing when the
	// replica is one of an instance.
	GPU, Profile string
	// Neighbours counts the other clients at work: with TimeSlicing on the same GPU or instance.
	Neighbours int
	// Others is the sum of the shares of the other clients at work on the GPU: needed for MPS.
	Others units.MilliGPU
}

// Factor returns the speed of the client's work in millionths of its speed alone on the whole GPU, from 1 to One. The
// error says what of u is missing or impossible.
func Factor(u Use) (int64, error) {
	speed := int64(One)
	if u.Profile != "" {
		g, ok := mig.Lookup(u.GPU)
		if !ok {
			return 0, fmt.Errorf("sharing: the GPU %q cannot be partitioned", u.GPU)
		}
		p, ok := g.Profile(u.Profile)
		if !ok {
			return 0, fmt.Errorf("sharing: the GPU %q has no profile %q", u.GPU, u.Profile)
		}
		speed = instance(g, p)
	}
	switch {
	case u.Neighbours < 0 || u.Others < 0 || u.Share < 0 || u.Share > units.GPU || u.Others > units.GPU:
		return 0, fmt.Errorf("sharing: impossible use %+v", u)
	case (u.Kind == MPS || u.Kind == Fixed) && u.Share == 0, u.Kind == MIG && u.Profile == "":
		return 0, fmt.Errorf("sharing: the share or the profile is missing in %+v", u)
	}
	switch u.Kind {
	case TimeSlicing:
		if u.Neighbours > 0 {
			speed = speed * (One - switchLoss) / One / int64(u.Neighbours+1)
		}
	case MPS:
		speed = One / 1000 * int64(u.Share) * (One - mpsInterference*int64(u.Others)/int64(units.GPU)) / One
	case Fixed:
		speed = One / 1000 * int64(u.Share)
	}
	return max(speed, 1), nil
}

// instance is the smaller of a profile's shares of compute and memory, in millionths.
func instance(g *mig.Geometry, p mig.Profile) int64 {
	whole := g.Whole()
	compute := One * int64(p.Compute) / int64(g.ComputeSlices)
	if p.SMs > 0 && whole.SMs > 0 {
		compute = One * int64(p.SMs) / int64(whole.SMs)
	}
	return min(compute, One*int64(p.Slices)/int64(g.MemorySlices))
}

// Slowest returns the speed of work that runs on several parts at once and waits for all of them: the least of theirs.
func Slowest(uses []Use) (int64, error) {
	speed := int64(One)
	for _, u := range uses {
		f, err := Factor(u)
		if err != nil {
			return 0, err
		}
		speed = min(speed, f)
	}
	return speed, nil
}
