package catalog

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"orrery/sim/strict"
)

// file is the YAML form of a catalogue file.
type file struct {
	APIVersion string                `yaml:"apiVersion" required:"true" enum:"orrery/v1"`
	Kind       string                `yaml:"kind" required:"true" enum:"Catalog"`
	Sources    map[string]sourceYAML `yaml:"sources"`
	GPUs       []gpuYAML             `yaml:"gpus"`
	Fabrics    []fabricYAML          `yaml:"fabrics"`
	Nodes      []nodeYAML            `yaml:"nodes"`
	Topologies []topologyYAML        `yaml:"topologies"`
	Prices     []priceYAML           `yaml:"prices"`
	Capex      []capexYAML           `yaml:"capex"`
	Energy     *energyYAML           `yaml:"energy"`
}

// builder collects files into a catalogue.
type builder struct {
	c                                *Catalog
	gpus, nodes, fabrics, topologies *entries
	prices                           []priced
	capexAt                          map[string]string // GPU and thing → file that gave it last
	problems                         []error
}

func newBuilder() *builder {
	return &builder{c: &Catalog{}, gpus: newEntries("GPU"), nodes: newEntries("node type"),
		fabrics: newEntries("fabric"), topologies: newEntries("topology"), capexAt: map[string]string{}}
}

func (b *builder) add(f File) {
	d := document{Doc: strict.Parse(f.Name, f.Data)}
	d.Decode(&d.y)
	if d.Err() == nil {
		for i, g := range d.y.GPUs {
			b.addGPU(d, fmt.Sprintf("gpus[%d]", i), g)
		}
		for i, f := range d.y.Fabrics {
			b.addFabric(d, fmt.Sprintf("fabrics[%d]", i), f)
		}
		for i, n := range d.y.Nodes {
			b.addNode(d, fmt.Sprintf("nodes[%d]", i), n)
		}
		for i, t := range d.y.Topologies {
			b.addTopology(d, fmt.Sprintf("topologies[%d]", i), t)
		}
		for i, c := range d.y.Capex {
			b.addCapex(d, fmt.Sprintf("capex[%d]", i), c)
		}
		for i, p := range d.y.Prices {
			b.addPrice(d, fmt.Sprintf("prices[%d]", i), p)
		}
		if d.y.Energy != nil {
			b.addEnergy(d)
		}
		b.checkDefaults(d)
	}
	if err := d.Err(); err != nil {
		b.problems = append(b.problems, err)
	}
}

func (b *builder) build() (*Catalog, error) {
	if err := errors.Join(b.problems...); err != nil {
		return nil, err
	}
	if b.c.Energy.PUE.Source == "" || b.c.Energy.USDPerKWh.Source == "" {
		return nil, errors.New("catalogue: energy.pue or energy.usdPerKWh is given by no file")
	}
	for i, n := range b.c.Nodes { // only now: a later file may have replaced the GPU
		if b.c.Nodes[i].Domain = min(b.c.GPUs[b.gpus.index[n.GPU]].Link.Domain(), n.GPUs); n.DomainGPUs != nil {
			b.c.Nodes[i].Domain = int(n.DomainGPUs.Value)
		}
	}
	for _, p := range b.prices {
		b.c.Prices = append(b.c.Prices, p.Price)
	}
	b.c.gpus, b.c.nodes = b.gpus.names(), b.nodes.names()
	b.c.fabrics, b.c.topologies = b.fabrics.names(), b.topologies.names()
	return b.c, nil
}

var (
	keyForm   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	labelForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`)
)

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
