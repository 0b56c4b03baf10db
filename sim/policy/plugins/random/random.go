// Package random is the plugin Random of the experiment that the paper on fragmentation gradient descent compares with
// (Weng et al., USENIX ATC 2023): any node that fits, any GPU of it that fits.
//
// kube-scheduler v1.37.2 draws no lots among nodes with equal scores: the first in the order of a heap wins, so scores
// that are all alike would be first fit. The plugin draws itself, when it is shown all nodes that fit. It does not sign
// pods, so that nobody takes the next node from what was said about an earlier pod.
package random

import (
	"context"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"orrery/sim/kube/gpushare"
	"orrery/sim/policy/plugins/gpus"
	"orrery/sim/policy/plugins/plugin"
)

// Name of the plugin.
const Name = "Random"

// Plugin is its entry in the list.
func Plugin() plugin.Plugin {
	return plugin.Plugin{Name: Name, Summary: "any node that fits, and any GPU of it that fits",
		Points: []string{"preFilter", "score"},
		New: func(env plugin.Env) frameworkruntime.PluginFactory {
			return func(context.Context, runtime.Object, fwk.Handle) (fwk.Plugin, error) { return &random{env}, nil }
		}}
}

type random struct{ env plugin.Env }

// Name implements fwk.Plugin.
func (*random) Name() string { return Name }

// NodeLocal implements incremental.NodeLocal.
func (*random) NodeLocal(pod *v1.Pod) []fwk.SignFragment { return gpus.Sign(pod) }

// Renormalizing implements incremental.Renormalizing.
func (*random) Renormalizing() {}

// PreFilter implements fwk.PreFilterPlugin: it says how the GPU will be chosen.
func (r *random) PreFilter(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ []fwk.NodeInfo) (
	*fwk.PreFilterResult, *fwk.Status) {
	gpus.SetChoice(state, func(n *gpus.Node, ask gpushare.Request) int {
		return pick(n, ask, r.env.Draw("random/gpu", pod.Namespace, pod.Name, n.Name))
	})
	return nil, nil
}

// PreFilterExtensions implements fwk.PreFilterPlugin.
func (*random) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

// pick returns the GPU that a drawn number falls on, among those that fit.
func pick(n *gpus.Node, ask gpushare.Request, drawn uint64) int {
	left := drawn % uint64(n.Fits(ask.Milli))
	for g, milli := range n.Left {
		if milli < ask.Milli {
			continue
		}
		if left == 0 {
			return g
		}
		left--
	}
	return -1 // nothing fits, which the caller has excluded
}

// Score implements fwk.ScorePlugin.
func (*random) Score(context.Context, fwk.CycleState, *v1.Pod, fwk.NodeInfo) (int64, *fwk.Status) {
	return 0, nil
}

// ScoreExtensions implements fwk.ScorePlugin.
func (r *random) ScoreExtensions() fwk.ScoreExtensions { return r }

// NormalizeScore implements fwk.ScoreExtensions: one node of all gets everything.
func (r *random) NormalizeScore(_ context.Context, _ fwk.CycleState, pod *v1.Pod,
	scores fwk.NodeScoreList) *fwk.Status {
	if n := uint64(len(scores)); n > 0 {
		scores[r.env.Draw("random/node", pod.Namespace, pod.Name)%n].Score = fwk.MaxScore
	}
	return nil
}
