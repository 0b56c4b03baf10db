package serving

import (
	_ "embed"
	"fmt"
	"math"
	"sync"

	"orrery/sim/catalog"
	"orrery/sim/model/training"
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
	Shapes    []lengths `yaml:"shapes" required:"true"`
	Load      []row     `yaml:"load" required:"true"`
	Sweep     []row     `yaml:"sweep" required:"true"`
	System    []row     `yaml:"system" required:"true"`
	Iteration []row     `yaml:"iteration" required:"true"`
}

type lengths struct {
	Input    int `yaml:"input" required:"true" min:"1"`
	Output   int `yaml:"output" required:"true" min:"1"`
	Requests int `yaml:"requests" required:"true" min:"1"`
}

// row is one replica and what was published of it.
type row struct {
	ID        string `yaml:"id"`
	Model     string `yaml:"model" required:"true"`
	Precision string `yaml:"precision" required:"true" enum:"bf16|fp8|fp4"`
	GPU       string `yaml:"gpu" required:"true"`
	Tensor    int    `yaml:"tensor" min:"1"`
	Pipeline  int    `yaml:"pipeline" min:"1"`
	Expert    int    `yaml:"expert" min:"1"`
	Source    string `yaml:"source" required:"true"`
	Use       string `yaml:"use" required:"true" enum:"fit|held|unseen"`
	Note      string `yaml:"note"`

	Rates []float64 `yaml:"rates"`                 // load, tokens per second
	Cache float64   `yaml:"cache" min:"0" max:"1"` // load, part of free memory; 0 = publishedCache

	Input  int     `yaml:"input" min:"0"` // sweep, system
	Output int     `yaml:"output" min:"0"`
	Points []sweep `yaml:"points"`

	Replicas int     `yaml:"replicas" min:"0"` // system
	Rate     float64 `yaml:"rate" min:"0"`     // of all replicas, tokens per second

	Batch   int     `yaml:"batch" min:"0"` // iteration
	Context int     `yaml:"context" min:"0"`
	Prompt  int     `yaml:"prompt" min:"0"`
	Seconds float64 `yaml:"seconds" min:"0"`

	spec Spec
}

type sweep struct {
	Clients int     `yaml:"clients" required:"true" min:"1"`
	TTFT    float64 `yaml:"ttft" required:"true" min:"0"` // ms
	ITL     float64 `yaml:"itl" required:"true" min:"0"`  // ms
	Rate    float64 `yaml:"rate" required:"true" min:"0"` // tokens per second
}

// SetDefaults fills in groups of one.
func (r *row) SetDefaults() { r.Tensor, r.Pipeline, r.Expert = 1, 1, 1 }

// validation is the embedded rows, read once; an error in them is a broken invariant that a test finds first.
var validation = sync.OnceValue(func() *validationFile {
	d := strict.Parse("serving/validation.yaml", validationYAML)
	var f validationFile
	d.Decode(&f)
	cat, err := catalog.Load()
	if err != nil {
		panic(fmt.Sprintf("serving: %v", err))
	}
	for _, part := range []struct {
		name string
		rows []row
	}{{"load", f.Load}, {"sweep", f.Sweep}, {"system", f.System}, {"iteration", f.Iteration}} {
		for i := range part.rows {
			part.rows[i].resolve(d, fmt.Sprintf("%s[%d]", part.name, i), cat)
		}
	}
	if err := d.Err(); err != nil {
		panic(fmt.Sprintf("serving: %v", err))
	}
	return &f
})

// publishedCache is the part of free memory that the runs of the load table gave the KV cache in many cases (perf-
// overview.md as cited in validation.yaml); the checkpoints of NVIDIA in fp8 and fp4 keep the cache in fp8.
const publishedCache = 0.95

func (r *row) resolve(d *strict.Doc, path string, cat *catalog.Catalog) {
	m, err := training.Lookup(r.Model)
	if err != nil {
		d.Problemf(path+".model", "%v", err)
		return
	}
	g, err := cat.Lookup(r.GPU)
	if err != nil {
		d.Problemf(path+".gpu", "%v", err)
		return
	}
	a, err := training.Accelerator(g, training.Host{PerNode: 8, NICGBs: 50})
	if err != nil {
		d.Problemf(path+".gpu", "%v", err)
		return
	}
	e, err := Preset(plan.EngineTRTLLM, &m, *a)
	if err != nil {
		d.Problemf(path, "%v", err)
		return
	}
	if e.Precision = r.Precision; len(r.Rates) > 0 {
		e.CacheFraction = publishedCache
		if r.Cache > 0 {
			e.CacheFraction = r.Cache
		}
	}
	if r.Precision != plan.PrecisionHalf {
		e.KVBytes = 1
	}
	if r.Batch+r.Prompt > 0 {
		e.KVBytes = halfBytes // of the measured iterations
	}
	if r.Expert > 1 { // each GPU schedules its own sequences
		e.MaxSequences *= r.Tensor
		e.MaxBatchedTokens *= r.Tensor
	}
	r.spec = Spec{Engine: e, Role: plan.RoleBoth, Tensor: r.Tensor, Pipeline: r.Pipeline, Expert: r.Expert, Device: *a,
		Nodes: 1}
	if err := r.spec.check(); err != nil {
		d.Problemf(path, "%v", err)
	}
}

// held reports whether no parameter was fitted on the row.
func (r *row) held() bool { return r.Use != "fit" }

func (r *row) moe() bool { return r.spec.Engine.Model.Experts > 0 }

// load starts a simulation of the row's replica under requests of one length.
func (r *row) load(par *parameters, input, output int) *loaded {
	st, err := newStep(r.spec, par)
	if err != nil {
		panic(fmt.Sprintf("serving: %v", err)) // resolve has checked it
	}
	return newLoaded(st, &r.spec.Engine, r.spec.fit().KVTokens, input, output)
}

// rate is the row's predicted output tokens per second for requests of a shape.
func (r *row) rate(par *parameters, s lengths) float64 {
	b := *r
	b.spec = r.spec.bench(s.Input, s.Output)
	l := b.load(par.offline(), s.Input, s.Output)
	l.whole = true
	l.groups = b.spec.groups()
	l.most = b.spec.Engine.MaxSequences / l.groups
	return l.saturated(s.Requests)
}

// systemRequests are enough that beginning and end of a run do not count.
const systemRequests = 20000

// system is the row's predicted output tokens per second of all its replicas.
func (r *row) system(par *parameters) float64 {
	return float64(r.Replicas) * r.load(par.offline(), r.Input, r.Output).saturated(systemRequests)
}

// offline is the parameters of an engine that runs in its client's process: without a front end.
func (p *parameters) offline() *parameters {
	q := *p
	q.stream = 0
	return &q
}

// single is the row's predicted iteration. It was measured without an engine, in kernels that are less fused.
func (r *row) single(par *parameters) float64 {
	bare := *par.offline()
	bare.iteration, bare.sequence, bare.layer = 0, 0, par.bareLayer
	st, err := newStep(r.spec, &bare)
	if err != nil {
		panic(fmt.Sprintf("serving: %v", err))
	}
	st.wideToken *= par.weights / elementwise
	tokens := max(r.Prompt, r.Batch)
	casts := 0.0
	if r.Precision != plan.PrecisionHalf {
		m := shape{r.spec.Engine.Model}
		inputs := float64(m.Layers*(2*m.Hidden+m.Query)) + m.inner()
		casts = float64(float64(castsOfLayer*m.Layers)*castSeconds) +
			float64(float64(tokens)*inputs*(halfBytes+fp8Bytes)/(r.spec.Device.MemoryGBs*1e9*elementwise))
	}
	if r.Prompt > 0 {
		n := int64(r.Prompt)
		return st.Seconds(0, 0, r.Prompt, n*(n+1)/2, 1) + casts
	}
	return st.Seconds(r.Batch, int64(r.Batch)*int64(r.Context), 0, 0, 0) + casts
}

// In 8 bits the measured iterations cast the input of each of a layer's four matrices in a kernel of its own, which
// engines do in the kernel before; castSeconds is what one takes at least (testdata/measure.py, section shapes).
const (
	castsOfLayer = 4
	castSeconds  = 1.5e-6
)

// off is the relative error of a prediction.
func off(predicted, published float64) float64 { return predicted/published - 1 }

// tally adds up errors.
type tally struct {
	absolute, signed float64
	n                int
}

func (t *tally) add(e float64) {
	t.absolute += math.Abs(e)
	t.signed += e
	t.n++
}

func (t tally) mean() (absolute, signed float64) {
	n := float64(max(t.n, 1))
	return t.absolute / n, t.signed / n
}

// loadError is the error of output tokens per second over the rows that a filter takes.
func loadError(par *parameters, take func(*row) bool) (t tally) {
	f := validation()
	for i := range f.Load {
		r := &f.Load[i]
		if !take(r) {
			continue
		}
		for j, s := range f.Shapes {
			if published := r.Rates[j]; published > 0 {
				t.add(off(r.rate(par, s), published))
			}
		}
	}
	return t
}

// sweepError is that of sweeps' tokens per second.
func sweepError(par *parameters, take func(*row) bool) (t tally) {
	f := validation()
	for i := range f.Sweep {
		r := &f.Sweep[i]
		if !take(r) {
			continue
		}
		for _, p := range r.Points {
			_, _, rate := r.load(par, r.Input, r.Output).closed(p.Clients)
			t.add(off(rate, p.Rate))
		}
	}
	return t
}

// singleError is that of single iterations.
func singleError(par *parameters, take func(*row) bool) (t tally) {
	f := validation()
	for i := range f.Iteration {
		if r := &f.Iteration[i]; take(r) {
			t.add(off(r.single(par), r.Seconds))
		}
	}
	return t
}
