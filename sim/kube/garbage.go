package kube

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// ownerIndex knows where every stored object is by UID, and the dependents of every owner UID in the order they were
// created.
type ownerIndex struct {
	live map[types.UID]objectRef
	deps map[types.UID]*ordered[objectRef]
}

func newOwnerIndex() ownerIndex {
	return ownerIndex{live: map[types.UID]objectRef{}, deps: map[types.UID]*ordered[objectRef]{}}
}

// refOf names the instance obj.
func refOf(k *kind, m metav1.Object) objectRef {
	return objectRef{k, m.GetNamespace(), m.GetName(), m.GetUID()}
}

// followOwners keeps the index current and notes which objects the change leaves to the garbage collector.
func (s *Store) followOwners(k *kind, c Commit) {
	m := c.New.(metav1.Object)
	ref := refOf(k, m)
	var before, after []metav1.OwnerReference
	if c.Old != nil {
		before = c.Old.(metav1.Object).GetOwnerReferences()
	}
	if c.Verb == VerbDelete {
		delete(s.owners.live, ref.uid)
	} else {
		after = m.GetOwnerReferences()
	}
	if c.Verb == VerbCreate {
		s.owners.live[ref.uid] = ref
	}
	if !sameOwners(before, after) {
		s.reindexOwners(ref, before, after)
	}
	switch {
	case c.Verb == VerbDelete:
		s.afterOwnerGone(ref, before)
	case len(after) > 0 && !sameOwners(before, after) && s.hasDeadOwner(after):
		s.garbage = append(s.garbage, ref)
	case m.GetDeletionTimestamp() != nil && len(m.GetFinalizers()) > 0:
		s.garbage = append(s.garbage, ref)
	}
}

// reindexOwners moves ref between the dependents of its owners.
func (s *Store) reindexOwners(ref objectRef, before, after []metav1.OwnerReference) {
	for _, o := range before {
		if d := s.owners.deps[o.UID]; d != nil {
			d.remove(ref.key())
			if d.len() == 0 {
				delete(s.owners.deps, o.UID)
			}
		}
	}
	for _, o := range after {
		d := s.owners.deps[o.UID]
		if d == nil {
			d = &ordered[objectRef]{}
			s.owners.deps[o.UID] = d
		}
		d.set(ref.key(), ref)
	}
}

// afterOwnerGone leaves the dependents of a removed object to the collector, and owners that waited for it.
func (s *Store) afterOwnerGone(ref objectRef, owners []metav1.OwnerReference) {
	if d := s.owners.deps[ref.uid]; d != nil {
		s.garbage = append(s.garbage, d.values()...)
	}
	for _, o := range owners {
		if r, ok := s.owners.live[o.UID]; ok {
			s.garbage = append(s.garbage, r)
		}
	}
}

// hasDeadOwner reports whether one of the owners does not exist. An owner of a kind the store does not serve is taken
// to exist, as nobody can look.
func (s *Store) hasDeadOwner(refs []metav1.OwnerReference) bool {
	return slices.ContainsFunc(refs, func(o metav1.OwnerReference) bool { return s.ownerState(o) == ownerDangling })
}

// States of an owner, as in upstream's garbage collector.
const (
	ownerSolid    = iota // exists
	ownerDangling        // does not exist
	ownerWaiting         // is being deleted in the foreground and waits for its dependents
)

// ownerState classifies an owner reference.
func (s *Store) ownerState(o metav1.OwnerReference) int {
	r, ok := s.owners.live[o.UID]
	if !ok {
		gv, err := schema.ParseGroupVersion(o.APIVersion)
		if err != nil || s.kinds.byGK[gv.WithKind(o.Kind).GroupKind()] == nil {
			return ownerSolid
		}
		return ownerDangling
	}
	m := s.peek(r.kind, r.ns, r.name).(metav1.Object)
	if deletesDependents(m) {
		return ownerWaiting
	}
	return ownerSolid
}

// deletesDependents reports whether m is being deleted in the foreground.
func deletesDependents(m metav1.Object) bool {
	return m.GetDeletionTimestamp() != nil && slices.Contains(m.GetFinalizers(), metav1.FinalizerDeleteDependents)
}

// collectGarbage does what upstream's garbage collector would do after the commits just made, until nothing is left
// to do. The caller holds write.
func (s *Store) collectGarbage() {
	for len(s.garbage) > 0 {
		ref := s.garbage[0]
		s.garbage = s.garbage[1:]
		obj := s.peek(ref.kind, ref.ns, ref.name)
		if obj == nil || obj.(metav1.Object).GetUID() != ref.uid {
			continue
		}
		s.collect(ref, obj)
	}
	s.garbage = nil
}

// collect looks at one object.
func (s *Store) collect(ref objectRef, obj runtime.Object) {
	m := obj.(metav1.Object)
	if n, ok := obj.(*corev1.Namespace); ok && m.GetDeletionTimestamp() != nil {
		s.finishNamespace(ref.kind, n)
		return
	}
	if m.GetDeletionTimestamp() != nil {
		switch {
		case slices.Contains(m.GetFinalizers(), metav1.FinalizerOrphanDependents):
			s.orphanDependents(ref, obj)
		case deletesDependents(m):
			s.deleteDependents(ref, obj)
		}
		return
	}
	var solid []metav1.OwnerReference
	var waiting, dangling int
	for _, o := range m.GetOwnerReferences() {
		switch s.ownerState(o) {
		case ownerSolid:
			solid = append(solid, o)
		case ownerWaiting:
			waiting++
		default:
			dangling++
		}
	}
	switch {
	case waiting+dangling == 0:
	case len(solid) > 0:
		s.rewriteMeta(ref, obj, func(m metav1.Object) { m.SetOwnerReferences(solid) })
	default:
		s.deleteGarbage(ref, m, waiting > 0)
	}
}

// deleteGarbage deletes an object that no living owner holds.
func (s *Store) deleteGarbage(ref objectRef, m metav1.Object, waiting bool) {
	policy := metav1.DeletePropagationBackground
	switch {
	case waiting && s.owners.deps[ref.uid] != nil:
		policy = metav1.DeletePropagationForeground
	case slices.Contains(m.GetFinalizers(), metav1.FinalizerOrphanDependents):
		policy = metav1.DeletePropagationOrphan
	case slices.Contains(m.GetFinalizers(), metav1.FinalizerDeleteDependents):
		policy = metav1.DeletePropagationForeground
	}
	// The object exists and nobody else writes, so the delete can only be refused by a rule of the API, in which
	// case upstream's collector gives up too.
	_, _ = s.deleteLocked(ref.kind, ref.ns, ref.name, metav1.DeleteOptions{PropagationPolicy: &policy})
}

// orphanDependents releases the dependents of an object and then the object.
func (s *Store) orphanDependents(ref objectRef, obj runtime.Object) {
	if d := s.owners.deps[ref.uid]; d != nil {
		for _, dep := range d.values() {
			depObj := s.peek(dep.kind, dep.ns, dep.name)
			s.rewriteMeta(dep, depObj, func(m metav1.Object) {
				m.SetOwnerReferences(slices.DeleteFunc(slices.Clone(m.GetOwnerReferences()),
					func(o metav1.OwnerReference) bool { return o.UID == ref.uid }))
			})
		}
	}
	s.dropFinalizer(ref, metav1.FinalizerOrphanDependents)
}

// deleteDependents deletes the dependents of an object in foreground deletion, and lets the object go once none is
// left that blocks it.
func (s *Store) deleteDependents(ref objectRef, obj runtime.Object) {
	blocked := false
	if d := s.owners.deps[ref.uid]; d != nil {
		for _, dep := range d.values() {
			depMeta := s.peek(dep.kind, dep.ns, dep.name).(metav1.Object)
			for _, o := range depMeta.GetOwnerReferences() {
				blocked = blocked || o.UID == ref.uid && o.BlockOwnerDeletion != nil && *o.BlockOwnerDeletion
			}
			if depMeta.GetDeletionTimestamp() == nil {
				s.garbage = append(s.garbage, dep)
			}
		}
	}
	if !blocked {
		s.dropFinalizer(ref, metav1.FinalizerDeleteDependents)
	}
}

// dropFinalizer removes a finalizer of an object that is being deleted.
func (s *Store) dropFinalizer(ref objectRef, finalizer string) {
	obj := s.peek(ref.kind, ref.ns, ref.name)
	s.rewriteMeta(ref, obj, func(m metav1.Object) {
		m.SetFinalizers(slices.DeleteFunc(slices.Clone(m.GetFinalizers()),
			func(f string) bool { return f == finalizer }))
	})
}

// rewriteMeta changes an object's metadata on behalf of a controller of the cluster. change must replace slices and
// maps, not edit them.
func (s *Store) rewriteMeta(ref objectRef, old runtime.Object, change func(metav1.Object)) {
	obj := ref.kind.shallow(old)
	change(obj.(metav1.Object))
	if deletedByUpdate(ref.kind, obj, old) {
		s.remove(ref.kind, old, old)
		return
	}
	s.commit(ref.kind, VerbUpdate, "", old, obj)
	s.afterUpdate(ref.kind, old, obj)
}
