package serving

import (
	"math/rand/v2"
	"strings"
	"testing"

	"orrery/sim/plan"
	"orrery/sim/units"
)

// events plays a script on the fast replica.
func (s *script) events(t *testing.T) (*log, Load, []*Sequence) {
	t.Helper()
	f, err := newFast(&s.spec, s.step, s.kvTokens)
	if err != nil {
		t.Fatal(err)
	}
	l, loads, seqs := s.play(t, f, nil)
	return l, loads[len(loads)-1], seqs
}

// TestMoreMemory checks that a larger KV cache costs fewer preemptions over many loads, and one that holds everybody's
// peak together none. A single load may lose: with more room more are let in, of whom more have to go.
func TestMoreMemory(t *testing.T) {
	for _, preset := range []string{plan.EngineVLLM, plan.EngineSGLang, plan.EngineTRTLLM} {
		sizes := []int64{4000, 8000, 16000, 32000, 1_000_000}
		sums := make([]int64, len(sizes))
		for i := range uint64(120) {
			s := randomScript(rand.New(rand.NewPCG(i, 31)))
			e := &s.spec.Engine
			e.Preset, e.Evict, e.PrefixCaching, e.Policy = preset, plan.EvictRecompute, false, ""
			s.spec.Role = plan.RoleBoth
			some := make([]int64, len(sizes))
			refused := false
			for k, size := range sizes {
				s.kvTokens = size
				_, load, seqs := s.events(t)
				some[k] = load.Preemptions
				for _, q := range seqs {
					refused = refused || q.Refused != ""
				}
			}
			for k := range sizes {
				if !refused {
					sums[k] += some[k]
				}
			}
		}
		t.Logf("%s: %v preemptions with %v tokens", preset, sums, sizes)
		for k := 1; k < len(sums); k++ {
			if sums[k] > sums[k-1] {
				t.Errorf("%s: %d preemptions with %d tokens, %d with %d", preset, sums[k], sizes[k], sums[k-1], sizes[k-1])
			}
		}
		if sums[0] == 0 || sums[len(sums)-1] != 0 {
			t.Errorf("%s: %d preemptions with little memory, %d with room for everybody", preset, sums[0], sums[len(sums)-1])
		}
	}
}

// TestScaledSpeed checks that devices that are k times as fast do everything in one k-th of the time, when all requests
// are there from the beginning.
func TestScaledSpeed(t *testing.T) {
	for i := range uint64(100) {
		s := randomScript(rand.New(rand.NewPCG(i, 32)))
		var calls []call
		for _, c := range s.calls {
			if c.kind == "submit" {
				c.at = 0
				calls = append(calls, c)
			}
		}
		s.calls = calls
		_, _, want := s.events(t)
		for _, k := range []int64{2, 5, 20} {
			fast := s
			fast.calls = append([]call{{kind: "speed", speed: full * k}}, calls...)
			_, _, got := fast.events(t)
			for j, w := range want {
				for _, x := range [][2]units.Time{{w.First, got[j].First}, {w.Ended, got[j].Ended}} {
					if d := x[0]/units.Time(k) - x[1]; x[0] != x[1] && (d > 2*units.Time(units.Tick) || -d > 2*units.Time(units.Tick)) {
						t.Fatalf("script %d, sequence %d: %v, at %d times the speed %v", i, j, x[0], k, x[1])
					}
				}
			}
		}
	}
}

// TestShifted checks that it does not matter when everything happens, nor what pieces of prompts are called.
func TestShifted(t *testing.T) {
	for i := range uint64(200) {
		s := randomScript(rand.New(rand.NewPCG(i, 33)))
		_, want, seqs := s.events(t)
		const later = 86_400 * units.Time(1e9)
		calls := append([]call(nil), s.calls...)
		for k := range calls {
			c := &calls[k]
			c.at += later
			names := append([]uint64(nil), c.q.Prefix...)
			for n := range names {
				names[n] = names[n]*0x9e3779b97f4a7c15 + 17
			}
			c.q.Prefix = names
		}
		s.calls = calls
		_, load, moved := s.events(t)
		for k, q := range seqs {
			m := moved[k]
			for _, x := range [][2]units.Time{{q.Begun, m.Begun}, {q.First, m.First}, {q.Ended, m.Ended}} {
				if x[0] != x[1] && x[0]+later != x[1] {
					t.Fatalf("script %d, sequence %d: %v, a day later %v", i, k, x[0], x[1])
				}
			}
			if q.Generated != m.Generated || q.Cached != m.Cached || q.Preempted != m.Preempted {
				t.Fatalf("script %d, sequence %d: %+v, a day later %+v", i, k, *q, *m)
			}
		}
		sameLoad(t, int(i), want, load)
	}
}

// TestSlices compares both replicas on a MIG instance, with clients that go away and devices that get slower.
func TestSlices(t *testing.T) {
	s := spec(t, "llama-3-8b", "h100-sxm", plan.PrecisionHalf, 1)
	var err error
	if s.Device, err = Slice(s.Device, "3g.40gb"); err != nil {
		t.Fatal(err)
	}
	for _, preset := range Presets() {
		s.Engine.Preset, s.Engine.Evict, s.Engine.MaxSequences = preset, plan.EvictRecompute, 64
		s.Engine.PrefixCaching, s.Engine.MaxModelTokens = true, 0
		step, kv, err := modelled(&s)
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint64(15) {
			sc := randomScript(rand.New(rand.NewPCG(i, 34)))
			sc.spec = s
			slow, err := newReference(&s, step, kv/8)
			if err != nil {
				t.Fatal(err)
			}
			quick, err := newFast(&s, step, kv/8)
			if err != nil {
				t.Fatal(err)
			}
			want, _, _ := sc.play(t, slow, nil)
			got, _, _ := sc.play(t, quick, nil)
			if a, b := strings.Join(want.text, "\n"), strings.Join(got.text, "\n"); a != b {
				t.Fatalf("%s, script %d: reference\n%s\nfast\n%s", preset, i, a, b)
			}
		}
	}
}
