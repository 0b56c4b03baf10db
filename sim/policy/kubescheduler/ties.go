package kubescheduler

import (
	"context"
	"math"

	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/defaultpreemption"
	"k8s.io/kubernetes/pkg/scheduler/framework/preemption"
	"k8s.io/kubernetes/pkg/scheduler/util"
)

// Upstream leaves two choices of preemption to Go's map order:
//
//  1. Which nodes it dry-runs: NodeToStatus.NodesForStatusCode ranges over a map, and the dry run stops after enough
//     candidates. When the status of absent nodes has the wanted code, the same function walks the snapshot's node list
//     instead. orderNodes makes every node explicit and sets that status: the same nodes with the same statuses, in the
//     snapshot's order.
//  2. Which of several equally good candidates it takes ("the first such node is picked, sort of randomly"):
//     tieBreaker repeats upstream's five criteria and adds a sixth, a drawn rank of the node's name.

// orderNodes makes the order in which preemption visits nodes that of the snapshot.
func orderNodes(fit *framework.FitError, nodes fwk.NodeInfoLister) {
	m := fit.Diagnosis.NodeToStatus
	absent := m.AbsentNodesStatus()
	if absent.Code() == fwk.Unschedulable {
		return // upstream already walks the list
	}
	if m.Len() < fit.NumAllNodes {
		all, err := nodes.List()
		if err != nil {
			return
		}
		explicit := map[string]bool{}
		m.ForEachExplicitNode(func(name string, _ *fwk.Status) { explicit[name] = true })
		for _, n := range all {
			if name := n.Node().Name; !explicit[name] {
				m.Set(name, absent)
			}
		}
	}
	m.SetAbsentNodesStatus(fwk.NewStatus(fwk.Unschedulable, absent.Reasons()...))
}

// breakTies installs tieBreaker in every DefaultPreemption instance of the scheduler's profiles.
func breakTies(sched *scheduler.Scheduler, rank func(node string) int64) {
	for _, profile := range sched.Profiles {
		for _, plugin := range profile.EnqueueExtensions() {
			if p, ok := plugin.(*defaultpreemption.DefaultPreemption); ok {
				p.Evaluator.Interface = tieBreaker{p.Evaluator.Interface, rank}
			}
		}
	}
}

type tieBreaker struct {
	preemption.Interface
	rank func(node string) int64
}

// OrderedScoreFuncs returns the plugin's own criteria, or upstream's default ones when it has none, with the rank last.
func (t tieBreaker) OrderedScoreFuncs(ctx context.Context,
	victims map[string]*extenderv1.Victims) []func(node string) int64 {
	funcs := t.Interface.OrderedScoreFuncs(ctx, victims)
	if len(funcs) == 0 {
		funcs = defaultCriteria(victims)
	}
	return append(funcs, t.rank)
}

// defaultCriteria are those of pickOneNodeForPreemption in k8s.io/kubernetes v1.37.2,
// pkg/scheduler/framework/preemption/preemption.go, which exports them in no other way. Higher is better.
func defaultCriteria(victims map[string]*extenderv1.Victims) []func(node string) int64 {
	return []func(string) int64{
		func(node string) int64 { return -victims[node].NumPDBViolations },
		func(node string) int64 { return -int64(corev1helpers.PodPriority(victims[node].Pods[0])) },
		func(node string) int64 {
			var sum int64
			for _, pod := range victims[node].Pods {
				sum += int64(corev1helpers.PodPriority(pod)) + int64(math.MaxInt32+1)
			}
			return -sum
		},
		func(node string) int64 { return -int64(len(victims[node].Pods)) },
		func(node string) int64 {
			start := util.GetEarliestPodStartTime(victims[node])
			if start == nil {
				return math.MinInt64
			}
			return start.UnixNano()
		},
	}
}
