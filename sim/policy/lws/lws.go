// Package lws runs the upstream controllers of LeaderWorkerSets: groups of pods that serve together, a leader and its
// workers, over as many nodes as a model needs.
//
// What decides is sigs.k8s.io/lws v0.9.0 as it is: its two controllers, over StatefulSets (package workloads), and its
// webhooks, which the API calls. Package crt runs them in lockstep with the engine. There is no scheduler provider:
// gangs of Volcano, the only one that upstream has, are not made.
package lws

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	v1 "sigs.k8s.io/lws/api/leaderworkerset/v1"
	"sigs.k8s.io/lws/pkg/controllers"
	"sigs.k8s.io/lws/pkg/webhooks"

	"orrery/sim/engine"
	"orrery/sim/kube"
	"orrery/sim/policy/crt"
)

// Rate limit of the controllers' client, in calls per second
// (sigs.k8s.io/lws v0.9.0 api/config/v1alpha1/defaults.go).
const (
	DefaultQPS   = 500
	DefaultBurst = 500
)

// Kind is the kind that the controllers keep.
var Kind = v1.GroupVersion.WithKind("LeaderWorkerSet")

// Scheme holds the Go types of the API.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	metav1.AddToGroupVersion(s, v1.GroupVersion)
	s.AddKnownTypes(v1.GroupVersion, &v1.LeaderWorkerSet{}, &v1.LeaderWorkerSetList{})
	return s
}

// Webhooks are upstream's, for the store. The one of LeaderWorkerSets sets the defaults of its definition, too.
func Webhooks() []kube.Webhook {
	sets, pods := &webhooks.LeaderWorkerSetWebhook{}, webhooks.NewPodWebhook(nil)
	return []kube.Webhook{
		{Name: "leaderworkerset.kb.io", Kind: Kind.GroupKind(), Updates: true,
			Default: func(ctx context.Context, obj runtime.Object) error {
				set := obj.(*v1.LeaderWorkerSet)
				setDefaults(&set.Spec)
				return sets.Default(ctx, set)
			},
			Validate: func(ctx context.Context, obj, old runtime.Object) (err error) {
				if old == nil {
					_, err = sets.ValidateCreate(ctx, obj.(*v1.LeaderWorkerSet))
					return err
				}
				_, err = sets.ValidateUpdate(ctx, old.(*v1.LeaderWorkerSet), obj.(*v1.LeaderWorkerSet))
				return err
			}},
		{Name: "mpod.kb.io", Kind: schema.GroupKind{Kind: "Pod"},
			Default: func(ctx context.Context, obj runtime.Object) error { return pods.Default(ctx, obj.(*corev1.Pod)) }},
	}
}

// setDefaults sets what the API server sets by the definition
// (sigs.k8s.io/lws v0.9.0 api/leaderworkerset/v1/leaderworkerset_types.go, the marks +kubebuilder:default).
func setDefaults(s *v1.LeaderWorkerSetSpec) {
	one, zero := int32(1), int32(0)
	if s.Replicas == nil {
		s.Replicas = &one
	}
	if s.LeaderWorkerTemplate.Size == nil {
		s.LeaderWorkerTemplate.Size = &one
	}
	if s.StartupPolicy == "" {
		s.StartupPolicy = v1.LeaderCreatedStartupPolicy
	}
	if r := s.RolloutStrategy.RollingUpdateConfiguration; r != nil && r.Partition == nil {
		r.Partition = &zero
	}
}

// Params is what the controllers need.
type Params struct {
	Engine *engine.Engine
	Client *rest.Config // through the engine's gate, which keeps the client's rate
	Mapper meta.RESTMapper
	// Informers must be told by events of the engine, one change per event, and hold finished pods, too. They are the
	// controllers' own.
	Informers informers.SharedInformerFactory
	// Told takes the controllers' events, on their goroutines while the driver waits. It may be nil.
	Told func(crt.Event)
}

// Start builds and starts the controllers. It must be called on the driver goroutine, inside the bubble, with the
// workload controllers running on the same API.
func Start(p Params) (*crt.Manager, error) {
	scheme := Scheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("building the types of LeaderWorkerSets: %w", err)
	}
	m, err := crt.New(crt.Params{Name: "lws", Engine: p.Engine, Client: p.Client, Mapper: p.Mapper, Scheme: scheme,
		Informer: func(gvr schema.GroupVersionResource) (cache.SharedIndexInformer, error) {
			g, err := p.Informers.ForResource(gvr)
			if err != nil {
				return nil, err
			}
			return g.Informer(), nil
		},
		Warm: []client.Object{&v1.LeaderWorkerSet{}, &appsv1.StatefulSet{}, &corev1.Pod{}, &corev1.Service{},
			&corev1.Node{}, &appsv1.ControllerRevision{}},
		Event: p.Told,
	})
	if err != nil {
		return nil, fmt.Errorf("building the controllers of LeaderWorkerSets: %w", err)
	}
	if err := setup(m); err != nil {
		m.Close()
		return nil, fmt.Errorf("building the controllers of LeaderWorkerSets: %w", err)
	}
	m.Begin()
	return m, nil
}

// setup does what upstream's main does.
func setup(m *crt.Manager) error {
	if err := controllers.SetupIndexes(m.GetFieldIndexer()); err != nil {
		return err
	}
	if err := controllers.NewLeaderWorkerSetReconciler(m.GetClient(), m.GetScheme(),
		m.GetEventRecorder("leaderworkerset")).SetupWithManager(m); err != nil {
		return err
	}
	return controllers.NewPodReconciler(m.GetClient(), m.GetScheme(), m.GetEventRecorder("leaderworkerset"),
		nil).SetupWithManager(m)
}
