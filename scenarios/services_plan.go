package scenarios

import (
	"cmp"
	"fmt"

	"orrery/sim/model/serving"
	"orrery/sim/model/startup"
	"orrery/sim/model/training"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// home is a pool that offers what a group's pods ask for, and the device that one unit of it is.
type home struct {
	pool   *Pool
	device plan.Accelerator
	share  units.MilliGPU // of a GPU that one unit stands for
	unit   string         // the profile of a MIG instance; "" = whole GPU or share of one
}

// offered lists the extended resources that the pools offer.
func (s *Scenario) offered() []string {
	_, capacity := s.offers()
	return sortedKeys(capacity)
}

// groupResource is the extended resource that a group's pods ask for; "" when nothing says.
func (s *Scenario) groupResource(g namedGroup) string {
	if g.Resource != "" {
		return g.Resource
	}
	if bases := s.baseResources(); len(bases) == 1 {
		return bases[0]
	}
	return s.Workload.Resource
}

// homes returns the pools where a group's pods can land.
func (s *Scenario) homes(g namedGroup) (out []home) {
	resource := s.groupResource(g)
	want := ""
	if gpu, err := s.catalog.Lookup(g.GPU); g.GPU != "" && err == nil {
		want = gpu.Key
	}
	for i := range s.Cluster.Pools {
		pool := &s.Cluster.Pools[i]
		gpu, err := s.catalog.Lookup(pool.GPU)
		if pool.GPU == "" || err != nil || want != "" && gpu.Key != want {
			continue
		}
		acc, err := s.accelerator(pool.GPU, pool)
		if err != nil {
			continue
		}
		p := s.planPool(pool)
		share, profile, ok := p.Asks(resource)
		if !ok {
			continue
		}
		h := home{pool: pool, device: *acc, share: share, unit: profile}
		if slice, err := serving.Slice(*acc, profile); profile != "" && err == nil {
			h.device = slice
		} else if share < units.GPU {
			h.device.MemoryMiB *= float64(share) / float64(units.GPU)
		}
		out = append(out, h)
	}
	return out
}

// servedModel is the model of a service; nil of a classic one.
func (v *Service) servedModel() (*plan.Model, error) {
	switch {
	case v.Engine.Preset == plan.EngineBatch:
		return nil, nil
	case v.Shape != nil:
		m := v.Shape.model()
		return &m, nil
	}
	m, err := training.Lookup(v.Model)
	if err != nil {
		return nil, err
	}
	return &m, nil
}

// planEngine is a service's engine on a device: the preset, with what the scenario says otherwise.
func (v *Service) planEngine(device plan.Accelerator) (plan.Engine, error) {
	m, err := v.servedModel()
	if err != nil {
		return plan.Engine{}, err
	}
	if m == nil {
		b := v.Engine.Batch
		if b == nil {
			b = new(BatchModel) // reported as missing
		}
		return plan.Engine{Preset: plan.EngineBatch, Batch: b.plan()}, nil
	}
	e, err := serving.Preset(v.Engine.Preset, m, device)
	if err != nil {
		return plan.Engine{}, err
	}
	e.Model, e.Precision, e.KVBytes = m, v.Precision, 2
	if v.KVPrecision == plan.PrecisionFP8 {
		e.KVBytes = 1
	}
	set(&e.MaxBatchedTokens, v.Engine.MaxBatchedTokens)
	set(&e.MaxSequences, v.Engine.MaxSequences)
	set(&e.MaxModelTokens, v.Engine.MaxModelTokens)
	set(&e.MemoryUtilization, v.Engine.MemoryUtilization)
	set(&e.CacheFraction, v.Engine.CacheFraction)
	set(&e.ReserveGiB, v.Engine.ReserveGiB)
	set(&e.BlockTokens, v.Engine.BlockTokens)
	set(&e.PrefixCaching, v.Engine.PrefixCaching)
	set(&e.ChunkedPrefill, v.Engine.ChunkedPrefill)
	set(&e.Evict, v.Engine.Evict)
	set(&e.Policy, v.Engine.SchedulePolicy)
	if x := v.Engine.Speculative; x != nil {
		e.Speculative = &plan.Speculative{Tokens: x.Tokens, Acceptance: x.Acceptance, DraftShare: x.DraftShare}
	}
	return e, nil
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// replicaSpec is a replica of a group in a pool.
func (s *Scenario) replicaSpec(v *Service, g namedGroup, h home) (serving.Spec, error) {
	e, err := v.planEngine(h.device)
	return serving.Spec{Engine: e, Role: g.role, Tensor: g.Tensor, Pipeline: g.Pipeline, Expert: g.Expert,
		Device: h.device, Nodes: g.PodsPerReplica}, err
}

// planServices adds the services, in the scenario's order.
func (s *Scenario) planServices(p *plan.Plan) error {
	index := map[string]int{}
	for i := range s.Services {
		index[s.Services[i].Name] = i
	}
	sources := 0
	for i := range s.Services {
		v := &s.Services[i]
		out := plan.Service{Name: v.Name, Namespace: v.Namespace, Requests: -1,
			SLO: plan.SLO{TTFT: units.Duration(v.SLO.TTFT), TPOT: units.Duration(v.SLO.TPOT), E2E: units.Duration(v.SLO.E2E),
				Target: v.SLO.Target},
			Router: plan.Router{Policy: v.Routing.Policy, QueueWeight: v.Routing.QueueWeight, KVWeight: v.Routing.KVWeight,
				PrefixWeight: v.Routing.PrefixWeight, MetricsAge: units.Duration(v.Routing.MetricsAge),
				MaxInFlight: v.Routing.MaxInFlight, MaxQueue: v.Routing.MaxQueue, Hop: units.Duration(v.Routing.Hop)},
			Client: plan.Client{Timeout: units.Duration(v.Client.Timeout), Retries: v.Client.Retries,
				Backoff: units.Duration(v.Client.Backoff), MaxWait: units.Duration(v.Client.MaxWait)},
			Before: planStages(v.Before, index), After: planStages(v.After, index)}
		if x := v.Routing.Shed; x != nil {
			out.Router.Shed = &plan.Shed{Tenants: x.Tenants, QueueDepth: x.QueueDepth, KV: x.KVUtilization}
		}
		if v.Requests != nil {
			out.Requests = sources
			sources++
		}
		for _, g := range v.groups() {
			group, engine, err := s.planGroup(v, g)
			if err != nil {
				return fmt.Errorf("service %s: %w", v.Name, err)
			}
			out.Engine = engine
			out.Groups = append(out.Groups, group)
		}
		p.Services = append(p.Services, out)
	}
	return nil
}

func planStages(list []Stage, index map[string]int) (out []plan.Stage) {
	for _, x := range list {
		target := -1
		if x.Service != "" {
			target = index[x.Service]
		}
		out = append(out, plan.Stage{Name: x.Name, Service: target, Input: x.Input, Output: x.Output,
			Median: units.Duration(x.Median), P99: units.Duration(x.P99), Servers: x.Servers, Hit: x.Hit, Reject: x.Reject,
			Hop: units.Duration(x.Hop), AddInput: x.AddInput})
	}
	return out
}

// planGroup is a group of replicas and the engine that they run.
func (s *Scenario) planGroup(v *Service, g namedGroup) (plan.ReplicaGroup, plan.Engine, error) {
	out := plan.ReplicaGroup{Name: g.object(v), Kind: g.Kind, Role: g.role, Given: g.FromManifest, Replicas: g.Count,
		PodsPerReplica: g.PodsPerReplica, PriorityClass: g.PriorityClass, SchedulerName: g.SchedulerName,
		Tensor: g.Tensor, Pipeline: g.Pipeline, Expert: g.Expert, Tolerations: planTolerations(g.Tolerations)}
	for _, key := range sortedKeys(g.NodeSelector) {
		out.Require = append(out.Require, plan.Requirement{Key: key, Values: []string{g.NodeSelector[key]}})
	}
	homes := s.homes(g)
	var device plan.Accelerator
	share := units.MilliGPU(0)
	if len(homes) > 0 {
		device, share = homes[0].device, homes[0].share
		out.Device = &device
		if g.GPU != "" {
			key := s.modelLabel(homes[0].pool)
			value := s.labels(homes[0].pool)[key]
			out.Require = append(out.Require, plan.Requirement{Key: key, Values: []string{value}})
		}
		n := g.devices()
		out.Pod.Resource, out.Pod.Slots, out.Pod.GPUs = s.groupResource(g), n, share*units.MilliGPU(n)
	}
	gpus := max(int64(out.Pod.GPUs), int64(out.Pod.Slots)*100)
	out.Pod.CPUMilli, out.Pod.MemoryMiB = s.Workload.CPUMilliPerGPU*gpus/1000, s.Workload.MemoryMiBPerGPU*gpus/1000
	if out.Pod.Slots == 0 {
		out.Pod.CPUMilli, out.Pod.MemoryMiB = s.Workload.CPUMilliPerPod, s.Workload.MemoryMiBPerPod
	}
	if g.CPU != nil {
		out.Pod.CPUMilli = int64(*g.CPU)
	}
	if g.Memory != nil {
		out.Pod.MemoryMiB = int64(*g.Memory)
	}
	engine, err := v.planEngine(device)
	if err != nil {
		return out, engine, err
	}
	out.Start = s.planStart(v, g, engine)
	return out, engine, nil
}

// modelLabel is the label that names the GPU model of a pool's nodes.
func (s *Scenario) modelLabel(pool *Pool) string {
	if l := s.Workload.GPUModelLabel; l != "" {
		return l
	}
	gpu, _ := s.catalog.Lookup(pool.GPU)
	switch gpu.Vendor {
	case "amd":
		return amdProductLabel
	case "intel":
		return habanaProductLabel
	}
	return nvidiaProductLabel
}

// planStart is what a group's replicas do before they are ready.
func (s *Scenario) planStart(v *Service, g namedGroup, e plan.Engine) plan.ReplicaStart {
	x := &g.Start
	if x.Instant {
		return plan.ReplicaStart{Source: scenarioSource}
	}
	weights := weightsGiB(e)
	set(&weights, x.WeightsGiB)
	out := startup.Default(weights, e.Preset, g.PodsPerReplica)
	out.LazyPull, out.KeepWeights, out.Snapshot = x.LazyPull, x.KeepWeights, x.Snapshot
	out.KeepCompiled = x.KeepCompiled
	out.WeightsKey = fmt.Sprintf("%s %.4g GiB", v.Name, weights)
	if e.Model != nil { // services of one model share its weights, where they are kept
		out.WeightsKey = fmt.Sprintf("%s %s %.4g GiB", e.Model.Name, e.Precision, weights)
	}
	out.ServerKey = fmt.Sprintf("%s %s tensor %d pipeline %d expert %d", out.WeightsKey, e.Preset, g.Tensor, g.Pipeline,
		g.Expert)
	if x.Image != "" {
		out.Image = x.Image
	}
	set(&out.ImageGiB, x.ImageGiB)
	set(&out.LoadGBs, x.LoadGBs)
	set(&out.SnapshotGiB, x.SnapshotGiB)
	if x.Engine != nil {
		out.Engine = x.Engine.plan()
	}
	return out
}

// weightsGiB is what a replica loads: the model's parameters at their precision.
func weightsGiB(e plan.Engine) float64 {
	switch {
	case e.Batch != nil:
		return e.Batch.MemoryGiB
	case e.Model == nil:
		return 0
	}
	bytes := map[string]float64{plan.PrecisionHalf: 2, plan.PrecisionFP8: 1, plan.PrecisionFP4: 0.5}[e.Precision]
	return e.Model.Params * bytes / (1 << 30)
}

func (x *Spread) plan() plan.Spread {
	out := plan.Spread{Low: units.Duration(x.Low), Mode: units.Duration(x.Mode), High: units.Duration(x.High)}
	if out.High == 0 {
		out.High = out.Mode
	}
	if out.Low == 0 {
		out.Low = out.Mode
	}
	return out
}

// planElastic is how a pool's nodes come and go; nil when they do not.
func (s *Scenario) planElastic(pool *Pool) *plan.Elastic {
	e := pool.Elastic
	if e == nil {
		return nil
	}
	boot, _ := startup.Boot(e.Boot) // one that is none is reported, and what is made here only asked what fits
	out := &plan.Elastic{By: e.By, InstanceType: pool.InstanceType, CapacityType: e.CapacityType, Zones: e.Zones,
		Min: e.Min, Max: e.Max, Stock: -1, Boot: boot, Notice: units.Duration(e.Notice)}
	if len(out.Zones) == 0 {
		out.Zones = []string{pool.Zone}
	}
	set(&out.Stock, e.Stock)
	for _, o := range e.StockOuts {
		out.StockOuts = append(out.StockOuts, plan.Span{From: units.Time(o.From), To: units.Time(o.To)})
	}
	if e.CapacityType == plan.CapacitySpot {
		out.InterruptPerHour, out.InterruptSource = interruptions(pool.InstanceType)
		if e.InterruptionsPerHour != nil {
			out.InterruptPerHour, out.InterruptSource = *e.InterruptionsPerHour, scenarioSource
		}
	}
	return out
}

// planAutoscaling adds what controllers of replicas and nodes are told, and what they see.
func (s *Scenario) planAutoscaling(p *plan.Plan) {
	m, r, h := &s.Metrics, &s.Registry, &s.Autoscaling.HPA
	p.JournalRequests = s.Journal.Requests
	p.Metrics = plan.Metrics{Scrape: units.Duration(m.Scrape), Resource: units.Duration(m.Resource),
		External: planRules(m.External), Custom: planRules(m.Custom)}
	p.Registry = plan.Registry{ImageGBs: r.ImageGBs, NodeGBs: r.NodeGBs, ObjectGBs: r.ObjectGBs,
		NodeDiskGBs: r.NodeDiskGBs, ImagesCached: r.ImagesCached}
	p.Autoscalers.HPA = plan.HPAFlags{SyncPeriod: units.Duration(h.SyncPeriod), Tolerance: h.Tolerance,
		DownscaleStabilization: units.Duration(h.DownscaleStabilization),
		CPUInitialization:      units.Duration(h.CPUInitialization), InitialReadiness: units.Duration(h.InitialReadiness)}
	for i := range s.Cluster.Pools {
		e := s.Cluster.Pools[i].Elastic
		switch {
		case e == nil:
		case e.By == plan.ByKarpenter:
			k := &s.Autoscaling.Karpenter
			p.Autoscalers.Karpenter = &plan.Karpenter{BatchIdle: units.Duration(k.BatchIdle),
				BatchMax: units.Duration(k.BatchMax), FeatureGates: k.FeatureGates}
		default:
			p.Autoscalers.ClusterAutoscaler = s.Autoscaling.ClusterAutoscaler.plan()
		}
	}
}

func planRules(list []MetricRule) (out []plan.ExternalMetric) {
	for _, r := range list {
		out = append(out, plan.ExternalMetric{Name: r.Name, Query: r.Query})
	}
	return out
}

func (c *ClusterAutoscaler) plan() *plan.ClusterAutoscaler {
	priorities := c.Priorities
	if len(priorities) == 0 {
		priorities = nil // however the empty map was written
	}
	return &plan.ClusterAutoscaler{ScanInterval: units.Duration(c.ScanInterval),
		MaxProvision: units.Duration(c.MaxNodeProvisionTime), NewPodScaleUpDelay: units.Duration(c.NewPodScaleUpDelay),
		ScaleDown: c.ScaleDownEnabled, DelayAfterAdd: units.Duration(c.ScaleDownDelayAfterAdd),
		DelayAfterFailure: units.Duration(c.ScaleDownDelayAfterFail), Unneeded: units.Duration(c.ScaleDownUnneededTime),
		UnreadyUnneeded: units.Duration(c.ScaleDownUnreadyTime), UtilizationThreshold: c.UtilizationThreshold,
		GPUUtilizationThreshold: c.GPUUtilizationThreshold, Expander: c.Expander, Priorities: priorities,
		MaxEmptyBulkDelete: c.MaxEmptyBulkDelete, MaxGracefulTermination: units.Duration(c.MaxGracefulTermination),
		MaxNodesTotal: c.MaxNodesTotal, BackoffInitial: units.Duration(c.InitialBackoff),
		BackoffMax: units.Duration(c.MaxBackoff), SkipNodesWithLocalStorage: c.SkipNodesWithLocalStorage,
		SkipSystemPods: c.SkipNodesWithSystemPods, IgnoreDaemonSets: c.IgnoreDaemonSetsUtilization,
		BalanceSimilar: c.BalanceSimilarNodeGroups, UnremovableRecheck: units.Duration(c.UnremovableRecheck),
		DelayAfterDelete: units.Duration(cmp.Or(c.ScaleDownDelayAfterDelete, c.ScanInterval))}
}
