package serving

import (
	"errors"
	"math"
	"strings"
	"testing"

	"orrery/sim/catalog"
	"orrery/sim/model/training"
	"orrery/sim/plan"
)

// device is a GPU of the catalogue in a server of eight.
func device(t testing.TB, name string) plan.Accelerator {
	t.Helper()
	cat, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	g, err := cat.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	a, err := training.Accelerator(g, training.Host{PerNode: 8, NICGBs: 50})
	if err != nil {
		t.Fatal(err)
	}
	return *a
}

func spec(t testing.TB, model, gpu, precision string, tensor int) Spec {
	t.Helper()
	m, err := training.Lookup(model)
	if err != nil {
		t.Fatal(err)
	}
	return Spec{Engine: plan.Engine{Model: &m, Precision: precision, KVBytes: 2, MaxBatchedTokens: 8192, MaxSequences: 1024,
		MemoryUtilization: 0.9, ReserveGiB: 3, BlockTokens: 16, ChunkedPrefill: true, MaxModelTokens: 8192}, Role: plan.RoleBoth, Tensor: tensor,
		Pipeline: 1, Expert: 1, Device: device(t, gpu), Nodes: 1}
}

func newTestStep(t testing.TB, s Spec) *Step {
	t.Helper()
	st, err := NewStep(s)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// replicas are kinds of models and parallelism that all properties must hold for.
func replicas(t testing.TB) map[string]Spec {
	out := map[string]Spec{
		"dense":            spec(t, "llama-3-8b", "h100-sxm", "bf16", 1),
		"tensor":           spec(t, "llama-3-70b", "h100-sxm", "fp8", 4),
		"experts":          spec(t, "mixtral-8x7b", "h200-sxm", "bf16", 2),
		"window":           spec(t, "gpt-oss-120b", "b200", "fp4", 1),
		"latent":           spec(t, "deepseek-v3", "h200-sxm", "fp8", 8),
		"pcie":             spec(t, "llama-3-70b", "l40s", "fp8", 4),
		"front":            spec(t, "llama-3.2-1b", "b200", "fp8", 1),
		"front and window": spec(t, "gpt-oss-20b", "b200", "fp4", 1),
	}
	e := spec(t, "deepseek-v3", "h200-sxm", "fp8", 8)
	e.Expert = 8
	p := spec(t, "llama-3-405b", "h100-sxm", "fp8", 8)
	p.Pipeline, p.Nodes = 2, 2
	n := spec(t, "llama-3-405b", "h100-sxm", "bf16", 16)
	n.Nodes = 2
	out["expert-parallel"], out["pipeline"], out["nodes"] = e, p, n
	return out
}

// TestMonotone: more of anything never takes less time, and a slower GPU never less either.
func TestMonotone(t *testing.T) {
	for name, s := range replicas(t) {
		st := newTestStep(t, s)
		slow := s
		slow.Device.MemoryGBs, slow.Device.Half, slow.Device.FP8 = s.Device.MemoryGBs/2, s.Device.Half/2, s.Device.FP8/2
		slow.Device.FP4 = s.Device.FP4 / 2
		slower := newTestStep(t, slow)
		last := 0.0
		for b := 8; b < 20000; b = b + b/7 + 1 {
			base := st.Seconds(b, int64(b)*1000, 100, 5050, 1)
			for what, more := range map[string]float64{
				"context":       st.Seconds(b, int64(b)*1001, 100, 5050, 1),
				"prompt tokens": st.Seconds(b, int64(b)*1000, 101, 5050, 1),
				"attention":     st.Seconds(b, int64(b)*1000, 100, 5051, 1),
				"prompts":       st.Seconds(b, int64(b)*1000, 100, 5050, 2),
				"slower GPU":    slower.Seconds(b, int64(b)*1000, 100, 5050, 1),
			} {
				if what == "prompts" && st.ranks > 1 {
					continue // they share the same tokens among more GPUs
				}
				if more < base*(1-1e-12) {
					t.Errorf("%s: %d decodes, more %s: %g s after %g s", name, b, what, more, base)
				}
			}
			if base <= last {
				t.Errorf("%s: %d decodes take %g s, fewer take %g s", name, b, base, last)
			}
			last = base
		}
	}
}

// TestLine holds the closed form against the iterations one by one, across the knee of windowed layers too.
func TestLine(t *testing.T) {
	for name, s := range replicas(t) {
		st := newTestStep(t, s)
		for _, first := range []int64{10, 8000, 16 * 128, 1 << 20} {
			const b, k = 16, 500
			l := st.Line(b, 0, 0, 0)
			want := 0.0
			for i := range int64(k) {
				one := st.Seconds(b, first+i*b, 0, 0, 0)
				if at := l.At(first + i*b); math.Abs(at-one) > 1e-12*one {
					t.Fatalf("%s: line %g, step %g", name, at, one)
				}
				want += one
			}
			if got := l.Sum(first, b, k); math.Abs(got-want) > 1e-9*want {
				t.Errorf("%s from %d: sum %g, one by one %g", name, first, got, want)
			}
			p := st.Parts(b, first, 64, 64*100, 1)
			if one := st.Seconds(b, first, 64, 64*100, 1); math.Abs(p.Total()-one) > 1e-12*one {
				t.Errorf("%s: parts %g, step %g", name, p.Total(), one)
			}
		}
	}
	if newTestStep(t, spec(t, "llama-3-8b", "h100-sxm", "bf16", 1)).Seconds(0, 0, 0, 0, 0) != 0 {
		t.Error("an empty iteration takes time")
	}
}

// TestBound: one sequence waits for memory, a long prompt for arithmetic.
func TestBound(t *testing.T) {
	st := newTestStep(t, spec(t, "llama-3-8b", "h100-sxm", "bf16", 1))
	if st.Parts(1, 1000, 0, 0, 0).ComputeBound() || !st.Parts(0, 0, 8192, 8192*4096, 1).ComputeBound() {
		t.Error("decoding one sequence is bound by arithmetic, or a prompt is not")
	}
}

// TestFit holds the memory against figures worked out by hand, and more tensor parallelism against less.
func TestFit(t *testing.T) {
	for model, bytes := range map[string]float64{ // of a token: Grattafiori et al., DeepSeek-AI; layers × kv × 2 × 2
		"llama-3-8b": 32 * 1024 * 4, "llama-3-70b": 80 * 1024 * 4, "llama-3-405b": 126 * 1024 * 4, "deepseek-v3": 61 * 576 * 2,
	} {
		if got := spec(t, model, "b300", "fp4", 8).fit().TokenBytes; got != bytes {
			t.Errorf("%s: %g bytes of KV cache a token, want %g", model, got, bytes)
		}
	}
	f, err := FitOf(spec(t, "llama-3-8b", "h100-sxm", "bf16", 1))
	// 72 GiB - 14.96 GiB - 3 GiB = 54.04 GiB of 128 KiB
	if err != nil || f.KVTokens < 442000 || f.KVTokens > 443500 || f.KVTokens%16 != 0 {
		t.Errorf("llama-3-8b on H100: %+v, %v", f, err)
	}
	for name, s := range replicas(t) {
		var last Fit
		for tp := 1; tp <= 16; tp *= 2 {
			s.Tensor, s.Expert = tp, 1
			f := s.fit()
			if tp > 1 && (f.WeightsGiB > last.WeightsGiB || f.KVTokens < last.KVTokens) {
				t.Errorf("%s: tensor %d needs more than %d: %+v, %+v", name, tp, tp/2, f, last)
			}
			last = f
		}
	}
}

// TestUnfit holds that an error says by how much and what would fit, and that what it says is true.
func TestUnfit(t *testing.T) {
	s := spec(t, "llama-3-70b", "h100-sxm", "bf16", 1)
	_, err := FitOf(s)
	var u *unfit
	if !errors.As(err, &u) {
		t.Fatalf("fits: %v", err)
	}
	for _, want := range []string{"GiB too little", "tensor: 2", "precision: fp4", "instead would fit", "h100-sxm"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
	s.Tensor = 2
	if _, err := FitOf(s); err != nil {
		t.Error(err)
	}
	s = spec(t, "llama-3-405b", "l4", "bf16", 1)
	if _, err = FitOf(s); err == nil || !strings.Contains(err.Error(), "would fit") {
		t.Errorf("405B on an L4: %v", err)
	}
	s.Tensor = 3
	if _, err = FitOf(s); err == nil || !strings.Contains(err.Error(), "heads") {
		t.Errorf("tensor 3: %v", err)
	}
}

// TestSlice: an instance is slower and smaller than the GPU, and a larger one less so.
func TestSlice(t *testing.T) {
	whole := spec(t, "llama-3.2-1b", "h100-sxm", "bf16", 1)
	last, lastFit := 0.0, whole.fit()
	for _, profile := range []string{"", "7g.80gb", "4g.40gb", "3g.40gb", "2g.20gb", "1g.20gb", "1g.10gb"} {
		s := whole
		if profile != "" {
			var err error
			if s.Device, err = Slice(whole.Device, profile); err != nil {
				t.Fatal(err)
			}
		}
		got, fit := newTestStep(t, s).Seconds(32, 32*2000, 512, 512*256, 1), s.fit()
		if got < last || fit.KVTokens > lastFit.KVTokens {
			t.Errorf("%q: %g s after %g s, %+v after %+v", profile, got, last, fit, lastFit)
		}
		last, lastFit = got, fit
	}
	if _, err := Slice(whole.Device, "1g.5gb"); err == nil || !strings.Contains(err.Error(), "1g.10gb") {
		t.Errorf("an unknown profile: %v", err)
	}
	if _, err := Slice(device(t, "l4"), "1g.5gb"); err == nil {
		t.Error("an L4 was divided")
	}
}

func BenchmarkSeconds(b *testing.B) {
	st := newTestStep(b, spec(b, "gpt-oss-120b", "b200", "fp4", 2))
	b.ReportAllocs()
	for b.Loop() {
		_ = st.Seconds(200, 100000, 500, 125000, 1)
	}
}

// TestExperts holds what experts cost against what was measured of whole layers and of grouped products: as long for one
// token each as for a tile, as even products when there are many.
func TestExperts(t *testing.T) {
	s := spec(t, "mixtral-8x7b", "h200-sxm", "bf16", 1)
	st := newTestStep(t, s)
	cost := func(n int) float64 {
		p := Parts{}
		st.experts.add(&p, n)
		return p.Compute
	}
	if a, b := cost(64), cost(400); math.Abs(a-b) > 0.02*a { // 16 to 100 tokens each
		t.Errorf("16 tokens at each expert take %g s, 100 take %g s", a, b)
	}
	many := 1 << 17
	even := 2 * float64(many) * 2 / 8 * s.Engine.Model.ExpertParams / (s.Device.Half * 1e12) / groupedHalf
	if a := cost(many); a < even || a > even*1.1 {
		t.Errorf("%d tokens take %g s, even products %g s", many, a, even)
	}
	s = spec(t, "qwen3-235b-a22b", "h200-sxm", "fp8", 8)
	s.Expert = 8
	st = newTestStep(t, s)
	one, eight := st.Seconds(0, 0, 8000, 8*1000*500, 1), st.Seconds(0, 0, 8000, 8*1000*500, 8)
	if one < eight*1.05 {
		t.Errorf("one GPU's prompt takes %g s, spread over all %g s", one, eight)
	}
	if a, b := st.fullest(9), st.fullest(16); a != 16.0/9 || b != 1 {
		t.Errorf("9 sequences on 8 GPUs: %g, 16: %g", a, b)
	}
}

// TestHost: iterations with prompts wait for the host of a small mixture, those that only decode do not, and Grace takes
// longer.
func TestHost(t *testing.T) {
	x86, grace := newTestStep(t, spec(t, "qwen3-30b-a3b", "b200", "fp4", 1)), newTestStep(t, spec(t, "qwen3-30b-a3b", "gb200", "fp4", 1))
	if a, b := x86.Seconds(8, 8000, 1, 1000, 1), grace.Seconds(8, 8000, 1, 1000, 1); b < a*1.5 {
		t.Errorf("a prompt's iteration takes %g s with x86, %g s with Grace", a, b)
	}
	if a, b := x86.Seconds(8, 8000, 0, 0, 0), grace.Seconds(8, 8000, 0, 0, 0); b > a {
		t.Errorf("decoding takes %g s with x86, %g s with Grace", a, b)
	}
	if a, b := x86.Seconds(1000, 1e6, 8000, 8000*4000, 1), x86.Seconds(1000, 1e6, 8001, 8000*4000, 1); b <= a {
		t.Errorf("a long iteration waits for the host: %g s, %g s", a, b)
	}
}

// TestFront: a server of a small model gives no more tokens a second than its front end passes on, and a benchmark in
// the engine's process is not limited by it.
func TestFront(t *testing.T) {
	s := spec(t, "llama-3.2-1b", "b200", "fp8", 1)
	st := newTestStep(t, s)
	if rate := 500 / st.Seconds(500, 500*200, 0, 0, 0); rate > 1/fitted.stream*(1+1e-6) || rate < 0.99/fitted.stream {
		t.Errorf("%.0f tokens/s through a front end of %.0f", rate, 1/fitted.stream)
	}
	bare, err := newStep(s, fitted.offline())
	if err != nil {
		t.Fatal(err)
	}
	if a, b := bare.Seconds(500, 500*200, 0, 0, 0), st.Seconds(500, 500*200, 0, 0, 0); a > b/2 {
		t.Errorf("without a front end an iteration takes %g s, with it %g s", a, b)
	}
	if a, b := bare.Seconds(500, 500*50000, 0, 0, 0), st.Seconds(500, 500*50000, 0, 0, 0); math.Abs(a-b) > 1e-12*a {
		t.Errorf("a long iteration takes %g s, behind a front end %g s", a, b)
	}
}
