package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

type plugins struct{}

func newPlugins(s *Store) (*plugins, error) { return &plugins{}, nil }
func (p *plugins) mutate(ctx context.Context, k *kind, sub string, in, old runtime.Object) error {
	return nil
}
func (p *plugins) validate(ctx context.Context, k *kind, sub string, in, old runtime.Object) error {
	return nil
}

type quotaKeeper struct{}

func newQuotaKeeper(s *Store) (*quotaKeeper, error)                        { return nil, nil }
func (q *quotaKeeper) admit(k *kind, obj runtime.Object, dry bool) error   { return nil }
func (q *quotaKeeper) change(k *kind, old, obj runtime.Object) error       { return nil }
func (s *Store) afterCreate(k *kind, obj runtime.Object)                   {}
func (s *Store) afterUpdate(k *kind, old, obj runtime.Object)              {}
func (s *Store) afterDelete(k *kind, obj runtime.Object)                   {}
func (s *Store) topologyLabels(t corev1.ObjectReference) map[string]string { return nil }
func systemPriorityClasses() []runtime.Object                              { return nil }
