package scenarios

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"orrery/sim/plan"
)

const elasticText = `apiVersion: orrery/v1
kind: Scenario
name: x
cluster:
  pools:
  - {name: a, node: a3-highgpu-8g, nodes: 0, elastic: {by: cluster-autoscaler, max: 4}}
trace:
  generate:
    name: t
    span: 1h
    arrival: {process: poisson, rate_per_hour: 1}
    sizes: [{gpus: 8, weight: 1}]
    classes: [{name: c, up_to_gpus: 8, duration: [{kind: lognormal, median: 1h, mean: 70m, max: 9h}], outcomes: {succeeded: 100}}]
`

// TestClusterAutoscalerDefaults: what a scenario leaves out is upstream's default of the flag.
func TestClusterAutoscalerDefaults(t *testing.T) {
	s, err := Parse("x.yaml", []byte(elasticText))
	if err != nil {
		t.Fatal(err)
	}
	p, jobs, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = jobs.Close() }()
	want := &plan.ClusterAutoscaler{ScanInterval: 10 * time.Second, MaxProvision: 15 * time.Minute, ScaleDown: true,
		DelayAfterAdd: 10 * time.Minute, DelayAfterDelete: 10 * time.Second, DelayAfterFailure: 3 * time.Minute,
		Unneeded: 10 * time.Minute, UnreadyUnneeded: 20 * time.Minute, UtilizationThreshold: 0.5,
		GPUUtilizationThreshold: 0.5, Expander: "least-waste", MaxEmptyBulkDelete: 10,
		MaxGracefulTermination: 10 * time.Minute, BackoffInitial: 5 * time.Minute, BackoffMax: 30 * time.Minute,
		SkipNodesWithLocalStorage: true, SkipSystemPods: true, UnremovableRecheck: 5 * time.Minute}
	if diff := cmp.Diff(want, p.Autoscalers.ClusterAutoscaler); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
}

// TestExpanderNames: several expanders may be given, each by its name.
func TestExpanderNames(t *testing.T) {
	for list, want := range map[string]string{"priority,least-waste": "", "priority, most-pods": `no expander " most-pods"`,
		"cheapest": `no expander "cheapest"`} {
		text := elasticText + "autoscaling: {clusterAutoscaler: {expander: \"" + list + "\"}}\n"
		_, err := Parse("x.yaml", []byte(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", list, err, want)
		}
	}
}
