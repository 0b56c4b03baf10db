package scenarios

import (
	"fmt"
	"time"

	"orrery/sim/catalog"
	"orrery/sim/cost"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// Plan returns what the simulator needs: the plan of the run and the stream of its jobs, which the caller closes. It
// opens the trace; the error says what is wrong with it.
func (s *Scenario) Plan() (*plan.Plan, plan.JobSource, error) {
	p, err := s.Outline()
	if err != nil {
		return nil, nil, err
	}
	if s.Workload.TypicalPods != nil {
		f, err := s.typicalPodsManifest()
		if err != nil {
			return nil, nil, err
		}
		p.Manifests = append(p.Manifests, f)
	}
	src, err := s.openTrace()
	if err != nil {
		return nil, nil, err
	}
	jobs, err := newJobs(s, src)
	if err != nil {
		_ = src.Close() // the first error is the one to report
		return nil, nil, err
	}
	return p, jobs, nil
}

// Outline is the plan without its jobs: what is needed to look at a finished run again, whose trace may be elsewhere.
func (s *Scenario) Outline() (*plan.Plan, error) {
	resolved, err := s.Resolved()
	if err != nil {
		return nil, err
	}
	p := &plan.Plan{
		Name: s.Name, Description: s.Description, Title: s.Report.Title, Trace: s.traceName(),
		Seed: s.Seed, Epoch: time.Time(s.Epoch), Horizon: units.Duration(s.Horizon),
		Scheduler: plan.Scheduler{
			FeatureGates: s.Scheduler.FeatureGates,
			Latency: plan.Latency{
				Attempt:        units.Duration(s.Scheduler.Latency.Attempt),
				AttemptPerNode: units.Duration(s.Scheduler.Latency.AttemptPerNode),
				API:            units.Duration(s.Scheduler.Latency.API),
				Watch:          units.Duration(s.Scheduler.Latency.Watch),
			},
		},
		Stages: planFiles(s.Stages), Manifests: planFiles(s.Manifests), Gangs: s.manifestGangs(),
		Pods:       s.podPolicy(),
		Pricing:    s.planPricing(),
		JournalAPI: s.Journal.API, JobController: s.planJobController(),
		Resolved: resolved,
	}
	if len(s.Scheduler.FeatureGates) == 0 {
		p.Scheduler.FeatureGates = nil
	}
	if f := s.Scheduler.Config; f != nil {
		p.Scheduler.Config = plan.File{Name: f.Name, Data: []byte(f.Text)}
	}
	s.planNodes(p)
	s.planAccelerators(p)
	s.planAutoscaling(p)
	if err := s.planServices(p); err != nil {
		return nil, err
	}
	p.Repartitions = s.planRepartitions(p.Nodes)
	p.Warnings = append(append(p.Warnings, s.migWarnings()...), s.notes...)
	for _, path := range sortedKeys(s.Expect) {
		p.Expect = append(p.Expect, plan.Bound{Path: path, Min: s.Expect[path].Min, Max: s.Expect[path].Max})
	}
	return p, nil
}

// planNodes adds the pools and their nodes, with their places.
func (s *Scenario) planNodes(p *plan.Plan) {
	for i := range s.Cluster.Pools {
		pool := &s.Cluster.Pools[i]
		p.Pools = append(p.Pools, s.planPool(pool))
		for _, name := range pool.nodeNames() {
			p.Nodes = append(p.Nodes, plan.Node{Name: name, Pool: i})
		}
	}
	s.planLinks(p)
}

func planFiles(files []File) []plan.File {
	var out []plan.File
	for _, f := range files {
		out = append(out, plan.File{Name: f.Name, Data: []byte(f.Text)})
	}
	return out
}

func (s *Scenario) podPolicy() plan.Pods {
	w := &s.Workload
	return plan.Pods{
		TerminationGrace:   units.FromSeconds(w.TerminationGraceSeconds),
		Restart:            w.Restart.Policy,
		CheckpointInterval: units.Duration(w.Restart.CheckpointInterval),
		StartTogether:      w.Start == StartTogether,
		DropUnschedulable:  w.Submit.DropUnschedulable,
	}
}

func (s *Scenario) planPricing() plan.Pricing {
	energy := s.catalog.Energy
	p := plan.Pricing{Basis: s.Pricing.Basis, PUE: *s.Pricing.PUE, USDPerKWh: *s.Pricing.USDPerKWh,
		PUESource: energy.PUE.String(), KWhSource: energy.USDPerKWh.String()}
	if p.PUE != energy.PUE.Value {
		p.PUESource = scenarioSource
	}
	if p.USDPerKWh != energy.USDPerKWh.Value {
		p.KWhSource = scenarioSource
	}
	return p
}

const (
	scenarioSource = "the scenario"
	// busyNote goes with the busy power of a GPU: measured training draws 80 to 95 % of the maximum, so this is an
	// upper bound.
	busyNote = "maximum power as an upper bound of busy power: "
)

func (s *Scenario) planPool(pool *Pool) plan.Pool {
	out := plan.Pool{
		Name: pool.Name, CPUMilli: int64(pool.CPU), MemoryMiB: int64(pool.Memory), MaxPods: int64(pool.MaxPods),
		GPUModel: pool.GPU, GPUsPerNode: pool.GPUsPerNode, Sharing: pool.Sharing.Strategy, Labels: s.labels(pool),
		IdleWatts: -1, BusyWatts: -1, Elastic: s.planElastic(pool),
	}
	for _, t := range pool.Taints {
		out.Taints = append(out.Taints, plan.Taint{Key: t.Key, Value: t.Value, Effect: t.Effect})
	}
	out.Price = s.planPrice(pool)
	s.planDRA(pool, &out)
	gpu, err := s.catalog.Lookup(pool.GPU)
	if pool.GPU == "" || err != nil {
		return out
	}
	out.Resource, out.SlotsPerGPU = gpu.Resource, pool.Sharing.Replicas
	if pool.Sharing.Strategy == plan.SharingFraction {
		out.Resource = plan.FractionResource
	}
	if pool.Sharing.Rename && pool.Sharing.replicated() {
		out.Resource += sharedSuffix
	}
	if m, ok := s.migOf(pool); ok {
		out.Slots = m.slots(gpu.Resource)
	}
	out.Most = s.most(pool)
	if gpu.MemoryMiB != nil {
		out.MemoryMiBPerGPU = int64(gpu.MemoryMiB.Value)
	}
	if gpu.IdleWatts != nil {
		out.IdleWatts, out.IdleWattsSource = gpu.IdleWatts.Value, gpu.IdleWatts.String()
	}
	if gpu.TDPWatts != nil {
		out.BusyWatts, out.BusyWattsSource = gpu.TDPWatts.Value, busyNote+gpu.TDPWatts.String()
	}
	return out
}

// planPrice is the pool's own price, else the catalogue's.
func (s *Scenario) planPrice(pool *Pool) plan.Price {
	own, basis := pool.Price, s.basis(pool)
	micro := func(usd float64) units.MicroUSD { return units.MicroUSD(float64(usd*1e6) + 0.5) }
	switch {
	case own != nil && own.USDPerNodeHour != nil:
		return plan.Price{Known: true, PerNodeHour: micro(*own.USDPerNodeHour), Source: own.Source}
	case own != nil && own.USDPerGPUHour != nil:
		return plan.Price{Known: true, PerGPUHour: micro(*own.USDPerGPUHour), Source: own.Source}
	case own != nil && own.Owned != nil:
		c := cost.Capex{USDPerGPU: own.Owned.USDPerGPU, Years: own.Owned.Years, Residual: own.Owned.Residual}
		return plan.Price{Known: true, PerGPUHour: micro(c.USDPerGPUHour()), Source: own.Source}
	case pool.GPU == "":
		return plan.Price{Source: "no price is known for nodes without GPUs; give the pool one"}
	}
	if price, ok := s.catalog.Price(pool.GPU, basis, s.Pricing.Provider); ok {
		return plan.Price{Known: true, PerGPUHour: micro(price.USD.Value), Source: price.Source()}
	}
	return plan.Price{Source: fmt.Sprintf("the catalogue has no %s price of %s; give the pool one", basis, pool.GPU)}
}

// basis is how a pool's nodes are paid for: as the whole run's, but machines of a cloud as their capacity type says.
func (s *Scenario) basis(pool *Pool) string {
	if e := pool.Elastic; e != nil && e.CapacityType == plan.CapacitySpot {
		return catalog.Spot
	}
	return s.Pricing.Basis
}

// Book returns the price book of the run: the catalogue's prices and powers of the pools' GPUs, and the pools' own.
func (s *Scenario) Book() *cost.Book {
	b := &cost.Book{
		Models: map[string]cost.Rates{}, Pools: map[string]cost.Rates{},
		PUE:       cost.Figure{Value: *s.Pricing.PUE, Source: s.planPricing().PUESource},
		USDPerKWh: cost.Figure{Value: *s.Pricing.USDPerKWh, Source: s.planPricing().KWhSource},
	}
	for i := range s.Cluster.Pools {
		pool := &s.Cluster.Pools[i]
		if pool.GPU != "" {
			b.Models[pool.GPU] = s.modelRates(pool.GPU)
		}
		if pool.Price != nil {
			b.Pools[pool.Name] = ownRates(pool.Price, cost.Basis(s.Pricing.Basis))
		} else if basis := s.basis(pool); basis != s.Pricing.Basis {
			if price, ok := s.catalog.Price(pool.GPU, basis, s.Pricing.Provider); ok {
				spot := &Price{USDPerGPUHour: &price.USD.Value, Source: price.Source()}
				b.Pools[pool.Name] = ownRates(spot, cost.Basis(s.Pricing.Basis))
			}
		}
	}
	return b
}

func (s *Scenario) modelRates(key string) cost.Rates {
	var r cost.Rates
	for _, slot := range []struct {
		basis string
		to    **cost.Price
	}{
		{catalog.OnDemand, &r.OnDemand}, {catalog.Spot, &r.Spot},
		{catalog.Reserved1Y, &r.Reserved1y}, {catalog.Reserved3Y, &r.Reserved3y},
	} {
		if price, ok := s.catalog.Price(key, slot.basis, s.Pricing.Provider); ok {
			*slot.to = &cost.Price{USDPerGPUHour: price.USD.Value, Source: price.Source()}
		}
	}
	if gpu, err := s.catalog.Lookup(key); err == nil {
		if f := gpu.IdleWatts; f != nil {
			r.IdleWatts = &cost.Figure{Value: f.Value, Source: f.String()}
		}
		if f := gpu.TDPWatts; f != nil {
			r.BusyWatts = &cost.Figure{Value: f.Value, Source: busyNote + f.String()}
		}
	}
	return r
}

// ownRates turns a pool's price into rates on the scenario's basis.
func ownRates(p *Price, basis cost.Basis) cost.Rates {
	var r cost.Rates
	switch {
	case p.USDPerNodeHour != nil:
		r.NodeUSD = &cost.Figure{Value: *p.USDPerNodeHour, Source: p.Source}
	case p.Owned != nil:
		r.Owned = &cost.Capex{USDPerGPU: p.Owned.USDPerGPU, Years: p.Owned.Years, Residual: p.Owned.Residual,
			Source: p.Source}
	case p.USDPerGPUHour != nil:
		price := &cost.Price{USDPerGPUHour: *p.USDPerGPUHour, Source: p.Source}
		switch basis {
		case cost.OnDemand:
			r.OnDemand = price
		case cost.Spot:
			r.Spot = price
		case cost.Reserved1y:
			r.Reserved1y = price
		case cost.Reserved3y:
			r.Reserved3y = price
		}
	}
	return r
}
