package sim_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"orrery/sim"
	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// elasticSwarm draws a small plan whose nodes come and go.
func elasticSwarm(seed uint64) (*plan.Plan, []plan.Job) {
	r := rand.New(rand.NewPCG(seed, 2))
	coin := func() bool { return r.IntN(2) == 0 }
	names := []string{"a", "b", "c"}[:1+r.IntN(3)]
	p := autoscaled(names...)
	p.Name, p.Seed = fmt.Sprintf("elastic-%d", seed), seed
	f := p.Autoscalers.ClusterAutoscaler
	f.Expander = []string{"random", "most-pods", "least-waste", "price", "priority"}[r.IntN(5)]
	f.ScaleDown = r.IntN(4) > 0
	if coin() {
		f.Unneeded, f.DelayAfterAdd = time.Minute, time.Minute
	}
	if r.IntN(4) == 0 {
		f.MaxNodesTotal = 1 + r.IntN(4)
	}
	for i := range p.Pools {
		pool := &p.Pools[i]
		e := pool.Elastic
		switch r.IntN(4) {
		case 0:
			pool.GPUsPerNode, pool.Resource, pool.SlotsPerGPU, pool.GPUModel = 0, "", 0, ""
		case 1:
			pool.GPUsPerNode = 1 + r.IntN(8)
		case 2:
			pool.Sharing, pool.SlotsPerGPU = plan.SharingTimeSlicing, 4
		}
		spread := func(most int) plan.Spread {
			low := time.Duration(r.IntN(most)) * time.Second
			return plan.Spread{Low: low, Mode: low + time.Second, High: low + time.Duration(1+r.IntN(most))*time.Second}
		}
		e.Boot = plan.Boot{Allocate: spread(60), Boot: spread(300), Driver: spread(300), Devices: spread(60), Terminate: spread(60)}
		e.Max = 1 + r.IntN(5)
		if coin() {
			e.Stock = r.IntN(4)
		}
		if coin() {
			from := units.Time(r.IntN(1800)) * units.Time(time.Second)
			e.StockOuts = []plan.Span{{From: from, To: from.Add(time.Duration(r.IntN(3600)) * time.Second)}}
		}
		if coin() {
			e.CapacityType, e.InterruptPerHour, e.Notice = plan.CapacitySpot, 2*r.Float64(), 30*time.Second
		}
		for n := range r.IntN(3) {
			p.Nodes = append(p.Nodes, plan.Node{Name: fmt.Sprintf("%s-%d", pool.Name, n), Pool: i})
		}
	}
	if coin() {
		p.Scheduler.Latency = plan.Latency{Attempt: time.Millisecond, API: 5 * time.Millisecond, Watch: 20 * time.Millisecond}
	}
	if coin() {
		p.Horizon = time.Duration(1+r.IntN(4)) * time.Hour
	}
	p.Pods.CheckpointInterval = time.Minute
	var jobs []plan.Job
	for i := range 1 + r.IntN(20) {
		j := asks(fmt.Sprintf("j%d", i), units.Time(r.IntN(3600))*units.Time(time.Second),
			time.Duration(1+r.IntN(1800))*time.Second, r.IntN(9))
		j.Pods[0].Demand = 1
		j.Pods[0].CPUMilli = int64(1000 * (1 + r.IntN(40)))
		jobs = append(jobs, j)
	}
	slices.SortFunc(jobs, func(a, b plan.Job) int { return int(a.Submit - b.Submit) })
	return p, jobs
}

// nextStates are the states that may follow a machine's state.
var nextStates = map[string][]string{
	"":                        {journal.MachineOrdered, journal.MachineFailed},
	journal.MachineOrdered:    {journal.MachineLaunched, journal.MachineGone},
	journal.MachineLaunched:   {journal.MachineRegistered, journal.MachineTerminating, journal.MachineInterrupted},
	journal.MachineRegistered: {journal.MachineDriver, journal.MachineReady, journal.MachineTerminating, journal.MachineInterrupted},
	journal.MachineDriver:     {journal.MachineReady, journal.MachineTerminating, journal.MachineInterrupted},
	journal.MachineReady:      {journal.MachineTerminating, journal.MachineInterrupted},
	journal.MachineInterrupted: {journal.MachineGone, journal.MachineTerminating, journal.MachineRegistered,
		journal.MachineDriver, journal.MachineReady},
	journal.MachineTerminating: {journal.MachineGone},
}

// TestElasticSwarm plays plans at random. Books balance (the account sees to it), machines live as they can, what is
// paid is from launch to end, and every run ends.
func TestElasticSwarm(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		p, jobs := elasticSwarm(seed)
		play := func() played {
			return act(t, p, jobs, func(h sim.Hands) {
				for m := range 240 {
					h.Engine.Background(units.Time(m)*units.Time(time.Minute), engine.PhaseSample, "check", func() {
						if err := h.Check(); err != nil {
							t.Errorf("seed %d: %v", seed, err)
						}
					})
				}
			})
		}
		var got played
		if seed%6 == 0 {
			got = repeats(t, []int{1, 2, 8}, play)
		} else {
			got = play()
		}
		checkMachines(t, seed, p, got)
	}
}

func checkMachines(t *testing.T, seed uint64, p *plan.Plan, got played) {
	t.Helper()
	state, paid := map[string]string{}, map[string]units.Time{}
	hours, size := map[string]float64{}, map[string]int{}
	for _, n := range p.Nodes {
		state[n.Name], paid[n.Name] = journal.MachineReady, 0
		size[p.Pools[n.Pool].Name]++
	}
	poolOf := func(name string) *plan.Pool {
		return &p.Pools[slices.IndexFunc(p.Pools, func(x plan.Pool) bool { return x.Name == name })]
	}
	owner, told := map[string]string{}, map[string]bool{}
	for _, n := range p.Nodes {
		owner[n.Name] = p.Pools[n.Pool].Name
	}
	end := got.records[len(got.records)-1].At
	for _, r := range got.records {
		m, ok := r.Body.(journal.Machine)
		if !ok {
			continue
		}
		owner[m.Node] = m.Pool
		before := state[m.Node]
		told[m.Node] = told[m.Node] || m.State == journal.MachineInterrupted
		if !slices.Contains(nextStates[before], m.State) && !(told[m.Node] && m.State == journal.MachineGone) {
			t.Errorf("seed %d: machine %s is %s after %q", seed, m.Node, m.State, before)
		}
		state[m.Node] = m.State
		switch m.State {
		case journal.MachineOrdered:
			if size[m.Pool]++; size[m.Pool] > max(poolOf(m.Pool).Elastic.Max, 2) {
				t.Errorf("seed %d: group %s has %d machines, at most %d may be", seed, m.Pool, size[m.Pool],
					poolOf(m.Pool).Elastic.Max)
			}
		case journal.MachineLaunched:
			paid[m.Node] = r.At
		case journal.MachineGone:
			if from, ok := paid[m.Node]; ok {
				hours[m.Pool] += r.At.Sub(from).Hours()
				delete(paid, m.Node)
			}
		}
		if m.State == journal.MachineTerminating || m.State == journal.MachineGone && before != journal.MachineTerminating {
			size[m.Pool]--
		}
	}
	for name, from := range paid {
		hours[owner[name]] += end.Sub(from).Hours()
	}
	for _, x := range got.data.Pools {
		if gpus := float64(poolOf(x.Name).GPUsPerNode); math.Abs(x.CapacityHours-gpus*hours[x.Name]) > 1e-6 ||
			math.Abs(x.NodeHours-hours[x.Name]) > 1e-6 {
			t.Errorf("seed %d: pool %s: %v node hours and %v GPU hours in the books, %v paid", seed, x.Name, x.NodeHours,
				x.CapacityHours, hours[x.Name])
		}
	}
}
