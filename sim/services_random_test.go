package sim_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"orrery/sim/journal"
)

var (
	firstSwarm = flag.Int("swarm", 1225, "number of the first random scenario with services")
	swarms     = flag.Int("swarms", 12, "random scenarios with services")
)

// servingSwarm draws a small scenario with services: what there is of pools, engines, pipelines, clients, autoscalers and
// jobs is on or off by coins, so that unusual combinations are common.
type servingSwarm struct {
	*rand.Rand
	scenario, manifests strings.Builder
	resources           map[string]string // extended resource → GPU
	elastic             bool
	kinds               map[string]string     // object → kind, if it is no Deployment
	bounds              map[string]scaleBound // by autoscaler or group of nodes
}

// scaleBound is what an autoscaler may set.
type scaleBound struct{ least, most int32 }

func (w *servingSwarm) coin() bool { return w.IntN(2) == 0 }

func (w *servingSwarm) one(list ...string) string { return list[w.IntN(len(list))] }

func (w *servingSwarm) add(format string, args ...any) { fmt.Fprintf(&w.scenario, format, args...) }

// manifest adds an object, whose text is indented as the scenario wants it.
func (w *servingSwarm) manifest(text string) {
	w.manifests.WriteString("    ---\n    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ") + "\n")
}

func newServingSwarm(seed uint64) (w *servingSwarm, text string) {
	w = &servingSwarm{Rand: rand.New(rand.NewPCG(seed, 4)), resources: map[string]string{}, kinds: map[string]string{},
		bounds: map[string]scaleBound{}}
	w.pools()
	w.add("services:\n")
	w.service("main", true)
	if w.coin() {
		w.service("side", w.coin())
	}
	if w.IntN(3) == 0 {
		w.apart()
	}
	if w.IntN(3) == 0 {
		w.spread()
	}
	if w.IntN(3) == 0 {
		w.given()
	}
	if w.coin() {
		w.jobs()
	}
	w.policies()
	head := fmt.Sprintf("apiVersion: orrery/v1\nkind: Scenario\nname: swarm\nseed: %d\njournal: {requests: true}\n", seed)
	if w.elastic || w.coin() { // who asks for machines that never come does so for a day
		head += fmt.Sprintf("horizon: %dm\n", 30+w.IntN(60))
	}
	w.manifest(classes)
	return w, head + w.scenario.String() + "manifests:\n- name: all.yaml\n  text: |\n" + w.manifests.String()
}

func (w *servingSwarm) pools() {
	w.add("cluster:\n  pools:\n  - {name: whole, node: dgx-h100, nodes: %d}\n", 1+w.IntN(4)/3)
	w.resources["nvidia.com/gpu"] = "whole"
	if w.coin() {
		w.add("  - {name: turns, gpu: L4, nodes: 1, gpusPerNode: 4, cpu: 48, memory: 192Gi, " +
			"sharing: {strategy: time-slicing, replicas: 2, rename: true}}\n")
		w.resources["nvidia.com/gpu.shared"] = "turns"
	}
	if w.coin() {
		w.add("  - {name: sliced, node: dgx-h100, nodes: 1, sharing: {strategy: mig, mig: {config: all-1g.10gb}}")
		if w.IntN(3) == 0 {
			w.add(", repartition: [{at: %dm, config: %s, drain: %t}]", 1+w.IntN(40),
				w.one("all-1g.10gb", "all-2g.20gb", "all-balanced"), w.coin())
		}
		w.add("}\n")
		w.resources["nvidia.com/mig-1g.10gb"] = "sliced"
	}
	if w.elastic = w.coin(); !w.elastic {
		return
	}
	by := w.one("karpenter", "cluster-autoscaler")
	w.cloud("cloud", by)
	if w.IntN(4) == 0 {
		w.cloud("more", by)
	}
}

// cloud is a pool of machines that come and go.
func (w *servingSwarm) cloud(name, by string) {
	e := "by: " + by
	if by == "karpenter" {
		if name == "cloud" {
			w.manifest(nodePool)
		}
	} else {
		most := 1 + w.IntN(3)
		w.bounds["NodeGroup/"+name] = scaleBound{0, int32(most)}
		e += fmt.Sprintf(", max: %d", most)
	}
	if w.coin() {
		e += fmt.Sprintf(", stock: %d", w.IntN(3))
	}
	if w.coin() {
		e += fmt.Sprintf(", capacityType: spot, interruptionsPerHour: %d, notice: %ds", 1+w.IntN(20), 1+w.IntN(120))
	}
	w.add("  - {name: %s, node: p5-48xlarge, nodes: 0, elastic: {%s}}\n", name, e)
}

// resource is one that the pools offer.
func (w *servingSwarm) resource() string {
	for {
		name := w.one("nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-1g.10gb")
		if _, ok := w.resources[name]; ok {
			return name
		}
	}
}

// replicas are the fields of a group.
func (w *servingSwarm) replicas(resource string, most int) string {
	start := w.one("{instant: true}", "{instant: true}", "{}", "{snapshot: true}", "{keepWeights: true, lazyPull: true}")
	out := fmt.Sprintf("count: %d, resource: %s, cpu: %d, memory: 8Gi, start: %s", w.IntN(most+1), resource,
		1+w.IntN(6), start)
	if resource == "nvidia.com/gpu" && w.IntN(3) == 0 {
		out += ", tensor: 2"
	}
	if w.coin() {
		out += ", priorityClass: " + w.one("low", "high")
	}
	return "{" + out + "}"
}

// asked is what a service is asked, and how its clients behave.
func (w *servingSwarm) asked() {
	w.add("  requests:\n    after: %ds\n    generate: {name: g, preset: %s, requests: %d, rate_per_second: %.2f%s}\n",
		w.IntN(300), w.one("azure-conv", "azure-code", "mooncake", "burstgpt", "sharegpt"), 1+w.IntN(300), 0.1+5*w.Float64(),
		w.one("", "", ", arrival: {process: gamma, cv: 4}", ", arrival: {process: deterministic}"))
	if w.IntN(4) > 0 {
		w.add("  client: {timeout: %dms, retries: %d}\n", 1+w.IntN(w.pick(100, 120_000, 120_000)), w.pick(0, 1, 3, 60))
	}
	w.add("  routing: {policy: %s, maxInFlight: %d, maxQueue: %d, hop: %dms}\n", w.one("round-robin", "random",
		"least-requests", "power-of-two", "kv-aware", "prefix-affine"), w.pick(0, 1, 8), w.pick(0, 1, 20), w.IntN(3))
	w.add("  slo: {ttft: 1s, tpot: 50ms, target: 0.9}\n")
}

func (w *servingSwarm) pick(list ...int) int { return list[w.IntN(len(list))] }

// stages of a pipeline: steps, and the service that is asked by this one only.
func (w *servingSwarm) stages() {
	if w.coin() {
		w.add("  before:\n  - {name: search, median: %dms, p99: 900ms, servers: %d, hit: 0.1, reject: 0.05, addInput: %d}\n",
			1+w.IntN(300), w.IntN(5), w.IntN(2000))
		w.add("  - {name: rank, service: inner, hop: 1ms}\n")
	} else {
		w.add("  after:\n  - {name: guard, service: inner, input: 100, output: 1, reject: 0.1}\n")
	}
}

func (w *servingSwarm) service(name string, pipeline bool) {
	resource := w.resource()
	w.add("- name: %s\n", name)
	if w.IntN(4) == 0 {
		w.add("  engine: {preset: batch, batch: {base: 2ms, perItem: 5ms, maxBatch: %d, maxDelay: 10ms, cv: 0.5, "+
			"instances: %d}}\n", 1+w.IntN(16), 1+w.IntN(2))
	} else {
		w.add("  model: llama-3.2-1b\n  engine: {preset: %s%s}\n", w.one("vllm", "sglang", "tensorrt-llm", "tgi"),
			w.engine(resource))
	}
	w.add("  replicas: %s\n", w.replicas(resource, 3))
	w.asked()
	w.autoscaler(name)
	if !pipeline || name != "main" || w.coin() {
		return
	}
	w.stages()
	w.add("- name: inner\n  engine: {preset: batch, batch: {base: 20ms, maxBatch: 4}}\n  replicas: %s\n",
		w.replicas(w.resource(), 2))
	w.autoscaler("inner")
}

// apart is a service of prefill and decode.
func (w *servingSwarm) apart() {
	w.add("- name: apart\n  model: llama-3.2-3b\n  engine: {preset: vllm}\n  prefill: %s\n  decode: %s\n",
		w.replicas("nvidia.com/gpu", 2), w.replicas("nvidia.com/gpu", 2))
	w.asked()
	w.autoscaler("apart-" + w.one("prefill", "decode"))
}

// jobs are training jobs beside the services.
func (w *servingSwarm) jobs() {
	w.add("trace:\n  generate:\n    name: t\n    jobs: %d\n    arrival: {process: poisson, load: {gpus: 8, factor: 0.8}}\n"+
		"    sizes: [{gpus: 1, weight: 3}, {gpus: 4, weight: 1}]\n    classes:\n    - name: t\n      up_to_gpus: 4\n"+
		"      duration: [{kind: lognormal, median: 5m, mean: 7m, max: 30m}]\n      outcomes: {succeeded: 100}\n"+
		"workload:\n  resource: nvidia.com/gpu\n  classPriority: {t: %s}\n"+
		"  restart: {lost: checkpoint, checkpointInterval: 2m}\n", 1+w.IntN(15), w.one("low", "high"))
}

// TestServingSwarm plays services at random, each twice: runs end, books balance (the account sees to it), no request is
// lost or counted twice, no replica is ready twice or after its end, and no KV cache holds more than there is room for.
func TestServingSwarm(t *testing.T) {
	total := map[string]int64{}
	for i := range *swarms {
		seed := uint64(*firstSwarm + i)
		w, text := newServingSwarm(seed)
		old := runtime.GOMAXPROCS(1)
		p, err := try(text)
		runtime.GOMAXPROCS(4)
		again, errAgain := try(text)
		runtime.GOMAXPROCS(old)
		if err = errors.Join(err, errAgain); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		} else {
			if p.head != again.head {
				t.Errorf("seed %d: another journal at GOMAXPROCS 4: %s", seed, difference(p.records, again.records))
			}
			checkServed(t, seed, p, total)
			checkCauses(t, seed, w, p)
		}
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, text)
		}
	}
	t.Log(total)
	for _, kind := range []string{"completed", "timed out", "rejected", "stopped", "in flight", "ready", "machines",
		"scales"} {
		if total[kind] == 0 {
			t.Errorf("nothing %s in %d runs: they show too little", kind, *swarms)
		}
	}
}

func checkServed(t *testing.T, seed uint64, p played, total map[string]int64) {
	t.Helper()
	checkBooks(t, seed, p)
	for name, s := range p.data.Summary.Serving.Services {
		r := s.Requests
		if sum := r.Completed + r.Rejected + r.TimedOut + r.Stopped + r.InFlight; sum != r.Arrived {
			t.Errorf("seed %d: service %s: %d requests arrived, %d accounted for: %+v", seed, name, r.Arrived, sum, r)
		}
		for kind, n := range map[string]int64{"completed": r.Completed, "rejected": r.Rejected, "timed out": r.TimedOut,
			"stopped": r.Stopped, "in flight": r.InFlight} {
			total[kind] += n
		}
	}
	order := map[string]int{journal.ReplicaStarting: 1, journal.ReplicaReady: 2, journal.ReplicaDraining: 3,
		journal.ReplicaGone: 4}
	state := map[string]int{}
	for _, r := range p.records {
		switch b := r.Body.(type) {
		case journal.Replica:
			if state[b.Replica] == 4 && b.Service == "spread" {
				state[b.Replica] = 0 // a group of pods comes again under its name
			}
			if now, before := order[b.State], state[b.Replica]; now < before || now == before && b.Speed == 0 &&
				b.State != journal.ReplicaDraining { // said again when neighbours change its speed
				t.Errorf("seed %d: at %s: replica %s is %s for the second time, or too late", seed, r.At, b.Replica, b.State)
			}
			state[b.Replica] = order[b.State]
			total[b.State]++
		case journal.Requests:
			if b.KV > b.Ready || b.Busy > b.Ready || b.Compute > b.Busy || b.InFlight < 0 || b.Queued > b.InFlight {
				t.Errorf("seed %d: at %s: %+v", seed, r.At, b)
			}
		case journal.Machine:
			total["machines"]++
		case journal.Scale:
			total["scales"]++
		case journal.End:
			total["end: "+b.Reason]++
		case journal.Warn:
			total["warning: "+b.Code]++
		}
	}
}
