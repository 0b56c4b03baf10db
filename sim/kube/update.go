package kube

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validate/content"
	genericvalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// optimisticLockMessage is upstream's (k8s.io/apiserver/pkg/registry/generic/registry).
const optimisticLockMessage = "the object has been modified; please apply your changes to the latest version and " +
	"try again"

// Update replaces an object, or the part a subresource covers, and returns it as stored, to be read only. obj is not
// kept or changed. A set resourceVersion or UID must be the current one; without a resourceVersion the update is
// unconditional where upstream allows that. A write that changes nothing commits nothing.
func (s *Store) Update(obj runtime.Object, sub string) (runtime.Object, error) {
	k, err := s.kinds.of(obj)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return s.update(k, obj.DeepCopyObject(), sub, false)
}

// update is Update for an object the store may keep.
func (s *Store) update(k *kind, obj runtime.Object, sub string, dry bool) (out runtime.Object, err error) {
	if s.dropsEvents(k) {
		return s.dropEvent(k, obj), nil
	}
	err = s.transact(func() error {
		out, err = s.updateLocked(k, obj, sub, dry)
		return err
	})
	return out, err
}

// updateLocked is update for callers that hold write.
func (s *Store) updateLocked(k *kind, obj runtime.Object, sub string, dry bool) (runtime.Object, error) {
	m := obj.(metav1.Object)
	if !k.namespaced {
		m.SetNamespace("")
	}
	old := s.peek(k, m.GetNamespace(), m.GetName())
	if old == nil {
		if main := k.strategy.main; main != nil && sub == "" && main.AllowCreateOnUpdate(k.context("", "")) {
			m.SetResourceVersion("")
			return s.createLocked(k, obj, dry)
		}
		return nil, apierrors.NewNotFound(k.gvr.GroupResource(), m.GetName())
	}
	setDefaults(k, obj, sub)
	return s.replace(k, old, obj, sub, dry)
}

// setDefaults applies upstream's defaults to a submitted object. Those of a pod are about its spec, which a status
// update does not change.
func setDefaults(k *kind, obj runtime.Object, sub string) {
	if k.upstream && !(k.gvr == podsGVR && sub == "status") {
		legacyscheme.Scheme.Default(obj)
	}
}

// replace stores obj over old through subresource sub. The caller holds write and owns obj.
func (s *Store) replace(k *kind, old, obj runtime.Object, sub string, dry bool) (runtime.Object, error) {
	m, om := obj.(metav1.Object), old.(metav1.Object)
	strat := k.strategy.forSub(sub)
	if strat == nil && (k.strategy.main != nil || sub != "" && sub != "status") {
		return nil, subresourceMissing(k, sub)
	}
	if err := checkVersion(k, m, om, sub); err != nil {
		return nil, err
	}
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	m.SetResourceVersion(om.GetResourceVersion())
	m.SetManagedFields(nil)
	m.SetSelfLink("")
	if pod, ok := obj.(*corev1.Pod); ok && sub == "status" && s.quickStatus(old.(*corev1.Pod), pod) {
		return s.put(k, old, obj, sub, dry)
	}
	if sub == "" {
		if err := s.callWebhooks(k, obj, old); err != nil {
			return nil, err
		}
	}
	var err error
	if strat != nil {
		obj, err = s.reviseUpstream(k, strat, old, obj, sub)
	} else {
		obj, err = reviseCustom(k, old, obj, sub)
	}
	if err != nil {
		return nil, err
	}
	return s.put(k, old, obj, sub, dry)
}

// put stores an update that has been admitted, unless it changes nothing.
func (s *Store) put(k *kind, old, obj runtime.Object, sub string, dry bool) (runtime.Object, error) {
	if sameObject(old, obj) {
		return old, nil
	}
	if dry {
		return obj, nil
	}
	if deletedByUpdate(k, obj, old) {
		s.remove(k, old, old)
		return obj, nil
	}
	if err := s.quotas.change(k, old, obj); err != nil {
		return nil, err
	}
	s.applied.noteUpdate(k, sub, old, obj)
	s.commit(k, VerbUpdate, sub, old, obj)
	s.afterUpdate(k, old, obj)
	return obj, nil
}

// checkVersion checks the optimistic lock of an update.
func checkVersion(k *kind, m, om metav1.Object, sub string) error {
	gr := k.gvr.GroupResource()
	if m.GetUID() != "" && m.GetUID() != om.GetUID() {
		return apierrors.NewConflict(gr, m.GetName(), fmt.Errorf(
			"Precondition failed: UID in precondition: %v, UID in object meta: %v", m.GetUID(), om.GetUID()))
	}
	rv := m.GetResourceVersion()
	if rv == "" || rv == "0" {
		strat := k.strategy.forSub(sub)
		if strat != nil && !strat.AllowUnconditionalUpdate(k.context(sub, m.GetNamespace())) {
			return apierrors.NewInvalid(schema.GroupKind{Group: gr.Group, Kind: gr.Resource}, m.GetName(),
				field.ErrorList{field.Invalid(field.NewPath("metadata", "resourceVersion"), 0,
					"must be specified for an update")})
		}
		return nil
	}
	if rv != om.GetResourceVersion() {
		return apierrors.NewConflict(gr, m.GetName(), errors.New(optimisticLockMessage))
	}
	return nil
}

// reviseUpstream runs upstream's admission and update strategy and returns the object to store. It is
// rest.BeforeUpdate without its repeated conversions.
func (s *Store) reviseUpstream(k *kind, strat rest.RESTUpdateStrategy, old, obj runtime.Object, sub string) (
	runtime.Object, error) {
	om := old.(metav1.Object)
	ctx := k.context(sub, om.GetNamespace())
	oldIn, err := toInternal(k, old)
	if err != nil {
		return nil, err
	}
	in, err := toInternal(k, obj)
	if err != nil {
		return nil, err
	}
	if err := s.plugins.mutate(ctx, k, sub, in, oldIn); err != nil {
		return nil, err
	}
	im := in.(metav1.Object)
	im.SetGeneration(om.GetGeneration())
	strat.PrepareForUpdate(ctx, in, oldIn)
	keepSystemFields(im, om)
	out, err := fromInternal(k, in)
	if err != nil {
		return nil, err
	}
	if errs := validateUpdate(ctx, strat, in, oldIn, out, old, sub); len(errs) > 0 {
		return nil, apierrors.NewInvalid(k.gvk.GroupKind(), om.GetName(), errs)
	}
	strat.Canonicalize(in)
	if err := s.plugins.validate(ctx, k, sub, in, oldIn); err != nil {
		return nil, err
	}
	return fromInternal(k, in)
}

// keepSystemFields restores what no update may change (rest.BeforeUpdate).
func keepSystemFields(m, om metav1.Object) {
	m.SetUID(om.GetUID())
	m.SetCreationTimestamp(om.GetCreationTimestamp())
	if om.GetDeletionTimestamp() != nil {
		m.SetDeletionTimestamp(om.GetDeletionTimestamp())
	}
	if om.GetDeletionGracePeriodSeconds() != nil && m.GetDeletionGracePeriodSeconds() == nil {
		m.SetDeletionGracePeriodSeconds(om.GetDeletionGracePeriodSeconds())
	}
}

// validateUpdate is rest.ValidateUpdate. It skips the metadata checks when metadata did not change, and runs the
// declarative validation on the versioned objects at hand; only when something is wrong does it take upstream's slow
// path, which decides how handwritten and declarative errors combine.
func validateUpdate(ctx context.Context, strat rest.RESTUpdateStrategy, in, oldIn, out, old runtime.Object,
	sub string) field.ErrorList {
	m, om := in.(metav1.Object), oldIn.(metav1.Object)
	if !sameMeta(m, om) {
		if errs := rest.ValidateUpdate(ctx, in, oldIn, strat); len(errs) > 0 {
			return errs
		}
		return nil
	}
	errs := strat.ValidateUpdate(ctx, in, oldIn)
	if len(errs) == 0 {
		errs = validateDeclared(ctx, strat, in, oldIn, out, old, sub)
	}
	if len(errs) > 0 {
		return rest.ValidateUpdate(ctx, in, oldIn, strat)
	}
	return nil
}

// validateDeclared runs the generated declarative validation of an update.
func validateDeclared(ctx context.Context, strat rest.RESTUpdateStrategy, in, oldIn, out, old runtime.Object,
	sub string) field.ErrorList {
	declared, ok := strat.(rest.DeclarativeValidationStrategy)
	if !ok || !legacyscheme.Scheme.HasValidationFunc(out) {
		return nil
	}
	var subs []string
	if sub != "" {
		subs = []string{sub}
	}
	if pod, ok := out.(*corev1.Pod); ok && sub == "status" && len(pod.Status.NodeAllocatableResourceClaimStatuses) == 0 {
		// The hottest write: metadata and spec are unchanged, and of a pod's status only this list has declarative rules
		// (pkg/apis/core/v1/zz_generated.validations.go, v1.37). Finding that out by comparing everything costs more
		// than the rest of the update.
		return nil
	}
	config := declared.DeclarativeValidationConfig(ctx, in, oldIn)
	return legacyscheme.Scheme.ValidateUpdate(ctx, config.Options, out, old, subs...)
}

// reviseCustom does what the API server does for a custom resource: a status update changes nothing but the status,
// any other leaves the status alone; generation counts changes of the spec.
func reviseCustom(k *kind, old, obj runtime.Object, sub string) (runtime.Object, error) {
	m, om := obj.(metav1.Object), old.(metav1.Object)
	whole := k.statField < 0 || k.specField < 0
	if sub == "status" {
		if whole {
			return nil, subresourceMissing(k, sub)
		}
		out := k.shallow(old)
		k.field(out, k.statField).Set(k.field(obj, k.statField))
		return out, nil
	}
	keepSystemFields(m, om)
	m.SetGeneration(om.GetGeneration())
	var changed bool
	if whole {
		changed = !sameObject(old, obj)
	} else {
		k.field(obj, k.statField).Set(k.field(old, k.statField))
		changed = !equality.Semantic.DeepEqual(k.field(obj, k.specField).Interface(),
			k.field(old, k.specField).Interface())
	}
	if changed {
		m.SetGeneration(om.GetGeneration() + 1)
	}
	if err := validateMeta(k, m); err != nil || k.custom == nil || !changed {
		return obj, err
	}
	return obj, k.custom.updated(obj, old)
}

// pathSegment is upstream's rule for names that stand in a path of the API: no "/", no "%", not "." nor "..".
func pathSegment(name string, prefix bool) []string {
	if prefix {
		return content.IsPathSegmentPrefix(name)
	}
	return content.IsPathSegmentName(name)
}

// validateMeta checks the metadata of an object without upstream strategy.
func validateMeta(k *kind, m metav1.Object) error {
	errs := genericvalidation.ValidateObjectMetaAccessor(m, k.namespaced, pathSegment, field.NewPath("metadata"))
	if len(errs) > 0 {
		return apierrors.NewInvalid(k.gvk.GroupKind(), m.GetName(), errs)
	}
	return nil
}

// sameMeta reports whether two states of an object have equal metadata. Generation counts, as validation looks at it;
// resourceVersion and managedFields do not.
func sameMeta(a, b metav1.Object) bool {
	return a.GetName() == b.GetName() && a.GetNamespace() == b.GetNamespace() && a.GetUID() == b.GetUID() &&
		a.GetGeneration() == b.GetGeneration() && a.GetGenerateName() == b.GetGenerateName() &&
		maps.Equal(a.GetLabels(), b.GetLabels()) && maps.Equal(a.GetAnnotations(), b.GetAnnotations()) &&
		slices.Equal(a.GetFinalizers(), b.GetFinalizers()) && sameOwners(a.GetOwnerReferences(), b.GetOwnerReferences()) &&
		a.GetDeletionTimestamp().Equal(b.GetDeletionTimestamp()) &&
		equality.Semantic.DeepEqual(a.GetDeletionGracePeriodSeconds(), b.GetDeletionGracePeriodSeconds())
}

// sameOwners compares owner references.
func sameOwners(a, b []metav1.OwnerReference) bool {
	if len(a) != len(b) {
		return false
	}
	return len(a) == 0 || &a[0] == &b[0] || equality.Semantic.DeepEqual(a, b)
}

// deletedByUpdate reports whether an update ends the life of an object that was waiting for its finalizers
// (registry.ShouldDeleteDuringUpdate).
func deletedByUpdate(k *kind, obj, old runtime.Object) bool {
	om := old.(metav1.Object)
	if len(obj.(metav1.Object).GetFinalizers()) > 0 || om.GetDeletionTimestamp() == nil || holdsNamespace(obj) {
		return false
	}
	grace := om.GetDeletionGracePeriodSeconds()
	return grace == nil || *grace == 0
}

// subresourceMissing is the answer to a write to a subresource that does not exist.
func subresourceMissing(k *kind, sub string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: 404, Reason: metav1.StatusReasonNotFound,
		Message: fmt.Sprintf("the server could not find the requested resource %s/%s", k.gvr.Resource, sub),
	}}
}
