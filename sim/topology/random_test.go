package topology

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"orrery/sim/plan"
)

// world is a random topology with the tables that naive answers are read from.
type world struct {
	p *plan.Plan
	g *Graph
}

// grow makes a random tree: some layers, uneven domains, nodes of two kinds, some in no domain of some layers.
func grow(t *testing.T, seed uint64) world {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	top := &plan.Topology{}
	for _, kind := range plan.LayerKinds() {
		if kind == plan.LayerNode || r.IntN(3) > 0 {
			top.Layers = append(top.Layers, plan.Layer{Name: kind, Kind: kind})
		}
	}
	links := plan.Links{Kind: plan.LinkNVLink, GBs: 450, NICs: 8, NICGBs: 50}
	p := &plan.Plan{Topology: top, Pools: []plan.Pool{
		{Name: "a", GPUModel: "x", GPUsPerNode: 8, Links: links},
		{Name: "b", GPUModel: "y", GPUsPerNode: 4, Links: plan.Links{GBs: 900, NICs: 4, NICGBs: 100}},
	}}
	domains := make([][]plan.Domain, len(top.Layers))
	var split func(layer int, names []string)
	split = func(layer int, names []string) {
		if layer == len(top.Layers)-1 {
			name := fmt.Sprintf("n%d", len(p.Nodes))
			p.Nodes = append(p.Nodes, plan.Node{Name: name, Pool: r.IntN(2), Domains: append(slices.Clone(names), name)})
			return
		}
		for range 1 + r.IntN(3) {
			if r.IntN(8) == 0 {
				split(layer+1, append(slices.Clone(names), ""))
				continue
			}
			d := plan.Domain{Layer: layer, Name: fmt.Sprintf("d%d", len(domains[layer])), Rails: 1 + r.IntN(8),
				HopNs: int64(r.IntN(1000))}
			if top.Layers[layer].Kind != plan.LayerNVLink {
				d.UplinkGBs = float64(r.IntN(5) * 100)
			}
			domains[layer] = append(domains[layer], d)
			split(layer+1, append(slices.Clone(names), d.Name))
		}
	}
	split(0, nil)
	for range r.IntN(3) { // more nodes beside the last one
		last := p.Nodes[len(p.Nodes)-1]
		last.Name += "x"
		last.Domains = slices.Clone(last.Domains)
		last.Domains[len(last.Domains)-1] = last.Name
		p.Nodes = append(p.Nodes, last)
	}
	for _, d := range domains {
		top.Domains = append(top.Domains, d...)
	}
	g, err := New(p)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	return world{p, g}
}

// naivePath finds the way by looking at names only.
func (w world) naivePath(a, b int) (links []string, layer int) {
	na, nb := w.p.Nodes[a].Domains, w.p.Nodes[b].Domains
	layers := w.p.Topology.Layers
	layer = -1
	for l := range layers {
		if na[l] != "" && na[l] == nb[l] {
			layer = l
		}
	}
	if a == b {
		return nil, layer
	}
	if layer >= 0 && layers[layer].Kind == plan.LayerNVLink {
		return []string{"nvlink out " + na[len(na)-1], "nvlink in " + nb[len(nb)-1]}, layer
	}
	var down []string
	for l := len(layers) - 1; l > layer; l-- {
		if layers[l].Kind == plan.LayerNVLink {
			continue
		}
		if na[l] != "" {
			links = append(links, layers[l].Name+" out "+na[l])
		}
		if nb[l] != "" {
			down = append(down, layers[l].Name+" in "+nb[l])
		}
	}
	slices.Reverse(down)
	return append(links, down...), layer
}

func (w world) name(link int) string {
	l := w.g.links[link]
	d := w.g.domains[l.Domain]
	layer := w.g.layers[d.Layer].Name
	if l.Kind == LinkNVLink {
		layer = "nvlink"
	}
	if l.Down {
		return layer + " in " + d.Name
	}
	return layer + " out " + d.Name
}

func (w world) names(links []int) []string {
	var out []string
	for _, l := range links {
		out = append(out, w.name(l))
	}
	return out
}

const worlds = 150

func TestPathAgainstNames(t *testing.T) {
	for seed := range uint64(worlds) {
		w := grow(t, seed)
		for a := range w.p.Nodes {
			for b := range w.p.Nodes {
				want, layer := w.naivePath(a, b)
				p := w.g.Path(a, b)
				if got := w.names(p.Links); !slices.Equal(got, want) || p.Layer != layer || w.g.Join(a, b) != layer {
					t.Fatalf("seed %d: path %d → %d: %v by layer %d, want %v by %d", seed, a, b, got, p.Layer, want, layer)
				}
				narrow := math.Inf(1)
				for _, l := range p.Links {
					if gbs := w.g.links[l].GBs; gbs > 0 {
						narrow = min(narrow, gbs)
					}
				}
				back := w.g.Path(b, a)
				slices.Reverse(back.Links)
				for i, l := range back.Links {
					if Opposite(l) != p.Links[i] {
						t.Fatalf("seed %d: the way back %d → %d is not the way there", seed, b, a)
					}
				}
				if p.GBs != narrow || back.GBs != p.GBs || back.Ns != p.Ns || p.Switches != max(len(p.Links)-1, 0) {
					t.Fatalf("seed %d: path %d → %d: %+v, back %+v", seed, a, b, p, back)
				}
			}
		}
	}
}

// some draws distinct nodes.
func (w world) some(r *rand.Rand) []int {
	nodes := r.Perm(len(w.p.Nodes))
	return nodes[:1+r.IntN(len(nodes))]
}

func TestSpanAgainstNames(t *testing.T) {
	for seed := range uint64(worlds) {
		w := grow(t, seed)
		r := rand.New(rand.NewPCG(seed, 2))
		for range 20 {
			nodes := w.some(r)
			got := w.g.Span(append(nodes, nodes[0]))
			want := Span{Finest: -1}
			for l := range w.g.layers {
				met := map[string]bool{}
				for _, n := range nodes {
					name := "domain " + w.p.Nodes[n].Domains[l]
					if name == "domain " {
						name = "node " + w.p.Nodes[n].Name
					}
					met[name] = true
				}
				want.Domains = append(want.Domains, len(met))
				if len(met) == 1 && w.p.Nodes[nodes[0]].Domains[l] != "" {
					want.Finest = l
				}
			}
			if !slices.Equal(got.Domains, want.Domains) || got.Finest != want.Finest {
				t.Fatalf("seed %d: nodes %v span %+v, want %+v", seed, nodes, got, want)
			}
		}
	}
}

// TestCrossingIsTheUnionOfPaths checks the links of a job against the paths of all its pairs, and who is beyond them.
func TestCrossingIsTheUnionOfPaths(t *testing.T) {
	for seed := range uint64(worlds) {
		w := grow(t, seed)
		r := rand.New(rand.NewPCG(seed, 3))
		for range 10 {
			nodes := w.some(r)
			senders, receivers := map[int]map[int]bool{}, map[int]map[int]bool{}
			for _, a := range nodes {
				for _, b := range nodes {
					for _, l := range w.g.Path(a, b).Links {
						if w.g.links[l].Down {
							continue
						}
						if senders[l] == nil {
							senders[l], receivers[l] = map[int]bool{}, map[int]bool{}
						}
						senders[l][a], receivers[l][b] = true, true
					}
				}
			}
			got := w.g.Crossing(nodes)
			if !slices.IsSortedFunc(got, func(a, b Use) int { return a.Link - b.Link }) || len(got) != len(senders) {
				t.Fatalf("seed %d: crossing %v, want %v", seed, got, senders)
			}
			for _, u := range got {
				if u.Inside != len(senders[u.Link]) || u.Beyond != len(receivers[u.Link]) {
					t.Fatalf("seed %d: nodes %v on %s: %+v, want %d inside, %d beyond", seed, nodes, w.name(u.Link), u,
						len(senders[u.Link]), len(receivers[u.Link]))
				}
			}
		}
	}
}

// TestBestAgainstAllDomains checks that a best placement is one, and that no domain of a finer layer holds the job.
func TestBestAgainstAllDomains(t *testing.T) {
	for seed := range uint64(worlds) {
		w := grow(t, seed)
		total := 0
		for n := range w.p.Nodes {
			total += w.g.gpus[n]
		}
		for _, size := range []int{1, 2, 3, 4, 8} {
			for pods := 1; pods <= total/size+1; pods += 1 + pods/4 {
				for _, kind := range []string{"", "x", "y", "z"} {
					w.checkBest(t, seed, kind, pods, size)
				}
			}
		}
	}
}

func (w world) checkBest(t *testing.T, seed uint64, kind string, pods, size int) {
	t.Helper()
	hold := func(n int) int {
		if pool := w.p.Pools[w.p.Nodes[n].Pool]; kind == "" || pool.GPUModel == kind {
			return pool.GPUsPerNode / size
		}
		return 0
	}
	finest, all := -1, 0
	for l := range w.g.layers {
		in := map[string]int{}
		for n, node := range w.p.Nodes {
			if l == 0 {
				all += hold(n)
			}
			if name := node.Domains[l]; name != "" {
				if in[name] += hold(n); in[name] >= pods {
					finest = l
				}
			}
		}
	}
	best, ok := w.g.Best(kind, pods, size)
	if ok != (all >= pods) {
		t.Fatalf("seed %d: %d pods of %d %q: ok %v with room for %d", seed, pods, size, kind, ok, all)
	}
	if !ok {
		return
	}
	sum, met := 0, map[int]bool{}
	for i, n := range best.Nodes {
		if met[n] || best.Pods[i] < 1 || best.Pods[i] > hold(n) {
			t.Fatalf("seed %d: %d pods of %d %q: bad placement %+v", seed, pods, size, kind, best)
		}
		met[n] = true
		sum += best.Pods[i]
	}
	if sum != pods || best.Span.Finest != finest {
		t.Fatalf("seed %d: %d pods of %d %q: %+v, want %d pods and finest layer %d", seed, pods, size, kind, best, pods,
			finest)
	}
	if again, _ := w.g.Best(kind, pods, size); !slices.Equal(again.Nodes, best.Nodes) {
		t.Fatalf("seed %d: another answer the second time", seed)
	}
}

// TestBestOnEvenTrees checks that where domains are equally large no layer is touched more than it must be.
func TestBestOnEvenTrees(t *testing.T) {
	p := even(3, 4, 5)
	g, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	per := []int{5 * 4 * 8, 5 * 8, 8} // GPUs of a spine, leaf, node
	for pods := 1; pods <= 3*4*5*8; pods++ {
		best, ok := g.Best("x", pods, 1)
		if !ok {
			t.Fatalf("%d GPUs do not fit", pods)
		}
		for l, gpus := range per {
			if want := (pods + gpus - 1) / gpus; best.Span.Domains[l] != want {
				t.Fatalf("%d GPUs touch %v domains, want %d of layer %d", pods, best.Span.Domains, want, l)
			}
		}
	}
}

// even is a plan of spines of leaves of nodes with 8 GPUs of kind x and 8 NICs of 50 GB/s.
func even(spines, leaves, nodes int) *plan.Plan {
	p := &plan.Plan{Pools: []plan.Pool{{Name: "a", GPUModel: "x", GPUsPerNode: 8,
		Links: plan.Links{Kind: plan.LinkNVLink, GBs: 450, Domain: 8, NICs: 8, NICGBs: 50}}},
		Topology: &plan.Topology{Layers: []plan.Layer{{Name: "spine", Kind: plan.LayerSpine},
			{Name: "leaf", Kind: plan.LayerLeaf}, {Name: "node", Kind: plan.LayerNode}}}}
	for s := range spines {
		p.Topology.Domains = append(p.Topology.Domains, plan.Domain{Layer: 0, Name: fmt.Sprint("s", s), Rails: 1,
			UplinkGBs: float64(leaves*nodes) * 100, Oversubscription: 4, HopNs: 100})
	}
	for s := range spines {
		for l := range leaves {
			leaf := fmt.Sprintf("s%d-l%d", s, l)
			p.Topology.Domains = append(p.Topology.Domains, plan.Domain{Layer: 1, Name: leaf, Rails: 8,
				UplinkGBs: float64(nodes) * 400, Oversubscription: 1, HopNs: 100})
			for n := range nodes {
				name := fmt.Sprintf("%s-n%d", leaf, n)
				p.Nodes = append(p.Nodes, plan.Node{Name: name, Domains: []string{fmt.Sprint("s", s), leaf, name}})
			}
		}
	}
	return p
}
