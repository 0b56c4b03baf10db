package sim_test

import (
	"strings"
	"testing"

	"orrery/sim"
	"orrery/sim/plan"
)

// TestCards: every card is whole and has a name of its own.
func TestCards(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range sim.Cards() {
		if missing := c.Missing(); len(missing) > 0 || seen[c.Name] {
			t.Errorf("card %s lacks %v, or is there twice", c.Name, missing)
		}
		seen[c.Name] = true
	}
	if len(seen) < 12 {
		t.Errorf("%d cards", len(seen))
	}
}

// TestCardsOfRuns: the summary of a run has the cards of the models behind it, those of controllers among them.
func TestCardsOfRuns(t *testing.T) {
	for _, tc := range []struct {
		plan plan.Plan
		want string
	}{
		{plan.Plan{}, ""},
		{plan.Plan{Services: make([]plan.Service, 1)}, "requests startup"},
		{plan.Plan{Services: []plan.Service{{Engine: plan.Engine{Model: &plan.Model{}}}}}, "engines requests serving startup"},
		{plan.Plan{Autoscalers: plan.Autoscalers{ClusterAutoscaler: &plan.ClusterAutoscaler{}},
			Pools: []plan.Pool{{Elastic: &plan.Elastic{}}}}, "cluster-autoscaler startup"},
		{plan.Plan{Manifests: []plan.File{{Data: []byte("kind: ScaledObject\n")}}}, "keda"},
		{plan.Plan{Manifests: []plan.File{{Data: []byte("kind: HorizontalPodAutoscaler\nspec:\n  metrics:\n  - type: Resource\n")}}},
			"usage"},
		{plan.Plan{Manifests: []plan.File{{Data: []byte("kind: HorizontalPodAutoscaler\nspec:\n  metrics:\n  - type: Pods\n")}}},
			""},
		{plan.Plan{Metrics: plan.Metrics{External: []plan.ExternalMetric{{Query: "avg(DCGM_FI_DEV_GPU_UTIL)"}}}}, "usage"},
	} {
		var got []string
		for _, m := range sim.ModelCards(&tc.plan) {
			got = append(got, m.Name)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("cards %v, want %s", got, tc.want)
		}
	}
}
