// Package hpa runs the upstream controller of HorizontalPodAutoscalers.
//
// What decides is k8s.io/kubernetes/pkg/controller/podautoscaler as it is, with its own client of the three metrics
// APIs and one worker. What is replaced is its work queue (package workqueue), by one with the same rule: an autoscaler
// comes again one sync period after it was seen. Its looking again does not keep a run alive in which nothing else
// happens. Where it ranges over a map and tells what it met, it is asked so that the order is always the same.
//
// Its events are handed on: they say, in the controller's words, why it scaled and why it could not.
package hpa

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	autoscalingclient "k8s.io/client-go/kubernetes/typed/autoscaling/v2"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/scale"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
	resourceclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
	"k8s.io/metrics/pkg/client/custom_metrics"
	"k8s.io/metrics/pkg/client/external_metrics"

	"orrery/sim/engine"
	"orrery/sim/plan"
	"orrery/sim/policy/control"
	"orrery/sim/policy/workqueue"
)

// Defaults are kube-controller-manager's
// (k8s.io/kubernetes v1.37.2 pkg/controller/podautoscaler/config/v1alpha1/defaults.go).
var Defaults = plan.HPAFlags{SyncPeriod: 15 * time.Second, DownscaleStabilization: 5 * time.Minute,
	CPUInitialization: 5 * time.Minute, InitialReadiness: 30 * time.Second, Tolerance: 0.1}

// Metrics are the metrics APIs.
type Metrics struct {
	Resource resourceclient.PodMetricsesGetter      // metrics.k8s.io
	Custom   custom_metrics.CustomMetricsClient     // custom.metrics.k8s.io
	External external_metrics.ExternalMetricsClient // external.metrics.k8s.io
}

// Event is what the controller says of an autoscaler.
type Event struct {
	Autoscaler *autoscalingv2.HorizontalPodAutoscaler // to be read only
	Reason     string                                 // as events have it: ReasonRescaled, FailedGetPodsMetric …
	Message    string
}

// ReasonRescaled is the reason of the event that follows every change of a scale.
const ReasonRescaled = "SuccessfulRescale"

// Params is what the controller needs.
type Params struct {
	Engine *engine.Engine
	// Autoscalers and Scales reach the API through the engine's gate, which keeps the rate of each.
	Autoscalers autoscalingclient.HorizontalPodAutoscalersGetter
	Scales      scale.ScalesGetter
	Mapper      meta.RESTMapper
	// Informers must be told by events of the engine, one change per event, and hold finished pods, too.
	Informers informers.SharedInformerFactory
	// Metrics are read at once, without passing the gate.
	Metrics Metrics
	Flags   plan.HPAFlags
	// Told takes the controller's events, on the controller's goroutine while the driver waits. It may be nil.
	Told func(Event)
}

// Controller is the running controller.
type Controller struct {
	cancel context.CancelFunc
	queue  *workqueue.Queue[string]
	done   sync.WaitGroup
}

// Start builds and starts the controller. It must be called on the driver goroutine, inside the bubble, after the
// feature gates are set.
func Start(p Params) (*Controller, error) {
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), logr.Discard()))
	pods, err := indexedPods(p.Informers.Core().V1().Pods())
	if err != nil {
		cancel()
		return nil, fmt.Errorf("building the autoscalers' controller: %w", err)
	}
	f := p.Flags
	hc := podautoscaler.NewHorizontalController(ctx, noEvents{}, p.Scales, p.Autoscalers, p.Mapper,
		metrics.NewRESTMetricsClient(p.Metrics.Resource, p.Metrics.Custom, p.Metrics.External),
		p.Informers.Autoscaling().V2().HorizontalPodAutoscalers(), pods, f.SyncPeriod,
		f.DownscaleStabilization, f.Tolerance, f.CPUInitialization, f.InitialReadiness)
	c := &Controller{cancel: cancel, queue: workqueue.With(p.Engine, "hpa sync", workqueue.Options[string]{
		Limiter: podautoscaler.NewDefaultHPARateLimiter(f.SyncPeriod), BackgroundRetries: true, BackgroundDelays: true})}
	recorder := control.Recorder{Told: func(about runtime.Object, reason, message string) {
		if hpa, ok := about.(*autoscalingv2.HorizontalPodAutoscaler); ok && p.Told != nil {
			p.Told(Event{hpa, reason, message})
		}
	}}
	if err := errors.Join(control.SwapQueue(hc, "queue", c.queue),
		control.SwapRecorder(hc, "eventRecorder", recorder), orderSelectors(hc)); err != nil {
		cancel()
		return nil, err
	}
	c.done.Go(func() { hc.Run(ctx, 1) })
	return c, nil
}

// Close stops the controller. The engine must be drained afterwards.
func (c *Controller) Close() {
	c.cancel()
	c.queue.ShutDown()
}

// noEvents is where the broadcaster would send events that nobody gives it.
type noEvents struct{}

// Events implements corev1client.EventsGetter.
func (noEvents) Events(string) corev1client.EventInterface { return nil }

// Routine reports whether an error that the controller reports is a part of its normal life: what is wrong with an
// autoscaler or its metrics its conditions say, and what others changed meanwhile it sees at the next sync.
func Routine(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	for _, begin := range []string{"failed to compute desired number of replicas", "invalid metrics (",
		"failed to query scale subresource for ", "failed to rescale ", "invalid API version in scale target reference",
		"unable to determine resource for scale target reference", "failed to update status for ",
		"read version: "} {
		if strings.HasPrefix(text, begin) {
			return true
		}
	}
	return false
}
