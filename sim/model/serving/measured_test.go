package serving

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

// measurement is a line that testdata/measure.py wrote.
type measurement struct {
	What, Kind, Kernel               string
	Batch, Context, Tokens, M, K, N  int
	Seconds, BF16, Read, Copy, Bytes float64
}

// TestMeasured holds the constants that are measured, not fitted, and the rows of single iterations against the file
// that the measurement left.
func TestMeasured(t *testing.T) {
	text, err := os.ReadFile("testdata/h200.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	gpu := device(t, "h200-sxm")
	decode := map[[2]int]float64{}
	seconds := map[string]float64{}
	var weights, attention, gemm []float64
	for _, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		var m measurement
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		switch {
		case m.What == "decode" || m.What == "prefill":
			seconds[key(m.Kind, m.Batch, m.Context, m.Tokens)] = m.Seconds
			if m.Kind == "bf16" {
				decode[[2]int{m.Batch, m.Context}] = m.Seconds
			}
		case m.What == "product" && m.M <= 8:
			weights = append(weights, float64(m.K*m.N*2)/m.BF16/(gpu.MemoryGBs*1e9))
		case m.What == "product" && m.M >= 2048:
			gemm = append(gemm, 2*float64(m.M)*float64(m.K)*float64(m.N)/m.BF16/(gpu.Half*1e12))
		case m.What == "causal" && m.Kernel == "CUDNN_ATTENTION" && m.Tokens >= 4096:
			n := float64(m.Tokens)
			attention = append(attention, 4*32*128*n*n/2/m.Seconds/(gpu.Half*1e12))
		}
	}
	grown := decode[[2]int{256, 1024}] - decode[[2]int{256, 128}]
	read := TokenBytes(spec(t, "llama-3-8b", "h200-sxm", "bf16", 1).Engine.Model, 2) * 256 * (1024 - 128)
	for _, c := range []struct {
		name          string
		have, measure float64
	}{
		{"weights", fitted.weights, average(weights)}, {"attention", fitted.attention, average(attention)},
		{"cache", fitted.cache, read / grown / (gpu.MemoryGBs * 1e9)}, {"gemm", fitted.gemm, average(gemm)},
	} {
		if off := off(c.have, c.measure); off < -0.07 || off > 0.07 {
			t.Errorf("%s is %.2f, measured %.3f", c.name, c.have, c.measure)
		}
	}
	for _, r := range validation().Iteration {
		k := key(r.Precision, r.Batch, r.Context, r.Prompt)
		if off := off(r.Seconds, seconds[k]); off < -1e-3 || off > 1e-3 {
			t.Errorf("validation.yaml has %g s for %s, the measurement %g s", r.Seconds, k, seconds[k])
		}
		delete(seconds, k)
	}
	if len(seconds) > 0 {
		t.Errorf("measured, but not in validation.yaml: %v", seconds)
	}
}

func key(kind string, batch, context, tokens int) string {
	text, _ := json.Marshal([]any{kind, batch, context, tokens})
	return string(text)
}

func average(list []float64) float64 {
	sum := 0.0
	for _, x := range list {
		sum += x
	}
	return sum / float64(len(list))
}
