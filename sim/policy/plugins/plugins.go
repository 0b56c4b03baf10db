// Package plugins is the list of scheduler plugins compiled in beside kube-scheduler's own. README.md says how to write
// one: a folder here and a line in List.
package plugins

import (
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"orrery/sim/policy/plugins/bestfit"
	"orrery/sim/policy/plugins/dotproduct"
	"orrery/sim/policy/plugins/fgd"
	"orrery/sim/policy/plugins/gpuclustering"
	"orrery/sim/policy/plugins/gpupacking"
	"orrery/sim/policy/plugins/gpus"
	"orrery/sim/policy/plugins/gpushare"
	"orrery/sim/policy/plugins/noderank"
	"orrery/sim/policy/plugins/plugin"
	"orrery/sim/policy/plugins/random"
)

// List returns all compiled-in plugins, by name.
func List() []plugin.Plugin {
	return []plugin.Plugin{
		bestfit.Plugin(),
		dotproduct.Plugin(),
		fgd.Plugin(),
		gpuclustering.Plugin(),
		gpupacking.Plugin(),
		gpushare.Plugin(),
		noderank.High(),
		noderank.Low(),
		random.Plugin(),
	}
}

// Registry returns the plugins for one scheduler of a run with this seed, ready for kube-scheduler.
func Registry(seed uint64) frameworkruntime.Registry {
	env := plugin.Env{Seed: seed, GPUs: gpus.NewBook()}
	r := frameworkruntime.Registry{}
	for _, p := range List() {
		r[p.Name] = p.New(env)
	}
	return r
}
