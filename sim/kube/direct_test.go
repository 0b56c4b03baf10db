package kube

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestDirect makes the same bindings and patches with and without the short cut and expects the same calls and answers.
func TestDirect(t *testing.T) {
	var answers, calls [2][]string
	for i := range 2 {
		f := newFixture(t)
		gate := func(c Call, fn func()) { calls[i] = append(calls[i], c.String()); fn() }
		cs, err := f.Clientset(gate)
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			cs = f.Direct(cs, gate)
		}
		create(f, gpuNode("n"))
		create(f, gpuPod("p"))
		note := func(text string, err error) {
			if err != nil {
				text = err.Error()
				var st apierrors.APIStatus
				if errors.As(err, &st) {
					status := st.Status()
					text += " " + status.String()
				}
			}
			answers[i] = append(answers[i], text)
		}
		bind := func(ctx context.Context, name, node string, o metav1.CreateOptions) {
			note("bound", cs.CoreV1().Pods("default").Bind(ctx, binding(name, node), o))
		}
		patch := func(ctx context.Context, name, data string, o metav1.PatchOptions) {
			out, err := cs.CoreV1().Pods("default").Patch(ctx, name, types.StrategicMergePatchType, []byte(data), o, "status")
			text, _ := json.Marshal(out)
			note(string(text), err)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		bind(over, "p", "n", metav1.CreateOptions{})
		bind(t.Context(), "p", "n", metav1.CreateOptions{DryRun: []string{"All"}})
		bind(t.Context(), "p", "", metav1.CreateOptions{})
		bind(t.Context(), "p", "n", metav1.CreateOptions{})
		bind(t.Context(), "p", "n", metav1.CreateOptions{})
		bind(t.Context(), "none", "n", metav1.CreateOptions{})
		const condition = `{"status":{"conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable"}]}}`
		patch(over, "p", condition, metav1.PatchOptions{})
		patch(t.Context(), "p", condition, metav1.PatchOptions{DryRun: []string{"All"}})
		patch(t.Context(), "p", condition, metav1.PatchOptions{})
		patch(t.Context(), "p", condition, metav1.PatchOptions{})
		patch(t.Context(), "p", `{"metadata":{"uid":"other"},"status":{"phase":"Running"}}`, metav1.PatchOptions{})
		patch(t.Context(), "p", `{"metadata":{"labels":{"a":"b"}},"spec":{"nodeName":"m"}}`, metav1.PatchOptions{})
		patch(t.Context(), "p", `{"status":{"qosClass":"Guaranteed"}}`, metav1.PatchOptions{})
		patch(t.Context(), "p", `{"status":7}`, metav1.PatchOptions{})
		patch(t.Context(), "p", `nothing`, metav1.PatchOptions{})
		patch(t.Context(), "none", condition, metav1.PatchOptions{})
		if p := f.pod("p"); p.Spec.NodeName != "n" {
			t.Errorf("the pod is on node %q", p.Spec.NodeName)
		}
	}
	for i, want := range answers[0] {
		if got := answers[1][i]; got != want {
			t.Errorf("answer %d: direct answer\n%s\nwant\n%s", i, got, want)
		}
	}
	if !slices.Equal(calls[0], calls[1]) || len(calls[0]) == 0 {
		t.Errorf("calls %v, want %v", calls[1], calls[0])
	}
}
