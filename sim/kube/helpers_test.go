package kube

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
)

// fixture is a store with a clock the test sets and a log of its commits.
type fixture struct {
	*Store
	t   testing.TB
	now time.Time
	log []string
}

var bg = context.Background()

// newFixture returns a store whose log begins after the bootstrap objects.
func newFixture(t testing.TB, opts ...func(*Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, now: time.Date(2030, 1, 1, 0, 0, 0, 500_000_000, time.UTC)}
	o := Options{Now: func() time.Time { return f.now }}
	o.OnCommit = func(c Commit) {
		m := c.New.(metav1.Object)
		f.log = append(f.log, strings.TrimSuffix(fmt.Sprintf("%s %s %s/%s %s", c.Verb, c.GVR.Resource, m.GetNamespace(),
			m.GetName(), c.Sub), " "))
	}
	for _, opt := range opts {
		opt(&o)
	}
	var err error
	if f.Store, err = New(o); err != nil {
		t.Fatal(err)
	}
	f.log = nil
	return f
}

// take returns the commits since the last call.
func (f *fixture) take() []string {
	out := f.log
	f.log = nil
	return out
}

// create creates obj or fails the test.
func create[T runtime.Object](f *fixture, obj T) T {
	f.t.Helper()
	out, err := f.Create(obj)
	if err != nil {
		f.t.Fatalf("creating %T: %v", obj, err)
	}
	return out.(T)
}

// pod returns the stored pod or nil.
func (f *fixture) pod(name string) *corev1.Pod {
	obj, err := f.Get(podsGVR, "default", name)
	if err != nil {
		return nil
	}
	return obj.(*corev1.Pod)
}

// bind binds a pod of namespace default or fails the test.
func (f *fixture) bind(name, node string) {
	f.t.Helper()
	if err := f.Bind("default", binding(name, node)); err != nil {
		f.t.Fatal(err)
	}
}

func binding(name, node string) *corev1.Binding {
	return &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Target: corev1.ObjectReference{Kind: "Node", Name: node}}
}

// clientset returns an ungated client.
func (f *fixture) clientset() kubernetes.Interface {
	f.t.Helper()
	cs, err := f.Clientset(nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return cs
}

// gpuPod is a pod like those of a GPU workload.
func gpuPod(name string) *corev1.Pod {
	return NewPod(PodParams{Namespace: "default", Name: name, Labels: map[string]string{"app": "x"}, CPUMilli: 1000,
		MemoryMiB: 1024, Resource: "nvidia.com/gpu", Count: 1, TerminationGracePeriodSeconds: 30})
}

// gpuNode is a node with eight GPUs.
func gpuNode(name string) *corev1.Node {
	res := corev1.ResourceList{"cpu": resource.MustParse("96"), "memory": resource.MustParse("1Ti"),
		"pods": resource.MustParse("110"), "nvidia.com/gpu": resource.MustParse("8")}
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		corev1.LabelTopologyZone: "z1"}}, Status: corev1.NodeStatus{Capacity: res, Allocatable: res}}
}

// ready is the status of a running pod.
func ready(p *corev1.Pod) *corev1.Pod {
	p = p.DeepCopy()
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = withCondition(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady,
		Status: corev1.ConditionTrue})
	return p
}
