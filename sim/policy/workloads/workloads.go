// Package workloads runs the upstream controllers that keep the pods of Deployments, ReplicaSets and StatefulSets.
//
// What decides is k8s.io/kubernetes/pkg/controller/{deployment,replicaset,statefulset} as it is, with one worker each.
// What is replaced are fields that would let Go's scheduler or a random generator into a run: their work queues
// (package workqueue), the random ends of pods' names, and their events, which nobody reads.
//
// The Deployment controller has a habit that costs nothing in a cluster and everything in a simulation: once the
// progress deadline of a Deployment has passed that was complete before and is not now, as when a scale-up waits for
// nodes, it looks at it again ten times a second, for ever (requeueStuckDeployment; the pace is its queue's). It looks
// only whether the clock has passed the deadline, which it has, or will have within a second; all else that could
// change what it sees its informers tell it. So its queue lets it look for a little longer than that second and then
// waits for news.
package workloads

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	upstreamqueue "k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/history"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/statefulset"
	"k8s.io/kubernetes/pkg/controller/util/consistency"

	"orrery/sim/engine"
	"orrery/sim/policy/control"
	"orrery/sim/policy/workqueue"
)

// Params is what the controllers need.
type Params struct {
	Engine *engine.Engine
	// Client makes the client of one controller, through the engine's gate, which keeps its rate.
	Client func() (kubernetes.Interface, error)
	// Informers must be told by events of the engine, one change per event, and hold finished pods, too.
	Informers informers.SharedInformerFactory
}

// Controllers are the running controllers.
type Controllers struct {
	p      Params
	ctx    context.Context
	cancel context.CancelFunc
	queues []*workqueue.Queue[string]
	done   sync.WaitGroup
}

// Start builds and starts the controllers. It must be called on the driver goroutine, inside the bubble, after the
// feature gates are set.
func Start(p Params) (*Controllers, error) {
	c := &Controllers{p: p}
	c.ctx, c.cancel = context.WithCancel(klog.NewContext(context.Background(), logr.Discard()))
	for _, start := range []func() error{c.startDeployments, c.startReplicaSets, c.startStatefulSets} {
		if err := start(); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Close stops the controllers. The engine must be drained afterwards.
func (c *Controllers) Close() {
	c.cancel()
	for _, q := range c.queues {
		q.ShutDown()
	}
}

// longestRetry is the most that upstream's default rate limiter waits (DefaultTypedControllerRateLimiter). What failed
// so often that it waits that long can only be helped by something else that happens.
const longestRetry = 1000 * time.Second

// queue returns a queue with upstream's default limits.
func (c *Controllers) queue(name string, o workqueue.Options[string]) *workqueue.Queue[string] {
	o.Limiter, o.LongRetry = upstreamqueue.DefaultTypedControllerRateLimiter[string](), longestRetry
	q := workqueue.With(c.p.Engine, name, o)
	c.queues = append(c.queues, q)
	return q
}

// client returns a client for one controller.
func (c *Controllers) client() (kubernetes.Interface, error) {
	cs, err := c.p.Client()
	if err != nil {
		return nil, fmt.Errorf("building a workload controller's client: %w", err)
	}
	return cs, nil
}

// The pace at which upstream's Deployment controller looks at the clock, its queue's 10 a second, and for how long it
// may change anything: until the next full second, and a little more.
const (
	deadlinePoll  = 100 * time.Millisecond
	deadlinePolls = 11
)

func (c *Controllers) startDeployments() error {
	cs, err := c.client()
	if err != nil {
		return err
	}
	f := c.p.Informers
	dc, err := deployment.NewDeploymentController(c.ctx, f.Apps().V1().Deployments(), f.Apps().V1().ReplicaSets(),
		f.Core().V1().Pods(), cs)
	if err != nil {
		return fmt.Errorf("building the Deployment controller: %w", err)
	}
	// What it adds after a while are only looks at progress deadlines.
	q := c.queue("deployment sync", workqueue.Options[string]{BackgroundDelays: true, Poll: deadlinePoll,
		Polls: deadlinePolls})
	if err := errors.Join(control.SwapQueue(dc, "queue", q), control.SwapRecorder(dc, "eventRecorder", control.Silence{}),
		control.SwapBroadcaster(dc, "eventBroadcaster")); err != nil {
		return err
	}
	c.done.Go(func() { dc.Run(c.ctx, 1) })
	return nil
}

// syncFunc is the type of the field that syncs an object.
type syncFunc = func(context.Context, string) error

func (c *Controllers) startReplicaSets() error {
	cs, err := c.client()
	if err != nil {
		return err
	}
	f := c.p.Informers
	rsc := replicaset.NewReplicaSetController(c.ctx, f.Apps().V1().ReplicaSets(), f.Core().V1().Pods(), cs,
		replicaset.BurstReplicas)
	q := c.queue("replicaset sync", workqueue.Options[string]{})
	sync, err := control.Swap[syncFunc](rsc, "syncHandler", nil)
	if err != nil {
		return err
	}
	_, err = control.Swap[syncFunc](rsc, "syncHandler", func(ctx context.Context, key string) error {
		return survive(ctx, key, sync)
	})
	if err := errors.Join(err, control.SwapQueue(rsc, "queue", q),
		control.SwapPodControl(rsc, "podControl", cs, c.p.Engine),
		control.SwapBroadcaster(rsc, "eventBroadcaster")); err != nil {
		return err
	}
	c.done.Go(func() { rsc.Run(c.ctx, 1) })
	return nil
}

// errTooYoung is what a panic of the ReplicaSet controller is turned into that real time does not let happen: its
// metric on the ages of deleted pods divides by the age of the youngest, in whole milliseconds, which may be 0 here.
var errTooYoung = errors.New("a pod that became ready in no time is to be deleted")

// survive calls sync. What it was about to do when it panicked, it does a moment later.
func survive(ctx context.Context, key string, sync syncFunc) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case runtime.Error:
			if !strings.Contains(r.Error(), "divide by zero") {
				panic(r)
			}
			err = errTooYoung
		default:
			panic(r)
		}
	}()
	return sync(ctx, key)
}

func (c *Controllers) startStatefulSets() error {
	cs, err := c.client()
	if err != nil {
		return err
	}
	f := c.p.Informers
	pods, sets, claims := f.Core().V1().Pods(), f.Apps().V1().StatefulSets(), f.Core().V1().PersistentVolumeClaims()
	revisions := f.Apps().V1().ControllerRevisions()
	ssc := statefulset.NewStatefulSetController(c.ctx, pods, sets, claims, revisions, cs)
	q := c.queue("statefulset sync", workqueue.Options[string]{})
	store, err := control.Swap[consistency.ConsistencyStore](ssc, "consistencyStore", nil)
	if err != nil {
		return err
	}
	// The same parts as upstream's, with a silent recorder: it is out of reach inside of them.
	syncer := statefulset.NewDefaultStatefulSetControl(
		statefulset.NewStatefulPodControl(cs, pods.Lister(), claims.Lister(), control.Silence{}, store),
		statefulset.NewRealStatefulSetStatusUpdater(cs, sets.Lister(), store),
		history.NewHistory(cs, revisions.Lister(), revisions.Informer().GetIndexer()))
	_, err = control.Swap(ssc, "consistencyStore", store)
	_, err2 := control.Swap(ssc, "control", syncer)
	if err := errors.Join(err, err2, control.SwapQueue(ssc, "queue", q),
		control.SwapPodControl(ssc, "podControl", cs, c.p.Engine),
		control.SwapBroadcaster(ssc, "eventBroadcaster")); err != nil {
		return err
	}
	c.done.Go(func() { ssc.Run(c.ctx, 1) })
	return nil
}

// Routine reports whether an error that the controllers report is a part of their normal life: another write came
// before theirs, or their informers have not yet told them of their own, and they come back to it.
func Routine(err error) bool {
	if err == nil {
		return false
	}
	var stale *consistency.ConsistencyError
	if errors.As(err, &stale) || errors.Is(err, errTooYoung) || apierrors.IsConflict(err) {
		return true
	}
	// Upstream formats some errors without wrapping them.
	text := err.Error()
	if strings.HasPrefix(text, "object is being deleted: pods ") {
		return true // a StatefulSet that was made anew waits for the pods of the one before it
	}
	return strings.HasPrefix(text, "sync ") && (strings.Contains(text, "is not as new as written version") ||
		strings.Contains(text, errTooYoung.Error()) || strings.Contains(text, "the object has been modified"))
}
