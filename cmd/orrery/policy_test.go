package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"orrery/sim/policy/plugins"
)

// bounded is a scenario of 20 jobs with a bound.
func bounded(name, bound string) string {
	return `apiVersion: orrery/v1
kind: Scenario
name: ` + name + `
cluster: {pools: [{name: l4, gpu: L4, nodes: 1, gpusPerNode: 8, cpu: 96, memory: 768Gi}]}
trace:
  generate:
    name: few
    jobs: 20
    arrival: {process: poisson, load: {gpus: 8, factor: 0.5}}
    sizes: [{gpus: 1, weight: 1}]
    classes: [{name: all, up_to_gpus: 1, duration: [{kind: lognormal, median: 15m, mean: 30m, max: 4h}]}]
expect: {jobs.completed: {` + bound + `}}
`
}

// folders writes files into folders of a new one.
func folders(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestPolicyTest runs a folder of scenarios, one of which misses its bound, in every form of output.
func TestPolicyTest(t *testing.T) {
	t.Setenv(asProgram, "1") // of the processes it starts
	t.Chdir(folders(t, map[string]string{"suite/good.yaml": bounded("good", "min: 20"), "suite/bad.yaml": bounded("bad", "min: 21"),
		"suite/scheduler.yaml": "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n",
		"suite/notes.txt":      "kind: Scenario", "suite/none.yaml": "a: b\n",
		"suite/free.yaml": strings.Split(bounded("free", ""), "expect:")[0]}))
	o := cli("policy", "test", "suite", "--jobs", "2", "--out", "kept")
	if o.code != exitMissed || !strings.Contains(o.stderr, "jobs.completed = 20, expected at least 21") {
		t.Fatalf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	for _, word := range []string{"suite/bad.yaml", "MISSED", "suite/good.yaml", "met"} {
		if !strings.Contains(o.stdout, word) {
			t.Errorf("the table lacks %s:\n%s", word, o.stdout)
		}
	}
	if strings.Contains(o.stdout, "free") || strings.Contains(o.stdout, "scheduler") {
		t.Errorf("more than the scenarios with bounds ran:\n%s", o.stdout)
	}
	if _, err := os.Stat(filepath.Join("kept", "001", "result.json")); err != nil {
		t.Error(err)
	}
	var list []verdict
	if o = cli("policy", "test", "suite/good.yaml", "-o", "json", "--config", "suite/scheduler.yaml"); o.code != exitDone {
		t.Fatalf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	if err := json.Unmarshal([]byte(o.stdout), &list); err != nil || len(list) != 1 || !list[0].Met ||
		list[0].Expectations[0].Value != 20 {
		t.Errorf("%v: %s", err, o.stdout)
	}
	o = cli("policy", "test", "suite", "-o", "junit")
	for _, word := range []string{`tests="2" failures="1" errors="0"`, `<testcase name="suite/bad.yaml"`, "<failure message="} {
		if o.code != exitMissed || !strings.Contains(o.stdout, word) {
			t.Errorf("exit code %d, %s is missing:\n%s", o.code, word, o.stdout)
		}
	}
}

// TestPolicyTestRefuses checks what cannot be run.
func TestPolicyTestRefuses(t *testing.T) {
	t.Setenv(asProgram, "1")
	t.Chdir(folders(t, map[string]string{"empty/x.yaml": "a: b\n", "suite/good.yaml": bounded("good", "min: 20"),
		"broken.yaml": "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles:\n" +
			"- schedulerName: default-scheduler\n  plugins: {score: {enabled: [{name: FDG}]}}\n"}))
	refuses(t, exitUsage, []string{"no scenario with bounds", "expect:"}, "policy", "test", "empty")
	refuses(t, exitUsage, []string{"--output xml", "junit"}, "policy", "test", "suite", "-o", "xml")
	refuses(t, exitUsage, []string{"--jobs 0"}, "policy", "test", "suite", "--jobs", "0")
	refuses(t, exitUsage, []string{"--config gone.yaml"}, "policy", "test", "suite", "--config", "gone.yaml")
	refuses(t, exitUsage, []string{"nowhere"}, "policy", "test", "nowhere")
	o := cli("policy", "test", "suite", "--config", "broken.yaml")
	if o.code != exitFailed || !strings.Contains(o.stderr, `no plugin "FDG"`) || !strings.Contains(o.stdout, "could not be run") {
		t.Errorf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
}

// TestPolicyList holds that every compiled-in plugin is listed.
func TestPolicyList(t *testing.T) {
	got := must(t, "policy", "list")
	for _, p := range plugins.List() {
		if !strings.Contains(got, p.Name+" ") || !strings.Contains(got, p.Summary) {
			t.Errorf("%s is missing:\n%s", p.Name, got)
		}
	}
}
