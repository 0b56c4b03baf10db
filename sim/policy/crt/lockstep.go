package crt

import (
	"fmt"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	upstreamqueue "k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"orrery/sim/policy/workqueue"
	"orrery/sim/units"
)

// newQueue is controller-runtime's type of a function that makes the queue of a controller of reconcile.Requests.
type newQueue = func(string, upstreamqueue.TypedRateLimiter[reconcile.Request],
) upstreamqueue.TypedRateLimitingInterface[reconcile.Request]

// lockstep gives a controller a queue in lockstep, and its workers a bound. Runnables that are no controllers are left
// alone. The fields it sets are exported ones of an internal type
// (sigs.k8s.io/controller-runtime v0.25.2 pkg/internal/controller).
func lockstep(r manager.Runnable, p Params) (interface{ ShutDown() }, error) {
	v := reflect.ValueOf(r)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil, nil
	}
	v = v.Elem()
	if v.Type().PkgPath() != "sigs.k8s.io/controller-runtime/pkg/internal/controller" {
		return nil, nil
	}
	name, makes := v.FieldByName("Name"), v.FieldByName("NewQueue")
	limiter, workers := v.FieldByName("RateLimiter"), v.FieldByName("MaxConcurrentReconciles")
	if !name.IsValid() || !makes.IsValid() || !limiter.IsValid() || !workers.IsValid() {
		return nil, fmt.Errorf("%s: controllers of this version of controller-runtime have no fields Name, NewQueue, "+
			"RateLimiter and MaxConcurrentReconciles", p.Name)
	}
	if makes.Type() != reflect.TypeFor[newQueue]() {
		return nil, fmt.Errorf("%s: controller %s has requests of another type than reconcile.Request: %s",
			p.Name, name, makes.Type())
	}
	limit, _ := limiter.Interface().(upstreamqueue.TypedRateLimiter[reconcile.Request])
	controller := name.String()
	o := workqueue.Options[reconcile.Request]{Limiter: limit, Sort: true}
	if p.Background != nil {
		o.Background = func(d units.Duration, failed bool) bool { return p.Background(controller, d, failed) }
	}
	if p.Still != nil {
		o.Still = func(since units.Time) bool { return p.Still(controller, since) }
	}
	q := workqueue.With(p.Engine, p.Name+" "+controller, o)
	makes.Set(reflect.ValueOf(func(string, upstreamqueue.TypedRateLimiter[reconcile.Request],
	) upstreamqueue.TypedRateLimitingInterface[reconcile.Request] {
		return q
	}))
	workers.SetInt(min(workers.Int(), int64(p.Workers)))
	return q, nil
}

// informer is the cache's way to make an informer.
func (m *Manager) informer(_ toolscache.ListerWatcher, obj runtime.Object, _ units.Duration, _ toolscache.Indexers,
) toolscache.SharedIndexInformer {
	if _, ok := obj.(*metav1.PartialObjectMetadata); ok {
		panic(fmt.Sprintf("%s watches only the metadata of %s, which these informers cannot", m.p.Name,
			obj.GetObjectKind().GroupVersionKind()))
	}
	gvk, err := apiutil.GVKForObject(obj, m.p.Scheme)
	if err != nil {
		panic(fmt.Sprintf("%s watches a %T: %v", m.p.Name, obj, err))
	}
	mapping, err := m.p.Mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		panic(fmt.Sprintf("%s watches %s, which the API does not serve: %v", m.p.Name, gvk, err))
	}
	inf, err := m.p.Informer(mapping.Resource)
	if err != nil {
		panic(fmt.Sprintf("%s watches %s: %v", m.p.Name, mapping.Resource, err))
	}
	return inf
}
