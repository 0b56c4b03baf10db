package operators

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// RayCluster is ray-project/kuberay ray-operator/apis/ray/v1/raycluster_types.go. Fields of type any are refused or
// left out as a whole.
type RayCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              RayClusterSpec `json:"spec,omitempty"`
	Status            any            `json:"status,omitempty"`
}

// RayClusterSpec is what a RayCluster asks for.
type RayClusterSpec struct {
	HeadGroupSpec           HeadGroupSpec     `json:"headGroupSpec"`
	WorkerGroupSpecs        []WorkerGroupSpec `json:"workerGroupSpecs,omitempty"`
	EnableInTreeAutoscaling *bool             `json:"enableInTreeAutoscaling,omitempty"`
	Suspend                 *bool             `json:"suspend,omitempty"`
	ManagedBy               *string           `json:"managedBy,omitempty"`

	RayVersion              any `json:"rayVersion,omitempty"`
	AutoscalerOptions       any `json:"autoscalerOptions,omitempty"`
	HeadServiceAnnotations  any `json:"headServiceAnnotations,omitempty"`
	GcsFaultToleranceOption any `json:"gcsFaultToleranceOptions,omitempty"`
	AuthOptions             any `json:"authOptions,omitempty"`
}

// HeadGroupSpec is the head pod.
type HeadGroupSpec struct {
	Template corev1.PodTemplateSpec `json:"template"`

	RayStartParams any `json:"rayStartParams,omitempty"`
	ServiceType    any `json:"serviceType,omitempty"`
	HeadService    any `json:"headService,omitempty"`
	EnableIngress  any `json:"enableIngress,omitempty"`
	Resources      any `json:"resources,omitempty"`
	Labels         any `json:"labels,omitempty"`
}

// WorkerGroupSpec is a number of equal workers.
type WorkerGroupSpec struct {
	GroupName   string                 `json:"groupName"`
	Replicas    *int32                 `json:"replicas,omitempty"`
	MinReplicas *int32                 `json:"minReplicas,omitempty"`
	MaxReplicas *int32                 `json:"maxReplicas,omitempty"`
	NumOfHosts  *int32                 `json:"numOfHosts,omitempty"`
	Suspend     *bool                  `json:"suspend,omitempty"`
	Template    corev1.PodTemplateSpec `json:"template"`

	RayStartParams     any `json:"rayStartParams,omitempty"`
	ScaleStrategy      any `json:"scaleStrategy,omitempty"`
	IdleTimeoutSeconds any `json:"idleTimeoutSeconds,omitempty"`
	Resources          any `json:"resources,omitempty"`
	Labels             any `json:"labels,omitempty"`
}

// RayJob is ray-project/kuberay ray-operator/apis/ray/v1/rayjob_types.go.
type RayJob struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              RayJobSpec `json:"spec,omitempty"`
	Status            any        `json:"status,omitempty"`
}

// RayJobSpec is what a RayJob asks for.
type RayJobSpec struct {
	RayClusterSpec           *RayClusterSpec `json:"rayClusterSpec,omitempty"`
	SubmissionMode           string          `json:"submissionMode,omitempty"`
	ShutdownAfterJobFinishes bool            `json:"shutdownAfterJobFinishes,omitempty"`
	TTLSecondsAfterFinished  int32           `json:"ttlSecondsAfterFinished,omitempty"`
	Suspend                  *bool           `json:"suspend,omitempty"`
	ManagedBy                *string         `json:"managedBy,omitempty"`

	ActiveDeadlineSeconds any `json:"activeDeadlineSeconds,omitempty"`
	SubmitterPodTemplate  any `json:"submitterPodTemplate,omitempty"`
	ClusterSelector       any `json:"clusterSelector,omitempty"`
	DeletionStrategy      any `json:"deletionStrategy,omitempty"`
	Schedule              any `json:"schedule,omitempty"`

	BackoffLimit        any `json:"backoffLimit,omitempty"`
	Metadata            any `json:"metadata,omitempty"`
	SubmitterConfig     any `json:"submitterConfig,omitempty"`
	Entrypoint          any `json:"entrypoint,omitempty"`
	RuntimeEnvYAML      any `json:"runtimeEnvYAML,omitempty"`
	JobID               any `json:"jobId,omitempty"`
	EntrypointResources any `json:"entrypointResources,omitempty"`
	EntrypointNumCpus   any `json:"entrypointNumCpus,omitempty"`
	EntrypointNumGpus   any `json:"entrypointNumGpus,omitempty"`
}

// DeepCopyObject implements runtime.Object.
func (o *RayCluster) DeepCopyObject() runtime.Object { return deepCopy(o) }

// DeepCopyObject implements runtime.Object.
func (o *RayJob) DeepCopyObject() runtime.Object { return deepCopy(o) }

const (
	rayDomain     = "ray.io/"
	rayOperator   = rayDomain + "kuberay-operator"
	rayHeadGroup  = "headgroup"
	rayHead       = "head"
	rayWorker     = "worker"
	rayMaxPrefix  = 50 // of a pod's name: utils.PodGenerateName
	submitterMode = "K8sJobMode"
)

func (o *RayCluster) expand(e *Expansion) {
	e.Jobs = []Job{{Name: o.Name, Namespace: o.Namespace, Pods: e.rayPods(&o.Spec, "spec", o.Namespace, o.Name)}}
}

func (o *RayJob) expand(e *Expansion) {
	s := &o.Spec
	e.running(s.Suspend, "spec.suspend")
	e.managed(s.ManagedBy, "spec.managedBy", rayOperator)
	e.absent(s.ActiveDeadlineSeconds, "spec.activeDeadlineSeconds",
		"write the length of the work into annotation orrery.dev/run")
	e.absent(s.SubmitterPodTemplate, "spec.submitterPodTemplate", "the submitter's pod is left out: remove it")
	e.absent(s.ClusterSelector, "spec.clusterSelector", "write rayClusterSpec: each RayJob has its own cluster")
	e.absent(s.DeletionStrategy, "spec.deletionStrategy", "write shutdownAfterJobFinishes: true")
	e.absent(s.Schedule, "spec.schedule", "write one RayJob for each time, with annotation orrery.dev/submit")
	if !s.ShutdownAfterJobFinishes {
		e.refuse("spec.shutdownAfterJobFinishes", "false leaves the cluster behind when the job is done; write true, or a "+
			"RayCluster, whose pods run until they are stopped")
	}
	if s.TTLSecondsAfterFinished != 0 {
		e.refuse("spec.ttlSecondsAfterFinished", "a cluster that outlives its job is not simulated; leave it out, and add "+
			"the time to annotation orrery.dev/run")
	}
	switch s.SubmissionMode {
	case "", submitterMode:
		e.Leaves = "the pod that submits the job (500m CPU; submissionMode HTTPMode has none)"
	case "HTTPMode", "InteractiveMode", "SidecarMode":
	default:
		e.refuse("spec.submissionMode", "%q is no mode; write HTTPMode", s.SubmissionMode)
	}
	if s.RayClusterSpec == nil {
		e.refuse("spec", "no rayClusterSpec; write one")
		return
	}
	cluster := o.Name + "-raycluster-" + suffix(o.Namespace, o.Name, 0)
	e.Jobs = []Job{{Name: o.Name, Namespace: o.Namespace,
		Pods: e.rayPods(s.RayClusterSpec, "spec.rayClusterSpec", o.Namespace, cluster)}}
}

// rayPods makes the pods of a cluster.
func (e *Expansion) rayPods(s *RayClusterSpec, path, namespace, cluster string) (out []*corev1.Pod) {
	e.running(s.Suspend, path+".suspend")
	e.managed(s.ManagedBy, path+".managedBy", rayOperator)
	if s.EnableInTreeAutoscaling != nil && *s.EnableInTreeAutoscaling {
		e.refuse(path+".enableInTreeAutoscaling", "the number of workers is fixed; write false, and replicas")
	}
	e.template(&s.HeadGroupSpec.Template, path+".headGroupSpec.template")
	e.absent(s.HeadGroupSpec.Resources, path+".headGroupSpec.resources", "write them in the template's container")
	out = append(out, e.rayPod(&s.HeadGroupSpec.Template, namespace, cluster, rayHead, rayHeadGroup, cluster, 0))
	names := map[string]bool{}
	for i := range s.WorkerGroupSpecs {
		w, at := &s.WorkerGroupSpecs[i], fmt.Sprintf("%s.workerGroupSpecs[%d]", path, i)
		e.running(w.Suspend, at+".suspend")
		e.template(&w.Template, at+".template")
		e.absent(w.Resources, at+".resources", "write them in the template's container")
		if w.GroupName == "" || names[w.GroupName] {
			e.refuse(at+".groupName", "%q: each group of workers needs a name of its own", w.GroupName)
		}
		names[w.GroupName] = true
		least := e.count(w.MinReplicas, at+".minReplicas", 0)
		n := max(e.count(w.Replicas, at+".replicas", least), least)
		if most := e.count(w.MaxReplicas, at+".maxReplicas", n); least <= most {
			n = min(n, most)
		} else {
			e.refuse(at+".minReplicas", "%d is more than maxReplicas %d; exchange them", least, most)
		}
		for k := range e.times(n, e.count(w.NumOfHosts, at+".numOfHosts", 1), at) {
			out = append(out, e.rayPod(&w.Template, namespace, cluster, rayWorker, w.GroupName, cluster+"-"+w.GroupName, k))
		}
	}
	return out
}

// rayPod makes one pod. Labels of the template win over those that are not about the cluster.
func (e *Expansion) rayPod(t *corev1.PodTemplateSpec, namespace, cluster, kind, group, prefix string,
	index int) *corev1.Pod {
	if len(prefix) > rayMaxPrefix {
		prefix = prefix[:rayMaxPrefix]
	}
	base := strings.ToLower(prefix + "-" + kind + "-")
	labels := map[string]string{rayDomain + "cluster": cluster, rayDomain + "node-type": kind, rayDomain + "group": group}
	for key, value := range map[string]string{rayDomain + "is-ray-node": "yes",
		rayDomain + "identifier": cluster + "-" + kind, "app.kubernetes.io/name": "kuberay",
		"app.kubernetes.io/created-by": "kuberay-operator"} {
		if _, own := t.Labels[key]; !own {
			labels[key] = value
		}
	}
	return pod(t, namespace, e.generate(namespace, base, index), labels)
}
