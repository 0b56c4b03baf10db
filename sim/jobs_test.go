package sim_test

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"orrery/sim/journal"
)

// jobObjects is a small cluster whose jobs are Job objects: gangs of a trace with preemption among them, and a Job of the
// user's manifests that runs two pods after two others.
const jobObjects = `apiVersion: orrery/v1
kind: Scenario
name: jobs
cluster:
  pools:
  - {name: a, gpu: H100, nodes: 4, gpusPerNode: 8, cpu: 96, memory: 1000Gi, labels: {example.com/row: "1"}}
trace:
  generate:
    name: jobs
    jobs: 24
    arrival: {process: gamma, cv: 3, load: {gpus: 32, factor: 1.2}}
    sizes: [{gpus: 4, weight: 2}, {gpus: 8, weight: 1}, {gpus: 16, weight: 1}, {gpus: 24, weight: 1}]
    classes:
    - name: all
      up_to_gpus: 24
      duration: [{kind: lognormal, median: 10m, mean: 15m, max: 1h}]
      outcomes: {succeeded: 80, failed: 10, killed: 10}
    priorities: [{name: low, share: 70}, {name: high, share: 30}]
workload:
  as: job
  gangs: {policy: pod-groups, topology: {required: example.com/row}}
manifests:
- name: classes.yaml
  text: |
    {apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: low}, value: 10}
    ---
    {apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: high}, value: 1000}
- name: own.yaml
  text: |
    apiVersion: batch/v1
    kind: Job
    metadata: {name: own, annotations: {orrery.dev/run: 2m}}
    spec:
      completions: 4
      parallelism: 2
      template:
        spec:
          restartPolicy: Never
          containers:
          - {name: work, image: work, resources: {limits: {nvidia.com/gpu: 1}}}
`

// TestJobObjects: the upstream Job controller's doings repeat at any GOMAXPROCS, and every job ends as the trace says.
func TestJobObjects(t *testing.T) {
	first := repeats(t, []int{1, 2, 8, 2}, func() played { return play(t, jobObjects) })
	want, restarts, own := map[string]string{}, 0, 0
	var began time.Duration
	for _, r := range first.records {
		switch b := r.Body.(type) {
		case journal.JobSubmit:
			want[b.Job] = b.Outcome
		case journal.JobRestart:
			restarts++
		case journal.JobEnd:
			if b.Outcome != want[b.Job] {
				t.Errorf("%s is %s (%s), the trace says %s", b.Job, b.Outcome, b.Reason, want[b.Job])
			}
			delete(want, b.Job)
			if b.Job == "own.default" && time.Duration(r.At)-began < 4*time.Minute {
				t.Errorf("twice two pods of two minutes ended after %s", time.Duration(r.At)-began)
			}
		case journal.PodStart:
			if strings.HasPrefix(b.Pod, "default/own-") {
				if own++; own == 1 {
					began = time.Duration(r.At)
				}
			}
		case journal.Warn:
			if b.Code != "full-scheduling-cycles" {
				t.Errorf("%s: %s", b.Code, b.Message)
			}
		}
	}
	if len(want) > 0 || restarts == 0 || own < 4 {
		t.Errorf("jobs that did not end: %v; %d pods lost; %d pods of the manifest's Job", want, restarts, own)
	}
}

// TestJobObjectsRepeat: what the Job controller does repeats at any GOMAXPROCS, and is the same with upstream's own
// scheduling cycle, whoever makes the pod groups, and also beside the controller of resource claims.
func TestJobObjectsRepeat(t *testing.T) {
	claims, _, _ := strings.Cut(jobObjects, "- name: own.yaml") // whose Job asks for an extended resource
	claims = strings.Replace(claims, "memory: 1000Gi,", "memory: 1000Gi, driver: dra,", 1)
	claims = strings.Replace(claims, "  as: job\n", "  as: job\n  request: claim\n", 1)
	for _, tc := range []struct{ name, scenario, set string }{
		{"gangs of somebody else", jobObjects, "scheduler.featureGates={WorkloadWithJob: false}"},
		{"a policy of preemption", jobObjects, "scheduler.featureGates={PodGroupPreemptionPolicy: true}"},
		{"claims", claims, "seed=1"},
		{"claims, alone", claims, "workload.gangs={policy: none}"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			old := runtime.GOMAXPROCS(1)
			first := play(t, tc.scenario, tc.set, "journal.api=true")
			runtime.GOMAXPROCS(8)
			again := play(t, tc.scenario, tc.set, "journal.api=true")
			runtime.GOMAXPROCS(old)
			if !bytes.Equal(again.file, first.file) {
				t.Fatalf("another journal at GOMAXPROCS 8 than at 1: %s", difference(first.records, again.records))
			}
			exact, err := tryWith(asUpstream, tc.scenario, tc.set, "journal.api=true")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(exact.file, first.file) {
				t.Fatalf("another journal with upstream's own cycle: %s", difference(first.records, exact.records))
			}
			if n := first.data.Summary.Jobs; n.Submitted < 24 || n.Pending+n.Running > 0 {
				t.Errorf("jobs left: %+v", n)
			}
		})
	}
}
