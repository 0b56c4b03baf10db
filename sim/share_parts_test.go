package sim

import (
	"testing"

	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// TestShrinkShares: a pod that has done its work leaves its part of a GPU to the others, while its team goes on on
// another GPU.
func TestShrinkShares(t *testing.T) {
	pool := &plan.Pool{GPUsPerNode: 2, SlotsPerGPU: 2, Sharing: plan.SharingTimeSlicing}
	s := shares{map[partKey]*part{}}
	join := func(pods map[string]int) *client { // pod → GPU
		c := &client{demand: 1e6}
		for _, pod := range []string{"a", "b", "c"} {
			if gpu, ok := pods[pod]; ok {
				s.add(c, pod, "n0", pool, journal.Slot{Index: gpu, Share: units.GPU / 2})
			}
		}
		s.begin(c)
		return c
	}
	team, other := join(map[string]int{"a": 0, "b": 1}), join(map[string]int{"c": 0})
	half := other.speed
	if team.speed != half || half > 500_000 || half < 400_000 {
		t.Fatalf("two on one GPU: %d and %d", team.speed, half)
	}
	changed := s.shrink(team, "a")
	if len(changed) != 2 || team.speed != 1e6 || other.speed != 1e6 {
		t.Errorf("without a: %d of 2 changed, to %d and %d", len(changed), team.speed, other.speed)
	}
	if changed = s.shrink(team, "b"); len(changed) != 0 {
		t.Errorf("a pod alone on its GPU: %d changed", len(changed))
	}
	s.end(team)
	if s.end(other); len(s.parts) != 0 {
		t.Errorf("%d parts left", len(s.parts))
	}
}
