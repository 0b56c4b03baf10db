// Package dotproduct is the score plugin DotProduct of the experiment that the paper on fragmentation gradient descent
// compares with (Weng et al., USENIX ATC 2023; its simulator's dot_product_score.go with all GPUs of a node merged and
// normalised by the largest node), after Tetris (Grandl et al., SIGCOMM 2014): the node whose free resources are least
// alike to what the pod asks for, so that what is asked for much stays free elsewhere.
package dotproduct

import (
	"context"
	"errors"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"orrery/sim/policy/plugins/gpus"
	"orrery/sim/policy/plugins/plugin"
)

// Name of the plugin.
const Name = "DotProduct"

// Args are the plugin's arguments.
type Args struct {
	// MaxCPUMilli and MaxGPUMilli are what the largest node has, in thousandths; 128000 and 8000 when absent, as in the
	// published experiment.
	MaxCPUMilli int64 `json:"maxCPUMilli"`
	MaxGPUMilli int64 `json:"maxGPUMilli"`
}

// Plugin is its entry in the list.
func Plugin() plugin.Plugin {
	p := plugin.Plugin{Name: Name,
		Summary: "scores nodes by how little what is free there resembles what the pod asks for",
		Points:  []string{"score"},
		Args:    func() any { return &Args{MaxCPUMilli: 128_000, MaxGPUMilli: 8_000} },
		Check: func(args any) error {
			if a := args.(*Args); a.MaxCPUMilli < 1 || a.MaxGPUMilli < 1 {
				return errors.New("maxCPUMilli and maxGPUMilli must be at least 1")
			}
			return nil
		}}
	return p.With(func(env plugin.Env, args any, _ fwk.Handle) fwk.Plugin {
		return &dotProduct{book: env.GPUs, args: *args.(*Args)}
	})
}

type dotProduct struct {
	gpus.Local
	book *gpus.Book
	args Args
}

// Name implements fwk.Plugin.
func (*dotProduct) Name() string { return Name }

// Score implements fwk.ScorePlugin.
func (d *dotProduct) Score(_ context.Context, state fwk.CycleState, pod *v1.Pod, info fwk.NodeInfo) (int64,
	*fwk.Status) {
	ask, n := gpus.Asked(state, pod), d.book.Node(info)
	return d.args.score(n.CPULeft, int64(n.TotalLeft()), ask.CPUMilli, int64(ask.Total())), nil
}

// score is floor(100 × (1 − ½·(cpu·cpuAsked/maxCPU² + gpu·gpuAsked/maxGPU²))), within 0 to 100.
func (a Args) score(cpu, gpu, cpuAsked, gpuAsked int64) int64 {
	part := func(free, asked, most int64) float64 {
		return float64(float64(free) / float64(most) * (float64(asked) / float64(most)))
	}
	alike := part(cpu, cpuAsked, a.MaxCPUMilli) + part(gpu, gpuAsked, a.MaxGPUMilli)
	return min(max(int64(float64(fwk.MaxScore)*float64(1-alike/2)), 0), fwk.MaxScore)
}

// ScoreExtensions implements fwk.ScorePlugin.
func (*dotProduct) ScoreExtensions() fwk.ScoreExtensions { return nil }
