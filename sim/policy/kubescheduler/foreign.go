package kubescheduler

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"orrery/sim/policy/kubescheduler/incremental"
)

// foreign is the registry of plugins from outside kube-scheduler, with factories that remember what they make: upstream
// does not hand out its score plugins.
func (s *Scheduler) foreign() frameworkruntime.Registry {
	s.outside = incremental.Outside{}
	out := frameworkruntime.Registry{}
	for name, factory := range s.p.Plugins {
		out[name] = func(ctx context.Context, args runtime.Object, h fwk.Handle) (fwk.Plugin, error) {
			plugin, err := factory(ctx, args, h)
			if f, ok := h.(interface{ ProfileName() string }); ok && err == nil {
				if s.outside[f.ProfileName()] == nil {
					s.outside[f.ProfileName()] = map[string]fwk.Plugin{}
				}
				s.outside[f.ProfileName()][name] = plugin
			}
			return plugin, err
		}
	}
	return out
}
