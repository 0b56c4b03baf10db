package serving

import (
	"fmt"
	"math"
	"math/rand"
	"strings"
	"testing"
	"time"

	"orrery/sim/journal"
	model "orrery/sim/model/serving"
	"orrery/sim/plan"
)

// TestBatchErlangC compares one router queue over batch servers with exponential times with M/M/c.
func TestBatchErlangC(t *testing.T) {
	for _, c := range []int{1, 4} {
		s := chat("mmc")
		s.Router.MaxInFlight, s.Engine.Preset = 1, plan.EngineBatch
		const mean, n = 100.0, 200000
		src := load(int64(c), n, mean/(0.6*float64(c)), 0)
		g := newRigOf(t, model.New, []plan.Service{s}, src)
		for i := range c {
			g.ok(g.ReplicaReady(0, Endpoint{Name: fmt.Sprint(i), Spec: model.Spec{Role: plan.RoleBoth, Seed: uint64(i + 1),
				Engine: plan.Engine{Preset: plan.EngineBatch, Batch: &plan.BatchModel{Base: msd(mean), MaxBatch: 1, Instances: 1,
					Exponential: true}}}}))
		}
		for g.Next() != model.Never {
			g.ok(g.Advance(g.Next()))
		}
		g.audit()
		g.ok(g.Window(g.Now()))
		if w := g.windows[0]; w.Output != 0 || len(w.TPOT.Pairs) > 0 || w.Input == 0 {
			t.Errorf("a batch server generated %d tokens, with times %v, from %d", w.Output, w.TPOT.Pairs, w.Input)
		}
		got, want := float64(g.windows[0].Queue.Sum)/n/1e6/mean, erlangC(c, 0.6*float64(c))
		if math.Abs(got-want) > 0.06*want {
			t.Errorf("M/M/%d: mean wait %.4f, Erlang C says %.4f", c, got, want)
		}
		t.Logf("M/M/%d: mean wait %.4f, Erlang C says %.4f", c, got, want)
	}
}

// TestBatchQueues checks what clients see of a batch server that gives requests up: they try again, and those of a tenant
// with priority go first.
func TestBatchQueues(t *testing.T) {
	s := chat("ranked")
	s.Client.Retries, s.Engine.Preset = 1, plan.EngineBatch
	s.Engine.Batch = &plan.BatchModel{Base: msd(100), MaxBatch: 1, Instances: 1, Level: 2, Tenants: map[string]int{"gold": 1},
		Queues: []plan.BatchQueue{{}, {Timeout: msd(250), MaxSize: 3}}}
	src := &given{}
	for i, tenant := range []string{"", "", "", "", "", "gold"} {
		src.requests = append(src.requests, plan.Request{ID: int64(i + 1), At: ms(float64(i + 1)), Input: 1, Output: 1,
			Tenant: tenant})
	}
	g := newRigOf(t, model.New, []plan.Service{s}, src)
	g.ok(g.ReplicaReady(0, Endpoint{Name: "a", Spec: model.Spec{Role: plan.RoleBoth, Engine: s.Engine}}))
	g.drain()
	g.audit()
	var got []string
	for _, x := range g.ends {
		got = append(got, fmt.Sprintf("%d %s after %d at %v", x.Request, x.Outcome, x.Tries, x.Ended))
	}
	t.Log(strings.Join(got, "\n"))
	if len(got) != 6 || !strings.HasPrefix(got[0], "5 rejected after 2") || !strings.HasPrefix(got[1], "1 completed after 1") ||
		!strings.HasPrefix(got[2], "6 completed after 1") || !strings.HasPrefix(got[3], "2 completed after 1") {
		t.Errorf("requests ended\n%s", strings.Join(got, "\n"))
	}
}

// TestEngineAlone compares one replica behind a router without hops with an engine that is driven by hand.
func TestEngineAlone(t *testing.T) {
	e := half("a", plan.RoleBoth, "")
	src := load(4, 300, 20, 100)
	alone, err := model.New(e.Spec)
	if err != nil {
		t.Fatal(err)
	}
	var qs []*model.Sequence
	var none nobody
	for _, r := range src.requests {
		q := &model.Sequence{Input: r.Input, Output: r.Output}
		alone.Advance(r.At, none)
		alone.Submit(r.At, q)
		qs = append(qs, q)
	}
	alone.Advance(ms(1e6), none)
	g := newRigOf(t, model.New, []plan.Service{chat("chat")}, src)
	g.ok(g.ReplicaReady(0, e))
	g.drain()
	if len(g.ends) != len(qs) {
		t.Fatalf("%d of %d ended", len(g.ends), len(qs))
	}
	for _, x := range g.ends {
		if q := qs[x.Request-1]; q.Ended != x.Ended || q.First != x.First || q.Begun != x.Begun {
			t.Fatalf("request %d: %+v, by hand begun %v, first %v, ended %v", x.Request, x, q.Begun, q.First, q.Ended)
		}
	}
}

type nobody struct{}

func (nobody) First(*model.Sequence) {}
func (nobody) Ended(*model.Sequence) {}

// TestDisaggregatedEngines checks that requests pass both halves with their tokens counted once.
func TestDisaggregatedEngines(t *testing.T) {
	src := load(4, 300, 20, 100)
	out, one := 0, 0
	for _, r := range src.requests {
		out += r.Output
		if r.Output == 1 {
			one++
		}
	}
	g := newRigOf(t, model.New, []plan.Service{disaggregated()}, src)
	g.ok(g.ReplicaReady(0, half("p", plan.RolePrefill, "")))
	g.ok(g.ReplicaReady(0, half("d", plan.RoleDecode, "")))
	g.drain()
	g.ok(g.Window(g.Now().Add(time.Second)))
	w := g.windows[0]
	if w.Completed != 300 || w.Output != int64(out) || w.Generated != int64(out) || w.Prefilled != 300 {
		t.Fatalf("%+v, want %d tokens", w, out)
	}
	if w.TTFT.Sum >= w.E2E.Sum || w.TPOT.Sum == 0 {
		t.Fatalf("%+v", w)
	}
}

// TestTenants checks that it does not matter whose requests are whose where no tenant has priority: every request ends as
// it did when tenants change places.
func TestTenants(t *testing.T) {
	for _, policy := range []string{plan.RouteRoundRobin, plan.RouteLeastRequests, plan.RouteKVAware, plan.RoutePrefixAffine} {
		var first []string
		for turn := range 3 {
			src := load(9, 400, 15, 60)
			for i := range src.requests {
				src.requests[i].Tenant = fmt.Sprint("tenant ", (i+turn)*(turn+1)%3)
			}
			s := chat("shared")
			s.Router.Policy, s.Router.QueueWeight, s.Router.KVWeight, s.Router.PrefixWeight = policy, 1, 1, 1
			s.Client.Timeout, s.Client.Retries, s.Client.Backoff = msd(900), 1, msd(50)
			g := newRigOf(t, model.New, []plan.Service{s}, src)
			g.ok(g.ReplicaReady(0, half("a", plan.RoleBoth, "")))
			g.ok(g.ReplicaReady(0, half("b", plan.RoleBoth, "")))
			g.drain()
			g.audit()
			var got []string
			for _, x := range g.ends {
				x.Tenant = ""
				got = append(got, fmt.Sprintf("%+v", x))
			}
			if turn == 0 {
				first = got
			} else if a, b := strings.Join(first, "\n"), strings.Join(got, "\n"); a != b {
				t.Errorf("%s: requests end\n%s\nand with other tenants\n%s", policy, a, b)
			}
		}
	}
}

// TestShed checks that of what a saturated service cannot serve only requests that may be shed are rejected, and all may be
// where no tenant is named.
func TestShed(t *testing.T) {
	ended := func(shed *plan.Shed, only string) map[string]int {
		all, src := load(5, 3000, 8, 200), &given{}
		for i, r := range all.requests {
			if r.Tenant = "batch"; i%4 == 0 {
				r.Tenant = "chat"
			}
			if only == "" || r.Tenant == only {
				src.requests = append(src.requests, r)
			}
		}
		s := chat("shed")
		s.Router.Policy, s.Router.Shed, s.Router.MetricsAge = plan.RouteKVAware, shed, msd(50)
		s.Router.QueueWeight, s.Router.KVWeight = 1, 1
		_, g := play(t, s, src, 4, 4)
		out := map[string]int{}
		for _, x := range g.ends {
			out[x.Tenant+" "+x.Outcome]++
		}
		t.Log(shed, only, out)
		return out
	}
	none := ended(nil, "")
	some := ended(&plan.Shed{Tenants: []string{"batch"}, QueueDepth: 5, KV: 0.8}, "")
	all := ended(&plan.Shed{QueueDepth: 5, KV: 0.8}, "")
	rejected := "batch " + journal.RequestRejected
	if none[rejected] > 0 || some[rejected] == 0 || some["chat "+journal.RequestRejected] > 0 ||
		all["chat "+journal.RequestRejected] == 0 {
		t.Errorf("ended %v without shedding, %v and %v with", none, some, all)
	}
}

// oneShed draws what a router sheds.
func oneShed(draw *rand.Rand) *plan.Shed {
	if draw.Intn(3) > 0 {
		return nil
	}
	return &plan.Shed{QueueDepth: 1 + draw.Intn(5), KV: 0.8}
}
