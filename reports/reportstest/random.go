package reportstest

import (
	"math"
	"math/rand/v2"

	"orrery/sim/result"
	"orrery/sim/units"
)

// Random draws a run of any kind: each of its parts is absent, ordinary or extreme, and its figures keep the contract
// of the result package (the ledger balances, states of jobs add up, percentiles rise) without having to agree
// otherwise.
func Random(seed uint64) *result.Data {
	r := rand.New(rand.NewPCG(seed, 2))
	d := &result.Data{}
	if r.IntN(3) > 0 {
		d = Make(Params{Seed: seed, Nodes: r.IntN(9), PerNode: r.IntN(9), Bins: 1 + r.IntN(1500), HeatBins: 1 + r.IntN(400),
			Jobs: int64(r.IntN(300)), Tenants: 1 + r.IntN(30), Hours: math.Exp(r.Float64()*14 - 5),
			Price: float64(r.IntN(3)) * 2.5, Down: r.IntN(2) == 0, Preempted: r.IntN(2) == 0})
	}
	s := &d.Summary
	s.EndReason = []string{"", "drained", "horizon"}[r.IntN(3)]
	s.Repeatable = r.IntN(2) == 0
	s.SimulatedSeconds = amount(r)
	jobs(s, r)
	ledger(&s.GPU, r)
	c := &s.Cost
	*c = result.Cost{Basis: []string{"", "owned", "spot"}[r.IntN(3)], UsedUSD: amount(r), IdleUSD: amount(r),
		DownUSD: amount(r), NodesUSD: amount(r), EnergyKWh: amount(r), EnergyUSD: amount(r), PUE: amount(r),
		USDPerKWh: amount(r), PerGPUUSD: amount(r), Unpriced: int64(r.IntN(3))}
	c.TotalUSD = c.UsedUSD + c.IdleUSD + c.DownUSD + c.NodesUSD
	for _, w := range []*result.Distribution{&s.Startup, &s.JobCompletion, &s.Slowdown} {
		*w = rising(r, int64(r.IntN(200)))
	}
	s.Expectations = nil
	for range r.IntN(6) {
		low, high := amount(r), amount(r)
		e := result.Expectation{Path: "gpu.used_hours", Value: amount(r), Min: &low, Max: &high}
		e.Met = e.Value >= low && e.Value <= high
		s.Expectations = append(s.Expectations, e)
	}
	s.Scheduler.Attempts, s.Scheduler.Scheduled = int64(r.IntN(5)), int64(r.IntN(3))
	if r.IntN(4) == 0 {
		d.Series, d.Nodes, d.Reasons, d.Longest, d.Pools = result.Series{}, nil, nil, nil, nil
	}
	randomSections(d, rand.New(rand.NewPCG(seed, 4)))
	randomServing(d, rand.New(rand.NewPCG(seed, 6)))
	d.Sizes = append(d.Sizes, result.Size{GPUs: units.MilliGPU(r.IntN(3000)), Jobs: 3, Wait: rising(r, 3)})
	d.Tenants = append(d.Tenants, result.Tenant{Jobs: 3, Wait: rising(r, int64(r.IntN(2)))})
	return d
}

// amount draws zero, something tiny, ordinary or huge.
func amount(r *rand.Rand) float64 {
	switch r.IntN(5) {
	case 0:
		return 0
	case 1:
		return 1e-9 * r.Float64()
	case 2:
		return 1e13 * r.Float64()
	}
	return 1000 * r.Float64()
}

func jobs(s *result.Summary, r *rand.Rand) {
	n := func() int64 { return []int64{0, 0, 1, int64(r.IntN(1000))}[r.IntN(4)] }
	j := &s.Jobs
	*j = result.Jobs{Completed: n(), Failed: n(), Killed: n(), Running: n(), Pending: n(), Rejected: n(), Preempted: n(),
		Restarts: n()}
	j.NeverSchedulable = min(j.Pending, n())
	j.Submitted = j.Completed + j.Failed + j.Killed + j.Running + j.Pending + j.Rejected
	s.QueueWait = rising(r, j.Submitted-j.Pending-j.Rejected)
}

// rising draws a distribution whose percentiles rise; every third has waits of zero only.
func rising(r *rand.Rand, n int64) result.Distribution {
	if n == 0 {
		return result.Distribution{}
	}
	if r.IntN(3) == 0 {
		return result.Distribution{Count: n}
	}
	v := []float64{amount(r), 0, 0, 0, 0}
	for i := 1; i < len(v); i++ {
		v[i] = v[i-1] + amount(r)*float64(r.IntN(2))
	}
	return result.Distribution{Count: n, Mean: v[0], P50: v[0], P90: v[1], P95: v[2], P99: v[3], Max: v[4]}
}

func ledger(g *result.GPU, r *rand.Rand) {
	*g = result.GPU{UsedHours: amount(r), DownHours: amount(r), IdleNoDemandHours: amount(r),
		IdleFragmentedHours: amount(r), IdleWaitingHours: amount(r), Devices: int64(r.IntN(3))}
	if r.IntN(6) == 0 {
		*g = result.GPU{DownHours: amount(r)}
	}
	g.LostHours = g.UsedHours * r.Float64() * float64(r.IntN(2))
	g.IdleHours = g.IdleNoDemandHours + g.IdleFragmentedHours + g.IdleWaitingHours
	g.CapacityHours = g.UsedHours + g.IdleHours + g.DownHours
	if g.CapacityHours > 0 && g.Devices == 0 {
		g.Devices = 1
	}
}
