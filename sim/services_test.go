package sim_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"orrery/scenarios"
	"orrery/sim/journal"
	"orrery/sim/result"
)

// chatScenario is a small cluster with one service on whole GPUs.
const chatScenario = `apiVersion: orrery/v1
kind: Scenario
name: served
cluster:
  pools:
  - {name: a, node: dgx-h100, nodes: 1}
services:
- name: chat
  model: llama-3-8b
  engine: {preset: vllm}
  replicas: {count: 2, start: {instant: true}}
  slo: {ttft: 500ms, tpot: 40ms}
  requests: {file: FILE}
`

// requestFile writes n requests, one every gap seconds, from second 60 on.
func requestFile(t testing.TB, n int, gap float64) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintln(&b, `{"orrery_requests":1,"name":"test","source":"test","licence":"CC0-1.0"}`)
	for i := range n {
		fmt.Fprintf(&b, "{\"at_seconds\":%.3f,\"input\":%d,\"output\":%d}\n", 60+gap*float64(i), 200+i%300, 50+i%100)
	}
	path := filepath.Join(t.TempDir(), "requests.ndjson")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestServiceAnswers: the pods of a service's Deployment answer its requests, each of them.
func TestServiceAnswers(t *testing.T) {
	text := strings.Replace(chatScenario, "FILE", requestFile(t, 500, 0.2), 1)
	first := repeats(t, []int{1, 2, 8}, func() played { return play(t, text) })
	s := first.data.Summary.Serving.Services["chat"]
	if s.Requests.Arrived != 500 || s.Requests.Completed != 500 {
		t.Errorf("%d of %d requests completed", s.Requests.Completed, s.Requests.Arrived)
	}
	if s.TTFT.P50 <= 0 || s.TTFT.P99 > 0.5 || s.TPOT.P50 <= 0 || s.E2E.Count != 500 {
		t.Errorf("TTFT %+v, TPOT %+v, end to end %+v", s.TTFT, s.TPOT, s.E2E)
	}
	if s.ReplicasMax != 2 || s.GPUHours <= 0 || s.BusyHours <= 0 || s.BusyHours > s.ReadyHours || s.ReadyHours > s.GPUHours {
		t.Errorf("%d replicas, %v GPU-hours, %v ready, %v busy", s.ReplicasMax, s.GPUHours, s.ReadyHours, s.BusyHours)
	}
	states := map[string]int{}
	for _, r := range first.records {
		if b, ok := r.Body.(journal.Replica); ok {
			states[b.State]++
		}
	}
	if states[journal.ReplicaStarting] != 2 || states[journal.ReplicaReady] != 2 {
		t.Errorf("states of replicas: %v", states)
	}
}

// TestRequestWarnings: what a trace of requests has to say stands in the result.
func TestRequestWarnings(t *testing.T) {
	text := strings.Replace(chatScenario, "{file: FILE}", "{file: "+requestFile(t, 50, 0.2)+", maxInput: 250}", 1)
	s := play(t, text).data.Summary
	if s.Trace != "requests of chat: requests.ndjson" {
		t.Errorf("the trace is called %q", s.Trace)
	}
	for _, w := range s.Warnings {
		if w.Code == scenarios.WarnRequests && strings.Contains(w.Message, "250") {
			return
		}
	}
	t.Errorf("nobody says that prompts were cut: %+v", s.Warnings)
}

// TestServingPairs plays shipped scenarios of services that answer a question together: each meets its expectations,
// both have the same requests, and the difference is what their descriptions say.
func TestServingPairs(t *testing.T) {
	service := func(p played, name string) result.Service { return p.data.Summary.Serving.Services[name] }
	for name, tc := range map[string]struct {
		a, b, service string
		better        func(a, b result.Service) bool
	}{
		"queue": {"burst-hpa-gpu", "burst-hpa-queue", "chat", func(a, b result.Service) bool {
			return b.GPUHours < a.GPUHours/2 && b.Attainment < a.Attainment && b.ScaleDowns > 0
		}},
		"keda": {"burst-fixed", "burst-keda", "chat", func(a, b result.Service) bool {
			return b.GPUHours < a.GPUHours/2 && b.Attainment < a.Attainment && a.ScaleUps == 0 && b.ScaleUps > 0
		}},
		"disaggregated": {"serve-aggregated", "serve-disaggregated", "assistant", func(a, b result.Service) bool {
			return b.TPOT.P99 < 0.9*a.TPOT.P99 && a.Attainment < a.Target && b.Attainment >= b.Target
		}},
		"mig": {"serve-whole", "serve-mig", "classify", func(a, b result.Service) bool {
			return b.USDPerMTokens < a.USDPerMTokens/6 && b.TPOT.P50 > 3*a.TPOT.P50
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := play(t, tc.a), play(t, tc.b)
			for _, p := range []played{a, b} {
				for _, e := range p.data.Summary.Expectations {
					if !e.Met {
						t.Errorf("%s: %s is %v, outside its bounds", p.data.Summary.Scenario, e.Path, e.Value)
					}
				}
			}
			x, y := service(a, tc.service), service(b, tc.service)
			if x.Requests.Arrived != y.Requests.Arrived || x.InputTokens != y.InputTokens {
				t.Errorf("%s has %+v, %s %+v", tc.a, x.Requests, tc.b, y.Requests)
			}
			if !tc.better(x, y) {
				t.Errorf("%s: %+v\n%s: %+v", tc.a, x, tc.b, y)
			}
		})
	}
}

// TestCPUScaling: an HPA on the CPU of a service's pods sees what its servers use.
func TestCPUScaling(t *testing.T) {
	text := strings.Replace(chatScenario, "FILE", requestFile(t, 4000, 0.05), 1) + `
manifests:
- name: hpa.yaml
  text: |
    apiVersion: autoscaling/v2
    kind: HorizontalPodAutoscaler
    metadata: {name: chat}
    spec:
      scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: chat}
      minReplicas: 1
      maxReplicas: 5
      metrics:
      - {type: Resource, resource: {name: cpu, target: {type: AverageValue, averageValue: 500m}}}
`
	first := repeats(t, []int{1, 4}, func() played { return play(t, text) })
	ups := 0
	for _, s := range first.data.Scalings {
		if s.To > s.From && strings.Contains(s.Reason, "cpu resource") {
			ups++
		}
	}
	if ups == 0 {
		t.Errorf("no scale-up on CPU: %+v, %+v", first.data.Scalings, first.data.Conditions)
	}
}
