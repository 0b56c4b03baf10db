package sim

import (
	"runtime/debug"

	"orrery/sim/policy/kubescheduler"
)

// Version is Orrery's own version.
const Version = "0.1.0"

// upstream are the modules whose code takes decisions in a run; their exact versions go into every journal.
var upstream = []string{"k8s.io/kubernetes", "k8s.io/client-go", "k8s.io/api", "sigs.k8s.io/kwok",
	"sigs.k8s.io/controller-runtime", "sigs.k8s.io/karpenter", "sigs.k8s.io/lws", "github.com/kedacore/keda/v2",
	"github.com/expr-lang/expr", "github.com/robfig/cron/v3", "github.com/prometheus/prometheus"}

// Versions returns the version of Orrery and of the upstream modules linked into this program.
func Versions() map[string]string {
	v := map[string]string{"orrery": Version, "k8s.io/kubernetes": kubescheduler.KubernetesVersion}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, dep := range info.Deps {
		for _, path := range upstream {
			if dep.Path != path {
				continue
			}
			if dep.Replace != nil {
				dep = dep.Replace
			}
			v[path] = dep.Version
		}
	}
	return v
}
