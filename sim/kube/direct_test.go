package kube

import (
	"context"
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestDirectBinding makes the same bindings with and without the short cut and expects the same calls and answers.
func TestDirectBinding(t *testing.T) {
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
		bind := func(ctx context.Context, name, node string, o metav1.CreateOptions) {
			text := "bound"
			if err := cs.CoreV1().Pods("default").Bind(ctx, binding(name, node), o); err != nil {
				text = err.Error()
				var st apierrors.APIStatus
				if errors.As(err, &st) {
					status := st.Status()
					text += " " + status.String()
				}
			}
			answers[i] = append(answers[i], text)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		bind(over, "p", "n", metav1.CreateOptions{})
		bind(t.Context(), "p", "n", metav1.CreateOptions{DryRun: []string{"All"}})
		bind(t.Context(), "p", "", metav1.CreateOptions{})
		bind(t.Context(), "p", "n", metav1.CreateOptions{})
		bind(t.Context(), "p", "n", metav1.CreateOptions{})
		bind(t.Context(), "none", "n", metav1.CreateOptions{})
		if p := f.pod("p"); p.Spec.NodeName != "n" {
			t.Errorf("the pod is on node %q", p.Spec.NodeName)
		}
	}
	for i, want := range answers[0] {
		if got := answers[1][i]; got != want {
			t.Errorf("binding %d: direct answer\n%s\nwant\n%s", i, got, want)
		}
	}
	if len(calls[0]) != len(calls[1]) || len(calls[0]) == 0 {
		t.Errorf("calls %v, want %v", calls[1], calls[0])
	}
}
