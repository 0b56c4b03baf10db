package kube

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Verbs of a Commit.
const (
	VerbCreate = "create"
	VerbUpdate = "update"
	VerbDelete = "delete"
)

// Commit is one change of the store.
type Commit struct {
	Verb string                      // VerbCreate, VerbUpdate or VerbDelete
	GVR  schema.GroupVersionResource // the resource, in the stored version
	Sub  string                      // subresource the write went through ("" for the resource itself)
	Old  runtime.Object              // state before, nil for a create
	New  runtime.Object              // state after; for a delete the last state with the resourceVersion of the delete
	RV   uint64                      // resourceVersion of the change
}

// Options of New.
type Options struct {
	// Now is the only clock the store reads. Required.
	Now func() time.Time
	// OnCommit, if set, is called for every change, in order, before watches and informers are told.
	OnCommit func(Commit)
	// Schemes add the Go types of custom resources. Of several versions of a kind the newest is served.
	Schemes []*runtime.Scheme
	// ClusterScoped names the custom resources that are not namespaced.
	ClusterScoped []schema.GroupKind
	// Customs are the definitions of custom resources among those of Schemes; they say what is not namespaced, too.
	Customs *Customs
	// Webhooks are asked in their order when an object is created or updated.
	Webhooks []Webhook
	// KeepEvents stores Event objects. By default they are counted and dropped.
	KeepEvents bool
}

// Store is the API of one simulated cluster. Its methods are safe for concurrent use.
type Store struct {
	opts  Options
	kinds *kindTable

	write sync.Mutex // held by the one writer: admission, validation and commit

	data    sync.RWMutex // guards what follows, up to the blank line
	rv      uint64
	tables  map[*kind]*table
	perNS   map[string]int // stored objects per namespace
	dropped uint64         // events dropped

	// The rest is guarded by write.
	serial  uint64 // UIDs given out
	suffix  uint64 // generated names given out
	owners  ownerIndex
	garbage []objectRef // what the garbage collector has to look at
	plugins *plugins
	quotas  *quotaKeeper
	applied *appliedFields
	told    delivery
	codecs  *codecs
	specs   podSpecs
	// decorated: a binding brought labels or annotations, which upstream stores unchecked and refuses later.
	decorated bool
	exact     bool // upstream decides about everything; for tests
}

// table holds the objects of one kind and those who follow it.
type table struct {
	objs      map[string]map[string]runtime.Object // namespace → name → object
	count     int
	history   history
	watchers  []*watcher
	informers []*informer
	early     []*informer // those of admission, told at commit
}

// objectRef names one object and the instance meant.
type objectRef struct {
	kind *kind
	ns   string
	name string
	uid  types.UID
}

func (r objectRef) key() string { return r.kind.gvr.String() + "|" + r.ns + "/" + r.name }

// New returns a store that holds what every cluster starts with: the system namespaces and the two system priority
// classes. Their creation is the first thing OnCommit sees.
func New(o Options) (*Store, error) {
	if o.Now == nil {
		return nil, errors.New("kube: Options.Now is required")
	}
	if err := plainEquality(); err != nil {
		return nil, fmt.Errorf("kube: preparing comparisons: %w", err)
	}
	s := &Store{opts: o, tables: map[*kind]*table{}, perNS: map[string]int{}, owners: newOwnerIndex()}
	var err error
	s.kinds, err = newKindTable(o.Schemes, append(o.Customs.clusterScoped(), o.ClusterScoped...),
		namespaceGetter{get: s.namespace})
	if err != nil {
		return nil, fmt.Errorf("kube: %w", err)
	}
	for _, k := range s.kinds.ordered {
		k.custom = o.Customs.of(k.gvk)
		k.fillContexts()
		s.tables[k] = &table{objs: map[string]map[string]runtime.Object{}}
	}
	s.codecs = newCodecs(s.kinds.scheme, o.Customs)
	s.applied = newAppliedFields(s)
	if s.plugins, err = newPlugins(s); err != nil {
		return nil, fmt.Errorf("kube: preparing admission: %w", err)
	}
	if s.quotas, err = newQuotaKeeper(s); err != nil {
		return nil, fmt.Errorf("kube: preparing quota: %w", err)
	}
	for _, obj := range bootstrapObjects() {
		if _, err := s.Create(obj); err != nil {
			return nil, fmt.Errorf("kube: creating %T: %w", obj, err)
		}
	}
	return s, nil
}

// Scheme returns the scheme with every type the store serves. It must not be changed.
func (s *Store) Scheme() *runtime.Scheme { return s.kinds.scheme }

// RESTMapper maps between kinds and resources of everything the store serves.
func (s *Store) RESTMapper() meta.RESTMapper { return s.kinds.mapper }

// Resources lists the served resources, sorted by group and name.
func (s *Store) Resources() []schema.GroupVersionResource {
	out := make([]schema.GroupVersionResource, len(s.kinds.ordered))
	for i, k := range s.kinds.ordered {
		out[i] = k.gvr
	}
	return out
}

// ResourceVersion returns the resourceVersion of the last commit.
func (s *Store) ResourceVersion() uint64 {
	s.data.RLock()
	defer s.data.RUnlock()
	return s.rv
}

// DroppedEvents returns the number of Event writes that were accepted and dropped.
func (s *Store) DroppedEvents() uint64 {
	s.data.RLock()
	defer s.data.RUnlock()
	return s.dropped
}

// Get returns an object. It is shared and must not be changed. ns is empty for cluster-scoped resources.
func (s *Store) Get(gvr schema.GroupVersionResource, ns, name string) (runtime.Object, error) {
	k, err := s.lookup(gvr)
	if err != nil {
		return nil, err
	}
	if obj := s.peek(k, ns, name); obj != nil {
		return obj, nil
	}
	return nil, apierrors.NewNotFound(k.gvr.GroupResource(), name)
}

// List returns the objects of a resource in a namespace ("" is all), sorted by namespace and name. Nil selectors
// select everything. The objects are shared and must not be changed.
func (s *Store) List(gvr schema.GroupVersionResource, ns string, ls labels.Selector, fs fields.Selector) (
	[]runtime.Object, error) {
	k, err := s.lookup(gvr)
	if err != nil {
		return nil, err
	}
	sel, err := newSelection(k, ns, ls, fs)
	if err != nil {
		return nil, err
	}
	objs, _ := s.list(k, sel)
	return objs, nil
}

// list returns the selected objects, sorted, and the resourceVersion they are read at.
func (s *Store) list(k *kind, sel selection) ([]runtime.Object, uint64) {
	s.data.RLock()
	defer s.data.RUnlock()
	return s.listLocked(k, sel), s.rv
}

// listLocked is list for callers that hold data.
func (s *Store) listLocked(k *kind, sel selection) []runtime.Object {
	t := s.tables[k]
	var spaces []string
	if sel.ns != "" {
		spaces = []string{sel.ns}
	} else {
		for ns := range t.objs {
			spaces = append(spaces, ns)
		}
		slices.Sort(spaces)
	}
	var out []runtime.Object
	for _, ns := range spaces {
		from := len(out)
		for _, obj := range t.objs[ns] {
			if sel.matches(obj) {
				out = append(out, obj)
			}
		}
		slices.SortFunc(out[from:], func(a, b runtime.Object) int {
			return strings.Compare(a.(metav1.Object).GetName(), b.(metav1.Object).GetName())
		})
	}
	return out
}

// lookup returns the kind of a resource, or the API's answer to an unknown one.
func (s *Store) lookup(gvr schema.GroupVersionResource) (*kind, error) {
	if k, ok := s.kinds.resource(gvr); ok {
		return k, nil
	}
	return nil, &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: 404, Reason: metav1.StatusReasonNotFound,
		Message: "the server could not find the requested resource " + gvr.String(),
	}}
}

// peek returns the stored object or nil.
func (s *Store) peek(k *kind, ns, name string) runtime.Object {
	s.data.RLock()
	defer s.data.RUnlock()
	return s.tables[k].objs[ns][name]
}

// namespace returns a namespace from the store.
func (s *Store) namespace(name string) (*corev1.Namespace, error) {
	obj, err := s.Get(corev1.SchemeGroupVersion.WithResource("namespaces"), "", name)
	if err != nil {
		return nil, err
	}
	return obj.(*corev1.Namespace), nil
}

// stamp is the current time as API objects record it: in whole seconds.
func (s *Store) stamp() metav1.Time { return metav1.NewTime(s.opts.Now().Truncate(time.Second)) }

// transact runs one write and everything that follows from it, then tells the world.
func (s *Store) transact(fn func() error) error {
	err := func() error {
		s.write.Lock()
		defer s.write.Unlock()
		err := fn()
		s.collectGarbage()
		return err
	}()
	s.tell()
	return err
}

// commit stores obj (or removes it, for a delete) and queues the news. The caller holds write and owns obj.
func (s *Store) commit(k *kind, verb, sub string, old, obj runtime.Object) {
	m := obj.(metav1.Object)
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	s.data.Lock()
	s.rv++
	m.SetResourceVersion(strconv.FormatUint(s.rv, 10))
	c := Commit{Verb: verb, GVR: k.gvr, Sub: sub, Old: old, New: obj, RV: s.rv}
	t := s.tables[k]
	ns, name := m.GetNamespace(), m.GetName()
	switch verb {
	case VerbDelete:
		delete(t.objs[ns], name)
		if len(t.objs[ns]) == 0 {
			delete(t.objs, ns)
		}
		t.count--
		s.perNS[ns]--
		if s.perNS[ns] == 0 {
			delete(s.perNS, ns)
		}
	case VerbCreate:
		if t.objs[ns] == nil {
			t.objs[ns] = map[string]runtime.Object{}
		}
		t.count++
		s.perNS[ns]++
		fallthrough
	default:
		t.objs[ns][name] = obj
	}
	t.history.add(c, s.opts.Now())
	early := t.early
	s.data.Unlock()
	for _, inf := range early {
		inf.process(c)
	}
	s.followOwners(k, c)
	if s.plugins.consults(k) {
		s.specs.forget()
	}
	s.told.add(k, c)
}

// bootstrapObjects returns what kube-apiserver creates in an empty cluster, as far as simulated components see it
// (k8s.io/kubernetes/pkg/controlplane: system namespaces; pkg/apis/scheduling: system priority classes).
func bootstrapObjects() []runtime.Object {
	return append(systemNamespaces(), systemPriorityClasses()...)
}
