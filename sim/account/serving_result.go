package account

import (
	"math"

	"orrery/sim/result"
	"orrery/sim/units"
)

// serving fills in what the result says of services, machines and autoscalers.
func (f *Fold) serving(d *result.Data) {
	d.Summary.Machines = f.services.machines.result(f.now)
	f.rows(d)
	d.Scalings, d.Conditions = f.services.scalings, f.services.said
	if len(f.services.list) == 0 {
		return
	}
	d.Summary.Starts = f.services.starts.result()
	all := &result.Serving{Services: map[string]result.Service{}}
	for _, s := range f.services.list {
		row, detail := f.serviceResult(s, d)
		all.Services[s.Service.Service] = row
		all.ServiceNames = append(all.ServiceNames, s.Service.Service)
		all.GPUHours += row.GPUHours
		all.ReadyHours += row.ReadyHours
		all.BusyHours += row.BusyHours
		if !s.InPipeline {
			addRequests(&all.Requests, &row.Requests)
		}
		d.Services = append(d.Services, detail)
	}
	d.Summary.Serving = all
}

func addRequests(to, from *result.Requests) {
	to.Arrived += from.Arrived
	to.Completed += from.Completed
	to.Rejected += from.Rejected
	to.TooLong += from.TooLong
	to.TimedOut += from.TimedOut
	to.Stopped += from.Stopped
	to.InFlight += from.InFlight
	to.Good += from.Good
	to.Retries += from.Retries
	to.LostTries += from.LostTries
}

// serviceResult is the account of one service; money is put in by the cost package.
func (f *Fold) serviceResult(s *service, d *result.Data) (result.Service, result.ServiceDetail) {
	t := &s.sum
	ttft := s.series.total(func(b *serviceBin) *latencies { return &b.ttft })
	tpot := s.series.total(func(b *serviceBin) *latencies { return &b.tpot })
	e2e := s.series.total(func(b *serviceBin) *latencies { return &b.e2e })
	row := result.Service{Model: s.Model, Engine: s.Engine, InPipeline: s.InPipeline,
		TTFT: ttft.distribution(), TPOT: tpot.distribution(), E2E: e2e.distribution(),
		QueueWait: s.queue.distribution(), Target: float64(s.Target) / 1e6,
		TTFTBound: s.Service.TTFT.Seconds(), TPOTBound: s.Service.TPOT.Seconds(), E2EBound: s.Service.E2E.Seconds(),
		Requests: result.Requests{Arrived: t.Arrived, Completed: t.Completed, Rejected: t.Rejected, TimedOut: t.TimedOut,
			TooLong: t.TooLong, Stopped: t.Stopped, InFlight: t.InFlight, Good: t.Good, Retries: t.Retries, LostTries: t.Lost},
		InputTokens: t.Input, CachedTokens: t.Cached, OutputTokens: t.Output, Prefilled: t.Prefilled, Generated: t.Generated,
		Preemptions: t.Preemptions, ReplicasMax: s.readyPeak, ScaleUps: s.ups, ScaleDowns: s.downs}
	if ended := t.Completed + t.Rejected + t.TimedOut; ended > 0 {
		row.Attainment = float64(t.Good) / float64(ended)
		if row.Target < 1 {
			row.ErrorBudgetUsed = (1 - row.Attainment) / (1 - row.Target)
		}
	}
	if span := f.now.Seconds(); span > 0 {
		row.Goodput = float64(t.Good) / span
		row.RunningMean, row.WaitingMean = seconds(s.time.running)/span, seconds(s.time.waiting)/span
		row.ReplicasMean = seconds(s.time.ready) / span
	}
	if ready := seconds(s.time.ready); ready > 0 {
		row.KVMean = seconds(s.time.kv) / ready
		row.BusyFraction = math.Min(1, seconds(s.time.busy)/ready)
	}
	if busy := seconds(s.time.busy); busy > 0 {
		row.ComputeFraction = math.Min(1, seconds(s.time.compute)/busy)
	}
	detail := result.ServiceDetail{Name: s.Service.Service, Series: s.series.result(), TTFT: ttft.histogram(),
		TPOT: tpot.histogram(), E2E: e2e.histogram()}
	for _, g := range s.Groups {
		b := s.groups[g.Group]
		b.book(f.now)
		hours := b.servingT.GPUHours()
		row.ReadyHours += hours
		row.BusyHours += b.busyT.GPUHours()
		detail.Groups = append(detail.Groups, result.ServiceGroup{Name: g.Group, Kind: g.Kind, Role: g.Role,
			GPUs: g.GPUs.GPUs(), ReplicasMax: b.peak, GPUHours: hours, BusyHours: b.busyT.GPUHours()})
	}
	row.BusyHours = math.Min(row.BusyHours, row.ReadyHours) // sums of floats
	f.serviceHours(s, d, &row, &detail)
	f.serviceStarts(s, &detail)
	for i, name := range s.Stages {
		detail.Stages = append(detail.Stages, result.StageRow{Name: name, Time: s.stages[i].distribution()})
	}
	return row, detail
}

// serviceHours takes the device time of a service from its tenant's account, and says of each pool how much of it the
// servers did nothing.
func (f *Fold) serviceHours(s *service, d *result.Data, row *result.Service, detail *result.ServiceDetail) {
	var owned units.Integral
	for i, h := range s.tenant.byPool {
		if h == (units.Integral{}) {
			continue
		}
		owned = owned.Plus(h)
		detail.ByPool = append(detail.ByPool, result.PoolHours{Pool: f.pools[i].Pool.Pool, GPUHours: h.GPUHours()})
	}
	row.GPUHours = owned.GPUHours()
	if row.GPUHours == 0 {
		return
	}
	row.BusyHours = math.Min(row.BusyHours, row.GPUHours)
	idle := 1 - row.BusyHours/row.GPUHours
	for _, h := range detail.ByPool {
		for i := range d.Pools {
			if d.Pools[i].Name == h.Pool {
				d.Pools[i].ServingIdleHours += float64(h.GPUHours * idle)
			}
		}
	}
}

// serviceStarts says how long the stages of its replicas' starts took.
func (f *Fold) serviceStarts(s *service, detail *result.ServiceDetail) {
	detail.StartWait = distribution(s.starts.wait).Mean
	for _, name := range f.services.starts.names() {
		mean := 0.0
		if at := s.starts.stages.byKey[name]; at != nil {
			mean = distribution(at.seconds).Mean
		}
		detail.StartStages = append(detail.StartStages, mean)
	}
}
