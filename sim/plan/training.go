package plan

import "orrery/sim/units"

// Accelerator is what the speed model knows of a pool's GPUs and links. Rates are in 1e9 bytes per second and in one
// direction; 0 = there is none, or it is not known.
type Accelerator struct {
	GPU       string // catalogue key
	Family    string
	MemoryMiB float64
	MemoryGBs float64
	// Rates are what a matrix multiplication reaches, 1e12 operations per second: measured, or estimated where Estimated
	// says so. Half is bf16, or fp16 where there is no bf16.
	Half, FP8, FP4 float64
	// Estimated says which of the figures are derived from others rather than measured, for people; "" = none.
	Estimated string

	LinkKind string  // of the scale-up link: nvlink, nvlink-bridge, xgmi, ethernet or ""
	LinkGBs  float64 // to all peers together
	PeerGBs  float64 // to any one peer; 0 = all of LinkGBs
	// LinkGPUs is how many GPUs the link joins: 8 in most servers, 2 with a bridge, 72 in a rack-scale domain.
	LinkGPUs int
	PCIeGBs  float64
	// NICGBs is one GPU's share of its node's network adapters.
	NICGBs float64
	// PerNode is the GPUs of a node.
	PerNode int
}

// Precisions of training: the number format of the matrix multiplications. Attention, and what is added up, is in half
// precision in all of them.
const (
	PrecisionHalf = "bf16"
	PrecisionFP8  = "fp8"
	PrecisionFP4  = "fp4"
)

// Sharding is what data-parallel ranks hold only a part of.
const (
	ShardNone      = "none"      // every rank has parameters, gradients and optimiser state: plain data parallelism
	ShardOptimizer = "optimizer" // the optimiser's state is shared out: ZeRO-1, Megatron's distributed optimiser
	ShardFull      = "full"      // parameters and gradients too: ZeRO-3, FSDP
)

// Recomputation of activations in the backward pass.
const (
	RecomputeNone      = "none"
	RecomputeSelective = "selective" // attention only
	RecomputeFull      = "full"      // every layer
)

// Rank orders.
const (
	RanksTopology = "topology" // ranks follow the nodes' place in the network, as topology-aware launchers number them
	RanksPods     = "pods"     // ranks follow the pods' indices wherever they landed
)

// Model is the shape of a transformer.
type Model struct {
	Name   string
	Params float64 // parameters
	Active float64 // parameters a token passes; = Params in dense models
	Layers int
	Hidden int
	// Query and KV are the widths of all query heads and of all key-value heads together (heads × size of a head).
	Query, KV  int
	Vocabulary int
	// Tied says that the input and output embedding are one matrix.
	Tied bool
	// Experts of a mixture-of-experts layer, 0 in dense models; TopK of them see a token. ExpertParams is the part of
	// Params that is in experts.
	// ExpertWidth is the inner width of one.
	Experts, TopK, ExpertWidth, MoELayers int
	ExpertParams                          float64
	// Head is the size of one attention head, 0 = 128.
	Head int
	// Latent says that the KV cache holds one vector of KV values a token and layer, from which keys and values of all
	// heads are computed (multi-head latent attention); otherwise it holds a key and a value of KV each.
	Latent bool
	// WindowLayers of the layers attend to no more than the last Window tokens; 0 = none.
	Window, WindowLayers int
	// Context is how many tokens the model is made for; 0 = not known.
	Context int
	// Kernels is the generation of the software it is trained with: KernelsNow or an older one.
	Kernels string
	Source  string
}

// Generations of training software.
const (
	KernelsNow    = ""       // fused attention of the GPU's own generation
	KernelsFlash1 = "flash1" // the first fused attention (2022)
	KernelsNone   = "none"   // no fused attention, and tensor-parallel communication does not overlap (before 2022)
)

// Training is what a job computes, as the speed model needs it: a model and how it is spread over the GPUs, or a class
// of communication intensity.
type Training struct {
	Name  string // the model's name, or the intensity class
	Model *Model // nil with an intensity class

	Sequence    int // tokens
	GlobalBatch int // sequences a step; 0 = as many as data-parallel ranks × micro-batches needed to fill the pipeline
	MicroBatch  int // sequences
	// Tensor, Pipeline, Context and Expert are sizes of parallel groups, ≥ 1; the rest is data parallelism. Stages is
	// the virtual pipeline stages of a rank.
	Tensor, Pipeline, Stages, Context, Expert int
	Precision                                 string
	Sharding                                  string
	Recompute                                 string
	Ranks                                     string // RanksTopology or RanksPods

	Intensity *Intensity // nil with a model
	// Reference is the GPU that the trace's durations were taken on; nil = the one the job lands on.
	Reference *Accelerator
	Save      *Save // checkpoints; nil = none
}

// Intensity is a job known only by how much it communicates.
type Intensity struct {
	// Share is the part of the step during which an ideally placed job of several nodes waits for communication.
	Share float64
	// MessageBytes is the size of its collectives.
	MessageBytes float64
}

// Save is how a job writes its state.
type Save struct {
	Every units.Duration // of work between two checkpoints
	// Async says that training goes on while the state is written; it stops only for the copy to host memory.
	Async bool
	// Bytes of one checkpoint.
	Bytes float64
}

// Storage is the shared file system that checkpoints go to. Rates in 1e9 bytes per second; 0 = not limited.
type Storage struct {
	WriteGBs, ReadGBs         float64 // of the whole system
	NodeWriteGBs, NodeReadGBs float64 // of one node
}
