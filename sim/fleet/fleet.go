// Package fleet holds the devices of a run and who owns them. Devices are individuals: every allocatable unit (a whole
// GPU, a time-sliced replica, a MIG instance, a share) has at most one owner, and no counter is ever decremented in its
// place.
//
// A GPU's slots are its static division: a whole GPU, equal replicas, or MIG instances, each offered as an extended
// resource and given out by Assign. AssignExact gives an owner exactly what somebody else has decided on (a scheduler,
// a DRA driver): a static slot, or a part of an undivided GPU made for the owner and gone with it, that is, a MIG
// instance at a place or a share. A GPU serves one of the two at a time.
//
// It knows names and numbers, not Kubernetes: an owner is a string (the kubelet uses namespace/name of the pod). It is
// not safe for concurrent use; it belongs to the driver goroutine.
package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"orrery/sim/journal"
	"orrery/sim/units"
)

// Slot is one allocatable unit of a GPU.
type Slot struct {
	Resource string // extended resource it is offered as; "" for what AssignExact made
	Replica  int    // 0 for a whole GPU or instance
	Share    units.MilliGPU
	Owner    string // "" = free
	// Generation counts the assignments of the slot, so that two tenures of one owner can be told apart.
	Generation uint64
	// Profile is the MIG profile of the instance of which this is a replica; "" = the GPU itself. The instance occupies
	// the memory slices Start … Start+Slices-1.
	Profile       string
	Start, Slices int
}

// journal returns the slot as the journal has it.
func (s Slot) journal(gpu int) journal.Slot {
	return journal.Slot{Index: gpu, Replica: s.Replica, Share: s.Share, Profile: s.Profile, Start: s.Start,
		Slices: s.Slices}
}

// Device is one physical GPU.
type Device struct {
	Index int    // on its node, as the driver numbers it
	UUID  string // unique in the fleet
	// Slots is the static division, by Start and Replica. The shares of a GPU without profiles sum to exactly units.GPU,
	// those of MIG instances to at most that. A GPU in MIG mode without instances has no slots.
	Slots []Slot
	// Made are the parts that AssignExact has made of the GPU, all owned, by Start and Replica.
	Made []Slot
	// Down keeps the GPU's slots from being given out. Owners keep what they have.
	Down bool
}

// Free reports whether static slot i can be given out.
func (d *Device) Free(i int) bool { return d.Slots[i].Owner == "" && !d.Down && len(d.Made) == 0 }

// Node is a machine and its GPUs.
type Node struct {
	Name  string
	Pool  string
	Model string // catalogue key of its GPUs
	GPUs  []Device
	// Most bounds the slots of one request by resource: a device plugin that shares GPUs may refuse to give more than
	// one to a container. A resource without an entry has no bound.
	Most map[string]int
}

// Errors of Fleet. Test with errors.Is.
var (
	ErrNodeUnknown  = errors.New("no such node")
	ErrNodeExists   = errors.New("node exists")
	ErrNodeInUse    = errors.New("node has owned devices")
	ErrNodeInvalid  = errors.New("node is not well-formed")
	ErrOwnerUnknown = errors.New("owner holds nothing")
	ErrOwnerHolds   = errors.New("owner already holds devices")
	ErrRequest      = errors.New("invalid request")
	ErrTaken        = errors.New("device is taken")
)

// UnavailableError says that a node has fewer free slots than were asked for.
type UnavailableError struct {
	Node, Resource       string
	Requested, Available int
}

// Error implements error.
func (e *UnavailableError) Error() string {
	return fmt.Sprintf("node %s: %d of %s requested, %d free", e.Node, e.Requested, e.Resource, e.Available)
}

// LimitError says that a node's device plugin gives fewer slots of a resource to one owner than were asked for.
type LimitError struct {
	Node, Resource  string
	Requested, Most int
}

// Error implements error.
func (e *LimitError) Error() string {
	return fmt.Sprintf("node %s: %d of %s requested, at most %d are given out at once", e.Node, e.Requested, e.Resource,
		e.Most)
}

// Totals counts the fleet.
type Totals struct {
	Nodes, GPUs       int
	Slots, SlotsOwned int // static slots; owned ones, those made by AssignExact included
	Capacity, Owned   units.MilliGPU
	Owners            int
}

// offer counts a node's slots of one resource.
type offer struct {
	resource    string
	free, slots int
}

// node is a Node with what can be derived from its slots kept at hand.
type node struct {
	Node
	offers []offer // by resource; a resource stays known when a new division has no slot of it
	owned  int     // slots, those made included
}

// offer returns the counts of a resource, or nil.
func (n *node) offer(resource string) *offer {
	for i := range n.offers {
		if n.offers[i].resource == resource {
			return &n.offers[i]
		}
	}
	return nil
}

// recount derives the offers from the slots.
func (n *node) recount() (slots int) {
	for i := range n.offers {
		n.offers[i].free, n.offers[i].slots = 0, 0
	}
	for g := range n.GPUs {
		d := &n.GPUs[g]
		slots += len(d.Slots)
		for i, s := range d.Slots {
			o := n.offer(s.Resource)
			if o == nil {
				n.offers = append(n.offers, offer{resource: s.Resource})
				o = &n.offers[len(n.offers)-1]
			}
			o.slots++
			if d.Free(i) {
				o.free++
			}
		}
	}
	slices.SortFunc(n.offers, func(a, b offer) int { return cmp.Compare(a.resource, b.resource) })
	return slots
}

// holding is what one owner holds.
type holding struct {
	node *node
	refs []Ref // static slots, by GPU and slot
	made []part
}

// part is a slot that was made of a GPU.
type part struct {
	gpu  int // position in Node.GPUs
	slot Slot
}

// Fleet is all devices of a run.
type Fleet struct {
	policy   Policy
	nodes    map[string]*node
	holdings map[string]holding
	totals   Totals
}

// New returns an empty fleet that picks slots by p. nil is Distributed.
func New(p Policy) *Fleet {
	if p == nil {
		p = Distributed{}
	}
	return &Fleet{policy: p, nodes: map[string]*node{}, holdings: map[string]holding{}}
}

// Add takes a node into the fleet. The node must be well-formed and free; its slices belong to the fleet from now on.
func (f *Fleet) Add(n Node) error {
	if _, ok := f.nodes[n.Name]; ok {
		return fmt.Errorf("adding node %s: %w", n.Name, ErrNodeExists)
	}
	if err := wellFormed(n); err != nil {
		return fmt.Errorf("adding node %s: %w: %w", n.Name, ErrNodeInvalid, err)
	}
	own := &node{Node: n}
	f.totals.Slots += own.recount()
	f.nodes[n.Name] = own
	f.totals.Nodes++
	f.totals.GPUs += len(n.GPUs)
	f.totals.Capacity += units.GPU * units.MilliGPU(len(n.GPUs))
	return nil
}

// Remove takes a node out of the fleet. All its slots must be free: release their owners (see Owners) first.
func (f *Fleet) Remove(name string) error {
	n, ok := f.nodes[name]
	if !ok {
		return fmt.Errorf("removing node %s: %w", name, ErrNodeUnknown)
	}
	if n.owned > 0 {
		return fmt.Errorf("removing node %s: %w: %q", name, ErrNodeInUse, f.Owners(name))
	}
	delete(f.nodes, name)
	f.totals.Nodes--
	f.totals.GPUs -= len(n.GPUs)
	f.totals.Slots -= n.recount()
	f.totals.Capacity -= units.GPU * units.MilliGPU(len(n.GPUs))
	return nil
}

// Assign gives owner count ≥ 1 free slots of a node that are offered as resource, chosen by the fleet's policy, and
// returns them by GPU, first slice and replica. An owner may hold slots of several resources of one node, but of each
// from one assignment. Too few free slots is an *UnavailableError, more than the node gives out at once a *LimitError;
// both change nothing.
func (f *Fleet) Assign(nodeName, owner, resource string, count int) ([]journal.Slot, error) {
	n, ok := f.nodes[nodeName]
	switch {
	case !ok:
		return nil, fmt.Errorf("assigning to %s: %w: %s", owner, ErrNodeUnknown, nodeName)
	case owner == "" || count < 1:
		return nil, fmt.Errorf("assigning %d devices to %q: %w", count, owner, ErrRequest)
	}
	h, holds := f.holdings[owner]
	if holds && (h.node != n || h.has(resource)) {
		return nil, fmt.Errorf("assigning to %s: %w on node %s", owner, ErrOwnerHolds, h.node.Name)
	}
	o := n.offer(resource)
	if o == nil || o.free < count {
		e := &UnavailableError{Node: nodeName, Resource: resource, Requested: count}
		if o != nil {
			e.Available = o.free
		}
		return nil, e
	}
	if most, ok := n.Most[resource]; ok && count > most {
		return nil, &LimitError{Node: nodeName, Resource: resource, Requested: count, Most: most}
	}
	refs := f.policy.Choose(&n.Node, resource, count)
	if len(refs) != count {
		panic(fmt.Sprintf("fleet: policy chose %d slots of %d asked on node %s", len(refs), count, nodeName))
	}
	slices.SortFunc(refs, compareRefs)
	out := make([]journal.Slot, count)
	for i, r := range refs {
		d := &n.GPUs[r.GPU]
		s := &d.Slots[r.Slot]
		if !d.Free(r.Slot) || s.Resource != resource {
			panic(fmt.Sprintf("fleet: policy chose %v on node %s: not a free slot of %s", r, nodeName, resource))
		}
		f.take(n, s, owner)
		out[i] = s.journal(d.Index)
	}
	o.free -= count
	if holds {
		refs = append(slices.Clip(h.refs), refs...)
		slices.SortFunc(refs, compareRefs)
	} else {
		f.totals.Owners++
	}
	f.holdings[owner] = holding{n, refs, h.made}
	return out, nil
}

// has reports whether the holding has a slot offered as resource.
func (h holding) has(resource string) bool {
	return slices.ContainsFunc(h.refs, func(r Ref) bool {
		return h.node.GPUs[r.GPU].Slots[r.Slot].Resource == resource
	})
}

// take makes owner the owner of a free slot.
func (f *Fleet) take(n *node, s *Slot, owner string) {
	s.Owner = owner
	s.Generation++
	n.owned++
	f.totals.Owned += s.Share
	f.totals.SlotsOwned++
}

// Release frees what owner holds and returns the node it was on. What AssignExact made for the owner is gone.
func (f *Fleet) Release(owner string) (nodeName string, err error) {
	h, ok := f.holdings[owner]
	if !ok {
		return "", fmt.Errorf("releasing %s: %w", owner, ErrOwnerUnknown)
	}
	delete(f.holdings, owner)
	f.totals.Owners--
	for _, r := range h.refs {
		f.free(h.node, r, owner)
	}
	for _, p := range h.made {
		f.unmake(h.node, p)
	}
	if h.made != nil {
		h.node.recount()
	}
	return h.node.Name, nil
}

// free takes a static slot from its owner.
func (f *Fleet) free(n *node, r Ref, owner string) {
	d := &n.GPUs[r.GPU]
	s := &d.Slots[r.Slot]
	if s.Owner != owner {
		panic(fmt.Sprintf("fleet: %v on node %s is held by %s, but owned by %q", r, n.Name, owner, s.Owner))
	}
	s.Owner = ""
	if d.Free(r.Slot) {
		n.offer(s.Resource).free++
	}
	n.owned--
	f.totals.Owned -= s.Share
	f.totals.SlotsOwned--
}

// Holding returns the node and slots of owner, by GPU, first slice and replica; ok is false when it holds nothing.
func (f *Fleet) Holding(owner string) (nodeName string, list []journal.Slot, ok bool) {
	h, ok := f.holdings[owner]
	if !ok {
		return "", nil, false
	}
	for _, r := range h.refs {
		d := h.node.GPUs[r.GPU]
		list = append(list, d.Slots[r.Slot].journal(d.Index))
	}
	for _, p := range h.made {
		list = append(list, p.slot.journal(h.node.GPUs[p.gpu].Index))
	}
	sortSlots(list)
	return h.node.Name, list, true
}

func sortSlots(list []journal.Slot) {
	slices.SortFunc(list, func(a, b journal.Slot) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Start, b.Start), cmp.Compare(a.Replica, b.Replica))
	})
}

// Free returns how many slots of a node that are offered as resource can be given out; ok is false when there is no
// such node, or it has never offered the resource.
func (f *Fleet) Free(name, resource string) (slots int, ok bool) {
	n, ok := f.nodes[name]
	if !ok {
		return 0, false
	}
	o := n.offer(resource)
	if o == nil {
		return 0, false
	}
	return o.free, true
}

// Offers returns the number of slots that a node offers of each resource, free or not, those of GPUs that are down left
// out: what its device plugins tell the kubelet.
func (f *Fleet) Offers(name string) map[string]int {
	n, ok := f.nodes[name]
	if !ok {
		return nil
	}
	out := map[string]int{}
	for _, o := range n.offers {
		out[o.resource] = 0
	}
	for _, d := range n.GPUs {
		for _, s := range d.Slots {
			if !d.Down {
				out[s.Resource]++
			}
		}
	}
	return out
}

// Owners returns the owners of a node's slots, sorted.
func (f *Fleet) Owners(name string) []string {
	n, ok := f.nodes[name]
	if !ok || n.owned == 0 {
		return nil
	}
	owners := map[string]bool{}
	for _, d := range n.GPUs {
		for _, list := range [][]Slot{d.Slots, d.Made} {
			for _, s := range list {
				if s.Owner != "" {
					owners[s.Owner] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(owners))
}

// Node returns a copy of a node's state.
func (f *Fleet) Node(name string) (Node, bool) {
	n, ok := f.nodes[name]
	if !ok {
		return Node{}, false
	}
	out := n.Node
	out.GPUs = slices.Clone(out.GPUs)
	for i := range out.GPUs {
		out.GPUs[i].Slots = slices.Clone(out.GPUs[i].Slots)
		out.GPUs[i].Made = slices.Clone(out.GPUs[i].Made)
	}
	return out, true
}

// Names returns the names of all nodes, sorted.
func (f *Fleet) Names() []string { return slices.Sorted(maps.Keys(f.nodes)) }

// Totals counts the fleet.
func (f *Fleet) Totals() Totals { return f.totals }
