package karpenter

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"orrery/sim/engine"
	"orrery/sim/plan"
	"orrery/sim/policy/cloud"
)

// Interrupt tells Karpenter that the cloud takes a machine back. It must be called on the driver goroutine.
func (c *Controller) Interrupt(m cloud.Machine) {
	p := c.provider
	p.mu.Lock()
	nc := p.claims[m.ID]
	p.mu.Unlock()
	if nc == nil {
		return
	}
	p.unavailable(market{m.InstanceType, cmp.Or(m.Zone, unzoned), plan.CapacitySpot})
	c.mu.Lock()
	c.interrupted[nc.Name] = true
	c.mu.Unlock()
	go func() {
		// It is gone already when this fails.
		_ = c.m.GetClient().Delete(c.m.Context(), &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: nc.Name}})
	}()
}

// why says why a machine is terminated, in Karpenter's words where it has some.
func (c *Controller) why(nc *v1.NodeClaim) string {
	c.mu.Lock()
	interrupted := c.interrupted[nc.Name]
	delete(c.interrupted, nc.Name)
	c.mu.Unlock()
	disrupted := nc.StatusConditions().Get(v1.ConditionTypeDisruptionReason)
	age := c.e.Clock().Sub(nc.CreationTimestamp.Time)
	if nc.DeletionTimestamp != nil {
		age = nc.DeletionTimestamp.Sub(nc.CreationTimestamp.Time)
	}
	after := nc.Spec.ExpireAfter.Duration
	switch {
	case interrupted:
		return "SpotInterrupted"
	case disrupted.IsTrue():
		return disrupted.Reason
	case after != nil && age >= *after:
		return "Expired"
	case !nc.StatusConditions().Get(v1.ConditionTypeRegistered).IsTrue():
		return "not registered in time"
	}
	return "Deleted"
}

// tries is how many launches in a row may fail for want of stock before a run that waits for nothing else ends: they
// are three minutes and more apart.
const tries = 480

// failed is told of a launch that failed because all its offerings are out of stock, with the pools that they are of,
// and with nil of one that succeeded. As long as an offering will be tried again of which there will be one, the run
// goes on.
func (c *Controller) failed(err error, pools []string) {
	if err == nil {
		c.failures = 0
		return
	}
	if c.failures++; c.failures > tries || c.promised != nil && !slices.ContainsFunc(pools, c.promised) {
		return
	}
	// The pods of a failed launch are looked at every ten seconds (pkg/controllers/provisioning/controller.go).
	at := c.e.Now().Add(ice + 12*time.Second)
	c.e.Cancel(c.hold)
	c.hold = c.e.At(at, engine.PhaseSample, "karpenter: out of stock", func() {})
}

// Forget drops what is remembered of an object that is gone. Driver only.
func (c *Controller) Forget(obj runtime.Object) { c.recorder.forget(nameOf(obj)) }
