package journal

// place appends the fields of the bodies about nodes and where they stand; false when body is none of them.
func (e *encoder) place(body Body) bool {
	switch b := body.(type) {
	case Pool:
		e.str(`,"pool":`, b.Pool)
		e.strOmit(`,"gpu_model":`, b.GPUModel)
		e.int(`,"gpus_per_node":`, int64(b.GPUsPerNode))
		e.int(`,"slots_per_gpu":`, int64(b.SlotsPerGPU))
		e.int(`,"cpu_milli":`, b.CPUMilli)
		e.int(`,"memory_mib":`, b.MemoryMiB)
		e.strOmit(`,"resource":`, b.ResourceName)
		e.intOmit(`,"max_pods":`, b.MaxPods)
		e.intOmit(`,"nics":`, int64(b.NICs))
		e.intOmit(`,"nic_mbs":`, b.NICMB)
		e.strOmit(`,"link":`, b.Link)
		e.intOmit(`,"link_mbs":`, b.LinkMB)
	case Topology:
		e.strs(`,"layers":`, b.Layers)
	case Layer:
		e.str(`,"layer":`, b.Layer)
		e.str(`,"kind":`, b.LayerKind)
		e.strs(`,"labels":`, b.Labels)
	case Domain:
		e.str(`,"layer":`, b.Layer)
		e.str(`,"domain":`, b.Domain)
		e.int(`,"places":`, int64(b.Places))
		e.intOmit(`,"uplink_mbs":`, b.Uplink)
		e.intOmit(`,"oversubscription_milli":`, b.Oversubscription)
		e.intOmit(`,"rails":`, int64(b.Rails))
	case Node:
		e.str(`,"node":`, b.Node)
		e.str(`,"pool":`, b.Pool)
		e.str(`,"state":`, b.State)
		e.int(`,"gpus":`, int64(b.GPUs))
		e.strs(`,"domains":`, b.Domains)
	default:
		return false
	}
	return true
}

// place decodes the bodies about nodes and where they stand; nil when kind is none of them.
func (d *decoder) place(kind string) Body {
	switch kind {
	case "pool":
		var b Pool
		d.fields(func() bool {
			return d.name("pool", &b.Pool) || d.name("gpu_model", &b.GPUModel) ||
				number(d, "gpus_per_node", &b.GPUsPerNode) || number(d, "slots_per_gpu", &b.SlotsPerGPU) ||
				number(d, "cpu_milli", &b.CPUMilli) || number(d, "memory_mib", &b.MemoryMiB) ||
				d.name("resource", &b.ResourceName) || number(d, "max_pods", &b.MaxPods) || number(d, "nics", &b.NICs) ||
				number(d, "nic_mbs", &b.NICMB) || d.name("link", &b.Link) || number(d, "link_mbs", &b.LinkMB)
		})
		return b
	case "topology":
		var b Topology
		d.fields(func() bool {
			if d.key == "layers" {
				b.Layers = d.strs()
				return true
			}
			return false
		})
		return b
	case "layer":
		var b Layer
		d.fields(func() bool {
			if d.key == "labels" {
				b.Labels = d.strs()
				return true
			}
			return d.name("layer", &b.Layer) || d.name("kind", &b.LayerKind)
		})
		return b
	case "domain":
		var b Domain
		d.fields(func() bool {
			return d.name("layer", &b.Layer) || d.name("domain", &b.Domain) || number(d, "places", &b.Places) ||
				number(d, "uplink_mbs", &b.Uplink) || number(d, "oversubscription_milli", &b.Oversubscription) ||
				number(d, "rails", &b.Rails)
		})
		return b
	case "node":
		var b Node
		d.fields(func() bool {
			if d.key == "domains" {
				b.Domains = d.strs()
				return true
			}
			return d.name("node", &b.Node) || d.name("pool", &b.Pool) || d.name("state", &b.State) ||
				number(d, "gpus", &b.GPUs)
		})
		return b
	}
	return nil
}
