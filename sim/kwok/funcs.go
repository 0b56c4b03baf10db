package kwok

import (
	"fmt"
	"slices"
	"text/template"

	corev1 "k8s.io/api/core/v1"
)

// nodeIPDefault is the address of nodes that have none of their own: of the block that RFC 5737 keeps for examples.
const nodeIPDefault = "192.0.2.1"

// funcs are the template functions that need the cluster. Source: pod_controller.go and node_controller.go of
// KWOK v0.8.0. NodeName is the name of the object whose stage is played, where KWOK gives that of its own machine.
func (c *Controller) funcs() template.FuncMap {
	return template.FuncMap{
		"Now":         func() string { return stamp(c.now()) },
		"now":         c.now,
		"StartTime":   func() string { return stamp(c.p.Epoch) },
		"Version":     func() string { return kwokVersion },
		"NodeIP":      func() string { return nodeIPDefault },
		"NodeName":    func() string { return c.playing },
		"NodePort":    func() int { return 0 },
		"PodIP":       func() string { return c.addr.next() },
		"NodeIPWith":  func(node string) string { return c.nodeIPs(node)[0] },
		"NodeIPsWith": c.nodeIPs,
		"PodIPWith": func(node string, hostNetwork bool, _, name, ns string) string {
			return c.podIPs(node, hostNetwork, ns, name)[0]
		},
		"PodIPsWith": func(node string, hostNetwork bool, _, name, ns string) []string {
			return c.podIPs(node, hostNetwork, ns, name)
		},
	}
}

// nodeIPs returns a node's internal addresses, or else its external ones, or else the default.
func (c *Controller) nodeIPs(name string) []string {
	if n := c.nodes[name]; n != nil && len(n.ips) > 0 {
		return n.ips
	}
	return []string{nodeIPDefault}
}

func hostIPs(n *corev1.Node) []string {
	var out []string
	for _, t := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
		for _, a := range n.Status.Addresses {
			if a.Type == t && len(out) == 0 || a.Type == t && t == corev1.NodeInternalIP {
				out = append(out, a.Address)
			}
		}
	}
	return slices.Clip(out)
}

// podIPs returns a pod's addresses: always the same one for a pod.
func (c *Controller) podIPs(node string, hostNetwork bool, ns, name string) []string {
	if hostNetwork {
		return c.nodeIPs(node)
	}
	o := c.objects[objectKey{podType, ns, name}]
	if o == nil || o.pod == nil {
		return []string{c.addr.next()}
	}
	if o.pod.ips == nil {
		o.pod.ips = []string{c.addr.next()}
	}
	return o.pod.ips
}

// addresses hands out 10.0.0.1, 10.0.0.2, … and begins again after 10.255.255.254: with fewer than 16.7 million pods
// alive at once no two share an address.
type addresses struct{ n uint32 }

func newAddresses() addresses { return addresses{} }

func (a *addresses) next() string {
	a.n = a.n%(1<<24-2) + 1
	return fmt.Sprintf("10.%d.%d.%d", a.n>>16, a.n>>8&255, a.n&255)
}
