package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestTopologyDrawing runs testdata/topology: "draw" with the flags of the verb and a cluster section prints what the
// verb prints.
func TestTopologyDrawing(t *testing.T) {
	datadriven.RunTest(t, "testdata/topology", func(t *testing.T, d *datadriven.TestData) string {
		if d.Cmd != "draw" {
			t.Fatalf("unknown command %s", d.Cmd)
		}
		text := "apiVersion: orrery/v1\nkind: Scenario\nname: drawn\ntrace: {builtin: empty}\n" +
			"workload: {resource: nvidia.com/gpu}\ncluster:\n  " + strings.ReplaceAll(strings.TrimSpace(d.Input), "\n", "\n  ")
		file := filepath.Join(t.TempDir(), "drawn.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{"topology", file}
		for _, a := range d.CmdArgs {
			args = append(args, "--"+a.Key+"="+strings.Join(a.Vals, ","))
		}
		o := cli(args...)
		return strings.ReplaceAll(o.stdout+o.stderr, filepath.Dir(file)+"/", "")
	})
}

func TestTopologyRefuses(t *testing.T) {
	refuses(t, exitUsage, []string{"does not say where its nodes stand", "preset: rail-optimized"}, "topology", "demo")
	refuses(t, exitUsage, []string{"--depth -1: write the layers"}, "topology", "demo", "--depth", "-1")
	refuses(t, exitUsage, []string{"write text or json"}, "topology", "demo", "-o", "xml",
		"--set", "cluster.topology={fabrics: [{preset: rail-optimized, network: infiniband-ndr}]}")
}
