package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/kube"
	"orrery/sim/kwok"
	"orrery/sim/policy/disruption"
	"orrery/sim/policy/hpa"
	"orrery/sim/policy/kubescheduler"
	"orrery/sim/policy/plugins"
	"orrery/sim/policy/resourceclaim"
	"orrery/sim/policy/workloads"
	"orrery/sim/units"
	"orrery/sim/workload"
)

func (c *cluster) buildKubelet() {
	c.kubelet = kwok.New(kwok.Params{
		Clock: c.engine, API: givenStore{c.store}, Stages: c.parts.stages, Fleet: c.fleet, Random: c.streams,
		Epoch: c.plan.Epoch,
		Hidden: func(obj runtime.Object) map[string]string {
			if pod, ok := obj.(*corev1.Pod); ok {
				return c.work[podKey(pod)].hidden
			}
			return nil
		},
		Claims: c.kubeletClaims(),
		Hooks: kwok.Hooks{Assigned: c.podAssigned, Started: c.podStarted, Ended: c.podEnded, Released: c.podReleased,
			Warn: func(code, message string) { c.upstream.add(code, message) }},
	})
}

// givenStore is the store for a writer that uses nothing it has handed over any more, so that copying can be spared.
type givenStore struct{ *kube.Store }

// Update implements kwok.API.
func (s givenStore) Update(obj runtime.Object, sub string) (runtime.Object, error) {
	return s.Give(obj, sub)
}

func (c *cluster) podAssigned(pod *corev1.Pod, node string, slots []journal.Slot) {
	c.record(journal.PodAssign{Pod: podKey(pod), Node: node, Slots: slots})
	c.replicaPodAssigned(pod)
}

func (c *cluster) podStarted(pod *corev1.Pod) {
	c.record(journal.PodStart{Pod: podKey(pod)})
	if p := c.jobs.Lookup(podKey(pod)); p != nil {
		c.jobs.PodStarted(p)
	}
}

// podEnded tells the workload how its containers ended: by the work's own doing (no reason), or by something else.
func (c *cluster) podEnded(pod *corev1.Pod, phase, reason string) {
	key := podKey(pod)
	c.starts.cancel(key)
	c.replicaPodEnded(key, reason)
	c.record(journal.PodEnd{Pod: key, Phase: phase, Reason: reason})
	p := c.jobs.Lookup(key)
	if pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodRunning && (p == nil || !p.Managed()) {
		// Finished pods leave the API at once, as with a Job's ttlSecondsAfterFinished of 0: what is live stays small.
		c.engine.After(0, engine.PhaseRelease, "clean up "+key, func() { c.remove(pod) })
	}
	if p == nil || pod.DeletionTimestamp != nil {
		return // a deletion has been told, or will be when the object is gone
	}
	switch {
	case phase == string(corev1.PodSucceeded), c.work[key].Outcome == journal.Failed && pod.Status.Reason == "":
		reason = ""
	case reason == "":
		reason = "Error"
	}
	c.jobs.PodEnded(p, phase, reason)
}

func (c *cluster) remove(pod *corev1.Pod) {
	err := c.store.Delete(podsResource, pod.Namespace, pod.Name, metav1.NewDeleteOptions(0))
	if err != nil && !apierrors.IsNotFound(err) {
		c.upstream.add("cleanup", err.Error())
	}
}

func (c *cluster) podReleased(pod *corev1.Pod, node string) {
	c.record(journal.PodRelease{Pod: podKey(pod), Node: node})
	c.touch()
}

// buildManifests creates the user's objects, and the namespaces they live in.
func (c *cluster) buildManifests() error {
	budgets := false
	for _, m := range c.parts.manifests {
		if ns, ok := m.object.(*corev1.Namespace); ok {
			c.namespaces[ns.Name] = true
		}
		_, isBudget := m.object.(*policyv1.PodDisruptionBudget)
		budgets = budgets || isBudget
	}
	if err := c.buildJobController(); err != nil {
		return err
	}
	if err := c.buildControllers(); err != nil {
		return err
	}
	if err := createManifests(c.store, c.parts.manifests, c.namespace, c.submitGiven, c.operate); err != nil {
		return err
	}
	warnings, err := reviewed(c.store, c.parts.manifests)
	for _, text := range warnings {
		c.record(journal.Warn{Code: "keda-webhook", Message: text, Count: 1})
	}
	if err != nil || !budgets {
		return err
	}
	c.budgets, err = disruption.Start(disruption.Params{Client: c.store.RESTConfig(c.gate), Mapper: c.store.RESTMapper(),
		Informers: func(cs kubernetes.Interface) informers.SharedInformerFactory {
			return c.store.InformerFactory(cs, kube.Deliver(c.deliver), kube.AllPods())
		}})
	return err
}

func (c *cluster) buildScheduler() error {
	latency := c.plan.Scheduler.Latency
	var opts []kube.InformerOption
	if latency.Watch > 0 {
		opts = append(opts, kube.Deliver(c.deliver))
	}
	var err error
	gate := c.limited(c.parts.config.ClientConnection.QPS, int(c.parts.config.ClientConnection.Burst))
	c.scheduler, err = kubescheduler.New(kubescheduler.Params{
		Engine: c.engine, Client: c.store.RESTConfig(gate), Config: c.parts.config, Record: c.record,
		Direct: func(cs kubernetes.Interface) kubernetes.Interface { return c.store.Direct(cs, gate) },
		Informers: func(cs kubernetes.Interface) informers.SharedInformerFactory {
			return c.store.InformerFactory(cs, opts...)
		},
		Latency: kubescheduler.Latency{Attempt: latency.Attempt, AttemptPerNode: latency.AttemptPerNode},
		Seed:    c.streams.Int63("kube-scheduler/math-rand"),
		Claims:  c.claimController != nil,
		Rank:    c.rank,
		Empty:   func() bool { return len(c.pools) == 0 },
		Plugins: plugins.Registry(c.plan.Seed),

		ExactUpstream: c.p.ExactUpstream,
	})
	if err != nil {
		return &InputError{fmt.Errorf("kube-scheduler refuses its configuration: %w", err)}
	}
	return nil
}

// rank orders nodes for the scheduler's last tie: a random order that the seed fixes for the whole run.
func (c *cluster) rank(node string) int64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%s", c.plan.Seed, node)
	return int64(h.Sum64() >> 1)
}

// limited is gate for a client with a rate limit, as client-go has it: a token bucket that is full at the beginning. A
// negative rate is none. The bucket is here and not in the client, where goroutines that call at one instant would get
// their tokens in the order in which Go runs them.
func (c *cluster) limited(qps float32, burst int) kube.Gate {
	if qps <= 0 {
		return c.gate
	}
	bucket := rate.NewLimiter(rate.Limit(qps), burst)
	return func(call kube.Call, fn func()) {
		c.engine.CallAfter(call.String(), func() units.Duration {
			now := c.engine.Clock()
			return c.plan.Scheduler.Latency.API + bucket.ReserveN(now, 1).DelayFrom(now)
		}, fn)
	}
}

// gate performs an API call of upstream code as an event, after the API's latency.
func (c *cluster) gate(call kube.Call, fn func()) {
	c.engine.Call(call.String(), c.plan.Scheduler.Latency.API, fn)
}

// deliver tells a watching component of a change as an event of its own, after the watch's latency.
func (c *cluster) deliver(fn func()) {
	c.engine.After(c.plan.Scheduler.Latency.Watch, engine.PhaseObserve, "watch", fn)
}

// upstreamErrors counts what upstream code reports as an error and otherwise only logs.
type upstreamErrors struct {
	mu       sync.Mutex
	order    []string
	count    map[string]int64
	message  map[string]string
	previous []utilruntime.ErrorHandler
}

// install takes the place of upstream's error handlers, whose global back-off sleeps on times from outside the bubble.
func (u *upstreamErrors) install() {
	u.count, u.message = map[string]int64{}, map[string]string{}
	u.previous = utilruntime.ErrorHandlers
	utilruntime.ErrorHandlers = []utilruntime.ErrorHandler{
		func(_ context.Context, err error, msg string, _ ...interface{}) {
			if routine(err) || kubescheduler.Routine(err) || resourceclaim.Routine(err) || workloads.Routine(err) ||
				hpa.Routine(err) {
				return
			}
			if err != nil {
				msg = strings.TrimSpace(msg + ": " + err.Error())
			}
			u.add("upstream-error", msg)
		}}
}

// routine reports whether an error is a part of normal life that upstream copes with: a write that another one came
// before (it reads again and retries), or one to a pod that was deleted meanwhile (its informer tells it next).
func routine(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	d := status.Status().Details
	return apierrors.IsConflict(err) || apierrors.IsNotFound(err) && d != nil && d.Kind == podsResource.Resource
}

func (u *upstreamErrors) restore() { utilruntime.ErrorHandlers = u.previous }

// add counts a message; of many with one code the first is kept.
func (u *upstreamErrors) add(code, message string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.count[code]++; u.count[code] == 1 {
		u.order = append(u.order, code)
		u.message[code] = message
	}
}

func (u *upstreamErrors) report(c *cluster) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, code := range u.order {
		c.record(journal.Warn{Code: code, Message: u.message[code], Count: u.count[code]})
	}
}

var _ workload.Cluster = (*cluster)(nil)
