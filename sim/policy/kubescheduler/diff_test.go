package kubescheduler_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/kube"
	"orrery/sim/policy/kubescheduler"
	"orrery/sim/units"
)

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

var (
	podsGVR  = v1.SchemeGroupVersion.WithResource("pods")
	nodesGVR = v1.SchemeGroupVersion.WithResource("nodes")
)

// op is something that the outside world does to the cluster at an instant.
type op struct {
	at   units.Time
	what string
	do   func(*kube.Store) error
}

// reseed sets the global generator that breaks ties between nodes of equal score: client-go's reflectors draw from it
// too, at times of their own.
func (o op) reseed() {
	rand.Seed(int64(o.at)) //nolint:staticcheck // as kubescheduler.New does
}

// script is a cluster and what happens to it. Both schedulers play the same one.
type script struct {
	objects []func() runtime.Object // created at the beginning
	ops     []op
	config  string
	gates   map[string]bool
	until   units.Time
	exact   bool // in lockstep with upstream's own scheduling cycle
	raw     bool // in lockstep, lines in the order in which they come
	drain   bool // in lockstep, until nothing is left to do
}

// diary is what can be seen of a run from outside, one line each.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(at units.Time, format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	// Upstream's own timers and ours differ by less than this, on purpose, to keep them apart; so do the answers of the
	// API, see answer.
	d.lines = append(d.lines, fmt.Sprintf("%9.2f ", float64(at/1e7)/1e2)+fmt.Sprintf(format, args...))
}

// commit notes what a write of the API means.
func (d *diary) commit(at units.Time, c kube.Commit) {
	d.groupCommit(at, c)
	pod, ok := c.New.(*v1.Pod)
	if !ok {
		return
	}
	old, _ := c.Old.(*v1.Pod)
	switch {
	case c.Verb == kube.VerbDelete:
		d.add(at, "deleted %s %s", pod.Name, disruption(pod))
	case c.Verb == kube.VerbCreate:
	case c.Sub == "binding":
		d.add(at, "bound %s to %s", pod.Name, pod.Spec.NodeName)
	case pod.DeletionTimestamp != nil && old.DeletionTimestamp == nil:
		d.add(at, "terminating %s %s", pod.Name, disruption(pod))
	case c.Sub == "status":
		if m := unscheduled(pod); m != unscheduled(old) {
			d.add(at, "condition %s %s", pod.Name, m)
		}
		if n := pod.Status.NominatedNodeName; n != old.Status.NominatedNodeName {
			d.add(at, "nominated %s to %q", pod.Name, n)
		}
	}
}

func disruption(pod *v1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == v1.DisruptionTarget {
			return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
		}
	}
	return ""
}

func unscheduled(pod *v1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == v1.PodScheduled {
			return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
		}
	}
	return ""
}

// sorted returns the lines in the order of time; within one millisecond the order of goroutines is not compared.
func (d *diary) sorted() []string {
	slices.Sort(d.lines)
	return d.lines
}

// kubelet does what a kubelet does, in as little as the scheduler can see of it: a bound pod runs, a terminating one is
// gone after its grace period.
func kubelet(s *kube.Store, c kube.Commit, after func(time.Duration, func())) {
	pod, ok := c.New.(*v1.Pod)
	if !ok || c.Verb != kube.VerbUpdate {
		return
	}
	old := c.Old.(*v1.Pod)
	if c.Sub == "binding" {
		after(100*time.Millisecond, func() {
			obj, err := s.Get(podsGVR, pod.Namespace, pod.Name)
			if err != nil {
				return
			}
			run := obj.(*v1.Pod).DeepCopy()
			now := metav1.NewTime(pod.CreationTimestamp.Time)
			run.Status.Phase, run.Status.StartTime = v1.PodRunning, &now
			if _, err := s.Update(run, "status"); err != nil {
				panic(err)
			}
		})
	}
	if pod.DeletionTimestamp != nil && old.DeletionTimestamp == nil {
		// A little more for each pod, so that two never go at one instant.
		var i, j int
		if _, err := fmt.Sscanf(pod.Name, "p%03d-%d", &i, &j); err != nil {
			panic(err)
		}
		more := time.Duration(20*i+10*j+100) * time.Millisecond
		after(time.Duration(*pod.DeletionGracePeriodSeconds)*time.Second+more, func() {
			_ = s.Delete(podsGVR, pod.Namespace, pod.Name, metav1.NewDeleteOptions(0)) // may be gone already
		})
	}
}

// load reads the script's configuration and switches off the client's rate limit, which would let the two runs' API
// calls differ in time.
func (sc script) load(t testing.TB) *config.KubeSchedulerConfiguration {
	t.Helper()
	cfg, err := kubescheduler.LoadConfig("config.yaml", []byte(sc.config))
	if err != nil {
		t.Fatal(err)
	}
	cfg.ClientConnection.QPS = -1
	return cfg
}

func (sc script) begin(s *kube.Store) error {
	for _, make := range sc.objects {
		if _, err := s.Create(make()); err != nil {
			return err
		}
	}
	return nil
}

// lockstep plays the script with our scheduler.
func (sc script) lockstep(t testing.TB) []string {
	cfg := sc.load(t)
	var d diary
	err := engine.Bubble(engine.Watchdog{}, func() error {
		e, err := engine.New(engine.Params{Epoch: epoch}, nil)
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
			d.commit(e.Now(), c)
			if c.Sub == "binding" {
				s.Bound()
			}
			s.Touch()
			kubelet(store, c, func(after time.Duration, fn func()) {
				e.After(after, engine.PhaseRelease, "kubelet", fn)
			})
		}})
		if err != nil {
			return err
		}
		if err := sc.begin(store); err != nil {
			return err
		}
		s, err = kubescheduler.New(kubescheduler.Params{Engine: e, Config: cfg,
			Client: store.RESTConfig(func(call kube.Call, fn func()) { e.Call(call.String(), 0, fn) }),
			Informers: func(cs kubernetes.Interface) informers.SharedInformerFactory {
				return store.InformerFactory(cs)
			},
			Rank:          func(string) int64 { return 0 }, // the scripts leave no ties
			ExactUpstream: sc.exact,
			Record: func(b journal.Body) {
				switch r := b.(type) {
				case journal.Attempt:
					if r.Result != journal.Scheduled {
						d.add(e.Now(), "failed %s %s", r.Pod, r.Message)
					}
				case journal.Preempt:
					d.add(e.Now(), "preempted %s for %s", r.Victim, r.By)
				}
			},
		})
		if err != nil {
			return err
		}
		for _, o := range sc.ops {
			e.At(o.at, engine.PhaseArrive, o.what, func() {
				o.reseed()
				if err := o.do(store); err != nil {
					d.add(e.Now(), "refused %s: %v", o.what, err)
				}
			})
		}
		until := sc.until
		if sc.drain {
			until = -1
			e.Background(sc.until, engine.PhaseSample, "end", func() { e.Stop(errors.New("the run does not end")) })
		} else {
			e.At(until, engine.PhaseSample, "end", func() {})
		}
		_, err = e.Run(until)
		if sc.drain {
			d.add(e.Now(), "over")
		}
		over = true
		s.Close()
		e.Drain()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if sc.raw {
		return d.lines
	}
	return d.sorted()
}

// free plays the script with upstream's own loop: scheduler.New and Run, client-go's reflectors and informers, the
// real clock of the bubble, API calls at will.
func (sc script) free(t testing.TB) []string {
	cfg := sc.load(t)
	var d diary
	err := engine.Bubble(engine.Watchdog{}, func() error {
		klog.SetLogger(logr.Discard())
		time.Sleep(time.Until(epoch) - time.Minute)
		now := func() units.Time { return units.Time(time.Since(epoch)) }
		var store *kube.Store
		var over, begun bool
		var err error
		store, err = kube.New(kube.Options{Now: func() time.Time { return time.Now().UTC() }, OnCommit: func(c kube.Commit) {
			if over || !begun {
				return
			}
			d.commit(now(), c)
			kubelet(store, c, func(after time.Duration, fn func()) { time.AfterFunc(after, fn) })
		}})
		if err != nil {
			return err
		}
		if err := sc.begin(store); err != nil {
			return err
		}
		cs, err := store.Clientset(answer(store))
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), logr.Discard()))
		factory := scheduler.NewInformerFactory(cs, 0, nil)
		rec := func(string) events.EventRecorderLogger { return noter{&d, now, store} }
		sched, err := scheduler.New(ctx, cs, factory, nil, rec, scheduler.WithProfiles(cfg.Profiles...),
			scheduler.WithPercentageOfNodesToScore(cfg.PercentageOfNodesToScore), scheduler.WithParallelism(1),
			scheduler.WithPodInitialBackoffSeconds(cfg.PodInitialBackoffSeconds),
			scheduler.WithPodMaxBackoffSeconds(cfg.PodMaxBackoffSeconds),
			scheduler.WithComponentConfigVersion(cfg.TypeMeta.APIVersion))
		if err != nil {
			cancel()
			return err
		}
		factory.Start(ctx.Done())
		factory.WaitForCacheSync(ctx.Done())
		if err := sched.WaitForHandlersSync(ctx); err != nil {
			cancel()
			return err
		}
		time.Sleep(time.Until(epoch))
		begun = true
		go sched.Run(ctx)
		for _, o := range sc.ops {
			time.Sleep(time.Until(epoch.Add(time.Duration(o.at))))
			o.reseed()
			if err := o.do(store); err != nil {
				d.add(now(), "refused %s: %v", o.what, err)
			}
			synctest.Wait()
		}
		time.Sleep(time.Until(epoch.Add(time.Duration(sc.until))))
		synctest.Wait()
		over = true
		cancel()
		factory.Shutdown()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return d.sorted()
}

// answer lets an API call's answer take a moment after its commit, as any network does. Virtual time passes only when
// all goroutines are idle, so watches have told of a write before the writer goes on. The scheduling loop waits longer
// (it writes the status of the pod it failed to place) than preemption's goroutines do (they withdraw other pods'
// nominations, then write to and delete victims), so those are through before the next cycle. That leaves the
// free-running scheduler one order of things: the one a cluster with a fast API has.
func answer(store *kube.Store) kube.Gate {
	return func(c kube.Call, fn func()) {
		before := pending(store, c.Namespace, c.Name)
		fn()
		after := pending(store, c.Namespace, c.Name)
		withdrawn := before != nil && after != nil && before.Status.NominatedNodeName > after.Status.NominatedNodeName
		if before == nil || withdrawn {
			time.Sleep(time.Microsecond)
		} else {
			time.Sleep(busy)
		}
	}
}

// busy is longer than a preemption's API calls take.
const busy = 50 * time.Microsecond

func pending(store *kube.Store, ns, name string) *v1.Pod {
	if obj, err := store.Get(podsGVR, ns, name); err == nil && obj.(*v1.Pod).Spec.NodeName == "" {
		return obj.(*v1.Pod)
	}
	return nil
}

// noter is an event recorder that notes what the lockstep run puts into its journal. When the pod's status says the
// same already and will not be written, it keeps the scheduling loop busy in place of answer.
type noter struct {
	d     *diary
	now   func() units.Time
	store *kube.Store
}

func (n noter) WithLogger(klog.Logger) events.EventRecorderLogger { return n }

func (n noter) Eventf(regarding, related runtime.Object, _, reason, _, note string, args ...interface{}) {
	name := func(o runtime.Object) string {
		m := o.(metav1.Object)
		return m.GetNamespace() + "/" + m.GetName()
	}
	switch {
	case reason == "Preempted":
		n.d.add(n.now(), "preempted %s for %s", name(regarding), name(related))
	case reason == "FailedScheduling" && !strings.HasPrefix(note, "skip schedule"):
		n.d.add(n.now(), "failed %s %s", name(regarding), note)
		m := regarding.(metav1.Object)
		if p := pending(n.store, m.GetNamespace(), m.GetName()); p != nil && strings.HasSuffix(unscheduled(p), note) {
			time.Sleep(busy)
		}
	}
}

// freeLike plays the script with upstream running freely until that comes to what was got in lockstep, a few times at
// most: whether a pod that is told of an event is tried again before or after its group's cycle ends is up to Go then,
// and on a busy machine it goes either way. It returns the last of these runs, and what was got.
func (sc script) freeLike(t testing.TB, got []string) (want, same []string) {
	t.Helper()
	for range 5 {
		if want = sc.free(t); slices.Equal(want, got) {
			break
		}
	}
	return want, got
}

// TestAgainstFreeRunningUpstream plays random scripts with upstream's scheduler as it is and with ours, and compares
// everything that can be seen of them: bindings, failures with their messages, conditions, nominations, victims, and
// when each happened. The scripts leave time between their steps, so that what goroutines race for is decided.
func TestAgainstFreeRunningUpstream(t *testing.T) {
	counts := map[string]int{}
	for _, tc := range []struct {
		name       string
		seeds      int
		nodes, ops int
		gates      map[string]bool
	}{
		{"small", 12, 6, 60, nil},
		{"sampled", 3, 160, 160, nil},
		{"no pop from back-off", 4, 6, 60, map[string]bool{"SchedulerPopFromBackoffQ": false}},
		{"preemption in the cycle", 4, 6, 60, map[string]bool{"SchedulerAsyncPreemption": false}},
		// Without preemption, whose calls then race with the loop's own, whatever the pace.
		{"API calls aside", 4, 6, 60, map[string]bool{"SchedulerAsyncAPICalls": true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			restore, err := kubescheduler.SetFeatureGates(tc.gates)
			if err != nil {
				t.Fatal(err)
			}
			defer restore()
			for seed := range tc.seeds {
				sc := draw(uint64(seed), tc.nodes, tc.ops, tc.gates)
				want, got := sc.freeLike(t, sc.lockstep(t))
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("seed %d: upstream free-running (-), in lockstep (+):\n%s", seed, d)
				}
				for _, line := range want {
					counts[strings.Fields(line)[1]]++
				}
			}
		})
	}
	t.Log(counts)
	for _, what := range []string{"bound", "failed", "condition", "nominated", "preempted", "terminating", "deleted"} {
		if counts[what] < 20 {
			t.Errorf("only %d lines of %q: the scripts show too little", counts[what], what)
		}
	}
	if counts["refused"] > 0 {
		t.Errorf("%d steps were refused", counts["refused"])
	}
}
