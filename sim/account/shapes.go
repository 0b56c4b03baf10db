package account

import (
	"cmp"
	"slices"
	"strings"

	"orrery/sim/units"
)

// shape is what refused pods ask that the books cannot tell apart, and how much of it they ask at present.
type shape struct {
	ask
	index  int
	pods   int64
	demand units.MilliGPU
	dead   bool // forgotten; a pod that comes back makes a new one
}

// ask is what a pod needs of a node.
type ask struct {
	gpus     units.MilliGPU
	slots    int
	cpu, mem int64
	mig      int16
	pools    int32 // number of the set of pools that admit it; 0 = all
	gang     int   // pods that must be placed together; 0 or 1 = each alone
	within   int   // layer of which one domain must hold the gang, hostLayer, or anywhere
}

// Values of ask.within that are no layer.
const (
	anywhere  = -1
	hostLayer = -2
)

// shapes are the shapes of the pods whose latest verdict is a refusal.
type shapes struct {
	byAsk map[ask]*shape
	list  []*shape // in the order of appearance
	sets  map[string]int32
	pools []map[string]bool // by number; nil = all
}

func newShapes() shapes {
	return shapes{byAsk: map[ask]*shape{}, sets: map[string]int32{"": 0}, pools: []map[string]bool{nil}}
}

// set numbers a set of pools.
func (s *shapes) set(names []string) int32 {
	if len(names) == 0 {
		return 0
	}
	key := strings.Join(names, "\x00") + "\x00"
	i, ok := s.sets[key]
	if !ok {
		i = int32(len(s.pools))
		s.sets[key] = i
		set := map[string]bool{}
		for _, n := range names {
			set[n] = true
		}
		s.pools = append(s.pools, set)
	}
	return i
}

// demand adds a refused pod (sign 1) or takes it away.
func (f *Fold) demand(p *pod, sign int64) {
	if p.gpus == 0 {
		return
	}
	if p.shape == nil || p.shape.dead {
		p.shape = f.shapes.get(f.ask(p))
	}
	p.shape.pods += sign
	p.shape.demand += p.gpus * units.MilliGPU(sign)
}

func (s *shapes) get(a ask) *shape {
	sh := s.byAsk[a]
	if sh == nil {
		sh = &shape{ask: a, index: len(s.list)}
		s.byAsk[a] = sh
		s.list = append(s.list, sh)
	}
	return sh
}

func (f *Fold) ask(p *pod) ask {
	a := ask{gpus: p.gpus, slots: max(1, p.slotsAsked), cpu: p.cpu, mem: p.mem, mig: p.mig, within: anywhere}
	if p.job != nil {
		a.pools = p.job.admitting
		if p.job.Gang > 1 {
			a.gang = p.job.Gang
			a.within = f.layer(p.job.Within)
		}
	}
	return a
}

// hostLabel is the label of a node's name (well-known label of the Kubernetes API).
const hostLabel = "kubernetes.io/hostname"

// layer returns the layer of that name, or whose domains a node label of that name carries.
func (f *Fold) layer(name string) int {
	if name == hostLabel {
		return hostLayer
	}
	for i, l := range f.places.layers {
		if slices.Contains(l.Labels, name) {
			return slices.Index(f.both.layers, f.places.layers[i].Name)
		}
	}
	return slices.Index(f.both.layers, name)
}

// shapesMax bounds how many shapes are looked at: those that ask most GPUs. What the others ask counts as if it were
// theirs.
const shapesMax = 24

// waiting returns the shapes that ask most, and forgets those that nobody has.
func (s *shapes) waiting() []*shape {
	s.list = slices.DeleteFunc(s.list, func(sh *shape) bool {
		if sh.pods == 0 {
			sh.dead = true
			delete(s.byAsk, sh.ask)
		}
		return sh.dead
	})
	for i, sh := range s.list {
		sh.index = i
	}
	if len(s.list) <= shapesMax {
		return s.list
	}
	most := slices.SortedFunc(slices.Values(s.list), func(a, b *shape) int {
		return cmp.Or(cmp.Compare(b.demand, a.demand), a.index-b.index)
	})
	return most[:shapesMax]
}

// room is what is free on a node in service.
type room struct {
	node     *node
	idle     units.MilliGPU // owned by nobody
	cpu, mem int64
	pods     int64
	whole    int // GPUs of which nothing is owned and that no partition divides
	replicas int // equal replicas that are free, of a pool that has several a GPU
}

func (n *node) room() room {
	r := room{node: n, idle: n.capacity() - n.owned, cpu: n.pool.CPUMilli - n.cpu, mem: n.pool.MemoryMiB - n.mem,
		pods: n.pool.podsMax() - n.pods}
	per := n.pool.slotsPerGPU()
	for i := range n.gpus {
		if n.offersOf(int32(i)) != nil {
			continue
		}
		if n.shares == nil || n.shares[i] == 0 {
			r.whole++
			r.replicas += per
			continue
		}
		if per > 1 && len(n.partsOf(i)) == 0 {
			for _, o := range n.owners[i*per : (i+1)*per] {
				if o == nil {
					r.replicas++
				}
			}
		}
	}
	return r
}

func (n *node) partsOf(gpu int) []part {
	if n.parts == nil {
		return nil
	}
	return n.parts[gpu]
}

// fits returns the first cause that keeps a pod of the shape from the room, causeOther when none does, and how many
// such pods fit.
func (f *Fold) fits(r *room, s *shape) (cause int, pods int64) {
	if set := f.shapes.pools[s.pools]; set != nil && !set[r.node.pool.Pool.Pool] {
		return causeNodeKind, 0
	}
	cause, slots := f.freeSlots(r, s)
	if slots < s.slots {
		return cause, 0
	}
	pods = int64(slots / s.slots)
	for _, c := range [...]struct {
		cause      int
		free, asks int64
	}{{causeCPU, r.cpu, s.cpu}, {causeMemory, r.mem, s.mem}, {causePods, r.pods, 1}} {
		if c.asks > c.free {
			return c.cause, 0
		}
		if c.asks > 0 {
			pods = min(pods, c.free/c.asks)
		}
	}
	return causeOther, pods
}

// freeSlots counts the slots in the room that are like those the shape asks, and says what is wrong when they are too
// few.
func (f *Fold) freeSlots(r *room, s *shape) (cause, slots int) {
	n, per := r.node, r.node.pool.slotsPerGPU()
	share := s.gpus / units.MilliGPU(s.slots)
	if free, offered := n.freeOffers(s.mig, share); offered {
		return f.tooFew(r, s), free
	}
	switch {
	case s.mig != 0:
		if !n.pool.mig {
			return causeNodeKind, 0
		}
		return f.tooFew(r, s), f.freeInstances(n, s.mig)
	case share == units.GPU:
		if per > 1 || r.whole == 0 && n.divided() {
			return causeNodeKind, 0
		}
		return causeGPUCount, r.whole
	case per > 1:
		rest := int64(s.gpus)*int64(per) - int64(s.slots)*int64(units.GPU)
		if rounding := int64(per * s.slots); rest < -rounding || rest > rounding { // another number of replicas
			return causeNodeKind, 0
		}
		return causeGPUCount, r.replicas
	}
	return causeGPUCount, n.freeShares(share)
}

// tooFew says why instances of a profile are too few in the room: the GPUs have too little left, or it is cut up.
func (f *Fold) tooFew(r *room, s *shape) int {
	if r.idle < s.gpus {
		return causeGPUCount
	}
	return causeMIG
}

// divided reports whether a partition divides all GPUs of the node.
func (n *node) divided() bool {
	return n.offers != nil && !slices.ContainsFunc(n.offers, func(list []slot) bool { return list == nil })
}

// freeOffers counts the free slots among those that the node's partition offers: of the profile asked, or, for a pod
// that asks none, of the share asked. offered is false where there are none at all.
func (n *node) freeOffers(profile int16, share units.MilliGPU) (free int, offered bool) {
	for gpu, list := range n.offers {
		for _, s := range list {
			if s.profile != profile && (profile != 0 || units.MilliGPU(s.milli) != share) {
				continue
			}
			offered = true
			if n.ownerOf(gpu, s) == nil {
				free++
			}
		}
	}
	return free, offered
}

// ownerOf returns the owner of a slot; nil when it is free.
func (n *node) ownerOf(gpu int, s slot) *pod {
	per := n.pool.slotsPerGPU()
	if s.equal(per) {
		if n.owners == nil {
			return nil
		}
		return n.owners[gpu*per+int(s.replica)]
	}
	for _, t := range n.partsOf(gpu) {
		if t.slot == s {
			return t.owner
		}
	}
	return nil
}

// freeShares counts the GPUs of which a share is free that is cut at need.
func (n *node) freeShares(share units.MilliGPU) (count int) {
	for i := range n.gpus {
		if n.offersOf(int32(i)) != nil || slices.ContainsFunc(n.partsOf(i), func(t part) bool { return t.profile != 0 }) {
			continue
		}
		free := units.GPU
		if n.shares != nil {
			free -= n.shares[i]
		}
		count += int(free / share)
	}
	return count
}

// freeInstances counts the instances of a profile that can be made on GPUs that are partitioned at need, one after
// another from the lowest start. Where an instance may start is what the run has shown so far; on a GPU of which
// nothing is owned there is room for one at least.
func (f *Fold) freeInstances(n *node, profile int16) (count int) {
	for i := range n.gpus {
		if n.offersOf(int32(i)) != nil {
			continue
		}
		var mask uint64
		var owned units.MilliGPU
		if n.shares != nil {
			owned = n.shares[i]
		}
		for _, t := range n.partsOf(i) {
			mask |= t.mask()
		}
		if owned > 0 && mask == 0 {
			continue // not in MIG mode
		}
		made := 0
		for _, s := range f.profiles.places[profile] {
			if s.mask()&mask == 0 && owned+units.MilliGPU(s.milli) <= units.GPU {
				mask |= s.mask()
				owned += units.MilliGPU(s.milli)
				made++
			}
		}
		if made == 0 && owned == 0 {
			made = 1
		}
		count += made
	}
	return count
}
