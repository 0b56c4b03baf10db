package metrics_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"orrery/sim/plan"
	"orrery/sim/policy/metrics"
	"orrery/sim/units"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// world is a store with a clock that the test moves.
type world struct {
	t   testing.TB
	now units.Time
	*metrics.Store
}

func newWorld(t testing.TB, o metrics.Options) *world {
	t.Helper()
	w := &world{t: t}
	o.Epoch, o.Now = epoch, func() units.Time { return w.now }
	s, err := metrics.New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.Store = s
	return w
}

func sec(n float64) units.Time { return units.Time(n * 1e9) }

// pod registers a pod of a service as a target.
func (w *world) pod(name string) *metrics.Target {
	w.t.Helper()
	service, _, _ := strings.Cut(name, "-")
	t, err := w.Target(metrics.TargetOptions{
		Pod:    metrics.Pod{Namespace: "default", Name: name, Labels: map[string]string{"app": service}},
		Labels: []metrics.Label{{Name: "namespace", Value: "default"}, {Name: "pod", Value: name}, {Name: "service", Value: service}}})
	if err != nil {
		w.t.Fatal(err)
	}
	return t
}

// scrape moves the clock and scrapes a page of name=value pairs.
func (w *world) scrape(at units.Time, t *metrics.Target, page ...any) {
	w.now = at
	var p []metrics.Sample
	for i := 0; i < len(page); i += 2 {
		p = append(p, metrics.Sample{Name: page[i].(string), Value: float64(page[i+1].(int))})
	}
	w.Scrape(at, t, p)
}

// ask evaluates an expression to {labels} value, one element per line.
func (w *world) ask(at units.Time, text string) string {
	w.t.Helper()
	w.now = at
	q, err := w.Query(text)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := q.Eval(at)
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, v := range r.Values {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %.6g", v.Labels, v.V)))
	}
	return strings.Join(out, "\n")
}

func (w *world) want(at units.Time, text, want string) {
	w.t.Helper()
	if got := w.ask(at, text); got != want {
		w.t.Errorf("at %s: %s = %q, want %q", at, text, got, want)
	}
}

// TestInstant checks sums, selections and staleness of 5 minutes (a sample counts while it is younger) over two pods.
func TestInstant(t *testing.T) {
	w := newWorld(t, metrics.Options{})
	a, b := w.pod("chat-a"), w.pod("chat-b")
	w.scrape(sec(0), a, "vllm:num_requests_waiting", 3)
	w.scrape(sec(0), b, "vllm:num_requests_waiting", 4)
	w.want(sec(1), `sum(vllm:num_requests_waiting)`, "{} 7")
	w.want(sec(1), `sum(vllm:num_requests_waiting{pod="chat-b"})`, "{} 4")
	w.want(sec(1), `up`, `{__name__="up", namespace="default", pod="chat-a", service="chat"} 1`+"\n"+
		`{__name__="up", namespace="default", pod="chat-b", service="chat"} 1`)
	w.want(sec(1), `avg by (service) ({__name__=~"vllm:num_requests_.*"})`, `{service="chat"} 3.5`)
	w.want(sec(1), `time() - 1767225600`, "{} 1")
	w.scrape(sec(60), b, "vllm:num_requests_waiting", 6)
	w.want(sec(60), `sum(vllm:num_requests_waiting)`, "{} 9")
	w.want(sec(299.999), `sum(vllm:num_requests_waiting)`, "{} 9")
	w.want(sec(300), `sum(vllm:num_requests_waiting)`, "{} 6") // a's sample is 5 minutes old
	w.want(sec(359.999), `sum(vllm:num_requests_waiting)`, "{} 6")
	w.want(sec(360), `sum(vllm:num_requests_waiting)`, "")
	w.want(sec(360), `absent(vllm:num_requests_waiting)`, "{} 1")
	w.want(sec(360), `sum(vllm:num_requests_waiting) or vector(0)`, "{} 0")
}

// TestRate checks rates against hand-computed ones. Prometheus extrapolates the increase between the first and last
// sample of the window to its ends, when these are within 1.1 intervals of them, and adds what resets lost.
func TestRate(t *testing.T) {
	w := newWorld(t, metrics.Options{Queries: []string{`rate(c_total[1m])`, `increase(c_total[2m])`, `max_over_time(g[1m])`,
		`g offset 1m`, `avg_over_time(sum(g)[1m:15s])`}})
	p := w.pod("chat-a")
	values := []int{0, 15, 30, 45, 60, 5, 20, 35} // a restart between 60 s and 75 s
	for i, v := range values {
		at := sec(15 * float64(i))
		w.scrape(at, p, "c_total", v, "g", v)
		switch at {
		case sec(60):
			// The window (0, 60] has 15 … 60 s: 45 in 45 s, the start 15 s away is within 1.1 × 15 s: 45 × 60/45 / 60 = 1.
			w.want(at, `rate(c_total[1m])`, `{namespace="default", pod="chat-a", service="chat"} 1`)
			w.want(at, `g offset 1m`, `{__name__="g", namespace="default", pod="chat-a", service="chat"} 0`)
			w.want(at, `max_over_time(g[1m])`, `{namespace="default", pod="chat-a", service="chat"} 60`)
			w.want(at, `avg_over_time(sum(g)[1m:15s])`, `{} 37.5`) // 15, 30, 45, 60
		case sec(105):
			// (45, 105] has 60, 5, 20, 35 at 60 … 105 s: 35 − 60 + 60 = 35 in 45 s, over the minute 35 × 60/45 / 60.
			w.want(at, `rate(c_total[1m])`, `{namespace="default", pod="chat-a", service="chat"} 0.777778`)
			// (−15, 105] has all eight: 35 + 60 = 95 in 105 s. The start is 15 s away, but the counter was 0 at 0 s.
			w.want(at, `increase(c_total[2m])`, `{namespace="default", pod="chat-a", service="chat"} 95`)
		}
	}
	// 10 s later the window (55, 115] has the same four; its end is 10 s away: 35 × (45 + 5 + 10)/45 / 60.
	w.want(sec(115), `rate(c_total[1m])`, `{namespace="default", pod="chat-a", service="chat"} 0.777778`)
	// 40 s later the window (85, 145] has 90 and 105 s: 15 in 15 s. Both ends are further than 16.5 s or nearer: the start
	// is 5 s away, the end 40 s, for which half an interval counts: 15 × (15 + 5 + 7.5)/15 / 60.
	w.want(sec(145), `rate(c_total[1m])`, `{namespace="default", pod="chat-a", service="chat"} 0.458333`)
}

// TestLeave checks when the series of a pod end that has gone: at the scrape that it missed, noticed 1.1 intervals later.
func TestLeave(t *testing.T) {
	w := newWorld(t, metrics.Options{Queries: []string{`sum_over_time(g[1m])`}})
	a, b := w.pod("chat-a"), w.pod("chat-b")
	for i := range 5 {
		w.scrape(sec(15*float64(i)), a, "g", 1, "h", 1)
		w.scrape(sec(15*float64(i)), b, "g", 2)
	}
	w.Remove(sec(70), a)
	w.want(sec(70), `sum(g)`, "{} 3")
	w.scrape(sec(75), b, "g", 2)
	w.scrape(sec(90), b, "g", 2)
	w.want(sec(91.499), `sum(g)`, "{} 3") // 75 s was missed; noticed 16.5 s later
	w.want(sec(91.5), `sum(g)`, "{} 2")
	w.want(sec(91.5), `h`, "")
	w.want(sec(91.5), `sum(up)`, "{} 1")
	w.want(sec(100), `sum_over_time(g{pod="chat-a"}[1m])`, `{namespace="default", pod="chat-a", service="chat"} 2`) // 45, 60 s
	w.scrape(sec(500), b, "g", 2)
	w.want(sec(500), `count({pod="chat-a"})`, "")
	// The pod's name comes back, as that of a StatefulSet's pod does.
	w.scrape(sec(500), w.pod("chat-a"), "g", 7)
	w.want(sec(500), `sum(g)`, "{} 9")
}

// TestShape checks that a line which a page no longer has ends its series at once, and a failed scrape all of them.
func TestShape(t *testing.T) {
	w := newWorld(t, metrics.Options{})
	a := w.pod("chat-a")
	w.scrape(sec(0), a, "g", 1, "h", 2)
	w.scrape(sec(15), a, "h", 3)
	w.want(sec(15), `g`, "")
	w.want(sec(15), `sum(h)`, "{} 3")
	w.Fail(sec(30), a)
	w.want(sec(30), `h`, "")
	w.want(sec(30), `sum(up)`, "{} 0")
	w.scrape(sec(45), a, "g", 1, "h", 2)
	w.want(sec(45), `sum(g + h)`, "{} 3")
}

// TestRename checks the labels of a line that collide with those of the target.
func TestRename(t *testing.T) {
	w := newWorld(t, metrics.Options{})
	a := w.pod("dcgm-a")
	w.Scrape(0, a, []metrics.Sample{{Name: "DCGM_FI_DEV_GPU_UTIL", Labels: []metrics.Label{{"pod", "chat-a"}, {"gpu", "0"}},
		Value: 80}})
	w.want(0, `DCGM_FI_DEV_GPU_UTIL`, `{__name__="DCGM_FI_DEV_GPU_UTIL", exported_pod="chat-a", gpu="0", `+
		`namespace="default", pod="dcgm-a", service="dcgm"} 80`)
}

// TestBuckets checks that buckets are kept when a query wants them, and only then.
func TestBuckets(t *testing.T) {
	const quantile = `histogram_quantile(0.5, sum by (le) (rate(ttft_bucket[1m])))`
	page := func(n float64) []metrics.Sample {
		var out []metrics.Sample
		for i, le := range []string{"0.1", "0.2", "+Inf"} {
			out = append(out, metrics.Sample{Name: "ttft_bucket", Labels: []metrics.Label{{"le", le}},
				Value: n * []float64{1, 3, 4}[i]})
		}
		return out
	}
	for _, known := range []bool{true, false} {
		o := metrics.Options{}
		if known {
			o.Queries = []string{quantile}
		}
		w := newWorld(t, o)
		a := w.pod("chat-a")
		for i := range 5 {
			w.Scrape(sec(15*float64(i)), a, page(float64(i)))
		}
		// Of 4 per interval 1 is below 0.1 and 3 are below 0.2: the second is in the middle of (0.1, 0.2].
		want := "{} 0.15"
		if !known {
			want = ""
		}
		w.want(sec(60), quantile, want)
		for i := 5; i < 10; i++ {
			w.Scrape(sec(15*float64(i)), a, page(float64(i)))
		}
		w.want(sec(135), quantile, "{} 0.15") // it is known now
	}
}

// TestErrors checks what is said of bad expressions.
func TestErrors(t *testing.T) {
	_, err := metrics.New(metrics.Options{Now: func() units.Time { return 0 }, Plan: plan.Metrics{
		Custom: []plan.ExternalMetric{{Name: "a", Query: "sum("}}, External: []plan.ExternalMetric{{Name: "b", Query: "g[1m]"},
			{Name: "c", Query: "g @ 5"}, {Name: "d", Query: `sum(g)`}, {Name: "e", Query: `sum(nofunction(g))`}}}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"custom metric a: PromQL \"sum(\": ", "external metric b: PromQL \"g[1m]\" is a range vector",
		"external metric c: PromQL \"g @ 5\": the @ modifier", `unknown function with name "nofunction"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: lacks %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "metric d") {
		t.Errorf("%v: metric d is right", err)
	}
}

// corpus are expressions of every shape that autoscalers use.
var corpus = []string{`sum(g)`, `g`, `avg by (service) (g)`, `rate(c_total[1m])`, `sum(rate(c_total[2m])) / (1 + 2)`,
	`g > (1 + 2)`, `sum(g) or vector(0)`, `max_over_time(sum(g)[1m:15s])`, `g offset 45s`, `-g + 1`,
	`histogram_quantile(0.9, sum by (le) (rate(h_bucket[1m])))`, `topk(2, g)`, `time() - time()`, `vector(time())`,
	`absent(nothing)`, `count(g == bool 3)`, `quantile(0.5, g)`, `scalar(sum(g))`, `label_replace(g, "x", "$1", "pod", "(.*)-.*")`,
	`sum(g) by (pod) / on (pod) sum(up) by (pod)`, `timestamp(g)`, `clamp_min(sum(g), 1)`, `deriv(g[1m])`,
	`{__name__=~"g|up"}`, `sum without (pod) (g)`, `avg_over_time(g[1m])`, `predict_linear(g[1m], 60)`, `g{pod!~".*a"}`}

// TestReuse plays random pages to a store whose queries are reused and cached, and to one that is asked each question
// once and thus parses it afresh: the answers are the same, whenever asked.
func TestReuse(t *testing.T) {
	type event struct {
		at   units.Time
		pod  int
		kind int
		v    int
	}
	r := rand.New(rand.NewPCG(1, 2))
	var events []event
	at := units.Time(0)
	for range 400 {
		at += sec(float64(r.IntN(20)))
		events = append(events, event{at, r.IntN(3), r.IntN(12), r.IntN(10)})
	}
	play := func(ask func(w *world, i int) string) []string {
		w := newWorld(t, metrics.Options{Queries: corpus})
		pods := make([]*metrics.Target, 3)
		var out []string
		for i, e := range events {
			w.now = e.at
			name := fmt.Sprintf("chat-%c", 'a'+e.pod)
			switch {
			case pods[e.pod] == nil:
				pods[e.pod] = w.pod(name)
				fallthrough
			case e.kind > 1:
				page := []metrics.Sample{{Name: "g", Value: float64(e.v)}, {Name: "c_total", Value: float64(i)}}
				for j, le := range []string{"1", "2", "+Inf"} {
					page = append(page, metrics.Sample{Name: "h_bucket", Labels: []metrics.Label{{"le", le}},
						Value: float64(i * (j + 1))})
				}
				w.Scrape(e.at, pods[e.pod], page[e.kind/11:])
			case e.kind == 0:
				w.Remove(e.at, pods[e.pod])
				pods[e.pod] = nil
			default:
				w.Fail(e.at, pods[e.pod])
			}
			out = append(out, ask(w, i))
		}
		return out
	}
	for _, text := range corpus {
		often := play(func(w *world, i int) string { return w.ask(w.now, text) })
		for _, i := range []int{3, 77, 150, 222, 301, 398} {
			once := play(func(w *world, j int) string {
				if i == j {
					return w.ask(w.now, text)
				}
				return ""
			})
			if once[i] != often[i] {
				t.Errorf("%s after event %d: %q when asked often, %q when asked once", text, i, often[i], once[i])
			}
		}
	}
}

func TestMilli(t *testing.T) {
	for v, want := range map[float64]int64{0: 0, 1.2345: 1234, -1.2345: -1234, math.Inf(1): math.MaxInt64,
		math.Inf(-1): math.MinInt64, 1e300: math.MaxInt64} {
		if got := metrics.Milli(v); got != want {
			t.Errorf("Milli(%g) = %d, want %d", v, got, want)
		}
	}
	if got := metrics.Milli(math.NaN()); got != 0 {
		t.Errorf("Milli(NaN) = %d", got)
	}
}
