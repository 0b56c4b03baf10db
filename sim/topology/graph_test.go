package topology

import (
	"slices"
	"strings"
	"testing"

	"orrery/sim/plan"
)

// TestRails follows messages through two spines of two rail-optimised units of four nodes.
func TestRails(t *testing.T) {
	g, err := New(even(2, 2, 4))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		to, switches, layer int
		gbs                 float64
		ns                  int64
	}{
		"itself":        {0, 0, 2, 0, 0},
		"same unit":     {1, 1, 1, 400, nicNs + 100},
		"another unit":  {4, 3, 0, 400, nicNs + 300},
		"another spine": {8, 5, -1, 400, nicNs + 400}, // what joins the spines takes no time that is known
	} {
		p := g.Path(0, tc.to)
		if p.Switches != tc.switches || p.Layer != tc.layer || p.Ns != tc.ns || tc.gbs > 0 && p.GBs != tc.gbs {
			t.Errorf("%s: %+v, want %+v", name, p, tc)
		}
	}
	unit := g.Domains()[g.Domain(0, 1)]
	up := g.Links()[unit.Up]
	if up.GBs != 1600 || up.Of(8) != 1600 || up.Of(2) != 400 || up.Of(0) != 0 || unit.Rails != 8 || unit.GPUs != 32 {
		t.Errorf("the unit has %+v, link %+v", unit, up)
	}
	if in := g.Links()[Opposite(unit.Up)]; !in.Down || in.Domain != unit.ID || in.GBs != up.GBs {
		t.Errorf("the way into the unit is %+v", in)
	}
}

// TestScaleUp checks a rack whose nodes share NVLink: inside it traffic never meets a NIC.
func TestScaleUp(t *testing.T) {
	p := &plan.Plan{Pools: []plan.Pool{{Name: "a", GPUModel: "x", GPUsPerNode: 4,
		Links: plan.Links{Kind: plan.LinkNVLink, GBs: 900, Domain: 8, NICs: 4, NICGBs: 50}}},
		Topology: &plan.Topology{
			Layers: []plan.Layer{{Name: "leaf", Kind: plan.LayerLeaf}, {Name: "rack", Kind: plan.LayerNVLink},
				{Name: "node", Kind: plan.LayerNode}},
			Domains: []plan.Domain{{Layer: 0, Name: "l", UplinkGBs: 10}, {Layer: 1, Name: "r0"}, {Layer: 1, Name: "r1"}},
		}}
	for _, n := range []struct{ name, rack string }{{"a", "r0"}, {"b", "r0"}, {"c", "r1"}, {"d", "r1"}, {"e", ""}} {
		p.Nodes = append(p.Nodes, plan.Node{Name: n.name, Domains: []string{"l", n.rack, n.name}})
	}
	g, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	if in := g.Path(0, 1); in.GBs != 3600 || in.Switches != 1 || in.Layer != 1 || g.Links()[in.Links[0]].Kind != LinkNVLink {
		t.Errorf("within the rack: %+v", in)
	}
	for _, to := range []int{2, 4} {
		if out := g.Path(0, to); out.GBs != 200 || out.Switches != 1 || out.Layer != 0 {
			t.Errorf("out of the rack to %d: %+v", to, out)
		}
	}
	if best, _ := g.Best("x", 2, 4); best.Span.Finest != 1 || !slices.Equal(best.Nodes, []int{0, 1}) {
		t.Errorf("eight GPUs: %+v", best)
	}
}

func TestWithoutTopology(t *testing.T) {
	p := even(1, 1, 3)
	p.Topology = nil
	for i := range p.Nodes {
		p.Nodes[i].Domains = nil
	}
	g, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	path := g.Path(0, 2)
	if path.Layer != -1 || path.Switches != 1 || path.GBs != 400 || len(g.Crossing([]int{0, 1, 2})) != 3 {
		t.Errorf("path %+v", path)
	}
	if s := g.Span([]int{1, 2}); s.Finest != -1 || s.Domains[0] != 2 || g.NodeLayer() != 0 || g.ScaleUp() != -1 {
		t.Errorf("span %+v", s)
	}
}

func TestNewRefuses(t *testing.T) {
	for want, spoil := range map[string]func(p *plan.Plan){
		"kinds are":            func(p *plan.Plan) { p.Topology.Layers[0].Kind = "leaf" },
		"last layer is not":    func(p *plan.Plan) { p.Topology.Layers = p.Topology.Layers[:2] },
		"twice":                func(p *plan.Plan) { p.Topology.Domains[1].Name = "s0" },
		"node \"s0-l0-n0\" is": func(p *plan.Plan) { p.Nodes[1].Name = "s0-l0-n0" },
		"has no domain":        func(p *plan.Plan) { p.Nodes[0].Domains[0] = "x" },
		"for 3 layers":         func(p *plan.Plan) { p.Nodes[0].Domains = p.Nodes[0].Domains[:2] },
		"has no nodes": func(p *plan.Plan) {
			p.Topology.Domains = append(p.Topology.Domains, plan.Domain{Layer: 1, Name: "x"})
		},
		"reaches over two": func(p *plan.Plan) { p.Nodes[0].Domains[0] = "s1" },
		"no layer above":   func(p *plan.Plan) { p.Topology.Domains[5].Layer = 2 },
		"in the order of":  func(p *plan.Plan) { slices.Reverse(p.Topology.Domains) },
		"an uplink of":     func(p *plan.Plan) { p.Topology.Domains[0].UplinkGBs = -1 },
	} {
		p := even(2, 2, 2)
		spoil(p)
		if _, err := New(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func BenchmarkPref(b *testing.B) {
	free := []int{0, 1, 2, 3, 4, 5, 6, 7}
	for b.Loop() {
		Pref(hgx, 8, free, 2)
	}
}

func BenchmarkCrossing(b *testing.B) {
	g, err := New(even(12, 32, 32))
	if err != nil {
		b.Fatal(err)
	}
	best, _ := g.Best("x", 64, 8)
	for b.Loop() {
		g.Crossing(best.Nodes)
		g.Span(best.Nodes)
	}
}
