package dra

import (
	"orrery/sim/journal"
	"orrery/sim/mig"
	"orrery/sim/units"
)

// Device is what an allocated device stands for.
type Device struct {
	GPU     bool         // a whole GPU or a partition
	Slot    journal.Slot // with GPU
	Create  bool         // a partition that is made when a pod gets it
	Channel bool         // of a compute domain
}

// Devices returns the devices that Slices publishes for a node, by driver/name. Nodes that differ only in name and
// UUIDs have the same.
func Devices(n Node) map[string]Device {
	out := map[string]Device{}
	add := func(name string, d Device) { out[n.Driver+"/"+name] = d }
	for i := range n.UUIDs {
		for _, d := range n.onGPU(i) {
			add(d.name, d.Device)
		}
	}
	if n.Clique != "" {
		out[ComputeDomainDriver+"/"+channelDevice] = Device{Channel: true}
		out[ComputeDomainDriver+"/"+daemonDevice] = Device{}
	}
	return out
}

type named struct {
	name string
	Device
}

// onGPU lists the devices of one GPU.
func (n Node) onGPU(gpu int) (out []named) {
	whole := Device{GPU: true, Slot: journal.Slot{Index: gpu, Share: units.GPU}}
	part := func(p mig.Profile, start int, create bool) named {
		return named{instanceName(gpu, p, start), Device{GPU: true, Create: create, Slot: journal.Slot{Index: gpu,
			Share: n.MIG.Share(mig.Instance{Profile: p.Name, Start: start}), Profile: p.Name, Start: start, Slices: p.Slices}}}
	}
	switch {
	case n.Driver == AMD:
		return []named{{n.amd()[gpu].Name, whole}}
	case n.Driver == Gaudi:
		return []named{{n.gaudi()[gpu].Name, whole}}
	case n.Dynamic && n.MIG != nil:
		out = append(out, named{gpuName(gpu), whole})
		for _, p := range n.MIG.Profiles {
			for _, start := range p.Starts {
				out = append(out, part(p, start, true))
			}
		}
		return out
	case gpu < len(n.Layouts) && n.Layouts[gpu] != nil:
		for _, inst := range n.Layouts[gpu] {
			p, _ := n.MIG.Profile(inst.Profile)
			out = append(out, part(p, inst.Start, false))
		}
		return out
	}
	return []named{{gpuName(gpu), whole}}
}
