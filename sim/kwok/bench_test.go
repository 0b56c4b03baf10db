package kwok

import (
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"orrery/sim/engine"
	"orrery/sim/fleet"
	"orrery/sim/rng"
	"orrery/sim/units"
)

// freeAPI costs nothing: it commits what it is given, and for patches, whose application is the store's work, an
// object made beforehand.
type freeAPI struct {
	pod  *corev1.Pod
	next map[corev1.PodPhase]*corev1.Pod
	rv   int
	c    *Controller
}

func (a *freeAPI) commit(p *corev1.Pod) (runtime.Object, error) {
	a.rv++
	p.ResourceVersion = strconv.Itoa(a.rv)
	old := a.pod
	a.pod = p
	a.c.OnCommit("update", old, p)
	return p, nil
}

func (a *freeAPI) Update(obj runtime.Object, _ string) (runtime.Object, error) {
	return a.commit(obj.(*corev1.Pod))
}

func (a *freeAPI) Patch(schema.GroupVersionResource, string, string, types.PatchType, []byte, string,
	metav1.PatchOptions) (runtime.Object, error) {
	p := *a.next[a.pod.Status.Phase]
	return a.commit(&p)
}

func (a *freeAPI) Delete(schema.GroupVersionResource, string, string, *metav1.DeleteOptions) error {
	a.c.OnCommit("delete", a.pod, nil)
	a.pod = nil
	return nil
}

// oneEvent is a clock for one pending event.
type oneEvent struct {
	now, at units.Time
	fn      func()
	ev      engine.Event
}

func (c *oneEvent) Now() units.Time { return c.now }

func (c *oneEvent) At(t units.Time, _ engine.Phase, _ string, fn func()) *engine.Event {
	c.at, c.fn = t, fn
	return &c.ev
}

func (c *oneEvent) Cancel(ev *engine.Event) {
	if ev != nil {
		c.fn = nil
	}
}

func (c *oneEvent) step() {
	fn := c.fn
	c.now, c.fn = c.at, nil
	fn()
}

// BenchmarkLifeOfAPod is what a pod costs outside the store, from its binding to its removal: admission with one GPU,
// ready, complete, deletion, and the hooks.
func BenchmarkLifeOfAPod(b *testing.B) {
	for name, general := range map[string]bool{"native": false, "general": true} {
		b.Run(name, func(b *testing.B) { benchmarkLife(b, general) })
	}
}

func benchmarkLife(b *testing.B, general bool) {
	clock := &oneEvent{}
	api := &freeAPI{}
	f := fleet.New(nil)
	n, err := fleet.MakeNode(fleet.MakeNodeParams{Name: "n", Resource: "nvidia.com/gpu", GPUs: 8})
	if err != nil {
		b.Fatal(err)
	}
	if err := f.Add(n); err != nil {
		b.Fatal(err)
	}
	ended := 0
	c := testController(b, &testAPI{}, nil, func(p *Params) {
		p.Clock, p.API, p.Fleet, p.Random, p.General = clock, api, f, rng.New(1), general
		p.Hidden = func(runtime.Object) map[string]string {
			return map[string]string{AnnotationCompleteDelay: "1h"}
		}
		p.Hooks.Ended = func(*corev1.Pod, string, string) { ended++ }
	})
	api.c = c
	c.OnCommit("create", nil, BuildNode(NodeParams{Name: "n", GPUs: 8, CPUMilli: 8000, MemoryMiB: 1 << 20}))
	pending := makePod("a", "n", 1000, 1)
	pending.Status.Phase = corev1.PodPending
	pending.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}}
	running, done := pending.DeepCopy(), pending.DeepCopy()
	running.Status.Phase, done.Status.Phase = corev1.PodRunning, corev1.PodSucceeded
	api.next = map[corev1.PodPhase]*corev1.Pod{corev1.PodPending: running, corev1.PodRunning: done}
	b.ReportAllocs()
	for b.Loop() {
		p := *pending
		if _, err := api.commit(&p); err != nil {
			b.Fatal(err)
		}
		clock.step() // ready
		clock.step() // complete
		q := *api.pod
		at := metav1.NewTime(testEpoch.Add(time.Duration(clock.now)))
		grace := int64(0)
		q.DeletionTimestamp, q.DeletionGracePeriodSeconds = &at, &grace
		if _, err := api.commit(&q); err != nil {
			b.Fatal(err)
		}
		clock.step() // delete
	}
	if ended != b.N || len(c.objects) != 1 {
		b.Fatalf("%d of %d pods ended, %d objects left", ended, b.N, len(c.objects))
	}
}
