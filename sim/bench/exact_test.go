package bench

import (
	"fmt"
	"testing"
)

// repeats is how often a work is run with the incremental cycle. Upstream's own cycle, which takes minutes, is run once:
// its time is long enough to vary little.
const repeats = 5

// BenchmarkExact is how many times less CPU a run takes than with --exact-upstream, whole processes on the same work, and
// holds that both write the same journal.
func BenchmarkExact(b *testing.B) {
	for _, tc := range []struct {
		name, work, scenario string
		sets                 []string
	}{
		{"nodes=1000/load=0.7/sizes=1", "1,000 nodes, load 0.7, 20,000 one-GPU pods", loaded(1000, 20_000, 0.7, oneGPU), nil},
		{"nodes=1000/load=0.7/sizes=1-8", "1,000 nodes, load 0.7, 20,000 pods of 1 to 8 GPUs",
			loaded(1000, 20_000, 0.7, mixed), nil},
		// Work of 22 hours comes within 8 minutes, so that thousands wait for what ends.
		{"nodes=1000/backlog", "1,000 nodes, all in use, thousands waiting", loaded(1000, 10_000, 20, mixed),
			[]string{"horizon=8m"}},
		{"nodes=1000/load=0.8/gangs=1-512", "1,000 nodes, load 0.8, 4,000 jobs of 1 to 512 GPUs as gangs", gangs, nil},
		{"nodes=5000/load=0.9", "5,000 nodes, load 0.9, an hour of it", loaded(5000, 60_000, 0.9, mixed),
			[]string{"horizon=60m"}},
	} {
		b.Run(tc.name, func(b *testing.B) {
			var sets []string
			for _, s := range tc.sets {
				sets = append(sets, "--set", s)
			}
			var ours []measured
			for range repeats {
				ours = append(ours, play(b, tc.scenario, sets...))
			}
			upstream := play(b, tc.scenario, append(sets, "--exact-upstream")...)
			if got, want := ours[0].summary.Journal, upstream.summary.Journal; got != want {
				b.Fatalf("journal %v, with upstream's own cycle %v", got, want)
			}
			row(b, tc.work, ours, &upstream)
		})
	}
}

// BenchmarkGrowth is the CPU a pod costs at equal load on ever more nodes: twice as many pods as GPUs, so that the
// cluster is as full at every size.
func BenchmarkGrowth(b *testing.B) {
	least := 0.0
	for _, nodes := range []int{500, 2500, 12_500} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			var ours []measured
			for range 3 {
				ours = append(ours, play(b, loaded(nodes, nodes*16, 0.7, oneGPU)))
			}
			row(b, fmt.Sprintf("%d nodes, load 0.7, %d one-GPU pods", nodes, nodes*16), ours, nil)
			perPod := ours[0].cpu.Seconds() / float64(ours[0].summary.Pods.Bound)
			if least == 0 {
				least = perPod
			}
			b.ReportMetric(perPod/least, "x-500-nodes")
		})
	}
}

// BenchmarkMonth is the size that a planner asks for: 100,000 GPUs for a month.
func BenchmarkMonth(b *testing.B) {
	m := play(b, large)
	row(b, "12,500 nodes, 30 days, 1,000,000 jobs, load 0.85", []measured{m}, nil)
}

// large is a month of work for 100,000 GPUs: a job of 61 GPU-hours every 2.6 seconds.
const large = `apiVersion: orrery/v1
kind: Scenario
name: large
cluster:
  pools:
  - {name: h100, gpu: H100, nodes: 12500, gpusPerNode: 8, cpu: 128, memory: 1000Gi}
trace:
  generate:
    name: large
    jobs: 1000000
    arrival:
      process: poisson
      load: {gpus: 100000, factor: 0.85}
    sizes:
    - {gpus: 1, weight: 55}
    - {gpus: 2, weight: 12}
    - {gpus: 4, weight: 10}
    - {gpus: 8, weight: 18}
    - {gpus: 16, weight: 3}
    - {gpus: 32, weight: 2}
    classes:
    - name: all
      up_to_gpus: 32
      duration: [{kind: lognormal, median: 6h, mean: 16h20m, max: 168h}]
journal: {api: false}
`

// gangs is training on 8,000 GPUs: most jobs are small, most work is in the large ones, and each is placed as a whole.
const gangs = `apiVersion: orrery/v1
kind: Scenario
name: gangs
cluster:
  pools:
  - {name: h100, gpu: H100, nodes: 1000, gpusPerNode: 8, cpu: 128, memory: 1000Gi}
trace:
  generate:
    name: gangs
    jobs: 4000
    arrival:
      process: poisson
      load: {gpus: 8000, factor: 0.8}
    sizes:
    - {gpus: 1, weight: 40}
    - {gpus: 2, weight: 10}
    - {gpus: 4, weight: 8}
    - {gpus: 8, weight: 20}
    - {gpus: 16, weight: 8}
    - {gpus: 32, weight: 6}
    - {gpus: 64, weight: 4}
    - {gpus: 128, weight: 2}
    - {gpus: 256, weight: 1.5}
    - {gpus: 512, weight: 0.5}
    classes:
    - name: all
      up_to_gpus: 512
      duration: [{kind: lognormal, median: 30m, mean: 1h, max: 12h}]
workload:
  gangs: {policy: pod-groups}
journal: {api: false}
`
