package account

import (
	"fmt"
	"slices"

	"orrery/sim/journal"
	"orrery/sim/units"
)

// slot is an owned or offered slot, kept small: a pod keeps its slots for its row.
type slot struct {
	gpu, replica, milli int32
	profile             int16 // number of the MIG profile; 0 = none
	start, slices       uint8 // memory slices of the MIG instance
}

// slicesMax bounds the memory slices of a GPU, so that a set of them is a word. NVIDIA's GPUs have at most 8 (MIG User
// Guide, Supported MIG Profiles).
const slicesMax = 64

// mask returns the memory slices the slot occupies, as a set.
func (s slot) mask() uint64 { return (1<<s.slices - 1) << s.start }

// replicaOf reports whether two slots of one GPU are replicas of the same thing: of one MIG instance, or of the GPU.
func (s slot) replicaOf(t slot) bool {
	return s.profile == t.profile && s.start == t.start && s.slices == t.slices
}

// collides reports whether two slots of one GPU cannot be at the same time: they are the same replica of the same
// thing, MIG instances that overlap, or one of them is no MIG instance and the other is.
func (s slot) collides(t slot) bool {
	if s.replicaOf(t) {
		return s.replica == t.replica
	}
	return s.profile == 0 || t.profile == 0 || s.mask()&t.mask() != 0
}

// devices is the book of who owns what of a node's GPUs. Its parts are made when they are needed.
type devices struct {
	// owners holds the owner of each whole GPU or equal replica of the pool: index = GPU × slots per GPU + replica.
	owners []*pod
	shares []units.MilliGPU // owned of each GPU
	parts  [][]part         // by GPU: owned slots that owners has no place for: MIG instances, and shares cut at need
	offers [][]slot         // by GPU: the slots a partition gives it; nil = none
}

// part is an owned MIG instance, a replica of one, or a share of a GPU that was cut at need.
type part struct {
	slot
	owner *pod
}

// profiles numbers the MIG profiles of a run from 1 in the order of appearance; 0 is a slot without profile.
type profiles struct {
	names  []string
	byName map[string]int16
	places [][]slot // by number: where instances were seen, by start
}

func newProfiles() profiles { return profiles{[]string{""}, map[string]int16{"": 0}, [][]slot{nil}} }

// see remembers where an instance may start.
func (p *profiles) see(s slot) {
	list := p.places[s.profile]
	at, found := slices.BinarySearchFunc(list, s, func(a, b slot) int { return int(a.start) - int(b.start) })
	if !found {
		p.places[s.profile] = slices.Insert(list, at, s)
	}
}

func (p *profiles) number(name string) int16 {
	i, ok := p.byName[name]
	if !ok {
		i = int16(len(p.names))
		p.byName[name] = i
		p.names = append(p.names, name)
		p.places = append(p.places, nil)
	}
	return i
}

// slot checks what can be wrong with a slot of the node alone and returns it in short.
func (f *Fold) slot(n *node, s journal.Slot) (slot, error) {
	fail := func(format string, args ...any) (slot, error) {
		return slot{}, fmt.Errorf("slot %s of node %s %s", slotName(s), n.name, fmt.Sprintf(format, args...))
	}
	per := n.pool.slotsPerGPU()
	cut := s.Profile != "" || per == 1 && s.Share < units.GPU // no equal replica of the pool
	switch {
	case s.Index < 0 || s.Index >= n.gpus:
		return fail("does not exist: it has %d GPUs of %d slots", n.gpus, per)
	case s.Share <= 0 || s.Share > units.GPU:
		return fail("is %d milli-GPU", s.Share)
	case !cut && (s.Replica < 0 || s.Replica >= per), cut && (s.Replica < 0 || s.Replica >= int(units.GPU)):
		return fail("does not exist: it has %d GPUs of %d slots", n.gpus, per)
	case s.Profile == "" && (s.Start != 0 || s.Slices != 0):
		return fail("occupies slices %d+%d and has no profile", s.Start, s.Slices)
	case s.Profile != "" && (s.Start < 0 || s.Slices < 1 || s.Start+s.Slices > slicesMax):
		return fail("occupies slices %d+%d", s.Start, s.Slices)
	}
	out := slot{int32(s.Index), int32(s.Replica), int32(s.Share), f.profiles.number(s.Profile), uint8(s.Start),
		uint8(s.Slices)}
	if out.profile != 0 {
		f.profiles.see(out)
	}
	return out, nil
}

// slotName names a slot as rows do, always with its replica.
func slotName(s journal.Slot) string {
	if s.Profile == "" {
		return fmt.Sprintf("%d/%d", s.Index, s.Replica)
	}
	return fmt.Sprintf("%d:%s@%d/%d", s.Index, s.Profile, s.Start, s.Replica)
}

func (s slot) name(profiles []string) string {
	return slotName(journal.Slot{Index: int(s.gpu), Replica: int(s.replica), Profile: profiles[s.profile],
		Start: int(s.start)})
}

// own makes p the owner of the slot, which must be free.
func (n *node) own(s slot, p *pod, profiles []string) error {
	per := n.pool.slotsPerGPU()
	if n.owners == nil {
		n.owners, n.shares = make([]*pod, n.gpus*per), make([]units.MilliGPU, n.gpus)
	}
	if t := n.inTheWay(s); t.owner != nil {
		beside := ""
		if t.slot != s {
			beside = " beside slot " + t.name(profiles)
		}
		return fmt.Errorf("pod %s is assigned slot %s of node %s%s, which pod %s owns", p.name, s.name(profiles),
			n.name, beside, t.owner.name)
	}
	if n.shares[s.gpu]+units.MilliGPU(s.milli) > units.GPU {
		return fmt.Errorf("pod %s is assigned %d milli-GPU of GPU %d of node %s, of which %d are owned",
			p.name, s.milli, s.gpu, n.name, n.shares[s.gpu])
	}
	if list := n.offersOf(s.gpu); list != nil && !slices.Contains(list, s) {
		return fmt.Errorf("pod %s is assigned slot %s of %d milli-GPU of node %s, which its partition does not offer",
			p.name, s.name(profiles), s.milli, n.name)
	}
	n.shares[s.gpu] += units.MilliGPU(s.milli)
	if s.equal(per) {
		n.owners[int(s.gpu)*per+int(s.replica)] = p
		return nil
	}
	if n.parts == nil {
		n.parts = make([][]part, n.gpus)
	}
	n.parts[s.gpu] = append(n.parts[s.gpu], part{s, p})
	return nil
}

// equal reports whether the slot is one of the equal slots of a pool with per slots a GPU.
func (s slot) equal(per int) bool { return s.profile == 0 && int(s.replica) < per }

// inTheWay returns what is owned of the slot's GPU and cannot be beside it; without owner when there is nothing.
func (n *node) inTheWay(s slot) part {
	per := n.pool.slotsPerGPU()
	at := int(s.gpu) * per
	if s.equal(per) {
		if o := n.owners[at+int(s.replica)]; o != nil {
			return part{s, o}
		}
	} else if s.profile != 0 && n.shares[s.gpu] > 0 {
		for i, o := range n.owners[at : at+per] {
			if o != nil {
				return part{slot{gpu: s.gpu, replica: int32(i)}, o}
			}
		}
	}
	if n.parts != nil {
		for _, t := range n.parts[s.gpu] {
			if s.collides(t.slot) {
				return t
			}
		}
	}
	return part{}
}

// disown takes the slot back from p.
func (n *node) disown(s slot, p *pod, profiles []string) error {
	per := n.pool.slotsPerGPU()
	if s.equal(per) {
		if i := int(s.gpu)*per + int(s.replica); n.owners[i] == p {
			n.owners[i] = nil
			n.shares[s.gpu] -= units.MilliGPU(s.milli)
			return nil
		}
	} else if n.parts != nil {
		if i := slices.Index(n.parts[s.gpu], part{s, p}); i >= 0 {
			n.parts[s.gpu] = slices.Delete(n.parts[s.gpu], i, i+1)
			n.shares[s.gpu] -= units.MilliGPU(s.milli)
			return nil
		}
	}
	return fmt.Errorf("pod %s releases slot %s of node %s, which it does not own", p.name, s.name(profiles), n.name)
}

// resize fits the books to the number of GPUs. A GPU may not vanish under its owner.
func (n *node) resize() error {
	per := n.pool.slotsPerGPU()
	if n.offers != nil {
		n.offers = fit(n.offers, n.gpus)
	}
	if n.owners == nil {
		return nil
	}
	gone := func(gpu int, o *pod) error {
		return fmt.Errorf("node %s shrinks to %d GPUs while pod %s owns GPU %d", n.name, n.gpus, o.name, gpu)
	}
	for i := n.gpus * per; i < len(n.owners); i++ {
		if o := n.owners[i]; o != nil {
			return gone(i/per, o)
		}
	}
	for i := n.gpus; i < len(n.parts); i++ {
		if len(n.parts[i]) > 0 {
			return gone(i, n.parts[i][0].owner)
		}
	}
	n.owners, n.shares = fit(n.owners, n.gpus*per), fit(n.shares, n.gpus)
	if n.parts != nil {
		n.parts = fit(n.parts, n.gpus)
	}
	return nil
}

// fit returns list cut or filled with zeros to a length.
func fit[T any](list []T, length int) []T {
	if len(list) == length {
		return list
	}
	out := make([]T, length)
	copy(out, list)
	return out
}

// eachOwner calls yield with the owners of the node's slots, one that owns several possibly more than once.
func (n *node) eachOwner(yield func(*pod)) {
	for _, o := range n.owners {
		if o != nil {
			yield(o)
		}
	}
	for _, list := range n.parts {
		for _, t := range list {
			yield(t.owner)
		}
	}
}

func errNotThere(node string) error {
	return fmt.Errorf("node %s is partitioned but does not exist", node)
}

// readOffers checks a partition of the node and returns its slots by GPU. What is owned must be among them.
func (f *Fold) readOffers(n *node, list []journal.Slot) ([][]slot, error) {
	offers := make([][]slot, n.gpus)
	shares := make([]units.MilliGPU, n.gpus)
	for _, js := range list {
		s, err := f.slot(n, js)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(offers[s.gpu], s.collides); i >= 0 {
			return nil, fmt.Errorf("the partition of node %s offers slot %s beside slot %s", n.name,
				s.name(f.profiles.names), offers[s.gpu][i].name(f.profiles.names))
		}
		if shares[s.gpu] += js.Share; shares[s.gpu] > units.GPU {
			return nil, fmt.Errorf("the partition of node %s offers %d milli-GPU of GPU %d", n.name, shares[s.gpu],
				s.gpu)
		}
		offers[s.gpu] = append(offers[s.gpu], s)
	}
	var err error
	n.eachOwner(func(p *pod) {
		for _, s := range p.slots {
			if list := offers[s.gpu]; err == nil && list != nil && !slices.Contains(list, s) {
				err = fmt.Errorf("the partition of node %s does not offer slot %s, which pod %s owns", n.name,
					s.name(f.profiles.names), p.name)
			}
		}
	})
	return offers, err
}

// settleOwners books the device time of the pods on a node whose state is about to change.
func (f *Fold) settleOwners(n *node) { n.eachOwner(f.settleOwned) }
