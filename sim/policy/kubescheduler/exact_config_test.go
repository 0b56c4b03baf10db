package kubescheduler_test

import (
	"fmt"
	"strings"
	"time"

	"orrery/sim/policy/kubescheduler"
)

// dice draws from a stream of bytes, so that a generator of pseudo-random numbers and a fuzzer can both feed it. Past
// the end of the stream every draw is 0, which stands for the plain choice everywhere.
type dice struct {
	next func() (byte, bool)
	dry  bool // the stream has ended
}

func (d *dice) byte() int {
	if d.dry {
		return 0
	}
	b, ok := d.next()
	d.dry = !ok
	return int(b)
}

// n draws from 0 to n-1.
func (d *dice) n(n int) int {
	if n <= 256 {
		return d.byte() % n
	}
	return (d.byte() + d.byte()<<8) % n
}

// one is true once in n draws.
func (d *dice) one(n int) bool { return d.n(n) == n-1 }

// pick draws one of xs.
func pick[T any](d *dice, xs ...T) T { return xs[d.n(len(xs))] }

// some draws a subset of xs of which each is in with chance 1 in n.
func some[T any](d *dice, n int, xs ...T) (out []T) {
	for _, x := range xs {
		if d.one(n) {
			out = append(out, x)
		}
	}
	return out
}

var profileNames = []string{"default-scheduler", "pack", "spread"}

// drawConfig draws a scheduler configuration and the names of its profiles.
func drawConfig(d *dice) (text string, profiles []string) {
	var b strings.Builder
	b.WriteString(kubescheduler.DefaultConfig)
	if d.one(4) {
		fmt.Fprintf(&b, "percentageOfNodesToScore: %d\n", pick(d, 100, 5, 30))
	}
	if d.one(3) {
		fmt.Fprintf(&b, "podInitialBackoffSeconds: %d\npodMaxBackoffSeconds: %d\n", 1+d.n(3), 10+d.n(20))
	}
	profiles = profileNames[:1+d.n(3)]
	b.WriteString("profiles:\n")
	for _, name := range profiles {
		fmt.Fprintf(&b, "- schedulerName: %s\n", name)
		if d.one(5) {
			fmt.Fprintf(&b, "  percentageOfNodesToScore: %d\n", pick(d, 100, 3, 40))
		}
		b.WriteString(drawPlugins(d))
		b.WriteString(drawPluginConfig(d))
	}
	return b.String(), profiles
}

// scorers are plugins with a score, in upstream's default set.
var scorers = []string{"TaintToleration", "NodeAffinity", "NodeResourcesFit", "PodTopologySpread", "InterPodAffinity",
	"NodeResourcesBalancedAllocation", "ImageLocality"}

// drawPlugins switches plugins off and changes weights.
func drawPlugins(d *dice) string {
	var parts []string
	list := func(point, verb string, items []string) {
		if len(items) > 0 {
			parts = append(parts, fmt.Sprintf("%s: {%s: [%s]}", point, verb, strings.Join(items, ", ")))
		}
	}
	named := func(names []string) (out []string) {
		for _, n := range names {
			out = append(out, fmt.Sprintf("{name: %q}", n))
		}
		return out
	}
	switch d.n(10) {
	case 7:
		list("score", "disabled", named([]string{"*"})) // the first feasible node is taken
	case 8:
		list("score", "disabled", named(some(d, 3, scorers...)))
	case 9:
		var heavy []string
		for _, n := range some(d, 3, scorers...) {
			heavy = append(heavy, fmt.Sprintf("{name: %s, weight: %d}", n, 1+d.n(20)))
		}
		list("score", "enabled", heavy)
	}
	if d.one(8) {
		list("postFilter", "disabled", named([]string{"DefaultPreemption"}))
	}
	if d.one(12) {
		list("filter", "disabled", named(some(d, 2, "TaintToleration", "NodeUnschedulable", "NodePorts", "NodeAffinity")))
	}
	if d.one(8) {
		off := pick(d, "InterPodAffinity", "PodTopologySpread", "ImageLocality", "NodeVolumeLimits", "DynamicResources",
			"DynamicResources")
		list("multiPoint", "disabled", named([]string{off}))
	}
	if len(parts) == 0 {
		return ""
	}
	return "  plugins:\n    " + strings.Join(parts, "\n    ") + "\n"
}

// drawPluginConfig draws the arguments of plugins.
func drawPluginConfig(d *dice) string {
	var b strings.Builder
	b.WriteString("  pluginConfig:\n")
	add := func(name, args string) { fmt.Fprintf(&b, "  - name: %s\n    args: {%s}\n", name, args) }
	add("NodeResourcesFit", drawScoring(d))
	if !d.one(3) { // without default constraints upstream gives most pods a signature
		add("PodTopologySpread", "defaultingType: List, defaultConstraints: []")
	} else if d.one(3) {
		add("PodTopologySpread", fmt.Sprintf("defaultingType: List, defaultConstraints: [{maxSkew: 1, "+
			"topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: %s}]", pick(d, "DoNotSchedule", "ScheduleAnyway")))
	}
	if d.one(6) {
		add("NodeAffinity", "addedAffinity: {"+pick(d,
			"requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: "+
				"[{key: pool, operator: In, values: [a, b]}]}]}",
			"preferredDuringSchedulingIgnoredDuringExecution: [{weight: 7, preference: {matchExpressions: "+
				"[{key: pool, operator: In, values: [c]}]}}]")+"}")
	}
	if d.one(4) {
		add("InterPodAffinity", fmt.Sprintf("hardPodAffinityWeight: %d, ignorePreferredTermsOfExistingPods: %t",
			d.n(101), d.one(2)))
	}
	if d.one(6) {
		add("NodeResourcesBalancedAllocation", "resources: [{name: cpu, weight: 1}, {name: nvidia.com/gpu, weight: 1}]")
	}
	if d.one(3) {
		add("DefaultPreemption", fmt.Sprintf("minCandidateNodesPercentage: %d, minCandidateNodesAbsolute: %d",
			pick(d, 100, 0, 10), 1+d.n(20)))
	}
	return b.String()
}

// drawScoring draws how NodeResourcesFit scores.
func drawScoring(d *dice) string {
	kind := pick(d, "LeastAllocated", "MostAllocated", "RequestedToCapacityRatio")
	var resources []string
	for _, r := range []string{"nvidia.com/gpu", "cpu", "memory"} {
		if len(resources) == 0 && r == "memory" || !d.one(3) {
			resources = append(resources, fmt.Sprintf("{name: %s, weight: %d}", r, 1+d.n(10)))
		}
	}
	shape := ""
	if kind == "RequestedToCapacityRatio" {
		shape = ", requestedToCapacityRatio: {shape: [" + pick(d,
			"{utilization: 0, score: 0}, {utilization: 100, score: 10}",
			"{utilization: 0, score: 10}, {utilization: 100, score: 0}",
			"{utilization: 0, score: 0}, {utilization: 50, score: 10}, {utilization: 100, score: 3}") + "]}"
	}
	return fmt.Sprintf("scoringStrategy: {type: %s, resources: [%s]%s}", kind, strings.Join(resources, ", "), shape)
}

// drawGates flips feature gates off their defaults. SchedulerAsyncAPICalls is off by default.
func drawGates(d *dice) map[string]bool {
	gates := map[string]bool{}
	for _, g := range some(d, 4, "SchedulerPopFromBackoffQ", "SchedulerAsyncPreemption", "OpportunisticBatching") {
		gates[g] = false
	}
	if d.one(5) {
		gates["SchedulerAsyncAPICalls"] = true
	}
	// With both, a member's nomination is written before its binding or not, as Go runs upstream's goroutines.
	if d.one(4) && !gates["SchedulerAsyncAPICalls"] {
		gates["GenericWorkload"] = true
		for _, g := range some(d, 2, "TopologyAwareWorkloadScheduling", "PodGroupPreemptionPolicy") {
			gates[g] = true
		}
	}
	return gates
}

// pace is how long things take in a world.
type pace struct {
	scheduler kubescheduler.Latency
	api       time.Duration // of a call of the scheduler
	watch     time.Duration // until the scheduler is told of a change
}

func drawPace(d *dice) pace {
	const ms = time.Millisecond
	p := pace{api: pick(d, 0, 0, 3*ms, 40*ms, 700*ms), watch: pick(d, 0, 0, 0, 10*ms, 300*ms)}
	p.scheduler.Attempt = pick(d, 0, ms, 5*ms, 30*ms)
	p.scheduler.AttemptPerNode = pick(d, 0, 0, 50*time.Microsecond)
	return p
}
