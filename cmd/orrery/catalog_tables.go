package main

import (
	"fmt"
	"strings"

	"orrery/reports"
	"orrery/sim/catalog"
)

// catalogTable is the table of one kind of entries.
func catalogTable(c *catalog.Catalog, kind string) reports.Table {
	switch kind {
	case catalog.KindGPUs:
		return gpuTable(c)
	case catalog.KindNodes:
		return nodeTable(c)
	case catalog.KindFabrics:
		return fabricTable(c)
	case catalog.KindTopologies:
		return topologyTable(c)
	case catalog.KindPrices:
		return priceTable(c)
	case catalog.KindCapex:
		return capexTable(c)
	}
	return energyTable(c)
}

func energyTable(c *catalog.Catalog) reports.Table {
	t := reports.Table{ID: "energy", Title: "Energy", Columns: []reports.Column{
		column("figure", "Figure", "", reports.Text), column("value", "Value", "", reports.Number),
		column("confidence", "Confidence", "", reports.Text), column("source", "Source", "", reports.Text),
	}}
	for _, e := range c.Entries(catalog.KindEnergy) {
		for _, f := range e.Figures {
			t.Rows = append(t.Rows, []reports.Cell{reports.T(f.Name), reports.N(f.Figure.Value),
				reports.T(f.Figure.Confidence), reports.T(f.Figure.Source)})
		}
	}
	return t
}

func column(key, name, unit string, kind reports.Kind) reports.Column {
	return reports.Column{Key: key, Name: name, Unit: unit, Kind: kind}
}

// value is the cell of a figure, scaled to the column's unit.
func value(f *catalog.Figure, scale float64) reports.Cell {
	if f == nil {
		return reports.None()
	}
	return reports.N(f.Value * scale)
}

const gib = 1.0 / 1024 // GiB in a MiB

func gpuTable(c *catalog.Catalog) reports.Table {
	t := reports.Table{ID: "gpus", Title: "GPUs", Columns: []reports.Column{
		column("gpu", "GPU", "", reports.Text), column("memory_gib", "Memory", "GiB", reports.Number),
		column("memory_gbs", "Memory", "GB/s", reports.Count), column("fp16_tflops", "fp16", "TFLOPS", reports.Count),
		column("bf16_tflops", "bf16", "TFLOPS", reports.Count), column("fp8_tflops", "fp8", "TFLOPS", reports.Count),
		column("fp4_tflops", "fp4", "TFLOPS", reports.Count),
		column("ceiling_bf16_tflops", "bf16 measured", "TFLOPS", reports.Count),
		column("link", "Link", "", reports.Text), column("link_gbs", "Link", "GB/s", reports.Number),
		column("peer_gbs", "Peer", "GB/s", reports.Number), column("domain_gpus", "Domain", "GPUs", reports.Count),
		column("pcie_gen", "PCIe", "", reports.Count), column("mig", "MIG", "", reports.Text),
		column("tdp_watts", "Power", "W", reports.Count), column("idle_watts", "Idle", "W", reports.Count),
	}}
	for _, g := range c.GPUs {
		mig := ""
		if g.MIG {
			mig = "yes"
		}
		t.Rows = append(t.Rows, []reports.Cell{reports.T(g.Key), value(g.MemoryMiB, gib), value(g.MemoryGBs, 1),
			value(g.TFLOPS[catalog.FP16], 1), value(g.TFLOPS[catalog.BF16], 1), value(g.TFLOPS[catalog.FP8], 1),
			value(g.TFLOPS[catalog.FP4], 1), value(g.Ceiling[catalog.BF16], 1), reports.T(g.Link.Kind),
			value(g.Link.GBs, 1), value(g.Link.PeerGBs, 1), value(g.Link.DomainGPUs, 1), value(g.PCIeGen, 1),
			reports.T(mig), value(g.TDPWatts, 1), value(g.IdleWatts, 1)})
	}
	return t
}

func nodeTable(c *catalog.Catalog) reports.Table {
	t := reports.Table{ID: "nodes", Title: "Node types", Columns: []reports.Column{
		column("node", "Node type", "", reports.Text), column("gpu", "GPU", "", reports.Text),
		column("gpus", "GPUs", "", reports.Count), column("domain_gpus", "Domain", "GPUs", reports.Count),
		column("cpus", "CPUs", "", reports.Count), column("memory_gib", "Memory", "GiB", reports.Count),
		column("nics", "NICs", "", reports.Count), column("nic_gbps", "NIC", "Gb/s", reports.Count),
		column("fabric", "Fabric", "", reports.Text), column("max_watts", "Power", "W", reports.Count),
		column("provider", "Provider", "", reports.Text),
	}}
	for _, n := range c.Nodes {
		t.Rows = append(t.Rows, []reports.Cell{reports.T(n.Key), reports.T(n.GPU), reports.I(int64(n.GPUs)),
			reports.I(int64(n.Domain)), value(n.CPUs, 1), value(n.MemoryMiB, gib), value(n.NICs, 1), value(n.NICGbps, 1),
			reports.T(n.Fabric), value(n.MaxWatts, 1), reports.T(n.Provider)})
	}
	return t
}

func fabricTable(c *catalog.Catalog) reports.Table {
	t := reports.Table{ID: "fabrics", Title: "Fabrics", Columns: []reports.Column{
		column("fabric", "Fabric", "", reports.Text), column("kind", "Kind", "", reports.Text),
		column("link_gbps", "Port", "Gb/s", reports.Count), column("switch_ports", "Switch ports", "", reports.Count),
		column("switch_micros", "Switch", "µs", reports.Number), column("nic_micros", "NIC", "µs", reports.Number),
		column("node_gbs", "Node", "GB/s", reports.Count),
	}}
	for _, f := range c.Fabrics {
		t.Rows = append(t.Rows, []reports.Cell{reports.T(f.Key), reports.T(f.Kind), value(f.LinkGbps, 1),
			value(f.SwitchPorts, 1), value(f.SwitchMicros, 1), value(f.NICMicros, 1), value(f.NodeGBs, 1)})
	}
	return t
}

func topologyTable(c *catalog.Catalog) reports.Table {
	t := reports.Table{ID: "topologies", Title: "Reference topologies", Columns: []reports.Column{
		column("topology", "Topology", "", reports.Text), column("fabric", "Fabric", "", reports.Text),
		column("node", "Node type", "", reports.Text), column("rails", "Rails", "", reports.Count),
		column("layers", "Layers, coarse to fine", "", reports.Text),
	}}
	for _, topo := range c.Topologies {
		var layers []string
		for _, l := range topo.Layers {
			s := fmt.Sprintf("%s of %s GPUs", l.Name, exact(l.GPUs.Value))
			if l.Oversubscription != nil {
				s += fmt.Sprintf(" (%s:1)", exact(l.Oversubscription.Value))
			}
			layers = append(layers, s)
		}
		t.Rows = append(t.Rows, []reports.Cell{reports.T(topo.Key), reports.T(topo.Fabric), reports.T(topo.Node),
			value(topo.Rails, 1), reports.T(strings.Join(layers, ", "))})
	}
	return t
}

func priceTable(c *catalog.Catalog) reports.Table {
	t := reports.Table{ID: "prices", Title: "List prices of one GPU for one hour", Columns: []reports.Column{
		column("gpu", "GPU", "", reports.Text), column("basis", "Basis", "", reports.Text),
		column("usd_per_gpu_hour", "Price", "USD", reports.Money), column("provider", "Provider", "", reports.Text),
		column("region", "Region", "", reports.Text), column("sku", "SKU", "", reports.Text),
		column("default", "Default", "", reports.Text), column("date", "Date", "", reports.Text),
		column("confidence", "Confidence", "", reports.Text),
	}}
	for _, p := range c.Prices {
		def := ""
		if p.Default {
			def = "yes"
		}
		t.Rows = append(t.Rows, []reports.Cell{reports.T(p.GPU), reports.T(p.Basis), reports.N(p.USD.Value),
			reports.T(p.Provider), reports.T(p.Region), reports.T(p.SKU), reports.T(def), reports.T(p.USD.Date),
			reports.T(p.USD.Confidence)})
	}
	return t
}

func capexTable(c *catalog.Catalog) reports.Table {
	t := reports.Table{ID: "capex", Title: "What hardware costs to buy", Columns: []reports.Column{
		column("gpu", "GPU", "", reports.Text), column("what", "What", "", reports.Text),
		column("gpus", "GPUs", "", reports.Count), column("usd", "Equipment", "USD", reports.Money),
		column("usd_per_gpu", "per GPU", "USD", reports.Money), column("facility_usd", "Facility", "USD", reports.Money),
		column("confidence", "Confidence", "", reports.Text),
	}}
	for _, x := range c.Capex {
		t.Rows = append(t.Rows, []reports.Cell{reports.T(x.GPU), reports.T(x.What), reports.I(int64(x.GPUs)),
			reports.N(x.USD.Value), reports.N(x.USDPerGPU()), value(x.FacilityUSD, 1), reports.T(x.USD.Confidence)})
	}
	return t
}
