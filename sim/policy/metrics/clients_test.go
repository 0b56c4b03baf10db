package metrics_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	upstream "k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"

	"orrery/sim/plan"
	"orrery/sim/policy/metrics"
)

// hpa is upstream's client of the HPA controller over the store.
func (w *world) hpa() upstream.MetricsClient { return upstream.NewRESTMetricsClient(w.Clients(nil)) }

// pods formats what upstream's HPA was told about pods, in thousandths.
func pods(info upstream.PodMetricsInfo, _ time.Time, err error) string {
	if err != nil {
		return err.Error()
	}
	var out []string
	for name, m := range info {
		out = append(out, fmt.Sprintf("%s=%d", name, m.Value))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func check(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func selector(t *testing.T, text string) labels.Selector {
	t.Helper()
	s, err := labels.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// unselected is the selector that the autoscalers' controller makes of a metric without one: it matches nothing, and is
// sent as if it matched everything.
func unselected(t *testing.T) labels.Selector {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(nil)
	if err != nil || !s.Empty() && s.String() != "" {
		t.Fatal(s, err)
	}
	return s
}

func TestResourceMetrics(t *testing.T) {
	w := newWorld(t, metrics.Options{})
	h, ctx := w.hpa(), context.Background()
	app := selector(t, "app=chat")
	check(t, "nothing", pods(h.GetResourceMetric(ctx, corev1.ResourceCPU, "default", app, "")),
		"no metrics returned from resource metrics API")
	use := func(name, app string, cpu int64) {
		w.Use(sec(15), 15*time.Second, metrics.Pod{Namespace: "default", Name: name, Labels: map[string]string{"app": app}},
			[]metrics.ContainerUsage{{Name: "server", CPU: cpu, Memory: 1 << 30}, {Name: "proxy", CPU: 1_000_001, Memory: 1}})
	}
	use("chat-b", "chat", 250_000_000)
	use("chat-a", "chat", 1_500_000_000)
	use("other", "other", 1)
	// MilliValue rounds up, per container: 1500 + 2 and 250 + 2.
	check(t, "cpu", pods(h.GetResourceMetric(ctx, corev1.ResourceCPU, "default", app, "")), "chat-a=1502 chat-b=252")
	check(t, "cpu of a container", pods(h.GetResourceMetric(ctx, corev1.ResourceCPU, "default", app, "server")),
		"chat-a=1500 chat-b=250")
	check(t, "memory", pods(h.GetResourceMetric(ctx, corev1.ResourceMemory, "default", app, "server")),
		"chat-a=1073741824000 chat-b=1073741824000")
	_, at, _ := h.GetResourceMetric(ctx, corev1.ResourceCPU, "default", app, "")
	if want := epoch.Add(15 * time.Second); !at.Equal(want) {
		t.Errorf("time %s, want %s", at, want)
	}
	w.Unuse("default", "chat-a")
	check(t, "after a pod has gone", pods(h.GetResourceMetric(ctx, corev1.ResourceCPU, "default", app, "")), "chat-b=252")
	resource, _, _ := w.Clients(nil)
	if _, err := resource.PodMetricses("default").Get(ctx, "chat-a", metav1.GetOptions{}); err == nil ||
		err.Error() != `pods.metrics.k8s.io "default/chat-a" not found` {
		t.Errorf("get: %v", err)
	}
}

func TestCustomMetrics(t *testing.T) {
	w := newWorld(t, metrics.Options{Plan: plan.Metrics{Custom: []plan.ExternalMetric{
		{Name: "load", Query: `sum by (pod, namespace) (vllm:num_requests_waiting + vllm:num_requests_running)`}}}})
	a, b, c := w.pod("chat-a"), w.pod("chat-b"), w.pod("code-a")
	for i := range 5 {
		at := sec(15 * float64(i))
		w.scrape(at, a, "vllm:num_requests_waiting", 3, "vllm:num_requests_running", 10, "tokens_total", 150*i,
			"idle_seconds_total", 15*i)
		w.scrape(at, b, "vllm:num_requests_waiting", 5, "vllm:num_requests_running", 20, "tokens_total", 300*i)
		w.scrape(at, c, "vllm:num_requests_waiting", 99)
	}
	const missing = "unable to fetch metrics from custom metrics API: the server could not find the metric "
	h := w.hpa()
	all, app := unselected(t), selector(t, "app=chat")
	for _, x := range []struct{ metric, selector, want string }{
		{"vllm:num_requests_waiting", "", "chat-a=3000 chat-b=5000"},
		{"vllm_num_requests_waiting", "", "chat-a=3000 chat-b=5000"},
		{"vllm_num_requests_waiting", "pod=chat-b", "chat-b=5000"},
		{"vllm_num_requests_waiting", "pod!=chat-b,service in (chat,x),nothing notin (y)", "chat-a=3000"},
		{"vllm_num_requests_waiting", "!service", "no metrics returned from custom metrics API"},
		{"load", "", "chat-a=13000 chat-b=25000"},
		{"load", "pod=chat-a", "chat-a=13000"},
		// Counters are served as rates, without their ends. 600 and 1200 came in the 5 minutes, of which 1 was seen.
		{"tokens", "", "chat-a=2000 chat-b=4000"},
		{"idle", "", "chat-a=200"},
		{"tokens_total", "", missing + "tokens_total for pods"},
		{"idle_seconds", "", missing + "idle_seconds for pods"},
		{"nothing", "", missing + "nothing for pods"},
	} {
		sel := all
		if x.selector != "" {
			sel = selector(t, x.selector)
		}
		check(t, x.metric+" "+x.selector, pods(h.GetRawMetric(x.metric, "default", app, sel)), x.want)
	}
	check(t, "no pods", pods(h.GetRawMetric("load", "default", selector(t, "app=none"), all)),
		missing+"load for pods")
	for _, x := range []struct{ kind, name, metric, want string }{
		{"Service", "chat", "vllm_num_requests_waiting", "8000"},
		{"Pod", "chat-b", "load", "25000"},
		{"Namespace", "default", "vllm_num_requests_waiting", "107000"},
		{"Service", "none", "vllm_num_requests_waiting", missing + "vllm_num_requests_waiting for services none"},
	} {
		v, _, err := h.GetObjectMetric(x.metric, "default",
			&autoscalingv2.CrossVersionObjectReference{Kind: x.kind, Name: x.name, APIVersion: "v1"}, all)
		got := fmt.Sprint(v)
		if err != nil {
			got = err.Error()
		}
		check(t, x.kind+" "+x.name, got, x.want)
	}
	w.now = sec(60 + 300) // stale
	check(t, "stale", pods(h.GetRawMetric("load", "default", app, all)), "no metrics returned from custom metrics API")
}

// server serves one metric.
type server struct{ err error }

func (s server) External(_, metric string, _ labels.Selector) ([]int64, bool, error) {
	return []int64{1500}, metric == "s0-prometheus", s.err
}

func TestExternalMetrics(t *testing.T) {
	w := newWorld(t, metrics.Options{Plan: plan.Metrics{External: []plan.ExternalMetric{
		{Name: "queue", Query: `sum by (service) (vllm:num_requests_waiting)`}, {Name: "answer", Query: `1.2345`},
		{Name: "empty", Query: `nothing`}, {Name: "broken", Query: `vllm:num_requests_waiting + on (service) up`},
		{Name: "nan", Query: `scalar(nothing)`}}}})
	w.Serve(server{})
	w.scrape(0, w.pod("chat-a"), "vllm:num_requests_waiting", 3)
	w.scrape(0, w.pod("chat-b"), "vllm:num_requests_waiting", 4)
	w.scrape(0, w.pod("code-a"), "vllm:num_requests_waiting", 9)
	h := w.hpa()
	const unable = "unable to fetch metrics from external metrics API: "
	for _, x := range []struct{ metric, namespace, selector, want string }{
		{"queue", "default", "", "[7000 9000]"},
		{"queue", "default", "service=code", "[9000]"},
		{"answer", "default", "", "[1234]"},
		{"nan", "default", "", "[0]"},
		{"s0-prometheus", "default", "", "[1500]"},
		{"empty", "default", "", "no metrics returned from external metrics API"},
		{"nobody", "default", "", unable + "the server could not find the metric nobody for namespaces"},
		{"nobody", "prod", "", unable + "the server could not find the metric nobody for "},
		{"broken", "default", "", unable + "Internal error occurred: unable to fetch metrics"},
	} {
		sel := unselected(t)
		if x.selector != "" {
			sel = selector(t, x.selector)
		}
		v, _, err := h.GetExternalMetric(x.metric, x.namespace, sel)
		got := fmt.Sprint(v)
		if err != nil {
			got = err.Error()
		}
		check(t, x.metric, got, x.want)
	}
}
