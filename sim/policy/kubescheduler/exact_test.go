package kubescheduler_test

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
)

// number reads a number from the environment.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestExactRandom plays random worlds with upstream's scheduling cycle and with the incremental one, and compares
// everything: every attempt with its message, every choice of node, every victim, every write of the API, the queue.
// ORRERY_EXACT_SEEDS says how many worlds, ORRERY_EXACT_FIRST which is the first.
func TestExactRandom(t *testing.T) {
	worlds := number(t, "ORRERY_EXACT_SEEDS", 300)
	if testing.Short() {
		worlds = min(worlds, 30)
	}
	first := number(t, "ORRERY_EXACT_FIRST", 0)
	seen, failed := map[string]int{}, 0
	for seed := first; seed < first+worlds && failed < 5; seed++ {
		w := drawWorld(stream(uint64(seed)))
		counts, difference := w.compare(t)
		for what, n := range counts {
			seen[what] += n
		}
		for gate := range w.gates {
			seen["worlds with "+gate+" flipped"]++
		}
		if difference != "" {
			failed++
			t.Errorf("seed %d: %s\n%s\nto see it again: ORRERY_EXACT_FIRST=%d ORRERY_EXACT_SEEDS=1 go test "+
				"./sim/policy/kubescheduler -run TestExactRandom", seed, difference, w, seed)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%8d %s", seen[what], what)
	}
	if worlds >= 300 && failed == 0 {
		enough(t, seen)
	}
	if n := seen[undecided]; n > 1+worlds/100 {
		t.Errorf("%d of %d worlds are undecided by upstream: they show too little", n, worlds)
	}
}

// minimums are how often each thing must have happened in the first 300 worlds: less than half of how often it does.
var minimums = map[string]int{
	"attempts scheduled": 4000, "attempts unschedulable": 25000, "attempts again": 20000, "attempts error": 50,
	"bound": 4000, "terminating": 4000, "searches ended early": 60,
	"preemptors": 80, "preempted": 80, "nominations": 400, "nominations withdrawn": 400,

	"pods of other profiles": 2000, "pods to spread": 300, "pods with affinity to nodes": 1200,
	"pods with affinity to pods": 600, "pods with claims": 80, "pods with host ports": 400, "pods with tolerations": 2000,

	"step arrive": 5000, "step gated": 100, "step nominated": 100, "step static": 100, "step withdraw": 100,
	"step delete": 100, "step finish": 50, "step label": 80, "step tolerate": 40, "step ungate": 40, "step nominate": 50, "step dismiss": 12,
	"step replace": 70, "step resize": 50,

	"step grow": 150, "step shrink": 80, "step renew": 50, "step drain": 80, "step cordon": 90, "step relabel": 130,
	"step taint": 50, "step capacity": 90, "step images": 70, "step annotate": 40,

	"step gang": 30, "step domain": 15, "step member": 150,

	"step budget": 90, "step service": 50, "step namespace": 25, "step deviceclass": 20,

	"worlds with OpportunisticBatching flipped": 30, "worlds with SchedulerAsyncAPICalls flipped": 20,
	"worlds with SchedulerAsyncPreemption flipped": 30, "worlds with SchedulerPopFromBackoffQ flipped": 30,
	"worlds with TopologyAwareWorkloadScheduling flipped": 10, "worlds with PodGroupPreemptionPolicy flipped": 10,
}

// enough checks that the worlds showed something of everything.
func enough(t *testing.T, seen map[string]int) {
	t.Helper()
	for _, what := range slices.Sorted(maps.Keys(minimums)) {
		if seen[what] < minimums[what] {
			t.Errorf("%s: %d times, fewer than %d: the worlds show too little", what, seen[what], minimums[what])
		}
	}
}
