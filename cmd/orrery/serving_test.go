package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"orrery/sim/result"
)

// servedScenario is a service whose objective on the first token only a part of its requests meets.
const servedScenario = `apiVersion: orrery/v1
kind: Scenario
name: served
cluster:
  pools:
  - {name: a, node: dgx-h100, nodes: 1}
journal: {requests: true}
services:
- name: chat
  model: llama-3-8b
  engine: {preset: vllm}
  replicas: {count: 2, start: {instant: true}}
  slo: {ttft: 20ms, target: 0.99}
  requests:
    generate: {name: chat, preset: azure-conv, rate_per_second: 5, requests: 600}
expect:
  serving.services.chat.requests.completed: {min: 600, max: 600}
  serving.services.chat.ttft_seconds.p99: {max: 60}
  starts.total_seconds.p95: {max: 60}
`

// TestServedRun runs a service from the command line: what the end says, every renderer, explanations of each kind,
// tables, and an account from the journal alone.
func TestServedRun(t *testing.T) {
	dir := write(t, map[string]string{"s.yaml": servedScenario})
	out := filepath.Join(dir, "r")
	said := must(t, "run", filepath.Join(dir, "s.yaml"), "--out", out)
	for _, want := range []string{"requests      600 arrived, 600 answered", "TTFT p99", "3 of 3 met"} {
		if !strings.Contains(said, want) {
			t.Errorf("the end of the run does not say %q:\n%s", want, said)
		}
	}
	if strings.Contains(said, "jobs ") || strings.Contains(said, "queue wait") {
		t.Errorf("a run of services alone talks of jobs:\n%s", said)
	}
	got := must(t, "explain", out, "service/chat")
	pod := regexp.MustCompile(`replica (default/chat-\S+) ready on h100-sxm`).FindStringSubmatch(got)
	if pod == nil || !strings.Contains(got, "below its objective") {
		t.Fatalf("explain service/chat:\n%s", got)
	}
	for query, want := range map[string]string{"pod/" + pod[1]: "replica of service chat: ready",
		"deployment/chat": "chat, 1 GPU each", "request/chat/600": "completed", "node/a-0": "is bound to it"} {
		if got := must(t, "explain", out, query); !strings.Contains(got, want) {
			t.Errorf("explain %s does not say %q:\n%s", query, want, got)
		}
	}
	refuses(t, exitUsage, []string{"did you mean service/chat?"}, "explain", out, "service/chatt")
	if got := must(t, "report", out); !strings.Contains(got, "Were the service level objectives met") {
		t.Errorf("report:\n%s", got)
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(must(t, "report", out, "--format", "json")), &doc); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"services", "requests"} {
		if info, err := os.Stat(filepath.Join(out, "tables", name+".parquet")); err != nil || info.Size() == 0 {
			t.Errorf("table %s: %v", name, err)
		}
	}
	opened, err := result.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	s := opened.Summary.Serving.Services["chat"]
	if s.Attainment <= 0 || s.Attainment >= 1 || s.USDPerMTokens <= 0 || s.KWhPerMTokens <= 0 ||
		s.USD != opened.Summary.Cost.UsedUSD || s.BusyHours > s.ReadyHours || s.ReadyHours > s.GPUHours {
		t.Errorf("%+v", s)
	}
	compared(t, dir, out)
	wrong := strings.Replace(servedScenario, "serving.services.chat.ttft", "serving.services.chta.ttft", 1)
	bad := write(t, map[string]string{"s.yaml": wrong})
	refuses(t, exitUsage, []string{"s.yaml:", `no service "chta"`, `"chat"`}, "scenario", "validate",
		filepath.Join(bad, "s.yaml"))
}

// compared puts a run of one replica beside that of two in out, in every format.
func compared(t *testing.T, dir, out string) {
	t.Helper()
	one, other := filepath.Join(dir, "one"), filepath.Join(dir, "other")
	at := filepath.Join(dir, "s.yaml")
	must(t, "run", at, "--out", one, "--set", "services.chat.replicas.count=1", "--set", "expect={}")
	got := must(t, "report", one, out)
	for _, want := range []string{"No run met all objectives; ", "services.chat.replicas.count", "chat: ready replicas"} {
		if !strings.Contains(got, want) {
			t.Errorf("the comparison does not say %q:\n%s", want, got)
		}
	}
	page := filepath.Join(dir, "c.html")
	if got := must(t, "report", one, out, "--out", page); got != page+"\n" {
		t.Errorf("stdout %q", got)
	}
	tables := filepath.Join(dir, "tables")
	must(t, "report", one, out, "--format", "csv", "--out", tables)
	if text, err := os.ReadFile(filepath.Join(tables, "users-users.csv")); err != nil ||
		!strings.Contains(string(text), "\none,600,0,") || !strings.Contains(string(text), "\nr,600,0,") {
		t.Errorf("%v:\n%s", err, text)
	}
	var doc struct{ Runs []string }
	err := json.Unmarshal([]byte(must(t, "report", one, out, "--format", "json")), &doc)
	if err != nil || len(doc.Runs) != 2 {
		t.Errorf("%v, %v", err, doc)
	}
	must(t, "run", at, "--out", other, "--seed", "9", "--set", "expect={}")
	if got := must(t, "report", other, out); !strings.Contains(got, "These runs do not answer one question") {
		t.Errorf("runs of other requests:\n%s", got)
	}
	refuses(t, exitUsage, []string{"name what to write with --out"}, "report", one, out, "--format", "html")
	refuses(t, exitUsage, []string{"two runs are called"}, "report", out, out)
	refuses(t, exitUsage, []string{"nowhere"}, "report", out, filepath.Join(dir, "nowhere"))
}
