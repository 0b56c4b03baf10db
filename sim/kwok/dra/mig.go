package dra

import (
	"fmt"
	"slices"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"

	"orrery/sim/mig"
)

// instanceName is the name of the device of a GPU instance: the profile without dots, in what DNS labels allow.
func instanceName(gpu int, p mig.Profile, start int) string {
	label := strings.Map(func(r rune) rune {
		switch {
		case r == '.':
			return -1
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return '-'
	}, strings.ToLower(p.Name))
	return fmt.Sprintf("gpu-%d-mig-%s-%d-%d", gpu, label, p.ID, start)
}

// quantity is one of the amounts in which NVIDIA's driver measures a GPU and its partitions.
type quantity struct {
	capacity string // its name in device capacities
	counter  string // its name among counters
	of       func(p mig.Profile) (amount int64, known bool)
}

// quantities are what the driver publishes of each GPU instance profile.
var quantities = []quantity{
	{"memory", "memory", func(p mig.Profile) (int64, bool) { return p.MemoryMiB << 20, p.MemoryMiB > 0 }},
	{"multiprocessors", "multiprocessors", func(p mig.Profile) (int64, bool) { return int64(p.SMs), p.SMs > 0 }},
	{"copyEngines", "copy-engines", engine(func(e mig.Engines) int { return e.Copy })},
	{"decoders", "decoders", engine(func(e mig.Engines) int { return e.Decoders })},
	{"encoders", "encoders", engine(func(e mig.Engines) int { return e.Encoders })},
	{"jpegEngines", "jpeg-engines", engine(func(e mig.Engines) int { return e.JPEG })},
	{"ofaEngines", "ofa-engines", engine(func(e mig.Engines) int { return e.OFA })},
}

func engine(count func(mig.Engines) int) func(mig.Profile) (int64, bool) {
	return func(p mig.Profile) (int64, bool) {
		if p.Engines == nil {
			return 0, false
		}
		return int64(count(*p.Engines)), true
	}
}

// known returns the quantities of which the geometry has a figure for every profile: with a gap a counter would say
// nothing true. Where the engines are not known, what there is only once on a GPU stands for them, so that profiles of
// which a GPU has one instance (1g+me) exclude each other, as they do on GPUs whose engines are known.
func known(g *mig.Geometry) (out []quantity) {
	for _, q := range quantities {
		gap := slices.ContainsFunc(g.Profiles, func(p mig.Profile) bool { _, ok := q.of(p); return !ok })
		switch {
		case !gap:
			out = append(out, q)
		case q.counter == "ofa-engines":
			whole := g.Whole().Name
			q.of = func(p mig.Profile) (int64, bool) {
				if p.Max < len(p.Starts) || p.Name == whole {
					return 1, true
				}
				return 0, true
			}
			out = append(out, q)
		}
	}
	return out
}

// capacitiesOf returns what a profile has of each quantity.
func capacitiesOf(p mig.Profile, qs []quantity) capacities {
	out := capacities{}
	for _, q := range qs {
		amount, _ := q.of(p)
		out[resourcev1.QualifiedName(q.capacity)] = capacity(amount)
	}
	return out
}

// most is a profile that has of every quantity the largest amount that any profile has: what the driver takes for the
// whole GPU.
func most(g *mig.Geometry, qs []quantity) (out capacities) {
	out = capacities{}
	for _, q := range qs {
		var top int64
		for _, p := range g.Profiles {
			amount, _ := q.of(p)
			top = max(top, amount)
		}
		out[resourcev1.QualifiedName(q.capacity)] = capacity(top)
	}
	return out
}

// counters returns capacities as counters, and one for each memory slice of a range.
func counters(c capacities, qs []quantity, start, n int) map[string]resourcev1.Counter {
	out := map[string]resourcev1.Counter{}
	for _, q := range qs {
		out[q.counter] = resourcev1.Counter{Value: c[resourcev1.QualifiedName(q.capacity)].Value}
	}
	for i := start; i < start+n; i++ {
		out[fmt.Sprintf("memory-slice-%d", i)] = resourcev1.Counter{Value: capacity(1).Value}
	}
	return out
}

// partition returns the device of a GPU instance: its attributes and capacities.
func (n Node) partition(gpu int, p mig.Profile, start int, qs []quantity) resourcev1.Device {
	return resourcev1.Device{Name: instanceName(gpu, p, start), Capacity: capacitiesOf(p, qs),
		Attributes: n.common().text("type", "mig", "parentUUID", n.UUIDs[gpu], "profile", p.Name,
			"resource.kubernetes.io/pciBusID", pciBusID(gpu), "resource.kubernetes.io/pcieRoot", pciRoot(gpu))}
}

// instance returns the device of an instance of a static layout, which also has its memory slices as capacities.
func (n Node) instance(gpu int, inst mig.Instance) resourcev1.Device {
	p, _ := n.MIG.Profile(inst.Profile)
	d := n.partition(gpu, p, inst.Start, known(n.MIG))
	d.Attributes = attributes(d.Attributes).text("uuid", "MIG-"+strings.TrimPrefix(n.UUIDs[gpu], "GPU-")+
		fmt.Sprintf("/%d", inst.Start))
	for i := inst.Start; i < inst.Start+p.Slices; i++ {
		d.Capacity[resourcev1.QualifiedName(fmt.Sprintf("memorySlice%d", i))] = capacity(1)
	}
	return d
}

// dynamic returns a slice with the counters of all GPUs, then one of the devices of each GPU. The API takes 8 counter
// sets a slice, which is what one node has; more GPUs get more slices of counters.
func (n Node) dynamic() []resourcev1.ResourceSliceSpec {
	qs := known(n.MIG)
	all := most(n.MIG, qs)
	var sets []resourcev1.CounterSet
	var devices []resourcev1.ResourceSliceSpec
	for gpu := range n.UUIDs {
		set := gpuName(gpu) + "-counter-set"
		sets = append(sets, resourcev1.CounterSet{Name: set, Counters: counters(all, qs, 0, n.MIG.MemorySlices)})
		var list []resourcev1.Device
		if n.Architecture != ampere {
			whole := n.whole(gpu)
			whole.Capacity = all
			whole.ConsumesCounters = []resourcev1.DeviceCounterConsumption{{CounterSet: set,
				Counters: counters(all, qs, 0, n.MIG.MemorySlices)}}
			list = append(list, whole)
		}
		for _, p := range n.MIG.Profiles {
			for _, start := range p.Starts {
				d := n.partition(gpu, p, start, qs)
				d.ConsumesCounters = []resourcev1.DeviceCounterConsumption{{CounterSet: set,
					Counters: counters(d.Capacity, qs, start, p.Slices)}}
				list = append(list, d)
			}
		}
		slices.SortFunc(list, byName)
		devices = append(devices, resourcev1.ResourceSliceSpec{Devices: list})
	}
	var out []resourcev1.ResourceSliceSpec
	for part := range slices.Chunk(sets, resourcev1.ResourceSliceMaxCounterSets) {
		out = append(out, resourcev1.ResourceSliceSpec{SharedCounters: part})
	}
	return append(out, devices...)
}

// ampere is the architecture on which MIG mode cannot be changed without a reset.
const ampere = "Ampere"
