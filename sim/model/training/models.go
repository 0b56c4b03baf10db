package training

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"orrery/sim/plan"
	"orrery/sim/strict"
)

//go:embed models.yaml
var modelsYAML []byte

type modelsFile struct {
	Models []Shape `yaml:"models" required:"true"`
}

// Shape is a model as it is written in YAML.
type Shape struct {
	Name       string  `yaml:"name" required:"true"`
	Params     float64 `yaml:"params" required:"true" min:"1000000"`
	Layers     int     `yaml:"layers" required:"true" min:"1"`
	Hidden     int     `yaml:"hidden" required:"true" min:"64"`
	Query      int     `yaml:"query" min:"0"`
	KV         int     `yaml:"kv" min:"0"`
	Vocabulary int     `yaml:"vocabulary" min:"0"`
	Tied       bool    `yaml:"tied"`
	Experts    int     `yaml:"experts" min:"0"`
	TopK       int     `yaml:"topK" min:"0"`
	ExpertFFN  int     `yaml:"expertFFN" min:"0"`
	MoELayers  int     `yaml:"moeLayers" min:"0"`
	Head       int     `yaml:"head" min:"0"`
	Latent     bool    `yaml:"latent"`
	Window     int     `yaml:"window" min:"0"`
	Windowed   int     `yaml:"windowLayers" min:"0"`
	Context    int     `yaml:"context" min:"0"`
	Kernels    string  `yaml:"kernels" enum:"|none|flash1"`
	Source     string  `yaml:"source" required:"true"`
}

// expertMatrices are the matrices of a gated feed-forward network: up, gate and down.
const expertMatrices = 3

// Model fills in what the shape leaves out.
func (s Shape) Model() plan.Model {
	m := plan.Model{Name: s.Name, Params: s.Params, Active: s.Params, Layers: s.Layers, Hidden: s.Hidden,
		Query: s.Query, KV: s.KV, Vocabulary: s.Vocabulary, Tied: s.Tied, Experts: s.Experts, TopK: s.TopK,
		ExpertWidth: s.ExpertFFN, MoELayers: s.MoELayers, Head: s.Head, Latent: s.Latent, Window: s.Window,
		WindowLayers: s.Windowed, Context: s.Context, Kernels: s.Kernels, Source: s.Source}
	if m.Query == 0 {
		m.Query = m.Hidden
	}
	if m.KV == 0 {
		m.KV = m.Query
	}
	if m.Experts > 0 {
		one := float64(expertMatrices * s.Hidden * s.ExpertFFN)
		m.ExpertParams = one * float64(s.Experts*s.MoELayers)
		m.Active -= float64(one * float64((s.Experts-s.TopK)*s.MoELayers))
	}
	return m
}

// models are the embedded models, read once; an error in them is a broken invariant that a test finds first.
var models = sync.OnceValue(func() []plan.Model {
	d := strict.Parse("training/models.yaml", modelsYAML)
	var f modelsFile
	d.Decode(&f)
	if err := d.Err(); err != nil {
		panic(fmt.Sprintf("training: %v", err))
	}
	out := make([]plan.Model, len(f.Models))
	for i, s := range f.Models {
		out[i] = s.Model()
	}
	return out
})

// Models returns the known models in the order of models.yaml.
func Models() []plan.Model { return slices.Clone(models()) }

// Lookup returns a model by name; upper and lower case are the same. The error suggests names.
func Lookup(name string) (plan.Model, error) {
	var names []string
	for _, m := range models() {
		if strings.EqualFold(m.Name, name) {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return plan.Model{}, fmt.Errorf("no model %q; %s", name, strict.Suggest(name, names))
}

// shape reads a model: what the formulas need of it.
type shape struct{ *plan.Model }

func (m shape) experts() bool { return m.Experts > 0 }

// embeddings is the parameters of the input and output embedding.
func (m shape) embeddings() float64 {
	one := float64(float64(m.Vocabulary) * float64(m.Hidden))
	if m.Tied {
		return one
	}
	return float64(2 * one)
}

// layerParams is the parameters of one layer that a token is multiplied with: outside and inside experts.
func (m shape) layerParams() (dense, expert float64) {
	dense = (m.Params - m.ExpertParams - m.embeddings()) / float64(m.Layers)
	if m.experts() {
		expert = m.ExpertParams / float64(m.Layers) * float64(m.TopK) / float64(m.Experts)
	}
	return dense, expert
}

// headSize is that of nearly all models since GPT-3; it matters only for attention without a fused kernel.
const headSize = 128

func (m shape) heads() float64 { return float64(m.Query) / headSize }
