package sim_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"orrery/sim"
	"orrery/sim/account"
	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/policy/cloud"
	"orrery/sim/units"
)

// exactly is a span that is always the same.
func exactly(d time.Duration) plan.Spread { return plan.Spread{Low: d, Mode: d, High: d} }

// elasticPlan is a cluster of one pool that begins without nodes: machines of gpus GPUs that need 30 s to be allocated,
// 60 s to boot, 120 s for the driver and 30 s for the device plugin, and 20 s to terminate.
func elasticPlan(gpus int) *plan.Plan {
	pool := plan.Pool{Name: "gpu", CPUMilli: 64_000, MemoryMiB: 512 << 10, MaxPods: 110, GPUsPerNode: gpus,
		Labels: map[string]string{"nvidia.com/gpu.present": "true", "kubernetes.io/arch": "amd64"},
		Price:  plan.Price{Known: true, PerGPUHour: 2_000_000},
		Elastic: &plan.Elastic{By: plan.ByKarpenter, InstanceType: "g8", CapacityType: plan.CapacityOnDemand,
			Zones: []string{"a", "b"}, Min: 0, Max: 10, Stock: -1,
			Boot: plan.Boot{Allocate: exactly(30 * time.Second), Boot: exactly(time.Minute),
				Driver: exactly(2 * time.Minute), Devices: exactly(30 * time.Second), Terminate: exactly(20 * time.Second)}}}
	if gpus > 0 {
		pool.GPUModel, pool.Resource, pool.SlotsPerGPU = "h100", "nvidia.com/gpu", 1
	}
	return &plan.Plan{Name: "elastic", Title: "elastic", Seed: 1, Epoch: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
		Pools: []plan.Pool{pool}, Pods: plan.Pods{Restart: plan.RestartAlways}}
}

// asks is a job of one pod of so many GPUs.
func asks(name string, at units.Time, run time.Duration, gpus int) plan.Job {
	j := customer(0, at, run)
	j.Name, j.Pods[0].Slots, j.Pods[0].GPUs = name, gpus, units.MilliGPU(gpus)*units.GPU
	if gpus == 0 {
		j.Pods[0].Resource = ""
	}
	return j
}

// act runs a plan with hands in it.
func act(t testing.TB, p *plan.Plan, jobs []plan.Job, built func(sim.Hands)) played {
	t.Helper()
	var buf bytes.Buffer
	w, fold, keep := journal.NewWriter(&buf), account.New(account.Options{}), new(tape)
	params := sim.Params{Plan: p, Jobs: &jobList{jobs: jobs}, Sink: journal.Multi{w, fold, keep}}
	out, err := sim.Run(params.Built(built))
	if err != nil {
		t.Fatal(err)
	}
	data, err := fold.Finish(out.End)
	if err != nil {
		t.Fatalf("the account does not balance: %v", err)
	}
	if _, _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return played{data: data, records: keep.records, file: buf.Bytes()}
}

// machineLines prints what became of machines, nodes and pods.
func machineLines(records []journal.Record) string {
	var b strings.Builder
	say := func(r journal.Record, format string, args ...any) {
		fmt.Fprintf(&b, "%s %s\n", r.At, fmt.Sprintf(format, args...))
	}
	for _, r := range records {
		switch x := r.Body.(type) {
		case journal.Machine:
			say(r, "machine %s %s took=%s %s", x.Node, x.State, x.Took, strings.TrimSpace(x.By+" "+x.Reason))
		case journal.Node:
			say(r, "node %s %s gpus=%d", x.Node, x.State, x.GPUs)
		case journal.PodBind:
			say(r, "bind %s %s", x.Pod, x.Node)
		case journal.PodTerminate:
			say(r, "terminate %s %s", x.Pod, x.Reason)
		case journal.JobRestart:
			say(r, "restart %s %s lost=%s", x.Pod, x.Reason, x.Lost)
		case journal.JobEnd:
			say(r, "end %s %s", x.Job, x.Outcome)
		}
	}
	return b.String()
}

func order(node string) cloud.Order {
	return cloud.Order{Node: node, InstanceType: "g8", CapacityType: plan.CapacityOnDemand, By: "Test/x", Reason: "test",
		Labels: map[string]string{"team": "x"}, Annotations: map[string]string{"note": "y"}}
}

func golden(t testing.TB, got, want string) {
	t.Helper()
	if got = strings.TrimSpace(got); got != strings.TrimSpace(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, strings.TrimSpace(want))
	}
}

// TestMachineLife follows one machine from its order until it is gone, and its bill.
func TestMachineLife(t *testing.T) {
	p := elasticPlan(8)
	p.Pods.CheckpointInterval = 10 * time.Minute
	jobs := []plan.Job{asks("early", 0, 5*time.Minute, 8), asks("late", units.Time(25*time.Minute), time.Hour, 1)}
	jobs[1].Outcome = journal.Succeeded
	var seen []string
	built := func(h sim.Hands) {
		cl := h.Cloud(plan.ByKarpenter)
		var id string
		h.Engine.At(units.Time(10*time.Second), engine.PhaseObserve, "order", func() {
			m, err := cl.Order(order("n1"))
			if err != nil {
				t.Error(err)
			}
			id = m.ID
			if _, err := cl.Order(order("n1")); err == nil {
				t.Error("a name was given twice")
			}
			if m.State != cloud.Pending || m.Zone != "a" || m.Pool != "gpu" {
				t.Errorf("ordered %+v", m)
			}
		})
		look := func(at time.Duration) {
			h.Engine.At(units.Time(at), engine.PhaseSample, "look", func() {
				obj, err := h.Store.Get(corev1.SchemeGroupVersion.WithResource("nodes"), "", "n1")
				if err != nil {
					seen = append(seen, fmt.Sprintf("%s none", at))
					return
				}
				n := obj.(*corev1.Node)
				gpus := n.Status.Allocatable["nvidia.com/gpu"]
				seen = append(seen, fmt.Sprintf("%s %s %s %s%s %s gpus=%d", at, n.Spec.ProviderID, n.Labels["team"],
					n.Annotations["note"], n.Labels["nvidia.com/gpu.present"], n.Labels[corev1.LabelTopologyZone], gpus.Value()))
			})
		}
		look(99 * time.Second)
		look(100 * time.Second)
		look(249 * time.Second)
		look(250 * time.Second)
		look(30*time.Minute + time.Second)
		h.Engine.At(units.Time(30*time.Minute), engine.PhaseObserve, "terminate", func() {
			if err := cl.Terminate(id, "enough"); err != nil {
				t.Error(err)
			}
			if err := cl.Terminate("x", ""); err == nil {
				t.Error("an unknown machine was terminated")
			}
			if err := h.Check(); err != nil {
				t.Error(err)
			}
			if len(cl.Machines()) != 1 || cl.Machines()[0].State != cloud.Terminating {
				t.Errorf("machines: %+v", cl.Machines())
			}
		})
		h.Engine.At(units.Time(40*time.Minute), engine.PhaseObserve, "end", func() {
			if len(cl.Machines()) != 0 {
				t.Errorf("machines: %+v", cl.Machines())
			}
		})
	}
	got := repeats(t, []int{1, 2, 8}, func() played { seen = nil; return act(t, p, jobs, built) })
	golden(t, strings.Join(seen, "\n"), `
1m39s none
1m40s orrery:///a/i-00000001 x y a gpus=0
4m9s orrery:///a/i-00000001 x y a gpus=0
4m10s orrery:///a/i-00000001 x ytrue a gpus=8
30m1s none`)
	golden(t, machineLines(got.records), `
10s machine n1 ordered took=0s Test/x test
40s machine n1 launched took=30s Test/x
40s node n1 down gpus=8
1m40s machine n1 registered took=1m0s Test/x
3m40s machine n1 driver took=2m0s Test/x
4m10s machine n1 ready took=30s Test/x
4m10s node n1 up gpus=8
4m10s bind default/early-0 n1
9m14.281689s end early succeeded
25m0s bind default/late-0 n1
30m0s restart default/late-0 node lost=4m57.266359s
30m0s machine n1 terminating took=25m50s Test/x enough
30m0s node n1 down gpus=8
30m20s machine n1 gone took=20s Test/x
30m20s node n1 removed gpus=8`)
	pool := got.data.Pools[0]
	for _, x := range []struct {
		what      string
		got, want float64 // GPU·hours
	}{
		{"capacity", pool.CapacityHours, 8 * (30*60 + 20 - 40) / 3600.},
		{"down", pool.DownHours, 8 * (210 + 20) / 3600.},
		{"nodes", pool.NodeHours, (30*60 + 20 - 40) / 3600.},
	} {
		if math.Abs(x.got-x.want) > 1e-9 {
			t.Errorf("%s: %v hours, want %v", x.what, x.got, x.want)
		}
	}
}

// TestStock orders more machines than there are, and some in a stock-out.
func TestStock(t *testing.T) {
	p := elasticPlan(1)
	e := p.Pools[0].Elastic
	e.Stock = 2
	e.StockOuts = []plan.Span{{From: units.Time(time.Minute), To: units.Time(2 * time.Minute)}}
	var got []string
	act(t, p, nil, func(h sim.Hands) {
		cl := h.Cloud(plan.ByKarpenter)
		if len(h.Cloud(plan.ByClusterAutoscaler).Types()) != 0 {
			t.Error("another's pools are on offer")
		}
		ids := map[string]string{}
		try := func(at time.Duration, name, zone string) {
			h.Engine.At(units.Time(at), engine.PhaseObserve, "order", func() {
				o := order(name)
				o.Zone = zone
				m, err := cl.Order(o)
				var no *cloud.NoCapacity
				switch {
				case errors.As(err, &no):
					got = append(got, name+": "+no.Error())
				case err != nil:
					got = append(got, name+": "+err.Error())
				default:
					got = append(got, name+" in "+m.Zone)
					ids[name] = m.ID
				}
				got = append(got, fmt.Sprintf("available: %t", cl.Types()[0].Offerings[0].Available))
			})
		}
		try(0, "n0", "c")
		try(time.Second, "n1", "")
		try(time.Minute, "n2", "")
		try(2*time.Minute, "n3", "")
		try(3*time.Minute, "n4", "a")
		h.Engine.At(units.Time(4*time.Minute), engine.PhaseObserve, "terminate", func() {
			if err := cl.Terminate(ids["n1"], ""); err != nil {
				t.Error(err)
			}
		})
		try(4*time.Minute+time.Second, "n5", "")
		try(4*time.Minute+20*time.Second, "n6", "a")
		h.Engine.At(units.Time(4*time.Minute+25*time.Second), engine.PhaseObserve, "terminate early", func() {
			if err := cl.Terminate(ids["n6"], ""); err != nil { // before its launch: nobody pays
				t.Error(err)
			}
		})
	})
	golden(t, strings.Join(got, "\n"), `
n0: ordering a machine: there is no on-demand g8 in zone "c"
available: true
n1 in a
available: true
n2: InsufficientInstanceCapacity: no on-demand capacity for g8 in a
available: false
n3 in b
available: false
n4: InsufficientInstanceCapacity: no on-demand capacity for g8 in a
available: false
n5: InsufficientInstanceCapacity: no on-demand capacity for g8 in a
available: false
n6 in a
available: false`)
}

// TestInterruption compares spot interruptions with their hazard, and loses a job's pod to one.
func TestInterruption(t *testing.T) {
	p := elasticPlan(1)
	e := p.Pools[0].Elastic
	e.CapacityType, e.InterruptPerHour, e.Notice = plan.CapacitySpot, 0.5, 2*time.Minute
	const n = 400
	for i := range n {
		p.Nodes = append(p.Nodes, plan.Node{Name: fmt.Sprintf("n%d", i)})
	}
	p.Horizon = time.Hour
	told := 0
	got := act(t, p, []plan.Job{asks("long", 0, 50*time.Hour, 1)}, func(h sim.Hands) {
		h.OnInterrupt(func(m cloud.Machine, d units.Duration) {
			told++
			if d != 2*time.Minute || m.CapacityType != plan.CapacitySpot {
				t.Errorf("%+v has %s", m, d)
			}
		})
	})
	interrupted, gone := map[string]units.Time{}, 0
	for _, r := range got.records {
		m, ok := r.Body.(journal.Machine)
		switch {
		case ok && m.State == journal.MachineInterrupted:
			interrupted[m.Node] = r.At
		case ok && m.State == journal.MachineGone:
			if gone++; r.At != interrupted[m.Node].Add(2*time.Minute) {
				t.Errorf("%s was told at %s and is gone at %s", m.Node, interrupted[m.Node], r.At)
			}
		}
	}
	mean, sigma := n*(1-math.Exp(-0.5)), math.Sqrt(n*math.Exp(-0.5)*(1-math.Exp(-0.5)))
	if x := float64(len(interrupted)); math.Abs(x-mean) > 4*sigma || told != len(interrupted) || gone == 0 {
		t.Errorf("%v of %d machines were interrupted in an hour, want %.0f ± %.0f; %d were told", x, n, mean, sigma, told)
	}
	restarts := slices.DeleteFunc(slices.Clone(got.records), func(r journal.Record) bool { return r.Body.Kind() != "job.restart" })
	for _, r := range restarts {
		if x := r.Body.(journal.JobRestart); x.Reason != "node" {
			t.Errorf("lost for the reason %q", x.Reason)
		}
	}
}
