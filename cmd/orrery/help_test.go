package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// words splits a command line as a shell does, as far as the examples need it.
func words(line string) (out []string) {
	for _, m := range regexp.MustCompile(`'([^']*)'|(\S+)`).FindAllStringSubmatch(line, -1) {
		out = append(out, m[1]+m[2])
	}
	return out
}

// commands lists the program's verbs, that of the command line library left out.
func commands(c *cobra.Command) []*cobra.Command {
	out := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		out = append(out, commands(sub)...)
	}
	return out
}

// commandLines takes the calls of the program out of a text, without comments, pipes and redirections.
func commandLines(text string) (out []string) {
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
		line, _, _ = strings.Cut(line, " | ")
		line, _, _ = strings.Cut(line, " > ")
		if strings.HasPrefix(line, "orrery ") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// TestExamples holds that every verb has an example, that each example and each command of the README is one that the
// program understands, and runs those that need no file.
func TestExamples(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := commandLines(string(readme))
	if len(lines) < 5 {
		t.Fatalf("only %d commands in the README", len(lines))
	}
	for _, c := range commands(newRoot()) {
		found := commandLines(c.Example)
		if len(found) == 0 || c.Short == "" {
			t.Errorf("%s: no example, or no short description", c.CommandPath())
		}
		if help := must(t, append(strings.Fields(c.CommandPath())[1:], "--help")...); !strings.Contains(help, found[0]) {
			t.Errorf("%s --help does not show its example:\n%s", c.CommandPath(), help)
		}
		lines = append(lines, found...)
	}
	ran := 0
	for _, line := range lines {
		args := words(line)[1:]
		c, rest, err := newRoot().Find(args)
		if err != nil || c.RunE == nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if err := c.ParseFlags(rest); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if err := c.Args(c, c.Flags().Args()); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		switch sub := strings.Fields(c.CommandPath() + " x")[1]; {
		case sub == "version", sub == "model", sub == "catalog" && !strings.Contains(line, "mine.yaml"), sub == "export" && strings.Contains(line, " demo"),
			sub == "scenario" && !strings.Contains(line, "my.yaml"), strings.HasSuffix(line, "trace formats"),
			strings.Contains(line, "scenario show"):
			ran++
			if got := must(t, args...); got == "" {
				t.Errorf("%s: no result", line)
			}
		case sub == "run" && strings.HasPrefix(line, "orrery run demo"):
			ran++
			set := []string{"scenario", "validate", "demo"} // a run would take too long for a test
			for i, a := range args {
				if a == "--set" {
					set = append(set, a, args[i+1])
				}
			}
			must(t, set...)
		}
	}
	if ran < 8 {
		t.Errorf("only %d examples were run", ran)
	}
}

// TestScenarioVerbs checks list, show, validate and export on the shipped scenarios.
func TestScenarioVerbs(t *testing.T) {
	list := must(t, "scenario", "list")
	for _, name := range []string{"demo", "quickstart-small", "needs --set trace.file=FILE"} {
		if !strings.Contains(list, name) {
			t.Errorf("scenario list lacks %s", name)
		}
	}
	t.Chdir(t.TempDir())
	source := must(t, "scenario", "show", "quickstart-small")
	resolved := must(t, "scenario", "show", "quickstart-small", "--resolved")
	for name, text := range map[string]string{"my own.yaml": source, "resolved.yaml": resolved} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := must(t, "scenario", "validate", name); got != name+": valid: 4 nodes in 1 pool, 200 jobs\n" {
			t.Errorf("validate said %q", got)
		}
		if again := must(t, "scenario", "show", name, "--resolved"); again != resolved {
			t.Errorf("%s resolves to something else than the shipped scenario", name)
		}
	}
	if got := must(t, "scenario", "show", "quickstart-small", "--set", "seed=77"); !strings.Contains(got, "seed: 77\n") {
		t.Error("show --set changes nothing")
	}
	nodes := must(t, "export", "nodes", "quickstart-small", "--set", "cluster.pools.l4.nodes=3")
	if n := strings.Count(nodes, "\nkind: Node\n"); n != 3 {
		t.Errorf("%d nodes exported, want 3", n)
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestTraceGenerate writes a trace of requests from a specification, and a part of it.
func TestTraceGenerate(t *testing.T) {
	const spec = "name: chat\npreset: azure-conv\nrate_per_second: 5\n"
	t.Chdir(write(t, map[string]string{"spec.yaml": spec + "requests: 200\n", "endless.yaml": spec,
		"bad.yaml": "name: chat\nspam: 1h\n", "jobs.ndjson": traceHead + job("a", "0", "3600", "8")}))
	for _, out := range []string{"a.ndjson", "b.ndjson"} {
		if got := must(t, "trace", "generate", "spec.yaml", "--seed", "7", "-o", out); got != out+": 200 requests\n" {
			t.Errorf("generate said %q", got)
		}
	}
	a, b := readText(t, "a.ndjson"), readText(t, "b.ndjson")
	if a != b {
		t.Error("the same seed gives another trace")
	}
	must(t, "trace", "generate", "spec.yaml", "--out", "b.ndjson", "--overwrite")
	if readText(t, "b.ndjson") == a {
		t.Error("another seed gives the same trace")
	}
	refuses(t, exitUsage, []string{"b.ndjson", "exist"}, "trace", "generate", "spec.yaml", "--out", "b.ndjson")
	refuses(t, exitUsage, []string{"endless.yaml", "no end", "span"}, "trace", "generate", "endless.yaml", "--out", "c")
	refuses(t, exitUsage, []string{"bad.yaml:2:1", "span"}, "trace", "generate", "bad.yaml", "--out", "c")
	refuses(t, exitUsage, []string{"--out is missing"}, "trace", "generate", "spec.yaml")

	half := must(t, "trace", "convert", "a.ndjson", "--out", "half.ndjson", "--share", "0.5", "--max-output", "8")
	var n int
	if _, err := fmt.Sscanf(half, "half.ndjson: %d requests", &n); err != nil || n < 60 || n > 140 {
		t.Errorf("half of 200 requests: %q", half)
	}
	if got := must(t, "trace", "describe", "half.ndjson"); !strings.Contains(got, "8 output tokens") {
		t.Errorf("describe does not tell what was cut: %s", got)
	}
	refuses(t, exitUsage, []string{"clip"}, "trace", "convert", "a.ndjson", "--out", "c", "--from", "1h", "--to", "1m")
	refuses(t, exitUsage, []string{"--rate", "jobs.ndjson is no trace of requests"}, "trace", "convert", "jobs.ndjson",
		"--out", "c", "--rate", "2")
}

// TestTraceVerbs converts, describes and validates a trace of the project's own format.
func TestTraceVerbs(t *testing.T) {
	t.Chdir(write(t, map[string]string{"a b.ndjson": traceHead + job("ü", "0", "3600", "8") + job("two", "5", "60", "1")}))
	if got := must(t, "trace", "convert", "a b.ndjson", "--out", "b.ndjson.gz"); got != "b.ndjson.gz: 2 jobs\n" {
		t.Errorf("convert said %q", got)
	}
	if got := must(t, "trace", "import", "b.ndjson.gz", "--out", "c.ndjson.zst"); got != "c.ndjson.zst: 2 jobs\n" {
		t.Errorf("import said %q", got)
	}
	refuses(t, exitUsage, []string{"c.ndjson.zst", "exist"}, "trace", "import", "b.ndjson.gz", "--out", "c.ndjson.zst")
	must(t, "trace", "import", "b.ndjson.gz", "--out", "c.ndjson.zst", "--overwrite")
	if got := must(t, "trace", "validate", "c.ndjson.zst"); got != "c.ndjson.zst: valid\n" {
		t.Errorf("validate said %q", got)
	}
	plain := must(t, "trace", "describe", "b.ndjson.gz", "--json")
	packed := must(t, "trace", "describe", "c.ndjson.zst", "--json")
	var d struct {
		Jobs     int64   `json:"jobs"`
		GPUHours float64 `json:"gpu_hours"`
	}
	if err := json.Unmarshal([]byte(plain), &d); err != nil || d.Jobs != 2 || plain != packed {
		t.Errorf("describe: %v, %+v\n%s\n%s", err, d, plain, packed)
	}
	if !strings.Contains(must(t, "trace", "describe", "a b.ndjson"), "2") {
		t.Error("describe as text says nothing")
	}
	formats := must(t, "trace", "formats")
	for _, f := range []string{"canonical", "openb", "philly", "helios", "acme"} {
		if !strings.Contains(formats, f) {
			t.Errorf("formats lacks %s", f)
		}
	}
	var versions map[string]string
	if err := json.Unmarshal([]byte(must(t, "version", "--json")), &versions); err != nil || versions["orrery"] == "" {
		t.Errorf("version --json: %v, %v", err, versions)
	}
	if text := must(t, "version"); !strings.Contains(text, "k8s.io/kubernetes") {
		t.Errorf("version: %q", text)
	}
}

// TestModelVerbs shows cards with their errors and validation, neural networks, and suggests names.
func TestModelVerbs(t *testing.T) {
	list := must(t, "model", "list")
	for _, want := range []string{"training", "collective", "storage", "sharing", "serving", "startup",
		"requests", "cluster-autoscaler", "keda", "llama-3-70b", "deepseek-v3"} {
		if !strings.Contains(list, want) {
			t.Errorf("model list lacks %s", want)
		}
	}
	card := must(t, "model", "show", "training")
	for _, want := range []string{"Formula", "Calibration", "held out: mean absolute error", "| T16 | llama-3-405b |"} {
		if !strings.Contains(card, want) {
			t.Errorf("model show training lacks %q", want)
		}
	}
	if got := must(t, "model", "show", "LLAMA-3-70B"); !strings.Contains(got, "80 layers") {
		t.Errorf("model show says %q", got)
	}
	refuses(t, exitUsage, []string{"did you mean", "llama-3-70b"}, "model", "show", "llama-3-70")
}
