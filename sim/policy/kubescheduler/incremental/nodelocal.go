package incremental

import (
	"context"
	"encoding/json"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
)

// Plugins whose Filter, for a node, follows from the pod's class and the NodeInfo alone (read in kube-scheduler
// v1.37.2).
var localFilters = map[string]bool{
	names.NodeName: true, names.NodeUnschedulable: true, names.TaintToleration: true, names.NodeAffinity: true,
	names.NodePorts: true, names.NodeResourcesFit: true, names.NodeDeclaredFeatures: true,
}

// Plugins whose raw score, for a node, follows from the pod's class and the NodeInfo alone, and whether they normalise
// their scores over the nodes found. ImageLocality's does while no node has an image: otherwise it depends on how many
// nodes have it. DynamicResources' and VolumeBinding's are 0 for a pod that their filters skip.
var localScores = map[string]bool{
	names.NodeResourcesFit: false, names.NodeResourcesBalancedAllocation: false, names.ImageLocality: false,
	names.VolumeBinding: false, names.TaintToleration: true, names.NodeAffinity: true, names.DynamicResources: true,
}

// Plugins that must sign a pod for its class: their signatures and what container adds are all they look at in it.
// NodeResourcesBalancedAllocation looks at nothing else, and ImageLocality at nothing while no node has an image.
var signing = []string{names.NodeName, names.NodeUnschedulable, names.TaintToleration, names.NodeAffinity,
	names.NodePorts, names.NodeResourcesFit, names.NodeDeclaredFeatures}

// scorer is a score plugin of a profile.
type scorer struct {
	weight     int64
	normalises bool
}

// profile is a scheduling profile as far as the cycle needs to know it.
type profile struct {
	filters     []string
	scoring     []string
	scorers     map[string]scorer    // by name, those of scoring
	foreign     map[string]NodeLocal // plugins from outside that are node-local
	renorms     bool                 // one of them makes equal scores unequal
	signers     []fwk.SignPlugin
	unsigned    bool // a plugin in use cannot sign
	devices     bool // scores may depend on device classes
	postFilters []string
	hasScores   bool
	pure        bool               // what PreFilter says to a plain pod follows from its class, while the cluster is quiet
	classes     map[string]*class  // by key
	specs       remembered[string] // by the whole specification
}

// Plugins whose PreFilter, for a plain pod in a quiet cluster, follows from the pod's class.
var pureFilters = []string{names.NodeAffinity, names.NodePorts, names.NodeResourcesFit, names.VolumeRestrictions,
	names.NodeVolumeLimits, names.VolumeBinding, names.VolumeZone, names.PodTopologySpread, names.InterPodAffinity,
	names.TaintToleration, names.NodeDeclaredFeatures, names.DynamicResources, names.NodeName, names.NodeUnschedulable}

// args is what matters of a profile's plugin arguments.
type args struct {
	spreads bool // default topology spread constraints can keep pods from nodes
	devices bool // device classes are scored
}

func arguments(profiles []config.KubeSchedulerProfile, name string) (a args) {
	scored := func(list []config.ResourceSpec) {
		for _, r := range list {
			a.devices = a.devices || isDevice(v1.ResourceName(r.Name))
		}
	}
	for _, p := range profiles {
		if p.SchedulerName != name {
			continue
		}
		for _, x := range p.PluginConfig {
			switch x := x.Args.(type) {
			case *config.PodTopologySpreadArgs:
				for _, d := range x.DefaultConstraints {
					a.spreads = a.spreads || d.WhenUnsatisfiable == v1.DoNotSchedule
				}
			case *config.NodeResourcesFitArgs:
				if x.ScoringStrategy != nil {
					scored(x.ScoringStrategy.Resources)
				}
			case *config.NodeResourcesBalancedAllocationArgs:
				scored(x.Resources)
			}
		}
	}
	return a
}

// newProfile reads a profile.
func newProfile(f framework.Framework, a args, outside map[string]fwk.Plugin) *profile {
	p := &profile{devices: a.devices, scorers: map[string]scorer{}, classes: map[string]*class{},
		hasScores: f.HasScorePlugins(), foreign: map[string]NodeLocal{}}
	byName := map[string]fwk.Plugin{}
	for _, plugin := range f.EnqueueExtensions() {
		byName[plugin.Name()] = plugin
	}
	list := f.ListPlugins()
	p.pure = !a.spreads
	for _, x := range list.PreFilter.Enabled {
		p.pure = p.pure && slices.Contains(pureFilters, x.Name)
	}
	for _, x := range list.Filter.Enabled {
		p.filters = append(p.filters, x.Name)
	}
	for _, x := range list.PostFilter.Enabled {
		p.postFilters = append(p.postFilters, x.Name)
	}
	used := slices.Clone(p.filters)
	for _, x := range list.Score.Enabled {
		p.scoring = append(p.scoring, x.Name)
		p.scorers[x.Name] = scorer{int64(x.Weight), localScores[x.Name]}
		used = append(used, x.Name)
	}
	for _, name := range signing {
		if !slices.Contains(used, name) {
			continue
		}
		signer, ok := byName[name].(fwk.SignPlugin)
		if !ok {
			p.unsigned = true
			continue
		}
		p.signers = append(p.signers, signer)
	}
	p.admitForeign(used, outside)
	return p
}

// NodeLocal is what a plugin from outside kube-scheduler implements to take part. What its Filter and Score (before
// it is normalised) say of a node must follow from the fragments that NodeLocal returns for the pod, from what
// kube-scheduler's own plugins look at in it, and from the NodeInfo: its generation must change with whatever else
// the plugin keeps of the node. All instances of one plugin must answer alike.
type NodeLocal interface {
	fwk.Plugin
	NodeLocal(pod *v1.Pod) []fwk.SignFragment
}

// Renormalizing is implemented by a score plugin from outside whose NormalizeScore does not leave equal scores equal.
// It is never called.
type Renormalizing interface{ Renormalizing() }

// admitForeign has the node-local plugins from outside, among those in use, take part.
func (p *profile) admitForeign(used []string, outside map[string]fwk.Plugin) {
	slices.Sort(used)
	for _, name := range slices.Compact(used) {
		plugin, ok := outside[name].(NodeLocal)
		if !ok {
			continue
		}
		p.foreign[name] = plugin
		if x, scores := p.scorers[name]; scores {
			s, _ := plugin.(fwk.ScorePlugin)
			x.normalises = s != nil && s.ScoreExtensions() != nil
			p.scorers[name] = x
			_, always := plugin.(Renormalizing)
			p.renorms = p.renorms || always
		}
	}
}

// Reasons why an attempt takes upstream's own path, as Counts names them.
const (
	reasonUnsigned  = "the plugins do not sign the pod"
	reasonNodeNames = "the pod asks for nodes by name"
	reasonResize    = "the pod is being resized"
	reasonNoFilters = "the profile filters or scores nothing"
	reasonPlacement = "a placement of a pod group is tried"
	reasonTrial     = "preemption for a pod group is tried"
	reasonForeign   = "the pod's profile is unknown"
	reasonDevices   = "extended resources may be device classes"
	reasonImages    = "nodes have images"
)

// filtersLocal returns why the pod's filters are not node-local after PreFilter, or "".
func (p *profile) filtersLocal(state fwk.CycleState) string {
	skipped := state.GetSkipFilterPlugins()
	for _, name := range p.filters {
		if !localFilters[name] && p.foreign[name] == nil && !skipped.Has(name) {
			return "filter plugin " + name
		}
	}
	return ""
}

// scoresLocal returns why the pod's scores are not node-local after PreScore, or "".
func (p *profile) scoresLocal(state fwk.CycleState, images bool) string {
	skipped := state.GetSkipScorePlugins()
	for _, name := range p.scoring {
		if skipped.Has(name) {
			continue
		}
		if _, local := localScores[name]; !local && p.foreign[name] == nil {
			return "score plugin " + name
		}
		if images && name == names.ImageLocality {
			return reasonImages
		}
	}
	return ""
}

// key returns what the node-local plugins can tell the pod by, or false when one of them refuses to sign it.
func (p *profile) key(ctx context.Context, pod *v1.Pod) (string, bool) {
	if p.unsigned {
		return "", false
	}
	parts := map[string]any{}
	for _, plugin := range p.signers {
		fragments, status := plugin.SignPod(ctx, pod)
		if !status.IsSuccess() {
			return "", false
		}
		for _, f := range fragments {
			parts[f.Key] = f.Value
		}
	}
	for _, plugin := range p.foreign {
		for _, f := range plugin.NodeLocal(pod) {
			parts[f.Key] = f.Value
		}
	}
	parts["orrery/containers"] = containers(&pod.Spec)
	// Of the pods that are nominated to a node, those of no lower priority count.
	parts["orrery/priority"] = corev1helpers.PodPriority(pod)
	text, err := json.Marshal(parts)
	if err != nil {
		return "", false
	}
	return string(text), true
}

// container is what plugins look at in one, and signatures leave out: those say which ports of the host a pod wants,
// but not of which address and protocol, and how much it asks for in all, but not which container asks for nothing.
// Upstream can live with that: it filters again what it takes from a signature.
type container struct {
	Resources     v1.ResourceRequirements
	RestartPolicy *v1.ContainerRestartPolicy
	Ports         []v1.ContainerPort
}

func containers(spec *v1.PodSpec) any {
	list := func(cs []v1.Container) (out []container) {
		for i := range cs {
			c := container{cs[i].Resources, cs[i].RestartPolicy, nil}
			for _, p := range cs[i].Ports {
				if p.HostPort > 0 {
					c.Ports = append(c.Ports, v1.ContainerPort{HostPort: p.HostPort, HostIP: p.HostIP, Protocol: p.Protocol})
				}
			}
			out = append(out, c)
		}
		return out
	}
	return []any{list(spec.Containers), list(spec.InitContainers), spec.Overhead, spec.Resources}
}

// identity finds the class of a pod again without signing it: a pod's specification changes only with its generation.
type identity struct {
	uid        types.UID
	generation int64
}

// signed is the outcome of signing a pod.
type signed struct {
	class *class
	plain bool
	why   string
}

// plain reports whether a pod asks nothing of other pods, volumes or claims.
func plain(spec *v1.PodSpec) bool {
	if a := spec.Affinity; a != nil && (a.PodAffinity != nil || a.PodAntiAffinity != nil) {
		return false
	}
	return len(spec.TopologySpreadConstraints) == 0 && len(spec.Volumes) == 0 && len(spec.ResourceClaims) == 0 &&
		spec.SchedulingGroup == nil
}

// remembered is a bounded memory of the outcomes of signing: two generations of a map, the older one dropped when the
// younger one is full.
type remembered[K comparable] struct{ young, old map[K]signed }

const rememberedMax = 1 << 15

func (r *remembered[K]) get(key K) (signed, bool) {
	if s, ok := r.young[key]; ok {
		return s, true
	}
	s, ok := r.old[key]
	if ok {
		r.put(key, s)
	}
	return s, ok
}

func (r *remembered[K]) put(key K, s signed) {
	if r.young == nil || len(r.young) >= rememberedMax {
		r.old, r.young = r.young, map[K]signed{}
	}
	r.young[key] = s
}

func (r *remembered[K]) forget() { r.young, r.old = nil, nil }
