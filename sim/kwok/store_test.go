package kwok_test

import (
	"container/heap"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"orrery/sim/engine"
	"orrery/sim/fleet"
	"orrery/sim/journal"
	"orrery/sim/kube"
	"orrery/sim/kwok"
	"orrery/sim/rng"
	"orrery/sim/units"
)

// queue is a clock for tests without a bubble.
type queue struct {
	now  units.Time
	seq  int
	list []*item
}

type item struct {
	at    units.Time
	phase engine.Phase
	n     int
	fn    func()
	ev    *engine.Event
}

func (q *queue) Len() int      { return len(q.list) }
func (q *queue) Swap(i, j int) { q.list[i], q.list[j] = q.list[j], q.list[i] }
func (q *queue) Push(x any)    { q.list = append(q.list, x.(*item)) }
func (q *queue) Less(i, j int) bool {
	a, b := q.list[i], q.list[j]
	if a.at != b.at {
		return a.at < b.at
	}
	return a.phase < b.phase || a.phase == b.phase && a.n < b.n
}

func (q *queue) Pop() any {
	x := q.list[len(q.list)-1]
	q.list = q.list[:len(q.list)-1]
	return x
}

func (q *queue) Now() units.Time { return q.now }

func (q *queue) At(t units.Time, p engine.Phase, _ string, fn func()) *engine.Event {
	q.seq++
	x := &item{t, p, q.seq, fn, new(engine.Event)}
	heap.Push(q, x)
	return x.ev
}

func (q *queue) Cancel(ev *engine.Event) {
	for _, x := range q.list {
		if x.ev == ev {
			x.fn = nil
		}
	}
}

func (q *queue) run(until units.Time) {
	for q.Len() > 0 && q.list[0].at <= until {
		x := heap.Pop(q).(*item)
		q.now = x.at
		if x.fn != nil {
			x.fn()
		}
	}
	q.now = until
}

// TestAgainstTheStore runs pods on the real in-memory API, whose strategies and validation are the API server's: in
// both forms the shipped stages write only what they accept.
func TestAgainstTheStore(t *testing.T) {
	for _, general := range []bool{false, true} {
		t.Run(fmt.Sprintf("general=%v", general), func(t *testing.T) { runOnStore(t, general) })
	}
}

func runOnStore(t *testing.T, general bool) {
	epoch := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	q, f := &queue{}, fleet.New(nil)
	var log []string
	say := func(s string, p *corev1.Pod) {
		log = append(log, fmt.Sprintf("%v %s %s", units.Duration(q.now), s, p.Name))
	}
	var c *kwok.Controller
	store, err := kube.New(kube.Options{
		Now: func() time.Time { return epoch.Add(units.Duration(q.now)) },
		OnCommit: func(x kube.Commit) {
			if c != nil {
				c.OnCommit(x.Verb, x.Old, x.New)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	stages, err := kwok.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := 5 * time.Second
	c = kwok.New(kwok.Params{
		Clock: q, API: store, Stages: stages, Fleet: f, Random: rng.New(1), Epoch: epoch, General: general, StopTime: &stop,
		Hidden: func(o runtime.Object) map[string]string {
			m := map[string]string{kwok.AnnotationReadyDelay: "1s", kwok.AnnotationReadyJitter: "1s"}
			switch p, _ := o.(*corev1.Pod); {
			case p == nil || p.Name == "forever":
			case p.Name == "killed":
				m[kwok.AnnotationCompleteOutcome] = "killed"
				fallthrough
			default:
				m[kwok.AnnotationCompleteDelay] = "10s"
			}
			return m
		},
		Hooks: kwok.Hooks{
			Assigned: func(p *corev1.Pod, _ string, s []journal.Slot) { say(fmt.Sprint("assigned ", len(s)), p) },
			Started:  func(p *corev1.Pod) { say("started", p) },
			Ended:    func(p *corev1.Pod, phase, reason string) { say("ended "+phase+" "+reason, p) },
			Released: func(p *corev1.Pod, _ string) { say("released", p) },
			Gone:     func(p *corev1.Pod) { say("gone", p) },
			Warn:     func(code, msg string) { t.Errorf("%s: %s", code, msg) },
		},
	})
	populate(t, store, f)
	q.run(units.Time(20 * time.Second))
	pods := corev1.SchemeGroupVersion.WithResource("pods")
	for _, name := range []string{"forever", "ok"} {
		if err := store.Delete(pods, "ns", name, &metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	q.run(units.Time(200 * time.Second))
	want := []string{"0s assigned 1 ok", "0s assigned 1 killed", "0s assigned 1 forever",
		"0s ended Failed UnexpectedAdmissionError rejected", "1s started ok", "1s started killed", "1s started forever",
		"11s ended Succeeded  ok", "11s released ok", "11s ended Failed Error killed", "11s released killed", "20s gone ok",
		"25s ended Failed Deleted forever", "25s released forever", "25s gone forever"}
	if diff := cmp.Diff(want, log); diff != "" {
		t.Errorf("hooks (-want +got):\n%s", diff)
	}
	if err := f.Check(); err != nil {
		t.Error(err)
	}
}

// populate makes the node n with 4 GPUs and four pods on it, the last of which asks for too many.
func populate(t *testing.T, store *kube.Store, f *fleet.Fleet) {
	t.Helper()
	n, err := fleet.MakeNode(fleet.MakeNodeParams{Name: "n", Resource: "nvidia.com/gpu", GPUs: 4})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Add(n); err != nil {
		t.Fatal(err)
	}
	create := func(o runtime.Object) {
		t.Helper()
		if _, err := store.Create(o); err != nil {
			t.Fatal(err)
		}
	}
	create(kwok.BuildNode(kwok.NodeParams{Name: "n", Vendor: kwok.VendorNVIDIA, GPUs: 4, CPUMilli: 8000, MemoryMiB: 1024,
		InternalIP: "10.200.0.1"}))
	create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}})
	for _, name := range []string{"ok", "killed", "forever", "rejected"} {
		req := corev1.ResourceList{"nvidia.com/gpu": *resource.NewQuantity(1, resource.DecimalSI)}
		if name == "rejected" {
			req["nvidia.com/gpu"] = *resource.NewQuantity(2, resource.DecimalSI)
		}
		create(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns"}, Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: "init", Image: "i"}},
			Containers: []corev1.Container{{Name: "c", Image: "i",
				Resources: corev1.ResourceRequirements{Requests: req, Limits: req}}}}})
		if err := store.Bind("ns", &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns"},
			Target: corev1.ObjectReference{Kind: "Node", Name: "n"}}); err != nil {
			t.Fatal(err)
		}
	}
}
