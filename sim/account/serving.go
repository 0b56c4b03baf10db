package account

import (
	"fmt"
	"slices"

	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/sketch"
	"orrery/sim/units"
)

// serviceBooks is the account of services, machines and autoscalers.
type serviceBooks struct {
	list       []*service
	byName     map[string]*service
	replicas   map[string]*replica // live, by name
	scalings   []result.Scaling
	conditions map[string]int // index into said by object and type
	said       []result.AutoscalerCondition
	starts     startBook
	machines   machineBook
	lives      lives
}

// service is the account of one service.
type service struct {
	journal.Service
	tenant *tenant // its device time goes there
	pods   int64
	sum    journal.Requests // counts since the beginning
	time   serviceTimes
	series serviceSeries
	stages []latencies
	queue  latencies
	groups map[string]*serviceGroup
	starts startBook

	ready, readyPeak int64
	serving          int64          // ready or draining
	servingT         units.Integral // replicas × time, which the request plane must agree with
	servingSince     units.Time
	ups, downs       int64
}

// serviceGroup is the account of a group of replicas.
type serviceGroup struct {
	journal.ServiceGroup
	ready, peak int64
	serving     int64          // ready or draining
	servingT    units.Integral // milli-GPU × time
	busyT       units.Integral // the same of those that compute
	since       units.Time
}

// replica is a live replica.
type replica struct {
	service *service
	group   *serviceGroup
	state   string
	row     int // of lives
}

// latencies is a histogram with its exact sum and maximum.
type latencies struct {
	pairs []int64
	sum   units.Integral
	top   int64
}

func (l *latencies) add(x journal.Latencies) {
	l.pairs = sketch.MergePairs(l.pairs, x.Pairs)
	l.sum.Add(1, x.Sum)
	l.top = max(l.top, int64(x.Max))
}

func (l *latencies) count() (n int64) {
	for i := 1; i < len(l.pairs); i += 2 {
		n += l.pairs[i]
	}
	return n
}

// distribution is the histogram in seconds.
func (l *latencies) distribution() result.Distribution {
	n := l.count()
	if n == 0 {
		return result.Distribution{}
	}
	at := func(q float64) float64 { return float64(sketch.QuantilePairs(l.pairs, l.top, q)) / 1e9 }
	return result.Distribution{Count: n, Mean: seconds(l.sum) / float64(n), P50: at(0.5), P90: at(0.9),
		P95: at(0.95), P99: at(0.99), Max: float64(l.top) / 1e9}
}

// seconds of a time integral.
func seconds(i units.Integral) float64 { return i.Hours() * 3600 }

// serviceTimes are time integrals over a service's replicas.
type serviceTimes struct {
	running, waiting, kv, busy, compute, ready units.Integral
}

func (t *serviceTimes) add(b *journal.Requests) {
	for _, x := range []struct {
		to   *units.Integral
		from units.Duration
	}{{&t.running, b.Running}, {&t.waiting, b.Waiting}, {&t.kv, b.KV}, {&t.busy, b.Busy}, {&t.compute, b.Compute},
		{&t.ready, b.Ready}} {
		x.to.Add(1, x.from)
	}
}

func (t *serviceTimes) merge(o *serviceTimes) {
	for _, x := range []struct{ to, from *units.Integral }{{&t.running, &o.running}, {&t.waiting, &o.waiting},
		{&t.kv, &o.kv}, {&t.busy, &o.busy}, {&t.compute, &o.compute}, {&t.ready, &o.ready}} {
		*x.to = x.to.Plus(*x.from)
	}
}

// serviceRecord takes the records about services, machines and autoscalers; known is false for any other.
func (f *Fold) serviceRecord(b journal.Body) (known bool, err error) {
	switch b := b.(type) {
	case journal.Service:
		return true, f.addService(b)
	case journal.Replica:
		return true, f.replica(b)
	case journal.Requests:
		return true, f.requests(b)
	case journal.RequestEnd:
		return true, f.requestEnd(b)
	case journal.PodStage:
		return true, f.podStage(b)
	case journal.Machine:
		f.services.lives.machineRow(f.now, &b)
		return true, f.services.machines.add(f.now, b)
	case journal.Scale:
		f.scale(b)
	case journal.Condition:
		f.condition(b)
	default:
		return false, nil
	}
	return true, nil
}

func (f *Fold) addService(b journal.Service) error {
	if f.services.byName[b.Service] != nil {
		return fmt.Errorf("service %s is declared twice", b.Service)
	}
	s := &service{Service: b, tenant: f.tenant("service " + b.Service), groups: map[string]*serviceGroup{},
		stages: make([]latencies, len(b.Stages))}
	for _, g := range b.Groups {
		s.groups[g.Group] = &serviceGroup{ServiceGroup: g}
	}
	f.services.byName[b.Service] = s
	f.services.list = append(f.services.list, s)
	return nil
}

// replicaSteps are the states that may follow each state of a replica; a ready or draining one is told again when the
// speed that neighbours leave it changes.
var replicaSteps = map[string][]string{
	"":                      {journal.ReplicaStarting},
	journal.ReplicaStarting: {journal.ReplicaReady, journal.ReplicaGone},
	journal.ReplicaReady:    {journal.ReplicaReady, journal.ReplicaDraining, journal.ReplicaGone},
	journal.ReplicaDraining: {journal.ReplicaDraining, journal.ReplicaGone},
}

// replica follows the states of a replica and books its time.
func (f *Fold) replica(b journal.Replica) error {
	s := f.services.byName[b.Service]
	if s == nil || s.groups[b.Group] == nil {
		return fmt.Errorf("replica %s belongs to group %s of service %s, which was not declared", b.Replica, b.Group,
			b.Service)
	}
	g, was := s.groups[b.Group], ""
	r := f.services.replicas[b.Replica]
	if r != nil {
		if was = r.state; r.service != s || r.group != g {
			return fmt.Errorf("replica %s changes its group to %s of service %s", b.Replica, b.Group, b.Service)
		}
	}
	if !slices.Contains(replicaSteps[was], b.State) {
		return fmt.Errorf("replica %s is %q after %q, which cannot be", b.Replica, b.State, was)
	}
	fresh := r == nil
	if fresh {
		if f.services.replicas == nil {
			f.services.replicas = map[string]*replica{}
		}
		r = &replica{service: s, group: g}
		f.services.replicas[b.Replica] = r
	}
	f.replicaRow(&b, r, fresh)
	s.book(f.now)
	g.book(f.now)
	ready, serving := readyOrNot(was, b.State, isServiceReady), readyOrNot(was, b.State, isServing)
	g.ready, s.ready = g.ready+ready, s.ready+ready
	g.serving, s.serving = g.serving+serving, s.serving+serving
	g.peak, s.readyPeak = max(g.peak, g.ready), max(s.readyPeak, s.ready)
	if ready > 0 {
		f.started(b.Replica, s)
	}
	if r.state = b.State; b.State == journal.ReplicaGone {
		delete(f.services.replicas, b.Replica)
	}
	return nil
}

func isServiceReady(state string) bool { return state == journal.ReplicaReady }

func isServing(state string) bool {
	return state == journal.ReplicaReady || state == journal.ReplicaDraining
}

// readyOrNot is how many replicas a change of state adds to those that something is true of: −1, 0 or 1.
func readyOrNot(from, to string, is func(string) bool) int64 {
	switch {
	case is(to) && !is(from):
		return 1
	case is(from) && !is(to):
		return -1
	}
	return 0
}

// book adds the time of serving replicas up to now.
func (s *service) book(now units.Time) {
	s.servingT.Add(s.serving, now.Sub(s.servingSince))
	s.servingSince = now
}

// book adds the device time of serving replicas up to now.
func (g *serviceGroup) book(now units.Time) {
	g.servingT.Add(g.serving*int64(g.GPUs), now.Sub(g.since))
	g.since = now
}

// requests takes the account of a window and holds that no request is lost.
func (f *Fold) requests(b journal.Requests) error {
	s := f.services.byName[b.Service]
	if s == nil {
		return fmt.Errorf("requests of service %s, which was not declared", b.Service)
	}
	if len(b.Stages) > 0 && len(b.Stages) != len(s.stages) {
		return fmt.Errorf("service %s has %d stages, and times of %d", b.Service, len(s.stages), len(b.Stages))
	}
	for i, x := range b.Stages {
		s.stages[i].add(x)
	}
	s.queue.add(b.Queue)
	t := &s.sum
	for _, x := range []struct{ to, from *int64 }{
		{&t.Arrived, &b.Arrived}, {&t.Completed, &b.Completed}, {&t.Rejected, &b.Rejected}, {&t.TimedOut, &b.TimedOut},
		{&t.TooLong, &b.TooLong},
		{&t.Stopped, &b.Stopped}, {&t.Retries, &b.Retries}, {&t.Lost, &b.Lost}, {&t.Good, &b.Good}, {&t.Input, &b.Input},
		{&t.Cached, &b.Cached}, {&t.Output, &b.Output}, {&t.Prefilled, &b.Prefilled}, {&t.Generated, &b.Generated},
		{&t.Preemptions, &b.Preemptions},
	} {
		if *x.from < 0 {
			return fmt.Errorf("service %s counts below nothing", b.Service)
		}
		*x.to += *x.from
	}
	t.InFlight, t.Queued = b.InFlight, b.Queued
	if err := f.serviceTime(s, &b); err != nil {
		return err
	}
	if sum := t.Completed + t.Rejected + t.TimedOut + t.Stopped + t.InFlight; sum != t.Arrived {
		return fmt.Errorf("conservation broken: %d requests of service %s arrived, %d are accounted for", t.Arrived,
			b.Service, sum)
	}
	s.series.add(f.now, &b)
	return nil
}

// serviceTime takes the time integrals of a window. The time of replicas is kept twice, by the request plane and here
// by the states of replicas: they must agree.
func (f *Fold) serviceTime(s *service, b *journal.Requests) error {
	for _, d := range append([]units.Duration{b.Span, b.Running, b.Waiting, b.KV, b.Compute, b.Busy, b.Ready},
		b.GroupBusy...) {
		if d < 0 {
			return fmt.Errorf("service %s has a negative time", b.Service)
		}
	}
	s.time.add(b)
	if s.book(f.now); s.time.ready != s.servingT {
		return fmt.Errorf("service %s: its replicas served %v hours by their windows and %v by their states", b.Service,
			s.time.ready.Hours(), s.servingT.Hours())
	}
	switch {
	case len(s.Groups) == 1:
		g := s.groups[s.Groups[0].Group]
		g.busyT.Add(int64(g.GPUs), b.Busy)
	case len(b.GroupBusy) == len(s.Groups):
		for i, d := range b.GroupBusy {
			g := s.groups[s.Groups[i].Group]
			g.busyT.Add(int64(g.GPUs), d)
		}
	case b.Busy > 0:
		return fmt.Errorf("service %s has %d groups, and busy times of %d", b.Service, len(s.Groups), len(b.GroupBusy))
	}
	return nil
}

func (f *Fold) requestEnd(b journal.RequestEnd) error {
	if f.services.byName[b.Service] == nil {
		return fmt.Errorf("a request of service %s, which was not declared", b.Service)
	}
	if f.opt.OnRequest == nil {
		return nil
	}
	at := func(t units.Time) *float64 {
		if t <= 0 {
			return nil
		}
		v := t.Seconds()
		return &v
	}
	return f.opt.OnRequest(result.RequestRow{Service: b.Service, Request: b.Request, Tenant: b.Tenant, Outcome: b.Outcome,
		Replica: b.Replica, Tries: int32(b.Tries), Input: int32(b.Input), Output: int32(b.Output), Cached: int32(b.Cached),
		ArrivedSeconds: b.Arrived.Seconds(), BegunSeconds: at(b.Begun), FirstSeconds: at(b.First),
		EndedSeconds: b.Ended.Seconds(), Preemptions: int32(b.Preemptions), Good: b.Good})
}

// scale takes a change of replicas.
func (f *Fold) scale(b journal.Scale) {
	f.services.scalings = append(f.services.scalings, result.Scaling{Seconds: f.now.Seconds(), Object: b.Object,
		From: b.From, To: b.To, By: b.By, Reason: b.Reason})
	for _, s := range f.services.list {
		for _, g := range s.Groups {
			switch {
			case b.Object != g.Kind+"/"+g.Group:
			case b.To > b.From:
				s.ups++
			case b.To < b.From:
				s.downs++
			}
		}
	}
}

// condition takes what a controller says of an autoscaler's object; the latest of each kind is kept.
func (f *Fold) condition(b journal.Condition) {
	key := b.Object + "\x00" + b.Type
	if f.services.conditions == nil {
		f.services.conditions = map[string]int{}
	}
	i, known := f.services.conditions[key]
	if !known {
		i = len(f.services.said)
		f.services.conditions[key] = i
		f.services.said = append(f.services.said, result.AutoscalerCondition{})
	}
	c := &f.services.said[i]
	*c = result.AutoscalerCondition{Seconds: f.now.Seconds(), Object: b.Object, Type: b.Type, Status: b.Status,
		Reason: b.Reason, Message: b.Message, Changes: c.Changes + 1}
}
