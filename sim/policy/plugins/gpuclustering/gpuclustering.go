// Package gpuclustering is the score plugin GPUClustering of the experiment that the paper on fragmentation gradient
// descent compares with (Weng et al., USENIX ATC 2023; its simulator's gpu_clustering_score.go, after Gandiva, OSDI
// 2018): pods that ask for the same number of GPUs share nodes.
package gpuclustering

import (
	"context"
	"errors"
	"slices"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"orrery/sim/policy/plugins/gpus"
	"orrery/sim/policy/plugins/plugin"
)

// Name of the plugin.
const Name = "GPUClustering"

// Args are the plugin's arguments.
type Args struct {
	// MaxGPUMilli is what the largest node has, in thousandths; 8000 when absent, as in the published experiment.
	MaxGPUMilli int64 `json:"maxGPUMilli"`
}

// Plugin is its entry in the list.
func Plugin() plugin.Plugin {
	p := plugin.Plugin{Name: Name, Summary: "nodes first where pods ask for as many GPUs, packed",
		Points: []string{"score"},
		Args:   func() any { return &Args{MaxGPUMilli: 8_000} },
		Check: func(args any) error {
			if args.(*Args).MaxGPUMilli < 1 {
				return errors.New("maxGPUMilli must be at least 1")
			}
			return nil
		}}
	return p.With(func(env plugin.Env, args any, _ fwk.Handle) fwk.Plugin {
		return &clustering{book: env.GPUs, most: args.(*Args).MaxGPUMilli}
	})
}

type clustering struct {
	gpus.Local
	book *gpus.Book
	most int64
}

// Name implements fwk.Plugin.
func (*clustering) Name() string { return Name }

// Score implements fwk.ScorePlugin.
func (c *clustering) Score(_ context.Context, state fwk.CycleState, pod *v1.Pod, info fwk.NodeInfo) (int64,
	*fwk.Status) {
	return score(c.book.Node(info), gpus.Asked(state, pod), c.most), nil
}

// score is 0 for a pod without GPUs. The upper three quarters of 100 are for nodes where all pods ask for as many GPUs,
// where some do, and which are empty, in this order; within a quarter the fuller node scores more.
func score(n *gpus.Node, ask *gpus.Ask, most int64) int64 {
	if ask.GPUs == 0 {
		return 0
	}
	quarter := fwk.MaxScore / 4
	used := quarter * max(0, most-int64(n.TotalLeft())) / most
	switch {
	case slices.Contains(n.Kinds, gpus.Kind(ask.Request)) && len(n.Kinds) == 1:
		return used + 3*quarter
	case slices.Contains(n.Kinds, gpus.Kind(ask.Request)):
		return used + 2*quarter
	case len(n.Kinds) == 0:
		return used + quarter
	}
	return used
}

// ScoreExtensions implements fwk.ScorePlugin.
func (*clustering) ScoreExtensions() fwk.ScoreExtensions { return nil }
