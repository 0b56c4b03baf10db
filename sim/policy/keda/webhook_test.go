package keda_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"orrery/sim/kube"
	"orrery/sim/policy/keda"
)

const (
	clock = "  triggers: [{type: cron, metadata: {timezone: UTC, start: 0 6 * * *, end: 0 20 * * *, desiredReplicas: \"3\"}}]\n"

	autoscaler = `---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: old%s}
spec: {maxReplicas: 2, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: app}}
`
	usage = "  minReplicaCount: 1\n  triggers: [{type: cpu, metricType: Utilization, metadata: {value: \"60\"}}]\n"
)

// TestWebhook: what a ScaledObject collides with is refused in upstream's words, once for each.
func TestWebhook(t *testing.T) {
	annotated := func(text string) string { return strings.Replace(autoscaler, "%s", text, 1) }
	transfer := strings.Replace(scaled("  advanced: {horizontalPodAutoscalerConfig: {name: NAME}}\n"+clock), "{name: app}",
		"{name: app, annotations: {scaledobject.keda.sh/transfer-hpa-ownership: \"true\"}}", 1)
	second := strings.Replace(scaled(clock), "{name: app}", "{name: second}", 1)
	for _, x := range []struct{ name, manifests, want string }{
		{"alone", app(1) + scaled(clock), ""},
		{"two of one target", app(1) + scaled(clock) + "---\n" + second,
			"the workload 'app' of type 'apps/v1.Deployment' is already managed by the ScaledObject 'app': write the triggers"},
		{"another kind of target", app(1) + scaled(clock) + "---\n" +
			strings.Replace(second, "scaleTargetRef: {", "scaleTargetRef: {kind: StatefulSet, ", 1), ""},
		{"an autoscaler of the target", app(1) + scaled(clock) + annotated(""),
			"the workload 'app' of type 'apps/v1.Deployment' is already managed by the hpa 'old': remove the Horizontal"},
		{"its name in the way", app(1) + scaled(clock) + "---\n" + strings.Replace(strings.Replace(second,
			"scaleTargetRef: {name: app}", "scaleTargetRef: {name: other}", 1), "spec:\n",
			"spec:\n  advanced: {horizontalPodAutoscalerConfig: {name: keda-hpa-app}}\n", 1),
			"the HPA 'keda-hpa-app' is already managed by another ScaledObject"},
		{"one that says it may", app(1) + scaled(clock) +
			annotated(", annotations: {validations.keda.sh/hpa-ownership: \"false\"}"), ""},
		{"handed over", app(1) + strings.Replace(transfer, "NAME", "old", 1) + annotated(""), ""},
		{"handed over by another name", app(1) + strings.Replace(transfer, "NAME", "new", 1) + annotated(""),
			"the existing hpa 'old' for workload 'app' of type 'apps/v1.Deployment' must be specified by name"},
		{"no request", strings.Replace(app(1), "{cpu: 1, ", "{", 1) + scaled(usage),
			"the scaledobject has a cpu trigger but the container c doesn't have the cpu request defined: set the request"},
		{"a request by default", strings.Replace(app(1), "{cpu: 1, ", "{", 1) + scaled(usage) + `---
apiVersion: v1
kind: LimitRange
metadata: {name: d}
spec: {limits: [{type: Container, defaultRequest: {cpu: 1}}]}
`, ""},
		{"a target that is still to be made", scaled(usage), ""},
		{"a kind that nobody serves", strings.Replace(scaled(clock), "scaleTargetRef: {",
			"scaleTargetRef: {apiVersion: v1, kind: Thing, ", 1), `no matches for kind "Thing"`},
	} {
		t.Run(x.name, func(t *testing.T) {
			warnings, err := review(t, x.manifests)
			if text := text(err); x.want == "" && text != "" || !strings.Contains(text, x.want) ||
				strings.Count(text, "\n") > 0 || len(warnings) > 0 {
				t.Errorf("%q, warnings %q, want %q", text, warnings, x.want)
			}
		})
	}
}

// TestWebhookWarns: periods that mean nothing are pointed at.
func TestWebhookWarns(t *testing.T) {
	warnings, err := review(t, app(1)+scaled("  minReplicaCount: 1\n  pollingInterval: 5\n  cooldownPeriod: 60\n"+clock))
	if err != nil || len(warnings) != 2 || !strings.HasPrefix(warnings[0], "CooldownPeriod is configured but is not rele") ||
		!strings.HasPrefix(warnings[1], "PollingInterval is configured but is not relevant") {
		t.Error(warnings, err)
	}
}

// review reviews all that manifests hold.
func review(t *testing.T, manifests string) (warnings []string, err error) {
	t.Helper()
	objects, err := kube.DecodeManifests("test", []byte(manifests), keda.Scheme())
	if err != nil {
		t.Fatal(err)
	}
	store, err := kube.New(kube.Options{Now: func() time.Time { return epoch }, Schemes: []*runtime.Scheme{keda.Scheme()},
		ClusterScoped: keda.ClusterScoped()})
	if err != nil {
		t.Fatal(err)
	}
	hook, err := keda.NewWebhook(store)
	if err != nil {
		t.Fatal(err)
	}
	var errs []error
	for _, obj := range objects {
		obj.(metav1.Object).SetNamespace("default")
		if err := errors.Join(keda.Check(obj)...); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Create(obj); err != nil {
			t.Fatal(err)
		}
	}
	for _, obj := range objects {
		said, refused := hook.Review(obj)
		warnings, errs = append(warnings, said...), append(errs, refused...)
	}
	return warnings, errors.Join(errs...)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
