package sim_test

import (
	"path/filepath"
	"runtime/debug"
	"testing"

	"orrery/scenarios"
	"orrery/sim"
	"orrery/sim/result"
)

// TestManyRows writes tables of more rows than one page holds, so that pages are compressed during the run, inside its
// bubble of virtual time, and after it: nothing of a bubble may be left in what is used outside.
func TestManyRows(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // pools keep what they were given
	s, err := scenarios.Parse("many.yaml", []byte(`apiVersion: orrery/v1
kind: Scenario
name: many
cluster:
  pools: [{name: cpu, nodes: 4, cpu: 64, memory: 256Gi, maxPods: 200}]
trace:
  generate:
    name: a-prefix-of-job-names-that-fills-pages
    jobs: 9000
    arrival: {process: poisson, rate_per_hour: 3600}
    sizes: [{gpus: 0, weight: 1}]
    classes:
    - name: all
      up_to_gpus: 0
      duration: [{kind: lognormal, median: 20s, mean: 30s, max: 5m}]
    resources: {cpu_milli_per_cpu_job: 100, memory_mib_per_cpu_job: 64}
`))
	if err != nil {
		t.Fatal(err)
	}
	p, jobs, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = jobs.Close() }()
	out := filepath.Join(t.TempDir(), "out")
	if _, err := sim.Execute(sim.Execution{Plan: p, Jobs: jobs, Book: s.Book(), Out: out}); err != nil {
		t.Fatal(err)
	}
	opened, err := result.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	if err := opened.Jobs(func(result.JobRow) error { rows++; return nil }); err != nil {
		t.Fatal(err)
	}
	if rows != 9000 {
		t.Errorf("jobs.parquet has %d rows of 9,000 jobs", rows)
	}
}
