package serving

import (
	"fmt"

	"orrery/sim/plan"
	"orrery/sim/units"
)

// Sample is one value that a scrape finds.
type Sample struct {
	// Series numbers the time series: the same at every scrape, never given to another.
	Series  int
	Service string
	Replica string // "" = the service's router
	Name    string
	Labels  []Label // of the exporter itself, not the pod's; the caller must not change them
	Value   float64
}

// scraper hands samples on.
type scraper struct {
	take   func(Sample)
	sample Sample // service and replica
	series []series
	i      int
}

func (c *scraper) begin(service, replica string, of []series) {
	c.sample = Sample{Service: service, Replica: replica}
	c.series, c.i = of, 0
}

func (c *scraper) put(v float64) {
	s := &c.series[c.i]
	c.i++
	if s.hidden {
		return
	}
	c.sample.Series, c.sample.Name, c.sample.Labels, c.sample.Value = s.id, s.name, s.labels, v
	c.take(c.sample)
}

func (c *scraper) histogram(h *histogram) {
	if c.series[c.i].hidden {
		c.i += len(h.counts)
	} else {
		n := int64(0)
		for _, k := range h.counts {
			n += k
			c.put(float64(n))
		}
	}
	c.put(h.sum.Seconds())
	c.put(float64(h.n))
}

// Reexpose asks anew which metrics a scrape gives.
func (p *Plane) Reexpose() {
	if p.p.Exposed == nil {
		return
	}
	look := func(list []series) {
		for i := range list {
			list[i].hidden = !p.p.Exposed(list[i].name)
		}
	}
	for _, r := range p.replicas {
		look(r.metrics.series)
	}
	for _, s := range p.services {
		look(s.series)
	}
}

// Scrape gives what the servers of all replicas and the routers of all services expose at an instant, in a repeatable
// order and without allocating: of each server the names of its engine, of the routers those of the Gateway API
// inference extension. Rates that gauges hold are those since the last scrape.
func (p *Plane) Scrape(at units.Time, take func(Sample)) error {
	if err := p.Advance(at); err != nil {
		return err
	}
	p.scraper.take = take
	for _, s := range p.services {
		s.kvSum, s.waitingSum = 0, 0
	}
	for _, r := range p.replicas {
		r.advance()
		p.scrapeReplica(r)
	}
	for _, s := range p.services {
		p.scrapeRouter(s)
	}
	p.scraper.take = nil
	return p.Advance(at)
}

func (p *Plane) scrapeReplica(r *replica) {
	c, m, e := &p.scraper, &r.metrics, &r.Spec.Engine
	load := r.engine.Load()
	c.begin(r.svc.plan.Name, r.Name, m.series)
	used := 0.0
	if load.KVTokens > 0 {
		used = float64(load.KVUsed) / float64(load.KVTokens)
	}
	if !r.draining {
		r.svc.kvSum += used
		r.svc.waitingSum += load.Waiting
	}
	span := p.now.Sub(m.scrapedAt)
	v := &p.view
	*v = view{load: load, m: m, used: used, seconds: span.Seconds()}
	if e.BlockTokens > 0 {
		v.blocks = float64(load.KVTokens / int64(e.BlockTokens))
	}
	for i := range m.lines {
		if l := &m.lines[i]; l.times != nil {
			c.histogram(l.times(m))
		} else {
			c.put(l.value(v))
		}
	}
	m.busy = 0
	if span > 0 {
		m.busy = float64(load.Busy-m.scraped.Busy) / float64(span)
	}
	m.scraped, m.scrapedAt = load, p.now
	if c.i != len(c.series) {
		panic(fmt.Sprintf("serving: %d of %d series of replica %s scraped", c.i, len(c.series), r.Name))
	}
}

// Device returns the part of the time between the last two scrapes in which a replica's devices computed, and the
// memory that its server holds on each of them, MiB. ok is false when there is no such replica.
func (p *Plane) Device(replica string) (busy, memoryMiB float64, ok bool) {
	r := p.byName[replica]
	if r == nil {
		return 0, 0, false
	}
	e := &r.Spec.Engine
	if e.Preset != plan.EngineBatch {
		return r.busy, float64(e.MemoryUtilization * r.Spec.Device.MemoryMiB), true
	}
	if e.Batch != nil {
		memoryMiB = e.Batch.MemoryGiB * 1024
	}
	return r.busy, memoryMiB, true
}

func (p *Plane) scrapeRouter(s *service) {
	c := &p.scraper
	c.begin(s.plan.Name, "", s.series)
	ready := len(s.entry.ready) + len(s.decode.ready)
	each := 1 / float64(max(ready, 1))
	c.put(float64(s.routings))
	c.put(float64(s.turnedAway))
	c.put(float64(s.places[queued] + s.places[atReplica] + s.places[moving]))
	c.put(float64(s.kvSum * each))
	c.put(float64(float64(s.waitingSum) * each))
	c.put(float64(ready))
	c.put(float64(s.places[queued]))
}
