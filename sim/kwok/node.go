package kwok

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// Vendors whose nodes get the labels of the vendor's feature discovery.
const (
	VendorNVIDIA = "nvidia"
	VendorAMD    = "amd"
)

// Defaults of NodeParams.
const (
	// MaxPodsDefault is the kubelet's default of maxPods (kubernetes v1.37.2, pkg/kubelet/apis/config/v1beta1).
	MaxPodsDefault = 110
	// EphemeralMiBDefault is 1 TiB: nobody's measurement, but more than pods of a trace ask for.
	EphemeralMiBDefault = 1 << 20
)

// NodeParams describes a GPU node. Only Name is required.
type NodeParams struct {
	Name     string
	Pool     string // label orrery.dev/pool; "" = none
	GPUModel string // catalogue key, label orrery.dev/gpu-model; "" = none
	Vendor   string // VendorNVIDIA, VendorAMD, or another that sets no labels
	Product  string // value of the vendor's product label, before sharing changes it; "" = none
	Family   string // architecture as the label says it, e.g. hopper; "" = none
	GPUs     int    // physical
	// MemoryMiBPerGPU is device memory; 0 = unknown.
	MemoryMiBPerGPU int64
	// Replicas of each GPU by time-slicing; 0 and 1 = whole GPUs.
	Replicas int
	// Rename offers replicas as <resource>.shared, as the device plugin's renameByDefault does.
	Rename bool
	// Resource is the extended resource of whole GPUs, before Rename; "" = nvidia.com/gpu or amd.com/gpu by Vendor.
	Resource string
	// Devices are what the device plugins offer, by extended resource, in place of GPUs × Replicas of Resource.
	Devices      map[string]int
	CPUMilli     int64
	MemoryMiB    int64
	EphemeralMiB int64 // 0 = EphemeralMiBDefault
	MaxPods      int64 // 0 = MaxPodsDefault
	Zone, Region string
	InstanceType string
	InternalIP   string            // "" = none
	Labels       map[string]string // win over all others
	Taints       []corev1.Taint
	// KWOKTaint keeps pods off the node that do not tolerate kwok.x-k8s.io/node=fake:NoSchedule.
	KWOKTaint bool
	Created   time.Time // of the object and its conditions; zero = not said
}

// GPUResource returns the extended resource the node offers its GPUs under: "" without GPUs.
func (p NodeParams) GPUResource() string {
	if p.GPUs == 0 {
		return ""
	}
	name := p.Resource
	if name == "" {
		name = cmp.Or(map[string]string{VendorAMD: "amd.com/gpu"}[p.Vendor], "nvidia.com/gpu")
	}
	if p.Rename && p.Replicas > 1 {
		name += ".shared"
	}
	return name
}

// BuildNode returns the Node object a KWOK cluster would have for such a machine: ready, empty, marked as fake, with
// the labels that Kubernetes, the cloud provider and the GPU's feature discovery would set.
func BuildNode(p NodeParams) *corev1.Node {
	created := metav1.NewTime(p.Created)
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:              p.Name,
			CreationTimestamp: created,
			Annotations:       map[string]string{annotationNode: "fake", "node.alpha.kubernetes.io/ttl": "0"},
			Labels:            labels(p),
		},
		Spec: corev1.NodeSpec{Taints: append([]corev1.Taint(nil), p.Taints...)},
		Status: corev1.NodeStatus{
			Capacity:    capacities(p),
			Allocatable: capacities(p),
			Phase:       corev1.NodeRunning,
			NodeInfo: corev1.NodeSystemInfo{OperatingSystem: "linux",
				KubeletVersion: "kwok-" + kwokVersion, ContainerRuntimeVersion: "kwok-" + kwokVersion,
				KernelVersion: "kwok-" + kwokVersion},
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: p.Name}},
		},
	}
	n.Status.NodeInfo.Architecture = n.Labels[corev1.LabelArchStable]
	if p.InternalIP != "" {
		n.Status.Addresses = append([]corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: p.InternalIP}},
			n.Status.Addresses...)
	}
	if p.KWOKTaint {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: annotationNode, Value: "fake",
			Effect: corev1.TaintEffectNoSchedule})
	}
	for _, c := range healthyNode() {
		c.LastHeartbeatTime, c.LastTransitionTime = created, created
		n.Status.Conditions = append(n.Status.Conditions, c)
	}
	return n
}

// labels merges what everybody sets on such a node; the user's win.
func labels(p NodeParams) map[string]string {
	l := map[string]string{
		"type":                         "kwok", // as in KWOK's documentation, for node selectors
		corev1.LabelHostname:           p.Name,
		corev1.LabelOSStable:           "linux",
		corev1.LabelArchStable:         "amd64",
		"kubernetes.io/role":           "agent",
		"orrery.dev/pool":              p.Pool,
		"orrery.dev/gpu-model":         p.GPUModel,
		corev1.LabelTopologyZone:       p.Zone,
		corev1.LabelTopologyRegion:     p.Region,
		corev1.LabelInstanceTypeStable: p.InstanceType,
	}
	if p.GPUs > 0 {
		switch p.Vendor {
		case VendorNVIDIA:
			nvidiaLabels(l, p)
		case VendorAMD:
			amdLabels(l, p)
		}
	}
	maps.DeleteFunc(l, func(_, v string) bool { return v == "" })
	maps.Copy(l, p.Labels)
	return l
}

// nvidiaLabels are those of NVIDIA's GPU feature discovery and GPU operator that depend on the machine only.
//
// Source: github.com/NVIDIA/k8s-device-plugin, internal/lm/resource.go (product, count, replicas, memory, family;
// "-SHARED" when shared and not renamed) and docs/gpu-feature-discovery at 1b826ac (machine, mode,
// sharing-strategy); gpu.present is the operator's. memory is in MiB, count in physical GPUs.
func nvidiaLabels(l map[string]string, p NodeParams) {
	product, strategy, replicas := p.Product, "none", max(p.Replicas, 1)
	if replicas > 1 {
		strategy = "time-slicing"
		if product != "" && !p.Rename {
			product += "-SHARED"
		}
	}
	l["nvidia.com/gpu.present"] = "true"
	l["nvidia.com/gpu.product"] = product
	l["nvidia.com/gpu.count"] = strconv.Itoa(p.GPUs)
	l["nvidia.com/gpu.replicas"] = strconv.Itoa(replicas)
	l["nvidia.com/gpu.family"] = p.Family
	l["nvidia.com/gpu.machine"] = p.InstanceType
	l["nvidia.com/gpu.mode"] = "compute"
	l["nvidia.com/gpu.sharing-strategy"] = strategy
	if p.MemoryMiBPerGPU > 0 {
		l["nvidia.com/gpu.memory"] = strconv.FormatInt(p.MemoryMiBPerGPU, 10)
	}
}

// amdLabels are those of AMD's node labeller that a simulation knows.
//
// Source: github.com/ROCm/k8s-device-plugin at ed76468, cmd/k8s-node-labeller: product-name has underscores for spaces,
// vram is in whole GiB with the letter G.
func amdLabels(l map[string]string, p NodeParams) {
	l["amd.com/gpu.product-name"] = strings.ReplaceAll(p.Product, " ", "_")
	if p.MemoryMiBPerGPU > 0 {
		l["amd.com/gpu.vram"] = fmt.Sprintf("%dG", (p.MemoryMiBPerGPU+512)/1024)
	}
}

func capacities(p NodeParams) corev1.ResourceList {
	mib := func(n int64) resource.Quantity { return *resource.NewQuantity(n<<20, resource.BinarySI) }
	list := corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewMilliQuantity(p.CPUMilli, resource.DecimalSI),
		corev1.ResourceMemory:           mib(p.MemoryMiB),
		corev1.ResourcePods:             *resource.NewQuantity(cmp.Or(p.MaxPods, MaxPodsDefault), resource.DecimalSI),
		corev1.ResourceEphemeralStorage: mib(cmp.Or(p.EphemeralMiB, EphemeralMiBDefault)),
		"hugepages-1Gi":                 *resource.NewQuantity(0, resource.DecimalSI),
		"hugepages-2Mi":                 *resource.NewQuantity(0, resource.DecimalSI),
	}
	for name, n := range p.Devices {
		list[corev1.ResourceName(name)] = *resource.NewQuantity(int64(n), resource.DecimalSI)
	}
	if name := p.GPUResource(); name != "" && p.Devices == nil {
		list[corev1.ResourceName(name)] = *resource.NewQuantity(int64(p.GPUs)*int64(max(p.Replicas, 1)), resource.DecimalSI)
	}
	return list
}

// ExportYAML writes nodes so that kubectl can create them in a KWOK cluster: one document each, in the given order,
// without what the API server sets itself.
func ExportYAML(nodes []*corev1.Node) ([]byte, error) {
	var out bytes.Buffer
	for i, n := range nodes {
		t, err := runtime.DefaultUnstructuredConverter.ToUnstructured(n)
		if err != nil {
			return nil, fmt.Errorf("exporting node %s: %w", n.Name, err)
		}
		t["apiVersion"], t["kind"] = "v1", "Node"
		meta := t["metadata"].(map[string]any)
		for _, f := range []string{"creationTimestamp", "uid", "resourceVersion", "generation", "managedFields",
			"selfLink"} {
			delete(meta, f)
		}
		data, err := yaml.Marshal(t)
		if err != nil {
			return nil, fmt.Errorf("exporting node %s: %w", n.Name, err)
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(data)
	}
	return out.Bytes(), nil
}
