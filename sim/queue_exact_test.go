package sim_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// servers is a plan of n one-GPU nodes with instant stages and no latency: a queueing station.
func servers(n int) *plan.Plan {
	p := &plan.Plan{Name: "station", Title: "station", Seed: 1, Epoch: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
		Pods: plan.Pods{Restart: plan.RestartAlways}, Stages: []plan.File{{Name: "instant.yaml", Data: []byte(instantStages())}},
		Pools: []plan.Pool{{Name: "server", GPUModel: "t4", GPUsPerNode: 1, Resource: "nvidia.com/gpu", SlotsPerGPU: 1,
			CPUMilli: 16000, MemoryMiB: 64 << 10, MaxPods: 110}}}
	for i := range n {
		p.Nodes = append(p.Nodes, plan.Node{Name: fmt.Sprintf("server-%d", i)})
	}
	return p
}

// customer is a job of one GPU.
func customer(i int, at units.Time, run units.Duration) plan.Job {
	return plan.Job{Name: fmt.Sprintf("j%d", i), Namespace: "default", Tenant: fmt.Sprintf("t%d", i%2), Submit: at, Run: run,
		Outcome: "succeeded", SchedulerName: "default-scheduler",
		Pods: []plan.Pod{{CPUMilli: 1000, MemoryMiB: 1024, Resource: "nvidia.com/gpu", Slots: 1, GPUs: units.GPU}}}
}

// firstCome returns the waits of a first-come-first-served station of n servers: the Kiefer–Wolfowitz recursion.
func firstCome(n int, jobs []plan.Job) []float64 {
	free := make([]units.Time, n)
	waits := make([]float64, len(jobs))
	for i, j := range jobs {
		k := 0
		for x := range free {
			if free[x] < free[k] {
				k = x
			}
		}
		start := max(free[k], j.Submit)
		waits[i] = units.Duration(start - j.Submit).Seconds()
		free[k] = start.Add(j.Run)
	}
	return waits
}

// TestEqualService compares the sum of waits with an exact recursion. Jobs are equally long, so whoever of the waiting
// pods the scheduler takes first, the sum is that of first-come-first-served; the scheduler's back-off does not show
// because a freed server wakes pods that back off, too.
func TestEqualService(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{1, 3, 5} {
		var jobs []plan.Job
		at := units.Time(0)
		for i := range 300 {
			at = at.Add(units.FromSeconds(r.ExpFloat64() * 600 / float64(n) / 0.85))
			jobs = append(jobs, customer(i, at, 10*time.Minute))
		}
		want := 0.0
		for _, w := range firstCome(n, jobs) {
			want += w / float64(len(jobs))
		}
		got := run(t, servers(n), jobs).data.Summary.QueueWait.Mean
		if math.Abs(got-want) > 1e-3 || want < 60 {
			t.Errorf("%d servers: mean wait %.6f s, the recursion says %.6f s", n, got, want)
		}
	}
}

// TestTimeScales stretches arrivals and work by a factor: waits stretch by the same factor. Jobs are equally long because
// back-off, which does not stretch, decides who of several waiting pods is next.
func TestTimeScales(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	var one, many []plan.Job
	at := units.Time(0)
	for i := range 150 {
		at = at.Add(units.FromSeconds(r.ExpFloat64() * 200))
		work := 12 * time.Minute
		one = append(one, customer(i, at, work))
		many = append(many, customer(i, at*7, work*7))
	}
	a, b := run(t, servers(4), one).data.Summary, run(t, servers(4), many).data.Summary
	if a.QueueWait.Mean < 10 || math.Abs(b.QueueWait.Mean-7*a.QueueWait.Mean) > 1e-3 {
		t.Errorf("mean waits %.6f and %.6f s: not 7 times as long", a.QueueWait.Mean, b.QueueWait.Mean)
	}
}

// TestNamesDoNotMatter renames tenants: the journal is the same but for their names, and so is every decision.
func TestNamesDoNotMatter(t *testing.T) {
	for seed := range uint64(4) {
		p, jobs := swarm(seed)
		a := run(t, p, jobs)
		renamed := slices.Clone(jobs)
		for i := range renamed {
			renamed[i].Tenant = strings.Replace(renamed[i].Tenant, "t", "q", 1)
		}
		b := run(t, p, renamed)
		for i := range b.records {
			if s, ok := b.records[i].Body.(journal.JobSubmit); ok {
				s.Tenant = strings.Replace(s.Tenant, "q", "t", 1)
				b.records[i].Body = s
			}
		}
		if len(a.records) != len(b.records) || !reflect.DeepEqual(a.records, b.records) {
			t.Errorf("seed %d: %s", seed, difference(a.records, b.records))
		}
	}
}

// TestIdleBudget adds a PodDisruptionBudget that selects nothing: no decision changes.
func TestIdleBudget(t *testing.T) {
	idle := strings.NewReplacer("keep", "idle", "kept", "nobody").Replace(pdb)
	for seed := range uint64(6) {
		p, jobs := swarm(seed)
		p.JournalAPI = false
		a := run(t, p, jobs)
		with := *p
		with.Manifests = append(slices.Clone(p.Manifests), plan.File{Name: "idle.yaml", Data: []byte(idle)})
		b := run(t, &with, jobs)
		if !reflect.DeepEqual(a.records, b.records) {
			t.Errorf("seed %d: %s", seed, difference(a.records, b.records))
		}
	}
}
