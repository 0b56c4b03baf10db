package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// badInputs are scenarios with mistakes of every kind, and what must be said of them: place, mistake and remedy.
var badInputs = map[string]struct {
	files map[string]string // besides those of good
	words []string
}{
	"scenario: unknown field, wrong type, both at once": {
		map[string]string{"s.yaml": small + "trace: {builtin: empty}\nhorizn: 1d\nseed: many\n"},
		[]string{`s.yaml:8:1: unknown field "horizn"`, "horizon", "s.yaml:9:7: seed: want a whole number"}},
	"scenario: no YAML": {map[string]string{"s.yaml": "a: [\n"}, []string{"s.yaml:", "not valid YAML"}},
	"scenario: empty":   {map[string]string{"s.yaml": ""}, []string{"s.yaml:1:1: the file is empty"}},
	"scenario: binary":  {map[string]string{"s.yaml": "\x00\xff\xfe\x01"}, []string{"s.yaml:1"}},
	"scheduler: unknown field": {
		map[string]string{"s.yaml": small + "trace: {builtin: empty}\nscheduler: {config: k.yaml}\n",
			"k.yaml": kubeScheduler + "profiles:\n- schedulerName: default-scheduler\n  plugin: {}\nparalelism: 3\n"},
		[]string{`k.yaml:5: unknown field "profiles[0].plugin"`, `k.yaml:6: unknown field "paralelism"`, "remove it"}},
	"scheduler: wrong type, and a Stage": {
		map[string]string{"s.yaml": small + "trace: {builtin: empty}\nscheduler: {config: k.yaml}\nstages: [t.yaml]\n",
			"k.yaml": kubeScheduler + "parallelism: many\n", "t.yaml": stage + "  dely: {}\n"},
		[]string{"k.yaml:", "t.yaml:6: unknown field \"dely\" in spec", "delay"}},
	"scheduler: unknown plugin": {
		map[string]string{"s.yaml": small + "trace: {builtin: empty}\nscheduler: {config: k.yaml}\n",
			"k.yaml": kubeScheduler + "profiles:\n- schedulerName: default-scheduler\n  plugins:\n    score:\n" +
				"      enabled:\n      - name: NodeFit\n"},
		[]string{"k.yaml:8: profile default-scheduler", `no plugin "NodeFit"`, "NodeResourcesFit"}},
	"stage: wrong type": {
		map[string]string{"s.yaml": small + "trace: {builtin: empty}\nstages: [t.yaml]\n",
			"t.yaml": stage + "  delay: {durationMilliseconds: soon}\n"},
		[]string{"t.yaml:6: spec.delay.durationMilliseconds: want a whole number"}},
	"manifests: unknown field, wrong type, unknown kind": {
		map[string]string{"s.yaml": small + "trace: {builtin: empty}\nmanifests: [m.yaml]\n",
			"m.yaml": class + "valeu: 3\n---\n" +
				class + "value: ten\n---\napiVersion: v9\nkind: Thing\n"},
		[]string{`m.yaml:5: unknown field "valeu"`, `m.yaml:11: value: want a whole number, found the text "ten"`,
			`m.yaml:14: unknown kind "Thing"`}},
	"manifests: refused by the API": {
		map[string]string{"s.yaml": small + "trace: {builtin: empty}\nmanifests: [m.yaml]\n", "m.yaml": class +
			"value: 2000000001\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: Bad Name}\n"},
		[]string{"m.yaml:3: the API refuses it", "maximum allowed value", "m.yaml:9: the API refuses it", "RFC 1123"}},
	"manifests: nothing to serve, nothing to scale": {
		map[string]string{"s.yaml": small + "services:\n- name: chat\n  model: llama-3-8b\n  engine: {preset: vllm}\n" +
			"  replicas: {fromManifest: true}\n  requests: {generate: {name: r, preset: azure-conv, requests: 9}}\n" +
			"- name: code\n  model: llama-3-8b\n  engine: {preset: vllm}\n  replicas: {count: 1}\n" +
			"  requests: {generate: {name: r, preset: azure-code, requests: 9}}\nmanifests: [m.yaml]\n",
			"m.yaml": hpa + "metadata: {name: good}\nspec: {maxReplicas: 2, scaleTargetRef: {apiVersion: apps/v1, " +
				"kind: Deployment, name: code}}\n---\n" + hpa + "metadata: {name: bad}\nspec: {maxReplicas: 2, " +
				"scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: chatty}}\n---\n" +
				"apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: events}\nspec: {scaleTargetRef: " +
				"{name: events}, triggers: [{type: cron, metadata: {timezone: UTC, start: 0 6 * * *, end: 0 20 * * *, " +
				"desiredReplicas: \"3\"}}]}\n"},
		[]string{"service chat: there is no Deployment chat in namespace default", "remove fromManifest",
			"m.yaml:8: spec.scaleTargetRef: there is no Deployment/chatty in namespace default", "write one of ",
			"Deployment/code", "m.yaml:13: spec.scaleTargetRef: there is no Deployment/events"}},
	"manifests: scaled twice": {
		map[string]string{"s.yaml": chat, "m.yaml": hpa + "metadata: {name: first}\nspec: {maxReplicas: 2, " +
			"scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: chat}}\n---\n" + cronScaled("second", `"3"`)},
		[]string{"m.yaml:8: KEDA's webhook refuses it: the workload 'chat' of type 'apps/v1.Deployment' is already managed",
			"remove the HorizontalPodAutoscaler"}},
	"manifests: values of other types": {
		map[string]string{"s.yaml": chat, "m.yaml": cronScaled("third", "3") + "  maxReplicaCount: many\n"},
		[]string{`m.yaml:6: spec.triggers[0].metadata.desiredReplicas: want text, found the number 3; put it in quotes: "3"`,
			`m.yaml:7: spec.maxReplicaCount: want a whole number, found the text "many"`}},
	"requests: back in time, no tokens, below zero": {
		map[string]string{"s.yaml": asks(""), "r": azureHead + "2023-11-16 18:15:46,374,44\n2023-11-16 18:15:45,3,4\n" +
			"2023-11-16 18:15:47,0,44\n2023-11-16 18:15:48,7,-1\n"},
		[]string{"r:3: the time is 1s before that of a line above", "(reorder)", "r:4: input is 0 tokens",
			`r:5: GeneratedTokens is "-1"`, "from 0 to 100000000"}},
	"requests: format and options": {
		map[string]string{"s.yaml": asks(", format: canonical"), "r": azureHead},
		[]string{`s.yaml:11:31: services[0].requests.format: "canonical" is not a format of requests`, "one of: requests, azure"}},
	"requests: unknown option": {
		map[string]string{"s.yaml": asks(", options: {servce: x}"), "r": azureHead},
		[]string{"s.yaml:11:32: ", `has no option "servce"`, "options: service"}},
	"requests: of millennia": {
		map[string]string{"s.yaml": strings.Replace(asks(""), "file: r", "generate: {name: g, preset: azure-conv, requests: 9, "+
			"rate_per_second: 1e-9}", 1)},
		[]string{"s.yaml:11:", "generate.requests: 9 of them at 1e-09 a second take 285 years", "at most 100; write fewer"}},
	"trace: missing": {map[string]string{"s.yaml": small + "trace: {file: nosuch.csv}\n"},
		[]string{"s.yaml:7:15: trace.file: there is no file \"nosuch.csv\"", "correct the path"}},
	"trace: empty":  {map[string]string{"t": ""}, []string{"t: the file is empty"}},
	"trace: binary": {map[string]string{"t": "\x7fELF\x01\x00\x00"}, []string{"t:1: no known format", "name the format"}},
	"trace: negative, missing, NaN, back in time, twice": {
		map[string]string{"t": traceHead + job("a", "9", "60", "1") + job("b", "9", "-1", "1") +
			`{"id":"c","submit_s":9,"gpus":1}` + "\n" + job("d", "9", "NaN", "1") + job("e", "8", "60", "1") +
			job("a", "9", "60", "1")},
		[]string{"t:3: run_s is -1", "t:4: run_s is missing", "t:5: column", "no NaN", "t:6: submit_s 8 is before 9",
			"sort the jobs", `t:7: job id "a" was used before`, "its own id"}},
	"trace: CSV with negative, missing, NaN": {
		map[string]string{"t": "name,submission_time,duration\nx,2017-10-03 00:00:00,7\n"}, []string{"t:1: "}},
	"trace: truncated plain": {map[string]string{"t": traceHead + job("a", "0", "60", "1") + `{"id":"b","sub`},
		[]string{"t:3: the file ends inside a job", "get the whole file"}},
	"trace: fewer jobs than announced": {
		map[string]string{"t": `{"orrery_trace":1,"name":"t","jobs":2}` + "\n" + job("a", "0", "60", "1")},
		[]string{"announces 2 jobs, the file has 1"}},
	"trace: truncated gzip": {map[string]string{"t": cut(gzipped(long()))}, []string{"t", "ends in the middle"}},
	"trace: truncated zstd": {map[string]string{"t": cut(zstandard(long()))}, []string{"t", "truncated", "whole file"}},
	"trace: bad at the very end": {
		map[string]string{"t": long() + job("late", "1", "60", "1")},
		[]string{"t:20002: submit_s 1 is before 20000"}},
}

const (
	kubeScheduler = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"
	stage         = "apiVersion: kwok.x-k8s.io/v1alpha1\nkind: Stage\nmetadata: {name: s}\nspec:\n" +
		"  resourceRef: {apiGroup: v1, kind: Pod}\n"
	hpa  = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\n"
	chat = small + "services:\n- name: chat\n  model: llama-3-8b\n  replicas: {count: 1}\n" +
		"  requests: {generate: {name: r, preset: azure-conv, requests: 9}}\nmanifests: [m.yaml]\n"
	class = "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: low}\nglobalDefault: false\n"
)

// asks is a scenario with a service whose requests are those of file r.
func asks(more string) string {
	return small + "services:\n- name: chat\n  model: llama-3-8b\n  replicas: {count: 1}\n  requests: {file: r" + more + "}\n"
}

const azureHead = "TIMESTAMP,ContextTokens,GeneratedTokens\n"

// cronScaled is a ScaledObject of service chat.
func cronScaled(name, replicas string) string {
	return "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: " + name + "}\nspec:\n" +
		"  scaleTargetRef: {name: chat}\n  triggers: [{type: cron, metadata: {timezone: UTC, start: 0 6 * * *, " +
		"end: 0 20 * * *, desiredReplicas: " + replicas + "}}]\n"
}

// long is a trace that no buffer holds whole.
func long() string {
	var b strings.Builder
	b.WriteString(traceHead)
	for i := 1; i <= 20000; i++ {
		fmt.Fprintf(&b, `{"id":"job-%d-%x","submit_s":%d,"run_s":60,"gpus":1}`+"\n", i, uint32(i)*2654435761, i)
	}
	return b.String()
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text)) // a buffer takes everything
	_ = w.Close()
	return b.String()
}

func zstandard(text string) string {
	w, _ := zstd.NewWriter(nil)
	return string(w.EncodeAll([]byte(text), nil))
}

func cut(text string) string { return text[:len(text)*2/3] }

// TestBadInput checks that every mistake is found before the run, told with its place and a remedy, and leaves nothing.
func TestBadInput(t *testing.T) {
	for name, tc := range badInputs {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{"s.yaml": small + "trace: {file: t}\n"})
			for file, text := range tc.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			t.Chdir(dir)
			before := leftovers(t, dir)
			refuses(t, exitUsage, tc.words, "scenario", "validate", "s.yaml")
			refuses(t, exitUsage, tc.words, "run", "s.yaml", "--out", "out")
			if after := leftovers(t, dir, before...); after != nil {
				t.Errorf("left behind: %v", after)
			}
		})
	}
}

// TestBadTrace checks the verbs on traces with broken ones, and that a conversion leaves nothing either.
func TestBadTrace(t *testing.T) {
	t.Chdir(write(t, map[string]string{"t": traceHead + job("a", "0", "-1", "1") + job("b", "0", "NaN", "1")}))
	words := []string{"t:2: run_s is -1", "t:3: "}
	refuses(t, exitUsage, words, "trace", "validate", "t")
	refuses(t, exitUsage, words, "trace", "describe", "t")
	refuses(t, exitUsage, words, "trace", "convert", "t", "--out", "u.ndjson.zst")
	refuses(t, exitUsage, []string{"--out"}, "trace", "import", "t")
	refuses(t, exitUsage, []string{"name=value"}, "trace", "describe", "t", "--option", "x")
	refuses(t, exitUsage, []string{"nosuch"}, "trace", "describe", "nosuch")
	refuses(t, exitUsage, []string{"unknown format", "philly"}, "trace", "describe", "t", "--format", "nosuch")
	if got := leftovers(t, ".", "t"); got != nil {
		t.Errorf("left behind: %v", got)
	}
	o := cli("trace", "convert", "t", "--out", "u.ndjson", "--skip-bad")
	if o.code != exitDone || o.stdout != "u.ndjson: 0 jobs\n" || !strings.Contains(o.stderr, "skipped 1 rows") {
		t.Errorf("--skip-bad: %+v", o)
	}
}

// TestBadArguments throws nonsense at the command line.
func TestBadArguments(t *testing.T) {
	dir := write(t, map[string]string{"file": "x", "s.yaml": small + "trace: {builtin: empty}\n"})
	t.Chdir(dir)
	for _, tc := range []struct {
		args  []string
		words []string
	}{
		{[]string{"bogus"}, []string{`unknown command "bogus"`, "--help"}},
		{[]string{"--bogus"}, []string{"unknown flag: --bogus", "--help"}},
		{[]string{"scenario", "bogus"}, []string{`unknown command "bogus"`}},
		{[]string{"run"}, []string{"orrery run SCENARIO"}},
		{[]string{"run", "demo", "more"}, []string{"orrery run SCENARIO"}},
		{[]string{"run", ""}, []string{"no shipped scenario"}},
		{[]string{"run", "dmeo"}, []string{"dmeo", `demo`}},
		{[]string{"run", "."}, []string{"directory"}},
		{[]string{"run", "demo", "--seed", "-1"}, []string{"--seed"}},
		{[]string{"run", "demo", "--seed", "99999999999999999999"}, []string{"--seed", "out of range"}},
		{[]string{"run", "s.yaml", "--trace", "nosuch.csv"}, []string{"--trace nosuch.csv", "no such file"}},
		{[]string{"run", "s.yaml", "--trace", dir}, []string{"no regular file"}},
		{[]string{"run", "s.yaml", "--out", "file"}, []string{"file exists", "--out"}},
		{[]string{"run", "s.yaml", "--out", "file/x"}, []string{"file/x", "part of the path is a file"}},
		{[]string{"run", "s.yaml", "--out", "x", "--set", "nonsense"}, []string{"want path=value"}},
		{[]string{"run", "s.yaml", "--out", "x", "--set", "..="}, []string{"empty name"}},
		{[]string{"run", "s.yaml", "--out", "x", "--set", "cluster.pools.b.nodes=1"}, []string{`did you mean "a"`}},
		{[]string{"run", "s.yaml", "--out", "x", "--set", "cluster.pools.a.nodes=99999999999999999999",
			"--set", "horizon=1e9", "--set", "name=../../x"},
			[]string{"want a whole number", "is not a duration", "is not made of a-z"}},
		{[]string{"report", "nosuch"}, []string{"no folder \"nosuch\""}},
		{[]string{"report", "file"}, []string{"file is a file"}},
		{[]string{"report", "."}, []string{"no whole result", "result.json", "journal.ndjson.zst"}},
		{[]string{"explain", "."}, []string{"orrery explain RESULT_DIR"}},
		{[]string{"explain", ".", "job/x"}, []string{"no whole result"}},
		{[]string{"export", "nodes", "nosuch"}, []string{"no such file"}},
	} {
		refuses(t, exitUsage, tc.words, tc.args...)
	}
	if got := leftovers(t, ".", "file", "s.yaml"); got != nil {
		t.Errorf("left behind: %v", got)
	}
}
