// Package bestfit is the score plugin BestFit of the experiment that the paper on fragmentation gradient descent
// compares with (Weng et al., USENIX ATC 2023; its simulator's best_fit_score.go): the node that has least left
// afterwards.
package bestfit

import (
	"context"
	"errors"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"orrery/sim/policy/plugins/gpus"
	"orrery/sim/policy/plugins/plugin"
)

// Name of the plugin.
const Name = "BestFit"

// Args are the plugin's arguments.
type Args struct {
	// MaxCPUMilli and MaxGPUMilli are what the largest node has, in thousandths; 128000 and 8000 when absent, as in the
	// published experiment.
	MaxCPUMilli int64 `json:"maxCPUMilli"`
	MaxGPUMilli int64 `json:"maxGPUMilli"`
}

// Limits of the arguments, within which the score's arithmetic is exact.
const (
	cpuMilliMax = 10_000_000
	gpuMilliMax = 1_000_000
)

// Plugin is its entry in the list.
func Plugin() plugin.Plugin {
	p := plugin.Plugin{Name: Name, Summary: "scores nodes by how little CPU and GPU they have left afterwards",
		Points: []string{"score"},
		Args:   func() any { return &Args{MaxCPUMilli: 128_000, MaxGPUMilli: 8_000} },
		Check: func(args any) error {
			a := args.(*Args)
			if a.MaxCPUMilli < 1 || a.MaxCPUMilli > cpuMilliMax || a.MaxGPUMilli < 1 || a.MaxGPUMilli > gpuMilliMax {
				return errors.New("maxCPUMilli must be 1 to 10000000 and maxGPUMilli 1 to 1000000")
			}
			return nil
		}}
	return p.With(func(env plugin.Env, args any, _ fwk.Handle) fwk.Plugin {
		return &bestFit{book: env.GPUs, args: *args.(*Args)}
	})
}

type bestFit struct {
	gpus.Local
	book *gpus.Book
	args Args
}

// Name implements fwk.Plugin.
func (*bestFit) Name() string { return Name }

// Score implements fwk.ScorePlugin.
func (b *bestFit) Score(_ context.Context, state fwk.CycleState, pod *v1.Pod, info fwk.NodeInfo) (int64, *fwk.Status) {
	ask, n := gpus.Asked(state, pod), b.book.Node(info)
	return b.args.score(n.CPULeft-ask.CPUMilli, int64(n.TotalLeft()-ask.Total())), nil
}

// score is floor(100 × (1 − ½·cpu/maxCPU − ½·gpu/maxGPU)), not below 0, in whole numbers: its parts are often whole,
// and then binary fractions would be off by one.
func (a Args) score(cpu, gpu int64) int64 {
	whole := 2 * a.MaxCPUMilli * a.MaxGPUMilli
	return max(0, fwk.MaxScore*(whole-cpu*a.MaxGPUMilli-gpu*a.MaxCPUMilli)/whole)
}

// ScoreExtensions implements fwk.ScorePlugin.
func (b *bestFit) ScoreExtensions() fwk.ScoreExtensions { return b }

// NormalizeScore implements fwk.ScoreExtensions: the lowest score becomes 0, the highest 100.
func (*bestFit) NormalizeScore(_ context.Context, _ fwk.CycleState, _ *v1.Pod, scores fwk.NodeScoreList) *fwk.Status {
	if len(scores) == 0 {
		return nil
	}
	low, high := scores[0].Score, scores[0].Score
	for _, s := range scores {
		low, high = min(low, s.Score), max(high, s.Score)
	}
	for i := range scores {
		if scores[i].Score -= low; high > low {
			scores[i].Score = scores[i].Score * fwk.MaxScore / (high - low)
		}
	}
	return nil
}
