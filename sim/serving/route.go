package serving

import (
	"math/rand/v2"
	"slices"

	"orrery/sim/plan"
	"orrery/sim/units"
)

// pool is the replicas among which a router chooses, and the requests that wait for one of them.
type pool struct {
	svc    *service
	policy string
	bound  int        // of requests at one replica, 0 = none
	ready  []*replica // in the order of readiness
	open   []*replica // those of them that have room, in no particular but a repeatable order
	least  leastHeap  // the open ones by load
	cursor int        // round robin: index into ready
	stamp  uint64
	draw   *rand.Rand
	queue  list
	prefix *prefixIndex // prefix-affine
	ties   []*replica
}

// figures are what the router knows of a replica from its last scrape.
type figures struct {
	at      units.Time
	valid   bool
	waiting int
	kv      float64 // used part of its cache
}

func (o *pool) init(s *service, draw *rand.Rand) {
	o.svc, o.draw = s, draw
	o.policy, o.bound = s.plan.Router.Policy, s.plan.Router.MaxInFlight
	if o.policy == plan.RoutePrefixAffine && o == &s.entry {
		o.prefix = newPrefixIndex()
	}
}

// add takes a replica that has become ready in.
func (o *pool) add(r *replica) {
	o.ready = append(o.ready, r)
	if o.prefix != nil {
		o.prefix.add(r)
	}
	o.changed(r)
}

// remove takes a replica out, which gets nothing from now on.
func (o *pool) remove(r *replica) {
	i := slices.Index(o.ready, r)
	o.ready = slices.Delete(o.ready, i, i+1)
	if i < o.cursor {
		o.cursor--
	}
	o.close(r)
	if o.prefix != nil {
		o.prefix.remove(r)
	}
}

// changed keeps the indices right after the load of a replica has changed.
func (o *pool) changed(r *replica) {
	room := !r.draining && (o.bound == 0 || r.has.n < o.bound)
	switch {
	case room && r.openPos == 0:
		o.open = append(o.open, r)
		r.openPos = len(o.open)
		if o.policy == plan.RouteLeastRequests {
			o.least.push(r)
		}
	case !room && r.openPos > 0:
		o.close(r)
	case room && o.policy == plan.RouteLeastRequests:
		o.least.fix(r)
	}
}

func (o *pool) close(r *replica) {
	if r.openPos == 0 {
		return
	}
	last := o.open[len(o.open)-1]
	o.open[r.openPos-1], last.openPos = last, r.openPos
	o.open = o.open[:len(o.open)-1]
	r.openPos = 0
	if o.policy == plan.RouteLeastRequests {
		o.least.remove(r)
	}
}

// pick chooses a replica that has room; nil when there is none.
func (o *pool) pick(r *request) *replica {
	if len(o.open) == 0 {
		return nil
	}
	switch o.policy {
	case plan.RouteRandom:
		return o.open[o.draw.IntN(len(o.open))]
	case plan.RouteLeastRequests:
		return o.pickLeast()
	case plan.RoutePowerOfTwo:
		return o.pickOfTwo()
	case plan.RouteKVAware, plan.RoutePrefixAffine:
		return o.pickScored(r)
	}
	return o.pickNext()
}

// pickNext goes round the replicas, past those that are full.
func (o *pool) pickNext() *replica {
	for range o.ready {
		if o.cursor >= len(o.ready) {
			o.cursor = 0
		}
		r := o.ready[o.cursor]
		o.cursor++
		if r.openPos > 0 {
			return r
		}
	}
	return nil
}

// pickLeast takes the replica with the fewest requests; among equals the one that was picked longest ago.
func (o *pool) pickLeast() *replica {
	r := o.least[0]
	o.stamp++
	r.stamp = o.stamp
	o.least.fix(r)
	return r
}

// pickOfTwo takes the less loaded of two different random replicas, the first of equals.
func (o *pool) pickOfTwo() *replica {
	n := len(o.open)
	i := o.draw.IntN(n)
	if n == 1 {
		return o.open[i]
	}
	k := o.draw.IntN(n - 1)
	if k >= i {
		k++
	}
	if o.open[k].has.n < o.open[i].has.n {
		i = k
	}
	return o.open[i]
}

// pickScored picks as the endpoint picker of the Gateway API inference extension does (kubernetes-sigs/
// gateway-api-inference-extension, pkg/epp/framework/plugins/scheduling): the greatest weighted sum of scores, at
// random among equals (picker/max_score_picker.go at 02308be).
//
//   - queue-scorer (scorer/queuedepth/queue.go at cb1c67d): (most − waiting) ÷ (most − least) over the candidates, 1
//     when all are equal;
//   - kv-cache-utilization-scorer (scorer/kvcacheutilization at 33173e4): 1 − used part;
//   - prefix-cache-scorer (scorer/prefix/plugin.go at 05aed77): matched ÷ all blocks of the prompt, see prefixIndex.
//
// Its default profile has no filters, and weights of 2, 2 and 3 (pkg/epp/config/loader/defaults.go at 0c8fd51).
func (o *pool) pickScored(r *request) *replica {
	o.refresh()
	w := &o.svc.plan.Router
	least, most := o.open[0].seen.waiting, o.open[0].seen.waiting
	for _, c := range o.open[1:] {
		least, most = min(least, c.seen.waiting), max(most, c.seen.waiting)
	}
	var blocks []uint64
	if o.prefix != nil {
		blocks = o.prefix.match(o.prefix.names(r.prefix))
	}
	best := -1.0
	o.ties = o.ties[:0]
	for _, c := range o.open {
		queue := 1.0
		if most > least {
			queue = float64(most-c.seen.waiting) / float64(most-least)
		}
		score := float64(w.QueueWeight*queue) + float64(w.KVWeight*(1-c.seen.kv))
		if len(blocks) > 0 {
			score += float64(w.PrefixWeight * float64(o.prefix.matched(c)) / float64(len(blocks)))
		}
		if score > best {
			best = score
			o.ties = o.ties[:0]
		}
		if score == best {
			o.ties = append(o.ties, c)
		}
	}
	to := o.ties[0]
	if len(o.ties) > 1 {
		to = o.ties[o.draw.IntN(len(o.ties))]
	}
	if len(blocks) > 0 {
		o.prefix.insert(to, blocks)
	}
	return to
}

// refresh scrapes the replicas whose figures are older than the router's interval. A scrape is made when a request
// needs it rather than by the clock, so that a quiet router costs nothing; the figures are never older than by the
// clock.
func (o *pool) refresh() {
	for _, r := range o.open {
		r.glance()
	}
}

// leastHeap is a binary heap of replicas by requests, then by when they were picked last, then by readiness.
type leastHeap []*replica

func lighter(a, b *replica) bool {
	if a.has.n != b.has.n {
		return a.has.n < b.has.n
	}
	if a.stamp != b.stamp {
		return a.stamp < b.stamp
	}
	return a.number < b.number
}

func (h *leastHeap) push(r *replica) {
	*h = append(*h, r)
	r.leastPos = len(*h)
	h.fix(r)
}

func (h *leastHeap) remove(r *replica) {
	old := *h
	i, n := r.leastPos-1, len(old)-1
	last := old[n]
	old[n] = nil
	*h = old[:n]
	r.leastPos = 0
	if i < n {
		(*h)[i], last.leastPos = last, i+1
		h.fix(last)
	}
}

// fix moves a replica whose load has changed to its place.
func (h *leastHeap) fix(r *replica) {
	a, i := *h, r.leastPos-1
	for i > 0 && lighter(r, a[(i-1)/2]) {
		a[i] = a[(i-1)/2]
		a[i].leastPos = i + 1
		i = (i - 1) / 2
	}
	for {
		child := 2*i + 1
		if child >= len(a) {
			break
		}
		if child+1 < len(a) && lighter(a[child+1], a[child]) {
			child++
		}
		if !lighter(a[child], r) {
			break
		}
		a[i] = a[child]
		a[i].leastPos = i + 1
		i = child
	}
	a[i], r.leastPos = r, i+1
}
