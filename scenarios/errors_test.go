package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// clean takes the parts out of a message that differ between machines.
func clean(t testing.TB, text string) string {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(text, wd, "<here>")
}

// TestErrors runs testdata/errors. "load" reads the text as the file testdata/x.yaml; "set" applies each line as one
// --set to testdata/base.yaml. Both print all problems, or ok.
func TestErrors(t *testing.T) {
	datadriven.RunTest(t, "testdata/errors", func(t *testing.T, td *datadriven.TestData) string {
		var err error
		switch td.Cmd {
		case "load":
			_, err = Parse(filepath.Join("testdata", "x.yaml"), []byte(td.Input))
		case "set":
			_, err = Load(filepath.Join("testdata", "base.yaml"), strings.Split(strings.TrimSpace(td.Input), "\n"))
		default:
			t.Fatalf("unknown command %s", td.Cmd)
		}
		if err != nil {
			return clean(t, err.Error()) + "\n"
		}
		return "ok\n"
	})
}

func TestLoadUnknownName(t *testing.T) {
	_, err := Load("demmo", nil)
	if err == nil || !strings.Contains(err.Error(), `did you mean "demo"?`) {
		t.Errorf("a mistyped scenario name gets no suggestion: %v", err)
	}
	if _, err := Load("demo", []string{"cluster.pools.h100.nodes=2"}); err != nil {
		t.Errorf("a shipped scenario is not found by its name: %v", err)
	}
	t.Chdir(t.TempDir())
	for _, name := range []string{"demo", "other"} {
		if err := os.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load("demo", nil); err != nil {
		t.Errorf("results in a folder called like a shipped scenario hide it: %v", err)
	}
	if _, err := Load("other", nil); err == nil || !strings.Contains(err.Error(), "other is a directory; name a file") {
		t.Errorf("a directory is taken for a scenario: %v", err)
	}
}

// FuzzParse checks that no input makes Parse panic and that every problem has a place.
func FuzzParse(f *testing.F) {
	for _, e := range entries {
		data, err := Source(e.Name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("<<: {apiVersion: orrery/v1}\n? [x]\n: 1\n"))
	f.Add([]byte("apiVersion: orrery/v1\nkind: Scenario\nname: x\ncluster: {pools: [{name: a, nodes: 1, cpu: 1, " +
		"memory: 1Gi}]}\ntrace: {builtin: empty}\nscheduler: {config: {name: c, text: \"a: [\"}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse("f.yaml", data)
		if err == nil {
			if _, err := s.Resolved(); err != nil && s.Trace.File == "" {
				t.Fatalf("a valid scenario cannot be resolved: %v", err)
			}
			return
		}
		first, _, _ := strings.Cut(err.Error(), "\n")
		if !strings.Contains(first, ":") || strings.HasPrefix(first, ":") {
			t.Fatalf("a problem without a place: %v", err)
		}
	})
}
