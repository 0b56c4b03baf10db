package sim_test

import (
	"fmt"
	"strings"
	"testing"

	"orrery/sim/journal"
)

// autoscaler asks for at least two replicas of deployed's Deployment, of which it cannot tell how busy they are.
const autoscaler = `- name: hpa.yaml
  text: |
    apiVersion: autoscaling/v2
    kind: HorizontalPodAutoscaler
    metadata: {name: web}
    spec:
      scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
      minReplicas: 2
      maxReplicas: 3
      metrics:
      - type: Pods
        pods: {metric: {name: inflight}, target: {type: AverageValue, averageValue: 4}}
`

// TestScaling: the journal says who changed the number of replicas and why, and what the autoscaler says of itself, in
// its words.
func TestScaling(t *testing.T) {
	first := repeats(t, []int{1, 2, 8}, func() played { return play(t, deployed+autoscaler) })
	var scales, conditions []string
	for _, r := range first.records {
		switch b := r.Body.(type) {
		case journal.Scale:
			scales = append(scales, fmt.Sprintf("%s %d->%d %s: %s", b.Object, b.From, b.To, b.By, b.Reason))
		case journal.Condition:
			conditions = append(conditions, fmt.Sprintf("%s %s %s %s: %s", b.Object, b.Type, b.Status, b.Reason, b.Message))
		case journal.Warn:
			if strings.HasPrefix(b.Code, "upstream") {
				t.Error(b)
			}
		}
	}
	if text := strings.Join(scales, "\n"); text != "Deployment/default/web 5->3 HorizontalPodAutoscaler/default/web: "+
		"Current number of replicas above Spec.MaxReplicas" {
		t.Error(text)
	}
	const failed = "HorizontalPodAutoscaler/default/web ScalingActive False FailedGetPodsMetric: the HPA was unable to " +
		"compute the replica count: unable to get metric inflight: unable to fetch metrics from custom metrics API"
	if text := strings.Join(conditions, "\n"); strings.Count(text, failed) != 1 {
		t.Errorf("conditions:\n%s\nwant once:\n%s", text, failed)
	}
}
