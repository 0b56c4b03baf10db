package scenarios

import (
	"time"

	"gopkg.in/yaml.v3"

	"orrery/sim/catalog"
	"orrery/sim/plan"
	"orrery/sim/strict"
)

// The comments of the fields below are the text of the tables in README.md; a test keeps the two equal.

// Scenario is one run: a cluster, jobs, a scheduler and what to report of them. Load, Parse and Open make it; a
// scenario in hand is valid.
type Scenario struct {
	// Version of this format: orrery/v1.
	APIVersion string `yaml:"apiVersion" required:"true" enum:"orrery/v1"`
	// Always Scenario.
	Kind string `yaml:"kind" required:"true" enum:"Scenario"`
	// Name of the run: lower-case letters, digits and dashes.
	Name string `yaml:"name" required:"true"`
	// What the run shows, for people.
	Description string `yaml:"description"`
	// Wall time of the run's time zero, RFC 3339. It decides nothing but time stamps.
	Epoch Time `yaml:"epoch"`
	// Seed of all random streams.
	Seed uint64 `yaml:"seed"`
	// Simulated span after which the run ends, e.g. 30d. 0s: the run ends when it is drained, that is, when the trace
	// is exhausted and nothing is left that can change.
	Horizon Duration `yaml:"horizon"`
	// Catalogue files that add or replace GPUs and prices.
	Catalog []File `yaml:"catalog"`
	// The nodes.
	Cluster Cluster `yaml:"cluster" required:"true"`
	// The jobs. May be left out when there are services.
	Trace Trace `yaml:"trace"`
	// How jobs become pods.
	Workload Workload `yaml:"workload"`
	// What answers requests: models and their replicas.
	Services []Service `yaml:"services"`
	// Where images and weights of services come from.
	Registry Registry `yaml:"registry"`
	// What controllers see of pods, and when.
	Metrics Metrics `yaml:"metrics"`
	// Controllers that change replicas and nodes.
	Autoscaling Autoscaling `yaml:"autoscaling"`
	// The scheduler.
	Scheduler Scheduler `yaml:"scheduler"`
	// KWOK Stage files (kwok.x-k8s.io/v1alpha1), verbatim: how pods start, run and stop. Empty: the built-in stages.
	Stages []File `yaml:"stages"`
	// Files of Kubernetes objects, verbatim, created before the first job: PriorityClass, PodDisruptionBudget,
	// ResourceQuota and others.
	Manifests []File `yaml:"manifests"`
	// How costs are computed.
	Pricing Pricing `yaml:"pricing"`
	// What the journal holds beyond the usual.
	Journal Journal `yaml:"journal"`
	// How reports look.
	Report Report `yaml:"report"`
	// Bounds on numbers of result.json by path, e.g. queue_wait_seconds.p95: {max: 600}. A run that misses one fails.
	Expect map[string]Bound `yaml:"expect"`

	doc     *strict.Doc
	catalog *catalog.Catalog
	places  *plan.Plan // of the nodes only, for layers
	notes   []plan.Warning
}

// SetDefaults fills in what a scenario need not say.
func (s *Scenario) SetDefaults() {
	s.Epoch = Time(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	s.Seed = 1
	s.Workload.SetDefaults()
	s.Scheduler.SetDefaults()
	s.Pricing.SetDefaults()
	s.Metrics.SetDefaults()
	s.Autoscaling.SetDefaults()
	s.Registry.SetDefaults()
}

// Cluster is the nodes of a run.
type Cluster struct {
	// Groups of equal nodes.
	Pools []Pool `yaml:"pools"`
	// Nodes read from a file of a trace, grouped into pools by shape after the pools above.
	NodeList *NodeList `yaml:"nodeList,omitempty"`
	// Where the nodes stand to each other. Without it nothing is known of that.
	Topology *Topology `yaml:"topology,omitempty"`
	// The shared file system that checkpoints go to.
	Storage *Storage `yaml:"storage,omitempty"`
}

// Pool is a group of equal nodes.
type Pool struct {
	// Name, unique in the cluster: lower-case letters, digits and dashes.
	Name string `yaml:"name" required:"true"`
	// Catalogue key or alias of a node type, e.g. dgx-h100 or gb200-nvl72 (see `orrery catalog list nodes`). It gives
	// gpu, gpusPerNode, cpu, memory and instanceType where the pool does not. Its CPU and memory are what the machine
	// has; write cpu and memory for the less that a kubelet offers.
	Node string `yaml:"node,omitempty"`
	// Catalogue key or alias of the GPU, e.g. h100-sxm or H100. Leave it out for nodes without GPUs.
	GPU string `yaml:"gpu"`
	// Number of nodes.
	Nodes int `yaml:"nodes" required:"true" min:"0" max:"200000"`
	// The nodes come and go. Absent: they are there from the beginning to the end.
	Elastic *Elastic `yaml:"elastic,omitempty"`
	// Names of the nodes, as many as there are nodes. Empty: nodeNamePrefix and a number.
	NodeNames []string `yaml:"nodeNames"`
	// Beginning of the nodes' names. Default: the pool's name and a dash.
	NodeNamePrefix string `yaml:"nodeNamePrefix"`
	// GPUs of one node.
	GPUsPerNode int `yaml:"gpusPerNode" min:"0" max:"1024"`
	// Allocatable CPU of one node, e.g. 96 or 95500m.
	CPU CPU `yaml:"cpu" required:"without node"`
	// Allocatable memory of one node, e.g. 1Ti or 921600Mi; parts of a Mi are cut off.
	Memory Memory `yaml:"memory" required:"without node"`
	// Pods one node takes. The kubelet's own default is 110.
	MaxPods int `yaml:"maxPods" min:"1" max:"10000"`
	// Node labels, beside those that the simulator sets (see "Labels" below).
	Labels map[string]string `yaml:"labels"`
	// Node taints.
	Taints []Taint `yaml:"taints"`
	// Value of topology.kubernetes.io/zone.
	Zone string `yaml:"zone"`
	// Value of topology.kubernetes.io/region.
	Region string `yaml:"region"`
	// Where the nodes stand in their network. Default: they begin a new leaf.
	Topology *Place `yaml:"topology,omitempty"`
	// Value of node.kubernetes.io/instance-type.
	InstanceType string `yaml:"instanceType"`
	// Who offers the GPUs to the scheduler. device-plugin: extended resources in the nodes' status. dra: ResourceSlices of
	// dynamic resource allocation (drivers gpu.nvidia.com, gpu.amd.com, gaudi.intel.com).
	Driver string `yaml:"driver" enum:"device-plugin|dra"`
	// With driver dra: how it behaves.
	DRA DRA `yaml:"dra"`
	// How the device plugin shares GPUs.
	Sharing Sharing `yaml:"sharing"`
	// Changes of how GPUs are divided into MIG instances, while the run goes on.
	Repartition []Repartition `yaml:"repartition,omitempty"`
	// Price of the pool's GPUs, in place of the catalogue's.
	Price *Price `yaml:"price,omitempty"`
}

// SetDefaults fills in what a pool need not say.
func (p *Pool) SetDefaults() {
	p.MaxPods = kubeletMaxPods
	p.Driver = plan.DriverDevicePlugin
	p.DRA.SetDefaults()
	p.Sharing.SetDefaults()
}

// kubeletMaxPods is the default of the kubelet's maxPods (k8s.io/kubernetes v1.37.2 pkg/kubelet/apis/config/v1beta1).
const kubeletMaxPods = 110

// Taint is a node taint.
type Taint struct {
	// Key, e.g. nvidia.com/gpu.
	Key string `yaml:"key" required:"true"`
	// Value.
	Value string `yaml:"value"`
	// What it does to pods that do not tolerate it.
	Effect string `yaml:"effect" required:"true" enum:"NoSchedule|PreferNoSchedule|NoExecute"`
}

// Price is a price with its source: exactly one of its first three fields.
type Price struct {
	// USD per GPU and hour on the scenario's pricing basis, any but owned.
	USDPerGPUHour *float64 `yaml:"usdPerGPUHour,omitempty" min:"0" max:"10000"`
	// USD per node and hour, for nodes without GPUs.
	USDPerNodeHour *float64 `yaml:"usdPerNodeHour,omitempty" min:"0" max:"10000"`
	// What a GPU cost to buy, for the pricing basis owned.
	Owned *Owned `yaml:"owned,omitempty"`
	// Where the figure comes from: a list with its date, or a contract.
	Source string `yaml:"source" required:"true" min:"1"`
}

// Owned is the capital cost of a GPU with its share of server, network and building. Energy comes on top.
type Owned struct {
	// USD per GPU.
	USDPerGPU float64 `yaml:"usdPerGPU" required:"true" min:"0" max:"10000000"`
	// Years over which it is written off.
	Years float64 `yaml:"years" required:"true" min:"0.1" max:"50"`
	// Part of the price left at the end, from 0 to 1.
	Residual float64 `yaml:"residual" min:"0" max:"1"`
}

// NodeList is nodes listed in a file of a trace.
type NodeList struct {
	// Format of the file: openb (columns sn, cpu_milli, memory_mib, gpu, model).
	Format string `yaml:"format" required:"true" enum:"openb"`
	// The file. Relative paths start at the scenario's folder, or at the current one when given by --set.
	File string `yaml:"file" required:"true" min:"1"`
	// Pods one node takes.
	MaxPods int `yaml:"maxPods" min:"1" max:"10000"`
	// How the device plugin shares GPUs.
	Sharing Sharing `yaml:"sharing"`
}

// SetDefaults fills in what a node list need not say.
func (l *NodeList) SetDefaults() {
	l.MaxPods = kubeletMaxPods
	l.Sharing.SetDefaults()
}

// Trace is where the jobs come from: exactly one of file, generate and builtin.
type Trace struct {
	// A trace file, compressed or not. Relative paths start at the scenario's folder, or at the current one when given
	// by --set.
	File string `yaml:"file,omitempty"`
	// Name of the file's format. Empty: found out from the file itself.
	Format string `yaml:"format,omitempty"`
	// Options of the format.
	Options map[string]string `yaml:"options,omitempty"`
	// Leave malformed rows out and count them in the results, instead of refusing the file.
	SkipBad bool `yaml:"skipBad,omitempty"`
	// SHA-256 of the file, hexadecimal. When given, a file with another content is refused.
	SHA256 string `yaml:"sha256,omitempty"`
	// A generator's specification, inline (see traces/gen).
	Generate *yaml.Node `yaml:"generate,omitempty"`
	// A trace that comes with the program. empty: no jobs at all.
	Builtin string `yaml:"builtin,omitempty" enum:"empty"`
	// Steps that change the trace, in order.
	Transform []Step `yaml:"transform,omitempty"`
}

// Step changes a trace; exactly one field is given.
type Step struct {
	// Keep the jobs submitted inside a span, whose beginning becomes time zero.
	Clip *Clip `yaml:"clip,omitempty"`
	// Keep the first jobs, this many.
	First *int64 `yaml:"first,omitempty" min:"1" max:"1000000000"`
	// Multiply all times by this factor; the load stays.
	ScaleTime *float64 `yaml:"scaleTime,omitempty" min:"0.000001" max:"1000000"`
	// Divide the time between submissions by this factor and leave the run times: 2 doubles the load.
	CompressGaps *float64 `yaml:"compressGaps,omitempty" min:"0.000001" max:"1000000"`
	// Keep each job with this probability, decided by the seed and the job's id.
	Thin *float64 `yaml:"thin,omitempty" min:"0.000001" max:"1"`
	// Keep the jobs of these tenants.
	Tenants []string `yaml:"tenants,omitempty"`
}

// Clip is a span of a trace.
type Clip struct {
	// Beginning of the span.
	From Duration `yaml:"from"`
	// End of the span; jobs submitted at it are left out.
	To Duration `yaml:"to" required:"true"`
}

// Workload is how jobs become pods.
type Workload struct {
	// GPUs of the largest pod; a job that asks for more is split into full pods and a rest. 0: the largest node's.
	MaxGPUsPerPod int `yaml:"maxGPUsPerPod" min:"0" max:"1024"`
	// CPU per GPU, in thousandths of a core, of jobs whose trace does not say; a part of a GPU gets that part of it.
	CPUMilliPerGPU int64 `yaml:"cpuMilliPerGPU" min:"0" max:"1000000"`
	// Memory per GPU, in MiB, of jobs whose trace does not say; a part of a GPU gets that part of it.
	MemoryMiBPerGPU int64 `yaml:"memoryMiBPerGPU" min:"0" max:"100000000"`
	// CPU of a pod without GPUs, in thousandths of a core, when the trace does not say.
	CPUMilliPerPod int64 `yaml:"cpuMilliPerPod" min:"0" max:"1000000"`
	// Memory of a pod without GPUs, in MiB, when the trace does not say.
	MemoryMiBPerPod int64 `yaml:"memoryMiBPerPod" min:"0" max:"100000000"`
	// How pods ask for GPUs. resource: by an extended resource, which a device plugin offers, or for which a DeviceClass
	// of pools with driver dra stands. claim: by a ResourceClaim of their own, made from a template; a job that names
	// several GPU models asks for the first that can be had (a prioritized list).
	Request string `yaml:"request" enum:"resource|claim"`
	// Jobs that ask for a part of a GPU. whole: they get whole GPUs. time-slice: they get as many replicas of a
	// time-sliced GPU, or of one under MPS, as cover their share, rounded up. mig: they get a MIG instance of the smallest
	// profile offered whose part of the compute slices covers their share. annotate: all jobs ask for their GPUs, whole
	// ones or parts, by annotation (alibabacloud.com/gpu-count, gpu-milli and gpu-card-model), for pools with sharing
	// fraction.
	Fractions string `yaml:"fractions" enum:"whole|time-slice|mig|annotate"`
	// Publish the pods typical of the trace in the cluster, for scheduler plugins that want to know them. Absent: not.
	TypicalPods *TypicalPods `yaml:"typicalPods,omitempty"`
	// Rules that give jobs an extended resource in place of their GPUs; the first that matches counts.
	Resources []ResourceRule `yaml:"resources,omitempty"`
	// Extended resource of jobs that name no GPU model. Empty: the only one that the pools offer.
	Resource string `yaml:"resource"`
	// Jobs that name GPU models. require: only nodes with such a GPU will do. ignore: any will.
	GPUModels string `yaml:"gpuModels" enum:"require|ignore"`
	// Node label that names the GPU model. Empty: the product label of the vendor's feature discovery.
	GPUModelLabel string `yaml:"gpuModelLabel"`
	// single: all pods in the namespace default. per-tenant: a namespace for each tenant.
	Namespaces string `yaml:"namespaces" enum:"single|per-tenant"`
	// Scheduler profile of jobs that no rule below matches.
	SchedulerName string `yaml:"schedulerName" min:"1"`
	// Rules that give jobs another profile; the first that matches counts.
	SchedulerNames []SchedulerRule `yaml:"schedulerNames"`
	// Priority of a trace → PriorityClass. A priority without an entry is taken as the PriorityClass' own name.
	Priority map[string]string `yaml:"priority"`
	// Class of a trace → PriorityClass, for jobs whose trace has no priority.
	ClassPriority map[string]string `yaml:"classPriority"`
	// Tolerations of every pod.
	Tolerations []Toleration `yaml:"tolerations"`
	// What happens when a pod is lost.
	Restart Restart `yaml:"restart"`
	// each: every pod works from its own start. together: a job's work begins when all its pods run.
	Start string `yaml:"start" enum:"each|together"`
	// What a job of the trace becomes. pods: plain pods. job: an Indexed Job object (batch/v1), whose pods the upstream
	// Job controller makes, replaces and counts.
	As string `yaml:"as" enum:"pods|job"`
	// Job objects, with as: job.
	Job JobObjects `yaml:"job"`
	// Which jobs are placed as a whole.
	Gangs Gangs `yaml:"gangs"`
	// How fast jobs run from where they landed. Absent: as fast as the trace says, wherever that is.
	Training *Training `yaml:"training,omitempty"`
	// When jobs are submitted.
	Submit Submit `yaml:"submit"`
	// Longest time between a pod's deletion and the release of its devices; the built-in stages draw it at random up to
	// this.
	TerminationGraceSeconds float64 `yaml:"terminationGraceSeconds" min:"0" max:"86400"`
}

// SetDefaults fills in what a workload need not say.
func (w *Workload) SetDefaults() {
	*w = Workload{
		// A modest share of common 8-GPU nodes (AWS p5.48xlarge: 24 vCPU and 256 GiB per GPU), so that GPUs and not
		// CPU run out first.
		CPUMilliPerGPU: 8000, MemoryMiBPerGPU: 64 << 10,
		CPUMilliPerPod: 1000, MemoryMiBPerPod: 2 << 10,
		Request: RequestResource, Fractions: FractionsWhole, GPUModels: ModelsRequire, Namespaces: NamespaceSingle,
		SchedulerName: DefaultProfile, Start: StartEach,
		Restart: Restart{Policy: plan.RestartAlways, Lost: LostAll},
		Submit:  Submit{Mode: SubmitTrace, Interval: defaultInterval},
		// Kubernetes' default terminationGracePeriodSeconds (k8s.io/api v0.37.2 core/v1 PodSpec). Well-behaved
		// containers stop earlier, so it is the worst case.
		TerminationGraceSeconds: 30,
	}
	w.As = plan.AsPods
	w.Job.SetDefaults()
	w.Gangs.SetDefaults()
}

// TypicalPods is a list of the most frequent pods of the trace, in a ConfigMap, as an operator would keep it from the
// cluster's past. It is made of the whole trace, also of pods that are still to come: a policy that reads it knows the
// mix of what will be asked for, but neither when nor for how long.
type TypicalPods struct {
	// Name of the ConfigMap, NAMESPACE/NAME. Its key typical-pods.yaml is a list of {cpuMilli, gpus, gpuMilli, models,
	// count}.
	ConfigMap string `yaml:"configMap" required:"true"`
	// The most frequent kinds of pods are listed until they cover this part of all pods.
	Coverage float64 `yaml:"coverage" min:"0.01" max:"1"`
}

// SetDefaults covers what the published fragmentation experiment covers (Weng et al., USENIX ATC 2023).
func (t *TypicalPods) SetDefaults() { t.Coverage = 0.95 }

// SchedulerRule gives the jobs it matches a scheduler profile. Without tenant and class it matches all.
type SchedulerRule struct {
	// Tenant the rule is for. Empty: all.
	Tenant string `yaml:"tenant"`
	// Class the rule is for. Empty: all.
	Class string `yaml:"class"`
	// Profile: a schedulerName of the scheduler's configuration.
	Profile string `yaml:"profile" required:"true" min:"1"`
}

// Toleration is a toleration of pods.
type Toleration struct {
	// Taint key. Empty with operator Exists: all taints.
	Key string `yaml:"key"`
	// Equal (to value) or Exists.
	Operator string `yaml:"operator" enum:"Equal|Exists"`
	// Taint value, with operator Equal.
	Value string `yaml:"value"`
	// Taint effect. Empty: all.
	Effect string `yaml:"effect" enum:"|NoSchedule|PreferNoSchedule|NoExecute"`
	// How long a NoExecute taint is tolerated, in seconds. Absent: for ever.
	Seconds *int64 `yaml:"tolerationSeconds,omitempty" min:"0"`
}

// SetDefaults takes Kubernetes' default operator.
func (t *Toleration) SetDefaults() { t.Operator = "Equal" }

// Restart is what happens when a pod is lost to preemption, eviction or its node.
type Restart struct {
	// always: a new pod takes its place at once. never: the job ends killed.
	Policy string `yaml:"policy" enum:"always|never"`
	// all: the work begins anew. checkpoint: it goes back to the last checkpoint.
	Lost string `yaml:"lost" enum:"all|checkpoint"`
	// Work between two checkpoints, with lost: checkpoint.
	CheckpointInterval Duration `yaml:"checkpointInterval"`
}

// Submit is when jobs are submitted.
type Submit struct {
	// trace: at the trace's times. sequential: one after another and never ended, to see how full a cluster gets.
	Mode string `yaml:"mode" enum:"trace|sequential"`
	// Time between two jobs, with mode sequential.
	Interval Duration `yaml:"interval"`
	// With mode sequential: demand to reach, as a multiple of the cluster's GPUs. Jobs of the trace are drawn again at
	// random, or left out at random, until it is met. 0: the trace as it is.
	FillTo float64 `yaml:"fillTo" min:"0" max:"100"`
	// Delete a pod that does not fit at the first attempt.
	DropUnschedulable bool `yaml:"dropUnschedulable"`
	// With mode sequential: shuffle the jobs first.
	Shuffle bool `yaml:"shuffle"`
}

// Scheduler is kube-scheduler's configuration.
type Scheduler struct {
	// A KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1), verbatim. Absent: upstream's defaults.
	Config *File `yaml:"config,omitempty"`
	// Feature gates by name, as for the --feature-gates flag.
	FeatureGates map[string]bool `yaml:"featureGates"`
	// How long steps take.
	Latency Latency `yaml:"latency"`
}

// SetDefaults fills in the latencies.
func (s *Scheduler) SetDefaults() {
	s.Latency = Latency{
		// Together 1.5 ms for the ~500 nodes that a 5,000-node cluster's cycle looks at (adaptive
		// percentageOfNodesToScore: 50 − 5000/125 = 10 %), i.e. the 680 pods/s that upstream's own benchmark
		// SchedulingBasic/5000Nodes_10000Pods demands (k8s.io/kubernetes v1.37.2
		// test/integration/scheduler_perf/misc/performance-config.yaml). The split between the two is an assumption.
		Attempt: Duration(time.Millisecond), AttemptPerNode: Duration(time.Microsecond),
		// Assumptions inside published limits: etcd asks for a p99 fsync below 10 ms (etcd.io, hardware
		// recommendations, v3.6), Kubernetes' SLO for mutating calls is a p99 of 1 s (kubernetes/community
		// sig-scalability/slos).
		API: Duration(5 * time.Millisecond), Watch: Duration(time.Millisecond),
	}
}

// Latency is how long steps take that are instantaneous in a simulation unless told.
type Latency struct {
	// One scheduling cycle, without the nodes.
	Attempt Duration `yaml:"attempt"`
	// Added for every node that the cycle looks at.
	AttemptPerNode Duration `yaml:"attemptPerNode"`
	// A write of the API, from request to commit.
	API Duration `yaml:"api"`
	// From a commit until a watching component sees it.
	Watch Duration `yaml:"watch"`
}

// Values of the fields above.
const (
	FractionsWhole      = "whole"
	FractionsTimeSlice  = "time-slice"
	FractionsMIG        = "mig"
	FractionsAnnotate   = "annotate"
	ModelsRequire       = "require"
	ModelsIgnore        = "ignore"
	NamespaceSingle     = "single"
	NamespacePerTenant  = "per-tenant"
	StartEach           = "each"
	StartTogether       = "together"
	LostAll             = "all"
	LostCheckpoint      = "checkpoint"
	SubmitTrace         = "trace"
	SubmitSequential    = "sequential"
	BasisOwned          = "owned"
	DefaultProfile      = "default-scheduler"
	builtinEmpty        = "empty"
	hostnameLabel       = "kubernetes.io/hostname"
	defaultInterval     = Duration(time.Second)
	nvidiaProductLabel  = "nvidia.com/gpu.product"
	amdProductLabel     = "amd.com/gpu.product-name"
	habanaProductLabel  = "habana.ai/hpu.product"
	sharedSuffix        = ".shared"
	sharedProductSuffix = "-SHARED"
)
