package sim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// leaves is four nodes of eight GPUs below two leaves, whose uplinks carry a quarter of what their nodes could send.
func leaves() *plan.Plan {
	gpu := &plan.Accelerator{GPU: "h100-sxm", Family: "hopper", MemoryMiB: 81559, MemoryGBs: 3350, Half: 794, FP8: 1403,
		LinkKind: "nvlink", LinkGBs: 450, LinkGPUs: 8, PCIeGBs: 63, NICGBs: 50, PerNode: 8}
	p := &plan.Plan{Name: "leaves", Title: "leaves", Seed: 1, Epoch: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
		Pools: []plan.Pool{{Name: "a", CPUMilli: 96000, MemoryMiB: 1 << 20, MaxPods: 110, GPUModel: "h100-sxm",
			GPUsPerNode: 8, Resource: "nvidia.com/gpu", Sharing: plan.SharingNone, SlotsPerGPU: 1, Accelerator: gpu,
			Links: plan.Links{Kind: plan.LinkNVLink, GBs: 450, Domain: 8, PCIeGBs: 63, NICs: 8, NICGBs: 50}}},
		Pods: plan.Pods{Restart: plan.RestartAlways}, Pricing: plan.Pricing{Basis: "on-demand", PUE: 1, USDPerKWh: 0.1},
		Topology: &plan.Topology{Layers: []plan.Layer{{Name: "spine", Kind: plan.LayerSpine},
			{Name: "leaf", Kind: plan.LayerLeaf}, {Name: "node", Kind: plan.LayerNode}}}}
	p.Topology.Domains = []plan.Domain{{Layer: 0, Name: "s0", Places: 4, Rails: 1}}
	for i := range 2 {
		p.Topology.Domains = append(p.Topology.Domains, plan.Domain{Layer: 1, Name: fmt.Sprintf("l%d", i), Places: 2,
			UplinkGBs: 2 * 8 * 50 / 4, Oversubscription: 4, Rails: 8, HopNs: 130})
	}
	for i := range 4 {
		name := fmt.Sprintf("n%d", i)
		p.Nodes = append(p.Nodes, plan.Node{Name: name, Domains: []string{"s0", fmt.Sprintf("l%d", i/2), name}})
	}
	return p
}

// trainer is a job of two nodes that communicates much.
func trainer(name string, at, run time.Duration, nodes ...string) plan.Job {
	j := plan.Job{Name: name, ID: name, Namespace: "default", Submit: units.Time(at), Run: run, Outcome: "succeeded",
		SchedulerName: "default-scheduler", Require: []plan.Requirement{{Key: "kubernetes.io/hostname", Values: nodes}},
		Training: &plan.Training{Name: "high", Ranks: plan.RanksTopology,
			Intensity: &plan.Intensity{Share: 0.4, MessageBytes: 1 << 30}}}
	for range nodes {
		j.Pods = append(j.Pods, plan.Pod{CPUMilli: 1000, MemoryMiB: 1024, Resource: "nvidia.com/gpu", Slots: 8,
			GPUs: 8 * units.GPU})
	}
	return j
}

// TestPace: a job below one leaf goes at full speed; one across leaves is slower; and two across them share the uplinks,
// as long as both are there. What a job is slower by, it runs longer by.
func TestPace(t *testing.T) {
	jobs := []plan.Job{
		trainer("a-within", 0, time.Hour, "n0", "n1"),
		trainer("b-across", 2*time.Hour, 4*time.Hour, "n0", "n2"),
		trainer("c-across", 3*time.Hour, 10*time.Minute, "n1", "n3"),
	}
	got := run(t, leaves(), jobs)
	speeds, ends, starts := map[string][]journal.JobSpeed{}, map[string]units.Time{}, map[string]units.Time{}
	for _, r := range got.records {
		switch b := r.Body.(type) {
		case journal.JobSpeed:
			if b.Speed != b.Hardware*b.Placement/1e6*b.Sharing/1e6 {
				t.Errorf("%s: speed %d is not the product of %d, %d and %d", b.Job, b.Speed, b.Hardware, b.Placement, b.Sharing)
			}
			speeds[b.Job] = append(speeds[b.Job], b)
		case journal.JobStart:
			starts[b.Job] = r.At
		case journal.JobEnd:
			ends[b.Job] = r.At
		}
	}
	a, b, c := speeds["a-within"], speeds["b-across"], speeds["c-across"]
	if len(a) != 1 || a[0].Speed != 1e6 || a[0].Layer != "leaf" || fmt.Sprint(a[0].Spans) != "[1 1 2]" {
		t.Errorf("within a leaf: %+v", a)
	}
	if d := ends["a-within"].Sub(starts["a-within"]); d != time.Hour {
		t.Errorf("an hour of work at full speed took %v", d)
	}
	if len(b) != 3 || b[0].Placement >= 1e6 || b[0].Sharing != 1e6 || b[0].Layer != "spine" ||
		fmt.Sprint(b[0].Spans) != "[1 2 2]" {
		t.Fatalf("across leaves: %+v", b)
	}
	if len(c) != 1 || b[1].Sharing >= 1e6 || c[0].Sharing != b[1].Sharing || b[2].Sharing != 1e6 {
		t.Errorf("beside each other: %+v and %+v", b, c)
	}
	// The work of b is its hours before c came, while c was there, and after.
	during := ends["c-across"].Sub(starts["c-across"])
	before := starts["c-across"].Sub(starts["b-across"])
	after := ends["b-across"].Sub(ends["c-across"])
	work := before.Seconds()*float64(b[0].Speed) + during.Seconds()*float64(b[1].Speed) +
		after.Seconds()*float64(b[2].Speed)
	if off := work/1e6 - 4*3600; off < -1e-5 || off > 1e-5 {
		t.Errorf("b did %v s more than its work", off)
	}
}

// TestPaceRepeats: speeds are the same at any number of processors.
func TestPaceRepeats(t *testing.T) {
	var jobs []plan.Job
	for i := range 12 {
		jobs = append(jobs, trainer(fmt.Sprintf("j%02d", i), time.Duration(i)*20*time.Minute,
			time.Duration(20+7*i%50)*time.Minute, "n"+fmt.Sprint(i%2), "n"+fmt.Sprint(2+i%2)))
	}
	repeats(t, []int{1, 2, 8}, func() played { return run(t, leaves(), jobs) })
}

// TestOracle: what the scheduler is shown does not depend on how fast work goes. As long as no work ends, a run with
// speeds differs from one without in what it says of speeds only, and no object carries them.
func TestOracle(t *testing.T) {
	jobs := []plan.Job{
		trainer("a", 0, 100*time.Hour, "n0", "n2"),
		trainer("b", time.Minute, 100*time.Hour, "n1", "n3"),
		trainer("c", 2*time.Minute, 100*time.Hour, "n0", "n1"),
	}
	story := func(physics bool) string {
		p := leaves()
		p.Horizon = 2 * time.Hour
		p.JournalAPI = true
		p.Pods.StartTogether = true
		mine := append([]plan.Job(nil), jobs...)
		if !physics {
			p.Pools[0].Accelerator = nil
			for i := range mine {
				mine[i].Training = nil
			}
		}
		var out strings.Builder
		speeds := 0
		for _, r := range run(t, p, mine).records {
			if _, ok := r.Body.(journal.JobSpeed); ok {
				speeds++
				continue
			}
			fmt.Fprintf(&out, "%v %T %+v\n", r.At, r.Body, r.Body)
		}
		if physics != (speeds > 0) {
			t.Errorf("%d records of speed, physics %v", speeds, physics)
		}
		return out.String()
	}
	if with, without := story(true), story(false); with != without {
		t.Errorf("speeds change what happens before any work has ended:\n%s\nwithout:\n%s", with, without)
	}
}
