package sim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"orrery/sim"
	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/units"
)

const nodePool = `apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: gpus}
spec:
  template:
    spec:
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: default}
      requirements:
      - {key: karpenter.sh/capacity-type, operator: In, values: [spot, on-demand]}
  disruption:
    consolidateAfter: 5m
    budgets: [{nodes: "100%"}]
`

// karpenterPlan is elasticPlan with machines of 1 and 8 GPUs, on demand and as spot, and Karpenter, which is told so.
func karpenterPlan(manifests ...string) *plan.Plan {
	p := elasticPlan(8)
	p.Pools[0].Price = plan.Price{Known: true, PerGPUHour: 2_000_000}
	small := elasticPlan(1).Pools[0]
	small.Name, small.CPUMilli, small.MemoryMiB, small.Price.PerGPUHour = "gpu1", 8_000, 64<<10, 2_200_000
	e := *small.Elastic
	e.InstanceType = "g1"
	small.Elastic = &e
	p.Pools = append(p.Pools, small)
	for _, o := range p.Pools[:2] {
		e := *o.Elastic
		e.CapacityType, o.Name, o.Price.PerGPUHour, o.Elastic = plan.CapacitySpot, o.Name+"-spot", o.Price.PerGPUHour/4, &e
		p.Pools = append(p.Pools, o)
	}
	for i, text := range manifests {
		p.Manifests = append(p.Manifests, plan.File{Name: fmt.Sprintf("m%d.yaml", i), Data: []byte(text)})
	}
	return p
}

// TestKarpenter: jobs get machines, and the machines go when they have nothing to do.
func TestKarpenter(t *testing.T) {
	p := karpenterPlan(nodePool)
	p.Horizon = 2 * time.Hour
	jobs := []plan.Job{asks("one", 0, 20*time.Minute, 1), asks("eight", units.Time(10*time.Minute), 30*time.Minute, 8)}
	got := repeats(t, []int{1, 2, 8}, func() played { return act(t, p, jobs, func(sim.Hands) {}) })
	var orders, gone, ends, ready, implied int
	var text strings.Builder
	for _, r := range got.records {
		fmt.Fprintf(&text, "%s %s %+v\n", r.At, r.Body.Kind(), r.Body)
		switch x := r.Body.(type) {
		case journal.Machine:
			switch x.State {
			case journal.MachineOrdered:
				orders++
				if !strings.HasSuffix(x.Pool, "-spot") || x.By != "NodePool/gpus" {
					t.Errorf("order %+v", x)
				}
			case journal.MachineTerminating:
				if x.Reason != "Empty" {
					t.Errorf("machine %+v", x)
				}
			case journal.MachineGone:
				gone++
			}
		case journal.JobEnd:
			ends++
		case journal.Condition:
			if x.Object == "NodePool/gpus" && x.Type == "Ready" && x.Status == "True" {
				ready++
			}
		case journal.Warn:
			if x.Code == "node-class-implied" {
				implied++
			} else {
				t.Errorf("warning %+v", x)
			}
		}
	}
	if orders != 2 || gone != 2 || ends != 2 || ready != 1 || implied != 1 {
		t.Errorf("%d orders, %d gone, %d jobs ended, ready %d, implied %d:\n%s", orders, gone, ends, ready, implied,
			text.String())
	}
}

// TestKarpenterInput: mistakes in NodePools are found before the run.
func TestKarpenterInput(t *testing.T) {
	for _, tc := range []struct{ from, to, want string }{
		{"consolidateAfter: 5m", "consolidateAfter: soon", "m0.yaml:11: spec.disruption.consolidateAfter: Invalid value"},
		{"  disruption:", "  disrupt:", `m0.yaml:10: unknown field "spec.disrupt"`},
		{"", "", ""},
	} {
		err := sim.Check(karpenterPlan(strings.Replace(nodePool, tc.from, tc.to, 1)))
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: got %v, want %s", tc.to, err, tc.want)
		}
	}
	p := karpenterPlan(strings.Replace(nodePool, "karpenter.k8s.aws, kind: EC2NodeClass", "example.com, kind: Thing", 1))
	sink := new(tape)
	_, err := sim.Run(sim.Params{Plan: p, Jobs: &jobList{}, Sink: sink})
	if err == nil || !strings.Contains(err.Error(), "node class Thing.example.com") {
		t.Errorf("got %v", err)
	}
	p = karpenterPlan(nodePool)
	p.Autoscalers.Karpenter = &plan.Karpenter{FeatureGates: "Magic=true"}
	if _, err = sim.Run(sim.Params{Plan: p, Jobs: &jobList{}, Sink: sink}); err == nil ||
		!strings.Contains(err.Error(), `no feature gate "Magic"`) {
		t.Errorf("got %v", err)
	}
	p.Autoscalers.Karpenter.FeatureGates = "CapacityBuffer=true"
	if _, err = sim.Run(sim.Params{Plan: p, Jobs: &jobList{}, Sink: sink}); err == nil ||
		!strings.Contains(err.Error(), "CapacityBuffers are not served here") {
		t.Errorf("got %v", err)
	}
}

// TestKarpenterWithoutStock: a run does not wait for machines that the cloud will never have.
func TestKarpenterWithoutStock(t *testing.T) {
	p := karpenterPlan(nodePool)
	for i := range p.Pools {
		p.Pools[i].Elastic.Stock = 0
	}
	got := act(t, p, []plan.Job{asks("one", 0, time.Minute, 1)}, func(sim.Hands) {})
	last, failed := got.records[len(got.records)-1], 0
	for _, r := range got.records {
		if m, ok := r.Body.(journal.Machine); ok && m.State == journal.MachineFailed && m.By == "NodePool/gpus" {
			failed++
		}
	}
	if failed == 0 || last.At > units.Time(time.Hour) {
		t.Errorf("the run ends at %s, after %d refusals", last.At, failed)
	}
}

// TestKarpenterInterruption: what runs on a machine that the cloud takes back runs again on another.
func TestKarpenterInterruption(t *testing.T) {
	p := karpenterPlan(nodePool)
	p.Horizon = 12 * time.Hour
	p.Pods.CheckpointInterval = 10 * time.Minute
	for i := range p.Pools {
		if e := p.Pools[i].Elastic; e.CapacityType == plan.CapacitySpot {
			e.InterruptPerHour, e.Notice = 0.5, 2*time.Minute
		}
	}
	jobs := []plan.Job{asks("long", 0, 6*time.Hour, 8), asks("longer", 0, 8*time.Hour, 1)}
	got := repeats(t, []int{1, 4}, func() played { return act(t, p, jobs, func(sim.Hands) {}) })
	told, replaced, ended := 0, 0, 0
	for _, r := range got.records {
		switch x := r.Body.(type) {
		case journal.Machine:
			if x.State == journal.MachineInterrupted {
				told++
			}
			if x.State == journal.MachineTerminating && x.Reason == "SpotInterrupted" {
				replaced++
			}
		case journal.JobEnd:
			ended++
		}
	}
	if told == 0 || replaced == 0 || replaced > told || ended == 0 {
		t.Errorf("%d interruptions, %d machines given back in time, %d jobs ended:\n%s", told, replaced, ended,
			machineLines(got.records))
	}
}
