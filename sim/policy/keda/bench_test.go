package keda_test

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"orrery/sim/policy/metrics"
)

// BenchmarkDay reports the time of a simulated day of 20 ScaledObjects without autoscalers: polls and scrapes.
func BenchmarkDay(b *testing.B) {
	var manifests string
	for i := range 20 {
		manifests += fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: app%[1]d}
spec:
  selector: {matchLabels: {app: app%[1]d}}
  template:
    metadata: {labels: {app: app%[1]d}}
    spec: {containers: [{name: c, image: c}]}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: app%[1]d}
spec:
  scaleTargetRef: {name: app%[1]d}
  triggers:
  - type: prometheus
    metadata: {serverAddress: x, query: 'sum(queue)', threshold: "%[1]d.5"}
  - type: cron
    metadata: {timezone: UTC, start: 0 8 * * *, end: 0 18 * * *, desiredReplicas: "3"}
---
`, i)
	}
	for b.Loop() {
		play(b, manifests, 24*time.Hour, func(w *world) { w.load["queue"] = step(3600, 3, 40000, 0) })
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/20/(86400/30), "µs/poll")
}

// BenchmarkRead reports the time of an autoscaler's question after a scrape, with a rate over the pods of one of 20
// services, among 5,000 of them. (A loop of the benchmark inside a bubble would never end: its clock stands still there.)
func BenchmarkRead(b *testing.B) {
	const reads = 5000
	for b.Loop() {
		play(b, app(1)+scaled(`  triggers:
  - type: prometheus
    metadata: {serverAddress: x, query: 'sum(rate(requests_total{service="s3"}[2m]))', threshold: "5"}
`), 10*time.Minute, func(w *world) { w.read(b, reads) })
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/reads, "µs/read")
}

// read scrapes 100 pods for a while and then asks n times.
func (w *world) read(b *testing.B, n int) {
	var pods []*metrics.Target
	w.at[time.Second] = func() {
		for i := range 100 {
			t, err := w.metrics.Target(metrics.TargetOptions{Labels: []metrics.Label{
				{Name: "pod", Value: fmt.Sprint(i)}, {Name: "service", Value: fmt.Sprintf("s%d", i%20)}}})
			if err != nil {
				b.Error(err)
			}
			pods = append(pods, t)
		}
	}
	for k := range 35 {
		w.at[time.Duration(k*15+5)*time.Second] = func() {
			for _, t := range pods {
				w.metrics.Scrape(w.engine.Now(), t, []metrics.Sample{{Name: "requests_total", Value: float64(k)}})
			}
		}
	}
	w.at[9*time.Minute] = func() {
		selector := labels.SelectorFromSet(labels.Set{"scaledobject.keda.sh/name": "app"})
		_, _, external := w.metrics.Clients(nil)
		client := external.NamespacedMetrics("default")
		for range n {
			w.metrics.Scrape(w.engine.Now(), pods[0], []metrics.Sample{{Name: "requests_total"}})
			if _, err := client.List("s0-prometheus", selector); err != nil {
				b.Error(err)
				return
			}
		}
	}
}
