package keda_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The operator reconciles 50 ms after a ScaledObject appears and polls then and every pollingInterval: at 0.05 s,
// 30.05 s … Scrapes are at 0 s, 15 s … The expectations follow from KEDA's documentation of its scaling
// (https://keda.sh/docs/2.20/concepts/scaling-deployments/, reference/scaledobject-spec/).
const (
	activated   = "ScaledObject/default/app: KEDAScaleTargetActivated: Scaled apps/v1.Deployment default/app from "
	deactivated = "ScaledObject/default/app: KEDAScaleTargetDeactivated: Deactivated apps/v1.Deployment default/app from "
)

// TestTimelines plays objects without an autoscaler: what KEDA itself does between none, idle and least.
func TestTimelines(t *testing.T) {
	for _, x := range []struct {
		name     string
		replicas int
		spec     string
		load     func(float64) float64
		horizon  float64
		want     string
	}{
		{
			// Active at 120 s (load from 100 s on), last seen active at 240.05 s (load until 250 s), noted as 240 s. The
			// cool-down of 300 s is over at the poll at 540.05 s.
			name: "to zero and back", replicas: 0, spec: fmt.Sprintf(queue, ""), load: step(100, 3, 250, 0, 700, 1), horizon: 760,
			want: "2m0.05s 0->1 " + activated + "0 to 1, triggered by s0-prometheus\n" +
				"9m0.05s 1->0 " + deactivated + "1 to 0\n" +
				"12m0.05s 0->1 " + activated + "0 to 1, triggered by s0-prometheus",
		},
		{
			// A value equal to the activation threshold does not activate; the threshold of the autoscaler plays no part.
			name: "activation threshold", replicas: 0, spec: fmt.Sprintf(queue, `, activationThreshold: "10"`),
			load: step(0, 9, 100, 10, 200, 10.5), horizon: 400,
			want: "3m30.05s 0->1 " + activated + "0 to 1, triggered by s0-prometheus",
		},
		{
			// Never active: the cool-down does not count, only the initial one, from creation: 0 s + 100 s < 120.05 s.
			name: "initial cool-down", replicas: 2, spec: "  initialCooldownPeriod: 100\n" + fmt.Sprintf(queue, ""),
			load: step(), horizon: 400, want: "2m0.05s 2->0 " + deactivated + "2 to 0",
		},
		{
			// Without it the first poll scales to zero.
			name: "no initial cool-down", replicas: 2, spec: fmt.Sprintf(queue, ""), load: step(), horizon: 100,
			want: "50ms 2->0 " + deactivated + "2 to 0",
		},
		{
			// Seen inactive at 60.05 s first, but last active was 30 s: a cool-down of 60 s ends at the poll at 90.05 s. The
			// polls come every 10 s.
			name: "polling interval", replicas: 1, spec: "  pollingInterval: 10\n  cooldownPeriod: 60\n" + fmt.Sprintf(queue, ""),
			load: step(0, 1, 31, 0), horizon: 200,
			// 40.05 s still sees the scrape at 30 s.
			want: "1m40.05s 1->0 " + deactivated + "1 to 0",
		},
		{
			// Idle replicas: down to 1 when idle, up to the least of 3 when active, never between. Last active at 180.05 s.
			name: "idle", replicas: 3, spec: "  idleReplicaCount: 1\n  minReplicaCount: 3\n  cooldownPeriod: 30\n" +
				fmt.Sprintf(queue, ""), load: step(100, 1, 200, 0), horizon: 400,
			want: "50ms 3->1 " + deactivated + "3 to 1\n" +
				"2m0.05s 1->3 " + activated + "1 to 3, triggered by s0-prometheus\n" +
				"3m30.05s 3->1 " + deactivated + "3 to 1",
		},
		{
			// With a least number and no idle one KEDA only lifts the target to it.
			name: "least", replicas: 0, spec: "  minReplicaCount: 2\n" + fmt.Sprintf(queue, ""), load: step(), horizon: 400,
			want: "50ms 0->2 ScaledObject/default/app: ScaleTarget replicas count set to ScaledObject minReplicaCount",
		},
		{
			// One of two triggers is enough. Cron is active from 00:02 to 00:04 UTC.
			name: "two triggers", replicas: 0, spec: fmt.Sprintf(queue, "") + `  - type: cron
    metadata: {timezone: UTC, start: 2 0 * * *, end: 4 0 * * *, desiredReplicas: "3"}
`, load: step(), horizon: 900,
			// Active at 120.05 s … 210.05 s; 240.05 s is outside. 210 + 300 = 510 s.
			want: "2m0.05s 0->1 " + activated + "0 to 1, triggered by s1-cron-UTC-20xxx-40xxx\n" +
				"8m30.05s 1->0 " + deactivated + "1 to 0",
		},
		{
			// Pods of another workload.
			name: "workload", replicas: 0, spec: `  triggers:
  - type: kubernetes-workload
    metadata: {podSelector: "app=other", value: "1"}
`, load: step(), horizon: 100, want: "",
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			w := play(t, app(x.replicas)+scaled(x.spec), time.Duration(x.horizon*1e9), func(w *world) { w.load["queue"] = x.load })
			wants(t, "changes", w.scales, x.want)
		})
	}
}

// TestConditions checks what the object says of itself, and its status, through activation and cool-down.
func TestConditions(t *testing.T) {
	w := play(t, app(0)+scaled("  cooldownPeriod: 60\n"+fmt.Sprintf(queue, "")), 300*time.Second, func(w *world) {
		w.load["queue"] = step(40, 1, 100, 0)
	})
	wants(t, "conditions", w.conditions, `
50ms Ready True ScaledObjectReady
50ms Active Unknown 
50ms Fallback False NoFallbackFound
50ms Paused False 
50ms Active False ScalerNotActive
1m0.05s Active True ScalerActive
2m0.05s Active False ScalerCooldown
2m30.05s Active False ScalerNotActive`)
	so := w.object("app")
	if got := so.Status; got.HpaName != "keda-hpa-app" || got.ScaleTargetKind != "apps/v1.Deployment" ||
		*got.OriginalReplicaCount != 0 || len(got.ExternalMetricNames) != 1 || got.ExternalMetricNames[0] != "s0-prometheus" ||
		*got.TriggersTypes != "prometheus" || got.TriggersActivity["s0-prometheus"].IsActive {
		t.Errorf("status %+v", got)
	}
	if so.Labels["scaledobject.keda.sh/name"] != "app" {
		t.Errorf("labels %v", so.Labels)
	}
}

func milli(q *resource.Quantity) int64 {
	if q == nil {
		return 0
	}
	return q.MilliValue()
}

// TestHPA checks the autoscaler that an object with everything becomes.
func TestHPA(t *testing.T) {
	w := play(t, app(1)+scaled(`  minReplicaCount: 0
  advanced:
    horizontalPodAutoscalerConfig:
      name: mine
      behavior: {scaleDown: {stabilizationWindowSeconds: 60}}
  triggers:
  - type: prometheus
    metadata: {serverAddress: x, query: sum(queue), threshold: "2.5"}
  - type: cpu
    metricType: Utilization
    metadata: {value: "80"}
  - type: prometheus
    metricType: Value
    metadata: {serverAddress: x, query: sum(queue), threshold: "7"}
  - type: memory
    metricType: AverageValue
    metadata: {value: 2Gi, containerName: c}
`), time.Second, nil)
	h := w.hpa("mine")
	if h == nil {
		t.Fatal("there is no autoscaler")
	}
	var got []string
	for _, m := range h.Spec.Metrics {
		switch {
		case m.External != nil:
			got = append(got, fmt.Sprintf("%s %v avg=%d value=%d", m.External.Metric.Name, m.External.Metric.Selector.MatchLabels,
				milli(m.External.Target.AverageValue), milli(m.External.Target.Value)))
		case m.Resource != nil:
			got = append(got, fmt.Sprintf("%s %d%%", m.Resource.Name, *m.Resource.Target.AverageUtilization))
		default:
			got = append(got, fmt.Sprintf("%s of %s %v", m.ContainerResource.Name, m.ContainerResource.Container,
				m.ContainerResource.Target.AverageValue))
		}
	}
	wants(t, "metrics", got, `
memory of c 2Gi
s0-prometheus map[scaledobject.keda.sh/name:app] avg=2500 value=0
s2-prometheus map[scaledobject.keda.sh/name:app] avg=0 value=7000
cpu 80%`)
	if *h.Spec.MinReplicas != 1 || h.Spec.MaxReplicas != 100 || *h.Spec.Behavior.ScaleDown.StabilizationWindowSeconds != 60 ||
		h.Spec.ScaleTargetRef.Kind != "Deployment" || h.Spec.ScaleTargetRef.APIVersion != "apps/v1" {
		t.Errorf("spec %+v", h.Spec)
	}
	if o := metav1.GetControllerOf(h); o == nil || o.Name != "app" || o.Kind != "ScaledObject" {
		t.Errorf("owner %v", o)
	}
}

// TestPause checks the annotations: a paused object has no autoscaler and stays where it is put.
func TestPause(t *testing.T) {
	w := play(t, app(0)+scaled(fmt.Sprintf(queue, "")), 900*time.Second, func(w *world) {
		w.load["queue"] = step(40, 1)
		w.at[100*time.Second] = func() { w.annotate(v1alpha1.PausedReplicasAnnotation, "4") }
		w.at[150*time.Second] = func() {
			if w.hpa("keda-hpa-app") != nil {
				t.Error("a paused object has an autoscaler")
			}
			if so := w.object("app"); so.Status.PausedReplicaCount == nil || *so.Status.PausedReplicaCount != 4 {
				t.Errorf("status %+v", so.Status)
			}
		}
		w.at[200*time.Second] = func() { w.annotate(v1alpha1.PausedReplicasAnnotation, "") }
		w.at[250*time.Second] = func() {
			if w.hpa("keda-hpa-app") == nil {
				t.Error("an object that goes on has no autoscaler")
			}
			w.annotate(v1alpha1.PausedScaleInAnnotation, "true")
		}
		w.at[260*time.Second] = func() {
			if p := w.hpa("keda-hpa-app").Spec.Behavior.ScaleDown.SelectPolicy; *p != "Disabled" {
				t.Errorf("scale-in is paused, the policy is %s", *p)
			}
			w.load["queue"] = step()
		}
	})
	wants(t, "changes", w.scales, "1m0.05s 0->1 "+activated+"0 to 1, triggered by s0-prometheus\n"+
		"1m40.05s 1->4 ScaledObject/default/app: ScaledObjectPaused: scaled to the paused replica count")
}

// TestDelete checks that the autoscaler goes with its object, and the replicas of the beginning come back if wanted.
func TestDelete(t *testing.T) {
	for _, restore := range []bool{false, true} {
		w := play(t, app(2)+scaled(fmt.Sprintf("  advanced: {restoreToOriginalReplicaCount: %t}\n", restore)+
			fmt.Sprintf(queue, "")), 200*time.Second, func(w *world) {
			w.load["queue"] = step()
			w.at[100*time.Second] = func() {
				if err := w.store.Delete(scaledGVR, "default", "app", nil); err != nil {
					t.Error(err)
				}
			}
		})
		want := "50ms 2->0 " + deactivated + "2 to 0"
		if restore {
			want += "\n1m40.05s 0->2 ScaledObject/default/app: ScaledObjectDeleted: restored to the original replica count"
		}
		wants(t, "changes", w.scales, want)
		if w.hpa("keda-hpa-app") != nil {
			t.Error("the autoscaler is still there")
		}
	}
}

// TestMissingTarget checks what an object says whose target comes later.
func TestMissingTarget(t *testing.T) {
	w := play(t, scaled(fmt.Sprintf(queue, "")), 60*time.Second, nil)
	so := w.object("app")
	ready, active := so.Status.Conditions.GetReadyCondition(), so.Status.Conditions.GetActiveCondition()
	if ready.Status != "False" || ready.Reason != "ScaledObjectCheckFailed" || !strings.Contains(ready.Message,
		`ScaledObject doesn't have correct scaleTargetRef specification: deployments.apps "app" not found`) {
		t.Errorf("ready %+v", ready)
	}
	if active.Status != "Unknown" {
		t.Errorf("active %+v", active)
	}
}

// TestNoValue checks empty results and several elements: 0 or an error.
func TestNoValue(t *testing.T) {
	for _, x := range []struct{ query, more, want string }{
		{"nothing", "", "Active False ScalerNotActive; Ready True ScaledObjectReady"},
		{"nothing", `, ignoreNullValues: "false"`, "Active False ScalerNotActive; Ready False TriggerError"},
		{`{__name__=~"queue|up"}`, "", "Active False ScalerNotActive; Ready False TriggerError"},
		{"queue / 0", "", "Active False ScalerNotActive; Ready True ScaledObjectReady"},
		{"queue / 0", `, ignoreNullValues: "false"`, "Active False ScalerNotActive; Ready False TriggerError"},
	} {
		w := play(t, app(0)+scaled(fmt.Sprintf(`  triggers:
  - type: prometheus
    metadata: {serverAddress: x, query: '%s', threshold: "1"%s}
`, x.query, x.more)), 100*time.Second, func(w *world) { w.load["queue"] = step(0, math.Pi) })
		c := w.object("app").Status.Conditions
		a, r := c.GetActiveCondition(), c.GetReadyCondition()
		if got := fmt.Sprintf("Active %s %s; Ready %s %s", a.Status, a.Reason, r.Status, r.Reason); got != x.want {
			t.Errorf("%s%s: %s, want %s", x.query, x.more, got, x.want)
		}
	}
}
