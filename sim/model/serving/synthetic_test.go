package serving

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"orrery/sim/plan"
	"orrery/sim/units"
)

// linear is a stepper with round figures: no device, but the shape of one.
type linear struct {
	base, decode, context, beyond, token, pair, seq float64 // seconds
	window                                          int64   // 0 = none
}

func (s linear) Line(decodes, tokens int, pairs int64, seqs int) Line {
	l := Line{PerToken: s.context, Beyond: s.context, Knee: math.MaxInt64}
	compute := s.token * float64(decodes+tokens)
	l.Base = max(s.base, compute) + s.decode*float64(decodes) + s.pair*float64(pairs) + s.seq*float64(seqs)
	if s.window > 0 {
		l.Beyond, l.Knee = s.beyond, s.window*int64(decodes)
	}
	return l
}

func (s linear) Parts(decodes int, context int64, tokens int, pairs int64, seqs int) Parts {
	all := s.Line(decodes, tokens, pairs, seqs).At(context)
	compute := s.token*float64(decodes+tokens) + s.pair*float64(pairs)
	return Parts{Compute: compute, Memory: all - compute}
}

// eightB is about an 8 billion parameter model on an H100.
var eightB = linear{base: 6e-3, decode: 5e-6, context: 65e-9, token: 40e-6, pair: 1e-10, seq: 20e-6}

// oneOf draws from a list.
func oneOf[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// upTo draws from 1 … n, small ones often.
func upTo(r *rand.Rand, n int) int { return 1 + int(float64(n)*math.Pow(r.Float64(), 3)) }

// script is a replica and what is done to it.
type script struct {
	spec     Spec
	step     linear
	kvTokens int64
	calls    []call
	prefix   int  // tokens
	walk     bool // advance to each of the replica's next instants
}

type call struct {
	at    units.Time
	kind  string // submit, abort, speed, load, advance
	seq   int
	speed int64
	q     Sequence
}

func randomScript(r *rand.Rand) script {
	preset := oneOf(r, plan.EngineVLLM, plan.EngineVLLM, plan.EngineSGLang, plan.EngineSGLang, plan.EngineTRTLLM, plan.EngineTGI)
	e := plan.Engine{Preset: preset, MaxSequences: oneOf(r, 1, 2, 4, 16, 64, 256), BlockTokens: oneOf(r, 1, 8, 16, 16, 32),
		PrefixCaching: r.IntN(2) == 0, ChunkedPrefill: r.IntN(4) > 0, Evict: oneOf(r, plan.EvictRecompute, plan.EvictRecompute,
			plan.EvictNone)}
	if r.IntN(4) == 0 {
		e.Speculative = &plan.Speculative{Tokens: 1 + r.IntN(5), Acceptance: r.Float64(), DraftShare: 0.1 * r.Float64()}
	}
	e.MaxBatchedTokens = max(oneOf(r, 64, 256, 512, 2048, 8192), e.MaxSequences*7)
	e.MaxModelTokens = oneOf(r, 0, 0, 1500)
	if preset == plan.EngineSGLang {
		e.Policy = oneOf(r, "", plan.PolicyFCFS, plan.PolicyLPM, plan.PolicyLPM)
	}
	s := script{spec: Spec{Engine: e, Role: oneOf(r, plan.RoleBoth, plan.RoleBoth, plan.RoleBoth, plan.RolePrefill,
		plan.RoleDecode)}, step: eightB}
	if r.IntN(4) == 0 {
		s.step.window, s.step.beyond = 200, 20e-9
	}
	s.kvTokens = oneOf[int64](r, 700, 2000, 5000, 20000, 100000, 400000)
	s.prefix = oneOf(r, 8, 16, 64, 100)
	s.load(r)
	return s
}

// load draws the calls.
func (s *script) load(r *rand.Rand) {
	n := 20 + r.IntN(150)
	longIn, longOut := oneOf(r, 30, 300, 3000), oneOf(r, 5, 100, 1000)
	if r.IntN(12) == 0 {
		longOut = 9000
	}
	gap := oneOf(r, 1e6, 20e6, 100e6, 500e6)
	at := units.Time(0)
	for i := range n {
		if r.IntN(4) > 0 {
			at += units.Time(r.ExpFloat64()*gap/1000) * 1000
		}
		if r.IntN(40) == 0 {
			at += units.Time(r.ExpFloat64()*60e9/1000) * 1000
		}
		q := Sequence{Input: upTo(r, longIn), Output: upTo(r, longOut), PrefixTokens: s.prefix}
		for k, family := 0, uint64(r.IntN(4)); k*s.prefix < q.Input && k < 40; k++ {
			if r.IntN(12) == 0 {
				family = uint64(100 + i)
			}
			q.Prefix = append(q.Prefix, family*1000+uint64(k))
		}
		q.Received = s.spec.Role == plan.RoleDecode && r.IntN(10) > 0
		s.calls = append(s.calls, call{at: at, kind: "submit", q: q, seq: i})
		switch r.IntN(20) {
		case 0, 1:
			s.calls = append(s.calls, call{at: at + units.Time(r.IntN(5)), kind: "abort", seq: r.IntN(i + 1)})
		case 2:
			s.calls = append(s.calls, call{at: at, kind: "speed", speed: 1 + r.Int64N(1_200_000)})
		case 3:
			s.calls = append(s.calls, call{at: at, kind: "speed", speed: full})
		case 4, 5, 6:
			s.calls = append(s.calls, call{at: at, kind: "load"})
		case 7:
			s.calls = append(s.calls, call{at: at, kind: "advance"})
		}
		at = max(at, s.calls[len(s.calls)-1].at)
	}
	s.calls = append(s.calls, call{at: at, kind: "speed", speed: full})
}

// log is the events of a run as text, and checks that they come in the order of time.
type log struct {
	t    testing.TB
	name map[*Sequence]int
	text []string
	last units.Time
	next units.Time // what the replica said
}

func (l *log) First(q *Sequence) { l.add("first", q, q.First) }
func (l *log) Ended(q *Sequence) { l.add("ended", q, q.Ended) }

func (l *log) add(kind string, q *Sequence, at units.Time) {
	if at < l.last {
		l.t.Errorf("event at %d after one at %d", at, l.last)
	}
	if at < l.next {
		l.t.Errorf("event at %d, the next one was to be at %d", at, l.next)
	}
	l.last = at
	text := fmt.Sprintf("%d %s %d: begun %d, %d cached", at, kind, l.name[q], q.Begun, q.Cached)
	if kind == "ended" { // before, the owner may be told late
		text += fmt.Sprintf(", %d generated, %d preempted", q.Generated, q.Preempted)
	}
	l.text = append(l.text, text)
}

// play makes the calls, and returns what happened.
func (s *script) play(t testing.TB, r Replica, check func(at units.Time)) (*log, []Load, []*Sequence) {
	l := &log{t: t, name: map[*Sequence]int{}}
	var loads []Load
	var seqs []*Sequence
	walk := func(to units.Time) {
		for next := r.Next(); s.walk && next <= to; next = r.Next() {
			l.next = next
			r.Advance(next, l)
		}
	}
	for _, c := range s.calls {
		walk(c.at)
		switch c.kind {
		case "submit":
			q := c.q
			q.First = Never
			seqs = append(seqs, &q)
			l.name[&q] = c.seq
			if !r.Submit(c.at, &q) {
				l.text = append(l.text, fmt.Sprintf("%d refused %d: %s", c.at, c.seq, q.Refused))
			}
		case "abort":
			r.Abort(c.at, seqs[c.seq])
			l.text = append(l.text, fmt.Sprintf("%d abort %d: %d generated", c.at, c.seq, seqs[c.seq].Generated))
		case "speed":
			r.SetSpeed(c.at, c.speed)
		case "load":
			r.Advance(c.at, l)
			loads = append(loads, r.Load())
		case "advance":
			r.Advance(c.at, l)
		}
		if check != nil {
			check(c.at)
		}
	}
	walk(Never - 1)
	r.Advance(3e18, l)
	return l, append(loads, r.Load()), seqs
}
