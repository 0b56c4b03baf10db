package keda

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	"github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/recorder"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"orrery/sim/kube"
)

// Webhook is KEDA's admission webhook, upstream's own code (apis/keda/v1alpha1/scaledobject_webhook.go), asked about
// ScaledObjects that are in an API already, one after the other: which other objects of the API they collide with.
type Webhook struct {
	store *kube.Store
	all   client.Client
	known map[string]bool // ScaledObjects that were reviewed, by namespace/name: later ones collide with them
	show  view
}

// view is what the webhook sees of the API. It makes its checks in the order of a map and stops at the first that
// fails; of one thing at a time only one check can.
type view int

const (
	viewNothing view = iota
	viewScaledObjects
	viewAutoscalers
)

// upstream guards the variables of upstream's package in which its webhook keeps its clients.
var upstream sync.Mutex

// NewWebhook returns the webhook of an API.
func NewWebhook(store *kube.Store) (*Webhook, error) {
	log.SetLogger(logr.Discard()) // else controller-runtime complains that nobody did
	all, err := store.Client(nil, nil)
	if err != nil {
		return nil, err
	}
	return &Webhook{store: store, all: all, known: map[string]bool{}}, nil
}

// Review returns what the webhook refuses about a stored object on which Check found nothing, all at once, and what it
// warns of. Objects of other kinds are right.
//
// A HorizontalPodAutoscaler for the same target is refused whichever of the two came first. In a cluster one that
// comes second is accepted; upstream's autoscalers then both stop, and every later write of the ScaledObject fails.
func (w *Webhook) Review(obj runtime.Object) (warnings []string, errs []error) {
	so, ok := obj.(*v1alpha1.ScaledObject)
	if !ok {
		return nil, nil
	}
	stored, err := w.store.Get(scaledGVR, so.Namespace, so.Name)
	if err != nil {
		return nil, nil // it was not accepted
	}
	upstream.Lock()
	defer upstream.Unlock()
	if err := (&v1alpha1.ScaledObject{}).SetupWebhookWithManager(webhookManager{w: w}, false); err != nil {
		return nil, []error{fmt.Errorf("building KEDA's webhook: %w", err)}
	}
	for _, x := range []struct {
		show   view
		dry    bool // the check of requests is left out
		remedy string
	}{
		{viewScaledObjects, true, "write the triggers of both into one ScaledObject"},
		{viewAutoscalers, true, "remove the HorizontalPodAutoscaler, or hand it over: annotation " +
			v1alpha1.ScaledObjectTransferHpaOwnershipAnnotation + `: "true" and its name in ` +
			"spec.advanced.horizontalPodAutoscalerConfig.name"},
		{viewNothing, false, "set the request: usage is measured in parts of it"},
	} {
		w.show = x.show
		next := stored.DeepCopyObject().(*v1alpha1.ScaledObject)
		next.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ScaledObject"))
		said, err := validate(next, x.dry)
		warnings = append(warnings, said...)
		switch {
		case err == nil, apierrors.IsNotFound(err): // a target that is still to be made
		case meta.IsNoMatchError(err):
			errs = []error{fmt.Errorf("KEDA's webhook refuses it: %w", err)}
		default:
			errs = append(errs, fmt.Errorf("KEDA's webhook refuses it: %w: %s", err, x.remedy))
		}
	}
	w.known[so.Namespace+"/"+so.Name] = true
	slices.Sort(warnings)
	return slices.Compact(warnings), errs
}

// validate asks upstream's webhook. It panics when a ScaledObject with the default name of its autoscaler has the one
// that another wants; in a cluster the request is then denied.
func validate(so *v1alpha1.ScaledObject, dry bool) (warnings []string, err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("the HPA '%s' is already managed by another ScaledObject", hpaName(so))
		}
	}()
	return so.ValidateCreate(&dry)
}

// webhookManager is what upstream's webhook takes of a manager.
type webhookManager struct {
	manager.Manager // nil: nothing else is asked for
	w               *Webhook
}

// reader is the client of the webhook.
type reader struct {
	client.Client
	w *Webhook
}

// List implements client.Client: what the view shows, and always LimitRanges.
func (r reader) List(ctx context.Context, list client.ObjectList, o ...client.ListOption) error {
	_, autoscalers := list.(*autoscalingv2.HorizontalPodAutoscalerList)
	objects, others := list.(*v1alpha1.ScaledObjectList)
	if autoscalers && r.w.show != viewAutoscalers || others && r.w.show != viewScaledObjects {
		return nil
	}
	err := r.Client.List(ctx, list, o...)
	if others {
		objects.Items = slices.DeleteFunc(objects.Items, func(so v1alpha1.ScaledObject) bool {
			return !r.w.known[so.Namespace+"/"+so.Name]
		})
	}
	return err
}

// GetClient implements manager.Manager.
func (m webhookManager) GetClient() client.Client { return reader{m.w.all, m.w} }

// GetRESTMapper implements manager.Manager.
func (m webhookManager) GetRESTMapper() meta.RESTMapper { return m.w.store.RESTMapper() }

// GetScheme implements manager.Manager.
func (m webhookManager) GetScheme() *runtime.Scheme { return m.w.store.Scheme() }

// GetConfig implements manager.Manager.
func (m webhookManager) GetConfig() *rest.Config { return &rest.Config{} }

// GetEventRecorder implements manager.Manager: warnings are returned, too.
func (m webhookManager) GetEventRecorder(string) recorder.EventRecorder { return nil }

// GetWebhookServer implements manager.Manager: nothing is served.
func (m webhookManager) GetWebhookServer() webhook.Server { return noServer{} }

// noServer is a webhook.Server that is never asked.
type noServer struct{ webhook.Server }

// Register implements webhook.Server.
func (noServer) Register(string, http.Handler) {}

// WebhookMux implements webhook.Server.
func (noServer) WebhookMux() *http.ServeMux { return http.NewServeMux() }
