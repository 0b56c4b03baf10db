package keda_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// annotate sets an annotation of the ScaledObject, or removes it when value is empty.
func (w *world) annotate(key, value string) {
	so := w.object("app").DeepCopy()
	if value == "" {
		delete(so.Annotations, key)
	} else {
		metav1.SetMetaDataAnnotation(&so.ObjectMeta, key, value)
	}
	if _, err := w.store.Update(so, ""); err != nil {
		w.t.Error(err)
	}
}

// until is a load that is not shown any more from some instant on.
func until(at, value float64) func(float64) float64 {
	return func(now float64) float64 {
		if now >= at {
			return math.NaN()
		}
		return value
	}
}

// asked is a trigger that fails when there is no value.
var asked = fmt.Sprintf(queue, `, ignoreNullValues: "false"`)

// TestRules plays rules of pkg/scaling/executor/scale_scaledobjects.go that annotations and failures bring in. Polls
// are at 0.05 s, 30.05 s …
func TestRules(t *testing.T) {
	for _, x := range []struct {
		name     string
		replicas int
		spec     string
		setup    func(*world)
		want     string
	}{
		{
			"forced activation", 0, fmt.Sprintf(queue, ""), func(w *world) {
				w.at[100*time.Second] = func() { w.annotate(v1alpha1.ForceActivationAnnotation, "true") }
				w.at[200*time.Second] = func() { w.annotate(v1alpha1.ForceActivationAnnotation, "") }
			}, // active last at 180.05 s
			"2m0.05s 0->1 " + activated + "0 to 1, caused by forced activation annotation\n" +
				"8m0.05s 1->0 " + deactivated + "1 to 0",
		}, {
			"scale-out paused", 0, fmt.Sprintf(queue, ""), func(w *world) {
				w.load["queue"] = step(0, 3)
				w.at[time.Second/100] = func() { w.annotate(v1alpha1.PausedScaleOutAnnotation, "true") }
				w.at[200*time.Second] = func() { w.annotate(v1alpha1.PausedScaleOutAnnotation, "") }
			}, "3m30.05s 0->1 " + activated + "0 to 1, triggered by s0-prometheus",
		}, {
			"scale-in paused", 2, fmt.Sprintf(queue, ""), func(w *world) {
				w.at[time.Second/100] = func() { w.annotate(v1alpha1.PausedScaleInAnnotation, "true") }
				w.at[200*time.Second] = func() { w.annotate(v1alpha1.PausedScaleInAnnotation, "false") }
			}, "3m30.05s 2->0 " + deactivated + "2 to 0",
		}, {
			"paused where it is", 2, fmt.Sprintf(queue, ""), func(w *world) {
				w.at[time.Second/100] = func() { w.annotate(v1alpha1.PausedAnnotation, "true") }
				w.at[200*time.Second] = func() { w.annotate(v1alpha1.PausedAnnotation, "") }
			}, "3m20.05s 2->0 " + deactivated + "2 to 0",
		}, {
			// Nobody knows whether anything waits: without a fallback the target is left alone.
			"failing trigger, no fallback", 2, asked, nil, "",
		}, {
			// With one for no replicas it is as if the trigger were not active.
			"failing trigger, a fallback to none", 2, "  fallback: {failureThreshold: 30, replicas: 0}\n" + asked, nil,
			"50ms 2->0 " + deactivated + "2 to 0",
		}, {
			// More than 2 failures: the fallback makes it active at the third.
			"failing trigger, a fallback from none", 0, "  fallback: {failureThreshold: 2, replicas: 4}\n" + asked, nil,
			"1m0.05s 0->1 " + activated + "0 to 1, triggered by s0-prometheus",
		}, {
			// The one that answers keeps it active.
			"one of two fails", 0, asked + "  - {type: prometheus, metadata: {serverAddress: x, query: sum(other), " +
				"threshold: \"1\"}}\n", func(w *world) { w.load["other"] = step(50, 1) },
			"1m0.05s 0->1 " + activated + "0 to 1, triggered by s1-prometheus",
		}, {
			// Somebody else scales to none while a trigger is active.
			"scaled by hand", 1, fmt.Sprintf(queue, ""), func(w *world) {
				w.load["queue"] = step(0, 1)
				w.at[100*time.Second] = func() { w.replicas(0) }
			}, "1m40s 1->0 \n2m0.05s 0->1 " + activated + "0 to 1, triggered by s0-prometheus",
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			w := play(t, app(x.replicas)+scaled(x.spec), 600*time.Second, func(w *world) {
				if x.setup != nil {
					x.setup(w)
				}
			})
			wants(t, "changes", w.scales, x.want)
		})
	}
}

// TestBehaviourComesBack: a pause of one direction leaves the user's behaviour as it was.
func TestBehaviourComesBack(t *testing.T) {
	for _, own := range []string{"", "  advanced: {horizontalPodAutoscalerConfig: {behavior: {scaleDown: " +
		"{stabilizationWindowSeconds: 60}}}}\n"} {
		policy := func(w *world) (out string) {
			b := w.hpa("keda-hpa-app").Spec.Behavior
			if b == nil {
				return "none"
			}
			for _, r := range []*autoscalingv2.HPAScalingRules{b.ScaleUp, b.ScaleDown} {
				out += fmt.Sprintf("%s %d ", *r.SelectPolicy, milliOf(r.StabilizationWindowSeconds))
			}
			return out
		}
		var got []string
		play(t, app(1)+scaled(own+fmt.Sprintf(queue, "")), 500*time.Second, func(w *world) {
			for i, key := range []string{v1alpha1.PausedScaleInAnnotation, v1alpha1.PausedScaleOutAnnotation} {
				from := time.Duration(i+1) * 100 * time.Second
				w.at[from] = func() { w.annotate(key, "true") }
				w.at[from+50*time.Second] = func() { got = append(got, policy(w)); w.annotate(key, "") }
				w.at[from+90*time.Second] = func() { got = append(got, policy(w)) }
			}
		})
		want := "Max 0 Disabled -1 |none|Disabled 0 Max -1 |none"
		if own != "" {
			want = "Max 0 Disabled 60 |Max 0 Max 60 |Disabled 0 Max 60 |Max 0 Max 60 "
		}
		if text := strings.Join(got, "|"); text != want {
			t.Errorf("%q: %s, want %s", own, text, want)
		}
	}
}

// milliOf is what a number of seconds is, -1 when it is not said.
func milliOf(seconds *int32) int32 {
	if seconds == nil {
		return -1
	}
	return *seconds
}

// TestCachedMetrics: the autoscaler sees what the last poll saw, until the next one.
func TestCachedMetrics(t *testing.T) {
	for _, x := range []struct{ cached, want string }{
		{"false", "1m15.05s 1->2 HPA"}, // its own look at the scrape of 75 s
		{"true", "3m0.05s 1->2 HPA"},   // the poll of 180.05 s
	} {
		w := play(t, app(1)+scaled("  minReplicaCount: 1\n  pollingInterval: 90\n  triggers:\n  - {type: prometheus, "+
			"useCachedMetrics: "+x.cached+", metadata: {serverAddress: x, query: sum(queue), threshold: \"5\"}}\n"), 4*time.Minute,
			func(w *world) { w.full, w.load["queue"] = true, step(0, 5, 75, 10, 90, 5, 180, 10) })
		if got := replicas(w); len(got) == 0 || got[0] != x.want {
			t.Errorf("cached %s: %q, want %s", x.cached, got, x.want)
		}
	}
}

// TestCachedFallback: the value that a fallback puts in the place of a cached one is no failure to the autoscaler, whose
// question therefore ends the fallback until as many polls have failed again (pkg/scaling/scale_handler.go stores
// metrics after the fallback and passes them through it once more). The replicas are the fallback's all the same.
func TestCachedFallback(t *testing.T) {
	w := play(t, app(2)+scaled("  minReplicaCount: 2\n  fallback: {failureThreshold: 3, replicas: 6}\n  triggers:\n  - {type: "+
		"prometheus, useCachedMetrics: true, metadata: {serverAddress: x, query: sum(queue), threshold: \"5\", "+
		"ignoreNullValues: \"false\"}}\n"), 15*time.Minute, func(w *world) { w.full, w.load["queue"] = true, until(200, 15) })
	on := 0
	for _, c := range w.conditions {
		if strings.Contains(c, "Fallback True") {
			on++
		}
	}
	if h := w.hpa("keda-hpa-app"); h.Status.DesiredReplicas != 6 || on < 2 {
		t.Errorf("%d replicas, want 6; %d fallbacks: %q", h.Status.DesiredReplicas, on, w.conditions)
	}
}

// TestFallbackOfValue: a trigger with a target for all replicas together has its value from those that are ready.
func TestFallbackOfValue(t *testing.T) {
	w := play(t, app(2)+scaled("  minReplicaCount: 2\n  fallback: {failureThreshold: 3, replicas: 6}\n  triggers:\n  - {type: "+
		"prometheus, metricType: Value, metadata: {serverAddress: x, query: sum(queue), threshold: \"5\", "+
		"ignoreNullValues: \"false\"}}\n"), 10*time.Minute, func(w *world) { w.full, w.load["queue"] = true, until(200, 5) })
	if h := w.hpa("keda-hpa-app"); h.Status.DesiredReplicas != 6 {
		t.Errorf("%d replicas, want 6: %q", h.Status.DesiredReplicas, w.scales)
	}
}

// TestModifierFallback: with behaviour scalingModifiers a formula can say what stands in for a trigger that fails, and
// what has no number then is the fallback's replicas.
func TestModifierFallback(t *testing.T) {
	for _, x := range []struct {
		formula string
		want    int32
	}{{"a ?? b", 4}, {"(a ?? 70) + b", 11}, {"a ?? nil", 6}} {
		spec := fmt.Sprintf(`  minReplicaCount: 1
  fallback: {behavior: scalingModifiers, failureThreshold: 2, replicas: 6}
  advanced: {scalingModifiers: {formula: %q, target: "10"}}
  triggers:
  - {type: prometheus, name: a, metadata: {serverAddress: x, query: sum(queue), threshold: "1", ignoreNullValues: "false"}}
  - {type: prometheus, name: b, metadata: {serverAddress: x, query: sum(other), threshold: "1"}}
`, x.formula)
		w := play(t, app(1)+scaled(spec), 15*time.Minute, func(w *world) {
			w.full, w.load["queue"], w.load["other"] = true, until(300, 10), step(0, 40)
		})
		if h := w.hpa("keda-hpa-app"); h.Status.DesiredReplicas != x.want {
			t.Errorf("%s: %d replicas, want %d: %q", x.formula, h.Status.DesiredReplicas, x.want, replicas(w))
		}
	}
}

// TestOwnAutoscaler: the autoscaler is made anew when somebody deletes it, made right when somebody changes it, renamed
// with its object, and taken over from somebody else.
func TestOwnAutoscaler(t *testing.T) {
	var named []string
	w := play(t, app(1)+scaled("  advanced: {horizontalPodAutoscalerConfig: {name: old}}\n  maxReplicaCount: 7\n"+
		fmt.Sprintf(queue, ""))+strings.Replace(autoscaler, "%s", "", 1), 600*time.Second, func(w *world) {
		w.load["queue"] = step(0, 1)
		look := func(name string) {
			if h := w.hpa(name); h != nil && metav1.GetControllerOf(h) != nil {
				named = append(named, fmt.Sprintf("%s %s %d", w.now(), name, h.Spec.MaxReplicas))
			}
		}
		w.at[10*time.Second] = func() { look("old") }
		w.at[20*time.Second] = func() { _ = w.store.Delete(hpasGVR, "default", "old", nil) }
		w.at[30*time.Second] = func() {
			look("old")
			h := w.hpa("old").DeepCopy()
			h.Spec.MaxReplicas = 3
			if _, err := w.store.Update(h, ""); err != nil {
				t.Error(err)
			}
			look("old")
		}
		w.at[40*time.Second] = func() {
			look("old")
			so := w.object("app").DeepCopy()
			so.Spec.Advanced.HorizontalPodAutoscalerConfig.Name = "new"
			if _, err := w.store.Update(so, ""); err != nil {
				t.Error(err)
			}
		}
		w.at[50*time.Second] = func() { look("old"); look("new") }
	})
	wants(t, "autoscalers", named, "10s old 7\n30s old 7\n30s old 3\n40s old 7\n50s new 7")
	if so := w.object("app"); so.Status.HpaName != "new" {
		t.Errorf("status %+v", so.Status)
	}
}

// TestTargets: other kinds with a scale are scaled, too, and what has none is reported.
func TestTargets(t *testing.T) {
	set := strings.NewReplacer("kind: Deployment", "kind: StatefulSet", "replicas:", "serviceName: s\n  replicas:").Replace(app(0))
	w := play(t, set+strings.Replace(scaled(fmt.Sprintf(queue, "")), "{name: app}\n  triggers",
		"{apiVersion: apps/v1, kind: StatefulSet, name: app}\n  triggers", 1), 300*time.Second,
		func(w *world) { w.load["queue"] = step(100, 3) })
	wants(t, "changes", w.scales, "2m0.05s 0->1 ScaledObject/default/app: KEDAScaleTargetActivated: Scaled "+
		"apps/v1.StatefulSet default/app from 0 to 1, triggered by s0-prometheus")
	w = play(t, "apiVersion: v1\nkind: Service\nmetadata: {name: app}\nspec: {ports: [{port: 80}]}\n---\n"+strings.Replace(
		scaled(fmt.Sprintf(queue, "")), "{name: app}\n  triggers", "{apiVersion: v1, kind: Service, name: app}\n  triggers", 1),
		100*time.Second, nil)
	c := w.object("app").Status.Conditions.GetReadyCondition()
	if c.Status != "False" || !strings.HasPrefix(c.Message, "ScaledObject doesn't have correct scaleTargetRef specification: ") {
		t.Errorf("%+v", c)
	}
}

// TestWorkload: pods of another workload that have not ended count, or the nodes that they are on.
func TestWorkload(t *testing.T) {
	pod := func(name, node string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: %s, labels: {app: other}}\nspec: {nodeName: %q, containers: "+
			"[{name: c, image: c}]}\n---\n", name, node)
	}
	others := pod("a", "n") + pod("b", "n") + pod("c", "") + pod("d", "m")
	for _, x := range []struct{ more, want string }{
		{`, activationValue: "2"`, "50ms 0->1 "}, {`, activationValue: "3"`, ""}, {`, groupByNode: "true"`, "50ms 0->1 "},
		{`, groupByNode: "true", activationValue: "1"`, ""},
	} {
		w := play(t, others+app(0)+scaled("  triggers:\n  - {type: kubernetes-workload, metadata: {podSelector: app=other, value: \"1\""+
			x.more+"}}\n"), 100*time.Second, func(w *world) {
			w.at[time.Second/100] = func() {
				obj, err := w.store.Get(podsGVR, "default", "d")
				if err != nil {
					t.Fatal(err)
				}
				d := obj.(*corev1.Pod).DeepCopy()
				d.Status.Phase = corev1.PodSucceeded
				if _, err := w.store.Update(d, "status"); err != nil {
					t.Error(err)
				}
			}
		})
		if got := strings.Join(w.scales, "\n"); !strings.HasPrefix(got, x.want) || x.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", x.more, got, x.want)
		}
	}
}
