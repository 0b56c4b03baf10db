package gen

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"gopkg.in/yaml.v3"

	"orrery/sim/model/exact"
	"orrery/sim/rng"
	"orrery/sim/strict"
	"orrery/sim/units"
	"orrery/traces"
	"orrery/traces/requests"
)

// Generator is a requests.Source of a spec's requests. Its memory does not grow with the number of requests; it holds
// the conversations that are going on and the weights of the documents.
type Generator struct {
	header  requests.Header
	span    time.Duration
	left    int64
	streams []*stream
	err     error
}

// New returns the trace of a spec. Its random numbers are those of the streams "<name>/<stream>/…" of src. The error is
// an *strict.Error.
func New(s Spec, src *rng.Source, name string) (*Generator, error) {
	if s.BlockTokens == 0 {
		s.SetDefaults()
	}
	params, err := yaml.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("writing the parameters of trace %s: %w", s.Name, err)
	}
	doc := strict.Parse("spec", params) // specs made in Go are checked as those that were read
	s.Check(doc, "")
	if err := doc.Err(); err != nil {
		return nil, err
	}
	g := &Generator{span: time.Duration(s.Span), left: s.Requests}
	if s.Requests == 0 {
		g.left = math.MaxInt64
	}
	if g.span == 0 || g.span > traces.MaxTime {
		g.span = traces.MaxTime
	}
	g.header = requests.Header{Format: requests.FormatVersion, Name: s.Name, Source: "generated with\n" + string(params),
		Licence: "CC0-1.0", Generator: "orrery request generator " + Version}
	for i, st := range s.streams() {
		one := newStream(&s, st, src, name, uint64(i), g.span)
		if one.prefixed() {
			g.header.PrefixTokens = s.BlockTokens
		}
		g.streams = append(g.streams, one)
		g.cite(s.Preset)
		g.cite(st.Preset)
	}
	return g, nil
}

func (g *Generator) cite(preset string) {
	p, ok := presets[preset]
	if m, many := mixtures[preset]; many {
		p.source, ok = m.source, true
	}
	if ok && !slices.Contains(g.header.Notes, p.source) {
		g.header.Notes = append(g.header.Notes, p.source)
	}
}

// Header implements requests.Source.
func (g *Generator) Header() requests.Header { return g.header }

// Close implements requests.Source.
func (g *Generator) Close() error {
	g.err = io.EOF
	return nil
}

// Next implements requests.Source.
func (g *Generator) Next() (requests.Request, error) {
	if g.err != nil {
		return requests.Request{}, g.err
	}
	var first *stream
	for _, s := range g.streams {
		if first == nil || s.at() < first.at() {
			first = s
		}
	}
	if g.left == 0 || first.at() >= g.span {
		g.err = io.EOF
		return requests.Request{}, io.EOF
	}
	g.left--
	return first.next(), nil
}

// stream makes the requests of one Stream.
type stream struct {
	service, tenant string
	gap             func() float64
	clock           clock
	limit           float64
	arrival         time.Duration // the next new request or conversation

	lengths, turns    *rand.Rand
	input, output     spread
	rho, rest         float64
	prefix            Prefix
	block             int
	system, documents uint64 // keys of what is shared
	zipf              []float64
	docs              *rand.Rand
	think             spread
	number            uint64 // of conversations begun
	key               uint64
	talks             talks
	shared            []uint64 // blocks of the system prompt alone
	systemBlocks      int
}

func newStream(s *Spec, st Stream, src *rng.Source, name string, index uint64, span time.Duration) *stream {
	of := func(part string) *rand.Rand { return src.Stream(name + "/" + st.name() + "/" + part) }
	arrivals := of("arrivals")
	p := *st.Prefix
	g := &stream{service: st.Service, tenant: st.Tenant, lengths: of("lengths"), turns: of("sessions"),
		docs:  of("documents"),
		input: st.Lengths.Input.spread(), output: st.Lengths.Output.spread(), rho: st.Lengths.Correlation, prefix: p,
		block: s.BlockTokens, limit: span.Seconds(), system: key("system", st.Service),
		documents: key("documents", st.Service),
		key:       key("stream", st.name()), number: index << 40}
	g.rest = math.Sqrt(1 - float64(g.rho*g.rho))
	g.clock.rate = st.RatePerSecond
	if p.Sessions != nil {
		g.clock.rate /= p.Sessions.MeanTurns
		g.think.add(0, p.Sessions.Think.seconds())
		g.think.add(z99, p.Sessions.ThinkP99.seconds())
		g.think.hi = traces.MaxTime.Seconds()
	}
	g.gap = gaps(st.Arrival, arrivals)
	g.clock.factors = factors(st, s.Starts.seconds())
	if st.Arrival.Process == MMPP {
		g.clock.factors = append(g.clock.factors, newModulated(st.Arrival.States, of("states")))
	}
	g.systemBlocks = p.SystemTokens / g.block
	for i := range g.systemBlocks {
		g.shared = append(g.shared, blockID(g.system, i))
	}
	if d := p.Documents; d != nil {
		sum := 0.0
		for r := range d.Count {
			sum += exact.Exp2(-float64(d.Zipf * exact.Log2(float64(r+1))))
			g.zipf = append(g.zipf, sum)
		}
	}
	g.clock.load(0)
	g.arrive()
	return g
}

// gaps returns the draws of gaps in operational time, mean 1.
func gaps(a *Arrival, rng *rand.Rand) func() float64 {
	switch a.Process {
	case Gamma:
		shape := 1 / float64(a.CV*a.CV)
		return func() float64 { return gamma(rng, shape) }
	case Deterministic:
		return func() float64 { return 1 }
	}
	return func() float64 { return exponential(rng) }
}

func factors(st Stream, starts float64) []factor {
	var out []factor
	for _, f := range st.Shape {
		switch {
		case f.HourOfDay != nil:
			out = append(out, newCycle(f.HourOfDay, 3600, starts, true))
		case f.DayOfWeek != nil:
			out = append(out, newCycle(f.DayOfWeek, day.Seconds(), starts, false))
		case f.Points != nil:
			out = append(out, points(f.Points))
		case f.Flash != nil:
			out = append(out, flash{*f.Flash})
		}
	}
	return out
}

func (s *stream) prefixed() bool {
	return s.prefix.SystemTokens >= s.block || s.prefix.Documents != nil || s.prefix.Sessions != nil
}

// arrive draws the next arrival.
func (s *stream) arrive() {
	at := s.clock.advance(s.gap(), s.limit)
	if at > s.limit {
		s.arrival = math.MaxInt64
		return
	}
	s.arrival = units.FromSeconds(at)
}

// at returns the time of the stream's next request.
func (s *stream) at() time.Duration {
	if len(s.talks) > 0 && s.talks[0].at < s.arrival {
		return s.talks[0].at
	}
	return s.arrival
}

// next returns the next request.
func (s *stream) next() requests.Request {
	if len(s.talks) > 0 && s.talks[0].at < s.arrival {
		return s.turn(s.talks.pop())
	}
	t := talk{at: s.arrival}
	s.arrive()
	if s.zipf != nil {
		u := s.docs.Float64() * s.zipf[len(s.zipf)-1]
		t.doc, _ = slices.BinarySearch(s.zipf, u)
		t.doc = min(t.doc, len(s.zipf)-1)
		t.shared = s.prefix.Documents.Tokens
	}
	t.shared += s.prefix.SystemTokens
	t.history = t.shared
	t.left = 1
	if n := s.prefix.Sessions; n != nil {
		s.number++
		t.session = s.number
		if n.MeanTurns > 1 { // geometric: another turn with probability 1 − 1 ÷ mean
			t.left = 1 + int(min(math.Floor(exponential(s.turns)/-exact.Log(1-1/n.MeanTurns)), 1e6))
		}
	}
	return s.turn(t)
}

// turn makes the request of a conversation's next turn, and keeps the conversation if it goes on.
func (s *stream) turn(t talk) requests.Request {
	z := normal(s.lengths)
	y := float64(s.rho*z) + float64(s.rest*normal(s.lengths))
	in, out := int(math.Round(s.input.at(z))), int(math.Round(s.output.at(y)))
	r := requests.Request{At: t.at, Input: t.history + in, Output: out, Service: s.service, Tenant: s.tenant,
		Session: t.session}
	s.name(&t, &r)
	t.left--
	if t.left <= 0 {
		return r
	}
	t.history = r.Input + out
	if most := s.prefix.Sessions.MaxInput; most > 0 && t.history >= most {
		return r
	}
	t.at += max(units.FromSeconds(s.think.at(normal(s.turns))), units.Tick)
	s.talks.push(t)
	return r
}
