// Package plugin is what a compiled-in scheduler plugin says of itself, and what it is given.
package plugin

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"sigs.k8s.io/yaml"

	"orrery/sim/policy/plugins/gpus"
)

// Env is what the plugins of one scheduler are given beside upstream's handle. None of it knows more of the cluster
// than the API shows.
type Env struct {
	// Seed is the run's: a plugin that needs chance derives it from this and from names, see Draw.
	Seed uint64
	// GPUs is what is known of GPUs shared by annotation.
	GPUs *gpus.Book
}

// Plugin is an entry of the list of compiled-in plugins.
type Plugin struct {
	// Name by which a KubeSchedulerConfiguration enables it.
	Name string
	// Summary says in one line what it does.
	Summary string
	// Points are the extension points where it can be enabled, as a configuration spells them.
	Points []string
	// Args is a pointer to a zero value of its arguments, whose json tags are their names; nil when it takes none.
	Args func() any
	// Check says what is wrong with arguments that Args has decoded; nil when nothing can be.
	Check func(args any) error
	// New makes the factory for a scheduler.
	New func(env Env) frameworkruntime.PluginFactory
}

// Decode reads the plugin's arguments strictly: what is unknown or of another type is an error. obj is what upstream
// hands to a factory, nil without pluginConfig. The result is what Args returns, filled in.
func (p Plugin) Decode(obj runtime.Object) (any, error) {
	if p.Args == nil {
		if raw, err := rawOf(obj); err != nil || len(raw) > 0 && string(raw) != "{}" {
			return nil, fmt.Errorf("plugin %s takes no args; remove its entry from pluginConfig", p.Name)
		}
		return nil, nil
	}
	args := p.Args()
	raw, err := rawOf(obj)
	if err == nil && len(raw) > 0 {
		err = yaml.UnmarshalStrict(raw, args)
	}
	if err == nil && p.Check != nil {
		err = p.Check(args)
	}
	if err != nil {
		return nil, fmt.Errorf("args of plugin %s: %w", p.Name, err)
	}
	return args, nil
}

// With returns the entry with a factory that reads the arguments and hands them, as Decode returns them, to build.
func (p Plugin) With(build func(env Env, args any, h fwk.Handle) fwk.Plugin) Plugin {
	p.New = func(env Env) frameworkruntime.PluginFactory {
		return func(_ context.Context, obj runtime.Object, h fwk.Handle) (fwk.Plugin, error) {
			args, err := p.Decode(obj)
			if err != nil {
				return nil, err
			}
			return build(env, args, h), nil
		}
	}
	return p
}

func rawOf(obj runtime.Object) ([]byte, error) {
	switch x := obj.(type) {
	case nil:
		return nil, nil
	case *runtime.Unknown:
		return x.Raw, nil
	}
	return nil, fmt.Errorf("want plain YAML, not %T", obj)
}

// Draw returns a number that looks random and follows from the seed and the words alone, so that the order in which
// plugins are asked does not matter: FNV-1a, then the finalizer of SplitMix64.
func (e Env) Draw(words ...string) uint64 {
	h := uint64(14695981039346656037)
	mix := func(b byte) { h = (h ^ uint64(b)) * 1099511628211 }
	for i := range 8 {
		mix(byte(e.Seed >> (8 * i)))
	}
	for _, w := range words {
		for i := range len(w) {
			mix(w[i])
		}
		mix(0)
	}
	h += 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
