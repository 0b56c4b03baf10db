package sim_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"orrery/sim/journal"
)

// draScenario is a small cluster whose jobs ask for parts of GPUs and for whole ones, with bursts, preemption in vain
// and an occasional kill.
const draScenario = `apiVersion: orrery/v1
kind: Scenario
name: dra
cluster:
  pools:
  - {name: h100, gpu: H100, nodes: 2, gpusPerNode: 8, cpu: 96, memory: 1000Gi, driver: dra, dra: {dynamicMIG: true}}
  - {name: mi300, gpu: MI300X, nodes: 1, gpusPerNode: 8, cpu: 96, memory: 1000Gi, driver: dra}
trace:
  generate:
    name: dra
    jobs: 60
    arrival: {process: gamma, cv: 4, load: {gpus: 24, factor: 1.5}}
    sizes: [{gpus: 1, weight: 8}, {gpus: 2, weight: 1}, {gpus: 8, weight: 1}]
    fractional: {share: 0.8, milli: [{milli: 100, weight: 2}, {milli: 300, weight: 2}, {milli: 500, weight: 1}]}
    classes:
    - name: all
      up_to_gpus: 8
      duration: [{kind: lognormal, median: 10m, mean: 20m, max: 2h}]
      outcomes: {succeeded: 70, failed: 15, killed: 15}
workload:
  request: claim
  fractions: mig
journal: {api: true}
`

// TestDRA runs jobs that ask by claims: the same journal at any GOMAXPROCS and with upstream's own cycle, every job
// ends, every claim and partition is given back, and no claim outlives its pod by more than the controller needs.
func TestDRA(t *testing.T) {
	for name, sets := range map[string][]string{
		"claims": nil,
		"instances made beforehand": {"cluster.pools.h100.dra.dynamicMIG=false",
			"cluster.pools.h100.sharing={strategy: mig, mig: {config: all-balanced}}"},
		"extended resources": {"workload.request=resource", "workload.fractions=whole",
			"workload.resource=nvidia.com/gpu", "cluster.pools.h100.dra.dynamicMIG=false"},
	} {
		t.Run(name, func(t *testing.T) {
			first := repeats(t, []int{1, 2, 8}, func() played { return play(t, draScenario, sets...) })
			exact, err := tryWith(asUpstream, draScenario, sets...)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(exact.file, first.file) {
				t.Errorf("upstream's own cycle gives another journal: %s", difference(first.records, exact.records))
			}
			checkClaims(t, first)
			if n := first.data.Summary.Jobs; n.Pending+n.Running > 0 || n.Submitted != 60 {
				t.Errorf("jobs left: %+v", n)
			}
		})
	}
}

// checkClaims holds that each claim is created once and deleted once, and that there were some.
func checkClaims(t *testing.T, p played) {
	t.Helper()
	live, made := map[string]bool{}, 0
	for _, r := range p.records {
		a, ok := r.Body.(journal.API)
		if !ok || !strings.HasPrefix(a.Object, "resourceclaims/") {
			continue
		}
		switch a.Verb {
		case "create":
			live[a.Object] = true
			made++
		case "delete":
			delete(live, a.Object)
		}
	}
	if made == 0 || len(live) > 0 {
		t.Errorf("%d claims were made and %d are left: %v", made, len(live), live)
	}
	for _, w := range p.data.Summary.Warnings {
		if strings.HasPrefix(w.Code, "upstream") {
			t.Error(fmt.Sprint(w))
		}
	}
}

const computeDomain = `apiVersion: resource.nvidia.com/v1beta1
kind: ComputeDomain
metadata: {name: ring, namespace: default}
spec:
  numNodes: 0
  channel: {resourceClaimTemplate: {name: ring-channel}}
`

// domainPod is a pod of the domain that takes all GPUs of a node.
func domainPod(name string) string {
	return `---
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: four-` + name + `, namespace: default}
spec: {spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.nvidia.com, count: 2}}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: ` + name + `, namespace: default}
spec:
  containers: [{name: work, image: work, resources: {claims: [{name: channel}, {name: gpus}]}}]
  resourceClaims:
  - {name: channel, resourceClaimTemplateName: ring-channel}
  - {name: gpus, resourceClaimTemplateName: four-` + name + `}
`
}

// TestComputeDomain runs three pods of a compute domain on two nodes with multi-node NVLink: a node has one channel, so
// one pod each; a pod starts when the daemon on its node is ready, and the domain's status names the nodes.
func TestComputeDomain(t *testing.T) {
	s := strings.Replace(draScenario, "MI300X, nodes: 1, gpusPerNode: 8", "MI300X, nodes: 1, gpusPerNode: 1", 1)
	s = s[:strings.Index(s, "trace:")] + "trace: {builtin: empty}\nhorizon: 10m\njournal: {api: true}\nmanifests:\n" +
		"- name: cd.yaml\n  text: |\n    " + strings.ReplaceAll(computeDomain+domainPod("a")+domainPod("b")+domainPod("c"),
		"\n", "\n    ") + "\n"
	got := play(t, s, "cluster.pools.h100.labels={nvidia.com/gpu.clique: cluster.1}", "workload.resource=nvidia.com/gpu")
	bound, started, writes := map[string]float64{}, map[string]float64{}, 0
	for _, r := range got.records {
		switch b := r.Body.(type) {
		case journal.PodAssign:
			bound[b.Pod] = r.At.Seconds()
			if len(b.Slots) != 2 {
				t.Errorf("%s has %d GPUs", b.Pod, len(b.Slots))
			}
		case journal.PodStart:
			started[b.Pod] = r.At.Seconds()
		case journal.API:
			if strings.HasPrefix(b.Object, "computedomains/") && b.Sub == "status" {
				writes++
			}
		}
	}
	if len(bound) != 2 || len(started) != 2 || writes != 4 {
		t.Fatalf("%d pods have a node and %d run, %d writes of the domain's status: want 2, 2 and 4", len(bound), len(started),
			writes)
	}
	for pod, at := range started {
		if wait := at - bound[pod]; wait < 5 || wait > 65 { // daemon 5 s to 60 s, then up to 5 s for the containers
			t.Errorf("%s starts %.1f s after it has its node", pod, wait)
		}
	}
}
