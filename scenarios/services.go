package scenarios

import (
	"time"

	"gopkg.in/yaml.v3"

	"orrery/sim/plan"
)

// Service is something that answers requests: a language model, or a classic model behind a batch server. Its replicas
// are the pods of Deployments (or LeaderWorkerSets), which upstream controllers keep.
type Service struct {
	// Name: lower-case letters, digits and dashes.
	Name string `yaml:"name" required:"true"`
	// Namespace of its objects.
	Namespace string `yaml:"namespace" min:"1"`
	// Name of a known model, e.g. llama-3-8b; `orrery model list` shows them.
	Model string `yaml:"model"`
	// Numbers of a model that is not known.
	Shape *ModelShape `yaml:"shape,omitempty"`
	// Number format of weights and matrix multiplications; a GPU without it computes in the next wider one.
	Precision string `yaml:"precision" enum:"bf16|fp8|fp4"`
	// Number format of the KV cache.
	KVPrecision string `yaml:"kvPrecision" enum:"bf16|fp8"`
	// The server that each replica runs.
	Engine Engine `yaml:"engine"`
	// Replicas that compute prompts and generate. Exactly one of this and the pair prefill and decode.
	Replicas *Replicas `yaml:"replicas,omitempty"`
	// Replicas that compute prompts only and hand the KV cache on.
	Prefill *Replicas `yaml:"prefill,omitempty"`
	// Replicas that generate from KV caches they are given.
	Decode *Replicas `yaml:"decode,omitempty"`
	// What latencies should be.
	SLO SLO `yaml:"slo"`
	// How requests find a replica.
	Routing Routing `yaml:"routing"`
	// How those who ask behave.
	Client Client `yaml:"client"`
	// Stages that every request passes ahead of the service, in order: retrieval, re-ranking, guardrails, caches.
	Before []Stage `yaml:"before"`
	// Stages behind it.
	After []Stage `yaml:"after"`
	// Where its requests come from. Absent: only from other services' stages.
	Requests *Requests `yaml:"requests,omitempty"`
}

// SetDefaults takes a model in half precision.
func (v *Service) SetDefaults() {
	*v = Service{Namespace: "default", Precision: plan.PrecisionHalf, KVPrecision: plan.PrecisionHalf}
	v.Engine.SetDefaults()
	v.SLO.SetDefaults()
	v.Routing.SetDefaults()
	v.Client.SetDefaults()
}

// Engine is a replica's server. What is left out is the preset's.
type Engine struct {
	// vllm (V1), sglang, tensorrt-llm, tgi, or batch: a classic model behind dynamic batching.
	Preset string `yaml:"preset" enum:"vllm|sglang|tensorrt-llm|tgi|batch"`
	// Token budget of one iteration.
	MaxBatchedTokens *int `yaml:"maxBatchedTokens,omitempty" min:"1" max:"10000000"`
	// Most requests in one iteration.
	MaxSequences *int `yaml:"maxSequences,omitempty" min:"1" max:"100000"`
	// Longest prompt and output together, in tokens.
	MaxModelTokens *int `yaml:"maxModelTokens,omitempty" min:"2" max:"100000000"`
	// Part of a GPU's memory that the server takes.
	MemoryUtilization *float64 `yaml:"memoryUtilization,omitempty" min:"0.05" max:"1"`
	// Part of what weights and the reserve leave that the KV cache takes, as TensorRT-LLM and TGI count.
	CacheFraction *float64 `yaml:"cacheFraction,omitempty" min:"0.01" max:"1"`
	// What of it goes to activations, graphs and buffers, GiB of each GPU.
	ReserveGiB *float64 `yaml:"reserveGiB,omitempty" min:"0" max:"1000"`
	// Tokens of a block of the KV cache.
	BlockTokens *int `yaml:"blockTokens,omitempty" min:"1" max:"4096"`
	// Prompts that begin with the same blocks share them.
	PrefixCaching *bool `yaml:"prefixCaching,omitempty"`
	// Prompts are computed in pieces beside decoding.
	ChunkedPrefill *bool `yaml:"chunkedPrefill,omitempty"`
	// When the KV cache is full. recompute: the latest request gives way and is computed again. none: requests are
	// admitted only when all their tokens will fit.
	Evict *string `yaml:"evict,omitempty" enum:"recompute|none"`
	// Order in which an engine lets in those that wait. fcfs: as they came. lpm (sglang): what the prefix cache has most
	// of first, while at most 128 wait, and of those that share a beginning it lacks one at a time.
	SchedulePolicy *string `yaml:"schedulePolicy,omitempty" enum:"fcfs|lpm"`
	// Speculative decoding. Absent: none.
	Speculative *Speculative `yaml:"speculative,omitempty"`
	// With preset batch: the model.
	Batch *BatchModel `yaml:"batch,omitempty"`
}

// SetDefaults takes vLLM.
func (e *Engine) SetDefaults() { e.Preset = plan.EngineVLLM }

// Speculative is speculative decoding: a draft proposes tokens, the model checks them in one step.
type Speculative struct {
	// Tokens proposed in a step.
	Tokens int `yaml:"tokens" required:"true" min:"1" max:"64"`
	// Probability that a proposed token is right when those before it are.
	Acceptance float64 `yaml:"acceptance" required:"true" min:"0" max:"1"`
	// Time of proposing one token, as a part of one decoding step of the model alone.
	DraftShare float64 `yaml:"draftShare" min:"0" max:"10"`
}

// BatchModel is a classic model: a batch of n takes base + n × perItem.
type BatchModel struct {
	// Time of a batch whatever its size.
	Base Duration `yaml:"base"`
	// Time that each item adds.
	PerItem Duration `yaml:"perItem"`
	// Time that each input token of the longest item adds.
	PerToken Duration `yaml:"perToken"`
	// Largest batch.
	MaxBatch int `yaml:"maxBatch" min:"1" max:"100000"`
	// Longest that a batch waits to fill up.
	MaxDelay Duration `yaml:"maxDelay"`
	// Sizes of batches that go without waiting to grow further, each at most maxBatch. None: maxBatch.
	PreferredBatchSizes []int `yaml:"preferredBatchSizes,omitempty" min:"1" max:"100000"`
	// Answers wait for those of batches that began before.
	PreserveOrdering bool `yaml:"preserveOrdering"`
	// The queue in which requests wait, and that of each level of priority that has none of its own.
	Queue BatchQueue `yaml:"queue"`
	// Levels of priority, 1 is the most urgent; 0: none.
	PriorityLevels int `yaml:"priorityLevels" min:"0" max:"1000"`
	// Level of requests whose tenant has none. Required with priorityLevels.
	DefaultPriorityLevel int `yaml:"defaultPriorityLevel" min:"0" max:"1000"`
	// Who is of which level, and queues of their own.
	Priorities []BatchPriority `yaml:"priorities,omitempty"`
	// Copies of the model in one replica that work side by side.
	Instances int `yaml:"instances" min:"1" max:"1000"`
	// Coefficient of variation of a batch's time, which is gamma distributed; 0: always the same.
	CV float64 `yaml:"cv" min:"0" max:"10"`
	// Memory of weights and buffers, GiB.
	MemoryGiB float64 `yaml:"memoryGiB" min:"0" max:"10000"`
}

// SetDefaults takes one at a time.
func (b *BatchModel) SetDefaults() {
	b.MaxBatch, b.Instances = 1, 1
	b.Queue.SetDefaults()
}

// BatchQueue bounds a queue of a batch server.
type BatchQueue struct {
	// Longest that a request waits. 0s: for ever.
	Timeout Duration `yaml:"timeout"`
	// What becomes of one that has waited longer. reject: it fails. delay: it goes behind the others of its level.
	TimeoutAction string `yaml:"timeoutAction" enum:"reject|delay"`
	// Requests that may wait; another one fails at once. 0: no bound.
	MaxSize int `yaml:"maxSize" min:"0" max:"1000000000"`
}

// SetDefaults rejects.
func (q *BatchQueue) SetDefaults() { q.TimeoutAction = timeoutReject }

// What becomes of requests that have waited too long.
const timeoutReject, timeoutDelay = "reject", "delay"

// BatchPriority is a level of priority of a batch server.
type BatchPriority struct {
	// The level, from 1, the most urgent.
	Level int `yaml:"level" required:"true" min:"1" max:"1000"`
	// Tenants whose requests are of it.
	Tenants []string `yaml:"tenants,omitempty"`
	// Its queue. Default: the model's.
	Queue *BatchQueue `yaml:"queue,omitempty"`
}

// Replicas is a group of equal replicas.
type Replicas struct {
	// Replicas at first; an autoscaler may change it.
	Count int `yaml:"count" min:"0" max:"100000"`
	// Name of the object. Default: the service's, with -prefill or -decode where these are apart.
	Name string `yaml:"name"`
	// Deployment, or LeaderWorkerSet for a model over several nodes.
	Kind string `yaml:"kind" enum:"Deployment|LeaderWorkerSet"`
	// The object comes from the manifests, under name. What its server's flags say (parallelism, batch and context sizes,
	// number formats) and what its pods ask for is taken from there, as far as the scenario does not say it itself.
	FromManifest bool `yaml:"fromManifest"`
	// Catalogue key or alias of the GPU that pods need. Empty: any.
	GPU string `yaml:"gpu"`
	// Extended resource that pods ask for, e.g. nvidia.com/mig-1g.10gb. Empty: the only one that the pools offer.
	Resource string `yaml:"resource"`
	// Units of the resource for each pod. 0: tensor × pipeline, divided by podsPerReplica.
	PodDevices int `yaml:"resourceCount" min:"0" max:"1024"`
	// GPUs that share each layer.
	Tensor int `yaml:"tensor" min:"1" max:"1024"`
	// Stages of layers, one after another.
	Pipeline int `yaml:"pipeline" min:"1" max:"1024"`
	// GPUs that share the experts of a mixture of experts.
	Expert int `yaml:"expert" min:"1" max:"4096"`
	// Pods of one replica, with kind LeaderWorkerSet.
	PodsPerReplica int `yaml:"podsPerReplica" min:"1" max:"1024"`
	// CPU of a pod. Default: workload.cpuMilliPerGPU for each GPU.
	CPU *CPU `yaml:"cpu,omitempty"`
	// Memory of a pod. Default: workload.memoryMiBPerGPU for each GPU.
	Memory *Memory `yaml:"memory,omitempty"`
	// PriorityClass of the pods.
	PriorityClass string `yaml:"priorityClass"`
	// Scheduler profile of the pods.
	SchedulerName string `yaml:"schedulerName" min:"1"`
	// Labels that a node must have.
	NodeSelector map[string]string `yaml:"nodeSelector"`
	// Tolerations of the pods.
	Tolerations []Toleration `yaml:"tolerations"`
	// What a new replica does before it is ready.
	Start Start `yaml:"start"`
}

// SetDefaults takes a Deployment of one replica on one GPU.
func (r *Replicas) SetDefaults() {
	*r = Replicas{Count: 1, Kind: plan.KindDeployment, Tensor: 1, Pipeline: 1, Expert: 1, PodsPerReplica: 1,
		SchedulerName: DefaultProfile}
}

// Start is what a new replica does between binding and readiness. What is left out has a default with its source
// (`orrery model show startup`).
type Start struct {
	// The image's name: nodes that have it do not pull it again. Default: the engine's.
	Image string `yaml:"image"`
	// Its compressed size, GiB.
	ImageGiB *float64 `yaml:"imageGiB,omitempty" min:"0" max:"1000"`
	// The container starts before its image is there; the rest is read in the background.
	LazyPull bool `yaml:"lazyPull"`
	// What is read before it can serve, GiB. Default: the weights of the model at its precision.
	WeightsGiB *float64 `yaml:"weightsGiB,omitempty" min:"0" max:"100000"`
	// Weights stay on the node's disk after the first load.
	KeepWeights bool `yaml:"keepWeights"`
	// Most that the loader reads, 10⁹ bytes per second.
	LoadGBs *float64 `yaml:"loadGBs,omitempty" min:"0.001" max:"10000"`
	// Initialisation, compilation and graph capture.
	Engine *Spread `yaml:"engine,omitempty"`
	// What is compiled stays on the node's disk: the next replica there initialises faster.
	KeepCompiled bool `yaml:"keepCompiled"`
	// A snapshot of the process and the GPU's memory is restored in place of weights and engine.
	Snapshot bool `yaml:"snapshot"`
	// Size of the snapshot, GiB. Default: 1.75 × the weights and 4 GiB.
	SnapshotGiB *float64 `yaml:"snapshotGiB,omitempty" min:"0" max:"100000"`
	// Nothing takes time: replicas are ready when their containers run.
	Instant bool `yaml:"instant"`
}

// Spread is a triangular distribution of durations.
type Spread struct {
	// Shortest.
	Low Duration `yaml:"low"`
	// Most likely.
	Mode Duration `yaml:"mode" required:"true"`
	// Longest. Default: the mode.
	High Duration `yaml:"high"`
}

// SLO is what latencies should be. 0s: no bound.
type SLO struct {
	// Time to first token.
	TTFT Duration `yaml:"ttft"`
	// Time per output token after the first.
	TPOT Duration `yaml:"tpot"`
	// From sending to the last token.
	E2E Duration `yaml:"e2e"`
	// Part of the requests that should be within all bounds.
	Target float64 `yaml:"target" min:"0" max:"1"`
}

// SetDefaults takes 99 %.
func (s *SLO) SetDefaults() { s.Target = 0.99 }

// Routing is how requests find a replica.
type Routing struct {
	// kv-aware and prefix-affine score replicas as the Gateway API inference extension does.
	Policy string `yaml:"policy" enum:"round-robin|random|least-requests|power-of-two|kv-aware|prefix-affine"`
	// Weight of short queues, with kv-aware and prefix-affine.
	QueueWeight float64 `yaml:"queueWeight" min:"0" max:"100"`
	// Weight of free KV cache.
	KVWeight float64 `yaml:"kvWeight" min:"0" max:"100"`
	// Weight of a cached beginning of the prompt.
	PrefixWeight float64 `yaml:"prefixWeight" min:"0" max:"100"`
	// How old the figures are that scores are made of.
	MetricsAge Duration `yaml:"metricsAge"`
	// Most requests at one replica; more wait at the router. 0: no bound.
	MaxInFlight int `yaml:"maxInFlight" min:"0" max:"1000000"`
	// Most requests waiting at the router; more are rejected. 0: no bound.
	MaxQueue int `yaml:"maxQueue" min:"0" max:"100000000"`
	// Requests that are rejected while the replicas are saturated, as the inference extension does with those of negative
	// priority. Absent: none.
	Shed *Shed `yaml:"shed,omitempty"`
	// Time of one pass through gateway and mesh, one way.
	Hop Duration `yaml:"hop"`
}

// SetDefaults takes the fewest requests.
func (r *Routing) SetDefaults() {
	*r = Routing{Policy: plan.RouteLeastRequests,
		// Weights of the inference extension's default profile: queue 2, KV cache 2, prefix 3
		// (kubernetes-sigs/gateway-api-inference-extension, config/charts/inferencepool, default plugins file, v1.0).
		QueueWeight: 2, KVWeight: 2, PrefixWeight: 3,
		// Its scrape interval (--refresh-metrics-interval, 50 ms).
		MetricsAge: Duration(50 * time.Millisecond)}
}

// Shed is what a router turns away while its replicas are saturated: when on average the greater of waiting requests ÷
// queueDepth and used part of the KV cache ÷ kvUtilization is 1 or more.
type Shed struct {
	// Whose requests these are. None: everybody's.
	Tenants []string `yaml:"tenants,omitempty"`
	// Waiting requests at a replica.
	QueueDepth int `yaml:"queueDepth" min:"1" max:"1000000"`
	// Used part of its KV cache.
	KVUtilization float64 `yaml:"kvUtilization" min:"0.01" max:"1"`
}

// SetDefaults takes the extension's (pkg/epp/saturationdetector/config.go at 9ca8b51).
func (s *Shed) SetDefaults() { s.QueueDepth, s.KVUtilization = 5, 0.8 }

// Client is how those who ask behave.
type Client struct {
	// From sending to the last token, of one try. 0s: it waits for ever.
	Timeout Duration `yaml:"timeout"`
	// Tries after the first.
	Retries int `yaml:"retries" min:"0" max:"100"`
	// Before the first retry; doubled each time, and drawn anew between 0 and that.
	Backoff Duration `yaml:"backoff"`
	// Most of it.
	MaxWait Duration `yaml:"maxWait"`
}

// SetDefaults takes a client that waits for ever.
func (c *Client) SetDefaults() {
	// gRPC's and AWS SDKs' order of magnitude: first second, then doubled up to 20 s (an assumption).
	c.Backoff, c.MaxWait = Duration(time.Second), Duration(20*time.Second)
}

// Stage is a step of a pipeline: another service of the scenario, or a step with a distribution of times.
type Stage struct {
	// Name, for reports.
	Name string `yaml:"name" required:"true"`
	// Service whose replicas it uses. Empty: the step takes time by itself.
	Service string `yaml:"service"`
	// Tokens that its request has at that service. 0: those of the request.
	Input int `yaml:"input" min:"0" max:"100000000"`
	// Tokens that it generates there. 0: those of the request.
	Output int `yaml:"output" min:"0" max:"100000000"`
	// Median of its time, which is log-normal.
	Median Duration `yaml:"median"`
	// 99th percentile of its time.
	P99 Duration `yaml:"p99"`
	// Requests in it at a time; more wait. 0: no bound.
	Servers int `yaml:"servers" min:"0" max:"1000000"`
	// Part of the requests that are answered here, as from a cache.
	Hit float64 `yaml:"hit" min:"0" max:"1"`
	// Part of the requests that are refused here, as by a guardrail.
	Reject float64 `yaml:"reject" min:"0" max:"1"`
	// Time to reach it, one way.
	Hop Duration `yaml:"hop"`
	// Tokens that it adds to the prompt of the model, e.g. of retrieved passages.
	AddInput int `yaml:"addInput" min:"0" max:"100000000"`
}

// Requests is where a service's requests come from: exactly one of file and generate.
type Requests struct {
	// A file of requests, compressed or not.
	File string `yaml:"file,omitempty"`
	// Name of the file's format. Empty: found out from the file itself.
	Format string `yaml:"format,omitempty"`
	// Options of the format.
	Options map[string]string `yaml:"options,omitempty"`
	// Leave malformed rows out and count them in the results.
	SkipBad bool `yaml:"skipBad,omitempty"`
	// Rows held back to put a file in order whose rows are not. 0: they must be in order.
	Reorder int `yaml:"reorder,omitempty" min:"0" max:"1048576"`
	// SHA-256 of the file, hexadecimal.
	SHA256 string `yaml:"sha256,omitempty"`
	// A generator's specification, inline (see traces/requests/gen).
	Generate *yaml.Node `yaml:"generate,omitempty"`
	// Keep requests of these services of the trace.
	Services []string `yaml:"services,omitempty"`
	// Keep requests of these tenants.
	Tenants []string `yaml:"tenants,omitempty"`
	// Keep the requests inside a span, whose beginning becomes time zero.
	Clip *Clip `yaml:"clip,omitempty"`
	// Multiply the rate by this factor: gaps shrink, lengths stay.
	ScaleRate *float64 `yaml:"scaleRate,omitempty" min:"0.000001" max:"1000000"`
	// Keep each request with this probability.
	Thin *float64 `yaml:"thin,omitempty" min:"0.000001" max:"1"`
	// Longest prompt; longer ones are cut, and counted. 0: no bound.
	MaxInput int `yaml:"maxInput,omitempty" min:"0" max:"100000000"`
	// Longest output; longer ones are cut, and counted. 0: no bound.
	MaxOutput int `yaml:"maxOutput,omitempty" min:"0" max:"100000000"`
	// The first request comes this long after the beginning of the run.
	After Duration `yaml:"after,omitempty"`
}
