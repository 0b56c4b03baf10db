package sim_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"orrery/scenarios"
	"orrery/sim"
	"orrery/sim/journal"
	"orrery/sim/mig"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// migJobs reads lines such as "a at=1s run=10m ask=nvidia.com/mig-1g.10gb n=2": one pod that asks for n (1) units of an
// extended resource.
func migJobs(t testing.TB, p *plan.Plan, text string) []plan.Job {
	t.Helper()
	var jobs []plan.Job
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		words := strings.Fields(line)
		j := customer(0, 0, 0)
		j.Name = words[0]
		pod := &j.Pods[0]
		pod.Demand = 1 // no part of a GPU slows it down
		for _, w := range words[1:] {
			key, value, _ := strings.Cut(w, "=")
			var err error
			switch key {
			case "at":
				var d time.Duration
				d, err = time.ParseDuration(value)
				j.Submit = units.Time(d)
			case "run":
				j.Run, err = time.ParseDuration(value)
			case "ask":
				pod.Resource = value
			case "n":
				_, err = fmt.Sscan(value, &pod.Slots)
			default:
				err = fmt.Errorf("unknown word %s", w)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := range p.Pools {
			if share, _, ok := p.Pools[i].Asks(pod.Resource); ok {
				pod.GPUs = share * units.MilliGPU(pod.Slots)
			}
		}
		jobs = append(jobs, j)
	}
	return jobs
}

func migPlan(t testing.TB, scenario string) *plan.Plan {
	t.Helper()
	s, err := scenarios.Parse("mig.yaml", []byte("apiVersion: orrery/v1\nkind: Scenario\nname: mig\ntrace: {builtin: empty}\n"+
		scenario))
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Outline()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestMIG runs testdata/mig. "cluster" keeps the rest of a scenario and prints the extended resources of its nodes;
// "run" plays jobs on it and prints what happened to jobs and nodes. The account checks every assignment and
// balances in each.
func TestMIG(t *testing.T) {
	var p *plan.Plan
	datadriven.RunTest(t, "testdata/mig", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		if d.Cmd == "cluster" {
			p = migPlan(t, d.Input)
			for _, n := range sim.Nodes(p) {
				fmt.Fprintf(&out, "%s:", n.Name)
				var names []string
				for r, q := range n.Status.Allocatable {
					if strings.Contains(string(r), "nvidia.com/") {
						names = append(names, fmt.Sprintf(" %s=%s", r, q.String()))
					}
				}
				slices.Sort(names)
				fmt.Fprintln(&out, strings.Join(names, ""))
			}
			return out.String()
		}
		for _, r := range run(t, p, migJobs(t, p, d.Input)).records {
			switch b := r.Body.(type) {
			case journal.Node, journal.PodAssign, journal.PodEnd, journal.JobRestart, journal.JobEnd, journal.Warn:
				fmt.Fprintf(&out, "%10.3f %-13s %s\n", r.At.Seconds(), b.Kind(), digest(b))
			case journal.Partition:
				fmt.Fprintf(&out, "%10.3f %-13s node=%s %d slots\n", r.At.Seconds(), b.Kind(), b.Node, len(b.Slots))
			case journal.Attempt:
				if b.Result != journal.Scheduled && b.N == 1 {
					fmt.Fprintf(&out, "%10.3f %-13s %s\n", r.At.Seconds(), b.Kind(), digest(b))
				}
			}
		}
		return out.String()
	})
}

// TestRandomMIG plays random jobs on nodes with random legal layouts, which change while they run. The account checks
// every assignment (no two owners of one slice, no more than a GPU) and balances; the same run repeats byte for byte.
func TestRandomMIG(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 3))
		gpu := []string{"h100-sxm", "a30", "rtx-pro-6000"}[seed%3]
		g, _ := mig.Lookup(gpu)
		maximal := g.Maximal()
		layout := func() string {
			var places []string
			for _, i := range maximal[r.IntN(len(maximal))] {
				places = append(places, fmt.Sprintf("{profile: %s, start: %d}", i.Profile, i.Start))
			}
			return "placements: [" + strings.Join(places, ", ") + "]"
		}
		cluster := fmt.Sprintf(`
workload: {terminationGraceSeconds: 2}
cluster:
  pools:
  - name: p
    gpu: %s
    nodes: 3
    gpusPerNode: 4
    cpu: 64
    memory: 256Gi
    sharing: {strategy: mig, mig: {timeSlicing: {%s: 2}, layouts: [{gpus: 0-1, %s}, {gpus: 2, %s}]}}
    repartition:
    - {at: 20m, drain: true, nodes: 2, layouts: [{gpus: 0-2, %s}]}
    - {at: 40m, layouts: [{gpus: 1, %s}]}
`, gpu, g.Profiles[0].Name, layout(), layout(), layout(), layout())
		text := func() (string, []string) { // the same jobs for each play
			r := rand.New(rand.NewPCG(seed, 4))
			p := migPlan(t, cluster)
			var resources []string
			for name := range p.Pools[0].Offers() {
				resources = append(resources, name)
			}
			slices.Sort(resources)
			var lines []string
			for i := range 60 {
				lines = append(lines, fmt.Sprintf("j%d at=%dm run=%dm ask=%s n=%d", i, i, 1+r.IntN(30),
					resources[r.IntN(len(resources))], 1+r.IntN(2)))
			}
			return strings.Join(lines, "\n"), resources
		}
		var first string
		for range 2 {
			p := migPlan(t, cluster)
			p.Horizon = 3 * time.Hour
			jobs, _ := text()
			out := run(t, p, migJobs(t, p, jobs))
			if first == "" {
				first = out.head
			}
			if out.head != first {
				t.Fatalf("seed %d: two plays differ", seed)
			}
			states := map[string]int{}
			for _, rec := range out.records {
				if n, ok := rec.Body.(journal.Node); ok {
					states[n.State]++
				}
			}
			if states[journal.NodeDown] < 2 || states[journal.NodeUp] != 3+states[journal.NodeDown] {
				t.Errorf("seed %d: nodes went %v", seed, states)
			}
		}
	}
}
