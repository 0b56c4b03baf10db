package sim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"orrery/scenarios"
	"orrery/sim"
	"orrery/sim/journal"
	"orrery/sim/kube"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// world is a scenario in which policies decide about work of which physics knows more than they may.
type world struct {
	name, scenario string
	sets           []string
}

var worlds = []world{
	{"training gangs in a topology", "topology-on", []string{"cluster.pools.h100.nodes=16", "trace.generate.span=4h",
		"trace.generate.arrival.load.gpus=128", "workload.restart.checkpointInterval=10m"}},
	{"Job objects, preempted", jobObjects, []string{"workload.training={default: {intensity: high}}"}},
	{"Job objects whose gangs somebody else makes", jobObjects, []string{"workload.training={default: {intensity: high}}",
		"scheduler.featureGates={WorkloadWithJob: false}"}},
	{"objects of operators", "operators", []string{"trace.generate.span=8h"}},
	{"partitions by claims", "mig-dynamic-dra", []string{"trace.generate.jobs=60"}},
	{"kinds of GPUs by claims", "heterogeneous", []string{"trace.generate.span=3h"}},
	{"MIG instances", "share-mig", []string{"trace.generate.jobs=60"}},
	{"time-slices", "share-timeslicing", []string{"trace.generate.jobs=60"}},
	{"parts of GPUs by annotation", "fgd-small", []string{"trace.generate.jobs=80", "workload.submit.fillTo=0",
		"workload.submit.mode=trace", "workload.submit.dropUnschedulable=false", "workload.submit.shuffle=false"}},
	{"a service on machines of Karpenter's, scaled by KEDA", onKarpenter, nil},
	{"a service on machines of the Cluster Autoscaler's", onClusterAutoscaler, nil},
	{"a service over nodes", overNodes, nil},
}

// write is what the API was told.
type write struct {
	what   string
	object any
}

// writes runs a world, as edit has changed it, and returns all that was written to its API.
func (w world) writes(t *testing.T, edit func(*plan.Plan, *plan.Job)) (out []write) {
	t.Helper()
	open := scenarios.Open
	if strings.Contains(w.scenario, "\n") {
		open = func(text string, sets []string) (*scenarios.Scenario, error) {
			return scenarios.Parse("test.yaml", []byte(text), sets...)
		}
	}
	s, err := open(w.scenario, w.sets)
	if err != nil {
		t.Fatal(err)
	}
	p, jobs, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = jobs.Close() }()
	asked, err := s.Requests()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range asked {
		defer func() { _ = r.Close() }()
	}
	edit(p, nil)
	params := sim.Params{Plan: p, Jobs: edited{jobs, func(j *plan.Job) { edit(p, j) }}, Requests: asked, Sink: new(tape)}
	if _, err := sim.Run(params.Watch(func(k kube.Commit) {
		text, err := json.Marshal(k.New)
		if err != nil {
			t.Error(err)
		}
		var object any
		if err := json.Unmarshal(text, &object); err != nil {
			t.Error(err)
		}
		m := k.New.(metav1.Object)
		out = append(out, write{fmt.Sprintf("%s %s %s/%s %s", k.Verb, k.GVR.Resource, m.GetNamespace(), m.GetName(), k.Sub),
			object})
	})); err != nil {
		t.Fatal(err)
	}
	return out
}

// edited changes the jobs of a source.
type edited struct {
	plan.JobSource
	edit func(*plan.Job)
}

func (e edited) Next() (plan.Job, error) {
	j, err := e.JobSource.Next()
	if err == nil {
		e.edit(&j)
	}
	return j, err
}

// TestPoliciesSeeNoPhysics plays worlds twice with other physics behind them: how long work takes, how it ends, what it
// computes, what it keeps busy, how fast GPUs, links and storage are and what they cost. Until work ends nobody in a real
// cluster can tell the two apart, so that every write of the API must be the same to the last byte: objects that users,
// nodes, drivers and controllers make, and all that policies decide.
func TestPoliciesSeeNoPhysics(t *testing.T) {
	const horizon = 2 * time.Hour
	long := func(p *plan.Plan, j *plan.Job) {
		if j == nil {
			p.Horizon = horizon
			retime(p, "1000h")
			return
		}
		j.Run += 1000 * time.Hour
		j.Outcome = journal.Succeeded
	}
	other := func(p *plan.Plan, j *plan.Job) {
		if j == nil {
			p.Horizon = horizon
			retime(p, "2000h")
			slow(p)
			return
		}
		j.Run = 3*j.Run + 2000*time.Hour
		j.Outcome = journal.Failed
		if j.Training != nil {
			with := *j.Training
			with.Save = nil
			j.Training = &with
		}
		if len(j.Name)%2 == 0 {
			j.Training = nil
		}
		for i := range j.Pods {
			j.Pods[i].Demand = units.GPU / 3
		}
	}
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			a, b := w.writes(t, long), w.writes(t, other)
			for i := range min(len(a), len(b)) {
				if x, y := fmt.Sprint(a[i]), fmt.Sprint(b[i]); x != y {
					t.Fatalf("write %d of %d differs:\n%s\n%s", i, len(a), x, y)
				}
			}
			if len(a) != len(b) {
				t.Fatalf("%d writes, and %d with other physics", len(a), len(b))
			}
			if n := count(a, "pods", " binding"); n < 10 {
				t.Errorf("%d pods were bound: the world shows too little", n)
			}
		})
	}
}

// retime gives all objects of the manifests that have a length of work another one.
func retime(p *plan.Plan, length string) {
	p.Manifests = slices.Clone(p.Manifests)
	for i := range p.Manifests {
		f := &p.Manifests[i]
		f.Data = runAnnotation.ReplaceAll(f.Data, []byte("orrery.dev/run: "+length))
	}
}

var runAnnotation = regexp.MustCompile(`orrery\.dev/run: [0-9a-z]+`)

// slow changes what a plan says of how fast things are and what they cost.
func slow(p *plan.Plan) {
	if p.Topology != nil {
		for i := range p.Topology.Domains {
			p.Topology.Domains[i].UplinkGBs /= 7
			p.Topology.Domains[i].Oversubscription *= 7
			p.Topology.Domains[i].HopNs *= 3
		}
	}
	if p.Storage != nil {
		p.Storage.WriteGBs /= 5
	}
	for i := range p.Pools {
		pool := &p.Pools[i]
		pool.Price.PerGPUHour *= 3
		pool.BusyWatts *= 2
		pool.Links.GBs /= 2
		pool.Links.NICGBs /= 2
		if pool.Accelerator != nil {
			with := *pool.Accelerator
			with.Half, with.FP8, with.MemoryGBs, with.LinkGBs = with.Half/3, with.FP8/3, with.MemoryGBs/3, with.LinkGBs/3
			with.NICGBs /= 3
			pool.Accelerator = &with
		}
		if pool.Elastic != nil {
			with := *pool.Elastic
			with.Stock, with.StockOuts = 1000, []plan.Span{{From: units.Time(24 * time.Hour), To: units.Time(48 * time.Hour)}}
			pool.Elastic = &with
		}
	}
	for i := range p.Services {
		s := &p.Services[i]
		s.SLO.TTFT, s.Client.Timeout = s.SLO.TTFT/3, s.Client.Timeout/2
		s.Engine.MaxBatchedTokens, s.Engine.MaxSequences = s.Engine.MaxBatchedTokens/2, s.Engine.MaxSequences/2
	}
}

func count(list []write, parts ...string) (n int) {
	for _, w := range list {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(w.what, p) }) {
			n++
		}
	}
	return n
}

// TestOnlyKnownLabels runs the same worlds to their end: objects have the labels and annotations that real ones have, and
// those of ours that stand in the documentation.
func TestOnlyKnownLabels(t *testing.T) {
	// Beginnings of keys that upstream components, vendors and clouds set.
	known := []string{"kubernetes.io/", "batch.kubernetes.io/", "beta.kubernetes.io/", "node.kubernetes.io/",
		"node.alpha.kubernetes.io/ttl", "topology.kubernetes.io/", "resource.kubernetes.io/pod-claim-name",
		"kwok.x-k8s.io/node", "job-name", "controller-uid", "nvidia.com/", "amd.com/", "habana.ai/",
		"feature.node.kubernetes.io/", "alibabacloud.com/gpu-", "example.com/row", "node-role.kubernetes.io/",
		"fabric.topograph.run/", "accelerator.topograph.run/", "topology.orrery.dev/", "type",
		"jobset.sigs.k8s.io/", "training.kubeflow.org/", "ray.io/", "app.kubernetes.io/", "leaderworkerset.sigs.k8s.io/",
		"statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index", "app", "pod-template-hash",
		"deployment.kubernetes.io/", "controller-revision-hash", "controller.kubernetes.io/hash", "karpenter.sh/",
		"karpenter.kwok.sh/", "scaledobject.keda.sh/"}
	ours := []string{"orrery.dev/pool", "orrery.dev/gpu-model", "orrery.dev/tenant", "orrery.dev/user", "orrery.dev/class",
		"orrery.dev/priority", "orrery.dev/service", "orrery.dev/group"}
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			unknown := map[string]string{}
			for _, x := range w.writes(t, func(*plan.Plan, *plan.Job) {}) {
				for _, key := range keys(x.object) {
					if !slices.Contains(ours, key) && !slices.ContainsFunc(known, func(k string) bool {
						return strings.HasPrefix(key, k)
					}) {
						unknown[key] = x.what
					}
				}
			}
			for _, key := range slices.Sorted(maps.Keys(unknown)) {
				t.Errorf("%s, first in: %s", key, unknown[key])
			}
		})
	}
}

// keys returns the keys of all labels and annotations in an object, also of templates in it.
func keys(object any) (out []string) {
	switch x := object.(type) {
	case map[string]any:
		for name, v := range x {
			if m, ok := v.(map[string]any); ok && (name == "labels" || name == "annotations") {
				out = append(out, slices.Collect(maps.Keys(m))...)
				continue
			}
			out = append(out, keys(v)...)
		}
	case []any:
		for _, v := range x {
			out = append(out, keys(v)...)
		}
	}
	return out
}
