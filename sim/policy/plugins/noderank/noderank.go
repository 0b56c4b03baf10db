// Package noderank is a pair of score plugins that give the nodes a fixed order, random and decided by the run's seed:
// NodeRankHigh and NodeRankLow score a node by the two base-100 digits of a drawn number from 0 to 9999.
//
// kube-scheduler picks uniformly among the nodes with the best score. Weighted far below a policy (100 and 1 against
// 10000), the pair decides such ties, and always the same way: the same node is filled first, instead of many a little.
package noderank

import (
	"context"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"orrery/sim/policy/plugins/plugin"
)

// Names of the plugins.
const (
	HighName = "NodeRankHigh"
	LowName  = "NodeRankLow"
)

// base is the number of whole scores that keep below fwk.MaxNodeScore.
const base = 100

// High is the entry of the higher digit in the list.
func High() plugin.Plugin {
	return entry(HighName, "breaks ties in a fixed random order: the higher digit of a node's number", base)
}

// Low is the entry of the lower digit in the list.
func Low() plugin.Plugin {
	return entry(LowName, "breaks ties in a fixed random order: the lower digit of a node's number", 1)
}

func entry(name, summary string, divisor uint64) plugin.Plugin {
	return plugin.Plugin{Name: name, Summary: summary, Points: []string{"score"},
		New: func(env plugin.Env) frameworkruntime.PluginFactory {
			return func(context.Context, runtime.Object, fwk.Handle) (fwk.Plugin, error) {
				return &rank{name, divisor, env}, nil
			}
		}}
}

type rank struct {
	name    string
	divisor uint64
	env     plugin.Env
}

// Name implements fwk.Plugin.
func (r *rank) Name() string { return r.name }

// NodeLocal says that a score follows from the node alone.
func (*rank) NodeLocal() {}

// SignPod implements fwk.SignPlugin: the plugin looks at nothing in a pod.
func (*rank) SignPod(context.Context, *v1.Pod) ([]fwk.SignFragment, *fwk.Status) { return nil, nil }

// Score implements fwk.ScorePlugin.
func (r *rank) Score(_ context.Context, _ fwk.CycleState, _ *v1.Pod, info fwk.NodeInfo) (int64, *fwk.Status) {
	return int64(r.env.Draw("node-rank", info.Node().Name) / r.divisor % base), nil
}

// ScoreExtensions implements fwk.ScorePlugin.
func (*rank) ScoreExtensions() fwk.ScoreExtensions { return nil }
