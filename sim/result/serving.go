package result

// Serving is the account of all services.
type Serving struct {
	// Services by name. JSON has them in the order of names; ServiceNames has the scenario's order.
	Services     map[string]Service `json:"services"`
	ServiceNames []string           `json:"service_names"`
	Requests     Requests           `json:"requests"` // of all services with requests of their own
	// GPUHours is the device time that replicas owned, from binding to release, ReadyHours the part of it in which they
	// took requests or ended those they had, and BusyHours the part in which they computed.
	GPUHours   float64 `json:"gpu_hours"`
	ReadyHours float64 `json:"ready_gpu_hours"`
	BusyHours  float64 `json:"busy_gpu_hours"`
	USD        float64 `json:"usd"` // of GPUHours
}

// Requests counts requests, each once, however often its client tried.
// Arrived = Completed + Rejected + TimedOut + Stopped + InFlight, always.
type Requests struct {
	Arrived   int64 `json:"arrived"`
	Completed int64 `json:"completed"`
	Rejected  int64 `json:"rejected"`
	TooLong   int64 `json:"too_long,omitempty"` // of Rejected: longer than the server takes, or than its KV cache
	TimedOut  int64 `json:"timed_out"`
	Stopped   int64 `json:"stopped"` // by a stage of the pipeline: answered from a cache or refused by a guardrail
	InFlight  int64 `json:"in_flight"`
	Good      int64 `json:"good"` // among Completed: within all bounds of the objectives
	Retries   int64 `json:"retries"`
	LostTries int64 `json:"lost_tries"` // that went with their replica
}

// Service is the account of one service. Distributions are of requests that completed, in seconds; their percentiles
// are within 0.8 % (package sketch), counts, means and maxima are exact.
type Service struct {
	Model  string `json:"model,omitempty"`
	Engine string `json:"engine"`
	// InPipeline says that it is a stage of other services and has no requests of its own.
	InPipeline bool `json:"in_pipeline,omitempty"`

	Requests  Requests     `json:"requests"`
	TTFT      Distribution `json:"ttft_seconds"`  // client sends → first token at the client
	TPOT      Distribution `json:"tpot_seconds"`  // time per output token after the first, of two tokens and more
	E2E       Distribution `json:"e2e_seconds"`   // client sends → last token
	QueueWait Distribution `json:"queue_seconds"` // arrival at the service → the model begins
	// Attainment is Good ÷ all requests that ended but were not stopped by a stage; 0 when none did. Without objectives
	// every completed request is good.
	Attainment      float64 `json:"slo_attainment"`
	Target          float64 `json:"slo_target"`
	ErrorBudgetUsed float64 `json:"error_budget_used"` // (1 − Attainment) ÷ (1 − Target); 1 = all of it
	TTFTBound       float64 `json:"slo_ttft_seconds,omitempty"`
	TPOTBound       float64 `json:"slo_tpot_seconds,omitempty"`
	E2EBound        float64 `json:"slo_e2e_seconds,omitempty"`
	Goodput         float64 `json:"goodput_per_second"` // Good ÷ simulated time

	InputTokens  int64   `json:"input_tokens"` // of completed requests
	CachedTokens int64   `json:"cached_input_tokens"`
	OutputTokens int64   `json:"output_tokens"`    // 0 of a batch server, which generates none
	Prefilled    int64   `json:"prefilled_tokens"` // computed, for whatever became of the request
	Generated    int64   `json:"generated_tokens"`
	Preemptions  int64   `json:"preemptions"` // of running requests for want of KV cache
	RunningMean  float64 `json:"running_mean"`
	WaitingMean  float64 `json:"waiting_mean"` // at replicas
	KVMean       float64 `json:"kv_cache_used_mean"`

	ReplicasMean float64 `json:"ready_replicas_mean"` // ready, or draining
	ReplicasMax  int64   `json:"ready_replicas_max"`
	ScaleUps     int64   `json:"scale_ups"`
	ScaleDowns   int64   `json:"scale_downs"`
	GPUHours     float64 `json:"gpu_hours"`
	ReadyHours   float64 `json:"ready_gpu_hours"`
	BusyHours    float64 `json:"busy_gpu_hours"`
	BusyFraction float64 `json:"busy_fraction"` // busy ÷ ready time of replicas, each counted once whatever its size

	// Money and energy of GPUHours. How the money is divided among input and output is a convention: where prefill and
	// decode have replicas of their own it goes by the ready time of their GPUs; else the input's part is that of the busy
	// time that arithmetic limited, which is what prompts take, and the output's is the rest. What has no output has all
	// of it on its input. USDPerMInput × InputTokens + USDPerMOutput × OutputTokens is USD × 10⁶ where there are tokens.
	USD               float64 `json:"usd"`
	USDPerMInput      float64 `json:"usd_per_million_input_tokens"`
	USDPerMOutput     float64 `json:"usd_per_million_output_tokens"`
	USDPerMTokens     float64 `json:"usd_per_million_tokens"` // USD ÷ all tokens of completed requests
	USDPerRequest     float64 `json:"usd_per_request"`
	USDPerGoodRequest float64 `json:"usd_per_good_request"`
	EnergyKWh         float64 `json:"energy_kwh"`
	KWhPerMTokens     float64 `json:"kwh_per_million_tokens"`
	// ComputeFraction is the part of the busy time that arithmetic limited; memory or links limited the rest.
	ComputeFraction float64 `json:"compute_bound_fraction"`
}

// Starts is how long replicas took from the creation of their pods until they took requests.
type Starts struct {
	Pods   int64                   `json:"pods"`          // that became ready
	Wait   Distribution            `json:"wait_seconds"`  // creation → bound: for the scheduler and for machines
	Start  Distribution            `json:"start_seconds"` // bound → ready
	Total  Distribution            `json:"total_seconds"`
	Stages map[string]Distribution `json:"stage_seconds"` // by stage; of pods that passed it
	// StageNames has the stages in their order.
	StageNames []string `json:"stage_names"`
}

// Machines is the account of machines that came and went.
type Machines struct {
	Ordered     int64                   `json:"ordered"`
	Failed      int64                   `json:"failed"` // orders that the cloud could not fill, or that came too late
	Ready       int64                   `json:"ready"`  // that became so
	Interrupted int64                   `json:"interrupted"`
	Gone        int64                   `json:"gone"`
	Peak        int64                   `json:"peak"`          // paid for at a time
	Hours       float64                 `json:"machine_hours"` // paid for
	Steps       map[string]Distribution `json:"step_seconds"`  // by the state that a step led to
}

// ServiceDetail is what reports show of a service over time.
type ServiceDetail struct {
	Name   string
	Groups []ServiceGroup
	Series ServiceSeries
	// Histograms of latencies in seconds, log-spaced.
	TTFT, TPOT, E2E Histogram
	// Starts by stage, mean seconds, in the order of Starts.StageNames, and the wait before.
	StartWait   float64
	StartStages []float64
	Stages      []StageRow // of its pipeline
	ByPool      []PoolHours
}

// ServiceGroup is a group of replicas.
type ServiceGroup struct {
	Name, Kind, Role string
	GPUs             float64 // of one replica
	ReplicasMax      int64
	GPUHours         float64 // ready or draining
	BusyHours        float64 // GPU-hours
}

// StageRow is the time requests spent in a stage of a pipeline.
type StageRow struct {
	Name string
	Time Distribution // seconds
}

// ServiceSeries are figures of a service in bins of time: rates per second, latencies in seconds (0 when nothing
// completed in the bin), averages of the rest.
type ServiceSeries struct {
	T                                              []float64 // bin start, seconds
	Bin                                            float64
	Arrived, Completed, Rejected, TimedOut, Good   []float64
	TTFT50, TTFT95, TTFT99, TPOT50, TPOT95, TPOT99 []float64
	E2E50, E2E95, E2E99                            []float64
	Ready, Busy, Running, Waiting, KV, InFlight    []float64 // Busy is a number of replicas
	OutputTokens                                   []float64 // per second
	Attainment                                     []float64 // of the requests that ended in the bin; 1 when none did
}

// Scaling is a change of the replicas that an object should have.
type Scaling struct {
	Seconds  float64
	Object   string
	From, To int32
	By       string
	Reason   string
}

// AutoscalerCondition is what a controller says of an autoscaler's object.
type AutoscalerCondition struct {
	Seconds                      float64 // of the latest change
	Object, Type, Status, Reason string
	Message                      string
	Changes                      int64
}

// RequestRow is a row of tables/requests.parquet. Times are seconds since time zero; absent instants are null.
type RequestRow struct {
	Service        string   `parquet:"service,dict"`
	Request        int64    `parquet:"request"`
	Tenant         string   `parquet:"tenant,dict"`
	Outcome        string   `parquet:"outcome,dict"`
	Replica        string   `parquet:"replica,dict"`
	Tries          int32    `parquet:"tries"`
	Input          int32    `parquet:"input_tokens"`
	Output         int32    `parquet:"output_tokens"`
	Cached         int32    `parquet:"cached_tokens"`
	ArrivedSeconds float64  `parquet:"arrived_seconds"`
	BegunSeconds   *float64 `parquet:"begun_seconds,optional"`
	FirstSeconds   *float64 `parquet:"first_token_seconds,optional"`
	EndedSeconds   float64  `parquet:"ended_seconds"`
	Preemptions    int32    `parquet:"preemptions"`
	Good           bool     `parquet:"good"`
}

// ServiceRow is a row of tables/services.parquet: a service in one bin of time. Rates are per second. Latencies, in
// seconds, are null where no request completed, and the attainment where none ended.
type ServiceRow struct {
	Service      string   `parquet:"service,dict"`
	TSeconds     float64  `parquet:"t_seconds"`
	BinSeconds   float64  `parquet:"bin_seconds"`
	Arrived      float64  `parquet:"arrived_per_second"`
	Completed    float64  `parquet:"completed_per_second"`
	Rejected     float64  `parquet:"rejected_per_second"`
	TimedOut     float64  `parquet:"timed_out_per_second"`
	Good         float64  `parquet:"good_per_second"`
	TTFT50       *float64 `parquet:"ttft_p50_seconds,optional"`
	TTFT95       *float64 `parquet:"ttft_p95_seconds,optional"`
	TTFT99       *float64 `parquet:"ttft_p99_seconds,optional"`
	TPOT50       *float64 `parquet:"tpot_p50_seconds,optional"`
	TPOT95       *float64 `parquet:"tpot_p95_seconds,optional"`
	TPOT99       *float64 `parquet:"tpot_p99_seconds,optional"`
	E2E50        *float64 `parquet:"e2e_p50_seconds,optional"`
	E2E95        *float64 `parquet:"e2e_p95_seconds,optional"`
	E2E99        *float64 `parquet:"e2e_p99_seconds,optional"`
	Ready        float64  `parquet:"ready_replicas"`
	Busy         float64  `parquet:"busy_replicas"`
	Running      float64  `parquet:"running"`
	Waiting      float64  `parquet:"waiting"`
	KV           float64  `parquet:"kv_cache_used"`
	InFlight     float64  `parquet:"in_flight"`
	OutputTokens float64  `parquet:"output_tokens_per_second"`
	Attainment   *float64 `parquet:"slo_attainment,optional"`
}
