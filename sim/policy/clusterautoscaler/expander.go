package clusterautoscaler

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"orrery/sim/journal"
)

// Expanders.
const (
	ExpanderRandom     = "random"
	ExpanderMostPods   = "most-pods"
	ExpanderLeastWaste = "least-waste"
	ExpanderLeastNodes = "least-nodes"
	ExpanderPrice      = "price"
	ExpanderPriority   = "priority"
)

// best picks one of the offers by the expanders, each of which chooses among what the one before has left, and of equal
// ones at random; nil without offers.
func (a *Autoscaler) best(options []option) *option {
	if len(options) == 0 {
		return nil
	}
	for name := range strings.SplitSeq(a.p.Flags.Expander, ",") {
		switch name {
		case ExpanderMostPods:
			options = least(options, func(o option) float64 { return -float64(len(o.pods)) })
		case ExpanderLeastWaste, "":
			options = least(options, waste)
		case ExpanderLeastNodes:
			options = least(options, func(o option) float64 { return float64(o.count) })
		case ExpanderPrice:
			options = least(options, func(o option) float64 {
				return float64(o.group.Price*float64(o.count)) / float64(len(o.pods))
			})
		case ExpanderPriority:
			options = a.first(options)
		}
	}
	switch len(options) {
	case 0:
		return nil
	case 1:
		return &options[0]
	}
	return &options[a.random.IntN(len(options))]
}

// least are the offers of the least score.
func least(options []option, score func(option) float64) (out []option) {
	best := math.Inf(1)
	for _, o := range options {
		switch s := score(o); {
		case len(out) == 0 || s < best:
			out, best = []option{o}, s
		case s == best:
			out = append(out, o)
		}
	}
	return out
}

// waste is the part of an offer's CPU plus the part of its memory that its pods do not ask for.
func waste(o option) float64 {
	return wasted(o, corev1.ResourceCPU) + wasted(o, corev1.ResourceMemory)
}

func wasted(o option, r corev1.ResourceName) float64 {
	have := amount(o.group.Template.Status.Capacity[r], r) * int64(o.count)
	return part(have-requests(o.pods, r), have)
}

// The object in which users give priorities (expander/priority/priority.go).
const (
	priorityNamespace = "kube-system" // of the autoscaler
	priorityName      = "cluster-autoscaler-priority-expander"
	priorityKey       = "priorities"
)

// first are the offers of the highest priority; all of them when nobody has given one of them a priority. A ConfigMap
// that cannot be read leaves none, as upstream has it.
func (a *Autoscaler) first(options []option) []option {
	of, ok := a.priority()
	if !ok {
		return nil
	}
	best := least(options, func(o option) float64 { return -of(o.group.Name) })
	if math.IsInf(of(best[0].group.Name), -1) {
		return options
	}
	return best
}

// priority returns what gives a group its priority, -∞ where it has none: the ConfigMap, else the plan.
func (a *Autoscaler) priority() (of func(group string) float64, ok bool) {
	obj, err := a.p.Store.Get(corev1.SchemeGroupVersion.WithResource("configmaps"), priorityNamespace, priorityName)
	if err != nil {
		return func(group string) float64 {
			if x, ok := a.p.Flags.Priorities[group]; ok {
				return float64(x)
			}
			return math.Inf(-1)
		}, true
	}
	text := obj.(*corev1.ConfigMap).Data[priorityKey]
	list, err := parsePriorities(text)
	if err != nil || len(list) == 0 {
		a.complain(text, err)
		return nil, false
	}
	return func(group string) float64 {
		out := math.Inf(-1)
		for _, p := range list {
			if p.pattern.MatchString(group) {
				out = max(out, float64(p.priority))
			}
		}
		return out
	}, true
}

// complain records that the ConfigMap cannot be read, once for each text of it.
func (a *Autoscaler) complain(text string, err error) {
	what := "it has no priorities"
	if err != nil {
		what = err.Error()
	}
	if a.priorities == what+text {
		return
	}
	a.priorities = what + text
	a.p.Record(journal.Condition{Object: "ConfigMap/" + priorityNamespace + "/" + priorityName, Type: "PriorityExpander",
		Status: "False", Reason: "PriorityConfigMapInvalid", Message: "wrong configuration for priority expander: " + what})
}

// ranked is a line of the ConfigMap.
type ranked struct {
	pattern  *regexp.Regexp
	priority int
}

// parsePriorities reads lists of regular expressions by priority.
func parsePriorities(text string) (out []ranked, err error) {
	var lists map[int][]string
	if err := yaml.Unmarshal([]byte(text), &lists); err != nil {
		return nil, err
	}
	for _, priority := range slices.Sorted(maps.Keys(lists)) { // the first that is wrong is told
		for _, p := range lists[priority] {
			re, err := regexp.Compile(p)
			if err != nil {
				return nil, err
			}
			out = append(out, ranked{re, priority})
		}
	}
	return out, nil
}
