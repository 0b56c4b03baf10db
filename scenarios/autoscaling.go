package scenarios

import (
	"fmt"
	"time"

	"orrery/sim/model/startup"
	"orrery/sim/plan"
	"orrery/sim/strict"
)

// Metrics is the path of metrics from pods to controllers.
type Metrics struct {
	// Interval of Prometheus' scrapes.
	Scrape Duration `yaml:"scrape"`
	// Resolution of the resource metrics, as metrics-server's --metric-resolution.
	Resource Duration `yaml:"resource"`
	// Series of the external metrics API: what an adapter would serve.
	External []MetricRule `yaml:"external"`
	// Metrics of pods that no pod exposes under that name.
	Custom []MetricRule `yaml:"custom"`
}

// SetDefaults takes common intervals.
func (m *Metrics) SetDefaults() {
	// 15 s: metrics-server v0.8 --metric-resolution and the interval of Prometheus' own example configuration.
	m.Scrape, m.Resource = Duration(15*time.Second), Duration(15*time.Second)
}

// MetricRule is a named PromQL expression over what pods expose.
type MetricRule struct {
	// Name of the metric in the API.
	Name string `yaml:"name" required:"true"`
	// PromQL.
	Query string `yaml:"query" required:"true"`
}

// Registry is where images and weights come from. Rates are in 10⁹ bytes per second; 0: without limit.
type Registry struct {
	// What the image registry sends, to all together.
	ImageGBs float64 `yaml:"imageGBs" min:"0" max:"1000000"`
	// What one node takes over its network.
	NodeGBs float64 `yaml:"nodeGBs" min:"0" max:"100000"`
	// What the store of weights sends, to all together.
	ObjectGBs float64 `yaml:"objectGBs" min:"0" max:"1000000"`
	// What a node reads from its own disk.
	NodeDiskGBs float64 `yaml:"nodeDiskGBs" min:"0" max:"100000"`
	// Nodes that are there from the beginning have all images.
	ImagesCached bool `yaml:"imagesCached"`
}

// SetDefaults takes what the start-up model has for an ordinary cluster.
func (r *Registry) SetDefaults() {
	d := startup.Registry()
	*r = Registry{ImageGBs: d.ImageGBs, NodeGBs: d.NodeGBs, ObjectGBs: d.ObjectGBs, NodeDiskGBs: d.NodeDiskGBs,
		ImagesCached: d.ImagesCached}
}

// Autoscaling is how the controllers behave that change replicas and nodes. What they act on (HorizontalPodAutoscaler,
// ScaledObject, NodePool) is among the manifests.
type Autoscaling struct {
	// Flags of the horizontal pod autoscaler.
	HPA HPAFlags `yaml:"hpa"`
	// Flags of Karpenter, which runs when there are pools with elastic.by karpenter.
	Karpenter Karpenter `yaml:"karpenter"`
	// Flags of the model of the Cluster Autoscaler, which runs when there are pools with elastic.by cluster-autoscaler.
	ClusterAutoscaler ClusterAutoscaler `yaml:"clusterAutoscaler"`
}

// SetDefaults takes upstream's.
func (a *Autoscaling) SetDefaults() {
	a.HPA.SetDefaults()
	a.Karpenter.SetDefaults()
	a.ClusterAutoscaler.SetDefaults()
}

// leastInterval is the shortest interval of a control loop. metrics-server refuses less than 10 s, and nobody scrapes
// or scales more often than once a second.
const leastInterval = Duration(time.Second)

// checkAutoscaling checks intervals of control loops, and names of metrics and pools.
func (s *Scenario) checkAutoscaling() {
	p := s.doc.Problemf
	for _, x := range []struct {
		path  string
		every Duration
	}{{"metrics.scrape", s.Metrics.Scrape}, {"metrics.resource", s.Metrics.Resource},
		{"autoscaling.hpa.syncPeriod", s.Autoscaling.HPA.SyncPeriod},
		{"autoscaling.clusterAutoscaler.scanInterval", s.Autoscaling.ClusterAutoscaler.ScanInterval}} {
		if s.doc.Has(x.path) && x.every < leastInterval {
			p(x.path, "%s: %s is too short for the interval of a control loop; write at least %s", x.path, x.every,
				leastInterval)
		}
	}
	for _, list := range []struct {
		field string
		rules []MetricRule
	}{{"external", s.Metrics.External}, {"custom", s.Metrics.Custom}} {
		first := map[string]int{}
		for i, r := range list.rules {
			path := fmt.Sprintf("metrics.%s[%d].name", list.field, i)
			if k, twice := first[r.Name]; twice && r.Name != "" {
				p(path, "%s: %q is the name of metrics.%s[%d], too; rename one", path, r.Name, list.field, k)
			} else if r.Name == "" && s.doc.Has(path) {
				p(path, "%s is empty; write what the autoscaler asks for", path)
			}
			first[r.Name] = i
		}
	}
	var pools []string
	for i := range s.Cluster.Pools {
		pools = append(pools, s.Cluster.Pools[i].Name)
	}
	for _, name := range sortedKeys(s.Autoscaling.ClusterAutoscaler.Priorities) {
		if !contains(pools, name) {
			const path = "autoscaling.clusterAutoscaler.priorities"
			p(path, "%s: there is no pool %q; %s", path, name, strict.Suggest(name, pools))
		}
	}
}

// HPAFlags are those of kube-controller-manager.
type HPAFlags struct {
	// --horizontal-pod-autoscaler-sync-period.
	SyncPeriod Duration `yaml:"syncPeriod"`
	// --horizontal-pod-autoscaler-downscale-stabilization.
	DownscaleStabilization Duration `yaml:"downscaleStabilization"`
	// --horizontal-pod-autoscaler-tolerance.
	Tolerance float64 `yaml:"tolerance" min:"0" max:"10"`
	// --horizontal-pod-autoscaler-cpu-initialization-period.
	CPUInitialization Duration `yaml:"cpuInitialization"`
	// --horizontal-pod-autoscaler-initial-readiness-delay.
	InitialReadiness Duration `yaml:"initialReadiness"`
}

// SetDefaults takes upstream's defaults (k8s.io/kubernetes v1.37.2 pkg/controller/podautoscaler/config/v1alpha1).
func (h *HPAFlags) SetDefaults() {
	*h = HPAFlags{SyncPeriod: Duration(15 * time.Second), DownscaleStabilization: Duration(5 * time.Minute),
		Tolerance: 0.1, CPUInitialization: Duration(5 * time.Minute), InitialReadiness: Duration(30 * time.Second)}
}

// Karpenter is its flags.
type Karpenter struct {
	// --batch-idle-duration.
	BatchIdle Duration `yaml:"batchIdle"`
	// --batch-max-duration.
	BatchMax Duration `yaml:"batchMax"`
	// --feature-gates.
	FeatureGates string `yaml:"featureGates"`
}

// SetDefaults takes upstream's (sigs.k8s.io/karpenter v1.14.1 pkg/operator/options).
func (k *Karpenter) SetDefaults() {
	k.BatchIdle, k.BatchMax = Duration(time.Second), Duration(10*time.Second)
}

// ClusterAutoscaler is its flags, by their names.
type ClusterAutoscaler struct {
	// --scan-interval.
	ScanInterval Duration `yaml:"scanInterval"`
	// --max-node-provision-time.
	MaxNodeProvisionTime Duration `yaml:"maxNodeProvisionTime"`
	// --new-pod-scale-up-delay.
	NewPodScaleUpDelay Duration `yaml:"newPodScaleUpDelay"`
	// --scale-down-enabled.
	ScaleDownEnabled bool `yaml:"scaleDownEnabled"`
	// --scale-down-delay-after-add.
	ScaleDownDelayAfterAdd Duration `yaml:"scaleDownDelayAfterAdd"`
	// --scale-down-delay-after-delete; 0: the scan interval.
	ScaleDownDelayAfterDelete Duration `yaml:"scaleDownDelayAfterDelete"`
	// --scale-down-delay-after-failure.
	ScaleDownDelayAfterFail Duration `yaml:"scaleDownDelayAfterFailure"`
	// --scale-down-unneeded-time.
	ScaleDownUnneededTime Duration `yaml:"scaleDownUnneededTime"`
	// --scale-down-unready-time.
	ScaleDownUnreadyTime Duration `yaml:"scaleDownUnreadyTime"`
	// --scale-down-utilization-threshold.
	UtilizationThreshold float64 `yaml:"scaleDownUtilizationThreshold" min:"0" max:"1"`
	// --scale-down-gpu-utilization-threshold.
	GPUUtilizationThreshold float64 `yaml:"scaleDownGPUUtilizationThreshold" min:"0" max:"1"`
	// --max-graceful-termination-sec.
	MaxGracefulTermination Duration `yaml:"maxGracefulTermination"`
	// --max-scale-down-parallelism, formerly --max-empty-bulk-delete.
	MaxEmptyBulkDelete int `yaml:"maxEmptyBulkDelete" min:"1" max:"10000"`
	// --max-nodes-total; 0: no bound.
	MaxNodesTotal int `yaml:"maxNodesTotal" min:"0" max:"200000"`
	// --expander: random, most-pods, least-waste, least-nodes, price, priority, or several with commas between, of which
	// each chooses among what the one before has left.
	Expander string `yaml:"expander"`
	// With expander priority: pool → priority; the highest wins. ConfigMap cluster-autoscaler-priority-expander in
	// kube-system, if among the manifests, says so by regular expressions, as upstream has it.
	Priorities map[string]int `yaml:"priorities"`
	// --balance-similar-node-groups.
	BalanceSimilarNodeGroups bool `yaml:"balanceSimilarNodeGroups"`
	// --initial-node-group-backoff-duration.
	InitialBackoff Duration `yaml:"initialNodeGroupBackoffDuration"`
	// --max-node-group-backoff-duration.
	MaxBackoff Duration `yaml:"maxNodeGroupBackoffDuration"`
	// --skip-nodes-with-local-storage.
	SkipNodesWithLocalStorage bool `yaml:"skipNodesWithLocalStorage"`
	// --skip-nodes-with-system-pods.
	SkipNodesWithSystemPods bool `yaml:"skipNodesWithSystemPods"`
	// --ignore-daemonsets-utilization.
	IgnoreDaemonSetsUtilization bool `yaml:"ignoreDaemonSetsUtilization"`
	// --unremovable-node-recheck-timeout.
	UnremovableRecheck Duration `yaml:"unremovableNodeRecheckTimeout"`
}

// SetDefaults takes upstream's (kubernetes/autoscaler cluster-autoscaler/config/flags, commit 01ea19e).
func (c *ClusterAutoscaler) SetDefaults() {
	*c = ClusterAutoscaler{ScanInterval: Duration(10 * time.Second), MaxNodeProvisionTime: Duration(15 * time.Minute),
		ScaleDownEnabled: true, ScaleDownDelayAfterAdd: Duration(10 * time.Minute),
		ScaleDownDelayAfterFail: Duration(3 * time.Minute), ScaleDownUnneededTime: Duration(10 * time.Minute),
		ScaleDownUnreadyTime: Duration(20 * time.Minute), UtilizationThreshold: 0.5, GPUUtilizationThreshold: 0.5,
		MaxGracefulTermination: Duration(10 * time.Minute), MaxEmptyBulkDelete: 10, Expander: "least-waste",
		InitialBackoff: Duration(5 * time.Minute), MaxBackoff: Duration(30 * time.Minute),
		SkipNodesWithLocalStorage: true, SkipNodesWithSystemPods: true, UnremovableRecheck: Duration(5 * time.Minute)}
}

// Elastic says that a pool's nodes come and go: machines of a cloud, at an autoscaler's request. Such a pool may begin
// with nodes: 0.
type Elastic struct {
	// Who asks for machines: karpenter (NodePools among the manifests) or cluster-autoscaler.
	By string `yaml:"by" required:"true" enum:"karpenter|cluster-autoscaler"`
	// How they are paid for.
	CapacityType string `yaml:"capacityType" enum:"on-demand|spot|reserved"`
	// Zones that have the type. Default: the pool's.
	Zones []string `yaml:"zones"`
	// Fewest nodes, with cluster-autoscaler.
	Min int `yaml:"min" min:"0" max:"200000"`
	// Most nodes, with cluster-autoscaler.
	Max int `yaml:"max" min:"0" max:"200000"`
	// Machines that can be had at a time. Absent: any number.
	Stock *int `yaml:"stock,omitempty" min:"0" max:"200000"`
	// Spans in which there are none to be had.
	StockOuts []Clip `yaml:"stockOuts"`
	// How long machines take. warm-pool: they run already. cloud-baked: a virtual machine whose image has the driver.
	// cloud-gpu-operator: one on which the GPU operator compiles it; cloud-gpu-operator-fast: with a precompiled one.
	// bare-metal: a server or a tray of a rack.
	Boot string `yaml:"boot" enum:"warm-pool|cloud-baked|cloud-gpu-operator|cloud-gpu-operator-fast|bare-metal"`
	// Hazard of an interruption of one machine, per hour, with capacityType spot. Default: the provider's published
	// band, or 0 where none is known.
	InterruptionsPerHour *float64 `yaml:"interruptionsPerHour,omitempty" min:"0" max:"60"`
	// What a machine is told ahead of an interruption.
	Notice Duration `yaml:"notice"`
}

// SetDefaults takes machines on demand.
func (e *Elastic) SetDefaults() {
	// Two minutes is AWS' notice; Google and Azure give 30 s.
	*e = Elastic{CapacityType: plan.CapacityOnDemand, Boot: startup.KindBaked, Notice: Duration(2 * time.Minute)}
}
