package scenarios

import "testing"

const kept = `apiVersion: orrery/v1
kind: Scenario
name: kept
cluster:
  pools:
  - {name: h100, node: dgx-h100, nodes: 2}
services:
- name: small
  model: llama-3-8b
  prefill: {count: 1, tensor: 2, start: {keepWeights: true}}
  decode: {count: 1, start: {keepWeights: true}}
  requests: {generate: {name: r, preset: azure-conv, span: 1m, rate_per_second: 1}}
- name: large
  model: llama-3-70b
  replicas: {count: 1, tensor: 4, start: {keepWeights: true}}
  requests: {generate: {name: r, preset: azure-conv, span: 1m, rate_per_second: 1}}
- name: again
  model: llama-3-8b
  replicas: {count: 1, start: {keepWeights: true}}
  requests: {generate: {name: r, preset: azure-conv, span: 1m, rate_per_second: 1}}
`

// TestWhatIsKept: the weights that a node keeps are those of one model, and what a server compiled is of no use to
// another that is spread over more GPUs.
func TestWhatIsKept(t *testing.T) {
	s, err := Parse("kept.yaml", []byte(kept))
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	apart := p.Services[0].Groups
	prefill, decode := apart[0].Start, apart[1].Start
	large, again := p.Services[1].Groups[0].Start, p.Services[2].Groups[0].Start
	if prefill.WeightsKey == "" || prefill.WeightsKey != decode.WeightsKey || prefill.WeightsKey != again.WeightsKey ||
		prefill.WeightsKey == large.WeightsKey {
		t.Errorf("weights %q, %q, %q of one model and %q of another", prefill.WeightsKey, decode.WeightsKey,
			again.WeightsKey, large.WeightsKey)
	}
	if prefill.ServerKey == decode.ServerKey || decode.ServerKey != again.ServerKey {
		t.Errorf("servers %q over two GPUs, %q and %q over one", prefill.ServerKey, decode.ServerKey, again.ServerKey)
	}
}
