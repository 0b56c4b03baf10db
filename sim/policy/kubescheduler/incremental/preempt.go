package incremental

import (
	"context"
	"math/rand"

	v1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/defaultpreemption"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
)

// postFilter is a profile's framework whose PostFilter plugins are not run when their answer is known.
type postFilter struct {
	framework.Framework
	cycle      *Cycle
	preemption *defaultpreemption.DefaultPreemption // nil when other PostFilter plugins are in use
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
	if x == nil || m != fwk.NodeToStatusReader(x.fit.Diagnosis.NodeToStatus) {
		return f.Framework.RunPostFilterPlugins(ctx, state, pod, m)
	}
	switch f.outlook(pod, x) {
	case hopeless:
		return f.nobodyToPreempt(x)
	case uncertain:
		x.reveal()
	case unaware:
	}
	if err := x.ready(); err != nil {
		return nil, fwk.AsStatus(err)
	}
	return f.Framework.RunPostFilterPlugins(ctx, state, pod, m)
}

// What can be said of a preemption before it is tried.
type outlook int

const (
	uncertain outlook = iota // upstream must find out
	unaware                  // upstream will not look at what was said of the nodes
	hopeless                 // upstream would look at nodes and find on none a pod of lower priority
)

func (f *postFilter) outlook(pod *v1.Pod, x *failure) outlook {
	if f.preemption == nil {
		return uncertain
	}
	// As upstream does: the informer's pod decides, not the queue's.
	latest, err := f.preemption.Evaluator.PodLister.Pods(pod.Namespace).Get(pod.Name)
	if err != nil {
		return unaware
	}
	if p := latest.Spec.PreemptionPolicy; p != nil && *p == v1.PreemptNever {
		return unaware
	}
	if latest.Status.NominatedNodeName != "" {
		return uncertain
	}
	if x.resolvable() == 0 {
		return unaware // no node's status has the code that upstream looks for, as in the empty map
	}
	if f.cycle.nodes.leastPriority() >= int64(corev1helpers.PodPriority(latest)) {
		return hopeless
	}
	return uncertain
}

// nobodyToPreempt is what upstream's preemption returns when no node that it tries has a pod to preempt. Upstream draws
// the node to begin with; so does this.
func (f *postFilter) nobodyToPreempt(x *failure) (*fwk.PostFilterResult, *fwk.Status) {
	tried := x.resolvable()
	rand.Int31n(int32(tried))
	histogram := map[string]int{"No preemption victims found for incoming pod": tried}
	if rest := len(x.list) - tried; rest > 0 {
		histogram["Preemption is not helpful for scheduling"] = rest
	}
	fit := framework.FitError{NumAllNodes: len(x.list), Diagnosis: framework.Diagnosis{PreFilterMsg: message(histogram)}}
	return framework.NewPostFilterResultWithNominatedNode(""),
		fwk.NewStatus(fwk.Unschedulable, "preemption: "+fit.Error())
}
