package catalog

import "testing"

// TestNodeTypes compares node types that others build on with what is published of them.
func TestNodeTypes(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		name, key, gpu     string
		gpus, domain       int
		nodeGbps, memoryGi float64
		fabric             string
	}{
		{"DGX-H100", "dgx-h100", "h100-sxm", 8, 8, 3200, 2048, "infiniband-ndr"},
		{"nvl72", "gb200-nvl72", "gb200", 4, 72, 1600, 960, "infiniband-ndr"},
		{"hgx-mi300x", "hgx-mi300x", "mi300x", 8, 8, 3200, 2048, ""},
		{"p5", "p5-48xlarge", "h100-sxm", 8, 8, 3200, 2048, "efa-v2"},
		{"P5.48xlarge", "p5-48xlarge", "h100-sxm", 8, 8, 3200, 2048, "efa-v2"},
		{"a3-highgpu-2g", "a3-highgpu-2g", "h100-sxm", 2, 2, 0, 468, ""},
		{"p5.4xlarge", "p5-4xlarge", "h100-sxm", 1, 1, 0, 256, ""},
		{"p4d", "p4d-24xlarge", "a100-40", 8, 8, 400, 1152, "efa-v1"},
		{"g5-48xlarge", "g5-48xlarge", "a10", 8, 1, 0, 768, ""},
		{"Standard_ND128isr_NDR_GB200_v6", "nd128isr-gb200-v6", "gb200", 4, 72, 1600, 864, "infiniband-ndr"},
		{"nc24ads-a100-v4", "nc24ads-a100-v4", "a100-80-pcie", 1, 1, 0, 220, ""},
	} {
		n, err := c.LookupNode(want.name)
		if err != nil {
			t.Fatal(err)
		}
		gbps := 0.0
		if n.NICs != nil {
			gbps = n.NICs.Value * n.NICGbps.Value
		}
		if n.Key != want.key || n.GPU != want.gpu || n.GPUs != want.gpus || n.Domain != want.domain ||
			gbps != want.nodeGbps || n.MemoryMiB.Value != want.memoryGi*1024 || n.Fabric != want.fabric {
			t.Errorf("%s: %+v, %v Gb/s, %v MiB", want.name, n, gbps, n.MemoryMiB.Value)
		}
	}
}

// TestFabricsAgreeWithNodes holds that what a fabric says of the bandwidth of a node is what the ports of one of the nodes
// on it add up to.
func TestFabricsAgreeWithNodes(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range c.Fabrics {
		if f.NodeGBs == nil {
			continue
		}
		said := map[float64]bool{f.NodeGBs.Value: false}
		for _, a := range f.NodeGBs.Alternatives {
			said[a.Value] = false
		}
		for _, n := range c.Nodes {
			if n.Fabric == f.Key {
				said[n.NICs.Value*n.NICGbps.Value/8] = true
			}
		}
		for gbs, found := range said {
			if !found {
				t.Errorf("%s: no node on it sends %v GB/s", f.Key, gbs)
			}
		}
		if n := 1 + len(f.NodeGBs.Alternatives); len(said) != n {
			t.Errorf("%s: its nodes send %v, which is not what it says", f.Key, said)
		}
	}
}

// TestTopologies holds that the units of a reference network are made of whole nodes.
func TestTopologies(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if topo, err := c.LookupTopology("dgx-superpod"); err != nil || len(topo.Layers) != 2 || topo.Rails.Value != 8 ||
		topo.Layers[1].GPUs.Value != 256 || topo.Layers[1].Oversubscription.Value != 1 {
		t.Errorf("%+v, %v", topo, err)
	}
	for _, topo := range c.Topologies {
		if topo.Node == "" {
			continue
		}
		n, err := c.LookupNode(topo.Node)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range topo.Layers {
			if int(l.GPUs.Value)%n.GPUs != 0 {
				t.Errorf("%s: %v GPUs of a %s are not whole nodes of %d", topo.Key, l.GPUs.Value, l.Name, n.GPUs)
			}
		}
	}
}
