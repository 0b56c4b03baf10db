package incremental

import (
	"context"
	"fmt"
	"slices"
	"unsafe"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	resourcehelper "k8s.io/component-helpers/resource"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// SchedulePod is the type of Scheduler.SchedulePod.
type SchedulePod func(context.Context, framework.Framework, fwk.CycleState, *framework.QueuedPodInfo) (
	scheduler.ScheduleResult, error)

// Cycle is an incremental scheduling cycle. It belongs to one scheduler and is not safe for concurrent use: the
// scheduler runs one cycle at a time.
type Cycle struct {
	sched    *scheduler.Scheduler
	upstream SchedulePod
	hidden   hidden
	nodes    nodes
	profiles map[string]*profile
	pods     remembered[identity]
	attempts uint64
	memory   int // of all classes, in bytes, roughly
	batching bool
	failed   *failure
	unfit    *framework.FitError // of the latest incremental attempt, until its pod is queued again
	exact    bool                // always take upstream's own path, and only count
	counts   map[string]int64
}

// Outside are the plugins of every profile that are not kube-scheduler's own, by profile and name.
type Outside map[string]map[string]fwk.Plugin

// memoryLimit bounds what the classes keep; beyond it those not used for longest are forgotten.
const memoryLimit = 1 << 30

// New puts an incremental cycle into sched, which was made with these profiles. upstream is what it falls back to: the
// scheduler's own SchedulePod, or a wrapper around it; outside are the plugins from outside kube-scheduler. It must be
// called before the first scheduling cycle.
func New(sched *scheduler.Scheduler, profiles []config.KubeSchedulerProfile, outside Outside, upstream SchedulePod) (
	*Cycle, error) {
	c, err := Observe(sched, profiles, outside, upstream)
	if err != nil {
		return nil, err
	}
	c.exact = false
	c.batching = utilfeature.DefaultFeatureGate.Enabled(features.OpportunisticBatching)
	c.nodes.cache = &touched{Cache: sched.Cache}
	sched.Cache = c.nodes.cache
	var published *stock
	for name, f := range sched.Profiles {
		if published == nil {
			if published, err = newStock(f); err != nil {
				return nil, fmt.Errorf("following devices: %w", err)
			}
		}
		if err := rememberDevices(f, published); err != nil {
			return nil, fmt.Errorf("the incremental scheduling cycle does not know this kube-scheduler: %w", err)
		}
		sched.Profiles[name] = newPostFilter(f, c)
	}
	return c, nil
}

// Observe is New for a scheduler that shall keep its own cycle: attempts are only counted, as New's would be.
func Observe(sched *scheduler.Scheduler, profiles []config.KubeSchedulerProfile, outside Outside,
	upstream SchedulePod) (*Cycle, error) {
	h, err := reveal(sched)
	if err != nil {
		return nil, fmt.Errorf("the incremental scheduling cycle does not know this kube-scheduler: %w", err)
	}
	c := &Cycle{sched: sched, upstream: upstream, hidden: h, exact: true, profiles: map[string]*profile{},
		counts: map[string]int64{}}
	for name, f := range sched.Profiles {
		c.profiles[name] = newProfile(f, arguments(profiles, name), outside[name])
	}
	return c, nil
}

// Overlook makes the cycle miss the next n changes of nodes, which makes what it keeps of them stale: it is there for
// tests, to see that a comparison with upstream's own cycle finds it.
func (c *Cycle) Overlook(n int) { c.nodes.overlook = n }

// SchedulePod finds the node that upstream's schedulePod would find, with the same result and the same side effects.
func (c *Cycle) SchedulePod(ctx context.Context, f framework.Framework, state fwk.CycleState,
	info *framework.QueuedPodInfo) (scheduler.ScheduleResult, error) {
	c.failed, c.unfit = nil, nil
	x := c.examine(ctx, f, state, info)
	if c.exact {
		result, err := c.upstream(ctx, f, state, info)
		c.count(x.judge(c, state, result, err))
		return result, err
	}
	cycle := c.sched.CurrentCycle()
	if !x.trial && len(x.list) > 0 {
		c.nodes.follow(x.list, cycle)
	}
	result, err, done := c.try(ctx, f, state, info, x)
	if !done {
		result, err = c.upstream(ctx, f, state, info)
		c.count(x.judge(c, state, result, err))
	}
	if i, ok := c.nodes.index[result.SuggestedHost]; ok && err == nil && x.group && !x.trial {
		c.nodes.expect(int(i), cycle)
	}
	return result, err
}

// try makes the attempt incrementally, if that can be.
func (c *Cycle) try(ctx context.Context, f framework.Framework, state fwk.CycleState, info *framework.QueuedPodInfo,
	x examined) (result scheduler.ScheduleResult, err error, done bool) {
	if x.why != "" || len(x.list) == 0 {
		return result, nil, false
	}
	a := c.begin(ctx, f, state, info, x)
	if a == nil {
		return result, nil, false
	}
	result, err = a.run()
	return result, err, true
}

// examined is what can be said of an attempt before a plugin has looked at the pod.
type examined struct {
	signed
	p     *profile
	list  []fwk.NodeInfo
	group bool
	trial bool // the snapshot is not what the cache holds
}

func (c *Cycle) examine(ctx context.Context, f framework.Framework, state fwk.CycleState,
	info *framework.QueuedPodInfo) (x examined) {
	x.p, x.group = c.profiles[info.Pod.Spec.SchedulerName], state.IsPodGroupSchedulingCycle()
	snapshot, ok := f.SnapshotSharedLister().(*internalcache.Snapshot)
	if !ok || x.p == nil {
		x.why = reasonForeign
		return x
	}
	x.list, _ = snapshot.List()
	placed, _ := snapshot.ListNodesInPlacement()
	if x.group && !c.hidden.backup.IsNil() {
		x.trial, x.why = true, reasonTrial
		return x
	}
	if len(placed) != len(x.list) || unsafe.SliceData(placed) != unsafe.SliceData(x.list) {
		x.why = reasonPlacement
		return x
	}
	if deviceClasses(f) || x.p.devices {
		x.why = reasonDevices
		return x
	}
	x.signed = c.classify(ctx, x.p, info.Pod)
	return x
}

// begin prepares an attempt, or returns nil when upstream's own path must be taken. What has happened until then is
// that PreFilter plugins may have run: upstream's path runs them again, and those in tree take that well.
func (c *Cycle) begin(ctx context.Context, f framework.Framework, state fwk.CycleState,
	info *framework.QueuedPodInfo, x examined) *attempt {
	c.nodes.followNominated(c.hidden, func(namespace, name string) int64 {
		pod, err := f.SharedInformerFactory().Core().V1().Pods().Lister().Pods(namespace).Get(name)
		if err != nil {
			return -1
		}
		return pod.Generation
	})
	a := &attempt{Cycle: c, ctx: ctx, f: f, p: x.p, state: state, info: info, class: x.class, plain: x.plain, list: x.list}
	if x.plain && x.class.admitted && x.p.pure && !x.group && c.quiet(f) {
		return a
	}
	if !a.preFilter() {
		return nil
	}
	x.class.admitted = x.class.admitted || x.plain
	return a
}

// quiet reports whether no PreFilter plugin can say anything else to a plain pod than it said to another one of its
// class: nobody in the cluster repels pods.
func (c *Cycle) quiet(f framework.Framework) bool {
	repelling, err := f.SnapshotSharedLister().NodeInfos().HavePodsWithRequiredAntiAffinityList()
	return err == nil && len(repelling) == 0
}

// deviceClasses reports whether any stands for an extended resource: then claims decide who gets it, not nodes.
func deviceClasses(f framework.Framework) bool {
	m := f.SharedDRAManager()
	if m == nil {
		return false
	}
	list, err := m.DeviceClasses().List()
	return err != nil || slices.ContainsFunc(list, func(c *resourceapi.DeviceClass) bool {
		return c.Spec.ExtendedResourceName != nil
	})
}

// classify returns the pod's class, or why it has none.
func (c *Cycle) classify(ctx context.Context, p *profile, pod *v1.Pod) signed {
	if len(p.filters) == 0 || !p.hasScores {
		return signed{why: reasonNoFilters}
	}
	if resourcehelper.IsPodResizeDeferred(pod) {
		return signed{why: reasonResize}
	}
	id := identity{pod.UID, pod.Generation}
	s, ok := c.pods.get(id)
	if !ok {
		// Pods are mostly made from a few templates: signing one is dearer than writing its specification down. Plugins
		// from outside may sign what is not in there.
		if spec, err := pod.Spec.Marshal(); err != nil || len(p.foreign) > 0 {
			s = c.sign(ctx, p, pod)
		} else if s, ok = p.specs.get(string(spec)); !ok {
			s = c.sign(ctx, p, pod)
			p.specs.put(string(spec), s)
		}
		if len(p.foreign) == 0 {
			c.pods.put(id, s)
		}
	}
	if s.class != nil {
		c.attempts++
		s.class.used = c.attempts
	}
	return s
}

func (c *Cycle) sign(ctx context.Context, p *profile, pod *v1.Pod) signed {
	if named(&pod.Spec) {
		return signed{why: reasonNodeNames}
	}
	if len(pod.Spec.ResourceClaims) > 0 {
		return signed{why: reasonUnsigned}
	}
	if devices(&pod.Spec) {
		return signed{why: reasonDevices}
	}
	key, ok := p.key(ctx, pod)
	if !ok {
		return signed{why: reasonUnsigned}
	}
	k := p.classes[key]
	if k == nil {
		k = &class{key: key, p: p}
		p.classes[key] = k
	}
	return signed{class: k, plain: plain(&pod.Spec)}
}

// account bounds the memory of the classes.
func (c *Cycle) account(more int) {
	if c.memory += more; c.memory <= memoryLimit {
		return
	}
	var all []*class
	for _, p := range c.profiles {
		for _, k := range p.classes {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, func(a, b *class) int { return int(int64(a.used) - int64(b.used)) })
	for _, k := range all[:len(all)/2] {
		c.memory -= k.bytes()
		delete(k.p.classes, k.key)
		k.p.specs.forget()
	}
	c.pods.forget()
}
