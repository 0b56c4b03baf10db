package serving

import (
	"io"
	"testing"

	"orrery/sim/journal"
	model "orrery/sim/model/serving"
	"orrery/sim/plan"
	"orrery/sim/rng"
	"orrery/sim/units"
)

// fake is an engine of a few servers with one queue: a request takes a server for so long a token.
type fake struct {
	spec        model.Spec
	servers     int
	perIn       units.Duration
	perOut      units.Duration
	speed       int64
	now         units.Time
	running     []*model.Sequence
	waiting     []*model.Sequence
	blocks      map[uint64]bool
	load        model.Load
	ends, first map[*model.Sequence]units.Time
}

func newFake(spec model.Spec) *fake {
	f := &fake{spec: spec, servers: max(spec.Engine.MaxSequences, 1), perIn: 1e5, perOut: 1e6, blocks: map[uint64]bool{},
		ends: map[*model.Sequence]units.Time{}, first: map[*model.Sequence]units.Time{}}
	f.load.KVTokens = 1 << 20
	return f
}

func (f *fake) pass(to units.Time) {
	d := to.Sub(f.now)
	f.load.RunningTime += d * units.Duration(len(f.running))
	f.load.WaitingTime += d * units.Duration(len(f.waiting))
	if len(f.running) > 0 {
		f.load.Busy += d
	}
	f.now = to
}

func (f *fake) start() {
	for len(f.waiting) > 0 && len(f.running) < f.servers {
		q := f.waiting[0]
		f.waiting = f.waiting[1:]
		f.running = append(f.running, q)
		q.Begun = f.now
		in := q.Input
		for _, b := range q.Prefix {
			if !f.blocks[b] {
				break
			}
			q.Cached = min(q.Cached+q.PrefixTokens, q.Input-1)
		}
		for _, b := range q.Prefix {
			f.blocks[b] = true
		}
		in -= q.Cached
		if q.Received {
			in, q.First = 0, f.now
		}
		f.load.KVUsed += int64(q.Input)
		f.first[q] = f.now.Add(f.perIn * units.Duration(in))
		out := q.Output - 1
		if f.spec.Role == plan.RolePrefill {
			out = 0
		}
		f.ends[q] = f.first[q].Add(f.perOut * units.Duration(out))
	}
}

func (f *fake) Submit(at units.Time, q *model.Sequence) bool {
	f.pass(at)
	if f.spec.Engine.MaxModelTokens > 0 && q.Input+q.Output > f.spec.Engine.MaxModelTokens {
		q.Refused = "too long"
		return false
	}
	f.waiting = append(f.waiting, q)
	f.start()
	return true
}

func (f *fake) take(q *model.Sequence) {
	for _, l := range []*[]*model.Sequence{&f.waiting, &f.running} {
		for i, x := range *l {
			if x == q {
				*l = append((*l)[:i:i], (*l)[i+1:]...)
				if l == &f.running {
					f.load.KVUsed -= int64(q.Input)
				}
			}
		}
	}
	delete(f.ends, q)
	delete(f.first, q)
}

func (f *fake) Abort(at units.Time, q *model.Sequence) {
	f.pass(at)
	f.take(q)
	f.start()
}

func (f *fake) Advance(to units.Time, tell model.Events) {
	for {
		at := f.Next()
		if at > to {
			break
		}
		f.pass(at)
		for _, q := range f.running {
			if q.First == model.Never && f.first[q] == at {
				q.First, q.Generated = at, 1
				f.load.Prefilled += int64(q.Input - q.Cached)
				f.load.Generated++
				tell.First(q)
			}
		}
		for _, q := range append([]*model.Sequence(nil), f.running...) {
			if f.ends[q] == at {
				f.load.Generated += int64(q.Output - q.Generated)
				q.Ended, q.Generated = at, q.Output
				f.take(q)
				tell.Ended(q)
			}
		}
		f.start()
	}
	f.pass(to)
}

func (f *fake) Next() units.Time {
	next := model.Never
	for _, q := range f.running {
		next = min(next, f.ends[q])
		if q.First == model.Never {
			next = min(next, f.first[q])
		}
	}
	return next
}

func (f *fake) SetSpeed(at units.Time, m int64) { f.pass(at); f.speed = m }

func (f *fake) Load() model.Load {
	l := f.load
	l.Running, l.Waiting = len(f.running), len(f.waiting)
	return l
}

// given is a source of requests that are there already.
type given struct {
	requests []plan.Request
	block    int
	next     int
}

func (g *given) Next() (plan.Request, error) {
	if g.next == len(g.requests) {
		return plan.Request{}, io.EOF
	}
	g.next++
	return g.requests[g.next-1], nil
}
func (g *given) PrefixTokens() int        { return g.block }
func (g *given) Warnings() []plan.Warning { return nil }
func (g *given) Close() error             { return nil }

// rig is a plane with what it recorded.
type rig struct {
	*Plane
	t        *testing.T
	ends     []journal.RequestEnd
	windows  []journal.Requests
	replicas []journal.Replica
}

func newRig(t *testing.T, services []plan.Service, sources ...plan.RequestSource) *rig {
	t.Helper()
	return newRigOf(t, func(s model.Spec) (model.Replica, error) { return newFake(s), nil }, services, sources...)
}

// newRigOf is a rig with engines of a kind.
func newRigOf(t *testing.T, engine func(model.Spec) (model.Replica, error), services []plan.Service,
	sources ...plan.RequestSource) *rig {
	t.Helper()
	g := &rig{t: t}
	p, err := New(Params{
		Services: services, Sources: sources, Streams: rng.New(7), Requests: true,
		Record: func(b journal.Body) {
			switch b := b.(type) {
			case journal.RequestEnd:
				g.ends = append(g.ends, b)
			case journal.Requests:
				g.windows = append(g.windows, b)
			case journal.Replica:
				g.replicas = append(g.replicas, b)
			}
		},
		NewReplica: engine,
	})
	if err != nil {
		t.Fatal(err)
	}
	g.Plane = p
	return g
}

func (g *rig) ok(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// ready adds a replica of group 0 with some servers.
func (g *rig) ready(at units.Time, service int, name string, servers int) {
	g.t.Helper()
	g.ok(g.ReplicaReady(at, Endpoint{Service: service, Name: name, Spec: model.Spec{Role: plan.RoleBoth,
		Engine: plan.Engine{Preset: plan.EngineVLLM, MaxSequences: servers}}}))
}

// drain runs until nothing happens any more, and checks the account.
func (g *rig) drain() {
	g.t.Helper()
	for g.Next() != model.Never {
		g.ok(g.Advance(g.Next()))
		g.ok(g.Check())
	}
	g.audit()
}

// audit compares the plane's account with the engines'.
func (g *rig) audit() {
	g.t.Helper()
	g.ok(g.Check())
	for _, r := range g.Plane.replicas {
		load, n := r.engine.Load(), 0
		for q := r.has.first; q != nil; q = q.links[byPlace].next {
			if q.place == atReplica {
				n++
			}
		}
		// An engine cannot take a sequence out of an iteration that runs.
		if m := load.Running + load.Waiting; m < n || m > n+int(r.aborted) || m > n && r.engine.Next() == model.Never {
			g.t.Fatalf("at %v the engine of %s has %d running and %d waiting, the plane %d", g.Now(), r.Name, load.Running,
				load.Waiting, n)
		}
	}
}

// chat is a service with one group.
func chat(name string) plan.Service {
	return plan.Service{Name: name, Namespace: "default", Requests: 0,
		Groups: []plan.ReplicaGroup{{Name: name, Role: plan.RoleBoth}},
		Router: plan.Router{Policy: plan.RouteLeastRequests}}
}

func ms(n float64) units.Time      { return units.Time(n * 1e6) }
func msd(n float64) units.Duration { return units.Duration(n * 1e6) }
