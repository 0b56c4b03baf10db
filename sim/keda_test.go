package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"orrery/sim/journal"
)

// scaledByClock scales deployed's Deployment to three from the 2nd to the 4th minute of each hour, and to none otherwise.
const scaledByClock = `- name: keda.yaml
  text: |
    apiVersion: keda.sh/v1alpha1
    kind: ScaledObject
    metadata: {name: web}
    spec:
      scaleTargetRef: {name: web}
      cooldownPeriod: 30
      triggers:
      - type: cron
        metadata: {timezone: UTC, start: 2 * * * *, end: 4 * * * *, desiredReplicas: "3"}
`

// TestKEDA: the operator scales between none and one, the autoscaler that it makes beyond that, and the journal says
// which of them it was, in their words.
func TestKEDA(t *testing.T) {
	first := repeats(t, []int{1, 2, 8}, func() played { return play(t, deployed+scaledByClock) })
	var scales, conditions []string
	for _, r := range first.records {
		switch b := r.Body.(type) {
		case journal.Scale:
			scales = append(scales, fmt.Sprintf("%s %d->%d %s: %s", b.Object, b.From, b.To, b.By, b.Reason))
		case journal.Condition:
			if strings.HasPrefix(b.Object, "ScaledObject/") {
				conditions = append(conditions, fmt.Sprintf("%s %s", b.Type, b.Status))
			}
		case journal.Warn:
			if strings.HasPrefix(b.Code, "upstream") {
				t.Error(b)
			}
		}
	}
	const object, operator = "Deployment/default/web ", "ScaledObject/default/web: KEDAScaleTarget"
	if got, want := strings.Join(scales, "\n"), strings.Join([]string{
		object + "5->0 " + operator + "Deactivated: Deactivated apps/v1.Deployment default/web from 5 to 0",
		object + "0->1 " + operator + "Activated: Scaled apps/v1.Deployment default/web from 0 to 1, triggered by " +
			"s0-cron-UTC-2xxxx-4xxxx",
		object + "1->3 HorizontalPodAutoscaler/default/keda-hpa-web: external metric s0-cron-UTC-2xxxx-4xxxx" +
			"(&LabelSelector{MatchLabels:map[string]string{scaledobject.keda.sh/name: web,}," +
			"MatchExpressions:[]LabelSelectorRequirement{},}) above target",
		object + "3->0 " + operator + "Deactivated: Deactivated apps/v1.Deployment default/web from 3 to 0"}, "\n"); got != want {
		t.Errorf("changes:\n%s\nwant\n%s", got, want)
	}
	if got, want := strings.Join(conditions, ", "), "Ready True, Active Unknown, Fallback False, Paused False, Active False, "+
		"HPAActive True, Active True, HPAActive True, Active False, HPAActive True"; got != want {
		t.Errorf("conditions: %s, want %s", got, want)
	}
}

// TestUnsaidReason: an autoscaler that goes back to what it wanted a while ago gives no reason itself.
func TestUnsaidReason(t *testing.T) {
	text := deployed + scaledByClock + `      - type: cron
        metadata: {timezone: UTC, start: 6 * * * *, end: 8 * * * *, desiredReplicas: "1"}
`
	var got []string
	for _, r := range play(t, text).records {
		if b, ok := r.Body.(journal.Scale); ok {
			got = append(got, fmt.Sprintf("%d->%d %s", b.From, b.To, b.Reason))
		}
	}
	const want = "1->3 recent recommendations were higher than current one, applying the highest recent recommendation"
	if !slices.Contains(got, want) || slices.ContainsFunc(got, func(s string) bool { return strings.HasSuffix(s, " ") }) {
		t.Errorf("%q, want %s", got, want)
	}
}

// TestKEDARefused: what is wrong with a ScaledObject is said with its place before the run begins.
func TestKEDARefused(t *testing.T) {
	_, err := try(strings.NewReplacer("type: cron", "type: kafka", "cooldownPeriod: 30", "cooldownPeriod: -1").
		Replace(deployed + scaledByClock))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"keda.yaml:3: spec.cooldownPeriod is -1", `keda.yaml:3: spec.triggers[0]: type "kafka" is`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: lacks %q", err, want)
		}
	}
}

// TestKEDACollides: KEDA's webhook is asked before the run begins, and its warnings are in the journal.
func TestKEDACollides(t *testing.T) {
	_, err := try(deployed + scaledByClock + autoscaler)
	const want = "keda.yaml:3: KEDA's webhook refuses it: the workload 'web' of type 'apps/v1.Deployment' is already managed " +
		"by the hpa 'web'"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	var warned []string
	for _, r := range play(t, deployed+strings.Replace(scaledByClock, "cooldownPeriod: 30", "cooldownPeriod: 30\n      "+
		"minReplicaCount: 1", 1)).records {
		if b, ok := r.Body.(journal.Warn); ok && b.Code == "keda-webhook" {
			warned = append(warned, b.Message)
		}
	}
	if len(warned) != 1 || !strings.HasPrefix(warned[0], "keda.yaml:3: CooldownPeriod is configured but is not relevant") {
		t.Error(warned)
	}
}

// scaledByQueue gives the service chat a replica for every two requests that run.
const scaledByQueue = `manifests:
- name: keda.yaml
  text: |
    apiVersion: keda.sh/v1alpha1
    kind: ScaledObject
    metadata: {name: chat}
    spec:
      scaleTargetRef: {name: chat}
      minReplicaCount: 1
      maxReplicaCount: 4
      triggers:
      - type: prometheus
        metadata: {serverAddress: "http://prometheus", query: 'sum(vllm:num_requests_running{service="chat"})', threshold: "2"}
`

// TestKEDAOnService: a ScaledObject sees what the replicas of a service show, and its autoscaler acts on it.
func TestKEDAOnService(t *testing.T) {
	text := strings.Replace(chatScenario, "FILE", requestFile(t, 4000, 0.05), 1) + scaledByQueue
	first := repeats(t, []int{1, 2, 8}, func() played { return play(t, text) })
	most := int32(0)
	for _, r := range first.records {
		if b, ok := r.Body.(journal.Scale); ok {
			most = max(most, b.To)
		}
	}
	if most != 4 {
		t.Errorf("at most %d replicas, want 4", most)
	}
}
