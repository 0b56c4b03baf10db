package sim_test

import (
	"errors"
	"strings"
	"testing"

	"orrery/sim"
	"orrery/sim/journal"
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

// TestGivenDeployment: the pods of a Deployment of the manifests answer if they hold the GPUs that the model is spread
// over, and say why if they do not. The name of one that is not meant is an error of the input.
func TestGivenDeployment(t *testing.T) {
	text := strings.Replace(chatScenario, "FILE", requestFile(t, 20, 0.5), 1) + givenDeployment
	_, err := try(text)
	var input *sim.InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), "already exists; it is among the "+
		"manifests: write fromManifest: true") {
		t.Errorf("error %v", err)
	}
	const few = "its pods have 1 GPUs, and tensor 2 × pipeline 1 need 2"
	for tensor, completed := range map[string]int64{"1": 20, "2": 0} {
		p := play(t, strings.Replace(text, "count: 2,", "fromManifest: true, tensor: "+tensor+",", 1))
		if r := p.data.Summary.Serving.Services["chat"].Requests; r.Completed != completed || r.InFlight != 20-completed {
			t.Errorf("tensor %s: %+v", tensor, r)
		}
		said := 0
		for _, r := range p.records {
			if b, ok := r.Body.(journal.Replica); ok && strings.Contains(b.Reason, few) {
				said++
			}
		}
		if (said > 0) != (completed == 0) {
			t.Errorf("tensor %s: said %d times", tensor, said)
		}
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
