package sim

import (
	"orrery/sim/engine"
	"orrery/sim/policy/hpa"
	"orrery/sim/policy/keda"
	"orrery/sim/policy/metrics"
	"orrery/sim/units"
)

// metricsPath is the way of metrics from pods to controllers.
type metricsPath struct {
	store     *metrics.Store // nil in runs in which nothing is scraped
	exporters *exporters
	devices   *devices // nil when nobody asks what GPUs report
	usages    *usages  // nil when nobody reads resource metrics
}

// buildMetrics makes the metrics server, in runs that have something to scrape or somebody who asks for it.
func (c *cluster) buildMetrics() error {
	p := c.plan.Metrics
	wanted := c.parts.wantsUsage()
	devices := wantsDevices(c.plan)
	if len(c.plan.Services) == 0 && len(p.Custom)+len(p.External) == 0 && !wanted && !devices && !c.parts.scaledObjects() {
		return nil
	}
	var err error
	c.metrics.store, err = metrics.New(metrics.Options{Epoch: c.plan.Epoch, Now: c.engine.Now, Plan: p})
	if err != nil {
		return &InputError{err}
	}
	c.metrics.exporters = newExporters(c)
	if devices {
		c.metrics.devices = newDevices(c)
	}
	c.everySoOften("scrape", c.metrics.store.Interval(), func(at units.Time) {
		if c.services != nil {
			c.metrics.exporters.scrape(at)
		}
		if c.metrics.devices != nil {
			c.metrics.devices.scrape(at)
		}
	})
	if wanted {
		c.metrics.usages = &usages{c: c, seen: map[string]units.Time{}}
		c.everySoOften("usage of pods", c.metrics.store.Resolution(), c.metrics.usages.tell)
	}
	return nil
}

// wanted reports whether somebody can look at a metric of that name.
func (c *cluster) wanted(name string) bool {
	return c.metrics.store == nil || c.metrics.store.Wants(name)
}

// everySoOften calls fn at time zero and every d after it, before controllers act at the same instant: what they read
// then is fresh.
func (c *cluster) everySoOften(name string, d units.Duration, fn func(at units.Time)) {
	var turn func()
	turn = func() {
		if c.ended {
			return
		}
		now := c.engine.Now()
		fn(now)
		c.engine.Background(now.Add(d), engine.PhaseArrive, name, turn)
	}
	c.engine.Background(0, engine.PhaseArrive, name, turn)
}

// metricsAPIs are what the autoscalers read. The controllers that ask never run beside the driver: they are answered at
// once.
func (c *cluster) metricsAPIs() hpa.Metrics {
	switch {
	case c.p.metrics != nil:
		return c.p.metrics(c.engine.Clock)
	case c.metrics.store != nil:
		resource, custom, external := c.metrics.store.Clients(nil)
		return hpa.Metrics{Resource: resource, Custom: custom, External: external}
	}
	return hpa.NoMetrics()
}

// scaledObjects reports whether there is anything that KEDA acts on.
func (p *parts) scaledObjects() bool {
	for _, m := range p.manifests {
		if keda.IsScaledObject(m.object) {
			return true
		}
	}
	return false
}

// buildKEDA starts KEDA's operator when there are ScaledObjects.
func (c *cluster) buildKEDA() error {
	if !c.parts.scaledObjects() {
		return nil
	}
	var err error
	c.keda, err = keda.Start(keda.Params{Engine: c.engine, Store: c.store, Metrics: c.metrics.store,
		Scales: c.store.Scales(nil), Because: c.because, Record: c.record})
	return err
}

// closeKEDA stops what buildKEDA started.
func (c *cluster) closeKEDA() {
	if c.keda != nil {
		c.keda.Close()
	}
}
