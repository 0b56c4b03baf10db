package hpa_test

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const podsMetric = `  metrics:
  - type: Pods
    pods: {metric: {name: inflight}, target: {type: AverageValue, averageValue: 4}}
`

// step is a load that is high between two instants.
func step(low, high float64, from, to time.Duration) func(time.Duration) float64 {
	return func(at time.Duration) float64 {
		if at >= from && at < to {
			return high
		}
		return low
	}
}

// scaling are autoscalers under a load, and what upstream makes of them: exact to the second, worked out by its rules.
var scaling = []struct {
	name  string
	most  int
	spec  string
	setup func(*world)
	want  string
}{
	// At most the larger of twice and 4 at a sync, and down when 5 minutes have passed since the last sync with a
	// higher recommendation, which was at 19m45s.
	{"up and down", 12, podsMetric, func(w *world) {
		w.load["inflight"] = step(3, 40, 10*time.Minute, 20*time.Minute)
	}, `
10m0s Deployment web 1->4
10m15s Deployment web 4->8
10m30s Deployment web 8->10
25m0s Deployment web 10->1`},
	// 4.4 a pod is 10 % above the target, within the tolerance; 4.5 is not.
	{"tolerance", 12, podsMetric, func(w *world) {
		w.load["pod:inflight"] = func(at time.Duration) float64 {
			if at < 10*time.Minute {
				return 4.4
			}
			return step(4, 4.5, 10*time.Minute, 10*time.Minute+15*time.Second)(at)
		}
	}, `
10m0s Deployment web 1->2`},
	// Half as much again is not enough for an autoscaler that says so.
	{"own tolerance", 12, podsMetric + "  behavior:\n    scaleUp: {tolerance: 0.5}\n", func(w *world) {
		w.load["pod:inflight"] = func(at time.Duration) float64 {
			return 6 + step(0, 0.1, 10*time.Minute, 10*time.Minute+15*time.Second)(at)
		}
	}, `
10m0s Deployment web 1->2`},
	// One pod a minute up; down at most half in two minutes, once the recommendation of 19m45s is 30 s old: with a
	// behaviour upstream counts what is younger than the window, without one what is not older.
	{"behaviour", 12, podsMetric + `  behavior:
    scaleUp: {policies: [{type: Pods, value: 1, periodSeconds: 60}]}
    scaleDown: {stabilizationWindowSeconds: 30, policies: [{type: Percent, value: 50, periodSeconds: 120}]}
`, func(w *world) { w.load["inflight"] = step(3, 16, 10*time.Minute, 20*time.Minute) }, `
10m0s Deployment web 1->2
11m0s Deployment web 2->3
12m0s Deployment web 3->4
20m15s Deployment web 4->2
22m15s Deployment web 2->1`},
	{"never down", 12, podsMetric + `  behavior:
    scaleDown: {selectPolicy: Disabled}
`, func(w *world) { w.load["inflight"] = step(3, 16, 10*time.Minute, 20*time.Minute) }, `
10m0s Deployment web 1->4`},
	// The largest of what the metrics want: 2 replicas for the queue, 3 for the pods, 5 for the object.
	{"several metrics", 12, podsMetric + `  - type: External
    external: {metric: {name: queue}, target: {type: AverageValue, averageValue: 10}}
  - type: Object
    object:
      describedObject: {apiVersion: v1, kind: Service, name: web}
      metric: {name: rps}
      target: {type: AverageValue, averageValue: 100}
`, func(w *world) {
		w.load["queue"] = step(1, 20, 10*time.Minute, time.Hour)
		w.load["inflight"] = step(1, 12, 10*time.Minute, time.Hour)
		w.load["rps"] = step(1, 500, 20*time.Minute, time.Hour)
	}, `
10m0s Deployment web 1->3
20m0s Deployment web 3->5`},
	// Of several metrics one that nobody exposes does not keep it from growing, but from shrinking.
	{"one metric is missing", 12, podsMetric + `  - type: External
    external: {metric: {name: nobody}, target: {type: Value, value: 10}}
`, func(w *world) { w.load["inflight"] = step(3, 12, 10*time.Minute, 20*time.Minute) }, `
10m0s Deployment web 1->3`},
	// Only the container's own use counts, in percent of its request of 1 CPU.
	{"container", 12, `  metrics:
  - type: ContainerResource
    containerResource: {name: cpu, container: side, target: {type: Utilization, averageUtilization: 50}}
`, func(w *world) {
		w.load["pod:c/cpu"] = func(time.Duration) float64 { return 1 }
		w.load["side/cpu"] = step(0.3, 1.2, 10*time.Minute, 20*time.Minute)
	}, `
10m0s Deployment web 1->3
25m0s Deployment web 3->1`},
	// Until they are ready, new pods count as idle: of 3 the 2 that take 4 minutes to start keep it from asking for more,
	// though the only ready one has three times its share.
	{"pods that start", 12, `  metrics:
  - type: Resource
    resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}
`, func(w *world) {
		made := 0
		w.ready = func(*corev1.Pod) time.Duration {
			if made++; made == 1 {
				return time.Second
			}
			return 4 * time.Minute
		}
		w.load["pod:side/cpu"] = func(time.Duration) float64 { return 0 }
		w.load["c/cpu"] = step(0.9, 3, 10*time.Minute, time.Hour)
	}, `
10m0s Deployment web 1->3`},
	{"more than most", 2, podsMetric + "  minReplicas: 2\n", func(w *world) {
		w.load["inflight"] = step(3, 40, 10*time.Minute, 20*time.Minute)
	}, `
0s Deployment web 1->2`},
}

// TestScaling compares what the controller does with what upstream's rules say, and with what upstream does when it
// runs by itself, with its own queues and informers.
func TestScaling(t *testing.T) {
	for _, tc := range scaling {
		t.Run(tc.name, func(t *testing.T) {
			for _, free := range []bool{false, true} {
				w := play(t, free, autoscaled("web", tc.most, tc.spec), time.Hour, tc.setup)
				wants(t, fmt.Sprintf("free: %t", free), w.scales, tc.want)
			}
		})
	}
}

// TestNobodyExposesTheMetric: the autoscaler says so in upstream's words.
func TestNobodyExposesTheMetric(t *testing.T) {
	w := play(t, false, autoscaled("web", 12, podsMetric), time.Minute, func(*world) {})
	const want = `45s web: FailedGetPodsMetric: unable to get metric inflight: unable to fetch metrics from custom ` +
		`metrics API: the server could not find the requested resource (get Pod/inflight.custom.metrics.k8s.io)`
	if text := strings.Join(w.said, "\n"); !strings.Contains(text, want) || len(w.scales) > 0 {
		t.Errorf("said\n%s\nwant\n%s\nscales %v", text, want, w.scales)
	}
	if c := w.condition("web", "ScalingActive"); !strings.HasPrefix(c, "False FailedGetPodsMetric: the HPA was unable to "+
		"compute the replica count: unable to get metric inflight") {
		t.Error(c)
	}
}

// TestTwoOfOneDeployment: of several autoscalers whose pods are the same none scales, and they say so in the same words
// each time.
func TestTwoOfOneDeployment(t *testing.T) {
	text := autoscaled("web", 12, podsMetric)
	_, one, _ := strings.Cut(text, "kind: HorizontalPodAutoscaler")
	for _, name := range []string{"third", "another"} {
		text += "\n---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler" +
			strings.Replace(one, "name: web", "name: "+name, 1)
	}
	w := play(t, false, text, 20*time.Minute, func(w *world) { w.load["inflight"] = step(40, 40, 0, time.Hour) })
	ambiguous := 0
	for _, said := range w.said {
		if strings.Contains(said, "AmbiguousSelector") {
			ambiguous++
			if !strings.Contains(said, "by more than one HPA (e.g. [default/another default/third])") {
				t.Error(said)
			}
		}
	}
	if ambiguous < 3*70 || len(w.scales) > 0 {
		t.Errorf("said %d times; scales %v", ambiguous, w.scales)
	}
}

// TestRepeats: every write is the same at any number of processors.
func TestRepeats(t *testing.T) {
	var text strings.Builder
	for i := range 8 {
		text.WriteString(autoscaled(fmt.Sprintf("web%d", i), 40, podsMetric))
	}
	var first string
	for _, n := range []int{1, 2, 8, 2} {
		old := runtime.GOMAXPROCS(n)
		w := play(t, false, text.String(), time.Hour, func(w *world) {
			w.load["inflight"] = step(3, 150, 10*time.Minute, 20*time.Minute)
		})
		runtime.GOMAXPROCS(old)
		got := fmt.Sprintf("%x", w.writes.Sum(nil))
		if first == "" {
			first = got
		}
		if got != first || len(w.scales) < 16 {
			t.Errorf("GOMAXPROCS %d: hash %s, before %s; %d changes", n, got, first, len(w.scales))
		}
	}
}

// BenchmarkDay is a day of 20 autoscalers whose metric changes at every sync.
func BenchmarkDay(b *testing.B) {
	var text strings.Builder
	for i := range 20 {
		text.WriteString(autoscaled(fmt.Sprintf("web%d", i), 12, podsMetric))
	}
	for b.Loop() {
		began, cpu := time.Now(), cpuTime()
		syncs := 20 * int(24*time.Hour/(15*time.Second))
		w := play(b, false, text.String(), 24*time.Hour, func(w *world) {
			w.load["inflight"] = func(at time.Duration) float64 {
				return 20 + float64(at%(2*time.Hour)/time.Minute)/8 + float64(at%(7*time.Minute)/time.Second)/100
			}
		})
		b.ReportMetric(float64(time.Since(began).Microseconds())/float64(syncs), "µs/sync")
		b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(syncs), "cpu-µs/sync")
		b.ReportMetric(float64(w.syncs)/float64(syncs), "writes/sync")
		b.ReportMetric(float64(len(w.scales)), "scales")
		b.ReportMetric(float64(w.engine.Events())/float64(syncs), "events/sync")
	}
}

// cpuTime is the processor time that the process has taken.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
