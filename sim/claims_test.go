package sim_test

import (
	"fmt"
	"strings"
	"testing"
)

// claimScenario is two trays of an NVL72 rack with a manifest.
func claimScenario(manifest string) string {
	return `apiVersion: orrery/v1
kind: Scenario
name: claims
horizon: 1h
cluster:
  pools: [{name: p, node: gb200-nvl72, nodes: 2, driver: dra}]
  topology: {fabrics: [{preset: nvl72}]}
trace: {builtin: empty}
manifests:
- name: m.yaml
  text: |
    ` + strings.ReplaceAll(manifest, "\n", "\n    ") + "\n"
}

const claimingJob = `apiVersion: batch/v1
kind: Job
metadata: {name: user, namespace: default, annotations: {orrery.dev/run: 5m}}
spec:
  parallelism: 2
  completions: 2
  completionMode: Indexed
  template:
    spec:
      restartPolicy: Never
      containers: [{name: a, image: b, resources: {claims: [{name: x}]}}]
      resourceClaims: [{name: x, %s}]
`

// TestRefusedClaims: what a run cannot follow of claims is a mistake of the input, found before anything runs.
func TestRefusedClaims(t *testing.T) {
	const domain = "apiVersion: resource.nvidia.com/v1beta1\nkind: ComputeDomain\nmetadata: {name: cd}\n"
	for _, tc := range []struct{ manifest, want string }{
		{fmt.Sprintf(claimingJob, "resourceClaimName: mine"), "m.yaml:3: claim x: devices that pods share"},
		{domain + "spec: {numNodes: -2, channel: {resourceClaimTemplate: {name: t}}}\n", "m.yaml:3: spec.numNodes: -2; write 0"},
		{domain + "spec: {numNodes: 0, channel: {}}\n", "m.yaml:3: spec.channel.resourceClaimTemplate.name is missing"},
	} {
		if _, err := try(claimScenario(tc.manifest)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got %v, want %q\n%s", err, tc.want, tc.manifest)
		}
	}
}

// TestClaimBeforeTemplate: pods of a compute domain may be there before the domain's template; the claim controller
// comes back to them.
func TestClaimBeforeTemplate(t *testing.T) {
	got := play(t, claimScenario(`apiVersion: resource.nvidia.com/v1beta1
kind: ComputeDomain
metadata: {name: cd, namespace: default}
spec: {numNodes: 2, channel: {resourceClaimTemplate: {name: cdt}}}
---
`+fmt.Sprintf(claimingJob, "resourceClaimTemplateName: cdt")))
	if n := got.data.Summary.Jobs.Completed; n != 1 {
		t.Errorf("%d jobs completed, want 1", n)
	}
}
