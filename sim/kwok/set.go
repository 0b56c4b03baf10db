package kwok

import (
	"context"
	"fmt"
	"reflect"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/utils/cel"
	"sigs.k8s.io/kwok/pkg/utils/lifecycle"

	"orrery/sim/units"
)

// Set is the compiled stages of a run, by the kind of object they apply to. It belongs to one Controller.
type Set struct {
	files []*internalversion.Stage
	cycle map[reflect.Type]*cycle // by Go type of the object, a pointer
}

// cycle is the stages of one kind, in the order of the files.
type cycle struct {
	gvr    schema.GroupVersionResource
	stages []*stage
	typed  bool // some stage uses CEL, which sees Go types
	native bool // every stage has a native form
	names  map[*lifecycle.Stage]*stage
	upper  lifecycle.Lifecycle // KWOK's own
}

// stage is one stage of a cycle.
type stage struct {
	name      string
	spec      *internalversion.Stage
	upstream  *lifecycle.Stage
	native    *native // nil: only the general form
	immediate bool
}

// kind is what must be known of a resource to watch and change it.
type kind struct {
	object reflect.Type
	gvr    schema.GroupVersionResource
}

// kindOf finds the kind a stage refers to among Kubernetes' own.
func kindOf(ref internalversion.StageResourceRef) (kind, bool) {
	gv, err := schema.ParseGroupVersion(ref.APIGroup)
	if err != nil {
		return kind{}, false
	}
	gvk := gv.WithKind(ref.Kind)
	obj, err := scheme.Scheme.New(gvk)
	if err != nil {
		return kind{}, false
	}
	gvr, _ := meta.UnsafeGuessKindToResource(gvk)
	return kind{reflect.TypeOf(obj), gvr}, true
}

func newSet() *Set { return &Set{cycle: map[reflect.Type]*cycle{}} }

// add takes a checked stage.
func (s *Set) add(spec *internalversion.Stage) {
	s.files = append(s.files, spec)
	k, _ := kindOf(spec.Spec.ResourceRef)
	c := s.cycle[k.object]
	if c == nil {
		c = &cycle{gvr: k.gvr, native: true, names: map[*lifecycle.Stage]*stage{}}
		s.cycle[k.object] = c
	}
	st := &stage{name: spec.Name, spec: spec, upstream: lifecycle.NewStage(spec), native: nativeOf(spec),
		immediate: spec.Spec.ImmediateNextStage}
	c.stages = append(c.stages, st)
	c.upper = append(c.upper, st.upstream)
	c.names[st.upstream] = st
	c.native = c.native && st.native != nil
	c.typed = c.typed || usesCEL(spec)
}

// compile makes KWOK compile its expressions now, which it otherwise does at first use: on an empty object of the kind.
func (s *Set) compile() error {
	for _, f := range s.files {
		k, _ := kindOf(f.Spec.ResourceRef)
		c := s.cycle[k.object]
		v, err := c.view(reflect.New(k.object.Elem()).Interface().(runtime.Object), nil)
		if err != nil {
			return err
		}
		if _, err := c.upper.ListAllPossible(context.Background(), v.event()); err != nil && !c.typed {
			return fmt.Errorf("compiling stage %s: %w", f.Name, err)
		}
	}
	return nil
}

// Names returns the names of the stages, in the order of the files.
func (s *Set) Names() []string {
	var out []string
	for _, f := range s.files {
		out = append(out, f.Name)
	}
	return out
}

func usesCEL(s *internalversion.Stage) bool {
	if s.Spec.Selector != nil {
		for _, e := range s.Spec.Selector.MatchExpressions {
			if e.JQ == nil && e.CEL != nil {
				return true
			}
		}
	}
	if w := s.Spec.WeightFrom; w != nil && w.CEL != nil {
		return true
	}
	d := s.Spec.Delay
	return d != nil && d.DurationFrom != nil && d.DurationFrom.CEL != nil
}

var celRand = regexp.MustCompile(`\bRand\s*\(`)

// checkCEL compiles an expression as KWOK would for an object of the kind.
func checkCEL(bad func(string, string, ...any), path, src string, ref internalversion.StageResourceRef) {
	if celRand.MatchString(src) {
		bad(path, "%s: Rand() would make the run differ each time; use weights or a jitter instead", path)
		return
	}
	var self any = map[string]any{}
	switch k, _ := kindOf(ref); k.object {
	case reflect.TypeFor[*corev1.Pod]():
		self = (*corev1.Pod)(nil)
	case reflect.TypeFor[*corev1.Node]():
		self = (*corev1.Node)(nil)
	}
	env, err := cel.NewEnvironment(cel.EnvironmentConfig{Types: cel.DefaultTypes, Conversions: cel.DefaultConversions,
		Methods: cel.FuncsToMethods(cel.DefaultFuncs), Funcs: cel.DefaultFuncs, Vars: map[string]any{"self": self}})
	if err == nil {
		_, err = env.Compile(src)
	}
	if err != nil {
		bad(path, "%s: %q is no CEL expression: %v", path, src, err)
	}
}

// span is a stage's delay before the draw: uniform from Low to High when Jitter, else Low.
type span struct {
	low, high units.Duration
	jitter    bool
}

// draw picks the delay at the fraction u ≥ 0, u < 1 of the span. As in KWOK, an upper end that is not above the lower
// one is the delay.
func (s span) draw(u float64) units.Duration {
	switch {
	case !s.jitter:
		return s.low
	case s.high <= s.low:
		return s.high
	}
	return s.low + units.Duration(u*float64(s.high-s.low))
}

// random reports whether the delay depends on the draw.
func (s span) random() bool { return s.jitter && s.high > s.low }

// candidates returns the stages that may be next for the object, in the order of the files, by KWOK's rules.
func (c *cycle) candidates(v *view) ([]*stage, error) {
	if c.native && !v.general {
		for _, s := range c.stages {
			if s.native.match(v) {
				return []*stage{s}, nil // the shipped stages exclude each other
			}
		}
		return nil, nil
	}
	list, err := c.upper.ListAllPossible(context.Background(), v.event())
	if err != nil {
		return nil, err
	}
	out := make([]*stage, len(list))
	for i, s := range list {
		out[i] = c.names[s]
	}
	return out, nil
}

// pick draws one of the candidates by weight, uniformly when none has a weight above 0. roll returns a number ≥ 0
// and < n; it is asked only when there is a choice.
func pick(list []*stage, v *view, roll func(n int64) int64) (*stage, error) {
	if len(list) == 1 {
		return list[0], nil
	}
	weights := make([]int64, len(list))
	var total int64
	for i, s := range list {
		w, ok, err := s.upstream.Weight(context.Background(), v.event())
		if err != nil {
			return nil, fmt.Errorf("weight of stage %s: %w", s.name, err)
		}
		if ok && w > 0 {
			weights[i] = w
			total += w
		}
	}
	if total == 0 {
		return list[roll(int64(len(list)))], nil
	}
	at := roll(total)
	for i, w := range weights {
		if at -= w; at < 0 {
			return list[i], nil
		}
	}
	panic("kwok: a roll beyond the total weight")
}

// delay evaluates the delay of a stage that begins to wait at now, an instant of objects.
func (s *stage) delay(v *view) (span, error) {
	if s.native != nil && !v.general {
		return s.native.delay(v), nil
	}
	d, ok, err := s.upstream.DelayRangePossible(context.Background(), v.event(), v.since)
	switch {
	case err != nil:
		return span{}, fmt.Errorf("delay of stage %s: %w", s.name, err)
	case !ok:
		return span{}, nil
	case len(d) == 1:
		return span{low: d[0]}, nil
	}
	return span{d[0], d[1], true}, nil
}
