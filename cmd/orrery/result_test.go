package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"orrery/sim/result"
)

// contents reads a folder whole, run.json left out: it is what may differ between two runs.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == result.RunFile {
			return err
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		files[rel] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 8 {
		t.Fatalf("only %d files in %s", len(files), dir)
	}
	return files
}

func same(t *testing.T, a, b string) {
	t.Helper()
	x, y := contents(t, a), contents(t, b)
	if len(x) != len(y) {
		t.Errorf("%d files and %d files", len(x), len(y))
	}
	for name, text := range x {
		if y[name] != text {
			t.Errorf("%s differs between %s and %s", name, a, b)
		}
	}
}

// TestRunsRepeat checks that a run, the same run again, and the run of its resolved scenario give the same folder, and
// that another seed and an override give another.
func TestRunsRepeat(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	talk := cli("run", "quickstart-small", "--out", at("a"))
	if talk.code != exitDone || talk.stderr != "" && !strings.HasPrefix(talk.stderr, "simulated ") {
		t.Fatalf("code %d, stderr %q", talk.code, talk.stderr)
	}
	for _, want := range []string{"scenario      quickstart-small, seed 1", "report: " + at("a/report.html"),
		"1 of 1 met"} {
		if !strings.Contains(talk.stdout, want) {
			t.Errorf("stdout lacks %q:\n%s", want, talk.stdout)
		}
	}
	must(t, "run", "quickstart-small", "--out", at("b"), "-q")
	same(t, at("a"), at("b"))
	must(t, "run", at("a/scenario.yaml"), "--out", at("deep/er/ü c"), "-q")
	same(t, at("a"), at("deep/er/ü c"))

	must(t, "run", "quickstart-small", "--out", at("seed"), "--seed", "7")
	must(t, "run", "quickstart-small", "--out", at("set"), "--set", "cluster.pools.l4.nodes=5")
	a, seed, set := contents(t, at("a")), contents(t, at("seed")), contents(t, at("set"))
	if a[result.JournalFile] == seed[result.JournalFile] || a[result.JournalFile] == set[result.JournalFile] {
		t.Error("--seed or --set changes nothing")
	}
	must(t, "run", at("set/scenario.yaml"), "--out", at("set2"))
	same(t, at("set"), at("set2"))
}

// TestDefaultFolder checks the folder that a run without --out writes, and that it is not overwritten.
func TestDefaultFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	must(t, "run", "quickstart-small", "--seed", "3", "--set", "trace.generate.jobs=5", "--set", "expect={}")
	if _, err := result.Open("out/quickstart-small-seed3"); err != nil {
		t.Error(err)
	}
	refuses(t, exitUsage, []string{"out/quickstart-small-seed3 exists", "--out"}, "run", "quickstart-small", "--seed",
		"3")
}

// TestReports checks that what is rendered later equals what the run rendered, in every format.
func TestReports(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "r")
	must(t, "run", "quickstart-small", "--out", out)
	before := contents(t, out)
	must(t, "report", out, "--format", "html", "--out", filepath.Join(dir, "again.html"))
	again, err := os.ReadFile(filepath.Join(dir, "again.html"))
	if err != nil || string(again) != before[result.ReportFile] {
		t.Errorf("the report rendered again differs (%v)", err)
	}
	if got := must(t, "report", out, "--format", "html"); got != filepath.Join(out, result.ReportFile)+"\n" {
		t.Errorf("stdout %q", got)
	}
	for name, text := range contents(t, out) {
		if before[name] != text {
			t.Errorf("%s changed when the report was rendered", name)
		}
	}
	if got := must(t, "report", out); !strings.Contains(got, "The cluster was ") {
		t.Errorf("no findings on the terminal:\n%s", got)
	}
	var doc struct{ Panels []struct{ ID string } }
	err = json.Unmarshal([]byte(must(t, "report", out, "--format", "json")), &doc)
	if err != nil || len(doc.Panels) < 10 {
		t.Errorf("json: %v, %d panels", err, len(doc.Panels))
	}
	must(t, "report", out, "--format", "csv", "--out", filepath.Join(dir, "tables"))
	if got := leftovers(t, filepath.Join(dir, "tables")); len(got) < 10 {
		t.Errorf("csv wrote only %v", got)
	}
	priced := must(t, "report", out, "--format", "json", "--set",
		"cluster.pools.l4.price={usdPerGPUHour: 99, source: test}")
	if priced == must(t, "report", out, "--format", "json") {
		t.Error("another price changes nothing")
	}
	refuses(t, exitUsage, []string{"seed=4", "change the run", "orrery run"}, "report", out, "--set", "seed=4")
	refuses(t, exitUsage, []string{"want path=value"}, "report", out, "--set", "nonsense")
	refuses(t, exitUsage, []string{"xml", "term, html, csv or json"}, "report", out, "--format", "xml")
	refuses(t, exitUsage, []string{"--out"}, "report", out, "--format", "csv")
	refuses(t, exitUsage, []string{"tables exists"}, "report", out, "--format", "csv", "--out",
		filepath.Join(dir, "tables"))
	refuses(t, exitUsage, []string{"is a folder"}, "report", out, "--format", "json", "--out", dir)
}

// TestTraceElsewhere checks --trace, and that a report needs neither the trace nor the folder it was run in.
func TestTraceElsewhere(t *testing.T) {
	dir := write(t, map[string]string{"s.yaml": small + "trace: {builtin: empty}\n",
		"j.ndjson": traceHead + job("one", "0", "60", "4") + job("two", "5", "60", "8")})
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, "trace", "convert", at("j.ndjson"), "--out", at("j.ndjson.zst"))
	must(t, "run", at("s.yaml"), "--trace", at("j.ndjson"), "--out", at("plain"))
	must(t, "run", at("s.yaml"), "--trace", at("j.ndjson.zst"), "--trace-format", "canonical", "--out", at("zst"))
	plain, zst := contents(t, at("plain")), contents(t, at("zst"))
	if plain["tables/jobs.parquet"] != zst["tables/jobs.parquet"] ||
		!strings.Contains(plain["result.json"], `"submitted": 2`) {
		t.Error("the compressed trace gives other jobs, or none")
	}
	if err := os.Remove(at("j.ndjson")); err != nil {
		t.Fatal(err)
	}
	must(t, "report", at("plain"), "--format", "html", "--out", at("again.html"))
	if again, _ := os.ReadFile(at("again.html")); string(again) != plain[result.ReportFile] {
		t.Error("without the trace the report differs")
	}
	refuses(t, exitUsage, []string{"scenario.yaml:", "there is no file", "j.ndjson"}, "run", at("plain/scenario.yaml"),
		"--out", at("x"))
	refuses(t, exitUsage, []string{"--trace-format needs --trace"}, "run", at("s.yaml"), "--trace-format", "helios")
}

// TestExpectations checks exit code 3: the result is there, and what was missed is said.
func TestExpectations(t *testing.T) {
	out := filepath.Join(t.TempDir(), "r")
	o := cli("run", "quickstart-small", "--out", out, "--set",
		"expect={jobs.completed: {min: 201}, gpu.devices: {max: 3}}")
	if o.code != exitMissed || !strings.Contains(o.stdout, "0 of 2 met") {
		t.Errorf("code %d\n%s", o.code, o.stdout)
	}
	for _, want := range []string{"jobs.completed = 200, expected at least 201", "gpu.devices = 32, expected at most 3"} {
		if !strings.Contains(o.stderr, want) {
			t.Errorf("%q lacks %q", o.stderr, want)
		}
	}
	if _, err := result.Open(out); err != nil {
		t.Error(err)
	}
}

// TestNeverSchedulable checks that a job larger than any node runs nobody's run down, and is told everywhere with the
// scheduler's own words.
func TestNeverSchedulable(t *testing.T) {
	dir := write(t, map[string]string{"s.yaml": small + "trace: {file: j.ndjson}\n",
		"j.ndjson": traceHead + job("ok", "0", "60", "4") + `{"id":"huge","submit_s":5,"run_s":60,"gpus":4,"memory_mib":900000,"pods":1}` + "\n"})
	out := filepath.Join(dir, "r")
	must(t, "run", filepath.Join(dir, "s.yaml"), "--out", out)
	opened, err := result.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	if n := opened.Summary.Jobs.NeverSchedulable; n != 1 {
		t.Errorf("%d jobs never schedulable, want 1", n)
	}
	const words = "Insufficient memory"
	err = opened.Jobs(func(r result.JobRow) error {
		if (r.Job == "huge") != strings.Contains(r.Reason, words) {
			t.Errorf("job %s: reason %q", r.Job, r.Reason)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if got := must(t, "explain", out, "job/huge"); !strings.Contains(got, words) {
		t.Errorf("explain does not say why:\n%s", got)
	}
	got := strings.Join(strings.Fields(must(t, "report", out)), " ") // however it wraps
	if !strings.Contains(got, words) || !strings.Contains(got, "never can be") {
		t.Errorf("the report does not say why:\n%s", got)
	}
	var story struct{ Pods []struct{ Pod string } }
	if err := json.Unmarshal([]byte(must(t, "explain", out, "pod/default/huge-0", "--json")), &story); err != nil ||
		len(story.Pods) != 1 || story.Pods[0].Pod != "default/huge-0" {
		t.Errorf("explain --json: %v, %+v", err, story)
	}
	refuses(t, exitUsage, []string{`no pod or job "job/hug"`, "huge"}, "explain", out, "job/hug")
	refuses(t, exitUsage, []string{"no pod or job", "job/NAME"}, "explain", out, "☃")
}
