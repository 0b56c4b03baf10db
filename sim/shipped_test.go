package sim_test

import (
	"testing"
)

// TestShippedPairs plays shipped scenarios that answer a question together: each meets its expectations, both have the
// same jobs, and the difference is what their descriptions say.
func TestShippedPairs(t *testing.T) {
	for name, tc := range map[string]struct {
		a, b string
		sets []string
		// better says what b has over a.
		better func(a, b played) bool
	}{
		"topology": {"topology-off", "topology-on", nil, func(a, b played) bool {
			return b.data.Summary.GPU.CapacityHours < 0.9*a.data.Summary.GPU.CapacityHours &&
				a.data.Summary.Speed.SharingHours > 1000 && b.data.Summary.Speed.SharingHours == 0
		}},
		"train": {"train-h100", "train-gb200", nil, func(a, b played) bool {
			return b.data.Summary.Speed.GainedHours > 0 && a.data.Summary.Speed.GainedHours == 0 &&
				b.data.Summary.GPU.CapacityHours < a.data.Summary.GPU.CapacityHours
		}},
		"mig": {"share-whole", "share-mig", nil, func(a, b played) bool {
			return b.data.Summary.QueueWait.P50 < a.data.Summary.QueueWait.P50/4 && len(b.data.Summary.MIG.Profiles) == 3
		}},
		"share": {"share-whole", "share-timeslicing", nil, func(a, b played) bool {
			return b.data.Summary.QueueWait.P50 < a.data.Summary.QueueWait.P50/4 &&
				a.data.Summary.Speed == nil && b.data.Summary.Speed.SharingHours > 0
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := play(t, tc.a, tc.sets...), play(t, tc.b, tc.sets...)
			for _, p := range []played{a, b} {
				for _, e := range p.data.Summary.Expectations {
					if !e.Met {
						t.Errorf("%s: %s is %v, outside its bounds", p.data.Summary.Scenario, e.Path, e.Value)
					}
				}
			}
			if x, y := a.data.Summary.Jobs.Submitted, b.data.Summary.Jobs.Submitted; x != y {
				t.Errorf("%s has %d jobs, %s %d", tc.a, x, tc.b, y)
			}
			if !tc.better(a, b) {
				t.Errorf("%s is no better than %s", tc.b, tc.a)
			}
		})
	}
}

// TestHeterogeneous: jobs that accept several kinds of GPUs land on all of them, and wait less than when they insist on
// the first.
func TestHeterogeneous(t *testing.T) {
	any, first := play(t, "heterogeneous"), play(t, "heterogeneous",
		"trace.generate.gpu_models=[{any_of: [H100], share: 0.6}, {any_of: [H100], share: 0.2}, "+
			"{any_of: [MI300X], share: 0.1}, {any_of: [Gaudi3], share: 0.1}]")
	for _, e := range any.data.Summary.Expectations {
		if !e.Met {
			t.Errorf("%s is %v, outside its bounds", e.Path, e.Value)
		}
	}
	if a, b := any.data.Summary.QueueWait.Mean, first.data.Summary.QueueWait.Mean; a > b/2 {
		t.Errorf("mean wait %v s with a choice, %v s without", a, b)
	}
	for _, p := range any.data.Pools {
		if p.UsedHours == 0 {
			t.Errorf("nobody used the pool %s", p.Name)
		}
	}
}
