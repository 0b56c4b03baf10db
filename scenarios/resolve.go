package scenarios

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"gopkg.in/yaml.v3"

	"orrery/sim/plan"
)

// complete writes out the defaults that follow from other fields. The scenario is valid.
func (s *Scenario) complete() {
	for i := range s.Cluster.Pools {
		pool := &s.Cluster.Pools[i]
		if pool.GPU != "" {
			gpu, err := s.catalog.Lookup(pool.GPU)
			if err != nil {
				panic(fmt.Sprintf("scenarios: GPU %q vanished from the catalogue", pool.GPU)) // checked before
			}
			pool.GPU = gpu.Key
		}
		if len(pool.NodeNames) == 0 && pool.NodeNamePrefix == "" {
			pool.NodeNamePrefix = pool.Name + "-"
		}
	}
	if t := s.Cluster.Topology; t != nil {
		for i := range t.Fabrics {
			t.Fabrics[i].Layers = t.Fabrics[i].shape(s)
		}
	}
	if s.Workload.MaxGPUsPerPod == 0 {
		s.Workload.MaxGPUsPerPod = max(s.gpusPerNodeMax(), 1)
	}
	s.completeGangs()
	if s.Report.Title == "" {
		s.Report.Title = s.Name
	}
	if s.Pricing.PUE == nil {
		s.Pricing.PUE = &s.catalog.Energy.PUE.Value
	}
	if s.Pricing.USDPerKWh == nil {
		s.Pricing.USDPerKWh = &s.catalog.Energy.USDPerKWh.Value
	}
}

// nodeNames returns the names of the pool's nodes: those given, or numbered ones of equal width, so that their order
// as text is their order as numbers.
func (p *Pool) nodeNames() []string {
	if len(p.NodeNames) > 0 {
		return p.NodeNames
	}
	prefix := p.NodeNamePrefix
	if prefix == "" {
		prefix = p.Name + "-"
	}
	n := min(max(p.Nodes, 0), nodesMax)
	width := len(strconv.Itoa(max(n-1, 0)))
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%0*d", prefix, width, i)
	}
	return names
}

// Resolved returns the scenario as YAML with every default written out and every file inline, except the trace, which
// is named by path and SHA-256. Loaded again it gives the same run, and the same bytes when resolved. It reads the
// trace file once for its hash; the error is about that.
func (s *Scenario) Resolved() ([]byte, error) {
	c := *s
	c.Cluster.NodeList = nil // its nodes are in the pools
	if c.Trace.File != "" && c.Trace.SHA256 == "" {
		sum, err := fileSHA256(c.Trace.File)
		if err != nil {
			return nil, err
		}
		c.Trace.SHA256 = sum
	}
	if c.Trace.Generate != nil {
		c.Trace.Generate = plain(c.Trace.Generate)
	}
	var err error
	if c.Services, err = resolvedServices(s.Services); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(&c); err != nil {
		return nil, fmt.Errorf("writing the resolved scenario: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("writing the resolved scenario: %w", err)
	}
	return out.Bytes(), nil
}

// resolvedServices names the files of requests by their SHA-256.
func resolvedServices(list []Service) ([]Service, error) {
	out := slices.Clone(list)
	for i := range out {
		if out[i].Requests == nil {
			continue
		}
		r := *out[i].Requests
		if r.File != "" && r.SHA256 == "" {
			sum, err := fileSHA256(r.File)
			if err != nil {
				return nil, err
			}
			r.SHA256 = sum
		}
		if r.Generate != nil {
			r.Generate = plain(r.Generate)
		}
		out[i].Requests = &r
	}
	return out, nil
}

// plain copies a node without comments and layout, so that writing it is a fixed point.
func plain(n *yaml.Node) *yaml.Node {
	c := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		c.Style = yaml.DoubleQuotedStyle
	}
	for _, child := range n.Content {
		c.Content = append(c.Content, plain(child))
	}
	return c
}

// labels returns the labels of every node of a pool: those the kubelet, the cloud and the vendor's feature discovery
// would set, and over them the user's own.
func (s *Scenario) labels(pool *Pool) map[string]string {
	if m, ok := s.migOf(pool); ok {
		return s.labelsOf(pool, &m)
	}
	return s.labelsOf(pool, nil)
}

// labelsOf is labels with one of the divisions that the pool's GPUs have over time; nil = none.
func (s *Scenario) labelsOf(pool *Pool, divided *migPool) map[string]string {
	// Well-known labels: k8s.io/api v0.37.2 core/v1/well_known_labels.go.
	out := map[string]string{"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "orrery.dev/pool": pool.Name}
	for key, value := range map[string]string{
		"topology.kubernetes.io/zone":      pool.Zone,
		"topology.kubernetes.io/region":    pool.Region,
		"node.kubernetes.io/instance-type": pool.InstanceType,
	} {
		if value != "" {
			out[key] = value
		}
	}
	if n, err := s.catalog.LookupNode(pool.Node); pool.Node != "" && err == nil {
		out["kubernetes.io/arch"] = n.Arch
	}
	if gpu, err := s.catalog.Lookup(pool.GPU); pool.GPU != "" && err == nil {
		switch gpu.Vendor {
		case "amd":
			// ROCm/k8s-device-plugin, node labeller (commit ed76468, August 2026).
			out[amdProductLabel] = gpu.Product
			out["amd.com/gpu.family"] = gpu.Family
		case "intel":
			out[habanaProductLabel] = gpu.Product
		default:
			nvidiaLabels(out, pool, gpu.Product, gpu.Family)
			if gpu.MemoryMiB != nil {
				out["nvidia.com/gpu.memory"] = strconv.FormatInt(int64(gpu.MemoryMiB.Value), 10)
			}
			if divided != nil {
				divided.labels(out, gpu.Product)
			}
		}
	}
	if pool.Sharing.Strategy == plan.SharingFraction && pool.GPU != "" {
		out[plan.FractionModelLabel] = pool.GPU
	}
	for key, value := range pool.Labels {
		out[key] = value
	}
	return out
}

// nvidiaLabels sets the labels of NVIDIA's GPU feature discovery (NVIDIA/k8s-device-plugin,
// docs/gpu-feature-discovery, commit 1b826ac, August 2026) and GPU operator. All values are text.
func nvidiaLabels(out map[string]string, pool *Pool, product, family string) {
	strategy := pool.Sharing.Strategy
	if pool.Sharing.replicated() && !pool.Sharing.Rename {
		product += sharedProductSuffix
	}
	out["nvidia.com/gpu.present"] = "true"
	out[nvidiaProductLabel] = product
	out["nvidia.com/gpu.family"] = family
	out["nvidia.com/gpu.count"] = strconv.Itoa(pool.GPUsPerNode)
	out["nvidia.com/gpu.replicas"] = strconv.Itoa(pool.Sharing.Replicas)
	switch strategy {
	case plan.SharingMPS:
		out["nvidia.com/mps.capable"] = "true"
	case plan.SharingMIG:
		strategy = plan.SharingNone
	}
	out["nvidia.com/gpu.sharing-strategy"] = strategy
}
