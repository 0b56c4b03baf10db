package operators

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// PyTorchJob is kubeflow/training-operator pkg/apis/kubeflow.org/v1/pytorch_types.go. Fields of type any are refused or
// left out as a whole.
type PyTorchJob struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              PyTorchJobSpec `json:"spec,omitempty"`
	Status            any            `json:"status,omitempty"`
}

// PyTorchJobSpec is what a PyTorchJob asks for.
type PyTorchJobSpec struct {
	RunPolicy           RunPolicy              `json:"runPolicy"`
	PyTorchReplicaSpecs map[string]ReplicaSpec `json:"pytorchReplicaSpecs"`
	ElasticPolicy       *ElasticPolicy         `json:"elasticPolicy,omitempty"`
	NprocPerNode        any                    `json:"nprocPerNode,omitempty"`
}

// RunPolicy is the life of a job.
type RunPolicy struct {
	Suspend          *bool             `json:"suspend,omitempty"`
	ManagedBy        *string           `json:"managedBy,omitempty"`
	SchedulingPolicy *SchedulingPolicy `json:"schedulingPolicy,omitempty"`

	ActiveDeadlineSeconds   any `json:"activeDeadlineSeconds,omitempty"`
	CleanPodPolicy          any `json:"cleanPodPolicy,omitempty"`
	TTLSecondsAfterFinished any `json:"ttlSecondsAfterFinished,omitempty"`
	BackoffLimit            any `json:"backoffLimit,omitempty"`
}

// SchedulingPolicy is for the gang schedulers that the operator knows.
type SchedulingPolicy struct {
	MinAvailable           *int32 `json:"minAvailable,omitempty"`
	PriorityClass          string `json:"priorityClass,omitempty"`
	Queue                  any    `json:"queue,omitempty"`
	MinResources           any    `json:"minResources,omitempty"`
	ScheduleTimeoutSeconds any    `json:"scheduleTimeoutSeconds,omitempty"`
}

// ReplicaSpec is a number of equal pods.
type ReplicaSpec struct {
	Replicas      *int32                 `json:"replicas,omitempty"`
	Template      corev1.PodTemplateSpec `json:"template,omitempty"`
	RestartPolicy string                 `json:"restartPolicy,omitempty"`
}

// ElasticPolicy is how torchrun starts the workers, and within which bounds their number may change.
type ElasticPolicy struct {
	MinReplicas *int32 `json:"minReplicas,omitempty"`
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`
	Metrics     any    `json:"metrics,omitempty"`

	RDZVBackend  any `json:"rdzvBackend,omitempty"`
	RDZVPort     any `json:"rdzvPort,omitempty"`
	RDZVHost     any `json:"rdzvHost,omitempty"`
	RDZVID       any `json:"rdzvId,omitempty"`
	RDZVConf     any `json:"rdzvConf,omitempty"`
	Standalone   any `json:"standalone,omitempty"`
	NProcPerNode any `json:"nProcPerNode,omitempty"`
	MaxRestarts  any `json:"maxRestarts,omitempty"`
}

// DeepCopyObject implements runtime.Object.
func (o *PyTorchJob) DeepCopyObject() runtime.Object { return deepCopy(o) }

const (
	kubeflowDomain    = "training.kubeflow.org/"
	pytorchController = "pytorchjob-controller"
	kubeflowManager   = "kubeflow.org/training-operator"
	replicaMaster     = "Master"
	replicaWorker     = "Worker"
)

func (o *PyTorchJob) expand(e *Expansion) {
	const specs = "spec.pytorchReplicaSpecs"
	job := Job{Name: o.Name, Namespace: o.Namespace}
	for _, kind := range slices.Sorted(maps.Keys(o.Spec.PyTorchReplicaSpecs)) {
		path := specs + "." + kind
		if kind != replicaMaster && kind != replicaWorker {
			e.refuse(path, "%q is no kind of replica; write %s or %s", kind, replicaMaster, replicaWorker)
			continue
		}
		r := o.Spec.PyTorchReplicaSpecs[kind]
		e.template(&r.Template, path+".template")
		n := e.count(r.Replicas, path+".replicas", 1)
		if kind == replicaMaster && n > 1 {
			e.refuse(path+".replicas", "%d masters: a PyTorchJob has one; write 1", n)
		}
		lower := strings.ToLower(kind)
		for i := range n {
			labels := map[string]string{kubeflowDomain + "operator-name": pytorchController,
				kubeflowDomain + "job-name": o.Name, kubeflowDomain + "replica-type": lower,
				kubeflowDomain + "replica-index": strconv.Itoa(i)}
			if kind == replicaMaster {
				labels[kubeflowDomain+"job-role"] = lower
			}
			job.Pods = append(job.Pods, pod(&r.Template, o.Namespace, fmt.Sprintf("%s-%s-%d", o.Name, lower, i), labels))
		}
	}
	if len(o.Spec.PyTorchReplicaSpecs) == 0 {
		e.refuse("spec", "no pytorchReplicaSpecs; write %s, %s or both", replicaMaster, replicaWorker)
	}
	o.checkPolicies(e, len(job.Pods))
	e.Jobs = []Job{job}
}

func (o *PyTorchJob) checkPolicies(e *Expansion, pods int) {
	run := &o.Spec.RunPolicy
	e.running(run.Suspend, "spec.runPolicy.suspend")
	e.managed(run.ManagedBy, "spec.runPolicy.managedBy", kubeflowManager)
	e.absent(run.ActiveDeadlineSeconds, "spec.runPolicy.activeDeadlineSeconds",
		"write the length of the work into annotation orrery.dev/run")
	if p := run.SchedulingPolicy; p != nil {
		at := "spec.runPolicy.schedulingPolicy"
		if p.MinAvailable != nil && int(*p.MinAvailable) != pods {
			e.refuse(at+".minAvailable", "%d of %d pods: a gang has all pods of the job; leave it out", *p.MinAvailable, pods)
		}
		if p.PriorityClass != "" {
			e.refuse(at+".priorityClass", "not simulated; write priorityClassName in the pod templates")
		}
	}
	if p := o.Spec.ElasticPolicy; p != nil {
		e.absent(p.Metrics, "spec.elasticPolicy.metrics", "the number of workers is fixed: leave it out")
		workers := 0
		if r, ok := o.Spec.PyTorchReplicaSpecs[replicaWorker]; ok {
			workers = e.count(r.Replicas, "spec.pytorchReplicaSpecs.Worker.replicas", 1)
		}
		for _, x := range []struct {
			name  string
			value *int32
		}{{"minReplicas", p.MinReplicas}, {"maxReplicas", p.MaxReplicas}} {
			if x.value != nil && int(*x.value) != workers {
				e.refuse("spec.elasticPolicy."+x.name, "%d: the number of workers is fixed; write %d, that of "+
					"pytorchReplicaSpecs.Worker", *x.value, workers)
			}
		}
	}
}
