package operators

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// TrainJob is kubeflow/trainer pkg/apis/trainer/v1alpha1/trainjob_types.go. Fields of type any are refused or left out
// as a whole.
type TrainJob struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              TrainJobSpec `json:"spec,omitempty"`
	Status            any          `json:"status,omitempty"`
}

// TrainJobSpec is what a TrainJob asks for.
type TrainJobSpec struct {
	RuntimeRef RuntimeRef `json:"runtimeRef"`
	Trainer    *Trainer   `json:"trainer,omitempty"`
	Suspend    *bool      `json:"suspend,omitempty"`
	ManagedBy  *string    `json:"managedBy,omitempty"`

	Initializer           any               `json:"initializer,omitempty"`
	RuntimePatches        any               `json:"runtimePatches,omitempty"`
	PodTemplateOverrides  any               `json:"podTemplateOverrides,omitempty"`
	ActiveDeadlineSeconds any               `json:"activeDeadlineSeconds,omitempty"`
	Labels                map[string]string `json:"labels,omitempty"`
	Annotations           map[string]string `json:"annotations,omitempty"`
}

// RuntimeRef names the blueprint of a TrainJob.
type RuntimeRef struct {
	Name     string  `json:"name"`
	APIGroup *string `json:"apiGroup,omitempty"`
	Kind     *string `json:"kind,omitempty"`
}

// Trainer is the part of a TrainJob that trains.
type Trainer struct {
	NumNodes         *int32                       `json:"numNodes,omitempty"`
	ResourcesPerNode *corev1.ResourceRequirements `json:"resourcesPerNode,omitempty"`

	Image          any `json:"image,omitempty"`
	Command        any `json:"command,omitempty"`
	Args           any `json:"args,omitempty"`
	Env            any `json:"env,omitempty"`
	NumProcPerNode any `json:"numProcPerNode,omitempty"`
}

// DeepCopyObject implements runtime.Object.
func (o *TrainJob) DeepCopyObject() runtime.Object { return deepCopy(o) }

// The built-in runtime (manifests/base/runtimes/torch_distributed.yaml).
const (
	torchRuntime     = "torch-distributed"
	torchRuntimeKind = "ClusterTrainingRuntime"
	torchNode        = "node" // its replicated job and container
	trainController  = "trainer.kubeflow.org/trainjob-controller"
)

func (o *TrainJob) expand(e *Expansion) {
	s := &o.Spec
	if r := s.RuntimeRef; r.Name != torchRuntime || r.Kind != nil && *r.Kind != torchRuntimeKind {
		e.refuse("spec.runtimeRef", "the only runtime is the %s %s; write it, or a JobSet of what your runtime makes",
			torchRuntimeKind, torchRuntime)
	}
	e.running(s.Suspend, "spec.suspend")
	e.managed(s.ManagedBy, "spec.managedBy", trainController)
	e.absent(s.Initializer, "spec.initializer", "the runtime has no step for it: leave it out")
	e.absent(s.RuntimePatches, "spec.runtimePatches", "write a JobSet of the patched runtime")
	e.absent(s.PodTemplateOverrides, "spec.podTemplateOverrides", "write a JobSet of the changed runtime")
	e.absent(s.ActiveDeadlineSeconds, "spec.activeDeadlineSeconds",
		"write the length of the work into annotation orrery.dev/run")
	nodes := int32(1)
	c := corev1.Container{Name: torchNode, Image: "pytorch/pytorch"}
	if t := s.Trainer; t != nil {
		nodes = int32(e.count(t.NumNodes, "spec.trainer.numNodes", 1))
		if t.ResourcesPerNode != nil {
			c.Resources = *t.ResourcesPerNode
		}
	}
	set := JobSet{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name}}
	r := ReplicatedJob{Name: torchNode}
	r.Template.Spec = batchv1.JobSpec{Parallelism: &nodes, Completions: &nodes,
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{c}}}}
	set.Spec.ReplicatedJobs = []ReplicatedJob{r}
	set.expand(e)
}
