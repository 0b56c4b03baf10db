// Package fleet holds the devices of a run and who owns them. Devices are individuals: every allocatable unit, a whole
// GPU or a time-sliced replica of one, has at most one owner, and no counter is ever decremented in its place.
//
// It knows names and numbers, not Kubernetes: a node is a list of GPUs under one resource name, an owner is a string
// (the kubelet uses namespace/name of the pod). It is not safe for concurrent use; it belongs to the driver goroutine.
//
// Room is left where later parts go: a MIG instance is a Slot whose Share is its part of the GPU (so slots of one GPU
// may differ in size), the health of a device is a field beside its UUID which a Policy skips, and a topology-aware
// choice is a Policy.
package fleet

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"orrery/sim/journal"
	"orrery/sim/units"
)

// Slot is one allocatable unit of a GPU.
type Slot struct {
	Replica int            // 0 for a whole GPU
	Share   units.MilliGPU // the shares of one GPU's slots sum to exactly units.GPU
	Owner   string         // "" = free
	// Generation counts the assignments of the slot, so that two tenures of one owner can be told apart.
	Generation uint64
}

// Device is one physical GPU.
type Device struct {
	Index int    // on its node, as the driver numbers it
	UUID  string // unique in the fleet
	Slots []Slot // by Replica
}

// Node is a machine and its GPUs.
type Node struct {
	Name     string
	Pool     string
	Model    string // catalogue key of its GPUs
	Resource string // name under which the slots are offered, e.g. nvidia.com/gpu
	GPUs     []Device
}

// MakeNodeParams describes a node of equal GPUs.
type MakeNodeParams struct {
	Name, Pool, Model, Resource string
	GPUs                        int // ≥ 0
	Replicas                    int // time-sliced replicas of each GPU; 0 and 1 = whole GPUs
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
	n := Node{Name: p.Name, Pool: p.Pool, Model: p.Model, Resource: p.Resource, GPUs: make([]Device, p.GPUs)}
	for i := range n.GPUs {
		slots := make([]Slot, p.Replicas)
		for r := range slots {
			r, total := units.MilliGPU(r), units.MilliGPU(p.Replicas)
			slots[r] = Slot{Replica: int(r), Share: units.GPU*(r+1)/total - units.GPU*r/total}
		}
		n.GPUs[i] = Device{Index: i, UUID: uuid(p.Name, i), Slots: slots}
	}
	return n, nil
}

// uuid names a GPU in the driver's form, from its place only.
func uuid(node string, index int) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s/%d", node, index))
	return fmt.Sprintf("GPU-%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
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

// Totals counts the fleet.
type Totals struct {
	Nodes, GPUs       int
	Slots, SlotsOwned int
	Capacity, Owned   units.MilliGPU
	Owners            int
}

// node is a Node with what can be derived from its slots kept at hand.
type node struct {
	Node
	free  int // slots
	slots int
}

// holding is what one owner holds.
type holding struct {
	node *node
	refs []Ref
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
	for _, d := range n.GPUs {
		own.slots += len(d.Slots)
	}
	own.free = own.slots
	f.nodes[n.Name] = own
	f.totals.Nodes++
	f.totals.GPUs += len(n.GPUs)
	f.totals.Slots += own.slots
	f.totals.Capacity += units.GPU * units.MilliGPU(len(n.GPUs))
	return nil
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
		var sum units.MilliGPU
		for j, s := range d.Slots {
			if j > 0 && s.Replica <= d.Slots[j-1].Replica {
				return fmt.Errorf("GPU %d: replica %d follows %d", d.Index, s.Replica, d.Slots[j-1].Replica)
			}
			if s.Share <= 0 || s.Owner != "" {
				return fmt.Errorf("GPU %d, replica %d: share %d of owner %q", d.Index, s.Replica, s.Share, s.Owner)
			}
			sum += s.Share
		}
		if sum != units.GPU {
			return fmt.Errorf("GPU %d: shares sum to %d thousandths", d.Index, sum)
		}
	}
	return nil
}

// Remove takes a node out of the fleet. All its slots must be free: release their owners (see Owners) first.
func (f *Fleet) Remove(name string) error {
	n, ok := f.nodes[name]
	if !ok {
		return fmt.Errorf("removing node %s: %w", name, ErrNodeUnknown)
	}
	if n.free != n.slots {
		return fmt.Errorf("removing node %s: %w: %q", name, ErrNodeInUse, f.Owners(name))
	}
	delete(f.nodes, name)
	f.totals.Nodes--
	f.totals.GPUs -= len(n.GPUs)
	f.totals.Slots -= n.slots
	f.totals.Capacity -= units.GPU * units.MilliGPU(len(n.GPUs))
	return nil
}

// Assign gives owner count ≥ 1 free slots of a node, chosen by the fleet's policy, and returns them by GPU and replica.
// An owner holds slots of one assignment at a time. Too few free slots is an *UnavailableError and changes nothing.
func (f *Fleet) Assign(nodeName, owner string, count int) ([]journal.Slot, error) {
	n, ok := f.nodes[nodeName]
	_, holds := f.holdings[owner]
	switch {
	case !ok:
		return nil, fmt.Errorf("assigning to %s: %w: %s", owner, ErrNodeUnknown, nodeName)
	case owner == "" || count < 1:
		return nil, fmt.Errorf("assigning %d devices to %q: %w", count, owner, ErrRequest)
	case holds:
		return nil, fmt.Errorf("assigning to %s: %w on node %s", owner, ErrOwnerHolds, f.holdings[owner].node.Name)
	case n.free < count:
		return nil, &UnavailableError{Node: nodeName, Resource: n.Resource, Requested: count, Available: n.free}
	}
	refs := f.policy.Choose(&n.Node, count)
	if len(refs) != count {
		panic(fmt.Sprintf("fleet: policy chose %d slots of %d asked on node %s", len(refs), count, nodeName))
	}
	slices.SortFunc(refs, func(a, b Ref) int {
		return cmp.Or(cmp.Compare(a.GPU, b.GPU), cmp.Compare(a.Slot, b.Slot))
	})
	out := make([]journal.Slot, count)
	for i, r := range refs {
		s := &n.GPUs[r.GPU].Slots[r.Slot]
		if s.Owner != "" {
			panic(fmt.Sprintf("fleet: policy chose %v on node %s, which %s owns", r, nodeName, s.Owner))
		}
		s.Owner = owner
		s.Generation++
		out[i] = journal.Slot{Index: n.GPUs[r.GPU].Index, Replica: s.Replica, Share: s.Share}
		f.totals.Owned += s.Share
	}
	n.free -= count
	f.totals.SlotsOwned += count
	f.totals.Owners++
	f.holdings[owner] = holding{n, refs}
	return out, nil
}

// Release frees what owner holds and returns the node it was on.
func (f *Fleet) Release(owner string) (nodeName string, err error) {
	h, ok := f.holdings[owner]
	if !ok {
		return "", fmt.Errorf("releasing %s: %w", owner, ErrOwnerUnknown)
	}
	delete(f.holdings, owner)
	for _, r := range h.refs {
		s := &h.node.GPUs[r.GPU].Slots[r.Slot]
		if s.Owner != owner {
			panic(fmt.Sprintf("fleet: %v on node %s is held by %s, but owned by %q", r, h.node.Name, owner, s.Owner))
		}
		s.Owner = ""
		f.totals.Owned -= s.Share
	}
	h.node.free += len(h.refs)
	f.totals.SlotsOwned -= len(h.refs)
	f.totals.Owners--
	return h.node.Name, nil
}

// Holding returns the node and slots of owner, by GPU and replica; ok is false when it holds nothing.
func (f *Fleet) Holding(owner string) (nodeName string, slots []journal.Slot, ok bool) {
	h, ok := f.holdings[owner]
	if !ok {
		return "", nil, false
	}
	for _, r := range h.refs {
		d := h.node.GPUs[r.GPU]
		s := d.Slots[r.Slot]
		slots = append(slots, journal.Slot{Index: d.Index, Replica: s.Replica, Share: s.Share})
	}
	return h.node.Name, slots, true
}

// Free returns the number of free slots of a node and the resource name they are offered under; ok is false when there
// is no such node.
func (f *Fleet) Free(name string) (slots int, resource string, ok bool) {
	n, ok := f.nodes[name]
	if !ok {
		return 0, "", false
	}
	return n.free, n.Resource, true
}

// Owners returns the owners of a node's slots, sorted.
func (f *Fleet) Owners(name string) []string {
	n, ok := f.nodes[name]
	if !ok || n.free == n.slots {
		return nil
	}
	owners := map[string]bool{}
	for _, d := range n.GPUs {
		for _, s := range d.Slots {
			if s.Owner != "" {
				owners[s.Owner] = true
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
	}
	return out, true
}

// Names returns the names of all nodes, sorted.
func (f *Fleet) Names() []string { return slices.Sorted(maps.Keys(f.nodes)) }

// Totals counts the fleet.
func (f *Fleet) Totals() Totals { return f.totals }
