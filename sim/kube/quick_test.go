package kube

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// odd draws pods and statuses, most of them of the shape every run is full of, some strange, some invalid.
type odd struct{ *rand.Rand }

// seldom is true once in n times.
func (o odd) seldom(n int) bool { return o.IntN(n) == 0 }

func (o odd) pod(i int) *corev1.Pod {
	p := NewPod(PodParams{Namespace: "default", Name: fmt.Sprintf("p%d", i), Labels: map[string]string{"app": "x"},
		CPUMilli: int64(o.IntN(3)) * 500, MemoryMiB: int64(o.IntN(2)) * 1024, Resource: "nvidia.com/gpu",
		Count: int64(o.IntN(3)), PriorityClassName: []string{"", "", "high", "none"}[o.IntN(4)]})
	for _, change := range []func(){
		func() { p.Name = []string{"UPPER", "a.b", "-a", "a..b", "a-.b", "p0", ""}[o.IntN(7)] },
		func() {
			p.Labels["job"] = []string{"ok", "", "no way", "a/b", "x.", strings.Repeat("y", 70)}[o.IntN(6)]
		},
		func() { p.Labels = map[string]string{[]string{"a/b/c", "bad key", "fine/one"}[o.IntN(3)]: "v"} },
		func() { p.Annotations = map[string]string{"note": "x"} },
		func() { p.Finalizers = []string{"example.com/stay"} },
		func() { p.Spec.Containers[0].Image = []string{"", "other"}[o.IntN(2)] },
		func() { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/wait"}} },
		func() { p.Spec.Tolerations = []corev1.Toleration{{Key: "k", Operator: "Exists"}} },
		func() { p.Spec.NodeName = "n" },
		func() { p.Spec.Containers[0].Resources.Limits["cpu"] = resource.MustParse("1") },
		func() { p.Spec.RestartPolicy = "Sometimes" },
		func() { p.Namespace = "nowhere" },
		func() {
			p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: "zone",
				WhenUnsatisfiable: "DoNotSchedule", MatchLabelKeys: []string{"app"},
				LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"x": "y"}}}}
		},
	} {
		if o.seldom(25) {
			change()
		}
	}
	return p
}

// status changes p as a kubelet does, or worse.
func (o odd) status(p *corev1.Pod) {
	st := &p.Status
	st.Phase = []corev1.PodPhase{corev1.PodPending, corev1.PodRunning, corev1.PodRunning, corev1.PodSucceeded}[o.IntN(4)]
	st.Conditions = append(st.Conditions[:len(st.Conditions):len(st.Conditions)],
		corev1.PodCondition{Type: corev1.PodReady, Status: "True"})
	st.PodIP, st.PodIPs = "10.0.0.1", []corev1.PodIP{{IP: "10.0.0.1"}}
	one := corev1.ContainerStatus{Name: "work", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	if o.seldom(4) {
		one.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}
	}
	st.ContainerStatuses = []corev1.ContainerStatus{one}
	for _, change := range []func(){
		func() { st.QOSClass = []corev1.PodQOSClass{"", corev1.PodQOSGuaranteed}[o.IntN(2)] },
		func() { st.PodIPs[0].IP = "10.0.0.2" },
		func() { st.PodIP, st.PodIPs[0].IP = "010.0.0.1", "010.0.0.1" },
		func() { st.HostIP, st.HostIPs = "fd00::1", []corev1.HostIP{{IP: "fd00::1"}} },
		func() { st.HostIP = "10.1.1.1" },
		func() { st.NominatedNodeName = []string{"n", "Not A Node"}[o.IntN(2)] },
		func() { st.Conditions[0].Type = corev1.PodConditionType([]string{"example.com/x", "no no"}[o.IntN(2)]) },
		func() { st.Conditions[0].ObservedGeneration = int64(o.IntN(3)) - 1 },
		func() { st.ObservedGeneration = int64(o.IntN(3)) - 1 },
		func() {
			st.ContainerStatuses[0].User = &corev1.ContainerUser{Linux: &corev1.LinuxContainerUser{UID: -1}}
		},
		func() { st.InitContainerStatuses = []corev1.ContainerStatus{{Name: "i"}} },
		func() { st.Resize = "Proposed" },
		func() { p.Labels = map[string]string{"app": "y"} },
		func() { p.Annotations = map[string]string{"a": "b"} },
		func() { p.Finalizers = nil },
		func() { p.Spec.Containers[0].Image = "changed" },
		func() { p.Generation, p.OwnerReferences = 7, []metav1.OwnerReference{{Kind: "Job", Name: "x"}} },
		func() { p.DeletionGracePeriodSeconds = new(int64) },
		func() { p.ResourceVersion = []string{"", "1"}[o.IntN(2)] },
		func() { p.Name = "absent" },
	} {
		if o.seldom(40) {
			change()
		}
	}
}

// TestQuickWritesAreUpstreams makes the same random writes to two stores, one of which asks upstream every time, and
// expects the same answers and the same objects.
func TestQuickWritesAreUpstreams(t *testing.T) {
	synctest.Test(t, compareQuickWrites) // upstream stamps some conditions with the process clock
}

func compareQuickWrites(t *testing.T) {
	quick, creates, updates := newFixture(t), 0, 0
	exact := newFixture(t)
	exact.exact = true
	stores := []*fixture{quick, exact}
	o := odd{rand.New(rand.NewPCG(1, 2))}
	both := func(what string, write func(f *fixture) (runtime.Object, error)) {
		t.Helper()
		var texts [2]string
		for i, f := range stores {
			out, err := write(f)
			text, jsonErr := json.Marshal(out)
			if jsonErr != nil {
				t.Fatal(jsonErr)
			}
			texts[i] = fmt.Sprintf("%s, %v", text, err)
		}
		if texts[0] != texts[1] {
			t.Fatalf("%s:\nquick %s\nexact %s", what, texts[0], texts[1])
		}
	}
	for i := range 3000 {
		if o.seldom(300) {
			both("class", func(f *fixture) (runtime.Object, error) {
				_ = f.Delete(schedulingv1.SchemeGroupVersion.WithResource("priorityclasses"), "", "high", nil)
				return f.Create(&schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "high"}, Value: int32(i)})
			})
		}
		p := o.pod(i)
		if key, known := quick.specs.look(p); key != nil && known != nil {
			creates++
		}
		before := p.DeepCopy()
		both("create", func(f *fixture) (runtime.Object, error) { return f.Create(p) })
		if fmt.Sprint(p) != fmt.Sprint(before) {
			t.Fatalf("create changed what it was given:\n%v\n%v", before, p)
		}
		name := p.Name
		if o.seldom(2) {
			b := binding(name, "n")
			if o.seldom(2000) {
				b.Labels = map[string]string{"not checked": "?"}
			}
			both("bind", func(f *fixture) (runtime.Object, error) { return nil, f.Bind("default", b) })
		}
		for range o.IntN(4) {
			sent := quick.pod(name)
			if sent == nil {
				break
			}
			sent = sent.DeepCopy()
			o.status(sent)
			if old := quick.pod(sent.Name); old != nil && quick.quickStatus(old, sent.DeepCopy()) {
				updates++
			}
			way := o.IntN(3)
			data, err := json.Marshal(map[string]any{"status": sent.Status,
				"metadata": map[string]any{"labels": sent.Labels, "annotations": sent.Annotations}})
			if err != nil {
				t.Fatal(err)
			}
			old := quick.pod(sent.Name)
			before := fmt.Sprint(old)
			both("status", func(f *fixture) (runtime.Object, error) {
				switch way {
				case 0:
					return f.Give(sent.DeepCopy(), "status")
				case 1:
					return f.Update(sent, "status")
				}
				return f.Patch(podsGVR, sent.Namespace, sent.Name, types.StrategicMergePatchType, data, "status",
					metav1.PatchOptions{})
			})
			if fmt.Sprint(old) != before {
				t.Fatalf("an update changed the stored pod in place:\n%s\n%v", before, old)
			}
		}
	}
	if creates < 500 || updates < 500 {
		t.Errorf("only %d creates and %d updates went the quick way: the test shows too little", creates, updates)
	}
	t.Log(creates, updates)
}

// TestPlainNames holds the quick checks of names and label values against upstream's.
func TestPlainNames(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const letters = "ab09-.-._AZ/ü "
	for range 200_000 {
		b := make([]byte, r.IntN(6))
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		s := strings.Repeat(string(b), 1+r.IntN(2)*r.IntN(70))
		if got, want := plainName(s), len(content.IsDNS1123Subdomain(s)) == 0; got != want {
			t.Fatalf("name %q: plain %v, upstream %v", s, got, want)
		}
		if got, want := IsLabelValue(s), len(content.IsLabelValue(s)) == 0; got != want {
			t.Fatalf("label value %q: plain %v, upstream %v", s, got, want)
		}
	}
}
