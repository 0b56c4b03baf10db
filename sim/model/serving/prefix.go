package serving

// pool is the KV cache of a replica in blocks: how many are free, and which of the free ones still hold a prompt's
// beginning that a later prompt may use.
//
// Free blocks are in a queue, the longest free first, and are taken from its head, as in vLLM (v1/core/block_pool.py,
// commit 00024d3): a named piece of a prompt that is taken is forgotten. With spare, blocks without a name are taken
// before any that has one, as by SGLang's radix cache (srt/mem_cache/radix_cache.py, commit 00550cd).
//
// Named pieces are the caller's: PrefixTokens tokens each, forgotten as a whole. Engines forget block by block; where
// pieces are as large as blocks, that is the same.
type pool struct {
	total, free int
	spare       bool
	plain       int // spare: free blocks outside the queue
	named       map[uint64]*piece
	head, tail  *piece // of the queue
	bin         *piece // pieces to use again, linked by next
}

// piece is a named piece of a prompt in the cache or, without a name, a run of blocks in the queue.
type piece struct {
	name       uint64
	anonymous  bool
	blocks     int
	refs       int // running sequences that use it
	prev, next *piece
}

func newPool(total int, spare bool) *pool {
	p := &pool{total: total, free: total, spare: spare, named: map[uint64]*piece{}}
	if spare {
		p.plain = total
	} else {
		p.push(p.piece(0, true, total))
	}
	return p
}

func (p *pool) used() int { return p.total - p.free }

func (p *pool) piece(name uint64, anonymous bool, blocks int) *piece {
	x := p.bin
	if x == nil {
		x = &piece{}
	} else {
		p.bin = x.next
	}
	*x = piece{name: name, anonymous: anonymous, blocks: blocks}
	return x
}

func (p *pool) drop(x *piece) {
	*x = piece{next: p.bin}
	p.bin = x
}

func (p *pool) push(x *piece) {
	x.prev, x.next = p.tail, nil
	if p.tail == nil {
		p.head = x
	} else {
		p.tail.next = x
	}
	p.tail = x
}

func (p *pool) unlink(x *piece) {
	if x.prev == nil {
		p.head = x.next
	} else {
		x.prev.next = x.next
	}
	if x.next == nil {
		p.tail = x.prev
	} else {
		x.next.prev = x.prev
	}
	x.prev, x.next = nil, nil
}

// take takes n free blocks; there must be as many.
func (p *pool) take(n int) {
	p.free -= n
	if p.free < 0 {
		panic("serving: more blocks taken from the KV cache than are free")
	}
	if p.spare {
		m := min(n, p.plain)
		p.plain -= m
		n -= m
	}
	for n > 0 {
		x := p.head
		if x.blocks > n {
			if !x.anonymous {
				delete(p.named, x.name)
				x.anonymous, x.name = true, 0
			}
			x.blocks -= n
			if p.spare { // what is left of a forgotten piece is free without a name
				p.plain += x.blocks
				p.unlink(x)
				p.drop(x)
			}
			return
		}
		n -= x.blocks
		if !x.anonymous {
			delete(p.named, x.name)
		}
		p.unlink(x)
		p.drop(x)
	}
}

// unnamed is how many blocks can be taken before a named piece is forgotten.
func (p *pool) unnamed() int {
	switch {
	case p.spare:
		return p.plain
	case p.head != nil && p.head.anonymous:
		return p.head.blocks
	}
	return 0
}

// give gives n blocks without a name back.
func (p *pool) give(n int) {
	if n == 0 {
		return
	}
	p.free += n
	switch {
	case p.spare:
		p.plain += n
	case p.tail != nil && p.tail.anonymous:
		p.tail.blocks += n
	default:
		p.push(p.piece(0, true, n))
	}
}

// find returns the piece of a name, nil when it is not there.
func (p *pool) find(name uint64) *piece { return p.named[name] }

// hold makes a piece used by one more sequence.
func (p *pool) hold(x *piece) {
	if x.refs == 0 {
		p.unlink(x)
		p.free -= x.blocks
	}
	x.refs++
}

// letGo is the opposite: a piece that nobody uses goes to the end of the queue.
func (p *pool) letGo(x *piece) {
	x.refs--
	if x.refs == 0 {
		p.push(x)
		p.free += x.blocks
	}
}

// name makes blocks that a sequence has taken a piece, which it uses, and returns it; nil when the name is there
// already, so that the blocks stay without.
func (p *pool) name(name uint64, blocks int) *piece {
	if p.named[name] != nil {
		return nil
	}
	x := p.piece(name, false, blocks)
	x.refs = 1
	p.named[name] = x
	return x
}

// chain names a piece by all pieces before it and its own identifier, so that equal pieces behind different beginnings
// are not taken for each other (the finaliser of splitmix64).
func chain(before, id uint64) uint64 {
	x := before ^ (id + 0x9e3779b97f4a7c15)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
