// Package result is the contract of a finished run: the summary written as result.json, the rows of the Parquet
// tables, and Data, everything a report may show. It also writes and reads result folders, whole or not at all.
//
// It belongs to the base layer: plain data, no Kubernetes, no GPUs, no rendering.
package result

import "orrery/sim/units"

// SchemaVersion is the version of result.json. It changes when a field is removed or changes meaning.
const SchemaVersion = 1

// Summary is result.json. It holds only what the scenario, trace and seed determine, so it is byte-stable.
type Summary struct {
	Schema           int               `json:"schema_version"`
	Scenario         string            `json:"scenario"`
	Description      string            `json:"description,omitempty"`
	Trace            string            `json:"trace,omitempty"`
	Seed             uint64            `json:"seed"`
	Epoch            string            `json:"epoch"`
	SimulatedSeconds float64           `json:"simulated_seconds"`
	EndReason        string            `json:"end_reason"` // drained or horizon
	Repeatable       bool              `json:"repeatable"`
	Jobs             Jobs              `json:"jobs"`
	Pods             Pods              `json:"pods"`
	QueueWait        Distribution      `json:"queue_wait_seconds"`     // submission → each pod once bound, if placed
	Startup          Distribution      `json:"startup_seconds"`        // placed → each pod has run once
	JobCompletion    Distribution      `json:"job_completion_seconds"` // submission → end, of succeeded jobs
	Slowdown         Distribution      `json:"slowdown"`               // completion ÷ run time, of succeeded jobs, ≥ 1
	GPU              GPU               `json:"gpu"`
	MIG              *MIG              `json:"mig,omitempty"`           // where GPUs were divided by MIG
	Fragmentation    *Fragmentation    `json:"fragmentation,omitempty"` // where GPU time was idle and fragmented
	Gangs            *Gangs            `json:"gangs,omitempty"`         // where there were any
	PartlyPlaced     *PartlyPlaced     `json:"partly_placed,omitempty"` // where jobs of several pods were placed
	Locality         *Locality         `json:"locality,omitempty"`      // where the topology is known
	Speed            *Speed            `json:"speed,omitempty"`         // where the speed of work is known
	Serving          *Serving          `json:"serving,omitempty"`       // where there are services
	Starts           *Starts           `json:"starts,omitempty"`        // where pods of services started
	Machines         *Machines         `json:"machines,omitempty"`      // where machines came and went
	Scheduler        Scheduler         `json:"scheduler"`
	Cost             Cost              `json:"cost"`
	Journal          Journal           `json:"journal"`
	Versions         map[string]string `json:"versions"`
	Warnings         []Warning         `json:"warnings"`
	Models           []Model           `json:"models,omitempty"` // used by the run, by name
	Expectations     []Expectation     `json:"expectations,omitempty"`
}

// Jobs counts jobs by their state at the end of the run.
// Submitted = Completed + Failed + Killed + Running + Pending + Rejected, always.
type Jobs struct {
	Submitted        int64 `json:"submitted"`
	Completed        int64 `json:"completed"`
	Failed           int64 `json:"failed"`    // ended failed, as the trace says
	Killed           int64 `json:"killed"`    // ended killed, as the trace says
	Running          int64 `json:"running"`   // all pods placed at least once, not ended
	Pending          int64 `json:"pending"`   // never fully placed
	Rejected         int64 `json:"rejected"`  // refused by the API
	Preempted        int64 `json:"preempted"` // jobs that lost a pod to preemption at least once (not a state)
	Restarts         int64 `json:"restarts"`
	NeverSchedulable int64 `json:"never_schedulable"` // among Pending: larger than any node, in the scheduler's words
}

// Pods counts pods.
type Pods struct {
	Created   int64 `json:"created"`
	Bound     int64 `json:"bound"`
	Succeeded int64 `json:"succeeded"`
	Failed    int64 `json:"failed"`
	Deleted   int64 `json:"deleted"`
	Preempted int64 `json:"preempted"`
}

// Distribution summarises a sample. Percentiles are nearest-rank values of the full sample, not estimates.
// All are 0 when Count is 0.
type Distribution struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// GPU is the double-entry ledger of GPU time, in GPU·hours: CapacityHours = UsedHours + IdleHours + DownHours and
// IdleHours = IdleNoDemandHours + IdleFragmentedHours + IdleWaitingHours, exactly, at every instant.
type GPU struct {
	Devices             int64   `json:"devices"` // physical GPUs at the peak
	CapacityHours       float64 `json:"capacity_hours"`
	UsedHours           float64 `json:"used_hours"` // owned by a pod, from binding to release
	IdleHours           float64 `json:"idle_hours"`
	DownHours           float64 `json:"down_hours"`
	IdleNoDemandHours   float64 `json:"idle_no_demand_hours"`  // more GPUs free than all waiting pods ask for
	IdleFragmentedHours float64 `json:"idle_fragmented_hours"` // asked for by pods whose latest attempt fitted nowhere
	IdleWaitingHours    float64 `json:"idle_waiting_hours"`    // asked for by pods not yet judged, or in error
	LostHours           float64 `json:"lost_hours"`            // part of UsedHours: progress thrown away by restarts
	AllocatedFraction   float64 `json:"allocated_fraction"`    // UsedHours ÷ (CapacityHours − DownHours)
}

// Scheduler counts the work of the scheduler.
type Scheduler struct {
	Attempts      int64            `json:"attempts"`
	Scheduled     int64            `json:"scheduled"`
	Unschedulable int64            `json:"unschedulable"`
	Errors        int64            `json:"errors"`
	Preemptions   int64            `json:"preemptions"` // victims
	ByPlugin      map[string]int64 `json:"rejections_by_plugin"`
}

// Cost is what the cluster cost over the simulated span. TotalUSD = UsedUSD + IdleUSD + DownUSD + NodesUSD.
type Cost struct {
	Basis     string  `json:"basis"` // on-demand, reserved-1y, reserved-3y, spot, owned
	TotalUSD  float64 `json:"total_usd"`
	UsedUSD   float64 `json:"used_usd"`
	IdleUSD   float64 `json:"idle_usd"`
	DownUSD   float64 `json:"down_usd"`
	NodesUSD  float64 `json:"nodes_without_gpu_usd"`
	EnergyKWh float64 `json:"energy_kwh"` // at the meter, PUE included
	EnergyUSD float64 `json:"energy_usd"` // part of TotalUSD only when the basis is owned
	PUE       float64 `json:"pue"`
	USDPerKWh float64 `json:"usd_per_kwh"`
	PerGPUUSD float64 `json:"usd_per_used_gpu_hour"` // TotalUSD ÷ UsedHours; 0 when nothing was used
	Unpriced  int64   `json:"unpriced_gpus"`         // GPUs whose model has no price; they count as 0 USD
}

// Journal identifies the journal the summary was folded from.
type Journal struct {
	Records int64  `json:"records"`
	SHA256  string `json:"sha256"` // head of the hash chain
}

// Warning is something counted that the reader must know.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Count   int64  `json:"count"`
}

// Expectation is one bound of the scenario's expect: block and how it came out.
type Expectation struct {
	Path  string   `json:"path"` // e.g. queue_wait_seconds.p95
	Min   *float64 `json:"min,omitempty"`
	Max   *float64 `json:"max,omitempty"`
	Value float64  `json:"value"`
	Met   bool     `json:"met"`
}

// Data is everything a report may show: the summary and the details behind it. Slices are in a fixed order.
type Data struct {
	Summary  Summary
	Pools    []Pool
	Nodes    []Node   // by name; at most a few hundred thousand
	Tenants  []Tenant // by GPU-hours used, descending, then name
	Sizes    []Size   // by GPUs per job, ascending
	Series   Series
	Reasons  []Reason  // by pod-hours waited, descending
	WaitHist Histogram // of queue waits of placed jobs, log-spaced bins
	// Longest waits: jobs by queue wait, descending, at most 50; Waited is at the end of the run for pending ones.
	Longest []JobRow
	// SpeedHist counts jobs by their slowdown against their ideal.
	SpeedHist     Histogram
	Fragmentation FragmentationSeries
	Layers        []Layer               // of the topology, coarse to fine
	Services      []ServiceDetail       // in the order of their declaration
	Scalings      []Scaling             // by time
	Conditions    []AutoscalerCondition // by time; the latest of each kind of each object
	Replicas      []ReplicaRow          // in the order of their beginnings
	Machines      []MachineRow          // likewise
	// Topology is where the nodes stand, nil when the run does not know.
	Topology *Topology
	// Config is the resolved scenario, YAML.
	Config string
}

// Pool is a node pool's account.
type Pool struct {
	Name, GPUModel             string
	Nodes, GPUs                int64
	CapacityHours, UsedHours   float64
	IdleHours, DownHours       float64
	NodeHours                  float64 // node·hours in existence, up or down
	CPUMilli, MemoryMiB        int64   // of one node
	USDPerGPUHour              float64
	TotalUSD, UsedUSD, IdleUSD float64
	DownUSD                    float64 // TotalUSD − UsedUSD − IdleUSD, of a pool with GPUs
	// ServingIdleHours is the part of UsedHours in which a server owned the GPU and computed nothing.
	ServingIdleHours           float64
	PriceSource                string
	IdleWatts, BusyWatts       float64 // per GPU, as assumed
	IdleWattsSrc, BusyWattsSrc string
}

// Node is a node's account and its heat-map row.
type Node struct {
	Name, Pool string
	GPUs       int
	UsedHours  float64
	CapHours   float64
	DownHours  float64
	Heat       []float32 // used fraction of the node's GPUs in each of Series' coarse heat bins, -1 = not there
}

// Tenant is a tenant's account.
type Tenant struct {
	Name                              string
	Jobs, Completed, Pending, Preempt int64
	GPUHours, LostGPUHours, USD       float64
	Wait                              Distribution
	// ByPool is GPUHours split by the pool of the nodes, pools without any left out, in the order of Data.Pools.
	ByPool []PoolHours
}

// PoolHours is GPU time owned in one pool.
type PoolHours struct {
	Pool     string
	GPUHours float64
}

// Size is the account of all jobs that ask the same number of GPUs.
type Size struct {
	GPUs     units.MilliGPU // of the whole job
	Jobs     int64
	GPUHours float64
	Wait     Distribution
}

// Series are step functions sampled at fixed instants: each value is the time average over its bin, so that areas are
// exact however coarse the bins are. The last bin ends with the run: its average is over the part the run covers. All
// slices up to PendingGPUs have the same length as T.
type Series struct {
	T                                                     []float64 // bin start, seconds
	Bin                                                   float64   // bin width, seconds
	Used, IdleNoDemand, IdleFragmented, IdleWaiting, Down []float64 // GPUs
	PendingPods, RunningPods                              []float64
	PendingGPUs                                           []float64
	HeatT                                                 []float64 // heat bin start, seconds
	HeatBin                                               float64
}

// Reason is one scheduler message (normalised: counts of nodes removed) and how long pods waited under it.
type Reason struct {
	Message  string
	Plugins  []string
	Attempts int64
	Pods     int64   // distinct pods that got it at least once
	PodHours float64 // pod·hours spent with this as the latest verdict
	GPUHours float64 // the same weighted with the GPUs asked
}

// Histogram counts a sample in bins: Counts[i] is the number in (Edges[i], Edges[i+1]]; the first bin includes its
// lower edge.
type Histogram struct {
	Edges  []float64
	Counts []int64
}

// JobRow is a row of tables/jobs.parquet. Times are seconds since time zero; NaN-free: absent instants are null.
type JobRow struct {
	Job            string   `parquet:"job" json:"job"`
	Tenant         string   `parquet:"tenant,dict" json:"tenant"`
	Class          string   `parquet:"class,dict" json:"class,omitempty"`
	State          string   `parquet:"state,dict" json:"state"` // succeeded failed killed running pending rejected
	Pods           int32    `parquet:"pods" json:"pods"`
	GPUs           float64  `parquet:"gpus" json:"gpus"`
	CPUMilli       int64    `parquet:"cpu_milli" json:"cpu_milli"`
	MemoryMiB      int64    `parquet:"memory_mib" json:"memory_mib"`
	Priority       int32    `parquet:"priority" json:"priority"`
	SubmitSeconds  float64  `parquet:"submit_seconds" json:"submit_seconds"`
	PlacedSeconds  *float64 `parquet:"placed_seconds,optional" json:"placed_seconds,omitempty"`
	StartSeconds   *float64 `parquet:"start_seconds,optional" json:"start_seconds,omitempty"`
	EndSeconds     *float64 `parquet:"end_seconds,optional" json:"end_seconds,omitempty"`
	WaitSeconds    float64  `parquet:"wait_seconds" json:"wait_seconds"` // until placed, or until the run's end
	RunSeconds     float64  `parquet:"run_seconds" json:"run_seconds"`   // length of the work as the trace says
	Restarts       int32    `parquet:"restarts" json:"restarts"`
	LostGPUSeconds float64  `parquet:"lost_gpu_seconds" json:"lost_gpu_seconds"`
	GPUSeconds     float64  `parquet:"gpu_seconds" json:"gpu_seconds"` // device time owned
	Gang           int32    `parquet:"gang" json:"gang,omitempty"`     // pods to be placed together; 0 = each alone
	// Speed is the mean speed of the work, 1 = its ideal; null where it is not known.
	Speed *float64 `parquet:"speed,optional" json:"speed,omitempty"`
	// Layer is the finest layer of the topology of which one domain held all pods when they were first bound, of jobs of
	// several pods; "" when none did, or the topology is not known. Spans has the domains of each layer, "leaf=2,node=4".
	Layer string `parquet:"layer,dict" json:"layer,omitempty"`
	Spans string `parquet:"spans,dict" json:"spans,omitempty"`
	// Reason is the end record's, or else the scheduler's last refusal before the job was placed.
	Reason string `parquet:"reason,dict" json:"reason,omitempty"`
}

// PodRow is a row of tables/pods.parquet.
type PodRow struct {
	Pod            string   `parquet:"pod"`
	Job            string   `parquet:"job"`
	Node           string   `parquet:"node,dict"`
	GPUs           float64  `parquet:"gpus"`
	Slots          string   `parquet:"slots,dict"` // as 0,1,2 or 0/3 (replica) or 0:3g.40gb@4 (MIG)
	Phase          string   `parquet:"phase,dict"`
	Attempts       int32    `parquet:"attempts"`
	CreatedSeconds float64  `parquet:"created_seconds"`
	BoundSeconds   *float64 `parquet:"bound_seconds,optional"`
	StartSeconds   *float64 `parquet:"start_seconds,optional"`
	EndSeconds     *float64 `parquet:"end_seconds,optional"`
	LastMessage    string   `parquet:"last_message,dict"` // the scheduler's last refusal
}

// NodeRow is a row of tables/nodes.parquet.
type NodeRow struct {
	Node          string  `parquet:"node"`
	Pool          string  `parquet:"pool,dict"`
	GPUs          int32   `parquet:"gpus"`
	CapacityHours float64 `parquet:"capacity_hours"`
	UsedHours     float64 `parquet:"used_hours"`
	DownHours     float64 `parquet:"down_hours"`
}

// SeriesRow is a row of tables/series.parquet: averages over one bin.
type SeriesRow struct {
	TSeconds       float64 `parquet:"t_seconds"`
	Used           float64 `parquet:"gpus_used"`
	IdleNoDemand   float64 `parquet:"gpus_idle_no_demand"`
	IdleFragmented float64 `parquet:"gpus_idle_fragmented"`
	IdleWaiting    float64 `parquet:"gpus_idle_waiting"`
	Down           float64 `parquet:"gpus_down"`
	PendingPods    float64 `parquet:"pods_pending"`
	RunningPods    float64 `parquet:"pods_running"`
	PendingGPUs    float64 `parquet:"gpus_pending"`
}
