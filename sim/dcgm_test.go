package sim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"orrery/sim"
	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/units"
)

// probes are Deployments that always have as many replicas as an expression gives, one for each.
func probes(queries ...string) string {
	var rules, files strings.Builder
	for i, q := range queries {
		fmt.Fprintf(&rules, "  - {name: probe%d, query: '%s'}\n", i, q)
		fmt.Fprintf(&files, `- name: probe%[1]d.yaml
  text: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: probe%[1]d}
    spec:
      selector: {matchLabels: {app: probe%[1]d}}
      template:
        metadata: {labels: {app: probe%[1]d}}
        spec: {containers: [{name: c, image: c, resources: {requests: {cpu: 1m}}}]}
    ---
    apiVersion: autoscaling/v2
    kind: HorizontalPodAutoscaler
    metadata: {name: probe%[1]d}
    spec:
      scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: probe%[1]d}
      maxReplicas: 100
      metrics:
      - {type: External, external: {metric: {name: probe%[1]d}, target: {type: AverageValue, averageValue: 1}}}
      behavior:
        scaleUp: {policies: [{type: Percent, value: 10000, periodSeconds: 15}]}
        scaleDown: {stabilizationWindowSeconds: 0}
`, i)
	}
	return "metrics:\n  external:\n" + rules.String() + "manifests:\n" + files.String()
}

// probed returns what expression i gave at an instant.
func probed(p played, i int, at units.Duration) int32 {
	out, object := int32(1), fmt.Sprintf("Deployment/default/probe%d", i)
	for _, r := range p.records {
		if s, ok := r.Body.(journal.Scale); ok && s.Object == object && r.At <= units.Time(at) {
			out = s.To
		}
	}
	return out
}

// TestDevices: GPUs report whether somebody holds them or not, from the binding of a pod to its end, each GPU of a pod
// by itself.
func TestDevices(t *testing.T) {
	queries := []string{
		`count(DCGM_FI_DEV_GPU_UTIL{pod=""})`,
		`count(DCGM_FI_DEV_GPU_UTIL{service="chat",namespace="default",container!=""})`,
		`max(DCGM_FI_DEV_GPU_UTIL{service="chat"}) / 10 + 1`,
		`max(DCGM_FI_DEV_FB_USED{service="chat"}) / 10000 + 1`,
		`count(count by (UUID) (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE > 70000))`,
		`count(up{job="dcgm-exporter"})`,
	}
	text := strings.Replace(chatScenario, "FILE", requestFile(t, 400, 0.6), 1)
	slow := strings.Replace(text, "start: {instant: true}", "start: {imageGiB: 0, engine: {low: 2m30s, mode: 2m30s}}", 1) // from second 60 to 300
	wide := strings.Replace(slow, "count: 2", "count: 2, tensor: 4", 1)
	p, q := play(t, slow+probes(queries...)), play(t, wide+probes(queries...))
	for _, x := range []struct {
		what string
		of   played
		i    int
		at   units.Duration
		want int32
	}{
		{"GPUs that nobody holds", p, 0, 2 * time.Minute, 6},
		{"GPUs of the starting replicas", p, 1, 2 * time.Minute, 2},
		{"utilization while they start", p, 2, 2 * time.Minute, 1},
		{"tens of GB of weights", p, 3, 2 * time.Minute, 3},
		{"GPUs of the replicas", p, 1, 4 * time.Minute, 2},
		{"tens of GB of the servers", p, 3, 4 * time.Minute, 9},
		{"GPUs whose memory is known", p, 4, 4 * time.Minute, 8},
		{"exporters", p, 5, 4 * time.Minute, 1},
		{"GPUs of replicas with four each", q, 1, 4 * time.Minute, 8},
		{"what there is of none", q, 0, 4 * time.Minute, 8},
	} {
		if got := probed(x.of, x.i, x.at); got != x.want {
			t.Errorf("%s: %d, want %d", x.what, got, x.want)
		}
	}
	if got := probed(p, 2, 4*time.Minute); got < 2 {
		t.Errorf("utilization while they serve: %d", got)
	}
}

// TestSharedDevices: MIG instances report one by one, without a utilization of their GPU; what several pods share
// reports for each of them.
func TestSharedDevices(t *testing.T) {
	text := strings.Replace(chatScenario, "FILE", requestFile(t, 400, 0.6), 1)
	shares := strings.NewReplacer("nodes: 1}", "nodes: 1, sharing: {strategy: time-slicing, replicas: 2}}",
		"llama-3-8b", "llama-3.2-1b").Replace(text)
	p := play(t, inSlices(text, sliced)+probes(
		`count(DCGM_FI_PROF_GR_ENGINE_ACTIVE{GPU_I_PROFILE="1g.10gb",GPU_I_ID!="",pod=""}) - 50`,
		`count(DCGM_FI_PROF_GR_ENGINE_ACTIVE{GPU_I_PROFILE="1g.10gb",service="chat"})`,
		`count(DCGM_FI_DEV_GPU_UTIL) or vector(3)`,
		`max(DCGM_FI_DEV_FB_USED{service="chat"}) / 1000`))
	q := play(t, shares+probes(
		`count(DCGM_FI_DEV_GPU_UTIL{service="chat",vgpu!=""})`,
		`count(count by (UUID) (DCGM_FI_DEV_GPU_UTIL))`,
		`count(count by (pod) (DCGM_FI_DEV_GPU_UTIL{pod!=""})) + 1`))
	for i, want := range []int32{4, 2, 3, 9} {
		if got := probed(p, i, 4*time.Minute); got != want {
			t.Errorf("slices, %d: %d, want %d", i, got, want)
		}
	}
	for i, want := range []int32{2, 8, 3} {
		if got := probed(q, i, 4*time.Minute); got != want {
			t.Errorf("shares, %d: %d, want %d", i, got, want)
		}
	}
}

// TestDevicesOfTheSameName: a pod that comes back under its name on another node, between two scrapes, shows the GPUs of
// that node only.
func TestDevicesOfTheSameName(t *testing.T) {
	text := wholeNodes(t, 0.6) + probes(`(count(label_replace(DCGM_FI_DEV_GPU_UTIL{service="chat"}, "node", "$1", `+
		`"Hostname", "(.+)") unless DCGM_FI_DEV_GPU_UTIL) or vector(0)) + 2`, `count(DCGM_FI_DEV_GPU_UTIL{service="chat"})`)
	pods, nodes := corev1.SchemeGroupVersion.WithResource("pods"), corev1.SchemeGroupVersion.WithResource("nodes")
	got, err := tryWith(func(p *sim.Params) {
		*p = p.Built(func(h sim.Hands) {
			h.Engine.At(units.Time(121*time.Second), engine.PhaseFault, "moves", func() {
				for _, name := range []string{"chat-0", "chat-0-1"} {
					obj, err := h.Store.Get(pods, "default", name)
					if err != nil {
						t.Error(err)
						return
					}
					node, err := h.Store.Get(nodes, "", obj.(*corev1.Pod).Spec.NodeName)
					if err != nil {
						t.Error(err)
						return
					}
					cordoned := node.(*corev1.Node).DeepCopy()
					cordoned.Spec.Unschedulable = true
					if _, err := h.Store.Update(cordoned, ""); err != nil {
						t.Error(err)
					}
				}
				if err := h.Store.Delete(pods, "default", "chat-0", &metav1.DeleteOptions{}); err != nil {
					t.Error(err)
				}
			})
		})
	}, text)
	if err != nil {
		t.Fatal(err)
	}
	on := map[string]bool{}
	for _, r := range got.records {
		if b, ok := r.Body.(journal.PodBind); ok && b.Pod == "default/chat-0" {
			on[b.Node] = true
		}
	}
	if len(on) != 2 {
		t.Fatalf("the pod was on nodes %v", on)
	}
	for _, at := range []units.Duration{100 * time.Second, 3 * time.Minute, 4 * time.Minute} {
		if wrong, all := probed(got, 0, at)-2, probed(got, 1, at); wrong != 0 || all != 16 {
			t.Errorf("after %v %d of %d GPUs are said to be on another node", at, wrong, all)
		}
	}
}
