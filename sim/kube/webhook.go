package kube

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// Webhook is an admission webhook of a kind, called in process. Of pods it is asked about those that have an owner: all
// that others create take a short cut past it.
type Webhook struct {
	Name string // for messages
	Kind schema.GroupKind
	// Default changes an object that is created, or updated if Updates is set. It may be nil.
	Default func(context.Context, runtime.Object) error
	Updates bool
	// Validate refuses an object. old is nil when it is created. It may be nil.
	Validate func(ctx context.Context, obj, old runtime.Object) error
}

// callWebhooks lets the webhooks of k change obj, and refuse it.
func (s *Store) callWebhooks(k *kind, obj, old runtime.Object) error {
	ctx := context.Background()
	called := false
	for i := range s.opts.Webhooks {
		w := &s.opts.Webhooks[i]
		if w.Kind != k.gvk.GroupKind() || w.Default == nil || old != nil && !w.Updates {
			continue
		}
		called = true
		if err := w.Default(ctx, obj); err != nil {
			return w.denied(k, obj, err)
		}
	}
	if called && k.upstream {
		legacyscheme.Scheme.Default(obj)
	}
	for i := range s.opts.Webhooks {
		w := &s.opts.Webhooks[i]
		if w.Kind != k.gvk.GroupKind() || w.Validate == nil {
			continue
		}
		if err := w.Validate(ctx, obj, old); err != nil {
			return w.denied(k, obj, err)
		}
	}
	return nil
}

// denied is the API server's answer when a webhook refuses a request.
func (w *Webhook) denied(k *kind, obj runtime.Object, err error) error {
	return apierrors.NewForbidden(k.gvr.GroupResource(), obj.(metav1.Object).GetName(),
		fmt.Errorf("admission webhook %q denied the request: %v", w.Name, err))
}
