package training

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var (
	rewrite = flag.Bool("rewrite", false, "write README.md anew")
	refit   = flag.Bool("refit", false, "search the global parameters anew and print them")
)

// errorMax is the bound on the mean absolute error over dense models that no parameter was fitted on.
const errorMax = 0.12

// TestError holds the error of the model on published speeds: dense models that it was not fitted on, and no hidden
// lean to one side. Mixtures of experts are known to be far off; the bound keeps them from getting worse.
func TestError(t *testing.T) {
	dense, lean, n := mean(fitted, func(r *row) bool { return !r.moe() && r.Use == "held" })
	if n < 40 || dense > errorMax || lean > 0.06 || lean < -0.06 {
		t.Errorf("dense models held out: mean absolute error %.1f %%, mean %+.1f %% over %d rows", 100*dense, 100*lean, n)
	}
	if moe, _, n := mean(fitted, func(r *row) bool { return r.moe() && r.Use == "held" }); n < 10 || moe > 0.30 {
		t.Errorf("mixtures of experts held out: mean absolute error %.1f %% over %d rows", 100*moe, n)
	}
	for i := range validation().Rows {
		r := &validation().Rows[i]
		if _, got := r.predict(fitted); !r.moe() && (off(got, r.Published) > 0.30 || off(got, r.Published) < -0.30) {
			t.Errorf("%s on %d %s: %.0f tokens/s, published %.0f", r.Model, r.GPUs, r.GPU, got, r.Published)
		}
	}
}

// cost is what the parameters are fitted by: the sum of absolute errors over the rows to fit.
func cost(p parameters) float64 {
	e, _, n := mean(p, func(r *row) bool { return r.Use == "fit" })
	return e * float64(n)
}

// knob is a parameter that is fitted, and the range its meaning allows.
type knob struct {
	at        func(*parameters) *float64
	low, high float64
}

var knobs = []knob{
	{func(p *parameters) *float64 { return &p.gemm }, 0.80, 0.92},
	{func(p *parameters) *float64 { return &p.wide }, 50, 900},
	{func(p *parameters) *float64 { return &p.tensor }, 0.3, 0.9},
	{func(p *parameters) *float64 { return &p.data }, 0.5, 0.8},
	{func(p *parameters) *float64 { return &p.narrow }, 10, 20000},
	{func(p *parameters) *float64 { return &p.expert }, 0.02, 0.9},
}

// TestFitted holds that the parameters are what the rows marked fit give: changing any of them by a tenth within its
// range makes these rows no better by more than rounding them did. With -refit it prints a new search.
func TestFitted(t *testing.T) {
	if *refit {
		t.Logf("%+v", search(fitted))
	}
	have := cost(fitted)
	for i, k := range knobs {
		for _, f := range []float64{0.9, 1.1} {
			try := fitted
			v := k.at(&try)
			if *v = *v * f; *v < k.low || *v > k.high {
				continue
			}
			if c := cost(try); c < have*0.98 {
				t.Errorf("parameter %d × %.1f fits better: %.3f instead of %.3f; run with -refit", i, f, c, have)
			}
		}
	}
}

// search is a coordinate descent.
func search(par parameters) parameters {
	best := cost(par)
	for step := 0.2; step > 0.004; step /= 2 {
		for again := true; again; {
			again = false
			for _, k := range knobs {
				for _, f := range []float64{1 + step, 1 - step} {
					try := par
					v := k.at(&try)
					*v = min(k.high, max(k.low, *v*f))
					if c := cost(try); c < best-1e-9 {
						best, par, again = c, try, true
					}
				}
			}
		}
	}
	return par
}

// TestReadme keeps README.md, with the table of predicted against published, equal to what the model gives.
func TestReadme(t *testing.T) {
	want := Readme()
	got, err := os.ReadFile("README.md")
	if string(got) == want {
		return
	}
	if !*rewrite {
		t.Fatalf("README.md is stale (%v); run: go test ./sim/model/training -run TestReadme -rewrite", err)
	}
	if err := os.WriteFile("README.md", []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFrontPage holds the table in the project's README against the model.
func TestFrontPage(t *testing.T) {
	const file, begin, end = "../../../README.md", "<!-- begin generated: training -->\n", "<!-- end generated: training -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table of the training model", file)
	}
	var errors strings.Builder
	for _, line := range Card().Error[:4] {
		errors.WriteString("- " + line + "\n")
	}
	want := before + begin + "\n" + errors.String() + "\n<details><summary>Predicted against published speed, " +
		"row by row</summary>\n\n" + Table() + "\n</details>\n\n" + end + after
	switch {
	case want == string(text):
	case !*rewrite:
		t.Fatalf("%s is stale; run: go test ./sim/model/training -run TestFrontPage -rewrite", file)
	default:
		if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCards holds that every model says what it is.
func TestCards(t *testing.T) {
	for _, c := range Cards() {
		if m := c.Missing(); len(m) > 0 {
			t.Errorf("the card of %s lacks %v", c.Name, m)
		}
	}
}

// TestMemory holds the memory model against jobs that ran: all but three fit within the slack that the check leaves, and
// their groups can be formed.
func TestMemory(t *testing.T) {
	over := 0
	for i := range validation().Rows {
		r := &validation().Rows[i]
		part := MemoryOf(r.training(), r.GPUs).Total() / (r.gpu.MemoryMiB * (1 << 20))
		if part > memorySlack {
			over++
		}
		if part > 2.3 || part < 0.1 {
			t.Errorf("%s on %d %s needs %.2f of its memory", r.Model, r.GPUs, r.GPU, part)
		}
		if err := Check(r.training(), r.GPUs); err != nil {
			t.Errorf("%s on %d %s: %v", r.Model, r.GPUs, r.GPU, err)
		}
	}
	if over != 3 {
		t.Errorf("%d jobs that ran do not fit by the model, want 3", over)
	}
}
