package scenarios

import (
	"orrery/sim/model/training"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// Training is how fast jobs run from where they landed: a model of the step of distributed training gives every job a
// speed (`orrery model show training` says how good it is). A trace's duration is what the best placement gives on the
// GPUs that it was taken on.
type Training struct {
	// What jobs compute that no rule matches. Its conditions must be left out.
	Default TrainingWork `yaml:"default"`
	// Rules for other jobs; the first that matches counts.
	Rules []TrainingWork `yaml:"rules"`
	// Catalogue key or alias of the GPU that the trace's durations were taken on: a job that lands on another runs
	// faster or slower. Empty: the GPU that the trace names for the job, else the one it lands on.
	Reference string `yaml:"reference"`
	// How ranks are numbered. topology: domain by domain, as topology-aware launchers do. pods: by the pods' indices.
	Ranks string `yaml:"ranks" enum:"topology|pods"`
	// How jobs write their state. Absent: at no cost.
	Checkpoint *Checkpoint `yaml:"checkpoint,omitempty"`
}

// SetDefaults takes jobs of medium communication.
func (t *Training) SetDefaults() {
	*t = Training{Ranks: plan.RanksTopology}
	t.Default.SetDefaults()
	t.Default.Intensity = IntensityMedium
}

// TrainingWork is what jobs compute: exactly one of intensity, share, model and shape, and how a model is spread over
// the GPUs. Data parallelism takes what tensor, pipeline and context leave.
type TrainingWork struct {
	// Tenant the rule is for. Empty: all.
	Tenant string `yaml:"tenant"`
	// Class the rule is for. Empty: all.
	Class string `yaml:"class"`
	// Fewest GPUs of a job the rule is for.
	MinGPUs int `yaml:"minGPUs" min:"0" max:"1000000"`
	// Most GPUs of a job the rule is for. 0: any number.
	MaxGPUs int `yaml:"maxGPUs" min:"0" max:"1000000"`
	// Part of the step that a well placed job of four nodes waits for communication: low 8 %, medium 20 %, high 40 %
	// (see "Training speed" below). none: the placement does not matter, only the GPU does.
	Intensity string `yaml:"intensity" enum:"|none|low|medium|high"`
	// The same part as a number.
	Share *float64 `yaml:"share,omitempty" min:"0" max:"0.95"`
	// Size of the collectives of a job without a model, in MiB. 0: 1024 with low, 256 with medium, 64 with high.
	MessageMiB float64 `yaml:"messageMiB" min:"0" max:"1048576"`
	// Name of a known model, e.g. llama-3-70b; `orrery model list` shows them.
	Model string `yaml:"model"`
	// Numbers of a model that is not known.
	Shape *ModelShape `yaml:"shape,omitempty"`
	// Tokens of a sequence.
	Sequence int `yaml:"sequence" min:"1" max:"10000000"`
	// Sequences that a rank works on at once.
	MicroBatch int `yaml:"microBatch" min:"1" max:"100000"`
	// Sequences of a step. 0: as many as the ranks take at once, eight times over for each stage of a pipeline.
	GlobalBatch int `yaml:"globalBatch" min:"0" max:"100000000"`
	// GPUs of a tensor-parallel group.
	Tensor int `yaml:"tensor" min:"1" max:"100000"`
	// Stages of the pipeline.
	Pipeline int `yaml:"pipeline" min:"1" max:"100000"`
	// Virtual stages of a rank: the interleaved schedule.
	Stages int `yaml:"stages" min:"1" max:"1000"`
	// Ranks that share a sequence.
	Context int `yaml:"context" min:"1" max:"100000"`
	// Ranks that share the experts of a mixture-of-experts layer.
	Expert int `yaml:"expert" min:"1" max:"100000"`
	// Number format of the matrix multiplications; a GPU without it takes the next wider one.
	Precision string `yaml:"precision" enum:"bf16|fp8|fp4"`
	// What data-parallel ranks share out. none: nothing. optimizer: its state (ZeRO-1). full: parameters and gradients
	// too (FSDP).
	Sharding string `yaml:"sharding" enum:"none|optimizer|full"`
	// Activations computed again in the backward pass. selective: attention's. full: all.
	Recompute string `yaml:"recompute" enum:"none|selective|full"`
	// check: a job that does not fit the memory of any pool's GPUs is an error. ignore: it is taken as it is.
	Memory string `yaml:"memory" enum:"check|ignore"`
}

// SetDefaults takes groups of one and half precision.
func (w *TrainingWork) SetDefaults() {
	*w = TrainingWork{Sequence: 4096, MicroBatch: 1, Tensor: 1, Pipeline: 1, Stages: 1, Context: 1, Expert: 1,
		Precision: plan.PrecisionHalf, Sharding: plan.ShardOptimizer, Recompute: plan.RecomputeNone, Memory: memoryCheck}
}

// ModelShape is the numbers of a transformer.
type ModelShape struct {
	// Parameters, embeddings included.
	Params float64 `yaml:"params" required:"true" min:"1000000" max:"1000000000000000"`
	// Layers.
	Layers int `yaml:"layers" required:"true" min:"1" max:"10000"`
	// Hidden size.
	Hidden int `yaml:"hidden" required:"true" min:"64" max:"1000000"`
	// Query heads × size of a head. 0: the hidden size.
	Query int `yaml:"query" min:"0" max:"1000000"`
	// Key-value heads × size of a head. 0: as query.
	KV int `yaml:"kv" min:"0" max:"1000000"`
	// Vocabulary.
	Vocabulary int `yaml:"vocabulary" min:"0" max:"10000000"`
	// The input and output embedding are one matrix.
	Tied bool `yaml:"tied"`
	// Routed experts of a layer. 0: the model is dense.
	Experts int `yaml:"experts" min:"0" max:"100000"`
	// Experts that see a token.
	TopK int `yaml:"topK" min:"0" max:"1000"`
	// Inner width of an expert, which has three matrices.
	ExpertFFN int `yaml:"expertFFN" min:"0" max:"1000000"`
	// Layers that have experts. 0: all.
	MoELayers int `yaml:"moeLayers" min:"0" max:"10000"`
	// Size of one attention head. 0: 128.
	Head int `yaml:"head" min:"0" max:"10000"`
	// Multi-head latent attention: the KV cache holds one vector of kv values a token and layer for all heads, not a key
	// and a value of kv each.
	Latent bool `yaml:"latent"`
	// Tokens that layers with a window attend to, the last ones.
	Window int `yaml:"window" min:"0" max:"100000000"`
	// Layers that have a window. The model of training takes their attention as full.
	WindowLayers int `yaml:"windowLayers" min:"0" max:"10000"`
	// Tokens that the model is made for: the longest request of a server. 0: not known.
	Context int `yaml:"context" min:"0" max:"100000000"`
}

// Checkpoint is how jobs write their state. A job that loses a pod goes back to its last checkpoint, whatever
// workload.restart.lost says.
type Checkpoint struct {
	// Work between two checkpoints. 0s: workload.restart.checkpointInterval.
	Every Duration `yaml:"every"`
	// Training goes on while the state is written, and stops only for the copy to host memory.
	Async bool `yaml:"async"`
	// Size for each GPU, in 10⁹ bytes, of jobs without a model; those with one write 13 bytes for each parameter. 0: jobs
	// without a model write nothing.
	GBPerGPU float64 `yaml:"gbPerGPU" min:"0" max:"100000"`
}

// Storage is the shared file system that checkpoints go to. Rates are in 10⁹ bytes per second; 0: without limit.
type Storage struct {
	// What the whole system takes.
	WriteGBs float64 `yaml:"writeGBs" min:"0" max:"1000000"`
	// What it gives.
	ReadGBs float64 `yaml:"readGBs" min:"0" max:"1000000"`
	// What one node can write.
	NodeWriteGBs float64 `yaml:"nodeWriteGBs" min:"0" max:"100000"`
	// What one node can read.
	NodeReadGBs float64 `yaml:"nodeReadGBs" min:"0" max:"100000"`
}

// Intensity classes.
const (
	IntensityNone   = "none"
	IntensityLow    = "low"
	IntensityMedium = "medium"
	IntensityHigh   = "high"
)

// Values of memory.
const (
	memoryCheck  = "check"
	memoryIgnore = "ignore"
)

// planStorage is the scenario's storage, nil without one.
func (s *Scenario) planStorage() *plan.Storage {
	st := s.Cluster.Storage
	if st == nil {
		return nil
	}
	return &plan.Storage{WriteGBs: st.WriteGBs, ReadGBs: st.ReadGBs, NodeWriteGBs: st.NodeWriteGBs,
		NodeReadGBs: st.NodeReadGBs}
}

// planAccelerators gives pools with GPUs what the speed model needs, and the plan its storage.
func (s *Scenario) planAccelerators(p *plan.Plan) {
	p.Storage = s.planStorage()
	if s.Workload.Training == nil && len(s.Services) == 0 {
		return
	}
	for i := range p.Pools {
		if a, err := s.accelerator(s.Cluster.Pools[i].GPU, &s.Cluster.Pools[i]); err == nil {
			p.Pools[i].Accelerator = a
		}
	}
}

// accelerator is what the speed model knows of a GPU, in the nodes of a pool when there is one.
func (s *Scenario) accelerator(name string, pool *Pool) (*plan.Accelerator, error) {
	gpu, err := s.catalog.Lookup(name)
	if err != nil {
		return nil, err
	}
	host := training.Host{PerNode: referencePerNode}
	if pool != nil {
		l := s.links(pool, s.Cluster.Topology.of(s, pool))
		host = training.Host{PerNode: pool.GPUsPerNode, LinkGPUs: l.Domain}
		if pool.GPUsPerNode > 0 {
			host.NICGBs = float64(l.NICs) * l.NICGBs / float64(pool.GPUsPerNode)
		}
	}
	return training.Accelerator(gpu, host)
}

// referencePerNode is the GPUs of a node of a reference that no pool has: servers for training have eight.
const referencePerNode = 8

// work turns what a scenario says of jobs into what the model needs; nil for intensity none on any GPU.
func (s *Scenario) work(w *TrainingWork) *plan.Training {
	t := &plan.Training{Sequence: w.Sequence, GlobalBatch: w.GlobalBatch, MicroBatch: w.MicroBatch, Tensor: w.Tensor,
		Pipeline: w.Pipeline, Stages: w.Stages, Context: w.Context, Expert: w.Expert, Precision: w.Precision,
		Sharding: w.Sharding, Recompute: w.Recompute, Ranks: s.Workload.Training.Ranks}
	switch {
	case w.Model != "":
		m, err := training.Lookup(w.Model)
		if err != nil {
			return nil // reported
		}
		t.Name, t.Model = m.Name, &m
	case w.Shape != nil:
		m := w.Shape.model()
		t.Name, t.Model = m.Name, &m
	default:
		t.Intensity = w.intensity()
		t.Name = w.Intensity
		if w.Share != nil {
			t.Name = "share"
		}
	}
	return t
}

func (m *ModelShape) model() plan.Model {
	moe := m.MoELayers
	if m.Experts > 0 && moe == 0 {
		moe = m.Layers
	}
	return training.Shape{Name: "model of the scenario", Params: m.Params, Layers: m.Layers, Hidden: m.Hidden,
		Query: m.Query, KV: m.KV, Vocabulary: m.Vocabulary, Tied: m.Tied, Experts: m.Experts, TopK: m.TopK,
		ExpertFFN: m.ExpertFFN, MoELayers: moe, Head: m.Head, Latent: m.Latent, Window: m.Window,
		Windowed: m.WindowLayers, Context: m.Context, Source: scenarioSource}.Model()
}

func (w *TrainingWork) intensity() *plan.Intensity {
	in := training.Class(w.Intensity)
	if w.Share != nil {
		in.Share = *w.Share
	}
	if w.MessageMiB > 0 {
		in.MessageBytes = w.MessageMiB * (1 << 20)
	}
	return &in
}

// save is how a job writes its state; nil = at no cost.
func (s *Scenario) save(t *plan.Training, gpus int) *plan.Save {
	c := s.Workload.Training.Checkpoint
	if c == nil {
		return nil
	}
	every := units.Duration(c.Every)
	if every == 0 {
		every = units.Duration(s.Workload.Restart.CheckpointInterval)
	}
	save := &plan.Save{Every: every, Async: c.Async, Bytes: c.GBPerGPU * 1e9 * float64(gpus)}
	if t.Model != nil {
		save.Bytes = training.CheckpointBytes(t.Model)
	}
	if save.Bytes == 0 {
		return nil
	}
	return save
}
