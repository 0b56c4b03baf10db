package karpenter

import (
	"context"
	"sync"
	"time"

	"github.com/awslabs/operatorpkg/reconciler"
	"github.com/awslabs/operatorpkg/singleton"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/controllers/disruption"

	"orrery/sim/units"
)

// Upstream's disruption controller looks at the whole cluster every ten seconds, which is most of what an idle cluster
// costs. As long as nothing has happened it is let look once a minute only.
const (
	poll  = 10 * time.Second // pollingPeriod of pkg/controllers/disruption/controller.go
	calm  = 30 * time.Second // without a write to the API before a look: nominations, of 20 s, are over
	dwell = time.Minute      // between looks in a calm cluster
	stale = 5 * time.Minute  // then upstream considers a consolidated cluster anew: pkg/controllers/state/cluster.go
)

// disruptor is upstream's disruption controller without looks at a cluster in which nothing has happened since it
// last looked and found nothing to do. What changes by the clock alone it may see up to fifty seconds later than
// upstream: that the time of a do-not-disrupt annotation is over. It looks when upstream would consider a
// consolidated cluster anew, and always where there is a budget with a schedule.
type disruptor struct {
	*disruption.Controller
	c     *Controller
	state *time.Time // since when upstream believes that nothing has changed

	mu     sync.Mutex
	looked units.Time // last time, when it found nothing to do
	seen   uint64     // changes then
	idle   bool
}

// Register is upstream's, of this controller.
func (d *disruptor) Register(_ context.Context, m manager.Manager) error {
	return ctrl.NewControllerManagedBy(m).Named(d.Name()).WatchesRawSource(singleton.Source()).
		Complete(singleton.AsReconciler(d))
}

// Reconcile implements singleton.Reconciler.
func (d *disruptor) Reconcile(ctx context.Context) (reconciler.Result, error) {
	if d.skip(ctx) {
		return reconciler.Result{RequeueAfter: poll}, nil
	}
	began, seen, quiet := d.c.e.Now(), d.c.changes.Load(), d.c.calm()
	res, err := d.Controller.Reconcile(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.idle = quiet && err == nil && res == reconciler.Result{RequeueAfter: poll} && seen == d.c.changes.Load()
	d.looked, d.seen = began, seen
	return res, err
}

func (d *disruptor) skip(ctx context.Context) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.idle || d.seen != d.c.changes.Load() || d.c.e.Now().Sub(d.looked) >= dwell ||
		d.c.e.Clock().Sub(*d.state) >= stale {
		return false
	}
	var pools v1.NodePoolList
	if err := d.c.m.GetClient().List(ctx, &pools); err != nil {
		return false
	}
	for i := range pools.Items {
		for _, b := range pools.Items[i].Spec.Disruption.Budgets {
			if b.Schedule != nil {
				return false
			}
		}
	}
	return true
}

// Changed must be called for every write to the API. It is cheap.
func (c *Controller) Changed() {
	c.changes.Add(1)
	c.changed.Store(int64(c.e.Now()))
}

// calm reports whether nothing has been written for a while.
func (c *Controller) calm() bool { return c.e.Now().Sub(units.Time(c.changed.Load())) >= calm }
