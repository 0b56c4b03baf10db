package serving

import (
	"fmt"
	"math"
	"math/rand"
	"testing"

	"orrery/sim/journal"
	model "orrery/sim/model/serving"
	"orrery/sim/plan"
	"orrery/sim/rng"
	"orrery/sim/units"
)

// load is Poisson arrivals with exponential lengths of output.
func load(seed int64, n int, gap, output float64) *given {
	draw := rand.New(rand.NewSource(seed))
	src, at := &given{}, 0.0
	for i := range n {
		at += draw.ExpFloat64() * gap
		src.requests = append(src.requests, plan.Request{ID: int64(i + 1), At: ms(at), Input: 1,
			Output: 1 + int(draw.ExpFloat64()*output)})
	}
	return src
}

// play runs a service with some replicas of some servers, and returns the one window of the run.
func play(t *testing.T, s plan.Service, src plan.RequestSource, replicas, servers int) (journal.Requests, *rig) {
	t.Helper()
	g := newRig(t, []plan.Service{s}, src)
	for i := range replicas {
		g.ready(0, 0, fmt.Sprint("r", i), servers)
	}
	for g.Next() != model.Never {
		g.ok(g.Advance(g.Next()))
	}
	g.audit()
	g.ok(g.Window(g.Now()))
	return g.windows[0], g
}

// erlangC is the mean wait of M/M/c in mean service times, at c servers and a offered Erlangs.
func erlangC(c int, a float64) float64 {
	term, sum := 1.0, 0.0
	for k := range c {
		sum += term
		term *= a / float64(k+1)
	}
	last := term * float64(c) / (float64(c) - a)
	return last / (sum + last) / (float64(c) - a)
}

// TestErlangC compares the central queue over single-server replicas with M/M/c.
func TestErlangC(t *testing.T) {
	for c, part := range map[int]float64{1: 0.6, 3: 0.6, 8: 0.8} {
		s := chat("mmc")
		s.Router.MaxInFlight = 1
		const mean, n = 1000.0, 200000 // tokens of 1 ms
		w, _ := play(t, s, load(int64(c), n, mean/(part*float64(c)), mean), c, 1)
		got, want := float64(w.Queue.Sum)/n/1e6/mean, erlangC(c, part*float64(c))
		if math.Abs(got-want) > 0.05*want {
			t.Errorf("M/M/%d: mean wait %.4f, Erlang C says %.4f", c, got, want)
		}
		t.Logf("M/M/%d: mean wait %.4f, Erlang C says %.4f", c, got, want)
	}
}

// TestLittle checks L = λW of what is in replicas and of what waits at them, exactly: all windows end when all is done.
func TestLittle(t *testing.T) {
	s := chat("little")
	w, g := play(t, s, load(5, 5000, 25, 80), 4, 2)
	var at, waits units.Duration
	for _, e := range g.ends {
		at += e.Ended.Sub(e.Arrived)
		waits += e.Begun.Sub(e.Arrived)
	}
	if w.Running+w.Waiting != at || w.Waiting != waits {
		t.Errorf("integrals %v and %v, sums over requests %v and %v", w.Running+w.Waiting, w.Waiting, at, waits)
	}
	if w.E2E.Sum != at || w.Queue.Sum != waits {
		t.Errorf("sums of latencies %v and %v, over requests %v and %v", w.E2E.Sum, w.Queue.Sum, at, waits)
	}
}

// TestPolicies checks the order in which routing policies make requests wait.
func TestPolicies(t *testing.T) {
	wait := map[string]units.Duration{}
	for _, policy := range []string{plan.RouteRandom, plan.RouteRoundRobin, plan.RoutePowerOfTwo, plan.RouteLeastRequests,
		plan.RouteKVAware} {
		s := chat("policies")
		s.Router = plan.Router{Policy: policy, QueueWeight: 1, KVWeight: 1}
		w, _ := play(t, s, load(9, 20000, 25, 200), 10, 1)
		wait[policy] = w.Queue.Sum / 20000
	}
	t.Log(wait)
	if wait[plan.RouteLeastRequests] >= wait[plan.RoutePowerOfTwo] || wait[plan.RoutePowerOfTwo] >= wait[plan.RouteRandom] ||
		wait[plan.RouteRoundRobin] >= wait[plan.RouteRandom] || wait[plan.RouteKVAware] >= wait[plan.RouteRandom] {
		t.Errorf("mean waits %v", wait)
	}
}

// TestStale checks that a router with old figures herds: it waits longer than one with fresh ones.
func TestStale(t *testing.T) {
	var waits []units.Duration
	for _, age := range []float64{0, 2000} {
		s := chat("stale")
		s.Router = plan.Router{Policy: plan.RouteKVAware, QueueWeight: 1, KVWeight: 1, MetricsAge: msd(age)}
		w, _ := play(t, s, load(9, 20000, 25, 200), 10, 1)
		waits = append(waits, w.Queue.Sum/20000)
	}
	if waits[1] <= waits[0] {
		t.Errorf("waits with fresh and with old figures: %v", waits)
	}
}

// TestPrefix checks that prefix-affine routing finds more of what replicas have cached than round robin.
func TestPrefix(t *testing.T) {
	cached := map[string]int64{}
	for _, policy := range []string{plan.RouteRoundRobin, plan.RoutePrefixAffine} {
		draw := rand.New(rand.NewSource(3))
		src, at := &given{block: 16}, 0.0
		for i := range 3000 {
			at += draw.ExpFloat64() * 20
			r := plan.Request{ID: int64(i + 1), At: ms(at), Input: 20 * 16, Output: 20}
			for b := range 20 {
				r.Prefix = append(r.Prefix, uint64(draw.Intn(200))<<32|uint64(b))
				if b > 0 {
					r.Prefix[b] = r.Prefix[0] + uint64(b)
				}
			}
			src.requests = append(src.requests, r)
		}
		s := chat("prefix")
		s.Router = plan.Router{Policy: policy, QueueWeight: 2. / 3, KVWeight: 2. / 3, PrefixWeight: 1}
		w, _ := play(t, s, src, 8, 4)
		cached[policy] = w.Cached
	}
	t.Log(cached)
	if cached[plan.RoutePrefixAffine] < 12*cached[plan.RouteRoundRobin]/10 {
		t.Errorf("tokens cached: %v", cached)
	}
}

// TestMoreReplicas checks that twice the replicas behind one central queue never let requests take longer on average.
func TestMoreReplicas(t *testing.T) {
	for seed := range int64(20) {
		last := units.Duration(math.MaxInt64)
		for _, n := range []int{2, 4, 8} {
			s := chat("more")
			s.Router.MaxInFlight = 1
			w, _ := play(t, s, load(seed, 2000, 40, 100), n, 1)
			if w.E2E.Sum > last {
				t.Fatalf("seed %d: %d replicas take %v, half of them %v", seed, n, w.E2E.Sum, last)
			}
			last = w.E2E.Sum
		}
	}
}

// TestLogNormal checks the median and the 99th percentile of a timed step.
func TestLogNormal(t *testing.T) {
	p := &Plane{p: Params{Streams: rng.New(1)}}
	of := plan.Stage{Name: "x", Service: -1, Median: msd(10), P99: msd(50)}
	st := newStage(p, &service{plan: &plan.Service{}}, &of, 0)
	const n = 100000
	above, tail := 0, 0
	for range n {
		d := st.time()
		if d > of.Median {
			above++
		}
		if d > of.P99 {
			tail++
		}
	}
	if math.Abs(float64(above)/n-0.5) > 0.01 || math.Abs(float64(tail)/n-0.01) > 0.001 {
		t.Errorf("%d of %d above the median, %d above the 99th percentile", above, n, tail)
	}
}

// TestPrefixIndex compares the router's index with one that is plainly written.
func TestPrefixIndex(t *testing.T) {
	draw := rand.New(rand.NewSource(1))
	x := newPrefixIndex()
	var rs []*replica
	plain := map[*replica][]uint64{} // oldest first
	for i := range 5 {
		r := &replica{svc: &service{}, engine: newFake(model.Spec{})}
		x.add(r)
		x.slots[r.slot].capacity = 10 * (i + 1)
		rs = append(rs, r)
	}
	for range 4000 {
		if draw.Intn(200) == 0 { // one goes and another comes
			i := draw.Intn(len(rs))
			capacity := x.slots[rs[i].slot].capacity
			x.remove(rs[i])
			delete(plain, rs[i])
			rs[i] = &replica{svc: &service{}, engine: newFake(model.Spec{})}
			x.add(rs[i])
			x.slots[rs[i].slot].capacity = capacity
		}
		var prompt []uint64
		for b := range draw.Intn(30) {
			prompt = append(prompt, uint64(draw.Intn(4)*100+b))
		}
		x.match(prompt)
		for _, r := range rs {
			want := 0
			for _, b := range prompt {
				if !anyHas(plain, b) {
					break
				}
				if has(plain[r], b) {
					want++
				}
			}
			if got := x.matched(r); got != want {
				t.Fatalf("%d blocks match, want %d", got, want)
			}
		}
		to := rs[draw.Intn(len(rs))]
		x.insert(to, prompt)
		for _, b := range prompt {
			plain[to] = without(plain[to], b)
			plain[to] = append(plain[to], b)
			if n := len(plain[to]) - x.slots[to.slot].capacity; n > 0 {
				plain[to] = plain[to][n:]
			}
		}
	}
}

func has(l []uint64, b uint64) bool { return len(without(l, b)) < len(l) }

func anyHas(m map[*replica][]uint64, b uint64) bool {
	for _, l := range m {
		if has(l, b) {
			return true
		}
	}
	return false
}

func without(l []uint64, b uint64) []uint64 {
	var out []uint64
	for _, x := range l {
		if x != b {
			out = append(out, x)
		}
	}
	return out
}
