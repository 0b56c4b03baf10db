package kwok

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	corev1conv "k8s.io/kubernetes/pkg/apis/core/v1"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"sigs.k8s.io/yaml"
)

var rewrite = flag.Bool("rewrite", false, "write what the tests get as what they want")

var nodeCases = map[string]NodeParams{
	"nvidia": {Name: "gpu-0", Pool: "a", GPUModel: "h100-80-sxm", Vendor: VendorNVIDIA, Product: "NVIDIA-H100-80GB-HBM3",
		Family: "hopper", GPUs: 8, MemoryMiBPerGPU: 81559, CPUMilli: 192000, MemoryMiB: 2 << 20, Zone: "z1", Region: "r1",
		InstanceType: "p5.48xlarge", InternalIP: "10.1.0.1", KWOKTaint: true,
		Taints: []corev1.Taint{{Key: "nvidia.com/gpu", Effect: corev1.TaintEffectNoSchedule}}},
	"shared": {Name: "gpu-1", Vendor: VendorNVIDIA, Product: "Tesla-T4", GPUs: 4, Replicas: 10, CPUMilli: 500},
	"renamed": {Name: "gpu-2", Vendor: VendorNVIDIA, Product: "Tesla-T4", GPUs: 4, Replicas: 10, Rename: true,
		CPUMilli: 48000, Labels: map[string]string{"team": "a", "nvidia.com/gpu.mode": "display"}},
	"amd": {Name: "gpu-3", Vendor: VendorAMD, Product: "AMD Instinct MI300X OAM", GPUs: 8, MemoryMiBPerGPU: 196592},
	"cpu": {Name: "cpu-0", CPUMilli: 64000, MemoryMiB: 262144, MaxPods: 250},
}

func TestBuildNode(t *testing.T) {
	type want struct {
		resource, amount string
		labels           map[string]string
	}
	for name, tc := range map[string]want{
		"nvidia": {"nvidia.com/gpu", "8", map[string]string{"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
			"nvidia.com/gpu.count": "8", "nvidia.com/gpu.replicas": "1", "nvidia.com/gpu.memory": "81559",
			"nvidia.com/gpu.sharing-strategy": "none", "nvidia.com/gpu.machine": "p5.48xlarge", "type": "kwok",
			"kubernetes.io/hostname": "gpu-0", "topology.kubernetes.io/zone": "z1"}},
		"shared": {"nvidia.com/gpu", "40", map[string]string{"nvidia.com/gpu.product": "Tesla-T4-SHARED",
			"nvidia.com/gpu.count": "4", "nvidia.com/gpu.replicas": "10", "nvidia.com/gpu.sharing-strategy": "time-slicing"}},
		"renamed": {"nvidia.com/gpu.shared", "40", map[string]string{"nvidia.com/gpu.product": "Tesla-T4", "team": "a",
			"nvidia.com/gpu.mode": "display"}},
		"amd": {"amd.com/gpu", "8", map[string]string{"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM",
			"amd.com/gpu.vram": "192G"}},
		"cpu": {"pods", "250", map[string]string{"kubernetes.io/arch": "amd64"}},
	} {
		n := BuildNode(nodeCases[name])
		q := n.Status.Allocatable[corev1.ResourceName(tc.resource)]
		if q.String() != tc.amount {
			t.Errorf("%s: %s of %s", name, q.String(), tc.resource)
		}
		for k, v := range tc.labels {
			if n.Labels[k] != v {
				t.Errorf("%s: label %s is %q, want %q", name, k, n.Labels[k], v)
			}
		}
		for k, v := range n.Labels {
			if errs := append(validation.IsQualifiedName(k), validation.IsValidLabelValue(v)...); len(errs) > 0 || v == "" {
				t.Errorf("%s: label %s=%q: %v", name, k, v, errs)
			}
		}
	}
}

// TestExportYAML reads the export back as kubectl would, strictly, and asks the API server's own validation.
func TestExportYAML(t *testing.T) {
	var nodes []*corev1.Node
	for _, name := range []string{"nvidia", "shared", "renamed", "amd", "cpu"} {
		p := nodeCases[name]
		p.Created = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		nodes = append(nodes, BuildNode(p))
	}
	data, err := ExportYAML(nodes)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/nodes.yaml", data)
	docs := strings.Split(string(data), "---\n")
	if len(docs) != len(nodes) {
		t.Fatalf("%d documents for %d nodes", len(docs), len(nodes))
	}
	for i, doc := range docs {
		var back corev1.Node
		if err := yaml.UnmarshalStrict([]byte(doc), &back); err != nil {
			t.Fatal(err)
		}
		var internal core.Node
		if err := corev1conv.Convert_v1_Node_To_core_Node(&back, &internal, nil); err != nil {
			t.Fatal(err)
		}
		if errs := corevalidation.ValidateNode(&internal); len(errs) > 0 {
			t.Errorf("%s: %v", back.Name, errs)
		}
		want := nodes[i].DeepCopy()
		want.APIVersion, want.Kind = "v1", "Node"
		want.CreationTimestamp = back.CreationTimestamp
		if diff := cmp.Diff(mustJSON(t, want), mustJSON(t, &back)); diff != "" {
			t.Errorf("%s changed (-built +read):\n%s", back.Name, diff)
		}
	}
}

// golden compares got with a file, or writes it with -rewrite.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
