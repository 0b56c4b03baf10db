package incremental

import (
	"math/bits"

	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
)

// class is what upstream's plugins said of every node for pods that they cannot tell apart.
type class struct {
	key     string
	p       *profile
	version uint64 // of nodes.list
	clock   uint64 // changes up to here are known
	used    uint64 // number of the attempt that used it last

	moment   []int32 // nodes of which what is known held for the latest attempt only
	dry      *dry    // of preemption
	admitted bool    // PreFilter let a plain pod of the class pass

	stale    bitmap // the node must be filtered again
	feasible bitmap // the node passed, unless stale
	scored   bitmap // scores are known, if feasible and not stale
	kinds    []kind
	kind     []uint16 // how a node was rejected, unless stale or feasible; index of kinds

	scores  []string // plugins that scored, in their order
	weights []int64
	norm    []bool
	raw     []int64 // nodes × scores
	fixed   []int64 // weighted sum of the scores that need no normalisation
	common  []int64 // raw scores of the node that was scored first
	odd     bitmap  // nodes with a score to normalise that differs from the common one
	odds    int     // odd nodes
}

// kind is a way in which nodes are rejected.
type kind struct {
	status *fwk.Status
	nodes  int // rejected so now
}

type bitmap []uint64

func (b bitmap) has(i int32) bool { return b[i>>6]&(1<<(i&63)) != 0 }
func (b bitmap) set(i int32)      { b[i>>6] |= 1 << (i & 63) }
func (b bitmap) clear(i int32)    { b[i>>6] &^= 1 << (i & 63) }

// bytes is roughly what the class keeps in memory.
func (c *class) bytes() int {
	node := 10 + 8*len(c.scores)
	if c.dry != nil {
		node += 56
	}
	return len(c.kind) * node
}

// reset forgets everything, for a list of n nodes. Slices are new: an earlier attempt's may still be read.
func (c *class) reset(n int) {
	words := (n + 63) / 64
	c.stale, c.feasible, c.scored = make(bitmap, words), make(bitmap, words), make(bitmap, words)
	for i := range n {
		c.stale.set(int32(i))
	}
	c.kind, c.kinds = make([]uint16, n), nil
	c.scores, c.weights, c.norm, c.raw, c.fixed = nil, nil, nil, nil, nil
	c.common, c.odd, c.odds = nil, make(bitmap, words), 0
}

// update marks the nodes that changed since the class was used last, for an attempt of a pod.
func (c *class) update(n *nodes, pod types.UID) {
	if c.version != n.version {
		c.settle()
		if moves, ok := n.movesFrom(c.version); ok && c.kind != nil {
			for _, m := range moves {
				c.follow(m)
			}
		} else {
			c.reset(len(n.list))
			c.clock = n.clock
		}
		c.version = n.version
	}
	if c.clock != n.clock {
		n.since(c.clock, c.doubt)
		c.clock = n.clock
	}
	c.settle()
	n.momentary(pod, func(i int32) {
		c.doubt(i)
		c.moment = append(c.moment, i)
	})
}

// settle doubts what held for the latest attempt only.
func (c *class) settle() {
	for _, i := range c.moment {
		c.doubt(i)
	}
	c.moment = c.moment[:0]
}

// follow rearranges what is known for a new list of nodes. Slices are new: an earlier attempt's may still be read.
func (c *class) follow(m move) {
	old := *c
	c.reset(len(m.from))
	c.kinds = old.kinds
	for k := range c.kinds {
		c.kinds[k].nodes = 0
	}
	width := len(old.scores)
	if old.fixed != nil {
		c.scores, c.weights, c.norm, c.common = old.scores, old.weights, old.norm, old.common
		c.fixed, c.raw = make([]int64, len(m.from)), make([]int64, len(m.from)*width)
	}
	for i, j := range m.from {
		if j < 0 || old.stale.has(j) {
			continue
		}
		c.stale.clear(int32(i))
		if !old.feasible.has(j) {
			c.kind[i] = old.kind[j]
			c.kinds[c.kind[i]].nodes++
			continue
		}
		c.feasible.set(int32(i))
		if old.scored.has(j) {
			c.scored.set(int32(i))
			c.fixed[i] = old.fixed[j]
			copy(c.raw[i*width:(i+1)*width], old.raw[int(j)*width:])
			if old.odd.has(j) {
				c.odd.set(int32(i))
				c.odds++
			}
		}
	}
}

// doubt makes a node stale.
func (c *class) doubt(i int32) {
	if c.stale.has(i) {
		return
	}
	c.stale.set(i)
	if c.feasible.has(i) {
		c.feasible.clear(i)
		c.scored.clear(i)
		if c.odd.has(i) {
			c.odd.clear(i)
			c.odds--
		}
	} else {
		c.kinds[c.kind[i]].nodes--
	}
}

// note keeps what the filters said of a stale node.
func (c *class) note(i int32, status *fwk.Status) {
	c.stale.clear(i)
	if status.IsSuccess() {
		c.feasible.set(i)
		return
	}
	k := c.kindOf(status)
	c.kind[i] = uint16(k)
	c.kinds[k].nodes++
}

func (c *class) kindOf(status *fwk.Status) int {
	free := -1
	for k := range c.kinds {
		if same(c.kinds[k].status, status) {
			return k
		}
		if c.kinds[k].nodes == 0 {
			free = k
		}
	}
	if free < 0 || len(c.kinds) < 64 {
		c.kinds = append(c.kinds, kind{status: status})
		return len(c.kinds) - 1
	}
	c.kinds[free].status = status
	return free
}

// same reports whether two statuses say the same. NodeResourcesFit lists several shortages in the order of a map: those
// become several kinds, which does not matter to a histogram of reasons.
func same(a, b *fwk.Status) bool {
	if a == b {
		return true
	}
	if a.Code() != b.Code() || a.Plugin() != b.Plugin() {
		return false
	}
	ra, rb := a.Reasons(), b.Reasons()
	if len(ra) != len(rb) {
		return false
	}
	for i := range ra {
		if ra[i] != rb[i] {
			return false
		}
	}
	return true
}

// window is the part of the nodes, in the order of the search, that upstream evaluates.
type window struct {
	start     int
	processed int // nodes
	feasible  int // of them
}

// search walks the nodes from start until it has found limit feasible ones and stands before another one, or has seen
// all. ask filters a stale node; it returns false to stop the search there.
func (c *class) search(start, limit int, ask func(i int32) bool) (w window, ok bool) {
	w.start = start
	n := len(c.kind)
	if done, ok := c.walk(&w, start, n, limit, ask); done || !ok {
		return w, ok
	}
	_, ok = c.walk(&w, 0, start, limit, ask)
	return w, ok
}

// walk searches the nodes from from up to to. It reports whether the search is over.
func (c *class) walk(w *window, from, to, limit int, ask func(i int32) bool) (done, ok bool) {
	for i := from; i < to; {
		word, shift := i>>6, i&63
		end := min(to, (word+1)<<6)
		mask := ^uint64(0) << shift
		if end&63 != 0 {
			mask &= 1<<(end&63) - 1
		}
		if c.stale[word]&mask == 0 {
			found := bits.OnesCount64(c.feasible[word] & mask)
			if w.feasible+found <= limit {
				w.feasible += found
				w.processed += end - i
				i = end
				continue
			}
		}
		for ; i < end; i++ {
			if c.stale.has(int32(i)) && !ask(int32(i)) {
				return false, false
			}
			if c.feasible.has(int32(i)) {
				if w.feasible == limit {
					return true, true
				}
				w.feasible++
			}
			w.processed++
		}
	}
	return false, true
}

// each calls fn for the feasible nodes of a window, in the order of the search. They must all be known.
func (c *class) each(w window, fn func(rank int, i int32)) {
	n := len(c.kind)
	rank := 0
	part := func(from, to int) {
		for i := from; i < to; {
			word, shift := i>>6, i&63
			end := min(to, (word+1)<<6)
			set := c.feasible[word] & (^uint64(0) << shift)
			if end&63 != 0 {
				set &= 1<<(end&63) - 1
			}
			for ; set != 0; set &= set - 1 {
				fn(rank, int32(word<<6+bits.TrailingZeros64(set)))
				rank++
			}
			i = end
		}
	}
	if end := w.start + w.processed; end <= n {
		part(w.start, end)
	} else {
		part(w.start, n)
		part(0, end-n)
	}
}

// within reports whether a node lies in the window.
func (w window) within(i, n int) bool {
	d := i - w.start
	if d < 0 {
		d += n
	}
	return d < w.processed
}
