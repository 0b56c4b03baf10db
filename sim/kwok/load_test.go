package kwok

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"orrery/sim/plan"
)

// TestLoadProblems reads files that have something wrong on known lines: everything is found, all at once, where it is.
func TestLoadProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	var all []plan.File
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		file := plan.File{Name: filepath.Base(f), Data: data}
		all = append(all, file)
		_, err = Load([]plan.File{file})
		var p Problems
		if !errors.As(err, &p) {
			t.Errorf("%s: got %v", f, err)
			continue
		}
		golden(t, strings.TrimSuffix(f, ".yaml")+".txt", []byte(err.Error()+"\n"))
		for _, x := range p { // the line a comment announces a problem on
			line := strings.Split(string(data), "\n")[x.Line-1]
			if !strings.Contains(line, "# bad") && !strings.Contains(line, "{{") {
				t.Errorf("%s:%d is not the line marked bad: %s: %s", x.File, x.Line, line, x.Message)
			}
		}
	}
	_, err = Load(all)
	for _, f := range all {
		if !strings.Contains(fmt.Sprint(err), f.Name+":") {
			t.Errorf("nothing about %s among the problems of all files", f.Name)
		}
	}
}

func TestLoadShipped(t *testing.T) {
	set, err := Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"node-initialize", "pod-complete", "pod-delete", "pod-fail", "pod-ready"}
	if diff := cmp.Diff(want, set.Names()); diff != "" {
		t.Error(diff)
	}
	for _, s := range set.cycle[podType].stages {
		if s.native == nil {
			t.Errorf("%s has no native form", s.name)
		}
	}
	// One letter changed: the general form.
	files := Shipped()
	for i := range files {
		text := strings.ReplaceAll(string(files[i].Data), "durationMilliseconds: 1500", "durationMilliseconds: 1501")
		files[i].Data = []byte(text)
	}
	set, err = Load(files)
	if err != nil {
		t.Fatal(err)
	}
	if set.cycle[podType].native {
		t.Error("a changed stage is taken for the shipped one")
	}
}

// TestStageGoldens lists, for objects in testdata/stages, all that the shipped stages may do next: as KWOK's own tests
// of stages do.
func TestStageGoldens(t *testing.T) {
	inputs, err := filepath.Glob("testdata/stages/*.input.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	for _, in := range inputs {
		data, err := os.ReadFile(in)
		if err != nil {
			t.Fatal(err)
		}
		var tm metav1.TypeMeta
		if err := yaml.Unmarshal(data, &tm); err != nil {
			t.Fatal(err)
		}
		var obj runtime.Object = &corev1.Pod{}
		if tm.Kind == "Node" {
			obj = &corev1.Node{}
		}
		if err := yaml.UnmarshalStrict(data, obj); err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		got := byOurs(t, nil, obj, true, testEpoch)
		out := map[string]any{"stage": got.Stage}
		for _, d := range got.Delay {
			out["delay"] = append(asList(out["delay"]), d.String())
		}
		for _, s := range got.Steps {
			kind, rest, _ := strings.Cut(s, "{")
			if i := strings.Index(s, "["); i >= 0 && (rest == "" || i < len(kind)) {
				kind, rest = s[:i], s[i+1:]
			}
			step := map[string]any{"do": strings.TrimSpace(kind)}
			if rest != "" {
				var body any
				if err := yaml.Unmarshal([]byte(s[len(kind):]), &body); err != nil {
					t.Fatal(err)
				}
				step["data"] = body
			}
			out["next"] = append(asList(out["next"]), step)
		}
		text, err := yaml.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, strings.Replace(in, ".input.", ".output.", 1), text)
	}
}

func asList(x any) []any {
	l, _ := x.([]any)
	return l
}

// FuzzLoad: no input may crash the reader, and every problem has a line that exists.
func FuzzLoad(f *testing.F) {
	for _, s := range Shipped() {
		f.Add(string(s.Data))
	}
	f.Add(chain)
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := Load([]plan.File{{Name: "f", Data: []byte(text)}})
		var p Problems
		if errors.As(err, &p) {
			lines := strings.Count(text, "\n") + 1
			for _, x := range p {
				if x.Line < 1 || x.Line > lines+1 || x.Message == "" {
					t.Errorf("%+v in a text of %d lines", x, lines)
				}
			}
		}
	})
}
