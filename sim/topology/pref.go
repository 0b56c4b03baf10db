package topology

import (
	"math/bits"

	"orrery/sim/plan"
)

// Points of a pair of GPUs for how near they stand on PCIe, and for each NVLink between them.
//
// Source: NVIDIA/go-gpuallocator, gpuallocator/besteffort_policy.go at 1ef5d10, calculateGPUPairScore. Its table ends
// at twelve NVLinks: more give no points.
const (
	pointsCrossCPU     = 10
	pointsSameCPU      = 20
	pointsHostBridge   = 30
	pointsSingleSwitch = 50
	pointsNVLink       = 100
	nvlinksMax         = 12
)

// nvlinkGBs is one NVLink of the second to the fourth generation in one direction (NVIDIA white papers of V100, A100
// and H100); the fifth has 50, but no bridge and no mesh is made of it.
const nvlinkGBs = 25

// prefMax bounds the GPUs for which the best partition is looked for; the largest nodes sold have 16.
const prefMax = 16

// Pref returns which k of a node's free GPUs a pod gets, as NVIDIA's device plugin prefers whole GPUs: of all ways to
// divide the free ones into sets of k, take one in which the sets' points sum highest, and of it the set with the most.
// GPUs that a switch joins get no points for that, as in the plugin, so on an HGX board the PCIe tree decides:
// neighbours first, then the half of the board on one CPU. gpus is the node's number of GPUs, free their indices,
// ascending. nil when fewer than k are free, or k < 1.
//
// The PCIe tree is taken as it is in most servers: neighbours (2i, 2i+1) below one switch, each half of the GPUs at one
// CPU.
//
// Source: NVIDIA/k8s-device-plugin, internal/rm/nvml_manager.go at 014b4ec, alignedAlloc; go-gpuallocator as above,
// bestEffortPolicy.Allocate, whose enumeration this repeats by dynamic programming: of equal partitions the first in
// the order of its sets counts. One thing differs: the plugin's choice among the sets of the best partition includes
// the one that is too small, which it cannot allocate. Here it is left out.
func Pref(l plan.Links, gpus int, free []int, k int) []int {
	switch {
	case k < 1 || len(free) < k:
		return nil
	case k == 1 || k == len(free) || len(free) > prefMax:
		return free[:k:k]
	}
	p := partition{k: k, rest: len(free) % k, memo: map[state]int{}}
	p.points = make([][]int, len(free))
	for a, i := range free {
		p.points[a] = make([]int, len(free))
		for b, j := range free {
			p.points[a][b] = pairPoints(l, gpus, i, j)
		}
	}
	var out []int
	for _, a := range set(p.choose(1<<len(free) - 1)) {
		out = append(out, free[a])
	}
	return out
}

func pairPoints(l plan.Links, gpus, i, j int) int {
	if i == j {
		return 0
	}
	points := pointsCrossCPU
	half := (gpus + 1) / 2
	switch {
	case i/2 == j/2:
		points = pointsSingleSwitch
	case i/half == j/half && l.Mesh == plan.MeshDGX1:
		points = pointsHostBridge
	case i/half == j/half:
		points = pointsSameCPU
	}
	if l.Mesh != "" || l.Kind == plan.LinkBridge {
		if n := int(PeerGBs(l, i, j) / nvlinkGBs); n <= nvlinksMax {
			points += n * pointsNVLink
		}
	}
	return points
}

// partition divides GPUs, bits of a mask, into sets of k; when they do not divide evenly, one set has the rest.
type partition struct {
	points [][]int
	k      int
	rest   int // size of the set that is too small; 0 = none
	memo   map[state]int
}

// state is what is still to be divided.
type state struct {
	left uint32
	rest bool // the set that is too small is already there
}

// total returns the most points that dividing what is left can have.
func (p *partition) total(s state) int {
	if s.left == 0 {
		return 0
	}
	if best, ok := p.memo[s]; ok {
		return best
	}
	best := -1
	p.each(s, func(set uint32, next state) bool {
		best = max(best, p.of(set)+p.total(next))
		return true
	})
	p.memo[s] = best
	return best
}

// choose walks the first of the best partitions and returns its set with the most points, of equal ones the first.
func (p *partition) choose(all uint32) uint32 {
	best, most := uint32(0), -1
	for s := (state{all, p.rest == 0}); s.left != 0; {
		p.each(s, func(set uint32, next state) bool {
			if p.of(set)+p.total(next) != p.total(s) {
				return true
			}
			if bits.OnesCount32(set) == p.k && p.of(set) > most {
				best, most = set, p.of(set)
			}
			s = next
			return false
		})
	}
	return best
}

// each calls f with every set that can be the next: it has the first GPU left, and the others in lexicographic order.
// It ends when f returns false. Sets that are too small come where the padding that fills them sorts, behind all GPUs.
func (p *partition) each(s state, f func(set uint32, next state) bool) {
	first := uint32(1) << bits.TrailingZeros32(s.left)
	var grow func(set, from uint32) bool
	grow = func(set, from uint32) bool {
		n := bits.OnesCount32(set)
		if n == p.k {
			return !p.possible(s.left&^set, s.rest) || f(set, state{s.left &^ set, s.rest})
		}
		for r := from; r != 0; r &= r - 1 {
			bit := r & -r
			if !grow(set|bit, r&^bit) {
				return false
			}
		}
		if !s.rest && n == p.rest {
			return f(set, state{s.left &^ set, true})
		}
		return true
	}
	grow(first, s.left&^first)
}

// possible reports whether what is left can be divided.
func (p *partition) possible(left uint32, rest bool) bool {
	n := bits.OnesCount32(left)
	if !rest {
		n -= p.rest
	}
	return n >= 0 && n%p.k == 0
}

// of returns the points of a set.
func (p *partition) of(set uint32) int {
	sum := 0
	for a := set; a != 0; a &= a - 1 {
		i := bits.TrailingZeros32(a)
		for b := a & (a - 1); b != 0; b &= b - 1 {
			sum += p.points[i][bits.TrailingZeros32(b)]
		}
	}
	return sum
}

// set lists the bits of a mask.
func set(mask uint32) []int {
	var out []int
	for ; mask != 0; mask &= mask - 1 {
		out = append(out, bits.TrailingZeros32(mask))
	}
	return out
}
