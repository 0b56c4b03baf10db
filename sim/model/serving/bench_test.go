package serving

import (
	"math/rand/v2"
	"syscall"
	"testing"

	"orrery/sim/plan"
	"orrery/sim/units"
)

// chat is a replica as they are common: an 8 billion parameter model on one H100 behind vLLM.
func chat(t testing.TB) Spec {
	s := spec(t, "llama-3-8b", "h100-sxm", plan.PrecisionHalf, 1)
	s.Engine.Preset, s.Engine.Evict, s.Engine.MaxSequences = plan.EngineVLLM, plan.EvictRecompute, 256
	s.Engine.MaxModelTokens = 8192
	return s
}

// arrivals are Poisson, with exponential lengths around the means given.
type arrivals struct {
	r             *rand.Rand
	gap           float64 // ns
	input, output float64
	at            units.Time
}

func (a *arrivals) next(q *Sequence) units.Time {
	a.at += units.Time(a.r.ExpFloat64()*a.gap/1000) * 1000
	*q = Sequence{Input: 1 + int(min(a.r.ExpFloat64()*a.input, 4000)),
		Output: 1 + int(min(a.r.ExpFloat64()*a.output, max(4000, 5*a.output)))}
	return a.at
}

// recycle gives sequences that have ended back.
type recycle struct {
	free  []*Sequence
	ended int
}

func (r *recycle) First(*Sequence) {}
func (r *recycle) Ended(q *Sequence) {
	r.ended++
	r.free = append(r.free, q)
}

// drive simulates n requests as the plane of requests would.
func drive(rep Replica, a *arrivals, n int) *recycle {
	done := &recycle{}
	for range n { // an overloaded replica's queue is bounded, as by a router
		var q *Sequence
		if k := len(done.free); k > 0 {
			q, done.free = done.free[k-1], done.free[:k-1]
		} else {
			q = &Sequence{}
		}
		at := a.next(q)
		for rep.Next() <= at {
			rep.Advance(rep.Next(), done)
		}
		rep.Advance(at, done)
		rep.Submit(at, q)
	}
	return done
}

// used is the processor time that the process has used, seconds. Other work on the machine does not count.
func used() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// BenchmarkFast reports requests per second of processor time at a moderate load, 10 requests per second of about 500
// tokens in and out, and at others, and how many times faster that is than the reference. The reference steps through
// iterations, the fast replica jumps from one change of the batch to the next: their numbers per request bound the
// ratio.
func BenchmarkFast(b *testing.B) {
	for _, c := range []struct {
		name                string
		rate, input, output float64
		change              func(*plan.Engine)
	}{
		{"moderate", 10, 500, 500, nil}, {"high", 14, 500, 500, nil}, {"long", 3.5, 500, 2000, nil}, {"code", 12, 1500, 30, nil},
		{"reasoning", 0.35, 300, 6000, func(e *plan.Engine) { e.MaxModelTokens = 40_000 }},
		{"overload", 30, 500, 500, nil}, {"exhausted", 5, 500, 2000, nil},
		{"speculative", 10, 500, 500, func(e *plan.Engine) {
			e.Speculative = &plan.Speculative{Tokens: 3, Acceptance: 0.7, DraftShare: 0.05}
		}},
		{"sglang", 10, 500, 500, func(e *plan.Engine) { e.Preset, e.BlockTokens, e.MaxSequences = plan.EngineSGLang, 1, 2048 }},
		{"tgi", 10, 500, 500, func(e *plan.Engine) { e.Preset, e.BlockTokens, e.MaxSequences = plan.EngineTGI, 1, 128 }},
	} {
		s := chat(b)
		if c.change != nil {
			c.change(&s.Engine)
		}
		b.Run(c.name, func(b *testing.B) {
			load := func() *arrivals {
				return &arrivals{r: rand.New(rand.NewPCG(1, 2)), gap: 1e9 / c.rate, input: c.input, output: c.output}
			}
			fast, err := New(s)
			if err != nil {
				b.Fatal(err)
			}
			slow, err := NewReference(s)
			if err != nil {
				b.Fatal(err)
			}
			drive(fast, load(), 1000) // tables are made, lists have grown
			drive(slow, load(), 1000)
			fast, _ = New(s)
			b.ReportAllocs()
			b.ResetTimer()
			begun := used()
			drive(fast, load(), b.N)
			perFast := (used() - begun) / float64(b.N)
			b.StopTimer()
			const some = 5000
			slow, _ = NewReference(s)
			begun = used()
			drive(slow, load(), some)
			perSlow := (used() - begun) / some
			l := fast.Load()
			b.ReportMetric(1/perFast, "requests/s")
			b.ReportMetric(perSlow/perFast, "×reference")
			b.ReportMetric(float64(l.Iterations)/float64(b.N), "iterations/request")
			b.ReportMetric(float64(fast.(*Fast).jumps)/float64(b.N), "jumps/request")
			b.ReportMetric(float64(l.RunningTime)/float64(l.Busy), "batch")
		})
	}
}
