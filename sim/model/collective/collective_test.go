package collective

import (
	"math"
	"testing"
)

// Links of the kinds that were measured, as the catalogue has them.
var (
	a100   = Link{GPU: "a100-80", Kind: "nvlink", GBs: 300, GPUs: 8, PCIeGBs: 31, NICGBs: 25}
	h100   = Link{GPU: "h100-sxm", Kind: "nvlink", GBs: 450, GPUs: 8, PCIeGBs: 63, NICGBs: 50}
	h200   = Link{GPU: "h200-sxm", Kind: "nvlink", GBs: 450, GPUs: 8, PCIeGBs: 63, NICGBs: 50}
	b200   = Link{GPU: "b200", Kind: "nvlink", GBs: 900, GPUs: 8, PCIeGBs: 63, NICGBs: 50}
	gb200  = Link{GPU: "gb200", Kind: "nvlink", GBs: 900, GPUs: 72, NICGBs: 50}
	l40s   = Link{GPU: "l40s", PCIeGBs: 31}
	rtx    = Link{GPU: "rtx-pro-6000", PCIeGBs: 63}
	mi300x = Link{GPU: "mi300x", Kind: "xgmi", GBs: 448, PeerGBs: 64, GPUs: 8, PCIeGBs: 63, NICGBs: 50}
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// TestPublished recomputes the published points of every kind: times of small messages, bus bandwidths of large ones,
// other widths, other operations.
func TestPublished(t *testing.T) {
	for _, tc := range []struct {
		name  string
		op    Op
		l     Link
		n     int
		bytes float64
		want  float64 // GB/s, or µs when micros
		us    bool
	}{
		{"A100 512 B", AllReduce, a100, 8, 512, 22.6, true},
		{"H100 512 B", AllReduce, h100, 8, 512, 15.6, true},
		{"H100 32 KiB", AllReduce, h100, 8, 32768, 18.4, true},
		{"B200 32 KiB", AllReduce, b200, 8, 32768, 27.3, true},
		{"GB200 512 B", AllReduce, gb200, 4, 512, 15.6, true},
		{"L40S 32 KiB", AllReduce, l40s, 8, 32768, 90, true},
		{"A100 2 MiB", AllReduce, a100, 8, 2 * mib, 68, false},
		{"H100 2 MiB", AllReduce, h100, 8, 2 * mib, 96, false},
		{"H200 32 MiB", AllReduce, h200, 8, 32 * mib, 298, false},
		{"B200 512 MiB", AllReduce, b200, 8, 512 * mib, 704, false},
		{"GB200 32 MiB", AllReduce, gb200, 4, 32 * mib, 410, false},
		{"A100 16 GiB", AllReduce, a100, 8, 16 * gib, 235, false},
		{"H100 16 GiB", AllReduce, h100, 8, 16 * gib, 480, false},
		{"L40S 512 MiB", AllReduce, l40s, 8, 512 * mib, 1.4, false},
		{"RTX PRO 6000 512 MiB", AllReduce, rtx, 8, 512 * mib, 25, false},
		{"MI300X 4 GiB", AllReduce, mi300x, 8, 4 * gib, 312.9, false},
		{"MI300X 2 GPUs", AllReduce, mi300x, 2, 4 * gib, 47.7, false},
		{"A100 2 GPUs", AllReduce, a100, 2, 512 * mib, 193, false},
		{"H100 2 GPUs", AllReduce, h100, 2, 512 * mib, 318, false},
		{"L40S 2 GPUs", AllReduce, l40s, 2, 512 * mib, 20, false},
		{"L40S 4 GPUs", AllReduce, l40s, 4, 512 * mib, 5, false},
		{"H200 4 GPUs, ring", AllReduce, h200, 4, 8 * gib, 363, false},
		{"H200 6 GPUs, NVLS", AllReduce, h200, 6, 8 * gib, 436, false},
		{"B200 5 GPUs, ring", AllReduce, b200, 5, 8 * gib, 678, false},
		{"B200 6 GPUs, NVLS", AllReduce, b200, 6, 8 * gib, 778, false},
		{"NVL72, SHARP", AllReduce, gb200, 72, 512 * mib, 850, false},
		{"NVL72, ring", AllGather, gb200, 72, 512 * mib, 680, false},
		{"A100 all-gather", AllGather, a100, 8, 512 * mib, 205, false},
		{"H100 reduce-scatter", ReduceScatter, h100, 8, 512 * mib, 335, false},
		{"B200 all-to-all", AllToAll, b200, 8, 512 * mib, 563, false},
		{"L40S all-to-all", AllToAll, l40s, 8, 512 * mib, 2.0, false},
	} {
		s := Time(tc.op, tc.bytes, Group{Link: tc.l, Ranks: tc.n, Domains: 1, Least: tc.n})
		got := volume(tc.op, tc.n) * tc.bytes / s / 1e9
		if tc.us {
			got = s * 1e6
		}
		if math.Abs(got-tc.want) > 0.005*tc.want {
			t.Errorf("%s: %.4g, published %.4g", tc.name, got, tc.want)
		}
	}
}

// TestNetwork recomputes the published all-reduces over 4 nodes of 8 GPUs, and the efficiencies derived from them.
func TestNetwork(t *testing.T) {
	g := Group{Link: b200, Ranks: 32, Domains: 4, Least: 8}
	for _, tc := range []struct{ bytes, bus, efficiency float64 }{
		{mib, 5.4, 0}, {4 * mib, 19, 0}, {16 * mib, 64, 0.125}, {64 * mib, 157, 0.30}, {256 * mib, 229, 0.44},
		{512 * mib, 327, 0.63}, {gib, 362, 0.70}, {4 * gib, 377, 0.73}, {16 * gib, 382, 0.74},
	} {
		got := volume(AllReduce, 32) * tc.bytes / Time(AllReduce, tc.bytes, g) / 1e9
		if math.Abs(got-tc.bus) > 0.01*tc.bus {
			t.Errorf("%.0f MiB: bus bandwidth %.4g GB/s, published %.4g", tc.bytes/mib, got, tc.bus)
		}
		if e := Efficiency(tc.bytes); tc.efficiency > 0 && math.Abs(e-tc.efficiency) > 0.01 {
			t.Errorf("%.0f MiB: efficiency %.3f, published %.3f", tc.bytes/mib, e, tc.efficiency)
		}
	}
}

// TestSecondSystem compares with the one measurement between nodes that the efficiencies do not come from: H200, 4 nodes
// (AWS p5en), 4 GiB, 365 GB/s.
func TestSecondSystem(t *testing.T) {
	got := volume(AllReduce, 32) * 4 * gib / Time(AllReduce, 4*gib, Group{Link: h200, Ranks: 32, Domains: 4, Least: 8}) / 1e9
	if math.Abs(got/365-1) > 0.05 {
		t.Errorf("bus bandwidth %.4g GB/s, published 365", got)
	}
}

// TestLeavingTheNode holds the published slow-downs of 4 nodes against one.
func TestLeavingTheNode(t *testing.T) {
	one, four := Group{Link: b200, Ranks: 8, Domains: 1, Least: 8}, Group{Link: b200, Ranks: 32, Domains: 4, Least: 8}
	for _, tc := range []struct{ bytes, low, high float64 }{
		{mib, 6, 14}, {16 * mib, 3.5, 5}, {64 * mib, 2.3, 3.2}, {gib, 1.8, 2.4}, {16 * gib, 1.8, 2.4},
	} {
		bus := func(g Group) float64 { return volume(AllReduce, g.Ranks) * tc.bytes / Time(AllReduce, tc.bytes, g) }
		if got := bus(one) / bus(four); got < tc.low || got > tc.high {
			t.Errorf("%.0f MiB: %.2f times slower over 4 nodes, want %.1f to %.1f", tc.bytes/mib, got, tc.low, tc.high)
		}
	}
}

// TestMesh holds that a rank of a partly used mesh reaches only its peers' links: 2 GPUs of an MI300X node are 6.5
// times slower than 8.
func TestMesh(t *testing.T) {
	two, eight := BusGBs(AllReduce, 4*gib, 2, mi300x), BusGBs(AllReduce, 4*gib, 8, mi300x)
	if got := eight / two; math.Abs(got-6.56) > 0.05 {
		t.Errorf("8 GPUs are %.2f times faster than 2, measured 6.56", got)
	}
	four := BusGBs(AllReduce, 4*gib, 4, mi300x)
	if four <= two || four >= eight {
		t.Errorf("4 GPUs: %.1f GB/s, not between 2 (%.1f) and 8 (%.1f)", four, two, eight)
	}
}

// TestMonotone holds that no message takes less time than a shorter one, on any link and width.
func TestMonotone(t *testing.T) {
	for _, l := range []Link{a100, h100, h200, b200, gb200, l40s, rtx, mi300x, {GPU: "t4", PCIeGBs: 15.75},
		{GPU: "v100-32", Kind: "nvlink", GBs: 150, GPUs: 8}} {
		for _, op := range []Op{AllReduce, AllGather, AllToAll, PointToPoint} {
			for _, g := range []Group{{Ranks: 2, Domains: 1, Least: 2}, {Ranks: 8, Domains: 1, Least: 8},
				{Ranks: 8, Domains: 2, Least: 4}, {Ranks: 8, Domains: 2, Least: 1}, {Ranks: 1024, Domains: 128, Least: 8}} {
				g.Link = l
				before := 0.0
				for bytes := 64.0; bytes < 64*gib; bytes *= 1.5 {
					s := Time(op, bytes, g)
					if s < before*0.98 || s <= 0 {
						t.Fatalf("%s op %d over %d in %d: %.0f bytes take %.3g s, fewer took %.3g", l.GPU, op, g.Ranks,
							g.Domains, bytes, s, before)
					}
					before = s
				}
			}
		}
	}
}

// TestWorse holds that spreading a group is never faster: more nodes, fewer adapters, an upper layer crossed.
func TestWorse(t *testing.T) {
	for bytes := float64(mib); bytes < 8*gib; bytes *= 4 {
		at := func(domains, least int, slow float64) float64 {
			return Time(AllReduce, bytes, Group{Link: h100, Ranks: 8, Domains: domains, Least: least, Slow: slow})
		}
		order := []float64{at(1, 8, 1), at(2, 4, 1), at(2, 4, 1.135), at(2, 1, 1.135)}
		for i := 1; i < len(order); i++ {
			if order[i] < order[i-1] {
				t.Errorf("%.0f MiB: %v is not rising", bytes/mib, order)
			}
		}
	}
}

// TestDerived holds that kinds without measurements say so, and that bridges join only their pair.
func TestDerived(t *testing.T) {
	if how := Provenance(h100); how[:9] != "measured:" {
		t.Errorf("H100: %s", how)
	}
	bridge := Link{GPU: "h100-nvl", Kind: "nvlink-bridge", GBs: 300, GPUs: 2, PCIeGBs: 63}
	if how := Provenance(bridge); how[:8] != "derived:" {
		t.Errorf("H100 NVL: %s", how)
	}
	if two, four := BusGBs(AllReduce, gib, 2, bridge), BusGBs(AllReduce, gib, 4, bridge); two < 4*four {
		t.Errorf("a bridged pair has %.1f GB/s, four cards %.1f", two, four)
	}
}
