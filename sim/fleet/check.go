package fleet

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"orrery/sim/units"
)

// Check recounts everything and returns all broken invariants, joined: each GPU's static division is a legal one; what
// is owned of a GPU sums to at most one GPU, and its MIG instances do not overlap; a GPU serves static slots or made
// ones; a slot's owner is known to hold exactly that slot, and nobody else does; UUIDs are unique; the counts and
// totals are the sums. It costs a pass over all slots and is meant for tests and for checks at the end of a run.
func (f *Fleet) Check() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	held, made := f.checkHoldings(fail)
	var t Totals
	t.Owners = len(f.holdings)
	uuids := map[string]string{}
	for _, name := range f.Names() {
		n := f.nodes[name]
		t.Nodes++
		owned := 0
		for g, d := range n.GPUs {
			t.GPUs++
			t.Capacity += units.GPU
			t.Slots += len(d.Slots)
			if other, ok := uuids[d.UUID]; ok {
				fail("nodes %s and %s both have the GPU %s", other, name, d.UUID)
			}
			uuids[d.UUID] = name
			if err := divided(n.Model, d.Slots); err != nil {
				fail("node %s, GPU %d: %w", name, d.Index, err)
			}
			slots, share := checkOwners(n, g, held, made, fail)
			owned += slots
			t.SlotsOwned += slots
			t.Owned += share
		}
		n.checkCounts(owned, fail)
	}
	if len(made) > 0 {
		fail("%q hold made parts that are not there", slices.Sorted(maps.Values(made)))
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

type partKey struct {
	node *node
	part
}

// checkOwners compares a GPU's slots with what owners hold of it, and counts what is owned. Parts that are there are
// deleted from made.
func checkOwners(n *node, g int, held map[slotKey]string, made map[partKey]string, fail func(string, ...any)) (
	slots int, share units.MilliGPU) {
	d := n.GPUs[g]
	var taken uint64
	for i, s := range d.Slots {
		if owner := held[slotKey{n, Ref{g, i}}]; owner != s.Owner {
			fail("node %s, GPU %d, replica %d: owned by %q, held by %q", n.Name, d.Index, s.Replica, s.Owner, owner)
		}
		if s.Owner != "" {
			slots++
			share += s.Share
		}
	}
	if slots > 0 && len(d.Made) > 0 {
		fail("node %s, GPU %d: owned as it is divided, and in made parts", n.Name, d.Index)
	}
	for i, s := range d.Made {
		k := partKey{n, part{g, s}}
		if owner := made[k]; owner != s.Owner || owner == "" {
			fail("node %s, GPU %d, made part %d: owned by %q, held by %q", n.Name, d.Index, i, s.Owner, owner)
		}
		delete(made, k)
		slots++
		share += s.Share
		bits := (uint64(1)<<s.Slices - 1) << s.Start
		if taken&bits != 0 {
			fail("node %s, GPU %d: %s@%d overlaps another", n.Name, d.Index, s.Profile, s.Start)
		}
		taken |= bits
		if i > 0 && compareSlots(d.Made[i-1], s) >= 0 {
			fail("node %s, GPU %d: made part %d is not after the one before it", n.Name, d.Index, i)
		}
	}
	if share > units.GPU {
		fail("node %s, GPU %d: %d thousandths are owned", n.Name, d.Index, share)
	}
	return slots, share
}

// checkCounts compares a node's counts with its slots.
func (n *node) checkCounts(owned int, fail func(string, ...any)) {
	if owned != n.owned {
		fail("node %s: %d slots owned, but %d recorded", n.Name, owned, n.owned)
	}
	recorded := slices.Clone(n.offers)
	n.recount()
	if !slices.Equal(recorded, n.offers) {
		fail("node %s: slots free and offered are %v, but %v recorded", n.Name, n.offers, recorded)
	}
	n.offers = recorded
}

// checkHoldings returns who holds which slot and which made part, and reports slots held twice and holdings on nodes
// that are gone.
func (f *Fleet) checkHoldings(fail func(string, ...any)) (held map[slotKey]string, made map[partKey]string) {
	held, made = map[slotKey]string{}, map[partKey]string{}
	for _, owner := range slices.Sorted(maps.Keys(f.holdings)) {
		h := f.holdings[owner]
		if f.nodes[h.node.Name] != h.node {
			fail("%s holds devices of node %s, which is gone", owner, h.node.Name)
		}
		if len(h.refs)+len(h.made) == 0 {
			fail("%s holds nothing", owner)
		}
		for _, r := range h.refs {
			k := slotKey{h.node, r}
			if other, ok := held[k]; ok {
				fail("%s and %s both hold slot %v of node %s", other, owner, r, h.node.Name)
			}
			held[k] = owner
		}
		for _, p := range h.made {
			k := partKey{h.node, p}
			if other, ok := made[k]; ok {
				fail("%s and %s both hold %+v of node %s", other, owner, p.slot, h.node.Name)
			}
			made[k] = owner
		}
	}
	return held, made
}
