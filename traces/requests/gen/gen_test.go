package gen

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"orrery/sim/rng"
	"orrery/traces/requests"
)

func parse(t testing.TB, text string) Spec {
	t.Helper()
	s, err := Parse("spec.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sample(t testing.TB, text string, seed uint64) (requests.Header, []requests.Request) {
	t.Helper()
	g, err := New(parse(t, text), rng.New(seed), "requests")
	if err != nil {
		t.Fatal(err)
	}
	list, err := requests.ReadAll(g)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range list {
		if p := r.Check(g.Header().PrefixTokens); len(p) > 0 || i > 0 && r.At < list[i-1].At {
			t.Fatalf("request %d: %+v %v", i, r, p)
		}
	}
	return g.Header(), list
}

// within fails unless got is within a relative tolerance of want.
func within(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*math.Abs(want)) {
		t.Errorf("%s is %v, want %v ± %.2g %%", what, got, want, 100*tolerance)
	}
}

func count(list []requests.Request, from, to time.Duration) (n float64) {
	for _, r := range list {
		if r.At >= from && r.At < to {
			n++
		}
	}
	return n
}

const tokens = "\nlengths: {input: {fixed: 100}, output: {fixed: 10}}\n"

// TestArrivals compares rate and CV of the gaps of every process with what was asked for.
func TestArrivals(t *testing.T) {
	for arrival, want := range map[string]struct{ cv, rate float64 }{
		"{process: poisson}":        {1, 0.02},
		"{process: deterministic}":  {0, 1e-4},
		"{process: gamma, cv: 0.3}": {0.3, 0.01},
		"{process: gamma, cv: 1}":   {1, 0.02},
		"{process: gamma, cv: 3}":   {3, 0.06},
	} {
		_, list := sample(t, "name: a\nrate_per_second: 50\nspan: 1000s\narrival: "+arrival+tokens, 1)
		within(t, arrival+": the number", float64(len(list)), 50_000, want.rate)
		var sum, square float64
		for i := 1; i < len(list); i++ {
			g := (list[i].At - list[i-1].At).Seconds()
			sum += g
			square += g * g
		}
		n := float64(len(list) - 1)
		cv := math.Sqrt(max(square/n-sum/n*sum/n, 0)) / (sum / n)
		if math.Abs(cv-want.cv) > 0.02+0.04*want.cv {
			t.Errorf("%s: CV %v", arrival, cv)
		}
	}
	// A tenth of the time at ten times the rate of the rest: mean (0.9 + 0.1·10)·r = 50.
	_, list := sample(t, "name: a\nrate_per_second: 50\nspan: 6000s\narrival: {process: mmpp, states: [{rate: 1, mean: 90s}, "+
		"{rate: 10, mean: 10s}]}"+tokens, 1)
	within(t, "mmpp: the number", float64(len(list)), 300_000, 0.25)
	d, err := requests.Describe(requests.Slice(requests.Header{}, list))
	if err != nil || d.Arrivals.Dispersion < 20 {
		t.Errorf("mmpp: variance ÷ mean a second is %v; it should be far above 1", d.Arrivals.Dispersion)
	}
}

// TestShape compares counts with integrals of the shape.
func TestShape(t *testing.T) {
	head := "name: a\nrate_per_second: 20\narrival: {process: deterministic}" + tokens
	slow := strings.Replace(head, "rate_per_second: 20", "rate_per_second: 2", 1)
	_, list := sample(t, slow+"span: 7d\nshape: [{hour_of_day: [0,0,0,0,0,0,1,2,3,4,5,6,6,6,6,5,4,3,2,1,0,0,0,0]}, "+
		"{day_of_week: [1,1,1,1,1,0.5,0.5]}]", 1)
	within(t, "the week", float64(len(list)), 2*604800, 1e-5)
	perDay := 2 * 86400 / (6.0 / 7)
	within(t, "Tuesday", count(list, day, 2*day), perDay, 1e-4)
	within(t, "Sunday", count(list, 6*day, 7*day), perDay/2, 1e-4)
	// Between the middles of hours 10 and 11 the weights go from 5 to 6; their mean is 54/24.
	within(t, "an hour", count(list, 10*time.Hour+30*time.Minute, 11*time.Hour+30*time.Minute), perDay/24*5.5/(54.0/24), 1e-3)
	if n := count(list, 21*time.Hour, 29*time.Hour); n > 2 {
		t.Errorf("%v requests in the night", n)
	}
	_, late := sample(t, slow+"starts: 5d\nspan: 1d\nshape: [{day_of_week: [1,1,1,1,1,0.5,0.5]}]", 1)
	within(t, "Saturday", float64(len(late)), perDay/2, 1e-4)

	_, list = sample(t, head+"span: 3h\nshape: [{flash: {at: 1h, factor: 10, rise: 2m, hold: 10m, decay: 5m}}]", 1)
	within(t, "before the crowd", count(list, 0, time.Hour), 20*3600, 1e-4)
	within(t, "the rise", count(list, time.Hour, 62*time.Minute), 20*120*5.5, 1e-3)
	within(t, "the top", count(list, 62*time.Minute, 72*time.Minute), 200*600, 1e-4)
	// 1 + 9·2^(−t ÷ 5 min) over 5 minutes.
	within(t, "the decay", count(list, 72*time.Minute, 77*time.Minute), 20*300*(1+9*0.5/math.Ln2), 1e-3)
	within(t, "the end", count(list, 173*time.Minute, 180*time.Minute), 20*420, 1e-3)

	_, list = sample(t, head+"span: 4h\nshape: [{flash: {at: 10m, factor: 3, hold: 5m, every: 1h}}]", 1)
	within(t, "four crowds", float64(len(list)), 20*(4*3600+4*2*300), 1e-4)
	_, list = sample(t, head+"span: 40m\nshape: [{points: [{at: 10m, factor: 1}, {at: 20m, factor: 3}, {at: 30m, factor: 3}, "+
		"{at: 30m, factor: 0.5}]}]", 1)
	for i, want := range []float64{1, 2, 3, 0.5} {
		within(t, "a ramp", count(list, time.Duration(i)*10*time.Minute, time.Duration(i+1)*10*time.Minute), 12000*want, 1e-3)
	}
	_, list = sample(t, "name: a\nrate_per_second: 20\nspan: 3h"+tokens+
		"shape: [{flash: {at: 1h, factor: 10, rise: 2m, hold: 10m}}]", 1)
	within(t, "the top of a Poisson process", count(list, 62*time.Minute, 72*time.Minute), 200*600, 0.01)
}

// TestLengths compares quantiles of samples with those asked for, and correlation.
func TestLengths(t *testing.T) {
	const n = 200_000
	_, list := sample(t, "name: a\nrate_per_second: 100\nrequests: 200000\nlengths: {input: {median: 1000, p99: 8000, max: 20000}, "+
		"output: {quantiles: [{at: 0, tokens: 5}, {at: 0.5, tokens: 100}, {at: 0.9, tokens: 400}, {at: 1, tokens: 900}]}, "+
		"correlation: 0.6}", 3)
	if len(list) != n {
		t.Fatal(len(list))
	}
	var in, out []int
	var x, y, xx, yy, xy float64
	for _, r := range list {
		in, out = append(in, r.Input), append(out, r.Output)
		a, b := math.Log(float64(r.Input)), math.Log(float64(r.Output))
		x, y, xx, yy, xy = x+a/n, y+b/n, xx+a*a/n, yy+b*b/n, xy+a*b/n
	}
	slices.Sort(in)
	slices.Sort(out)
	within(t, "median input", float64(in[n/2]), 1000, 0.02)
	within(t, "p99 input", float64(in[n*99/100]), 8000, 0.04)
	within(t, "median output", float64(out[n/2]), 100, 0.02)
	within(t, "p90 output", float64(out[n*9/10]), 400, 0.02)
	if in[n-1] > 20000 || out[0] < 5 || out[n-1] > 900 {
		t.Error("a length is out of its bounds")
	}
	if r := (xy - x*y) / math.Sqrt((xx-x*x)*(yy-y*y)); math.Abs(r-0.6) > 0.04 {
		t.Errorf("correlation %v", r)
	}
}

// TestDraws compares the distributions with closed forms.
func TestDraws(t *testing.T) {
	for p := 1e-9; p < 1; p += 0.00937 {
		if got, want := normalQuantile(p), -math.Sqrt2*math.Erfcinv(2*p); math.Abs(got-want) > 1e-7 {
			t.Errorf("quantile of %v is %v, want %v", p, got, want)
		}
	}
	for _, k := range []float64{0.1, 0.5, 1, 4} {
		r, n := rng.New(5).Stream("x"), 200_000.0
		m, v := 0.0, 0.0
		for range int(n) {
			g := gamma(r, k)
			m += g / n
			v += g * g / n
		}
		within(t, fmt.Sprintf("mean of gamma %v", k), m, 1, 0.02)
		within(t, fmt.Sprintf("variance of gamma %v", k), v-m*m, 1/k, 0.08)
	}
}

// mean integrates a distribution of tokens.
func mean(k Tokens) float64 {
	s, sum := k.spread(), 0.0
	const steps = 20_000
	for i := range steps {
		sum += s.at(normalQuantile((float64(i)+0.5)/steps)) / steps
	}
	return sum
}

// TestPresets compares the presets' means with the published ones, which are not among the numbers they were made from.
func TestPresets(t *testing.T) {
	for name, want := range map[string]struct{ in, out, sum, tolerance float64 }{
		"azure-code": {2048, 27.9, 0, 0.06}, "azure-conv": {1195, 201.5, 0, 0.06}, "mooncake": {12035, 342.6, 0, 0.06},
		"burstgpt": {0, 0, 734, 0.02}, "sharegpt": {161.31, 337.99, 0, 0.02},
	} {
		l := presets[name].stream.Lengths
		in, out := mean(l.Input), mean(l.Output)
		if want.sum > 0 {
			within(t, name+": mean tokens", in+out, want.sum, want.tolerance)
		} else {
			within(t, name+": mean input", in, want.in, want.tolerance)
			within(t, name+": mean output", out, want.out, want.tolerance)
		}
	}
	for _, name := range PresetNames() {
		h, list := sample(t, "name: x\nrequests: 100\npreset: "+name, 1)
		if len(list) != 100 || len(h.Notes) != 1 || !strings.HasPrefix(h.Notes[0], name) {
			t.Errorf("%s: %d requests, notes %v", name, len(list), h.Notes)
		}
	}
}

// TestMixture compares a day of a mixture with the published files taken as a whole, of which none of its numbers was
// made: lengths of all clients together, the rate by hour, and the burstiness that follows from who comes when.
func TestMixture(t *testing.T) {
	_, list := sample(t, "name: x\nspan: 1d\nrate_per_second: 2\npreset: servegen-r1", 1)
	in, out, top := 0.0, 0.0, 0.0
	var hours [24]float64
	lengths := make([]int, 0, len(list))
	for _, r := range list {
		in, out = in+float64(r.Input), out+float64(r.Output)
		lengths = append(lengths, r.Input)
		hours[r.At/time.Hour]++
		if r.Tenant == "client-35" {
			top++
		}
	}
	n := float64(len(list))
	slices.Sort(lengths)
	within(t, "requests", n, 2*86400, 0.03)
	within(t, "part of the first client", top/n, 0.286, 0.03)
	within(t, "mean input", in/n, 1268, 0.1)
	within(t, "mean output", out/n, 1527, 0.05)
	within(t, "median input", float64(lengths[len(list)/2]), 208, 0.1)
	within(t, "90th percentile of inputs", float64(lengths[len(list)*9/10]), 2092, 0.1)
	for hour, want := range []float64{19.31, 22.25, 32.58, 28.64, 17.04, 14.54, 12.0, 9.24, 9.54, 10.63, 12.98, 13.29, 7.16,
		8.72, 10.96, 11.27, 14.06, 8.86, 12.0, 9.4, 19.86, 25.97, 35.13, 18.91} {
		within(t, fmt.Sprint("hour ", hour), hours[hour]/n*24, want/16.01, 0.35) // straight lines between hours
	}
	_, one := sample(t, "name: x\nrequests: 1000\npreset: servegen-r1\nlengths: {input: {fixed: 7}, output: {fixed: 9}}", 1)
	for _, r := range one {
		if r.Input != 7 || r.Output != 9 {
			t.Fatalf("what the spec says itself does not hold: %+v", r)
		}
	}
}

const mix = `
name: mix
requests: %d
preset: azure-conv
streams:
  - {service: chat, tenant: a, rate_per_second: 3}
  - {service: chat, tenant: b, rate_per_second: 1, preset: azure-code, prefix: {system_tokens: 64}}
%s`

// TestStreams holds that another tenant moves nobody's draws, and that weights share the rate.
func TestStreams(t *testing.T) {
	_, one := sample(t, fmt.Sprintf(mix, 4000, ""), 9)
	_, again := sample(t, fmt.Sprintf(mix, 4000, ""), 9)
	_, other := sample(t, fmt.Sprintf(mix, 4000, ""), 10)
	if cmp.Diff(one, again) != "" || cmp.Equal(one, other) {
		t.Error("a trace must depend on spec and seed, and on both")
	}
	_, more := sample(t, fmt.Sprintf(mix, 6000, "  - {service: code, tenant: c, rate_per_second: 1}\n"), 9)
	more = slices.DeleteFunc(more, func(r requests.Request) bool { return r.Tenant == "c" })
	n := min(len(one), len(more))
	if d := cmp.Diff(one[:n], more[:n]); d != "" || n < 3000 {
		t.Error("another tenant moved the draws", n, d[:min(len(d), 500)])
	}
	_, list := sample(t, "name: w\nrate_per_second: 100\nspan: 1000s"+tokens+
		"streams: [{tenant: a, weight: 3}, {tenant: b, weight: 1}, {tenant: c, rate_per_second: 10}]", 1)
	got := map[string]float64{}
	for _, r := range list {
		got[r.Tenant]++
	}
	within(t, "tenant a", got["a"], 75_000, 0.02)
	within(t, "tenant b", got["b"], 25_000, 0.03)
	within(t, "tenant c", got["c"], 10_000, 0.04)
}

// TestSessions follows conversations: each turn's prompt begins with the one before and its answer.
func TestSessions(t *testing.T) {
	h, list := sample(t, `
name: talk
rate_per_second: 10
span: 4h
block_tokens: 32
lengths: {input: {median: 60, p99: 400}, output: {median: 200, p99: 800}}
prefix:
  system_tokens: 100
  documents: {count: 50, tokens: 500, zipf: 1}
  sessions: {mean_turns: 4, think: 30s, think_p99: 300s, max_input: 6000}
`, 1)
	if h.PrefixTokens != 32 {
		t.Fatal(h.PrefixTokens)
	}
	// Conversations are still going on at the end, and begin at the beginning: a little less than the rate.
	within(t, "the number", float64(len(list)), 144_000, 0.04)
	last := map[uint64]requests.Request{}
	firsts := map[uint64]float64{} // by first block of the document
	turns := 0.0
	for _, r := range list {
		if r.Session == 0 || len(r.Prefix) != r.Input/32 || r.Input > 6000+3000 {
			t.Fatalf("%+v", r)
		}
		before, ok := last[r.Session]
		if ok {
			turns++
			if r.At <= before.At || r.Input <= before.Input+before.Output || len(r.Prefix) < len(before.Prefix) ||
				!slices.Equal(r.Prefix[:len(before.Prefix)], before.Prefix) {
				t.Fatalf("a turn does not begin with the one before:\n%+v\n%+v", before, r)
			}
		} else {
			firsts[r.Prefix[3]]++
		}
		last[r.Session] = r
		if !slices.Equal(r.Prefix[:3], list[0].Prefix[:3]) {
			t.Fatal("the system prompt is not shared")
		}
	}
	within(t, "turns", 1+turns/float64(len(last)), 4, 0.03)
	if len(firsts) != 50 {
		t.Errorf("%d documents, want 50", len(firsts))
	}
	most, harmonic := 0.0, 0.0
	for i := range 50 {
		harmonic += 1 / float64(i+1)
	}
	for _, n := range firsts {
		most = max(most, n)
	}
	within(t, "share of the first document", most/float64(len(last)), 1/harmonic, 0.06)
	d, err := requests.Describe(requests.Slice(h, list))
	if err != nil || d.Prefix.TokenHits < 0.5 {
		t.Errorf("an infinite cache hits %v of the tokens", d.Prefix.TokenHits)
	}
}

// TestPrefixAlone shares a system prompt among single requests, by service.
func TestPrefixAlone(t *testing.T) {
	_, list := sample(t, "name: p\nrate_per_second: 1\nrequests: 100"+tokens+"prefix: {system_tokens: 40}\n"+
		"streams: [{service: a, tenant: x, weight: 1}, {service: a, tenant: y, weight: 1}, {service: b, weight: 1}]", 1)
	ids := map[string]uint64{}
	for _, r := range list {
		if r.Input != 140 || len(r.Prefix) != 2 || r.Session != 0 {
			t.Fatalf("%+v", r)
		}
		if old, ok := ids[r.Service]; ok && old != r.Prefix[1] {
			t.Fatal("tenants of a service must share its system prompt")
		}
		ids[r.Service] = r.Prefix[1]
	}
	if ids["a"] == ids["b"] {
		t.Error("services must not share a system prompt")
	}
}

// TestBadSpec holds that every problem is reported with its place.
func TestBadSpec(t *testing.T) {
	for text, want := range map[string][]string{
		"name: a\nrequests: 1\nrate_per_second: 1\narrival: {process: gamma}\nlengths: {input: {fixed: 0}, output: {median: 5}}\nx: 1": {
			"spec.yaml:4:10: arrival.cv", "spec.yaml:5:26: lengths.input.fixed", "spec.yaml:5:38: lengths.output", `spec.yaml:6:1: unknown field "x"`},
		"name: a\nrate_per_second: 1": {"nothing says how many tokens"},
		"preset: azure\nspan: -1s":    {`no preset "azure"`, "name is missing", "not a length of time"},
		"name: a\npreset: azure-code\nstreams: [{weight: 1, rate_per_second: 2}, {}, {service: a, weight: 1, shape: [{}]}]": {
			"spec.yaml:3:11: streams[0]: give either", "streams[1]: give either", "is called", "give exactly one of hour_of_day"},
		"name: a\npreset: mooncake\nshape: [{hour_of_day: [1]}, {flash: {factor: 2, decay: 1h, every: 2h}}, " +
			"{points: [{at: 2s, factor: 1}, {at: 1s, factor: 1}]}]": {"write 24 weights", "must be over", "order the points"},
		"name: a\npreset: servegen-r1\nstreams: [{tenant: b, weight: 1}]":                           {"servegen-r1 has streams of its own"},
		"name: a\nrate_per_second: 1\nstreams: [{preset: servegen-r1, weight: 1}]":                  {"is a mixture of clients"},
		"name: a\npreset: mooncake\nprefix: {sessions: {mean_turns: 2, think: 10s, think_p99: 1s}}": {"think ≤ think_p99"},
		"name: a\nrate_per_second: 1\nlengths: {input: {quantiles: [{at: 0.1, tokens: 3}, {at: 0.1, tokens: 2}]}, output: {fixed: 1}}": {
			"begin with at: 0", "shares must rise"},
		"": {"the file is empty"},
	} {
		_, err := Parse("spec.yaml", []byte(text))
		if err == nil {
			t.Errorf("%q was taken", text)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q: no %q in\n%v", text, w, err)
			}
		}
	}
}

// TestEndless reads from a trace without end.
func TestEndless(t *testing.T) {
	g, err := New(parse(t, "name: a\npreset: burstgpt"), rng.New(1), "r")
	if err != nil {
		t.Fatal(err)
	}
	for range 100_000 {
		if _, err := g.Next(); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzParse holds that no text makes the parser panic, and that what it takes can be generated.
func FuzzParse(f *testing.F) {
	f.Add([]byte("name: a\nrate_per_second: 1\nspan: 10s" + tokens))
	f.Add([]byte(fmt.Sprintf(mix, 10, "")))
	f.Add([]byte("name: a\npreset: mooncake\nshape: [{flash: {at: 1h, factor: 10, rise: 2m, every: 2h}}, {hour_of_day: [1]}]"))
	f.Add([]byte("name: a\npreset: sharegpt\nprefix: {documents: {count: 3, tokens: 9}, sessions: {mean_turns: 3, think: 1s, think_p99: 2s}}"))
	f.Add([]byte("name: a\npreset: sharegpt\narrival: {process: mmpp, states: [{rate: 1, mean: 1s}, {rate: 0, mean: 1m}]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse("f", data)
		if err != nil || s.Prefix != nil && s.Prefix.SystemTokens > 1e5 {
			return
		}
		s.Requests, s.Span = 50, Duration(min(max(time.Duration(s.Span), 1), time.Hour))
		g, err := New(s, rng.New(1), "f")
		if err != nil {
			t.Fatalf("parsed, and refused: %v", err)
		}
		last := time.Duration(0)
		for {
			r, err := g.Next()
			if err != nil {
				return
			}
			if p := r.Check(g.Header().PrefixTokens); len(p) > 0 || r.At < last {
				t.Fatalf("%+v after %v: %v", r, last, p)
			}
			last = r.At
		}
	})
}

// BenchmarkNext measures requests a second of a plain stream and of conversations.
func BenchmarkNext(b *testing.B) {
	for name, text := range map[string]string{"azure-conv": "name: a\npreset: azure-conv",
		"sessions": "name: a\npreset: azure-conv\nprefix: {system_tokens: 500, sessions: {mean_turns: 4, think: 20s, think_p99: 200s}}"} {
		b.Run(name, func(b *testing.B) {
			g, err := New(parse(b, text), rng.New(1), "r")
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := g.Next(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}
