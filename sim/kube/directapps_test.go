package kube

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/randfill"
)

// TestDirectWorkloads sends random updates of status with and without the short cuts, most of them as controllers send
// them, and expects the same calls, answers and objects.
func TestDirectWorkloads(t *testing.T) {
	var answers, calls [2][]string
	for i := range 2 {
		f := newFixture(t)
		gate := func(c Call, fn func()) { calls[i] = append(calls[i], c.String()); fn() }
		cs, err := f.Workloads(gate)
		if i == 0 {
			cs, err = f.Clientset(gate)
		}
		if err != nil {
			t.Fatal(err)
		}
		answers[i] = statusAnswers(t, f, cs)
	}
	accepted := 0
	for i, want := range answers[0] {
		if got := answers[1][i]; got != want {
			t.Fatalf("answer %d: direct answer\n%s\nwant\n%s", i, got, want)
		}
		if want[0] == '{' {
			accepted++
		}
	}
	if accepted < len(answers[0])/3 || accepted > len(answers[0])*3/5 {
		t.Errorf("%d of %d updates were accepted: the test says little", accepted, len(answers[0]))
	}
	if !slices.Equal(calls[0], calls[1]) || len(calls[0]) == 0 {
		t.Errorf("calls differ")
	}
}

// statusAnswers sends updates and returns what was answered and stored.
func statusAnswers(t *testing.T, f *fixture, cs kubernetes.Interface) (out []string) {
	labels := map[string]string{"app": "d"}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "c"}}}}
	meta := metav1.ObjectMeta{Namespace: "default", Name: "d", Labels: labels, Annotations: map[string]string{"a": "b"}}
	d := create(f, &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template}})
	meta.OwnerReferences = []metav1.OwnerReference{
		*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))}
	rs := create(f, &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template}})
	rng := rand.New(rand.NewSource(1))
	fill := randfill.New().RandSource(rng).NilChance(0.7).NumElements(0, 2).Funcs(
		func(n *int32, c randfill.Continue) { *n = int32(c.Intn(9)) - int32(c.Intn(25)/24) },
		func(n *int64, c randfill.Continue) { *n = int64(c.Intn(9)) },
		func(t *metav1.Time, c randfill.Continue) {
			if c.Intn(4) > 0 {
				t.Time = time.Unix(c.Int63n(1e9), c.Int63n(1e9))
			}
		})
	for range 600 {
		sent, set := d.DeepCopy(), rs.DeepCopy()
		fill.Fill(&sent.Status)
		fill.Fill(&set.Status)
		if rng.Intn(3) > 0 { // what a controller may say
			st := &sent.Status
			st.Replicas, st.ReadyReplicas, st.UpdatedReplicas = 8, max(st.ReadyReplicas, st.AvailableReplicas), 8
			st.CollisionCount = d.Status.CollisionCount
			rt := &set.Status
			rt.Replicas, rt.FullyLabeledReplicas, rt.ReadyReplicas = 8, 8, max(rt.ReadyReplicas, rt.AvailableReplicas)
		}
		if rng.Intn(10) == 0 {
			sent.Status, set.Status = *d.Status.DeepCopy(), *rs.Status.DeepCopy()
		}
		oddMeta(rng, &sent.ObjectMeta)
		oddMeta(rng, &set.ObjectMeta)
		sent.Spec.Paused, set.Spec.MinReadySeconds = true, 7 // which an update of status leaves alone
		got, err := cs.AppsV1().Deployments("default").UpdateStatus(t.Context(), sent, metav1.UpdateOptions{})
		out = append(out, answered(got, err))
		if err == nil {
			d = got
		}
		gotSet, err := cs.AppsV1().ReplicaSets("default").UpdateStatus(t.Context(), set, metav1.UpdateOptions{})
		out = append(out, answered(gotSet, err))
		if err == nil {
			rs = gotSet
		}
		for _, gvr := range []schema.GroupVersionResource{deploymentsGVR, replicaSetsGVR} {
			stored, err := f.Get(gvr, "default", "d")
			out = append(out, "stored "+answered(stored, err))
		}
	}
	return out
}

// oddMeta seldom changes metadata.
func oddMeta(rng *rand.Rand, m *metav1.ObjectMeta) {
	switch rng.Intn(40) {
	case 0:
		m.Annotations = map[string]string{"a": fmt.Sprint(rng.Intn(3))}
	case 1:
		m.Labels = map[string]string{"app": "e"}
	case 2:
		m.ResourceVersion = "1"
	case 3:
		m.Name = "none"
	case 4:
		m.OwnerReferences = nil
	case 5:
		m.UID = "other"
	case 6:
		m.ResourceVersion = ""
	}
}
