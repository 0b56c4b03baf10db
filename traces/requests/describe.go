package requests

import (
	"cmp"
	"io"
	"maps"
	"math"
	"slices"
	"time"
)

// Description sums up a trace of requests. Units are in the field names; slices are in a fixed order.
type Description struct {
	Header       Header   `json:"header"`
	Requests     int64    `json:"requests"`
	FirstSeconds float64  `json:"first_seconds"`
	LastSeconds  float64  `json:"last_seconds"`
	Arrivals     Arrivals `json:"arrivals"`
	Input        Tokens   `json:"input_tokens"`
	Output       Tokens   `json:"output_tokens"`
	Sessions     int64    `json:"sessions"`
	TurnsMean    float64  `json:"turns_per_session"` // requests with a session ÷ sessions
	Prefix       Prefix   `json:"prefix"`
	Services     []Share  `json:"services"` // by requests, descending, then name
	Tenants      []Share  `json:"tenants"`  // by requests, descending, then name
}

// Arrivals describes how bursty requests come. A Poisson process has GapCV 1 and Dispersion 1.
type Arrivals struct {
	PerSecond        float64 `json:"per_second"`
	GapCV            float64 `json:"gap_cv"`            // standard deviation ÷ mean of the gaps
	Dispersion       float64 `json:"second_dispersion"` // variance ÷ mean of requests in a second
	MinutePeakToMean float64 `json:"minute_peak_to_mean"`
	EmptyMinutes     int64   `json:"empty_minutes"` // between the first and the last request
}

// Tokens describes numbers of tokens. Percentiles are nearest-rank, exact.
type Tokens struct {
	Total int64   `json:"total"`
	Mean  float64 `json:"mean"`
	Min   int     `json:"min"`
	P50   int     `json:"p50"`
	P90   int     `json:"p90"`
	P95   int     `json:"p95"`
	P99   int     `json:"p99"`
	Max   int     `json:"max"`
}

// Prefix says how much of the prompts an infinite prefix cache would have had: an upper bound for any real one.
type Prefix struct {
	Requests       int64   `json:"requests"` // that have a prefix
	Blocks         int64   `json:"blocks"`
	DistinctBlocks int64   `json:"distinct_blocks"`
	BlockHits      float64 `json:"block_hit_share"` // of all blocks
	TokenHits      float64 `json:"token_hit_share"` // of all input tokens, also of requests without prefix
}

// Share is one slice of the trace.
type Share struct {
	Name         string `json:"name"`
	Requests     int64  `json:"requests"`
	InputTokens  int64  `json:"input_tokens"`
	OutputTokens int64  `json:"output_tokens"`
}

// Describe reads src to its end and sums it up. Memory: some bytes for every distinct length, session and block of a
// prefix. It does not close src.
func Describe(src Source) (Description, error) {
	d := &describer{block: src.Header().PrefixTokens, in: map[int]int64{}, out: map[int]int64{},
		sessions: map[uint64]struct{}{}, blocks: map[uint64]struct{}{}, services: map[string]*Share{},
		tenants: map[string]*Share{}}
	for {
		r, err := src.Next()
		if err == io.EOF {
			return d.finish(src.Header()), nil
		}
		if err != nil {
			return Description{}, err
		}
		d.add(&r)
	}
}

type describer struct {
	o                  Description
	block              int
	first, last        time.Duration
	gaps               moments
	seconds, minutes   counter
	in, out            map[int]int64
	sessions           map[uint64]struct{}
	turns              int64
	blocks             map[uint64]struct{}
	hitBlocks, hitToks int64
	services, tenants  map[string]*Share
}

func (d *describer) add(r *Request) {
	if d.o.Requests == 0 {
		d.first = r.At
	} else {
		d.gaps.add((r.At - d.last).Seconds(), 1)
	}
	d.last = r.At
	d.o.Requests++
	d.seconds.count(int64((r.At - d.first) / time.Second))
	d.minutes.count(int64((r.At - d.first) / time.Minute))
	d.in[r.Input]++
	d.out[r.Output]++
	if r.Session != 0 {
		d.sessions[r.Session] = struct{}{}
		d.turns++
	}
	tally(d.services, r.Service, r)
	tally(d.tenants, r.Tenant, r)
	if len(r.Prefix) > 0 {
		d.prefix(r)
	}
}

func (d *describer) prefix(r *Request) {
	d.o.Prefix.Requests++
	d.o.Prefix.Blocks += int64(len(r.Prefix))
	hit := true // until the first block that is not there
	for i, id := range r.Prefix {
		if _, ok := d.blocks[id]; !ok {
			hit = false
			d.blocks[id] = struct{}{}
		}
		if hit {
			d.hitBlocks++
			d.hitToks += int64(min(d.block, r.Input-i*d.block))
		}
	}
}

func tally(m map[string]*Share, name string, r *Request) {
	s := m[name]
	if s == nil {
		s = &Share{Name: name}
		m[name] = s
	}
	s.Requests++
	s.InputTokens += int64(r.Input)
	s.OutputTokens += int64(r.Output)
}

func (d *describer) finish(h Header) Description {
	o := d.o
	o.Header = h
	o.FirstSeconds, o.LastSeconds = d.first.Seconds(), d.last.Seconds()
	if span := (d.last - d.first).Seconds(); span > 0 {
		o.Arrivals.PerSecond = float64(o.Requests-1) / span
		o.Arrivals.GapCV = math.Sqrt(d.gaps.variance()) / d.gaps.mean
	}
	if o.Requests > 0 {
		// The last second and minute are cut off by the trace's end: they count only when they are the only ones.
		d.seconds.close()
		d.minutes.close()
		o.Arrivals.Dispersion = d.seconds.m.variance() / d.seconds.m.mean
		o.Arrivals.MinutePeakToMean = d.minutes.peak / d.minutes.m.mean
		o.Arrivals.EmptyMinutes = d.minutes.empty
	}
	o.Input, o.Output = tokens(d.in), tokens(d.out)
	if o.Sessions = int64(len(d.sessions)); o.Sessions > 0 {
		o.TurnsMean = float64(d.turns) / float64(o.Sessions)
	}
	o.Prefix.DistinctBlocks = int64(len(d.blocks))
	if o.Prefix.Blocks > 0 {
		o.Prefix.BlockHits = float64(d.hitBlocks) / float64(o.Prefix.Blocks)
		o.Prefix.TokenHits = float64(d.hitToks) / float64(o.Input.Total)
	}
	o.Services, o.Tenants = shares(d.services), shares(d.tenants)
	return o
}

// counter counts events in equal stretches of time that follow each other.
type counter struct {
	m      moments
	at     int64 // the stretch being counted
	inside float64
	peak   float64
	empty  int64
}

func (c *counter) count(at int64) {
	if at != c.at {
		c.take()
		if empty := at - c.at - 1; empty > 0 {
			c.empty += empty
			c.m.add(0, float64(empty))
		}
		c.at, c.inside = at, 0
	}
	c.inside++
}

func (c *counter) take() {
	c.m.add(c.inside, 1)
	c.peak = max(c.peak, c.inside)
}

func (c *counter) close() {
	if c.m.n == 0 {
		c.take()
	}
}

// moments are the running mean and sum of squared deviations (Welford's method, with weights).
type moments struct{ n, mean, square float64 }

func (m *moments) add(x, weight float64) {
	m.n += weight
	step := x - m.mean
	m.mean += float64(step * weight / m.n)
	m.square += float64(weight * float64(step*(x-m.mean)))
}

func (m *moments) variance() float64 {
	if m.n == 0 {
		return 0
	}
	return m.square / m.n
}

func tokens(counts map[int]int64) Tokens {
	if len(counts) == 0 {
		return Tokens{}
	}
	values := slices.Sorted(maps.Keys(counts))
	n := int64(0)
	var t Tokens
	for _, v := range values {
		n += counts[v]
		t.Total += int64(v) * counts[v]
	}
	t.Mean = float64(t.Total) / float64(n)
	t.Min, t.Max = values[0], values[len(values)-1]
	at := func(q float64) int {
		rank, seen := int64(math.Ceil(q*float64(n))), int64(0)
		for _, v := range values {
			if seen += counts[v]; seen >= rank {
				return v
			}
		}
		return t.Max
	}
	t.P50, t.P90, t.P95, t.P99 = at(0.5), at(0.9), at(0.95), at(0.99)
	return t
}

func shares(m map[string]*Share) []Share {
	out := make([]Share, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, *m[k])
	}
	slices.SortStableFunc(out, func(a, b Share) int { return cmp.Compare(b.Requests, a.Requests) })
	return out
}
