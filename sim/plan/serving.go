package plan

import "orrery/sim/units"

// Service is something that answers requests: a language model, a classic model behind a batch server, or a stage of a
// pipeline. Its replicas are pods of one or more groups; upstream controllers make them.
type Service struct {
	Name      string // a DNS-1123 label, unique in the run
	Namespace string
	Groups    []ReplicaGroup // at least one; prefill before decode where they are apart
	// Engine says how replicas process requests.
	Engine Engine
	SLO    SLO
	Router Router
	Client Client
	// Before and After are stages that every request passes ahead of and behind the service itself, in order.
	Before, After []Stage
	// Requests is an index into the run's request sources; -1 = the service gets requests only from others' pipelines.
	Requests int
}

// Kinds of the object that keeps a group's replicas.
const (
	KindDeployment      = "Deployment"
	KindLeaderWorkerSet = "LeaderWorkerSet"
)

// Roles of a replica group.
const (
	RoleBoth    = "both"    // prefill and decode in one replica
	RolePrefill = "prefill" // computes the prompt and hands its KV cache on
	RoleDecode  = "decode"  // takes KV caches and generates
)

// ReplicaGroup is a set of equal replicas of a service, kept by one object of the API.
type ReplicaGroup struct {
	Name string // of the object
	Kind string // KindDeployment or KindLeaderWorkerSet
	Role string // RoleBoth, RolePrefill or RoleDecode
	// Given says that the object comes from the user's manifests. Otherwise it is made from Pod and Replicas.
	Given bool
	// Replicas at first. An autoscaler may change it.
	Replicas int
	// PodsPerReplica is more than 1 in a LeaderWorkerSet: a model over several nodes.
	PodsPerReplica int
	Pod            Pod // what each pod asks for
	PriorityClass  string
	SchedulerName  string
	Require        []Requirement
	Tolerations    []Toleration
	// Tensor, Pipeline and Expert are the sizes of a replica's parallel groups, ≥ 1. Their product of Tensor and Pipeline
	// is the replica's GPUs.
	Tensor, Pipeline, Expert int
	// Start is what a new replica does before it is ready.
	Start ReplicaStart
	// Device is the GPU that the group's pods are meant for, whole or a MIG instance: for checks and for what a trace of
	// the plan says before a pod has a node. A replica computes at the speed of the device that it got.
	Device *Accelerator
}

// Engine presets.
const (
	EngineVLLM   = "vllm"         // V1: chunked prefill, decodes first, recompute on exhaustion
	EngineSGLang = "sglang"       // radix prefix cache, retraction
	EngineTRTLLM = "tensorrt-llm" // in-flight batching, also behind Triton
	EngineTGI    = "tgi"          // prefill batches interrupt decoding
	EngineBatch  = "batch"        // a classic model behind dynamic batching, as Triton does it
)

// Policies of an engine when its KV cache is full.
const (
	EvictRecompute = "recompute" // the latest request loses its cache and waits; it is computed again
	EvictNone      = "none"      // a request is admitted only when its whole output will fit (guaranteed no evict)
)

// Policies of an engine's queue.
const (
	PolicyFCFS = "fcfs" // first come, first served
	PolicyLPM  = "lpm"  // longest prefix match: what the prefix cache has most of goes first
)

// Engine is how a replica's server schedules requests. All fields are resolved; presets fill them in.
type Engine struct {
	Preset string
	// Model is what it serves; nil with EngineBatch.
	Model     *Model
	Precision string // of weights and matrix multiplications: PrecisionHalf, PrecisionFP8 or PrecisionFP4
	KVBytes   int    // of one value of the KV cache: 2 or 1
	// MaxBatchedTokens is the token budget of an iteration, MaxSequences the most requests in one.
	MaxBatchedTokens, MaxSequences int
	// MemoryUtilization is the part of a GPU's memory that the server takes.
	MemoryUtilization float64
	// CacheFraction is the part of what weights and reserve leave of that memory that the KV cache takes; 0 = all.
	CacheFraction float64
	// ReserveGiB is what each GPU's share loses to activations, graphs and communication buffers.
	ReserveGiB    float64
	BlockTokens   int  // of the KV cache
	PrefixCaching bool // prompts that begin with the same blocks share them
	// ChunkedPrefill lets prompts be computed in pieces beside decoding. Otherwise a whole prompt is one iteration in
	// which nobody decodes.
	ChunkedPrefill bool
	Evict          string // EvictRecompute or EvictNone
	// Policy is the order in which those that wait are let in: PolicyFCFS, which "" is too, or with EngineSGLang
	// PolicyLPM.
	Policy         string
	MaxModelTokens int // prompt and output of one request together; longer ones are refused
	Speculative    *Speculative
	Batch          *BatchModel // with EngineBatch
}

// Speculative is speculative decoding: a draft proposes tokens, the model checks them in one step.
type Speculative struct {
	Tokens     int     // proposed in a step
	Acceptance float64 // probability that a proposed token is right, given that those before it are
	DraftShare float64 // time of proposing one token ÷ time of one decode step of the model at batch 1
}

// BatchModel is a classic model behind a dynamic batcher: a batch of n takes Base + n × PerItem, and waits at most
// MaxDelay to fill up.
type BatchModel struct {
	Base, PerItem units.Duration
	MaxBatch      int
	MaxDelay      units.Duration
	// Preferred are sizes of batches that do not wait, each at most MaxBatch; none = MaxBatch.
	Preferred []int
	// PreserveOrder holds answers back until those of batches that began before are there.
	PreserveOrder bool
	// Queues are those of the levels of priority, from level 1, the most urgent; none = one queue without bounds. Requests
	// of Tenants are of their levels, all others of Level.
	Queues  []BatchQueue
	Level   int
	Tenants map[string]int
	// Instances of the model in one replica work side by side.
	Instances int
	// CV is the coefficient of variation of a batch's time, 0 = none; the time is then gamma distributed.
	CV float64
	// PerToken is added for each input token of the longest item, e.g. of an embedding model; usually 0.
	PerToken units.Duration
	// Exponential draws every batch's time from an exponential distribution with that mean; for comparison with theory.
	Exponential bool
	MemoryGiB   float64
}

// BatchQueue bounds a queue of a dynamic batcher.
type BatchQueue struct {
	// Timeout is how long a request may wait; 0 = for ever. Then it fails or, with Delay, goes behind the others.
	Timeout units.Duration
	Delay   bool
	MaxSize int // requests; one more fails at once. 0 = no bound
}

// SLO is what a request's latencies should be within. 0 = no bound.
type SLO struct {
	TTFT, TPOT, E2E units.Duration
	// Target is the part of the requests that should meet all bounds, e.g. 0.99.
	Target float64
}

// Routing policies.
const (
	RouteRoundRobin    = "round-robin"
	RouteRandom        = "random"
	RouteLeastRequests = "least-requests" // of those running and waiting
	RoutePowerOfTwo    = "power-of-two"   // the less loaded of two random ones
	RouteKVAware       = "kv-aware"       // as the Gateway API inference extension scores: queue depth and KV use
	RoutePrefixAffine  = "prefix-affine"  // longest cached prefix, weighed against queue and KV use
)

// Router picks a replica for a request.
type Router struct {
	Policy string
	// QueueWeight, KVWeight and PrefixWeight are weights of scorers between 0 and 1 (kv-aware and prefix-affine).
	QueueWeight, KVWeight, PrefixWeight float64
	// MetricsAge is how old the queue and KV figures are that the router sees: its scrape interval. 0 = always fresh.
	MetricsAge units.Duration
	// MaxInFlight bounds the requests at one replica, MaxQueue those held by the router beyond that; a request that finds
	// both full is rejected. 0 = without bound. With MaxInFlight 0 the router holds only what finds no ready replica.
	MaxInFlight, MaxQueue int
	// Shed says which requests are rejected while the replicas are saturated; nil = none.
	Shed *Shed
	// Hop is the time of one pass through proxy and mesh, one way.
	Hop units.Duration
}

// Shed is what a router turns away while its replicas are saturated: when on average the greater of waiting requests ÷
// QueueDepth and used part of the KV cache ÷ KV is 1 or more.
type Shed struct {
	Tenants    []string // whose requests these are; none = everybody's
	QueueDepth int      // ≥ 1
	KV         float64  // > 0
}

// Client is how those who ask behave.
type Client struct {
	Timeout units.Duration // from sending to the last token; 0 = waits for ever
	Retries int            // after a rejection or a time-out
	Backoff units.Duration // before the first retry; doubles, with full jitter
	MaxWait units.Duration // most of a back-off
}

// Stage is a step of a pipeline ahead of or behind a service: another service of the run, or a step of its own with a
// distribution of times.
type Stage struct {
	Name string
	// Service is an index into Plan.Services, whose replicas the step uses; -1 = none.
	Service int
	// Input and Output are the tokens that the step's request has at Service; 0 = those of the request itself.
	Input, Output int
	// Time is what the step takes when Service is -1, by quantile: a log-normal with Median and P99.
	Median, P99 units.Duration
	// Servers bounds how many requests are in the step at a time; 0 = without bound.
	Servers int
	// Hit is the part of the requests that end here with an answer, as from a response cache; 0 = none.
	Hit float64
	// Reject is the part of the requests that end here refused, as by a guardrail; 0 = none.
	Reject float64
	// Hop is the time to reach the step, one way.
	Hop units.Duration
	// AddInput is what the step adds to the prompt of the model behind it, in tokens, e.g. retrieved passages.
	AddInput int
}

// ReplicaStart is what a new replica does between binding and readiness. Every span is a triangular distribution.
type ReplicaStart struct {
	ImageGiB  float64 // compressed
	Image     string  // name; nodes that have it do not pull it again
	Sandbox   Spread  // pod sandbox and network
	Unpack    Spread  // per GiB
	LazyPull  bool    // the container starts after LazyStart; the rest is read in the background
	LazyStart Spread
	// WeightsGiB are read from the node's disk when they are Cached there, else from the object store, shared with others.
	WeightsGiB float64
	WeightsKey string // name of the weights; nodes that have loaded them keep them on disk when KeepWeights
	// KeepWeights keeps weights on the node's disk after the first load.
	KeepWeights bool
	// ServerKey names what is kept of a server that has started, snapshots and compiled code: other servers of the same
	// weights, and with the same image, may not use it. "" = WeightsKey, or else Image.
	ServerKey string
	// LoadGBs is the most that the loader reads, GB/s, whatever the source.
	LoadGBs float64
	Engine  Spread // initialisation, compilation and graph capture
	// KeepCompiled keeps what the server compiled on the node's disk: the next one there takes Compiled instead of Engine.
	KeepCompiled bool
	Compiled     Spread
	// Snapshot replaces weights and engine by a restore at RestoreGBs of SnapshotGiB.
	Snapshot    bool
	SnapshotGiB float64
	RestoreGBs  float64
	Restore     Spread
	Join        Spread // ranks of a replica over several pods find each other
	Source      string // where the figures come from
}

// Registry is where images and weights come from. Rates in 1e9 bytes per second; 0 = not limited.
type Registry struct {
	ImageGBs     float64 // of the registry, shared by all pulls
	NodeGBs      float64 // of one node's network for images and weights
	ObjectGBs    float64 // of the object store, shared by all loads
	NodeDiskGBs  float64 // reading from a node's own disk
	ImagesCached bool    // nodes that exist at the beginning have all images
}

// Metrics is the path of metrics from pods to controllers.
type Metrics struct {
	Scrape units.Duration // interval of the scrapes of pods, e.g. 15 s
	// Resource is the resolution of the resource metrics (metrics-server).
	Resource units.Duration
	// External are series of the external metrics API, each a PromQL expression over what was scraped.
	External []ExternalMetric
	// Custom are rules of the custom metrics API, for metrics of pods that no pod exposes under that name.
	Custom []ExternalMetric
}

// ExternalMetric is a named PromQL expression.
type ExternalMetric struct{ Name, Query string }

// Autoscalers says how controllers that are run behave. The objects that they act on are among the manifests.
type Autoscalers struct {
	// HPA are the flags of kube-controller-manager that the horizontal pod autoscaler has.
	HPA HPAFlags
	// Karpenter is nil when it is not run.
	Karpenter *Karpenter
	// ClusterAutoscaler is nil when it is not modelled.
	ClusterAutoscaler *ClusterAutoscaler
}

// HPAFlags are kube-controller-manager's.
type HPAFlags struct {
	SyncPeriod, DownscaleStabilization, CPUInitialization, InitialReadiness units.Duration
	Tolerance                                                               float64
}

// Karpenter is the configuration of its controllers.
type Karpenter struct {
	BatchIdle, BatchMax units.Duration
	FeatureGates        string // as its flag takes them, e.g. SpotToSpotConsolidation=true
}

// ClusterAutoscaler is the flags of the model of the Kubernetes Cluster Autoscaler.
type ClusterAutoscaler struct {
	ScanInterval, MaxProvision                                  units.Duration
	ScaleDown                                                   bool
	DelayAfterAdd, DelayAfterDelete, DelayAfterFailure          units.Duration
	Unneeded, UnreadyUnneeded                                   units.Duration
	UtilizationThreshold, GPUUtilizationThreshold               float64
	Expander                                                    string // some of Expanders, with commas between
	Priorities                                                  map[string]int
	MaxEmptyBulkDelete                                          int
	MaxGracefulTermination                                      units.Duration
	MaxNodesTotal                                               int
	NewPodScaleUpDelay                                          units.Duration
	BackoffInitial, BackoffMax                                  units.Duration
	SkipNodesWithLocalStorage, SkipSystemPods, IgnoreDaemonSets bool
	BalanceSimilar                                              bool           // node groups
	UnremovableRecheck                                          units.Duration // of a node whose pods could not be moved
}

// Expanders are the strategies by which the Cluster Autoscaler chooses among node groups.
var Expanders = []string{"least-nodes", "least-waste", "most-pods", "price", "priority", "random"}

// Capacity types of machines, as Karpenter names them.
const (
	CapacityOnDemand = "on-demand"
	CapacitySpot     = "spot"
	CapacityReserved = "reserved"
)

// Elastic says that a pool's nodes come and go: from a cloud, at an autoscaler's request. Such a pool may begin without
// nodes.
type Elastic struct {
	// By is who asks for nodes: ByKarpenter or ByClusterAutoscaler.
	By           string
	InstanceType string
	CapacityType string // CapacityOnDemand …
	Zones        []string
	// Min and Max bound the nodes of a node group of the Cluster Autoscaler. Karpenter's limits are in its NodePools.
	Min, Max int
	// Stock is how many machines can be had at a time, -1 = without limit, and StockOuts when there are none at all.
	Stock     int
	StockOuts []Span
	// Boot are the stages of a machine from the request until its GPUs can be used.
	Boot Boot
	// InterruptPerHour is the hazard of a spot interruption of one machine, Notice what it is told ahead.
	InterruptPerHour float64
	Notice           units.Duration
	InterruptSource  string
}

// Who asks for the nodes of an elastic pool.
const (
	ByKarpenter         = "karpenter"
	ByClusterAutoscaler = "cluster-autoscaler"
)

// Span is a stretch of time.
type Span struct{ From, To units.Time }

// Boot is what a machine does between the request for it and readiness.
type Boot struct {
	Allocate Spread // the cloud's answer and capacity
	Boot     Spread // until the kubelet has joined
	Driver   Spread // GPU driver and container toolkit
	Devices  Spread // device plugin and feature discovery, until the GPUs are allocatable
	// Terminate is from the deletion of a machine until it is no longer paid for.
	Terminate Spread
	Source    string
}

// Request is one request of a service.
type Request struct {
	ID            int64      // from 1, in the order of arrival in its source
	At            units.Time // of sending, on the grid
	Input, Output int        // tokens, ≥ 1; Output is what the model will generate
	// Prefix are identifiers of the prompt's blocks of PrefixTokens tokens each: equal beginnings share a prefix. Empty =
	// nothing is shared.
	Prefix []uint64
	// Session groups requests of one conversation, 0 = none.
	Session uint64
	Tenant  string
}

// RequestSource is a stream of requests ordered by At. It is read once, by one goroutine.
type RequestSource interface {
	// Next returns the next request, or io.EOF after the last. Any other error ends the run; it names file and line. The
	// request and its Prefix are valid until the call after the next one.
	Next() (Request, error)
	// PrefixTokens is the size of the blocks that Request.Prefix names; 0 = there are none.
	PrefixTokens() int
	// Warnings returns what was counted so far: skipped rows, clipped lengths. Sorted by code.
	Warnings() []Warning
	Close() error
}
