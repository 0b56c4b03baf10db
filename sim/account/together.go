package account

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/units"
)

// together is what a live job of several pods knows of them.
type together struct {
	pods       []*pod     // created so far; nil once the job was placed, or where no topology is known
	firstBound units.Time // of any of its pods
	held       units.MilliGPU
	heldSince  units.Time
	heldT      units.Integral // device time owned before all were bound
	spans      []int32        // domains by layer when it was placed; nil = not known
	finest     int            // layer of which one domain held it then; −1 = none
}

// togetherBook is the account of jobs of several pods.
type togetherBook struct {
	gangs, placed int64
	gangWaits     []float64 // seconds, of gangs placed
	partly        []float64 // seconds, of all that were placed
	partlyJobs    int64
	any           bool // some such job had a pod bound
	heldT         units.Integral

	layers  []string // of the topology, coarse to fine
	jobs    int64    // placed, of known place
	ownedT  units.Integral
	within  []withinBook        // by layer
	domains map[string]struct{} // scratch
}

type withinBook struct {
	jobs, domains int64
	ownedT        units.Integral
}

func (f *Fold) topology(b journal.Topology) error {
	switch {
	case f.both.layers != nil:
		return errors.New("a second topology record")
	case len(f.nodes) > 0:
		return errors.New("a topology after the first node")
	}
	f.both.layers, f.both.within = b.Layers, make([]withinBook, len(b.Layers))
	f.both.domains = map[string]struct{}{}
	return nil
}

// joinJob makes the pod known to its job of several pods.
func (f *Fold) joinJob(p *pod) {
	if t := p.job.together; t != nil && p.job.placed == never && f.both.layers != nil {
		t.pods = append(t.pods, p)
	}
}

// hold books the device time that the pods of a partly placed job own, and changes how much that is.
func (f *Fold) hold(p *pod, amount units.MilliGPU) {
	if p.job == nil || p.job.together == nil || p.job.placed != never {
		return
	}
	p.job.together.settle(f.now)
	p.job.together.held += amount
}

func (t *together) settle(now units.Time) {
	t.heldT.Add(int64(t.held), now.Sub(t.heldSince))
	t.heldSince = now
}

// boundTogether notes that a pod of the job was bound.
func (f *Fold) boundTogether(j *job) {
	if t := j.together; t != nil && t.firstBound == never {
		t.firstBound = f.now
		f.both.any = true
	}
}

// placeTogether books that all pods of the job are bound: how long that took, and how far they are from each other.
func (f *Fold) placeTogether(j *job) {
	if j.Gang > 0 {
		f.both.placed++
		f.both.gangWaits = append(f.both.gangWaits, f.now.Sub(j.submit).Seconds())
	}
	t := j.together
	if t == nil || t.firstBound == never {
		return
	}
	t.settle(f.now)
	t.held = 0
	f.both.heldT = f.both.heldT.Plus(t.heldT)
	span := f.now.Sub(t.firstBound)
	f.both.partly = append(f.both.partly, span.Seconds())
	if span > 0 {
		f.both.partlyJobs++
	}
	t.spans = f.spans(t.pods)
	t.pods = nil
	for l, n := range t.spans {
		if n == 1 {
			t.finest = l
		}
	}
}

// spans counts the domains of each layer in which the pods are; nil when that is not known of all of them.
func (f *Fold) spans(pods []*pod) []int32 {
	if f.both.layers == nil {
		return nil
	}
	out := make([]int32, len(f.both.layers))
	for l := range out {
		clear(f.both.domains)
		for _, p := range pods {
			if p.node == nil || p.phase != "" {
				continue
			}
			if len(p.node.domains) != len(out) {
				return nil
			}
			name := p.node.domains[l]
			if name == "" {
				name = "\x00" + p.node.name // in none: as far from the others as can be
			}
			f.both.domains[name] = struct{}{}
		}
		if out[l] = int32(len(f.both.domains)); out[l] == 0 {
			return nil
		}
	}
	return out
}

// leaveTogether books a job that is over, or whose run is.
func (f *Fold) leaveTogether(j *job) {
	t := j.together
	if t == nil {
		return
	}
	if j.placed == never {
		t.settle(f.now)
		if t.heldT != (units.Integral{}) {
			f.both.partlyJobs++
		}
		f.both.heldT = f.both.heldT.Plus(t.heldT)
	}
	if t.spans == nil {
		return
	}
	f.both.jobs++
	f.both.ownedT = f.both.ownedT.Plus(j.ownedT)
	for l, n := range t.spans {
		w := &f.both.within[l]
		w.domains += int64(n)
		if n == 1 {
			w.jobs++
			w.ownedT = w.ownedT.Plus(j.ownedT)
		}
	}
}

// place writes where the job was when it was placed: the finest layer of which one domain held it, and its domains.
func (f *Fold) place(j *job) (layer, spans string) {
	if j.together == nil || j.together.spans == nil {
		return "", ""
	}
	if j.together.finest >= 0 {
		layer = f.both.layers[j.together.finest]
	}
	var parts []string
	for l, n := range j.together.spans {
		parts = append(parts, f.both.layers[l]+"="+strconv.Itoa(int(n)))
	}
	return layer, strings.Join(parts, ",")
}

func (f *Fold) gangsResult() *result.Gangs {
	b := &f.both
	if b.gangs == 0 {
		return nil
	}
	return &result.Gangs{Jobs: b.gangs, Placed: b.placed, NeverPlaced: b.gangs - b.placed,
		Wait: distribution(slices.Clone(b.gangWaits))}
}

func (f *Fold) partlyPlacedResult() *result.PartlyPlaced {
	b := &f.both
	if !b.any {
		return nil
	}
	return &result.PartlyPlaced{Jobs: b.partlyJobs, Seconds: distribution(slices.Clone(b.partly)),
		GPUHours: b.heldT.GPUHours()}
}

func (f *Fold) localityResult() *result.Locality {
	b := &f.both
	if b.layers == nil || b.jobs == 0 {
		return nil
	}
	out := &result.Locality{Jobs: b.jobs, GPUHours: b.ownedT.GPUHours(), LayerNames: b.layers,
		Layers: map[string]result.LayerLocality{}}
	for l, w := range b.within {
		out.Layers[b.layers[l]] = result.LayerLocality{WithinJobs: w.jobs,
			WithinFraction: float64(w.jobs) / float64(b.jobs), WithinGPUHours: w.ownedT.GPUHours(),
			WithinGPUShare: fraction(w.ownedT, b.ownedT), DomainsMean: float64(w.domains) / float64(b.jobs)}
	}
	return out
}

// checkDomains holds that a node names a domain of each layer, or none at all.
func (f *Fold) checkDomains(b journal.Node) error {
	if n := len(b.Domains); n != 0 && n != len(f.both.layers) {
		return fmt.Errorf("node %s names %d domains of %d layers", b.Node, n, len(f.both.layers))
	}
	return nil
}

// layerTable adds the nodes' books up by the domains they are in.
func (f *Fold) layerTable(nodes []*node, heatBins int) []result.Layer {
	var out []result.Layer
	for l, name := range f.both.layers {
		if f.places.kind(name) == nodeKind {
			continue // the nodes have a table of their own
		}
		byName := newGroup[string, *domain]()
		for _, n := range nodes {
			if len(n.domains) > l && n.domains[l] != "" {
				byName.get(n.domains[l], func(int) *domain { return &domain{name: n.domains[l]} }).add(n, &f.heat)
			}
		}
		layer := result.Layer{Name: name}
		for _, d := range byName.list {
			layer.Domains = append(layer.Domains, result.Domain{Name: d.name, Nodes: d.nodes, GPUs: d.gpus,
				CapHours: d.capT.GPUHours(), UsedHours: d.usedT.GPUHours(), DownHours: d.downT.GPUHours(),
				Heat: f.heat.result(&d.heat, heatBins)})
		}
		slices.SortFunc(layer.Domains, func(a, b result.Domain) int { return compareNatural(a.Name, b.Name) })
		out = append(out, layer)
	}
	return out
}

// domain is a domain's book: the sum of its nodes'.
type domain struct {
	name               string
	nodes              int
	gpus               int64
	capT, usedT, downT units.Integral
	heat               heatRow
}

func (d *domain) add(n *node, scale *heatScale) {
	d.nodes++
	d.gpus += int64(n.peak)
	d.capT, d.usedT, d.downT = d.capT.Plus(n.capT), d.usedT.Plus(n.usedT), d.downT.Plus(n.downT)
	n.heat.widen(scale.level)
	d.heat.widen(scale.level)
	for i, c := range n.heat.cells {
		if i == len(d.heat.cells) {
			d.heat.cells = append(d.heat.cells, heatCell{})
		}
		d.heat.cells[i].used += c.used
		d.heat.cells[i].cap += c.cap
	}
}

// compareNatural orders names with numbers in them as people do: leaf-9 before leaf-10.
func compareNatural(a, b string) int {
	for a != "" && b != "" {
		na, nb := leadingDigits(a), leadingDigits(b)
		if na > 0 && nb > 0 {
			x, y := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if c := strings.Compare(x, y); c != 0 {
				return c
			}
			a, b = a[na:], b[nb:]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func leadingDigits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
