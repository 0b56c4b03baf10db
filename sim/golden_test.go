package sim_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// TestRuns plays small stories and compares what happened, one line a record. A story is one "run" with an argument for
// each option (gpus of the nodes, grace, horizon, slots, restart=never, pdb, quota, pack, gangs=wait|restart|all) and one line for each job.
// Nodes have as many GPUs as nodes=(…) says; everything is instant but for stories with a grace period.
func TestRuns(t *testing.T) {
	datadriven.Walk(t, "testdata/runs", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			p, jobs := story(t, d)
			var out strings.Builder
			for _, r := range run(t, p, jobs).records {
				switch b := r.Body.(type) {
				case journal.Run, journal.Pool, journal.Node:
				default:
					fmt.Fprintf(&out, "%10.3f %-13s %s\n", r.At.Seconds(), b.Kind(), digest(b))
				}
			}
			return out.String()
		})
	})
}

// digest writes the fields of a record that are not empty.
func digest(b journal.Body) string {
	v := reflect.ValueOf(b)
	var parts []string
	for i := range v.NumField() {
		name := strings.ToLower(v.Type().Field(i).Name)
		skip := name == "gpus" || name == "cpumilli" || name == "memorymib" || name == "class" || name == "tenant" ||
			name == "evaluated" || name == "feasible" || name == "slots" && b.Kind() == "pod.create"
		if !v.Field(i).IsZero() && !skip {
			parts = append(parts, fmt.Sprintf("%s=%v", name, v.Field(i)))
		}
	}
	return strings.ReplaceAll(strings.Join(parts, " "), "default/", "")
}

func story(t *testing.T, d *datadriven.TestData) (*plan.Plan, []plan.Job) {
	p := servers(0)
	p.Manifests = []plan.File{{Name: "classes.yaml", Data: []byte(classes)}}
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "nodes":
			for i, gpus := range a.Vals {
				pool := p.Pools[0]
				pool.Name = fmt.Sprintf("pool%d", i)
				if _, err := fmt.Sscan(gpus, &pool.GPUsPerNode); err != nil {
					t.Fatal(err)
				}
				p.Pools = append(p.Pools, pool)
				p.Nodes = append(p.Nodes, plan.Node{Name: fmt.Sprintf("n%d", i), Pool: i})
			}
			p.Pools = p.Pools[1:]
		case "slots":
			for i := range p.Pools {
				p.Pools[i].Sharing = plan.SharingTimeSlicing
				d.ScanArgs(t, "slots", &p.Pools[i].SlotsPerGPU)
			}
		case "grace":
			p.Pods.TerminationGrace = span(t, a.Vals[0])
			p.Stages = nil // the built-in ones: those of the other stories know no deletion
		case "horizon":
			p.Horizon = span(t, a.Vals[0])
		case "restart":
			p.Pods.Restart = a.Vals[0]
		case "job":
			p.JobController = &plan.JobController{QPS: 20, Burst: 30}
		case "gangs":
			p.Scheduler.FeatureGates = map[string]bool{"GenericWorkload": true}
		case "pdb":
			p.Manifests = append(p.Manifests, plan.File{Name: "pdb.yaml", Data: []byte(pdb)})
		case "quota":
			p.Manifests = append(p.Manifests, plan.File{Name: "quota.yaml", Data: []byte(quota)})
		case "pack":
			p.Scheduler.Config = plan.File{Name: "two.yaml", Data: []byte(twoProfiles)}
		default:
			t.Fatalf("unknown option %s", a.Key)
		}
	}
	var jobs []plan.Job
	for _, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
		jobs = append(jobs, parseJob(t, line, p.Pools[0].SlotsPerGPU))
	}
	for i := range jobs {
		if d.HasArg("job") {
			jobs[i].Batch = &plan.Batch{Name: jobs[i].Name, IgnoreDisruption: p.Pods.Restart == plan.RestartAlways}
		}
		if n := len(jobs[i].Pods); n > 1 && d.HasArg("gangs") {
			jobs[i].Gang = &plan.Gang{Min: n, OnLoss: plan.LossWait}
			var how string
			d.ScanArgs(t, "gangs", &how)
			if how != plan.LossWait {
				jobs[i].Gang.OnLoss, jobs[i].Gang.DisruptAll = plan.LossRestart, how == "all"
			}
		}
	}
	return p, jobs
}

// parseJob reads a line such as "a at=10s run=5m gpus=4 class=high outcome=killed label=kept profile=pack".
func parseJob(t *testing.T, line string, slots int) plan.Job {
	words := strings.Fields(line)
	j := customer(0, 0, 0)
	j.Name = words[0]
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "at":
			j.Submit = units.Time(span(t, value))
		case "run":
			j.Run = span(t, value)
		case "gpus":
			if _, err := fmt.Sscan(value, &j.Pods[0].Slots); err != nil {
				t.Fatal(err)
			}
			j.Pods[0].GPUs = units.MilliGPU(j.Pods[0].Slots * 1000 / slots)
		case "pods":
			n := 0
			if _, err := fmt.Sscan(value, &n); err != nil {
				t.Fatal(err)
			}
			for len(j.Pods) < n {
				j.Pods = append(j.Pods, j.Pods[0])
			}
		case "class":
			j.PriorityClass = value
		case "outcome":
			j.Outcome = value
		case "label":
			j.Class = value
		case "profile":
			j.SchedulerName = value
		default:
			t.Fatalf("unknown word %s", w)
		}
	}
	return j
}

func span(t *testing.T, s string) units.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
