// Package disruption runs the upstream disruption controller, which keeps the status of PodDisruptionBudgets: how many
// pods may be disrupted now. The scheduler's preemption and the eviction subresource read it.
//
// It runs as it is, in the run's bubble, with one worker. Its informers must be told by events of the engine, one
// change per event, so that the worker has finished with a change before the next one arrives.
package disruption

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/disruption"
)

// Params is what the controller needs.
type Params struct {
	Client    *rest.Config // through the engine's gate
	Informers func(kubernetes.Interface) informers.SharedInformerFactory
	Mapper    meta.RESTMapper
}

// Controller is the running controller.
type Controller struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Start builds and starts the controller. It must be called on the driver goroutine, inside the bubble.
func Start(p Params) (*Controller, error) {
	client := rest.CopyConfig(p.Client)
	client.QPS = -1 // kube-controller-manager's own limit (20/s) is far above what budgets of one cluster need
	cs, err := kubernetes.NewForConfig(client)
	if err != nil {
		return nil, fmt.Errorf("building the disruption controller's client: %w", err)
	}
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), logr.Discard()))
	f := p.Informers(cs)
	apps := f.Apps().V1()
	dc := disruption.NewDisruptionController(ctx, f.Core().V1().Pods(), f.Policy().V1().PodDisruptionBudgets(),
		f.Core().V1().ReplicationControllers(), apps.ReplicaSets(), apps.Deployments(), apps.StatefulSets(),
		cs, p.Mapper, nil, cs.Discovery())
	c := &Controller{cancel: cancel}
	c.done.Go(func() { dc.Run(ctx, 1) })
	return c, nil
}

// Close stops the controller. The engine must be drained afterwards, then Wait returns.
func (c *Controller) Close() { c.cancel() }
