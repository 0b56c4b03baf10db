package account

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/units"
)

// Finish closes the books at end, reports the jobs and pods that are still there and returns the account. It fails
// with the fold's first error, or when the ledger, the nodes' books and the pods' books do not agree to the last bit.
// Cost is left for the cost package, Journal for the journal's writer, Expectations for the scenario.
func (f *Fold) Finish(end units.Time) (*result.Data, error) {
	switch {
	case f.err != nil:
		return nil, f.err
	case f.done:
		return nil, errors.New("account: finished twice")
	case end < f.now:
		return nil, fmt.Errorf("account: end %v is before the last record at %v", end, f.now)
	}
	f.done = true
	f.advance(end)
	nodes := f.sortedNodes()
	if err := f.closePods(); err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	for _, n := range nodes {
		f.settleNode(n)
	}
	if err := f.closeJobs(); err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	if err := f.reconcile(nodes); err != nil {
		return nil, fmt.Errorf("account: at the end, %v: %w", end, err)
	}
	return f.data(nodes), nil
}

func (f *Fold) sortedNodes() []*node {
	return slices.SortedFunc(maps.Values(f.nodes), func(a, b *node) int { return cmp.Compare(a.name, b.name) })
}

// closePods settles and reports the pods that are left, and finds what can never be scheduled.
func (f *Fold) closePods() error {
	pods := slices.SortedFunc(maps.Values(f.pods), func(a, b *pod) int {
		return cmp.Or(cmp.Compare(a.created, b.created), cmp.Compare(a.name, b.name))
	})
	hopeless := map[*job]bool{}
	for _, p := range pods {
		if p.pending {
			f.verdicts.settle(p, f.now)
		}
		f.settleOwned(p)
		if p.pace != nil {
			f.rest(p.job, p.pace)
		}
		if j := p.job; j != nil && p.pending && !j.ended && j.placed == never {
			tooLarge := p.attempts > 0 && p.onlyNo && f.tooLarge(p)
			if j.reason == "" || tooLarge && !hopeless[j] {
				j.reason = p.message
			}
			if tooLarge && !hopeless[j] {
				hopeless[j] = true
				f.jobCount.NeverSchedulable++
			}
		}
		if f.opt.OnPod != nil {
			if err := f.opt.OnPod(f.podRow(p)); err != nil {
				return err
			}
		}
	}
	return nil
}

// tooLarge reports whether the pod asks more than an empty node of any pool offers.
func (f *Fold) tooLarge(p *pod) bool {
	return !slices.ContainsFunc(f.pools, func(o *pool) bool {
		slots := p.slotsAsked <= o.GPUsPerNode*o.slotsPerGPU() || o.mig && p.gpus <= units.MilliGPU(o.GPUsPerNode)*units.GPU
		return slots && p.cpu <= o.CPUMilli && p.mem <= o.MemoryMiB
	})
}

// closeJobs reports the jobs that are left and holds that every submitted job is somewhere.
func (f *Fold) closeJobs() error {
	jobs := slices.SortedFunc(maps.Values(f.jobs), func(a, b *job) int {
		return cmp.Or(cmp.Compare(a.submit, b.submit), cmp.Compare(a.Job, b.Job))
	})
	for _, j := range jobs {
		switch {
		case j.ended:
		case j.placed != never:
			f.jobCount.Running++
		default:
			f.jobCount.Pending++
			j.tenant.pending++
		}
		if err := f.retireJob(j); err != nil {
			return err
		}
	}
	c := f.jobCount
	if sum := c.Completed + c.Failed + c.Killed + c.Running + c.Pending + c.Rejected; sum != c.Submitted {
		return fmt.Errorf("conservation broken: %d jobs submitted, %d accounted for", c.Submitted, sum)
	}
	return nil
}

// reconcile compares the three books of GPU time: the ledger's, the nodes' and the tenants'.
func (f *Fold) reconcile(nodes []*node) error {
	if err := f.led.balance(); err != nil {
		return err
	}
	if sum := f.frag.sum(); sum != f.frag.whole {
		return fmt.Errorf("books disagree: causes of fragmentation of %v GPU·h, of %v", sum.GPUHours()/billion,
			f.frag.whole.GPUHours()/billion)
	}
	var capT, used, idle, down, owned units.Integral
	for _, n := range nodes {
		capT, used, idle, down = capT.Plus(n.capT), used.Plus(n.usedT), idle.Plus(n.idleT), down.Plus(n.downT)
	}
	for _, t := range f.tenants.list {
		for _, h := range t.byPool {
			owned = owned.Plus(h)
		}
	}
	for _, c := range []struct {
		what string
		a, b units.Integral
	}{
		{"capacity of the ledger and the nodes", f.led.cap, capT},
		{"used time of the ledger and the nodes", f.led.sums[chUsed], used},
		{"idle time of the ledger and the nodes", f.led.idle(), idle},
		{"down time of the ledger and the nodes", f.led.sums[chDown], down},
		{"used time of the nodes and the tenants", used, owned},
	} {
		if c.a != c.b {
			return fmt.Errorf("books disagree: %s: %v and %v GPU·h", c.what, c.a.GPUHours(), c.b.GPUHours())
		}
	}
	return nil
}

func (f *Fold) data(nodes []*node) *result.Data {
	d := &result.Data{Config: f.opt.Config, Pools: f.poolTable(nodes), Tenants: f.tenantTable(), Sizes: f.sizeTable(),
		Series: f.series.result(f.now), Reasons: f.verdicts.table(), WaitHist: f.stats.histogram(),
		Longest: f.stats.longest, Topology: f.places.result(), SpeedHist: speedHistogram(f.speed.slowdowns)}
	d.Nodes = f.nodeTable(nodes, &d.Series)
	d.Layers = f.layerTable(nodes, len(d.Series.HeatT))
	d.Summary = f.summary()
	d.Summary.Fragmentation, d.Fragmentation = f.fragmentationResult()
	f.serving(d)
	return d
}

func (f *Fold) summary() result.Summary {
	waits := make([]float64, len(f.stats.waits))
	for i, w := range f.stats.waits {
		waits[i] = w.seconds
	}
	hours := func(c int) float64 { return f.led.sums[c].GPUHours() }
	s := result.Summary{
		Schema: result.SchemaVersion, Scenario: f.run.Scenario, Description: f.opt.Description, Trace: f.run.Trace,
		Seed: f.run.Seed, Epoch: f.run.Epoch, SimulatedSeconds: f.now.Seconds(), EndReason: f.end,
		Repeatable: f.opt.Repeatable, Jobs: f.jobCount, Pods: f.podCount, QueueWait: distribution(waits),
		Startup: distribution(f.stats.startup), JobCompletion: distribution(f.stats.completion),
		Slowdown: distribution(f.stats.slowdowns), Scheduler: f.sched, Warnings: f.warns.table(),
		Versions: f.run.Versions,
		GPU: result.GPU{
			Devices: int64(f.led.peak / units.GPU), CapacityHours: f.led.cap.GPUHours(), UsedHours: hours(chUsed),
			IdleHours: f.led.idle().GPUHours(), DownHours: hours(chDown), IdleNoDemandHours: hours(chNoDemand),
			IdleFragmentedHours: hours(chFragmented), IdleWaitingHours: hours(chWaiting),
			LostHours: f.led.lostT.GPUHours(),
		},
	}
	s.MIG, s.Gangs, s.PartlyPlaced = f.migResult(), f.gangsResult(), f.partlyPlacedResult()
	s.Locality, s.Speed = f.localityResult(), f.speedResult()
	if s.Versions == nil {
		s.Versions = map[string]string{}
	}
	if up := f.led.sums[chUsed].Plus(f.led.idle()).GPUHours(); up > 0 {
		s.GPU.AllocatedFraction = s.GPU.UsedHours / up
	}
	return s
}

func (f *Fold) poolTable(nodes []*node) []result.Pool {
	type sums struct{ cap, used, idle, down, nodes units.Integral }
	by := make([]sums, len(f.pools))
	for _, n := range nodes {
		s := &by[n.pool.index]
		s.cap, s.used, s.idle = s.cap.Plus(n.capT), s.used.Plus(n.usedT), s.idle.Plus(n.idleT)
		s.down, s.nodes = s.down.Plus(n.downT), s.nodes.Plus(n.existence)
	}
	out := make([]result.Pool, len(f.pools))
	for i, p := range f.pools {
		out[i] = result.Pool{
			Name: p.Pool.Pool, GPUModel: p.GPUModel, Nodes: p.nodesPeak, GPUs: p.devicePeak,
			CapacityHours: by[i].cap.GPUHours(), UsedHours: by[i].used.GPUHours(), IdleHours: by[i].idle.GPUHours(),
			DownHours: by[i].down.GPUHours(), NodeHours: by[i].nodes.Hours(), CPUMilli: p.CPUMilli,
			MemoryMiB: p.MemoryMiB,
		}
	}
	return out
}

func (f *Fold) nodeTable(nodes []*node, s *result.Series) []result.Node {
	f.heat.fit(f.now)
	w := units.Time(width(f.heat.level))
	bins := int((f.now + w - 1) / w)
	s.HeatBin = units.Duration(w).Seconds()
	s.HeatT = make([]float64, bins)
	for i := range s.HeatT {
		s.HeatT[i] = (units.Time(i) * w).Seconds()
	}
	out := make([]result.Node, len(nodes))
	for i, n := range nodes {
		out[i] = result.Node{Name: n.name, Pool: n.pool.Pool.Pool, GPUs: n.peak, UsedHours: n.usedT.GPUHours(),
			CapHours: n.capT.GPUHours(), DownHours: n.downT.GPUHours(), Heat: f.heat.result(&n.heat, bins)}
	}
	return out
}

func (f *Fold) tenantTable() []result.Tenant {
	waits := f.stats.waitsBy(len(f.tenants.list), func(w waitSample) int32 { return w.tenant })
	out := make([]result.Tenant, len(f.tenants.list))
	for i, t := range f.tenants.list {
		row := result.Tenant{Name: t.name, Jobs: t.jobs, Completed: t.completed, Pending: t.pending,
			Preempt: t.preempted, LostGPUHours: t.lostT.GPUHours(), Wait: waits[i]}
		var sum units.Integral
		for p, h := range t.byPool {
			if h != (units.Integral{}) {
				row.ByPool = append(row.ByPool, result.PoolHours{Pool: f.pools[p].Pool.Pool, GPUHours: h.GPUHours()})
				sum = sum.Plus(h)
			}
		}
		row.GPUHours = sum.GPUHours()
		out[i] = row
	}
	slices.SortFunc(out, func(a, b result.Tenant) int {
		return cmp.Or(cmp.Compare(b.GPUHours, a.GPUHours), cmp.Compare(a.Name, b.Name))
	})
	return out
}

func (f *Fold) sizeTable() []result.Size {
	waits := f.stats.waitsBy(len(f.sizes.list), func(w waitSample) int32 { return w.size })
	out := make([]result.Size, len(f.sizes.list))
	for i, s := range f.sizes.list {
		out[i] = result.Size{GPUs: s.gpus, Jobs: s.jobs, GPUHours: s.ownedT.GPUHours(), Wait: waits[i]}
	}
	slices.SortFunc(out, func(a, b result.Size) int { return cmp.Compare(a.GPUs, b.GPUs) })
	return out
}

var _ journal.Sink = (*Fold)(nil)
