package incremental

import (
	"fmt"
	"slices"
	"strings"

	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// failure is an attempt that found no node, until its pod has been through the PostFilter plugins.
type failure struct {
	fit   *framework.FitError
	class *class
	list  []fwk.NodeInfo
	index map[string]int32
	ready func() error
}

// fail makes the FitError that upstream's schedulePod would return. What the plugins said of each node is left out
// until somebody asks: see failure.reveal. The message, which upstream puts together from all nodes, goes where
// a message of PreFilter plugins would go: there it is printed as it is, in the same place.
func (a *attempt) fail() error {
	fit := &framework.FitError{Pod: a.info.Pod, NumAllNodes: len(a.list),
		Diagnosis: framework.Diagnosis{NodeToStatus: framework.NewDefaultNodeToStatus()}}
	histogram := map[string]int{}
	for _, k := range a.class.kinds {
		if k.nodes == 0 {
			continue
		}
		fit.Diagnosis.AddPluginStatus(k.status)
		for _, reason := range k.status.Reasons() {
			histogram[reason] += k.nodes
		}
	}
	fit.Diagnosis.PreFilterMsg = message(histogram)
	if !a.state.IsPodGroupSchedulingCycle() { // members go through no PostFilter plugin, and fail when all are tried
		a.failed, a.unfit = &failure{fit, a.class, a.list, a.nodes.index, a.ready}, fit
	}
	return fit
}

// message puts the reasons together as upstream does.
func message(histogram map[string]int) string {
	parts := make([]string, 0, len(histogram))
	for reason, n := range histogram {
		parts = append(parts, fmt.Sprintf("%v %v", n, reason))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// resolvable is the number of nodes where removing pods could help.
func (x *failure) resolvable() int {
	n := 0
	for _, k := range x.class.kinds {
		if k.status.Code() == fwk.Unschedulable {
			n += k.nodes
		}
	}
	return n
}

// potential lists those nodes.
func (x *failure) potential() []fwk.NodeInfo {
	var out []fwk.NodeInfo
	for i, info := range x.list {
		if x.class.kinds[x.class.kind[i]].status.Code() == fwk.Unschedulable {
			out = append(out, info)
		}
	}
	return out
}

// reveal tells what the plugins said of each node.
func (x *failure) reveal() {
	m := x.fit.Diagnosis.NodeToStatus
	for i, info := range x.list {
		m.Set(info.Node().Name, x.class.kinds[x.class.kind[i]].status)
	}
	// Every node is explicit. With this code for the others, which are none, upstream walks the snapshot's list instead
	// of a map when it looks for nodes where preemption may help.
	m.SetAbsentNodesStatus(fwk.NewStatus(fwk.Unschedulable))
}
