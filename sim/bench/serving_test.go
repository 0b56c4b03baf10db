package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// day is the shape of requests over a day of a service that people use, by hour.
const day = "6, 5, 4, 3, 3, 3, 4, 6, 9, 11, 12, 12, 12, 12, 12, 12, 12, 12, 12, 13, 13, 12, 10, 8"

// office is the same of one that nobody uses at night.
const office = "0, 0, 0, 0, 0, 0, 0, 1, 3, 4, 5, 5, 4, 4, 5, 5, 4, 3, 1, 0, 0, 0, 0, 0"

// requests are what is asked of a service.
type requests struct {
	span  string  // how long
	rate  float64 // per second, mean
	hours string  // weights of the hours; "" = always the same
	// lengths of prompts and answers; "" = as Azure's conversations of 2023 had them.
	lengths string
}

// served is a scenario of services of an 8 billion parameter model, one GPU a replica.
func served(nodes, replicas int, of []requests, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `apiVersion: orrery/v1
kind: Scenario
name: bench
cluster:
  pools:
  - {name: h100, gpu: h100-sxm, nodes: %d, gpusPerNode: 8, cpu: 208, memory: 1744Gi}
services:
`, nodes)
	for i, r := range of {
		fmt.Fprintf(&b, `- name: chat%d
  model: llama-3-8b
  replicas: {count: %d}
  slo: {ttft: 2s, tpot: 60ms, target: 0.99}
  requests:
    after: 10m
    generate:
      name: requests%[1]d
      preset: azure-conv
      span: %[3]s
      rate_per_second: %[4]g
`, i, replicas, r.span, r.rate)
		if r.hours != "" {
			fmt.Fprintf(&b, "      shape: [{hour_of_day: [%s]}]\n", r.hours)
		}
		if r.lengths != "" {
			fmt.Fprintf(&b, "      arrival: {process: poisson}\n      lengths: %s\n", r.lengths)
		}
	}
	return b.String() + "journal: {api: false}\n" + more
}

// answered reports the requests of a run.
func (m measured) answered(b *testing.B) float64 {
	b.Helper()
	m.summary.Pods.Bound = 0 // the cost of a pod says nothing here
	m.report(b)
	n := int64(0)
	for _, s := range m.summary.Serving.Services {
		n += s.Requests.Completed
	}
	if n == 0 {
		b.Fatal("nothing was answered")
	}
	b.ReportMetric(float64(n), "requests")
	b.ReportMetric(float64(n)/m.cpu.Seconds(), "requests/cpu-s")
	return float64(n)
}

// stepping is how many requests of the same kind a simulator that steps through every iteration does in a second of CPU
// (BLIS, inference-sim: 0.0092 to 0.0106 s a request, AMD EPYC, 2026-11-23).
const stepping = 100

// BenchmarkOneReplica is a replica at a moderate load, 10 requests per second of about 500 tokens in and out: whole
// runs, journal and account included. A shorter run tells what of it is not the requests.
func BenchmarkOneReplica(b *testing.B) {
	run := func(span string) measured {
		return play(b, served(1, 1, []requests{{span: span, rate: 10,
			lengths: "{input: {median: 350, p99: 2300}, output: {median: 350, p99: 2300}}"}}, ""))
	}
	short, long := run("10m"), run("28h")
	n := long.answered(b)
	b.ReportMetric(n/long.cpu.Seconds()/stepping, "x-stepping")
	b.ReportMetric(n/(long.cpu-short.cpu).Seconds(), "marginal-requests/cpu-s")
}

// BenchmarkAzureDay is a day of conversations over 100 replicas that an autoscaler watches, and a quarter of such a
// day, evenly spread: memory must not grow with the requests. 73 requests per second, 6.3 million a day, is an
// assumption: the description of Azure's 2024 traces (Azure/AzurePublicDataset, AzureLLMInferenceDataset2024.md at
// 04e28b8) gives no number of requests.
func BenchmarkAzureDay(b *testing.B) {
	for _, span := range []string{"6h", "24h"} {
		b.Run("span="+span, func(b *testing.B) {
			play(b, served(16, 100, []requests{{span: span, rate: 73}}, manifests(b, hpa(0, 90, 110, 16)))).answered(b)
		})
	}
}

// manifests writes a file of objects and returns the line of a scenario that names it.
func manifests(b *testing.B, objects ...string) string {
	b.Helper()
	file := filepath.Join(b.TempDir(), "objects.yaml")
	if err := os.WriteFile(file, []byte(strings.Join(objects, "---\n")), 0o644); err != nil {
		b.Fatal(err)
	}
	return fmt.Sprintf("manifests: [%s]\n", file)
}

// hpa scales a service by requests running at each pod.
func hpa(i, least, most int, running float64) string {
	return fmt.Sprintf(`apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: chat%[1]d, namespace: default}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: chat%[1]d}
  minReplicas: %[2]d
  maxReplicas: %[3]d
  metrics:
  - type: Pods
    pods:
      metric: {name: "vllm:num_requests_running"}
      target: {type: AverageValue, averageValue: "%[4]g"}
`, i, least, most, running)
}

// scaledObject scales a service by what comes and what waits, down to nothing.
func scaledObject(i int) string {
	return fmt.Sprintf(`apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: chat%[1]d, namespace: default}
spec:
  scaleTargetRef: {name: chat%[1]d}
  minReplicaCount: 0
  maxReplicaCount: 6
  triggers:
  - type: prometheus
    metadata:
      serverAddress: http://prometheus.monitoring:9090
      query: sum(rate(inference_objective_request_total{service="chat%[1]d"}[2m]))
      threshold: "0.05"
  - type: prometheus
    metadata:
      serverAddress: http://prometheus.monitoring:9090
      query: sum(inference_extension_flow_control_queue_size{inference_pool="chat%[1]d"})
      threshold: "4"
`, i)
}

// BenchmarkWeekOfScaling is a week of 20 services, half of them under HorizontalPodAutoscalers and half under
// ScaledObjects of KEDA that scale to nothing at night, and the CPU that it takes beside the same requests and replicas
// without autoscalers.
func BenchmarkWeekOfScaling(b *testing.B) {
	var of []requests
	var objects []string
	for i := range 20 {
		if i < 10 {
			of, objects = append(of, requests{"168h", 0.2, day, ""}), append(objects, hpa(i, 1, 6, 1))
			continue
		}
		of, objects = append(of, requests{"168h", 0.05, office, ""}), append(objects, scaledObject(i))
	}
	bare := play(b, served(20, 2, of, ""))
	m := play(b, served(20, 2, of, manifests(b, objects...)))
	m.answered(b)
	scales := int64(0)
	for _, s := range m.summary.Serving.Services {
		scales += s.ScaleUps + s.ScaleDowns
	}
	b.ReportMetric(float64(scales), "scales")
	b.ReportMetric((m.cpu - bare.cpu).Seconds(), "scaling-cpu-s")
}

// BenchmarkKarpenter is what an hour of Karpenter costs a whole run: over nodes that stay, with nothing to do.
func BenchmarkKarpenter(b *testing.B) {
	for _, replicas := range []int{0, 64} {
		b.Run(fmt.Sprintf("nodes=%d", replicas/8), func(b *testing.B) {
			run := func(span string) measured {
				s := served(1, replicas, []requests{{span: span, rate: 0.001}}, manifests(b, nodePool))
				return play(b, strings.Replace(s, "nodes: 1,", "nodes: 0, instanceType: a3-highgpu-8g, zone: us-central1-a, "+
					"elastic: {by: karpenter},", 1))
			}
			short, long := run("2h"), run("26h")
			long.summary.Pods.Bound = 0
			long.report(b)
			b.ReportMetric((long.cpu-short.cpu).Seconds()/24, "cpu-s/hour")
		})
	}
}

// nodePool lets Karpenter buy what pods need.
const nodePool = `apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: gpu}
spec:
  template:
    spec:
      nodeClassRef: {group: karpenter.kwok.sh, kind: KWOKNodeClass, name: default}
      requirements:
      - {key: karpenter.sh/capacity-type, operator: In, values: [on-demand]}
      expireAfter: Never
  disruption: {consolidationPolicy: WhenEmptyOrUnderutilized, consolidateAfter: 2m}
---
apiVersion: karpenter.kwok.sh/v1alpha1
kind: KWOKNodeClass
metadata: {name: default}
`
