package fleet

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"orrery/sim/units"
)

// Check recounts everything and returns all broken invariants, joined: shares of a GPU sum to one GPU; a slot's owner
// is known to hold exactly that slot, and nobody else does; UUIDs are unique; the totals are the sums. It costs a pass
// over all slots and is meant for tests and for checks at the end of a run.
func (f *Fleet) Check() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	held := f.checkHoldings(fail)
	var t Totals
	t.Owners = len(f.holdings)
	uuids := map[string]string{}
	for _, name := range f.Names() {
		n := f.nodes[name]
		t.Nodes++
		free, slots := 0, 0
		for g, d := range n.GPUs {
			t.GPUs++
			if other, ok := uuids[d.UUID]; ok {
				fail("nodes %s and %s both have the GPU %s", other, name, d.UUID)
			}
			uuids[d.UUID] = name
			var sum units.MilliGPU
			for i, s := range d.Slots {
				slots++
				sum += s.Share
				if owner := held[slotKey{n, Ref{g, i}}]; owner != s.Owner {
					fail("node %s, GPU %d, replica %d: owned by %q, held by %q", name, d.Index, s.Replica, s.Owner, owner)
				}
				if s.Owner == "" {
					free++
					continue
				}
				t.SlotsOwned++
				t.Owned += s.Share
			}
			if sum != units.GPU {
				fail("node %s, GPU %d: shares sum to %d thousandths", name, d.Index, sum)
			}
			t.Capacity += sum
		}
		t.Slots += slots
		if free != n.free || slots != n.slots {
			fail("node %s: %d of %d slots free, but %d of %d recorded", name, free, slots, n.free, n.slots)
		}
	}
	if t != f.totals {
		fail("totals are %+v, recorded %+v", t, f.totals)
	}
	return errors.Join(errs...)
}

type slotKey struct {
	node *node
	ref  Ref
}

// checkHoldings returns who holds which slot, and reports slots held twice and holdings on nodes that are gone.
func (f *Fleet) checkHoldings(fail func(string, ...any)) map[slotKey]string {
	held := map[slotKey]string{}
	for _, owner := range slices.Sorted(maps.Keys(f.holdings)) {
		h := f.holdings[owner]
		if f.nodes[h.node.Name] != h.node {
			fail("%s holds devices of node %s, which is gone", owner, h.node.Name)
		}
		if len(h.refs) == 0 {
			fail("%s holds nothing", owner)
		}
		for _, r := range h.refs {
			k := slotKey{h.node, r}
			if other, ok := held[k]; ok {
				fail("%s and %s both hold slot %v of node %s", other, owner, r, h.node.Name)
			}
			held[k] = owner
		}
	}
	return held
}
