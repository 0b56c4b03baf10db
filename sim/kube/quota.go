package kube

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/resourcequota"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/quota/v1/evaluator/core"
	"k8s.io/kubernetes/pkg/quota/v1/install"
	"k8s.io/utils/clock"
)

// quotaKeeper enforces ResourceQuota with upstream's evaluators and admission check, and does the quota controller's
// work as it goes: what a change uses or frees is added to or taken from status.used within the write. It costs nothing
// until the first quota is created.
type quotaKeeper struct {
	store    *Store
	kind     *kind
	registry quota.Registry // nil until there is a quota
}

// timeless is the clock of the pod evaluator. Upstream stops counting a pod that is still there long after its grace
// period; with a clock that stands still a pod counts until it is finished or gone, so that what is freed is what was
// charged.
type timeless struct{ clock.RealClock }

// Now implements clock.PassiveClock.
func (timeless) Now() time.Time { return time.Time{} }

func newQuotaKeeper(s *Store) (*quotaKeeper, error) {
	return &quotaKeeper{store: s, kind: s.kinds.byGVR[corev1.SchemeGroupVersion.WithResource("resourcequotas")]}, nil
}

// start builds the evaluators.
func (q *quotaKeeper) start() error {
	if q.registry != nil {
		return nil
	}
	evaluators, err := core.NewEvaluators(q.lister, q.store.earlyFactory(), nil)
	if err != nil {
		return fmt.Errorf("preparing quota evaluators: %w", err)
	}
	q.registry = generic.NewRegistry(evaluators)
	q.registry.Add(core.NewPodEvaluator(q.lister, timeless{}))
	return nil
}

// quotas returns the quotas of a namespace, sorted by name.
func (q *quotaKeeper) quotas(ns string) []corev1.ResourceQuota {
	s := q.store
	s.data.RLock()
	defer s.data.RUnlock()
	if q.registry == nil || ns == "" || len(s.tables[q.kind].objs[ns]) == 0 {
		return nil
	}
	var out []corev1.ResourceQuota
	for _, obj := range s.listLocked(q.kind, selection{ns: ns}) {
		out = append(out, *obj.(*corev1.ResourceQuota))
	}
	return out
}

// evaluator returns what measures objects of kind k, or nil if they are not subject to quota. Kinds without an
// evaluator of their own can be counted.
func (q *quotaKeeper) evaluator(k *kind) quota.Evaluator {
	gr := k.gvr.GroupResource()
	if _, ignored := install.DefaultIgnoredResources()[gr]; ignored {
		return nil
	}
	if e := q.registry.Get(gr); e != nil {
		return e
	}
	e := generic.NewObjectCountEvaluator(gr, generic.ListResourceUsingListerFunc(q.lister, k.gvr), "")
	q.registry.Add(e)
	return e
}

// admit checks a new object against the quotas of its namespace and charges them.
func (q *quotaKeeper) admit(k *kind, obj runtime.Object, dry bool) error {
	quotas := q.quotas(obj.(metav1.Object).GetNamespace())
	if len(quotas) == 0 {
		return nil
	}
	e := q.evaluator(k)
	if e == nil {
		return nil
	}
	charged, err := resourcequota.CheckRequest(quotas, q.store.plugins.attributes(k, obj, nil), e, nil)
	if err != nil || dry {
		return err
	}
	for i := range charged {
		q.store.setUsed(&quotas[i], charged[i].Status.Used)
	}
	return nil
}

// change accounts for an update (obj is the new state) or a removal (obj is nil) of an object that was charged. An
// update that upstream checks against quota is refused if it does not fit.
func (q *quotaKeeper) change(k *kind, old, obj runtime.Object) error {
	quotas := q.quotas(old.(metav1.Object).GetNamespace())
	if len(quotas) == 0 || k == q.kind && obj != nil {
		return nil
	}
	e := q.evaluator(k)
	if e == nil {
		return nil
	}
	if obj != nil {
		a := q.store.plugins.attributes(k, obj, old)
		if e.Handles(a) && a.GetOperation() == admission.Update {
			if _, err := resourcequota.CheckRequest(quotas, a, e, nil); err != nil {
				return err
			}
		}
	}
	for i := range quotas {
		names := quota.ResourceNames(quotas[i].Status.Hard)
		freed, err := usageIn(e, &quotas[i], old, names)
		if err != nil {
			return err
		}
		taken, err := usageIn(e, &quotas[i], obj, names)
		if err != nil {
			return err
		}
		if quota.Equals(freed, taken) {
			continue
		}
		used := quota.Subtract(quota.Add(quotas[i].Status.Used, taken), freed)
		q.store.setUsed(&quotas[i], quota.Mask(used, names))
	}
	return nil
}

// usageIn is what an object uses of a quota: nothing if it is nil or out of the quota's scope.
func usageIn(e quota.Evaluator, rq *corev1.ResourceQuota, obj runtime.Object, names []corev1.ResourceName) (
	corev1.ResourceList, error) {
	if obj == nil {
		return corev1.ResourceList{}, nil
	}
	match, err := e.Matches(rq, obj)
	if err != nil || !match {
		return corev1.ResourceList{}, err
	}
	use, err := e.Usage(obj)
	return quota.Mask(use, names), err
}

// setUsed writes what is used of a quota. The caller holds write.
func (s *Store) setUsed(rq *corev1.ResourceQuota, used corev1.ResourceList) {
	k := s.quotas.kind
	old := s.peek(k, rq.Namespace, rq.Name)
	if old == nil || quota.Equals(old.(*corev1.ResourceQuota).Status.Used, used) {
		return
	}
	obj := k.shallow(old).(*corev1.ResourceQuota)
	obj.Status.Used = used
	s.commit(k, VerbUpdate, "status", old, obj)
}

// recount sets a quota's status from scratch, as the quota controller does for a new or changed quota
// (resourcequota.Controller.syncResourceQuota).
func (q *quotaKeeper) recount(rq *corev1.ResourceQuota) error {
	if err := q.start(); err != nil {
		return err
	}
	for name := range rq.Spec.Hard {
		if counted, ok := strings.CutPrefix(string(name), "count/"); ok {
			if k := q.store.kinds.byGR[schema.ParseGroupResource(counted)]; k != nil {
				q.evaluator(k)
			}
		}
	}
	hard := quota.Add(corev1.ResourceList{}, rq.Spec.Hard)
	used, err := quota.CalculateUsage(rq.Namespace, rq.Spec.Scopes, hard, q.registry, rq.Spec.ScopeSelector)
	if err != nil {
		return fmt.Errorf("counting what quota %s/%s uses: %w", rq.Namespace, rq.Name, err)
	}
	obj := q.kind.shallow(rq).(*corev1.ResourceQuota)
	obj.Status = corev1.ResourceQuotaStatus{Hard: hard, Used: quota.Mask(used, quota.ResourceNames(hard))}
	if !equality.Semantic.DeepEqual(rq.Status, obj.Status) {
		q.store.commit(q.kind, VerbUpdate, "status", rq, obj)
	}
	return nil
}

// recount brings a quota's status up to date. Where upstream cannot count, its controller reports the error, tries
// again and leaves the status as it is; a quota without status admits nothing that it covers.
func (s *Store) recount(rq *corev1.ResourceQuota) {
	if err := s.quotas.recount(rq); err != nil {
		utilruntime.HandleError(err)
	}
}

// lister lets the evaluators list objects of the store.
func (q *quotaKeeper) lister(gvr schema.GroupVersionResource) (cache.GenericLister, error) {
	k, err := q.store.lookup(gvr)
	if err != nil {
		return nil, err
	}
	return storeLister{q.store, k, ""}, nil
}

// storeLister is a cache.GenericLister over the store.
type storeLister struct {
	store *Store
	kind  *kind
	ns    string
}

// List implements cache.GenericLister.
func (l storeLister) List(ls labels.Selector) ([]runtime.Object, error) {
	return l.store.List(l.kind.gvr, l.ns, ls, nil)
}

// Get implements cache.GenericLister.
func (l storeLister) Get(name string) (runtime.Object, error) {
	return l.store.Get(l.kind.gvr, l.ns, name)
}

// ByNamespace implements cache.GenericLister.
func (l storeLister) ByNamespace(ns string) cache.GenericNamespaceLister {
	return storeLister{l.store, l.kind, ns}
}

// afterCreate follows up a create within the same write.
func (s *Store) afterCreate(k *kind, obj runtime.Object) {
	if rq, ok := obj.(*corev1.ResourceQuota); ok {
		s.recount(rq)
	}
}

// afterUpdate follows up an update within the same write.
func (s *Store) afterUpdate(_ *kind, _, obj runtime.Object) {
	rq, ok := obj.(*corev1.ResourceQuota)
	if ok && !equality.Semantic.DeepEqual(rq.Spec.Hard, rq.Status.Hard) {
		s.recount(rq)
	}
}

// afterDelete follows up a removal within the same write.
func (s *Store) afterDelete(_ *kind, obj runtime.Object) {
	s.afterContentGone(obj.(metav1.Object).GetNamespace())
}
