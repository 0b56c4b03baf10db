package sim

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/kube"
	"orrery/sim/kwok"
	model "orrery/sim/model/serving"
	"orrery/sim/plan"
	"orrery/sim/serving"
	"orrery/sim/units"
)

// services joins the request plane to the cluster: pods of services' objects become replicas when they are ready, and
// stop taking requests when they are deleted.
type services struct {
	plane    *serving.Plane
	groups   map[string]groupRef // by kind/namespace/name of the object
	replicas map[string]*replica // by name, the key of the (first) pod
	byPod    map[string]*replica // by pod key
	stuck    units.Time          // since when requests have waited for replicas that somebody would have to start
}

// groupRef is a group of replicas of a service, by its indices in the plan.
type groupRef struct{ service, group int }

// replica is a replica of a service as the cluster sees it.
type replica struct {
	ref   groupRef
	name  string
	pods  map[string]bool // by key: ready
	state string
	paced *paced // nil on GPUs of its own
}

// Labels of a service's pods.
const (
	serviceLabel = "orrery.dev/service"
	groupLabel   = "orrery.dev/group"
)

func objectKey(kind, namespace, name string) string { return kind + "/" + namespace + "/" + name }

// buildServices declares the services and makes the objects that keep their replicas.
func (c *cluster) buildServices() error {
	if len(c.plan.Services) == 0 {
		return nil
	}
	c.services = &services{groups: map[string]groupRef{}, replicas: map[string]*replica{}, byPod: map[string]*replica{}}
	var err error
	c.services.plane, err = serving.New(serving.Params{Services: c.plan.Services, Sources: c.p.Requests,
		Streams: c.streams, Record: c.record, Requests: c.plan.JournalRequests, NewReplica: model.New, Exposed: c.wanted})
	if err != nil {
		return err
	}
	for i := range c.plan.Services {
		s := &c.plan.Services[i]
		c.record(serviceRecord(c.plan, s))
		c.namespace(s.Namespace)
		for g := range s.Groups {
			group := &s.Groups[g]
			c.services.groups[objectKey(group.Kind, s.Namespace, group.Name)] = groupRef{i, g}
			if group.Given {
				if err := checkGiven(c.parts.manifests, s, group); err != nil {
					return &InputError{err}
				}
				continue
			}
			if err := c.createGroupObject(s, group); err != nil {
				return fmt.Errorf("service %s: the API refuses its %s %s: %w", s.Name, group.Kind, group.Name, err)
			}
		}
	}
	c.tick(true)
	return nil
}

// serviceRecord declares a service in the journal.
func serviceRecord(p *plan.Plan, s *plan.Service) journal.Service {
	r := journal.Service{Service: s.Name, Namespace: s.Namespace, Engine: s.Engine.Preset, Precision: s.Engine.Precision,
		TTFT: s.SLO.TTFT, TPOT: s.SLO.TPOT, E2E: s.SLO.E2E, Target: int64(float64(s.SLO.Target*1e6) + 0.5),
		InPipeline: s.Requests < 0}
	if s.Engine.Model != nil {
		r.Model = s.Engine.Model.Name
	}
	for _, g := range s.Groups {
		r.Groups = append(r.Groups, journal.ServiceGroup{Group: s.Namespace + "/" + g.Name, Kind: g.Kind, Role: g.Role,
			Pods: g.PodsPerReplica, GPUs: g.Pod.GPUs * units.MilliGPU(g.PodsPerReplica)})
	}
	for _, list := range [][]plan.Stage{s.Before, {{Name: s.Name}}, s.After} {
		for _, stage := range list {
			r.Stages = append(r.Stages, stage.Name)
		}
	}
	return r
}

// createGroupObject makes the object that keeps a group's replicas.
func (c *cluster) createGroupObject(s *plan.Service, g *plan.ReplicaGroup) error {
	if g.Kind == plan.KindLeaderWorkerSet {
		return c.createLeaderWorkerSet(s, g)
	}
	_, err := c.store.Create(c.deployment(s, g))
	if apierrors.IsAlreadyExists(err) {
		return &InputError{fmt.Errorf("%w; it is among the manifests: write fromManifest: true, or name another", err)}
	}
	return err
}

// deployment is the Deployment of a group: what a user would write for it.
func (c *cluster) deployment(s *plan.Service, g *plan.ReplicaGroup) *appsv1.Deployment {
	n := int32(g.Replicas)
	labels := map[string]string{"app": g.Name, serviceLabel: s.Name, groupLabel: g.Name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: g.Name, Labels: labels},
		Spec: appsv1.DeploymentSpec{Replicas: &n, Template: c.podTemplate(s, g, labels),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": g.Name}}},
	}
}

// podTemplate is what a group's pods are made from.
func (c *cluster) podTemplate(s *plan.Service, g *plan.ReplicaGroup, labels map[string]string) corev1.PodTemplateSpec {
	params := kube.PodParams{Namespace: s.Namespace, Name: g.Name, SchedulerName: g.SchedulerName,
		PriorityClassName: g.PriorityClass, Labels: labels, CPUMilli: g.Pod.CPUMilli, MemoryMiB: g.Pod.MemoryMiB,
		Resource: g.Pod.Resource, Count: int64(g.Pod.Slots),
		TerminationGracePeriodSeconds: int64((c.plan.Pods.TerminationGrace + time.Second - 1) / time.Second)}
	for _, r := range g.Require {
		params.Require = append(params.Require, kube.Requirement{Key: r.Key, Values: r.Values})
	}
	for _, t := range g.Tolerations {
		params.Tolerations = append(params.Tolerations, corev1.Toleration{Key: t.Key, Value: t.Value,
			Operator: corev1.TolerationOperator(t.Operator), Effect: corev1.TaintEffect(t.Effect), TolerationSeconds: t.Seconds})
	}
	pod := kube.NewPod(params)
	pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod.Spec}
}

// window is how long requests are counted together in the journal.
const defaultWindow = time.Minute

// tick ends a window of the requests' account and plans the next. It keeps the run alive while requests are on their
// way to an end.
func (c *cluster) tick(first bool) {
	plane := c.services.plane
	if !first {
		c.advance()
		c.fallible(plane.Window(c.engine.Now()))
	}
	at := c.engine.Now().Add(defaultWindow)
	plan := c.engine.At
	if plane.Done() || plane.Next() == model.Never && !c.mayBeServed() {
		plan = c.engine.Background
	} else if plane.Next() != model.Never {
		c.services.stuck = c.engine.Now()
	}
	plan(at, engine.PhaseSample, "requests", func() { c.tick(false) })
}

// requestsEnded counts for the progress; requests that other services sent on are not the run's own.
func (c *cluster) requestsEnded(r *journal.Requests) {
	for i := range c.plan.Services {
		if s := &c.plan.Services[i]; s.Name == r.Service && s.Requests >= 0 {
			c.p.Progress.Requests.Add(r.Completed + r.Rejected + r.TimedOut + r.Stopped)
		}
	}
}

// hopeful is how long requests without any replica keep a run alive in which autoscalers of replicas may yet act:
// longer than pollings, stabilizations and cooldowns are, and than an hourly schedule takes to come round.
const hopeful = 2 * time.Hour

// mayBeServed reports whether an autoscaler may yet start the replicas that requests wait for.
func (c *cluster) mayBeServed() bool {
	scales := func(m manifest) bool {
		kind := m.object.GetObjectKind().GroupVersionKind().Kind
		return kind == "ScaledObject" || kind == "HorizontalPodAutoscaler"
	}
	return c.engine.Now().Sub(c.services.stuck) < hopeful && slices.ContainsFunc(c.parts.manifests, scales)
}

// advance lets everything happen to requests that does so up to now. It precedes whatever the cluster does to replicas.
func (c *cluster) advance() { c.fallible(c.services.plane.Advance(c.engine.Now())) }

func (c *cluster) fallible(err error) {
	if err != nil {
		c.fail(err)
	}
}

// serves returns the replica group that a pod belongs to: by the Deployment that its ReplicaSet belongs to, or the
// LeaderWorkerSet that its labels name.
func (c *cluster) serves(pod *corev1.Pod) (ref groupRef, name string, ok bool) {
	if c.services == nil {
		return ref, "", false
	}
	if set := pod.Labels["leaderworkerset.sigs.k8s.io/name"]; set != "" {
		ref, ok = c.services.groups[objectKey(plan.KindLeaderWorkerSet, pod.Namespace, set)]
		leader := set + "-" + pod.Labels["leaderworkerset.sigs.k8s.io/group-index"]
		return ref, pod.Namespace + "/" + leader, ok
	}
	owner := metav1.GetControllerOf(pod)
	if owner == nil || owner.Kind != "ReplicaSet" {
		return ref, "", false
	}
	obj, err := c.store.Get(appsv1.SchemeGroupVersion.WithResource("replicasets"), pod.Namespace, owner.Name)
	if err != nil {
		return ref, "", false
	}
	top := metav1.GetControllerOf(obj.(*appsv1.ReplicaSet))
	if top == nil || top.Kind != plan.KindDeployment {
		return ref, "", false
	}
	ref, ok = c.services.groups[objectKey(plan.KindDeployment, pod.Namespace, top.Name)]
	return ref, podKey(pod), ok
}

// replicaPodCreated takes in a pod of a service.
func (c *cluster) replicaPodCreated(pod *corev1.Pod) {
	ref, name, ok := c.serves(pod)
	if !ok {
		return
	}
	r := c.services.replicas[name]
	if r == nil {
		r = &replica{ref: ref, name: name, pods: map[string]bool{}}
		c.services.replicas[name] = r
	}
	if r.state == "" || r.state == journal.ReplicaGone { // or one of a group comes again, whose others are still there
		c.replicaState(r, journal.ReplicaStarting, "")
	}
	r.pods[podKey(pod)] = false
	c.services.byPod[podKey(pod)] = r
}

// replicaPodAssigned begins the start of a service's pod on its node.
func (c *cluster) replicaPodAssigned(pod *corev1.Pod) {
	if r := c.replicaOf(podKey(pod)); r != nil {
		c.beginStart(pod, c.group(r).Start, func() {}) // its Ready condition says it
	}
}

func (c *cluster) replicaOf(key string) *replica {
	if c.services == nil {
		return nil
	}
	return c.services.byPod[key]
}

func (c *cluster) service(r *replica) *plan.Service { return &c.plan.Services[r.ref.service] }

func (c *cluster) group(r *replica) *plan.ReplicaGroup { return &c.service(r).Groups[r.ref.group] }

// replicaState records a state of a replica that the request plane does not know.
func (c *cluster) replicaState(r *replica, state, reason string) {
	s := c.service(r)
	r.state = state
	c.record(journal.Replica{Service: s.Name, Group: s.Namespace + "/" + c.group(r).Name, Replica: r.name, State: state,
		Reason: reason})
}

// replicaGone takes out a replica that never took a request.
func (c *cluster) replicaGone(r *replica, reason string) {
	c.replicaState(r, journal.ReplicaGone, reason)
}

// replicaPodCommitted follows the readiness of a service's pod.
func (c *cluster) replicaPodCommitted(old, pod *corev1.Pod) {
	key := podKey(pod)
	r := c.replicaOf(key)
	if r == nil {
		return
	}
	if old != nil && old.DeletionTimestamp == nil && pod.DeletionTimestamp != nil {
		r.pods[key] = false
		c.replicaDrains(r, pod)
		return
	}
	if pod.DeletionTimestamp != nil || r.pods[key] || !isReady(pod) {
		return
	}
	r.pods[key] = true
	ready := 0
	for _, yes := range r.pods {
		if yes {
			ready++
		}
	}
	if ready == c.group(r).PodsPerReplica && r.state == journal.ReplicaStarting {
		c.replicaReady(r)
	}
}

func isReady(pod *corev1.Pod) bool {
	for _, x := range pod.Status.Conditions {
		if x.Type == corev1.PodReady {
			return x.Status == corev1.ConditionTrue
		}
	}
	return false
}

// replicaReady lets a replica take requests.
func (c *cluster) replicaReady(r *replica) {
	c.advance()
	spec, err := c.replicaSpec(r)
	if err == nil {
		err = c.services.plane.ReplicaReady(c.engine.Now(), serving.Endpoint{Service: r.ref.service, Group: r.ref.group,
			Name: r.name, Spec: spec, Domain: c.scaleUpDomain(r)})
	}
	if err != nil {
		// It landed on a GPU that does not hold its model: its container would crash for ever.
		c.upstream.add("replica-does-not-fit", fmt.Sprintf("service %s: %v", c.service(r).Name, err))
		c.replicaGone(r, err.Error())
		return
	}
	r.state = journal.ReplicaReady
	c.beginShare(r)
}

// replicaDrains takes a replica out of routing: it ends what it has while its pod terminates.
func (c *cluster) replicaDrains(r *replica, pod *corev1.Pod) {
	if r.state != journal.ReplicaReady {
		return
	}
	c.advance()
	c.fallible(c.services.plane.ReplicaDrain(c.engine.Now(), r.name))
	r.state = journal.ReplicaDraining
	c.stopAt(pod, pod.DeletionTimestamp.UTC().Format(time.RFC3339))
	c.awaitIdle(r, pod)
}

// drainCheck is how often a terminating server looks whether it has ended its last request.
const drainCheck = time.Second

// awaitIdle stops a terminating pod's containers when the replica has ended its last request; the end of the grace
// period stops them anyway.
func (c *cluster) awaitIdle(r *replica, pod *corev1.Pod) {
	key := podKey(pod)
	if r.state != journal.ReplicaDraining {
		return
	}
	c.advance()
	if c.services.plane.InFlight(r.name) > 0 {
		c.engine.After(drainCheck, engine.PhaseObserve, "drain "+key, func() { c.awaitIdle(r, pod) })
		return
	}
	c.stopAt(pod, "0s")
}

// stopAt says when a terminating pod's containers stop, as its stage reads it.
func (c *cluster) stopAt(pod *corev1.Pod, when string) {
	w := c.work[podKey(pod)]
	w.hidden = map[string]string{kwok.AnnotationDeleteDelay: when, kwok.AnnotationDeleteJitter: when}
	c.work[podKey(pod)] = w
	if obj, err := c.store.Get(podsResource, pod.Namespace, pod.Name); err == nil {
		c.kubelet.Reevaluate(obj)
	}
}

// replicaPodEnded takes a pod's replica out for good: its containers have stopped.
func (c *cluster) replicaPodEnded(key, reason string) {
	r := c.replicaOf(key)
	if r == nil {
		return
	}
	delete(c.services.byPod, key)
	delete(r.pods, key)
	switch r.state {
	case journal.ReplicaReady, journal.ReplicaDraining:
		c.fallible(c.services.plane.ReplicaGone(c.engine.Now(), r.name, reason))
		r.state = journal.ReplicaGone
		c.endShare(r)
	case journal.ReplicaStarting:
		c.replicaGone(r, reason)
	}
	if len(r.pods) == 0 {
		delete(c.services.replicas, r.name)
	}
}

// finishServices closes the requests' account.
func (c *cluster) finishServices() {
	if c.services == nil {
		return
	}
	c.advance()
	c.fallible(c.services.plane.Window(c.engine.Now()))
	for _, w := range c.services.plane.Warnings() {
		c.record(journal.Warn{Code: w.Code, Message: w.Message, Count: w.Count})
	}
}
