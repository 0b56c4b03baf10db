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
	Prices     []priceYAML           `yaml:"prices"`
	Energy     *energyYAML           `yaml:"energy"`
}

// builder collects files into a catalogue.
type builder struct {
	c        *Catalog
	gpus     *entries
	prices   map[string]int    // gpu, basis, provider, region → index
	priceAt  map[string]string // the same → file that gave it last
	problems []error
}

func newBuilder() *builder {
	return &builder{c: &Catalog{}, gpus: newEntries("GPU"), prices: map[string]int{}, priceAt: map[string]string{}}
}

func (b *builder) add(f File) {
	d := document{Doc: strict.Parse(f.Name, f.Data)}
	d.Decode(&d.y)
	if d.Err() == nil {
		for i, g := range d.y.GPUs {
			b.addGPU(d, fmt.Sprintf("gpus[%d]", i), g)
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
	b.c.byName = b.gpus.names()
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
