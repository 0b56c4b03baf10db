package mig

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"sync"

	"orrery/sim/strict"
)

//go:embed geometries.yaml
var embedded []byte

type file struct {
	Sources    map[string]string `yaml:"sources" required:"true"`
	Shapes     []shape           `yaml:"shapes" required:"true"`
	Geometries []geometry        `yaml:"geometries" required:"true"`
}

type shape struct {
	Name          string  `yaml:"name" required:"true"`
	MemorySlices  int     `yaml:"memorySlices" required:"true" min:"1" max:"64"`
	ComputeSlices int     `yaml:"computeSlices" required:"true" min:"1" max:"64"`
	Classes       []class `yaml:"classes" required:"true"`
}

type class struct {
	Name    string `yaml:"name" required:"true"`
	ID      int    `yaml:"id" required:"true" min:"0" max:"1000"`
	Compute int    `yaml:"compute" required:"true" min:"1" max:"64"`
	Slices  int    `yaml:"slices" required:"true" min:"1" max:"64"`
	Starts  []int  `yaml:"starts" required:"true"`
	Max     int    `yaml:"max" required:"true" min:"1" max:"64"`
}

type geometry struct {
	GPUs       []string      `yaml:"gpus" required:"true"`
	Shape      string        `yaml:"shape" required:"true"`
	Source     string        `yaml:"source" required:"true"`
	Confidence string        `yaml:"confidence" required:"true" enum:"high|medium|low"`
	Limited    []string      `yaml:"limited"`
	Profiles   []profileYAML `yaml:"profiles" required:"true"`
}

type profileYAML struct {
	Class     string   `yaml:"class" required:"true"`
	Name      string   `yaml:"name" required:"true"`
	MemoryGiB float64  `yaml:"memoryGiB" min:"0" max:"4096"`
	SMs       int      `yaml:"sms" min:"0" max:"1024"`
	Engines   *Engines `yaml:"engines,omitempty"`
}

// engines are the kinds of engines by the names that nvidia-smi's columns have.
var engines = map[string]func(Engines) int{
	"dec":  func(e Engines) int { return e.Decoders },
	"enc":  func(e Engines) int { return e.Encoders },
	"jpeg": func(e Engines) int { return e.JPEG },
	"ofa":  func(e Engines) int { return e.OFA },
}

// all are the embedded geometries by GPU. A bad embedded file is a broken build, which a test finds.
var all = sync.OnceValue(func() map[string]*Geometry {
	m, err := load("mig/geometries.yaml", embedded)
	if err != nil {
		panic(fmt.Sprintf("mig: %v", err))
	}
	return m
})

// Lookup returns the geometry of a GPU by its catalogue key; ok is false when it cannot be partitioned. The geometry is
// shared: read only.
func Lookup(gpu string) (g *Geometry, ok bool) {
	g, ok = all()[gpu]
	return g, ok
}

// GPUs returns the catalogue keys of all GPUs that can be partitioned, sorted.
func GPUs() []string { return slices.Sorted(maps.Keys(all())) }

func load(name string, data []byte) (map[string]*Geometry, error) {
	d := strict.Parse(name, data)
	var f file
	d.Decode(&f)
	if err := d.Err(); err != nil {
		return nil, err
	}
	out := map[string]*Geometry{}
	for i, y := range f.Geometries {
		path := fmt.Sprintf("geometries[%d]", i)
		g := build(d, f, path, y)
		for _, key := range y.GPUs {
			if out[key] != nil {
				d.Problemf(path+".gpus", "%s has a geometry already; keep one", key)
			}
			out[key] = g
		}
	}
	return out, d.Err()
}

func build(d *strict.Doc, f file, path string, y geometry) *Geometry {
	at := slices.IndexFunc(f.Shapes, func(s shape) bool { return s.Name == y.Shape })
	if at < 0 || f.Sources[y.Source] == "" {
		d.Problemf(path, "shape %q or source %q is not in this file; add it above", y.Shape, y.Source)
		return nil
	}
	s := f.Shapes[at]
	g := &Geometry{MemorySlices: s.MemorySlices, ComputeSlices: s.ComputeSlices, Source: f.Sources[y.Source],
		Confidence: y.Confidence, limited: y.Limited}
	if len(y.Profiles) != len(s.Classes) {
		d.Problemf(path+".profiles", "%d profiles for the %d of shape %s; name each once, in its order",
			len(y.Profiles), len(s.Classes), s.Name)
		return g
	}
	for i, p := range y.Profiles {
		at, c := fmt.Sprintf("%s.profiles[%d]", path, i), s.Classes[i]
		if p.Class != c.Name {
			d.Problemf(at, "class %q where shape %s has %q; keep its order", p.Class, s.Name, c.Name)
		}
		if p.Engines == nil && y.Limited != nil {
			d.Problemf(at, "no engines, though some are limited; add them or remove limited")
		}
		g.Profiles = append(g.Profiles, Profile{Name: p.Name, ID: c.ID, Compute: c.Compute, Slices: c.Slices,
			Starts: c.Starts, Max: c.Max, MemoryMiB: int64(float64(p.MemoryGiB*16)+0.5) * 64, SMs: p.SMs, Engines: p.Engines})
	}
	for _, e := range y.Limited {
		if engines[e] == nil {
			d.Problemf(path+".limited", "unknown engine %q; write dec, enc, jpeg or ofa", e)
		}
	}
	return g
}
