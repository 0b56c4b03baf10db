package karpenter

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/awslabs/operatorpkg/reconciler"
	"github.com/awslabs/operatorpkg/singleton"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/controllers/disruption"
	"sigs.k8s.io/karpenter/pkg/controllers/state"

	"orrery/sim/kube"
	"orrery/sim/units"
)

// Most of what Karpenter does in a cluster in which nothing happens is to look again at what it has seen before. As
// long as nothing has been written that it reads, it is not let look: it would find what it found.
const (
	poll  = 10 * time.Second // pollingPeriod of pkg/controllers/disruption/controller.go
	calm  = 30 * time.Second // without a write before a look, at least: caches have followed, nominations are over
	stale = 5 * time.Minute  // then upstream considers a consolidated cluster anew: pkg/controllers/state/cluster.go
)

// polls are the controllers whose reconciles come again at a fixed pace to copy what the API says into Karpenter's own
// state, or that into the API, whatever the time is (pkg/controllers/state/informer and nodepool/counter).
var polls = []string{"state.pod", "state.node", "state.nodeclaim", "state.daemonset", "nodepool.counter"}

// still reports whether a controller would find what it found in a reconcile that began at an instant.
func (c *Controller) still(controller string, since units.Time) bool {
	return !c.every && slices.Contains(polls, controller) && since.Sub(units.Time(c.changed.Load())) >= c.calm
}

// disruptor is upstream's disruption controller without looks at a cluster in which nothing has happened since it
// last looked and found nothing to do. It looks at every poll where the clock alone may change something: where a
// budget has a schedule, a do-not-disrupt annotation a duration, or a pod is being deleted. Nothing else that it looks
// at depends on the time alone: that a node may be consolidated is written into its NodeClaim, and the order of
// candidates (their price by the cost of moving their pods) does not know their age.
//
// When upstream would consider a consolidated cluster anew, it looks once. After that only the time is noted at which
// upstream would have done so again: how soon it sees what it does not count as a change depends on that.
type disruptor struct {
	*disruption.Controller
	c       *Controller
	cluster *state.Cluster
	state   *time.Time   // of cluster: since when upstream believes that nothing has changed
	marks   []*time.Time // of the methods of consolidation: the state in which they found nothing to do

	mu     sync.Mutex
	idle   bool       // the last look found nothing to do
	looked units.Time // when it was
	seen   uint64     // changes then
	at     time.Time  // state then
	timed  bool       // the clock alone may change something
	anew   bool       // the last look considered everything anew
}

// newDisruptor puts a disruptor before upstream's controller, and gives its methods an order.
func newDisruptor(c *Controller, d *disruption.Controller, cluster *state.Cluster) (*disruptor, error) {
	at, err := fieldOf[time.Time](cluster, "clusterState")
	if err != nil {
		return nil, err
	}
	out := &disruptor{Controller: d, c: c, cluster: cluster, state: at}
	methods, err := fieldOf[[]disruption.Method](d, "methods")
	if err != nil {
		return nil, err
	}
	for _, m := range *methods {
		switch m.(type) {
		case *disruption.Drift, *disruption.StaticDrift: // considered at every look
			continue
		}
		mark, err := fieldOf[time.Time](m, "lastConsolidationState")
		if err != nil {
			return nil, err
		}
		out.marks = append(out.marks, mark)
	}
	return out, orderMethods(*methods)
}

// Register is upstream's, of this controller.
func (d *disruptor) Register(_ context.Context, m manager.Manager) error {
	return ctrl.NewControllerManagedBy(m).Named(d.Name()).WatchesRawSource(singleton.Source()).
		Complete(singleton.AsReconciler(d))
}

// Reconcile implements singleton.Reconciler.
func (d *disruptor) Reconcile(ctx context.Context) (reconciler.Result, error) {
	if d.skip() {
		return reconciler.Result{RequeueAfter: poll}, nil
	}
	began, seen, quiet, before := d.c.e.Now(), d.c.changes.Load(), d.c.quiet(), *d.state
	res, err := d.Controller.Reconcile(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.idle = quiet && err == nil && res == reconciler.Result{RequeueAfter: poll} && seen == d.c.changes.Load() &&
		began == d.c.e.Now()
	if !d.idle {
		return res, err
	}
	d.looked, d.seen, d.at = began, seen, *d.state
	d.timed, d.anew = d.byClock(ctx), !d.at.Equal(before) && d.c.e.Clock().Sub(before) >= stale
	return res, nil
}

// skip reports whether a look would find what the last one did.
func (d *disruptor) skip() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.c.every || !d.idle || d.timed || d.seen != d.c.changes.Load() || !d.at.Equal(*d.state) {
		return false
	}
	now, due := d.c.e.Clock(), d.at.Add(stale)
	before := now.Add(-d.c.e.Now().Sub(d.looked))
	if now.Before(due) || !before.Before(due) {
		return true
	}
	if d.anew {
		d.renew()
	}
	return d.anew
}

// renew notes what upstream would note when it considers a cluster anew and finds nothing to do.
func (d *disruptor) renew() {
	was := d.at
	d.looked, d.at = d.c.e.Now(), d.cluster.MarkUnconsolidated()
	for _, mark := range d.marks {
		if mark.Equal(was) {
			*mark = d.at
		}
	}
}

// byClock reports whether there is something that upstream may see differently only because time has passed.
func (d *disruptor) byClock(ctx context.Context) bool {
	var pools v1.NodePoolList
	var pods corev1.PodList
	c := d.c.m.GetClient()
	if c.List(ctx, &pools, client.UnsafeDisableDeepCopy) != nil {
		return true
	}
	if c.List(ctx, &pods, client.UnsafeDisableDeepCopy) != nil {
		return true
	}
	scheduled := func(b v1.Budget) bool { return b.Schedule != nil }
	return slices.ContainsFunc(pools.Items, func(np v1.NodePool) bool {
		return slices.ContainsFunc(np.Spec.Disruption.Budgets, scheduled)
	}) || slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool {
		keep := p.Annotations[v1.DoNotDisruptAnnotationKey]
		return p.DeletionTimestamp != nil || keep != "" && keep != "true"
	})
}

// Committed must be called for every write to the API, on the driver goroutine. It is cheap.
func (c *Controller) Committed(k kube.Commit) {
	if c.reads[k.GVR.GroupResource()] {
		c.Changed()
	}
}

// Changed notes that something has changed that Karpenter looks at.
func (c *Controller) Changed() {
	c.changes.Add(1)
	c.changed.Store(int64(c.e.Now()))
}

// quiet reports whether nothing has changed for a while.
func (c *Controller) quiet() bool { return c.e.Now().Sub(units.Time(c.changed.Load())) >= c.calm }

// resources are those that objects are kept under.
func resources(objects []client.Object, s *runtime.Scheme, m meta.RESTMapper) (map[schema.GroupResource]bool, error) {
	out := map[schema.GroupResource]bool{}
	for _, obj := range objects {
		gvk, err := apiutil.GVKForObject(obj, s)
		if err != nil {
			return nil, err
		}
		mapping, err := m.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			return nil, err
		}
		out[mapping.Resource.GroupResource()] = true
	}
	return out, nil
}
