package training

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"orrery/sim/plan"
)

func h100() *plan.Accelerator {
	return &plan.Accelerator{GPU: "h100-sxm", Family: "hopper", Half: 794, FP8: 1403, MemoryGBs: 3350, MemoryMiB: 81920,
		LinkKind: "nvlink", LinkGBs: 450, LinkGPUs: 8, PCIeGBs: 63, NICGBs: 50, PerNode: 8}
}

func b200() *plan.Accelerator {
	return &plan.Accelerator{GPU: "b200", Family: "blackwell", Half: 1745, FP8: 3432, MemoryGBs: 8000, MemoryMiB: 184320,
		LinkKind: "nvlink", LinkGBs: 900, LinkGPUs: 8, PCIeGBs: 63, NICGBs: 50, PerNode: 8}
}

// clos is a network of leaves of 4 nodes and pods of 4 leaves, without limit above the nodes.
func clos() []Layer { return []Layer{{Name: "spine", GPUs: 128}, {Name: "leaf", GPUs: 32}} }

// at places pods of the given GPUs on nodes by number; node i is in leaf i/4 and pod i/16.
func at(layers []Layer, gpu *plan.Accelerator, gpus int, nodes ...int) Placement {
	p := Placement{Layers: layers}
	for _, n := range nodes {
		node := Node{ID: n, GPU: gpu, Domains: []int{n / 16, n / 4}}
		for i := range gpus {
			node.GPUs = append(node.GPUs, i)
		}
		p.Nodes = append(p.Nodes, node)
	}
	return p
}

func talker(share, mib float64) *plan.Training {
	return &plan.Training{Name: "t", Ranks: plan.RanksTopology, Intensity: &plan.Intensity{Share: share,
		MessageBytes: mib * (1 << 20)}}
}

func llama70b() *plan.Training {
	m, _ := Lookup("llama-3-70b")
	return &plan.Training{Name: m.Name, Model: &m, Sequence: 8192, GlobalBatch: 256, MicroBatch: 1, Tensor: 8, Pipeline: 2,
		Stages: 5, Context: 1, Expert: 1, Precision: "bf16", Sharding: plan.ShardOptimizer, Recompute: "none",
		Ranks: plan.RanksTopology}
}

// TestPenalties holds what is published of bad places: collectives lose 2 to 5 % across leaves and 10 to 17 % across
// pods; a node left costs large all-reduces about twice their time; tensor parallelism outside NVLink is not viable.
func TestPenalties(t *testing.T) {
	g, layers := h100(), clos()
	slower := func(tr *plan.Training, bad, good Placement) float64 {
		return Estimate(tr, bad).Actual.Communication() / Estimate(tr, good).Actual.Communication()
	}
	tensor := func(p Placement) float64 { return Estimate(llama70b(), p).Actual.Tensor }
	whole := talker(0.2, 1024)
	for _, tc := range []struct {
		name      string
		got       float64
		low, high float64
	}{
		{"other leaf", slower(whole, at(layers, g, 8, 0, 1, 4, 5), at(layers, g, 8, 0, 1, 2, 3)), 1.02, 1.05},
		{"other pod", slower(whole, at(layers, g, 8, 0, 1, 16, 17), at(layers, g, 8, 0, 1, 2, 3)), 1.10, 1.17},
		{"4 nodes instead of one, per byte", slower(whole, at(layers, b200(), 8, 0, 1, 2, 3), at(layers, b200(), 8, 0)) *
			(7.0 / 8) / (31.0 / 32), 1.9, 2.2},
		{"4+4 instead of 8", slower(whole, at(layers, g, 4, 0, 1), at(layers, g, 8, 0)), 1.5, 3},
		{"tensor groups over two nodes", tensor(at(layers, g, 4, 0, 1, 2, 3)) / tensor(at(layers, g, 8, 0, 1)), 1.5, 3},
		{"tensor groups over four nodes", tensor(at(layers, g, 2, 0, 1, 2, 3, 4, 5, 6, 7)) / tensor(at(layers, g, 8, 0, 1)),
			3, 12},
	} {
		if tc.got < tc.low || tc.got > tc.high {
			t.Errorf("%s: %.3f times as long, want %.2f to %.2f", tc.name, tc.got, tc.low, tc.high)
		}
	}
	// An engineering blog reports 65 % and 46 % for jobs of 256 GPUs placed first-fit and over two pods: with much
	// communication and narrow uplinks the model is in that country too.
	narrow := []Layer{{Name: "spine", GPUs: 128, UplinkGBs: 16 * 400 / 4}, {Name: "leaf", GPUs: 32}}
	var nodes []int
	for i := range 32 {
		nodes = append(nodes, (i%2)*16+i/2) // every other node in the other pod
	}
	split := at(narrow, g, 8, nodes...)
	high := talker(0.4, 256)
	high.Ranks = plan.RanksPods
	if got := Estimate(high, split).Placement; got < 0.2 || got > 0.7 {
		t.Errorf("over two pods with narrow uplinks: %.2f of the speed", got)
	}
	high.Ranks = plan.RanksTopology
	if got := Estimate(high, split).Placement; got < 0.9 {
		t.Errorf("with ranks in the network's order two pods still cost: %.2f of the speed", got)
	}
}

// TestBest holds that the best placement has speed 1, that no random one has more, that names of nodes and domains and
// the order of pods change nothing when ranks follow the network, and that the same asked twice is the same.
func TestBest(t *testing.T) {
	g, layers := h100(), clos()
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, tr := range []*plan.Training{talker(0.2, 256), talker(0.4, 64), llama70b()} {
		if r := Estimate(tr, at(layers, g, 8, 0, 1, 2, 3)); math.Abs(r.Placement-1) > 1e-12 {
			t.Errorf("%s: the best place has %.6f", tr.Name, r.Placement)
		}
		for range 50 {
			nodes := rnd.Perm(32)[:4]
			p := at(layers, g, 8, nodes...)
			r := Estimate(tr, p)
			if r.Placement > 1 || r.Placement <= 0 || r.Hardware != 1 {
				t.Fatalf("%s on %v: %+v", tr.Name, nodes, r)
			}
			if again := Estimate(tr, p); !reflect.DeepEqual(r, again) {
				t.Fatalf("%s on %v: %+v and then %+v", tr.Name, nodes, r, again)
			}
			rnd.Shuffle(4, func(i, j int) { p.Nodes[i], p.Nodes[j] = p.Nodes[j], p.Nodes[i] })
			if again := Estimate(tr, p); !reflect.DeepEqual(r, again) {
				t.Fatalf("%s on %v in another order: %+v, before %+v", tr.Name, nodes, again, r)
			}
			for i := range p.Nodes {
				p.Nodes[i].ID += 1000
				p.Nodes[i].Domains = []int{p.Nodes[i].Domains[0] + 7, p.Nodes[i].Domains[1] + 7}
			}
			if again := Estimate(tr, p); again.Actual != r.Actual {
				t.Fatalf("%s on %v renamed: %+v, before %+v", tr.Name, nodes, again.Actual, r.Actual)
			}
		}
	}
}

// TestTraffic checks the bytes on uplinks against a dumb second way: every message of every group, rank by rank.
func TestTraffic(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	g := h100()
	for range 60 {
		tr := llama70b()
		tr.Tensor, tr.Pipeline, tr.Stages = 1<<rnd.IntN(4), 1<<rnd.IntN(3), 1
		tr.Sharding = []string{plan.ShardNone, plan.ShardOptimizer}[rnd.IntN(2)]
		tr.Ranks = plan.RanksPods
		per := 1 << rnd.IntN(4)
		ranks := tr.Tensor * tr.Pipeline * (1 + rnd.IntN(4))
		for ranks%per != 0 || ranks < per {
			ranks += tr.Tensor * tr.Pipeline
		}
		tr.GlobalBatch = 0
		p := at(clos(), g, per, rnd.Perm(128)[:ranks/per]...)
		got := map[[2]int]float64{}
		for _, u := range Estimate(tr, p).Uplinks {
			got[[2]int{u.Layer, u.Domain}] = u.Up
		}
		want := dumbTraffic(tr, p, ranks)
		if len(got) != len(want) {
			t.Fatalf("%d domains send, want %d (tensor %d, pipeline %d, %d ranks by %d)", len(got), len(want), tr.Tensor,
				tr.Pipeline, ranks, per)
		}
		for k, w := range want {
			if math.Abs(got[k]-w) > 1e-9*w {
				t.Fatalf("layer %d domain %d sends %g bytes, want %g", k[0], k[1], got[k], w)
			}
		}
	}
}

// dumbTraffic lists the messages of a step that leave domains: rings over the nodes of each group in the order of its
// ranks, and activations between stages.
func dumbTraffic(tr *plan.Training, p Placement, ranks int) map[[2]int]float64 {
	var node []Node
	for _, n := range p.Nodes {
		for range n.GPUs {
			node = append(node, n)
		}
	}
	out := map[[2]int]float64{}
	send := func(a, b Node, bytes float64) {
		for l := range p.Layers {
			if a.Domains[l] != b.Domains[l] && bytes > 0 {
				out[[2]int{l, a.Domains[l]}] += bytes
			}
		}
	}
	ring := func(members []int, bytes float64) {
		var nodes []Node
		for _, r := range members {
			known := false
			for _, n := range nodes {
				known = known || n.ID == node[r].ID
			}
			if !known {
				nodes = append(nodes, node[r])
			}
		}
		k := float64(len(nodes))
		for i := range nodes {
			send(nodes[i], nodes[(i+1)%len(nodes)], bytes*(k-1)/k)
		}
	}
	t, pp, d := tr.Tensor, tr.Pipeline, ranks/tr.Tensor/tr.Pipeline
	micro := 1.0
	if pp > 1 {
		micro = float64(defaultRounds * pp)
	}
	activations := float64(tr.Sequence*tr.Model.Hidden) * 2
	layers := float64(tr.Model.Layers) / float64(pp)
	held := tr.Model.Params / float64(t*pp)
	for stage := range pp {
		for i := range d {
			var members []int
			for k := range t {
				members = append(members, stage*t*d+i*t+k)
			}
			ring(members, 8*activations*layers*micro) // 4 all-gathers and 4 reduce-scatters a layer
		}
		for k := range t {
			var members []int
			for i := range d {
				members = append(members, stage*t*d+i*t+k)
			}
			bytes := 6 * held
			if tr.Sharding == plan.ShardNone {
				bytes = 8 * held
			}
			ring(members, bytes)
		}
		for i := range t * d {
			if stage+1 < pp {
				a, b := node[stage*t*d+i], node[(stage+1)*t*d+i]
				send(a, b, activations/float64(t)*micro)
				send(b, a, activations/float64(t)*micro)
			}
		}
	}
	return out
}

// TestHardware holds that a job lands on faster or slower GPUs by what they reach, whatever else it waits for, and that
// a checkpoint takes its share of the step.
func TestHardware(t *testing.T) {
	a100 := &plan.Accelerator{GPU: "a100-80", Family: "ampere", Half: 271, MemoryGBs: 2039, MemoryMiB: 81920,
		LinkKind: "nvlink", LinkGBs: 300, LinkGPUs: 8, PCIeGBs: 31, NICGBs: 25, PerNode: 8}
	for _, tr := range []*plan.Training{talker(0, 256), talker(0.2, 256), llama70b()} {
		tr.Reference = a100
		fast := Estimate(tr, at(clos(), h100(), 8, 0, 1))
		tr.Reference = h100()
		slow := Estimate(tr, at(clos(), a100, 8, 0, 1))
		if fast.Hardware < 1.8 || fast.Hardware > 794.0/271+1e-9 || math.Abs(fast.Hardware*slow.Hardware-1) > 0.1 {
			t.Errorf("%s: an H100 is %.3f times an A100, an A100 %.3f times an H100", tr.Name, fast.Hardware, slow.Hardware)
		}
	}
	tr := talker(0.2, 256)
	tr.Save = &plan.Save{Every: 1e12, Bytes: 1e12} // 1000 s between, 1 TB
	p := at(clos(), h100(), 8, 0, 1)
	p.Storage = &plan.Storage{WriteGBs: 10}
	if r := Estimate(tr, p); math.Abs(r.Actual.Checkpoint/(r.Actual.Total()-r.Actual.Checkpoint)-0.1) > 1e-9 {
		t.Errorf("100 s in every 1000 s for checkpoints: %+v", r.Actual)
	}
}
