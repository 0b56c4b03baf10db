package kubescheduler

import (
	"context"
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	dto "github.com/prometheus/client_model/go"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	basemetrics "k8s.io/component-base/metrics"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	internalqueue "k8s.io/kubernetes/pkg/scheduler/backend/queue"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/policy/kubescheduler/incremental"
	"orrery/sim/units"
)

// Latency is how long the scheduler takes in virtual time.
type Latency struct {
	Attempt        units.Duration // of one scheduling cycle
	AttemptPerNode units.Duration // more for every node the cycle looked at
}

// Params is what a Scheduler is made of. All fields but Plugins are required.
type Params struct {
	Engine *engine.Engine
	// Client reaches the API through the engine's gate, which keeps the rate of the configuration's clientConnection:
	// a limit in the client would serve goroutines that call at one instant in the order in which Go runs them.
	Client *rest.Config
	// Direct, where not nil, is given the client that is made of Client and returns what the scheduler uses: the same
	// with short cuts into the API. ExactUpstream does without.
	Direct func(kubernetes.Interface) kubernetes.Interface
	// Informers deliver synchronously, on the driver goroutine.
	Informers func(kubernetes.Interface) informers.SharedInformerFactory
	Config    *config.KubeSchedulerConfiguration
	Latency   Latency
	Seed      int64                   // of upstream's global math/rand
	Rank      func(node string) int64 // breaks preemption's last tie: higher wins; distinct for distinct nodes
	Record    func(journal.Body)      // takes attempts and preemptions; called on the driver goroutine
	Plugins   frameworkruntime.Registry
	// Claims says that pods may have resource claims: see redraw.
	Claims bool
	// Empty reports whether there are no nodes; nil = there always are some.
	Empty func() bool
	// ExactUpstream leaves upstream's scheduling cycle as it is: every attempt looks at every node again. What comes
	// out is the same, only later; it is there to be compared with.
	ExactUpstream bool
}

// linger is how long waiting pods keep a run alive after the last change that could help them: upstream retries them
// after podMaxInUnschedulablePodsDuration at the latest, found by a timer of 30 s, behind a back-off of at most a
// minute.
const linger = internalqueue.DefaultPodMaxInUnschedulablePodsDuration + 90*time.Second

// States of the scheduling loop's goroutine.
const (
	waiting int32 = iota // for the driver's grant
	popping              // in Pop; when the bubble is quiescent: blocked, because nothing can be popped
	popped               // has an entity, waits for the driver's go-ahead
	cycling              // in a scheduling cycle; when the bubble is quiescent: waiting for the API
)

// Scheduler is a kube-scheduler in lockstep with the engine.
type Scheduler struct {
	p      Params
	sched  *scheduler.Scheduler
	clock  *queueClock
	cancel context.CancelFunc

	state    atomic.Int32
	direct   atomic.Bool // a popped entity needs no go-ahead: the pop was granted just now
	grant    chan struct{}
	goAhead  chan struct{}
	binding  atomic.Int64 // pods between a successful cycle and the end of their binding
	nodes    atomic.Int64 // nodes looked at in the current cycle
	attempts atomic.Int64

	draws     int64      // times redraw has seeded; of the scheduling loop's goroutine
	running   bool       // a cycle has been granted and has not been charged yet
	cycleAt   units.Time // start of the latest cycle
	notBefore units.Time // earliest start of the next
	touched   units.Time // the latest change that could let a pod be scheduled
	cycle     *engine.Event
	flush     *engine.Event
	flushIdle bool // the pending flush does not keep the run alive

	everyWindow bool // the back-off queue is flushed every second, as upstream does; tests only
	poll        *engine.Event
	alive       *engine.Event

	mu  sync.Mutex
	out []journal.Body // records not yet published

	active, backoff, unschedulable gauge
	popFromBackoff                 bool
	backoffs                       backoffs
	groups                         *podGroups
	inner                          *incremental.Cycle
	outside                        incremental.Outside
}

// New builds the scheduler and registers it with the engine. Objects that already exist in the API are announced to it
// before New returns. It must be called on the driver goroutine, inside the bubble, at time zero, after
// SetFeatureGates.
func New(p Params) (*Scheduler, error) {
	klog.SetLogger(logr.Discard())
	// Upstream draws from the global generator; seeding it needs the GODEBUG setting randseednop=0 of go.mod.
	rand.Seed(p.Seed) //nolint:staticcheck // there is no other way to seed a generator that upstream code owns
	s := &Scheduler{p: p, clock: &queueClock{}, grant: make(chan struct{}), goAhead: make(chan struct{})}
	metrics.Register()
	s.active, s.backoff = newGauge(metrics.ActivePods()), newGauge(metrics.BackoffPods())
	s.unschedulable = newGauge(metrics.UnschedulablePods())
	client := rest.CopyConfig(p.Client)
	client.QPS = -1
	var cs kubernetes.Interface
	cs, err := kubernetes.NewForConfig(client)
	if err != nil {
		return nil, fmt.Errorf("building the scheduler's client: %w", err)
	}
	if p.Direct != nil && !p.ExactUpstream {
		cs = p.Direct(cs)
	}
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), logr.Discard()))
	s.cancel = cancel
	// The context given to New, not the one given to the loop, ends upstream's metrics flusher, which would wake up
	// every virtual second for nothing.
	newCtx, cancelNew := context.WithCancel(ctx)
	if s.sched, err = scheduler.New(newCtx, cs, p.Informers(cs), nil, s.recorderFactory, s.options()...); err != nil {
		cancelNew()
		cancel()
		return nil, fmt.Errorf("building kube-scheduler: %w", err)
	}
	if err := s.sched.WaitForHandlersSync(newCtx); err != nil {
		cancelNew()
		cancel()
		return nil, fmt.Errorf("starting kube-scheduler: %w", err)
	}
	cancelNew()
	if s.backoffs, err = newBackoffs(s.sched.SchedulingQueue); err != nil {
		cancel()
		return nil, err
	}
	inner, err := s.hook(cs)
	if err != nil {
		cancel()
		return nil, err
	}
	if s.groups, err = newPodGroups(s, inner); err != nil {
		cancel()
		return nil, err
	}
	s.start(ctx)
	return s, nil
}

func (s *Scheduler) options() []scheduler.Option {
	c := s.p.Config
	return []scheduler.Option{
		scheduler.WithComponentConfigVersion(c.TypeMeta.APIVersion),
		scheduler.WithProfiles(c.Profiles...),
		scheduler.WithPercentageOfNodesToScore(c.PercentageOfNodesToScore),
		scheduler.WithPodInitialBackoffSeconds(c.PodInitialBackoffSeconds),
		scheduler.WithPodMaxBackoffSeconds(c.PodMaxBackoffSeconds),
		scheduler.WithFrameworkOutOfTreeRegistry(s.foreign()),
		scheduler.WithParallelism(1),
		scheduler.WithClock(s.clock),
	}
}

func (s *Scheduler) recorderFactory(string) events.EventRecorderLogger {
	return recorder{preempted: func(victim *v1.Pod, by metav1.Object) {
		s.emit(journal.Preempt{Victim: key(victim), By: key(by), Node: victim.Spec.NodeName})
	}}
}

func key(p metav1.Object) string {
	if p == nil {
		return ""
	}
	return p.GetNamespace() + "/" + p.GetName()
}

// redraw seeds upstream's global generator anew before each cycle of a run with claims. The queue draws from it, too,
// whenever it is told of a pod, and informers who hear of a pod and of its claims at one instant do not tell it equally
// often in every run: without this, where preemption begins to look could depend on them.
func (s *Scheduler) redraw(e framework.QueuedEntityInfo) {
	if s.p.Claims && e != nil {
		s.draws++
		rand.Seed(s.p.Seed ^ s.draws<<1) //nolint:staticcheck // as New does
	}
}

// hook puts the journal and the tie-breakers around upstream's exported function fields. It returns SchedulePod without
// the journal.
func (s *Scheduler) hook(client kubernetes.Interface) (schedulePod, error) {
	breakTies(s.sched, s.p.Rank)
	inner, err := s.schedulePod(client)
	if err != nil {
		return nil, err
	}
	onFailure, next := s.sched.FailureHandler, s.sched.NextEntity
	s.sched.NextEntity = func(l klog.Logger) (framework.QueuedEntityInfo, error) {
		s.state.Store(popping)
		e, err := next(l)
		if !s.direct.Load() && e != nil {
			s.state.Store(popped)
			<-s.goAhead
		}
		s.groups.popped(e)
		s.redraw(e)
		s.state.Store(cycling)
		return e, err
	}
	s.sched.SchedulePod = func(ctx context.Context, f framework.Framework, state fwk.CycleState,
		pod *framework.QueuedPodInfo) (scheduler.ScheduleResult, error) {
		if state.IsPodGroupSchedulingCycle() {
			return s.groups.try(ctx, f, state, pod)
		}
		res, err := inner(ctx, f, state, pod)
		if err == nil {
			s.binding.Add(1)
			s.nodes.Store(int64(res.EvaluatedNodes))
			s.record(journal.Attempt{Pod: key(pod.Pod), N: pod.Attempts, Result: journal.Scheduled,
				Node: res.SuggestedHost, Evaluated: res.EvaluatedNodes, Feasible: res.FeasibleNodes})
		}
		return res, err
	}
	s.sched.FailureHandler = func(ctx context.Context, f framework.Framework, pod *framework.QueuedPodInfo,
		status *fwk.Status, nominating *fwk.NominatingInfo, start time.Time) {
		s.recordFailure(pod, status, nominating)
		onFailure(ctx, f, pod, status, nominating, start)
	}
	return inner, nil
}

// schedulePod returns the scheduling cycle: upstream's own or the incremental one.
func (s *Scheduler) schedulePod(client kubernetes.Interface) (incremental.SchedulePod, error) {
	own := s.sched.SchedulePod
	upstream := func(ctx context.Context, f framework.Framework, state fwk.CycleState,
		pod *framework.QueuedPodInfo) (scheduler.ScheduleResult, error) {
		res, err := own(ctx, f, state, pod)
		if fit, ok := err.(*framework.FitError); ok {
			orderNodes(fit, f.SnapshotSharedLister().NodeInfos())
		}
		return res, err
	}
	if s.p.ExactUpstream {
		var err error
		if s.inner, err = incremental.Observe(s.sched, s.p.Config.Profiles, s.outside, upstream); err != nil {
			return nil, err
		}
		return s.inner.SchedulePod, nil
	}
	var err error
	if s.inner, err = incremental.New(s.sched, s.p.Config.Profiles, s.outside, upstream); err != nil {
		return nil, err
	}
	s.sched.FailureHandler = s.inner.FailureHandler(s.sched.FailureHandler, client)
	return s.inner.SchedulePod, nil
}

// Finish records what is known at the end of a run: how many attempts could not be made incrementally, and why.
func (s *Scheduler) Finish() {
	for _, c := range s.inner.Counts() {
		s.p.Record(journal.Warn{Code: "full-scheduling-cycles", Count: c.Attempts, Message: "attempts that looked at every " +
			"node again, which is only slower, because: " + c.Reason})
	}
}

func (s *Scheduler) record(a journal.Attempt) {
	s.attempts.Add(1)
	s.emit(a)
}

// emit keeps a record of an upstream goroutine until the driver takes it after the barrier. At most one upstream
// goroutine has something to say between two barriers: each was released by one event.
func (s *Scheduler) emit(b journal.Body) {
	s.mu.Lock()
	s.out = append(s.out, b)
	s.mu.Unlock()
}

func (s *Scheduler) publish() {
	s.mu.Lock()
	out := s.out
	s.out = nil
	s.mu.Unlock()
	for _, b := range out {
		s.p.Record(b)
	}
}

func (s *Scheduler) recordFailure(pod *framework.QueuedPodInfo, status *fwk.Status, nominating *fwk.NominatingInfo) {
	if pod.Pod.Spec.NodeName != "" { // an assumed pod: its binding failed
		s.binding.Add(-1)
	}
	a := journal.Attempt{Pod: key(pod.Pod), N: pod.Attempts, Result: journal.Error, Message: status.Message()}
	if status.IsRejected() {
		a.Result = journal.Unschedulable
	}
	if fit, ok := status.AsError().(*framework.FitError); ok {
		a.Evaluated = fit.NumAllNodes
		a.Plugins = fit.Diagnosis.UnschedulablePlugins.UnsortedList()
		slices.Sort(a.Plugins)
	}
	if nominating.Mode() == fwk.ModeOverride {
		a.Nominated = nominating.NominatedNodeName
	}
	if !s.groups.failed(pod.Pod, pod.Pod.Spec.NodeName != "", &a) {
		s.nodes.Store(int64(a.Evaluated))
	}
	s.record(a)
}

// start runs the loops of upstream's Run under the driver's control.
func (s *Scheduler) start(ctx context.Context) {
	s.popFromBackoff = utilfeature.DefaultFeatureGate.Enabled(features.SchedulerPopFromBackoffQ)
	go func() {
		// Half a tick off the engine's grid: the queue's own 30 s timer never meets one of our events.
		begin := time.NewTimer(time.Until(s.p.Engine.Clock()) + units.Tick/2)
		select {
		case <-begin.C:
		case <-ctx.Done(): // closed before it began
			begin.Stop()
			return
		}
		s.sched.SchedulingQueue.Run(logr.Discard())
		if s.sched.APIDispatcher != nil {
			s.sched.APIDispatcher.Run(logr.Discard())
		}
	}()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-s.grant:
			}
			s.sched.ScheduleOne(ctx)
			s.state.Store(waiting)
		}
	}()
	s.p.Engine.OnSettled(s.settled)
}

// Touch tells the scheduler that something changed that could let a pod be scheduled: while nothing does, waiting pods
// do not keep the run alive beyond upstream's own periodic retry.
func (s *Scheduler) Touch() { s.touched = s.p.Engine.Now() }

// Bound tells the scheduler that the API has committed a binding.
func (s *Scheduler) Bound() {
	s.binding.Add(-1)
	s.Touch()
}

// Attempts returns the number of scheduling attempts so far.
func (s *Scheduler) Attempts() int64 { return s.attempts.Load() }

// Pending returns the number of pods in the scheduling queue's parts.
func (s *Scheduler) Pending() (active, backoff, unschedulable int) {
	return s.active.value(), s.backoff.value(), s.unschedulable.value()
}

// settled looks at the scheduler after every barrier and schedules what it needs next.
func (s *Scheduler) settled() {
	s.publish()
	e := s.p.Engine
	active, backoff := s.active.value(), s.backoff.value()
	switch s.state.Load() {
	case waiting:
		if s.running {
			s.endCycle()
		}
		if (active > 0 || s.popFromBackoff && s.groups.poppable(backoff) > 0) && !s.cycle.Pending() {
			s.cycle = e.At(max(e.Now(), s.notBefore), engine.PhaseDecide, "scheduling cycle", s.begin)
		}
	case popping:
		s.direct.Store(false) // blocked: only pods in error back-off are there
	case popped:
		if !s.cycle.Pending() {
			s.cycle = e.At(max(e.Now(), s.notBefore), engine.PhaseDecide, "scheduling cycle", s.proceed)
		}
	}
	if backoff > 0 {
		s.flushBackoff()
	}
	s.keepAlive()
}

func (s *Scheduler) begin() {
	s.running, s.cycleAt = true, s.p.Engine.Now()
	s.direct.Store(true)
	s.grant <- struct{}{}
}

func (s *Scheduler) proceed() {
	s.running, s.cycleAt = true, s.p.Engine.Now()
	s.direct.Store(true)
	s.goAhead <- struct{}{}
}

// endCycle charges the cycle that has just ended.
func (s *Scheduler) endCycle() {
	s.running = false
	busy := s.p.Latency.Attempt*s.groups.attempts() + units.Duration(s.nodes.Load())*s.p.Latency.AttemptPerNode
	s.notBefore = max(s.p.Engine.Now(), s.cycleAt.Add(busy))
}

// keepAlive keeps the run from draining while upstream is busy without an event of ours, and watches for pods that
// upstream's own 30 s timer moves.
func (s *Scheduler) keepAlive() {
	e := s.p.Engine
	if (s.state.Load() == cycling || s.binding.Load() > 0) && !s.alive.Pending() {
		s.alive = e.After(time.Second, engine.PhaseObserve, "waiting for the scheduler's client", func() {})
	}
	if s.unschedulable.value() > 0 && !s.poll.Pending() {
		const period = units.Time(30 * time.Second) // of upstream's flushUnschedulableEntitiesLeftover
		at := (e.Now()/period+1)*period + units.Time(units.Tick)
		if at.Sub(s.touched) <= linger {
			s.poll = e.At(at, engine.PhaseObserve, "unschedulable flush", func() {})
		} else {
			s.poll = e.Background(at, engine.PhaseObserve, "unschedulable flush", func() {})
		}
	}
}

// Close stops upstream's goroutines. The engine must be drained afterwards.
func (s *Scheduler) Close() {
	s.cancel()
	s.sched.SchedulingQueue.Close()
	if s.sched.APIDispatcher != nil {
		s.sched.APIDispatcher.Close()
	}
	if s.state.Load() == popped {
		close(s.goAhead)
	}
}

// gauge reads one of upstream's scheduler_pending_pods gauges, which count exactly and cost nothing to ask, unlike the
// queue's debugging lists.
type gauge struct {
	m   basemetrics.GaugeMetric
	out *dto.Metric
}

// newGauge zeroes the gauge, which outlives a run in the process. It must be called before the queue exists.
func newGauge(m basemetrics.GaugeMetric) gauge {
	m.Set(0)
	return gauge{m, &dto.Metric{}}
}

func (g gauge) value() int {
	if err := g.m.Write(g.out); err != nil {
		panic(fmt.Sprintf("reading scheduler_pending_pods: %v", err))
	}
	return int(g.out.GetGauge().GetValue())
}
