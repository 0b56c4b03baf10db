// Package journal is the truth of a run: an ordered, hashed, zstd-compressed stream of records, one JSON object a line.
// Utilization, queueing, cost, reports and explanations are folds over it.
//
// It belongs to the base layer: it knows names of things, not Kubernetes and not GPUs.
package journal

import "orrery/sim/units"

// FormatVersion is the version of the record format. A reader refuses a newer major version.
const FormatVersion = 1

// Record is one line of the journal: an instant and a body of one of the types below.
// On disk: {"t":<ns since time zero>,"k":"<Kind>",...fields of the body}.
type Record struct {
	At   units.Time
	Body Body
}

// Body is the payload of a record. Kind is its stable name in the file.
type Body interface{ Kind() string }

// Run opens the journal.
type Run struct {
	Format    int               `json:"format"`
	Scenario  string            `json:"scenario"`
	Seed      uint64            `json:"seed"`
	Epoch     string            `json:"epoch"` // RFC 3339 instant of time zero
	Trace     string            `json:"trace,omitempty"`
	Versions  map[string]string `json:"versions,omitempty"` // component → version, upstream modules included
	Scheduler []string          `json:"profiles,omitempty"` // scheduler profile names
}

// Pool declares a node pool. It precedes its nodes.
type Pool struct {
	Pool         string `json:"pool"`
	GPUModel     string `json:"gpu_model,omitempty"` // catalogue key
	GPUsPerNode  int    `json:"gpus_per_node"`
	SlotsPerGPU  int    `json:"slots_per_gpu"` // 1 = whole GPUs; n = n time-sliced replicas of each
	CPUMilli     int64  `json:"cpu_milli"`
	MemoryMiB    int64  `json:"memory_mib"`
	ResourceName string `json:"resource,omitempty"` // extended resource, e.g. nvidia.com/gpu
	MaxPods      int64  `json:"max_pods,omitempty"` // of one node; 0 = MaxPods
	// NICs of a node for traffic between GPUs, and what each can send, 10⁶ bytes per second. Told with a topology only.
	NICs  int   `json:"nics,omitempty"`
	NICMB int64 `json:"nic_mbs,omitempty"`
	// Link is the kind of link between GPUs, "" = PCIe, and LinkMB what one GPU can send over it, 10⁶ bytes per second.
	Link   string `json:"link,omitempty"`
	LinkMB int64  `json:"link_mbs,omitempty"`
}

// MaxPods is how many pods a node takes when its pool does not say: the kubelet's own default (KubeletConfiguration,
// maxPods).
const MaxPods = 110

// Topology names the layers of the cluster's topology, coarse to fine, e.g. zone, spine, leaf, nvlink, node. It
// precedes the nodes. A run without it knows nothing of where nodes stand.
type Topology struct {
	Layers []string `json:"layers,omitempty"`
}

// Layer describes one of Topology's layers, which it follows.
type Layer struct {
	Layer string `json:"layer"`
	// Layer's kind: region, zone, core, spine, leaf, nvlink or node.
	LayerKind string   `json:"kind"`
	Labels    []string `json:"labels,omitempty"` // keys of the node labels that carry its domains
}

// Domain describes a domain of a layer other than the nodes'. It follows the layers and precedes the nodes.
type Domain struct {
	Layer  string `json:"layer"`
	Domain string `json:"domain"`
	Places int    `json:"places"` // nodes that it was built for
	// Uplink is the bandwidth of all its uplinks in one direction, 10⁶ bytes per second; 0 = without limit.
	Uplink int64 `json:"uplink_mbs,omitempty"`
	// Oversubscription is what its members can send up together ÷ Uplink, in thousandths; 0 without a limit.
	Oversubscription int64 `json:"oversubscription_milli,omitempty"`
	Rails            int   `json:"rails,omitempty"` // equal parts of it, one for each NIC of a node
}

// Node states.
const (
	NodeUp      = "up"      // schedulable capacity
	NodeDown    = "down"    // exists, its devices are out of service
	NodeRemoved = "removed" // gone
)

// Node announces a node's state. Its capacity counts as up or down until the next Node record of the same name.
type Node struct {
	Node  string `json:"node"`
	Pool  string `json:"pool"`
	State string `json:"state"`
	GPUs  int    `json:"gpus"` // physical GPUs
	// Domains are the names of the node's domains, one for each of Topology's layers; "" where it is in none.
	Domains []string `json:"domains,omitempty"`
}

// Partition says into which slots the GPUs of a node are divided from now on, until the node is removed. Without one a
// GPU is whole, or divided into the equal replicas of its pool, or partitioned at need (dynamic MIG), which its owners'
// slots tell.
type Partition struct {
	Node  string `json:"node"`
	Slots []Slot `json:"slots,omitempty"` // by GPU and first slice
}

// JobSubmit announces a job.
type JobSubmit struct {
	Job       string         `json:"job"`
	Tenant    string         `json:"tenant,omitempty"`
	Class     string         `json:"class,omitempty"` // size class or workload class, free text
	Pods      int            `json:"pods"`
	GPUs      units.MilliGPU `json:"gpus_milli"` // of the whole job
	CPUMilli  int64          `json:"cpu_milli"`  // of the whole job
	MemoryMiB int64          `json:"memory_mib"`
	Priority  int32          `json:"priority,omitempty"`
	Run       units.Duration `json:"run_ns"`            // length of the work; 0 = until the run ends
	Outcome   string         `json:"outcome,omitempty"` // what the trace says will happen: succeeded, failed, killed
	Gang      int            `json:"gang,omitempty"`    // pods that must be placed together; 0 = each alone
	// Within is what one domain of must hold the gang: a layer of the topology, or else a node label; "" = nothing.
	Within string `json:"within,omitempty"`
	// Pools are the pools with GPUs whose labels, taints and extended resource admit the pods. nil = all of them; one
	// without a name = none of them.
	Pools []string `json:"pools,omitempty"`
}

// JobPlaced says that each of the job's pods has now been bound once. One of them may have been lost again since.
type JobPlaced struct {
	Job string `json:"job"`
}

// JobStart says that each of the job's pods has now run once.
type JobStart struct {
	Job string `json:"job"`
}

// JobSpeed says how fast the job's work goes from now on, and why. It follows the job's start, and comes again whenever
// the speed changes. The speed is that of the work as the trace or the model describes it: 1,000,000 is the best
// placement this cluster has for the job, alone, on the GPU it was described for.
type JobSpeed struct {
	Job   string `json:"job"`
	Pod   string `json:"pod,omitempty"` // that works alone; "" = all of the job's, which work together
	Speed int64  `json:"speed_ppm"`     // the product of the three factors below
	// Hardware is the factor of the GPUs the job landed on, against those it was described for.
	Hardware int64 `json:"hardware_ppm"`
	// Placement is the factor of where its pods stand to each other; ≤ 1,000,000.
	Placement int64 `json:"placement_ppm"`
	// Sharing is the factor of others on the same links and GPUs; ≤ 1,000,000.
	Sharing int64 `json:"sharing_ppm"`
	// Layer is the finest layer of the topology of which one domain holds the whole job; "" when none does.
	Layer string `json:"layer,omitempty"`
	// Spans counts the job's domains, one number for each of Topology's layers.
	Spans []int `json:"spans,omitempty"`
}

// JobRestart says that a pod of the job was lost and will be made again.
type JobRestart struct {
	Job    string         `json:"job"`
	Pod    string         `json:"pod"`           // the lost pod
	Reason string         `json:"reason"`        // preempted, evicted, node, …
	Lost   units.Duration `json:"lost_ns"`       // progress thrown away
	GPUs   units.MilliGPU `json:"gpus_milli"`    // of the lost pod: lost GPU-time = GPUs × Lost
	New    string         `json:"new,omitempty"` // the replacement pod
}

// Job outcomes.
const (
	Succeeded = "succeeded"
	Failed    = "failed"
	Killed    = "killed"
	Rejected  = "rejected" // the API refused it; never queued
)

// JobEnd closes a job. Jobs without one are running or pending when the run ends.
type JobEnd struct {
	Job     string `json:"job"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
}

// PodCreate says a pod object exists and waits for the scheduler.
type PodCreate struct {
	Pod       string         `json:"pod"` // namespace/name
	Job       string         `json:"job,omitempty"`
	Service   string         `json:"service,omitempty"` // whose replica it is, or a part of it
	Profile   string         `json:"profile,omitempty"` // scheduler name
	Priority  int32          `json:"priority,omitempty"`
	GPUs      units.MilliGPU `json:"gpus_milli"`
	Slots     int            `json:"slots"` // allocatable units asked
	CPUMilli  int64          `json:"cpu_milli"`
	MemoryMiB int64          `json:"memory_mib"`
	MIG       string         `json:"mig,omitempty"` // profile of the slots asked, where it asks for one
}

// Attempt results.
const (
	Scheduled     = "scheduled"
	Unschedulable = "unschedulable"
	Error         = "error"
)

// Attempt is one scheduling cycle of one pod, in the scheduler's own words.
type Attempt struct {
	Pod       string   `json:"pod"`
	N         int      `json:"n"` // 1-based
	Result    string   `json:"result"`
	Node      string   `json:"node,omitempty"`
	Evaluated int      `json:"evaluated,omitempty"` // nodes looked at
	Feasible  int      `json:"feasible,omitempty"`
	Message   string   `json:"msg,omitempty"`
	Plugins   []string `json:"plugins,omitempty"`   // that rejected, sorted
	Nominated string   `json:"nominated,omitempty"` // node nominated by preemption
}

// Preempt says that the scheduler chose Victim to make room for By on Node.
type Preempt struct {
	Victim string `json:"victim"`
	By     string `json:"by"`
	Node   string `json:"node"`
}

// PodBind says the API accepted the binding.
type PodBind struct {
	Pod  string `json:"pod"`
	Node string `json:"node"`
}

// Slot is one allocatable unit of a node: replica Replica of physical GPU Index, or of a MIG instance of it. Whole GPUs
// have replica 0 and no profile.
type Slot struct {
	Index   int            `json:"gpu"`
	Replica int            `json:"replica,omitempty"`
	Share   units.MilliGPU `json:"milli"`
	// Profile is the MIG profile, e.g. 3g.40gb. The instance occupies the memory slices Start … Start+Slices-1.
	Profile string `json:"profile,omitempty"`
	Start   int    `json:"start,omitempty"`
	Slices  int    `json:"slices,omitempty"`
}

// PodAssign gives devices to a pod; they are its own until PodRelease.
type PodAssign struct {
	Pod   string `json:"pod"`
	Node  string `json:"node"`
	Slots []Slot `json:"slots,omitempty"`
}

// PodStart says the pod's containers run.
type PodStart struct {
	Pod string `json:"pod"`
}

// PodTerminate says deletion of the pod has begun; it holds its devices until PodRelease.
type PodTerminate struct {
	Pod    string         `json:"pod"`
	Reason string         `json:"reason"`
	Grace  units.Duration `json:"grace_ns"`
}

// PodEnd says the pod's containers have stopped.
type PodEnd struct {
	Pod    string `json:"pod"`
	Phase  string `json:"phase"` // Succeeded or Failed
	Reason string `json:"reason,omitempty"`
}

// PodRelease returns the pod's devices.
type PodRelease struct {
	Pod  string `json:"pod"`
	Node string `json:"node"`
}

// PodDelete says the pod object is gone.
type PodDelete struct {
	Pod string `json:"pod"`
}

// API is one committed write of the in-memory Kubernetes API.
type API struct {
	Verb   string `json:"verb"` // create, update, delete
	Object string `json:"obj"`  // resource/namespace/name
	Sub    string `json:"sub,omitempty"`
	RV     uint64 `json:"rv"`
}

// Warn counts something a reader must know: skipped trace rows, fallbacks, clipped values.
type Warn struct {
	Code    string `json:"code"`
	Message string `json:"msg"`
	Count   int64  `json:"count,omitempty"`
}

// Why a run ended.
const (
	EndDrained = "drained" // trace exhausted and nothing left that can change
	EndHorizon = "horizon" // the scenario's time limit
)

// End closes the journal of a whole run. A journal without it is not whole.
type End struct {
	Reason string `json:"reason"`
}

func (Run) Kind() string          { return "run" }
func (Pool) Kind() string         { return "pool" }
func (Topology) Kind() string     { return "topology" }
func (Layer) Kind() string        { return "layer" }
func (Domain) Kind() string       { return "domain" }
func (Node) Kind() string         { return "node" }
func (Partition) Kind() string    { return "partition" }
func (JobSubmit) Kind() string    { return "job.submit" }
func (JobPlaced) Kind() string    { return "job.placed" }
func (JobStart) Kind() string     { return "job.start" }
func (JobSpeed) Kind() string     { return "job.speed" }
func (JobRestart) Kind() string   { return "job.restart" }
func (JobEnd) Kind() string       { return "job.end" }
func (PodCreate) Kind() string    { return "pod.create" }
func (Attempt) Kind() string      { return "attempt" }
func (Preempt) Kind() string      { return "preempt" }
func (PodBind) Kind() string      { return "pod.bind" }
func (PodAssign) Kind() string    { return "pod.assign" }
func (PodStart) Kind() string     { return "pod.start" }
func (PodTerminate) Kind() string { return "pod.terminate" }
func (PodEnd) Kind() string       { return "pod.end" }
func (PodRelease) Kind() string   { return "pod.release" }
func (PodDelete) Kind() string    { return "pod.delete" }
func (API) Kind() string          { return "api" }
func (Warn) Kind() string         { return "warn" }
func (End) Kind() string          { return "end" }
