package formats_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"orrery/traces/requests"
	"orrery/traces/requests/formats"
)

// real returns the path of a public data set's file, or skips: the data sets are not part of the repository.
func real(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("ORRERY_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared")
	}
	path := filepath.Join(root, "traces", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("reference data %s is not there (set ORRERY_SHARED to its folder)", name)
	}
	return path
}

func describeReal(t *testing.T, name string, opts requests.Options) requests.Description {
	t.Helper()
	src, err := formats.Open(real(t, name), opts)
	if err != nil {
		t.Fatal(err)
	}
	d, err := requests.Describe(src)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Header.Skipped) > 0 {
		t.Errorf("rows were skipped: %+v", d.Header.Skipped)
	}
	return d
}

// near fails unless got, rounded as published, is the published value.
func near(t *testing.T, what string, got, want, step float64) {
	t.Helper()
	if math.Abs(got-want) > step/2*1.000001 {
		t.Errorf("%s is %v, published %v", what, got, want)
	}
}

// TestAzureReal compares both files of 2023 with aggregates of theirs.
func TestAzureReal(t *testing.T) {
	for _, tc := range []struct {
		file              string
		rows              int64
		span, rate        float64
		in, out           [3]int // p50, p95, max
		inMean, outMean   float64
		gapCV, dispersion float64 // 0 = not known
	}{
		{"code", 8819, 3436, 2.57, [3]int{1469, 7315, 7437}, [3]int{13, 90, 1899}, 2048, 27.9, 13.2, 13.2},
		{"conv_first40min", 14176, 2400, 5.91, [3]int{1015, 4085, 14050}, [3]int{115, 448, 1000}, 1195, 201.5, 0, 0},
	} {
		t.Run(tc.file, func(t *testing.T) {
			d := describeReal(t, "azure-llm-2023/AzureLLMInferenceTrace_"+tc.file+".csv.gz", requests.Options{})
			if d.Requests != tc.rows || [3]int{d.Input.P50, d.Input.P95, d.Input.Max} != tc.in ||
				[3]int{d.Output.P50, d.Output.P95, d.Output.Max} != tc.out {
				t.Errorf("%d rows, input %+v, output %+v", d.Requests, d.Input, d.Output)
			}
			near(t, "the span", d.LastSeconds, tc.span, 1)
			near(t, "the rate", d.Arrivals.PerSecond, tc.rate, 0.01)
			near(t, "mean input", d.Input.Mean, tc.inMean, 1)
			near(t, "mean output", d.Output.Mean, tc.outMean, 0.1)
			if tc.gapCV > 0 {
				near(t, "the CV of the gaps", d.Arrivals.GapCV, tc.gapCV, 0.1)
				near(t, "variance ÷ mean a second", d.Arrivals.Dispersion, tc.dispersion, 0.1)
			}
		})
	}
}

// TestMooncakeReal compares the conversations with aggregates of theirs, and looks at what the smoothing of time does.
func TestMooncakeReal(t *testing.T) {
	const file = "mooncake/conversation_trace.jsonl.gz"
	d := describeReal(t, file, requests.Options{})
	if d.Requests != 12031 || d.Input.P50 != 6909 || d.Input.P99 != 85401 || d.Output.P50 != 350 || d.Output.P99 != 1120 ||
		d.Prefix.Blocks != 288500 || d.Prefix.DistinctBlocks != 182790 || d.Prefix.Requests != 12031 {
		t.Errorf("%+v", d)
	}
	near(t, "mean input", d.Input.Mean, 12035, 1)
	near(t, "mean output", d.Output.Mean, 343, 1)
	near(t, "block hits", 100*d.Prefix.BlockHits, 36.6, 0.1)
	near(t, "token hits", 100*d.Prefix.TokenHits, 37.4, 0.1)
	if cv := d.Arrivals.GapCV; cv < 0.9 || cv > 1.1 {
		t.Errorf("smoothed gaps have a CV of %v; within a step they should look like a Poisson process", cv)
	}
	raw := describeReal(t, file, requests.Options{Set: map[string]string{"smooth": "none"}})
	if raw.Arrivals.GapCV < 2 || raw.Prefix != d.Prefix || raw.Input != d.Input {
		t.Errorf("unsmoothed: %+v", raw)
	}
}

// BenchmarkRead measures reading: rows a second of each sample, repeated.
func BenchmarkRead(b *testing.B) {
	for _, name := range []string{"azure-llm-2023/AzureLLMInferenceTrace_conv_first40min.csv.gz",
		"mooncake/conversation_trace.jsonl.gz"} {
		b.Run(filepath.Dir(name), func(b *testing.B) {
			path := real(b, name)
			rows := 0
			for b.Loop() {
				src, err := formats.Open(path, requests.Options{})
				if err != nil {
					b.Fatal(err)
				}
				list, err := requests.ReadAll(src)
				if err != nil {
					b.Fatal(err)
				}
				rows += len(list)
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
