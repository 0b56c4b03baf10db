package fleet

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"orrery/sim/mig"
	"orrery/sim/units"
)

// MakeNodeParams describes a node of GPUs of one model.
type MakeNodeParams struct {
	Name, Pool, Model string
	Resource          string // under which whole GPUs or their replicas are offered, e.g. nvidia.com/gpu
	GPUs              int    // ≥ 0
	Replicas          int    // time-sliced replicas of each GPU; 0 and 1 = whole GPUs
	// Slots gives single GPUs, by index, another static division. An empty one is a GPU in MIG mode without instances.
	Slots map[int][]Slot
	Most  map[string]int // see Node.Most
}

// MakeNode returns a node whose slots are all free. The shares of a GPU's replicas differ by at most a thousandth of a
// GPU and sum to exactly one GPU.
func MakeNode(p MakeNodeParams) (Node, error) {
	if p.Replicas == 0 {
		p.Replicas = 1
	}
	if p.GPUs < 0 || p.Replicas < 1 || p.Replicas > int(units.GPU) {
		return Node{}, fmt.Errorf("node %s: %d GPUs in %d replicas each: want at least 0 GPUs and 1 to %d replicas",
			p.Name, p.GPUs, p.Replicas, units.GPU)
	}
	n := Node{Name: p.Name, Pool: p.Pool, Model: p.Model, Most: p.Most, GPUs: make([]Device, p.GPUs)}
	for i := range n.GPUs {
		list, ok := p.Slots[i]
		if !ok {
			list = Replicas(Slot{Resource: p.Resource, Share: units.GPU}, p.Replicas)
		}
		n.GPUs[i] = Device{Index: i, UUID: uuid(p.Name, i), Slots: slices.Clone(list)}
	}
	return n, nil
}

// Replicas returns n ≥ 1 equal replicas of a slot: their shares differ by at most a thousandth of a GPU and sum to its
// share.
func Replicas(s Slot, n int) []Slot {
	out := make([]Slot, n)
	for r := range out {
		out[r] = s
		r, total := units.MilliGPU(r), units.MilliGPU(n)
		out[r].Replica, out[r].Share = int(r), s.Share*(r+1)/total-s.Share*r/total
	}
	return out
}

// Instances returns the static slots of a GPU that is divided into MIG instances, each offered as resource(profile) in
// as many replicas as it says.
func Instances(g *mig.Geometry, list []mig.Instance, resource func(profile string) (string, int)) []Slot {
	list = slices.Clone(list)
	mig.Sort(list)
	var out []Slot
	for _, i := range list {
		p, _ := g.Profile(i.Profile)
		name, replicas := resource(i.Profile)
		out = append(out, Replicas(Slot{Resource: name, Share: g.Share(i), Profile: i.Profile, Start: i.Start,
			Slices: p.Slices}, max(replicas, 1))...)
	}
	return out
}

// uuid names a GPU in the driver's form, from its place only.
func uuid(node string, index int) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s/%d", node, index))
	return fmt.Sprintf("GPU-%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// wellFormed checks a node that nobody uses yet.
func wellFormed(n Node) error {
	if n.Name == "" {
		return errors.New("no name")
	}
	for i, d := range n.GPUs {
		if i > 0 && d.Index <= n.GPUs[i-1].Index {
			return fmt.Errorf("GPU index %d follows %d", d.Index, n.GPUs[i-1].Index)
		}
		if len(d.Made) > 0 {
			return fmt.Errorf("GPU %d: it is in use", d.Index)
		}
		for _, s := range d.Slots {
			if s.Owner != "" {
				return fmt.Errorf("GPU %d, replica %d: owned by %q", d.Index, s.Replica, s.Owner)
			}
		}
		if err := divided(n.Model, d.Slots); err != nil {
			return fmt.Errorf("GPU %d: %w", d.Index, err)
		}
	}
	return nil
}

// divided checks a static division of a GPU: replicas of the whole GPU, or replicas of MIG instances that may live
// together.
func divided(model string, list []Slot) error {
	var sum units.MilliGPU
	var instances []mig.Instance
	for i, s := range list {
		fresh := i == 0 || s.Start != list[i-1].Start || s.Profile != list[i-1].Profile
		switch {
		case s.Share < 0 || s.Share == 0 && s.Profile == "":
			return fmt.Errorf("replica %d has a share of %d", s.Replica, s.Share)
		case !fresh && s.Replica <= list[i-1].Replica:
			return fmt.Errorf("replica %d follows %d", s.Replica, list[i-1].Replica)
		case i > 0 && fresh && s.Start < list[i-1].Start:
			return fmt.Errorf("slice %d follows %d", s.Start, list[i-1].Start)
		case i > 0 && (s.Profile == "") != (list[0].Profile == ""):
			return errors.New("MIG instances beside slots that are none")
		}
		sum += s.Share
		if fresh && s.Profile != "" {
			instances = append(instances, mig.Instance{Profile: s.Profile, Start: s.Start})
		}
	}
	if len(instances) == 0 {
		if len(list) > 0 && sum != units.GPU {
			return fmt.Errorf("shares sum to %d thousandths", sum)
		}
		return nil
	}
	return partitioned(model, list, instances)
}

// partitioned checks MIG instances against the model's geometry.
func partitioned(model string, list []Slot, instances []mig.Instance) error {
	g, ok := mig.Lookup(model)
	if !ok {
		return fmt.Errorf("the GPU %q has no MIG geometry", model)
	}
	if err := g.Check(instances); err != nil {
		return err
	}
	shares := map[mig.Instance]units.MilliGPU{}
	for _, s := range list {
		i := mig.Instance{Profile: s.Profile, Start: s.Start}
		shares[i] += s.Share
		if p, _ := g.Profile(s.Profile); p.Slices != s.Slices {
			return fmt.Errorf("%s has %d slices, not %d", i, p.Slices, s.Slices)
		}
	}
	for _, i := range instances {
		if shares[i] != g.Share(i) {
			return fmt.Errorf("%s: shares sum to %d thousandths, not %d", i, shares[i], g.Share(i))
		}
	}
	return nil
}
