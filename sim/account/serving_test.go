package account

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"orrery/sim/cost"
	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/sketch"
	"orrery/sim/units"
)

// played collects records with times that rise.
type played struct{ recs []journal.Record }

func (p *played) at(d time.Duration, bodies ...journal.Body) {
	for _, b := range bodies {
		p.recs = append(p.recs, journal.Record{At: units.Time(d), Body: b})
	}
}

// served begins a run of one node with 8 GPUs and the services given.
func served(services ...journal.Service) *played {
	p := &played{}
	p.at(0, journal.Run{Format: journal.FormatVersion, Scenario: "served", Seed: 1},
		journal.Pool{Pool: "a", GPUModel: "h100", GPUsPerNode: 8, SlotsPerGPU: 1, CPUMilli: 100000, MemoryMiB: 1 << 20},
		journal.Node{Node: "n0", Pool: "a", State: journal.NodeUp, GPUs: 8})
	for _, s := range services {
		p.at(0, s)
	}
	return p
}

// pod creates a pod of a service and gives it GPUs of the node from the slot on.
func (p *played) pod(at time.Duration, name, service string, from, gpus int) {
	asked := units.MilliGPU(gpus) * units.GPU
	var slots []journal.Slot
	for i := range gpus {
		slots = append(slots, journal.Slot{Index: from + i, Share: units.GPU})
	}
	p.at(at, journal.PodCreate{Pod: name, Service: service, GPUs: asked, Slots: gpus},
		journal.PodBind{Pod: name, Node: "n0"}, journal.PodAssign{Pod: name, Node: "n0", Slots: slots},
		journal.PodStart{Pod: name})
}

func chatService() journal.Service {
	return journal.Service{Service: "chat", Engine: "vllm", TTFT: 500 * time.Millisecond, Target: 990_000,
		Groups: []journal.ServiceGroup{{Group: "default/chat", Kind: "Deployment", Pods: 1, GPUs: 2 * units.GPU}},
		Stages: []string{"chat"}}
}

func replicaIs(state string) journal.Replica {
	return journal.Replica{Service: "chat", Group: "default/chat", Replica: "default/chat-0", State: state}
}

func latenciesOf(ns ...int64) journal.Latencies {
	var h sketch.Hist
	for _, v := range ns {
		h.Add(v)
	}
	return journal.Latencies{Pairs: h.Sparse(), Sum: units.Duration(h.Sum()), Max: units.Duration(h.Max())}
}

// window is an account of a minute in which one replica was ready the whole time.
func window(arrived, completed, inFlight int64) journal.Requests {
	return journal.Requests{Service: "chat", Span: time.Minute, Arrived: arrived, Completed: completed, InFlight: inFlight,
		Good: completed, Ready: time.Minute}
}

// byHand is a service of one replica of 2 GPUs: ready from minute 1 to minute 4, draining until minute 5.
func byHand() *played {
	p := served(chatService())
	p.pod(0, "default/chat-0", "chat", 0, 2)
	p.at(0, replicaIs(journal.ReplicaStarting))
	p.at(40*time.Second, journal.PodStage{Pod: "default/chat-0", Stage: journal.StageWeights, Took: 40 * time.Second})
	p.at(time.Minute, journal.PodStage{Pod: "default/chat-0", Stage: journal.StageEngine, Took: 20 * time.Second},
		replicaIs(journal.ReplicaReady), journal.Requests{Service: "chat", Span: time.Minute, Arrived: 2, InFlight: 2})
	w := window(10, 11, 1)
	w.Good, w.Input, w.Output, w.Busy, w.Compute = 10, 1000, 500, 30*time.Second, 10*time.Second
	w.Running, w.Waiting, w.KV = 3*time.Minute, time.Minute, 15*time.Second
	w.TTFT = latenciesOf(1e9, 2e8, 2e8, 2e8, 2e8, 2e8, 2e8, 2e8, 2e8, 2e8, 2e8)
	p.at(2*time.Minute, w)
	w = window(5, 3, 1)
	w.Rejected, w.TimedOut, w.Good, w.Retries, w.Lost = 1, 1, 3, 4, 2
	w.Busy, w.Compute = 15*time.Second, 5*time.Second
	w.Input, w.Output = 500, 250
	w.TTFT = latenciesOf(1e8, 1e8, 1e8)
	p.at(3*time.Minute, w)
	w = window(0, 0, 1)
	p.at(4*time.Minute, replicaIs(journal.ReplicaDraining), w)
	w = window(0, 1, 0)
	w.TTFT = latenciesOf(1e8)
	p.at(5*time.Minute, replicaIs(journal.ReplicaGone), w, journal.PodEnd{Pod: "default/chat-0", Phase: "Succeeded"},
		journal.PodRelease{Pod: "default/chat-0", Node: "n0"}, journal.PodDelete{Pod: "default/chat-0"})
	p.at(10*time.Minute, journal.Requests{Service: "chat", Span: 5 * time.Minute}, journal.End{Reason: "drained"})
	return p
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9*math.Max(1, math.Abs(want)) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// TestServiceByHand compares every figure of a small service with one computed on paper.
func TestServiceByHand(t *testing.T) {
	_, out, err := fold(byHand().recs)
	if err != nil {
		t.Fatal(err)
	}
	s := out.data.Summary.Serving.Services["chat"]
	want := result.Requests{Arrived: 17, Completed: 15, Rejected: 1, TimedOut: 1, Good: 14, Retries: 4, LostTries: 2}
	if diff := cmp.Diff(want, s.Requests); diff != "" {
		t.Error(diff)
	}
	near(t, "attainment", s.Attainment, 14.0/17)
	near(t, "error budget", s.ErrorBudgetUsed, 3.0/17/0.01)
	near(t, "goodput", s.Goodput, 14.0/600)
	near(t, "GPU-hours", s.GPUHours, 2*5.0/60)
	near(t, "ready GPU-hours", s.ReadyHours, 2*4.0/60)
	near(t, "busy GPU-hours", s.BusyHours, 2*45.0/3600)
	near(t, "busy fraction", s.BusyFraction, 45.0/240)
	near(t, "compute-bound", s.ComputeFraction, 15.0/45)
	near(t, "replicas", s.ReplicasMean, 240.0/600)
	near(t, "running", s.RunningMean, 180.0/600)
	near(t, "KV", s.KVMean, 15.0/240)
	near(t, "TTFT mean", s.TTFT.Mean, (1+10*0.2+4*0.1)/15)
	near(t, "TTFT max", s.TTFT.Max, 1)
	if s.TTFT.Count != 15 || math.Abs(s.TTFT.P50/0.2-1) > 0.008 || s.ReplicasMax != 1 {
		t.Errorf("TTFT %+v, %d replicas", s.TTFT, s.ReplicasMax)
	}
	starts := out.data.Summary.Starts
	if starts.Pods != 1 || starts.Total.P50 != 60 || starts.Stages["weights"].P50 != 40 ||
		starts.Stages["engine"].P50 != 20 {
		t.Errorf("starts %+v", starts)
	}
	at := func(s float64) *float64 { return &s }
	life := []result.ReplicaRow{{Service: "chat", Group: "default/chat", Replica: "default/chat-0", Node: "n0", GPUs: 2,
		BoundSeconds: at(0), ReadySeconds: at(60), DrainSeconds: at(240), GoneSeconds: at(300), Weights: at(40),
		Engine: at(20)}}
	if diff := cmp.Diff(life, out.data.Replicas); diff != "" {
		t.Error(diff)
	}
	near(t, "served idle", out.data.Pools[0].ServingIdleHours, 2*5.0/60-2*45.0/3600)
	series := out.data.Services[0].Series
	if series.Bin != 60 || !slices.Equal(series.Arrived[:6], []float64{2.0 / 60, 10.0 / 60, 5.0 / 60, 0, 0, 0}) {
		t.Errorf("bins of %v s: %v", series.Bin, series.Arrived)
	}
	if !slices.Equal(series.Ready, []float64{0, 1, 1, 1, 1, 0}) || series.Attainment[2] != 3.0/5 ||
		series.Attainment[0] != 1 {
		t.Errorf("ready %v, attainment %v", series.Ready, series.Attainment)
	}
}

// TestReplicaOfTheSameName: a pod that comes back under its name, as those of groups do, says nothing of the replica
// before it, which never had a node.
func TestReplicaOfTheSameName(t *testing.T) {
	p := served(chatService())
	p.at(0, journal.PodCreate{Pod: "default/chat-0", Service: "chat", GPUs: 2 * units.GPU, Slots: 2},
		replicaIs(journal.ReplicaStarting))
	p.at(time.Minute, replicaIs(journal.ReplicaGone), journal.PodDelete{Pod: "default/chat-0"})
	p.pod(2*time.Minute, "default/chat-0", "chat", 0, 2)
	p.at(2*time.Minute, replicaIs(journal.ReplicaStarting))
	p.at(3*time.Minute, journal.Requests{Service: "chat", Span: 3 * time.Minute}, journal.End{Reason: "horizon"})
	_, out, err := fold(p.recs)
	if err != nil {
		t.Fatal(err)
	}
	gone, bound := 60.0, 120.0
	life := []result.ReplicaRow{
		{Service: "chat", Group: "default/chat", Replica: "default/chat-0", GPUs: 2, GoneSeconds: &gone},
		{Service: "chat", Group: "default/chat", Replica: "default/chat-0", GPUs: 2, Node: "n0", CreatedSeconds: 120,
			BoundSeconds: &bound}}
	if diff := cmp.Diff(life, out.data.Replicas); diff != "" {
		t.Error(diff)
	}
}

// TestServiceFromFile holds that a journal file gives the same as the records of the run.
func TestServiceFromFile(t *testing.T) {
	recs := byHand().recs
	_, online, err := fold(recs)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	w := journal.NewWriter(&file)
	for _, r := range recs {
		w.Append(r.At, r.Body)
	}
	if _, _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := journal.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	offline, err := FromJournal(r, Options{})
	if err != nil {
		t.Fatal(err)
	}
	offline.Summary.Journal = result.Journal{}
	if diff := cmp.Diff(online.data, offline); diff != "" {
		t.Errorf("a file gives another account (-run +file):\n%s", diff)
	}
}

// TestServiceRules breaks one rule at a time.
func TestServiceRules(t *testing.T) {
	ready := []journal.Body{replicaIs(journal.ReplicaStarting), replicaIs(journal.ReplicaReady)}
	then := func(b ...journal.Body) []journal.Body { return append(slices.Clone(ready), b...) }
	lost := window(3, 1, 1)
	negative := window(1, 1, 0)
	negative.Good = -1
	idle := window(0, 0, 0)
	idle.Ready = 0
	stages := window(0, 0, 0)
	stages.Stages = make([]journal.Latencies, 2)
	launched := journal.Machine{Node: "m", State: journal.MachineLaunched}
	for name, c := range map[string]struct {
		bodies []journal.Body
		want   string
	}{
		"lost request":      {then(lost), "conservation broken: 3 requests of service chat arrived, 2 are accounted for"},
		"negative count":    {then(negative), "counts below nothing"},
		"other time":        {then(idle), "served 0 hours by their windows"},
		"stages":            {then(stages), "has 1 stages, and times of 2"},
		"twice":             {[]journal.Body{chatService()}, "declared twice"},
		"ready first":       {ready[1:], `is "ready" after ""`},
		"starts again":      {then(ready[0]), `is "starting" after "ready"`},
		"drains unready":    {[]journal.Body{ready[0], replicaIs(journal.ReplicaDraining)}, `is "draining" after "starting"`},
		"comes back":        {then(replicaIs(journal.ReplicaDraining), ready[1]), `is "ready" after "draining"`},
		"gone twice":        {then(replicaIs(journal.ReplicaGone), replicaIs(journal.ReplicaGone)), `is "gone" after ""`},
		"other service":     {[]journal.Body{journal.Replica{Service: "code", Group: "default/chat"}}, "not declared"},
		"undeclared":        {[]journal.Body{journal.Requests{Service: "code"}}, "not declared"},
		"unknown pod":       {[]journal.Body{journal.PodStage{Pod: "default/x", Stage: "engine"}}, "which has no node"},
		"launched twice":    {[]journal.Body{launched, launched}, "launched twice"},
		"pod of no one":     {[]journal.Body{journal.PodCreate{Pod: "default/x", Service: "code"}}, "not declared"},
		"request of no one": {[]journal.Body{journal.RequestEnd{Service: "code"}}, "not declared"},
	} {
		p := served(chatService())
		for i, b := range c.bodies {
			at := time.Duration(0)
			if _, ok := b.(journal.Requests); ok && i == 2 {
				at = time.Minute
			}
			p.at(at, b)
		}
		if _, _, err := fold(p.recs); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestServiceOfTwoGroups holds that the time of each group counts with the size of its own replicas.
func TestServiceOfTwoGroups(t *testing.T) {
	s := chatService()
	s.Groups = []journal.ServiceGroup{{Group: "default/prefill", Kind: "Deployment", Role: "prefill", GPUs: units.GPU},
		{Group: "default/decode", Kind: "Deployment", Role: "decode", GPUs: 4 * units.GPU}}
	p := served(s)
	p.pod(0, "default/prefill-0", "chat", 0, 1)
	p.pod(0, "default/decode-0", "chat", 1, 4)
	for _, x := range [][2]string{{"default/prefill", "default/prefill-0"}, {"default/decode", "default/decode-0"}} {
		for _, state := range []string{journal.ReplicaStarting, journal.ReplicaReady} {
			p.at(0, journal.Replica{Service: "chat", Group: x[0], Replica: x[1], State: state})
		}
	}
	w := window(0, 0, 0)
	w.Span, w.Ready, w.Busy = time.Hour, 2*time.Hour, 45*time.Minute
	broken := slices.Clone(p.recs)
	w.GroupBusy = []units.Duration{30 * time.Minute, 15 * time.Minute}
	p.at(time.Hour, w, journal.End{Reason: "horizon"})
	_, out, err := fold(p.recs)
	if err != nil {
		t.Fatal(err)
	}
	row := out.data.Summary.Serving.Services["chat"]
	near(t, "ready GPU-hours", row.ReadyHours, 5)
	near(t, "busy GPU-hours", row.BusyHours, 1*0.5+4*0.25)
	groups := out.data.Services[0].Groups
	near(t, "prefill", groups[0].BusyHours, 0.5)
	near(t, "decode", groups[1].BusyHours, 1)
	w.GroupBusy = nil
	broken = append(broken, journal.Record{At: units.Time(time.Hour), Body: w})
	if _, _, err := fold(broken); err == nil || !strings.Contains(err.Error(), "has 2 groups, and busy times of 0") {
		t.Errorf("a busy time of no group: %v", err)
	}
}

// TestServiceSeriesKeepsTotals folds more windows than there are bins: merging loses nothing, and percentiles of
// merged bins are those of the whole sample within the bound of their buckets.
func TestServiceSeriesKeepsTotals(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, windows := range []int{1, 239, 240, 241, 1000} {
		var s serviceSeries
		var all []float64
		var arrived, completed int64
		for i := range windows {
			var ns []int64
			for range 1 + r.IntN(20) {
				ns = append(ns, int64(math.Exp(16+3*r.NormFloat64())))
			}
			b := window(int64(r.IntN(50)), int64(len(ns)), 0)
			b.TTFT = latenciesOf(ns...)
			arrived, completed = arrived+b.Arrived, completed+b.Completed
			for _, v := range ns {
				all = append(all, float64(v)/1e9)
			}
			s.add(units.Time(i+1)*units.Time(time.Minute), &b)
		}
		out := s.result()
		if len(out.T) > serviceBinsMax || len(out.T) == 0 {
			t.Fatalf("%d windows make %d bins", windows, len(out.T))
		}
		var a, c, ready float64
		for i := range out.T {
			span := s.bins[i].sum.Span.Seconds()
			a, c, ready = a+out.Arrived[i]*span, c+out.Completed[i]*span, ready+out.Ready[i]*span
		}
		near(t, "arrived", a, float64(arrived))
		near(t, "completed", c, float64(completed))
		near(t, "ready", ready, float64(windows*60))
		sum := s.total(func(b *serviceBin) *latencies { return &b.ttft })
		d := sum.distribution()
		slices.Sort(all)
		for q, got := range map[float64]float64{0.5: d.P50, 0.9: d.P90, 0.95: d.P95, 0.99: d.P99} {
			want := all[int(math.Ceil(q*float64(len(all))))-1]
			if math.Abs(got/want-1) > 0.008 {
				t.Errorf("%d windows: quantile %v is %v, want %v", windows, q, got, want)
			}
		}
		if d.Count != int64(len(all)) || d.Max != all[len(all)-1] {
			t.Errorf("%d windows: %+v of %d", windows, d, len(all))
		}
		h := sum.histogram()
		var counted int64
		for i, n := range h.Counts {
			counted += n
			if h.Edges[i] >= h.Edges[i+1] {
				t.Errorf("edge %d: %v", i, h.Edges[i:i+2])
			}
		}
		if counted != d.Count || h.Edges[0] > all[0] || h.Edges[len(h.Edges)-1] < d.Max {
			t.Errorf("%d windows: the histogram counts %d of %d from %v to %v", windows, counted, d.Count, h.Edges[0],
				h.Edges[len(h.Edges)-1])
		}
	}
}

// TestServiceShorterThanAWindow has runs that end within the first window, and at time zero.
func TestServiceShorterThanAWindow(t *testing.T) {
	for _, span := range []time.Duration{0, 7 * time.Second} {
		p := served(chatService())
		p.at(span, journal.Requests{Service: "chat", Span: span, Arrived: 3, InFlight: 3})
		p.at(span, journal.Requests{Service: "chat", Arrived: 1, InFlight: 4}, journal.End{Reason: "horizon"})
		_, out, err := fold(p.recs)
		if err != nil {
			t.Fatal(err)
		}
		s, series := out.data.Summary.Serving.Services["chat"], out.data.Services[0].Series
		if s.Requests.Arrived != 4 || s.Requests.InFlight != 4 || s.Attainment != 0 || len(series.T) != int(min(1, span)) {
			t.Errorf("%v: %+v, bins %v", span, s.Requests, series.T)
		}
		if span > 0 {
			near(t, "rate", series.Arrived[0], 4.0/7)
		}
	}
}

// TestServiceMoneyAndEnergy holds that services pay exactly what the used GPU time cost, and that a pool draws busy
// power only for the part of its served time in which servers compute.
func TestServiceMoneyAndEnergy(t *testing.T) {
	code := chatService()
	code.Service = "code"
	code.Groups = []journal.ServiceGroup{{Group: "default/code", Kind: "Deployment", GPUs: 3 * units.GPU}}
	p := byHand()
	recs := slices.Insert(slices.Clone(p.recs), 4, journal.Record{Body: code})
	q := &played{}
	q.pod(0, "default/code-0", "code", 4, 3)
	recs = slices.Insert(recs, 5, q.recs...)
	_, out, err := fold(recs)
	if err != nil {
		t.Fatal(err)
	}
	d := out.data
	book := book(6.88)
	book.Models["h100"] = cost.Rates{OnDemand: book.Models["h100"].OnDemand, IdleWatts: &cost.Figure{Value: 70},
		BusyWatts: &cost.Figure{Value: 640}}
	if err := cost.Apply(d, book, cost.OnDemand); err != nil {
		t.Fatal(err)
	}
	all, sum, kWh := d.Summary.Serving, 0.0, 0.0
	for _, s := range all.Services {
		sum += s.USD
		kWh += s.EnergyKWh
	}
	tenants := 0.0
	for _, x := range d.Tenants {
		tenants += x.USD
	}
	near(t, "USD of services", sum, all.USD)
	near(t, "USD of tenants", tenants, all.USD)
	near(t, "USD of used GPU time", d.Summary.Cost.UsedUSD, all.USD)
	s, pool := all.Services["chat"], d.Pools[0]
	near(t, "USD per request", s.USDPerRequest, s.USD/15)
	near(t, "USD per million", s.USDPerMTokens, s.USD/2250*1e6)
	near(t, "input and output", s.USDPerMInput*1500/1e6+s.USDPerMOutput*750/1e6, s.USD)
	idle := pool.CapacityHours - s.BusyHours // the servers of code never compute
	near(t, "cluster energy", d.Summary.Cost.EnergyKWh,
		book.PUE.Value*(s.BusyHours*pool.BusyWatts+idle*pool.IdleWatts)/1000)
	near(t, "energy of the rest", d.Summary.Cost.EnergyKWh-kWh,
		book.PUE.Value*(pool.CapacityHours-pool.UsedHours)*pool.IdleWatts/1000)
}

// TestMachines counts machines by hand.
func TestMachines(t *testing.T) {
	p := served()
	m := func(node, state string, took time.Duration) journal.Machine {
		return journal.Machine{Node: node, Pool: "a", State: state, Took: took}
	}
	p.at(time.Minute, m("m0", journal.MachineOrdered, 0), m("m1", journal.MachineOrdered, 0))
	p.at(2*time.Minute, m("m0", journal.MachineLaunched, time.Minute), m("m1", journal.MachineFailed, time.Minute))
	p.at(4*time.Minute, m("m0", journal.MachineReady, 2*time.Minute))
	p.at(62*time.Minute, m("m0", journal.MachineInterrupted, 58*time.Minute), m("m0", journal.MachineGone, 0))
	p.at(63*time.Minute, m("m2", journal.MachineLaunched, 0))
	p.at(93*time.Minute, journal.End{Reason: "horizon"})
	_, out, err := fold(p.recs)
	if err != nil {
		t.Fatal(err)
	}
	at := func(s float64) *float64 { return &s }
	lives := []result.MachineRow{{Node: "m0", Pool: "a", OrderedSeconds: at(60), LaunchedSeconds: at(120),
		ReadySeconds: at(240), InterruptedSeconds: at(3720), GoneSeconds: at(3720), PaidHours: 1},
		{Node: "m1", Pool: "a", OrderedSeconds: at(60), FailedSeconds: at(120)},
		{Node: "m2", Pool: "a", LaunchedSeconds: at(3780), PaidHours: 0.5}}
	if diff := cmp.Diff(lives, out.data.Machines); diff != "" {
		t.Error(diff)
	}
	got := *out.data.Summary.Machines
	near(t, "machine-hours", got.Hours, 1.5)
	if fmt.Sprint(got.Ordered, got.Failed, got.Ready, got.Interrupted, got.Gone, got.Peak) != "2 1 1 1 1 1" ||
		got.Steps["ready"].Mean != 120 || got.Steps["failed"].Count != 1 {
		t.Errorf("%+v", got)
	}
}
