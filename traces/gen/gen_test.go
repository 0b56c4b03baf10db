package gen

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"orrery/sim/rng"
	"orrery/traces"
)

func sample(t *testing.T, s Spec, seed uint64) (traces.Header, []traces.Job) {
	t.Helper()
	g, err := New(s, rng.New(seed).Stream("trace"))
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := traces.ReadAll(g)
	if err != nil {
		t.Fatal(err)
	}
	return g.Header(), jobs
}

func preset(t *testing.T, name string) Spec {
	t.Helper()
	s, ok := Preset(name)
	if !ok {
		t.Fatalf("no preset %s", name)
	}
	return s
}

// near fails unless got is within a relative tolerance of want.
func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*math.Abs(want)) {
		t.Errorf("%s is %v, want %v ± %.2g %%", what, got, want, 100*tolerance)
	}
}

// TestPresetsExact checks without sampling that the presets' classes reproduce the published totals they were derived
// from: mean run, mean GPUs, mean GPU-time per job, outcome shares of jobs and of GPU-time.
func TestPresetsExact(t *testing.T) {
	for _, tc := range []struct {
		preset                string
		run, gpus, work       float64
		jobShares, timeShares Outcomes
	}{
		{"philly-like", 18006.055, 1.928, 6.89465e9 / 112956, Outcomes{.604, .305, .090, 0}, Outcomes{.321, .386, .294, 0}},
		{"helios-like", 6651.681, 3.716, 7.7998e10 / 1580464, Outcomes{.624, .155, .221, 0}, Outcomes{.513, .093, .394, 0}},
		{"acme-like", 1259.689, 26.77, 5.33318e9 / 19907, Outcomes{.541, .397, .062, 0}, Outcomes{.313, .080, .607, 0}},
	} {
		t.Run(tc.preset, func(t *testing.T) {
			s := preset(t, tc.preset)
			var total, run, gpus, work float64
			byJobs, byTime := make([]float64, 4), make([]float64, 4)
			for _, size := range s.Sizes {
				c := s.Classes[slices.IndexFunc(s.Classes, func(c Class) bool { return size.GPUs <= c.UpToGPUs })]
				mean := newClass(c).mean()
				total += size.Weight
				gpus += size.Weight * float64(size.GPUs)
				run += size.Weight * mean
				work += size.Weight * mean * float64(size.GPUs)
				w := c.Outcomes.weights()
				for i := range w {
					share := w[i] / (w[0] + w[1] + w[2] + w[3])
					byJobs[i] += size.Weight * share
					byTime[i] += size.Weight * share * mean * float64(size.GPUs)
				}
			}
			near(t, "mean run", run/total, tc.run, 0.001)
			near(t, "mean GPUs", gpus/total, tc.gpus, 0.001)
			near(t, "mean work", work/total, tc.work, 0.001)
			near(t, "WorkMean", s.WorkMean(), tc.work, 0.001)
			for i, want := range tc.jobShares.weights() {
				if math.Abs(byJobs[i]/total-want) > 0.002 || math.Abs(byTime[i]/work-tc.timeShares.weights()[i]) > 0.002 {
					t.Errorf("outcome %q: %v of jobs (want %v), %v of GPU-time (want %v)", outcomes[i], byJobs[i]/total, want,
						byTime[i]/work, tc.timeShares.weights()[i])
				}
			}
			for _, c := range s.Classes {
				sm := c.Duration[0].sampler()
				near(t, c.Name+" median", sm.at(0.5), c.Duration[0].Median.Seconds(), 1e-9)
				near(t, c.Name+" mean", sm.mean, c.Duration[0].Mean.Seconds(), 1e-9)
			}
		})
	}
}

// TestSamplerMean checks the closed-form means against numerical integration of the quantile function.
func TestSamplerMean(t *testing.T) {
	for _, d := range []Component{
		{Kind: Lognormal, Median: 500 * time.Second, Mean: 9000 * time.Second, Max: 1000 * time.Hour},
		{Kind: Lognormal, Median: time.Minute, Sigma: 1, Min: 10 * time.Second, Max: time.Hour},
		{Kind: Lognormal, Median: time.Hour, Sigma: 6, Max: 1000 * time.Hour},
		{Kind: Pareto, Min: time.Minute, Max: 100 * time.Hour, Alpha: 0.7},
		{Kind: Pareto, Min: time.Minute, Max: 100 * time.Hour, Alpha: 1},
		{Kind: Pareto, Min: time.Minute, Max: 100 * time.Hour, Alpha: 2.5},
	} {
		s := d.sampler()
		const n = 1_000_000
		sum := 0.0
		for i := range n {
			v := s.at((float64(i) + 0.5) / n)
			if v < s.lo || v > s.hi || math.IsNaN(v) {
				t.Fatalf("%+v: %v at %d", d, v, i)
			}
			sum += v
		}
		near(t, d.Kind+" mean", sum/n, s.mean, 0.002)
		if d.Kind == Lognormal {
			near(t, "median", s.at(0.5), d.Median.Seconds(), 1e-6)
		}
	}
}

// TestSample compares a large sample with the parameters. Tolerances are about four standard errors: shares have
// sqrt(p(1-p)/n) ≤ 0.0011 at n = 200,000; the median of a lognormal has 1.25·sigma/sqrt(n), with sigma ≤ 3 below 0.9 %.
func TestSample(t *testing.T) {
	for _, name := range Presets() {
		t.Run(name, func(t *testing.T) {
			s := preset(t, name)
			s.Jobs = 200_000
			h, jobs := sample(t, s, 7)
			if int64(len(jobs)) != s.Jobs || h.Jobs != s.Jobs {
				t.Fatalf("%d jobs", len(jobs))
			}
			sizes := map[int]int{}
			perClass := map[string][]float64{}
			tenants := map[string]int{}
			fractional, one := 0, 0
			for i, j := range jobs {
				if p := j.Check(); len(p) > 0 || i > 0 && j.Submit < jobs[i-1].Submit {
					t.Fatalf("job %+v: %v", j, p)
				}
				sizes[j.GPUs]++
				perClass[j.Class] = append(perClass[j.Class], j.Run.Seconds())
				tenants[j.Tenant]++
				one += bit(j.GPUs == 1)
				fractional += bit(j.GPUMilli > 0 && j.GPUMilli < 1000)
			}
			total := 0.0
			for _, size := range s.Sizes {
				total += size.Weight
			}
			n := float64(len(jobs))
			for _, size := range s.Sizes {
				share(t, "size", float64(sizes[size.GPUs]), n, size.Weight/total)
			}
			share(t, "fractional", float64(fractional), float64(one), s.Fractional.Share)
			for _, c := range s.Classes {
				x := perClass[c.Name]
				slices.Sort(x)
				sm := c.Duration[0].sampler()
				for _, q := range []float64{0.1, 0.5, 0.9} {
					// Binomial bounds on the rank, turned into lengths through the quantile function: distribution-free.
					half := 4 * math.Sqrt(q*(1-q)/float64(len(x)))
					got := x[int(q*float64(len(x)))]
					if lo, hi := sm.at(max(q-half, 0)), sm.at(min(q+half, 1)); got < lo-0.001 || got > hi+0.001 {
						t.Errorf("class %s (n=%d): quantile %v is %v, want %v to %v", c.Name, len(x), q, got, lo, hi)
					}
				}
			}
			for _, tenant := range s.Tenants {
				sum := 0.0
				for _, o := range s.Tenants {
					sum += o.Share
				}
				share(t, "tenant "+tenant.Name, float64(tenants[tenant.Name]), n, tenant.Share/sum)
			}
			near(t, "rate", n/jobs[len(jobs)-1].Submit.Hours(), s.RatePerHour(), 4*max(s.Arrival.CV, 1)/math.Sqrt(n)+0.02)
		})
	}
}

// share fails unless k of n is within four standard errors of p.
func share(t *testing.T, what string, k, n, p float64) {
	t.Helper()
	if math.Abs(k/n-p) > 4*math.Sqrt(p*(1-p)/n)+1e-12 {
		t.Errorf("%s: share %v, want %v", what, k/n, p)
	}
}

// TestLoad checks that the work submitted over the span is the load asked for. Lengths are bounded tightly here, so the
// standard error of the mean work is below 1 %.
func TestLoad(t *testing.T) {
	s := preset(t, "helios-like")
	s.Jobs, s.Span = 0, 20*7*24*time.Hour
	s.Classes = []Class{{Name: "all", UpToGPUs: 256, Duration: []Component{
		{Kind: Lognormal, Weight: 3, Median: time.Hour, Sigma: 0.5, Max: 10 * time.Hour},
		{Kind: Pareto, Weight: 1, Min: time.Minute, Max: 5 * time.Hour, Alpha: 1.5}}}}
	s.Arrival.Load = &Load{GPUs: 512, Factor: 0.7}
	s.Arrival.HourOfDay = []float64{1, 0, 0, 0, 0, 0, 1, 2, 5, 9, 9, 9, 6, 9, 9, 9, 9, 6, 4, 4, 3, 3, 2, 1}
	s.Arrival.DayOfWeek = []float64{5, 5, 5, 5, 4, 1, 0}
	_, jobs := sample(t, s, 1)
	work := 0.0
	for _, j := range jobs {
		work += float64(j.GPUAsked()) / 1000 * j.Run.Seconds()
		if h := int(j.Submit.Hours()) % 24; h >= 1 && h <= 5 || int(j.Submit.Hours())/24%7 == 6 {
			t.Fatalf("submission at %v, in an hour of weight 0", j.Submit)
		}
	}
	near(t, "load", work/s.Span.Seconds()/512, 0.7, 0.04)
}

// TestBursts checks the coefficient of variation of the gaps of a process without hours and days.
func TestBursts(t *testing.T) {
	for _, cv := range []float64{0.5, 1, 3} {
		s := preset(t, "helios-like")
		s.Jobs = 300_000
		s.Arrival = Arrival{Process: Gamma, CV: cv, RatePerHour: 100}
		g, err := New(s, rng.New(3).Stream("trace"))
		if err != nil {
			t.Fatal(err)
		}
		d, err := traces.Describe(g)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "gap CV", d.Arrivals.GapCV, cv, 0.03)
		near(t, "rate", d.Arrivals.PerHour, 100, 0.03)
	}
}

// TestRepeatable checks that equal seeds give equal traces, other seeds do not, and that the end holds.
func TestRepeatable(t *testing.T) {
	s := preset(t, "philly-like")
	s.Jobs, s.Span = 0, 48*time.Hour
	_, a := sample(t, s, 5)
	_, b := sample(t, s, 5)
	_, c := sample(t, s, 6)
	same := func(x, y []traces.Job) bool {
		return slices.EqualFunc(x, y, func(p, q traces.Job) bool {
			return p.ID == q.ID && p.Submit == q.Submit && p.Run == q.Run && p.GPUs == q.GPUs && p.Tenant == q.Tenant
		})
	}
	if len(a) == 0 || !same(a, b) || same(a, c) {
		t.Errorf("%d, %d and %d jobs", len(a), len(b), len(c))
	}
	g, err := New(s, rng.New(5).Stream("trace"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := traces.ReadAll(g); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Next(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

// TestParse checks presets with changes, strictness, and that all problems come at once with their paths.
func TestParse(t *testing.T) {
	s, err := Parse("a.yaml", []byte("preset: philly-like\nname: mine\njobs: 5\narrival: {load: {factor: 0.5}}\n"+
		"tenants: [{name: x, share: 1}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "mine" || s.Jobs != 5 || s.Arrival.Load.Factor != 0.5 || s.Arrival.Load.GPUs != 2816 ||
		s.Arrival.CV != 4.7 || len(s.Tenants) != 1 || len(s.Sizes) != 8 {
		t.Errorf("%+v", s)
	}
	for _, tc := range []struct {
		yaml string
		want []string
	}{
		{"preset: nonsense", []string{`no preset "nonsense"`, "acme-like, helios-like"}},
		{"preset: acme-like\njbos: 5\narrival:\n  cw: 3", []string{"a.yaml:2: field jbos", "a.yaml:4: field cw"}},
		{"name: x", []string{"jobs:", "arrival.process:", "sizes:", "classes:"}},
		{"preset: helios-like\nclasses: [{name: a, up_to_gpus: 256, duration: [{kind: lognormal, median: 10s, mean: 5s, " +
			"max: 1h}, {kind: weibull, max: .5s}]}]",
			[]string{"classes[0].duration[0].mean: is 5 s", "classes[0].duration[1].max:"}},
		{"preset: helios-like\narrival: {cv: .nan}\ntenants: [{name: a, share: .inf}]", []string{"arrival.cv", "tenants[0]"}},
		{"preset: helios-like\nsizes: [{gpus: 0, weight: 1}]", []string{"let some jobs ask for GPUs"}},
		{"jobs: [", []string{"a.yaml", "[syntax]"}},
	} {
		_, err := Parse("a.yaml", []byte(tc.yaml))
		if err == nil {
			t.Errorf("%s: no error", tc.yaml)
			continue
		}
		for _, w := range tc.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s:\n%v\nlacks %q", tc.yaml, err, w)
			}
		}
	}
}

func TestPresetsSorted(t *testing.T) {
	if !slices.IsSorted(Presets()) {
		t.Error(Presets())
	}
	for _, name := range Presets() {
		s := preset(t, name)
		if err := s.Validate(); err != nil || s.Source == "" || s.Name != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func FuzzParse(f *testing.F) {
	f.Add("preset: philly-like\njobs: 3\n")
	f.Add("name: a\njobs: 3\narrival: {process: poisson, rate_per_hour: 1}\nsizes: [{gpus: 1, weight: 1}]\n" +
		"classes: [{name: c, up_to_gpus: 1, duration: [{kind: pareto, max: 1h, alpha: 1.5}]}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("f.yaml", []byte(text))
		if err != nil {
			return
		}
		g, err := New(s, rng.New(1).Stream("trace"))
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			j, err := g.Next()
			if err != nil {
				return
			}
			if p := j.Check(); len(p) > 0 {
				t.Fatalf("%+v: %v", j, p)
			}
		}
	})
}

// TestModels: jobs with GPUs accept the models of their share, jobs without accept none, and a spec without models draws
// what it drew before there were any.
func TestModels(t *testing.T) {
	text := `name: x
jobs: 4000
arrival: {process: poisson, rate_per_hour: 100}
sizes: [{gpus: 0, weight: 1}, {gpus: 2, weight: 3}]
classes: [{name: all, up_to_gpus: 2, duration: [{kind: exponential, mean: 1h, max: 10h}]}]
`
	jobs := func(more string) []traces.Job {
		s, err := Parse("x.yaml", []byte(text+more))
		if err != nil {
			t.Fatal(err)
		}
		g, err := New(s, rand.New(rand.NewPCG(1, 1)))
		if err != nil {
			t.Fatal(err)
		}
		var out []traces.Job
		for j, err := g.Next(); err == nil; j, err = g.Next() {
			out = append(out, j)
		}
		return out
	}
	count := map[string]int{}
	for _, j := range jobs("gpu_models: [{any_of: [H100, MI300X], share: 0.6}, {any_of: [], share: 0.4}]\n") {
		if j.GPUs == 0 && len(j.GPUModels) > 0 {
			t.Fatalf("a job without GPUs accepts %v", j.GPUModels)
		}
		if j.GPUs > 0 {
			count[fmt.Sprint(j.GPUModels)]++
		}
	}
	if n := count["[H100 MI300X]"]; len(count) != 2 || n < 1700 || n > 1900 { // 3000 × 0.6 ± 4 standard deviations
		t.Errorf("models of jobs: %v", count)
	}
	for _, j := range jobs("") {
		if len(j.GPUModels) > 0 {
			t.Fatal("models without any in the spec")
		}
	}
	if _, err := Parse("x.yaml", []byte(text+"gpu_models: [{any_of: [A, A], share: 1}]\n")); err == nil {
		t.Error("a model listed twice was accepted")
	}
}
