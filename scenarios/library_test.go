package scenarios

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"orrery/sim/plan"
)

// needs are made-up files for the shipped scenarios that need files of the user.
func needs(t testing.TB, e Entry) []string {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var set []string
	for _, field := range e.Needs {
		switch {
		case field == "cluster.nodeList.file":
			set = append(set, field+"="+write("nodes.csv", "sn,cpu_milli,memory_mib,gpu,model\n"+
				"n-1,96000,786432,8,G2\nn-0,64000,262144,2,T4\nn-2,96000,786432,8,G2\nn-3,32000,131072,0,\n"))
		case e.Name == "philly-replay":
			set = append(set, field+"="+write("philly.csv", "timestamp,duration,num_gpus,gpu_time,cluster\n"+
				"2017-10-03 00:01:02,100,1,100,6214e9\n2017-10-03 00:00:01,50,16,800,b436b2\n"))
		default:
			set = append(set, field+"="+write("pods.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n"+
				"p-0,4000,8192,1,470\np-1,8000,16384,2,1000\np-2,2000,1024,0,0\n"))
		}
	}
	return set
}

// drain reads all jobs.
func drain(t testing.TB, src plan.JobSource) []plan.Job {
	t.Helper()
	var out []plan.Job
	for {
		j, err := src.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, j)
	}
}

// TestLibrary loads every shipped scenario, builds its plan and checks what must hold for any.
func TestLibrary(t *testing.T) {
	for _, e := range List() {
		t.Run(e.Name, func(t *testing.T) {
			if e.Description == "" {
				t.Error("no description")
			}
			source, err := Source(e.Name)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(source), "# "+e.Name+": ") {
				t.Errorf("the file does not begin with a comment that teaches")
			}
			s, err := Open(e.Name, needs(t, e))
			if err != nil {
				t.Fatal(err)
			}
			if s.Name != e.Name || len(s.Expect) == 0 {
				t.Errorf("name %q, %d expectations", s.Name, len(s.Expect))
			}
			p, src, err := s.Plan()
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := src.Close(); err != nil {
					t.Error(err)
				}
			}()
			checkPlan(t, p, drain(t, src))
		})
	}
	listed, err := library.ReadDir("library")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range listed {
		if name, ok := strings.CutSuffix(f.Name(), ".yaml"); ok && !contains(names(), name) {
			t.Errorf("%s is in the folder but not in the list", f.Name())
		}
	}
}

func checkPlan(t *testing.T, p *plan.Plan, jobs []plan.Job) {
	t.Helper()
	nodes := map[string]bool{}
	for _, n := range p.Nodes {
		if nodes[n.Name] || n.Pool < 0 || n.Pool >= len(p.Pools) {
			t.Errorf("node %s is there twice or has no pool", n.Name)
		}
		nodes[n.Name] = true
	}
	for _, pool := range p.Pools {
		if (pool.GPUsPerNode > 0) != (pool.Resource != "") || pool.Price.Source == "" {
			t.Errorf("pool %s: %d GPUs, resource %q, price source %q", pool.Name, pool.GPUsPerNode, pool.Resource,
				pool.Price.Source)
		}
	}
	names := map[string]bool{}
	for i, j := range jobs {
		if names[j.Name] || !labelName.MatchString(j.Name) || len(j.Name) > podNameMax ||
			!labelName.MatchString(j.Namespace) {
			t.Fatalf("job %q in namespace %q: not a name of its own", j.Name, j.Namespace)
		}
		names[j.Name] = true
		if i > 0 && j.Submit < jobs[i-1].Submit || j.Submit != j.Submit.RoundUp() {
			t.Fatalf("job %s is submitted at %v, out of order or off the grid", j.Name, j.Submit)
		}
		if len(j.Pods) == 0 || j.SchedulerName == "" || j.Outcome == "" {
			t.Fatalf("job %s: %d pods, scheduler %q, outcome %q", j.Name, len(j.Pods), j.SchedulerName, j.Outcome)
		}
		for _, pod := range j.Pods {
			if (pod.Slots > 0) != (pod.Resource != "" || pod.Fraction != nil) ||
				(pod.GPUs > 0) != (pod.DeviceCount() > 0) || pod.CPUMilli < 0 {
				t.Fatalf("job %s: pod %+v contradicts itself", j.Name, pod)
			}
		}
	}
}

// TestResolvedIsFixedPoint resolves every shipped scenario, loads that from another folder, and compares both the text
// and the run that comes out.
func TestResolvedIsFixedPoint(t *testing.T) {
	for _, e := range List() {
		t.Run(e.Name, func(t *testing.T) {
			s, err := Open(e.Name, needs(t, e))
			if err != nil {
				t.Fatal(err)
			}
			first, err := s.Resolved()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "scenario.yaml")
			if err := os.WriteFile(path, first, 0o600); err != nil {
				t.Fatal(err)
			}
			again, err := Load(path, nil)
			if err != nil {
				t.Fatalf("%v\n%s", err, first)
			}
			second, err := again.Resolved()
			if err != nil {
				t.Fatal(err)
			}
			if string(first) != string(second) {
				t.Errorf("not a fixed point:\n%s\n---\n%s", first, second)
			}
			samePlan(t, s, again)
		})
	}
}
