package incremental

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	fwk "k8s.io/kube-scheduler/framework"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/defaultpreemption"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/kubernetes/pkg/scheduler/framework/preemption"
	"k8s.io/kubernetes/pkg/scheduler/util"
)

// postFilter is a profile's framework whose PostFilter plugins are not run when their answer is known.
type postFilter struct {
	framework.Framework
	cycle      *Cycle
	preemption *defaultpreemption.DefaultPreemption // nil when other PostFilter plugins are in use
	draw       draw
	budgets    []*policyv1.PodDisruptionBudget // that dry runs were made with

	groupsFirst bool                         // preemption comes first for a pod group, or after devices only
	devices     fwk.PodGroupPostFilterPlugin // DynamicResources where it comes before preemption; nil = it does not
}

func newPostFilter(f framework.Framework, c *Cycle) *postFilter {
	p := &postFilter{Framework: f, cycle: c, preemption: preemptionOf(f)}
	p.lookForGroups()
	if p.preemption != nil {
		p.preemption.Evaluator.Interface = drawn{p.preemption.Evaluator.Interface, &p.draw}
	}
	return p
}

// lookForGroups finds out what upstream asks of a pod group before preemption.
func (f *postFilter) lookForGroups() {
	for _, x := range f.ListPlugins().PodGroupPostFilter.Enabled {
		switch x.Name {
		case names.DefaultPreemption:
			f.groupsFirst = true
			return
		case names.DynamicResources:
			for _, plugin := range f.EnqueueExtensions() {
				if d, ok := plugin.(fwk.PodGroupPostFilterPlugin); ok && plugin.Name() == x.Name {
					f.devices = d
				}
			}
			if f.devices == nil {
				return
			}
		default:
			return
		}
	}
}

// preemptionOf returns the profile's preemption plugin if it is the only PostFilter plugin that does anything.
func preemptionOf(f framework.Framework) (found *defaultpreemption.DefaultPreemption) {
	enabled := false
	for _, x := range f.ListPlugins().PostFilter.Enabled {
		switch x.Name {
		case names.DefaultPreemption:
			enabled = true
		case names.DynamicResources: // has nothing to say of a pod without claims
		default:
			return nil
		}
	}
	if !enabled {
		return nil
	}
	for _, plugin := range f.EnqueueExtensions() {
		if p, ok := plugin.(*defaultpreemption.DefaultPreemption); ok {
			found = p
		}
	}
	return found
}

// RunPostFilterPlugins is that of the framework.
func (f *postFilter) RunPostFilterPlugins(ctx context.Context, state fwk.CycleState, pod *v1.Pod,
	m fwk.NodeToStatusReader) (*fwk.PostFilterResult, *fwk.Status) {
	x := f.cycle.failed
	f.cycle.failed = nil
	if x == nil || state.ShouldSkipAllPostFilterPlugins() || m != fwk.NodeToStatusReader(x.fit.Diagnosis.NodeToStatus) {
		return f.Framework.RunPostFilterPlugins(ctx, state, pod, m)
	}
	if f.preemption != nil {
		// As upstream does: the informer's pod decides, not the queue's.
		latest, err := f.preemption.Evaluator.PodLister.Pods(pod.Namespace).Get(pod.Name)
		if err != nil || latest.UID == pod.UID && latest.Generation == pod.Generation {
			return f.preempt(ctx, state, pod, latest, x)
		}
	}
	x.reveal()
	if err := x.ready(); err != nil {
		return nil, fwk.AsStatus(err)
	}
	return f.Framework.RunPostFilterPlugins(ctx, state, pod, m)
}

// RunPodGroupPostFilterPlugins is that of the framework. Upstream copies the whole snapshot to find out that nobody in
// the cluster has a lower priority.
func (f *postFilter) RunPodGroupPostFilterPlugins(ctx context.Context, state *framework.CycleState,
	group fwk.PodGroupInfo, try fwk.PodGroupSchedulingFunc) (*fwk.PodGroupPostFilterResult, *fwk.Status) {
	if f.groupsFirst && f.hopeless(group) && f.devicesPass(ctx, state, group, try) {
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "pod group preemption: No preemption victims found "+
			"for incoming preemptor").WithPlugin(names.DefaultPreemption)
	}
	return f.Framework.RunPodGroupPostFilterPlugins(ctx, state, group, try)
}

// devicesPass reports whether DynamicResources leaves the group to preemption. Upstream's own plugin says so: it does
// nothing for pods without claims, so that it can be asked again, but fails when no member was tried at all.
func (f *postFilter) devicesPass(ctx context.Context, state *framework.CycleState, group fwk.PodGroupInfo,
	try fwk.PodGroupSchedulingFunc) bool {
	if f.devices == nil {
		return true
	}
	_, status := f.devices.PodGroupPostFilter(ctx, state, group, try)
	return status.Code() == fwk.Unschedulable
}

// hopeless reports whether a group may preempt, and nobody has a lower priority.
func (f *postFilter) hopeless(group fwk.PodGroupInfo) bool {
	snapshot, ok := f.SnapshotSharedLister().(*internalcache.Snapshot)
	pg := group.GetPodGroup()
	if !ok || pg == nil || !f.cycle.hidden.backup.IsNil() || deviceClasses(f) {
		return false
	}
	if p := pg.Spec.PreemptionPolicy; p != nil && *p == schedulingv1beta1.PreemptNever {
		return false // upstream says so
	}
	for _, pod := range group.GetUnscheduledPods() {
		if p := pod.Spec.PreemptionPolicy; p != nil && *p == v1.PreemptNever || len(pod.Spec.ResourceClaims) > 0 {
			return false
		}
	}
	list, err := snapshot.List()
	if err != nil || len(list) == 0 {
		return false
	}
	f.cycle.nodes.follow(list, f.cycle.sched.CurrentCycle())
	return f.cycle.nodes.leastPriority() >= int64(util.PodGroupPriority(pg))
}

// preempt is RunPostFilterPlugins where preemption is all there is. latest is nil when the pod is gone.
func (f *postFilter) preempt(ctx context.Context, state fwk.CycleState, pod, latest *v1.Pod,
	x *failure) (*fwk.PostFilterResult, *fwk.Status) {
	told := reader{x, nil}
	tried := x.resolvable()
	if tried > 0 && f.eligible(ctx, latest, told) {
		if f.cycle.nodes.leastPriority() >= int64(corev1helpers.PodPriority(latest)) {
			f.preemption.GetOffsetAndNumCandidates(int32(tried)) // upstream draws the node to begin with; so it stays in step
			return unhelpful(len(x.list), tried, map[string]int{nobodyThere: tried})
		}
		if err := x.ready(); err != nil {
			return nil, fwk.AsStatus(err)
		}
		offset, enough := f.preemption.GetOffsetAndNumCandidates(int32(tried))
		result, status, nodes := f.rehearse(ctx, state, latest, x, offset, enough)
		if status != nil {
			return result, status
		}
		told.nodes = nodes
		f.draw.offset, f.draw.enough, f.draw.made = offset, enough, true
		if len(nodes) == 1 {
			f.draw.offset, f.draw.enough = 0, 1
		}
		defer func() { f.draw.made = false }()
	}
	if err := x.ready(); err != nil {
		return nil, fwk.AsStatus(err)
	}
	return f.Framework.RunPostFilterPlugins(ctx, state, pod, told)
}

// eligible reports whether upstream would look at nodes for the pod.
func (f *postFilter) eligible(ctx context.Context, latest *v1.Pod, told reader) bool {
	if latest == nil {
		return false
	}
	ok, _ := f.preemption.PodEligibleToPreemptOthers(ctx, latest, told.Get(latest.Status.NominatedNodeName))
	return ok
}

// rehearse finds the node that upstream's preemption would choose and returns it alone, so that upstream tries only
// this one and acts; or upstream's answer when there is none; or all nodes, when upstream must try them itself.
func (f *postFilter) rehearse(ctx context.Context, state fwk.CycleState, latest *v1.Pod, x *failure, offset,
	enough int32) (*fwk.PostFilterResult, *fwk.Status, []fwk.NodeInfo) {
	budgets, err := f.disruptionBudgets()
	if err != nil || f.cycle.nodes.hosts > 0 {
		return nil, nil, x.potential()
	}
	r := &rehearsal{postFilter: f, ctx: ctx, state: state, pod: latest, x: x, budgets: budgets,
		dry: f.cycle.dryFor(x.class, latest), reasons: map[string]int{}}
	tried := x.resolvable()
	if !r.run(tried, offset, enough) {
		return nil, nil, x.potential()
	}
	candidates := append(r.clean, r.violating...)
	if len(candidates) == 0 {
		result, status := unhelpful(len(x.list), tried, r.reasons)
		return result, status, nil
	}
	best := f.preemption.Evaluator.SelectCandidate(ctx, candidates)
	return nil, nil, []fwk.NodeInfo{x.list[f.cycle.nodes.index[best.Name()]]}
}

const nobodyThere = "No preemption victims found for incoming pod"

// unhelpful is what upstream's preemption returns when none of the nodes it tried is a candidate.
func unhelpful(nodes, tried int, reasons map[string]int) (*fwk.PostFilterResult, *fwk.Status) {
	if rest := nodes - tried; rest > 0 {
		reasons["Preemption is not helpful for scheduling"] += rest
	}
	fit := framework.FitError{NumAllNodes: nodes, Diagnosis: framework.Diagnosis{PreFilterMsg: message(reasons)}}
	return framework.NewPostFilterResultWithNominatedNode(""),
		fwk.NewStatus(fwk.Unschedulable, "preemption: "+fit.Error())
}

// reader tells preemption what the plugins said of the nodes, and which of them to try.
type reader struct {
	x     *failure
	nodes []fwk.NodeInfo
}

// Get implements fwk.NodeToStatusReader.
func (r reader) Get(name string) *fwk.Status {
	if i, ok := r.x.index[name]; ok {
		return r.x.class.kinds[r.x.class.kind[i]].status
	}
	return r.x.fit.Diagnosis.NodeToStatus.AbsentNodesStatus()
}

// NodesForStatusCode implements fwk.NodeToStatusReader for the code that preemption asks for.
func (r reader) NodesForStatusCode(_ fwk.NodeInfoLister, code fwk.Code) ([]fwk.NodeInfo, error) {
	if code != fwk.Unschedulable {
		return nil, fmt.Errorf("preemption asks for nodes of status %v, which is new", code)
	}
	return r.nodes, nil
}

// drawn is a preemption plugin whose draw may have been made before.
type drawn struct {
	preemption.Interface
	draw *draw
}

type draw struct {
	made           bool
	offset, enough int32
}

// GetOffsetAndNumCandidates implements preemption.Interface.
func (d drawn) GetOffsetAndNumCandidates(nodes int32) (int32, int32) {
	if d.draw.made {
		return d.draw.offset, d.draw.enough
	}
	return d.Interface.GetOffsetAndNumCandidates(nodes)
}
