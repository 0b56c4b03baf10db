package sim

import (
	"errors"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"orrery/sim/kube"
	"orrery/sim/plan"
	"orrery/sim/policy/control"
	"orrery/sim/policy/crt"
	"orrery/sim/policy/hpa"
	"orrery/sim/policy/workloads"
)

// controllers are kube-controller-manager's controllers of a run that keep pods running, and what they share.
type controllers struct {
	informers informers.SharedInformerFactory // nil when none of them is run
	workloads *workloads.Controllers
	hpa       *hpa.Controller
	sets      *crt.Manager // of LeaderWorkerSets; nil = they are mapped to pods
}

// buildControllers starts the upstream controllers that the run's services and manifests need.
func (c *cluster) buildControllers() error {
	if !c.needsControllers() {
		return nil
	}
	c.controllers.informers = c.store.InformerFactory(nil, kube.Deliver(c.deliver), kube.AllPods())
	var err error
	c.controllers.workloads, err = workloads.Start(workloads.Params{Engine: c.engine, Client: c.controllerClient,
		Informers: c.controllers.informers})
	if err != nil {
		return err
	}
	c.engine.OnSettled(c.scaled)
	if err := c.buildMetrics(); err != nil {
		return err
	}
	if err := c.buildSets(); err != nil {
		return err
	}
	if err := c.buildAutoscaler(); err != nil {
		return err
	}
	return c.buildKEDA()
}

// buildAutoscaler starts the controller of the HorizontalPodAutoscalers.
func (c *cluster) buildAutoscaler() error {
	gate := c.limited(control.DefaultQPS, control.DefaultBurst)
	cs, err := c.store.Clientset(gate)
	if err != nil {
		return err
	}
	flags := c.plan.Autoscalers.HPA
	if flags == (plan.HPAFlags{}) {
		flags = hpa.Defaults
	}
	c.controllers.hpa, err = hpa.Start(hpa.Params{Engine: c.engine,
		Autoscalers: c.store.Autoscalers(cs.AutoscalingV2(), gate),
		Scales:      c.store.Scales(c.limited(control.DefaultQPS, control.DefaultBurst)),
		Mapper:      c.store.RESTMapper(), Informers: c.controllers.informers, Metrics: c.metricsAPIs(), Flags: flags,
		Told: c.autoscaled})
	return err
}

// needsControllers reports whether there is anything that they act on.
func (c *cluster) needsControllers() bool {
	if len(c.plan.Services) > 0 || c.parts.scaledObjects() {
		return true
	}
	for _, m := range c.parts.manifests {
		switch m.object.(type) {
		case *appsv1.Deployment, *appsv1.ReplicaSet, *appsv1.StatefulSet, *autoscalingv2.HorizontalPodAutoscaler:
			return true
		}
	}
	return false
}

// controllerClient is the client of one of the controllers.
func (c *cluster) controllerClient() (kubernetes.Interface, error) {
	return c.store.Workloads(c.limited(control.DefaultQPS, control.DefaultBurst))
}

// stopped says which programs of controllers have stopped by themselves: what followed is no account of them.
func (c *cluster) stopped() error {
	var errs []error
	if c.karpenter != nil {
		errs = append(errs, c.karpenter.Err())
	}
	if c.controllers.sets != nil {
		errs = append(errs, c.controllers.sets.Err())
	}
	return errors.Join(errs...)
}

// closeControllers stops what buildControllers started.
func (c *cluster) closeControllers() {
	c.closeKEDA()
	if c.controllers.workloads != nil {
		c.controllers.workloads.Close()
	}
	if c.controllers.sets != nil {
		c.controllers.sets.Close()
	}
	if c.controllers.hpa != nil {
		c.controllers.hpa.Close()
	}
}
