package kube

import (
	"encoding/json"
	"fmt"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/google/go-cmp/cmp"
)

// patchSeeds are patches that controllers send, and awkward ones.
var patchSeeds = []string{
	`{"status":{"$setElementOrder/conditions":[{"type":"PodScheduled"},{"type":"Ready"}],"conditions":[` +
		`{"lastTransitionTime":null,"message":"m","reason":"Unschedulable","status":"False","type":"PodScheduled"}]}}`,
	`{"metadata":{"uid":"x","labels":{"a":"b"}},"status":{"phase":"Running","podIPs":[{"ip":"10.0.0.1"}]}}`,
	`{"metadata":{"finalizers":["a/b"],"$deleteFromPrimitiveList/finalizers":["c/d"]}}`,
	`{"spec":{"$patch":"replace","containers":[{"name":"x"}]}}`,
	`{"spec":{"containers":[{"name":"work","image":"new"},{"name":"second","image":"y"}]}}`,
	`{"spec":{"containers":[{"name":"work","$patch":"delete"}]}}`,
	`{"spec":{"tolerations":null,"affinity":{"nodeAffinity":null},"nodeSelector":{"a":"b"}}}`,
	`{"status":null,"metadata":null}`,
	`{"unknown":1,"status":{"nothing":{"x":1}}}`,
	`{"status":{"$retainKeys":["phase"],"phase":"Failed"}}`,
	`{"metadata":{"creationTimestamp":"2030-01-01T00:00:00Z"}}`,
	`{"spec":{"terminationGracePeriodSeconds":5,"containers":[{"name":"work","resources":{"limits":{"cpu":"2"}}}]}}`,
	`{"spec":{"containers":[{"name":{}}]}}`,
	`{"$patch":"replace","spec":{"nodeName":"n"}}`,
	`[]`, `{`, `{"spec":7}`, `{"spec":{"volumes":[{"name":"v","$retainKeys":["name","emptyDir"],"emptyDir":{}}]}}`,
}

// patchTarget is a pod with something in every part that the seeds touch.
func patchTarget() *corev1.Pod {
	p := NewPod(PodParams{Namespace: "default", Name: "a", Labels: map[string]string{"app": "x"}, CPUMilli: 1000,
		Require: []Requirement{{"gpu", []string{"h100"}}}, Tolerations: []corev1.Toleration{{Key: "k"}}})
	p.Finalizers = []string{"c/d", "e/f"}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: "True"}, {Type: corev1.PodScheduled,
		Status: "True"}}
	return p
}

// FuzzMerge checks that merging only the fields a patch names gives what merging the whole object gives.
func FuzzMerge(f *testing.F) {
	for _, s := range patchSeeds {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, patch string, strategic bool) {
		whole, err := json.Marshal(patchTarget())
		if err != nil {
			t.Fatal(err)
		}
		want := &corev1.Pod{}
		var after []byte
		if strategic {
			after, err = wholeMerge(whole, []byte(patch))
		} else {
			after, err = jsonpatch.MergePatch(whole, []byte(patch))
		}
		if err == nil {
			err = json.Unmarshal(after, want)
		}
		got := patchTarget()
		m := plainMerge
		if strategic {
			m = strategicMerge
		}
		gotErr := mergeInto(got, []byte(patch), m)
		if err != nil || gotErr != nil {
			if err == nil && json.Valid([]byte(patch)) {
				t.Fatalf("%s: only the partial merge fails: %v", patch, gotErr)
			}
			return
		}
		got, want = roundTripped(t, got), roundTripped(t, want)
		if !equality.Semantic.DeepEqual(got, want) {
			t.Errorf("%s:\n%s", patch, cmp.Diff(want, got))
		}
	})
}

// roundTripped normalizes a pod through JSON.
func roundTripped(t *testing.T, p *corev1.Pod) *corev1.Pod {
	t.Helper()
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	out := &corev1.Pod{}
	if err := json.Unmarshal(data, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// wholeMerge is upstream's merge of the whole object, its panics turned into errors.
func wholeMerge(whole, patch []byte) (after []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return strategicpatch.StrategicMergePatch(whole, patch, &corev1.Pod{})
}
