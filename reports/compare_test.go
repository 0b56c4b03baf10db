package reports_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"orrery/reports"
	"orrery/reports/reportstest"
	"orrery/sim/result"
)

func pair() []reports.Run {
	lean, rich := reportstest.Pair()
	return []reports.Run{{Name: "lean", Data: lean}, {Name: "rich", Data: rich}}
}

func compare(t *testing.T, runs []reports.Run) (*reports.Comparison, map[string]reports.Section, map[string]string) {
	t.Helper()
	c, err := reports.Compare(runs)
	if err != nil {
		t.Fatal(err)
	}
	sections, said := map[string]reports.Section{}, map[string]string{}
	for _, s := range c.Sections {
		sections[s.ID] = s
		for _, f := range s.Findings {
			said[f.Rule] = string(f.Level) + ": " + f.Text
		}
	}
	return c, sections, said
}

// TestCompareVerdict holds that the cheapest run that met all objectives is named, what a cheaper one gave up, and that
// runs of other requests get no verdict.
func TestCompareVerdict(t *testing.T) {
	runs := pair()
	_, sections, said := compare(t, runs)
	for rule, want := range map[string]string{
		"verdict": "good: rich is the only run that met all objectives: ",
		"cheaper": "warn: lean costs 50 % less (",
		"tails":   "with rich, and ",
		"basis":   "info: Cost: the GPU time that the services held",
	} {
		if !strings.Contains(said[rule], want) {
			t.Errorf("%s says %q, not %q", rule, said[rule], want)
		}
	}
	var settings []string
	for _, row := range sections["settings"].Tables[0].Rows {
		settings = append(settings, fmt.Sprintf("%s: %s → %s", row[0].Raw(), row[1].Raw(), row[2].Raw()))
	}
	want := []string{"services.chat.replicas.count: 2 → 4", `manifests["a.yaml"].text: minReplicas: 2 → minReplicas: 4`}
	if !slices.Equal(settings, want) {
		t.Errorf("settings %q, want %q", settings, want)
	}
	if got := len(sections["over-time"].Charts[0].Series); got != 1 {
		t.Errorf("the same requests are drawn %d times", got)
	}
	runs[1].Data.Summary.Cost.TotalUSD *= 3 // another cluster: then all of it counts
	if _, _, said := compare(t, runs); !strings.Contains(said["basis"], "the whole cluster") {
		t.Errorf("basis: %q", said["basis"])
	}
	both := pair()
	both[0].Data.Summary.Serving = both[1].Data.Summary.Serving
	for usd, want := range map[float64]string{1.02: "costs 2.0 % more.", 7: "costs 7 times as much.", 1: "objectives: $"} {
		s := *both[1].Data.Summary.Serving
		s.USD *= usd
		both[1].Data.Summary.Serving = &s
		_, _, said := compare(t, both)
		if s.USD /= usd; !strings.Contains(said["verdict"], "lean is the cheapest of the 2 runs") ||
			!strings.Contains(said["verdict"], want) {
			t.Errorf("%v times the price: %q", usd, said["verdict"])
		}
	}
	other := pair()
	v := other[1].Data.Summary.Serving.Services["chat"]
	v.Requests.Arrived++
	other[1].Data.Summary.Serving.Services["chat"] = v
	later := pair()
	a := later[1].Data.Services[0].Series.Arrived
	a[3], a[4] = a[3]+1, a[4]-1
	alone := pair()
	delete(alone[1].Data.Summary.Serving.Services, "chat")
	alone[1].Data.Services = alone[1].Data.Services[1:]
	alone[1].Data.Summary.Serving.ServiceNames = alone[1].Data.Summary.Serving.ServiceNames[1:]
	jobs := pair()
	jobs[0].Data.Summary.Jobs.Submitted = 7
	for want, runs := range map[string][]reports.Run{"requests arrived at chat in lean, ": other,
		"the requests of chat arrived at other times in rich than in lean": later,
		"lean has a service chat, rich has none":                           alone,
		"7 jobs submitted in lean, 0 jobs in rich":                         jobs} {
		_, sections, said := compare(t, runs)
		if !strings.HasPrefix(said["comparable"], "bad: These runs do not answer one question") ||
			!strings.Contains(said["comparable"], want) || said["verdict"] != "" || said["cheaper"] != "" {
			t.Errorf("%s: %q", want, said)
		}
		if len(sections["users"].Tables[0].Rows) == 0 {
			t.Errorf("%s: the table is empty", want)
		}
	}
}

// TestCompareRefuses has what cannot be put side by side.
func TestCompareRefuses(t *testing.T) {
	run := func(name string) reports.Run { return reports.Run{Name: name, Data: reportstest.Empty()} }
	many := make([]reports.Run, reports.RunsMax+1)
	for i := range many {
		many[i] = run(fmt.Sprint(i))
	}
	for want, runs := range map[string][]reports.Run{"at least two": {run("a")},
		"two runs are called a": {run("a"), run("a")}, "at most 8": many} {
		if _, err := reports.Compare(runs); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestCompareSections checks the promises of the model for runs of every kind beside each other.
func TestCompareSections(t *testing.T) {
	all := []*result.Data{reportstest.Small(), reportstest.Served(), reportstest.Empty(), reportstest.AllPending()}
	for seed := range uint64(60) {
		all = append(all, reportstest.Random(seed))
	}
	for i := range all {
		runs := []reports.Run{{Name: "one <1>", Data: all[i]}, {Name: "two", Data: all[(i+1)%len(all)]},
			{Name: "three", Data: all[(i*7+3)%len(all)]}}
		c, err := reports.Compare(runs)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range c.Sections {
			checkSection(t, fmt.Sprintf("%d/%s", i, s.ID), s)
		}
	}
}

// TestCompareGrid lays series of other widths and lengths over each other: areas and peaks stay.
func TestCompareGrid(t *testing.T) {
	runs := pair()
	wide := &runs[1].Data.Services[0].Series
	n := len(wide.T) / 2
	for _, v := range []*[]float64{&wide.T, &wide.Arrived, &wide.Ready, &wide.TTFT99} {
		for i := range n {
			mean, top := ((*v)[2*i]+(*v)[2*i+1])/2, max((*v)[2*i], (*v)[2*i+1])
			(*v)[i] = map[bool]float64{true: top, false: mean}[v == &wide.TTFT99]
			if v == &wide.T {
				(*v)[i] = (*v)[2*i]
			}
		}
		*v = (*v)[:n]
	}
	wide.Bin *= 2
	_, sections, said := compare(t, runs)
	if said["comparable"] != "" {
		t.Fatalf("the same requests in wider bins: %q", said["comparable"])
	}
	for _, c := range sections["over-time"].Charts[1:3] {
		if len(c.Times) != n+1 {
			t.Fatalf("%s: %d bins, not %d", c.ID, len(c.Times)-1, n)
		}
		for k := range n {
			if a, b := c.Series[0].Values[k], c.Series[1].Values[k]; a-b > 1e-9 || b-a > 1e-9 {
				t.Fatalf("%s: bin %d is %v and %v", c.ID, k, a, b)
			}
		}
	}
}
