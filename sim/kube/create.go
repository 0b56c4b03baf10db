package kube

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	genericvalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// Create stores a new object and returns it as stored, to be read only. obj is not kept or changed. A namespaced
// object must name its namespace.
func (s *Store) Create(obj runtime.Object) (runtime.Object, error) {
	k, err := s.kinds.of(obj)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if pod, ok := obj.(*corev1.Pod); ok {
		return s.createPod(k, pod)
	}
	return s.create(k, obj.DeepCopyObject(), false)
}

// create is Create for an object the store may keep.
func (s *Store) create(k *kind, obj runtime.Object, dry bool) (out runtime.Object, err error) {
	if s.dropsEvents(k) {
		return s.dropEvent(k, obj), nil
	}
	err = s.transact(func() error {
		out, err = s.createLocked(k, obj, dry)
		return err
	})
	return out, err
}

// createLocked is create for callers that hold write.
func (s *Store) createLocked(k *kind, obj runtime.Object, dry bool) (runtime.Object, error) {
	m := obj.(metav1.Object)
	if m.GetResourceVersion() != "" {
		return nil, apierrors.NewInternalError(errors.New(
			"resourceVersion should not be set on objects to be created"))
	}
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	rest.WipeObjectMetaSystemFields(m)
	m.SetManagedFields(nil)
	if !k.namespaced {
		m.SetNamespace("")
	}
	if k.upstream {
		legacyscheme.Scheme.Default(obj)
	}
	s.generateName(k, m)
	if err := s.admitNamespace(k, m); err != nil {
		return nil, err
	}
	if err := s.callWebhooks(k, obj, nil); err != nil {
		return nil, err
	}
	m.SetCreationTimestamp(s.stamp())
	m.SetUID(s.nextUID())
	var err error
	if k.strategy.main != nil {
		obj, err = s.prepareUpstream(k, obj)
	} else {
		err = s.prepareCustom(k, obj)
	}
	if err != nil {
		return nil, err
	}
	m = obj.(metav1.Object)
	if old := s.peek(k, m.GetNamespace(), m.GetName()); old != nil {
		exists := apierrors.NewAlreadyExists(k.gvr.GroupResource(), m.GetName())
		if old.(metav1.Object).GetDeletionTimestamp() != nil {
			exists.ErrStatus.Message = "object is being deleted: " + exists.ErrStatus.Message
		}
		return nil, exists
	}
	if dry {
		return obj, s.quotas.admit(k, obj, true)
	}
	if err := s.quotas.admit(k, obj, false); err != nil {
		return nil, err
	}
	s.commit(k, VerbCreate, "", nil, obj)
	s.afterCreate(k, obj)
	return obj, nil
}

// prepareUpstream runs upstream's admission and create strategy and returns the object to store.
func (s *Store) prepareUpstream(k *kind, obj runtime.Object) (runtime.Object, error) {
	m := obj.(metav1.Object)
	ctx := k.context("", m.GetNamespace())
	in, err := toInternal(k, obj)
	if err != nil {
		return nil, err
	}
	if err := s.plugins.mutate(ctx, k, "", in, nil); err != nil {
		return nil, err
	}
	k.strategy.main.PrepareForCreate(ctx, in)
	out, err := fromInternal(k, in)
	if err != nil {
		return nil, err
	}
	if errs := validateCreate(ctx, k, in, out); len(errs) > 0 {
		return nil, apierrors.NewInvalid(k.gvk.GroupKind(), m.GetName(), errs)
	}
	k.strategy.main.Canonicalize(in)
	if err := s.plugins.validate(ctx, k, "", in, nil); err != nil {
		return nil, err
	}
	return fromInternal(k, in)
}

// validateCreate is rest.ValidateCreate. It runs the declarative validation on the versioned object at hand instead of
// converting once more; only when something is wrong does it take upstream's slow path, which decides how handwritten
// and declarative errors combine.
func validateCreate(ctx context.Context, k *kind, in, out runtime.Object) field.ErrorList {
	strat := k.strategy.main
	errs := strat.Validate(ctx, in)
	if len(errs) == 0 {
		errs = genericvalidation.ValidateObjectMetaAccessor(in.(metav1.Object), k.namespaced,
			pathSegment, field.NewPath("metadata"))
	}
	if declared, ok := strat.(rest.DeclarativeValidationStrategy); ok && len(errs) == 0 &&
		legacyscheme.Scheme.HasValidationFunc(out) {
		config := declared.DeclarativeValidationConfig(ctx, in, nil)
		errs = legacyscheme.Scheme.Validate(ctx, config.Options, out)
	}
	if len(errs) > 0 {
		return rest.ValidateCreate(ctx, in, strat)
	}
	return nil
}

// prepareCustom does what the API server does for a custom resource: generation 1, no status, and its rules.
func (s *Store) prepareCustom(k *kind, obj runtime.Object) error {
	m := obj.(metav1.Object)
	m.SetGeneration(1)
	if k.statField >= 0 && k.specField >= 0 {
		k.field(obj, k.statField).SetZero()
	}
	if err := validateMeta(k, m); err != nil || k.custom == nil {
		return err
	}
	return k.custom.created(obj)
}

// toInternal converts a stored or submitted object to upstream's internal type. The result shares memory with obj.
func toInternal(k *kind, obj runtime.Object) (runtime.Object, error) {
	in, err := legacyscheme.Scheme.New(schema.GroupVersionKind{
		Group: k.gvk.Group, Version: runtime.APIVersionInternal, Kind: k.gvk.Kind})
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if err := legacyscheme.Scheme.Convert(obj, in, nil); err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("converting %s: %v", k.gvk.Kind, err))
	}
	return in, nil
}

// fromInternal converts back to the stored version.
func fromInternal(k *kind, in runtime.Object) (runtime.Object, error) {
	out := k.newObject()
	if err := legacyscheme.Scheme.Convert(in, out, nil); err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("converting %s: %w", k.gvk.Kind, err))
	}
	return out, nil
}

// dropsEvents reports whether objects of kind k are dropped.
func (s *Store) dropsEvents(k *kind) bool { return k.gvk.Kind == "Event" && !s.opts.KeepEvents }

// dropEvent counts an Event and answers as if it had been stored.
func (s *Store) dropEvent(k *kind, obj runtime.Object) runtime.Object {
	s.data.Lock()
	defer s.data.Unlock()
	s.dropped++
	m := obj.(metav1.Object)
	if m.GetName() == "" {
		m.SetName(fmt.Sprintf("%s%d", m.GetGenerateName(), s.dropped))
	}
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	return obj
}
