package karpenter

import "testing"

// TestPods: pods that upstream takes from a map are told in one order, and of more than five the number.
func TestPods(t *testing.T) {
	for in, want := range map[string]string{
		"Node is empty": "Node is empty",
		"Not all pods would schedule, a/y => no room  a/x => taint k=v, none => b ": "Not all pods would schedule, a/x => " +
			"taint k=v, none => b, a/y => no room",
		"not all pods would schedule, a/x => b  and 0 other(s)":          "not all pods would schedule, a/x => b",
		"not all pods would schedule, a/x => b a/y => c  and 3 other(s)": "not all pods would schedule: 2 and 3 more would not",
	} {
		if got := steady(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
