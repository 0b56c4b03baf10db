package sim_test

import "testing"

// servedCluster begins a scenario with a service.
const servedCluster = `apiVersion: orrery/v1
kind: Scenario
name: served
horizon: 2h
cluster:
  pools:
`

// chatAsked is a service that is asked for an hour.
const chatAsked = `services:
- name: chat
  model: llama-3-8b
  engine: {preset: vllm}
  replicas: {count: 10}
  slo: {ttft: 500ms, tpot: 40ms}
  client: {timeout: 1m}
  requests: {after: 10m, generate: {name: chat, span: 1h, rate_per_second: 4, preset: azure-conv}}
`

const onKarpenter = servedCluster + `  - {name: one, gpu: h100-sxm, gpusPerNode: 1, cpu: 26, memory: 218Gi, instanceType: a3-highgpu-1g,
     zone: us-central1-a, nodes: 0, elastic: {by: karpenter}}
  - {name: eight, gpu: h100-sxm, gpusPerNode: 8, cpu: 208, memory: 1744Gi, instanceType: a3-highgpu-8g,
     zone: us-central1-a, nodes: 0, elastic: {by: karpenter}}
` + chatAsked + `manifests:
- name: keda.yaml
  text: |
    apiVersion: keda.sh/v1alpha1
    kind: ScaledObject
    metadata: {name: chat}
    spec:
      scaleTargetRef: {name: chat}
      minReplicaCount: 2
      triggers:
      - type: cron
        metadata: {timezone: UTC, start: 10 0 * * *, end: 0 4 * * *, desiredReplicas: "12"}
- name: nodepool.yaml
  text: |
    apiVersion: karpenter.sh/v1
    kind: NodePool
    metadata: {name: gpu}
    spec:
      template:
        spec:
          nodeClassRef: {group: karpenter.kwok.sh, kind: KWOKNodeClass, name: default}
          requirements: [{key: karpenter.sh/capacity-type, operator: In, values: [on-demand]}]
      disruption: {consolidateAfter: 5m}
`

const onClusterAutoscaler = servedCluster + `  - {name: four, gpu: h100-sxm, gpusPerNode: 4, cpu: 104, memory: 872Gi, instanceType: a3-highgpu-4g,
     zone: us-central1-a, nodes: 1, elastic: {by: cluster-autoscaler, max: 4}}
` + chatAsked

const overNodes = servedCluster + `  - {name: a, node: dgx-h100, nodes: 12}
services:
- name: big
  model: llama-3-70b
  engine: {preset: vllm}
  replicas: {count: 6, kind: LeaderWorkerSet, podsPerReplica: 2, tensor: 8, pipeline: 2}
  slo: {ttft: 2s, tpot: 40ms}
  client: {timeout: 1m}
  requests: {after: 10m, generate: {name: chat, span: 1h, rate_per_second: 4, preset: azure-conv}}
`

// TestServedRepeats: runs in which all autoscalers act on services repeat, as their results say, also with the feature
// gate of the scheduler that changes most of how it writes.
func TestServedRepeats(t *testing.T) {
	for name, scenario := range map[string]string{"karpenter": onKarpenter, "cluster-autoscaler": onClusterAutoscaler,
		"groups": overNodes} {
		for _, gates := range []string{"{}", "{SchedulerAsyncAPICalls: true}"} {
			t.Run(name+gates, func(t *testing.T) {
				first := repeats(t, []int{1, 8, 2}, func() played { return play(t, scenario, "scheduler.featureGates="+gates) })
				for _, s := range first.data.Summary.Serving.Services {
					if s.Requests.Completed < 1000 {
						t.Errorf("%d requests completed: the run shows too little", s.Requests.Completed)
					}
				}
			})
		}
	}
}
