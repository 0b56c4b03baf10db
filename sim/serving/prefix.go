package serving

import "slices"

const (
	// matchBlocks is how many blocks of a prompt the prefix scorer looks at, and indexEntries how many it remembers of a
	// replica that does not say how large its cache is (DefaultMaxPrefixBlocks and DefaultLRUCapacityPerServer of the
	// Gateway API inference extension, pkg/epp/framework/plugins/scheduling/scorer/prefix/plugin.go at 05aed77).
	matchBlocks  = 256
	indexEntries = 31250
)

// prefixIndex is the router's own idea of what replicas have in their prefix caches: the blocks of the prompts that it
// sent them, an LRU list for each, as large as the replica says its cache is. As in the extension's index, a request
// counts for every replica the blocks that it has, up to the first block that none has; and a replica is in the index
// with the blocks of a request as soon as it is picked for it.
type prefixIndex struct {
	holders map[uint64][]*prefixCache
	slots   []*prefixCache
	count   []int // matched blocks by slot, of the request being routed
	entries int   // in all caches
	named   []uint64
}

// prefixCache is the blocks that one replica is thought to have, in the order of their last use.
type prefixCache struct {
	slot     int
	capacity int // entries
	at       map[uint64]int32
	nodes    []prefixNode // 0 is the sentinel of a ring: next = latest
	free     []int32
}

type prefixNode struct {
	block      uint64
	prev, next int32
}

func newPrefixIndex() *prefixIndex { return &prefixIndex{holders: map[uint64][]*prefixCache{}} }

func (x *prefixIndex) add(r *replica) {
	c := &prefixCache{at: map[uint64]int32{}, nodes: make([]prefixNode, 1), capacity: indexEntries}
	if tokens, block := r.engine.Load().KVTokens, r.svc.prefixTokens(); tokens > 0 && block > 0 {
		c.capacity = int(tokens) / block
	}
	c.slot = slices.Index(x.slots, nil)
	if c.slot < 0 {
		c.slot = len(x.slots)
		x.slots = append(x.slots, nil)
		x.count = append(x.count, 0)
	}
	x.slots[c.slot] = c
	r.slot = c.slot
}

func (x *prefixIndex) remove(r *replica) {
	c := x.slots[r.slot]
	for i := c.nodes[0].next; i != 0; i = c.nodes[i].next {
		x.forget(c.nodes[i].block, c)
	}
	x.entries -= len(c.at)
	x.slots[r.slot] = nil
	x.count[r.slot] = 0
}

// forget takes a replica from the holders of a block.
func (x *prefixIndex) forget(block uint64, c *prefixCache) {
	h := x.holders[block]
	if len(h) == 1 {
		delete(x.holders, block)
		return
	}
	i := slices.Index(h, c)
	h[i] = h[len(h)-1]
	x.holders[block] = h[:len(h)-1]
}

// names are the names of the blocks of a prompt that count, each made of its own and those before it, as the extension
// hashes them (approximateprefix/plugin.go at 014fd18, hashPrompt): equal blocks behind different beginnings differ.
// They are valid until the next call.
func (x *prefixIndex) names(prompt []uint64) []uint64 {
	x.named = x.named[:0]
	at := uint64(0)
	for _, b := range prompt[:min(len(prompt), matchBlocks)] { // the finaliser of splitmix64
		at ^= b + 0x9e3779b97f4a7c15
		at = (at ^ at>>30) * 0xbf58476d1ce4e5b9
		at = (at ^ at>>27) * 0x94d049bb133111eb
		at ^= at >> 31
		x.named = append(x.named, at)
	}
	return x.named
}

// match counts what replicas have of a prompt and returns the blocks of it that count.
func (x *prefixIndex) match(prompt []uint64) []uint64 {
	clear(x.count)
	blocks := prompt[:min(len(prompt), matchBlocks)]
	for _, b := range blocks {
		h := x.holders[b]
		if len(h) == 0 {
			break
		}
		for _, c := range h {
			x.count[c.slot]++
		}
	}
	return blocks
}

// matched is how many blocks of the last prompt a replica has.
func (x *prefixIndex) matched(r *replica) int { return x.count[r.slot] }

// insert says that a replica has been picked for a prompt with these blocks.
func (x *prefixIndex) insert(r *replica, blocks []uint64) {
	c := x.slots[r.slot]
	for _, b := range blocks {
		if i, ok := c.at[b]; ok {
			c.unlink(i)
			c.link(i)
			continue
		}
		if len(c.at) >= max(c.capacity, 1) {
			oldest := c.nodes[0].prev
			x.forget(c.nodes[oldest].block, c)
			delete(c.at, c.nodes[oldest].block)
			c.unlink(oldest)
			c.free = append(c.free, oldest)
			x.entries--
		}
		var i int32
		if n := len(c.free); n > 0 {
			i, c.free = c.free[n-1], c.free[:n-1]
		} else {
			i = int32(len(c.nodes))
			c.nodes = append(c.nodes, prefixNode{})
		}
		c.nodes[i].block = b
		c.at[b] = i
		c.link(i)
		x.holders[b] = append(x.holders[b], c)
		x.entries++
	}
}

func (c *prefixCache) unlink(i int32) {
	n := &c.nodes[i]
	c.nodes[n.prev].next, c.nodes[n.next].prev = n.next, n.prev
}

func (c *prefixCache) link(i int32) {
	first := c.nodes[0].next
	c.nodes[i].prev, c.nodes[i].next = 0, first
	c.nodes[first].prev, c.nodes[0].next = i, i
}
