package keda_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"orrery/sim/kube"
	"orrery/sim/policy/keda"
)

// replicas reduces changes to what and when, without the words.
func replicas(w *world) []string {
	var out []string
	for _, s := range w.scales {
		f := strings.SplitN(s, " ", 3)
		by := "HPA"
		if strings.HasPrefix(f[2], "ScaledObject") {
			by = "KEDA"
		}
		out = append(out, fmt.Sprintf("%s %s %s", f[0], f[1], by))
	}
	return out
}

// TestWithHPA plays an object with the real autoscaler from none to many and back. Threshold 5 per replica, 12 from 100 s
// to 400 s: KEDA's poll at 120.05 s makes one of none; the autoscaler, which looks every 15 s from 0.05 s on, finds 12/5
// and wants 3. From 400 s on it is 0. KEDA saw it active last at 390.05 s and goes to none 300 s later, just before the
// autoscaler's stabilization window of 5 minutes, which saw 3 last at 405.05 s, lets it go to 1.
func TestWithHPA(t *testing.T) {
	w := play(t, app(0)+scaled(fmt.Sprintf(queue, "")), 20*time.Minute, func(w *world) {
		w.full, w.load["queue"] = true, step(100, 12, 400, 0)
	})
	wants(t, "changes", replicas(w), `
2m0.05s 0->1 KEDA
2m0.05s 1->3 HPA
11m30.05s 3->0 KEDA`)
	if h := w.hpa("keda-hpa-app"); h == nil || h.Status.DesiredReplicas != 0 {
		t.Errorf("status %+v", h.Status)
	}
}

// TestModifiers checks a formula over two triggers: the composite metric decides both activation and replicas.
func TestModifiers(t *testing.T) {
	spec := `  advanced:
    scalingModifiers: {formula: "a + 2 * b", target: "10", activationTarget: "4"}
  triggers:
  - {type: prometheus, name: a, metadata: {serverAddress: x, query: sum(queue), threshold: "1"}}
  - {type: prometheus, name: b, metadata: {serverAddress: x, query: sum(other), threshold: "1"}}
`
	w := play(t, app(0)+scaled(spec), 5*time.Minute, func(w *world) {
		w.full = true
		w.load["queue"] = step(0, 2, 100, 5) // 2 + 2×1 = 4 is not above 4; 5 + 2×1 = 7 is, and 5 + 2×11 = 27 wants 3
		w.load["other"] = step(0, 1, 150, 11)
	})
	got := replicas(w)
	wants(t, "changes", got, "2m0.05s 0->1 KEDA\n2m30.05s 1->3 HPA")
	h := w.hpa("keda-hpa-app")
	if len(h.Spec.Metrics) != 1 || h.Spec.Metrics[0].External.Metric.Name != "composite-metric" ||
		h.Spec.Metrics[0].External.Target.AverageValue.Value() != 10 {
		t.Errorf("metrics %+v", h.Spec.Metrics)
	}
}

// TestFallback checks a trigger that stops answering: after more failures than the threshold the object is active with
// the value of the fallback's replicas. Both polls and the autoscaler's questions count failures.
func TestFallback(t *testing.T) {
	for _, x := range []struct{ behavior, want string }{
		{"", "6"},
		{"behavior: currentReplicasIfHigher, ", "6"},
		{"behavior: currentReplicasIfLower, ", "3"},
		{"behavior: currentReplicas, ", "3"},
	} {
		spec := fmt.Sprintf("  minReplicaCount: 2\n  fallback: {%sfailureThreshold: 3, replicas: 6}\n", x.behavior) +
			fmt.Sprintf(queue, `, ignoreNullValues: "false"`)
		w := play(t, app(2)+scaled(spec), 10*time.Minute, func(w *world) {
			w.full = true
			w.load["queue"] = func(at float64) float64 {
				if at >= 200 {
					return math.NaN() // not shown any more
				}
				return 15 // 3 replicas
			}
		})
		obj := w.object("app")
		f := obj.Status.Conditions.GetFallbackCondition()
		if f.Status != "True" || f.Reason != "FallbackExists" {
			t.Errorf("%s: condition %+v", x.behavior, f)
		}
		if h := obj.Status.Health["s0-prometheus"]; h.Status != "Failing" || *h.NumberOfFailures <= 3 {
			t.Errorf("%s: health %+v", x.behavior, obj.Status.Health)
		}
		if got := fmt.Sprint(w.hpa("keda-hpa-app").Status.DesiredReplicas); got != x.want {
			t.Errorf("%s: %s replicas, want %s; %q", x.behavior, got, x.want, w.scales)
		}
	}
}

// TestFailure checks what the autoscaler is told of a trigger that does not answer, without a fallback.
func TestFailure(t *testing.T) {
	w := play(t, app(1)+scaled("  minReplicaCount: 1\n"+fmt.Sprintf(queue, `, ignoreNullValues: "false"`)), 3*time.Minute,
		func(w *world) { w.full = true })
	var text string
	for _, c := range w.hpa("keda-hpa-app").Status.Conditions {
		if c.Type == "ScalingActive" {
			text = fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
		}
	}
	for _, want := range []string{"False FailedGetExternalMetric", "unable to get external metric default/s0-prometheus/",
		"rpc error: code = Unknown desc = error when getting metric values metric:s0-prometheus encountered error"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
	c := w.object("app").Status.Conditions.GetHPAActiveCondition()
	if c.Status != "False" || c.Reason != "FailedGetExternalMetric" {
		t.Errorf("condition %+v", c)
	}
}

// TestRepeat checks that equal worlds write the same.
func TestRepeat(t *testing.T) {
	manifests := app(0) + scaled(fmt.Sprintf(queue, "")+`  - {type: cron, metadata: {timezone: Europe/Berlin, start: 5 1 * * *,
      end: 15 1 * * *, desiredReplicas: "4"}}
`)
	run := func() string {
		w := play(t, manifests, time.Hour, func(w *world) {
			w.full, w.load["queue"] = true, func(at float64) float64 { return math.Floor(20 * math.Abs(math.Sin(at/300))) }
		})
		return fmt.Sprintf("%x %d", w.writes.Sum(nil), len(w.scales))
	}
	if a, b := run(), run(); a != b || strings.HasSuffix(a, " 0") {
		t.Errorf("%s and %s", a, b)
	}
}

// TestCheck checks what is refused, all at once, and in which words.
func TestCheck(t *testing.T) {
	for _, x := range []struct{ spec, want string }{
		{"  triggers: [{type: kafka, metadata: {topic: t}}]\n", `spec.triggers[0]: type "kafka" is not simulated: use prometheus, ` +
			"cron, cpu, memory or kubernetes-workload; what a queue or another service would report can be asked of the run's " +
			"own metrics with a prometheus trigger"},
		{"  triggers: [{type: external-push, metadata: {scalerAddress: a}}]\n", `type "external-push" is not simulated`},
		{"  triggers: [{type: prometheus, metadata: {serverAddress: x, querry: up}}]\n",
			"missing required parameter \"query\" in metadata\nspec.triggers[0]: missing required parameter \"threshold\" in metadata\n" +
				`spec.triggers[0]: a prometheus trigger has no parameter "querry"; it has activationThreshold,`},
		{"  triggers: [{type: prometheus, metadata: {serverAddress: x, query: 'sum(', threshold: '1'}}]\n", `PromQL "sum("`},
		{"  triggers: [{type: prometheus, metadata: {serverAddress: x, query: '1 + 1', threshold: '1'}}]\n",
			"gives a scalar, which KEDA cannot read: write vector(1 + 1)"},
		{"  triggers: [{type: prometheus, metadata: {serverAddress: x, query: '', threshold: ' '}}]\n",
			"missing required parameter \"query\" in metadata\nspec.triggers[0]: missing required parameter \"threshold\""},
		{"  triggers: [{type: prometheus, metadata: {serverAddress: x, query: up, threshold: '1', activationThreshold: ''}}]\n", ""},
		{"  triggers: [{type: cron, metadata: {timezone: Local, start: 0 1 * * *, end: 0 2 * * *, desiredReplicas: '1'}}]\n",
			`timezone "Local" is another on each machine`},
		{"  triggers: [{type: prometheus, metadata: {serverAddress: x, query: up, threshold: many}}]\n",
			`parameter "threshold": "many" is not a number`},
		{"  triggers: [{type: prometheus, metricType: Utilization, metadata: {serverAddress: x, query: up, threshold: '1'}}]\n",
			`metricType "Utilization": external metrics have 'Value' or 'AverageValue'`},
		{"  triggers: [{type: cron, metadata: {timezone: Mars, start: 0 25 * * *, end: 0 1 * * *, desiredReplicas: '1'}}]\n",
			"error parsing start schedule: end of range (25) above maximum (23): 25\nspec.triggers[0]: timezone \"Mars\" is not known"},
		{"  triggers: [{type: cpu, metricType: Utilization, metadata: {value: '50'}}]\n",
			"all triggers are cpu or memory and minReplicaCount is 0"},
		{"  minReplicaCount: 1\n  triggers: [{type: cpu, metadata: {value: '50'}}]\n",
			`metricType "": a cpu trigger has 'Utilization' or 'AverageValue'`},
		{"  minReplicaCount: 5\n  maxReplicaCount: 3\n  pollingInterval: 0\n" + fmt.Sprintf(queue, ""),
			"spec.pollingInterval is 0: it must be at least 1\nMinReplicaCount=5 must be less than MaxReplicaCount=3"},
		{"  idleReplicaCount: 2\n  minReplicaCount: 2\n" + fmt.Sprintf(queue, ""), "IdleReplicaCount=2 must be less than MinReplicaCount=2"},
		{"  advanced: {scalingModifiers: {formula: a + b, target: '1'}}\n  triggers: [{type: prometheus, name: a, metadata: " +
			"{serverAddress: x, query: up, threshold: '1'}}]\n", "unknown name b"},
		{"  triggers: []\n", "no triggers defined"},
		{fmt.Sprintf(queue, ""), ""},
	} {
		objects, err := kube.DecodeManifests("f.yaml", []byte(scaled(x.spec)), keda.Scheme())
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := errors.Join(keda.Check(objects[0])...); err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, x.want) || x.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", x.spec, got, x.want)
		}
	}
	_, err := kube.DecodeManifests("f.yaml", []byte(scaled("  poolingInterval: 3\n"+fmt.Sprintf(queue, ""))), keda.Scheme())
	if err == nil || !strings.Contains(err.Error(), "f.yaml") || !strings.Contains(err.Error(), "poolingInterval") {
		t.Errorf("unknown field: %v", err)
	}
	objects, err := kube.DecodeManifests("f.yaml", []byte("apiVersion: keda.sh/v1alpha1\nkind: ScaledJob\nmetadata: {name: x}\n"+
		"spec: {jobTargetRef: {template: {spec: {containers: [{name: c, image: c}]}}}, triggers: []}\n"), keda.Scheme())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(keda.Check(objects[0])...); err == nil || !strings.Contains(err.Error(), "ScaledJob is not simulated") {
		t.Errorf("ScaledJob: %v", err)
	}
}
