package sim

import (
	corev1 "k8s.io/api/core/v1"

	"orrery/sim/engine"
	"orrery/sim/kube"
	"orrery/sim/plan"
	"orrery/sim/policy/cloud"
	"orrery/sim/units"
)

// ModelCards are the cards of a run of a plan.
var ModelCards = modelCards

// Watch has fn see every write of the API of a run.
func (p Params) Watch(fn func(kube.Commit)) Params {
	p.watch = fn
	return p
}

// Hands are what a test can do in a run that is about to begin.
type Hands struct {
	Engine *engine.Engine
	Store  *kube.Store
	c      *cluster
}

// Cloud returns the cloud as one kind of autoscaler sees it.
func (h Hands) Cloud(by string) cloud.Cloud { return h.c.cloud.of(by) }

// OnInterrupt has fn told of spot interruptions.
func (h Hands) OnInterrupt(fn func(cloud.Machine, units.Duration)) { h.c.cloud.onInterrupt(fn) }

// Start takes a pod that has just been bound through a cold start.
func (h Hands) Start(pod *corev1.Pod, spec plan.ReplicaStart, ready func()) {
	h.c.beginStart(pod, spec, ready)
}

// Check returns what is wrong with the fleet's books.
func (h Hands) Check() error { return h.c.fleet.Check() }

// Built has fn called before time begins.
func (p Params) Built(fn func(Hands)) Params {
	p.built = func(c *cluster) { fn(Hands{c.engine, c.store, c}) }
	return p
}
