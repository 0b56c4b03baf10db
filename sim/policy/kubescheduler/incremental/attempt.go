package incremental

import (
	"context"
	"fmt"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// attempt is one call of SchedulePod on the incremental path.
type attempt struct {
	*Cycle
	ctx   context.Context
	f     framework.Framework
	p     *profile
	state fwk.CycleState
	info  *framework.QueuedPodInfo
	class *class
	plain bool
	list  []fwk.NodeInfo
	err   error // of a filter

	prefiltered bool
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
	a.class.update(&a.nodes, a.info.Pod.UID)
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
