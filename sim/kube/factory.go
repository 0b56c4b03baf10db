package kube

import (
	"context"
	"reflect"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/informers/internalinterfaces"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// activePods is the selection of kube-scheduler's pod informer
// (k8s.io/kubernetes/pkg/scheduler, newPodInformer, v1.37).
var activePods = fields.AndSelectors(
	fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)),
	fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed)))

// InformerOption changes what the informers of a factory hold and when they are told.
type InformerOption func(*factory)

// Deliver hands every change to fn instead of telling the informers at once; fn runs what it is given later, in the
// order given, one at a time. That is how a watch takes time, and how a controller with goroutines of its own is told
// one change at a time.
func Deliver(fn func(tell func())) InformerOption {
	return func(f *factory) { f.deliver = fn }
}

// AllPods makes the pod informer of a factory hold finished pods too, as those of all controllers but the scheduler do.
func AllPods() InformerOption {
	return func(f *factory) { f.pods = nil }
}

// InformerFactory returns a new client-go informer factory whose informers on served types are synchronous ones of
// this store, made when first asked for. As in scheduler.NewInformerFactory the pod informer leaves out finished pods.
// Each factory has its own informers. Start does nothing for them and WaitForCacheSync returns at once. cs serves only
// informers on types in other than the stored version, which are client-go's own.
func (s *Store) InformerFactory(cs kubernetes.Interface, opts ...InformerOption) informers.SharedInformerFactory {
	f := &factory{
		SharedInformerFactory: informers.NewSharedInformerFactory(cs, 0),
		store:                 s, pods: activePods, ours: map[reflect.Type]cache.SharedIndexInformer{},
	}
	for _, o := range opts {
		o(f)
	}
	return f
}

// earlyFactory returns a factory for admission: all pods, and told within the commit itself, before everybody else.
// Its informers must have no handlers that write.
func (s *Store) earlyFactory() informers.SharedInformerFactory {
	return s.InformerFactory(nil, AllPods(), func(f *factory) { f.early = true })
}

// factory is an informers.SharedInformerFactory over the store.
type factory struct {
	informers.SharedInformerFactory // for types that are not ours
	store                           *Store
	pods                            fields.Selector
	deliver                         func(func())
	early                           bool

	mu   sync.Mutex
	ours map[reflect.Type]cache.SharedIndexInformer
}

// InformerFor implements informers.SharedInformerFactory.
func (f *factory) InformerFor(obj runtime.Object, make internalinterfaces.NewInformerFunc) cache.SharedIndexInformer {
	k, err := f.store.kinds.of(obj)
	if err != nil {
		return f.SharedInformerFactory.InformerFor(obj, make)
	}
	return f.informer(k)
}

// informer returns the factory's informer on k.
func (f *factory) informer(k *kind) cache.SharedIndexInformer {
	f.mu.Lock()
	defer f.mu.Unlock()
	inf := f.ours[k.goType]
	if inf == nil {
		var fs fields.Selector
		if k.gvr == podsGVR {
			fs = f.pods
		}
		own := f.store.newInformer(k, fs)
		own.deliver, own.early = f.deliver, f.early
		inf = own
		f.ours[k.goType] = inf
	}
	return inf
}

// genericInformer is an informers.GenericInformer.
type genericInformer struct {
	informer cache.SharedIndexInformer
	resource schema.GroupResource
}

// Informer implements informers.GenericInformer.
func (g genericInformer) Informer() cache.SharedIndexInformer { return g.informer }

// Lister implements informers.GenericInformer.
func (g genericInformer) Lister() cache.GenericLister {
	return cache.NewGenericLister(g.informer.GetIndexer(), g.resource)
}

// ForResource implements informers.SharedInformerFactory.
func (f *factory) ForResource(gvr schema.GroupVersionResource) (informers.GenericInformer, error) {
	if k, ok := f.store.kinds.resource(gvr); ok {
		return genericInformer{f.informer(k), gvr.GroupResource()}, nil
	}
	return f.SharedInformerFactory.ForResource(gvr)
}

// WaitForCacheSync implements informers.SharedInformerFactory.
func (f *factory) WaitForCacheSync(stop <-chan struct{}) map[reflect.Type]bool {
	out := f.SharedInformerFactory.WaitForCacheSync(stop)
	f.addSynced(out)
	return out
}

// WaitForCacheSyncWithContext implements informers.SharedInformerFactory.
func (f *factory) WaitForCacheSyncWithContext(ctx context.Context) cache.SyncResult {
	out := f.SharedInformerFactory.WaitForCacheSyncWithContext(ctx)
	f.addSynced(out.Synced)
	return out
}

// addSynced reports the store's informers as synced.
func (f *factory) addSynced(out map[reflect.Type]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for t := range f.ours {
		out[reflect.PointerTo(t)] = true
	}
}
