// Package noderank is a pair of score plugins that decide ties: NodeRankHigh and NodeRankLow score a node by the two
// base-100 digits of a drawn number from 0 to 9999. They are weighted far below a policy: 100 and 1 against 10000.
//
// By default the numbers are drawn once, from the run's seed: equally good nodes have a fixed random order, and one is
// filled before the next. With `per: pod` they are drawn anew for every pod: a uniform choice among equally good nodes, as
// older kube-schedulers made it. Without the pair v1.37.2 takes the first in the order of a heap.
package noderank

import (
	"context"
	"errors"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"orrery/sim/policy/plugins/plugin"
)

// Names of the plugins.
const (
	HighName = "NodeRankHigh"
	LowName  = "NodeRankLow"
)

// Values of Args.Per.
const (
	PerRun = "run"
	PerPod = "pod"
)

// Args are the arguments of either plugin. Both should have the same.
type Args struct {
	// Per is run (default): the nodes keep their numbers; or pod: every pod draws anew.
	Per string `json:"per"`
}

// base is the number of whole scores below fwk.MaxScore.
const base = 100

// High is the entry of the higher digit in the list.
func High() plugin.Plugin {
	return entry(HighName, "breaks ties by numbers drawn for nodes: the higher digit", base)
}

// Low is the entry of the lower digit in the list.
func Low() plugin.Plugin {
	return entry(LowName, "breaks ties by numbers drawn for nodes: the lower digit", 1)
}

func entry(name, summary string, divisor uint64) plugin.Plugin {
	p := plugin.Plugin{Name: name, Summary: summary, Points: []string{"score"},
		Args: func() any { return &Args{Per: PerRun} },
		Check: func(args any) error {
			if per := args.(*Args).Per; per != PerRun && per != PerPod {
				return errors.New("per must be run or pod")
			}
			return nil
		}}
	return p.With(func(env plugin.Env, args any, _ fwk.Handle) fwk.Plugin {
		r := rank{name, divisor, env}
		if args.(*Args).Per == PerPod {
			return &lots{r}
		}
		return &order{r}
	})
}

// rank is what both have in common.
type rank struct {
	name    string
	divisor uint64
	env     plugin.Env
}

// Name implements fwk.Plugin.
func (r *rank) Name() string { return r.name }

func (r *rank) digit(words ...string) int64 { return int64(r.env.Draw(words...) / r.divisor % base) }

// NodeLocal implements incremental.NodeLocal: scores do not depend on the pod.
func (*rank) NodeLocal(*v1.Pod) []fwk.SignFragment { return nil }

// order ranks nodes once and for all.
type order struct{ rank }

// SignPod implements fwk.SignPlugin: scores do not depend on the pod.
func (*order) SignPod(context.Context, *v1.Pod) ([]fwk.SignFragment, *fwk.Status) { return nil, nil }

// Score implements fwk.ScorePlugin.
func (o *order) Score(_ context.Context, _ fwk.CycleState, _ *v1.Pod, info fwk.NodeInfo) (int64, *fwk.Status) {
	return o.digit("node-rank", info.Node().Name), nil
}

// ScoreExtensions implements fwk.ScorePlugin.
func (*order) ScoreExtensions() fwk.ScoreExtensions { return nil }

// lots draws for every pod, when it is shown the nodes that fit. It does not sign pods.
type lots struct{ rank }

// Renormalizing implements incremental.Renormalizing.
func (*lots) Renormalizing() {}

// Score implements fwk.ScorePlugin.
func (*lots) Score(context.Context, fwk.CycleState, *v1.Pod, fwk.NodeInfo) (int64, *fwk.Status) {
	return 0, nil
}

// ScoreExtensions implements fwk.ScorePlugin.
func (l *lots) ScoreExtensions() fwk.ScoreExtensions { return l }

// NormalizeScore implements fwk.ScoreExtensions.
func (l *lots) NormalizeScore(_ context.Context, _ fwk.CycleState, pod *v1.Pod, scores fwk.NodeScoreList) *fwk.Status {
	for i := range scores {
		scores[i].Score = l.digit("node-lots", pod.Namespace, pod.Name, scores[i].Name)
	}
	return nil
}
