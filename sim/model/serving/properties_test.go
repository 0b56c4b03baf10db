package serving

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"orrery/sim/plan"
	"orrery/sim/units"
)

// TestSteps checks that it does not matter in which steps time is advanced, that Next is never too late, and that the
// same calls give the same answers.
func TestSteps(t *testing.T) {
	for i := range uint64(300) {
		sc := randomScript(rand.New(rand.NewPCG(i, 3)))
		for name, make := range map[string]func() (Replica, error){
			"fast":      func() (Replica, error) { return newFast(&sc.spec, sc.step, sc.kvTokens) },
			"reference": func() (Replica, error) { return newReference(&sc.spec, sc.step, sc.kvTokens) },
		} {
			whole, stepped := steps(t, &sc, make)
			if a, b := strings.Join(whole, "\n"), strings.Join(stepped, "\n"); a != b {
				t.Fatalf("%s, script %d: in one step\n%s\nin many\n%s", name, i, a, b)
			}
		}
	}
}

// TestConservation checks that every sequence ends with all its tokens unless it was refused or aborted, and that the
// counters agree with the sequences.
func TestConservation(t *testing.T) {
	for i := range uint64(300) {
		sc := randomScript(rand.New(rand.NewPCG(i, 4)))
		sc.calls = slices.DeleteFunc(sc.calls, func(c call) bool { return c.kind == "abort" })
		r, err := newFast(&sc.spec, sc.step, sc.kvTokens)
		if err != nil {
			t.Fatal(err)
		}
		_, loads, seqs := sc.play(t, r, nil)
		var served []*Sequence
		var tokens, received, preempted int64
		for k, q := range seqs {
			if q.Refused != "" {
				continue
			}
			served = append(served, q)
			if q.Ended == Never || q.Generated != r.output(q) || q.Begun < q.Submitted || q.Ended < q.Begun {
				t.Errorf("script %d, sequence %d: %+v", i, k, *q)
			}
			tokens += int64(q.Generated)
			preempted += int64(q.Preempted)
			if q.Received {
				received++
			}
		}
		l := loads[len(loads)-1]
		if l.Generated != tokens-received || l.Preemptions != preempted || l.Running != 0 || l.Waiting != 0 || l.KVUsed != 0 {
			t.Errorf("script %d: %+v; sequences have %d tokens and %d preemptions", i, l, tokens, preempted)
		}
		little(t, r, served)
	}
}

// TestSingleServer compares a replica that takes one sequence at a time with M/D/1 and M/G/1.
func TestSingleServer(t *testing.T) {
	s := chat(t)
	s.Engine.MaxSequences = 1
	for name, draw := range map[string]func(*rand.Rand) Sequence{
		"M/D/1": func(*rand.Rand) Sequence { return Sequence{Input: 1000, Output: 1} },
		"M/G/1": func(r *rand.Rand) Sequence {
			return Sequence{Input: 1 + r.IntN(2000), Output: 1 + int(r.ExpFloat64()*30)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			// Moments of the time of service, from sequences that are alone.
			src := rand.New(rand.NewPCG(3, 3))
			alone, err := New(s)
			if err != nil {
				t.Fatal(err)
			}
			var m1, m2 float64
			const n = 100_000
			at := units.Time(0)
			for range n {
				q := draw(src)
				alone.Submit(at, &q)
				alone.Advance(at.Add(time.Hour), &recycle{})
				x := q.Ended.Sub(q.Submitted).Seconds()
				m1, m2, at = m1+x/n, m2+x*x/n, at.Add(time.Hour)
			}
			r, err := New(s)
			if err != nil {
				t.Fatal(err)
			}
			const rho = 0.7
			rate := rho / m1
			wait, waited, _ := poisson(t, r, 4*n, rate, draw)
			near(t, "wait", &wait, rate*m2/2/(1-rho))
			near(t, "part that waits", &waited, rho)
		})
	}
}

// TestModels compares both replicas on real step times: models with windows, experts, pipelines; and the percentiles
// that users look at.
func TestModels(t *testing.T) {
	for name, s := range replicas(t) {
		for _, preset := range []string{plan.EngineVLLM, plan.EngineSGLang, plan.EngineTRTLLM, plan.EngineTGI} {
			t.Run(name+"/"+preset, func(t *testing.T) {
				s.Engine.Preset, s.Engine.Evict, s.Engine.MaxSequences = preset, plan.EvictRecompute, 128
				if name == "dense" {
					s.Engine.Speculative = &plan.Speculative{Tokens: 3, Acceptance: 0.7, DraftShare: 0.05}
				}
				slow, err := NewReference(s)
				if err != nil {
					t.Fatal(err)
				}
				quick, err := New(s)
				if err != nil {
					t.Fatal(err)
				}
				a, b := latencies(slow), latencies(quick)
				for k, what := range []string{"TTFT", "TPOT", "E2E"} {
					for _, p := range []float64{0, 0.1, 0.5, 0.9, 0.99, 1} {
						i := int(p * float64(len(a[k])-1))
						if a[k][i] != b[k][i] {
							t.Errorf("%s at %g: %g s, the reference says %g s", what, p, b[k][i], a[k][i])
						}
					}
				}
			})
		}
	}
}

// latencies of some requests, each kind sorted.
func latencies(r Replica) (out [3][]float64) {
	a := arrivals{r: rand.New(rand.NewPCG(5, 6)), gap: 1e9 / 4, input: 600, output: 200}
	var seqs []*Sequence
	var none recycle
	for range 400 {
		q := &Sequence{}
		at := a.next(q)
		r.Advance(at, &none)
		r.Submit(at, q)
		seqs = append(seqs, q)
	}
	r.Advance(1e18, &none)
	for _, q := range seqs {
		out[0] = append(out[0], q.First.Sub(q.Submitted).Seconds())
		out[1] = append(out[1], q.Ended.Sub(q.First).Seconds()/float64(max(q.Output-1, 1)))
		out[2] = append(out[2], q.Ended.Sub(q.Submitted).Seconds())
	}
	for _, l := range out {
		slices.Sort(l)
	}
	return out
}

// TestSpeculation checks that checking proposed tokens pays when memory limits, and costs when arithmetic does.
func TestSpeculation(t *testing.T) {
	rate := func(sequences int, s *plan.Speculative) float64 {
		spec := chat(t)
		spec.Engine.Speculative = s
		spec.Engine.MaxSequences = 512
		r, err := New(spec)
		if err != nil {
			t.Fatal(err)
		}
		for range sequences {
			r.Submit(0, &Sequence{Input: 16, Output: 400})
		}
		var none recycle
		r.Advance(units.Time(time.Hour), &none)
		return float64(sequences) * 400 / r.Load().Busy.Seconds()
	}
	good := &plan.Speculative{Tokens: 4, Acceptance: 0.6, DraftShare: 0.05}
	alone, crowded := rate(1, good)/rate(1, nil), rate(512, good)/rate(512, nil)
	t.Logf("with 4 proposed tokens, each right with 0.6: %.2f times the tokens at batch 1, %.2f at 512", alone, crowded)
	if alone < 1.5 || crowded > 1 {
		t.Errorf("%.2f times the tokens at batch 1, %.2f at 512", alone, crowded)
	}
	if bad := rate(1, &plan.Speculative{Tokens: 4, Acceptance: 0, DraftShare: 0.1}) / rate(1, nil); bad >= 1 {
		t.Errorf("proposals that are never right gain %.2f", bad)
	}
}

// TestRefusals checks that what can never fit is refused with figures.
func TestRefusals(t *testing.T) {
	e := plan.Engine{Preset: plan.EngineVLLM, MaxSequences: 4, MaxBatchedTokens: 64, BlockTokens: 16, ChunkedPrefill: true,
		Evict: plan.EvictRecompute, MaxModelTokens: 500}
	for _, c := range []struct {
		input, output int
		say           string
	}{
		{300, 201, "501 together, more than the 500"}, {300, 200, "need 32 blocks of 16 tokens of the KV cache, which has 30"},
		{281, 200, ""}, {282, 200, "need 31 blocks"}, {0, 1, "at least 1"}, {1, 0, "at least 1"},
	} {
		for _, make := range []func() (Replica, error){
			func() (Replica, error) { return newFast(&Spec{Engine: e, Role: plan.RoleBoth}, eightB, 480) },
			func() (Replica, error) { return newReference(&Spec{Engine: e, Role: plan.RoleBoth}, eightB, 480) },
		} {
			r, err := make()
			if err != nil {
				t.Fatal(err)
			}
			q := Sequence{Input: c.input, Output: c.output}
			ok := r.Submit(0, &q)
			r.Advance(1e15, &recycle{})
			if ok != (c.say == "") || !strings.Contains(q.Refused, c.say) || ok != (q.Ended != Never) {
				t.Errorf("%d + %d: %v %q %v", c.input, c.output, ok, q.Refused, q.Ended)
			}
		}
	}
}

// TestSpecErrors checks what specs are not taken.
func TestSpecErrors(t *testing.T) {
	good := plan.Engine{Preset: plan.EngineVLLM, MaxSequences: 4, MaxBatchedTokens: 64, BlockTokens: 16, ChunkedPrefill: true,
		Evict: plan.EvictRecompute}
	for _, c := range []struct {
		change func(*Spec)
		say    string
	}{
		{func(s *Spec) { s.Engine.Preset = "other" }, `preset "other"`},
		{func(s *Spec) { s.Role = "other" }, `role "other"`},
		{func(s *Spec) { s.Engine.MaxSequences = 0 }, "at least 1"},
		{func(s *Spec) { s.Engine.MaxBatchedTokens = 3 }, "at least 4"},
		{func(s *Spec) { s.Engine.Evict = "" }, "evict"},
		{func(s *Spec) { s.Engine.BlockTokens = 4096 }, "no block"},
		{func(s *Spec) { s.Engine.Speculative = &plan.Speculative{Tokens: 1, Acceptance: 2} }, "between 0 and 1"},
	} {
		s := Spec{Engine: good, Role: plan.RoleBoth}
		c.change(&s)
		_, a := newFast(&s, eightB, 1000)
		_, b := newReference(&s, eightB, 1000)
		if a == nil || b == nil || !strings.Contains(a.Error(), c.say) || a.Error() != b.Error() {
			t.Errorf("errors %v and %v, want %q", a, b, c.say)
		}
	}
}

// TestPool compares the cache with one that has every block.
func TestPool(t *testing.T) {
	for i := range uint64(200) {
		src := rand.New(rand.NewPCG(i, 9))
		total := 5 + src.IntN(60)
		p := newPool(total, false)
		var queue []uint64 // names of free blocks, 0 = none
		for range total {
			queue = append(queue, 0)
		}
		type owner struct {
			plain int
			held  []*piece
		}
		var owners []*owner
		for range 400 {
			switch src.IntN(3) {
			case 0, 1: // somebody comes, and finds what is there of one of a few prompts
				o := &owner{}
				family, at := uint64(src.IntN(3)), uint64(0)
				need := 1 + src.IntN(8)
				var names []uint64
				for k := range need {
					at = chain(at, family*10+uint64(k))
					names = append(names, at)
				}
				found := 0
				unused := 0
				for found < need && p.find(names[found]) != nil {
					if p.find(names[found]).refs == 0 {
						unused++
					}
					found++
				}
				if need-found+unused > p.free {
					continue
				}
				for _, name := range names[:found] {
					p.hold(p.find(name))
					o.held = append(o.held, p.find(name))
					if k := slices.Index(queue, name); k >= 0 {
						queue = slices.Delete(queue, k, k+1)
					}
				}
				for _, name := range names[found:] {
					p.take(1)
					queue = queue[1:]
					if x := p.name(name, 1); x != nil {
						o.held = append(o.held, x)
					} else {
						o.plain++
					}
				}
				owners = append(owners, o)
			case 2:
				if len(owners) == 0 {
					continue
				}
				k := src.IntN(len(owners))
				o := owners[k]
				owners = slices.Delete(owners, k, k+1)
				p.give(o.plain)
				for range o.plain {
					queue = append(queue, 0)
				}
				for j := len(o.held) - 1; j >= 0; j-- {
					x := o.held[j]
					name, last := x.name, x.refs == 1
					p.letGo(x)
					if last {
						queue = append(queue, name)
					}
				}
			}
			if got := fmt.Sprint(p.list()); got != fmt.Sprint(queue) || p.free != len(queue) {
				t.Fatalf("free blocks %s (%d), want %v", got, p.free, queue)
			}
		}
	}
}

// list is the names of the free blocks, from the one taken first.
func (p *pool) list() []uint64 {
	out := []uint64{}
	for x := p.head; x != nil; x = x.next {
		for range x.blocks {
			out = append(out, x.name)
		}
	}
	return out
}

// TestClock checks the clock against big numbers and that slipping does not move anything.
func TestClock(t *testing.T) {
	src := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		c := clock{anchor: units.Time(src.Int64N(1e15)), speed: oneOf(src, full, 1+src.Int64N(2*full), 500_000)}
		u := src.Int64N(1 << oneOf(src, 20, 40, 59))
		at := c.at(u)
		exactly := float64(c.anchor) + float64(u)/fine*full/float64(c.speed)
		if d := float64(at) - exactly; d < -1e-9*exactly || d > 1000+1e-9*exactly {
			t.Fatalf("%+v at %d: %d, not %g", c, u, at, exactly)
		}
		if least := c.least(at); c.at(least) < at || least > 0 && c.at(least-1) >= at || least > u {
			t.Fatalf("%+v: least(%d) is %d", c, at, least)
		}
		moved := c
		if v := u - moved.slip(u); moved.at(v) != at {
			t.Fatalf("%+v slipped from %d to %d: %d, not %d", c, u, v, moved.at(v), at)
		}
	}
}

// TestLine checks that the whole numbers are those of the roofline.
func TestLines(t *testing.T) {
	for name, s := range replicas(t) {
		step := newTestStep(t, s)
		c, err := newCosts(step, &s.Engine)
		if err != nil {
			t.Fatal(err)
		}
		for _, decodes := range []int{1, 2, 7, 64, 300} {
			for _, context := range []int64{0, 1, 100, 5000, 100_000, 3_000_000} {
				want := step.Seconds(decodes, context, 0, 0, 0)
				got, compute := c.duration(work{decodes: decodes, context: context})
				if math.Abs(float64(got)/1e9/fine/want-1) > 1e-6 {
					t.Errorf("%s, %d sequences, %d tokens: %g s, want %g s", name, decodes, context, float64(got)/1e9/fine, want)
				}
				if bound := step.Parts(decodes, context, 0, 0, 0).ComputeBound(); bound != compute {
					t.Errorf("%s, %d sequences, %d tokens: limited by arithmetic %v, want %v", name, decodes, context, compute, bound)
				}
			}
		}
	}
}

// FuzzFast compares the fast replica with the reference in scripts that a fuzzer chooses.
func FuzzFast(f *testing.F) {
	for i := range uint64(20) {
		f.Add(i, i)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		s := randomScript(rand.New(rand.NewPCG(a, b)))
		compare(t, &s)
	})
}

// TestLoaded compares with the simple simulation that published figures are validated with: requests of one length,
// all there from the beginning.
func TestLoaded(t *testing.T) {
	for name, s := range replicas(t) {
		s.Engine.Preset, s.Engine.Evict, s.Engine.MaxSequences = plan.EngineVLLM, plan.EvictRecompute, 48
		step := newTestStep(t, s)
		const requests, input, output = 300, 700, 150
		want := newLoaded(step, &s.Engine, 1e6, input, output).saturated(requests)
		r, err := newFast(&s, step, 1e6)
		if err != nil {
			t.Fatal(err)
		}
		for range requests {
			r.Submit(0, &Sequence{Input: input, Output: output})
		}
		r.Advance(1e18, &recycle{})
		if got := requests * output / r.Load().Busy.Seconds(); math.Abs(got/want-1) > 1e-5 {
			t.Errorf("%s: %g tokens/s, want %g", name, got, want)
		}
	}
}
