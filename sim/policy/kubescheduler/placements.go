package kubescheduler

import (
	"cmp"
	"context"
	"errors"
	"math/rand"
	"regexp"
	"slices"

	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// A pod group with a topology constraint is tried in every placement: the nodes of each value of the topology's label.
// Upstream keeps placements, and what came out of them, in Go maps. That decides which placement's reason is reported
// when none will do, and which of the placements with the highest score draws the winning number of math/rand: both by
// map order. orderPlacements brings them into the order of their names, outside the plugins: upstream's cycle takes the
// lists from the framework, whose values in Scheduler.Profiles are exported.

// orderPlacements puts ordered placements under every profile.
func orderPlacements(sched *scheduler.Scheduler, seed int64) {
	draws := &seed
	for name, f := range sched.Profiles {
		sched.Profiles[name] = placements{f, draws}
	}
}

// placements is a framework whose placements come in the order of their names.
type placements struct {
	framework.Framework
	// draws seeds math/rand anew before each choice. The queue draws, too, whenever it is told of a pod, and informers who
	// hear of a pod and of its claims at one instant do not tell it equally often in every run.
	draws *int64
}

// RunPlacementGeneratePlugins implements framework.Framework.
func (p placements) RunPlacementGeneratePlugins(ctx context.Context, state fwk.PodGroupCycleState,
	group fwk.PodGroupInfo, nodes []fwk.NodeInfo) ([]*fwk.Placement, *fwk.Status) {
	list, status := p.Framework.RunPlacementGeneratePlugins(ctx, state, group, nodes)
	slices.SortFunc(list, func(a, b *fwk.Placement) int { return cmp.Compare(a.Name, b.Name) })
	return list, vague(status)
}

// RunPlacementScorePlugins implements framework.Framework.
func (p placements) RunPlacementScorePlugins(ctx context.Context, state fwk.PodGroupCycleState,
	group fwk.PodGroupInfo, assignments []*fwk.PodGroupAssignments, states []fwk.PlacementCycleState) (
	[]fwk.PlacementPluginScores, *fwk.Status) {
	order := make([]int, len(assignments))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Compare(assignments[a].Placement.Name, assignments[b].Placement.Name)
	})
	sorted, sortedStates := make([]*fwk.PodGroupAssignments, len(order)), make([]fwk.PlacementCycleState, len(order))
	for i, k := range order {
		sorted[i], sortedStates[i] = assignments[k], states[k]
	}
	*p.draws++
	rand.Seed(*p.draws) //nolint:staticcheck // as New does
	return p.Framework.RunPlacementScorePlugins(ctx, state, group, sorted, sortedStates)
}

// vague takes names out of errors that tell of some pod or domain of several: the first in a map. Members of one group
// stand in several domains only when somebody bound them past the scheduler, or changed labels.
func vague(status *fwk.Status) *fwk.Status {
	if status.Code() != fwk.Error {
		return status
	}
	msg := status.AsError().Error()
	if cut := anyOf.ReplaceAllString(msg, "$1"); cut != msg {
		return fwk.AsStatus(errors.New(cut)).WithPlugin(status.Plugin())
	}
	return status
}

// anyOf matches what upstream's TopologyPlacementGenerator says then.
var anyOf = regexp.MustCompile(`(more than 1 domain found|no topology domain found|getting node) for pod.*$`)
