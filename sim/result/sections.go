package result

// MIG is the use of GPUs that are divided into MIG instances, in GPU·hours of nodes in service:
// OfferedHours = UsedHours + IdleHours.
type MIG struct {
	OfferedHours  float64      `json:"offered_gpu_hours"`  // of instances a partition offers, and others while owned
	UsedHours     float64      `json:"used_gpu_hours"`     // owned by a pod
	IdleHours     float64      `json:"idle_gpu_hours"`     // offered and owned by nobody
	StrandedHours float64      `json:"stranded_gpu_hours"` // of partitioned GPUs: the part that no instance offers
	UsedFraction  float64      `json:"used_fraction"`      // UsedHours ÷ OfferedHours
	Profiles      []MIGProfile `json:"profiles"`           // by memory slices, then name
}

// MIGProfile is the use of all instances of one profile, in every GPU and pool.
type MIGProfile struct {
	Profile           string  `json:"profile"`
	Slices            int64   `json:"memory_slices"`  // of one instance
	InstancesPeak     int64   `json:"instances_peak"` // most offered, or owned where none was offered, at a time
	Assigned          int64   `json:"assigned"`       // times an instance, or a replica of one, was given to a pod
	OfferedHours      float64 `json:"offered_gpu_hours"`
	UsedHours         float64 `json:"used_gpu_hours"`
	IdleHours         float64 `json:"idle_gpu_hours"`
	OfferedSliceHours float64 `json:"offered_slice_hours"` // memory slices × hours
	UsedSliceHours    float64 `json:"used_slice_hours"`    // an instance with several replicas counts while one is owned
	UsedFraction      float64 `json:"used_fraction"`
}

// Fragmentation divides the idle GPU time that jobs waited for in vain, GPU.IdleFragmentedHours, by the cause: what
// kept the refused pods from the free GPUs. The causes add up to IdleHours exactly.
//
// The time itself is exact. Its division is a classification: the free GPUs of a node are divided among the shapes of
// refused pods as their demand is, and each shape names the first of these causes that keeps it from the node. It is
// made at most once in each bin of time, when the bin's first fragmented time begins, and holds for the bin.
type Fragmentation struct {
	IdleHours     float64 `json:"idle_gpu_hours"`
	NodeKindHours float64 `json:"node_kind_gpu_hours"`    // GPU model, labels, taints or way of sharing keep the pod away
	GPUCountHours float64 `json:"gpu_count_gpu_hours"`    // too few free together: on the node, or of one GPU for a share
	MIGHours      float64 `json:"mig_geometry_gpu_hours"` // enough of the GPUs is free, but no instance of the profile
	CPUHours      float64 `json:"cpu_gpu_hours"`          // the GPUs suffice, the node's free CPU does not
	MemoryHours   float64 `json:"memory_gpu_hours"`       // the same of its memory
	PodsHours     float64 `json:"pods_gpu_hours"`         // the node takes no further pod
	GangHours     float64 `json:"gang_gpu_hours"`         // the pod fits, all members of its gang together do not
	TopologyHours float64 `json:"topology_gpu_hours"`     // they do, but not within one domain as the gang must be
	OtherHours    float64 `json:"other_gpu_hours"`        // the pod fits: its next attempt is due, or a rule is not in the books
	MainCause     string  `json:"main_cause"`             // the cause with most hours: the field's name without _gpu_hours
	Samples       int64   `json:"samples"`                // times the books were looked at
	BinSeconds    float64 `json:"bin_seconds"`            // width of the bins of time
}

// Gangs is how jobs fared whose pods must be placed together.
type Gangs struct {
	Jobs        int64        `json:"jobs"`
	Placed      int64        `json:"placed"`       // wholly, at least once
	NeverPlaced int64        `json:"never_placed"` // until the run's end or their own
	Wait        Distribution `json:"wait_seconds"` // submission → all pods bound
}

// PartlyPlaced is how long jobs of several pods, gangs or not, had some pods bound and not yet all, the first time.
type PartlyPlaced struct {
	Jobs     int64        `json:"jobs"`      // that were partly placed for some time
	Seconds  Distribution `json:"seconds"`   // first pod bound → all bound, of all placed jobs of several pods
	GPUHours float64      `json:"gpu_hours"` // device time their pods owned meanwhile, of jobs placed or not
}

// Locality is how close the pods of a job were to each other when all were bound for the first time, of jobs of
// several pods on nodes that stand in the topology.
type Locality struct {
	Jobs     int64   `json:"jobs"`
	GPUHours float64 `json:"gpu_hours"` // device time they owned in the whole run
	// Layers by name. JSON has them in the order of names; LayerNames has the topology's order.
	Layers     map[string]LayerLocality `json:"layers"`
	LayerNames []string                 `json:"layer_names"` // coarse to fine
}

// LayerLocality is the part of the jobs that one domain of a layer held.
type LayerLocality struct {
	WithinJobs     int64   `json:"within_jobs"`
	WithinFraction float64 `json:"within_fraction"` // of the jobs
	WithinGPUHours float64 `json:"within_gpu_hours"`
	WithinGPUShare float64 `json:"within_gpu_hours_fraction"` // of their GPU-hours
	DomainsMean    float64 `json:"domains_mean"`              // domains a job spanned, mean of the jobs
}

// Speed is how fast work went against its ideal: alone, in the best place this cluster has, on the GPUs it was
// described for. Device time counts from a job's first speed to its end, but for the time between the loss of a pod
// and the job's next speed. LostHours = PlacementHours + SharingHours + the positive part of HardwareHours, which are
// attributed in the order hardware, placement, sharing: each is charged with what it takes of what is left.
type Speed struct {
	Jobs              int64        `json:"jobs"`     // of which a speed is known
	Slowdown          Distribution `json:"slowdown"` // time at work ÷ time the same work takes at its ideal, of jobs
	WorkingHours      float64      `json:"working_gpu_hours"`
	EffectiveHours    float64      `json:"effective_gpu_hours"`       // the same work at its ideal
	EffectiveFraction float64      `json:"effective_fraction"`        // EffectiveHours ÷ WorkingHours
	HardwareHours     float64      `json:"hardware_lost_gpu_hours"`   // GPUs slower than described
	GainedHours       float64      `json:"hardware_gained_gpu_hours"` // GPUs faster than described
	PlacementHours    float64      `json:"placement_lost_gpu_hours"`  // pods far from each other
	SharingHours      float64      `json:"sharing_lost_gpu_hours"`    // others on the same links and GPUs
}

// Model is the card of a model whose figures are in this result.
type Model struct {
	Name        string   `json:"name"`
	Formula     string   `json:"formula"`
	Sources     []string `json:"sources"`
	Calibration string   `json:"calibration"` // what its parameters were fitted to, or that they were not
	Error       string   `json:"error"`       // against what, and how much
	LeavesOut   []string `json:"leaves_out"`
}

// FragmentationSeries is Fragmentation over time: averages of GPUs in bins, causes in the order of Causes.
type FragmentationSeries struct {
	T      []float64 // bin start, seconds
	Bin    float64   // bin width, seconds; the last bin ends with the run
	Causes []Cause
}

// Cause is one cause of fragmentation over time.
type Cause struct {
	ID    string    // as in Fragmentation.MainCause
	Hours float64   // GPU·hours
	GPUs  []float64 // average in each bin
}

// Layer is a layer of the topology and the use of its domains.
type Layer struct {
	Name    string
	Domains []Domain // by name
}

// Domain is the use of the nodes of one domain.
type Domain struct {
	Name                           string
	Nodes                          int
	GPUs                           int64 // most that its nodes had, summed
	CapHours, UsedHours, DownHours float64
	Heat                           []float32 // used fraction in each heat bin of Series, -1 = not there
}
