package sim

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"orrery/sim/engine"
	"orrery/sim/fleet"
	"orrery/sim/journal"
	"orrery/sim/kube"
	"orrery/sim/kwok"
	"orrery/sim/kwok/dra"
	"orrery/sim/plan"
	"orrery/sim/policy/disruption"
	"orrery/sim/policy/jobcontroller"
	"orrery/sim/policy/karpenter"
	"orrery/sim/policy/keda"
	"orrery/sim/policy/kubescheduler"
	"orrery/sim/policy/resourceclaim"
	"orrery/sim/rng"
	"orrery/sim/units"
	"orrery/sim/workload"
)

// cluster is a run in progress. Everything in it belongs to the driver goroutine.
type cluster struct {
	p     Params
	plan  *plan.Plan
	parts *parts

	engine    *engine.Engine
	streams   *rng.Source
	store     *kube.Store
	karpenter *karpenter.Controller // nil when it is not run
	fleet     *fleet.Fleet
	pools     map[string]*plan.Pool // by name of the nodes that exist
	cloud     *clouds
	starts    *starts
	kubelet   *kwok.Controller
	scheduler *kubescheduler.Scheduler
	budgets   *disruption.Controller // nil without PodDisruptionBudgets

	controllers controllers
	scaling     scaling
	metrics     metricsPath
	keda        *keda.Controller // nil without ScaledObjects

	jobController *jobcontroller.Controller // nil without Job objects
	given         map[string]*batchv1.Job   // by job: Jobs of the user's manifests
	refused       error                     // why the API refused the latest of what a job is made of
	operated      map[string][]*corev1.Pod  // by job: pods of operators' objects of the user's manifests

	jobs     *workload.Tracker
	services *services // nil without
	pace     *pace     // nil when work always goes as fast as the trace says
	// claimController is nil in runs without dynamic resource allocation.
	claimController *resourceclaim.Controller
	templates       claimTemplates
	drivers         drivers
	domains         domains

	work     map[string]physics // by pod key: what the containers do; physics, no controller sees it
	deleting map[string]string  // by pod key: why we asked for the deletion
	// terminating are the pods whose deletion has begun and not ended.
	terminating map[string]bool
	namespaces  map[string]bool
	upstream    upstreamErrors
	failed      error
	ended       bool
}

// record puts a body into the journal at the current instant.
func (c *cluster) record(b journal.Body) {
	if c.ended {
		return
	}
	switch r := b.(type) {
	case journal.Attempt:
		c.p.Progress.Attempts.Add(1)
		if c.isGone(r.Pod) {
			c.upstream.add("late-attempt", "scheduling attempts on pods that had been deleted, of which the scheduler "+
				"had not been told yet; the first: "+r.Pod)
			return
		}
		if c.plan.Pods.DropUnschedulable && r.Result == journal.Unschedulable && r.Nominated == "" {
			c.engine.After(0, engine.PhaseRelease, "drop "+r.Pod, func() { c.drop(r.Pod, r.Message) })
		}
	case journal.JobSubmit:
		c.p.Progress.Submitted.Add(1)
	case journal.JobEnd:
		c.p.Progress.Ended.Add(1)
	case journal.Requests:
		c.requestsEnded(&r)
	}
	c.p.Sink.Append(c.engine.Now(), b)
}

// isGone reports whether the pod namespace/name has been deleted.
func (c *cluster) isGone(key string) bool {
	ns, name, _ := strings.Cut(key, "/")
	_, err := c.store.Get(podsResource, ns, name)
	return apierrors.IsNotFound(err)
}

func (c *cluster) drop(pod, message string) {
	if p := c.jobs.Lookup(pod); p != nil {
		c.jobs.Drop(p, message)
	}
}

// build makes the cluster: API, nodes, kubelets, manifests, scheduler.
func (c *cluster) build() error {
	c.streams = rng.New(c.plan.Seed)
	c.work, c.deleting, c.terminating = map[string]physics{}, map[string]string{}, map[string]bool{}
	c.namespaces, c.templates = map[string]bool{}, claimTemplates{}
	c.domains.byID = map[string]*domain{}
	c.drivers = drivers{map[string]*kwok.Driver{}, map[string]*kwok.Driver{}}
	c.upstream.install()
	c.announce()
	var err error
	options, err := apiOptions(mayNeedKarpenter(c.plan), servesSets(c.plan))
	if err != nil {
		return err
	}
	options.Now, options.OnCommit = c.engine.Clock, c.committed
	if c.store, err = kube.New(options); err != nil {
		return err
	}
	c.fleet = fleet.New(c.policy())
	pace, err := newPace(c)
	if err != nil {
		return err
	}
	params := workload.Params{Engine: c.engine, Cluster: c, Record: c.record, Pods: c.plan.Pods, Groups: c, Controllers: c,
		Describe: c.describe}
	if pace != nil {
		c.pace, params.Physics = pace, pace
	}
	c.jobs = workload.New(params)
	c.buildKubelet()
	c.starts = newStarts(c)
	if err := c.buildNodes(); err != nil {
		return err
	}
	if err := c.buildClasses(); err != nil {
		return err
	}
	c.buildMIG()
	if err := c.buildManifests(); err != nil {
		return err
	}
	if err := c.buildServices(); err != nil {
		return err
	}
	if err := c.buildClaims(); err != nil {
		return err
	}
	if err := c.buildKarpenter(); err != nil {
		return err
	}
	c.buildClusterAutoscaler()
	return c.buildScheduler()
}

// announce opens the journal.
func (c *cluster) announce() {
	run := journal.Run{Format: journal.FormatVersion, Scenario: c.plan.Name, Seed: c.plan.Seed,
		Epoch: c.plan.Epoch.Format(time.RFC3339), Trace: c.plan.Trace, Versions: Versions()}
	for _, profile := range c.parts.config.Profiles {
		run.Scheduler = append(run.Scheduler, profile.SchedulerName)
	}
	c.record(run)
	for _, w := range c.plan.Warnings {
		c.record(journal.Warn{Code: w.Code, Message: w.Message, Count: w.Count})
	}
	for i := range c.plan.Pools {
		c.record(poolRecord(c.plan, &c.plan.Pools[i]))
	}
	c.announceTopology()
}

// play feeds the jobs and runs until nothing is left that can change, or the horizon.
func (c *cluster) play() error {
	if err := c.pull(); err != nil {
		return err
	}
	until := units.Time(-1)
	if c.plan.Horizon > 0 {
		until = units.Time(c.plan.Horizon)
	}
	drained, err := c.engine.Run(until)
	if err != nil {
		return err
	}
	if c.failed != nil {
		return c.failed
	}
	if err := c.stopped(); err != nil {
		return err
	}
	c.finish(drained)
	return nil
}

// pull schedules the next job's arrival; the arrival pulls the one after it, so that a trace streams.
func (c *cluster) pull() error {
	j, err := c.p.Jobs.Next()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return &InputError{err}
	}
	if j.Submit < c.engine.Now() {
		return &InputError{fmt.Errorf("job %s is submitted at %s, before the job ahead of it (%s); sort the trace",
			j.Name, j.Submit, c.engine.Now())}
	}
	c.engine.At(j.Submit, engine.PhaseArrive, "submit", func() {
		c.namespace(j.Namespace)
		c.jobs.Submit(j)
		if err := c.pull(); err != nil {
			c.fail(err)
		}
	})
	return nil
}

// fail ends the run with an error at the next event.
func (c *cluster) fail(err error) {
	if c.failed == nil {
		c.failed = err
	}
	c.engine.Stop(c.failed)
}

// finish closes the journal of a whole run.
func (c *cluster) finish(drained bool) {
	warnings := c.p.Jobs.Warnings()
	for _, src := range c.p.Requests {
		warnings = append(warnings, src.Warnings()...)
	}
	for _, w := range warnings {
		c.record(journal.Warn{Code: w.Code, Message: w.Message, Count: w.Count})
	}
	if n := len(c.terminating); n > 0 && drained {
		c.record(journal.Warn{Code: "pods-never-stopped", Count: int64(n), Message: "pods that are being deleted hold " +
			"their devices for ever: no stage deletes pods with a deletionTimestamp; add one like the shipped pod-delete"})
	}
	c.finishServices()
	c.unseen()
	c.upstream.report(c)
	c.scheduler.Finish()
	reason := journal.EndHorizon
	if drained {
		reason = journal.EndDrained
	}
	c.record(journal.End{Reason: reason})
	c.ended = true
}

// close stops upstream's goroutines so that the bubble can end.
func (c *cluster) close() {
	c.ended = true
	if c.scheduler != nil {
		c.scheduler.Close()
	}
	if c.budgets != nil {
		c.budgets.Close()
	}
	if c.jobController != nil {
		c.jobController.Close()
	}
	if c.claimController != nil {
		c.claimController.Close()
	}
	c.closeControllers()
	if c.karpenter != nil {
		c.karpenter.Close()
	}
	c.engine.Drain()
	c.upstream.restore()
}

// committed sees every write of the API, in order.
func (c *cluster) committed(k kube.Commit) {
	if c.ended {
		return
	}
	if c.p.watch != nil {
		c.p.watch(k)
	}
	if c.plan.JournalAPI {
		c.record(journal.API{Verb: k.Verb, Object: objectName(k), Sub: k.Sub, RV: k.RV})
	}
	if k.Verb == kube.VerbDelete && c.kubelet != nil {
		c.kubelet.OnCommit(k.Verb, k.New, nil) // devices are released before the object's end is told
	}
	if d, ok := k.New.(*dra.ComputeDomain); ok {
		c.domainCommitted(k, d)
	}
	if pod, ok := k.New.(*corev1.Pod); ok {
		old, _ := k.Old.(*corev1.Pod)
		c.podCommitted(k, old, pod)
	} else if !strings.HasPrefix(k.GVR.Group, "karpenter") { // what is only asked for helps no pod
		c.touch()
	}
	if job, ok := k.New.(*batchv1.Job); ok {
		c.jobCommitted(k, job)
	}
	c.scaleCommitted(k)
	c.karpenterCommitted(k)
	if k.Verb != kube.VerbDelete && c.kubelet != nil {
		c.kubelet.OnCommit(k.Verb, k.Old, k.New)
	}
	c.housekeep()
}

// housekeep looks at what is outside the bubble, seldom enough to cost nothing.
func (c *cluster) housekeep() {
	if c.p.Stop != nil && c.p.Stop.Load() {
		c.fail(ErrStopped)
	}
	if c.p.SinkErr != nil {
		if err := c.p.SinkErr(); err != nil {
			c.fail(fmt.Errorf("writing the result: %w", err))
		}
	}
}

func objectName(k kube.Commit) string {
	m := k.New.(metav1.Object)
	parts := []string{k.GVR.Resource, m.GetName()}
	if ns := m.GetNamespace(); ns != "" {
		parts = []string{k.GVR.Resource, ns, m.GetName()}
	}
	return strings.Join(parts, "/")
}
