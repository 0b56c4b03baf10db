package scenarios

import (
	"strings"
	"testing"

	"orrery/sim/plan"
)

// written is a scenario whose service is a user's Deployment.
const writtenScenario = `apiVersion: orrery/v1
kind: Scenario
name: own
cluster:
  pools:
  - {name: h100, node: dgx-h100, nodes: 1}
services:
- name: chat
  model: llama-3-70b
  replicas: {fromManifest: true%s}
  requests: {generate: {name: r, preset: azure-conv, span: 1m, rate_per_second: 1}}
manifests:
- name: chat.yaml
  text: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: chat}
    spec:
      selector: {matchLabels: {app: chat}}
      template:
        metadata: {labels: {app: chat}}
        spec:
          containers:
          - name: proxy
            image: envoyproxy/envoy:v1.30
          - name: server
            image: vllm/vllm-openai:v0.20.0
            command: [/bin/sh, -c]
            args:
            - |
              vllm serve meta-llama/Llama-3.3-70B-Instruct \
                --tensor-parallel-size 4 --max-num-seqs %s --max-model-len 16K \
                --gpu-memory-utilization 0.95 --quantization fp8 --enforce-eager
            resources: {limits: {nvidia.com/gpu: 4}}
`

func writtenText(replicas, seqs string) string {
	return strings.Replace(strings.Replace(writtenScenario, "%s", replicas, 1), "%s", seqs, 1)
}

func TestServedAsWritten(t *testing.T) {
	s, err := Parse("own.yaml", []byte(writtenText("", "128")))
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	g, e := p.Services[0].Groups[0], p.Services[0].Engine
	if g.Tensor != 4 || g.Pod.Slots != 4 || e.MaxSequences != 128 || e.MaxModelTokens != 16384 ||
		e.MemoryUtilization != 0.95 || e.Precision != plan.PrecisionFP8 {
		t.Errorf("the plan is not as the Deployment says: %+v %+v", g, e)
	}
	if w := p.Warnings; len(w) != 1 || w[0].Code != WarnServerFlag || !strings.Contains(w[0].Message, "--enforce-eager") {
		t.Errorf("a flag that no model knows: %+v", w)
	}

	again, err := Parse("own.yaml", p.Resolved)
	if err != nil {
		t.Fatal(err)
	}
	q, _, err := again.Plan()
	if err != nil || string(q.Resolved) != string(p.Resolved) || len(q.Warnings) != len(p.Warnings) {
		t.Errorf("the resolved form is another scenario: %v, %+v", err, q.Warnings)
	}
}

func TestServedOtherwise(t *testing.T) {
	s, err := Parse("own.yaml", []byte(writtenText("", "128")), "services.chat.engine.maxSequences=64")
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if n := p.Services[0].Engine.MaxSequences; n != 64 {
		t.Errorf("%d sequences", n)
	}
	want := "--max-num-seqs 128 (chat.yaml:18) is not heeded: the scenario says services[0].engine.maxSequences = 64"
	found := false
	for _, w := range p.Warnings {
		found = found || w.Code == WarnServerOther && strings.HasSuffix(w.Message, want)
	}
	if !found {
		t.Errorf("nobody says that a flag is not heeded: %+v", p.Warnings)
	}
}

func TestServedWrongly(t *testing.T) {
	for _, c := range []struct{ replicas, seqs, want string }{
		{"", "none", "chat.yaml:14: container server: --max-num-seqs none: want a whole number of at least 1; correct it"},
		{"", "200000", "maxSequences"}, // above what a scenario may say
		{", tensor: 8", "128", "a replica has 1 × 4 GPUs, and tensor 8 × pipeline 1 need 8"},
		{"", "64 --data-parallel-size 2", "--data-parallel-size 2: several copies of a model inside one server are not modelled"},
	} {
		_, err := Parse("own.yaml", []byte(writtenText(c.replicas, c.seqs)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %q: %v\nwant %s", c.replicas, c.seqs, err, c.want)
		}
	}
}

// TestSpreadUnsaid: a Deployment of several GPUs a pod whose server nobody has told to use them is an error; when the
// scenario means it, the result says what is idle.
func TestSpreadUnsaid(t *testing.T) {
	text := strings.Replace(writtenText("", "128"), "--tensor-parallel-size 4 ", "", 1)
	want := "services[0].replicas.tensor is missing: a replica's pods ask for 4 GPUs"
	if _, err := Parse("own.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v", err)
	}
	s, err := Parse("own.yaml", []byte(text), "services.chat.replicas.tensor=2")
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := s.Plan()
	if err != nil || len(p.Warnings) != 2 || p.Warnings[1].Code != WarnIdleDevices {
		t.Errorf("warnings %+v, error %v", p.Warnings, err)
	}
}
