package sim_test

import (
	"fmt"
	"testing"

	"orrery/sim/journal"
	"orrery/sim/units"
)

// fractions is a cluster of 4 GPUs and jobs that ask for parts of one and whole ones, and end.
const fractions = `apiVersion: orrery/v1
kind: Scenario
name: fractions
cluster:
  pools:
  - {name: a, gpu: T4, nodes: 2, gpusPerNode: 2, cpu: 64, memory: 256Gi, sharing: {strategy: fraction}}
trace:
  generate:
    name: pieces
    jobs: 150
    arrival: {process: poisson, load: {gpus: 4, factor: 1.1}}
    sizes: [{gpus: 1, weight: 90}, {gpus: 2, weight: 10}]
    fractional: {share: 0.7, milli: [{milli: 250, weight: 1}, {milli: 330, weight: 1}, {milli: 500, weight: 1}]}
    classes: [{name: all, up_to_gpus: 2, duration: [{kind: lognormal, median: 10m, mean: 15m, max: 2h}]}]
workload:
  fractions: annotate
  cpuMilliPerGPU: 4000
scheduler:
  config: {name: scheduler.yaml, text: %q}
`

// TestFractions follows who owns what of each GPU: exactly what was asked for, on one GPU of the node that was chosen,
// never more than a whole GPU, and all jobs get through.
func TestFractions(t *testing.T) {
	got := play(t, fmt.Sprintf(fractions, policyConfig("BestFit")))
	owned := map[string]units.MilliGPU{} // by node and GPU
	asked := map[string]units.MilliGPU{}
	held := map[string]journal.PodAssign{}
	shared := 0
	for _, r := range got.records {
		switch b := r.Body.(type) {
		case journal.PodCreate:
			asked[b.Pod] = b.GPUs
		case journal.PodAssign:
			var sum units.MilliGPU
			for _, s := range b.Slots {
				key := fmt.Sprint(b.Node, "/", s.Index)
				if owned[key] > 0 {
					shared++
				}
				if owned[key] += s.Share; owned[key] > units.GPU {
					t.Fatalf("at %s GPU %s is owned to %d thousandths", r.At, key, owned[key])
				}
				sum += s.Share
			}
			if sum != asked[b.Pod] || sum == 0 {
				t.Fatalf("pod %s asked for %d thousandths and got %d", b.Pod, asked[b.Pod], sum)
			}
			held[b.Pod] = b
		case journal.PodRelease:
			for _, s := range held[b.Pod].Slots {
				owned[fmt.Sprint(b.Node, "/", s.Index)] -= s.Share
			}
		}
	}
	if s := got.data.Summary.Jobs; s.Completed != s.Submitted || s.Submitted != 150 || shared < 20 {
		t.Errorf("%d of %d jobs completed, %d times a GPU was shared", s.Completed, s.Submitted, shared)
	}
}

// TestFractionsUnpicked binds such pods without a plugin that picks their GPUs: the node refuses them all.
func TestFractionsUnpicked(t *testing.T) {
	got := play(t, fmt.Sprintf(fractions, "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"),
		"trace.generate.jobs=5", "workload.restart.policy=never")
	refused := 0
	for _, r := range got.records {
		switch b := r.Body.(type) {
		case journal.PodAssign:
			t.Errorf("pod %s got %v", b.Pod, b.Slots)
		case journal.PodEnd:
			if b.Reason == "UnexpectedAdmissionError" {
				refused++
			}
		}
	}
	if refused != 5 {
		t.Errorf("%d of 5 pods were refused", refused)
	}
}
