package result

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTablesDocumented holds that README.md lists every table with every column.
func TestTablesDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString("| table | a row for each | where | columns |\n|---|---|---|---|\n")
	for _, x := range []struct {
		file, each, where string
		row               any
	}{
		{JobsFile, "job", "always", JobRow{}}, {PodsFile, "pod", "always", PodRow{}},
		{NodesFile, "node", "always", NodeRow{}},
		{SeriesFile, "bin of time", "always", SeriesRow{}},
		{ServicesFile, "service and bin of time", "there are services", ServiceRow{}},
		{RequestsFile, "request", "the scenario asks for it", RequestRow{}},
		{ReplicasFile, "replica", "there are services", ReplicaRow{}},
		{ScalingsFile, "change of wanted replicas", "there was one", ScalingRow{}},
		{MachinesFile, "machine of a cloud", "there was one", MachineRow{}},
	} {
		var columns []string
		for f := range reflect.TypeOf(x.row).Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("parquet"), ",")
			columns = append(columns, "`"+name+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", strings.TrimSuffix(path.Base(x.file), ".parquet"), x.each, x.where,
			strings.Join(columns, ", "))
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	const from, to = "<!-- tables -->\n", "<!-- /tables -->"
	head, rest, ok1 := strings.Cut(string(readme), from)
	old, tail, ok2 := strings.Cut(rest, to)
	switch {
	case !ok1 || !ok2:
		t.Fatal("README.md has no place for the tables")
	case old == b.String():
	case os.Getenv("ORRERY_REWRITE") == "1":
		if err := os.WriteFile("README.md", []byte(head+from+b.String()+to+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatal("the tables in README.md are stale; run the test with ORRERY_REWRITE=1")
	}
}

// TestServingTables reads the tables of services back, and holds that runs without any have none.
func TestServingTables(t *testing.T) {
	at := func(s float64) *float64 { return &s }
	d := example()
	d.Services = []ServiceDetail{{Name: "chat"}}
	d.Replicas = []ReplicaRow{{Service: "chat", Group: "default/chat", Replica: "default/chat-0", Node: "n0", GPUs: 1,
		CreatedSeconds: 1, BoundSeconds: at(2), Engine: at(40), ReadySeconds: at(60)}, {Service: "chat", Replica: "b"}}
	d.Machines = []MachineRow{{Node: "m", Pool: "a", OrderedSeconds: at(5), FailedSeconds: at(9), Reason: "none left"},
		{Node: "m", Pool: "a", LaunchedSeconds: at(0), PaidHours: 1.5}}
	d.Scalings = []Scaling{{Seconds: 7, Object: "Deployment/default/chat", From: 1, To: 3, By: "HPA", Reason: "load"}}
	out := filepath.Join(t.TempDir(), "r")
	f, err := Create(out)
	if err != nil {
		t.Fatal(err)
	}
	fillFolder(t, f, d, 3)
	if err := f.Commit(d, Parts{}); err != nil {
		t.Fatal(err)
	}
	same(t, out, ReplicasFile, d.Replicas)
	same(t, out, MachinesFile, d.Machines)
	same(t, out, ScalingsFile, []ScalingRow{{7, "Deployment/default/chat", 1, 3, "HPA", "load"}})
	bare := filepath.Join(t.TempDir(), "bare")
	commit(t, bare, 3)
	for _, name := range []string{ServicesFile, ReplicasFile, MachinesFile, ScalingsFile, RequestsFile} {
		if _, err := os.Stat(filepath.Join(bare, name)); !os.IsNotExist(err) {
			t.Errorf("a run without services has %s: %v", name, err)
		}
	}
}

func same[T any](t *testing.T, dir, name string, want []T) {
	t.Helper()
	var got []T
	if err := readTable(filepath.Join(dir, name), func(r T) error { got = append(got, r); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-written +read):\n%s", name, diff)
	}
}
