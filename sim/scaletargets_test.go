package sim_test

import (
	"fmt"
	"strings"
	"testing"

	"orrery/sim/journal"
)

// wholeNodes is chatScenario with replicas of two pods over two nodes, which upstream's LeaderWorkerSet controllers keep.
func wholeNodes(t *testing.T, gap float64) string {
	return strings.NewReplacer("FILE", requestFile(t, 400, gap), "nodes: 1}", "nodes: 6}", "replicas: {count: 2,",
		"replicas: {count: 1, kind: LeaderWorkerSet, podsPerReplica: 2, tensor: 8, pipeline: 2,").Replace(chatScenario)
}

// TestSetScaled: an autoscaler scales groups of pods by their scale subresource, and sees the leaders, of which there is
// one for each replica; KEDA scales them to none.
func TestSetScaled(t *testing.T) {
	const target = "{apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, name: chat}"
	for _, x := range []struct{ name, object, by string }{
		{"HPA", `
    apiVersion: autoscaling/v2
    kind: HorizontalPodAutoscaler
    metadata: {name: chat}
    spec:
      scaleTargetRef: ` + target + `
      maxReplicas: 3
      metrics:
      - {type: Pods, pods: {metric: {name: vllm_num_requests_running}, target: {type: AverageValue, averageValue: "2"}}}
`, "HorizontalPodAutoscaler/default/chat: pods metric vllm_num_requests_running above target"},
		{"KEDA", `
    apiVersion: keda.sh/v1alpha1
    kind: ScaledObject
    metadata: {name: chat}
    spec:
      scaleTargetRef: ` + target + `
      cooldownPeriod: 30
      maxReplicaCount: 3
      triggers:
      - type: prometheus
        metadata: {serverAddress: x, query: sum(inference_objective_running_requests), threshold: "2"}
`, "ScaledObject/default/chat: KEDAScaleTargetDeactivated: Deactivated leaderworkerset.x-k8s.io/v1.LeaderWorkerSet " +
			"default/chat from "},
	} {
		t.Run(x.name, func(t *testing.T) {
			p := play(t, wholeNodes(t, 0.1)+"manifests:\n- name: scaler.yaml\n  text: |"+x.object+"horizon: 12m\n")
			var scales []string
			most, ready := int32(0), map[string]bool{}
			for _, r := range p.records {
				switch b := r.Body.(type) {
				case journal.Scale:
					scales = append(scales, fmt.Sprintf("%s %d->%d %s: %s", b.Object, b.From, b.To, b.By, b.Reason))
					most = max(most, b.To)
				case journal.Replica:
					ready[b.Replica] = ready[b.Replica] || b.State == journal.ReplicaReady
				case journal.Warn:
					if strings.HasPrefix(b.Code, "upstream") {
						t.Error(b)
					}
				}
			}
			text := strings.Join(scales, "\n")
			if most < 2 || len(ready) < 2 || !strings.Contains(text, "LeaderWorkerSet/default/chat ") || !strings.Contains(text, x.by) {
				t.Errorf("%d replicas: %v\n%s\nwant %s", most, ready, text, x.by)
			}
		})
	}
}

// TestHPAToZero: with upstream's feature gate an autoscaler has the least number 0; without it the API refuses that.
func TestHPAToZero(t *testing.T) {
	text := strings.Replace(chatScenario, "FILE", requestFile(t, 100, 1), 1) + `scheduler: {featureGates: {HPAScaleToZero: GATE}}
horizon: 15m
metrics: {external: [{name: inflight, query: sum(inference_objective_running_requests)}]}
manifests:
- name: hpa.yaml
  text: |
    apiVersion: autoscaling/v2
    kind: HorizontalPodAutoscaler
    metadata: {name: chat}
    spec:
      scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: chat}
      minReplicas: 0
      maxReplicas: 3
      metrics:
      - {type: External, external: {metric: {name: inflight}, target: {type: AverageValue, averageValue: "2"}}}
`
	var scales []string
	for _, r := range play(t, strings.Replace(text, "GATE", "true", 1)).records {
		if b, ok := r.Body.(journal.Scale); ok {
			scales = append(scales, fmt.Sprintf("%d->%d", b.From, b.To))
		}
	}
	if got := strings.Join(scales, " "); !strings.HasSuffix(got, "->0") {
		t.Errorf("%s: it never goes to none", got)
	}
	if _, err := try(strings.Replace(text, "GATE", "false", 1)); err == nil ||
		!strings.Contains(err.Error(), "spec.minReplicas: Invalid value: 0") {
		t.Error(err)
	}
}
