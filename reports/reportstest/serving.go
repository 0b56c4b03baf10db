package reportstest

import (
	"math"
	"math/rand/v2"

	"orrery/sim/result"
)

// serving fills what only runs with services have: one that misses its objective in the evenings and is scaled, and one
// that is mostly idle and has a hostile name. Counts, rates and hours agree with each other.
func serving(d *result.Data, p Params, r *rand.Rand) {
	all := &result.Serving{Services: map[string]result.Service{}}
	for i, name := range []string{"chat", `code <b>&"`} {
		s, detail := service(d, p, r, i)
		detail.Name = name
		all.ServiceNames = append(all.ServiceNames, name)
		all.Services[name] = s
		all.GPUHours, all.ReadyHours = all.GPUHours+s.GPUHours, all.ReadyHours+s.ReadyHours
		all.BusyHours, all.USD = all.BusyHours+s.BusyHours, all.USD+s.USD
		q := &all.Requests
		q.Arrived, q.Completed = q.Arrived+s.Requests.Arrived, q.Completed+s.Requests.Completed
		q.Rejected, q.TimedOut = q.Rejected+s.Requests.Rejected, q.TimedOut+s.Requests.TimedOut
		q.InFlight, q.Good = q.InFlight+s.Requests.InFlight, q.Good+s.Requests.Good
		q.Retries, q.LostTries = q.Retries+s.Requests.Retries, q.LostTries+s.Requests.LostTries
		d.Services = append(d.Services, detail)
	}
	d.Summary.Serving = all
	starts(d, r)
	d.Summary.Machines = &result.Machines{Ordered: 14, Failed: 2, Ready: 12, Interrupted: 1, Gone: 9, Peak: 7,
		Hours: 96.5, Steps: map[string]result.Distribution{"launched": distribution(r, 12, 30),
			"registered": distribution(r, 12, 300), "ready": distribution(r, 12, 200)}}
	scalings(d, p)
}

// service draws a service over the series' bins by the wave of demand.
func service(d *result.Data, p Params, r *rand.Rand, i int) (result.Service, result.ServiceDetail) {
	bin := d.Series.Bin
	x := result.ServiceDetail{Series: result.ServiceSeries{Bin: bin}, StartWait: 95, StartStages: []float64{2, 35, 12, 61}}
	q := result.Requests{}
	s := result.Service{Model: "llama-3-8b", Engine: "vllm", Target: 0.99, TTFTBound: 0.5, TPOTBound: 0.04}
	v := &x.Series
	for k := range d.Series.T {
		t := float64(k) * bin
		rate := math.Max(0, []float64{40, 2}[i]*(0.6+0.4*math.Sin(2*math.Pi*t/86400-2)+0.05*r.NormFloat64()))
		ready := []float64{2 + math.Floor(rate/10), 4}[i]
		over := math.Max(0, rate/ready-7) / 7 // what the replicas cannot do
		timed := math.Floor(rate * over * 0.2 * bin)
		arrived := math.Floor(rate * bin)
		completed := arrived - timed
		good := math.Floor(completed * (1 - math.Min(1, over*2)))
		q.Arrived, q.Completed = q.Arrived+int64(arrived), q.Completed+int64(completed)
		q.TimedOut, q.Good = q.TimedOut+int64(timed), q.Good+int64(good)
		busy := math.Min(ready, rate/9)
		s.ReadyHours, s.BusyHours = s.ReadyHours+ready*bin/3600, s.BusyHours+busy*bin/3600
		s.ReplicasMax = max(s.ReplicasMax, int64(ready))
		ttft := 0.06 * (1 + 25*over)
		add := func(to *[]float64, f float64) { *to = append(*to, f) }
		for _, y := range []struct {
			to *[]float64
			f  float64
		}{{&v.T, t}, {&v.Arrived, arrived / bin}, {&v.Completed, completed / bin}, {&v.Rejected, 0},
			{&v.TimedOut, timed / bin}, {&v.Good, good / bin}, {&v.TTFT50, ttft}, {&v.TTFT95, 3 * ttft},
			{&v.TTFT99, 6 * ttft}, {&v.TPOT50, 0.012}, {&v.TPOT95, 0.02}, {&v.TPOT99, 0.02 + 0.03*over}, {&v.E2E50, 3},
			{&v.E2E95, 9}, {&v.E2E99, 20}, {&v.Ready, ready}, {&v.Busy, busy}, {&v.Running, rate * 3},
			{&v.Waiting, 300 * over}, {&v.KV, busy / ready / 2}, {&v.InFlight, rate * 3}, {&v.OutputTokens, rate * 200},
			{&v.Attainment, good / math.Max(1, arrived)}} {
			add(y.to, y.f)
		}
	}
	s.Requests = q
	s.Attainment = float64(q.Good) / math.Max(1, float64(q.Completed+q.TimedOut))
	s.ErrorBudgetUsed, s.Goodput = (1-s.Attainment)/0.01, float64(q.Good)/d.Summary.SimulatedSeconds
	latencies(&s, &x, r)
	priceService(&s, p)
	s.ReplicasMean, s.RunningMean, s.WaitingMean, s.KVMean = s.ReadyHours/p.Hours, 88, 3.5, 0.31
	s.BusyFraction = s.BusyHours / math.Max(1, s.ReadyHours)
	x.Groups = []result.ServiceGroup{{Name: "default/chat", Kind: "Deployment", Role: "both", GPUs: 1,
		ReplicasMax: s.ReplicasMax, GPUHours: s.ReadyHours, BusyHours: s.BusyHours}}
	if i == 0 {
		x.Stages = []result.StageRow{{Name: "guard <1>", Time: distribution(r, 900, 0.1)}, {Name: "chat", Time: s.E2E}}
		s.ScaleUps, s.ScaleDowns = 4, 3
	}
	return s, x
}

// latencies draws distributions and their histograms.
func latencies(s *result.Service, x *result.ServiceDetail, r *rand.Rand) {
	for _, y := range []struct {
		to    *result.Distribution
		h     *result.Histogram
		scale float64
	}{{&s.TTFT, &x.TTFT, 1}, {&s.TPOT, &x.TPOT, 0.1}, {&s.E2E, &x.E2E, 30}} {
		v := sample(r, min(s.Requests.Completed, 4000), y.scale)
		*y.to = summarise(v)
		y.to.Count = s.Requests.Completed
		for e := y.scale / 1000; e < y.scale*2000; e *= math.Pow(2, 0.25) {
			y.h.Edges = append(y.h.Edges, e)
		}
		y.h.Counts = make([]int64, len(y.h.Edges)-1)
		for _, f := range v {
			for k := range y.h.Counts {
				if f <= y.h.Edges[k+1] {
					y.h.Counts[k]++
					break
				}
			}
		}
	}
	s.QueueWait = s.TTFT
}

// priceService prices a service.
func priceService(s *result.Service, p Params) {
	s.GPUHours = s.ReadyHours * 1.05
	s.USD, s.EnergyKWh, s.ComputeFraction = s.GPUHours*p.Price, s.BusyHours*0.8+(s.GPUHours-s.BusyHours)*0.09, 0.35
	n := math.Max(1, float64(s.Requests.Completed))
	s.InputTokens, s.OutputTokens = s.Requests.Completed*1200, s.Requests.Completed*200
	s.CachedTokens = s.InputTokens / 5
	s.Prefilled, s.Generated = s.InputTokens-s.CachedTokens, s.OutputTokens
	in, out := n*1200/1e6, n*200/1e6
	s.USDPerMInput, s.USDPerMOutput = s.USD*s.ComputeFraction/in, s.USD*(1-s.ComputeFraction)/out
	s.USDPerMTokens, s.USDPerRequest = s.USD/(in+out), s.USD/n
	s.USDPerGoodRequest = s.USD / math.Max(1, float64(s.Requests.Good))
	s.KWhPerMTokens = s.EnergyKWh / (in + out)
}

func starts(d *result.Data, r *rand.Rand) {
	s := &result.Starts{Pods: 11, Wait: distribution(r, 11, 300), Start: distribution(r, 11, 400),
		Total: distribution(r, 11, 700), Stages: map[string]result.Distribution{},
		StageNames: []string{"sandbox", "image-pull", "weights", "engine"}}
	for i, name := range s.StageNames {
		s.Stages[name] = distribution(r, 11, []float64{10, 150, 60, 250}[i])
	}
	d.Summary.Starts = s
}

func scalings(d *result.Data, p Params) {
	for i := range 7 {
		from := int32(2 + i%4)
		to := from + int32(1-2*(i%2))
		d.Scalings = append(d.Scalings, result.Scaling{Seconds: p.Hours * 3600 * float64(i+1) / 9,
			Object: "Deployment/default/chat", From: from, To: to, By: "HorizontalPodAutoscaler/default/chat",
			Reason: "pods metric vllm:num_requests_running above target <24>"})
	}
	d.Conditions = []result.AutoscalerCondition{{Seconds: 15, Object: "HorizontalPodAutoscaler/default/chat",
		Type: "ScalingActive", Status: "True", Reason: "ValidMetricFound", Changes: 2,
		Message: "the HPA was able to successfully calculate a replica count"},
		{Seconds: 15, Object: "HorizontalPodAutoscaler/default/code", Type: "ScalingActive", Status: "False",
			Reason: "FailedGetPodsMetric", Message: "unable to get metric <x>: no metrics returned", Changes: 1}}
}

// randomServing draws services of any figures, or none.
func randomServing(d *result.Data, r *rand.Rand) {
	if r.IntN(2) == 0 {
		d.Summary.Serving, d.Services = nil, nil
		return
	}
	n := func() int64 { return []int64{0, 0, 1, int64(r.IntN(1000)), int64(r.IntN(1 << 40))}[r.IntN(5)] }
	all := &result.Serving{Services: map[string]result.Service{}}
	for i := range r.IntN(12) {
		name := string(rune('a' + i))
		q := result.Requests{Completed: n(), Rejected: n(), TimedOut: n(), Stopped: n(), InFlight: n(), Retries: n(),
			LostTries: n()}
		q.Arrived = q.Completed + q.Rejected + q.TimedOut + q.Stopped + q.InFlight
		q.Good = min(q.Completed, n())
		s := result.Service{Engine: "vllm", Requests: q, TTFT: rising(r, q.Completed), TPOT: rising(r, min(3, q.Completed)),
			E2E: rising(r, q.Completed), TTFTBound: amount(r) * float64(r.IntN(2)), Target: []float64{0, 0.99, 1}[r.IntN(3)],
			Preemptions: n(), InputTokens: n(), OutputTokens: n(), ReadyHours: amount(r), USD: amount(r),
			EnergyKWh: amount(r), ComputeFraction: r.Float64(), ReplicasMax: n(), ReplicasMean: amount(r)}
		s.BusyFraction = r.Float64() * float64(r.IntN(2))
		s.GPUHours, s.BusyHours = s.ReadyHours+amount(r), s.ReadyHours*s.BusyFraction
		if ended := q.Completed + q.Rejected + q.TimedOut; ended > 0 {
			s.Attainment = float64(q.Good) / float64(ended)
		}
		x := result.ServiceDetail{Name: name, StartWait: amount(r), StartStages: []float64{amount(r)}}
		v, bins := &x.Series, r.IntN(5)
		v.Bin = 60
		for _, to := range []*[]float64{&v.T, &v.Arrived, &v.Completed, &v.Rejected, &v.TimedOut, &v.Good, &v.TTFT50,
			&v.TTFT95, &v.TTFT99, &v.TPOT50, &v.TPOT95, &v.TPOT99, &v.E2E50, &v.E2E95, &v.E2E99, &v.Ready, &v.Busy,
			&v.Running, &v.Waiting, &v.KV, &v.InFlight, &v.OutputTokens, &v.Attainment} {
			for k := range bins {
				*to = append(*to, amount(r))
				if to == &v.T || to == &v.Attainment {
					(*to)[k] = map[bool]float64{true: float64(60 * k), false: r.Float64()}[to == &v.T]
				}
			}
		}
		all.ServiceNames, all.Services[name] = append(all.ServiceNames, name), s
		d.Services = append(d.Services, x)
		all.GPUHours, all.ReadyHours, all.BusyHours = all.GPUHours+s.GPUHours, all.ReadyHours+s.ReadyHours,
			all.BusyHours+s.BusyHours
		all.USD += s.USD
		q2 := &all.Requests
		q2.Arrived, q2.Completed, q2.Rejected = q2.Arrived+q.Arrived, q2.Completed+q.Completed, q2.Rejected+q.Rejected
		q2.TimedOut, q2.Stopped, q2.InFlight = q2.TimedOut+q.TimedOut, q2.Stopped+q.Stopped, q2.InFlight+q.InFlight
		q2.Good, q2.Retries, q2.LostTries = q2.Good+q.Good, q2.Retries+q.Retries, q2.LostTries+q.LostTries
	}
	d.Summary.Serving = all
	if r.IntN(2) == 0 {
		d.Summary.Starts = &result.Starts{Pods: n(), Total: rising(r, 3), Wait: rising(r, 3), StageNames: []string{"engine"},
			Stages: map[string]result.Distribution{"engine": rising(r, 2)}}
	}
	if r.IntN(2) == 0 {
		d.Summary.Machines = &result.Machines{Ordered: n(), Failed: n(), Ready: n(), Gone: n(), Hours: amount(r)}
	}
	for range r.IntN(3) {
		d.Scalings = append(d.Scalings, result.Scaling{Seconds: amount(r), Object: "o", From: 1, To: int32(r.IntN(4))})
	}
}
