package operators

import (
	"fmt"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
)

// JobSet is kubernetes-sigs/jobset api/jobset/v1alpha2/jobset_types.go. Fields of type any are refused or left out as a
// whole.
type JobSet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              JobSetSpec `json:"spec,omitempty"`
	Status            any        `json:"status,omitempty"`
}

// JobSetSpec is what a JobSet asks for.
type JobSetSpec struct {
	ReplicatedJobs []ReplicatedJob      `json:"replicatedJobs,omitempty"`
	SuccessPolicy  *JobSetSuccessPolicy `json:"successPolicy,omitempty"`
	FailurePolicy  *JobSetFailurePolicy `json:"failurePolicy,omitempty"`
	StartupPolicy  *JobSetStartupPolicy `json:"startupPolicy,omitempty"`
	Suspend        *bool                `json:"suspend,omitempty"`
	ManagedBy      *string              `json:"managedBy,omitempty"`

	Network                 any `json:"network,omitempty"`
	Coordinator             any `json:"coordinator,omitempty"`
	TTLSecondsAfterFinished any `json:"ttlSecondsAfterFinished,omitempty"`
	VolumeClaimPolicies     any `json:"volumeClaimPolicies,omitempty"`
}

// ReplicatedJob is a number of equal Jobs.
type ReplicatedJob struct {
	Name      string                  `json:"name"`
	GroupName string                  `json:"groupName,omitempty"`
	Replicas  *int32                  `json:"replicas,omitempty"`
	Template  batchv1.JobTemplateSpec `json:"template"`
	DependsOn []any                   `json:"dependsOn,omitempty"`
}

// JobSetSuccessPolicy says which Jobs must succeed.
type JobSetSuccessPolicy struct {
	Operator             string   `json:"operator"`
	TargetReplicatedJobs []string `json:"targetReplicatedJobs,omitempty"`
}

// JobSetFailurePolicy says what becomes of the set when a Job fails.
type JobSetFailurePolicy struct {
	MaxRestarts     int32  `json:"maxRestarts,omitempty"`
	RestartStrategy string `json:"restartStrategy,omitempty"`
	Rules           []any  `json:"rules,omitempty"`
}

// JobSetStartupPolicy says in which order Jobs start.
type JobSetStartupPolicy struct {
	StartupPolicyOrder string `json:"startupPolicyOrder"`
}

// DeepCopyObject implements runtime.Object.
func (o *JobSet) DeepCopyObject() runtime.Object { return deepCopy(o) }

// Labels of JobSet.
const (
	jobsetDomain      = "jobset.sigs.k8s.io/"
	jobsetController  = jobsetDomain + "jobset-controller"
	exclusiveTopology = "alpha.jobset.sigs.k8s.io/exclusive-topology"
	defaultGroup      = "default"
)

func (o *JobSet) expand(e *Expansion) {
	s := &o.Spec
	e.running(s.Suspend, "spec.suspend")
	e.managed(s.ManagedBy, "spec.managedBy", jobsetController)
	e.exclusive(o.Annotations, "metadata", exclusiveTopology)
	if p := s.SuccessPolicy; p != nil && (p.Operator != "All" || len(p.TargetReplicatedJobs) > 0) {
		e.refuse("spec.successPolicy", "a set that succeeds before all its Jobs is not simulated; leave it out: all pods "+
			"work for the time of annotation orrery.dev/run")
	}
	if p := s.StartupPolicy; p != nil && p.StartupPolicyOrder != "AnyOrder" {
		e.refuse("spec.startupPolicy", "Jobs that wait for others are not simulated; leave it out: all start at once")
	}
	if len(s.ReplicatedJobs) == 0 {
		e.refuse("spec", "no replicatedJobs; write at least one")
	}
	job := Job{Name: o.Name, Namespace: o.Namespace, Restart: s.FailurePolicy != nil && s.FailurePolicy.MaxRestarts > 0}
	total, global, groups, names := 0, 0, map[string]int{}, map[string]bool{}
	for i := range s.ReplicatedJobs {
		r, path := &s.ReplicatedJobs[i], fmt.Sprintf("spec.replicatedJobs[%d]", i)
		n := e.count(r.Replicas, path+".replicas", 1)
		total += n
		groups[r.group()] += n
		if r.Name == "" || names[r.Name] {
			e.refuse(path+".name", "%q: each replicated job needs a name of its own", r.Name)
		}
		names[r.Name] = true
		if b := r.Template.Spec.BackoffLimit; b == nil || *b > 0 {
			job.Restart = false // the Job makes the pod again first
		}
	}
	inGroup := map[string]int{}
	for i := range s.ReplicatedJobs {
		r, path := &s.ReplicatedJobs[i], fmt.Sprintf("spec.replicatedJobs[%d]", i)
		pods := e.jobPods(r, path)
		n := int(ptr.Deref(r.Replicas, 1)) // looked at above
		if n < 0 || e.times(n, pods, path) == 0 {
			continue
		}
		for k := range n {
			labels := map[string]string{"replicatedjob-replicas": strconv.Itoa(n), "global-replicas": strconv.Itoa(total),
				"job-index": strconv.Itoa(k), "job-global-index": strconv.Itoa(global), "group-name": r.group(),
				"group-replicas": strconv.Itoa(groups[r.group()]), "job-group-index": strconv.Itoa(inGroup[r.group()])}
			global++
			inGroup[r.group()]++
			job.Pods = append(job.Pods, o.jobPods(r, k, pods, labels)...)
		}
	}
	e.Jobs = []Job{job}
}

func (r *ReplicatedJob) group() string {
	if r.GroupName == "" {
		return defaultGroup
	}
	return r.GroupName
}

// exclusive refuses the annotation that keeps others out of a topology domain.
func (e *Expansion) exclusive(annotations map[string]string, path, key string) {
	if _, ok := annotations[key]; ok {
		e.refuse(path+".annotations", "%s is not simulated; write affinities in the pod template, or "+
			"workload.gangs.topology.required in the scenario", key)
	}
}

// jobPods returns how many pods each Job of a replicated job has.
func (e *Expansion) jobPods(r *ReplicatedJob, path string) int {
	s := &r.Template.Spec
	at := path + ".template.spec"
	if len(r.DependsOn) > 0 {
		e.refuse(path+".dependsOn", "Jobs that wait for others are not simulated; leave it out: all start at once")
	}
	e.exclusive(r.Template.Annotations, path+".template.metadata", exclusiveTopology)
	e.running(s.Suspend, at+".suspend")
	e.managed(s.ManagedBy, at+".managedBy", batchv1.JobControllerName)
	if s.ActiveDeadlineSeconds != nil {
		e.refuse(at+".activeDeadlineSeconds", "not simulated; write the length of the work into annotation orrery.dev/run")
	}
	if s.SuccessPolicy != nil {
		e.refuse(at+".successPolicy", "a Job that succeeds before all its pods is not simulated; leave it out")
	}
	if s.Scheduling != nil {
		e.refuse(at+".scheduling", "the pods' group is made by the run; remove it, and write workload.gangs in the scenario")
	}
	e.template(&s.Template, at+".template")
	pods := e.count(s.Parallelism, at+".parallelism", 1)
	done := 1
	if s.Completions != nil {
		done = int(*s.Completions)
	}
	if pods != done {
		e.refuse(at, "parallelism %d and completions %d: pods that run after each other are not simulated in a set; write "+
			"the same number into both", pods, done)
	}
	return pods
}

// jobPods makes the pods of one Job.
func (o *JobSet) jobPods(r *ReplicatedJob, index, pods int, own map[string]string) (out []*corev1.Pod) {
	job := fmt.Sprintf("%s-%s-%d", o.Name, r.Name, index)
	labels := map[string]string{jobsetDomain + "jobset-name": o.Name, jobsetDomain + "replicatedjob-name": r.Name,
		jobsetDomain + "restart-attempt": "0", jobsetDomain + "job-key": sha(o.Namespace + "/" + job),
		batchv1.JobNameLabel: job, "job-name": job}
	for key, value := range own {
		labels[jobsetDomain+key] = value
	}
	for k := range pods {
		name := fmt.Sprintf("%s-%d-%s", job, k, suffix(o.Namespace, job, k))
		p := pod(&r.Template.Spec.Template, o.Namespace, name, labels)
		p.Labels[batchv1.JobCompletionIndexAnnotation] = strconv.Itoa(k)
		if p.Annotations == nil {
			p.Annotations = map[string]string{}
		}
		p.Annotations[batchv1.JobCompletionIndexAnnotation] = strconv.Itoa(k)
		out = append(out, p)
	}
	return out
}
