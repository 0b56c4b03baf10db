package fleet

import (
	"cmp"
	"fmt"
	"slices"

	"orrery/sim/journal"
	"orrery/sim/mig"
	"orrery/sim/units"
)

// AssignExact gives owner exactly these devices of a node, whatever the policy, and returns them by GPU, first slice
// and replica. Each is
//
//   - a static slot: same GPU, profile, start, replica and share (a whole GPU has none but the GPU's full share), or
//   - a MIG instance at a start on an undivided GPU, made for the owner; its slices and share are the geometry's and
//     may be left 0, or
//   - a share below a whole GPU of an undivided GPU; it gets the lowest free replica number, whatever was asked.
//
// An owner may be given devices of one node in several calls. When one of them is taken, or would break the rules of
// a GPU (instances that overlap, shares above one GPU), the error is ErrTaken or ErrRequest, says which, and nothing
// changes.
func (f *Fleet) AssignExact(nodeName, owner string, want []journal.Slot) ([]journal.Slot, error) {
	n, ok := f.nodes[nodeName]
	switch {
	case !ok:
		return nil, fmt.Errorf("assigning to %s: %w: %s", owner, ErrNodeUnknown, nodeName)
	case owner == "" || len(want) == 0:
		return nil, fmt.Errorf("assigning %d devices to %q: %w", len(want), owner, ErrRequest)
	}
	h, holds := f.holdings[owner]
	if holds && h.node != n {
		return nil, fmt.Errorf("assigning to %s: %w on node %s", owner, ErrOwnerHolds, h.node.Name)
	}
	var refs []Ref
	var made []part
	out := make([]journal.Slot, 0, len(want))
	for _, w := range want {
		r, p, err := f.exactly(n, owner, w)
		switch {
		case err != nil:
			for _, r := range refs {
				f.free(n, r, owner)
			}
			for _, p := range made {
				f.unmake(n, p)
			}
			n.recount()
			return nil, fmt.Errorf("assigning GPU %d of node %s to %s: %w", w.Index, nodeName, owner, err)
		case p != nil:
			made = append(made, *p)
			out = append(out, p.slot.journal(w.Index))
		default:
			refs = append(refs, r)
			out = append(out, n.GPUs[r.GPU].Slots[r.Slot].journal(w.Index))
		}
	}
	n.recount()
	if !holds {
		f.totals.Owners++
	}
	refs = append(slices.Clip(h.refs), refs...)
	slices.SortFunc(refs, compareRefs)
	f.holdings[owner] = holding{n, refs, append(slices.Clip(h.made), made...)}
	sortSlots(out)
	return out, nil
}

// exactly takes a static slot, or makes a part of a GPU.
func (f *Fleet) exactly(n *node, owner string, w journal.Slot) (Ref, *part, error) {
	g := slices.IndexFunc(n.GPUs, func(d Device) bool { return d.Index == w.Index })
	if g < 0 {
		return Ref{}, nil, fmt.Errorf("%w: no such GPU", ErrRequest)
	}
	d := &n.GPUs[g]
	if d.Down {
		return Ref{}, nil, fmt.Errorf("%w: it is down", ErrTaken)
	}
	for i, s := range d.Slots {
		if s.Profile != w.Profile || s.Start != w.Start || s.Replica != w.Replica ||
			s.Share != w.Share && (w.Share != 0 || w.Profile == "") {
			continue
		}
		if !d.Free(i) {
			return Ref{}, nil, fmt.Errorf("%w: by %q", ErrTaken, d.owner())
		}
		f.take(n, &d.Slots[i], owner)
		return Ref{g, i}, nil, nil
	}
	s, err := d.part(n.Model, w)
	if err != nil {
		return Ref{}, nil, err
	}
	at := len(d.Made)
	for at > 0 && compareSlots(s, d.Made[at-1]) < 0 {
		at--
	}
	f.take(n, &s, owner)
	d.Made = slices.Insert(d.Made, at, s)
	return Ref{}, &part{g, s}, nil
}

// owner names one who has a part of the GPU.
func (d *Device) owner() string {
	for _, list := range [][]Slot{d.Slots, d.Made} {
		for _, s := range list {
			if s.Owner != "" {
				return s.Owner
			}
		}
	}
	return ""
}

// part returns the part of the GPU that w asks for, if it can be made now.
func (d *Device) part(model string, w journal.Slot) (Slot, error) {
	undivided := len(d.Slots) == 1 && d.Slots[0].Profile == ""
	switch {
	case !undivided:
		return Slot{}, fmt.Errorf("%w: it is divided, and has no slot like %+v", ErrRequest, w)
	case d.Slots[0].Owner != "":
		return Slot{}, fmt.Errorf("%w: the whole GPU is by %q", ErrTaken, d.Slots[0].Owner)
	case len(d.Made) > 0 && (d.Made[0].Profile == "") != (w.Profile == ""):
		return Slot{}, fmt.Errorf("%w: by %q; a GPU has MIG instances or shares", ErrTaken, d.owner())
	case w.Profile != "":
		return d.instance(model, w)
	case w.Share <= 0 || w.Share >= units.GPU:
		return Slot{}, fmt.Errorf("%w: a share of %d thousandths", ErrRequest, w.Share)
	}
	s := Slot{Share: w.Share}
	sum := w.Share
	for _, m := range d.Made { // by replica
		sum += m.Share
		if m.Replica == s.Replica {
			s.Replica++
		}
	}
	if sum > units.GPU {
		return Slot{}, fmt.Errorf("%w: %d thousandths of it, and %d are asked", ErrTaken, sum-w.Share, w.Share)
	}
	return s, nil
}

// instance returns the MIG instance that w asks for, if it can be made beside the others.
func (d *Device) instance(model string, w journal.Slot) (Slot, error) {
	g, ok := mig.Lookup(model)
	if !ok {
		return Slot{}, fmt.Errorf("%w: the GPU %q has no MIG geometry", ErrRequest, model)
	}
	i := mig.Instance{Profile: w.Profile, Start: w.Start}
	if err := g.Check([]mig.Instance{i}); err != nil {
		return Slot{}, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	p, _ := g.Profile(i.Profile)
	share := g.Share(i)
	if w.Replica != 0 || w.Slices != 0 && w.Slices != p.Slices || w.Share != 0 && w.Share != share {
		return Slot{}, fmt.Errorf("%w: %s has %d slices and %d thousandths, not as in %+v", ErrRequest, i, p.Slices,
			share, w)
	}
	var live []mig.Instance
	for _, m := range d.Made {
		live = append(live, mig.Instance{Profile: m.Profile, Start: m.Start})
	}
	if !slices.Contains(g.Free(live, i.Profile), i.Start) {
		return Slot{}, fmt.Errorf("%w: no room for %s beside %s", ErrTaken, i, mig.Describe(live))
	}
	return Slot{Share: share, Profile: i.Profile, Start: i.Start, Slices: p.Slices}, nil
}

func compareSlots(a, b Slot) int {
	return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Replica, b.Replica))
}

// unmake removes a part of a GPU; recount afterwards.
func (f *Fleet) unmake(n *node, p part) {
	d := &n.GPUs[p.gpu]
	i := slices.Index(d.Made, p.slot)
	if i < 0 {
		panic(fmt.Sprintf("fleet: %s holds %+v of GPU %d of node %s, which is not there", p.slot.Owner, p.slot, d.Index,
			n.Name))
	}
	d.Made = slices.Delete(d.Made, i, i+1)
	n.owned--
	f.totals.Owned -= p.slot.Share
	f.totals.SlotsOwned--
}

// SetDown takes all GPUs of a node out of service or puts them back. Owners keep what they have; nothing more is given
// out while the GPUs are down.
func (f *Fleet) SetDown(name string, down bool) error {
	n, ok := f.nodes[name]
	if !ok {
		return fmt.Errorf("taking GPUs out of service: %w: %s", ErrNodeUnknown, name)
	}
	for g := range n.GPUs {
		n.GPUs[g].Down = down
	}
	n.recount()
	return nil
}

// Divide gives GPUs of a node, by index, another static division. Nobody may own a part of them: ErrNodeInUse. A GPU
// that is not named keeps its own.
func (f *Fleet) Divide(name string, by map[int][]Slot) error {
	n, ok := f.nodes[name]
	if !ok {
		return fmt.Errorf("dividing GPUs: %w: %s", ErrNodeUnknown, name)
	}
	known := 0
	for _, d := range n.GPUs {
		list, ok := by[d.Index]
		if !ok {
			continue
		}
		known++
		if who := d.owner(); who != "" {
			return fmt.Errorf("dividing GPU %d of node %s: %w: %q", d.Index, name, ErrNodeInUse, who)
		}
		if err := divided(n.Model, list); err != nil {
			return fmt.Errorf("dividing GPU %d of node %s: %w: %w", d.Index, name, ErrRequest, err)
		}
	}
	if known != len(by) {
		return fmt.Errorf("dividing GPUs of node %s: %w: it has %d of the %d", name, ErrRequest, known, len(by))
	}
	for g := range n.GPUs {
		d := &n.GPUs[g]
		if list, ok := by[d.Index]; ok {
			f.totals.Slots += len(list) - len(d.Slots)
			d.Slots = slices.Clone(list)
		}
	}
	n.recount()
	return nil
}
