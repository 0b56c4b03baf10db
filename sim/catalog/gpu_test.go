package catalog

import (
	"math"
	"testing"
)

// TestGPUFigures compares figures that others build on with hardware documents, so that a slip of the pen or of a unit
// (a bidirectional NVLink figure, a sparse TFLOPS figure) is seen.
func TestGPUFigures(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		key                           string
		gbs, bf16, ceiling, out, peer float64
		domain                        int
		mig                           bool
	}{
		{"v100-16", 900, 0, 0, 150, 0, 8, false},
		{"a100-80", 2039, 312, 271, 300, 0, 8, true},
		{"h100-sxm", 3350, 989, 794, 450, 0, 8, true},
		{"b200", 8000, 2250, 1745, 900, 0, 8, true},
		{"gb200", 8000, 2500, 1822, 900, 0, 72, true},
		{"l40s", 864, 362, 0, 0, 0, 1, false},
		{"mi300x", 5300, 1307, 668, 448, 64, 8, false},
		{"mi355x", 8000, 2516, 1565, 535.5, 76.5, 8, false},
		{"gaudi2", 2460, 432, 419, 262.5, 37.5, 8, false},
	} {
		g, err := c.Lookup(want.key)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []struct {
			name string
			got  *Figure
			want float64
		}{
			{"memoryGBs", g.MemoryGBs, want.gbs}, {"bf16", g.TFLOPS[BF16], want.bf16},
			{"ceiling", g.Ceiling[BF16], want.ceiling}, {"link", g.Link.GBs, want.out},
			{"peer", g.Link.PeerGBs, want.peer},
		} {
			got := 0.0
			if f.got != nil {
				got = f.got.Value
			}
			if got != f.want {
				t.Errorf("%s: %s is %v, want %v", want.key, f.name, got, f.want)
			}
		}
		if g.Link.Domain() != want.domain || g.MIG != want.mig {
			t.Errorf("%s: domain %d, MIG %v", want.key, g.Link.Domain(), g.MIG)
		}
	}
	b200, _ := c.Lookup("B200")
	if a := b200.MemoryGBs.Alternatives; len(a) != 1 || a[0].Value != 7700 {
		t.Errorf("the two figures of the B200's memory bandwidth are not both there: %+v", a)
	}
}

// TestMeshes holds that the links of a mesh add up: peers × the limit to one peer is the total.
func TestMeshes(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	meshes := 0
	for _, g := range c.GPUs {
		if g.Link.PeerGBs == nil {
			continue
		}
		meshes++
		if sum := g.Link.PeerGBs.Value * float64(g.Link.Domain()-1); math.Abs(sum-g.Link.GBs.Value) > 1e-9 {
			t.Errorf("%s: %d peers of %v GB/s make %v, not %v", g.Key, g.Link.Domain()-1, g.Link.PeerGBs.Value, sum,
				g.Link.GBs.Value)
		}
	}
	if meshes < 6 {
		t.Errorf("only %d meshes", meshes)
	}
}

// TestEveryFigureHasASource holds that whatever is shown can be traced back.
func TestEveryFigureHasASource(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	figures := 0
	check := func(of string, list []Named) {
		for _, f := range list {
			figures++
			if f.Figure.Source == "" || f.Figure.Date == "" || f.Figure.Confidence == "" || f.Name == "" {
				t.Errorf("%s: %+v", of, f)
			}
		}
	}
	for _, g := range c.GPUs {
		check(g.Key, g.Figures())
	}
	for _, n := range c.Nodes {
		check(n.Key, n.Figures())
	}
	for _, f := range c.Fabrics {
		check(f.Key, f.Figures())
	}
	for _, t := range c.Topologies {
		check(t.Key, t.Figures())
	}
	for _, p := range c.Prices {
		check(p.GPU, []Named{{"usdPerGPUHour", p.USD}})
	}
	for _, x := range c.Capex {
		check(x.GPU, []Named{{"usd", x.USD}})
	}
	if figures < 450 {
		t.Errorf("only %d figures", figures)
	}
}
