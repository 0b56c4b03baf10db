package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"orrery/sim"
	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/units"
)

// TestServiceOverNodes: replicas of two pods each, of a LeaderWorkerSet that upstream's controllers keep, answer the
// requests.
func TestServiceOverNodes(t *testing.T) {
	text := strings.NewReplacer("FILE", requestFile(t, 100, 0.5), "nodes: 1}", "nodes: 4}", "replicas: {count: 2,",
		"replicas: {count: 2, kind: LeaderWorkerSet, podsPerReplica: 2, tensor: 8, pipeline: 2,").Replace(chatScenario)
	first := repeats(t, []int{1, 2, 8}, func() played { return play(t, text) })
	s := first.data.Summary.Serving.Services["chat"]
	if s.Requests.Completed != 100 {
		t.Errorf("%d of %d requests completed", s.Requests.Completed, s.Requests.Arrived)
	}
	states, pods := map[string]int{}, 0
	for _, r := range first.records {
		switch b := r.Body.(type) {
		case journal.Replica:
			states[b.State]++
		case journal.PodStart:
			pods++
		case journal.Warn:
			if strings.HasPrefix(b.Code, "upstream") {
				t.Error(b)
			}
		}
	}
	if states[journal.ReplicaReady] != 2 || pods != 4 {
		t.Errorf("states of replicas: %v; %d pods started", states, pods)
	}
}

// TestGroupComesAgain: a group whose leader or worker is lost serves no more, and does again when upstream's controllers
// have made it anew, under the same names.
func TestGroupComesAgain(t *testing.T) {
	text := strings.NewReplacer("FILE", requestFile(t, 100, 10), "nodes: 1}", "nodes: 2}", "replicas: {count: 2,",
		"replicas: {count: 1, kind: LeaderWorkerSet, podsPerReplica: 2, tensor: 8, pipeline: 2,").Replace(chatScenario)
	for _, lost := range []string{"chat-0", "chat-0-1"} {
		t.Run(lost, func(t *testing.T) {
			got, err := tryWith(func(p *sim.Params) {
				*p = p.Built(func(h sim.Hands) {
					h.Engine.At(units.Time(5*time.Minute), engine.PhaseFault, "lose "+lost, func() {
						if err := h.Store.Delete(corev1.SchemeGroupVersion.WithResource("pods"), "default", lost,
							metav1.NewDeleteOptions(0)); err != nil {
							t.Error(err)
						}
					})
				})
			}, text)
			if err != nil {
				t.Fatal(err)
			}
			var states []string
			for _, r := range got.records {
				if b, ok := r.Body.(journal.Replica); ok && (len(states) == 0 || states[len(states)-1] != b.State) {
					states = append(states, b.State)
				}
			}
			n := len(states)
			if n < 5 || !slices.Equal(states[:3], []string{journal.ReplicaStarting, journal.ReplicaReady, journal.ReplicaGone}) ||
				!slices.Equal(states[n-2:], []string{journal.ReplicaStarting, journal.ReplicaReady}) {
				t.Error(states)
			}
			if r := got.data.Summary.Serving.Services["chat"].Requests; r.Completed < 90 {
				t.Errorf("%d of %d requests completed", r.Completed, r.Arrived)
			}
		})
	}
}

// TestReplicaNeverBound: the journal tells the end of a replica whose pod no node ever had.
func TestReplicaNeverBound(t *testing.T) {
	text := strings.NewReplacer("FILE", requestFile(t, 10, 10), "replicas: {count: 2,",
		"replicas: {count: 2, tensor: 8,").Replace(chatScenario)
	got, err := tryWith(func(p *sim.Params) {
		*p = p.Built(func(h sim.Hands) {
			h.Engine.At(units.Time(2*time.Minute), engine.PhaseFault, "scale down", func() {
				s, err := h.Store.Scales(nil).Scales("default").Get(t.Context(), deployments, "chat", metav1.GetOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				s.Spec.Replicas = 1
				if _, err := h.Store.Scales(nil).Scales("default").Update(t.Context(), deployments, s,
					metav1.UpdateOptions{}); err != nil {
					t.Error(err)
				}
			})
		})
	}, text)
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]int{}
	for _, r := range got.records {
		if b, ok := r.Body.(journal.Replica); ok {
			states[b.State]++
		}
	}
	if got, want := fmt.Sprint(states), "map[gone:1 ready:1 starting:2]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// deployments are those of the API.
var deployments = schema.GroupResource{Group: "apps", Resource: "deployments"}
