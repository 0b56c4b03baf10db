package sim_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"orrery/sim"
	"orrery/sim/account"
	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/kube"
	"orrery/sim/model/startup"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// served is a pod of a test: what it starts with, and where and when.
type served struct {
	name, node string
	at         time.Duration
	spec       plan.ReplicaStart
}

const gb = 1e9 / startup.GiB // of a GiB

// serverStart is a start of fixed times: 2 s of sandbox, 30 s of engine; 10 GB of image, 20 GB of weights.
func serverStart() plan.ReplicaStart {
	return plan.ReplicaStart{Image: "server", ImageGiB: 10 * gb, Sandbox: exactly(2 * time.Second), WeightsKey: "model",
		WeightsGiB: 20 * gb, LoadGBs: 4, Engine: exactly(30 * time.Second), KeepWeights: true}
}

// start plays pods' starts on three nodes and returns when each ran and was ready, in seconds, and its conditions then.
func start(t *testing.T, registry plan.Registry, pods []served, also func(sim.Hands)) (ran, ready map[string]float64,
	got played) {
	t.Helper()
	p := elasticPlan(8)
	p.Pools[0].Elastic = nil
	p.Registry = registry
	for i := range 3 {
		p.Nodes = append(p.Nodes, plan.Node{Name: fmt.Sprintf("n%d", i)})
	}
	ran, ready = map[string]float64{}, map[string]float64{}
	specs := map[string]plan.ReplicaStart{}
	var hands sim.Hands
	watch := func(k kube.Commit) {
		pod, ok := k.New.(*corev1.Pod)
		if !ok || k.Verb == kube.VerbDelete {
			return
		}
		now := hands.Engine.Now().Seconds()
		if k.Sub == "binding" {
			hands.Start(pod, specs[pod.Name], func() { ready[pod.Name] = hands.Engine.Now().Seconds() })
		}
		isReady := false
		for _, c := range pod.Status.Conditions {
			isReady = isReady || c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}
		if _, seen := ran[pod.Name]; pod.Status.Phase == corev1.PodRunning && !seen {
			ran[pod.Name] = now
			if isReady {
				t.Errorf("%s is ready as soon as it runs", pod.Name)
			}
		} else if pod.Status.Phase == corev1.PodRunning && isReady && pod.DeletionTimestamp == nil {
			if at, ok := ready[pod.Name]; ok && at != now {
				t.Errorf("%s was ready at %v s, its condition says %v s", pod.Name, at, now)
			}
			if !pod.Status.ContainerStatuses[0].Ready || pod.Status.ContainerStatuses[0].RestartCount != 0 {
				t.Errorf("%s: %+v", pod.Name, pod.Status.ContainerStatuses[0])
			}
		}
	}
	play := func() played {
		clear(ran)
		clear(ready)
		var buf bytes.Buffer
		w, fold, keep := journal.NewWriter(&buf), account.New(account.Options{}), new(tape)
		params := sim.Params{Plan: p, Jobs: &jobList{}, Sink: journal.Multi{w, fold, keep}}.Watch(watch)
		out, err := sim.Run(params.Built(func(h sim.Hands) {
			hands = h
			for _, s := range pods {
				specs[s.name] = s.spec
				h.Engine.At(units.Time(s.at), engine.PhaseArrive, "pod", func() {
					if _, err := h.Store.Create(kube.NewPod(kube.PodParams{Namespace: "default", Name: s.name,
						SchedulerName: "default-scheduler", CPUMilli: 100, MemoryMiB: 100, Resource: "nvidia.com/gpu", Count: 1,
						Require: []kube.Requirement{{Key: corev1.LabelHostname, Values: []string{s.node}}}})); err != nil {
						t.Error(err)
					}
				})
			}
			if also != nil {
				also(h)
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fold.Finish(out.End); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return played{records: keep.records, file: buf.Bytes()}
	}
	return ran, ready, repeats(t, []int{1, 2, 8}, play)
}

// TestColdStart compares pods that start together with closed forms.
func TestColdStart(t *testing.T) {
	registry := plan.Registry{ImageGBs: 2, NodeGBs: 1, ObjectGBs: 4, NodeDiskGBs: 6}
	lazy := serverStart()
	lazy.LazyPull, lazy.LazyStart, lazy.Image, lazy.WeightsKey = true, exactly(5*time.Second), "lazy", "other"
	snapshot := serverStart()
	snapshot.Snapshot, snapshot.SnapshotGiB, snapshot.RestoreGBs, snapshot.Restore = true, 6*gb, 3, exactly(2*time.Second)
	unpacked := serverStart()
	unpacked.Image, unpacked.Unpack, unpacked.Join, unpacked.KeepWeights = "other",
		exactly(units.Duration(startup.GiB)), exactly(7*time.Second), false
	second := serverStart()
	second.Image = "second"
	ran, ready, got := start(t, registry, []served{
		{"a", "n0", 0, serverStart()}, {"b", "n0", 0, serverStart()}, {"c", "n1", 0, serverStart()},
		{"again", "n1", 200 * time.Second, serverStart()},
		{"lazy", "n1", 300 * time.Second, lazy},
		{"snap", "n1", 400 * time.Second, snapshot},
		{"join", "n2", 500 * time.Second, unpacked},
		{"x", "n2", 600 * time.Second, serverStart()}, {"y", "n2", 600 * time.Second, second},
	}, func(h sim.Hands) {
		h.Engine.At(units.Time(607*time.Second), engine.PhaseArrive, "delete", func() {
			if err := h.Store.Delete(corev1.SchemeGroupVersion.WithResource("pods"), "default", "x",
				metav1.NewDeleteOptions(0)); err != nil {
				t.Error(err)
			}
		})
	})
	// GiB of 2^30 bytes make unpacking 10 GB take 10 s at a rate of a nanosecond per byte.
	want := map[string][2]float64{
		"a":     {12, 82}, // its node's network is shared: 20 GB in 40 s
		"b":     {12, 82},
		"c":     {12, 62},
		"again": {202, 237}, // image and weights are there; the loader reads 4 GB/s
		"lazy":  {307, 0},
		"snap":  {402, 410}, // 6 GB over a network of 1 GB/s, and 2 s
		"join":  {522, 522 + 20 + 30 + 7},
		"y":     {614.5, 614.5 + 20 + 30}, // half the network for 5 s, then all of it
	}
	// Lazily: from 302 to 307 the image has the network, then weights share it: 5 GB each in 10 s, 15 GB more alone.
	want["lazy"] = [2]float64{307, 307 + 10 + 15 + 30}
	for name, w := range want {
		if math.Abs(ran[name]-w[0]) > 1e-3 || math.Abs(ready[name]-w[1]) > 1e-3 {
			t.Errorf("%s ran at %v s and was ready at %v s, want %v", name, ran[name], ready[name], w)
		}
	}
	if _, ok := ready["x"]; ok {
		t.Error("a pod that was deleted became ready")
	}
	golden(t, stageLines(got.records), `
2.0 default/a sandbox 2.0
2.0 default/b sandbox 2.0
2.0 default/c sandbox 2.0
12.0 default/a image-pull 10.0 9.31 GiB
12.0 default/b image-pull 10.0 9.31 GiB
12.0 default/c image-pull 10.0 9.31 GiB
32.0 default/c weights 20.0 18.63 GiB from the object store at 1 GB/s
52.0 default/a weights 40.0 18.63 GiB from the object store at 0.5 GB/s
52.0 default/b weights 40.0 18.63 GiB from the object store at 0.5 GB/s
62.0 default/c engine 30.0
82.0 default/a engine 30.0
82.0 default/b engine 30.0
202.0 default/again sandbox 2.0
202.0 default/again image-pull 0.0 cached on the node
207.0 default/again weights 5.0 18.63 GiB from the node's disk at 4 GB/s
237.0 default/again engine 30.0
302.0 default/lazy sandbox 2.0
307.0 default/lazy image-pull 5.0 started before the image was there
332.0 default/lazy weights 25.0 18.63 GiB from the object store at 0.8 GB/s
362.0 default/lazy engine 30.0
402.0 default/snap sandbox 2.0
402.0 default/snap image-pull 0.0 cached on the node
410.0 default/snap snapshot-restore 8.0 5.588 GiB from the object store at 1 GB/s
502.0 default/join sandbox 2.0
522.0 default/join image-pull 20.0 9.31 GiB
542.0 default/join weights 20.0 18.63 GiB from the object store at 1 GB/s
572.0 default/join engine 30.0
579.0 default/join join 7.0
602.0 default/x sandbox 2.0
602.0 default/y sandbox 2.0
614.5 default/y image-pull 12.5 9.31 GiB
634.5 default/y weights 20.0 18.63 GiB from the object store at 1 GB/s
664.5 default/y engine 30.0`)
	r, err := journal.NewReader(bytes.NewReader(got.file))
	if err != nil {
		t.Fatal(err)
	}
	e, err := account.Explain(r, "again")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := e.Text(&text); err != nil || !strings.Contains(text.String(), "start: weights done after 5s") {
		t.Errorf("%v\n%s", err, text.String())
	}
}

func stageLines(records []journal.Record) string {
	var b strings.Builder
	for _, r := range records {
		if x, ok := r.Body.(journal.PodStage); ok {
			line := fmt.Sprintf("%.1f %s %s %.1f %s", r.At.Seconds(), x.Pod, x.Stage, x.Took.Seconds(), x.Detail)
			fmt.Fprintln(&b, strings.TrimSpace(line))
		}
	}
	return b.String()
}

// TestManyPulls has a hundred pods pull at one time: nobody is faster than the node's link, and the registry is full.
func TestManyPulls(t *testing.T) {
	var pods []served
	for i := range 24 {
		s := serverStart()
		s.Image, s.WeightsGiB = fmt.Sprintf("i%d", i), 0
		pods = append(pods, served{fmt.Sprintf("p%d", i), fmt.Sprintf("n%d", i%3), 0, s})
	}
	ran, ready, _ := start(t, plan.Registry{ImageGBs: 2}, pods, nil)
	for _, p := range pods {
		if math.Abs(ran[p.name]-122) > 1e-2 || math.Abs(ready[p.name]-152) > 1e-2 { // 240 GB at 2 GB/s
			t.Errorf("%s ran at %v and was ready at %v", p.name, ran[p.name], ready[p.name])
		}
	}
}

// TestKeepCompiled: the second server on a node finds what the first has compiled, and one on another node does not.
func TestKeepCompiled(t *testing.T) {
	spec := serverStart()
	spec.KeepCompiled, spec.Compiled = true, exactly(10*time.Second)
	ran, ready, got := start(t, plan.Registry{ImagesCached: true}, []served{{"first", "n0", 0, spec},
		{"second", "n0", 100 * time.Second, spec}, {"other", "n1", 100 * time.Second, spec}}, nil)
	for name, want := range map[string]float64{"first": 37, "second": 117, "other": 137} { // 2 s, 5 s of weights, engine
		if math.Abs(ready[name]-want) > 1e-3 {
			t.Errorf("%s ran at %v s and was ready at %v s, want %v", name, ran[name], ready[name], want)
		}
	}
	if lines := stageLines(got.records); !strings.Contains(lines, "default/second engine 10.0 compiled before on the node") {
		t.Error(lines)
	}
}

// TestFasterLinks: with every link and loader twice as fast no set of pods is ready later, whatever they share; and a pod
// alone is ready no later when any one link is faster.
func TestFasterLinks(t *testing.T) {
	draw := rand.New(rand.NewPCG(7, 7))
	for range 6 {
		registry := plan.Registry{ImageGBs: 1 + 3*draw.Float64(), NodeGBs: 0.5 + draw.Float64(), ObjectGBs: 1 + 3*draw.Float64(),
			NodeDiskGBs: 2 + 4*draw.Float64()}
		var pods []served
		for i := range 2 + draw.IntN(6) {
			spec := serverStart()
			spec.ImageGiB, spec.WeightsGiB = 20*draw.Float64(), 40*draw.Float64()
			spec.Image, spec.WeightsKey = fmt.Sprint("image", draw.IntN(2)), fmt.Sprint("weights", draw.IntN(2))
			spec.KeepWeights = draw.IntN(2) == 0
			pods = append(pods, served{fmt.Sprint("p", i), fmt.Sprint("n", draw.IntN(3)), 0, spec})
		}
		last := func(r plan.Registry, loader float64) (end float64) {
			list := slices.Clone(pods)
			for i := range list {
				list[i].spec.LoadGBs *= loader
			}
			_, ready, _ := start(t, r, list, nil)
			for _, p := range list {
				end = max(end, ready[p.name])
			}
			return end
		}
		slow := last(registry, 1)
		fast := registry
		fast.ImageGBs, fast.NodeGBs, fast.ObjectGBs, fast.NodeDiskGBs = 2*fast.ImageGBs, 2*fast.NodeGBs, 2*fast.ObjectGBs,
			2*fast.NodeDiskGBs
		if got := last(fast, 2); got > slow {
			t.Errorf("%+v: the last is ready at %v s, with links twice as fast at %v s", pods, slow, got)
		}
		alone := pods[:1]
		_, before, _ := start(t, registry, alone, nil)
		for _, one := range []plan.Registry{
			{ImageGBs: fast.ImageGBs, NodeGBs: registry.NodeGBs, ObjectGBs: registry.ObjectGBs},
			{ImageGBs: registry.ImageGBs, NodeGBs: fast.NodeGBs, ObjectGBs: registry.ObjectGBs},
			{ImageGBs: registry.ImageGBs, NodeGBs: registry.NodeGBs, ObjectGBs: fast.ObjectGBs},
		} {
			if _, after, _ := start(t, one, alone, nil); after["p0"] > before["p0"] {
				t.Errorf("%+v: ready at %v s, with a faster link at %v s", alone, before["p0"], after["p0"])
			}
		}
	}
}
