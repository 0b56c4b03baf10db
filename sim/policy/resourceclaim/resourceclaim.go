// Package resourceclaim runs the upstream resource claim controller of kube-controller-manager: it makes a
// ResourceClaim for each claim template that a pod names, notes its name in the pod's status, takes away the
// reservations of pods that are over, and with the last of them the allocation, the finalizer and the claim itself.
//
// It runs as it is, in the run's bubble, with one worker where upstream has 50: its calls wait for the client's rate
// (kube-controller-manager's default of 20 a second, 30 at once) much longer than for each other, and with one worker
// they come in one order. Its informers must be told by events of the engine, one change per event, so that the worker
// has finished with a change, or waits for the API, before the next one arrives.
//
// Claims of pod groups (feature gate DRAWorkloadResourceClaims) are not covered; the gate is refused.
package resourceclaim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/resourceclaim"
)

// Rate of the controller's client: the defaults of kube-controller-manager's --kube-api-qps and --kube-api-burst
// (kubernetes v1.37.2, pkg/controller/apis/config/v1alpha1/defaults.go), of which each controller's
// client has its own.
const (
	QPS   = 20
	Burst = 30
)

// Params is what the controller needs.
type Params struct {
	// Client reaches the API through the engine's gate, which keeps the rate: a limit in the client would serve
	// goroutines that call at one instant in the order in which Go runs them.
	Client    *rest.Config
	Informers func(kubernetes.Interface) informers.SharedInformerFactory
}

// Controller is the running controller.
type Controller struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Start builds and starts the controller. It must be called on the driver goroutine, inside the bubble, after the
// feature gates are set.
func Start(p Params) (*Controller, error) {
	client := rest.CopyConfig(p.Client)
	client.QPS = -1
	cs, err := kubernetes.NewForConfig(client)
	if err != nil {
		return nil, fmt.Errorf("building the resource claim controller's client: %w", err)
	}
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), logr.Discard()))
	f := p.Informers(cs)
	ec, err := resourceclaim.NewController(logr.Discard(), cs, f.Core().V1().Pods(),
		f.Scheduling().V1beta1().PodGroups(), f.Resource().V1().ResourceClaims(),
		f.Resource().V1().ResourceClaimTemplates())
	if err != nil {
		cancel()
		return nil, fmt.Errorf("building the resource claim controller: %w", err)
	}
	c := &Controller{cancel: cancel}
	c.done.Go(func() { ec.Run(ctx, 1) })
	return c, nil
}

// Close stops the controller. The engine must be drained afterwards.
func (c *Controller) Close() { c.cancel() }

// Routine reports whether an error that the controller reports is a part of its normal life: it worked on a claim or a
// pod that was deleted meanwhile, or changed by somebody else, and comes back to it when its informer tells it.
func Routine(err error) bool {
	if err == nil {
		return false
	}
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		var status apierrors.APIStatus
		if !errors.As(err, &status) {
			return false
		}
		d := status.Status().Details
		return d != nil && (d.Kind == "pods" || d.Kind == "resourceclaims")
	}
	// Upstream formats some errors without wrapping them.
	text := err.Error()
	return strings.Contains(text, "ResourceClaimStatuses: pods ") && strings.Contains(text, "not found")
}
