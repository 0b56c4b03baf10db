package operators

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Job is a set of pods that an operator makes at once and that do one piece of work.
type Job struct {
	Name      string // of the object; of a LeaderWorkerSet <name>-<group>
	Namespace string
	Pods      []*corev1.Pod // at least one
	// Restart says that the operator makes all pods anew when one is lost.
	Restart bool
}

// Expansion is what becomes of one object.
type Expansion struct {
	Kind     string
	Jobs     []Job
	Problems []Problem
	taken    map[string]bool // generated names
	// Leaves says what the operator would make and the mapping does not; "" = nothing.
	Leaves string
}

// Problem is a field that cannot be followed.
type Problem struct {
	Path string // like spec.replicatedJobs[0].template
	Say  string // what is wrong with it and what to write instead
}

// object is an object that can be mapped.
type object interface {
	runtime.Object
	metav1.Object
	expand(e *Expansion)
}

// Scheme returns the types of the operators' APIs, with the fields that the mapping knows.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, x := range []struct {
		group, version string
		types          []runtime.Object
	}{
		{"jobset.x-k8s.io", "v1alpha2", []runtime.Object{&JobSet{}}},
		{"trainer.kubeflow.org", "v1alpha1", []runtime.Object{&TrainJob{}}},
		{"kubeflow.org", "v1", []runtime.Object{&PyTorchJob{}}},
		{"ray.io", "v1", []runtime.Object{&RayCluster{}, &RayJob{}}},
		{"leaderworkerset.x-k8s.io", "v1", []runtime.Object{&LeaderWorkerSet{}}},
	} {
		s.AddKnownTypes(schema.GroupVersion{Group: x.group, Version: x.version}, x.types...)
	}
	return s
}

// Owns reports whether the object is one that Expand maps.
func Owns(obj runtime.Object) bool {
	_, ok := obj.(object)
	return ok
}

// Expand maps an object for which Owns is true. Without a namespace it is in "default". With problems it has no jobs.
func Expand(obj runtime.Object) Expansion {
	o := obj.(object)
	if o.GetNamespace() == "" {
		o.SetNamespace(corev1.NamespaceDefault)
	}
	e := Expansion{Kind: obj.GetObjectKind().GroupVersionKind().Kind}
	if o.GetName() == "" {
		e.refuse("metadata", "a name is required: the pods are named after it")
	}
	o.expand(&e)
	if len(e.Problems) > 0 {
		e.Jobs, e.Leaves = nil, ""
		return e
	}
	n := 0
	for _, j := range e.Jobs {
		n += len(j.Pods)
	}
	if n == 0 {
		e.Jobs, e.Leaves = nil, ""
		e.refuse("spec", "it has no pods; write more replicas, or remove the object")
	}
	return e
}

func (e *Expansion) refuse(path, format string, args ...any) {
	e.Problems = append(e.Problems, Problem{Path: path, Say: fmt.Sprintf(format, args...)})
}

// absent refuses a field that is there; say is what to do instead.
func (e *Expansion) absent(value any, path, say string) {
	if value != nil {
		e.refuse(path, "not simulated; %s", say)
	}
}

// running refuses suspended objects.
func (e *Expansion) running(suspend *bool, path string) {
	if suspend != nil && *suspend {
		e.refuse(path, "nobody resumes the object; write false, and the annotation orrery.dev/submit for a later start")
	}
}

// managed refuses objects that are left to another controller than their own.
func (e *Expansion) managed(by *string, path, own string) {
	if by != nil && *by != own {
		e.refuse(path, "no controller %q runs; write %s, or leave it out", *by, own)
	}
}

// mostPods is the most pods one object may have, far beyond any real one: a mistyped number must not fill the memory.
const mostPods = 100_000

// times returns how many pods a groups of b pods are, and refuses too many.
func (e *Expansion) times(a, b int, path string) int {
	if a*b > mostPods {
		e.refuse(path, "%d × %d pods are more than the %d that one object may have", a, b, mostPods)
		return 0
	}
	return a * b
}

// count returns a number of things with its default, and refuses negative ones.
func (e *Expansion) count(n *int32, path string, otherwise int) int {
	if n == nil {
		return otherwise
	}
	if *n < 0 {
		e.refuse(path, "%d is negative; write 0 or more", *n)
		return 0
	}
	return e.times(int(*n), 1, path)
}

// deepCopy returns a copy that shares nothing.
func deepCopy[T any](in *T) *T {
	text, err := json.Marshal(in)
	if err != nil {
		panic(fmt.Sprintf("operators: %T has no JSON form: %v", in, err))
	}
	out := new(T)
	if err := json.Unmarshal(text, out); err != nil {
		panic(fmt.Sprintf("operators: the JSON form of %T is none: %v", in, err))
	}
	return out
}
