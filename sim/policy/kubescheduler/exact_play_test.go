package kubescheduler_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/kube"
	"orrery/sim/policy/kubescheduler"
	"orrery/sim/units"
)

// tape is everything that can be seen of a run, in the order it happened, with what led to it.
type tape struct {
	lines  []string
	counts map[string]int
	nodes  int

	mu      sync.Mutex
	reports []string // errors that upstream's goroutines report, in no order
}

// listen notes what upstream reports as an error and returns a function that ends that. It takes the place of
// upstream's own handlers, one of which sleeps when the last report of the process was at the same time.
func (t *tape) listen() (restore func()) {
	previous := utilruntime.ErrorHandlers
	utilruntime.ErrorHandlers = []utilruntime.ErrorHandler{
		func(_ context.Context, err error, message string, _ ...any) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.reports = append(t.reports, fmt.Sprintf("reported %s: %v", message, err))
		}}
	return func() { utilruntime.ErrorHandlers = previous }
}

func (t *tape) add(at units.Time, format string, args ...any) {
	t.lines = append(t.lines, fmt.Sprintf("%14d ", at)+fmt.Sprintf(format, args...))
}

func (t *tape) count(what string, yes bool) {
	if yes {
		t.counts[what]++
	}
}

// commit notes a write of the API.
func (t *tape) commit(at units.Time, c kube.Commit) {
	m := c.New.(metav1.Object)
	if _, ok := c.New.(*v1.Node); ok {
		switch c.Verb {
		case kube.VerbCreate:
			t.nodes++
		case kube.VerbDelete:
			t.nodes--
		}
	}
	text := fmt.Sprintf("%s %s %s/%s %q rv %d", c.Verb, c.GVR.Resource, m.GetNamespace(), m.GetName(), c.Sub, c.RV)
	if pod, ok := c.New.(*v1.Pod); ok {
		var old v1.Pod
		if p, ok := c.Old.(*v1.Pod); ok {
			old = *p
		}
		t.pod(c.Verb, pod)
		t.count("bound", c.Sub == "binding")
		t.count("terminating", pod.DeletionTimestamp != nil && old.DeletionTimestamp == nil)
		t.count("nominations", pod.Status.NominatedNodeName != "" && old.Status.NominatedNodeName == "")
		t.count("nominations withdrawn", pod.Status.NominatedNodeName == "" && old.Status.NominatedNodeName != "")
		text += fmt.Sprintf(" %s on %q nominated %q deleted %v", pod.Status.Phase, pod.Spec.NodeName,
			pod.Status.NominatedNodeName, pod.DeletionTimestamp)
		for _, c := range pod.Status.Conditions {
			text += fmt.Sprintf("; %s %s %s: %s", c.Type, c.Status, c.Reason, c.Message)
		}
	}
	t.add(at, "%s", text)
}

// pod counts what new pods ask for.
func (t *tape) pod(verb string, pod *v1.Pod) {
	if verb != kube.VerbCreate {
		return
	}
	a := pod.Spec.Affinity
	t.count("pods with affinity to pods", a != nil && (a.PodAffinity != nil || a.PodAntiAffinity != nil))
	t.count("pods with affinity to nodes", a != nil && a.NodeAffinity != nil)
	t.count("pods to spread", len(pod.Spec.TopologySpreadConstraints) > 0)
	t.count("pods with host ports", len(pod.Spec.Containers[0].Ports) > 0)
	t.count("pods with tolerations", len(pod.Spec.Tolerations) > 2) // two are every pod's
	t.count("pods with claims", len(pod.Spec.Volumes) > 0)
	t.count("pods of other profiles", pod.Spec.SchedulerName != profileNames[0])
}

// record notes what the scheduler reports, and what its queue holds at that time.
func (t *tape) record(at units.Time, b journal.Body, s *kubescheduler.Scheduler) {
	var queue string
	if s != nil {
		active, backoff, unschedulable := s.Pending()
		queue = fmt.Sprintf("; queue %d %d %d", active, backoff, unschedulable)
	}
	switch r := b.(type) {
	case journal.Attempt:
		t.count("attempts "+r.Result, true)
		t.count("preemptors", r.Nominated != "")
		t.count("attempts again", r.N > 1)
		t.count("searches ended early", r.Feasible > 1 && r.Evaluated < t.nodes)
	case journal.Preempt:
		t.count("preempted", true)
	}
	t.add(at, "%s %+v%s", b.Kind(), b, queue)
}

// host does what kubelets do, in as little as the scheduler can see of it: a bound pod runs, ends and is cleared away;
// a terminating one is gone after its grace period.
func host(s *kube.Store, c kube.Commit, after func(time.Duration, func())) {
	pod, ok := c.New.(*v1.Pod)
	if !ok || c.Verb != kube.VerbUpdate {
		return
	}
	phase := func(p v1.PodPhase) {
		// It may have been deleted meanwhile, which the store refuses.
		_ = change(s, podsGVR, pod.Namespace, pod.Name, "status", func(now *v1.Pod) {
			if now.UID != pod.UID {
				return
			}
			now.Status.Phase = p
			if now.Status.StartTime == nil {
				t := metav1.NewTime(epoch.Add(time.Duration(c.RV) * time.Second))
				now.Status.StartTime = &t
			}
		})
	}
	erase := func() {
		o := metav1.NewDeleteOptions(0)
		o.Preconditions = &metav1.Preconditions{UID: &pod.UID}
		_ = s.Delete(podsGVR, pod.Namespace, pod.Name, o) // may be gone already
	}
	old := c.Old.(*v1.Pod)
	odd := time.Duration(c.RV%89) * 1300 * time.Microsecond // see maker.odd
	if c.Sub == "binding" {
		after(100*time.Millisecond+odd, func() { phase(v1.PodRunning) })
		if life, _ := strconv.Atoi(pod.Annotations["life"]); life > 0 {
			after(time.Duration(life)*time.Second+odd, func() { phase(v1.PodSucceeded) })
		}
	}
	if pod.Status.Phase == v1.PodSucceeded && old.Status.Phase != v1.PodSucceeded {
		after(time.Second+odd, erase)
	}
	if pod.DeletionTimestamp != nil && old.DeletionTimestamp == nil {
		after(time.Duration(*pod.DeletionGracePeriodSeconds)*time.Second+200*time.Millisecond+odd, erase)
	}
}

// play plays a world.
func (w exactWorld) play(exact bool) (*tape, error) {
	t := &tape{counts: map[string]int{}}
	restore, err := kubescheduler.SetFeatureGates(w.gates)
	if err != nil {
		return nil, err
	}
	defer restore()
	defer t.listen()()
	cfg, err := kubescheduler.LoadConfig("config.yaml", []byte(w.config))
	if err != nil {
		return nil, err
	}
	cfg.ClientConnection.QPS = -1
	progress := new(engine.Progress)
	err = engine.Bubble(engine.Watchdog{Progress: progress}, func() error {
		e, err := engine.New(engine.Params{Epoch: epoch, InstantCap: 200_000}, progress)
		if err != nil {
			return err
		}
		var s *kubescheduler.Scheduler
		var store *kube.Store
		over := false
		store, err = kube.New(kube.Options{Now: e.Clock, OnCommit: func(c kube.Commit) {
			if over || s == nil {
				return
			}
			t.commit(e.Now(), c)
			if c.Sub == "binding" {
				s.Bound()
			}
			s.Touch()
			host(store, c, func(d time.Duration, fn func()) { e.After(d, engine.PhaseRelease, "host", fn) })
		}})
		if err != nil {
			return err
		}
		for _, o := range w.objects {
			if err := create(o)(store); err != nil {
				return err
			}
			if _, ok := o.(*v1.Node); ok {
				t.nodes++
			}
		}
		record := func(b journal.Body) {
			if !over {
				t.record(e.Now(), b, s)
			}
		}
		p := w.params(e, store, record)
		p.Config, p.ExactUpstream = cfg, exact
		if s, err = kubescheduler.New(p); err != nil {
			return err
		}
		if w.plant != nil && !exact {
			w.plant(s)
		}
		w.schedule(e, store, t)
		_, err = e.Run(w.until)
		over = true
		s.Close()
		e.Drain()
		return err
	})
	slices.Sort(t.reports)
	t.lines = append(t.lines, t.reports...)
	return t, err
}

// params are what a scheduler of this world is made of, but for its configuration.
func (w exactWorld) params(e *engine.Engine, store *kube.Store, record func(journal.Body)) kubescheduler.Params {
	var opts []kube.InformerOption
	if w.pace.watch > 0 {
		opts = append(opts, kube.Deliver(func(tell func()) { e.After(w.pace.watch, engine.PhaseObserve, "watch", tell) }))
	}
	return kubescheduler.Params{Engine: e, Latency: w.pace.scheduler, Seed: w.seed, Record: record,
		Client: store.RESTConfig(func(call kube.Call, fn func()) { e.Call(call.String(), w.pace.api, fn) }),
		Informers: func(cs kubernetes.Interface) informers.SharedInformerFactory {
			return store.InformerFactory(cs, opts...)
		},
		Rank: func(node string) int64 {
			h := fnv.New64a()
			fmt.Fprintf(h, "%d/%s", w.seed, node)
			return int64(h.Sum64() >> 1)
		}}
}

// schedule puts the world's steps on the engine.
func (w exactWorld) schedule(e *engine.Engine, store *kube.Store, t *tape) {
	for _, o := range w.ops {
		e.At(o.at, engine.PhaseArrive, o.what, func() {
			kind, _, _ := strings.Cut(o.what, " ")
			before := store.ResourceVersion()
			t.add(e.Now(), "step %s", o.what)
			if err := o.do(store); err != nil {
				t.add(e.Now(), "refused %s: %v", o.what, err)
				t.count("refused "+kind, true)
			} else {
				t.count("step "+kind, store.ResourceVersion() > before)
			}
		})
	}
	e.At(w.until, engine.PhaseSample, "end", func() {})
}

// retries is how often a world is played again with upstream's cycle when ours did something else.
const retries = 12

// compare plays a world with upstream's cycle and with ours. It returns what happened, and the first difference as
// text, "" for none. A few worlds hold something that upstream leaves to Go's map order or to a race of its goroutines:
// there upstream differs from itself, and what ours did must be one of the things that upstream does.
func (w exactWorld) compare(t testing.TB) (counts map[string]int, difference string) {
	t.Helper()
	want, err := w.play(true)
	if err != nil {
		t.Fatalf("upstream's cycle: %v\n%s", err, w)
	}
	got, err := w.play(false)
	if err != nil {
		return want.counts, fmt.Sprintf("our cycle: %v", err)
	}
	difference = firstDifference(want.lines, got.lines)
	for i := 0; i < retries && difference != ""; i++ {
		again, err := w.play(true)
		if err != nil {
			t.Fatalf("upstream's cycle, again: %v\n%s", err, w)
		}
		if slices.Equal(again.lines, got.lines) {
			want.counts[undecided]++
			t.Logf("undecided by upstream: %s", difference)
			return want.counts, ""
		}
	}
	return want.counts, difference
}

// undecided counts worlds in which upstream differs from itself.
const undecided = "worlds that upstream does not decide"

// firstDifference shows where two lists part, after a few lines that they share.
func firstDifference(want, got []string) string {
	n := min(len(want), len(got))
	i := 0
	for i < n && want[i] == got[i] {
		i++
	}
	if i == len(want) && i == len(got) {
		return ""
	}
	const around = 8
	var b strings.Builder
	fmt.Fprintf(&b, "record %d of %d with upstream's cycle, of %d with ours:\n", i+1, len(want), len(got))
	for _, l := range want[max(0, i-around):i] {
		fmt.Fprintf(&b, "         %s\n", l)
	}
	for _, l := range want[i:min(len(want), i+2)] {
		fmt.Fprintf(&b, "upstream %s\n", l)
	}
	for _, l := range got[i:min(len(got), i+2)] {
		fmt.Fprintf(&b, "ours     %s\n", l)
	}
	return b.String()
}
