package scenarios

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"orrery/sim/catalog"
)

// TestNodeTypes checks what a node type fills in, that the pool's own values come first, and that the resolved form,
// which says everything, is the same scenario.
func TestNodeTypes(t *testing.T) {
	s, err := Parse("x.yaml", []byte(`apiVersion: orrery/v1
kind: Scenario
name: x
cluster:
  pools:
  - {name: aws, node: p5, nodes: 2}
  - {name: rack, node: nvl72, nodes: 18, cpu: 140, memory: 900Gi, instanceType: tray}
trace: {builtin: empty}
`))
	if err != nil {
		t.Fatal(err)
	}
	type filled struct {
		node, gpu    string
		gpus         int
		cpu          CPU
		memory       Memory
		instanceType string
	}
	want := []filled{
		{"p5-48xlarge", "h100-sxm", 8, 192_000, 2048 * 1024, "p5.48xlarge"},
		{"gb200-nvl72", "gb200", 4, 140_000, 900 * 1024, "tray"},
	}
	for i, p := range s.Cluster.Pools {
		got := filled{p.Node, p.GPU, p.GPUsPerNode, p.CPU, p.Memory, p.InstanceType}
		if got != want[i] {
			t.Errorf("pool %s: %+v, want %+v", p.Name, got, want[i])
		}
	}
	for i, arch := range []string{"amd64", "arm64"} {
		if got := s.labels(&s.Cluster.Pools[i])["kubernetes.io/arch"]; got != arch {
			t.Errorf("pool %d has the architecture %s, want %s", i, got, arch)
		}
	}
	text, err := s.Resolved()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("y.yaml", text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	samePlan(t, s, again)
	if second, err := again.Resolved(); err != nil || !bytes.Equal(text, second) {
		t.Errorf("resolving again changes the text: %v\n%s\n%s", err, text, second)
	}
}

// TestReadmeExamples loads the catalogue file and the pools that README.md shows.
func TestReadmeExamples(t *testing.T) {
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string]string{}
	for _, part := range strings.Split(string(data), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(part, "```")
		switch {
		case strings.Contains(text, "kind: Catalog"):
			blocks["catalogue"] = text
		case strings.HasPrefix(text, "pools:") && strings.Contains(text, "node: "):
			blocks["pools"] = text
		}
	}
	if c, err := catalog.Load(catalog.File{Name: "README.md", Data: []byte(blocks["catalogue"])}); err != nil {
		t.Error(err)
	} else if _, err := c.Lookup("my-gpu"); err != nil {
		t.Error(err)
	}
	pools := strings.ReplaceAll(blocks["pools"], "\n", "\n  ")
	s, err := Parse("README.md", []byte("apiVersion: orrery/v1\nkind: Scenario\nname: x\ncluster:\n  "+pools+
		"\ntrace: {builtin: empty}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p := s.Cluster.Pools; len(p) != 2 || p[1].GPUsPerNode*p[1].Nodes != 72 {
		t.Errorf("%+v", p)
	}
}
