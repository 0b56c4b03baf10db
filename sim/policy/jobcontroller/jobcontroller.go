// Package jobcontroller runs the upstream Job controller: it makes the pods of batch/v1 Jobs, replaces those that are
// lost, counts those that ended and says when a Job is complete or has failed. With feature gate WorkloadWithJob
// it makes a Job's Workload and PodGroup, too.
//
// What decides is k8s.io/kubernetes/pkg/controller/job as it is, with one worker. What is replaced are fields that
// would let Go's scheduler or a random generator into a run: its work queue (package workqueue), the random end of
// pods' names, and its events, which nobody reads. The orphan queue, which only takes finalizers off pods of Jobs
// that are gone, is upstream's own.
package jobcontroller

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	schedulinginformers "k8s.io/client-go/informers/scheduling/v1beta1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/job"
	"k8s.io/kubernetes/pkg/features"

	"orrery/sim/engine"
	"orrery/sim/policy/control"
	"orrery/sim/policy/workqueue"
)

// Rate limit of the controller's client, in calls per second, unless the user sets another.
const (
	DefaultQPS   = control.DefaultQPS
	DefaultBurst = control.DefaultBurst
)

// Params is what the controller needs.
type Params struct {
	Engine *engine.Engine
	Client *rest.Config // through the engine's gate, which keeps the client's rate
	// Informers must be told by events of the engine, one change per event.
	Informers func(kubernetes.Interface) informers.SharedInformerFactory
}

// Controller is the running controller.
type Controller struct {
	cancel context.CancelFunc
	queue  *workqueue.Queue[string]
	done   sync.WaitGroup
}

// Start builds and starts the controller. It must be called on the driver goroutine, inside the bubble, before
// there are Jobs, after the feature gates are set.
func Start(p Params) (*Controller, error) {
	client := rest.CopyConfig(p.Client)
	client.QPS = -1
	cs, err := kubernetes.NewForConfig(client)
	if err != nil {
		return nil, fmt.Errorf("building the Job controller's client: %w", err)
	}
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), logr.Discard()))
	f := p.Informers(cs)
	var workloads schedulinginformers.WorkloadInformer
	var groups schedulinginformers.PodGroupInformer
	if utilfeature.DefaultFeatureGate.Enabled(features.WorkloadWithJob) {
		workloads, groups = f.Scheduling().V1beta1().Workloads(), f.Scheduling().V1beta1().PodGroups()
	}
	jc, err := job.NewController(ctx, cs, f.Core().V1().Pods(), f.Batch().V1().Jobs(), workloads, groups)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("building the Job controller: %w", err)
	}
	c := &Controller{cancel: cancel}
	if err := c.replace(jc, cs, p.Engine); err != nil {
		cancel()
		return nil, err
	}
	c.done.Go(func() { jc.Run(ctx, 1) })
	return c, nil
}

// replace sets the controller's unexported fields.
func (c *Controller) replace(jc *job.Controller, cs kubernetes.Interface, e *engine.Engine) error {
	c.queue = workqueue.New[string](e, "job sync", job.DefaultJobApiBackOff, job.MaxJobApiBackOff)
	if err := control.SwapQueue(jc, "queue", c.queue); err != nil {
		return err
	}
	if err := control.SwapPodControl(jc, "podControl", cs, e); err != nil {
		return err
	}
	if err := control.SwapRecorder(jc, "recorder", control.Silence{}); err != nil {
		return err
	}
	return control.SwapBroadcaster(jc, "broadcaster")
}

// Close stops the controller. The engine must be drained afterwards.
func (c *Controller) Close() {
	c.cancel()
	c.queue.ShutDown()
}
