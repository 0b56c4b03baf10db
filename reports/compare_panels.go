package reports

import (
	"fmt"
	"slices"

	"orrery/sim/result"
)

// rowsOf calls each for every run that has a service, service by service, with the cells that begin its row.
func (x *compared) rowsOf(each func(start []Cell, v *result.Service, d *result.ServiceDetail)) {
	for _, name := range x.services {
		for i := range x.runs {
			v, d := x.runs[i].service(name)
			if d == nil {
				continue
			}
			start := []Cell{T(x.runs[i].Name)}
			if len(x.services) > 1 {
				start = append(start, T(name))
			}
			each(start, &v, d)
		}
	}
}

// columns are those of a table with a row for each run and service.
func (x *compared) columns(more ...Column) []Column {
	out := []Column{{"run", "Run", "", Text}}
	if len(x.services) > 1 {
		out = append(out, Column{"service", "Service", "", Text})
	}
	return append(out, more...)
}

// users is what the users of services felt.
func (x *compared) users() Content {
	if len(x.services) == 0 {
		return Content{Headline: "No run has services.", Absent: true}
	}
	t := Table{ID: "users", Title: "Requests, objectives and latencies", Columns: x.columns(
		Column{"arrived", "Requests", "", Count}, Column{"failed", "Rejected, timed out", "", Count},
		Column{"attained_share", "Within objectives", "", Share}, Column{"target_share", "Wanted", "", Share},
		Column{"error_budget_share", "Error budget used", "", Share},
		Column{"ttft_p50_seconds", "TTFT, median", "s", Duration}, Column{"ttft_p99_seconds", "TTFT, p99", "s", Duration},
		Column{"tpot_p99_seconds", "TPOT, p99", "s", Duration}, Column{"e2e_p99_seconds", "End to end, p99", "s", Duration})}
	x.rowsOf(func(row []Cell, v *result.Service, _ *result.ServiceDetail) {
		q := &v.Requests
		some := hasObjective(v) && endedRequests(q) > 0
		t.Rows = append(t.Rows, append(row, I(q.Arrived), I(q.Rejected+q.TimedOut), numIf(some, v.Attainment),
			numIf(hasObjective(v), v.Target), numIf(some && v.Target < 1, v.ErrorBudgetUsed),
			numIf(v.TTFT.Count > 0, v.TTFT.P50), numIf(v.TTFT.Count > 0, v.TTFT.P99), numIf(v.TPOT.Count > 0, v.TPOT.P99),
			numIf(v.E2E.Count > 0, v.E2E.P99)))
	})
	c := Content{Tables: []Table{t}, Notes: []string{"TTFT: from the client's sending to the first token at the client. " +
		"TPOT: time per output token after the first. Percentiles are of completed requests, within 0.8 %. Error budget " +
		"used: what missed ÷ what may miss."}}
	met := 0
	for i := range x.runs {
		if x.met(&x.runs[i]) {
			met++
		}
	}
	c.Headline = fmt.Sprintf("%d of %d runs met all objectives.", met, len(x.runs))
	return c
}

// overTime lays the runs over each other.
func (x *compared) overTime() Content {
	c := Content{Headline: "The same requests, the replicas that each run had for them, and how long users waited."}
	if len(x.unlike) > 0 {
		c.Headline = "What was asked, the replicas that each run had for it, and how long users waited."
	}
	for _, name := range x.services[:min(len(x.services), servicesShown)] {
		var series []*result.ServiceSeries
		for i := range x.runs {
			if _, d := x.runs[i].service(name); d != nil {
				series = append(series, &d.Series)
			}
		}
		edges := gridOf(series...)
		if len(edges) < 2 {
			continue
		}
		unit := unitOf(edges[len(edges)-1])
		base := Chart{Kind: Line, X: Axis{"time", unit.name}}
		for _, t := range edges {
			base.Times = append(base.Times, t/unit.seconds)
		}
		id := idOf(name)
		if asked := x.overlay(base, name, edges, 1, func(r *result.ServiceSeries) ([]float64, bool) {
			return r.Arrived, true
		}); len(asked.Series) > 0 {
			asked.ID, asked.Title, asked.Y = "arrived-"+id, name+": requests that arrived", Axis{"requests", "per second"}
			if len(x.unlike) == 0 {
				asked.Series = asked.Series[:1]
			}
			c.Charts = append(c.Charts, asked)
		}
		ready := x.overlay(base, name, edges, 1, func(r *result.ServiceSeries) ([]float64, bool) { return r.Ready, true })
		ready.ID, ready.Title, ready.Y = "ready-"+id, name+": ready replicas", Axis{"replicas", "count"}
		c.Charts = append(c.Charts, ready, x.tail(base, name, edges))
	}
	if len(c.Charts) == 0 {
		return Content{Headline: "No run has services.", Absent: true}
	}
	c.Notes = []string{"One point stands for the widest span of any of the runs: replicas are averages over it, a " +
		"latency is the worst 99th percentile in it, of the requests that completed then. A run that ended before the " +
		"others has no replicas after its end."}
	if n := len(x.services); n > servicesShown {
		c.Notes = append(c.Notes, fmt.Sprintf("The first %d of %d services.", servicesShown, n))
	}
	return c
}

// overlay draws a series of every run; mean says whether it is averaged over a bin, or its largest value counts.
func (x *compared) overlay(base Chart, name string, edges []float64, scale float64,
	of func(r *result.ServiceSeries) (v []float64, mean bool)) Chart {
	out := base
	for i := range x.runs {
		_, d := x.runs[i].service(name)
		if d == nil {
			continue
		}
		v, mean := of(&d.Series)
		values := onto(edges, &d.Series, v, mean)
		for k := range values {
			values[k] /= scale
		}
		out.Series = append(out.Series, ChartSeries{Name: clip(x.runs[i].Name, 40), Role: x.roles[i], Values: values})
	}
	return out
}

// tail draws the 99th percentile of the time to the first token, or of the whole answer, and the objective where it is
// one for all.
func (x *compared) tail(base Chart, name string, edges []float64) Chart {
	what, bounds, top := "time to first token", []float64{}, 0.0
	tokens := slices.ContainsFunc(x.runs, func(r Run) bool { v, _ := r.service(name); return v.TTFT.Count > 0 })
	of := func(r *result.ServiceSeries) ([]float64, bool) { return r.TTFT99, false }
	if !tokens {
		what, of = "end to end", func(r *result.ServiceSeries) ([]float64, bool) { return r.E2E99, false }
	}
	for i := range x.runs {
		v, d := x.runs[i].service(name)
		if d == nil {
			continue
		}
		bound, p99 := v.TTFTBound, d.Series.TTFT99
		if !tokens {
			bound, p99 = v.E2EBound, d.Series.E2E99
		}
		if !slices.Contains(bounds, bound) {
			bounds = append(bounds, bound)
		}
		most, _ := maxOf(p99)
		top = max(top, most, bound)
	}
	u := fineUnit(top)
	c := x.overlay(base, name, edges, u.seconds, of)
	c.ID, c.Title, c.Log = "p99-"+idOf(name), name+": "+what+", 99th percentile", true
	c.Y = Axis{"latency", u.name}
	if len(bounds) == 1 && bounds[0] > 0 {
		line := make([]float64, len(edges)-1)
		fill(line, bounds[0]/u.seconds)
		c.Series = append(c.Series, ChartSeries{Name: "objective", Role: RoleBound, Values: line})
	}
	return c
}

// servingCost is the GPU time that services held, and its price.
func (x *compared) servingCost() Content {
	if len(x.services) == 0 {
		return Content{Headline: "No run has services.", Absent: true}
	}
	t := Table{ID: "serving", Title: "Replicas, GPU time and cost", Columns: x.columns(
		Column{"ready_mean", "Replicas, mean", "", Number}, Column{"ready_max", "Most", "", Count},
		Column{"scale_ups", "Scale-ups", "", Count}, Column{"scale_downs", "Scale-downs", "", Count},
		Column{"paid_gpu_hours", "Paid", "GPU-hours", Number}, Column{"busy_share", "Busy of paid", "", Share},
		Column{"cost_usd", "Cost", "USD", Money},
		Column{"usd_per_thousand_good_requests", "Thousand good requests", "USD", Price},
		Column{"usd_per_million", "Million tokens", "USD", Price},
		Column{"kwh_per_million", "Energy per million tokens", "kWh", Number})}
	x.rowsOf(func(row []Cell, v *result.Service, _ *result.ServiceDetail) {
		tokens := v.InputTokens+v.OutputTokens > 0
		priced := v.USD > 0
		t.Rows = append(t.Rows, append(row, N(v.ReplicasMean), I(v.ReplicasMax), I(v.ScaleUps), I(v.ScaleDowns),
			N(v.GPUHours), numIf(v.GPUHours > 0, ratio(v.BusyHours, v.GPUHours)), numIf(priced, v.USD),
			numIf(priced && v.Requests.Good > 0, 1000*v.USDPerGoodRequest), numIf(priced && tokens, v.USDPerMTokens),
			numIf(tokens, v.KWhPerMTokens)))
	})
	chart := Chart{ID: "gpu-hours-by-run", Title: "GPU time of the services", Kind: StackedBar, X: Axis{"run", "name"},
		Y: Axis{"GPU time", "GPU-hours"}, Series: []ChartSeries{{Name: "busy", Role: RoleUsed},
			{Name: "ready and idle", Role: RoleIdle}, {Name: "starting", Role: RoleTypical}}}
	least, most := -1.0, 0.0
	for i := range x.runs {
		s := x.runs[i].Data.Summary.Serving
		if s == nil {
			s = &result.Serving{}
		}
		chart.Categories = append(chart.Categories, clip(x.runs[i].Name, 24))
		for k, h := range []float64{s.BusyHours, s.ReadyHours - s.BusyHours, s.GPUHours - s.ReadyHours} {
			chart.Series[k].Values = append(chart.Series[k].Values, max(0, clean(h)))
		}
		if h := clean(s.GPUHours); least < 0 || h < least {
			least = h
		}
		most = max(most, clean(s.GPUHours))
	}
	return Content{Tables: []Table{t}, Charts: []Chart{chart}, Headline: fmt.Sprintf(
		"The services held between %s and %s GPU-hours.", FormatNumber(max(0, least)), FormatNumber(most)),
		Notes: []string{"Paid: from a replica's binding to the release of its GPUs. Starting: the part before it took " +
			"requests and after it had ended the last. A service that is a stage of another counts in the chart only."}}
}

// cluster is what the whole cluster cost.
func (x *compared) cluster() Content {
	t := Table{ID: "clusters", Title: "Clusters", Columns: []Column{{"run", "Run", "", Text},
		{"simulated_seconds", "Simulated", "s", Duration}, {"capacity_gpu_hours", "Capacity", "GPU-hours", Number},
		{"used_share", "Used of time in service", "", Share}, {"cost_usd", "Cost", "USD", Money},
		{"idle_usd", "Of it idle GPUs", "USD", Money}, {"energy_kwh", "Energy", "kWh", Number}}}
	var machines, jobs, starts bool
	for _, r := range x.runs {
		s := &r.Data.Summary
		machines, jobs = machines || s.Machines != nil, jobs || s.Jobs.Submitted > 0
		starts = starts || s.Starts != nil && s.Starts.Pods > 0
	}
	if starts {
		t.Columns = append(t.Columns, Column{"cold_starts", "Cold starts", "", Count},
			Column{"start_p50_seconds", "Median", "s", Duration}, Column{"start_p95_seconds", "p95", "s", Duration})
	}
	if machines {
		t.Columns = append(t.Columns, Column{"machines_ordered", "Machines ordered", "", Count},
			Column{"machine_hours", "Paid for", "machine-hours", Number})
	}
	if jobs {
		t.Columns = append(t.Columns, Column{"jobs", "Jobs", "", Count}, Column{"jobs_completed", "Completed", "", Count},
			Column{"wait_p50_seconds", "Wait, median", "s", Duration}, Column{"wait_p95_seconds", "Wait, p95", "s", Duration})
	}
	chart := Chart{ID: "cost-by-run", Title: "Cost of the cluster", Kind: StackedBar, X: Axis{"run", "name"},
		Y: Axis{"cost", "USD"}, Series: []ChartSeries{{Name: "services", Role: RoleUsed}, {Name: "jobs", Role: RoleTypical},
			{Name: "idle GPUs", Role: RoleIdle}, {Name: "down, and nodes without GPUs", Role: RoleDown}}}
	priced := false
	for _, r := range x.runs {
		t.Rows = append(t.Rows, clusterRow(&r, starts, machines, jobs))
		k, serving := &r.Data.Summary.Cost, 0.0
		if s := r.Data.Summary.Serving; s != nil {
			serving = clean(s.USD)
		}
		priced = priced || k.TotalUSD > 0
		chart.Categories = append(chart.Categories, clip(r.Name, 24))
		for i, v := range []float64{serving, k.UsedUSD - serving, k.IdleUSD, k.DownUSD + k.NodesUSD} {
			chart.Series[i].Values = append(chart.Series[i].Values, max(0, clean(v)))
		}
	}
	c := Content{Headline: "No prices are known.", Tables: []Table{t}}
	if !priced {
		return c
	}
	chart.Series = drawn(chart.Series)
	c.Charts = []Chart{chart}
	c.Headline = "The clusters cost the same; what differs is who used them."
	if !x.byServices() {
		r, _ := x.cheapest(func(*Run) bool { return true })
		c.Headline = fmt.Sprintf("%s has the cheapest cluster: %s.", r.Name, FormatUSD(r.Data.Summary.Cost.TotalUSD))
	}
	return c
}

func clusterRow(r *Run, starts, machines, jobs bool) []Cell {
	s := &r.Data.Summary
	g, k, w := &s.GPU, &s.Cost, &s.QueueWait
	row := []Cell{T(r.Name), N(s.SimulatedSeconds), N(g.CapacityHours),
		numIf(inService(g) > 0, ratio(g.UsedHours, inService(g))), numIf(k.TotalUSD > 0, k.TotalUSD),
		numIf(k.TotalUSD > 0, k.IdleUSD), N(k.EnergyKWh)}
	if starts {
		x := s.Starts
		if x == nil {
			x = &result.Starts{}
		}
		row = append(row, I(x.Pods), numIf(x.Pods > 0, x.Total.P50), numIf(x.Pods > 0, x.Total.P95))
	}
	if machines {
		m := s.Machines
		if m == nil {
			m = &result.Machines{}
		}
		row = append(row, numIf(s.Machines != nil, float64(m.Ordered)), numIf(s.Machines != nil, m.Hours))
	}
	if jobs {
		row = append(row, I(s.Jobs.Submitted), I(s.Jobs.Completed), numIf(w.Count > 0, w.P50), numIf(w.Count > 0, w.P95))
	}
	return row
}
