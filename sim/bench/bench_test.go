package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"orrery/sim/result"
)

// liveControlPlane is what a live control plane with KWOK nodes costs a pod, all components, on 2 cores of an AMD EPYC:
// 13.5 to 16 ms on 100 nodes, 16 to 17 ms on 1,000 nodes (kube-apiserver, etcd, kube-scheduler,
// kube-controller-manager v1.37.2 and kwok v0.8.0 in separate processes, CPU time from /proc, 2026-11-23).
const liveControlPlane = 15 * time.Millisecond

// program builds the program once and returns its path.
func program(b testing.TB) string {
	b.Helper()
	path := filepath.Join(os.TempDir(), fmt.Sprintf("orrery-bench-%d", os.Getpid()))
	if _, err := os.Stat(path); err == nil {
		return path
	}
	out, err := exec.Command("go", "build", "-trimpath", "-o", path, "orrery/cmd/orrery").CombinedOutput()
	if err != nil {
		b.Fatalf("building the program: %v\n%s", err, out)
	}
	return path
}

// measured is one finished run.
type measured struct {
	cpu, wall time.Duration
	rss       int64 // bytes
	summary   result.Summary
	dir       string
}

// play runs the program on a scenario text and measures the process.
func play(b *testing.B, scenario string, args ...string) measured {
	b.Helper()
	dir := b.TempDir()
	file := filepath.Join(dir, "scenario.yaml")
	if err := os.WriteFile(file, []byte(scenario), 0o644); err != nil {
		b.Fatal(err)
	}
	return playFile(b, dir, append([]string{"run", file}, args...)...)
}

func playFile(b *testing.B, dir string, args ...string) measured {
	b.Helper()
	out := filepath.Join(dir, "result")
	cmd := exec.Command(program(b), append(args, "--quiet", "--out", out)...)
	start := time.Now()
	text, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, text)
	}
	m := measured{cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), wall: time.Since(start), dir: out,
		rss: cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss * 1024}
	data, err := os.ReadFile(filepath.Join(out, result.SummaryFile))
	if err != nil {
		b.Fatal(err)
	}
	if err := json.Unmarshal(data, &m.summary); err != nil {
		b.Fatal(err)
	}
	return m
}

// report prints the figures that every benchmark has.
func (m measured) report(b *testing.B) {
	b.ReportMetric(m.wall.Seconds(), "wall-s")
	b.ReportMetric(m.cpu.Seconds(), "cpu-s")
	b.ReportMetric(float64(m.rss)/(1<<20), "peak-MiB")
	if n := m.summary.Pods.Bound; n > 0 {
		b.ReportMetric(float64(m.cpu.Microseconds())/float64(n)/1000, "cpu-ms/pod")
		b.ReportMetric(float64(n)/m.wall.Seconds(), "pods/s")
		b.ReportMetric(liveControlPlane.Seconds()/(m.cpu.Seconds()/float64(n)), "x-live")
	}
	b.ReportMetric(0, "ns/op")
}

// Sizes of jobs. oneGPU is what the live control plane was measured with; mixed makes 8-GPU jobs wait for whole nodes,
// so that most attempts fail.
const (
	oneGPU = "[{gpus: 1, weight: 1}]"
	mixed  = "[{gpus: 1, weight: 60}, {gpus: 2, weight: 15}, {gpus: 4, weight: 10}, {gpus: 8, weight: 15}]"
)

// loaded is a cluster of 8-GPU nodes under a load of one-pod jobs.
func loaded(nodes, jobs int, load float64, sizes string) string {
	return fmt.Sprintf(`apiVersion: orrery/v1
kind: Scenario
name: bench
cluster:
  pools:
  - {name: h100, gpu: H100, nodes: %d, gpusPerNode: 8, cpu: 128, memory: 1000Gi}
trace:
  generate:
    name: bench
    jobs: %d
    arrival:
      process: poisson
      load: {gpus: %d, factor: %g}
    sizes: %s
    classes:
    - name: all
      up_to_gpus: 8
      duration: [{kind: lognormal, median: 30m, mean: 1h, max: 12h}]
journal: {api: false}
`, nodes, jobs, nodes*8, load, sizes)
}

// BenchmarkLoad07 is CPU per scheduled pod at load 0.7, and the part of it outside kube-scheduler's code.
func BenchmarkLoad07(b *testing.B) {
	for _, tc := range []struct {
		nodes, jobs int
		sizes       string
	}{{100, 5000, oneGPU}, {1000, 10_000, oneGPU}, {100, 5000, mixed}} {
		b.Run(fmt.Sprintf("nodes=%d/mixed=%t", tc.nodes, tc.sizes == mixed), func(b *testing.B) {
			prof := filepath.Join(b.TempDir(), "cpu.prof")
			m := play(b, loaded(tc.nodes, tc.jobs, 0.7, tc.sizes), "--cpuprofile", prof)
			m.report(b)
			inside, collector, total := shares(b, prof)
			perPod := float64(m.cpu.Microseconds()) / 1000 / float64(m.summary.Pods.Bound)
			b.ReportMetric(perPod*(total-inside-collector)/total, "outside-ms/pod")
			b.ReportMetric(perPod*collector/total, "gc-ms/pod")
			b.ReportMetric(float64(m.summary.Scheduler.Attempts)/float64(m.summary.Pods.Bound), "attempts/pod")
		})
	}
}

// BenchmarkOverload is the same with more work than the cluster can do, so that most attempts fail.
func BenchmarkOverload(b *testing.B) {
	m := play(b, loaded(100, 2000, 1.1, mixed))
	m.report(b)
	b.ReportMetric(float64(m.summary.Scheduler.Attempts)/float64(m.summary.Pods.Bound), "attempts/pod")
}

// BenchmarkIdleMonth is a month of virtual time in which nothing happens.
func BenchmarkIdleMonth(b *testing.B) { playFile(b, b.TempDir(), "run", "idle-month").report(b) }

// BenchmarkMillionJobs streams a long trace through a small cluster: memory must not grow with the trace.
func BenchmarkMillionJobs(b *testing.B) {
	for _, jobs := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("jobs=%d", jobs), func(b *testing.B) { play(b, loaded(10, jobs, 0.7, oneGPU)).report(b) })
	}
}

// shared returns a file of the public traces that developers keep beside the repository.
func shared(b testing.TB, path string) string {
	b.Helper()
	root := os.Getenv("ORRERY_SHARED")
	if root == "" {
		root = "../../../shared"
	}
	file, err := filepath.Abs(filepath.Join(root, "traces", path))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		b.Skipf("needs the public trace %s: set ORRERY_SHARED to the folder that holds traces/", path)
	}
	return file
}

// BenchmarkOpenbFill fills openb's default pods, one after the other, onto its 1,213 GPU nodes to 130 % of the GPUs.
func BenchmarkOpenbFill(b *testing.B) {
	pods, nodes := shared(b, "openb/openb_pod_list_default.csv.gz"), shared(b, "openb/openb_node_list_gpu_node.csv")
	m := playFile(b, b.TempDir(), "run", "openb-fill", "--set", "trace.file="+pods,
		"--set", "cluster.nodeList.file="+nodes)
	row(b, "openb: 10,857 pods onto 1,213 nodes, to 130 % of the GPUs", []measured{m}, nil)
	b.ReportMetric(100*m.summary.GPU.AllocatedFraction, "allocated-%")
}

// BenchmarkPhilly replays Philly's 73,265 jobs over 108 days on a cluster small enough that they queue.
func BenchmarkPhilly(b *testing.B) {
	jobs := shared(b, "philly/philly_jobs_12vc.csv.gz")
	m := playFile(b, b.TempDir(), "run", "philly-replay", "--set", "trace.file="+jobs)
	row(b, "Philly: 73,265 jobs, 108 days, 100 nodes", []measured{m}, nil)
	b.ReportMetric(m.summary.QueueWait.P95, "wait-p95-s")
}

// shares returns the CPU samples under kube-scheduler's code, its plugins and queue, those of the garbage collector's own
// workers, which work for both sides, and all samples.
func shares(b *testing.B, file string) (inside, collector, total float64) {
	b.Helper()
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range p.Sample {
		v := float64(s.Value[len(s.Value)-1])
		total += v
		switch {
		case under(s, "runtime.gcBgMarkWorker"), under(s, "runtime.bgsweep"):
			collector += v
		case scheduler(s):
			inside += v
		}
	}
	return inside, collector, total
}

func under(s *profile.Sample, function string) bool {
	for _, l := range s.Location {
		for _, line := range l.Line {
			if line.Function.Name == function {
				return true
			}
		}
	}
	return false
}

func scheduler(s *profile.Sample) bool {
	for _, l := range s.Location {
		for _, line := range l.Line {
			// A client call made by the scheduler ends up in our API: that part is ours.
			if strings.HasPrefix(line.Function.Name, "orrery/sim/kube.") {
				return false
			}
			if strings.HasPrefix(line.Function.Name, "k8s.io/kubernetes/pkg/scheduler") {
				return true
			}
		}
	}
	return false
}
