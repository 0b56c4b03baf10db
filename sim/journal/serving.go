package journal

import "orrery/sim/units"

// Service declares a service. It precedes everything about it.
type Service struct {
	Service   string         `json:"service"`
	Namespace string         `json:"namespace"`
	Model     string         `json:"model,omitempty"`
	Engine    string         `json:"engine"`
	Precision string         `json:"precision,omitempty"`
	Groups    []ServiceGroup `json:"groups"`
	// Bounds of the service's objectives, 0 = none, and the part of the requests that should meet them, millionths.
	TTFT   units.Duration `json:"slo_ttft_ns,omitempty"`
	TPOT   units.Duration `json:"slo_tpot_ns,omitempty"`
	E2E    units.Duration `json:"slo_e2e_ns,omitempty"`
	Target int64          `json:"slo_target_ppm,omitempty"`
	// Stages of its pipeline, in order; the service itself is the one with its own name.
	Stages []string `json:"stages,omitempty"`
	// InPipeline says that it has no requests of its own.
	InPipeline bool `json:"in_pipeline,omitempty"`
}

// ServiceGroup is a group of replicas of a service.
type ServiceGroup struct {
	Group string         `json:"group"` // namespace/name of the object
	Kind  string         `json:"kind"`
	Role  string         `json:"role"`
	Pods  int            `json:"pods"`       // of one replica
	GPUs  units.MilliGPU `json:"gpus_milli"` // of one replica
}

// Replica states.
const (
	ReplicaStarting = "starting" // its pods exist
	ReplicaReady    = "ready"    // it takes requests
	ReplicaDraining = "draining" // it is being deleted and ends what it has
	ReplicaGone     = "gone"
)

// Replica announces a replica's state.
type Replica struct {
	Service string `json:"service"`
	Group   string `json:"group"`   // namespace/name of the object
	Replica string `json:"replica"` // namespace/name of its (first) pod
	State   string `json:"state"`
	// Of a ready one: the device it has, tokens its KV cache holds, and the factor of neighbours on its GPU.
	Device   string `json:"device,omitempty"`
	KVTokens int64  `json:"kv_tokens,omitempty"`
	Speed    int64  `json:"speed_ppm,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// Requests is the account of a service over the window that ends now. Conservation, since the beginning of the run:
// Arrived = Completed + Rejected + TimedOut + Stopped + InFlight, counting every request of the source once, however
// often its client tried.
type Requests struct {
	Service string         `json:"service"`
	Span    units.Duration `json:"span_ns"`
	Arrived int64          `json:"arrived,omitempty"`
	// Ends of requests in the window.
	Completed int64 `json:"completed,omitempty"`
	Rejected  int64 `json:"rejected,omitempty"`  // by admission, a full queue, or with a replica that went, after all retries
	TooLong   int64 `json:"too_long,omitempty"`  // of Rejected: longer than the server takes, or than its KV cache
	TimedOut  int64 `json:"timed_out,omitempty"` // the client gave up, after all retries
	Stopped   int64 `json:"stopped,omitempty"`   // by a stage of the pipeline: answered from a cache or refused by a guardrail
	// InFlight is those arrived and not ended, now; Queued the part of them that the router holds for want of a replica.
	InFlight int64 `json:"in_flight,omitempty"`
	Queued   int64 `json:"queued,omitempty"`
	Retries  int64 `json:"retries,omitempty"`
	Lost     int64 `json:"lost,omitempty"` // tries that a replica took with it when it went
	Good     int64 `json:"good,omitempty"` // completed within all bounds of the objectives
	// Tokens of requests that completed in the window; Cached is the part of Input that a prefix cache had.
	Input  int64 `json:"input_tokens,omitempty"`
	Cached int64 `json:"cached_tokens,omitempty"`
	Output int64 `json:"output_tokens,omitempty"`
	// Tokens that replicas computed in the window, for whatever became of them.
	Prefilled int64 `json:"prefilled_tokens,omitempty"`
	Generated int64 `json:"generated_tokens,omitempty"`
	// Preemptions of running requests for want of KV cache.
	Preemptions int64 `json:"preemptions,omitempty"`
	// Time integrals over the window and all replicas, ready or draining: of requests running and waiting at them, of the
	// used part of their KV caches, of those that compute, of their number. Compute is the part of Busy that arithmetic
	// limited.
	Running units.Duration `json:"running_ns,omitempty"`
	Waiting units.Duration `json:"waiting_ns,omitempty"`
	KV      units.Duration `json:"kv_ns,omitempty"`
	Busy    units.Duration `json:"busy_ns,omitempty"`
	Compute units.Duration `json:"compute_ns,omitempty"`
	Ready   units.Duration `json:"ready_ns,omitempty"`
	// GroupBusy is Busy by the service's groups, in their order, where there are several.
	GroupBusy []units.Duration `json:"group_busy_ns,omitempty"`
	// Latencies of requests that completed in the window. TPOT is that of requests of two tokens and more.
	TTFT  Latencies `json:"ttft"`
	TPOT  Latencies `json:"tpot"`
	E2E   Latencies `json:"e2e"`
	Queue Latencies `json:"queue"` // from arrival at the service until the model begins with it
	// Stages are the times spent in each stage of the pipeline, in its order.
	Stages []Latencies `json:"stages,omitempty"`
}

// Latencies is a histogram of durations: pairs bucket, count of package sketch, with their exact sum and maximum.
type Latencies struct {
	Pairs []int64        `json:"h,omitempty"`
	Sum   units.Duration `json:"sum_ns,omitempty"`
	Max   units.Duration `json:"max_ns,omitempty"`
}

// Ends of a request.
const (
	RequestCompleted = "completed"
	RequestRejected  = "rejected"
	RequestTimedOut  = "timed-out"
	RequestStopped   = "stopped"
)

// RequestEnd is one request that has ended, when the run is asked for them. Instants are since time zero; those of a
// request that never came so far are 0.
type RequestEnd struct {
	Service     string     `json:"service"`
	Request     int64      `json:"request"`
	Tenant      string     `json:"tenant,omitempty"`
	Outcome     string     `json:"outcome"`
	Replica     string     `json:"replica,omitempty"` // of the last try
	Tries       int        `json:"tries"`
	Input       int        `json:"input"`
	Output      int        `json:"output"`
	Cached      int        `json:"cached,omitempty"`
	Arrived     units.Time `json:"arrived_ns"`
	Begun       units.Time `json:"begun_ns,omitempty"` // the model began with it
	First       units.Time `json:"first_ns,omitempty"` // token
	Ended       units.Time `json:"ended_ns"`
	Preemptions int        `json:"preemptions,omitempty"`
	Good        bool       `json:"good,omitempty"`
}

// Stages of a pod's start, in order. Not every pod passes all of them.
const (
	StageSandbox  = "sandbox"
	StageImage    = "image-pull"
	StageWeights  = "weights"
	StageEngine   = "engine"
	StageSnapshot = "snapshot-restore"
	StageJoin     = "join"
)

// PodStage says that a stage of a pod's start has ended, and how long it took.
type PodStage struct {
	Pod    string         `json:"pod"`
	Stage  string         `json:"stage"`
	Took   units.Duration `json:"took_ns"`
	Detail string         `json:"detail,omitempty"` // e.g. "cached on the node"
}

// States of a machine.
const (
	MachineOrdered     = "ordered"     // somebody asked the cloud for it
	MachineFailed      = "failed"      // the cloud has none, or it did not come in time
	MachineLaunched    = "launched"    // it is paid for
	MachineRegistered  = "registered"  // its kubelet has joined
	MachineDriver      = "driver"      // its GPU driver runs
	MachineReady       = "ready"       // its devices are allocatable
	MachineInterrupted = "interrupted" // the cloud takes it back: it has been told
	MachineTerminating = "terminating"
	MachineGone        = "gone" // it is no longer paid for
)

// Machine says what becomes of a machine of a cloud.
type Machine struct {
	Node   string         `json:"node"`
	Pool   string         `json:"pool"`
	State  string         `json:"state"`
	Took   units.Duration `json:"took_ns,omitempty"` // since the state before
	By     string         `json:"by,omitempty"`      // what wanted it: NodePool/name or NodeGroup/name
	Reason string         `json:"reason,omitempty"`
}

// Scale is a change of the replicas that an object should have.
type Scale struct {
	Object string `json:"object"` // Kind/namespace/name, or Kind/name of what is in no namespace
	From   int32  `json:"from"`
	To     int32  `json:"to"`
	By     string `json:"by"`     // Kind/namespace/name of who did it
	Reason string `json:"reason"` // in its words
}

// Condition is a condition of an autoscaler's object, whenever it changes, in the controller's words.
type Condition struct {
	Object  string `json:"object"` // Kind/namespace/name
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"msg,omitempty"`
}

func (Service) Kind() string    { return "service" }
func (Replica) Kind() string    { return "replica" }
func (Requests) Kind() string   { return "requests" }
func (RequestEnd) Kind() string { return "request.end" }
func (PodStage) Kind() string   { return "pod.stage" }
func (Machine) Kind() string    { return "machine" }
func (Scale) Kind() string      { return "scale" }
func (Condition) Kind() string  { return "condition" }
