package keda

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/expr-lang/expr/vm"
	"github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/tools/cache"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/kube"
	"orrery/sim/policy/metrics"
	"orrery/sim/units"
)

// scaledGVR are ScaledObjects.
var scaledGVR = v1alpha1.GroupVersion.WithResource("scaledobjects")

// reaction is the time from a change of the API to the end of the operator's reconciliation. That it is tens of
// milliseconds is an assumption. It also keeps polls off whole seconds, where those of a cluster are not either: KEDA
// notes the time of the last activity in whole seconds, so that an exact one would make a cool-down a poll longer.
const reaction = 50 * time.Millisecond

// Bounds of the time between attempts to reconcile an object that is not right, which doubles each time
// (k8s.io/client-go/util/workqueue, DefaultTypedControllerRateLimiter).
const (
	firstRetry = 5 * time.Millisecond
	lastRetry  = 1000 * time.Second
)

// Params is what the operator needs.
type Params struct {
	Engine  *engine.Engine
	Store   *kube.Store // its schemes must include Scheme
	Metrics *metrics.Store
	// Scales writes and reads scales. It must answer at once.
	Scales scale.ScalesGetter
	// Because, if set, is told who changes the replicas of an object, Kind/namespace/name, and why, before they are.
	Because func(object, by, reason string)
	// Record, if set, gets the conditions of ScaledObjects whenever they change.
	Record func(journal.Body)
}

// Controller is the running operator.
type Controller struct {
	p       Params
	ctx     context.Context
	cancel  context.CancelFunc
	objects map[string]*scaled // by namespace/name
}

// scaled is what the operator knows of a ScaledObject.
type scaled struct {
	c               *Controller
	namespace, name string
	triggers        []*trigger // nil until it was reconciled
	formula         *vm.Program
	target          v1alpha1.GroupVersionKindResource
	generation      int64 // that is polled
	lastActive      time.Time
	health          map[string]int32 // failures in a row, by metric; only with a fallback
	records         map[string]reading
	original        *int32 // replicas of the target before KEDA
	restore         bool   // to these when the object goes

	reconcile, loop *engine.Event
	retry           time.Duration
}

// object is how the journal names a ScaledObject.
func (s *scaled) object() string { return "ScaledObject/" + s.namespace + "/" + s.name }

// Start starts the operator. It must be called on the driver goroutine; ScaledObjects may be there already.
func Start(p Params) (*Controller, error) {
	if p.Engine == nil || p.Store == nil || p.Metrics == nil || p.Scales == nil {
		return nil, fmt.Errorf("keda: Engine, Store, Metrics and Scales are required")
	}
	c := &Controller{p: p, objects: map[string]*scaled{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	p.Metrics.Serve(c)
	if err := c.follow(); err != nil {
		return nil, err
	}
	return c, nil
}

// Close stops the operator.
func (c *Controller) Close() {
	c.cancel()
	for _, s := range c.objects {
		c.stop(s)
		c.p.Engine.Cancel(s.reconcile)
	}
	c.objects = map[string]*scaled{}
}

// follow hooks the operator to the API.
func (c *Controller) follow() error {
	objects := c.p.Store.Informer(scaledGVR, nil)
	_, err := objects.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { c.enqueue(o.(*v1alpha1.ScaledObject)) },
		UpdateFunc: func(old, now any) {
			if a, b := old.(*v1alpha1.ScaledObject), now.(*v1alpha1.ScaledObject); a.Generation != b.Generation ||
				steering(a) != steering(b) || !saysReady(a) && saysReady(b) {
				c.enqueue(b)
			}
		},
		DeleteFunc: func(o any) {
			if so, ok := o.(*v1alpha1.ScaledObject); ok {
				c.gone(so)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("following ScaledObjects: %w", err)
	}
	hpas := c.p.Store.Informer(hpasGVR, nil)
	_, err = hpas.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(old, now any) {
			a, b := old.(*autoscalingv2.HorizontalPodAutoscaler), now.(*autoscalingv2.HorizontalPodAutoscaler)
			if a.Generation != b.Generation || !maps.Equal(a.Labels, b.Labels) || !maps.Equal(a.Annotations, b.Annotations) {
				c.owned(b)
			}
		},
		DeleteFunc: func(o any) {
			if h, ok := o.(*autoscalingv2.HorizontalPodAutoscaler); ok {
				c.owned(h)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("following HorizontalPodAutoscalers: %w", err)
	}
	return nil
}

// saysReady reports whether an object says that it is right.
func saysReady(so *v1alpha1.ScaledObject) bool {
	for _, x := range so.Status.Conditions { // GetReadyCondition makes conditions where there are none
		if x.Type == v1alpha1.ConditionReady {
			return x.IsTrue()
		}
	}
	return false
}

// steering are the annotations whose change is looked at (the predicates of the reconciler's SetupWithManager).
func steering(so *v1alpha1.ScaledObject) [5]string {
	a := so.Annotations
	return [5]string{a[v1alpha1.PausedAnnotation], a[v1alpha1.PausedReplicasAnnotation],
		a[v1alpha1.PausedScaleInAnnotation], a[v1alpha1.PausedScaleOutAnnotation], a[v1alpha1.ForceActivationAnnotation]}
}

// owned reconciles the ScaledObject of an autoscaler.
func (c *Controller) owned(h *autoscalingv2.HorizontalPodAutoscaler) {
	if o := metav1.GetControllerOf(h); o != nil && o.Kind == "ScaledObject" {
		if obj, err := c.p.Store.Get(scaledGVR, h.Namespace, o.Name); err == nil {
			c.enqueue(obj.(*v1alpha1.ScaledObject))
		}
	}
}

// enqueue lets an object be reconciled.
func (c *Controller) enqueue(so *v1alpha1.ScaledObject) {
	key := so.Namespace + "/" + so.Name
	s := c.objects[key]
	if s == nil {
		s = &scaled{c: c, namespace: so.Namespace, name: so.Name, health: map[string]int32{}, records: map[string]reading{}}
		c.objects[key] = s
	}
	s.retry = 0
	c.after(s, reaction)
}

// after reconciles an object after d, unless it is going to be earlier.
func (c *Controller) after(s *scaled, d time.Duration) {
	at := c.p.Engine.Now().Add(d)
	if s.reconcile.Pending() {
		if s.reconcile.At() <= at {
			return
		}
		c.p.Engine.Cancel(s.reconcile)
	}
	s.reconcile = c.p.Engine.Background(at, engine.PhaseObserve, "KEDA reconciles "+s.namespace+"/"+s.name, func() {
		if c.ctx.Err() == nil {
			c.reconcile(s)
		}
	})
}

// start begins the loop of polls, with the first at once (startScaleLoop).
func (c *Controller) start(s *scaled, so *v1alpha1.ScaledObject) {
	c.stop(s)
	s.generation = so.Generation
	every := time.Duration(deref(so.Spec.PollingInterval, defaultPolling)) * time.Second
	name := "KEDA polls " + s.namespace + "/" + s.name
	var turn func()
	turn = func() {
		if c.ctx.Err() != nil {
			return
		}
		s.loop = c.p.Engine.Background(c.p.Engine.Now().Add(every), engine.PhaseObserve, name, turn)
		c.poll(s)
	}
	s.loop = c.p.Engine.Background(c.p.Engine.Now(), engine.PhaseObserve, name, turn)
}

// stop ends the loop of polls.
func (c *Controller) stop(s *scaled) {
	c.p.Engine.Cancel(s.loop)
	s.loop, s.generation = nil, 0
	clear(s.records)
}

// gone is finalizeScaledObject. The autoscaler goes with its owner.
func (c *Controller) gone(so *v1alpha1.ScaledObject) {
	key := so.Namespace + "/" + so.Name
	s := c.objects[key]
	if s == nil {
		return
	}
	c.stop(s)
	c.p.Engine.Cancel(s.reconcile)
	delete(c.objects, key)
	if !s.restore || s.original == nil {
		return
	}
	to := *s.original
	c.p.Engine.Background(c.p.Engine.Now().Add(reaction), engine.PhaseObserve, "KEDA restores "+key, func() {
		if from, err := c.replicas(s, so); err == nil {
			c.scaleTo(s, so, from, to, "ScaledObjectDeleted: restored to the original replica count")
		}
	})
}

var _ metrics.ExternalServer = (*Controller)(nil)

// clock returns an instant as Kubernetes objects carry it.
func (c *Controller) clock(at units.Time) time.Time {
	return c.p.Engine.Clock().Add(at.Sub(c.p.Engine.Now()))
}
