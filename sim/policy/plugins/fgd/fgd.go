package fgd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"sigs.k8s.io/yaml"

	"orrery/sim/kube/gpushare"
	"orrery/sim/policy/plugins/gpus"
	"orrery/sim/policy/plugins/plugin"
	"orrery/sim/units"
)

// Name of the plugin.
const Name = "FGD"

// ConfigMapKey is the key of a ConfigMap under which typical pods are listed, in the form of Args.TypicalPods.
const ConfigMapKey = "typical-pods.yaml"

// Args are the plugin's arguments: exactly one.
type Args struct {
	// TypicalPods are the pods typical of the cluster.
	TypicalPods []Shape `json:"typicalPods,omitempty"`
	// TypicalPodsConfigMap names a ConfigMap, namespace/name, that lists them under ConfigMapKey. It is read once, when
	// the first pod is scheduled.
	TypicalPodsConfigMap string `json:"typicalPodsConfigMap,omitempty"`
}

// Plugin is its entry in the list.
func Plugin() plugin.Plugin {
	p := plugin.Plugin{Name: Name,
		Summary: "fragmentation gradient descent: where a pod adds least to GPU capacity that typical pods cannot use",
		Points:  []string{"preFilter", "score"},
		Args:    func() any { return &Args{} },
		Check:   func(args any) error { return args.(*Args).check() }}
	return p.With(func(env plugin.Env, args any, h fwk.Handle) fwk.Plugin {
		return newFGD(env, *args.(*Args), h)
	})
}

func (a *Args) check() error {
	switch {
	case len(a.TypicalPods) > 0 && a.TypicalPodsConfigMap != "":
		return errors.New("typicalPods and typicalPodsConfigMap are both given; remove one")
	case len(a.TypicalPods) > 0:
		return checkShapes(a.TypicalPods)
	case strings.Count(a.TypicalPodsConfigMap, "/") != 1:
		return errors.New("write typicalPods, a list of {cpuMilli, gpus, gpuMilli, count}, or typicalPodsConfigMap: " +
			"NAMESPACE/NAME")
	}
	return nil
}

// countMax bounds counts so that fragments stay below 2⁶³: 1,024 GPUs a node times their thousandths leave 10¹².
const countMax = 1_000_000_000

func checkShapes(shapes []Shape) error {
	var errs []error
	for i, s := range shapes {
		switch {
		case s.Count < 0 || s.Count > countMax || s.CPUMilli < 0:
			errs = append(errs, fmt.Errorf("typicalPods[%d]: count must be 0 to %d, cpuMilli at least 0", i, countMax))
		case s.GPUs < 0 || s.GPUMilli < 0 || s.GPUMilli > int64(units.GPU) || (s.GPUs == 0) != (s.GPUMilli == 0):
			errs = append(errs, fmt.Errorf("typicalPods[%d]: gpuMilli must be 1 to 1000 of each of the gpus, or both 0", i))
		}
	}
	if len(ordered(shapes)) == 0 {
		errs = append(errs, errors.New("no typical pod has a count above 0"))
	}
	return errors.Join(errs...)
}

type fgd struct {
	gpus.Local
	book *gpus.Book
	args Args
	maps corelisters.ConfigMapLister

	once   sync.Once
	frag   *fragmentation
	failed *fwk.Status
	before map[string]known // by node
}

// known is the fragmentation of a node as it is now.
type known struct {
	node *gpus.Node
	frag int64
}

var (
	_ fwk.PreFilterPlugin = (*fgd)(nil)
	_ fwk.ScorePlugin     = (*fgd)(nil)
	_ fwk.SignPlugin      = (*fgd)(nil)
)

func newFGD(env plugin.Env, args Args, h fwk.Handle) *fgd {
	f := &fgd{book: env.GPUs, args: args, before: map[string]known{}}
	if args.TypicalPodsConfigMap != "" {
		f.maps = h.SharedInformerFactory().Core().V1().ConfigMaps().Lister()
	}
	return f
}

// Name implements fwk.Plugin.
func (*fgd) Name() string { return Name }

// EventsToRegister implements fwk.EnqueueExtensions: a pod that could not be scheduled because the list of typical pods
// is not there waits for any ConfigMap, which the scheduler does not watch; new nodes and deletions will have to do.
func (*fgd) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		{Event: fwk.ClusterEvent{Resource: fwk.AssignedPod, ActionType: fwk.Delete}},
		{Event: fwk.ClusterEvent{Resource: fwk.Node, ActionType: fwk.Add}},
	}, nil
}

// PreFilter implements fwk.PreFilterPlugin: it says how the GPU will be chosen.
func (f *fgd) PreFilter(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ []fwk.NodeInfo) (*fwk.PreFilterResult,
	*fwk.Status) {
	f.once.Do(f.prepare)
	if f.failed != nil {
		return nil, f.failed
	}
	ask := gpus.Asked(state, pod)
	gpus.SetChoice(state, func(n *gpus.Node, _ gpushare.Request) int {
		_, gpu := f.frag.place(n, ask, f.now(n))
		return gpu
	})
	return nil, nil
}

// PreFilterExtensions implements fwk.PreFilterPlugin.
func (*fgd) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

// prepare reads the typical pods.
func (f *fgd) prepare() {
	shapes := f.args.TypicalPods
	if f.maps != nil {
		var err error
		if shapes, err = readConfigMap(f.maps, f.args.TypicalPodsConfigMap); err != nil {
			f.failed = fwk.NewStatus(fwk.UnschedulableAndUnresolvable, err.Error())
			return
		}
	}
	f.frag = newFragmentation(ordered(shapes))
}

func readConfigMap(maps corelisters.ConfigMapLister, name string) ([]Shape, error) {
	ns, short, _ := strings.Cut(name, "/")
	cm, err := maps.ConfigMaps(ns).Get(short)
	if err != nil {
		return nil, fmt.Errorf("typical pods: ConfigMap %s cannot be read: %w", name, err)
	}
	var shapes []Shape
	if err := yaml.UnmarshalStrict([]byte(cm.Data[ConfigMapKey]), &shapes); err != nil {
		return nil, fmt.Errorf("typical pods: ConfigMap %s, key %s: %w", name, ConfigMapKey, err)
	}
	if err := checkShapes(shapes); err != nil {
		return nil, fmt.Errorf("typical pods: ConfigMap %s, key %s: %w", name, ConfigMapKey, err)
	}
	return shapes, nil
}

// now returns the fragments of a node as it is.
func (f *fgd) now(n *gpus.Node) int64 {
	if k := f.before[n.Name]; k.node == n {
		return k.frag
	}
	frag := f.frag.of(n.Model, n.CPULeft, n.Left)
	f.before[n.Name] = known{n, frag}
	return frag
}

// Score implements fwk.ScorePlugin.
func (f *fgd) Score(_ context.Context, state fwk.CycleState, pod *v1.Pod, info fwk.NodeInfo) (int64, *fwk.Status) {
	n := f.book.Node(info)
	score, _ := f.frag.place(n, gpus.Asked(state, pod), f.now(n))
	return score, nil
}

// ScoreExtensions implements fwk.ScorePlugin.
func (*fgd) ScoreExtensions() fwk.ScoreExtensions { return nil }
