package kubescheduler

import (
	"context"
	"math"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/types"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/pkg/scheduler"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	internalqueue "k8s.io/kubernetes/pkg/scheduler/backend/queue"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/metrics"

	"orrery/sim/journal"
	"orrery/sim/units"
)

// podGroups is what the driver has to know about pod groups beyond single pods. A nil one is for runs without them.
//
// Upstream places the members of a group one by one in its snapshot and takes everything back; only then it either
// assumes members in its cache and binds them, or fails them. So what SchedulePod says about a member is a trial. Its
// fate is known when the cache assumes it, or when it reaches the failure handler.
type podGroups struct {
	s       *Scheduler
	inner   schedulePod
	pods    gauge          // single pods that are backing off
	maxWait units.Duration // the longest back-off of a single pod

	// Written by the scheduling loop's goroutine only, while it has the driver's grant.
	trials  map[types.UID]*trial // of the current cycle's members
	passes  int                  // times SchedulePod ran in the current cycle
	largest int                  // members of the largest group popped so far
	cycling atomic.Bool          // the current cycle is a group's
}

// trial is the first answer a member got in a cycle. Preemption asks again, with its victims out of the way, and so
// does every placement of a group with a topology constraint.
type trial struct {
	n, evaluated, feasible int
	assumed                bool
	node                   string
	next, last             *trial // the answer after this one; of the first one: the latest
}

// at returns the latest answer that named the node, else the first.
func (t *trial) at(node string) *trial {
	out := t
	for a := t; a != nil; a = a.next {
		if a.node == node {
			out = a
		}
	}
	return out
}

// schedulePod is the type of upstream's function of that name.
type schedulePod = func(context.Context, framework.Framework, fwk.CycleState,
	*framework.QueuedPodInfo) (scheduler.ScheduleResult, error)

// newPodGroups puts the hooks for pod groups around the scheduler's cache and queue. It is called when the scheduler
// knows the objects that exist and has not tried any pod. It returns nil when upstream's gate is off.
func newPodGroups(s *Scheduler, inner schedulePod) (*podGroups, error) {
	if !utilfeature.DefaultFeatureGate.Enabled(features.GenericWorkload) {
		return nil, nil
	}
	if err := orderVictims(s.sched); err != nil {
		return nil, err
	}
	if utilfeature.DefaultFeatureGate.Enabled(features.TopologyAwareWorkloadScheduling) {
		orderPlacements(s.sched, s.p.Seed)
	}
	g := &podGroups{s: s, inner: inner, pods: newGauge(metrics.BackoffEntities(metrics.Pod)),
		maxWait: units.Duration(s.p.Config.PodMaxBackoffSeconds) * time.Second}
	s.sched.Cache = assumeHook{s.sched.Cache, g.assumed}
	q := arrivals{s.sched.SchedulingQueue}
	q.again(klog.Background(), append(q.PodsInActiveQ(), q.UnschedulablePods()...))
	s.sched.SchedulingQueue = q
	return g, nil
}

// popped begins the cycle of an entity.
func (g *podGroups) popped(e framework.QueuedEntityInfo) {
	if g == nil {
		return
	}
	group, ok := e.(*framework.QueuedPodGroupInfo)
	g.cycling.Store(ok)
	g.trials, g.passes = nil, 0
	if ok {
		g.trials = map[types.UID]*trial{}
		g.largest = max(g.largest, group.Size())
		g.s.nodes.Store(0)
	}
}

// try is SchedulePod for a member.
func (g *podGroups) try(ctx context.Context, f framework.Framework, state fwk.CycleState,
	pod *framework.QueuedPodInfo) (scheduler.ScheduleResult, error) {
	res, err := g.inner(ctx, f, state, pod)
	t := &trial{n: pod.Attempts, evaluated: res.EvaluatedNodes, feasible: res.FeasibleNodes, node: res.SuggestedHost}
	if fit, ok := err.(*framework.FitError); ok {
		t.evaluated = fit.NumAllNodes
	}
	g.passes++
	g.s.nodes.Add(int64(t.evaluated))
	if first := g.trials[pod.Pod.UID]; first != nil {
		first.last.next, first.last = t, t
	} else {
		t.last = t
		g.trials[pod.Pod.UID] = t
	}
	return res, err
}

// assumed is told of every pod that the cache takes for placed. A member among them will be bound, unless a plugin
// objects; for a single pod SchedulePod has said it all.
func (g *podGroups) assumed(pod *v1.Pod) {
	t := g.trials[pod.UID]
	if t == nil {
		return
	}
	t.assumed = true
	t = t.at(pod.Spec.NodeName)
	g.s.binding.Add(1)
	g.s.record(journal.Attempt{Pod: key(pod), N: t.n, Result: journal.Scheduled, Node: pod.Spec.NodeName,
		Evaluated: t.evaluated, Feasible: t.feasible})
}

// failed completes the record of a failure in a group's cycle and reports whether it is one: then the cycle's price
// does not depend on the record. assigned says that the pod had left the cycle when it failed.
func (g *podGroups) failed(pod *v1.Pod, assigned bool, a *journal.Attempt) bool {
	if g == nil || !g.cycling.Load() {
		return false
	}
	if assigned {
		return true
	}
	if t := g.trials[pod.UID]; t != nil {
		if t.assumed {
			g.s.binding.Add(-1)
		}
		a.Evaluated, a.Feasible = t.evaluated, t.feasible
	}
	return true
}

// attempts returns how many times the latest cycle went through the nodes, one at least.
func (g *podGroups) attempts() units.Duration {
	if g == nil {
		return 1
	}
	return units.Duration(max(1, g.passes))
}

// poppable returns how many of those that back off can be popped before their time. Groups cannot: upstream keeps the
// reasons of a rejection with the members, and takes an entity without reasons for one that met an error.
func (g *podGroups) poppable(backoff int) int {
	if g == nil || backoff == 0 {
		return backoff
	}
	return g.pods.value()
}

// idle reports whether only groups back off and all of them have been tried since the last change that could help
// them. Groups back off for ever, unlike single pods, which lie still until something happens.
func (g *podGroups) idle(at units.Time) bool {
	if g == nil || g.pods.value() > 0 {
		return false
	}
	longest := units.Duration(float64(g.maxWait) * math.Sqrt(float64(g.largest))) // upstream's rule
	return at.Sub(g.s.touched) > linger+longest
}

// Routine reports whether an error that upstream reports is none: when it breaks off the attempt of a gang that cannot
// reach its minimum any more, it rejects the members left with a status it then takes for an error.
func Routine(err error) bool {
	return err != nil && gangBroken.MatchString(err.Error())
}

// gangBroken is what the GangScheduling plugin says then.
var gangBroken = regexp.MustCompile(`^minCount \(\d+\) cannot be satisfied: `)

// assumeHook is upstream's cache, which tells of the pods it takes for placed.
type assumeHook struct {
	internalcache.Cache
	assumed func(*v1.Pod)
}

// AssumePod implements internalcache.Cache.
func (c assumeHook) AssumePod(logger klog.Logger, pod *v1.Pod) error {
	err := c.Cache.AssumePod(logger, pod)
	if err == nil {
		c.assumed(pod)
	}
	return err
}

// arrivals is upstream's queue in which a group whose pods came before it takes the place of the pod that came first.
// Upstream gives it the place of any of them, by Go's map order.
type arrivals struct {
	internalqueue.SchedulingQueue
}

// AddPodGroup implements internalqueue.SchedulingQueue.
func (q arrivals) AddPodGroup(logger klog.Logger, group *schedulingv1beta1.PodGroup) {
	var early []*v1.Pod
	for _, pod := range q.IncompletePodGroupPodsPods() {
		if pod.Namespace == group.Namespace && *pod.Spec.SchedulingGroup.PodGroupName == group.Name {
			early = append(early, pod)
		}
	}
	if len(early) < 2 {
		q.SchedulingQueue.AddPodGroup(logger, group)
		return
	}
	q.sort(early)
	for _, pod := range early[1:] {
		q.Delete(logger, pod)
	}
	q.SchedulingQueue.AddPodGroup(logger, group)
	for _, pod := range early[1:] {
		q.Add(klog.NewContext(context.Background(), logger), pod)
	}
}

// again puts pods that nobody has tried into the queue anew, in the order in which they came: now their groups are
// known.
func (q arrivals) again(logger klog.Logger, pods []*v1.Pod) {
	if !slices.ContainsFunc(pods, func(p *v1.Pod) bool { return p.Spec.SchedulingGroup != nil }) {
		return
	}
	q.sort(pods)
	for _, pod := range pods {
		q.Delete(logger, pod)
	}
	for _, pod := range pods {
		q.Add(klog.NewContext(context.Background(), logger), pod)
	}
}

// sort brings queued pods into the order in which they came. The queue's clock gives each an instant of its own.
func (q arrivals) sort(pods []*v1.Pod) {
	came := map[types.UID]time.Time{}
	for _, pod := range pods {
		if p, ok := q.GetPod(pod.Name, pod.Namespace, pod.Spec.SchedulingGroup); ok {
			came[pod.UID] = p.Timestamp
		}
	}
	slices.SortFunc(pods, func(a, b *v1.Pod) int { return came[a.UID].Compare(came[b.UID]) })
}
