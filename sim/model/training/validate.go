package training

import (
	_ "embed"
	"fmt"
	"math"
	"sync"

	"orrery/sim/catalog"
	"orrery/sim/plan"
	"orrery/sim/strict"
)

//go:embed validation.yaml
var validationYAML []byte

type validationFile struct {
	Sources map[string]struct {
		Title string `yaml:"title" required:"true"`
		Date  string `yaml:"date"`
	} `yaml:"sources" required:"true"`
	Rows []row `yaml:"rows" required:"true"`
}

// row is a published speed and how it was run.
type row struct {
	ID          string  `yaml:"id"`
	Model       string  `yaml:"model" required:"true"`
	GPU         string  `yaml:"gpu" required:"true"`
	GPUs        int     `yaml:"gpus" required:"true" min:"1"`
	Precision   string  `yaml:"precision" required:"true" enum:"bf16|fp8|fp4"`
	Tensor      int     `yaml:"tensor" min:"1"`
	Pipeline    int     `yaml:"pipeline" min:"1"`
	Stages      int     `yaml:"stages" min:"1"`
	Context     int     `yaml:"context" min:"1"`
	Expert      int     `yaml:"expert" min:"1"`
	Sharding    string  `yaml:"sharding" required:"true" enum:"none|optimizer|full"`
	Recompute   string  `yaml:"recompute" required:"true" enum:"none|selective|full"`
	Sequence    int     `yaml:"sequence" required:"true" min:"1"`
	MicroBatch  int     `yaml:"microBatch" required:"true" min:"1"`
	GlobalBatch int     `yaml:"globalBatch" required:"true" min:"1"`
	NICGBs      float64 `yaml:"nicGBs" required:"true" min:"0"`
	LinkGBs     float64 `yaml:"linkGBs" min:"0"`
	Published   float64 `yaml:"published" required:"true" min:"0"`
	Source      string  `yaml:"source" required:"true"`
	Use         string  `yaml:"use" required:"true" enum:"fit|held"`
	Note        string  `yaml:"note"`

	model plan.Model
	gpu   *plan.Accelerator
}

// SetDefaults fills in groups of one.
func (r *row) SetDefaults() { r.Tensor, r.Pipeline, r.Stages, r.Context, r.Expert = 1, 1, 1, 1, 1 }

// validation is the embedded rows, read once; an error in them is a broken invariant that a test finds first.
var validation = sync.OnceValue(func() *validationFile {
	d := strict.Parse("training/validation.yaml", validationYAML)
	var f validationFile
	d.Decode(&f)
	cat, err := catalog.Load()
	if err != nil {
		panic(fmt.Sprintf("training: %v", err))
	}
	for i := range f.Rows {
		f.Rows[i].resolve(d, fmt.Sprintf("rows[%d]", i), cat)
	}
	if err := d.Err(); err != nil {
		panic(fmt.Sprintf("training: %v", err))
	}
	return &f
})

// gpusPerNode is the GPUs of a node of the systems in the table: trays of a rack-scale domain have 4, all others 8.
func gpusPerNode(g catalog.GPU) int {
	if g.Link.Domain() > 8 {
		return 4
	}
	return 8
}

func (r *row) resolve(d *strict.Doc, path string, cat *catalog.Catalog) {
	m, err := Lookup(r.Model)
	if err != nil {
		d.Problemf(path+".model", "%v", err)
		return
	}
	g, err := cat.Lookup(r.GPU)
	if err != nil {
		d.Problemf(path+".gpu", "%v", err)
		return
	}
	a, err := Accelerator(g, Host{PerNode: gpusPerNode(g), NICGBs: r.NICGBs})
	if err != nil {
		d.Problemf(path+".gpu", "%v", err)
		return
	}
	if r.LinkGBs > 0 {
		a.LinkGBs, a.GPU = r.LinkGBs, a.GPU+"-cut"
	}
	r.model, r.gpu = m, a
}

func (r *row) training() *plan.Training {
	return &plan.Training{Name: r.Model, Model: &r.model, Sequence: r.Sequence, GlobalBatch: r.GlobalBatch,
		MicroBatch: r.MicroBatch, Tensor: r.Tensor, Pipeline: r.Pipeline, Stages: r.Stages, Context: r.Context,
		Expert: r.Expert, Precision: r.Precision, Sharding: r.Sharding, Recompute: r.Recompute}
}

// predict returns the step and tokens per second and GPU.
func (r *row) predict(par parameters) (Step, float64) {
	var in Placement
	if r.gpu.LinkGPUs > r.gpu.PerNode {
		in.Layers = []Layer{{Name: "nvlink", GPUs: r.gpu.LinkGPUs, ScaleUp: true}}
	}
	t := r.training()
	s, _ := step(t, ideal(r.GPUs, r.gpu, in), r.gpu, par)
	j := newJob(t, r.GPUs, r.gpu, par)
	return s, j.tokensPerStep() / float64(r.GPUs) / s.Total()
}

// off is the relative error of a prediction.
func off(predicted, published float64) float64 { return predicted/published - 1 }

// group of rows whose error is reported together.
func (r *row) moe() bool { return r.model.Experts > 0 }

// mean is the mean absolute and the mean signed error of the rows that a filter takes.
func mean(par parameters, take func(*row) bool) (absolute, signed float64, n int) {
	rows := validation().Rows
	for i := range rows {
		r := &rows[i]
		if !take(r) {
			continue
		}
		_, got := r.predict(par)
		e := off(got, r.Published)
		absolute += math.Abs(e)
		signed += e
		n++
	}
	return absolute / float64(max(n, 1)), signed / float64(max(n, 1)), n
}
