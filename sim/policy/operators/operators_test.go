package operators

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"orrery/sim/kube"
)

// TestScripts runs testdata: "expand" prints the jobs that the objects of a manifest stand for, pod by pod, or what is
// wrong with them.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "expand" {
				d.Fatalf(t, "unknown command %s", d.Cmd)
			}
			return script(t, []byte(d.Input))
		})
	})
}

func script(t *testing.T, manifest []byte) string {
	objects, err := kube.DecodeManifests("x.yaml", manifest, Scheme())
	if err != nil {
		return err.Error() + "\n"
	}
	var out strings.Builder
	for _, obj := range objects {
		before, _ := json.Marshal(obj)
		if after, err := json.Marshal(obj.DeepCopyObject()); err != nil || string(before) != string(after) {
			t.Errorf("the copy of %s differs: %s, %v", before, after, err)
		}
		e := Expand(obj)
		for _, p := range e.Problems {
			line := kube.FieldLine(manifest, e.Kind, obj.(metav1.Object).GetName(), p.Path)
			fmt.Fprintf(&out, "x.yaml:%d: %s: %s\n", line, p.Path, p.Say)
		}
		if e.Leaves != "" {
			fmt.Fprintf(&out, "left out: %s\n", e.Leaves)
		}
		seen := map[string]bool{}
		for _, j := range e.Jobs {
			fmt.Fprintf(&out, "%s %s/%s, restart as a whole: %v\n", e.Kind, j.Namespace, j.Name, j.Restart)
			for _, p := range j.Pods {
				if seen[p.Name] || p.Namespace != j.Namespace || p.Spec.RestartPolicy != corev1.RestartPolicyNever {
					t.Errorf("pod %s of %s: double, in another namespace or restarts itself", p.Name, j.Name)
				}
				seen[p.Name] = true
				describe(&out, p)
			}
		}
	}
	return out.String()
}

// describe prints what a scheduler can tell pods apart by.
func describe(out *strings.Builder, p *corev1.Pod) {
	fmt.Fprintf(out, "  %s\n", p.Name)
	for _, c := range p.Spec.Containers {
		var asks []string
		for _, list := range []corev1.ResourceList{c.Resources.Requests, c.Resources.Limits} {
			for _, name := range slices.Sorted(maps.Keys(list)) {
				q := list[name]
				asks = append(asks, fmt.Sprintf("%s %s", name, q.String()))
			}
		}
		c.Resources, c.Ports = corev1.ResourceRequirements{}, nil
		if !reflect.DeepEqual(c, corev1.Container{Name: c.Name, Image: c.Image}) {
			fmt.Fprintf(out, "    container has more than it should: %v\n", c)
		}
		fmt.Fprintf(out, "    asks %s\n", strings.Join(asks, ", "))
	}
	s := p.Spec
	if s.PriorityClassName+s.SchedulerName != "" || len(s.NodeSelector)+len(s.Tolerations) > 0 {
		fmt.Fprintf(out, "    priority %q scheduler %q nodes %v tolerates %d\n", s.PriorityClassName, s.SchedulerName,
			s.NodeSelector, len(s.Tolerations))
	}
	for _, list := range []map[string]string{p.Labels, p.Annotations} {
		for _, key := range slices.Sorted(maps.Keys(list)) {
			fmt.Fprintf(out, "    %s=%s\n", key, list[key])
		}
	}
}

// FuzzExpand: no manifest makes the mapping panic, and what it maps has pods with names of their own.
func FuzzExpand(f *testing.F) {
	files, err := filepath.Glob("testdata/*")
	if err != nil || len(files) == 0 {
		f.Fatal("no testdata", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Skip() // the folder of found cases
		}
		for _, part := range strings.Split(string(text), "\nexpand\n") {
			input, _, _ := strings.Cut(part, "\n----\n")
			f.Add([]byte(input))
		}
	}
	f.Add([]byte("apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {name: a}\nspec:\n" +
		"  replicas: 2000000000\n  leaderWorkerTemplate: {size: 2000000000, workerTemplate: {}}\n"))
	f.Add([]byte("apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: a}\nspec:\n  headGroupSpec: &h\n" +
		"    template: {spec: {containers: [{name: c}]}}\n  workerGroupSpecs:\n" +
		"  - {groupName: x, replicas: 9000, template: {spec: {containers: [{name: c}]}}}\n" +
		"  - {groupName: X, replicas: 9, template: {spec: {containers: [{name: c}]}}}\n"))
	f.Fuzz(func(t *testing.T, manifest []byte) {
		objects, err := kube.DecodeManifests("x.yaml", manifest, Scheme())
		if err != nil {
			return
		}
		for _, obj := range objects {
			if !Owns(obj) {
				continue
			}
			e := Expand(obj)
			if len(e.Problems) > 0 != (len(e.Jobs) == 0) {
				t.Fatalf("%d problems and %d jobs", len(e.Problems), len(e.Jobs))
			}
			names := map[string]bool{}
			for _, j := range e.Jobs {
				if len(j.Pods) == 0 {
					t.Fatalf("job %s has no pods", j.Name)
				}
				for _, p := range j.Pods {
					if names[p.Name] {
						t.Fatalf("two pods %s", p.Name)
					}
					names[p.Name] = true
				}
			}
		}
	})
}

// TestNamesRepeat: what is random with the operators follows from the names here.
func TestNamesRepeat(t *testing.T) {
	a, b, c := suffix("ns", "job", 0), suffix("ns", "job", 0), suffix("ns", "job", 1)
	if a != b || a == c || len(a) != suffixLen {
		t.Errorf("suffixes %s, %s and %s", a, b, c)
	}
}
