package serving

import (
	"fmt"

	"orrery/sim/journal"
	model "orrery/sim/model/serving"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// wholeSpeed is a replica's own speed, in millionths.
const wholeSpeed = 1e6

// Endpoint is a replica that becomes ready.
type Endpoint struct {
	Service, Group int    // indices into the plan
	Name           string // of its first pod, namespace/name; unique among replicas that are not gone
	Spec           model.Spec
	// Domain names the scale-up domain (NVLink) that its GPUs are in, "" = unknown. KV caches go over it between replicas
	// of one domain, and over the nodes' network adapters otherwise.
	Domain string
	// Speed is what neighbours leave of its devices, millionths; 0 = all.
	Speed int64
}

// replica is one engine and what the plane knows about it.
type replica struct {
	actor
	p *Plane
	Endpoint
	svc        *service
	pool       *pool
	engine     model.Replica
	number     uint64 // in the order of readiness
	draining   bool
	since      units.Time // it is ready
	has        list       // requests that it has, KV caches on their way to it included
	sending    list       // requests that have gone on and whose KV cache it still has
	tokenBytes float64    // of the KV cache of one token, on all GPUs
	nicFree    units.Time // its network adapters have sent and received what they had to
	told       []told
	idle       int // turns in a row in which nothing happened and no time passed

	openPos, leastPos int // in the pool, from 1; 0 = not there
	stamp             uint64
	slot              int // in the pool's prefix index
	seen              figures
	windowed          model.Load // at the end of the last window
	readyFrom         units.Time // the part of its readiness that no window has counted yet
	metrics
}

// told is what an engine has told while it was advanced.
type told struct {
	q     *model.Sequence
	ended bool
}

// First implements model.Events.
func (r *replica) First(q *model.Sequence) { r.told = append(r.told, told{q, false}) }

// Ended implements model.Events.
func (r *replica) Ended(q *model.Sequence) { r.told = append(r.told, told{q, true}) }

// advance brings the engine to the present. What it tells is dealt with when the replica's turn comes.
func (r *replica) advance() {
	r.engine.Advance(r.p.now, r)
	r.look()
}

// look puts the replica where it belongs in the agenda.
func (r *replica) look() {
	next := r.engine.Next()
	if len(r.told) > 0 {
		next = r.p.now
	}
	r.p.agenda.set(&r.actor, next)
}

// turn lets the engine do what it has to do next.
func (r *replica) turn() error {
	r.engine.Advance(r.p.now, r)
	if len(r.told) > 0 || r.engine.Next() > r.p.now {
		r.idle = 0
	} else if r.idle++; r.idle > 1000 {
		return fmt.Errorf("serving: the engine of replica %s does not get beyond %v", r.Name, r.p.now)
	}
	for i := 0; i < len(r.told); i++ { // what is told may lead to more
		t := r.told[i]
		req := t.q.Owner.(*request)
		if req.q != t.q || req.at != r {
			continue // it was taken away at the same instant
		}
		switch {
		case !t.ended:
			r.firstToken(req)
		case t.q.Refused != "":
			r.gaveUp(req)
		default:
			r.served(req)
		}
	}
	r.told = r.told[:0]
	r.look()
	return nil
}

// firstToken takes note of a first token.
func (r *replica) firstToken(req *request) {
	r.metrics.began(req.q)
	if req.first == never {
		req.first = req.q.First
	}
}

// served takes a request from the replica that has done its part.
func (r *replica) served(req *request) {
	r.metrics.ended(req.q)
	if req.begun == never {
		req.begun, req.cached = req.q.Begun, req.q.Cached
	}
	if req.first == never { // an engine that gives the whole answer at once
		req.first = min(req.q.First, req.q.Ended)
	}
	req.preempted += req.q.Preempted
	req.ended = req.q.Ended
	r.drop(req)
	if r.Spec.Role == plan.RolePrefill && req.output > 1 {
		r.p.handOn(req, r)
	} else {
		r.p.modelDone(req)
	}
	r.p.dispatch(r.pool)
}

// gaveUp takes a request from the replica that will not serve it after all. Its client may try again.
func (r *replica) gaveUp(req *request) {
	r.drop(req)
	r.failures++
	r.p.fail(req)
	r.p.dispatch(r.pool)
}

// take gives the replica a request.
func (r *replica) take(req *request) {
	req.at, req.lastReplica = r, r.Name
	r.has.push(req)
	r.pool.changed(r)
}

// drop takes a request from the replica.
func (r *replica) drop(req *request) {
	req.at = nil
	r.has.remove(req)
	r.pool.changed(r)
}

// ReplicaReady adds a replica, which takes requests from now on.
func (p *Plane) ReplicaReady(at units.Time, e Endpoint) error {
	if err := p.Advance(at); err != nil {
		return err
	}
	if e.Service < 0 || e.Service >= len(p.services) {
		return fmt.Errorf("serving: replica %s is of service number %d of %d", e.Name, e.Service, len(p.services))
	}
	s := p.services[e.Service]
	if e.Group < 0 || e.Group >= len(s.plan.Groups) {
		return fmt.Errorf("serving: replica %s is of group number %d of %d of service %s",
			e.Name, e.Group, len(s.plan.Groups), s.plan.Name)
	}
	if p.byName[e.Name] != nil {
		return fmt.Errorf("serving: replica %s is ready already", e.Name)
	}
	engine, err := p.p.NewReplica(e.Spec)
	if err != nil {
		return fmt.Errorf("replica %s of service %s: %w", e.Name, s.plan.Name, err)
	}
	p.replicaN++
	r := &replica{p: p, Endpoint: e, svc: s, engine: engine, number: p.replicaN, since: at, readyFrom: at}
	r.actor = actor{rank: classReplica | r.number, act: r.turn}
	r.sending.which = bySender
	r.pool = &s.entry
	if e.Spec.Role == plan.RoleDecode {
		r.pool = &s.decode
	}
	if e.Speed != 0 && e.Speed != wholeSpeed {
		engine.SetSpeed(at, e.Speed)
	} else {
		r.Speed = wholeSpeed
	}
	engine.Advance(at, r)
	if e.Spec.Role == plan.RolePrefill {
		fit, err := model.FitOf(e.Spec)
		if err != nil {
			return fmt.Errorf("replica %s of service %s: %w", e.Name, s.plan.Name, err)
		}
		r.tokenBytes = fit.TokenBytes
	}
	p.byName[e.Name] = r
	p.replicas = append(p.replicas, r)
	r.metrics.init(r)
	r.pool.add(r)
	r.record(journal.ReplicaReady, "")
	r.look()
	p.dispatch(r.pool)
	return nil
}

func (p *Plane) find(at units.Time, name string) (*replica, error) {
	if err := p.Advance(at); err != nil {
		return nil, err
	}
	r := p.byName[name]
	if r == nil {
		return nil, fmt.Errorf("serving: there is no replica %s at %v", name, at)
	}
	return r, nil
}

// ReplicaDrain says that a replica gets no new requests. It ends what it has, and what its KV caches are sent to.
func (p *Plane) ReplicaDrain(at units.Time, name string) error {
	r, err := p.find(at, name)
	if err != nil || r.draining {
		return err
	}
	r.draining = true
	r.pool.remove(r)
	r.record(journal.ReplicaDraining, "")
	return nil
}

// ReplicaGone takes a replica away. Tries that it has, or whose KV cache it has, are lost.
func (p *Plane) ReplicaGone(at units.Time, name, reason string) error {
	r, err := p.find(at, name)
	if err != nil {
		return err
	}
	if !r.draining {
		r.pool.remove(r)
	}
	r.draining = true
	r.account(&r.svc.window.gone)
	if err := r.turn(); err != nil {
		return err
	}
	p.agenda.set(&r.actor, never)
	delete(p.byName, name)
	for i, other := range p.replicas {
		if other == r {
			p.replicas = append(p.replicas[:i], p.replicas[i+1:]...)
			break
		}
	}
	r.record(journal.ReplicaGone, reason)
	for r.has.n > 0 {
		req := r.has.first
		if req.place == moving {
			req.from.sending.remove(req)
			req.from = nil
		}
		r.drop(req)
		p.lose(req)
	}
	for r.sending.n > 0 {
		req := r.sending.first
		r.sending.remove(req)
		req.from = nil
		to := req.at
		if to != nil {
			to.drop(req)
		} else {
			r.svc.decode.queue.remove(req)
		}
		p.lose(req)
		if to != nil {
			p.dispatch(to.pool)
		}
	}
	return nil
}

// lose fails a try that went with a replica.
func (p *Plane) lose(r *request) {
	r.svc.window.lost++
	p.fail(r)
}

// SetSpeed says what neighbours on a shared GPU leave a replica of its devices from now on, millionths.
func (p *Plane) SetSpeed(at units.Time, name string, millionths int64) error {
	r, err := p.find(at, name)
	if err != nil || r.Speed == millionths {
		return err
	}
	r.Speed = millionths
	r.engine.SetSpeed(at, millionths)
	r.look()
	state := journal.ReplicaReady
	if r.draining {
		state = journal.ReplicaDraining
	}
	r.record(state, "")
	return nil
}

// InFlight is how many requests a replica still has or sends on; a draining one without any may go at once.
func (p *Plane) InFlight(name string) int {
	r := p.byName[name]
	if r == nil {
		return 0
	}
	return r.has.n + r.sending.n
}

func (r *replica) record(state, reason string) {
	g := &r.svc.plan.Groups[r.Group]
	b := journal.Replica{
		Service: r.svc.plan.Name, Group: r.svc.plan.Namespace + "/" + g.Name, Replica: r.Name, State: state, Reason: reason,
	}
	if state == journal.ReplicaReady {
		b.Device, b.KVTokens, b.Speed = r.Spec.Device.GPU, r.engine.Load().KVTokens, r.Speed
	}
	r.p.record(b)
}
