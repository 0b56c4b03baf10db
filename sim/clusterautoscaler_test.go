package sim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"orrery/sim"
	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// autoscaled is a cluster of pools like elasticPlan's that the model of the Cluster Autoscaler scales, with its defaults.
func autoscaled(pools ...string) *plan.Plan {
	p := elasticPlan(8)
	pool := p.Pools[0]
	p.Pools = nil
	for _, name := range pools {
		e := *pool.Elastic
		e.By, e.InstanceType = plan.ByClusterAutoscaler, "type-"+name
		own := pool
		own.Name, own.Elastic = name, &e
		p.Pools = append(p.Pools, own)
	}
	p.Autoscalers.ClusterAutoscaler = &plan.ClusterAutoscaler{ScanInterval: 10 * time.Second,
		MaxProvision: 15 * time.Minute, ScaleDown: true, DelayAfterAdd: 10 * time.Minute,
		DelayAfterDelete: 10 * time.Second, DelayAfterFailure: 3 * time.Minute, Unneeded: 10 * time.Minute,
		UnreadyUnneeded: 20 * time.Minute, UtilizationThreshold: 0.5, GPUUtilizationThreshold: 0.5,
		Expander: "least-waste", MaxEmptyBulkDelete: 10, MaxGracefulTermination: 10 * time.Minute,
		BackoffInitial: 5 * time.Minute, BackoffMax: 30 * time.Minute, SkipNodesWithLocalStorage: true,
		SkipSystemPods: true}
	return p
}

// scaleLines prints what the autoscaler did.
func scaleLines(records []journal.Record) string {
	var b strings.Builder
	for _, r := range records {
		switch x := r.Body.(type) {
		case journal.Scale:
			fmt.Fprintf(&b, "%s %s %d->%d %s\n", r.At, x.Object, x.From, x.To, x.Reason)
		case journal.Condition:
			fmt.Fprintf(&b, "%s %s %s %s\n", r.At, x.Object, x.Reason, x.Message)
		case journal.Machine:
			if x.State == journal.MachineFailed || x.State == journal.MachineTerminating || x.State == journal.MachineGone {
				fmt.Fprintln(&b, strings.TrimSpace(fmt.Sprintf("%s machine %s %s %s", r.At, x.Node, x.State, x.Reason)))
			}
		}
	}
	return b.String()
}

func many(n int, job func(i int) plan.Job) (out []plan.Job) {
	for i := range n {
		out = append(out, job(i))
	}
	return out
}

// ordered counts the machines that were ordered, by pool.
func ordered(records []journal.Record) map[string]int {
	out := map[string]int{}
	for _, r := range records {
		if m, ok := r.Body.(journal.Machine); ok && m.State == journal.MachineOrdered {
			out[m.Pool]++
		}
	}
	return out
}

// TestScaleUp compares scale-ups with bin packings made by hand.
func TestScaleUp(t *testing.T) {
	for _, x := range []struct {
		name   string
		change func(p *plan.Plan)
		jobs   []plan.Job
		want   map[string]int
		done   int
	}{
		// 20 pods of 3 GPUs: 2 in a node of 8.
		{"pack", nil, many(20, func(i int) plan.Job { return asks(fmt.Sprintf("j%d", i), 0, time.Minute, 3) }),
			map[string]int{"a": 10}, 20},
		// A group of 4 at most serves the rest one after the other.
		{"max", func(p *plan.Plan) { p.Pools[0].Elastic.Max = 4 },
			many(20, func(i int) plan.Job { return asks(fmt.Sprintf("j%d", i), 0, time.Minute, 3) }), map[string]int{"a": 4}, 20},
		{"total", func(p *plan.Plan) { p.Autoscalers.ClusterAutoscaler.MaxNodesTotal = 3 },
			many(20, func(i int) plan.Job { return asks(fmt.Sprintf("j%d", i), 0, time.Minute, 3) }), map[string]int{"a": 3}, 20},
		// What fits on a node that is there needs no new one: 8 GPUs free, 3 pods of 4 need one more.
		{"there", func(p *plan.Plan) { p.Nodes = []plan.Node{{Name: "n0"}} },
			many(3, func(i int) plan.Job { return asks(fmt.Sprintf("j%d", i), 0, 20*time.Minute, 4) }),
			map[string]int{"a": 1}, 3},
		// What fits on a node on its way needs no other: the second comes 30 s later.
		{"upcoming", nil, []plan.Job{asks("j0", 0, time.Hour, 4), asks("j1", units.Time(30*time.Second), time.Hour, 4)},
			map[string]int{"a": 1}, 2},
		// Nobody can have 9 of 8.
		{"never", nil, []plan.Job{asks("j0", 0, time.Hour, 9)}, map[string]int{}, 0},
	} {
		p := autoscaled("a")
		if x.change != nil {
			x.change(p)
		}
		got := act(t, p, x.jobs, func(sim.Hands) {})
		if n := ordered(got.records); fmt.Sprint(n) != fmt.Sprint(x.want) {
			t.Errorf("%s: ordered %v, want %v", x.name, n, x.want)
		}
		if n := got.data.Summary.Jobs.Completed; int(n) != x.done {
			t.Errorf("%s: %d jobs done, want %d\n%s", x.name, n, x.done, scaleLines(got.records))
		}
	}
}

// TestExpanders offers small and large nodes to six pods of 1 GPU, 8 cores and 64 GiB.
func TestExpanders(t *testing.T) {
	for expander, want := range map[string]string{
		"least-waste": "map[small:2]", // 3 × 8 of 32 cores each; the large one would leave most of it
		"most-pods":   "map[large:1]", // the small group may have 1 node
		"price":       "map[small:2]",
		"priority":    "map[large:1]",
		"least-nodes": "map[large:1]",
		// Both take all pods.
		"most-pods,least-waste": "map[small:2]",
		"most-pods,least-nodes": "map[large:1]",
		// By the ConfigMap.
		"priority,least-nodes": "map[small:2]",
	} {
		p := autoscaled("small", "large")
		p.Pools[0].CPUMilli, p.Pools[0].GPUsPerNode = 26_000, 4
		p.Pools[0].MemoryMiB = 200 << 10
		p.Pools[1].CPUMilli, p.Pools[1].MemoryMiB = 200_000, 2000<<10
		f := p.Autoscalers.ClusterAutoscaler
		f.Expander, f.Priorities = expander, map[string]int{"large": 10, "small": 5}
		if expander == "most-pods" {
			p.Pools[0].Elastic.Max = 1
		}
		if expander == "priority,least-nodes" {
			p.Manifests = []plan.File{{Name: "priorities.yaml", Data: []byte(priorityMap)}}
		}
		if expander == "price" {
			p.Pools[0].Price.PerGPUHour, p.Pools[1].Price.PerGPUHour = 1_000_000, 2_000_000
		}
		jobs := many(6, func(i int) plan.Job {
			j := asks(fmt.Sprintf("j%d", i), 0, time.Minute, 1)
			j.Pods[0].CPUMilli, j.Pods[0].MemoryMiB = 8000, 64<<10
			return j
		})
		got := act(t, p, jobs, func(sim.Hands) {})
		if n := fmt.Sprint(ordered(got.records)); n != want {
			t.Errorf("%s: ordered %s, want %s", expander, n, want)
		}
	}
	// At random: both groups are taken by some seed.
	taken := map[string]bool{}
	for seed := range uint64(12) {
		p := autoscaled("a", "b")
		p.Seed = seed
		p.Autoscalers.ClusterAutoscaler.Expander = "random"
		got := repeats(t, []int{1, 2}, func() played {
			return act(t, p, []plan.Job{asks("j", 0, time.Minute, 1)}, func(sim.Hands) {})
		})
		for name := range ordered(got.records) {
			taken[name] = true
		}
	}
	if len(taken) != 2 {
		t.Errorf("taken: %v", taken)
	}
}

// priorityMap is what users of the priority expander write.
const priorityMap = `apiVersion: v1
kind: ConfigMap
metadata: {name: cluster-autoscaler-priority-expander, namespace: kube-system}
data:
  priorities: |-
    10:
    - .*arg.*
    50:
    - ^sm
    - nothing
`

// TestPriorityMapBad: a ConfigMap that cannot be read leaves no choice, and the autoscaler says so once.
func TestPriorityMapBad(t *testing.T) {
	p := autoscaled("a")
	p.Autoscalers.ClusterAutoscaler.Expander = "priority"
	p.Horizon = 10 * time.Minute
	p.Manifests = []plan.File{{Name: "priorities.yaml", Data: []byte(strings.Replace(priorityMap, ".*arg.*", "'[a'", 1))}}
	got := act(t, p, []plan.Job{asks("j", 0, time.Minute, 8)}, func(sim.Hands) {})
	if text := scaleLines(got.records); len(ordered(got.records)) > 0 || strings.Count(text, "PriorityConfigMapInvalid") != 1 {
		t.Error(text)
	}
}

// TestBalance shares a scale-up among groups that differ in their zones only.
func TestBalance(t *testing.T) {
	for balance, want := range map[bool]string{true: "map[a:3 b:2]", false: "map[a:5]"} {
		p := autoscaled("a", "b", "c")
		for i := range p.Pools {
			p.Pools[i].Elastic.InstanceType, p.Pools[i].Elastic.Zones = "type", []string{p.Pools[i].Name}
		}
		p.Pools[2].Labels = map[string]string{"team": "other"}
		f := p.Autoscalers.ClusterAutoscaler
		f.BalanceSimilar, f.Expander, f.Priorities = balance, "priority", map[string]int{"a": 1}
		jobs := many(5, func(i int) plan.Job { return asks(fmt.Sprintf("j%d", i), 0, time.Minute, 8) })
		got := act(t, p, jobs, func(sim.Hands) {})
		if n := fmt.Sprint(ordered(got.records)); n != want {
			t.Errorf("balance %v: ordered %s, want %s", balance, n, want)
		}
	}
}

// TestRecheck: a node whose pod found no place is not looked at for five minutes, although there is one after three.
func TestRecheck(t *testing.T) {
	for recheck, want := range map[units.Duration]string{5 * time.Minute: "15m10s", 0: "13m10s"} {
		p := autoscaled("a")
		p.Horizon = 20 * time.Minute
		p.Nodes = []plan.Node{{Name: "n0"}, {Name: "n1"}}
		p.Autoscalers.ClusterAutoscaler.UnremovableRecheck = recheck
		p.Manifests = []plan.File{{Name: "web.yaml", Data: fmt.Appendf(nil, deployment, 1, 1, 1, 0)}}
		full, half := asks("full", 0, 3*time.Minute, 8), asks("half", units.Time(3*time.Minute), time.Hour, 4)
		full.Require = []plan.Requirement{{Key: "kubernetes.io/hostname", Values: []string{"n1"}}}
		half.Require = full.Require
		got := act(t, p, []plan.Job{full, half}, func(sim.Hands) {})
		text := scaleLines(got.records)
		if !strings.Contains(text, want+" NodeGroup/a 2->1 node n0") {
			t.Errorf("recheck after %s, want an end at %s:\n%s", recheck, want, text)
		}
	}
}

// TestScaleDown follows the end of nodes: 10 min after they became unneeded, 10 min after the last scale-up.
func TestScaleDown(t *testing.T) {
	p := autoscaled("a")
	p.Pools[0].Elastic.Min = 1
	p.Horizon = 2 * time.Hour
	jobs := []plan.Job{asks("short", 0, time.Minute, 8), asks("long", 0, 40*time.Minute, 8), asks("mid", 0, 20*time.Minute, 8)}
	got := repeats(t, []int{1, 2, 8}, func() played { return act(t, p, jobs, func(sim.Hands) {}) })
	golden(t, scaleLines(got.records), `
10s NodeGroup/a 0->3 3 unschedulable pod(s), the first default/long-0
10s Pod/default/long-0 TriggeredScaleUp pod triggered scale-up: [{a 0->3 (max: 10)}]
10s Pod/default/mid-0 TriggeredScaleUp pod triggered scale-up: [{a 0->3 (max: 10)}]
10s Pod/default/short-0 TriggeredScaleUp pod triggered scale-up: [{a 0->3 (max: 10)}]
15m20s NodeGroup/a 3->2 node a-ca-1: unneeded for 10m0s, GPU utilization 0
15m25s machine a-ca-1 terminating unneeded for 10m0s, GPU utilization 0
15m45s machine a-ca-1 gone
34m20s NodeGroup/a 2->1 node a-ca-3: unneeded for 10m0s, GPU utilization 0
34m25s machine a-ca-3 terminating unneeded for 10m0s, GPU utilization 0
34m45s machine a-ca-3 gone`)
}

// TestScaleDownDelay has a scale-up put off the end of a node that nobody needs, and a pod without a controller keep
// another.
func TestScaleDownDelay(t *testing.T) {
	p := autoscaled("a", "b")
	p.Nodes = []plan.Node{{Name: "n0"}, {Name: "n1"}}
	p.Horizon = time.Hour
	alone, other := asks("alone", 0, 2*time.Hour, 1), asks("other", units.Time(9*time.Minute), 2*time.Hour, 8)
	alone.Require = []plan.Requirement{{Key: "kubernetes.io/hostname", Values: []string{"n1"}}}
	other.Require = []plan.Requirement{{Key: "orrery.dev/pool", Values: []string{"b"}}}
	got := act(t, p, []plan.Job{alone, other}, func(sim.Hands) {})
	golden(t, scaleLines(got.records), `
9m10s NodeGroup/b 0->1 1 unschedulable pod(s), the first default/other-0
9m10s Pod/default/other-0 TriggeredScaleUp pod triggered scale-up: [{b 0->1 (max: 10)}]
19m10s NodeGroup/a 2->1 node n0: unneeded for 19m0s, GPU utilization 0
19m15s machine n0 terminating unneeded for 19m0s, GPU utilization 0
19m35s machine n0 gone`)
}

// deployment is one of pods of a GPU each.
const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: web
        resources: {requests: {cpu: "1", nvidia.com/gpu: %d}, limits: {nvidia.com/gpu: %d}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: default}
spec: {minAvailable: %d, selector: {matchLabels: {app: web}}}
`

// TestDrain moves a pod of a Deployment off a node that is hardly used, unless its budget forbids it.
func TestDrain(t *testing.T) {
	for least, want := range map[int]string{0: `
10m10s NodeGroup/a 2->1 node n0: unneeded for 10m0s, GPU utilization 0.125
10m35s machine n0 terminating unneeded for 10m0s, GPU utilization 0.125
10m55s machine n0 gone`, 2: ""} {
		p := autoscaled("a")
		p.Horizon = time.Hour
		p.Nodes = []plan.Node{{Name: "n0"}, {Name: "n1"}}
		p.Manifests = []plan.File{{Name: "web.yaml", Data: fmt.Appendf(nil, deployment, 2, 1, 1, least)}}
		got := repeats(t, []int{1, 8}, func() played { return act(t, p, nil, func(sim.Hands) {}) })
		golden(t, scaleLines(got.records), want)
		last := ""
		for _, r := range got.records {
			if b, ok := r.Body.(journal.PodBind); ok {
				last = b.Node
			}
		}
		if last != "n1" {
			t.Errorf("the last pod was bound to %s", last)
		}
	}
}

// TestBackoff has a stock-out, and machines that come too late: neither is tried at every scan, and the run ends.
func TestBackoff(t *testing.T) {
	p := autoscaled("a")
	p.Pools[0].Elastic.StockOuts = []plan.Span{{To: units.Time(12 * time.Minute)}}
	got := act(t, p, []plan.Job{asks("j", 0, time.Minute, 8)}, func(sim.Hands) {})
	golden(t, scaleLines(got.records), `
10s machine a-ca-1 failed InsufficientInstanceCapacity: no on-demand capacity for type-a in a
10s Pod/default/j-0 FailedToScaleUpGroup scale-up of a failed: the cloud has no machine
20s Pod/default/j-0 NotTriggerScaleUp pod didn't trigger scale-up: 1 in backoff after failed scale-up
5m10s machine a-ca-2 failed InsufficientInstanceCapacity: no on-demand capacity for type-a in a
5m10s Pod/default/j-0 FailedToScaleUpGroup scale-up of a failed: the cloud has no machine
5m20s Pod/default/j-0 NotTriggerScaleUp pod didn't trigger scale-up: 1 in backoff after failed scale-up
15m10s NodeGroup/a 0->1 1 unschedulable pod(s), the first default/j-0
15m10s Pod/default/j-0 TriggeredScaleUp pod triggered scale-up: [{a 0->1 (max: 10)}]`)

	p = autoscaled("a")
	p.Pools[0].Elastic.Stock = 0 // for ever
	got = act(t, p, []plan.Job{asks("j", 0, time.Minute, 8)}, func(sim.Hands) {})
	if end := got.records[len(got.records)-1].At; end > units.Time(time.Hour) {
		t.Errorf("a run without hope ends at %s", end)
	}

	p = autoscaled("a")
	p.Pools[0].Elastic.Boot.Boot = exactly(time.Hour)
	got = act(t, p, []plan.Job{asks("j", 0, time.Minute, 8)}, func(sim.Hands) {})
	golden(t, scaleLines(got.records), `
10s NodeGroup/a 0->1 1 unschedulable pod(s), the first default/j-0
10s Pod/default/j-0 TriggeredScaleUp pod triggered scale-up: [{a 0->1 (max: 10)}]
15m10s machine a-ca-1 terminating not registered within 15m0s
15m10s Pod/default/j-0 NotTriggerScaleUp pod didn't trigger scale-up: 1 in backoff after failed scale-up
15m30s machine a-ca-1 gone
20m10s NodeGroup/a 0->1 1 unschedulable pod(s), the first default/j-0
20m10s Pod/default/j-0 TriggeredScaleUp pod triggered scale-up: [{a 0->1 (max: 10)}]
35m10s machine a-ca-2 terminating not registered within 15m0s
35m10s Pod/default/j-0 NotTriggerScaleUp pod didn't trigger scale-up: 1 in backoff after failed scale-up
35m30s machine a-ca-2 gone
45m10s NodeGroup/a 0->1 1 unschedulable pod(s), the first default/j-0
45m10s Pod/default/j-0 TriggeredScaleUp pod triggered scale-up: [{a 0->1 (max: 10)}]
1h0m10s machine a-ca-3 terminating not registered within 15m0s
1h0m10s Pod/default/j-0 NotTriggerScaleUp pod didn't trigger scale-up: 1 in backoff after failed scale-up
1h0m30s machine a-ca-3 gone
1h20m10s NodeGroup/a 0->1 1 unschedulable pod(s), the first default/j-0
1h20m10s Pod/default/j-0 TriggeredScaleUp pod triggered scale-up: [{a 0->1 (max: 10)}]
1h35m10s machine a-ca-4 terminating not registered within 15m0s
1h35m10s Pod/default/j-0 NotTriggerScaleUp pod didn't trigger scale-up: 1 in backoff after failed scale-up
1h35m30s machine a-ca-4 gone
2h5m10s NodeGroup/a 0->1 1 unschedulable pod(s), the first default/j-0
2h5m10s Pod/default/j-0 TriggeredScaleUp pod triggered scale-up: [{a 0->1 (max: 10)}]
2h20m10s machine a-ca-5 terminating not registered within 15m0s
2h20m10s Pod/default/j-0 NotTriggerScaleUp pod didn't trigger scale-up: 1 in backoff after failed scale-up
2h20m30s machine a-ca-5 gone`)
}

// TestReclaimed has the autoscaler replace a spot machine that is taken back under a job.
func TestReclaimed(t *testing.T) {
	p := autoscaled("a")
	e := p.Pools[0].Elastic
	e.CapacityType, e.InterruptPerHour, e.Notice = plan.CapacitySpot, 1, 30*time.Second
	p.Pods.CheckpointInterval = time.Minute
	got := repeats(t, []int{1, 2, 8}, func() played {
		return act(t, p, []plan.Job{asks("j", 0, 5*time.Hour, 8)}, func(h sim.Hands) {
			h.Engine.Background(units.Time(time.Hour), engine.PhaseSample, "check", func() {
				if err := h.Check(); err != nil {
					t.Error(err)
				}
			})
		})
	})
	if n := ordered(got.records)["a"]; n < 2 || got.data.Summary.Jobs.Completed != 1 {
		t.Errorf("%d machines were ordered, %d jobs done", n, got.data.Summary.Jobs.Completed)
	}
}
