package kube

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// informer is a cache.SharedIndexInformer without goroutines: the store tells it of every commit in the writer's
// goroutine. It updates its indexer and then calls its handlers one after the other, with the stored objects
// themselves. It is always synced. Until somebody looks into it or adds a handler it costs nothing.
type informer struct {
	store *Store
	kind  *kind
	sel   selection
	index *indexer
	// deliver, where not nil, is handed every change of the selection and runs it later, in order.
	deliver func(func())
	early   bool // told within the commit

	mu        sync.Mutex
	active    bool
	from      uint64 // commits up to here were in the store when the informer became active
	transform cache.TransformFunc
	handlers  []*registration // copied on write
	stopped   bool
}

// registration is one handler.
type registration struct {
	handler cache.ResourceEventHandler
}

// HasSynced implements cache.ResourceEventHandlerRegistration.
func (*registration) HasSynced() bool { return true }

// HasSyncedChecker implements cache.ResourceEventHandlerRegistration.
func (*registration) HasSyncedChecker() cache.DoneChecker { return synced{} }

// synced is a cache.DoneChecker that is done.
type synced struct{}

var closed = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

// Name implements cache.DoneChecker.
func (synced) Name() string { return "synchronous informer" }

// Done implements cache.DoneChecker.
func (synced) Done() <-chan struct{} { return closed }

// Informer returns a new synchronous informer on a resource. With a field selector it holds only the selected objects;
// an object that leaves the selection is delivered as deleted, like a watch does. Handlers get the stored objects and
// must not change them, nor may a transform. Handlers run in the writer's goroutine and may write to the store; what
// they write is told after the change they are being told. Asking for a resource or field that is not served panics: it
// is a programming error.
func (s *Store) Informer(gvr schema.GroupVersionResource, fs fields.Selector) cache.SharedIndexInformer {
	k, err := s.lookup(gvr)
	if err != nil {
		panic(err)
	}
	return s.newInformer(k, fs)
}

// newInformer is Informer for a known kind.
func (s *Store) newInformer(k *kind, fs fields.Selector) *informer {
	sel, err := newSelection(k, "", nil, fs)
	if err != nil {
		panic(err)
	}
	inf := &informer{store: s, kind: k, sel: sel, index: newIndexer()}
	if k.namespaced {
		inf.index.indexers[cache.NamespaceIndex] = cache.MetaNamespaceIndexFunc
		inf.index.indices[cache.NamespaceIndex] = map[string]*ordered[struct{}]{}
	}
	return inf
}

// activate fills the informer and hooks it to the store. From here on it sees every commit once.
func (i *informer) activate() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.active {
		return
	}
	i.active = true
	s := i.store
	s.data.Lock()
	defer s.data.Unlock()
	i.from = s.rv
	for _, obj := range s.listLocked(i.kind, i.sel) {
		key, _ := keyOf(obj)
		i.index.put(key, i.transformed(obj))
	}
	i.index.seen(s.rv)
	t := s.tables[i.kind]
	if i.early {
		t.early = append(t.early[:len(t.early):len(t.early)], i)
		return
	}
	t.informers = append(t.informers[:len(t.informers):len(t.informers)], i)
}

// transformed applies the transform. An object it fails on is kept as it is.
func (i *informer) transformed(obj any) any {
	if i.transform == nil {
		return obj
	}
	out, err := i.transform(obj)
	if err != nil {
		klog.ErrorS(err, "informer transform failed", "resource", i.kind.gvr.Resource)
		return obj
	}
	return out
}

// process takes in one commit and calls the handlers.
func (i *informer) process(c Commit) {
	if c.RV <= i.from {
		return
	}
	what, obj := i.sel.view(i.kind, c)
	if i.deliver != nil {
		if what != changeNone {
			i.deliver(func() { i.apply(what, obj, c.RV) })
		}
		return
	}
	i.apply(what, obj, c.RV)
}

// apply brings index and handlers up to a change.
func (i *informer) apply(what change, obj runtime.Object, rv uint64) {
	i.index.seen(rv)
	if what == changeNone {
		return
	}
	m := obj.(metav1.Object)
	key := m.GetName()
	if ns := m.GetNamespace(); ns != "" {
		key = ns + "/" + key
	}
	item := i.transformed(obj)
	i.mu.Lock()
	var old any
	var had bool
	if what == changeDelete {
		old, had = i.index.drop(key)
	} else {
		old, had = i.index.put(key, item)
	}
	handlers := i.handlers
	i.mu.Unlock()
	for _, r := range handlers {
		switch {
		case what == changeDelete && had:
			r.handler.OnDelete(item)
		case what == changeDelete:
		case had:
			r.handler.OnUpdate(old, item)
		default:
			r.handler.OnAdd(item, false)
		}
	}
}

// AddEventHandler implements cache.SharedInformer. The handler is told of every present object before the call
// returns.
func (i *informer) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	i.activate()
	i.mu.Lock()
	if i.stopped {
		i.mu.Unlock()
		return nil, errors.New("handler was not added to shared informer because it has stopped already")
	}
	r := &registration{h}
	i.handlers = append(i.handlers[:len(i.handlers):len(i.handlers)], r)
	present := i.index.List()
	i.mu.Unlock()
	for _, obj := range present {
		h.OnAdd(obj, true)
	}
	return r, nil
}

// AddEventHandlerWithResyncPeriod implements cache.SharedInformer. There are no resyncs: the cache cannot miss a
// change.
func (i *informer) AddEventHandlerWithResyncPeriod(h cache.ResourceEventHandler, _ time.Duration) (
	cache.ResourceEventHandlerRegistration, error) {
	return i.AddEventHandler(h)
}

// AddEventHandlerWithOptions implements cache.SharedInformer.
func (i *informer) AddEventHandlerWithOptions(h cache.ResourceEventHandler, _ cache.HandlerOptions) (
	cache.ResourceEventHandlerRegistration, error) {
	return i.AddEventHandler(h)
}

// RemoveEventHandler implements cache.SharedInformer.
func (i *informer) RemoveEventHandler(h cache.ResourceEventHandlerRegistration) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.handlers = slices.DeleteFunc(slices.Clone(i.handlers), func(r *registration) bool { return r == h })
	return nil
}

// GetStore implements cache.SharedInformer.
func (i *informer) GetStore() cache.Store { return i.GetIndexer() }

// GetIndexer implements cache.SharedIndexInformer.
func (i *informer) GetIndexer() cache.Indexer {
	i.activate()
	return i.index
}

// AddIndexers implements cache.SharedIndexInformer.
func (i *informer) AddIndexers(add cache.Indexers) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stopped {
		return errors.New("indexer was not added because it has stopped already")
	}
	return i.index.AddIndexers(add)
}

// GetController implements cache.SharedInformer.
func (i *informer) GetController() cache.Controller { return i }

// Run implements cache.SharedInformer: it waits for stop. The informer works without it.
func (i *informer) Run(stop <-chan struct{}) {
	i.activate()
	<-stop
}

// RunWithContext implements cache.SharedInformer.
func (i *informer) RunWithContext(ctx context.Context) { i.Run(ctx.Done()) }

// HasSynced implements cache.SharedInformer.
func (*informer) HasSynced() bool { return true }

// HasSyncedChecker implements cache.SharedInformer.
func (*informer) HasSyncedChecker() cache.DoneChecker { return synced{} }

// LastSyncResourceVersion implements cache.SharedInformer.
func (i *informer) LastSyncResourceVersion() string {
	i.activate()
	return i.index.LastStoreSyncResourceVersion()
}

// SetWatchErrorHandler implements cache.SharedInformer; there is no watch that could fail.
func (*informer) SetWatchErrorHandler(cache.WatchErrorHandler) error { return nil }

// SetWatchErrorHandlerWithContext implements cache.SharedInformer.
func (*informer) SetWatchErrorHandlerWithContext(cache.WatchErrorHandlerWithContext) error {
	return nil
}

// SetTransform implements cache.SharedInformer.
func (i *informer) SetTransform(fn cache.TransformFunc) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.active {
		return errors.New("informer has already started")
	}
	i.transform = fn
	return nil
}

// IsStopped implements cache.SharedInformer.
func (i *informer) IsStopped() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.stopped
}
