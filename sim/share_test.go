package sim_test

import (
	"fmt"
	"testing"
	"time"

	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// TestShare: clients of a time-sliced GPU get what they ask for while it has enough, and equal parts of it otherwise;
// what one is slower by, it runs longer by.
func TestShare(t *testing.T) {
	p := leaves()
	p.Topology, p.Nodes = nil, []plan.Node{{Name: "n0"}}
	pool := &p.Pools[0]
	pool.GPUsPerNode, pool.Sharing, pool.SlotsPerGPU, pool.Accelerator = 1, plan.SharingTimeSlicing, 4, nil
	job := func(name string, at, run time.Duration, demand units.MilliGPU) plan.Job {
		return plan.Job{Name: name, ID: name, Namespace: "default", Submit: units.Time(at), Run: run, Outcome: "succeeded",
			SchedulerName: "default-scheduler", Pods: []plan.Pod{{CPUMilli: 100, MemoryMiB: 100, Resource: pool.Resource,
				Slots: 1, GPUs: 250, Demand: demand}}}
	}
	got := run(t, p, []plan.Job{
		job("light", 0, 10*time.Hour, 100),
		job("heavy", time.Hour, time.Hour, 0),
		job("second", time.Hour+10*time.Minute, 10*time.Minute, 800),
	})
	// A GPU that is sliced loses s = 100/2100 to switches, see sharing.Card. Beside each other, the light one gets its
	// tenth, the others half of the rest.
	const lost = 100.0 / 2100
	rest := (1 - lost - 0.1) / 2
	want := map[string][]float64{"light": {1}, "heavy": {1 - lost - 0.1, rest, 1 - lost - 0.1}, "second": {rest / 0.8}}
	speeds := map[string][]int64{}
	starts, ends := map[string]units.Time{}, map[string]units.Time{}
	for _, r := range got.records {
		switch b := r.Body.(type) {
		case journal.JobSpeed:
			if b.Hardware != 1e6 || b.Placement != 1e6 || b.Sharing != b.Speed {
				t.Errorf("%+v", b)
			}
			speeds[b.Job] = append(speeds[b.Job], b.Speed)
		case journal.JobStart:
			starts[b.Job] = r.At
		case journal.JobEnd:
			ends[b.Job] = r.At
		}
	}
	for name, list := range want {
		if len(speeds[name]) != len(list) {
			t.Errorf("%s: speeds %v, want %v", name, speeds[name], list)
			continue
		}
		for i, f := range list {
			if off := float64(speeds[name][i]) - f*1e6; off < -4 || off > 4 { // rounded down, once for each client
				t.Errorf("%s: speeds %v, want %v", name, speeds[name], list)
			}
		}
	}
	second := ends["second"].Sub(starts["second"]).Seconds() * rest / 0.8
	if off := second - 600; off < -0.01 || off > 0.01 {
		t.Errorf("ten minutes of work at a speed of %v took %v", rest/0.8, ends["second"].Sub(starts["second"]))
	}
	if fmt.Sprint(ends["light"].Sub(starts["light"])) != "10h0m0s" {
		t.Errorf("a job that gets what it asks for took %v", ends["light"].Sub(starts["light"]))
	}
}
