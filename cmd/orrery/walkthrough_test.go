package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWalkthrough takes the files of the README on scenarios as they stand there, makes the requests that it speaks of,
// and follows its steps: whoever copies them must get as far.
func TestWalkthrough(t *testing.T) {
	readme, err := os.ReadFile("../../scenarios/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(readme), "## A service of your own, step by step")
	text, _, _ = strings.Cut(text, "\n## ")
	files := map[string]string{}
	for i, block := range strings.Split(text, "```") {
		if kind, body, ok := strings.Cut(block, "\n# "); ok && i%2 == 1 && kind == "yaml" {
			name, _, _ := strings.Cut(body, "\n")
			files[name] = body[len(name):]
		}
	}
	if len(files) != 4 {
		t.Fatalf("%d files in the README", len(files))
	}
	csv := "TIMESTAMP,ContextTokens,GeneratedTokens\n"
	for i := range 600 {
		csv += fmt.Sprintf("2026-03-02 08:%02d:%02d.120000,%d,%d\n", i/60, i%60, 300+i*7%2000, 20+i%100)
	}
	files["requests.csv"] = csv
	dir := write(t, files)
	at := func(name string) string { return filepath.Join(dir, name) }
	t.Chdir(dir) // --set names files from here
	must(t, "scenario", "validate", "my.yaml")
	must(t, "trace", "describe", "requests.csv")
	said := must(t, "run", "my.yaml", "--quiet", "--out", at("hpa"))
	if !strings.Contains(said, "600 arrived, 600 answered") {
		t.Errorf("not all were answered:\n%s", said)
	}
	for query, want := range map[string]string{"service/llama70b": "of 4 GPUs a replica", "hpa/llama70b": "ScalingActive"} {
		if got := must(t, "explain", at("hpa"), query); !strings.Contains(got, want) {
			t.Errorf("%s does not say %q:\n%s", query, want, got)
		}
	}
	said = must(t, "run", "my.yaml", "--quiet", "--set", "manifests=[deployment.yaml, keda.yaml]", "--out", at("keda"))
	if !strings.Contains(said, "600 arrived, 600 answered") {
		t.Errorf("KEDA does not start servers for all:\n%s", said)
	}
	must(t, "scenario", "validate", "my.yaml", "--set", "manifests=[deployment.yaml]")
	if got := must(t, "report", at("hpa"), at("keda")); !strings.Contains(got, "llama70b") {
		t.Errorf("side by side nothing is said of the service:\n%s", got)
	}
}
