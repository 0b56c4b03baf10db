package serving

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

// cost is what the parameters are fitted by: the sum of absolute errors over the rows to fit. Mixtures of experts have
// parameters of their own, which are fitted after the others.
func cost(p parameters, moe bool) float64 {
	fit := func(r *row) bool { return r.Use == "fit" && r.moe() == moe }
	return loadError(&p, fit).absolute + singleError(&p, fit).absolute + sweepError(&p, fit).absolute
}

// knob is a parameter that is fitted, and the range its meaning allows.
type knob struct {
	name      string
	moe       bool
	at        func(*parameters) *float64
	low, high float64
}

var knobs = []knob{
	{"gemm", false, func(p *parameters) *float64 { return &p.gemm }, 0.80, 0.90},
	{"fp4", false, func(p *parameters) *float64 { return &p.fp4 }, 0.5, 1},
	{"fp4Card", false, func(p *parameters) *float64 { return &p.fp4Card }, 0.5, 1.2},
	{"wide", false, func(p *parameters) *float64 { return &p.wide }, 8, 60},
	{"hide", false, func(p *parameters) *float64 { return &p.hide }, 0.3, 0.6},
	{"iteration", false, func(p *parameters) *float64 { return &p.iteration }, 0.2e-3, 4e-3},
	{"layer", false, func(p *parameters) *float64 { return &p.layer }, 5e-6, 34e-6},
	{"expert", true, func(p *parameters) *float64 { return &p.expert }, 5e-6, 60e-6},
	{"sequence", false, func(p *parameters) *float64 { return &p.sequence }, 0.5e-6, 20e-6},
	{"skew", true, func(p *parameters) *float64 { return &p.skew }, 1, 2.5},
	{"grouped4", true, func(p *parameters) *float64 { return &p.grouped4 }, 0.3, 1},
	{"eager", true, func(p *parameters) *float64 { return &p.eager }, 0.1e-3, 1.5e-3},
	{"host", true, func(p *parameters) *float64 { return &p.host }, 1e-6, 40e-6},
	{"grace", true, func(p *parameters) *float64 { return &p.grace }, 1, 2},
	{"stream", false, func(p *parameters) *float64 { return &p.stream }, 20e-6, 150e-6},
	{"unhidden", false, func(p *parameters) *float64 { return &p.unhidden }, 0, 100e-6},
	{"reduce", false, func(p *parameters) *float64 { return &p.reduce }, 3e-6, 12e-6},
	{"bareLayer", false, func(p *parameters) *float64 { return &p.bareLayer }, 10e-6, 60e-6},
}

// search is a coordinate descent over the parameters of dense models or over those of experts.
func search(par parameters, moe bool) parameters {
	best := cost(par, moe)
	for step := 0.2; step > 0.01; step /= 2 {
		for again := true; again; {
			again = false
			for _, k := range knobs {
				for _, f := range []float64{1 + step, 1 - step} {
					try := par
					v := k.at(&try)
					if *v = min(k.high, max(k.low, *v*f)); k.moe != moe {
						continue
					}
					if c := cost(try, moe); c < best-1e-9 {
						best, par, again = c, try, true
					}
				}
			}
		}
	}
	return par
}

// TestFitted holds that the parameters are what the rows marked fit give: changing any of them by a tenth within its
// range makes these rows no better by more than rounding them did. With -refit it prints a new search.
func TestFitted(t *testing.T) {
	if *refit {
		t.Logf("%+v", search(search(fitted, false), true))
	}
	now := map[bool]float64{false: cost(fitted, false), true: cost(fitted, true)}
	for _, k := range knobs {
		have := now[k.moe]
		for _, f := range []float64{0.9, 1.1} {
			try := fitted
			v := k.at(&try)
			if *v = *v * f; *v < k.low || *v > k.high {
				continue
			}
			if c := cost(try, k.moe); c < have*0.98 {
				t.Errorf("%s × %.1f fits better: %.3f instead of %.3f; run with -refit", k.name, f, c, have)
			}
		}
	}
}

// TestError holds the error of the model: each class of models within the bound that users are told, no hidden lean to
// one side.
func TestError(t *testing.T) {
	for _, w := range []struct {
		group         int
		held          bool
		most, lean    float64
		figures, each float64
	}{
		{0, true, 0.09, 0.05, 60, 0.25}, {0, false, 0.09, 0.05, 40, 0.20}, {1, true, 0.12, 0.06, 25, 0.30},
		{1, false, 0.08, 0.05, 10, 0.15}, {2, true, 0.15, 0.05, 130, 0.40}, {2, false, 0.15, 0.08, 40, 0.60},
	} {
		g := groups[w.group]
		take := func(r *row) bool { return g.take(r) && r.held() == w.held }
		sum := tallyOf(take)
		absolute, signed := sum.mean()
		if float64(sum.n) < w.figures || absolute > w.most || signed > w.lean || signed < -w.lean {
			t.Errorf("%s, held out %t: mean absolute error %.1f %%, mean %+.1f %% over %d figures", g.name, w.held,
				100*absolute, 100*signed, sum.n)
		}
		for _, o := range results() {
			for j, published := range o.row.Rates {
				if published > 0 && take(o.row) && (off(o.rates[j], published) > w.each || off(o.rates[j], published) < -w.each) {
					t.Errorf("%s %s %s: %.0f tokens/s, published %.0f", o.row.ID, o.row.Model, o.row.how(), o.rates[j], published)
				}
			}
		}
	}
	if sum := sweepError(&fitted, (*row).held); sum.n < 8 || sum.absolute > 0.10*float64(sum.n) {
		t.Errorf("clients that wait: mean absolute error %.1f %% over %d", 100*sum.absolute/float64(sum.n), sum.n)
	}
	for precision, most := range map[string]float64{"bf16": 0.06, "fp8": 0.08} {
		sum := singleError(&fitted, func(r *row) bool { return r.Precision == precision && r.held() })
		if absolute, _ := sum.mean(); absolute > most || sum.n < 20 {
			t.Errorf("iterations in %s: mean absolute error %.1f %% over %d", precision, 100*absolute, sum.n)
		}
	}
	for i := range validation().System {
		r := &validation().System[i]
		if got := r.system(&fitted); off(got, r.Rate) > 0.25 || off(got, r.Rate) < -0.25 {
			t.Errorf("%s %s: %.0f tokens/s, published %.0f", r.ID, r.Model, got, r.Rate)
		}
	}
	published, predicted := knees(&validation().Sweep[0])
	if off(predicted, published) > 0.2 || off(predicted, published) < -0.2 {
		t.Errorf("the knee of the sweep is at %.0f clients, published at %.0f", predicted, published)
	}
}

// TestFigures holds that every row of the load table has a figure or a gap for each shape.
func TestFigures(t *testing.T) {
	for _, r := range validation().Load {
		if len(r.Rates) != len(validation().Shapes) {
			t.Errorf("%s %s: %d rates for %d shapes", r.ID, r.Model, len(r.Rates), len(validation().Shapes))
		}
	}
}

// TestReadme keeps README.md, with the table of predicted against published, equal to what the model gives.
func TestReadme(t *testing.T) {
	want := Readme()
	got, err := os.ReadFile("README.md")
	if string(got) == want {
		return
	}
	if !*rewrite {
		t.Fatalf("README.md is stale (%v); run: go test ./sim/model/serving -run TestReadme -rewrite", err)
	}
	if err := os.WriteFile("README.md", []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCard holds that the model says what it is.
func TestCard(t *testing.T) {
	if m := Card().Missing(); len(m) > 0 {
		t.Errorf("the card lacks %v", m)
	}
}

// frontPage is how many of the card's errors stand on the project's front page.
const frontPage = 14

// TestFrontPage holds the errors told on the project's front page against the model.
func TestFrontPage(t *testing.T) {
	const file, begin, end = "../../../README.md", "<!-- begin generated: serving -->\n", "<!-- end generated: serving -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the errors of the model of serving", file)
	}
	want := before + begin + "\n- " + strings.Join(Card().Error[:frontPage], "\n- ") + "\n\n" + end + after
	switch {
	case want == string(text):
	case !*rewrite:
		t.Fatalf("%s is stale; run: go test ./sim/model/serving -run TestFrontPage -rewrite", file)
	default:
		if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
