package sim

import (
	"fmt"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/pkg/features"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/kube"
	"orrery/sim/plan"
	"orrery/sim/policy/jobcontroller"
	"orrery/sim/units"
	"orrery/sim/workload"
)

var jobsResource = batchv1.SchemeGroupVersion.WithResource("jobs")

// buildJobController starts the upstream Job controller when there are Job objects.
func (c *cluster) buildJobController() error {
	rate := c.plan.JobController
	for _, m := range c.parts.manifests {
		if _, ok := m.object.(*batchv1.Job); ok && rate == nil {
			rate = &plan.JobController{QPS: jobcontroller.DefaultQPS, Burst: jobcontroller.DefaultBurst}
		}
	}
	if rate == nil {
		return nil
	}
	var err error
	c.jobController, err = jobcontroller.Start(jobcontroller.Params{Engine: c.engine,
		Client: c.store.RESTConfig(c.limited(float32(rate.QPS), rate.Burst)),
		Informers: func(cs kubernetes.Interface) informers.SharedInformerFactory {
			return c.store.InformerFactory(cs, kube.Deliver(c.deliver), kube.AllPods())
		}})
	return err
}

// submitGiven submits a Job of the user's manifests, as one that starts when the run does. run < 0 = until it is
// deleted.
func (c *cluster) submitGiven(obj *batchv1.Job, run units.Duration) error {
	n := 1
	switch {
	case obj.Spec.Completions != nil:
		n = int(*obj.Spec.Completions)
	case obj.Spec.Parallelism != nil:
		n = int(*obj.Spec.Parallelism)
	}
	var asks journal.PodCreate
	pod := &corev1.Pod{Spec: *obj.Spec.Template.Spec.DeepCopy()}
	requestLimits(&pod.Spec)
	c.measure(pod, &asks)
	// Jobs of a trace have no dot in their names.
	j := plan.Job{Name: obj.Name + "." + obj.Namespace, ID: obj.Name, Namespace: obj.Namespace, Run: max(run, 0),
		Forever: run < 0, Outcome: journal.Succeeded, Batch: &plan.Batch{Given: true, Name: obj.Name}}
	for range max(n, 1) {
		j.Pods = append(j.Pods, plan.Pod{CPUMilli: asks.CPUMilli, MemoryMiB: asks.MemoryMiB, Slots: asks.Slots,
			GPUs: asks.GPUs})
	}
	if c.given == nil {
		c.given = map[string]*batchv1.Job{}
	}
	c.given[j.Name], c.refused = obj, nil
	c.jobs.Submit(j)
	delete(c.given, j.Name)
	return c.refused
}

// CreateJob makes the Job object of a job, and its PodGroup where the controller does not.
func (c *cluster) CreateJob(j *plan.Job) error {
	obj := c.given[j.Name]
	if obj == nil {
		var err error
		if obj, err = c.jobObject(j); err != nil {
			return err
		}
	}
	byController := utilfeature.DefaultFeatureGate.Enabled(features.WorkloadWithJob)
	if g := j.Gang; g != nil && byController {
		obj.Spec.Scheduling = &batchv1.JobSchedulingConfiguration{
			SchedulingPolicy: &schedulingv1alpha3.WorkloadPodGroupSchedulingPolicy{
				Gang: &schedulingv1alpha3.WorkloadPodGroupGangSchedulingPolicy{}}}
		if g.TopologyKey != "" {
			obj.Spec.Scheduling.SchedulingConstraints = &schedulingv1alpha3.WorkloadPodGroupSchedulingConstraints{
				Topology: []schedulingv1alpha3.TopologyConstraint{{Key: g.TopologyKey}}}
		}
		if g.DisruptAll {
			obj.Spec.Scheduling.DisruptionMode = &schedulingv1alpha3.WorkloadPodGroupDisruptionMode{
				All: &schedulingv1alpha3.WorkloadPodGroupAllDisruptionMode{}}
		}
	} else if g != nil {
		obj.Spec.Template.Spec.SchedulingGroup = &corev1.PodSchedulingGroup{PodGroupName: &j.Name}
	}
	made, err := c.store.Create(obj)
	if j.Batch.Given {
		c.refused = err
	}
	if err != nil || j.Gang == nil || byController {
		return err
	}
	uid := made.(*batchv1.Job).UID
	return c.createGroup(&workload.Group{Name: j.Name, Min: j.Gang.Min, Job: j}, metav1.OwnerReference{
		APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "Job", Name: obj.Name, UID: uid})
}

// jobObject is the Job of a trace's job.
func (c *cluster) jobObject(j *plan.Job) (*batchv1.Job, error) {
	n, mode, limit := int32(len(j.Pods)), batchv1.IndexedCompletion, int32(j.Batch.BackoffLimit)
	params := c.podParams(j, "", j.Pods[0])
	var err error
	if params.Claims, err = c.claims(j.Namespace, j.Pods[0].Claims); err != nil {
		return nil, err
	}
	pod := kube.NewPod(params)
	delete(pod.Labels, "job-name") // the API's own
	obj := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: j.Namespace, Name: j.Batch.Name, Labels: pod.Labels}}
	obj.Spec = batchv1.JobSpec{Parallelism: &n, Completions: &n, CompletionMode: &mode, BackoffLimit: &limit,
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels, Annotations: pod.Annotations},
			Spec: pod.Spec}}
	if j.Batch.IgnoreDisruption {
		obj.Spec.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
			Action: batchv1.PodFailurePolicyActionIgnore,
			OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{
				{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}}}}
	}
	return obj, nil
}

// DeleteJob deletes the Job object as its owner would, as an event of its own: the caller may be in the middle of a
// commit. The API deletes its pods.
func (c *cluster) DeleteJob(j *plan.Job, pods []*workload.Pod, reason string) {
	ns, name := j.Namespace, j.Batch.Name
	for _, p := range pods {
		c.deleting[p.Key()] = reason
	}
	c.engine.After(0, engine.PhaseRelease, "delete job "+name, func() {
		background := metav1.DeletePropagationBackground
		err := c.store.Delete(jobsResource, ns, name, &metav1.DeleteOptions{PropagationPolicy: &background})
		if err != nil && !apierrors.IsNotFound(err) {
			c.fail(fmt.Errorf("deleting job %s/%s: %w", ns, name, err))
		}
	})
}

// adopt tells the workload of a pod that a Job's controller has made.
func (c *cluster) adopt(pod *corev1.Pod) *workload.Pod {
	ref := metav1.GetControllerOf(pod)
	if ref == nil || ref.Kind != "Job" {
		return nil
	}
	index, err := strconv.Atoi(pod.Annotations[batchv1.JobCompletionIndexAnnotation])
	if err != nil {
		index = -1
	}
	return c.jobs.Adopt(pod.Namespace, ref.Name, index, pod.Name)
}

// jobCommitted tells the workload what the controller says of a Job.
func (c *cluster) jobCommitted(k kube.Commit, j *batchv1.Job) {
	if k.Verb == kube.VerbDelete {
		return
	}
	for _, x := range j.Status.Conditions {
		complete := x.Type == batchv1.JobComplete
		if x.Status != corev1.ConditionTrue || !complete && x.Type != batchv1.JobFailed {
			continue
		}
		// Finished Jobs leave the API at once, as with a ttlSecondsAfterFinished of 0.
		c.engine.After(0, engine.PhaseRelease, "job finished "+j.Name, func() {
			c.jobs.JobFinished(j.Namespace, j.Name, complete, x.Reason)
		})
	}
}

var _ workload.Controllers = (*cluster)(nil)
