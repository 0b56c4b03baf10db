package topology

import (
	"slices"
	"testing"

	"orrery/sim/plan"
)

var (
	volta  = plan.Links{Kind: plan.LinkNVLink, GBs: 150, Mesh: plan.MeshDGX1, Domain: 8, PCIeGBs: 16}
	bridge = plan.Links{Kind: plan.LinkBridge, GBs: 300, Domain: 2, PCIeGBs: 31}
	hgx    = plan.Links{Kind: plan.LinkNVLink, GBs: 450, Domain: 8, PCIeGBs: 63}
	mi300x = plan.Links{Kind: plan.LinkXGMI, GBs: 448, PeerGBs: 64, Domain: 8, PCIeGBs: 63}
	l40s   = plan.Links{PCIeGBs: 31}
	tray   = plan.Links{Kind: plan.LinkNVLink, GBs: 900, Domain: 72, PCIeGBs: 63}
	h200   = plan.Links{Kind: plan.LinkBridge, GBs: 450, PeerGBs: 150, Domain: 4, PCIeGBs: 63}
)

// TestPrefLikeUpstream holds Pref against the cases of upstream's own test for a DGX-1 with V100
// (NVIDIA/go-gpuallocator, gpuallocator/besteffort_test.go at 2a5a762) without required devices.
func TestPrefLikeUpstream(t *testing.T) {
	all := []int{0, 1, 2, 3, 4, 5, 6, 7}
	for name, tc := range map[string]struct {
		free []int
		k    int
		want []int
	}{
		"single NVLink, same switch":    {[]int{0, 2, 4, 5}, 2, []int{4, 5}},
		"single NVLink, same socket":    {[]int{0, 4, 5, 6}, 2, []int{5, 6}},
		"dual NVLink, same socket":      {[]int{0, 1, 3}, 2, []int{0, 3}},
		"dual NVLink, cross socket":     {[]int{0, 1, 4}, 2, []int{0, 4}},
		"first of two":                  {all, 2, []int{0, 3}},
		"second of two":                 {[]int{1, 2, 4, 5, 6, 7}, 2, []int{1, 2}},
		"third of two":                  {[]int{4, 5, 6, 7}, 2, []int{4, 7}},
		"first of four":                 {all, 4, []int{0, 1, 2, 3}},
		"eight":                         {all, 8, all},
		"one":                           {[]int{3, 5}, 1, []int{3}},
		"too few":                       {[]int{3, 5}, 3, nil},
		"none":                          {all, 0, nil},
		"three, the rest in one socket": {all, 3, []int{0, 2, 3}},
	} {
		if got := Pref(volta, 8, tc.free, tc.k); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %d of %v: %v, want %v", name, tc.k, tc.free, got, tc.want)
		}
	}
}

func TestPrefByLinks(t *testing.T) {
	for name, tc := range map[string]struct {
		links plan.Links
		gpus  int
		free  []int
		k     int
		want  []int
	}{
		"a bridged pair before neighbours of halves": {bridge, 8, []int{1, 2, 4, 6, 7}, 2, []int{6, 7}},
		"two bridged pairs":                          {bridge, 8, []int{1, 2, 3, 4, 6, 7}, 4, []int{1, 2, 3, 4}},
		"on a switch neighbours":                     {hgx, 8, []int{1, 2, 3, 4}, 2, []int{2, 3}},
		"on a switch a half":                         {hgx, 8, []int{0, 1, 2, 4, 5, 6, 7}, 4, []int{4, 5, 6, 7}},
		"PCIe only":                                  {l40s, 8, []int{0, 3, 4, 5}, 2, []int{4, 5}},
		"sixteen":                                    {hgx, 16, []int{0, 2, 4, 6, 8, 10, 12, 14, 15}, 2, []int{14, 15}},
	} {
		if got := Pref(tc.links, tc.gpus, tc.free, tc.k); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %d of %v: %v, want %v", name, tc.k, tc.free, got, tc.want)
		}
	}
}

// partitions enumerates as upstream does, with -1 for padding: sets that have the first element left, the others in
// order.
func partitions(left []int, k int, have [][]int, padding int, f func([][]int)) {
	if len(left) == k {
		f(append(slices.Clone(have), left))
		return
	}
	var pick func(from int, set []int)
	pick = func(from int, set []int) {
		if len(set) == k {
			pads := 0
			for _, x := range set {
				if x < 0 {
					pads++
				}
			}
			if pads != 0 && pads != padding {
				return
			}
			var rest []int
			for _, x := range left {
				if !slices.Contains(set, x) {
					rest = append(rest, x)
				}
			}
			partitions(rest, k, append(slices.Clone(have), set), padding, f)
			return
		}
		for i := from; i < len(left); i++ {
			pick(i+1, append(slices.Clone(set), left[i]))
		}
	}
	pick(1, []int{left[0]})
}

// TestPrefAgainstEnumeration compares with upstream's enumeration of all partitions, for every set of free GPUs.
func TestPrefAgainstEnumeration(t *testing.T) {
	for _, l := range []plan.Links{volta, bridge, hgx, h200} {
		for mask := uint32(1); mask < 1<<8; mask++ {
			free := set(mask)
			for k := 2; k <= len(free); k++ {
				if want, got := dumbPref(l, free, k), Pref(l, 8, free, k); !slices.Equal(got, want) {
					t.Fatalf("%+v: %d of %v: %v, want %v", l, k, free, got, want)
				}
			}
		}
	}
}

func dumbPref(l plan.Links, free []int, k int) []int {
	score := func(set []int) int {
		sum := 0
		for i, a := range set {
			for _, b := range set[:i] {
				if a >= 0 && b >= 0 {
					sum += pairPoints(l, 8, a, b)
				}
			}
		}
		return sum
	}
	padded := slices.Clone(free)
	for len(padded)%k != 0 {
		padded = append(padded, -1)
	}
	var best [][]int
	most := -1
	partitions(padded, k, nil, len(padded)-len(free), func(sets [][]int) {
		total := 0
		for _, s := range sets {
			total += score(s)
		}
		if total > most {
			best, most = slices.Clone(sets), total
		}
	})
	var out []int
	most = -1
	for _, s := range best {
		if !slices.Contains(s, -1) && score(s) > most {
			out, most = s, score(s)
		}
	}
	return out
}

func TestWithin(t *testing.T) {
	for name, tc := range map[string]struct {
		links plan.Links
		gpus  []int
		want  Inside
	}{
		"alone":                  {hgx, []int{3}, Inside{}},
		"switch":                 {hgx, []int{0, 7}, Inside{plan.LinkNVLink, 450}},
		"tray of a rack":         {tray, []int{0, 1, 2, 3}, Inside{plan.LinkNVLink, 900}},
		"two MI300X":             {mi300x, []int{0, 7}, Inside{plan.LinkXGMI, 64}},
		"four MI300X":            {mi300x, []int{0, 1, 2, 3}, Inside{plan.LinkXGMI, 192}},
		"eight MI300X":           {mi300x, []int{0, 1, 2, 3, 4, 5, 6, 7}, Inside{plan.LinkXGMI, 448}},
		"bridged pair":           {bridge, []int{2, 3}, Inside{plan.LinkBridge, 300}},
		"neighbours, no bridge":  {bridge, []int{1, 2}, Inside{"", 31}},
		"two bridged pairs":      {bridge, []int{0, 1, 2, 3}, Inside{"", 31}},
		"bridge over four":       {h200, []int{4, 5, 6, 7}, Inside{plan.LinkBridge, 450}},
		"half of a bridge":       {h200, []int{4, 5}, Inside{plan.LinkBridge, 150}},
		"PCIe only":              {l40s, []int{0, 1}, Inside{"", 31}},
		"V100, two links":        {volta, []int{0, 3}, Inside{plan.LinkNVLink, 50}},
		"V100, no link":          {volta, []int{0, 5}, Inside{"", 16}},
		"V100, over a neighbour": {volta, []int{0, 1, 5}, Inside{plan.LinkNVLink, 25}},
		"V100, a quad":           {volta, []int{0, 1, 2, 3}, Inside{plan.LinkNVLink, 100}},
		"V100, all":              {volta, []int{0, 1, 2, 3, 4, 5, 6, 7}, Inside{plan.LinkNVLink, 150}},
	} {
		if got := Within(tc.links, tc.gpus); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

// TestDGX1Wires checks the table: symmetric, six links a GPU.
func TestDGX1Wires(t *testing.T) {
	for i, row := range dgx1 {
		sum := 0
		for j, n := range row {
			sum += n
			if n != dgx1[j][i] {
				t.Errorf("%d–%d has %d links one way and %d the other", i, j, n, dgx1[j][i])
			}
		}
		if sum != 6 {
			t.Errorf("GPU %d has %d links, want 6", i, sum)
		}
	}
}
