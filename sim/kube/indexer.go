package kube

import (
	"fmt"
	"slices"
	"strconv"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// indexer is a cache.Indexer whose lists come in insertion order instead of map order. It is filled by its informer
// only: the mutating methods of the interface exist for callers that test against them.
type indexer struct {
	mu       sync.RWMutex
	items    ordered[any]
	indexers cache.Indexers
	indices  map[string]map[string]*ordered[struct{}] // index → value → keys
	version  uint64
}

func newIndexer() *indexer {
	return &indexer{indexers: cache.Indexers{}, indices: map[string]map[string]*ordered[struct{}]{}}
}

// keyOf returns namespace/name of an object, or the key a tombstone or string names.
func keyOf(obj any) (string, error) {
	if m, ok := obj.(metav1.Object); ok {
		if ns := m.GetNamespace(); ns != "" {
			return ns + "/" + m.GetName(), nil
		}
		return m.GetName(), nil
	}
	return cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
}

// put stores obj under key and returns what was there.
func (x *indexer) put(key string, obj any) (any, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old, had := x.items.get(key)
	x.items.set(key, obj)
	x.reindex(key, old, obj)
	return old, had
}

// drop removes key and returns what was there.
func (x *indexer) drop(key string) (any, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old, had := x.items.get(key)
	if had {
		x.items.remove(key)
		x.reindex(key, old, nil)
	}
	return old, had
}

// reindex moves key from old's index values to obj's. The caller holds mu.
func (x *indexer) reindex(key string, old, obj any) {
	for name, fn := range x.indexers {
		x.reindexOne(name, fn, key, old, obj)
	}
}

// reindexOne is reindex for one index.
func (x *indexer) reindexOne(name string, fn cache.IndexFunc, key string, old, obj any) {
	before, after := indexValues(name, fn, old), indexValues(name, fn, obj)
	if slices.Equal(before, after) {
		return
	}
	index := x.indices[name]
	for _, v := range before {
		if set := index[v]; set != nil && !slices.Contains(after, v) {
			set.remove(key)
			if set.len() == 0 {
				delete(index, v)
			}
		}
	}
	for _, v := range after {
		set := index[v]
		if set == nil {
			set = &ordered[struct{}]{}
			index[v] = set
		}
		set.set(key, struct{}{})
	}
}

// indexValues computes an object's values in an index. Like client-go's store it panics when the function fails: a
// silently incomplete index would be worse.
func indexValues(name string, fn cache.IndexFunc, obj any) []string {
	if obj == nil {
		return nil
	}
	values, err := fn(obj)
	if err != nil {
		panic(fmt.Errorf("unable to calculate an index entry for index %q: %w", name, err))
	}
	return values
}

// Add implements cache.Store.
func (x *indexer) Add(obj any) error { return x.Update(obj) }

// Update implements cache.Store.
func (x *indexer) Update(obj any) error {
	key, err := keyOf(obj)
	if err == nil {
		x.put(key, obj)
	}
	return err
}

// Delete implements cache.Store.
func (x *indexer) Delete(obj any) error {
	key, err := keyOf(obj)
	if err == nil {
		x.drop(key)
	}
	return err
}

// List implements cache.Store.
func (x *indexer) List() []any {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.items.values()
}

// ListKeys implements cache.Store.
func (x *indexer) ListKeys() []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.items.keys()
}

// Get implements cache.Store.
func (x *indexer) Get(obj any) (any, bool, error) {
	key, err := keyOf(obj)
	if err != nil {
		return nil, false, cache.KeyError{Obj: obj, Err: err}
	}
	return x.GetByKey(key)
}

// GetByKey implements cache.Store.
func (x *indexer) GetByKey(key string) (any, bool, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	obj, ok := x.items.get(key)
	return obj, ok, nil
}

// Replace implements cache.Store.
func (x *indexer) Replace(objs []any, resourceVersion string) error {
	for _, key := range x.ListKeys() {
		x.drop(key)
	}
	for _, obj := range objs {
		if err := x.Update(obj); err != nil {
			return err
		}
	}
	x.Bookmark(resourceVersion)
	return nil
}

// Resync implements cache.Store; there is nothing to do.
func (x *indexer) Resync() error { return nil }

// LastStoreSyncResourceVersion implements cache.Store.
func (x *indexer) LastStoreSyncResourceVersion() string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return strconv.FormatUint(x.version, 10)
}

// Bookmark implements cache.Store.
func (x *indexer) Bookmark(rv string) {
	if n, err := strconv.ParseUint(rv, 10, 64); err == nil {
		x.seen(n)
	}
}

// seen notes that the cache is up to date with resourceVersion rv.
func (x *indexer) seen(rv uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.version = rv
}

// Index implements cache.Indexer.
func (x *indexer) Index(name string, obj any) ([]any, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	fn := x.indexers[name]
	if fn == nil {
		return nil, fmt.Errorf("Index with name %s does not exist", name)
	}
	values, err := fn(obj)
	if err != nil {
		return nil, err
	}
	if len(values) == 1 {
		return x.resolve(x.indices[name][values[0]]), nil
	}
	var keys ordered[struct{}]
	for _, v := range values {
		if set := x.indices[name][v]; set != nil {
			for _, key := range set.keys() {
				keys.set(key, struct{}{})
			}
		}
	}
	return x.resolve(&keys), nil
}

// resolve returns the objects of a set of keys. The caller holds mu.
func (x *indexer) resolve(set *ordered[struct{}]) []any {
	if set == nil {
		return nil
	}
	out := make([]any, 0, set.len())
	for _, key := range set.keys() {
		obj, _ := x.items.get(key)
		out = append(out, obj)
	}
	return out
}

// set returns the keys under an index value. The caller holds mu.
func (x *indexer) set(name, value string) (*ordered[struct{}], error) {
	if x.indexers[name] == nil {
		return nil, fmt.Errorf("Index with name %s does not exist", name)
	}
	return x.indices[name][value], nil
}

// IndexKeys implements cache.Indexer.
func (x *indexer) IndexKeys(name, value string) ([]string, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	set, err := x.set(name, value)
	if set == nil {
		return nil, err
	}
	return set.keys(), nil
}

// ByIndex implements cache.Indexer.
func (x *indexer) ByIndex(name, value string) ([]any, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	set, err := x.set(name, value)
	return x.resolve(set), err
}

// ListIndexFuncValues implements cache.Indexer; the values are sorted.
func (x *indexer) ListIndexFuncValues(name string) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := make([]string, 0, len(x.indices[name]))
	for v := range x.indices[name] {
		out = append(out, v)
	}
	slices.Sort(out)
	return out
}

// GetIndexers implements cache.Indexer.
func (x *indexer) GetIndexers() cache.Indexers {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := cache.Indexers{}
	for name, fn := range x.indexers {
		out[name] = fn
	}
	return out
}

// AddIndexers implements cache.Indexer. It may be called when there are objects already. A name may be used once.
func (x *indexer) AddIndexers(add cache.Indexers) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for name := range add {
		if x.indexers[name] != nil {
			return fmt.Errorf("indexer conflict: %s", name)
		}
	}
	for name, fn := range add {
		x.indexers[name] = fn
		x.indices[name] = map[string]*ordered[struct{}]{}
		for i := range x.items.slots {
			if sl := &x.items.slots[i]; sl.live {
				x.reindexOne(name, fn, sl.key, nil, sl.val)
			}
		}
	}
	return nil
}
