package scenarios

import (
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"slices"

	"orrery/sim/plan"
)

// Schemes of node labels for places.
const (
	labelsKubernetes = "kubernetes"
	labelsTopograph  = "topograph"
	labelsLegacy     = "topograph-legacy"
	labelsNVIDIA     = "nvidia"
	labelsGKE        = "gke"
	labelsAWS        = "aws"
	labelsOCI        = "oci"
)

// Keys of labels that have a form of their own.
const (
	zoneLabel   = "topology.kubernetes.io/zone"
	regionLabel = "topology.kubernetes.io/region"
	// cliqueLabel is <ClusterUUID>.<CliqueID>, set by NVIDIA's GPU feature discovery on nodes of an NVLink domain of
	// several nodes once the fabric manager has completed it, and on no others (NVIDIA/topograph,
	// docs/reference/node-labels.md).
	cliqueLabel = "nvidia.com/gpu.clique"
	// tierLabel is topograph's since its changelog's breaking change of 2026: tier 0 is the switch nearest to the node.
	tierLabel = "fabric.topograph.run/tier-"
)

// placeKeys returns the keys of a scheme for a layer of a kind; tier counts the layers of switches from the nodes up,
// and switches is how many there are. A scheme that has no word for a layer has no key for it.
//
// Source for all of them: NVIDIA/topograph, docs/reference/node-labels.md (August 2026), which also lists those of the
// clouds, and before its breaking change of 2026 docs/k8s.md for the legacy keys. AWS and OCI name layers from the top:
// the third of AWS is the leaf. Of GKE's, the block is the coarsest; on A4X the sub-block is the NVLink domain, on
// others what is below one leaf.
func placeKeys(scheme, kind string, tier int) []string {
	switch scheme {
	case labelsTopograph:
		if kind == plan.LayerNVLink {
			return []string{"accelerator.topograph.run/domain"}
		}
		if tier >= 0 {
			return []string{fmt.Sprintf("%s%d", tierLabel, tier)}
		}
		return nil
	case labelsKubernetes:
		return key(map[string]string{plan.LayerZone: zoneLabel, plan.LayerRegion: regionLabel,
			plan.LayerNode: hostnameLabel}, kind)
	case labelsLegacy:
		return key(map[string]string{plan.LayerNVLink: "network.topology.nvidia.com/accelerator",
			plan.LayerLeaf: "network.topology.nvidia.com/leaf", plan.LayerSpine: "network.topology.nvidia.com/spine",
			plan.LayerCore: "network.topology.nvidia.com/core"}, kind)
	case labelsNVIDIA:
		return key(map[string]string{plan.LayerNVLink: cliqueLabel}, kind)
	case labelsGKE:
		return key(map[string]string{plan.LayerSpine: "cloud.google.com/gce-topology-block",
			plan.LayerLeaf: "cloud.google.com/gce-topology-subblock", plan.LayerNode: "cloud.google.com/gce-topology-host"},
			kind)
	case labelsAWS:
		return key(map[string]string{plan.LayerCore: "topology.k8s.aws/network-node-layer-1",
			plan.LayerSpine: "topology.k8s.aws/network-node-layer-2", plan.LayerLeaf: "topology.k8s.aws/network-node-layer-3",
			plan.LayerNVLink: "topology.k8s.aws/ultraserver-id"}, kind)
	case labelsOCI:
		return key(map[string]string{plan.LayerSpine: "oci.oraclecloud.com/host.network_block_id",
			plan.LayerLeaf: "oci.oraclecloud.com/host.rack_id"}, kind)
	}
	return nil
}

func key(keys map[string]string, kind string) []string {
	if k := keys[kind]; k != "" {
		return []string{k}
	}
	return nil
}

// tier counts a layer of switches from the nodes up; -1 for other layers.
func tier(layers []plan.Layer, at int) int {
	kinds := switchLayers()
	if !slices.Contains(kinds, layers[at].Kind) {
		return -1
	}
	n := 0
	for _, l := range layers[at+1:] {
		if slices.Contains(kinds, l.Kind) {
			n++
		}
	}
	return n
}

// label gives every layer the keys of its node labels.
func (b *siting) label(layers []plan.Layer) {
	for i := range layers {
		l := &layers[i]
		schemes := b.t.Labels
		if !slices.Contains(schemes, labelsKubernetes) {
			schemes = append([]string{labelsKubernetes}, schemes...) // they are there whatever the scenario says
		}
		for _, scheme := range schemes {
			for _, k := range placeKeys(scheme, l.Kind, tier(layers, i)) {
				if !slices.Contains(l.Labels, k) {
					l.Labels = append(l.Labels, k)
				}
			}
		}
		if own := b.t.CustomLabels[l.Kind]; own != "" && !slices.Contains(l.Labels, own) {
			l.Labels = append(l.Labels, own)
		}
	}
}

// labelsOf returns the labels of a node's places, but those that the pool or the simulator sets.
func (b *siting) labelsOf(layers []plan.Layer, node int) map[string]string {
	out := map[string]string{}
	for i, l := range layers {
		value := b.p.Nodes[node].Domains[i]
		if value == "" {
			continue
		}
		for _, k := range l.Labels {
			switch k {
			case zoneLabel, regionLabel, hostnameLabel:
			case cliqueLabel:
				out[k] = clique(value)
			default:
				out[k] = placeValue(value)
			}
		}
	}
	return out
}

// placeValue is a name as a label's value: what is longer than 63 characters becomes x and its FNV-64a hash, as
// topograph does it (NVIDIA/topograph, pkg/engines/k8s/labeler.go at 241235a, checkLabel).
func placeValue(name string) string {
	if len(name) <= labelValueMax {
		return name
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	return fmt.Sprintf("x%x", h.Sum64())
}

// labelValueMax is Kubernetes' limit (k8s.io/apimachinery v0.37.2 pkg/util/validation).
const labelValueMax = 63

// clique is the value of cliqueLabel for an NVLink domain: a UUID made of the domain's name, and clique 0, which is a
// domain that the fabric manager has not divided.
func clique(domain string) string {
	sum := sha256.Sum256([]byte("orrery NVLink domain " + domain))
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80 // version 8, variant of RFC 9562
	return fmt.Sprintf("%x-%x-%x-%x-%x.0", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
