package clusterautoscaler

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// share is a group's part of a scale-up.
type share struct {
	group *group
	count int
}

// shares divides an offer among its group and those that are like it, so that they become as equal in size as they can
// (processors/nodegroupset/balancing_processor.go), if that is wanted.
func (a *Autoscaler) shares(o *option, need []*corev1.Pod) []share {
	out := []share{{group: o.group}}
	if a.p.Flags.BalanceSimilar {
		for _, g := range a.groups {
			able := a.p.Engine.Now() >= g.until && len(a.fitting(g, need)) > 0
			if g != o.group && able && similar(o.group, g) {
				out = append(out, share{group: g})
			}
		}
	}
	for range o.count {
		at := -1
		for i, s := range out {
			size := s.group.size() + s.count
			if size < s.group.Max && (at < 0 || size < out[at].group.size()+out[at].count) {
				at = i
			}
		}
		if at < 0 {
			break
		}
		out[at].count++
	}
	return slices.DeleteFunc(out, func(s share) bool { return s.count == 0 })
}

// ignored are the labels in which similar groups may differ (nodegroupset/compare_nodegroups.go), and the pool's name.
var ignored = []string{corev1.LabelHostname, corev1.LabelTopologyZone, corev1.LabelTopologyRegion,
	corev1.LabelFailureDomainBetaZone, corev1.LabelFailureDomainBetaRegion, "orrery.dev/pool"}

// memoryRatio is by how much the memory of similar groups may differ: DefaultMaxCapacityMemoryDifferenceRatio.
const memoryRatio = 0.015

// similar reports whether two groups have machines of one kind: the same labels but for the place, the same capacity
// but for a little memory.
func similar(a, b *group) bool {
	labels := func(g *group) map[string]string {
		out := maps.Clone(g.Template.Labels)
		maps.DeleteFunc(out, func(key, _ string) bool {
			return slices.Contains(ignored, key) || strings.HasPrefix(key, "topology.")
		})
		return out
	}
	if !maps.Equal(labels(a), labels(b)) || len(a.Template.Status.Capacity) != len(b.Template.Status.Capacity) {
		return false
	}
	for name, x := range a.Template.Status.Capacity {
		y, ok := b.Template.Status.Capacity[name]
		m, n := amount(x, name), amount(y, name)
		most := int64(0)
		if name == corev1.ResourceMemory {
			most = int64(float64(max(m, n)) * memoryRatio)
		}
		if !ok || max(m, n)-min(m, n) > most {
			return false
		}
	}
	return true
}
