package sim_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"orrery/sim/journal"
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
