package serving

import (
	"strings"
	"testing"

	"orrery/sim/model/training"
	"orrery/sim/plan"
)

// TestPresets holds the defaults that depend on the device, and that every preset serves a common model on a common
// GPU.
func TestPresets(t *testing.T) {
	m, err := training.Lookup("llama-3-8b")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Presets() {
		e, err := Preset(name, &m, device(t, "h100-sxm"))
		if err != nil {
			t.Fatal(err)
		}
		f, err := FitOf(Spec{Engine: e, Tensor: 1, Pipeline: 1, Expert: 1, Device: device(t, "h100-sxm"), Nodes: 1})
		if err != nil || f.KVTokens < 380_000 || f.KVTokens > 520_000 || f.KVTokens%int64(e.BlockTokens) != 0 {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
		if e.MaxModelTokens != m.Context || e.Evict == "" || e.MaxSequences < 1 || e.MaxBatchedTokens < 1 {
			t.Errorf("%s leaves something out: %+v", name, e)
		}
	}
	for gpu, tokens := range map[string]int{"h100-sxm": 8192, "b200": 8192, "a100-80": 2048, "l40s": 2048} {
		if e, _ := Preset(plan.EngineVLLM, &m, device(t, gpu)); e.MaxBatchedTokens != tokens {
			t.Errorf("vLLM on %s takes %d tokens, want %d", gpu, e.MaxBatchedTokens, tokens)
		}
	}
	for gpu, tokens := range map[string]int{"t4": 2048, "l4": 2048, "l40s": 4096, "h100-sxm": 8192, "b200": 16384} {
		if e, _ := Preset(plan.EngineSGLang, &m, device(t, gpu)); e.MaxBatchedTokens != tokens {
			t.Errorf("SGLang on %s takes chunks of %d tokens, want %d", gpu, e.MaxBatchedTokens, tokens)
		}
	}
	if _, err := Preset("vlm", &m, device(t, "l4")); err == nil || !strings.Contains(err.Error(), "vllm") {
		t.Errorf("an unknown preset: %v", err)
	}
}

// TestServed holds that the models that people serve are known, fit somewhere and have plausible speeds: the parameters
// that a token passes, and its bytes in the KV cache in half precision.
func TestServed(t *testing.T) {
	for name, want := range map[string]struct{ active, cache float64 }{
		"llama-3.2-1b": {1.24e9, 32 << 10}, "llama-3.2-3b": {3.21e9, 112 << 10}, "llama-3-8b": {8.03e9, 128 << 10},
		"llama-3-70b": {70.6e9, 320 << 10}, "llama-3-405b": {406e9, 504 << 10}, "llama-2-70b": {69e9, 320 << 10},
		"qwen3-32b": {32.8e9, 256 << 10}, "qwen3-30b-a3b": {3.35e9, 96 << 10}, "qwen3-235b-a22b": {22.2e9, 188 << 10},
		"gpt-oss-120b": {5.7e9, 72 << 10}, "deepseek-v3": {37.5e9, 70272}, "mixtral-8x7b": {12.9e9, 128 << 10},
		"llama-4-maverick": {17.2e9, 192 << 10}, "llama-4-scout": {17.2e9, 192 << 10}, "qwen3-0.6b": {0.6e9, 112 << 10},
		"bge-large-en": {0.335e9, 96 << 10}, "qwen3-embedding-0.6b": {0.6e9, 112 << 10},
	} {
		s := spec(t, name, "b300", "fp8", 8)
		if m := s.Engine.Model; m.Active < want.active*0.97 || m.Active > want.active*1.03 {
			t.Errorf("%s: %.3g parameters active, want %.3g", name, m.Active, want.active)
		}
		if f, err := FitOf(s); err != nil || f.TokenBytes != want.cache {
			t.Errorf("%s: %.0f bytes of KV cache a token, want %.0f: %v", name, f.TokenBytes, want.cache, err)
		}
		newTestStep(t, s)
	}
}
