package sim_test

import (
	"strings"
	"testing"

	"orrery/sim/journal"
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
