package sim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"orrery/sim/journal"
	"orrery/sim/units"
)

// deployed is a cluster with pods of all the workload controllers.
const deployed = `apiVersion: orrery/v1
kind: Scenario
name: deployed
cluster:
  pools:
  - {name: a, gpu: H100, nodes: 2, gpusPerNode: 8, cpu: 96, memory: 1000Gi}
horizon: 1h
trace: {generate: {name: none, jobs: 1, arrival: {process: poisson, load: {gpus: 8, factor: 0.1}}, sizes: [{gpus: 1, weight: 1}], classes: [{name: all, up_to_gpus: 8, duration: [{kind: lognormal, median: 1m, mean: 2m, max: 1h}]}]}}
manifests:
- name: own.yaml
  text: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web}
    spec:
      replicas: 5
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec:
          containers:
          - {name: web, image: web, resources: {limits: {nvidia.com/gpu: 1}}}
    ---
    apiVersion: apps/v1
    kind: StatefulSet
    metadata: {name: db}
    spec:
      replicas: 3
      serviceName: db
      selector: {matchLabels: {app: db}}
      template:
        metadata: {labels: {app: db}}
        spec:
          containers:
          - {name: db, image: db, resources: {limits: {nvidia.com/gpu: 1}}}
`

// TestDeployed: Deployments and StatefulSets of the manifests get their pods from the upstream controllers, a
// StatefulSet's one after the other; they stay, and all repeats at any GOMAXPROCS.
func TestDeployed(t *testing.T) {
	first := repeats(t, []int{1, 2, 8}, func() played { return play(t, deployed) })
	var web, db int
	for _, r := range first.records {
		switch b := r.Body.(type) {
		case journal.PodStart:
			switch {
			case strings.HasPrefix(b.Pod, "default/web-"):
				web++
			case b.Pod == fmt.Sprintf("default/db-%d", db):
				db++
			}
		case journal.PodDelete:
			if strings.HasPrefix(b.Pod, "default/") && !strings.Contains(b.Pod, "/none-") {
				t.Errorf("%s is deleted", b.Pod)
			}
		case journal.Warn:
			if strings.HasPrefix(b.Code, "upstream") {
				t.Error(b)
			}
		}
	}
	if web != 5 || db != 3 {
		t.Errorf("%d pods of the Deployment started, want 5; %d of the StatefulSet in their order, want 3", web, db)
	}
}

// TestDrains: neither pods that stay for ever nor autoscalers and controllers that look again and again keep a run alive
// that has no horizon, even if some of the pods find no place.
func TestDrains(t *testing.T) {
	scenario := strings.Replace(deployed+autoscaler, "horizon: 1h\n", "", 1)
	for _, replicas := range []string{"replicas: 5", "replicas: 50"} {
		p := play(t, strings.Replace(strings.Replace(scenario, "replicas: 5", replicas, 1), "maxReplicas: 3",
			"maxReplicas: 40", 1))
		last := p.records[len(p.records)-1]
		if end, ok := last.Body.(journal.End); !ok || end.Reason != journal.EndDrained || last.At > units.Time(time.Hour) {
			t.Errorf("%s: ends with %+v", replicas, last)
		}
	}
}

// TestPreempted: pods of a Deployment that a job takes the place of are made anew, and wait.
func TestPreempted(t *testing.T) {
	p := play(t, strings.NewReplacer("replicas: 5", "replicas: 13", "sizes: [{gpus: 1, weight: 1}]",
		"sizes: [{gpus: 8, weight: 1}], priorities: [{name: high, share: 100}]").Replace(deployed)+`- name: high.yaml
  text: "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: high}, value: 1000}"
`)
	started, preempted := map[string]int{}, 0
	for _, r := range p.records {
		switch b := r.Body.(type) {
		case journal.PodStart:
			started[strings.Split(b.Pod, "-")[0]]++
		case journal.PodTerminate:
			if strings.HasPrefix(b.Pod, "default/web-") || strings.HasPrefix(b.Pod, "default/db-") {
				preempted++
			}
		case journal.Warn:
			if strings.HasPrefix(b.Code, "upstream") {
				t.Error(b)
			}
		}
	}
	if preempted == 0 || started["default/web"]+started["default/db"] != 16+preempted {
		t.Errorf("%d pods preempted; started: %v", preempted, started)
	}
}
