package sim

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"orrery/sim/policy/metrics"
	"orrery/sim/serving"
	"orrery/sim/units"
)

// exporters are the targets of the metrics server: replicas, each by its (first) pod, and the routers of services.
type exporters struct {
	c     *cluster
	pages map[exporter]*metricsPage
	page  *metricsPage // that samples go to
	at    units.Time
	known uint64 // queries when it was last asked which metrics they need
}

// exporter names a target as the plane does.
type exporter struct{ service, replica string }

// metricsPage is what a target shows.
type metricsPage struct {
	of      exporter
	target  *metrics.Target
	samples []metrics.Sample
	series  []int // of samples, the plane's numbers
	n       int   // samples of this scrape; those behind them are of the last one
	seen    units.Time
}

func newExporters(c *cluster) *exporters {
	return &exporters{c: c, pages: map[exporter]*metricsPage{}}
}

// scrape reads every page. A target that the plane shows no more has gone.
func (x *exporters) scrape(at units.Time) {
	x.page, x.at = nil, at
	if n := x.c.metrics.store.Learned(); n != x.known {
		x.known = n
		x.c.services.plane.Reexpose()
	}
	x.c.fallible(x.c.services.plane.Scrape(at, x.take))
	x.flush()
	var gone []*metricsPage
	for _, p := range x.pages {
		if p.seen != at {
			gone = append(gone, p)
		}
	}
	slices.SortFunc(gone, func(a, b *metricsPage) int {
		return strings.Compare(a.of.service+"/"+a.of.replica, b.of.service+"/"+b.of.replica)
	})
	for _, p := range gone {
		x.c.metrics.store.Remove(at, p.target)
		delete(x.pages, p.of)
	}
}

// take adds a sample to the page of its target. The samples of a target come together.
func (x *exporters) take(s serving.Sample) {
	if of := (exporter{s.Service, s.Replica}); x.page == nil || x.page.of != of {
		x.flush()
		x.page = x.pageOf(of)
	}
	p := x.page
	if p.n < len(p.series) && p.series[p.n] == s.Series { // as at the last scrape
		p.samples[p.n].Value = s.Value
		p.n++
		return
	}
	p.samples, p.series = p.samples[:p.n], p.series[:p.n]
	var labels []metrics.Label
	for _, l := range s.Labels {
		labels = append(labels, metrics.Label{Name: l.Name, Value: l.Value})
	}
	p.samples = append(p.samples, metrics.Sample{Name: s.Name, Labels: labels, Value: s.Value})
	p.series = append(p.series, s.Series)
	p.n++
}

// flush stores the page that is complete.
func (x *exporters) flush() {
	if p := x.page; p != nil {
		if p.target != nil {
			x.c.metrics.store.Scrape(x.at, p.target, p.samples[:p.n])
		}
		p.n = 0
	}
	x.page = nil
}

// pageOf returns the page of a target, a new one for one that has come. A pod's series are labelled as a PodMonitor of
// the Prometheus operator does it; service is the service of the scenario.
func (x *exporters) pageOf(of exporter) *metricsPage {
	p := x.pages[of]
	if p == nil {
		p = &metricsPage{of: of}
		x.pages[of] = p
		o := metrics.TargetOptions{Labels: []metrics.Label{{Name: "job", Value: of.service + "-router"},
			{Name: "service", Value: of.service}, {Name: "namespace", Value: x.namespace(of.service)}}}
		if of.replica != "" {
			o = x.pod(of)
		}
		var err error
		p.target, err = x.c.metrics.store.Target(o)
		x.c.fallible(err)
	}
	p.seen = x.at
	return p
}

// namespace returns the namespace of a service.
func (x *exporters) namespace(service string) string {
	for i := range x.c.plan.Services {
		if s := &x.c.plan.Services[i]; s.Name == service {
			return s.Namespace
		}
	}
	return ""
}

// pod describes the pod of a replica.
func (x *exporters) pod(of exporter) metrics.TargetOptions {
	namespace, name, _ := strings.Cut(of.replica, "/")
	o := metrics.TargetOptions{Pod: metrics.Pod{Namespace: namespace, Name: name}, Labels: []metrics.Label{
		{Name: "job", Value: of.service}, {Name: "service", Value: of.service}, {Name: "namespace", Value: namespace},
		{Name: "pod", Value: name}}}
	if obj, err := x.c.store.Get(podsResource, namespace, name); err == nil {
		pod := obj.(*corev1.Pod)
		o.Pod.Labels = pod.Labels
		o.Labels = append(o.Labels, metrics.Label{Name: "node", Value: pod.Spec.NodeName},
			metrics.Label{Name: "container", Value: pod.Spec.Containers[0].Name})
	}
	return o
}
