package metrics_test

import (
	"fmt"
	"testing"

	"orrery/sim/policy/metrics"
	"orrery/sim/units"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// fleet is 20 services of 5 pods, each pod with a page of 60 lines, half of them buckets.
func fleet(b *testing.B, queries ...string) (*world, []*metrics.Target, []metrics.Sample) {
	w := newWorld(b, metrics.Options{Queries: queries})
	var pods []*metrics.Target
	for i := range 100 {
		pods = append(pods, w.pod(fmt.Sprintf("s%d-%d", i/5, i%5)))
	}
	var page []metrics.Sample
	model := []metrics.Label{{"engine", "0"}, {"model_name", "meta-llama/Llama-3.1-8B-Instruct"}}
	for i := range 10 {
		page = append(page, metrics.Sample{Name: fmt.Sprintf("vllm:gauge_%d", i), Labels: model, Value: float64(i)},
			metrics.Sample{Name: fmt.Sprintf("vllm:counter_%d_total", i), Labels: model, Value: float64(i)},
			metrics.Sample{Name: fmt.Sprintf("vllm:h_%d_count", i), Labels: model, Value: float64(i)})
		for j := range 3 {
			page = append(page, metrics.Sample{Name: fmt.Sprintf("vllm:h_%d_bucket", i),
				Labels: append([]metrics.Label{{"le", fmt.Sprint(j)}}, model...), Value: float64(i)})
		}
	}
	return w, pods, page
}

// BenchmarkScrape reports the time of scraping one target of 60 lines.
func BenchmarkScrape(b *testing.B) {
	w, pods, page := fleet(b, `sum(rate(vllm:counter_0_total[2m]))`,
		`histogram_quantile(0.95, sum by (le) (rate(vllm:h_0_bucket[5m])))`)
	at := units.Time(0)
	tick := func() {
		at += sec(15)
		for _, p := range pods {
			for j := range page {
				page[j].Value++
			}
			w.Scrape(at, p, page)
		}
	}
	for range 50 {
		tick()
	}
	b.ReportAllocs()
	for b.Loop() {
		tick()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(len(pods)), "µs/target")
}

// BenchmarkQuery reports the time of one evaluation at a new instant, as an autoscaler asks for it.
func BenchmarkQuery(b *testing.B) {
	for _, x := range []struct{ name, text string }{
		{"gauge", `sum(vllm:gauge_1{service="s3"})`},
		{"gauge-avg", `avg(vllm:gauge_1{namespace="default",service="s3"})`},
		{"rate", `sum(rate(vllm:counter_1_total{service="s3"}[2m]))`},
		{"quantile", `histogram_quantile(0.95, sum by (le) (rate(vllm:h_0_bucket{service="s3"}[2m])))`},
		{"by-pod", `sum({__name__="vllm:gauge_1",namespace="default"}) by (pod)`},
	} {
		b.Run(x.name, func(b *testing.B) {
			w, pods, page := fleet(b, x.text)
			for i := range 40 {
				for _, p := range pods {
					for j := range page {
						page[j].Value++
					}
					w.Scrape(sec(15*float64(i)), p, page)
				}
			}
			q, err := w.Query(x.text)
			if err != nil {
				b.Fatal(err)
			}
			at := sec(15 * 40)
			b.ReportAllocs()
			for b.Loop() {
				at += 1_000_000
				w.Fresh()
				if _, err := q.Eval(at); err != nil {
					b.Fatal(err)
				}
				if at > sec(15*41) {
					at = sec(15 * 40)
				}
			}
		})
	}
}

// BenchmarkCustom reports the time of a horizontal pod autoscaler's question for a metric of the pods of one service.
func BenchmarkCustom(b *testing.B) {
	for _, metric := range []string{"vllm:gauge_1", "vllm:counter_1"} {
		b.Run(metric, func(b *testing.B) {
			w, pods, page := fleet(b)
			for i := range 40 {
				for _, p := range pods {
					w.Scrape(sec(15*float64(i)), p, page)
				}
			}
			w.now = sec(15 * 40)
			_, custom, _ := w.Clients(nil)
			selector := labels.SelectorFromSet(labels.Set{"app": "s3"})
			b.ReportAllocs()
			for b.Loop() {
				w.Fresh()
				out, err := custom.NamespacedMetrics("default").GetForObjects(schema.GroupKind{Kind: "Pod"}, selector, metric,
					labels.Everything())
				if err != nil || len(out.Items) != 5 {
					b.Fatal(err, len(out.Items))
				}
			}
		})
	}
}
