package account

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"orrery/sim/cost"
	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/units"
)

// folded is a finished fold and the rows it reported.
type folded struct {
	data *result.Data
	jobs []result.JobRow
	pods []result.PodRow
}

func fold(recs []journal.Record) (*Fold, *folded, error) {
	out := &folded{}
	f := New(Options{
		OnJob: func(r result.JobRow) error { out.jobs = append(out.jobs, r); return nil },
		OnPod: func(r result.PodRow) error { out.pods = append(out.pods, r); return nil },
	})
	for _, r := range recs {
		f.Append(r.At, r.Body)
	}
	if f.Err() != nil {
		return f, nil, f.Err()
	}
	var err error
	out.data, err = f.Finish(f.now)
	return f, out, err
}

const seeds = 40

// TestLedgerEqualsDumbTwin folds random journals and compares every integral with the one summed from full scans.
func TestLedgerEqualsDumbTwin(t *testing.T) {
	for seed := range uint64(seeds) {
		w := randomJournal(seed, 600)
		f, out, err := fold(w.recs)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for c := range f.led.sums {
			if f.led.sums[c] != w.twin[c] {
				t.Fatalf("seed %d: channel %d: %v GPU·h, twin %v", seed, c,
					f.led.sums[c].GPUHours(), w.twin[c].GPUHours())
			}
		}
		if f.led.lostT != w.lostT {
			t.Fatalf("seed %d: lost %v, twin %v", seed, f.led.lostT.GPUHours(), w.lostT.GPUHours())
		}
		for _, tenant := range out.data.Tenants {
			want := 0.0
			if sum := w.ownedBy[tenant.Name]; sum != nil {
				want = sum.GPUHours()
			}
			if math.Abs(tenant.GPUHours-want) > 1e-9 {
				t.Fatalf("seed %d: tenant %s owned %v, twin %v", seed, tenant.Name, tenant.GPUHours, want)
			}
		}
		checkSeries(t, f, out.data)
		checkRows(t, w.recs, out)
	}
}

// checkSeries holds that areas under the series are the ledger's integrals, whatever the bins.
func checkSeries(t *testing.T, f *Fold, d *result.Data) {
	t.Helper()
	s := &d.Series
	for c, column := range [][]float64{s.Used, s.IdleNoDemand, s.IdleFragmented, s.IdleWaiting, s.Down} {
		var area float64
		for i, v := range column {
			area += v * min(s.Bin, d.Summary.SimulatedSeconds-s.T[i]) / 3600
		}
		if want := f.led.sums[c].GPUHours(); math.Abs(area-want) > 1e-9*(1+want) {
			t.Fatalf("series %d has area %v, the ledger %v", c, area, want)
		}
	}
	for _, n := range d.Nodes {
		var used float64
		for i, v := range n.Heat {
			if v > 0 {
				used += float64(v) * min(s.HeatBin, d.Summary.SimulatedSeconds-s.HeatT[i]) / 3600
			}
		}
		if n.DownHours == 0 && n.CapHours*3600 == d.Summary.SimulatedSeconds*float64(n.GPUs) &&
			math.Abs(used*float64(n.GPUs)-n.UsedHours) > 1e-5*(1+n.UsedHours) {
			t.Fatalf("heat of %s has area %v, its book %v", n.Name, used*float64(n.GPUs), n.UsedHours)
		}
	}
}

// checkRows counts jobs, pods and waits from the records and the rows, independently of the fold's counters.
func checkRows(t *testing.T, recs []journal.Record, out *folded) {
	t.Helper()
	kinds := map[string]int64{}
	for _, r := range recs {
		kinds[r.Body.Kind()]++
	}
	s := &out.data.Summary
	if int64(len(out.jobs)) != kinds["job.submit"] || int64(len(out.pods)) != kinds["pod.create"] {
		t.Fatalf("%d job rows of %d jobs, %d pod rows of %d pods",
			len(out.jobs), kinds["job.submit"], len(out.pods), kinds["pod.create"])
	}
	states := map[string]int64{}
	names := map[string]bool{}
	var waits []float64
	for _, r := range out.jobs {
		states[r.State]++
		if names[r.Job] {
			t.Fatalf("job %s has two rows", r.Job)
		}
		names[r.Job] = true
		if r.PlacedSeconds != nil {
			waits = append(waits, *r.PlacedSeconds-r.SubmitSeconds)
		}
	}
	want := result.Jobs{Submitted: kinds["job.submit"], Completed: states["succeeded"], Failed: states["failed"],
		Killed: states["killed"], Rejected: states["rejected"], Running: states["running"], Pending: states["pending"],
		Restarts: kinds["job.restart"], Preempted: s.Jobs.Preempted, NeverSchedulable: s.Jobs.NeverSchedulable}
	if diff := cmp.Diff(want, s.Jobs); diff != "" {
		t.Fatal(diff)
	}
	if s.Jobs.NeverSchedulable == 0 && states["pending"] > 50 {
		t.Fatal("no job of 9 GPUs a pod was found never schedulable")
	}
	slices.Sort(waits)
	if got := s.QueueWait; got.Count != int64(len(waits)) || got.Count > 0 &&
		(math.Abs(got.Max-waits[len(waits)-1]) > 1e-6 || math.Abs(got.P50-waits[(len(waits)+1)/2-1]) > 1e-6) {
		t.Fatalf("queue wait %+v of %d waits", got, len(waits))
	}
	var counted int64
	for _, n := range out.data.WaitHist.Counts {
		counted += n
	}
	if counted != int64(len(waits)) {
		t.Fatalf("histogram counts %d of %d waits", counted, len(waits))
	}
}

// TestOnlineEqualsOffline folds records directly and through a written journal file.
func TestOnlineEqualsOffline(t *testing.T) {
	for seed := range uint64(10) {
		recs := randomJournal(seed, 2000).recs
		var buf bytes.Buffer
		w := journal.NewWriter(&buf)
		for _, r := range recs {
			w.Append(r.At, r.Body)
		}
		n, head, err := w.Close()
		if err != nil {
			t.Fatal(err)
		}
		_, online, err := fold(recs)
		if err != nil {
			t.Fatal(err)
		}
		online.data.Summary.Journal = result.Journal{Records: n, SHA256: head}
		r, err := journal.NewReader(&buf)
		if err != nil {
			t.Fatal(err)
		}
		offline, err := FromJournal(r, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(online.data, offline); diff != "" {
			t.Fatal(diff)
		}
	}
}

// TestLostRecordsAreDetected drops single records of random journals: the ones others depend on must be missed. It is
// the canary of the checks above.
func TestLostRecordsAreDetected(t *testing.T) {
	must := map[string]bool{"pool": true, "pod.bind": true, "pod.assign": true, "pod.release": true, "job.submit": true}
	dropped := map[string]int{}
	for seed := range uint64(2) {
		recs := randomJournal(seed, 250).recs
		for i, r := range recs {
			kind := r.Body.Kind()
			_, _, err := fold(slices.Concat(recs[:i], recs[i+1:]))
			if !must[kind] {
				continue
			}
			if err == nil && dependents(recs, i) {
				t.Fatalf("seed %d: record %d (%s %+v) was dropped unnoticed", seed, i, kind, r.Body)
			}
			if err != nil {
				dropped[kind]++
			}
		}
	}
	for kind := range must {
		if dropped[kind] == 0 {
			t.Errorf("no dropped %s was ever noticed", kind)
		}
	}
}

// dependents reports whether a later record needs record i to have happened.
func dependents(recs []journal.Record, i int) bool {
	after := func(match func(journal.Body) bool) bool {
		return slices.ContainsFunc(recs[i+1:], func(r journal.Record) bool { return match(r.Body) })
	}
	owns := func(pod string) bool {
		return slices.ContainsFunc(recs, func(r journal.Record) bool {
			a, ok := r.Body.(journal.PodAssign)
			return ok && a.Pod == pod && len(a.Slots) > 0
		})
	}
	switch b := recs[i].Body.(type) {
	case journal.Pool:
		return after(func(l journal.Body) bool { n, ok := l.(journal.Node); return ok && n.Pool == b.Pool })
	case journal.JobSubmit:
		return true // what follows is a pod of it, or its rejection
	case journal.PodBind:
		return true // an assignment follows
	case journal.PodAssign:
		return owns(b.Pod) &&
			after(func(l journal.Body) bool { s, ok := l.(journal.PodStart); return ok && s.Pod == b.Pod })
	case journal.PodRelease:
		return owns(b.Pod) &&
			after(func(l journal.Body) bool { s, ok := l.(journal.PodDelete); return ok && s.Pod == b.Pod })
	}
	return false
}

func book(usd float64) *cost.Book {
	price := &cost.Price{USDPerGPUHour: usd, Source: "test"}
	watts := &cost.Figure{Value: 100}
	return &cost.Book{
		Models: map[string]cost.Rates{
			"h100": {OnDemand: price, IdleWatts: watts, BusyWatts: watts},
			"t4":   {OnDemand: &cost.Price{USDPerGPUHour: usd / 7}, IdleWatts: watts, BusyWatts: watts},
		},
		Pools: map[string]cost.Rates{"cpu": {NodeUSD: &cost.Figure{Value: usd / 3}}},
		PUE:   cost.Figure{Value: 1.25}, USDPerKWh: cost.Figure{Value: 0.08},
	}
}

// TestDoublePricesDoubleCost is exact but for the rounding of each part to µUSD.
func TestDoublePricesDoubleCost(t *testing.T) {
	for seed := range uint64(20) {
		_, out, err := fold(randomJournal(seed, 500).recs)
		if err != nil {
			t.Fatal(err)
		}
		if err := cost.Apply(out.data, book(6.88), cost.OnDemand); err != nil {
			t.Fatal(err)
		}
		single := out.data.Summary.Cost
		var tenants float64
		for _, tenant := range out.data.Tenants {
			tenants += tenant.USD
		}
		if math.Round(tenants*1e6) != math.Round(single.UsedUSD*1e6) {
			t.Fatalf("seed %d: tenants pay %v of %v", seed, tenants, single.UsedUSD)
		}
		if err := cost.Apply(out.data, book(2*6.88), cost.OnDemand); err != nil {
			t.Fatal(err)
		}
		if d := out.data.Summary.Cost.TotalUSD - 2*single.TotalUSD; math.Abs(d) > 10e-6 || single.TotalUSD == 0 {
			t.Fatalf("seed %d: %v is not twice %v", seed, out.data.Summary.Cost.TotalUSD, single.TotalUSD)
		}
	}
}

// TestSummaryMeetsTheSchema validates priced summaries of random runs against the published schema.
func TestSummaryMeetsTheSchema(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(result.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("result.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema := c.MustCompile("result.schema.json")
	for seed := range uint64(5) {
		_, out, err := fold(randomJournal(seed, int(seed)*200).recs)
		if err != nil {
			t.Fatal(err)
		}
		if err := cost.Apply(out.data, book(6.88), cost.Spot); err != nil {
			t.Fatal(err)
		}
		out.data.Summary.Journal.SHA256 = strings.Repeat("0", 64)
		var text bytes.Buffer
		if err := result.WriteJSON(&text, &out.data.Summary); err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(&text)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Error(err)
		}
	}
}

func TestRowErrorsStopTheFold(t *testing.T) {
	boom := errors.New("disk full")
	f := New(Options{OnPod: func(result.PodRow) error { return boom }})
	for _, r := range randomJournal(1, 500).recs {
		f.Append(r.At, r.Body)
	}
	if _, err := f.Finish(f.now); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
}

func TestNormalise(t *testing.T) {
	for name, tc := range map[string]struct{ in, want string }{
		"counts": {"0/100 nodes are available: 3 node(s) had untolerated taint {gpu: true}, 97 Insufficient " +
			"nvidia.com/gpu. " +
			"preemption: 0/100 nodes are available: 97 No preemption victims found for incoming pod.",
			"Insufficient nvidia.com/gpu, node(s) had untolerated taint {gpu: true}"},
		"order": {"0/9 nodes are available: 1 Zeta, 8 Alpha.", "Alpha, Zeta"},
		"comma": {"0/9 nodes are available: 4 a, b and c, 5 d.", "a, b and c, d"},
		"prefilter": {"0/9 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
			"pod has unbound immediate PersistentVolumeClaims"},
		"gang": {"pod group is unschedulable, minCount (8) cannot be satisfied: 3 scheduled, 4 remaining, pod group " +
			"preemption: No preemption victims found for incoming preemptor", "minCount cannot be satisfied"},
		"member": {"minCount (4) cannot be satisfied: 0 scheduled, 3 remaining", "minCount cannot be satisfied"},
		"gang in a domain": {"pod group is unschedulable, pod group is unschedulable, 0/8 placements are available, first placement status: " +
			"minCount (8) cannot be satisfied: 1 scheduled, 6 remaining",
			"no placement is available, first placement status: minCount cannot be satisfied"},
		"gang nowhere": {"pod group is unschedulable, 0/9 nodes are available: 9 Insufficient cpu.", "Insufficient cpu"},
		"none":         {"0/0 nodes are available:", "no nodes are available"},
		"other":        {" gang of 8 waits for 3 more pods ", "gang of 8 waits for 3 more pods"},
		"empty":        {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Normalise(tc.in); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestDistributionIsNearestRank(t *testing.T) {
	sample := make([]float64, 200)
	for i := range sample {
		sample[i] = float64(200 - i)
	}
	want := result.Distribution{Count: 200, Mean: 100.5, P50: 100, P90: 180, P95: 190, P99: 198, Max: 200}
	if diff := cmp.Diff(want, distribution(sample)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(result.Distribution{Count: 1, Mean: 3, P50: 3, P90: 3, P95: 3, P99: 3, Max: 3},
		distribution([]float64{3})); diff != "" {
		t.Error(diff)
	}
}

// TestSeriesOfTwelveYears holds that bins stay few and areas exact over a long run with long silences.
func TestSeriesOfTwelveYears(t *testing.T) {
	var s series
	var sum units.Integral
	at := units.Time(0)
	for i := range int64(200) {
		next := at + units.Time(i*i*i*1e9) // up to three months at a time, twelve years in all
		s.add(at, next, &channels{chUsed: i})
		sum.Add(i, next.Sub(at))
		at = next
	}
	var got units.Integral
	for _, b := range s.bins {
		got = got.Plus(b[chUsed])
	}
	if got != sum || len(s.bins) > binsMax || len(s.bins) < binsMax/6 {
		t.Errorf("%d bins of %v, sum %v, want %v", len(s.bins), width(s.level), got.Hours(), sum.Hours())
	}
}

func TestHeatRowsStaySmall(t *testing.T) {
	f := New(Options{})
	f.Append(0, journal.Pool{Pool: "p", GPUsPerNode: 8})
	for i := range heatMany + 1 {
		f.Append(0, journal.Node{Node: fmt.Sprint("n", i), Pool: "p", State: journal.NodeUp, GPUs: 8})
	}
	d, err := f.Finish(units.Time(90 * 24 * 3600 * 1e9))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(d.Nodes[0].Heat); n > heatBinsMany || n < heatBinsMany/6 || n != len(d.Series.HeatT) {
		t.Errorf("%d heat bins", n)
	}
}

// typical writes the life of n one-pod jobs on a cluster of 100 nodes of 8 GPUs, at most 200 at a time.
func typical(n int, put func(units.Time, journal.Body)) units.Time {
	const live = 200
	put(0, journal.Run{Format: journal.FormatVersion})
	put(0, journal.Pool{Pool: "p", GPUModel: "h100", GPUsPerNode: 8, SlotsPerGPU: 1, CPUMilli: 64000,
		MemoryMiB: 1 << 20})
	node := func(i int) string { return fmt.Sprintf("node-%03d", i%live/2) }
	for i := range live / 2 {
		put(0, journal.Node{Node: node(2 * i), Pool: "p", State: journal.NodeUp, GPUs: 8})
	}
	var at units.Time
	for i := range n {
		at = units.Time(i) * 1e9
		if old := i - live; old >= 0 {
			end(put, at, old, node(old))
		}
		job, pod, first := name(i), "default/"+name(i), i%2*4
		put(at, journal.JobSubmit{Job: job, Tenant: fmt.Sprint("team-", i%20), Pods: 1, GPUs: 4000, Run: 200e9})
		put(at, journal.PodCreate{Pod: pod, Job: job, GPUs: 4000, Slots: 4})
		put(at, journal.Attempt{Pod: pod, N: 1, Result: journal.Unschedulable, Plugins: []string{"NodeResourcesFit"},
			Message: fmt.Sprintf("0/100 nodes are available: %d Insufficient nvidia.com/gpu.", i%100)})
		put(at+1e8, journal.Attempt{Pod: pod, N: 2, Result: journal.Scheduled, Node: node(i)})
		put(at+1e8, journal.PodBind{Pod: pod, Node: node(i)})
		put(at+1e8, journal.PodAssign{Pod: pod, Node: node(i), Slots: []journal.Slot{{Index: first, Share: 1000},
			{Index: first + 1, Share: 1000}, {Index: first + 2, Share: 1000}, {Index: first + 3, Share: 1000}}})
		put(at+1e8, journal.JobPlaced{Job: job})
		put(at+2e8, journal.PodStart{Pod: pod})
		put(at+2e8, journal.JobStart{Job: job})
	}
	return at + 1e9
}

func name(i int) string { return fmt.Sprintf("job-%07d", i) }

func end(put func(units.Time, journal.Body), at units.Time, i int, node string) {
	pod := "default/" + name(i)
	put(at, journal.PodEnd{Pod: pod, Phase: phaseSucceeded})
	put(at, journal.PodRelease{Pod: pod, Node: node})
	put(at, journal.JobEnd{Job: name(i), Outcome: journal.Succeeded})
	put(at, journal.PodDelete{Pod: pod})
}

func BenchmarkFold(b *testing.B) {
	var recs []journal.Record
	typical(100000, func(at units.Time, body journal.Body) { recs = append(recs, journal.Record{At: at, Body: body}) })
	b.ReportAllocs()
	b.ResetTimer()
	n := 0
	for b.Loop() {
		f := New(Options{})
		for _, r := range recs {
			f.Append(r.At, r.Body)
		}
		if f.Err() != nil {
			b.Fatal(f.Err())
		}
		n += len(recs)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
}

// TestMemoryPerFinishedJob bounds what the fold keeps of finished jobs, their rows reported: at 200 bytes, 10⁶ jobs
// take 200 MB. What is measured is mostly samples, about 45 bytes a job.
func TestMemoryPerFinishedJob(t *testing.T) {
	const n = 100000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	rows := 0
	f := New(Options{OnJob: func(result.JobRow) error { rows++; return nil },
		OnPod: func(result.PodRow) error { return nil }})
	end := typical(n, f.Append)
	runtime.GC()
	runtime.ReadMemStats(&after)
	bytes := float64(after.HeapAlloc-before.HeapAlloc) / n
	t.Logf("live heap: %.0f bytes a job", bytes)
	if bytes > 200 {
		t.Errorf("live heap is %.0f bytes a job", bytes)
	}
	d, err := f.Finish(end)
	if err != nil || rows != n || d.Summary.Jobs.Completed != n-200 {
		t.Errorf("%v: %d rows, %+v", err, rows, d.Summary.Jobs)
	}
}
