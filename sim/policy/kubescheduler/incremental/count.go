package incremental

import (
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// Count is how many attempts took upstream's own path, wholly or for scoring, for one reason.
type Count struct {
	Reason   string
	Attempts int64
}

// Counts returns why attempts took upstream's own path, and how many. An observed scheduler counts the same.
func (c *Cycle) Counts() []Count {
	out := make([]Count, 0, len(c.counts))
	for _, why := range slices.Sorted(maps.Keys(c.counts)) {
		out = append(out, Count{why, c.counts[why]})
	}
	return out
}

func (c *Cycle) count(why string) {
	if why != "" {
		c.counts[why]++
	}
}

// judge returns why an attempt that upstream made itself could not have been incremental, or "". It looks only at what
// both kinds of scheduler see.
func (x examined) judge(c *Cycle, state fwk.CycleState, r scheduler.ScheduleResult, err error) string {
	if x.why != "" {
		return x.why
	}
	fit, unfit := err.(*framework.FitError)
	if err != nil && (!unfit || fit.Diagnosis.PreFilterMsg != "") {
		return "" // rejected before any node was looked at, or an error
	}
	if why := x.p.filtersLocal(state); why != "" {
		return why
	}
	if err == nil && r.FeasibleNodes > 1 && c.exact {
		return x.p.scoresLocal(state, slices.ContainsFunc(x.list, hasImages))
	}
	return ""
}

func hasImages(n fwk.NodeInfo) bool { return len(n.GetImageStates()) > 0 }

// devices reports whether a pod asks for an extended resource that is the name of a device class.
func devices(spec *v1.PodSpec) bool {
	asks := func(c v1.Container) bool {
		for name := range c.Resources.Requests {
			if isDevice(name) {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(spec.Containers, asks) || slices.ContainsFunc(spec.InitContainers, asks)
}

func isDevice(name v1.ResourceName) bool {
	return strings.HasPrefix(string(name), resourceapi.ResourceDeviceClassPrefix)
}

// named reports whether a pod requires nodes by their names.
func named(spec *v1.PodSpec) bool {
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil {
		return false
	}
	required := spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	return required != nil && slices.ContainsFunc(required.NodeSelectorTerms, func(t v1.NodeSelectorTerm) bool {
		return len(t.MatchFields) > 0
	})
}
