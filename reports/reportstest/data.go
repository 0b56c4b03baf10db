// Package reportstest makes runs for the tests of the report renderers: plain data, no simulator. The same arguments
// give the same data.
package reportstest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"orrery/sim/result"
	"orrery/sim/units"
)

// Params sizes a generated run.
type Params struct {
	Seed            uint64
	Nodes, PerNode  int // GPUs per node
	Bins, HeatBins  int
	Jobs            int64
	Tenants         int
	Hours           float64
	Pending         int64
	Price           float64 // USD per GPU-hour; 0 = no price is known
	Down, Preempted bool
	Sections        bool // on MIG, gangs, topology, speeds, models and services, too
}

// Small is a run of two days on 64 GPUs with something in every panel, hostile names included.
func Small() *result.Data {
	return Make(Params{Seed: 7, Nodes: 8, PerNode: 8, Bins: 48, HeatBins: 24, Jobs: 240, Tenants: 3, Hours: 48,
		Pending: 4, Price: 6.88, Down: true, Preempted: true, Sections: true})
}

// Large is a run of 100,000 jobs on 5,000 nodes over four weeks.
func Large() *result.Data {
	return Make(Params{Seed: 8, Nodes: 5000, PerNode: 8, Bins: 2016, HeatBins: 336, Jobs: 100000, Tenants: 400,
		Hours: 672, Pending: 1200, Price: 6.88, Down: true, Preempted: true, Sections: true})
}

// Served is a run of services alone: no jobs.
func Served() *result.Data {
	d := Make(Params{Seed: 10, Nodes: 4, PerNode: 8, Bins: 96, HeatBins: 24, Tenants: 1, Hours: 48, Price: 6.88})
	serving(d, Params{Seed: 10, Hours: 48, Price: 6.88}, rand.New(rand.NewPCG(10, 5)))
	d.Longest, d.Reasons, d.Sizes, d.WaitHist = nil, nil, nil, result.Histogram{}
	return d
}

// Empty is a run in which nothing was there and nothing happened.
func Empty() *result.Data { return &result.Data{Summary: result.Summary{Schema: result.SchemaVersion}} }

// AllPending is a run that ended at its horizon before any job could be placed.
func AllPending() *result.Data {
	d := Make(Params{Seed: 9, Nodes: 2, PerNode: 4, Bins: 10, HeatBins: 5, Jobs: 0, Tenants: 1, Hours: 10, Price: 0})
	s := &d.Summary
	s.Jobs = result.Jobs{Submitted: 5, Pending: 5, NeverSchedulable: 5}
	s.Pods = result.Pods{Created: 5}
	s.EndReason = "horizon"
	s.GPU = result.GPU{Devices: 8, CapacityHours: 80, IdleHours: 80, IdleFragmentedHours: 80}
	s.Cost = result.Cost{Basis: "on-demand", Unpriced: 8}
	s.Scheduler = result.Scheduler{Attempts: 50, Unschedulable: 50, ByPlugin: map[string]int64{"NodeResourcesFit": 50}}
	s.Expectations = []result.Expectation{{Path: "jobs.pending", Max: new(float64), Value: 5}}
	for i := range d.Series.T {
		d.Series.Used[i], d.Series.IdleNoDemand[i], d.Series.IdleWaiting[i] = 0, 0, 0
		d.Series.IdleFragmented[i], d.Series.PendingPods[i], d.Series.PendingGPUs[i] = 8, 5, 80
	}
	for i := range d.Nodes {
		d.Nodes[i].UsedHours = 0
		clear(d.Nodes[i].Heat)
	}
	d.Sizes = []result.Size{{GPUs: 16 * units.GPU, Jobs: 5}}
	d.Tenants = []result.Tenant{{Name: "lab", Jobs: 5, Pending: 5}}
	d.WaitHist = result.Histogram{}
	d.Pools[0].UsedHours, d.Pools[0].IdleHours = 0, 80
	return d
}

// Make generates a run whose ledger balances and whose figures agree with each other.
func Make(p Params) *result.Data {
	r := rand.New(rand.NewPCG(p.Seed, 1))
	d := &result.Data{Config: config}
	series(d, p, r)
	nodes(d, p, r)
	summary(d, p, r)
	money(d, p)
	tenants(d, p, r)
	waits(d, p, r)
	if p.Sections {
		sections(d, p, rand.New(rand.NewPCG(p.Seed, 3)))
		serving(d, p, rand.New(rand.NewPCG(p.Seed, 5)))
	}
	d.Reasons = []result.Reason{
		{Message: "Insufficient nvidia.com/gpu. preemption: No preemption victims found for incoming pod.",
			Plugins: []string{"NodeResourcesFit"}, Attempts: 3120, Pods: 88, PodHours: 412.5, GPUHours: 2960},
		{Message: "node(s) didn't match Pod's node affinity/selector", Plugins: []string{"NodeAffinity"},
			Attempts: 96, Pods: 12, PodHours: 37.25, GPUHours: 37.25},
		{Message: "<script>alert('reason')</script> & \"quotes\"", Plugins: []string{"TaintToleration"}, Attempts: 2,
			Pods: 1, PodHours: 0.5, GPUHours: 4},
	}
	return d
}

const config = `name: small
seed: 7
cluster:
  pools:
    - name: h100 # <b>not bold</b>
      nodes: 8
      gpu: {model: h100-sxm, count: 8}
`

// series draws the states of the GPUs by a daily wave of demand.
func series(d *result.Data, p Params, r *rand.Rand) {
	s, total := &d.Series, float64(p.Nodes*p.PerNode)
	s.Bin, s.HeatBin = p.Hours*3600/float64(p.Bins), p.Hours*3600/float64(p.HeatBins)
	for i := range p.HeatBins {
		s.HeatT = append(s.HeatT, float64(i)*s.HeatBin)
	}
	queue := 0.0
	for i := range p.Bins {
		t := float64(i) * s.Bin
		demand := total * (0.75 + 0.45*math.Sin(2*math.Pi*t/86400-1) + 0.1*r.NormFloat64())
		queue = max(0, 0.6*queue+demand-total*0.9)
		down := 0.0
		if p.Down && i > p.Bins*2/3 && i < p.Bins*3/4 {
			down = float64(p.PerNode)
		}
		used := max(0, min(demand+0.4*queue, (total-down)*(0.93+0.05*r.Float64())))
		idle := total - down - used
		asked := min(idle, queue)
		frag := asked * 0.8
		s.T = append(s.T, t)
		s.Used = append(s.Used, used)
		s.IdleFragmented = append(s.IdleFragmented, frag)
		s.IdleWaiting = append(s.IdleWaiting, asked-frag)
		s.IdleNoDemand = append(s.IdleNoDemand, idle-asked)
		s.Down = append(s.Down, down)
		s.PendingGPUs = append(s.PendingGPUs, queue)
		s.PendingPods = append(s.PendingPods, queue/4)
		s.RunningPods = append(s.RunningPods, used/4)
	}
}

func nodes(d *result.Data, p Params, r *rand.Rand) {
	for i := range p.Nodes {
		n := result.Node{Name: fmt.Sprintf("h100-%04d", i), Pool: "h100", GPUs: p.PerNode,
			CapHours: float64(p.PerNode) * p.Hours}
		base := 0.95 - 0.6*float64(i)/float64(p.Nodes)
		sum := 0.0
		for j := range p.HeatBins {
			v := min(1, max(0, base+0.25*math.Sin(float64(j)/4)+0.1*r.NormFloat64()))
			if i == p.Nodes-1 && j < p.HeatBins/3 {
				n.Heat = append(n.Heat, -1)
				continue
			}
			n.Heat = append(n.Heat, float32(v))
			sum += v
		}
		n.UsedHours = sum / float64(max(1, p.HeatBins)) * n.CapHours
		d.Nodes = append(d.Nodes, n)
	}
}

func summary(d *result.Data, p Params, r *rand.Rand) {
	s := &d.Summary
	*s = result.Summary{Schema: result.SchemaVersion, Scenario: "small <i>sample</i>", Description: "A sample.",
		Trace: "sample.jsonl", Seed: p.Seed, Epoch: "2026-01-05T00:00:00Z", SimulatedSeconds: p.Hours * 3600,
		EndReason: "horizon", Repeatable: true,
		Versions: map[string]string{"orrery": "0.1.0", "k8s.io/kubernetes": "v1.37.2"}}
	failed, killed, running := p.Jobs/20, p.Jobs/15, p.Jobs/30
	s.Jobs = result.Jobs{Submitted: p.Jobs, Failed: failed, Killed: killed, Running: running, Pending: p.Pending,
		Rejected: min(1, p.Jobs), Completed: p.Jobs - failed - killed - running - p.Pending - min(1, p.Jobs)}
	s.Pods = result.Pods{Created: p.Jobs * 2, Bound: (p.Jobs - p.Pending) * 2, Succeeded: s.Jobs.Completed * 2}
	hours := d.Series.Bin / 3600
	g := &s.GPU
	for i := range d.Series.T {
		g.UsedHours += d.Series.Used[i] * hours
		g.IdleFragmentedHours += d.Series.IdleFragmented[i] * hours
		g.IdleWaitingHours += d.Series.IdleWaiting[i] * hours
		g.IdleNoDemandHours += d.Series.IdleNoDemand[i] * hours
		g.DownHours += d.Series.Down[i] * hours
	}
	g.Devices = int64(p.Nodes * p.PerNode)
	g.IdleHours = g.IdleFragmentedHours + g.IdleWaitingHours + g.IdleNoDemandHours
	g.CapacityHours = g.UsedHours + g.IdleHours + g.DownHours
	if service := g.CapacityHours - g.DownHours; service > 0 {
		g.AllocatedFraction = g.UsedHours / service
	}
	if p.Preempted {
		s.Jobs.Preempted, s.Jobs.Restarts = p.Jobs/40, p.Jobs/30
		g.LostHours = g.UsedHours * 0.011
	}
	s.Scheduler = result.Scheduler{Attempts: p.Jobs * 6, Scheduled: s.Pods.Bound, Unschedulable: p.Jobs*6 - s.Pods.Bound,
		Preemptions: s.Jobs.Restarts, ByPlugin: map[string]int64{"NodeResourcesFit": p.Jobs * 4, "NodeAffinity": 96,
			"TaintToleration": 2}}
	s.Journal = result.Journal{Records: p.Jobs * 21, SHA256: fmt.Sprintf("%064x", r.Uint64())}
	s.Warnings = []result.Warning{{Code: "trace-skip", Message: "rows without an end & <none>", Count: 17}}
	low, high := 0.8, 3600.0
	s.Expectations = []result.Expectation{{Path: "gpu.allocated_fraction", Min: &low, Value: g.AllocatedFraction,
		Met: g.AllocatedFraction >= low}, {Path: "queue_wait_seconds.p95", Max: &high, Value: 9020, Met: false}}
}

func money(d *result.Data, p Params) {
	g, c := &d.Summary.GPU, &d.Summary.Cost
	*c = result.Cost{Basis: "on-demand", UsedUSD: g.UsedHours * p.Price, IdleUSD: g.IdleHours * p.Price,
		DownUSD: g.DownHours * p.Price, EnergyKWh: g.UsedHours*0.8 + g.IdleHours*0.09, PUE: 1.25, USDPerKWh: 0.08}
	c.EnergyUSD = c.EnergyKWh * c.USDPerKWh
	c.TotalUSD = c.UsedUSD + c.IdleUSD + c.DownUSD
	if g.UsedHours > 0 {
		c.PerGPUUSD = c.TotalUSD / g.UsedHours
	}
	if p.Price == 0 {
		c.Unpriced = g.Devices
	}
	d.Pools = []result.Pool{{Name: "h100", GPUModel: "h100-sxm", Nodes: int64(p.Nodes), GPUs: g.Devices,
		CapacityHours: g.CapacityHours, UsedHours: g.UsedHours, IdleHours: g.IdleHours, DownHours: g.DownHours,
		USDPerGPUHour: p.Price, TotalUSD: c.TotalUSD, UsedUSD: c.UsedUSD, IdleUSD: c.IdleUSD,
		PriceSource: "a price list, 2026-07-20, https://example.com/prices", IdleWatts: 70, BusyWatts: 640,
		IdleWattsSrc: "a measurement", BusyWattsSrc: "a data sheet"}, {Name: "cpu", Nodes: 2}}
}

func tenants(d *result.Data, p Params, r *rand.Rand) {
	left := d.Summary.GPU.UsedHours
	for i := range p.Tenants {
		name := fmt.Sprintf("team-%03d", i)
		if i == 1 {
			name = `"><script>alert("tenant")</script>`
		}
		hours := left * 0.4
		if i == p.Tenants-1 {
			hours = left
		}
		left -= hours
		d.Tenants = append(d.Tenants, result.Tenant{Name: name, Jobs: p.Jobs / int64(p.Tenants),
			Completed: p.Jobs / int64(p.Tenants) / 2, GPUHours: hours, LostGPUHours: hours * 0.01,
			USD: hours * p.Price, Wait: distribution(r, p.Jobs/int64(p.Tenants), 600)})
	}
	slices.SortStableFunc(d.Tenants, func(a, b result.Tenant) int {
		if a.GPUHours > b.GPUHours {
			return -1
		}
		return map[bool]int{true: 1, false: 0}[a.GPUHours < b.GPUHours]
	})
}

// sample draws n waits with a heavy tail, sorted; the shortest third is 0.
func sample(r *rand.Rand, n int64, scale float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		if r.Float64() > 0.33 {
			out[i] = scale * math.Exp(2.2*r.NormFloat64()) / 10
		}
	}
	slices.Sort(out)
	return out
}

func distribution(r *rand.Rand, n int64, scale float64) result.Distribution {
	return summarise(sample(r, min(n, 5000), scale))
}

// summarise gives nearest-rank percentiles of a sorted sample.
func summarise(v []float64) result.Distribution {
	n := len(v)
	if n == 0 {
		return result.Distribution{}
	}
	rank := func(q float64) float64 { return v[int(math.Ceil(q*float64(n)))-1] }
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return result.Distribution{Count: int64(n), Mean: sum / float64(n), P50: rank(0.5), P90: rank(0.9), P95: rank(0.95),
		P99: rank(0.99), Max: v[n-1]}
}

func waits(d *result.Data, p Params, r *rand.Rand) {
	s := &d.Summary
	v := sample(r, max(0, p.Jobs-p.Pending-1), 900)
	s.QueueWait = summarise(v)
	s.Startup = distribution(r, s.Jobs.Completed, 40)
	s.JobCompletion = distribution(r, s.Jobs.Completed, 60000)
	s.Slowdown = result.Distribution{Count: s.Jobs.Completed, Mean: 1.9, P50: 1.04, P90: 3.2, P95: 6.1, P99: 14, Max: 88}
	for i := range s.Expectations {
		if e := &s.Expectations[i]; e.Path == "queue_wait_seconds.p95" {
			e.Value, e.Met = s.QueueWait.P95, s.QueueWait.P95 <= *e.Max
		}
	}
	h := &d.WaitHist
	h.Edges = []float64{0}
	for e := 1.0; e < 1e7; e *= math.Sqrt(10) {
		h.Edges = append(h.Edges, e)
	}
	h.Counts = make([]int64, len(h.Edges)-1)
	for _, x := range v {
		for i := range h.Counts {
			if x <= h.Edges[i+1] {
				h.Counts[i]++
				break
			}
		}
	}
	for g := 1; g <= 64; g *= 2 {
		d.Sizes = append(d.Sizes, result.Size{GPUs: units.MilliGPU(g) * units.GPU, Jobs: p.Jobs / 7,
			GPUHours: s.GPU.UsedHours / 7, Wait: distribution(r, p.Jobs/7, 200*float64(g))})
	}
	for i := range min(50, p.Jobs) {
		j := result.JobRow{Job: fmt.Sprintf("job-%05d", i*37), Tenant: "team-000", State: "succeeded", Pods: 2, GPUs: 16,
			SubmitSeconds: float64(i) * 311, WaitSeconds: p.Hours * 3600 / float64(i+3), RunSeconds: 7200,
			Reason: "Insufficient nvidia.com/gpu"}
		if i == 0 {
			j.Job, j.State = "job </td><script>alert(1)</script> \x1b[31m\u202e", "pending"
		}
		d.Longest = append(d.Longest, j)
	}
}
