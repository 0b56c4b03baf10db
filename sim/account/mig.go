package account

import (
	"cmp"
	"slices"

	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/units"
)

// migBook is the account of all instances of one MIG profile on nodes in service.
type migBook struct {
	last          units.Time // booked up to here
	offered, used migAmount
	slices        int64 // of one instance
	peak          int64
	assigned      int64

	offeredT, usedT, offeredSlicesT, usedSlicesT units.Integral
}

// migAmount is an amount of instances.
type migAmount struct{ milli, slices, instances int64 }

func (a *migAmount) add(s slot, whole bool, sign int64) {
	a.milli += int64(s.milli) * sign
	if whole {
		a.slices += int64(s.slices) * sign
		a.instances += sign
	}
}

// migBooks are the accounts of the profiles by their numbers, and of the parts of partitioned GPUs that no instance
// offers.
type migBooks struct {
	books     []migBook
	last      units.Time
	stranded  int64 // milli-GPU
	strandedT units.Integral
}

// book returns the account of a profile, settled.
func (m *migBooks) book(s slot, now units.Time) *migBook {
	for len(m.books) <= int(s.profile) {
		m.books = append(m.books, migBook{last: now})
	}
	b := &m.books[s.profile]
	b.settle(now)
	b.slices = int64(s.slices)
	return b
}

func (b *migBook) settle(now units.Time) {
	span := now.Sub(b.last)
	b.last = now
	if span == 0 {
		return
	}
	b.offeredT.Add(b.offered.milli, span)
	b.usedT.Add(b.used.milli, span)
	b.offeredSlicesT.Add(b.offered.slices, span)
	b.usedSlicesT.Add(b.used.slices, span)
}

func (m *migBooks) settle(now units.Time) {
	m.strandedT.Add(m.stranded, now.Sub(m.last))
	m.last = now
}

// use books that a slot of a node is owned from now on (sign 1) or no longer. It is called before the slot joins the
// node's parts, and after it left them: whole says whether no other replica of its instance is owned.
func (f *Fold) use(n *node, s slot, whole bool, sign int64) {
	b := f.mig.book(s, f.now)
	b.used.add(s, whole, sign)
	if n.offersOf(s.gpu) == nil {
		b.offered.add(s, whole, sign)
		b.peak = max(b.peak, b.offered.instances)
	}
}

// assignInstance books that a slot with a profile is about to be owned.
func (f *Fold) assignInstance(n *node, s slot) {
	n.pool.mig = true
	if n.state == journal.NodeUp {
		f.use(n, s, !n.instanceOwned(s), 1)
	}
	f.mig.book(s, f.now).assigned++
}

// offersOf returns the slots that a partition gives a GPU of the node; nil without one.
func (n *node) offersOf(gpu int32) []slot {
	if n.offers == nil {
		return nil
	}
	return n.offers[gpu]
}

// instanceOwned reports whether a replica of the slot's instance is owned.
func (n *node) instanceOwned(s slot) bool {
	return n.parts != nil && slices.ContainsFunc(n.parts[s.gpu], func(t part) bool { return s.replicaOf(t.slot) })
}

// countMIG adds (sign 1) or takes away what the node offers and what is owned of it by profile.
func (f *Fold) countMIG(n *node, sign int64) {
	f.mig.settle(f.now)
	for _, list := range n.offers {
		left, divided := int64(units.GPU), false
		for i, s := range list {
			left -= int64(s.milli)
			if s.profile == 0 {
				continue
			}
			divided, n.pool.mig = true, true
			first := !slices.ContainsFunc(list[:i], s.replicaOf)
			b := f.mig.book(s, f.now)
			b.offered.add(s, first, sign)
			b.peak = max(b.peak, b.offered.instances)
		}
		if divided {
			f.mig.stranded += left * sign
		}
	}
	for _, list := range n.parts {
		for i, t := range list {
			if t.profile != 0 {
				first := !slices.ContainsFunc(list[:i], func(o part) bool { return t.replicaOf(o.slot) })
				f.use(n, t.slot, first, sign)
			}
		}
	}
}

// migResult closes the books; nil where no GPU was divided.
func (f *Fold) migResult() *result.MIG {
	if len(f.mig.books) == 0 {
		return nil
	}
	f.mig.settle(f.now)
	out := &result.MIG{StrandedHours: f.mig.strandedT.GPUHours(), Profiles: []result.MIGProfile{}}
	var offered, used units.Integral
	for i := range f.mig.books[1:] {
		b := &f.mig.books[i+1]
		b.settle(f.now)
		offered, used = offered.Plus(b.offeredT), used.Plus(b.usedT)
		row := result.MIGProfile{Profile: f.profiles.names[i+1], Slices: b.slices, InstancesPeak: b.peak,
			Assigned: b.assigned, OfferedHours: b.offeredT.GPUHours(), UsedHours: b.usedT.GPUHours(),
			OfferedSliceHours: b.offeredSlicesT.Hours(), UsedSliceHours: b.usedSlicesT.Hours()}
		row.IdleHours = max(0, row.OfferedHours-row.UsedHours)
		row.UsedFraction = fraction(b.usedT, b.offeredT)
		out.Profiles = append(out.Profiles, row)
	}
	slices.SortFunc(out.Profiles, func(a, b result.MIGProfile) int {
		return cmp.Or(cmp.Compare(a.Slices, b.Slices), cmp.Compare(a.Profile, b.Profile))
	})
	out.OfferedHours, out.UsedHours = offered.GPUHours(), used.GPUHours()
	out.IdleHours, out.UsedFraction = max(0, out.OfferedHours-out.UsedHours), fraction(used, offered)
	return out
}

// fraction returns a ÷ b, 0 where b is nothing.
func fraction(a, b units.Integral) float64 {
	if b == (units.Integral{}) {
		return 0
	}
	return a.Hours() / b.Hours()
}

// partition divides a node's GPUs into the slots that it offers from now on. What is owned must stay on offer: a GPU
// is partitioned anew when nobody uses it.
func (f *Fold) partition(b journal.Partition) error {
	n := f.nodes[b.Node]
	if n == nil || n.state == journal.NodeRemoved {
		return errNotThere(b.Node)
	}
	offers, err := f.readOffers(n, b.Slots)
	if err != nil {
		return err
	}
	if n.state == journal.NodeUp {
		f.countMIG(n, -1)
		defer f.countMIG(n, 1)
	}
	n.offers = offers
	return nil
}
