package kube

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"sigs.k8s.io/yaml"
)

// appliedFields does server-side apply with upstream's field manager. It remembers the field owners of the objects
// that were ever applied to; other objects pay nothing.
type appliedFields struct {
	store    *Store
	owners   map[types.UID][]metav1.ManagedFieldsEntry
	managers map[managerKey]*managedfields.FieldManager
	builtIn  managedfields.TypeConverter // of client-go's schemas; made on first use, it takes a while
	applying bool                        // an apply is being stored, which brings its own field owners
}

// otherManager owns the fields that were set by anything but an apply. Upstream tells such clients apart by their user
// agent.
const otherManager = "other"

type managerKey struct {
	kind *kind
	sub  string
}

func newAppliedFields(s *Store) *appliedFields {
	return &appliedFields{store: s, owners: map[types.UID][]metav1.ManagedFieldsEntry{},
		managers: map[managerKey]*managedfields.FieldManager{}}
}

// forget drops what is known about a deleted object.
func (a *appliedFields) forget(uid types.UID) { delete(a.owners, uid) }

// manager returns the field manager of a kind and subresource.
func (a *appliedFields) manager(k *kind, sub string) (*managedfields.FieldManager, error) {
	key := managerKey{k, sub}
	if m := a.managers[key]; m != nil {
		return m, nil
	}
	converter := managedfields.NewDeducedTypeConverter()
	if clientgoscheme.Scheme.Recognizes(k.gvk) {
		if a.builtIn == nil {
			a.builtIn = applyconfigurations.NewTypeConverter(clientgoscheme.Scheme)
		}
		converter = a.builtIn
	}
	scheme := a.store.kinds.scheme
	m, err := managedfields.NewDefaultFieldManager(converter, scheme, legacyscheme.Scheme, scheme, k.gvk,
		k.gvk.GroupVersion(), sub, nil)
	if err != nil {
		return nil, fmt.Errorf("preparing server-side apply of %s: %w", k.gvk.Kind, err)
	}
	a.managers[key] = m
	return m, nil
}

// noteUpdate moves the ownership of fields that a plain update of an applied object changes.
func (a *appliedFields) noteUpdate(k *kind, sub string, old, obj runtime.Object) {
	uid := old.(metav1.Object).GetUID()
	owners, tracked := a.owners[uid]
	if !tracked || a.applying {
		return
	}
	m, err := a.manager(k, sub)
	if err != nil {
		return // the apply that began the tracking would have failed
	}
	live, changed := old.DeepCopyObject(), obj.DeepCopyObject()
	live.GetObjectKind().SetGroupVersionKind(k.gvk)
	changed.GetObjectKind().SetGroupVersionKind(k.gvk)
	live.(metav1.Object).SetManagedFields(owners)
	changed.(metav1.Object).SetManagedFields(owners)
	a.owners[uid] = m.UpdateNoErrors(live, changed, otherManager).(metav1.Object).GetManagedFields()
}

// apply is a server-side apply patch. The caller holds write.
func (s *Store) apply(p patch, old runtime.Object, dry bool) (runtime.Object, bool, error) {
	applied := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(p.data, &applied.Object); err != nil {
		return nil, false, apierrors.NewBadRequest(fmt.Sprintf("error decoding YAML: %v", err))
	}
	if p.options.FieldManager == "" {
		return nil, false, apierrors.NewBadRequest("PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: " +
			"Required value: is required for apply patch")
	}
	if p.version != p.kind.gvk.Version {
		return nil, false, apierrors.NewBadRequest(fmt.Sprintf("apply %s in its stored version %s", p.kind.gvk.Kind,
			p.kind.gvk.Version))
	}
	if old == nil && p.sub != "" {
		return nil, false, apierrors.NewNotFound(p.kind.gvr.GroupResource(), p.name)
	}
	live := p.kind.newObject()
	if old != nil {
		live = old.DeepCopyObject()
		live.(metav1.Object).SetManagedFields(s.applied.owners[old.(metav1.Object).GetUID()])
	}
	live.GetObjectKind().SetGroupVersionKind(p.kind.gvk)
	m, err := s.applied.manager(p.kind, p.sub)
	if err != nil {
		return nil, false, apierrors.NewInternalError(err)
	}
	force := p.options.Force != nil && *p.options.Force
	obj, err := m.Apply(live, applied, p.options.FieldManager, force)
	if err != nil {
		return nil, false, err
	}
	if _, err := s.kinds.of(obj); err != nil {
		return nil, false, apierrors.NewInternalError(err)
	}
	return s.storeApplied(p, old, obj, dry)
}

// storeApplied stores the result of an apply and its field owners.
func (s *Store) storeApplied(p patch, old, obj runtime.Object, dry bool) (out runtime.Object, created bool, err error) {
	m := obj.(metav1.Object)
	owners := m.GetManagedFields()
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	m.SetManagedFields(nil)
	if m.GetName() == "" {
		m.SetName(p.name)
	}
	if p.kind.namespaced && m.GetNamespace() == "" {
		m.SetNamespace(p.ns)
	}
	if err := p.checkIdentity(obj); err != nil {
		return nil, false, err
	}
	s.applied.applying = true
	defer func() { s.applied.applying = false }()
	if old == nil {
		out, err = s.createLocked(p.kind, obj, dry)
	} else {
		setDefaults(p.kind, obj, p.sub)
		out, err = s.replace(p.kind, old, obj, p.sub, dry)
	}
	if err == nil && !dry {
		s.applied.owners[out.(metav1.Object).GetUID()] = owners
	}
	return out, old == nil, err
}
