package kubescheduler_test

import (
	"testing"

	"orrery/sim/policy/kubescheduler"
)

// TestExactFlush: the back-off queue is flushed when its first entry is due, where upstream looks every second. Worlds of
// TestExactRandom are the same either way; both plays of that test flush alike, so that it would not tell.
func TestExactFlush(t *testing.T) {
	worlds, first := number(t, "ORRERY_EXACT_SEEDS", 60), number(t, "ORRERY_EXACT_FIRST", 0)
	backedOff := 0
	for seed := first; seed < first+worlds; seed++ {
		w := drawWorld(stream(uint64(seed)))
		due, err := w.play(false)
		if err != nil {
			t.Fatal(err)
		}
		w.plant = func(s *kubescheduler.Scheduler) { s.FlushEveryWindow() }
		difference := ""
		for range 1 + retries { // what upstream leaves to Go comes out one way or another
			always, err := w.play(false)
			if err != nil {
				t.Fatal(err)
			}
			backedOff += always.counts["attempts again"]
			if difference = firstDifference(always.lines, due.lines); difference == "" {
				break
			}
		}
		if difference != "" {
			t.Errorf("seed %d, where upstream's is to flush every second: %s\n%s", seed, difference, w)
		}
	}
	if backedOff < 50*worlds {
		t.Errorf("pods were tried again %d times: the worlds show too little", backedOff)
	}
}
