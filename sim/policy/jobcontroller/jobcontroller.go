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
	"reflect"
	"sync"
	"unsafe"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	schedulinginformers "k8s.io/client-go/informers/scheduling/v1beta1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	upstreamqueue "k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller"
	"k8s.io/kubernetes/pkg/controller/job"
	"k8s.io/kubernetes/pkg/features"

	"orrery/sim/engine"
	"orrery/sim/policy/workqueue"
)

// Rate limit of kube-controller-manager's client, in calls per second, unless the user sets another
// (k8s.io/kubernetes v1.37.2 pkg/controller/apis/config/v1alpha1/defaults.go).
const (
	DefaultQPS   = 20
	DefaultBurst = 30
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
	events record.EventBroadcaster
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
	var old upstreamqueue.TypedRateLimitingInterface[string]
	var pods controller.PodControlInterface
	for _, x := range []struct {
		name string
		old  any // pointer to where the old value goes; nil = nowhere
		now  func() any
	}{
		{"queue", &old, func() any { return c.queue }},
		{"podControl", &pods, func() any {
			real, _ := pods.(controller.RealPodControl)
			return &podControl{client: cs, engine: e, onWrite: real.OnWrite}
		}},
		{"broadcaster", &c.events, func() any { return silence{} }},
		{"recorder", nil, func() any { return silence{} }},
	} {
		f := reflect.ValueOf(jc).Elem().FieldByName(x.name)
		if !f.IsValid() || f.Kind() != reflect.Interface {
			return fmt.Errorf("the Job controller has no field %s in this version of Kubernetes", x.name)
		}
		f = reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
		if x.old != nil {
			reflect.ValueOf(x.old).Elem().Set(f)
		}
		now := reflect.ValueOf(x.now())
		if !now.Type().Implements(f.Type()) {
			return fmt.Errorf("the Job controller's field %s is a %s in this version of Kubernetes", x.name, f.Type())
		}
		f.Set(now)
	}
	old.ShutDown()
	return nil
}

// Close stops the controller. The engine must be drained afterwards.
func (c *Controller) Close() {
	c.cancel()
	c.queue.ShutDown()
	c.events.Shutdown()
}

// silence takes the controller's events. They count nowhere: the journal tells what happens.
type silence struct{}

func (silence) StartEventWatcher(func(*corev1.Event)) watch.Interface { return watch.NewEmptyWatch() }
func (silence) StartRecordingToSink(record.EventSink) watch.Interface { return watch.NewEmptyWatch() }
func (silence) StartLogging(func(string, ...any)) watch.Interface     { return watch.NewEmptyWatch() }
func (silence) StartStructuredLogging(klog.Level) watch.Interface     { return watch.NewEmptyWatch() }
func (silence) Shutdown()                                             {}
func (silence) Event(runtime.Object, string, string, string)          {}
func (silence) Eventf(runtime.Object, string, string, string, ...any) {}
func (s silence) WithLogger(klog.Logger) record.EventRecorderLogger   { return s }
func (s silence) NewRecorder(*runtime.Scheme, corev1.EventSource) record.EventRecorderLogger {
	return s
}
func (silence) AnnotatedEventf(runtime.Object, map[string]string, string, string, string, ...any) {}
