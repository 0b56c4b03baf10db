// Package plan is what a run is made of, in plain Go values: node pools, nodes, the scheduler's configuration, the
// manifests and the stream of jobs. Scenarios build it, the simulator runs it; neither knows the other.
//
// It holds no YAML and no Kubernetes types. Files of the user (scheduler configuration, stages, manifests) travel as
// bytes, verbatim, and are read by the parts that understand them. Everything here is resolved: no defaults are left
// to fill in, and slices are in the order the simulator must keep.
//
// It belongs to the base layer of sim: it imports units and nothing else of the project.
package plan

import (
	"time"

	"orrery/sim/units"
)

// Plan is one run, without its jobs.
type Plan struct {
	Name        string
	Description string
	Title       string    // heading of reports; never empty
	Trace       string    // what the jobs are, for people: a file and its format, or the generator's name
	Seed        uint64    // of all random streams
	Epoch       time.Time // wall time of units.Time(0), UTC, whole seconds
	// Horizon ends the run. 0 = the run ends when the jobs are exhausted and nothing is left that can change.
	Horizon units.Duration

	Pools []Pool
	Nodes []Node // grouped by pool, in pool order
	// Topology says where the nodes stand; nil = nothing is known of that.
	Topology  *Topology
	Scheduler Scheduler
	Stages    []File // KWOK Stage manifests; empty = the simulator's built-in stages
	Manifests []File // any Kubernetes objects, created before the first job, in this order
	// Repartitions are changes of how GPUs are divided, by time.
	Repartitions []Repartition
	Pods         Pods
	// Gangs makes gangs of the manifests' jobs of operators that have at least Min pods; nil = none is one.
	Gangs *Gang
	// JobController is nil when no job of the trace is a Job object.
	JobController *JobController
	Pricing       Pricing
	// Services answer requests; none in runs of jobs alone.
	Services    []Service
	Registry    Registry
	Metrics     Metrics
	Autoscalers Autoscalers
	// JournalRequests asks for a journal record of every request that has ended.
	JournalRequests bool
	// JournalAPI asks for a journal record of every committed write of the in-memory API.
	JournalAPI bool
	Expect     []Bound
	Storage    *Storage  // nil = not modelled
	Warnings   []Warning // what the reader must know about the scenario itself
	// Resolved is the scenario with all defaults explicit, YAML, written beside the results.
	Resolved []byte
}

// File is a file of the user by name (for messages) and content.
type File struct {
	Name string
	Data []byte
}

// Warning is something counted that the reader of the results must know.
type Warning struct {
	Code    string // stable, lower-case words joined by hyphens
	Message string
	Count   int64
}

// Sharing strategies of a pool, as the NVIDIA device plugin names them.
const (
	SharingNone        = "none"
	SharingTimeSlicing = "time-slicing"
)

// Pool is a set of equal nodes. All numbers are those of one node.
type Pool struct {
	Name        string
	CPUMilli    int64
	MemoryMiB   int64
	MaxPods     int64
	GPUModel    string // catalogue key; "" when GPUsPerNode is 0
	GPUsPerNode int
	// Resource is the extended resource nodes offer (e.g. nvidia.com/gpu, or nvidia.com/gpu.shared when a shared
	// resource is renamed); "" without GPUs. A node's allocatable amount is GPUsPerNode × SlotsPerGPU.
	Resource    string
	Sharing     string // SharingNone, SharingTimeSlicing, SharingMPS, SharingMIG or SharingFraction
	SlotsPerGPU int    // 1 = whole GPUs; n = n replicas of each by time-slicing or MPS; 0 without GPUs
	// Slots gives single GPUs, by index, another division: into MIG instances. An empty one is a GPU in MIG mode that
	// has none.
	Slots map[int][]Slot
	// Most bounds the units of an extended resource that one pod may ask for, by resource; none = no bound.
	Most map[string]int
	// Labels of every node of the pool: the user's, the well-known ones for instance type, zone, region, OS and
	// architecture, and the GPU's as its feature discovery would set them. kubernetes.io/hostname is the simulator's.
	Labels map[string]string
	Taints []Taint
	// Driver says who offers the GPUs: DriverDevicePlugin or DriverDRA; "" is the former.
	Driver string
	DRA    DRA // with DriverDRA

	MemoryMiBPerGPU      int64   // 0 = not known
	IdleWatts, BusyWatts float64 // per GPU; -1 = not known
	IdleWattsSource      string
	BusyWattsSource      string
	Price                Price
	// Elastic is nil when the pool's nodes are there from the beginning to the end.
	Elastic *Elastic
	// Links is how the GPUs of a node reach each other and the network, as far as it is known.
	Links Links
	// Accelerator is what the speed model needs; nil when no job has a speed, or without GPUs.
	Accelerator *Accelerator
}

// Price is what one GPU (or, without GPUs, one node) of a pool costs per hour.
type Price struct {
	Known bool
	// PerGPUHour is USD × 10⁻⁶ per physical GPU and hour. With Known false it is 0 and means nothing.
	PerGPUHour units.MicroUSD
	// PerNodeHour is the price of a node without GPUs; nodes with GPUs are priced by their GPUs alone.
	PerNodeHour units.MicroUSD
	Source      string // where the figure comes from, with its date; for an unknown price why it is unknown
}

// Taint is a node taint.
type Taint struct{ Key, Value, Effect string }

// Toleration is a pod's toleration, as in the Kubernetes API. Seconds is nil when not limited.
type Toleration struct {
	Key, Operator, Value, Effect string
	Seconds                      *int64
}

// Node is one node; everything else about it is its pool's.
type Node struct {
	Name string
	Pool int // index into Plan.Pools
	// Domains are the names of the node's domains, one for each layer of Plan.Topology; "" where it is in none. In the
	// last layer it is the node's own name. Empty without a topology.
	Domains []string
	// Labels are the node's own, over those of its pool.
	Labels map[string]string
}

// Scheduler configures kube-scheduler.
type Scheduler struct {
	// Config is a KubeSchedulerConfiguration, verbatim; empty Data = upstream's defaults.
	Config       File
	FeatureGates map[string]bool
	Latency      Latency
}

// Latency is how long steps take that the real scheduler and API server need time for. All spans are ≥ 0.
type Latency struct {
	Attempt units.Duration // one scheduling cycle; the scheduler decides about one pod at a time
	// AttemptPerNode is added to Attempt for every node the cycle looked at.
	AttemptPerNode units.Duration
	API            units.Duration // a write, from request to commit
	Watch          units.Duration // from commit until a watching component sees it
}

// Restart policies of lost pods (preempted, evicted, node gone).
const (
	RestartAlways = "always" // a replacement pod is made at once
	RestartNever  = "never"  // the job ends killed
)

// Pods is what happens to pods, whatever job they belong to.
type Pods struct {
	// TerminationGrace is the longest time between deletion and the release of devices: what the stages make of a pod's
	// terminationGracePeriodSeconds. The built-in ones stop its containers at a random moment within it.
	TerminationGrace units.Duration
	Restart          string // RestartAlways or RestartNever
	// CheckpointInterval is the distance between saved states of the work: a lost pod's job goes back to the last
	// multiple of it. 0 = all progress is lost.
	CheckpointInterval units.Duration
	// StartTogether starts the work of a job when all its pods run (a gang's barrier). Otherwise every pod works
	// from its own start.
	StartTogether bool
	// DropUnschedulable deletes a pod, and ends its job as killed, when its first scheduling attempt fails.
	DropUnschedulable bool
}

// Pricing is how costs are computed.
type Pricing struct {
	Basis     string // on-demand, spot, reserved-1y, reserved-3y or owned
	PUE       float64
	PUESource string
	USDPerKWh float64
	KWhSource string
}

// Bound is one bound on a number of result.json.
type Bound struct {
	Path     string // of JSON names joined by dots, e.g. queue_wait_seconds.p95
	Min, Max *float64
}

// JobSource is a stream of jobs ordered by Submit. It is read once, by one goroutine.
type JobSource interface {
	// Next returns the next job, or io.EOF after the last. Any other error ends the run; it names file and line
	// where there is one. The job is the caller's own.
	Next() (Job, error)
	// Warnings returns what was counted so far: skipped rows, unknown models, rounded shares. Sorted by code.
	Warnings() []Warning
	// Close releases the source's files. Warnings may still be asked.
	Close() error
}

// Job is a set of pods that are submitted together.
type Job struct {
	Name      string // unique in the run; a DNS-1123 label of at most 52 characters: pods are <Name>-<index>
	ID        string // as the trace calls it
	Namespace string // a DNS-1123 label
	Tenant    string // as the trace calls it; may be empty
	User      string
	Class     string
	Submit    units.Time     // on the engine's grid
	Run       units.Duration // length of the work, on the grid; 0 = until the run ends when Forever, else no time
	Forever   bool           // the work has no end
	Outcome   string         // succeeded, failed or killed: how the work ends when its time has come
	// PriorityClass names a PriorityClass; "" = none.
	PriorityClass string
	SchedulerName string // profile that schedules the pods; never empty
	Tolerations   []Toleration
	// Require are node label requirements; a pod fits a node only when all hold (required node affinity, one term).
	Require []Requirement
	Pods    []Pod  // at least one
	Gang    *Gang  // the pods are placed together; nil = each alone
	Batch   *Batch // the job is a Job object of the API; nil = plain pods
	// Training says what the job computes, for its speed; nil = it always runs as fast as the trace says.
	Training *Training
}

// Requirement asks that a node's label Key has one of Values (node affinity operator In).
type Requirement struct {
	Key    string
	Values []string // sorted, not empty
}

// Pod is what one pod asks for.
type Pod struct {
	// Name of the pod object; "" = <job>-<index>.
	Name      string
	CPUMilli  int64
	MemoryMiB int64
	Resource  string // extended resource; "" when Slots is 0, and with a Fraction
	Slots     int    // units of Resource: whole GPUs, replicas, or MIG instances; of Fraction: devices
	// Fraction is what the pod asks for by annotation, in place of a Resource; nil = it does not.
	Fraction *Fraction
	// GPUs is the physical capacity the slots stand for: Slots × 1000 ÷ slots per GPU, rounded up; of MIG instances
	// Slots × the instance's part of the GPU's compute slices. With claims it is that of the first alternatives.
	GPUs units.MilliGPU
	// Demand is what the work keeps busy of each of its GPUs when it goes as fast as the trace says; 0 = all of it.
	Demand units.MilliGPU
	// Claims are asked for beside Resource; a template is made of each distinct one.
	Claims []Claim
}

// GPUs returns the physical GPU capacity all pods of the job ask for.
func (j Job) GPUs() units.MilliGPU {
	var sum units.MilliGPU
	for _, p := range j.Pods {
		sum += p.GPUs
	}
	return sum
}
