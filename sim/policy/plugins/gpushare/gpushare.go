// Package gpushare is the scheduler plugin GPUShare: it places pods that ask for GPUs, or parts of one, by annotation.
//
// It keeps pods from nodes whose GPUs cannot host them, picks the GPUs when a node has been found, and writes their
// numbers into the pod before it is bound, where the node reads them. Which node is best is for score plugins to say.
package gpushare

import (
	"context"
	"encoding/json"
	"fmt"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"orrery/sim/kube/gpushare"
	"orrery/sim/policy/plugins/gpus"
	"orrery/sim/policy/plugins/plugin"
)

// Name of the plugin.
const Name = "GPUShare"

// Plugin is its entry in the list.
func Plugin() plugin.Plugin {
	return plugin.Plugin{Name: Name,
		Summary: "places pods that ask by annotation for whole GPUs or a part of one (alibabacloud.com/gpu-milli)",
		Points:  []string{"preFilter", "filter", "reserve", "preBind"},
		New: func(env plugin.Env) frameworkruntime.PluginFactory {
			return func(_ context.Context, _ runtime.Object, h fwk.Handle) (fwk.Plugin, error) {
				return &share{handle: h, book: env.GPUs,
					little: fwk.NewStatus(fwk.Unschedulable, "Insufficient "+gpushare.Milli),
					never:  fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "Too few GPUs on the node"),
					model:  fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "node(s) didn't have the pod's GPU model"),
				}, nil
			}
		}}
}

type share struct {
	gpus.Local
	handle fwk.Handle
	book   *gpus.Book

	little, never, model *fwk.Status
}

var (
	_ fwk.PreFilterPlugin   = (*share)(nil)
	_ fwk.FilterPlugin      = (*share)(nil)
	_ fwk.ReservePlugin     = (*share)(nil)
	_ fwk.PreBindPlugin     = (*share)(nil)
	_ fwk.SignPlugin        = (*share)(nil)
	_ fwk.EnqueueExtensions = (*share)(nil)
)

// Name implements fwk.Plugin.
func (*share) Name() string { return Name }

// EventsToRegister implements fwk.EnqueueExtensions: what can make a refused pod fit.
func (*share) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		{Event: fwk.ClusterEvent{Resource: fwk.AssignedPod, ActionType: fwk.Delete}},
		{Event: fwk.ClusterEvent{Resource: fwk.Node, ActionType: fwk.Add | fwk.UpdateNodeAllocatable | fwk.UpdateNodeLabel}},
	}, nil
}

// PreFilter implements fwk.PreFilterPlugin.
func (*share) PreFilter(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ []fwk.NodeInfo) (*fwk.PreFilterResult,
	*fwk.Status) {
	if _, err := gpushare.Parse(pod.Annotations); err != nil {
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, err.Error())
	}
	if gpus.Asked(state, pod).GPUs == 0 {
		return nil, fwk.NewStatus(fwk.Skip)
	}
	return nil, nil
}

// PreFilterExtensions implements fwk.PreFilterPlugin: Filter looks at the NodeInfo alone, also where pods are taken
// away.
func (*share) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

// Filter implements fwk.FilterPlugin.
func (s *share) Filter(_ context.Context, state fwk.CycleState, pod *v1.Pod, info fwk.NodeInfo) *fwk.Status {
	ask, n := gpus.Asked(state, pod), s.book.Node(info)
	switch {
	case len(n.Left) < ask.GPUs:
		return s.never
	case !ask.Accepts(n.Model):
		return s.model
	case n.Fits(ask.Milli) < ask.GPUs:
		return s.little
	}
	return nil
}

// Reserve implements fwk.ReservePlugin: it picks the GPUs. The snapshot is still that of the cycle's beginning.
func (s *share) Reserve(_ context.Context, state fwk.CycleState, pod *v1.Pod, node string) *fwk.Status {
	ask := gpus.Asked(state, pod)
	if ask.GPUs == 0 {
		return nil
	}
	info, err := s.handle.SnapshotSharedLister().NodeInfos().Get(node)
	if err != nil {
		return fwk.AsStatus(err)
	}
	picked := s.book.Node(info).Pick(ask.Request, gpus.Choice(state))
	if picked == nil {
		return fwk.NewStatus(fwk.Unschedulable, "Insufficient "+gpushare.Milli)
	}
	s.book.Reserve(pod, node, picked)
	return nil
}

// Unreserve implements fwk.ReservePlugin.
func (s *share) Unreserve(_ context.Context, _ fwk.CycleState, pod *v1.Pod, node string) {
	s.book.Unreserve(pod, node)
}

// PreBindPreFlight implements fwk.PreBindPlugin.
func (s *share) PreBindPreFlight(_ context.Context, _ fwk.CycleState, pod *v1.Pod, _ string) (
	*fwk.PreBindPreFlightResult, *fwk.Status) {
	if s.book.Reserved(pod) == nil {
		return nil, fwk.NewStatus(fwk.Skip)
	}
	return nil, nil
}

// PreBind implements fwk.PreBindPlugin: it writes the numbers of the GPUs into the pod.
func (s *share) PreBind(ctx context.Context, _ fwk.CycleState, pod *v1.Pod, _ string) *fwk.Status {
	picked := s.book.Reserved(pod)
	if picked == nil {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"annotations": map[string]string{gpushare.Index: gpushare.FormatIndex(picked)}}})
	if err != nil {
		return fwk.AsStatus(err)
	}
	_, err = s.handle.ClientSet().CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch,
		metav1.PatchOptions{})
	if err != nil {
		return fwk.AsStatus(fmt.Errorf("writing the GPUs of pod %s/%s: %w", pod.Namespace, pod.Name, err))
	}
	return nil
}
