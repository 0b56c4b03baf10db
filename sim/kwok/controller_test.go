package kwok

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"orrery/sim/fleet"
	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// world is a cluster of fake nodes, and what its hooks said.
type world struct {
	t     testing.TB
	clock *testClock
	api   *testAPI
	fleet *fleet.Fleet
	c     *Controller
	log   []string
}

// newWorld has one node, n, with GPUs of so many replicas. Start-up takes a second and work nothing, unless params
// say otherwise.
func newWorld(t testing.TB, gpus, replicas int, files []plan.File, change func(*Params)) *world {
	t.Helper()
	w := &world{t: t, clock: &testClock{}, fleet: fleet.New(nil)}
	w.api = newTestAPI(t, w.clock)
	say := func(format string, args ...any) {
		w.log = append(w.log, fmt.Sprintf("%v ", units.Duration(w.clock.now))+fmt.Sprintf(format, args...))
	}
	w.c = testController(t, w.api, files, func(p *Params) {
		p.Fleet = w.fleet
		p.Hidden = func(runtime.Object) map[string]string {
			return map[string]string{AnnotationReadyDelay: "1s", AnnotationReadyJitter: "1s"}
		}
		p.Hooks = Hooks{
			Assigned: func(p *corev1.Pod, node string, s []journal.Slot) {
				say("assigned %s on %s: %s", p.Name, node, slotNames(s))
			},
			Started:  func(p *corev1.Pod) { say("started %s", p.Name) },
			Ended:    func(p *corev1.Pod, phase, reason string) { say("ended %s %s %q", p.Name, phase, reason) },
			Released: func(p *corev1.Pod, node string) { say("released %s on %s", p.Name, node) },
			Gone:     func(p *corev1.Pod) { say("gone %s", p.Name) },
			Event:    func(_ runtime.Object, typ, reason, msg string) { say("event %s %s %s", typ, reason, msg) },
			Warn:     func(code, msg string) { say("warn %s %s", code, msg) },
		}
		if change != nil {
			change(p)
		}
	})
	w.api.onCommit = w.c.OnCommit
	p := NodeParams{Name: "n", Vendor: VendorNVIDIA, GPUs: gpus, Replicas: replicas, CPUMilli: 8000, MemoryMiB: 1024,
		InternalIP: "10.200.0.1", MaxPods: 3}
	n, err := fleet.MakeNode(fleet.MakeNodeParams{Name: "n", Resource: p.GPUResource(), GPUs: gpus, Replicas: replicas})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.fleet.Add(n); err != nil {
		t.Fatal(err)
	}
	w.api.create(BuildNode(p))
	return w
}

func slotNames(s []journal.Slot) string {
	var out []string
	for _, x := range s {
		out = append(out, fmt.Sprintf("%d/%d", x.Index, x.Replica))
	}
	return strings.Join(out, " ")
}

// makePod returns a pod that asks for CPU and GPUs.
func makePod(name, node string, cpuMilli, gpus int64) *corev1.Pod {
	req := corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(cpuMilli, resource.DecimalSI)}
	if gpus > 0 {
		req["nvidia.com/gpu"] = *resource.NewQuantity(gpus, resource.DecimalSI)
	}
	grace := int64(30)
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", UID: "uid-of-pod"},
		Spec: corev1.PodSpec{NodeName: node, TerminationGracePeriodSeconds: &grace, Containers: []corev1.Container{
			{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: req, Limits: req}}}}}
}

func (w *world) delete(name string, grace int64) {
	w.t.Helper()
	gvr := corev1.SchemeGroupVersion.WithResource("pods")
	if err := w.api.Delete(gvr, "ns", name, &metav1.DeleteOptions{GracePeriodSeconds: &grace}); err != nil {
		w.t.Fatal(err)
	}
}

// expect compares what the hooks said, and the fleet's invariants.
func (w *world) expect(want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.log); diff != "" {
		w.t.Errorf("hooks (-want +got):\n%s", diff)
	}
	if err := w.fleet.Check(); err != nil {
		w.t.Error(err)
	}
	w.log = nil
}

const second = units.Time(time.Second)

// hide adds hidden annotations to those of the world.
func hide(a map[string]string) func(*Params) {
	return func(p *Params) {
		base := p.Hidden
		p.Hidden = func(o runtime.Object) map[string]string {
			m := base(o)
			for k, v := range a {
				m[k] = v
			}
			return m
		}
	}
}

func TestLifeOfAPod(t *testing.T) {
	for outcome, want := range map[string]string{"": `Succeeded ""`, "failed": `Failed "Error"`, "killed": `Failed "Error"`} {
		w := newWorld(t, 2, 1, nil, hide(map[string]string{AnnotationCompleteDelay: "10s",
			AnnotationCompleteOutcome: outcome}))
		w.api.create(makePod("a", "", 1000, 2))
		w.clock.run(5 * second)
		w.expect()
		edit(w.api, w.api.pod("a"), func(p *corev1.Pod) { p.Spec.NodeName = "n" })
		w.expect("5s assigned a on n: 0/0 1/0")
		w.clock.run(100 * second)
		w.expect("6s started a", "16s ended a "+want, "16s released a on n")
		p := w.api.pod("a")
		if len(p.Annotations) != 0 {
			t.Errorf("hidden physics reached the stored pod: %v", p.Annotations)
		}
		state := p.Status.ContainerStatuses[0].State.Terminated
		code := map[string]int32{"": 0, "failed": 1, "killed": 137}[outcome]
		if state.ExitCode != code || state.FinishedAt.Sub(state.StartedAt.Time) != 10*time.Second {
			t.Errorf("%q: terminated as %+v", outcome, state)
		}
		if p.Status.PodIP != "10.0.0.1" || p.Status.HostIP != "10.200.0.1" {
			t.Errorf("addresses %s on %s", p.Status.PodIP, p.Status.HostIP)
		}
		w.delete("a", 30)
		w.expect("1m40s gone a")
		if len(w.c.objects) != 1 || len(w.clock.events) != 0 {
			t.Errorf("something is left: %d objects, %d events", len(w.c.objects), len(w.clock.events))
		}
	}
}

func TestDeletion(t *testing.T) {
	fixed := func(d time.Duration) func(*Params) { return func(p *Params) { p.StopTime = &d } }
	start := []string{"0s assigned a on n: 0/0", "1s started a"}
	for name, tc := range map[string]struct {
		change func(*Params)
		grace  int64
		edit   func(*corev1.Pod)
		want   []string
	}{
		"stops sooner than it must": {fixed(7 * time.Second), 30, nil,
			[]string{`17s ended a Failed "Deleted"`, "17s released a on n", "17s gone a"}},
		"killed after the grace period": {fixed(time.Hour), 30, nil,
			[]string{`40s ended a Failed "Deleted"`, "40s released a on n", "40s gone a"}},
		"at once": {fixed(0), 30, nil, []string{`10s ended a Failed "Deleted"`, "10s released a on n", "10s gone a"}},
		"by force": {fixed(7 * time.Second), 0, nil,
			[]string{`10s ended a Failed "Deleted"`, "10s released a on n", "10s gone a"}},
		"preempted": {fixed(time.Second), 30, func(p *corev1.Pod) {
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget,
				Status: corev1.ConditionTrue, Reason: corev1.PodReasonPreemptionByScheduler})
		}, []string{`11s ended a Failed "PreemptionByScheduler"`, "11s released a on n", "11s gone a"}},
		"held by a finalizer, but stopped": {fixed(time.Second), 30, func(p *corev1.Pod) {
			p.Finalizers = []string{"kwok.x-k8s.io/fake", "batch.kubernetes.io/job-tracking"}
		}, []string{`11s ended a Failed "Deleted"`, "11s released a on n"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 1, nil, tc.change)
			w.api.create(makePod("a", "n", 100, 1))
			w.clock.run(10 * second)
			w.expect(start...)
			if tc.edit != nil {
				edit(w.api, w.api.pod("a"), tc.edit)
			}
			w.delete("a", tc.grace)
			w.clock.run(1000 * second)
			w.expect(tc.want...)
			if p := w.api.pod("a"); p != nil && !cmp.Equal(p.Finalizers, []string{"batch.kubernetes.io/job-tracking"}) {
				t.Errorf("finalizers %v", p.Finalizers)
			}
		})
	}
	t.Run("before it ran", func(t *testing.T) {
		w := newWorld(t, 1, 1, nil, nil)
		w.api.create(makePod("a", "n", 100, 1))
		w.clock.run(second / 2)
		w.delete("a", 30)
		w.clock.run(1000 * second)
		w.expect("0s assigned a on n: 0/0", `500ms ended a Failed "Deleted"`, "500ms released a on n", "500ms gone a")
	})
	t.Run("without a node", func(t *testing.T) {
		w := newWorld(t, 1, 1, nil, nil)
		w.api.create(makePod("a", "", 100, 1))
		w.delete("a", 30)
		w.expect("0s gone a")
	})
}

func TestAdmission(t *testing.T) {
	w := newWorld(t, 2, 1, nil, nil)
	w.api.create(makePod("a", "n", 6000, 1))
	w.expect("0s assigned a on n: 0/0")
	for _, tc := range []struct {
		pod             *corev1.Pod
		reason, message string
	}{
		{makePod("devices", "n", 1, 2), "UnexpectedAdmissionError", "Pod was rejected: Allocate failed due to requested " +
			"number of devices unavailable for nvidia.com/gpu. Requested: 2, Available: 1, which is unexpected"},
		{makePod("cpu", "n", 2001, 1), "OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu, requested: " +
			"2001, used: 6000, capacity: 8000"},
	} {
		w.api.create(tc.pod)
		w.clock.run(w.clock.now)
		w.expect(fmt.Sprintf("0s ended %s Failed %q", tc.pod.Name, tc.reason))
		s := w.api.pod(tc.pod.Name).Status
		if s.Phase != corev1.PodFailed || s.Reason != tc.reason || s.Message != tc.message || s.QOSClass == "" {
			t.Errorf("%s: %s, %s, %q", tc.pod.Name, s.Phase, s.Reason, s.Message)
		}
	}
	w.api.create(makePod("b", "n", 1, 0))
	w.api.create(makePod("c", "n", 1, 0))
	w.api.create(makePod("pods", "n", 1, 0))
	w.clock.run(w.clock.now)
	w.expect("0s assigned b on n: ", "0s assigned c on n: ", `0s ended pods Failed "OutOfpods"`)
	w.clock.run(100 * second)
	w.expect("1s started a", "1s started b", "1s started c") // and nothing of the rejected ones

	// What ends makes room.
	w.delete("b", 0)
	w.api.create(makePod("d", "n", 1999, 1))
	w.expect(`1m40s ended b Failed "Deleted"`, "1m40s released b on n", "1m40s gone b", "1m40s assigned d on n: 1/0")
}

func TestSharedGPUsAndForeignNodes(t *testing.T) {
	w := newWorld(t, 2, 2, nil, nil)
	w.api.create(makePod("a", "n", 1, 1))
	w.api.create(makePod("b", "n", 1, 1))
	w.api.create(makePod("c", "n", 1, 2))
	w.expect("0s assigned a on n: 0/0", "0s assigned b on n: 1/0", "0s assigned c on n: 0/1 1/1")

	w.api.create(makePod("early", "late", 1, 0))
	w.api.create(makePod("real", "machine", 1, 0))
	w.api.create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "machine"}}) // no KWOK annotation
	w.clock.run(10 * second)
	w.expect("1s started a", "1s started b", "1s started c")
	w.api.create(BuildNode(NodeParams{Name: "late", CPUMilli: 1000}))
	w.expect("10s assigned early on late: ")
	w.clock.run(20 * second)
	w.expect("11s started early")
}

// TestChangesKeepThePace: a change that has nothing to do with the pending stage does not move it; one that deselects
// it drops it; new hidden annotations move it from where it began.
func TestChangesKeepThePace(t *testing.T) {
	length := "10s"
	change := func(p *Params) {
		p.Hidden = func(runtime.Object) map[string]string {
			return map[string]string{AnnotationReadyDelay: "1s", AnnotationReadyJitter: "1s", AnnotationCompleteDelay: length}
		}
	}
	label := func(p *corev1.Pod) { p.Labels = map[string]string{"x": "y"} }
	t.Run("keep", func(t *testing.T) {
		w := newWorld(t, 1, 1, nil, change)
		w.api.create(makePod("a", "n", 1, 0))
		w.clock.run(5 * second)
		edit(w.api, w.api.pod("a"), label)
		w.clock.run(100 * second)
		w.expect("0s assigned a on n: ", "1s started a", `11s ended a Succeeded ""`, "11s released a on n")
	})
	t.Run("as KWOK", func(t *testing.T) {
		w := newWorld(t, 1, 1, nil, func(p *Params) { change(p); p.KWOKTiming = true })
		w.api.create(makePod("a", "n", 1, 0))
		w.clock.run(5 * second)
		edit(w.api, w.api.pod("a"), label)
		w.clock.run(100 * second)
		w.expect("0s assigned a on n: ", "1s started a", `15s ended a Succeeded ""`, "15s released a on n")
	})
	t.Run("deselected", func(t *testing.T) {
		for _, kwok := range []bool{false, true} {
			w := newWorld(t, 1, 1, nil, func(p *Params) { change(p); p.KWOKTiming = kwok })
			w.api.create(makePod("a", "n", 1, 0))
			w.clock.run(5 * second)
			edit(w.api, w.api.pod("a"), func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })
			if got := len(w.clock.events); (got == 1) != kwok {
				t.Errorf("KWOK's timing %v: %d events are left", kwok, got)
			}
		}
	})
	t.Run("re-evaluated", func(t *testing.T) {
		length = "10s"
		w := newWorld(t, 1, 1, nil, change)
		w.api.create(makePod("a", "n", 1, 0))
		w.clock.run(5 * second)
		length = "20s"
		w.c.Reevaluate(w.api.pod("a"))
		w.clock.run(12 * second)
		w.expect("0s assigned a on n: ", "1s started a")
		length = stamp(testEpoch.Add(15 * time.Second))
		w.c.Reevaluate(w.api.pod("a"))
		w.clock.run(100 * second)
		w.expect(`15s ended a Succeeded ""`, "15s released a on n")
	})
}

func TestErrorsOfTheAPI(t *testing.T) {
	t.Run("tried again", func(t *testing.T) {
		for _, general := range []bool{false, true} {
			w := newWorld(t, 1, 1, nil, func(p *Params) { p.General = general })
			fails := 2
			w.api.fail = func(string) error {
				if fails--; fails >= 0 {
					return apierrors.NewTooManyRequests("busy", 1)
				}
				return nil
			}
			w.api.create(makePod("a", "n", 0, 0))
			w.clock.run(100 * second)
			w.expect("0s assigned a on n: ", "4s started a") // 1 s, then 1 s and 2 s of back-off
		}
	})
	t.Run("told", func(t *testing.T) {
		w := newWorld(t, 1, 1, nil, nil)
		w.api.fail = func(string) error { return apierrors.NewForbidden(schema.GroupResource{}, "a", fmt.Errorf("no")) }
		w.api.create(makePod("a", "n", 0, 0))
		w.clock.run(100 * second)
		if len(w.log) != 2 || !strings.Contains(w.log[1], "1s warn kwok-stage stage pod-ready of Pod/ns/a") {
			t.Errorf("hooks said %q", w.log)
		}
	})
}

// TestNativeAndGeneralRunAlike plays a random little cluster twice, once through templates: the hooks must tell the
// same story to the nanosecond.
func TestNativeAndGeneralRunAlike(t *testing.T) {
	story := func(general bool) []string {
		w := newWorld(t, 8, 1, nil, func(p *Params) {
			p.General = general
			p.Hidden = func(o runtime.Object) map[string]string {
				p, ok := o.(*corev1.Pod)
				if !ok || p.Name[0] == 'f' {
					return nil
				}
				return map[string]string{AnnotationCompleteDelay: fmt.Sprintf("%ds", 3*len(p.Name)),
					AnnotationCompleteOutcome: map[byte]string{'k': "killed", 'b': "failed"}[p.Name[0]]}
			}
		})
		for i, n := range []string{"a", "kk", "bbb", "f", "aaaaa", "ff", "kkkkkk"} {
			w.api.create(makePod(n, "n", 1000, int64(1+i%3)))
			w.clock.run(w.clock.now + 2*second)
			if n[0] == 'f' {
				w.clock.run(w.clock.now + 4*second)
				w.delete(n, 20)
			}
		}
		w.clock.run(1000 * second)
		if err := w.fleet.Check(); err != nil {
			t.Error(err)
		}
		return w.log
	}
	native := story(false)
	if diff := cmp.Diff(native, story(true)); diff != "" || len(native) < 20 {
		t.Errorf("%d lines (-native +general):\n%s", len(native), diff)
	}
}
