package sim_test

import (
	"fmt"
	"testing"

	"orrery/sim/journal"
)

// TestRepeats runs scenarios with preemption, ties, several profiles and shared GPUs again and again: the same seed
// must give the same journal, byte for byte, at any GOMAXPROCS, and another seed another one.
func TestRepeats(t *testing.T) {
	for _, tc := range []struct {
		scenario string
		sets     []string
	}{
		{"preemption", []string{"trace.generate.span=8h"}},
		{"preemption", []string{"trace.generate.span=8h", "scheduler.featureGates={SchedulerAsyncAPICalls: true}"}},
		{"preemption", []string{"trace.generate.span=8h",
			"scheduler.featureGates={SchedulerAsyncPreemption: false, SchedulerPopFromBackoffQ: false}"}},
		// Few requests a second: the scheduler and its asynchronous preemptions wait for the same tokens.
		{"preemption", []string{"trace.generate.span=8h", "scheduler.config={name: slow.yaml, text: " + slowClient + "}"}},
		{"multi-profile", nil},
		{"timeslicing", nil},
		{"overload", []string{"trace.generate.jobs=100"}},
		{ties, []string{"trace.generate.jobs=80"}},
	} {
		name := tc.scenario
		if len(name) > 40 {
			name = "ties"
		}
		t.Run(name, func(t *testing.T) {
			seen := map[string]int{}
			for seed := range 2 {
				sets := append([]string{fmt.Sprintf("seed=%d", seed)}, tc.sets...)
				first := repeats(t, []int{1, 2, 8}, func() played { return play(t, tc.scenario, sets...) })
				if other, ok := seen[first.head]; ok {
					t.Fatalf("seeds %d and %d give the same journal", seed, other)
				}
				seen[first.head] = seed
			}
		})
	}
}

const slowClient = `"apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n` +
	`clientConnection: {qps: 2, burst: 2}\n"`

// difference describes the first record in which two journals differ.
func difference(a, b []journal.Record) string {
	for i := range a {
		if i >= len(b) {
			return fmt.Sprintf("the second ends after record %d", i)
		}
		x, y := fmt.Sprintf("%v %T%+v", a[i].At, a[i].Body, a[i].Body), fmt.Sprintf("%v %T%+v", b[i].At, b[i].Body, b[i].Body)
		if x != y {
			return fmt.Sprintf("record %d:\n  %s\n  %s", i, x, y)
		}
	}
	return fmt.Sprintf("the first ends after record %d", len(a))
}

// ties is made of ties: equal nodes, jobs submitted at one instant in bursts, equal priorities among victims.
const ties = `apiVersion: orrery/v1
kind: Scenario
name: ties
cluster:
  pools:
  - {name: a, gpu: H100, nodes: 12, gpusPerNode: 8, cpu: 96, memory: 1000Gi}
trace:
  generate:
    name: ties
    jobs: 240
    arrival: {process: gamma, cv: 6, load: {gpus: 96, factor: 1.6}}
    sizes: [{gpus: 1, weight: 1}, {gpus: 4, weight: 1}, {gpus: 8, weight: 2}, {gpus: 16, weight: 1}]
    classes:
    - name: all
      up_to_gpus: 16
      duration: [{kind: lognormal, median: 20m, mean: 30m, max: 2h}]
      outcomes: {succeeded: 70, failed: 15, killed: 15}
    priorities: [{name: low, share: 60}, {name: mid, share: 25}, {name: high, share: 15}]
manifests:
- name: classes.yaml
  text: |
    apiVersion: scheduling.k8s.io/v1
    kind: PriorityClass
    metadata: {name: low}
    value: 10
    ---
    apiVersion: scheduling.k8s.io/v1
    kind: PriorityClass
    metadata: {name: mid}
    value: 100
    ---
    apiVersion: scheduling.k8s.io/v1
    kind: PriorityClass
    metadata: {name: high}
    value: 1000
    ---
    apiVersion: policy/v1
    kind: PodDisruptionBudget
    metadata: {name: keep, namespace: default}
    spec: {minAvailable: 3, selector: {matchLabels: {orrery.dev/priority: low}}}
`
