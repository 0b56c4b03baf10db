package serving

import (
	"fmt"
	"math/rand"
	"reflect"
	"testing"

	"orrery/sim/journal"
	model "orrery/sim/model/serving"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// TestOneRequest follows one request: 10 tokens of prompt at 0.1 ms, 5 of output at 1 ms, and hops of 2 ms.
func TestOneRequest(t *testing.T) {
	s := chat("chat")
	s.Router.Hop = msd(2)
	s.SLO = plan.SLO{TTFT: msd(5), TPOT: msd(1), E2E: msd(9)}
	g := newRig(t, []plan.Service{s}, &given{requests: []plan.Request{{ID: 1, At: ms(100), Input: 10, Output: 5, Tenant: "a"}}})
	g.ready(0, 0, "default/chat-0", 1)
	g.drain()
	want := journal.RequestEnd{Service: "chat", Request: 1, Tenant: "a", Outcome: journal.RequestCompleted,
		Replica: "default/chat-0", Tries: 1, Input: 10, Output: 5, Arrived: ms(100), Begun: ms(102), First: ms(105),
		Ended: ms(109), Good: true}
	if len(g.ends) != 1 || g.ends[0] != want {
		t.Fatalf("got %+v\nwant %+v", g.ends, want)
	}
	g.ok(g.Window(ms(1000)))
	w := g.windows[0]
	if w.Arrived != 1 || w.Completed != 1 || w.Good != 1 || w.Input != 10 || w.Output != 5 || w.Span != msd(1000) ||
		w.TTFT.Sum != msd(5) || w.TPOT.Sum != msd(1) || w.E2E.Sum != msd(9) || w.Queue.Sum != 0 ||
		w.Busy != msd(5) || w.Ready != msd(1000) || w.Running != msd(5) || w.Prefilled != 10 || w.Generated != 5 {
		t.Fatalf("%+v", w)
	}
	if !g.Done() {
		t.Error("not done")
	}
}

// TestTooLong: a request that no server takes is not tried again, and is told apart from one that found a full queue.
func TestTooLong(t *testing.T) {
	s := chat("chat")
	s.Router.MaxInFlight, s.Router.MaxQueue = 1, 1
	s.Client.Retries = 3
	var rs []plan.Request
	for i, input := range []int{10, 10, 200} {
		rs = append(rs, plan.Request{ID: int64(i + 1), At: ms(float64(100 * i)), Input: input, Output: 1})
	}
	g := newRig(t, []plan.Service{s}, &given{requests: rs})
	e := half("a", plan.RoleBoth, "")
	e.Spec.Engine.MaxModelTokens = 150
	g.ok(g.ReplicaReady(0, e))
	g.drain()
	g.ok(g.Window(ms(1000)))
	if w := g.windows[0]; w.Completed != 2 || w.Rejected != 1 || w.TooLong != 1 || w.Retries != 0 {
		t.Errorf("%+v", w)
	}
}

// TestQueueing checks the router's queue: scale from nothing, bounds, first come first served.
func TestQueueing(t *testing.T) {
	s := chat("chat")
	s.Router.MaxInFlight, s.Router.MaxQueue = 1, 2
	var rs []plan.Request
	for i := range 5 {
		rs = append(rs, plan.Request{ID: int64(i + 1), At: ms(float64(i)), Input: 10, Output: 1})
	}
	g := newRig(t, []plan.Service{s}, &given{requests: rs})
	g.ok(g.Advance(ms(4)))
	if n := g.services[0].entry.queue.n; n != 2 {
		t.Fatalf("%d queued", n)
	}
	g.ready(ms(100), 0, "a", 8)
	g.drain()
	got := ""
	for _, e := range g.ends {
		got += fmt.Sprintf("%d %s %v; ", e.Request, e.Outcome, e.Ended)
	}
	want := "3 rejected 2ms; 4 rejected 3ms; 5 rejected 4ms; 1 completed 101ms; 2 completed 102ms; "
	if got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

// TestClients checks time-outs, retries and what is lost.
func TestClients(t *testing.T) {
	s := chat("chat")
	s.Client = plan.Client{Timeout: msd(10), Retries: 2, Backoff: msd(4), MaxWait: msd(6)}
	g := newRig(t, []plan.Service{s}, &given{requests: []plan.Request{{ID: 1, At: 0, Input: 10, Output: 100}}})
	g.ready(0, 0, "a", 1)
	g.drain()
	e := g.ends[0]
	if e.Outcome != journal.RequestTimedOut || e.Tries != 3 || e.Ended < ms(30) || e.Ended > ms(40) {
		t.Fatalf("%+v", e)
	}
	g = newRig(t, []plan.Service{s}, &given{requests: []plan.Request{{ID: 1, At: 0, Input: 10, Output: 5}}})
	g.ready(0, 0, "a", 1)
	g.ready(0, 0, "b", 1)
	g.ok(g.ReplicaGone(ms(2), "a", "interrupted"))
	g.drain()
	g.ok(g.Window(ms(50)))
	e = g.ends[0]
	if e.Outcome != journal.RequestCompleted || e.Tries != 2 || e.Replica != "b" || g.windows[0].Lost != 1 ||
		g.windows[0].Retries != 1 || g.windows[0].Generated != 6 {
		t.Fatalf("%+v %+v", e, g.windows[0])
	}
	states := ""
	for _, r := range g.replicas {
		states += r.Replica + " " + r.State + " " + r.Reason + "; "
	}
	if states != "a ready ; b ready ; a gone interrupted; " {
		t.Fatal(states)
	}
}

// TestDrain checks that a draining replica ends what it has and gets nothing new.
func TestDrain(t *testing.T) {
	s := chat("chat")
	rs := []plan.Request{{ID: 1, At: 0, Input: 10, Output: 50}, {ID: 2, At: ms(20), Input: 10, Output: 1}}
	g := newRig(t, []plan.Service{s}, &given{requests: rs})
	g.ready(0, 0, "a", 1)
	g.ok(g.ReplicaDrain(ms(10), "a"))
	g.ok(g.Advance(ms(60)))
	if g.InFlight("a") != 0 || len(g.ends) != 1 || g.ends[0].Ended != ms(50) || g.Done() {
		t.Fatalf("%d in flight, %+v", g.InFlight("a"), g.ends)
	}
	g.ok(g.ReplicaGone(ms(60), "a", ""))
	g.ready(ms(70), 0, "a", 1)
	g.drain()
	if len(g.ends) != 2 || g.ends[1].Ended != ms(71) || g.ends[1].Begun != ms(70) {
		t.Fatalf("%+v", g.ends)
	}
}

// TestPipeline checks that a chain's latency is the sum of its parts, and what its stages do.
func TestPipeline(t *testing.T) {
	s := chat("rag")
	s.Router.Hop = msd(1)
	s.Before = []plan.Stage{
		{Name: "embed", Service: 1, Input: 20, Output: 1, Hop: msd(3)},
		{Name: "retrieve", Service: -1, Median: msd(7), P99: msd(7), AddInput: 30, Hop: msd(0.5), Servers: 1},
	}
	s.After = []plan.Stage{{Name: "guard", Service: -1, Median: msd(11), Hop: msd(2)}}
	embed := chat("embed")
	embed.Requests = -1
	rs := []plan.Request{{ID: 1, At: 0, Input: 10, Output: 5}}
	g := newRig(t, []plan.Service{s, embed}, &given{requests: rs})
	g.ready(0, 0, "rag-0", 4)
	g.ready(0, 1, "embed-0", 4)
	g.drain()
	// embed 3+2+3, retrieve 0.5+7+0.5, model 1 + 4 (40 tokens) + 4 + 1, guard 2+11+2
	first := ms(8 + 8 + 1 + 4 + 1)
	end := ms(8 + 8 + 10 + 15)
	e := g.ends[len(g.ends)-1]
	if e.Service != "rag" || e.First != first || e.Ended != end || e.Input != 40 {
		t.Fatalf("%+v, want first %v, end %v", e, first, end)
	}
	g.ok(g.Window(ms(100)))
	var sum units.Duration
	for _, l := range g.windows[0].Stages {
		sum += l.Sum
	}
	if len(g.windows[0].Stages) != 4 || sum != g.windows[0].E2E.Sum {
		t.Fatalf("stages take %v, the chain %v", sum, g.windows[0].E2E.Sum)
	}
	if g.windows[1].Arrived != 1 || g.windows[1].Completed != 1 || g.windows[1].E2E.Sum != msd(2) {
		t.Fatalf("%+v", g.windows[1])
	}
}

// TestStops checks caches and guardrails, bounded servers, and that a guarded answer is held.
func TestStops(t *testing.T) {
	s := chat("rag")
	s.Before = []plan.Stage{{Name: "cache", Service: -1, Median: msd(1), Hit: 0.5, Servers: 1}}
	s.After = []plan.Stage{{Name: "guard", Service: -1, Median: msd(1), P99: msd(3), Reject: 0.5}}
	var rs []plan.Request
	for i := range 2000 {
		rs = append(rs, plan.Request{ID: int64(i + 1), At: ms(float64(i) / 4), Input: 1, Output: 5})
	}
	g := newRig(t, []plan.Service{s}, &given{requests: rs})
	g.ready(0, 0, "a", 4)
	g.drain()
	g.ok(g.Window(g.Now()))
	w := g.windows[0]
	if w.Stopped < 1400 || w.Stopped > 1600 || w.Completed != 2000-w.Stopped {
		t.Fatalf("%d stopped, %d completed", w.Stopped, w.Completed)
	}
	if w.TTFT.Sum != w.E2E.Sum {
		t.Error("an answer that may still be refused is shown")
	}
	if span := g.Now(); span < ms(2000) {
		t.Errorf("2000 requests pass a server of 1 ms in %v", span)
	}
}

// disaggregated is a service with a prefill and a decode group.
func disaggregated() plan.Service {
	s := chat("pd")
	s.Groups = []plan.ReplicaGroup{{Name: "prefill", Role: plan.RolePrefill}, {Name: "decode", Role: plan.RoleDecode}}
	return s
}

// half is a replica of one of its groups.
func half(name, role, domain string) Endpoint {
	m := &plan.Model{Name: "m", Params: 1e9, Active: 1e9, Layers: 16, Hidden: 1024, Query: 1024, KV: 256, Vocabulary: 32000}
	e := Endpoint{Name: name, Domain: domain, Spec: model.Spec{Role: role, Tensor: 1, Pipeline: 1, Expert: 1, Nodes: 1,
		Engine: plan.Engine{Preset: plan.EngineVLLM, MaxSequences: 64, Model: m, Precision: plan.PrecisionHalf, KVBytes: 2,
			MemoryUtilization: 0.9, BlockTokens: 16, MaxBatchedTokens: 8192, ChunkedPrefill: true, PrefixCaching: true,
			Evict: plan.EvictRecompute},
		Device: plan.Accelerator{GPU: "x", MemoryMiB: 80000, MemoryGBs: 3000, Half: 900, NICGBs: 12.5, LinkGBs: 450, PerNode: 8,
			LinkKind: "nvlink", LinkGPUs: 8}}}
	if role == plan.RoleDecode {
		e.Group = 1
	}
	return e
}

// TestTransfer checks that caches of 16 layers × 2 × 256 × 2 B = 16 KiB a token pass one after the other over 10 GB/s,
// that the first token does not wait for them, and what becomes of requests whose ends go.
func TestTransfer(t *testing.T) {
	rs := []plan.Request{{ID: 1, At: 0, Input: 1000, Output: 11}, {ID: 2, At: 0, Input: 1000, Output: 11},
		{ID: 3, At: 0, Input: 1000, Output: 1}}
	g := newRig(t, []plan.Service{disaggregated()}, &given{requests: rs})
	g.ok(g.ReplicaReady(0, half("p", plan.RolePrefill, "")))
	g.ok(g.ReplicaReady(0, half("d", plan.RoleDecode, "")))
	g.drain()
	wire := units.Duration(16*2*256*2*1000/10) + setupRDMA
	want := []units.Time{ms(100), ms(100).Add(wire + msd(10)), ms(100).Add(2*wire + msd(10))}
	for i, e := range g.ends {
		if e.Outcome != journal.RequestCompleted || e.Ended != want[i] || e.First != ms(100) {
			t.Errorf("request %d: %+v, want the end at %v", e.Request, e, want[i])
		}
	}
	for name, lost := range map[string]int64{"p": 2, "d": 2} {
		g := newRig(t, []plan.Service{disaggregated()}, &given{requests: rs})
		g.ok(g.ReplicaReady(0, half("p", plan.RolePrefill, "rack")))
		g.ok(g.ReplicaReady(0, half("d", plan.RoleDecode, "rack")))
		g.ok(g.ReplicaGone(ms(100.01), name, ""))
		g.audit()
		g.drain()
		g.ok(g.Window(ms(1000)))
		if w := g.windows[0]; w.Lost != lost || w.Completed != 1 || w.Rejected != 2 {
			t.Errorf("%s gone: %+v", name, w)
		}
	}
}

// TestNoDecode checks that requests wait for a decode replica with their caches where they are.
func TestNoDecode(t *testing.T) {
	rs := []plan.Request{{ID: 1, At: 0, Input: 100, Output: 11}}
	g := newRig(t, []plan.Service{disaggregated()}, &given{requests: rs})
	g.ok(g.ReplicaReady(0, half("p", plan.RolePrefill, "")))
	g.ok(g.Advance(ms(500)))
	if g.InFlight("p") != 1 || g.services[0].decode.queue.n != 1 {
		t.Fatal("the request does not wait")
	}
	g.ok(g.ReplicaReady(ms(500), half("d", plan.RoleDecode, "")))
	g.drain()
	if len(g.ends) != 1 || g.ends[0].Ended < ms(510) || g.ends[0].Replica != "d" {
		t.Fatalf("%+v", g.ends)
	}
}

// random is a scenario drawn from a seed; what it records is returned.
func random(t *testing.T, seed int64, engine func(model.Spec) (model.Replica, error)) []journal.Body {
	draw := rand.New(rand.NewSource(seed))
	policies := []string{plan.RouteRoundRobin, plan.RouteRandom, plan.RouteLeastRequests, plan.RoutePowerOfTwo,
		plan.RouteKVAware, plan.RoutePrefixAffine}
	var services []plan.Service
	var sources []plan.RequestSource
	n := 1 + draw.Intn(4)
	for i := range n {
		s := chat(fmt.Sprintf("s%d", i))
		if draw.Intn(3) == 0 {
			s = disaggregated()
			s.Name = fmt.Sprintf("s%d", i)
		}
		s.Requests = -1
		if i == 0 || draw.Intn(2) == 0 {
			s.Requests = len(sources)
			sources = append(sources, randomRequests(draw))
		}
		s.Router = plan.Router{Policy: policies[draw.Intn(len(policies))], QueueWeight: 0.5, KVWeight: 0.5, PrefixWeight: 1,
			MetricsAge: msd(float64(draw.Intn(3) * 50)), Shed: oneShed(draw), MaxInFlight: draw.Intn(4) * 3, MaxQueue: draw.Intn(3) * 20,
			Hop: msd(float64(draw.Intn(3)))}
		s.Client = plan.Client{Timeout: msd(float64(draw.Intn(3) * 400)), Retries: draw.Intn(4), Backoff: msd(float64(draw.Intn(3) * 20)),
			MaxWait: msd(100)}
		s.Engine.MaxModelTokens = 0
		for k := range draw.Intn(3) {
			st := plan.Stage{Name: fmt.Sprint("b", k), Service: -1, Median: msd(5), P99: msd(20), Servers: draw.Intn(3), Hit: 0.1,
				Reject: 0.1, Hop: msd(float64(draw.Intn(2)))}
			if i+1 < n && draw.Intn(2) == 0 {
				st.Service = i + 1 + draw.Intn(n-i-1)
			}
			if draw.Intn(2) == 0 {
				s.Before = append(s.Before, st)
			} else {
				st.Name = fmt.Sprint("a", k)
				s.After = append(s.After, st)
			}
		}
		services = append(services, s)
	}
	g := newRigOf(t, engine, services, sources...)
	var bodies []journal.Body
	take := g.Plane.p.Record
	g.Plane.p.Record = func(b journal.Body) { take(b); bodies = append(bodies, b) }
	g.shake(draw)
	return bodies
}

func randomRequests(draw *rand.Rand) *given {
	src, at := &given{block: 16}, units.Time(0)
	for i := range 400 {
		at = at.Add(units.Duration(draw.ExpFloat64() * 5e6))
		r := plan.Request{ID: int64(i + 1), At: at, Input: 1 + draw.Intn(200), Output: 1 + draw.Intn(50)}
		for b := range r.Input / 16 {
			r.Prefix = append(r.Prefix, uint64(draw.Intn(3))<<32|uint64(b))
		}
		src.requests = append(src.requests, r)
	}
	return src
}

// shake lets replicas come and go at random, then runs until the end.
func (g *rig) shake(draw *rand.Rand) {
	var names []string
	for i := range 120 {
		at := g.Now().Add(units.Duration(draw.Intn(40e6)))
		switch k := draw.Intn(10); {
		case k < 5 || len(names) == 0:
			s := draw.Intn(len(g.services))
			groups := g.services[s].plan.Groups
			group := draw.Intn(len(groups))
			e := half(fmt.Sprint("r", i), groups[group].Role, "")
			e.Service, e.Group = s, group
			e.Spec.Engine.MaxSequences = 1 + draw.Intn(8)
			if draw.Intn(5) == 0 {
				e.Spec.Engine.MaxModelTokens = 150
			}
			g.ok(g.ReplicaReady(at, e))
			names = append(names, e.Name)
		case k < 7:
			g.ok(g.ReplicaDrain(at, names[draw.Intn(len(names))]))
		default:
			n := draw.Intn(len(names))
			g.ok(g.ReplicaGone(at, names[n], "killed"))
			names = append(names[:n], names[n+1:]...)
		}
		g.audit()
		if draw.Intn(4) == 0 {
			g.ok(g.Window(g.Now()))
		}
		if draw.Intn(4) == 0 {
			g.ok(g.Scrape(g.Now(), func(Sample) {}))
		}
	}
	for s := range g.services {
		for k := range g.services[s].plan.Groups {
			e := half(fmt.Sprint("end", s, k), g.services[s].plan.Groups[k].Role, "")
			e.Service, e.Group = s, k
			g.ok(g.ReplicaReady(g.Now(), e))
		}
	}
	g.drain()
	g.ok(g.Window(g.Now()))
	if !g.Done() {
		g.t.Fatal("requests are left")
	}
	var sum counts
	for _, w := range g.windows {
		sum.arrived += w.Arrived
		sum.completed += w.Completed
		sum.rejected += w.Rejected
		sum.timedOut += w.TimedOut
		sum.stopped += w.Stopped
	}
	if sum.arrived != sum.completed+sum.rejected+sum.timedOut+sum.stopped || int(sum.arrived) != len(g.ends) {
		g.t.Fatalf("%+v, %d ends", sum, len(g.ends))
	}
	for _, e := range g.ends {
		for i := range g.services {
			if s := g.services[i].plan; s.Name == e.Service && e.Tries > s.Client.Retries+1 {
				g.t.Fatalf("%d tries with %d retries", e.Tries, s.Client.Retries)
			}
		}
	}
}

// TestRandom checks conservation at every step of random scenarios, and that they repeat.
func TestRandom(t *testing.T) {
	outcomes := map[string]int{}
	faked := func(s model.Spec) (model.Replica, error) { return newFake(s), nil }
	for seed := range int64(60) {
		engine := faked
		if seed%2 == 1 {
			engine = model.New
		}
		one := random(t, seed, engine)
		if two := random(t, seed, engine); !reflect.DeepEqual(one, two) {
			t.Fatalf("seed %d does not repeat", seed)
		}
		for _, b := range one {
			if e, ok := b.(journal.RequestEnd); ok {
				outcomes[e.Outcome]++
			}
		}
	}
	if len(outcomes) != 4 {
		t.Errorf("the scenarios leave out ends: %v", outcomes)
	}
	t.Log(outcomes)
}
