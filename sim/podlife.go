package sim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/resource"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/kube"
	"orrery/sim/kube/gpushare"
	"orrery/sim/kwok"
	"orrery/sim/plan"
	"orrery/sim/units"
	"orrery/sim/workload"
)

var podsResource = corev1.SchemeGroupVersion.WithResource("pods")

func podKey(p *corev1.Pod) string { return p.Namespace + "/" + p.Name }

// CreatePod makes the pod object of a job's pod.
func (c *cluster) CreatePod(p *workload.Pod) error {
	j := p.Job
	if pods := c.operated[j.Name]; pods != nil {
		return c.createOperated(p, pods[p.Index])
	}
	params := c.podParams(j, p.Name, p.Spec)
	if p.Group != nil {
		params.Group = p.Group.Name
	}
	var err error
	if params.Claims, err = c.claims(j.Namespace, p.Spec.Claims); err != nil {
		return err
	}
	_, err = c.store.Create(kube.NewPod(params))
	return err
}

// podParams are what the pods of a job have in common, and what one of them asks for.
func (c *cluster) podParams(j *plan.Job, name string, pod plan.Pod) kube.PodParams {
	params := kube.PodParams{
		Namespace: j.Namespace, Name: name, SchedulerName: j.SchedulerName, PriorityClassName: j.PriorityClass,
		Labels:   podLabels(j),
		CPUMilli: pod.CPUMilli, MemoryMiB: pod.MemoryMiB, Resource: pod.Resource, Count: int64(pod.Slots),
		TerminationGracePeriodSeconds: int64((c.plan.Pods.TerminationGrace + time.Second - 1) / time.Second),
	}
	if f := pod.Fraction; f != nil {
		params.Annotations = gpushare.Request{GPUs: f.GPUs, Milli: f.Milli, Models: f.Models}.Annotations()
	}
	for _, r := range j.Require {
		params.Require = append(params.Require, kube.Requirement{Key: r.Key, Values: r.Values})
	}
	for _, t := range j.Tolerations {
		params.Tolerations = append(params.Tolerations, corev1.Toleration{Key: t.Key, Value: t.Value,
			Operator: corev1.TolerationOperator(t.Operator), Effect: corev1.TaintEffect(t.Effect), TolerationSeconds: t.Seconds})
	}
	return params
}

// podLabels are what selectors (of budgets, quotas, affinities) can tell pods apart by. Text of the trace that is no
// label value is left out.
func podLabels(j *plan.Job) map[string]string {
	labels := map[string]string{"job-name": j.Name}
	if !kube.IsLabelValue(j.Name) { // of an operator's object
		delete(labels, "job-name")
	}
	for key, value := range map[string]string{"tenant": j.Tenant, "user": j.User, "class": j.Class,
		"priority": j.PriorityClass} {
		if value != "" && kube.IsLabelValue(value) {
			labels["orrery.dev/"+key] = value
		}
	}
	return labels
}

// DeletePod asks the API to delete the pod, as an event of its own: the caller may be in the middle of a commit.
func (c *cluster) DeletePod(p *workload.Pod, reason string) {
	key, ns, name := p.Key(), p.Job.Namespace, p.Name
	c.deleting[key] = reason
	c.engine.After(0, engine.PhaseRelease, "delete "+key, func() {
		if err := c.store.Delete(podsResource, ns, name, &metav1.DeleteOptions{}); err != nil {
			delete(c.deleting, key) // it went away at this very instant by itself
		}
	})
}

// SetWork says what the pod's containers do from now on.
func (c *cluster) SetWork(p *workload.Pod, w workload.Work) {
	key := p.Key()
	length := w.Left.String()
	if c.work[key].Ends { // its stage waits: a length would count from when it began to
		length = c.engine.Clock().Add(w.Left).UTC().Format(time.RFC3339Nano)
	}
	c.work[key] = physics{w, hiddenAnnotations(w, length)}
	if obj, err := c.store.Get(podsResource, p.Job.Namespace, p.Name); err == nil {
		c.kubelet.Reevaluate(obj)
	}
}

// physics is what a pod's containers do, and the same as its stages see it.
type physics struct {
	workload.Work
	hidden map[string]string // never changed
}

// hiddenAnnotations are the physics of a pod that its stages see and no controller does. The length of the work is a
// duration from when its stage begins to wait, or an instant.
func hiddenAnnotations(w workload.Work, length string) map[string]string {
	if !w.Ends {
		return nil
	}
	a := map[string]string{kwok.AnnotationCompleteDelay: length}
	if w.Outcome == journal.Failed {
		a[kwok.AnnotationCompleteOutcome] = "failed"
	}
	return a
}

// podCommitted turns a change of a pod object into records and tells the workload.
func (c *cluster) podCommitted(k kube.Commit, old, pod *corev1.Pod) {
	key := podKey(pod)
	p := c.jobs.Lookup(key)
	switch {
	case k.Verb == kube.VerbCreate:
		if p == nil {
			p = c.adopt(pod)
		}
		c.replicaPodCreated(pod)
		c.recordCreate(key, pod, p)
		c.touch()
	case k.Verb == kube.VerbDelete:
		c.starts.cancel(key)
		c.replicaPodEnded(key, kwok.ReasonDeleted) // no node has told of one that was on none
		c.record(journal.PodDelete{Pod: key})
		c.touch()
		if p != nil {
			c.jobs.PodGone(p, c.whyDeleted(key, pod))
		}
		delete(c.work, key)
		delete(c.deleting, key)
		delete(c.terminating, key)
	case k.Sub == "binding":
		c.record(journal.PodBind{Pod: key, Node: pod.Spec.NodeName})
		if c.orphaned(pod) {
			c.engine.After(0, engine.PhaseRelease, "collect "+key, func() { c.check(c.collect(pod)) })
		}
		c.scheduler.Bound()
		if p != nil {
			c.jobs.PodBound(p)
		}
	case pod.DeletionTimestamp != nil && old.DeletionTimestamp == nil:
		c.terminating[key] = true
		c.starts.cancel(key)
		reason := c.whyDeleted(key, pod)
		grace := units.Duration(0)
		if s := pod.DeletionGracePeriodSeconds; s != nil {
			grace = units.Duration(*s) * time.Second
		}
		c.record(journal.PodTerminate{Pod: key, Reason: reason, Grace: grace})
		if p != nil {
			c.jobs.PodStopped(p, reason)
		}
	}
	if k.Verb == kube.VerbUpdate {
		c.replicaPodCommitted(old, pod)
	}
}

func (c *cluster) touch() {
	if c.scheduler != nil {
		c.scheduler.Touch()
	}
}

func (c *cluster) recordCreate(key string, pod *corev1.Pod, p *workload.Pod) {
	r := journal.PodCreate{Pod: key, Profile: pod.Spec.SchedulerName}
	if pod.Spec.Priority != nil {
		r.Priority = *pod.Spec.Priority
	}
	if p != nil {
		r.Job, r.GPUs, r.Slots = p.Job.Name, p.Spec.GPUs, p.Spec.DeviceCount()
		r.CPUMilli, r.MemoryMiB, r.MIG = p.Spec.CPUMilli, p.Spec.MemoryMiB, profileAsked(c.plan.Pools, p.Spec)
	} else {
		c.measure(pod, &r)
	}
	if rep := c.replicaOf(key); rep != nil {
		r.Service = c.service(rep).Name
	}
	c.record(r)
}

// measure says what a pod that is no job's (from a manifest) asks for.
func (c *cluster) measure(pod *corev1.Pod, r *journal.PodCreate) {
	requests := resource.PodRequests(pod, resource.PodResourcesOptions{})
	r.CPUMilli, r.MemoryMiB = requests.Cpu().MilliValue(), requests.Memory().Value()>>20
	if r.Slots = c.claimSlots(pod); r.Slots > 0 {
		r.GPUs = units.MilliGPU(r.Slots) * units.GPU // of partitions an upper bound: which, the claims' expressions say
		return
	}
	if f, err := gpushare.Parse(pod.Annotations); err == nil && f.GPUs > 0 {
		r.Slots, r.GPUs = f.GPUs, f.Total()
		return
	}
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		q := requests[name]
		for i := range c.plan.Pools {
			pool := &c.plan.Pools[i]
			share, profile, ok := pool.Asks(string(name))
			if !ok {
				continue
			}
			r.Slots += int(q.Value())
			if n := units.MilliGPU(q.Value()); profile == "" { // a share would be rounded up
				r.GPUs += n * units.GPU / units.MilliGPU(max(pool.SlotsPerGPU, 1))
			} else {
				r.GPUs += n * share
			}
			r.MIG = cmp.Or(r.MIG, migProfile(c.plan.Pools, string(name)))
			break
		}
	}
}

// whyDeleted names the cause of a deletion: ours, or what upstream wrote into the pod's DisruptionTarget condition.
func (c *cluster) whyDeleted(key string, pod *corev1.Pod) string {
	if why, ok := c.deleting[key]; ok {
		return why
	}
	for _, cond := range pod.Status.Conditions {
		if cond.Type != corev1.DisruptionTarget || cond.Status != corev1.ConditionTrue {
			continue
		}
		if cond.Reason == corev1.PodReasonPreemptionByScheduler {
			return "preempted"
		}
		return "evicted"
	}
	return "deleted"
}

// namespace creates a namespace once.
func (c *cluster) namespace(name string) {
	if name == "" || c.namespaces[name] {
		return
	}
	c.namespaces[name] = true
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := c.store.Get(corev1.SchemeGroupVersion.WithResource("namespaces"), "", name); err == nil {
		return
	}
	if _, err := c.store.Create(ns); err != nil {
		c.fail(fmt.Errorf("creating namespace %s: %w", name, err))
	}
}
