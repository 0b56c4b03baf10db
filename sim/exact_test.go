package sim_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"orrery/sim"
	"orrery/sim/journal"
)

// same holds that a scenario's journal is the same, byte for byte, with the incremental scheduling cycle and with
// upstream's own.
func same(t *testing.T, scenario string, sets ...string) {
	t.Helper()
	ours := play(t, scenario, sets...)
	upstream, err := tryWith(asUpstream, scenario, sets...)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ours.file, upstream.file) {
		t.Fatalf("another journal than with upstream's own cycle, which comes second: %s",
			difference(ours.records, upstream.records))
	}
	if ours.data.Summary.Scheduler.Attempts == 0 {
		t.Fatal("nothing was scheduled")
	}
}

// TestExactScenarios compares whole runs of shipped scenarios, with their API writes.
func TestExactScenarios(t *testing.T) {
	for _, tc := range []struct {
		name string
		sets []string
	}{
		{"quickstart-small", nil},
		{"demo", []string{"trace.generate.jobs=300"}},
		{"preemption", []string{"trace.generate.span=8h"}},
		{"preemption", []string{"trace.generate.span=4h", "scheduler.featureGates={SchedulerAsyncAPICalls: true}"}},
		{"multi-profile", nil},
		{"timeslicing", nil},
		{"overload", []string{"trace.generate.jobs=150"}},
		{"operators", []string{"trace.generate.span=4h"}},
	} {
		t.Run(tc.name, func(t *testing.T) { same(t, tc.name, append(tc.sets, "journal.api=true")...) })
	}
	for _, policy := range []string{"FGD", "Random"} {
		t.Run(policy, func(t *testing.T) {
			same(t, "fgd-small", "scheduler.config={name: policy.yaml, text: "+strconv.Quote(policyConfig(policy))+"}",
				"trace.generate.jobs=200", "workload.submit.fillTo=0", "workload.submit.mode=trace",
				"workload.submit.dropUnschedulable=false", "workload.submit.shuffle=false", "cluster.pools.eight.nodes=6",
				"cluster.pools.two.nodes=8")
		})
	}
	t.Run("gangs", func(t *testing.T) { same(t, gangs()) })
	t.Run("ties", func(t *testing.T) { same(t, ties, "trace.generate.jobs=120") })
	t.Run("few tokens", func(t *testing.T) {
		same(t, "preemption", "trace.generate.span=6h", "scheduler.config={name: slow.yaml, text: "+slowClient+"}")
	})
}

// policyConfig is a scheduler configuration with a compiled-in policy and ties that are drawn anew for every pod.
func policyConfig(policy string) string {
	pre, args := "", ""
	if policy == "FGD" || policy == "Random" {
		pre = "    preFilter: {enabled: [{name: " + policy + "}]}\n"
	}
	if policy == "FGD" {
		args = "  - {name: FGD, args: {typicalPodsConfigMap: kube-system/typical-pods}}\n"
	}
	return `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: default-scheduler
  plugins:
    multiPoint: {enabled: [{name: GPUShare}]}
` + pre + `    score:
      enabled: [{name: ` + policy + `, weight: 10000}, {name: NodeRankHigh, weight: 100}, {name: NodeRankLow}]
  pluginConfig:
  - {name: NodeRankHigh, args: {per: pod}}
` + args
}

// TestExactPlans compares the journals of random plans.
func TestExactPlans(t *testing.T) {
	for seed := range uint64(40) {
		var files [2]bytes.Buffer
		var tapes [2]tape
		for i := range files {
			p, jobs := swarm(seed)
			w := journal.NewWriter(&files[i])
			if _, err := sim.Run(sim.Params{Plan: p, Jobs: &jobList{jobs: jobs}, Sink: journal.Multi{w, &tapes[i]},
				ExactUpstream: i == 1}); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if _, _, err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(files[0].Bytes(), files[1].Bytes()) {
			t.Fatalf("seed %d: another journal than with upstream's own cycle, which comes second: %s", seed,
				difference(tapes[0].records, tapes[1].records))
		}
	}
}

// TestExactTraces compares full replays of public traces, which takes minutes: set ORRERY_EXACT_TRACES to run it.
func TestExactTraces(t *testing.T) {
	if os.Getenv("ORRERY_EXACT_TRACES") == "" {
		t.Skip("replays public traces with upstream's own cycle, for minutes: set ORRERY_EXACT_TRACES=1 to run it")
	}
	root := os.Getenv("ORRERY_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "shared")
	}
	file := func(name string) string {
		path, err := filepath.Abs(filepath.Join(root, "traces", name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Skipf("needs the public trace %s: set ORRERY_SHARED to the folder that holds traces/", name)
		}
		return path
	}
	t.Run("openb", func(t *testing.T) {
		same(t, "openb-fill", "trace.file="+file("openb/openb_pod_list_default.csv.gz"),
			"cluster.nodeList.file="+file("openb/openb_node_list_gpu_node.csv"))
	})
	t.Run("philly", func(t *testing.T) {
		same(t, "philly-replay", "trace.file="+file("philly/philly_jobs_12vc.csv.gz"))
	})
}
