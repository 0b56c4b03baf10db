package sim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"orrery/sim"
	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/units"
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

// TestRollout: a Deployment whose template changes in mid-run is rolled over by upstream's controller while all GPUs are
// taken: new pods wait until old ones have ended what they had, and no request is lost.
func TestRollout(t *testing.T) {
	text := strings.NewReplacer("FILE", requestFile(t, 600, 0.5), "count: 2", "count: 8").Replace(chatScenario)
	got, err := tryWith(func(p *sim.Params) {
		*p = p.Built(func(h sim.Hands) {
			h.Engine.At(units.Time(2*time.Minute), engine.PhaseFault, "roll", func() {
				gvr := appsv1.SchemeGroupVersion.WithResource("deployments")
				obj, err := h.Store.Get(gvr, "default", "chat")
				if err != nil {
					t.Error(err)
					return
				}
				d := obj.(*appsv1.Deployment).DeepCopy()
				metav1.SetMetaDataAnnotation(&d.Spec.Template.ObjectMeta, "version", "2")
				if _, err := h.Store.Update(d, ""); err != nil {
					t.Error(err)
				}
			})
		})
	}, text)
	if err != nil {
		t.Fatal(err)
	}
	now, least, waited, gone := 0, 8, 0, 0
	for _, r := range got.records {
		switch b := r.Body.(type) {
		case journal.Replica:
			switch b.State {
			case journal.ReplicaReady:
				now++
			case journal.ReplicaDraining:
				now--
			case journal.ReplicaGone:
				gone++
			}
			if r.At > units.Time(2*time.Minute) {
				least = min(least, now)
			}
		case journal.Attempt:
			if b.Result == journal.Unschedulable && r.At > units.Time(2*time.Minute) {
				waited++
			}
		}
	}
	s := got.data.Summary.Serving.Services["chat"].Requests
	// At most a quarter may be away at a time (the default maxUnavailable).
	if now != 8 || gone != 8 || least < 6 || waited == 0 || s.Completed != 600 {
		t.Errorf("%d replicas at the end, %d gone, at least %d; %d attempts in vain; %d of %d requests", now, gone, least, waited,
			s.Completed, s.Arrived)
	}
}
