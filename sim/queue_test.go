package sim_test

import (
	"math"
	"strings"
	"testing"

	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// instant are stages without any delay of their own, so that a job's time on a GPU is its service time exactly.
const instant = `
stages:
- name: instant.yaml
  text: |
    apiVersion: kwok.x-k8s.io/v1alpha1
    kind: Stage
    metadata: {name: pod-ready}
    spec:
      resourceRef: {apiGroup: v1, kind: Pod}
      selector:
        matchExpressions:
        - {key: '.metadata.deletionTimestamp', operator: DoesNotExist}
        - {key: '.status.phase', operator: In, values: [Pending]}
      next:
        statusTemplate: |
          {{ $now := Now }}
          conditions:
          - {type: Ready, status: "True", lastTransitionTime: {{ $now | Quote }}}
          phase: Running
          startTime: {{ $now | Quote }}
    ---
    apiVersion: kwok.x-k8s.io/v1alpha1
    kind: Stage
    metadata: {name: pod-complete}
    spec:
      resourceRef: {apiGroup: v1, kind: Pod}
      selector:
        matchExpressions:
        - {key: '.metadata.deletionTimestamp', operator: DoesNotExist}
        - {key: '.status.phase', operator: In, values: [Running]}
        - {key: '.metadata.annotations["pod-complete.stage.orrery.dev/delay"]', operator: Exists}
      delay:
        durationFrom: {expressionFrom: '.metadata.annotations["pod-complete.stage.orrery.dev/delay"]'}
      next:
        statusTemplate: |
          phase: Succeeded
`

const station = `apiVersion: orrery/v1
kind: Scenario
name: mmc
cluster:
  pools: [{name: server, gpu: T4, nodes: 5, gpusPerNode: 1, cpu: 16, memory: 64Gi}]
trace:
  generate:
    name: mmc
    jobs: 6000
    arrival: {process: poisson, rate_per_hour: 3.5}
    sizes: [{gpus: 1, weight: 1}]
    classes:
    - name: all
      up_to_gpus: 1
      duration: [{kind: exponential, mean: 1h, min: 1ms, max: 100h}]
workload: {terminationGraceSeconds: 0}
scheduler:
  latency: {attempt: 0s, attemptPerNode: 0s, api: 0s, watch: 0s}
` + instant

// instantStages are the same stages as a file of their own.
func instantStages() string {
	_, text, _ := strings.Cut(instant, "text: |\n")
	return strings.ReplaceAll("\n"+text, "\n    ", "\n")
}

// erlangC is the probability that an arrival at an M/M/c queue with offered load a waits.
func erlangC(c int, a float64) float64 {
	sum, term := 0.0, 1.0
	for k := range c {
		sum += term
		term *= a / float64(k+1)
	}
	last := term * float64(c) / (float64(c) - a)
	return last / (sum + last)
}

// TestErlangC compares waits on a cluster of one-GPU nodes with the closed form of the M/M/c queue. The real scheduler
// adds its back-off: a pod whose attempt failed waits for a completion's queueing hint, and at most a second more. The
// bounds are four standard errors of the mean of six independent runs, widened by that second.
func TestErlangC(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute of simulation; TestEqualService is exact and quick")
	}
	const c, lambda, mu = 5, 3.5, 1.0
	want := erlangC(c, lambda/mu) / (c*mu - lambda) * 3600
	var means, exact []float64
	for _, seed := range []string{"seed=1", "seed=2", "seed=3", "seed=4", "seed=5", "seed=6"} {
		p := play(t, station, seed, "trace.generate.jobs=1000")
		if p.data.Summary.Jobs.Completed != 1000 {
			t.Fatalf("%+v", p.data.Summary.Jobs)
		}
		means = append(means, p.data.Summary.QueueWait.Mean)
		exact = append(exact, recursion(p.records, c))
	}
	mean, se := meanAndError(means)
	t.Logf("mean wait %.1f ± %.1f s, Erlang C %.1f s", mean, se, want)
	if math.Abs(mean-want) > 4*se+1 {
		t.Errorf("mean wait %.1f s, Erlang C says %.1f s (standard error %.1f s)", mean, want, se)
	}
	// Path by path: who of several waiting pods is next differs from first-come-first-served, which moves single waits but
	// hardly their mean.
	if path, _ := meanAndError(exact); math.Abs(mean-path) > 0.05*path {
		t.Errorf("mean wait %.1f s, first come first served on the same arrivals %.1f s", mean, path)
	}
	if se > want/3 {
		t.Errorf("standard error %.1f s is too wide to show anything", se)
	}
}

// recursion is the mean wait of a first-come-first-served station of n servers with the jobs of a journal.
func recursion(records []journal.Record, n int) float64 {
	var jobs []plan.Job
	for _, r := range records {
		if b, ok := r.Body.(journal.JobSubmit); ok {
			jobs = append(jobs, plan.Job{Submit: r.At, Run: b.Run})
		}
	}
	mean, _ := meanAndError(firstCome(n, jobs))
	return mean
}

func meanAndError(x []float64) (mean, se float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		se += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(se/float64(len(x)-1)) / math.Sqrt(float64(len(x)))
}

// TestLittle checks Little's law on the scheduler's queue and on the cluster, by areas: the area under the number of
// pods present equals the sum of their times, pod by pod, whatever happens in between.
func TestLittle(t *testing.T) {
	for _, tc := range [][]string{{"preemption", "trace.generate.span=8h"}, {station, "trace.generate.jobs=800"}} {
		p := play(t, tc[0], "seed=5", tc[1])
		end := p.records[len(p.records)-1].At
		var waiting, running units.Integral // by counting
		queued, held := 0, 0
		arrived, bound := map[string]units.Time{}, map[string]units.Time{}
		var waits, tenures int64 // by summing
		last := units.Time(0)
		for _, r := range p.records {
			waiting.Add(int64(queued), r.At.Sub(last))
			running.Add(int64(held), r.At.Sub(last))
			last = r.At
			switch b := r.Body.(type) {
			case journal.PodCreate:
				queued++
				arrived[b.Pod] = r.At
			case journal.PodBind:
				queued--
				waits += int64(r.At.Sub(arrived[b.Pod]))
				delete(arrived, b.Pod)
			case journal.PodDelete:
				if at, ok := arrived[b.Pod]; ok {
					queued--
					waits += int64(r.At.Sub(at))
					delete(arrived, b.Pod)
				}
			case journal.PodAssign:
				held++
				bound[b.Pod] = r.At
			case journal.PodRelease:
				held--
				tenures += int64(r.At.Sub(bound[b.Pod]))
				delete(bound, b.Pod)
			}
		}
		for _, at := range arrived {
			waits += int64(end.Sub(at))
		}
		for _, at := range bound {
			tenures += int64(end.Sub(at))
		}
		hours := func(ns int64) float64 { return float64(ns) / 3.6e12 }
		series := p.data.Series
		area := 0.0
		for i := range series.T {
			area += series.PendingPods[i] * min(series.Bin, end.Seconds()-series.T[i]) / 3600
		}
		for name, pair := range map[string][2]float64{
			"queue": {waiting.Hours(), hours(waits)}, "cluster": {running.Hours(), hours(tenures)},
			"queue in the report's series": {area, hours(waits)},
		} {
			if pair[1] == 0 || math.Abs(pair[0]-pair[1]) > 1e-6*pair[1] {
				t.Errorf("%s: area %.9f pod-hours, sum of times %.9f", name, pair[0], pair[1])
			}
		}
	}
}
