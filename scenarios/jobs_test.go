package scenarios

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"orrery/sim/plan"
	"orrery/traces"
)

// TestJobs runs testdata/jobs. "trace" keeps its input, a canonical trace without header; "jobs" maps it under
// testdata/base.yaml with each line of its input as one --set, and prints jobs and warnings; "pools" prints the pools.
func TestJobs(t *testing.T) {
	trace := filepath.Join(t.TempDir(), "trace.ndjson")
	datadriven.RunTest(t, "testdata/jobs", func(t *testing.T, td *datadriven.TestData) string {
		if td.Cmd == "trace" {
			if err := os.WriteFile(trace, []byte("{\"orrery_trace\":1,\"name\":\"t\"}\n"+td.Input+"\n"),
				0o600); err != nil {
				t.Fatal(err)
			}
			return "ok\n"
		}
		var set []string
		if td.Cmd == "jobs" {
			set = append(set, "trace={file: "+trace+"}")
		}
		for _, line := range strings.Split(td.Input, "\n") {
			if line != "" {
				set = append(set, line)
			}
		}
		s, err := Load(filepath.Join("testdata", "base.yaml"), set)
		if err != nil {
			return err.Error() + "\n"
		}
		p, src, err := s.Plan()
		if err != nil {
			return strings.ReplaceAll(err.Error(), trace, "trace.ndjson") + "\n"
		}
		defer func() {
			if err := src.Close(); err != nil {
				t.Error(err)
			}
		}()
		if td.Cmd == "pools" {
			return printPools(p)
		}
		jobs := drain(t, src)
		checkPlan(t, p, jobs)
		return printJobs(jobs) + printWarnings(src)
	})
}

// printSlots prints how GPUs are divided, and what the node offers.
func printSlots(b *strings.Builder, pool *plan.Pool) {
	for _, g := range pool.Divided() {
		fmt.Fprintf(b, "  GPU %d:", g)
		for _, s := range pool.Slots[g] {
			fmt.Fprintf(b, " %s@%d+%d/%d=%d", s.Profile, s.Start, s.Slices, s.Replica, s.Share)
		}
		fmt.Fprintln(b)
	}
	if pool.Slots != nil || pool.Most != nil {
		offers := pool.Offers()
		for _, r := range sortedKeys(offers) {
			share, profile, _ := pool.Asks(r)
			fmt.Fprintf(b, "  offers %d of %s, each %d of a GPU %s, most %d\n", offers[r], r, share, profile, pool.Most[r])
		}
	}
}

func printPools(p *plan.Plan) string {
	var b strings.Builder
	for _, pool := range p.Pools {
		fmt.Fprintf(&b, "%s: %dm %dMi %d pods, %d × %s as %s × %d\n", pool.Name, pool.CPUMilli, pool.MemoryMiB,
			pool.MaxPods,
			pool.GPUsPerNode, pool.GPUModel, pool.Resource, pool.SlotsPerGPU)
		printSlots(&b, &pool)
		for _, key := range sortedKeys(pool.Labels) {
			fmt.Fprintf(&b, "  %s=%s\n", key, pool.Labels[key])
		}
		fmt.Fprintf(&b, "  %v a GPU, %v a node: %s\n", pool.Price.PerGPUHour, pool.Price.PerNodeHour, pool.Price.Source)
	}
	for _, n := range p.Nodes {
		fmt.Fprintf(&b, "%s ", n.Name)
	}
	return b.String() + "\n"
}

func printJobs(jobs []plan.Job) string {
	var b strings.Builder
	for _, j := range jobs {
		fmt.Fprintf(&b, "%v %s/%s by %s run %v", j.Submit, j.Namespace, j.Name, j.SchedulerName, j.Run)
		if j.Forever {
			b.WriteString(" forever")
		}
		fmt.Fprintf(&b, " %s", j.Outcome)
		if j.PriorityClass != "" {
			fmt.Fprintf(&b, " priority %s", j.PriorityClass)
		}
		for _, r := range j.Require {
			fmt.Fprintf(&b, " %s in %s", r.Key, strings.Join(r.Values, ","))
		}
		if g := j.Gang; g != nil {
			fmt.Fprintf(&b, " gang of %d, all %v, loss %s, in one %q", g.Min, g.DisruptAll, g.OnLoss, g.TopologyKey)
		}
		b.WriteString("\n")
		for _, p := range j.Pods {
			fmt.Fprintf(&b, "  %dm %dMi %d × %s = %d\n", p.CPUMilli, p.MemoryMiB, p.Slots, p.Resource, p.GPUs)
		}
	}
	return b.String()
}

func printWarnings(src plan.JobSource) string {
	var b strings.Builder
	for _, w := range src.Warnings() {
		fmt.Fprintf(&b, "%s: %s (%d)\n", w.Code, w.Message, w.Count)
	}
	return b.String()
}

func TestNamer(t *testing.T) {
	n := newNamer(12, "default")
	for _, tc := range []struct{ in, want string }{
		{"job-1", "job-1"}, {"Job.1", "job-1-2"}, {"job_1", "job-1-3"}, {"", "x"}, {"///", "x-2"}, {"ü", "x-3"},
		{"default", "default-2"}, {"a-very-long-name-indeed", "a-very-long"}, {"a-very-long-name-too", "a-very-lon-2"},
		{"-a-", "a"}, {"a-2", "a-2"}, {"A", "a-3"},
	} {
		if got := n.name(tc.in); got != tc.want {
			t.Errorf("name(%q) = %q, want %q", tc.in, got, tc.want)
		}
	}
}

// FuzzNamer checks that names are valid and never repeat.
func FuzzNamer(f *testing.F) {
	f.Add("a\nA\na-2\n\nx")
	f.Fuzz(func(t *testing.T, lines string) {
		n := newNamer(8)
		seen := map[string]bool{}
		for _, line := range strings.Split(lines, "\n") {
			name := n.name(line)
			if seen[name] || !labelName.MatchString(name) || len(name) > 8 {
				t.Fatalf("name(%q) = %q", line, name)
			}
			seen[name] = true
		}
	})
}

// TestSplit checks that pods hold all GPUs and no pod more than it may.
func TestSplit(t *testing.T) {
	for gpus := range 70 {
		for pods := range 12 {
			for most := 1; most <= 16; most++ {
				sum := 0
				out := split(gpus, pods, most)
				for _, n := range out {
					sum += n
					if pods == 0 && n > most {
						t.Fatalf("split(%d, %d, %d) = %v", gpus, pods, most, out)
					}
				}
				if sum != gpus || len(out) == 0 || pods > 0 && len(out) != pods {
					t.Fatalf("split(%d, %d, %d) = %v", gpus, pods, most, out)
				}
			}
		}
	}
}

// TestPartsAddUp checks that pods' CPU and memory add up to the job's.
func TestPartsAddUp(t *testing.T) {
	s, err := Load(filepath.Join("testdata", "base.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	src, err := s.openTrace()
	if err != nil {
		t.Fatal(err)
	}
	j, err := newJobs(s, src)
	if err != nil {
		t.Fatal(err)
	}
	for gpus := range 40 {
		for pods := range 6 {
			job := traces.Job{ID: "j", GPUs: gpus, GPUMilli: min(gpus, 1) * 1000, Pods: pods, CPUMilli: 100003,
				MemoryMiB: 70001}
			list, err := j.pods(&job, "nvidia.com/gpu")
			if err != nil {
				t.Fatal(err)
			}
			var cpu, memory int64
			for _, p := range list {
				cpu += p.CPUMilli
				memory += p.MemoryMiB
			}
			if cpu != job.CPUMilli || memory != job.MemoryMiB {
				t.Fatalf("%d GPUs in %d pods: %dm, %dMi", gpus, pods, cpu, memory)
			}
		}
	}
}
