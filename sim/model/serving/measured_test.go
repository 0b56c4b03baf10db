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
	Experts                          int
	Seconds, BF16, Read, Copy, Bytes float64
	Cast, Up, Down, Up8, Down8       float64
}

// lines reads a file that testdata/measure.py wrote.
func lines(t *testing.T, file string) (out []measurement) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		var m measurement
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

// TestMeasuredExperts holds the constants of grouped products against the measurements on two kinds of GPU, which have
// the same arithmetic and memory of different speed.
func TestMeasuredExperts(t *testing.T) {
	var tile, half, eight, narrow, casts, starts []float64
	for file, gpu := range map[string]string{"testdata/h200.jsonl": "h200-sxm", "testdata/h100.jsonl": "h100-sxm"} {
		d := device(t, gpu)
		for _, m := range lines(t, file) {
			switch {
			case m.What == "experts" && m.Kernel == "equal":
				rows := float64(2*3*m.N*m.K*m.Experts) / (d.Half * 1e12) // seconds of one row at each expert at the ceiling
				if m.M <= 128 {
					tile = append(tile, (m.Up+m.Down)/rows)
				}
				if m.M == 4096 && m.N >= 4096 {
					half = append(half, float64(m.M)*rows/(m.Up+m.Down))
				}
				if m.M == 1024 && m.N == 1536 {
					narrow = append(narrow, float64(m.M)*rows/(m.Up+m.Down))
				}
				rows = float64(2*3*m.N*m.K*m.Experts) / (d.FP8 * 1e12)
				if m.M <= 128 && m.Up8 > 0 {
					tile = append(tile, (m.Up8+m.Down8)/rows)
				}
				if m.M == 4096 && m.N >= 4096 {
					eight = append(eight, float64(m.M)*rows/(m.Up8+m.Down8))
				}
			case m.What == "shape" && m.M >= 4096:
				casts = append(casts, float64(3*m.M*m.K)/m.Cast/(d.MemoryGBs*1e9))
			case m.What == "shape" && m.M == 1:
				starts = append(starts, m.Cast)
			}
		}
	}
	wide := groupedHalf * 1536 / (1536 + groupedWidth*groupedHalf*device(t, "h200-sxm").Half/1e3)
	for _, c := range []struct {
		name          string
		have, measure float64
		n, list       int
	}{
		{"groupedFloor", groupedFloor, average(tile), 80, len(tile)}, {"groupedHalf", groupedHalf, average(half), 4, len(half)},
		{"grouped8", grouped8, average(eight), 4, len(eight)}, {"groupedWidth", wide, average(narrow), 2, len(narrow)},
		{"elementwise", elementwise, average(casts), 6, len(casts)}, {"castSeconds", castSeconds, average(starts), 3, len(starts)},
	} {
		if off := off(c.have, c.measure); off < -0.07 || off > 0.07 || c.list < c.n {
			t.Errorf("%s is %.3g, measured %.3g over %d", c.name, c.have, c.measure, c.list)
		}
	}
}

// TestMeasured holds the constants that are measured, not fitted, and the rows of single iterations against the file
// that the measurement left.
func TestMeasured(t *testing.T) {
	gpu := device(t, "h200-sxm")
	decode := map[[2]int]float64{}
	seconds := map[string]float64{}
	var weights, attention, gemm []float64
	for _, m := range lines(t, "testdata/h200.jsonl") {
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
