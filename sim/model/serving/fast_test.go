package serving

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"orrery/sim/plan"
	"orrery/sim/units"
)

var first = flag.Int("script", 0, "number of the first random script")

var many = flag.Int("scripts", 1500, "random scripts that the fast replica is compared with the reference in")

// TestFast compares the fast replica with the reference: the same events at the same instants, the same counters.
func TestFast(t *testing.T) {
	for i := *first; i < *first+*many; i++ {
		s := randomScript(rand.New(rand.NewPCG(uint64(i), 7)))
		if !t.Run(fmt.Sprint(i), func(t *testing.T) { compare(t, &s) }) {
			t.Logf("script %d: %+v %+v kv %d", i, s.spec.Engine, s.spec.Role, s.kvTokens)
			return
		}
	}
}

// TestLongRuns compares where one busy period takes hours, so that the clock's anchor has to move.
func TestLongRuns(t *testing.T) {
	for _, speed := range []int64{full, 400_000, 1} {
		s := script{spec: Spec{Engine: small(plan.EngineVLLM), Role: plan.RoleBoth}, step: eightB, kvTokens: 2_000_000}
		at := units.Time(0)
		for i, output := range []int{500_000, 300_000, 20, 400_000, 7} {
			s.calls = append(s.calls, call{at: at, kind: "submit", q: Sequence{Input: 10, Output: output}, seq: i})
			at += 700e9
			s.calls = append(s.calls, call{at: at, kind: "load"}, call{at: at, kind: "speed", speed: speed})
			speed = full
		}
		compare(t, &s)
	}
}

func compare(t *testing.T, s *script) {
	slow, err := newReference(&s.spec, s.step, s.kvTokens)
	if err != nil {
		t.Fatal(err)
	}
	quick, err := newFast(&s.spec, s.step, s.kvTokens)
	if err != nil {
		t.Fatal(err)
	}
	want, wantLoads, _ := s.play(t, slow, nil)
	got, gotLoads, _ := s.play(t, quick, func(units.Time) { quick.verify(t) })
	for i := range max(len(want.text), len(got.text)) {
		if i >= len(want.text) || i >= len(got.text) || want.text[i] != got.text[i] {
			t.Fatalf("event %d of %d and %d:\nreference: %s\nfast:      %s", i, len(want.text), len(got.text), at(want.text, i),
				at(got.text, i))
		}
	}
	for i, w := range wantLoads {
		sameLoad(t, i, w, gotLoads[i])
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "none"
}

// sameLoad compares counters; integrals of the devices' time are sums of floating point numbers.
func sameLoad(t *testing.T, i int, want, got Load) {
	t.Helper()
	for _, f := range []func(*Load) *units.Duration{
		func(l *Load) *units.Duration { return &l.KVTime }, func(l *Load) *units.Duration { return &l.ComputeBound },
	} {
		w, g := f(&want), f(&got)
		if math.Abs(float64(*w-*g)) > 10+1e-9*float64(*w) {
			t.Errorf("load %d: %v, want %v", i, *g, *w)
		}
		*g = *w
	}
	if want != got {
		t.Errorf("load %d:\ngot  %+v\nwant %+v", i, got, want)
	}
}

// verify recomputes from the sequences what the fast replica keeps in sums.
func (f *Fast) verify(t *testing.T) {
	t.Helper()
	batch, private := 0, 0
	pieces := map[*piece]int{}
	for s := f.running.head; s != nil; s = s.next {
		blocks := s.blocks
		if s.decoding {
			batch++
			blocks = f.logical(s.offset + f.decoded*f.gain)
			if f.phase == forming || f.phase == working && !f.decoding {
				blocks = f.blocksOf(s)
			}
		}
		private += blocks - s.shared
		for _, x := range s.held {
			pieces[x]++
		}
	}
	for x, n := range pieces {
		private += x.blocks
		if x.refs != n {
			t.Errorf("piece with %d users says %d", n, x.refs)
		}
	}
	if batch != f.batch || private != f.cache.used() {
		t.Errorf("batch %d and %d blocks used; sequences say %d and %d", f.batch, f.cache.used(), batch, private)
	}
	if f.cache.free < 0 || f.cache.free > f.cache.total {
		t.Errorf("%d of %d blocks are free", f.cache.free, f.cache.total)
	}
}
