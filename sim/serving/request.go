package serving

import (
	model "orrery/sim/model/serving"
	"orrery/sim/units"
)

// place is where a request is.
type place uint8

const (
	nowhere place = iota
	travelling
	queued      // held by a router
	atReplica   // a replica has it
	moving      // its KV cache is on its way to a decode replica
	inStep      // in a timed step of its pipeline, or waiting for it
	elsewhere   // a stage's request is at another service
	backingOff  // its client waits before the next try
	placesCount // how many there are
)

// Which of a request's links a list uses. A request is in at most one list of each.
const (
	byPlace    = iota // a router's queue, a replica, a step
	byDeadline        // clients' time-outs of a service
	bySender          // prefill replicas that still have the KV cache
	linksCount
)

type link struct{ prev, next *request }

// list is a list of requests, oldest first, that costs no memory beside them.
type list struct {
	which       int
	first, last *request
	n           int
}

func (l *list) push(r *request) {
	k := &r.links[l.which]
	k.prev, k.next = l.last, nil
	if l.last == nil {
		l.first = r
	} else {
		l.last.links[l.which].next = r
	}
	l.last = r
	l.n++
}

func (l *list) remove(r *request) {
	k := &r.links[l.which]
	if k.prev == nil {
		l.first = k.next
	} else {
		k.prev.links[l.which].next = k.next
	}
	if k.next == nil {
		l.last = k.prev
	} else {
		k.next.links[l.which].prev = k.prev
	}
	*k = link{}
	l.n--
}

// request is one request in flight.
type request struct {
	svc    *service
	parent *request // whose stage it is, nil = a client's
	child  *request // its stage's request at another service

	id            int64
	tenant        string
	input, output int
	prefix        []uint64
	own           []uint64 // memory for prefix
	prefixTokens  int

	place   place
	epoch   uint32 // grows when what was scheduled no longer counts; never reset
	final   bool   // the failed try must not be repeated: the request fits no server
	serving bool   // in a timed step: it has one of the servers
	expires bool   // it is in the list of time-outs
	tries   int
	stage   int // of the pipeline, the model included
	added   int // tokens that stages have added to the prompt

	arrived, sent       units.Time // first sending, and that of this try
	entered, routed     units.Time // the stage; the router
	begun, first, ended units.Time // at replicas; never = not yet
	cached, preempted   int
	at                  *replica // that has it, or that its KV cache is sent to
	from                *replica // that still has its KV cache
	lastReplica         string
	spent               []units.Duration // by stage, of this try
	links               [linksCount]link
	q                   *model.Sequence // memory for what replicas get of it; never one that an engine may still look at
}

// move puts a request into a place, for the account.
func (r *request) move(to place) {
	r.svc.places[r.place]--
	r.svc.places[to]++
	r.place = to
}

// obtain takes a request from those that have ended, or makes one.
func (p *Plane) obtain(s *service) *request {
	var r *request
	if n := len(p.spare); n > 0 {
		r = p.spare[n-1]
		p.spare = p.spare[:n-1]
	} else {
		r = &request{}
	}
	r.svc, r.place = s, travelling
	r.arrived = p.now
	r.begun, r.first, r.ended = never, never, never
	s.total.arrived++
	s.window.arrived++
	s.places[travelling]++
	p.inFlight++
	return r
}

// dispose takes a request that has ended out of the account and keeps its memory.
func (p *Plane) dispose(r *request) {
	r.svc.places[r.place]--
	p.inFlight--
	*r = request{own: r.own[:0], spent: r.spent[:0], epoch: r.epoch + 1, q: r.q}
	p.spare = append(p.spare, r)
}

// modelInput is the length of the prompt that the model sees.
func (r *request) modelInput() int { return r.input + r.added }

// ready prepares the request's sequence for a replica. received says that its KV cache comes along.
func (r *request) ready(received bool) *model.Sequence {
	if r.q == nil {
		r.q = &model.Sequence{}
	}
	*r.q = model.Sequence{
		Owner: r, Input: r.modelInput(), Output: r.output,
		Prefix: r.prefix, PrefixTokens: r.prefixTokens, Received: received, Level: r.svc.level(r.tenant),
		Begun: never, First: never, Ended: never,
	}
	if received { // the first token came along: a decode server measures its tokens from then on
		r.q.First, r.q.Generated = r.svc.p.now, 1
	}
	return r.q
}

// reset forgets what a try has done.
func (r *request) reset() {
	r.begun, r.first, r.ended = never, never, never
	r.cached, r.added, r.stage = 0, 0, 0
	r.spent = r.spent[:0]
	r.final = false
}
