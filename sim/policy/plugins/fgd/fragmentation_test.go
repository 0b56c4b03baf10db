package fgd

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"orrery/sim/kube/gpushare"
	"orrery/sim/policy/plugins/gpus"
	"orrery/sim/units"
)

// oracle is the published definition in binary fractions: the frequency-weighted sum, over typical pods, of the idle
// thousandths that the pod cannot use.
func oracle(shapes []Shape, model string, cpu int64, left []units.MilliGPU) float64 {
	total, sum := 0.0, 0.0
	for _, s := range shapes {
		total += float64(s.Count)
	}
	for _, s := range shapes {
		all, small, big := 0.0, 0.0, 0
		for _, l := range left {
			all += float64(l)
			if int64(l) < s.GPUMilli {
				small += float64(l)
			} else {
				big++
			}
		}
		hosts := s.GPUs > 0 && big >= s.GPUs && cpu >= s.CPUMilli &&
			(s.Models == nil || slices.Contains(s.Models, model))
		if !hosts {
			small = all
		}
		sum += float64(s.Count) / total * small
	}
	return sum
}

func randomNode(r *rand.Rand) *gpus.Node {
	n := &gpus.Node{Name: "n", Model: []string{"t4", "a10"}[r.IntN(2)], CPULeft: int64(r.IntN(20)) * 1000,
		Left: make([]units.MilliGPU, r.IntN(9))}
	for g := range n.Left {
		n.Left[g] = units.MilliGPU([]int{0, 1000, 1000, r.IntN(1001)}[r.IntN(4)])
	}
	return n
}

func randomShapes(r *rand.Rand) []Shape {
	var out []Shape
	for range 1 + r.IntN(6) {
		s := Shape{CPUMilli: int64(r.IntN(12)) * 1000, Count: 1 + int64(r.IntN(50))}
		switch r.IntN(3) {
		case 0:
			s.GPUs, s.GPUMilli = 1, int64(1+r.IntN(1000))
		case 1:
			s.GPUs, s.GPUMilli = 1+r.IntN(4), 1000
		}
		if r.IntN(4) == 0 {
			s.Models = []string{"t4"}
		}
		out = append(out, s)
	}
	return out
}

// TestFragmentation compares fragments and placements with the published formulas, by trying every GPU.
func TestFragmentation(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		n, shapes := randomNode(r), randomShapes(r)
		f := newFragmentation(ordered(shapes))
		before := f.of(n.Model, n.CPULeft, n.Left)
		if want := oracle(shapes, n.Model, n.CPULeft, n.Left); math.Abs(float64(before)/float64(f.total)-want) > 1e-6 {
			t.Fatalf("%+v for %+v: %g fragments, want %g", n, shapes, float64(before)/float64(f.total), want)
		}
		ask := &gpus.Ask{CPUMilli: int64(r.IntN(5)) * 1000,
			Request: gpushare.Request{GPUs: 1, Milli: units.MilliGPU(1 + r.IntN(999))}}
		if n.Fits(ask.Milli) == 0 {
			continue
		}
		score, gpu := f.place(n, ask, before)
		best, at := -1, -1
		for g, left := range n.Left {
			if left < ask.Milli {
				continue
			}
			after := slices.Clone(n.Left)
			after[g] -= ask.Milli
			x := (oracle(shapes, n.Model, n.CPULeft, n.Left) - oracle(shapes, n.Model, n.CPULeft-ask.CPUMilli, after)) / 1000
			if math.Abs(x) < 1e-9 {
				x = 0 // equal but for rounding
			}
			if s := int(math.Floor(100 / (1 + math.Exp(-x)))); s > best {
				best, at = s, g
			}
		}
		if int(score) != best || gpu != at {
			t.Fatalf("%+v for %+v asking %+v: score %d on GPU %d, want %d on %d", n, shapes, ask, score, gpu, best, at)
		}
	}
}

// TestScore compares the table of steps with the formula it stands for, on both sides of every step.
func TestScore(t *testing.T) {
	f := &fragmentation{total: 1_000_000}
	for d := int64(-6_000_000_000); d <= 6_000_000_000; d += 1_234_567 {
		want := int64(math.Floor(100 / (1 + math.Exp(float64(d)/1e9))))
		if got := f.score(0, d); got != want {
			t.Fatalf("score of %d more fragments: %d, want %d", d, got, want)
		}
	}
	for i, x := range logit {
		if want := math.Log(float64(51+i) / float64(49-i)); math.Abs(x-want) > 1e-14*want {
			t.Errorf("logit[%d] = %v, want %v", i, x, want)
		}
	}
	if f.score(5, 5) != 50 {
		t.Errorf("no change scores %d", f.score(5, 5))
	}
}

// TestArgs checks what the arguments must be.
func TestArgs(t *testing.T) {
	good := []Shape{{CPUMilli: 1000, GPUs: 1, GPUMilli: 500, Count: 3}}
	for _, a := range []Args{{TypicalPods: good}, {TypicalPodsConfigMap: "kube-system/typical-pods"}} {
		if err := a.check(); err != nil {
			t.Errorf("%+v: %v", a, err)
		}
	}
	for _, a := range []Args{{}, {TypicalPodsConfigMap: "typical-pods"}, {TypicalPods: good, TypicalPodsConfigMap: "a/b"},
		{TypicalPods: []Shape{{GPUs: 1, Count: 1}}}, {TypicalPods: []Shape{{GPUs: 1, GPUMilli: 1001, Count: 1}}},
		{TypicalPods: []Shape{{Count: 0}}}, {TypicalPods: []Shape{{Count: -1}}}} {
		if err := a.check(); err == nil {
			t.Errorf("%+v is taken", a)
		}
	}
}
