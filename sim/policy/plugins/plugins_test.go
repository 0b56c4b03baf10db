package plugins

import (
	"encoding/json"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	intree "k8s.io/kubernetes/pkg/scheduler/framework/plugins"

	"orrery/sim/policy/kubescheduler/incremental"
	"orrery/sim/policy/plugins/plugin"
)

// handle is upstream's for plugins that look at nothing when they are made.
type handle struct{ framework.Framework }

// TestList holds that the list is in order, that every plugin can be made and does what it says it does, and that the
// page for authors names each.
func TestList(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	registry, upstream := Registry(1), intree.NewInTreeRegistry()
	last := ""
	for _, p := range List() {
		if p.Name <= last || upstream[p.Name] != nil {
			t.Errorf("%s follows %s, or is upstream's", p.Name, last)
		}
		last = p.Name
		if !strings.Contains(string(page), "`"+p.Name+"`") {
			t.Errorf("README.md does not name %s", p.Name)
		}
		var args runtime.Object
		if p.Name == "FGD" {
			args = &runtime.Unknown{Raw: []byte(`{"typicalPods": [{"cpuMilli": 1000, "gpus": 1, "gpuMilli": 500, "count": 1}]}`)}
		}
		made, err := registry[p.Name](t.Context(), args, handle{})
		if err != nil {
			t.Fatal(err)
		}
		if made.Name() != p.Name {
			t.Errorf("%s calls itself %s", p.Name, made.Name())
		}
		if _, ok := made.(incremental.NodeLocal); !ok {
			t.Errorf("%s is not node-local: every attempt would look at every node", p.Name)
		}
		if got := points(made); !slices.Equal(got, p.Points) {
			t.Errorf("%s: points %v, it implements %v", p.Name, p.Points, got)
		}
	}
}

// points are the extension points that a plugin implements, in upstream's order.
func points(p fwk.Plugin) (out []string) {
	add := func(name string, ok bool) {
		if ok {
			out = append(out, name)
		}
	}
	_, ok := p.(fwk.PreFilterPlugin)
	add("preFilter", ok)
	_, ok = p.(fwk.FilterPlugin)
	add("filter", ok)
	_, ok = p.(fwk.ScorePlugin)
	add("score", ok)
	_, ok = p.(fwk.ReservePlugin)
	add("reserve", ok)
	_, ok = p.(fwk.PreBindPlugin)
	add("preBind", ok)
	return out
}

// TestExample builds the plugin that the page for authors shows, where an author would put it.
func TestExample(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(page), "```go\n")
	code, _, _ = strings.Cut(code, "```\n")
	dir := t.TempDir()
	file, overlay := filepath.Join(dir, "fewpods.go"), filepath.Join(dir, "overlay.json")
	place, err := filepath.Abs("fewpods/fewpods.go")
	if err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{place: file}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{file: code, overlay: string(list)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("go", "build", "-overlay", overlay, "orrery/sim/policy/plugins/fewpods").CombinedOutput()
	if err != nil {
		t.Errorf("the example does not build: %v\n%s", err, out)
	}
	if formatted, err := format.Source([]byte(code)); err != nil || string(formatted) != code {
		t.Errorf("the example is not formatted: %v", err)
	}
}

// TestArgs holds that arguments are read strictly.
func TestArgs(t *testing.T) {
	for _, tc := range []struct{ plugin, args, want string }{
		{"BestFit", `{}`, ""}, {"BestFit", `{"maxCPUMilli": 64000}`, ""}, {"NodeRankLow", `{"per": "pod"}`, ""},
		{"Random", `{}`, ""}, {"FGD", `{"typicalPodsConfigMap": "a/b"}`, ""},
		{"BestFit", `{"maxCpu": 1}`, `unknown field "maxCpu"`}, {"BestFit", `{"maxGPUMilli": 0}`, "maxGPUMilli"},
		{"BestFit", `{"maxCPUMilli": "many"}`, "cannot unmarshal"}, {"NodeRankHigh", `{"per": "hour"}`, "per must be"},
		{"DotProduct", `{"maxCPUMilli": 0}`, "maxCPUMilli"}, {"GPUClustering", `{"maxGPUMilli": -1}`, "maxGPUMilli"},
		{"Random", `{"seed": 1}`, "takes no args"}, {"FGD", `{}`, "typicalPods"},
		{"FGD", `{"typicalPods": [{"gpus": 1, "count": 1}]}`, "gpuMilli"},
	} {
		at := slices.IndexFunc(List(), func(p plugin.Plugin) bool { return p.Name == tc.plugin })
		_, err := List()[at].Decode(&runtime.Unknown{Raw: []byte(tc.args)})
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s %s: %v, want %q", tc.plugin, tc.args, err, tc.want)
		}
	}
}
