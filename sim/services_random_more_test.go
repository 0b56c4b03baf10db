package sim_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"orrery/sim/journal"
	"orrery/sim/units"
)

// engine is what an engine's preset does not say; GPUs of one's own can be short of memory.
func (w *servingSwarm) engine(resource string) string {
	out := w.one("", "", ", maxSequences: 2", ", maxBatchedTokens: 256", ", maxModelTokens: 3000", ", evict: none",
		", prefixCaching: false", ", speculative: {tokens: 3, acceptance: 0.7, draftShare: 0.1}")
	if resource == "nvidia.com/gpu" && w.IntN(3) == 0 {
		out += ", memoryUtilization: 0.08, reserveGiB: 3.5"
	}
	return out
}

// spread is a service whose replicas are groups of pods.
func (w *servingSwarm) spread() {
	w.kinds["spread"] = "LeaderWorkerSet"
	w.add("- name: spread\n  model: llama-3.2-3b\n  engine: {preset: vllm}\n  replicas: {count: %d, kind: LeaderWorkerSet, "+
		"podsPerReplica: 2, tensor: %d, resource: nvidia.com/gpu, cpu: 2, memory: 8Gi, start: %s}\n", w.IntN(3),
		w.pick(2, 4, 8), w.one("{instant: true}", "{}"))
	w.asked()
	w.autoscaler("spread")
}

// given is a service whose Deployment is the user's own.
func (w *servingSwarm) given() {
	w.add("- name: own\n  model: llama-3.2-1b\n  engine: {preset: vllm}\n" +
		"  replicas: {fromManifest: true, resource: nvidia.com/gpu, start: {instant: true}}\n")
	w.asked()
	w.manifest(fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: own}\nspec:\n  replicas: %d\n"+
		"  strategy: %s\n  selector: {matchLabels: {a: own}}\n  template:\n    metadata: {labels: {a: own}}\n    spec:\n"+
		"      terminationGracePeriodSeconds: %d\n      containers:\n"+
		"      - {name: c, image: c, resources: {limits: {nvidia.com/gpu: \"1\", cpu: 1}}}", w.IntN(4),
		w.one("{type: Recreate}", "{rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}"), w.pick(0, 1, 30, 600)))
	w.autoscaler("own")
}

// policies are what keeps pods from coming and going.
func (w *servingSwarm) policies() {
	if w.IntN(3) == 0 {
		w.manifest(fmt.Sprintf("apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: keep}\nspec: {%s, "+
			"selector: {matchLabels: {app: main}}}", w.one("minAvailable: 1", "maxUnavailable: 0", "minAvailable: 50%")))
	}
	if w.IntN(6) == 0 {
		w.manifest(fmt.Sprintf("apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: {hard: {pods: %d}}",
			1+w.IntN(8)))
	}
}

func (w *servingSwarm) autoscaler(target string) {
	metric := w.one("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc",
		"DCGM_FI_DEV_GPU_UTIL", "nobody_shows_this")
	ref := fmt.Sprintf("{apiVersion: apps/v1, kind: Deployment, name: %s}", target)
	if w.kinds[target] != "" {
		ref = fmt.Sprintf("{apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, name: %s}", target)
	}
	switch w.IntN(4) {
	case 0, 1:
		names := []string{target}
		if w.IntN(6) == 0 {
			names = append(names, target+"-too")
		}
		for _, name := range names {
			most := 1 + w.IntN(6)
			w.bounds["HorizontalPodAutoscaler/default/"+name] = scaleBound{1, int32(most)}
			text := fmt.Sprintf("apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: %s}\nspec:\n"+
				"  scaleTargetRef: %s\n  minReplicas: 1\n  maxReplicas: %d\n"+
				"  behavior: {scaleDown: {stabilizationWindowSeconds: %d}}\n  metrics:\n", name, ref, most, w.IntN(300))
			for range 1 + w.IntN(2) {
				text += fmt.Sprintf("  - {type: Pods, pods: {metric: {name: %q}, target: {type: AverageValue, averageValue: %q}}}\n",
					metric, strconv.Itoa(1+w.IntN(20)))
			}
			w.manifest(text)
		}
	case 2:
		least, most := w.IntN(2), 2+w.IntN(4)
		w.bounds["ScaledObject/default/"+target] = scaleBound{0, int32(most)}
		w.bounds["HorizontalPodAutoscaler/default/keda-hpa-"+target] = scaleBound{1, int32(most)}
		text := fmt.Sprintf("apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: %s}\nspec:\n"+
			"  scaleTargetRef: %s\n  pollingInterval: %d\n  cooldownPeriod: %d\n  minReplicaCount: %d\n"+
			"  maxReplicaCount: %d\n  triggers:\n  - {type: prometheus, metadata: {serverAddress: \"http://p\", "+
			"query: 'sum(%s)', threshold: %q}}\n", target, ref, 5+w.IntN(60), w.IntN(300), least, most,
			w.one("inference_objective_running_requests", metric), strconv.Itoa(1+w.IntN(20)))
		if w.IntN(3) == 0 {
			text += fmt.Sprintf("  - {type: cron, metadata: {timezone: Asia/Kolkata, start: \"%d * * * *\", "+
				"end: \"%d * * * *\", desiredReplicas: \"2\"}}\n", w.IntN(30), 30+w.IntN(30))
		}
		w.manifest(text)
	}
}

// checkCauses: nothing comes before its cause or outside its bounds: tokens after replicas are ready, changes of
// replicas within those of the autoscaler, machines paid for as long as they are there.
func checkCauses(t *testing.T, seed uint64, w *servingSwarm, p played) {
	t.Helper()
	ready, first := map[string]units.Time{}, map[string]units.Time{}
	launched, paid, end := map[string]units.Time{}, 0.0, units.Time(0)
	for _, r := range p.records {
		end = max(end, r.At)
		switch b := r.Body.(type) {
		case journal.Replica:
			if _, ok := ready[b.Replica]; b.State == journal.ReplicaReady && !ok {
				ready[b.Replica] = r.At
				if _, ok := first[b.Service]; !ok {
					first[b.Service] = r.At
				}
			}
		case journal.RequestEnd:
			if why := early(&b, ready, first, r.At); why != "" {
				t.Errorf("seed %d: at %s: %s: %+v", seed, r.At, why, b)
			}
		case journal.Scale:
			x, known := w.bounds[b.By]
			if !known {
				x, known = w.bounds[b.Object]
			}
			if !known || b.Reason == "" || b.To > b.From && b.To > x.most || b.To < b.From && b.To < x.least {
				t.Errorf("seed %d: at %s: %+v, bounds %+v", seed, r.At, b, x)
			}
		case journal.Machine:
			switch b.State {
			case journal.MachineLaunched:
				launched[b.Node] = r.At
			case journal.MachineGone, journal.MachineFailed:
				if at, ok := launched[b.Node]; ok {
					paid += r.At.Sub(at).Hours()
					delete(launched, b.Node)
				}
			}
		}
	}
	for _, at := range launched {
		paid += end.Sub(at).Hours()
	}
	if m := p.data.Summary.Machines; m != nil && math.Abs(m.Hours-paid) > 1e-6*max(paid, 1) {
		t.Errorf("seed %d: %v machine-hours paid, and they were there for %v", seed, m.Hours, paid)
	}
	for _, x := range p.data.Summary.Warnings {
		if strings.Contains(x.Message, "panic") {
			t.Errorf("seed %d: %+v", seed, x)
		}
	}
}

// early says what of a request came before its time.
func early(b *journal.RequestEnd, ready, first map[string]units.Time, now units.Time) string {
	at, known := ready[b.Replica]
	switch {
	case b.Ended > now || b.Ended < b.Arrived:
		return "it ended before it arrived, or is told before it ended"
	case b.Outcome == journal.RequestCompleted && (b.First == 0 || b.First < b.Begun || b.First > b.Ended || b.Replica == ""):
		return "begun, first token and end are not in order"
	case b.Outcome == journal.RequestCompleted && (!known || at > b.Ended || first[b.Service] > b.First):
		return "its replica was not ready"
	case b.Begun > 0 && (b.Begun < b.Arrived || first[b.Service] > b.Begun):
		return "it began before it arrived, or before any replica was ready"
	}
	return ""
}
