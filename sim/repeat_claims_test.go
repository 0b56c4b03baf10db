package sim_test

import (
	"runtime"
	"testing"
)

// claimsAndGangs is gangs that must stand below one leaf, ask by claims, and preempt each other: all that draws from
// upstream's global generator at once.
const claimsAndGangs = `apiVersion: orrery/v1
kind: Scenario
name: claims-and-gangs
cluster:
  pools:
  - {name: h100, gpu: H100, nodes: 8, gpusPerNode: 8, cpu: 192, memory: 2000Gi, driver: dra}
  topology:
    fabrics: [{network: infiniband-ndr, layers: [{kind: spine, nodes: 8}, {kind: leaf, nodes: 2, oversubscription: 4}]}]
trace:
  generate:
    name: jobs
    jobs: 60
    arrival: {process: gamma, cv: 4, load: {gpus: 64, factor: 1.2}}
    sizes: [{gpus: 1, weight: 3}, {gpus: 4, weight: 3}, {gpus: 8, weight: 2}, {gpus: 16, weight: 2}]
    classes:
    - name: all
      up_to_gpus: 16
      duration: [{kind: lognormal, median: 10m, mean: 20m, max: 2h}]
      outcomes: {succeeded: 100}
    priorities: [{name: low, share: 0.7}, {name: high, share: 0.3}]
workload:
  maxGPUsPerPod: 4
  request: claim
  gangs: {policy: pod-groups, onLoss: restart, topology: {required: leaf}}
  training: {default: {intensity: high}}
manifests:
- name: classes.yaml
  text: |
    apiVersion: scheduling.k8s.io/v1
    kind: PriorityClass
    metadata: {name: low}
    value: 1
    ---
    apiVersion: scheduling.k8s.io/v1
    kind: PriorityClass
    metadata: {name: high}
    value: 100
`

// TestClaimsAndGangsRepeat: such a run repeats, however busy the machine is and however many processors there are.
func TestClaimsAndGangsRepeat(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	for range 3 { // others who keep the processors busy
		go func() {
			for {
				select {
				case <-stop:
					return
				default:
					runtime.Gosched()
				}
			}
		}()
	}
	first := repeats(t, []int{1, 4, 2, 8, 4}, func() played { return play(t, claimsAndGangs) })
	if n := first.data.Summary.Jobs; n.Completed < 50 || first.data.Summary.Gangs.Jobs < 10 {
		t.Errorf("the run shows too little: %+v", n)
	}
}
