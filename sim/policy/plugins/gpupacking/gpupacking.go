// Package gpupacking is the score plugin GPUPacking of the experiment that the paper on fragmentation gradient
// descent compares with (Weng et al., USENIX ATC 2023; its simulator's gpu_packing_score.go, after MLaaS in the Wild,
// NSDI 2022): GPUs in use first, then free GPUs of nodes in use, then free nodes.
package gpupacking

import (
	"context"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"orrery/sim/policy/plugins/gpus"
	"orrery/sim/policy/plugins/plugin"
	"orrery/sim/units"
)

// Name of the plugin.
const Name = "GPUPacking"

// Plugin is its entry in the list.
func Plugin() plugin.Plugin {
	return plugin.Plugin{Name: Name, Summary: "GPUs in use first, then free GPUs of nodes in use, then free nodes",
		Points: []string{"score"},
		New: func(env plugin.Env) frameworkruntime.PluginFactory {
			return func(context.Context, runtime.Object, fwk.Handle) (fwk.Plugin, error) {
				return &packing{book: env.GPUs}, nil
			}
		}}
}

type packing struct {
	gpus.Local
	book *gpus.Book
}

// Name implements fwk.Plugin.
func (*packing) Name() string { return Name }

// Score implements fwk.ScorePlugin.
func (p *packing) Score(_ context.Context, state fwk.CycleState, pod *v1.Pod, info fwk.NodeInfo) (int64, *fwk.Status) {
	return score(p.book.Node(info), gpus.Asked(state, pod)), nil
}

// score is 0 for a pod without GPUs; on a free node 33 less its GPUs, but no less than their number; with free GPUs
// of a node in use 50 less their number, at least 33; with GPUs in use 100 less a tenth of the percentages free on
// them.
func score(n *gpus.Node, ask *gpus.Ask) int64 {
	if ask.GPUs == 0 {
		return 0
	}
	left := slices.Clone(n.Left)
	slices.Sort(left)
	if len(left) > 0 && left[0] == units.GPU {
		return max(fwk.MaxScore/3-int64(len(left)), int64(len(left)))
	}
	need, whole, percent := ask.GPUs, int64(0), int64(0)
	for _, milli := range left {
		if need == 0 || milli < ask.Milli {
			continue
		}
		need--
		if percent += int64(milli) / 10; milli == units.GPU {
			whole++
		}
	}
	if whole > 0 {
		return max(fwk.MaxScore/2-whole, fwk.MaxScore/3)
	}
	return max(fwk.MaxScore-percent/10, fwk.MaxScore/2)
}

// ScoreExtensions implements fwk.ScorePlugin.
func (*packing) ScoreExtensions() fwk.ScoreExtensions { return nil }
