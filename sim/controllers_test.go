package sim_test

import (
	"fmt"
	"strings"
	"testing"

	"orrery/sim/journal"
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
