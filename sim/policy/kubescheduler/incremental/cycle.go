package incremental

import (
	"context"
	"fmt"
	"slices"
	"unsafe"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
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

// memoryLimit bounds what the classes keep; beyond it those not used for longest are forgotten.
const memoryLimit = 1 << 30

// New puts an incremental cycle into sched, which was made with these profiles. upstream is what it falls back to: the scheduler's own SchedulePod, or a
// wrapper around it. It must be called before the first scheduling cycle.
func New(sched *scheduler.Scheduler, profiles []config.KubeSchedulerProfile, upstream SchedulePod) (*Cycle, error) {
	c, err := Observe(sched, profiles, upstream)
	if err != nil {
		return nil, err
	}
	c.exact = false
	c.batching = utilfeature.DefaultFeatureGate.Enabled(features.OpportunisticBatching)
	c.nodes.cache = &touched{Cache: sched.Cache}
	sched.Cache = c.nodes.cache
	for name, f := range sched.Profiles {
		sched.Profiles[name] = &postFilter{Framework: f, cycle: c, preemption: preemptionOf(f)}
	}
	return c, nil
}

// Observe is New for a scheduler that shall keep its own cycle: attempts are only counted, as New's would be.
func Observe(sched *scheduler.Scheduler, profiles []config.KubeSchedulerProfile, upstream SchedulePod) (*Cycle, error) {
	h, err := reveal(sched)
	if err != nil {
		return nil, fmt.Errorf("the incremental scheduling cycle does not know this kube-scheduler: %w", err)
	}
	c := &Cycle{sched: sched, upstream: upstream, hidden: h, exact: true, profiles: map[string]*profile{},
		counts: map[string]int64{}}
	for name, f := range sched.Profiles {
		c.profiles[name] = newProfile(f, arguments(profiles, name))
	}
	return c, nil
}

// Overlook makes the cycle miss the next n changes of nodes, which makes what it keeps of them stale: it is there for
// tests, to see that a comparison with upstream's own cycle finds it.
func (c *Cycle) Overlook(n int) { c.nodes.overlook = n }

// attempt is one call of SchedulePod on the incremental path.
type attempt struct {
	*Cycle
	ctx   context.Context
	f     framework.Framework
	p     *profile
	state fwk.CycleState
	info  *framework.QueuedPodInfo
	class *class
	list  []fwk.NodeInfo
	err   error // of a filter

	prefiltered bool
}

// SchedulePod finds the node that upstream's schedulePod would find, with the same result and the same side effects.
func (c *Cycle) SchedulePod(ctx context.Context, f framework.Framework, state fwk.CycleState,
	info *framework.QueuedPodInfo) (scheduler.ScheduleResult, error) {
	c.failed, c.unfit = nil, nil
	x := c.examine(ctx, f, state, info)
	if !c.exact && x.why == "" {
		if a := c.begin(ctx, f, state, info, x); a != nil {
			result, err := a.run()
			if err == nil && x.group {
				c.nodes.expect(int(c.nodes.index[result.SuggestedHost]), c.sched.CurrentCycle())
			}
			return result, err
		}
	}
	result, err := c.upstream(ctx, f, state, info)
	c.count(x.judge(c, state, result, err))
	return result, err
}

// examined is what can be said of an attempt before a plugin has looked at the pod.
type examined struct {
	signed
	p     *profile
	list  []fwk.NodeInfo
	group bool
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
	if len(x.list) == 0 || len(placed) != len(x.list) || unsafe.SliceData(placed) != unsafe.SliceData(x.list) {
		x.why = reasonPlacement
		return x
	}
	if x.group && !c.hidden.backup.IsNil() {
		x.why = reasonTrial
		return x
	}
	if deviceClasses(f) || x.p.devices {
		x.why = reasonDevices
		return x
	}
	x.signed = c.classify(ctx, x.p, info.Pod)
	return x
}

// begin prepares an attempt, or returns nil when upstream's own path must be taken. So far nothing has happened that
// upstream's path would not do again.
func (c *Cycle) begin(ctx context.Context, f framework.Framework, state fwk.CycleState,
	info *framework.QueuedPodInfo, x examined) *attempt {
	c.nodes.follow(x.list, c.sched.CurrentCycle())
	c.nodes.followNominated(c.hidden)
	a := &attempt{Cycle: c, ctx: ctx, f: f, p: x.p, state: state, info: info, class: x.class, list: x.list}
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

// preFilter runs the PreFilter plugins. It reports whether the pod's filters are node-local after that.
func (a *attempt) preFilter() bool {
	result, status, _ := a.f.RunPreFilterPlugins(a.ctx, a.state, a.info.Pod)
	a.prefiltered = true
	return status.IsSuccess() && result.AllNodes() && a.p.filtersLocal(a.state) == ""
}

// ready runs the PreFilter plugins if nobody needed what they prepare so far: an attempt that fails without asking
// anything of a plugin does without them.
func (a *attempt) ready() error {
	if !a.prefiltered && !a.preFilter() {
		return fmt.Errorf("pod %s is not like the others of its class", a.info.Pod.Name)
	}
	return nil
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
		// Pods are mostly made from a few templates: signing one is dearer than writing its specification down.
		if spec, err := pod.Spec.Marshal(); err != nil {
			s = c.sign(ctx, p, pod)
		} else if s, ok = p.specs.get(string(spec)); !ok {
			s = c.sign(ctx, p, pod)
			p.specs.put(string(spec), s)
		}
		c.pods.put(id, s)
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

// run is upstream's schedulePod.
func (a *attempt) run() (result scheduler.ScheduleResult, err error) {
	hint := ""
	if a.batching {
		if a.info.PodSignature != nil { // a hint needs what PreFilter prepares
			if err := a.ready(); err != nil {
				return result, err
			}
		}
		hint = a.f.GetNodeHint(a.ctx, a.info.Pod, a.info.PodSignature, a.state, a.sched.CurrentCycle())
	}
	before := a.class.bytes()
	a.class.update(&a.nodes)
	defer func() { a.account(a.class.bytes() - before) }()

	named := -1 // a node that was tried first, in vain
	if a.info.Pod.Status.NominatedNodeName != "" || hint != "" {
		if err := a.ready(); err != nil {
			return result, err
		}
		i, feasible := a.nominated(hint)
		if feasible {
			return a.one(i, hint, 1), nil
		}
		named = i
	}
	w, ok := a.class.search(*a.hidden.start%len(a.list), a.limit(), a.ask)
	processed := w.processed
	if named >= 0 && !w.within(named, len(a.list)) {
		processed++
	}
	*a.hidden.start = (*a.hidden.start + processed) % len(a.list)
	switch {
	case !ok:
		return result, a.err
	case w.feasible == 0:
		return result, a.fail()
	}
	if err := a.ready(); err != nil {
		return result, err
	}
	if w.feasible == 1 {
		only := 0
		a.class.each(w, func(_ int, i int32) { only = int(i) })
		return a.one(only, hint, processed), nil
	}
	node, rest, err := a.choose(w)
	if err != nil {
		return result, err
	}
	if a.batching {
		a.f.StoreScheduleResults(a.ctx, a.info.PodSignature, hint, node, rest, a.sched.CurrentCycle())
	}
	return scheduler.ScheduleResult{SuggestedHost: node, EvaluatedNodes: processed, FeasibleNodes: w.feasible}, nil
}

// one is the result when a single node was found feasible.
func (a *attempt) one(i int, hint string, evaluated int) scheduler.ScheduleResult {
	node := a.list[i].Node().Name
	if a.batching {
		a.f.StoreScheduleResults(a.ctx, a.info.PodSignature, hint, node, nil, a.sched.CurrentCycle())
	}
	return scheduler.ScheduleResult{SuggestedHost: node, EvaluatedNodes: evaluated, FeasibleNodes: 1}
}

// nominated tries the pod's nominated or hinted node first, as upstream does. It returns the node's position, -1 when
// there is none.
func (a *attempt) nominated(hint string) (i int, feasible bool) {
	name := a.info.Pod.Status.NominatedNodeName
	if name == "" {
		name = hint
	}
	at, ok := a.nodes.index[name]
	if !ok {
		utilruntime.HandleErrorWithContext(a.ctx, fmt.Errorf("nodeinfo not found for node name %q", name),
			"Evaluation failed on nominated node", "pod", a.info.Pod.Name, "node", name)
		return -1, false
	}
	status := a.f.RunFilterPluginsWithNominatedPods(a.ctx, a.state, a.info.Pod, a.list[at])
	if status.Code() == fwk.Error {
		utilruntime.HandleErrorWithContext(a.ctx, status.AsError(),
			"Evaluation failed on nominated node", "pod", a.info.Pod.Name, "node", name)
		return -1, false
	}
	return int(at), status.IsSuccess()
}

// ask filters a node.
func (a *attempt) ask(i int32) bool {
	if a.err = a.ready(); a.err != nil {
		return false
	}
	status := a.f.RunFilterPluginsWithNominatedPods(a.ctx, a.state, a.info.Pod, a.list[i])
	if status.Code() == fwk.Error {
		a.err = status.AsError()
		return false
	}
	a.class.note(i, status)
	return true
}

// limit is upstream's numFeasibleNodesToFind for a profile that scores.
func (a *attempt) limit() int {
	const floor, floorPercent = 100, 5 // minFeasibleNodesToFind, minFeasibleNodesPercentageToFind
	n := len(a.list)
	if n < floor {
		return n
	}
	percent := int(a.hidden.percentage)
	if p := a.f.PercentageOfNodesToScore(); p != nil {
		percent = int(*p)
	}
	if percent == 0 {
		percent = max(50-n/125, floorPercent)
	}
	return max(n*percent/100, floor)
}

// choose scores the nodes found and returns the best, and the others as upstream's batching keeps them.
func (a *attempt) choose(w window) (string, framework.SortedScoredNodes, error) {
	// The plugins of this package's list look at the nodes only to see that there are some.
	if status := a.f.RunPreScorePlugins(a.ctx, a.state, a.info.Pod, a.list); !status.IsSuccess() {
		return "", nil, status.AsError()
	}
	keep := a.batching && a.info.PodSignature != nil
	if why := a.p.scoresLocal(a.state, a.nodes.hasImages > 0); why != "" {
		a.count(why)
		return a.scoreAll(w)
	}
	if !a.score(w) {
		return a.scoreAll(w)
	}
	if !a.uniform(w) {
		return a.normalise(w)
	}
	var top best
	a.class.each(w, func(rank int, i int32) { top.take(a.class.fixed[i], rank, int(i)) })
	name := a.list[top.node].Node().Name
	if !keep {
		return name, nil, nil
	}
	return name, &remaining{scores: a.scored(w)}, nil
}

// score asks the plugins for the scores of the nodes in the window that have none. It reports whether all went well.
func (a *attempt) score(w window) bool {
	c, good := a.class, true
	a.class.each(w, func(_ int, i int32) {
		if !good || c.scored.has(i) {
			return
		}
		raw, status := a.f.RunRawScorePlugins(a.ctx, a.state, a.info.Pod, a.list[i])
		good = status.IsSuccess() && c.keep(i, raw)
	})
	return good
}

// keep stores a node's raw scores. It reports false when they are none that upstream would take, or of other plugins
// than those of the nodes before.
func (c *class) keep(i int32, raw []fwk.PluginScore) bool {
	if !c.layout(raw) {
		return false
	}
	c.fixed[i] = 0
	for k, s := range raw {
		c.raw[int(i)*len(raw)+k] = s.Score
		if c.norm[k] {
			continue
		}
		if s.Score > fwk.MaxScore || s.Score < fwk.MinScore {
			return false
		}
		c.fixed[i] += s.Score * c.weights[k]
	}
	c.scored.set(i)
	return true
}

// layout makes room for the scores of these plugins.
func (c *class) layout(raw []fwk.PluginScore) bool {
	if c.fixed != nil && len(raw) == len(c.scores) {
		for k := range raw {
			if raw[k].Name != c.scores[k] {
				return false
			}
		}
		return true
	}
	if c.fixed != nil {
		return false
	}
	c.fixed, c.raw = make([]int64, len(c.kind)), make([]int64, len(c.kind)*len(raw))
	for _, s := range raw {
		x := c.p.scorers[s.Name]
		c.scores, c.weights, c.norm = append(c.scores, s.Name), append(c.weights, x.weight), append(c.norm, x.normalises)
	}
	return true
}

// uniform reports whether every score that is normalised is the same on all nodes of the window: then it is the same
// afterwards, too.
func (a *attempt) uniform(w window) bool {
	c := a.class
	if !slices.Contains(c.norm, true) {
		return true
	}
	same, first := true, -1
	c.each(w, func(_ int, i int32) {
		if first < 0 {
			first = int(i)
		}
		for k, norm := range c.norm {
			if norm && c.raw[int(i)*len(c.norm)+k] != c.raw[first*len(c.norm)+k] {
				same = false
			}
		}
	})
	return same
}

// scored lists the window's nodes with their raw scores and a total that leaves out what is the same for all.
func (a *attempt) scored(w window) []fwk.NodePluginScores {
	c := a.class
	out := make([]fwk.NodePluginScores, w.feasible)
	raw := make([]fwk.PluginScore, w.feasible*len(c.scores))
	c.each(w, func(rank int, i int32) {
		mine := raw[rank*len(c.scores) : (rank+1)*len(c.scores) : (rank+1)*len(c.scores)]
		for k, name := range c.scores {
			mine[k] = fwk.PluginScore{Name: name, Score: c.raw[int(i)*len(c.scores)+k]}
		}
		out[rank] = fwk.NodePluginScores{Name: a.list[i].Node().Name, RawScores: mine, TotalScore: c.fixed[i]}
	})
	return out
}

// normalise has upstream normalise the known raw scores.
func (a *attempt) normalise(w window) (string, framework.SortedScoredNodes, error) {
	list := a.scored(w)
	if status := a.f.NormalizeScores(a.ctx, a.state, a.info.Pod, list); !status.IsSuccess() {
		return "", nil, status.AsError()
	}
	sorted := framework.NewSortedScoredNodes(list)
	return sorted.Pop().Name, sorted, nil
}

// scoreAll has upstream score the window's nodes.
func (a *attempt) scoreAll(w window) (string, framework.SortedScoredNodes, error) {
	found := make([]fwk.NodeInfo, w.feasible)
	a.class.each(w, func(rank int, i int32) { found[rank] = a.list[i] })
	if status := a.f.RunPreScorePlugins(a.ctx, a.state, a.info.Pod, found); !status.IsSuccess() {
		return "", nil, status.AsError()
	}
	list, status := a.f.RunScorePlugins(a.ctx, a.state, a.info.Pod, found)
	if !status.IsSuccess() {
		return "", nil, status.AsError()
	}
	sorted := framework.NewSortedScoredNodes(list)
	return sorted.Pop().Name, sorted, nil
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
