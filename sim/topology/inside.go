package topology

import (
	"orrery/sim/plan"
)

// nvlink2GBs is one NVLink of a V100 in one direction (NVIDIA Tesla V100 white paper WP-08608-001, 2017: six links of
// 25 GB/s each way).
const nvlink2GBs = 25

// dgx1 is the number of NVLinks between any two GPUs of a DGX-1 with V100, and of the AWS p3.16xlarge: two quads, each
// GPU with six links, one or two of them to a GPU of the other quad.
//
// Source: NVIDIA/go-gpuallocator, gpuallocator/common_test.go at 304658a, NewDGX1VoltaNode; published outputs of
// `nvidia-smi topo -m` agree.
var dgx1 = [8][8]int{
	{0, 1, 1, 2, 2, 0, 0, 0},
	{1, 0, 2, 1, 0, 2, 0, 0},
	{1, 2, 0, 2, 0, 0, 1, 0},
	{2, 1, 2, 0, 0, 0, 0, 1},
	{2, 0, 0, 0, 0, 1, 1, 2},
	{0, 2, 0, 0, 1, 0, 2, 1},
	{0, 0, 1, 0, 1, 2, 0, 2},
	{0, 0, 0, 1, 2, 1, 2, 0},
}

// PeerGBs returns what GPU i of a node can send to GPU j of it over links of their own, GB/s in one direction; 0 =
// there are none, and PCIe is the only way.
func PeerGBs(l plan.Links, i, j int) float64 {
	switch {
	case i == j || l.Kind == "" || l.GBs <= 0:
		return 0
	case l.Mesh == plan.MeshDGX1:
		if max(i, j) >= len(dgx1) {
			return 0
		}
		return nvlink2GBs * float64(dgx1[i][j])
	case l.Domain > 0 && i/l.Domain != j/l.Domain:
		return 0 // another bridge, another board
	case l.PeerGBs > 0:
		return min(l.PeerGBs, l.GBs)
	}
	return l.GBs
}

// Inside is how the GPUs of a set on one node reach each other.
type Inside struct {
	// Kind is the kind of link as plan.Links has it; "" = PCIe.
	Kind string
	// GBs is what every one of them can send to the others together, GB/s in one direction: that of the GPU with the
	// least, since the slowest sets a collective's pace. 0 = one GPU alone, or not known.
	GBs float64
}

// Within returns how a set of GPUs of one node, by index, reach each other.
//
//   - A switch (HGX, NVL72) gives each GPU all it has, to any number of peers.
//   - Wires of each pair (xGMI, Gaudi) give it PeerGBs for every peer in the set: two MI300X have 64 GB/s between them,
//     eight have 448.
//   - A bridge helps GPUs below one bridge. A set that reaches over two goes over PCIe: the slowest hop counts.
//   - In the DGX-1's cube mesh it is the sum of a GPU's NVLinks into the set, the least of all of them, as long as
//     NVLinks connect the set. This is an approximation from above: whether rings exist that use all of them is not
//     looked at.
func Within(l plan.Links, gpus []int) Inside {
	if len(gpus) < 2 {
		return Inside{}
	}
	if !connected(l, gpus) {
		return Inside{GBs: l.PCIeGBs}
	}
	least := 0.0
	for n, i := range gpus {
		sum := 0.0
		for _, j := range gpus {
			sum += PeerGBs(l, i, j)
		}
		if sum = min(sum, l.GBs); n == 0 || sum < least {
			least = sum
		}
	}
	return Inside{Kind: l.Kind, GBs: least}
}

// connected reports whether links of their own lead from any GPU of a set to any other.
func connected(l plan.Links, gpus []int) bool {
	reached := []int{gpus[0]}
	met := map[int]bool{gpus[0]: true}
	for i := 0; i < len(reached); i++ {
		for _, j := range gpus {
			if !met[j] && PeerGBs(l, reached[i], j) > 0 {
				met[j] = true
				reached = append(reached, j)
			}
		}
	}
	return len(reached) == len(gpus)
}
