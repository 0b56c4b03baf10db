package sim_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"orrery/sim"
)

// givenDeployment is a Deployment of the user's own, with a GPU.
const givenDeployment = `manifests:
- name: d.yaml
  text: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: chat}
    spec:
      selector: {matchLabels: {app: x}}
      template:
        metadata: {labels: {app: x}}
        spec: {containers: [{name: c, image: c, resources: {limits: {nvidia.com/gpu: "1"}}}]}
`

// TestGivenDeployment: the pods of a Deployment of the manifests answer when they hold as many GPUs as the model is
// spread over; more or fewer are an error of the input, as is a Deployment that is not there, or not meant.
func TestGivenDeployment(t *testing.T) {
	text := strings.Replace(chatScenario, "FILE", requestFile(t, 20, 0.5), 1) + givenDeployment
	_, err := try(text)
	var input *sim.InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), "already exists; it is among the "+
		"manifests: write fromManifest: true") {
		t.Errorf("error %v", err)
	}
	given := func(fields string) string {
		return strings.Replace(text, "count: 2,", "fromManifest: true, "+fields, 1)
	}
	for _, fields := range []string{"", "tensor: 1,", "tensor: 1, name: chat,"} {
		p := play(t, given(fields))
		if r := p.data.Summary.Serving.Services["chat"].Requests; r.Completed != 20 {
			t.Errorf("%q: %+v", fields, r)
		}
	}
	for fields, want := range map[string]string{
		"resourceCount: 2, tensor: 1,": "Deployment default/chat: each pod asks for 1 nvidia.com/gpu, but service " +
			"chat says 2; write resourceCount: 1, or another resource",
		"name: talk,": "there is no Deployment talk in namespace default among the manifests; write replicas: " +
			"{fromManifest: true, name: chat}, or add it",
	} {
		if _, err := try(given(fields)); !errors.As(err, &input) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", fields, err)
		}
	}
	elsewhere := strings.Replace(given(""), "metadata: {name: chat}", "metadata: {name: chat, namespace: llm}", 1)
	if _, err := try(elsewhere); err == nil || !strings.Contains(err.Error(), "write namespace: llm, or add it") {
		t.Errorf("another namespace: error %v", err)
	}
}

// TestLatePolling: a run with requests that find no replica goes on until a slow autoscaler has had its look, but not
// for ever when nobody starts one.
func TestLatePolling(t *testing.T) {
	text := strings.Replace(strings.Replace(chatScenario, "FILE", requestFile(t, 20, 0.5), 1), "count: 2", "count: 0", 1) +
		strings.NewReplacer("minReplicaCount: 1", "pollingInterval: 1800", "vllm:num_requests_running{service=\"chat\"}",
			"inference_objective_running_requests").Replace(scaledByQueue)
	if r := play(t, text).data.Summary.Serving.Services["chat"].Requests; r.Completed != 20 {
		t.Errorf("polled late: %+v", r)
	}
	p := play(t, strings.Replace(text, "inference_objective_running_requests", "nothing", 1))
	if r := p.data.Summary.Serving.Services["chat"].Requests; r.InFlight != 20 {
		t.Errorf("never started: %+v", r)
	}
}

// TestSpotAtOnce: machines that are taken back as fast as they boot are asked for again; the run does not end between
// the one and the other.
func TestSpotAtOnce(t *testing.T) {
	text := strings.NewReplacer("FILE", requestFile(t, 20, 0.5), "{name: a, node: dgx-h100, nodes: 1}",
		"{name: a, node: p5-48xlarge, nodes: 0, elastic: {by: cluster-autoscaler, max: 2, capacityType: spot, "+
			"interruptionsPerHour: 60, notice: 0s}}").Replace(chatScenario)
	for _, seed := range []string{"1", "2", "3", "4"} {
		if r := play(t, text, "seed="+seed).data.Summary.Serving.Services["chat"].Requests; r.Completed != 20 {
			t.Errorf("seed %s: %+v", seed, r)
		}
	}
}

// TestTooLongForAReplica: requests that no replica can hold are rejected, and the result says why.
func TestTooLongForAReplica(t *testing.T) {
	text := strings.Replace(chatScenario, "FILE", requestFile(t, 20, 0.5), 1)
	for set, why := range map[string]string{
		"services.chat.engine.maxModelTokens=2":                                         "more than the 2 that a request may have",
		"services.chat.engine={preset: vllm, memoryUtilization: 0.2373, reserveGiB: 4}": "of the KV cache, which has ",
	} {
		p := play(t, text, set)
		r, said := p.data.Summary.Serving.Services["chat"].Requests, false
		for _, w := range p.data.Summary.Warnings {
			said = said || w.Code == "requests-too-long" && w.Count == r.Rejected && strings.Contains(w.Message, why)
		}
		if r.Rejected == 0 || !said {
			t.Errorf("%s: %+v, warnings %+v", set, r, p.data.Summary.Warnings)
		}
	}
}

// TestUnsortedAndNoRequests: a file out of order is put in order when it is asked for, and a trace of which nothing is
// left says so.
func TestUnsortedAndNoRequests(t *testing.T) {
	path := requestFile(t, 4, 1)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(data), "\n")
	lines[1], lines[3] = lines[3], lines[1]
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(chatScenario, "FILE", path, 1)
	if _, err := try(text); err == nil || !strings.Contains(err.Error(), "(reorder)") {
		t.Errorf("error %v", err)
	}
	for set, want := range map[string]int64{"services.chat.requests.tenants=[nobody]": 0, "seed=2": 4} {
		p := play(t, text, "services.chat.requests.reorder=2", set)
		said := false
		for _, w := range p.data.Summary.Warnings {
			said = said || strings.Contains(w.Message, "there is not one request in it, or none that services, tenants")
		}
		if r := p.data.Summary.Serving.Services["chat"].Requests; r.Completed != want || said != (want == 0) {
			t.Errorf("%s: %+v, said %t", set, r, said)
		}
	}
}
