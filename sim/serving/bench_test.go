package serving

import (
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"orrery/sim/journal"
	model "orrery/sim/model/serving"
	"orrery/sim/model/training"
	"orrery/sim/plan"
	"orrery/sim/rng"
	"orrery/sim/units"
)

// endless is an engine with room for everybody: what a plane costs beside its engines.
type endless struct {
	perIn, perOut units.Duration
	events        []pending
	n             int
	load          model.Load
	now           units.Time
}

type pending struct {
	at  units.Time
	q   *model.Sequence
	end bool
}

func (e *endless) push(p pending) {
	e.events = append(e.events, p)
	for i := len(e.events) - 1; i > 0 && e.events[(i-1)/2].at > p.at; i = (i - 1) / 2 {
		e.events[i], e.events[(i-1)/2] = e.events[(i-1)/2], p
	}
}

func (e *endless) pop() pending {
	top, n := e.events[0], len(e.events)-1
	e.events[0] = e.events[n]
	e.events = e.events[:n]
	for i := 0; ; {
		c := 2*i + 1
		if c >= n {
			return top
		}
		if c+1 < n && e.events[c+1].at < e.events[c].at {
			c++
		}
		if e.events[i].at <= e.events[c].at {
			return top
		}
		e.events[i], e.events[c] = e.events[c], e.events[i]
		i = c
	}
}

func (e *endless) pass(to units.Time) {
	e.load.RunningTime += to.Sub(e.now) * units.Duration(e.n)
	e.now = to
}

func (e *endless) Submit(at units.Time, q *model.Sequence) bool {
	e.pass(at)
	q.Begun = at
	e.n++
	e.load.Running++
	e.load.KVUsed += int64(q.Input)
	e.push(pending{at.Add(e.perIn * units.Duration(q.Input)), q, false})
	return true
}

func (e *endless) Abort(units.Time, *model.Sequence) { panic("nobody gives up") }

func (e *endless) Advance(to units.Time, tell model.Events) {
	for len(e.events) > 0 && e.events[0].at <= to {
		p := e.pop()
		e.pass(p.at)
		if p.end {
			p.q.Ended, p.q.Generated = p.at, p.q.Output
			e.n--
			e.load.Running--
			e.load.KVUsed -= int64(p.q.Input)
			tell.Ended(p.q)
			continue
		}
		p.q.First = p.at
		tell.First(p.q)
		e.push(pending{p.at.Add(e.perOut * units.Duration(p.q.Output-1)), p.q, true})
	}
	e.pass(to)
}

func (e *endless) Next() units.Time {
	if len(e.events) == 0 {
		return model.Never
	}
	return e.events[0].at
}
func (e *endless) SetSpeed(units.Time, int64) {}
func (e *endless) Load() model.Load           { return e.load }

// day is requests in the shape of a day: a rate that swings by half around its mean, lengths as in the Azure LLM
// inference traces of 2023 (medians of about 1000 tokens in and 130 out; log-normal).
type day struct {
	draw     *rand.Rand
	left, id int64
	rate     float64 // per second
	at       float64
	blocks   []uint64
	groups   int // of prompts with a common beginning, 0 = no prefixes
}

func (d *day) Next() (plan.Request, error) {
	if d.left == 0 {
		return plan.Request{}, io.EOF
	}
	d.left--
	d.id++
	d.at += d.draw.ExpFloat64() / (d.rate * (1 + 0.5*math.Sin(d.at*2*math.Pi/86400)))
	r := plan.Request{ID: d.id, At: units.Time(d.at * 1e9), Input: 1 + int(1000*math.Exp(0.8*d.draw.NormFloat64())),
		Output: 1 + int(130*math.Exp(0.9*d.draw.NormFloat64()))}
	if d.groups > 0 {
		d.blocks = d.blocks[:0]
		group := d.draw.Uint64N(uint64(d.groups)) << 32
		for b := range min(r.Input/64, 64) {
			d.blocks = append(d.blocks, group|uint64(b))
		}
		r.Prefix = d.blocks
	}
	return r, nil
}
func (d *day) PrefixTokens() int        { return 64 * min(d.groups, 1) }
func (d *day) Warnings() []plan.Warning { return nil }
func (d *day) Close() error             { return nil }

// BenchmarkDay is a day of 2.5 million requests over 100 replicas, with scrapes every 15 seconds and windows of a
// minute, beside engines that cost next to nothing. It reports requests per second and the most heap that was in use.
func BenchmarkDay(b *testing.B) {
	for _, c := range []struct {
		name   string
		router plan.Router
		groups int
		hop    units.Duration
	}{
		{"least-requests", plan.Router{Policy: plan.RouteLeastRequests}, 0, 0},
		{"round-robin-hop-timeout", plan.Router{Policy: plan.RouteRoundRobin, Hop: time.Millisecond}, 0, 0},
		{"kv-aware", plan.Router{Policy: plan.RouteKVAware, QueueWeight: 1, KVWeight: 1, MetricsAge: 50 * time.Millisecond}, 0, 0},
		{"prefix-affine", plan.Router{Policy: plan.RoutePrefixAffine, QueueWeight: 2. / 3, KVWeight: 2. / 3, PrefixWeight: 1,
			MetricsAge: 50 * time.Millisecond}, 2000, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			const n = 2_500_000
			for range b.N {
				s := chat("day")
				s.Router = c.router
				if c.router.Hop > 0 {
					s.Client.Timeout = 10 * time.Minute
				}
				top := runDay(b, s, &day{draw: rand.New(rand.NewPCG(1, 2)), left: n, rate: n / 86400., groups: c.groups})
				b.ReportMetric(float64(top)/(1<<20), "heap-MiB")
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "requests/s")
		})
	}
}

// BenchmarkDayOfEngines is the same day with the engines of an 8-billion model on H100s, beside the plane.
func BenchmarkDayOfEngines(b *testing.B) {
	m, err := training.Lookup("llama-3-8b")
	if err != nil {
		b.Fatal(err)
	}
	acc := half("", plan.RoleBoth, "").Spec.Device
	e, err := model.Preset(plan.EngineVLLM, &m, acc)
	if err != nil {
		b.Fatal(err)
	}
	const n = 2_500_000
	for _, policy := range []string{plan.RouteLeastRequests, plan.RoutePrefixAffine} {
		b.Run(policy, func(b *testing.B) {
			for range b.N {
				s := chat("day")
				s.Engine = e
				s.Router = plan.Router{Policy: policy, QueueWeight: 2. / 3, KVWeight: 2. / 3, PrefixWeight: 1,
					MetricsAge: 50 * time.Millisecond}
				src := &day{draw: rand.New(rand.NewPCG(1, 2)), left: n, rate: n / 86400.}
				if policy == plan.RoutePrefixAffine {
					src.groups = 2000
				}
				top := runDayOf(b, s, src, model.New, model.Spec{Engine: e, Role: plan.RoleBoth, Tensor: 1, Pipeline: 1, Expert: 1,
					Nodes: 1, Device: acc})
				b.ReportMetric(float64(top)/(1<<20), "heap-MiB")
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "requests/s")
		})
	}
}

func runDay(b *testing.B, s plan.Service, src plan.RequestSource) (top uint64) {
	return runDayOf(b, s, src, func(model.Spec) (model.Replica, error) {
		return &endless{perIn: 50 * time.Microsecond, perOut: 30 * time.Millisecond, load: model.Load{KVTokens: 400000}}, nil
	}, model.Spec{Role: plan.RoleBoth, Engine: plan.Engine{Preset: plan.EngineVLLM}})
}

func runDayOf(b *testing.B, s plan.Service, src plan.RequestSource, engine func(model.Spec) (model.Replica, error),
	spec model.Spec) (top uint64) {
	p, err := New(Params{Services: []plan.Service{s}, Sources: []plan.RequestSource{src}, Streams: rng.New(1),
		Record:     func(journal.Body) {},
		NewReplica: engine})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 100 {
		e := Endpoint{Name: "r" + string(rune('a'+i/10)) + string(rune('a'+i%10)),
			Spec: spec}
		if err := p.ReplicaReady(0, e); err != nil {
			b.Fatal(err)
		}
	}
	samples := 0
	for at := units.Time(0); !p.Done(); at = at.Add(15 * time.Second) {
		if err := p.Scrape(at, func(Sample) { samples++ }); err != nil {
			b.Fatal(err)
		}
		if at%units.Time(time.Minute) == 0 {
			if err := p.Window(at); err != nil {
				b.Fatal(err)
			}
		}
		if at%units.Time(time.Hour) == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			top = max(top, m.HeapInuse)
		}
	}
	return top
}
