package kubescheduler_test

import (
	"testing"

	"orrery/sim/policy/kubescheduler"
)

// TestExactCatchesStaleEntry plants the defect that the incremental cycle must never have, entries that changes of nodes
// did not reach, and checks that the comparison of TestExactRandom sees it: not in every world, as often another change
// of the same node heals an entry before somebody asks.
func TestExactCatchesStaleEntry(t *testing.T) {
	const worlds, least = 40, 4
	caught := 0
	for seed := range uint64(worlds) {
		w := drawWorld(stream(seed))
		want, err := w.play(true)
		if err != nil {
			t.Fatal(err)
		}
		w.plant = func(s *kubescheduler.Scheduler) { s.Overlook(3) }
		got, err := w.play(false)
		if err != nil {
			t.Fatal(err)
		}
		if firstDifference(want.lines, got.lines) != "" {
			caught++
		}
	}
	t.Logf("caught in %d of %d worlds", caught, worlds)
	if caught < least {
		t.Errorf("a stale entry shows in %d of %d worlds only", caught, worlds)
	}
}
