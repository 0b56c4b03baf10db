package serving

import (
	"fmt"
	"math"
	"sort"

	"orrery/sim/plan"
	"orrery/sim/units"
)

// stepper is what a replica needs to know of the devices; *Step is one.
type stepper interface {
	Line(decodes, prefillTokens int, prefillAttention int64, prefillSeqs int) Line
	Parts(decodes int, decodeContext int64, prefillTokens int, prefillAttention int64, prefillSeqs int) Parts
}

// speculation is speculative decoding in whole numbers: proposed tokens, and what a step brings on average in parts of
// a token. Without it a step brings one part, which is a token.
type speculation struct {
	proposed int
	gain     int64 // parts of a token that a sequence gets in an iteration
	parts    int64 // of a token
}

// tokenParts is how finely the tokens of a speculative step are counted: the expected number is rounded to one of these
// parts.
const tokenParts = 32

// speculationOf returns the expected gain of a step: 1 + a + a² + … + a^k tokens, where a is the acceptance and k the
// proposed tokens (Leviathan et al., arXiv 2211.17192, equation 1).
func speculationOf(s *plan.Speculative) speculation {
	if s == nil || s.Tokens == 0 {
		return speculation{0, 1, 1}
	}
	gain, power := 1.0, 1.0
	for range s.Tokens {
		power = float64(power * s.Acceptance)
		gain += power
	}
	return speculation{s.Tokens, int64(math.Floor(float64(gain*tokenParts) + 0.5)), tokenParts}
}

// line is an iteration's time over the context of its decoding sequences, in fine units and parts of tokens.
type line struct {
	base, slope, beyond int64
	knee                int64
	// Arithmetic limits iterations whose context is from computeFrom up to computeTo.
	computeFrom, computeTo int64
}

func (l *line) at(context int64) int64 {
	if context <= l.knee {
		return l.base + l.slope*context
	}
	return l.base + l.slope*l.knee + l.beyond*(context-l.knee)
}

func (l *line) compute(context int64) bool { return context >= l.computeFrom && context < l.computeTo }

// shortest is the least time of an iteration: one tick of simulated time, so that instants of iterations differ.
const shortest = int64(units.Tick) << fineBits

// costs are the times of a replica's iterations.
type costs struct {
	step  stepper
	spec  speculation
	draft float64 // seconds of proposing, in every iteration with decoding sequences
	lines []*line // by number of decoding sequences, made when needed
}

func newCosts(step stepper, e *plan.Engine) (*costs, error) {
	c := &costs{step: step, spec: speculationOf(e.Speculative), lines: make([]*line, e.MaxSequences+1)}
	if s := e.Speculative; s != nil {
		if s.Tokens < 0 || s.Acceptance < 0 || s.Acceptance > 1 || s.DraftShare < 0 {
			return nil, fmt.Errorf("speculative decoding with %d tokens, acceptance %g and draft share %g: tokens and share "+
				"are at least 0, acceptance is between 0 and 1", s.Tokens, s.Acceptance, s.DraftShare)
		}
		c.draft = float64(s.Tokens) * s.DraftShare * step.Line(1, 0, 0, 0).At(1)
	}
	return c, nil
}

// seconds is an iteration of decodes only.
func (c *costs) seconds(decodes int, context int64) float64 {
	k := c.spec.proposed
	return c.step.Line(decodes, k*decodes, int64(k)*context, 0).At(context) + c.draft
}

// probe is a context, in tokens, over which slopes are measured where arithmetic for proposed tokens adds to them.
const probe = 1 << 20

// decode is the line of iterations in which only decodes sequences take part.
func (c *costs) decode(decodes int) *line {
	if l := c.lines[decodes]; l != nil {
		return l
	}
	k := c.spec.proposed
	raw := c.step.Line(decodes, k*decodes, 0, 0)
	slope, beyond := raw.PerToken, raw.Beyond
	if k > 0 {
		low := min(raw.Knee, probe)
		slope = (c.seconds(decodes, low) - c.seconds(decodes, 0)) / float64(max(low, 1))
		if beyond = slope; raw.Knee < math.MaxInt64/2 {
			beyond = (c.seconds(decodes, raw.Knee+probe) - c.seconds(decodes, raw.Knee)) / probe
		}
	}
	l := &line{base: fineOf(raw.Base + c.draft), slope: fineOf(slope / float64(c.spec.parts)),
		beyond: fineOf(beyond / float64(c.spec.parts)), knee: raw.Knee, computeFrom: 0, computeTo: math.MaxInt64}
	if l.knee < math.MaxInt64/c.spec.parts {
		l.knee *= c.spec.parts
	} else {
		l.knee = math.MaxInt64
	}
	c.bound(l, decodes)
	c.lines[decodes] = l
	return l
}

// farContext is more context than any replica has, in tokens.
const farContext = 1 << 34

// bound finds from which context on iterations are limited by something else: more context only ever adds to one side.
func (c *costs) bound(l *line, decodes int) {
	limited := func(context int64) bool {
		k := c.spec.proposed
		return c.step.Parts(decodes, context, k*decodes, int64(k)*context, 0).ComputeBound()
	}
	near, far := limited(0), limited(farContext)
	if near == far {
		if !near {
			l.computeTo = 0
		}
		return
	}
	turn := int64(sort.Search(farContext, func(i int) bool { return limited(int64(i)) == far }))
	if near {
		l.computeTo = turn * c.spec.parts
	} else {
		l.computeFrom = turn * c.spec.parts
	}
}

// work is what an iteration has in it.
type work struct {
	decodes int
	context int64 // of the decodes, parts of tokens
	tokens  int   // of prompts
	pairs   int64 // query-key pairs of prompts
	seqs    int   // with prompts
}

// add puts a chunk of a prompt in, with so many tokens computed before it.
func (w *work) add(before, chunk int) {
	w.tokens += chunk
	w.seqs++
	w.pairs += int64(chunk)*int64(before) + int64(chunk)*int64(chunk+1)/2
}

// duration is the time of one iteration, and whether arithmetic limits it.
func (c *costs) duration(w work) (int64, bool) {
	if w.tokens == 0 {
		l := c.decode(w.decodes)
		return max(l.at(w.context), shortest), l.compute(w.context)
	}
	k := c.spec.proposed
	context := w.context / c.spec.parts
	tokens, pairs := w.tokens+k*w.decodes, w.pairs+int64(k)*context
	p := c.step.Parts(w.decodes, context, tokens, pairs, w.seqs)
	t := p.Total()
	if w.decodes > 0 {
		t += c.draft
	}
	return max(fineOf(t), shortest), p.ComputeBound()
}
