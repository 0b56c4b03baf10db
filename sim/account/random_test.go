package account

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"orrery/sim/journal"
	"orrery/sim/units"
)

// world is a toy cluster that writes valid journals at random: jobs of several pods, whole and shared GPUs, nodes that
// fail, preemption, restarts, rejections. After every record it takes a snapshot by scanning everything, the dumb twin
// of the fold's running sums.
type world struct {
	r         *rand.Rand
	now       units.Time
	recs      []journal.Record
	nodes     []*toyNode
	jobs      []*toyJob
	names     int
	migSeen   bool
	twin      [nChannels]units.Integral // integrals of the snapshots
	last      channels
	taken     units.Time
	lostT     units.Integral
	ownedBy   map[string]*units.Integral // by tenant
	lastOwned map[string]int64           // at the last snapshot
}

type toyNode struct {
	journal.Node
	per   int
	owner map[journal.Slot]*toyPod
	bound map[*toyPod]bool
	cuts  []journal.Slot // it offers; nil where all slots are equal
	cpu   int64          // of its pool
	// migSeen is whether the run has shown an instance on a node that is cut at need.
	migSeen *bool
}

type toyJob struct {
	name, tenant string
	pods         []*toyPod
	size, gpus   int
	gang, within bool
	pools        []string
	speeds       bool
	placed       bool
	started      bool
}

type toyPod struct {
	name                    string
	job                     *toyJob
	slots                   int
	share                   units.MilliGPU
	profile                 string
	cpu                     int64
	node                    *toyNode
	owned                   []journal.Slot
	refused, running, bound bool
}

func newWorld(seed uint64) *world {
	w := &world{r: rand.New(rand.NewPCG(seed, 99)), ownedBy: map[string]*units.Integral{}}
	w.put(journal.Run{Format: journal.FormatVersion, Scenario: "random", Seed: seed,
		Versions: map[string]string{"a": "1"}})
	w.put(journal.Topology{Layers: []string{"leaf"}})
	for i, pool := range []journal.Pool{
		{Pool: "whole", GPUModel: "h100", GPUsPerNode: 4, SlotsPerGPU: 1, MaxPods: 5},
		{Pool: "shared", GPUModel: "t4", GPUsPerNode: 2, SlotsPerGPU: 3},
		{Pool: "mig", GPUModel: "h100", GPUsPerNode: 2, SlotsPerGPU: 1},
		{Pool: "need", GPUModel: "h100", GPUsPerNode: 1, SlotsPerGPU: 1},
		{Pool: "cut", GPUModel: "t4", GPUsPerNode: 2, SlotsPerGPU: 1}} {
		pool.CPUMilli, pool.MemoryMiB = 64000, 1<<20
		w.put(pool)
		for range max(1, 4-i) {
			w.addNode(pool)
		}
	}
	w.put(journal.Pool{Pool: "cpu", CPUMilli: 64000, MemoryMiB: 1 << 20})
	w.put(journal.Node{Node: "cpu-0", Pool: "cpu", State: journal.NodeUp})
	return w
}

// addNode adds a node of the pool. Nodes of the pool mig have a GPU that is divided into MIG instances, one of which has
// two replicas, and a whole one; nodes of the pool need are cut at need into what cuts lists, as far as that is free.
func (w *world) addNode(pool journal.Pool) {
	n := &toyNode{Node: journal.Node{Node: fmt.Sprint("node-", len(w.nodes)), Pool: pool.Pool, State: journal.NodeUp,
		GPUs: pool.GPUsPerNode, Domains: []string{fmt.Sprint("l", len(w.nodes)%3)}}, per: pool.SlotsPerGPU,
		owner: map[journal.Slot]*toyPod{}, bound: map[*toyPod]bool{}, cpu: pool.CPUMilli}
	n.migSeen = &w.migSeen
	w.nodes = append(w.nodes, n)
	w.put(n.Node)
	switch pool.Pool {
	case "mig":
		n.cuts = []journal.Slot{{Share: 71, Profile: "1g", Slices: 1}, {Share: 71, Profile: "1g", Slices: 1, Replica: 1},
			{Share: 286, Profile: "2g", Start: 2, Slices: 2}, {Share: 429, Profile: "3g", Start: 4, Slices: 4}}
		if w.nodes[len(w.nodes)-2].Pool == "mig" {
			n.cuts = []journal.Slot{{Share: 429, Profile: "3g", Slices: 4}, {Share: 286, Profile: "2g", Start: 4, Slices: 2}}
		}
		n.cuts = append(n.cuts, journal.Slot{Index: 1, Share: units.GPU})
		w.put(journal.Partition{Node: n.Node.Node, Slots: n.cuts[:len(n.cuts)-1]})
	case "need":
		n.cuts = []journal.Slot{{Share: 429, Profile: "3g", Slices: 4}, {Share: 429, Profile: "3g", Start: 4, Slices: 4},
			{Share: 286, Profile: "2g", Start: 2, Slices: 2},
			{Share: 286, Profile: "2g", Start: 4, Slices: 2}}
	case "cut":
		for i := range n.GPUs {
			for r := range 4 {
				n.cuts = append(n.cuts, journal.Slot{Index: i, Replica: r, Share: 250})
			}
		}
	}
}

// put writes a record at the present instant.
func (w *world) put(b journal.Body) {
	w.recs = append(w.recs, journal.Record{At: w.now, Body: b})
}

// step lets time pass and does one random thing.
func (w *world) step() {
	w.integrate()
	if w.r.IntN(3) > 0 {
		w.now += units.Time(w.r.Int64N(int64(200 * 1e9)))
	}
	switch p := w.r.IntN(100); {
	case p < 25:
		w.submit()
	case p < 70:
		w.schedule()
	case p < 90:
		w.finish()
	case p < 95:
		w.preempt()
	default:
		w.fail()
	}
}

// integrate books the snapshot of the state before the step over the time since the last one.
func (w *world) integrate() {
	span := w.now.Sub(w.taken)
	for c := range w.last {
		w.twin[c].Add(w.last[c], span)
	}
	for tenant, amount := range w.lastOwned {
		if w.ownedBy[tenant] == nil {
			w.ownedBy[tenant] = &units.Integral{}
		}
		w.ownedBy[tenant].Add(amount, span)
	}
	w.lastOwned = map[string]int64{}
	for _, n := range w.nodes {
		if n.State == journal.NodeUp {
			for s, p := range n.owner {
				w.lastOwned[p.job.tenant] += int64(s.Share)
			}
		}
	}
	w.taken, w.last = w.now, w.snapshot()
}

// snapshot computes the state of the cluster from scratch.
func (w *world) snapshot() (c channels) {
	var up, refused, waiting int64
	for _, n := range w.nodes {
		switch n.State {
		case journal.NodeUp:
			up += int64(n.GPUs) * 1000
			for s := range n.owner {
				c[chUsed] += int64(s.Share)
			}
		case journal.NodeDown:
			c[chDown] += int64(n.GPUs) * 1000
		}
	}
	for _, j := range w.jobs {
		for _, p := range j.pods {
			asks := int64(p.share) * int64(p.slots)
			switch {
			case p.bound:
			case p.refused:
				refused += asks
				c[chPendingPods]++
			default:
				waiting += asks
				c[chPendingPods]++
			}
			if p.running {
				c[chRunningPods]++
			}
		}
	}
	idle := up - c[chUsed]
	c[chWaiting] = min(idle, waiting)
	c[chFragmented] = min(idle-c[chWaiting], refused)
	c[chNoDemand] = idle - c[chWaiting] - c[chFragmented]
	c[chPendingGPUs] = refused + waiting
	return c
}

func (w *world) submit() {
	w.names++
	j := &toyJob{name: fmt.Sprintf("job-%04d", w.names), tenant: fmt.Sprint("team-", w.r.IntN(3)),
		size: 1 + w.r.IntN(3), gpus: []int{0, 1, 2, 4, 4, 9}[w.r.IntN(6)], speeds: w.r.IntN(2) == 0}
	p := toyPod{share: units.GPU, cpu: []int64{500, 30000}[w.r.IntN(2)], job: j}
	switch w.r.IntN(6) {
	case 0:
		p.share, j.gpus = 333, min(j.gpus, 3)
	case 1:
		p.share, p.profile, j.gpus = 286, "2g", 1
	case 2:
		p.share, p.profile, j.gpus = 429, "3g", 1
	case 3:
		p.share, j.gpus = 250, 1
	}
	rec := journal.JobSubmit{Job: j.name, Tenant: j.tenant, Pods: j.size, CPUMilli: 1000, MemoryMiB: 1000,
		GPUs: p.share * units.MilliGPU(j.size*j.gpus), Run: units.Duration(w.r.Int64N(100 * 1e9))}
	if j.gang = w.r.IntN(4) == 0; j.gang {
		if rec.Gang = j.size; w.r.IntN(2) == 0 {
			rec.Within, j.within = "leaf", true
		}
	}
	if w.r.IntN(4) == 0 {
		j.pools = []string{"whole", "mig"}
		rec.Pools = j.pools
	}
	w.put(rec)
	if w.r.IntN(20) == 0 {
		w.put(journal.JobEnd{Job: j.name, Outcome: journal.Rejected, Reason: "quota"})
		return
	}
	w.jobs = append(w.jobs, j)
	p.slots = j.gpus
	for range j.size {
		w.create(p)
	}
}

// create makes a pod like p.
func (w *world) create(p toyPod) *toyPod {
	w.names++
	j := p.job
	q := &toyPod{name: fmt.Sprintf("default/%s-%d", j.name, w.names), job: j, slots: p.slots, share: p.share,
		profile: p.profile, cpu: p.cpu}
	j.pods = append(j.pods, q)
	w.put(journal.PodCreate{Pod: q.name, Job: j.name, GPUs: q.share * units.MilliGPU(q.slots), Slots: q.slots,
		CPUMilli: q.cpu, MemoryMiB: 500, MIG: q.profile})
	return q
}

// choose returns a random live pod for which ok holds.
func (w *world) choose(ok func(*toyPod) bool) *toyPod {
	var all []*toyPod
	for _, j := range w.jobs {
		for _, p := range j.pods {
			if ok(p) {
				all = append(all, p)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[w.r.IntN(len(all))]
}

func (w *world) schedule() {
	p := w.choose(func(p *toyPod) bool { return !p.bound })
	if p == nil {
		return
	}
	if w.r.IntN(20) == 0 {
		w.put(journal.Attempt{Pod: p.name, Result: journal.Error, Message: "binding rejected"})
		p.refused = false
		return
	}
	for _, n := range w.nodes {
		if free := n.freeSlots(p); n.State == journal.NodeUp && len(free) >= p.slots && n.why(p) == causeOther {
			w.place(p, n, free[:p.slots])
			return
		}
	}
	p.refused = true
	w.put(journal.Attempt{Pod: p.name, Result: journal.Unschedulable, Plugins: []string{"NodeResourcesFit"},
		Message: fmt.Sprintf("0/7 nodes are available: %d Insufficient gpu, 1 Too many pods. preemption: 0/7 nodes.",
			w.r.IntN(7))})
}

// freeSlots returns the slots that p could be given on the node, were it for them alone.
func (n *toyNode) freeSlots(p *toyPod) (free []journal.Slot) {
	cuts := n.cuts
	if cuts == nil {
		for i := range n.GPUs {
			for r := range n.per {
				cuts = append(cuts, journal.Slot{Index: i, Replica: r,
					Share: map[int]units.MilliGPU{1: units.GPU, 3: 333}[n.per]})
			}
		}
	}
	for _, s := range cuts {
		like := s.Share == p.share && s.Profile == p.profile
		if like && n.fitsBeside(s) && !slices.ContainsFunc(free, func(t journal.Slot) bool { return overlap(s, t) }) {
			free = append(free, s)
		}
	}
	return free
}
func (w *world) place(p *toyPod, n *toyNode, slots []journal.Slot) {
	w.put(journal.Attempt{Pod: p.name, Result: journal.Scheduled, Node: n.Node.Node})
	w.put(journal.PodBind{Pod: p.name, Node: n.Node.Node})
	w.put(journal.PodAssign{Pod: p.name, Node: n.Node.Node, Slots: slots})
	p.bound, p.node, p.owned = true, n, slots
	n.bound[p] = true
	for _, s := range slots {
		n.owner[s] = p
		w.migSeen = w.migSeen || n.Pool == "need" && s.Profile != ""
	}
	j := p.job
	if !j.placed && !slices.ContainsFunc(j.pods, func(p *toyPod) bool { return !p.bound }) {
		j.placed = true
		w.put(journal.JobPlaced{Job: j.name})
	}
	if w.r.IntN(10) == 0 {
		return // never starts: stuck pulling its image
	}
	w.put(journal.PodStart{Pod: p.name})
	if j.speeds {
		hardware, placement, sharing := w.r.Int64N(2e6)+1, w.r.Int64N(1e6)+1, w.r.Int64N(1e6)+1
		w.put(journal.JobSpeed{Job: j.name, Hardware: hardware, Placement: placement, Sharing: sharing,
			Speed: max(1, hardware*placement/1e6*sharing/1e6)})
	}
	p.running = true
	if j.placed && !j.started && !slices.ContainsFunc(j.pods, func(p *toyPod) bool { return !p.running }) {
		j.started = true
		w.put(journal.JobStart{Job: j.name})
	}
}

// stop ends a pod, its job's list keeps the order.
func (w *world) stop(p *toyPod, phase string) {
	if p.bound {
		delete(p.node.bound, p)
		w.put(journal.PodEnd{Pod: p.name, Phase: phase})
		w.put(journal.PodRelease{Pod: p.name, Node: p.node.Node.Node})
		for _, s := range p.owned {
			delete(p.node.owner, s)
		}
	}
	p.job.pods = slices.DeleteFunc(p.job.pods, func(q *toyPod) bool { return p == q })
	if !p.bound || w.r.IntN(2) == 0 {
		w.put(journal.PodDelete{Pod: p.name})
	}
}

// finish ends a random job: in success when it runs, otherwise killed.
func (w *world) finish() {
	p := w.choose(func(p *toyPod) bool { return p.job.started || w.r.IntN(10) == 0 })
	if p == nil {
		return
	}
	j, phase, outcome := p.job, phaseSucceeded, journal.Succeeded
	if !j.started || slices.ContainsFunc(j.pods, func(p *toyPod) bool { return !p.running }) {
		phase, outcome = phaseFailed, []string{journal.Killed, journal.Failed}[w.r.IntN(2)]
	}
	for _, p := range slices.Clone(j.pods) {
		w.stop(p, phase)
	}
	w.put(journal.JobEnd{Job: j.name, Outcome: outcome})
	w.jobs = slices.DeleteFunc(w.jobs, func(k *toyJob) bool { return k == j })
}

func (w *world) preempt() {
	p := w.choose(func(p *toyPod) bool { return p.bound })
	by := w.choose(func(p *toyPod) bool { return !p.bound })
	if p == nil || by == nil {
		return
	}
	w.put(journal.Preempt{Victim: p.name, By: by.name, Node: p.node.Node.Node})
	w.put(journal.PodTerminate{Pod: p.name, Reason: "preempted"})
	w.stop(p, phaseFailed)
	lost := units.Duration(w.r.Int64N(1e9))
	again := w.create(*p)
	w.put(journal.JobRestart{Job: p.job.name, Pod: p.name, Reason: "preempted", Lost: lost, New: again.name,
		GPUs: p.share * units.MilliGPU(p.slots)})
	w.lostT.Add(int64(p.share)*int64(p.slots), lost)
}

// fail moves a random node to another state; pods on it keep their devices.
func (w *world) fail() {
	n := w.nodes[w.r.IntN(len(w.nodes))]
	removed := n.State == journal.NodeRemoved
	if n.State == journal.NodeUp && w.r.IntN(2) == 0 {
		n.State = journal.NodeDown
		if w.r.IntN(4) == 0 && len(n.owner) == 0 {
			n.State = journal.NodeRemoved
		}
	} else {
		n.State = journal.NodeUp
	}
	w.put(n.Node)
	if removed && n.Pool == "mig" {
		w.put(journal.Partition{Node: n.Node.Node, Slots: n.cuts[:len(n.cuts)-1]}) // it is a new one of the same name
	}
}

// randomJournal returns a whole valid journal and the world it ended in.
func randomJournal(seed uint64, steps int) *world {
	w := newWorld(seed)
	for range steps {
		w.step()
	}
	w.integrate()
	w.put(journal.Warn{Code: "toy", Message: "not real"})
	w.put(journal.End{Reason: journal.EndHorizon})
	return w
}
