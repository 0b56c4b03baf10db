package sim_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"orrery/sim"
	"orrery/sim/account"
	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/result"
	"orrery/sim/units"
)

// jobList is a trace in memory.
type jobList struct {
	jobs []plan.Job
	next int
}

func (l *jobList) Next() (plan.Job, error) {
	if l.next == len(l.jobs) {
		return plan.Job{}, io.EOF
	}
	l.next++
	return l.jobs[l.next-1], nil
}

func (l *jobList) Warnings() []plan.Warning { return nil }
func (l *jobList) Close() error             { return nil }

// run plays a plan and folds its journal. The account checks conservation and causality.
func run(t testing.TB, p *plan.Plan, jobs []plan.Job) played {
	t.Helper()
	var buf bytes.Buffer
	w, fold, keep := journal.NewWriter(&buf), account.New(account.Options{}), new(tape)
	out, err := sim.Run(sim.Params{Plan: p, Jobs: &jobList{jobs: jobs}, Sink: journal.Multi{w, fold, keep}})
	if err != nil {
		t.Fatal(err)
	}
	data, err := fold.Finish(out.End)
	if err != nil {
		t.Fatalf("the account does not balance: %v", err)
	}
	_, head, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return played{data, keep.records, buf.Bytes(), head}
}

const twoProfiles = `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: default-scheduler
- schedulerName: pack
  pluginConfig:
  - name: NodeResourcesFit
    args:
      scoringStrategy:
        type: MostAllocated
        resources: [{name: nvidia.com/gpu, weight: 1}]
`

const classes = `apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: low}
value: 10
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: high}
value: 1000
`

const pdb = `apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: keep, namespace: default}
spec: {minAvailable: 2, selector: {matchLabels: {orrery.dev/class: kept}}}
`

const quota = `apiVersion: v1
kind: ResourceQuota
metadata: {name: limit, namespace: default}
spec: {hard: {requests.nvidia.com/gpu: "30"}}
`

// swarm draws a small plan: every option is on or off by a coin of its own, so that unusual combinations are common.
func swarm(seed uint64) (*plan.Plan, []plan.Job) {
	r := rand.New(rand.NewPCG(seed, 1))
	coin := func() bool { return r.IntN(2) == 0 }
	p := &plan.Plan{Name: fmt.Sprintf("swarm-%d", seed), Title: "swarm", Seed: seed,
		Epoch: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	p.Manifests = []plan.File{{Name: "classes.yaml", Data: []byte(classes)}}
	if coin() {
		p.Manifests = append(p.Manifests, plan.File{Name: "pdb.yaml", Data: []byte(pdb)})
	}
	if r.IntN(4) == 0 {
		p.Manifests = append(p.Manifests, plan.File{Name: "quota.yaml", Data: []byte(quota)})
	}
	profiles := coin()
	if profiles {
		p.Scheduler.Config = plan.File{Name: "two.yaml", Data: []byte(twoProfiles)}
	}
	p.Scheduler.FeatureGates = map[string]bool{}
	for _, g := range []string{"SchedulerPopFromBackoffQ", "SchedulerAsyncPreemption", "OpportunisticBatching"} {
		if coin() {
			p.Scheduler.FeatureGates[g] = false
		}
	}
	if r.IntN(3) == 0 {
		p.Scheduler.FeatureGates["SchedulerAsyncAPICalls"] = true
	}
	if coin() {
		p.Scheduler.Latency = plan.Latency{Attempt: time.Duration(r.IntN(20)) * time.Millisecond,
			AttemptPerNode: 50 * time.Microsecond, API: time.Duration(r.IntN(3000)) * time.Millisecond,
			Watch: time.Duration(r.IntN(500)) * time.Millisecond}
	}
	p.Pods = plan.Pods{TerminationGrace: time.Duration(r.IntN(3)*30) * time.Second, Restart: plan.RestartAlways,
		StartTogether: coin(), DropUnschedulable: r.IntN(6) == 0}
	if r.IntN(3) == 0 {
		p.Pods.Restart = plan.RestartNever
	}
	if coin() {
		p.Pods.CheckpointInterval = 5 * time.Minute
	}
	if coin() {
		p.Horizon = time.Hour + time.Duration(r.IntN(3600))*time.Second
	}
	p.JournalAPI = r.IntN(4) == 0
	pools(p, r)
	return p, jobs(p, r, profiles)
}

func pools(p *plan.Plan, r *rand.Rand) {
	add := func(pool plan.Pool, nodes int) {
		pool.CPUMilli, pool.MemoryMiB, pool.MaxPods = 64000, 512<<10, 110
		if pool.Labels == nil {
			pool.Labels = map[string]string{}
		}
		pool.Labels["pool"] = pool.Name
		p.Pools = append(p.Pools, pool)
		for i := range nodes {
			p.Nodes = append(p.Nodes, plan.Node{Name: fmt.Sprintf("%s-%d", pool.Name, i), Pool: len(p.Pools) - 1})
		}
	}
	add(plan.Pool{Name: "big", GPUModel: "h100-sxm", GPUsPerNode: 8, Resource: "nvidia.com/gpu", SlotsPerGPU: 1}, 2+r.IntN(3))
	if r.IntN(2) == 0 {
		pool := plan.Pool{Name: "small", GPUModel: "t4", GPUsPerNode: 2, Resource: "nvidia.com/gpu", SlotsPerGPU: 1}
		if r.IntN(2) == 0 {
			pool.Taints = []plan.Taint{{Key: "old", Value: "yes", Effect: "NoSchedule"}}
		}
		add(pool, 2)
	}
	if r.IntN(2) == 0 {
		add(plan.Pool{Name: "shared", GPUModel: "l4", GPUsPerNode: 2, Resource: "nvidia.com/gpu.shared",
			Sharing: plan.SharingTimeSlicing, SlotsPerGPU: 4}, 1)
	}
	if r.IntN(2) == 0 {
		add(plan.Pool{Name: "cpu"}, 2)
	}
}

func jobs(p *plan.Plan, r *rand.Rand, profiles bool) []plan.Job {
	var out []plan.Job
	at := units.Time(0)
	for i := range 50 {
		if r.IntN(4) > 0 { // else at the instant of the one before
			at = at.Add(time.Duration(r.IntN(240_000_000)) * time.Microsecond)
		}
		j := plan.Job{Name: fmt.Sprintf("j%d", i), Namespace: "default", Tenant: fmt.Sprintf("t%d", i%3), Submit: at,
			Run: time.Duration(1+r.IntN(1800_000_000)) * time.Microsecond, SchedulerName: "default-scheduler",
			Outcome: []string{"succeeded", "succeeded", "succeeded", "failed", "killed"}[r.IntN(5)]}
		j.PriorityClass = []string{"", "", "low", "high"}[r.IntN(4)]
		if r.IntN(3) == 0 {
			j.Class = "kept"
		}
		if profiles && r.IntN(2) == 0 {
			j.SchedulerName = "pack"
		}
		if r.IntN(30) == 0 {
			j.Forever, j.Run = true, 0
		}
		if r.IntN(4) == 0 {
			j.Tolerations = []plan.Toleration{{Key: "old", Operator: "Exists"}}
		}
		if r.IntN(5) == 0 {
			j.Require = []plan.Requirement{{Key: "pool", Values: []string{"big", "small"}}}
		}
		j.Pods = make([]plan.Pod, 1+r.IntN(3)/2*r.IntN(3))
		pod := pod(p.Pools[r.IntN(len(p.Pools))], r)
		for k := range j.Pods {
			j.Pods[k] = pod
		}
		out = append(out, j)
	}
	return out
}

// pod draws a pod for a pool. One in forty is larger than any node.
func pod(pool plan.Pool, r *rand.Rand) plan.Pod {
	p := plan.Pod{CPUMilli: int64(500 + r.IntN(16000)), MemoryMiB: int64(1024 + r.IntN(64<<10))}
	if pool.Resource != "" {
		p.Resource, p.Slots = pool.Resource, 1+r.IntN(pool.GPUsPerNode*pool.SlotsPerGPU)
	}
	if r.IntN(40) == 0 {
		p.CPUMilli = 65000
	}
	p.GPUs = units.MilliGPU((p.Slots*1000 + max(pool.SlotsPerGPU, 1) - 1) / max(pool.SlotsPerGPU, 1))
	return p
}

// TestRandomPlans plays random plans: each run ends without an error, its account balances, every placement is lawful by
// a check that knows nothing of the scheduler, nobody waits for ever beside room, and the journal repeats.
func TestRandomPlans(t *testing.T) {
	seeds := uint64(40)
	total := map[string]int{}
	for seed := range seeds {
		p, jobs := swarm(seed)
		old := runtime.GOMAXPROCS(8)
		got := run(t, p, jobs)
		runtime.GOMAXPROCS(1)
		again := run(t, p, jobs)
		runtime.GOMAXPROCS(old)
		if !bytes.Equal(got.file, again.file) {
			t.Errorf("seed %d: another journal at GOMAXPROCS 1: %s", seed, difference(got.records, again.records))
		}
		l := newLaw(p, jobs)
		for _, r := range got.records {
			l.see(r)
		}
		l.finish(got.data)
		for _, v := range l.broken {
			t.Errorf("seed %d: %s", seed, v)
		}
		for k, n := range l.seen {
			total[k] += n
		}
	}
	t.Log(total)
	for _, kind := range []string{"preempt", "job.restart", "bound", "waiting at the end", "rejected", "failed", "killed",
		"succeeded", "running", "drained", "horizon", "shared"} {
		if total[kind] < 5 {
			t.Errorf("only %d × %q in %d runs: they show too little", total[kind], kind, seeds)
		}
	}
}

// law checks placements against the plan, by the journal alone.
type law struct {
	plan   *plan.Plan
	jobs   map[string]plan.Job
	nodes  map[string]plan.Pool
	used   map[string]need   // by node
	pods   map[string]*bound // by key
	order  []string
	end    string
	broken []string
	seen   map[string]int
}

type need struct{ cpu, memory, slots, pods int64 }

type bound struct {
	job  plan.Job
	spec plan.Pod
	node string
	gone bool
}

func newLaw(p *plan.Plan, jobs []plan.Job) *law {
	l := &law{plan: p, jobs: map[string]plan.Job{}, nodes: map[string]plan.Pool{}, used: map[string]need{},
		pods: map[string]*bound{}, seen: map[string]int{}}
	for _, j := range jobs {
		l.jobs[j.Name] = j
	}
	for _, n := range p.Nodes {
		l.nodes[n.Name] = p.Pools[n.Pool]
	}
	return l
}

func (l *law) breach(format string, args ...any) {
	l.broken = append(l.broken, fmt.Sprintf(format, args...))
}

func (l *law) see(r journal.Record) {
	l.seen[r.Body.Kind()]++
	switch b := r.Body.(type) {
	case journal.PodCreate:
		j := l.jobs[b.Job]
		l.pods[b.Pod] = &bound{job: j, spec: j.Pods[0]}
		l.order = append(l.order, b.Pod)
	case journal.PodBind:
		l.bind(r.At, b)
	case journal.PodRelease:
		l.free(b.Pod)
	case journal.PodDelete:
		l.free(b.Pod)
		l.pods[b.Pod].gone = true
	case journal.JobEnd:
		l.seen[b.Outcome]++
	case journal.Warn:
		if b.Code == "late-attempt" && l.plan.Scheduler.Latency != (plan.Latency{}) {
			return // a pod may be deleted while it is bound, or before the scheduler is told
		}
		l.breach("at %s: warning %s ×%d: %s", r.At, b.Code, b.Count, b.Message)
	case journal.End:
		l.seen[b.Reason]++
		l.end = b.Reason
	}
}

func (l *law) bind(at units.Time, b journal.PodBind) {
	p := l.pods[b.Pod]
	if p.node != "" {
		l.breach("at %s: %s is bound twice", at, b.Pod)
	}
	if why := l.suits(p, b.Node); why != "" {
		l.breach("at %s: %s on %s: %s", at, b.Pod, b.Node, why)
	}
	p.node = b.Node
	u := l.used[b.Node]
	l.used[b.Node] = need{u.cpu + p.spec.CPUMilli, u.memory + p.spec.MemoryMiB, u.slots + int64(p.spec.Slots), u.pods + 1}
	l.seen["bound"]++
	if l.nodes[b.Node].Name == "shared" && p.spec.Slots > 0 {
		l.seen["shared"]++
	}
}

func (l *law) free(key string) {
	p := l.pods[key]
	if p.node == "" {
		return
	}
	u := l.used[p.node]
	l.used[p.node] = need{u.cpu - p.spec.CPUMilli, u.memory - p.spec.MemoryMiB, u.slots - int64(p.spec.Slots), u.pods - 1}
	p.node = ""
}

// suits says why the pod may not run on the node beside what is there, or nothing.
func (l *law) suits(p *bound, node string) string {
	pool := l.nodes[node]
	for _, r := range p.job.Require {
		if !slices.Contains(r.Values, pool.Labels[r.Key]) {
			return "label " + r.Key
		}
	}
	for _, t := range pool.Taints {
		if !slices.ContainsFunc(p.job.Tolerations, func(x plan.Toleration) bool { return x.Key == t.Key }) {
			return "taint " + t.Key
		}
	}
	u, slots := l.used[node], int64(0)
	if p.spec.Resource == pool.Resource {
		slots = int64(pool.GPUsPerNode * pool.SlotsPerGPU)
	}
	switch {
	case u.cpu+p.spec.CPUMilli > pool.CPUMilli:
		return "CPU"
	case u.memory+p.spec.MemoryMiB > pool.MemoryMiB:
		return "memory"
	case p.spec.Slots > 0 && u.slots+int64(p.spec.Slots) > slots:
		return "devices"
	case u.pods+1 > pool.MaxPods:
		return "pods"
	}
	return ""
}

// finish checks the end of the run: all jobs are accounted for, and in a drained run nobody waits beside room.
func (l *law) finish(d *result.Data) {
	j := d.Summary.Jobs
	if sum := j.Completed + j.Failed + j.Killed + j.Running + j.Pending + j.Rejected; sum != j.Submitted {
		l.breach("%d jobs submitted, %d accounted for: %+v", j.Submitted, sum, j)
	}
	l.seen["running"] += int(j.Running)
	if l.end == journal.EndDrained && int(j.Submitted) != len(l.jobs) {
		l.breach("drained after %d of %d jobs", j.Submitted, len(l.jobs))
	}
	for _, key := range l.order {
		p := l.pods[key]
		if p.gone || p.node != "" || l.end != journal.EndDrained {
			continue
		}
		l.seen["waiting at the end"]++
		for node := range l.nodes {
			if l.suits(p, node) == "" {
				l.breach("%s waits for ever though it fits %s", key, node)
			}
		}
	}
}
