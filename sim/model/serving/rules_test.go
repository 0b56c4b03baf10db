package serving

import (
	"testing"

	"orrery/sim/plan"
	"orrery/sim/units"
)

// worked is a case worked out by hand: every iteration takes a millisecond.
type worked struct {
	name   string
	engine plan.Engine // changes to small
	role   string
	tokens int64 // of the cache
	seqs   []workedSeq
	load   Load // counters that are not 0
}

// workedSeq has instants in milliseconds; 0 = Never.
type workedSeq struct {
	at                  float64
	input, output       int
	prefix              []uint64 // of 16 tokens
	received            bool
	begun, first, ended float64
	cached, preempted   int
	abort               float64
	slower              float64 // from when the replica is half as fast
	generated           int     // tokens when it was aborted
}

// small is an engine whose cache has blocks of 4 tokens.
func small(preset string) plan.Engine {
	return plan.Engine{Preset: preset, MaxBatchedTokens: 100, MaxSequences: 8, BlockTokens: 4, ChunkedPrefill: true,
		Evict: plan.EvictRecompute}
}

func (e engineChange) of(preset string) plan.Engine {
	out := small(preset)
	e(&out)
	return out
}

type engineChange func(*plan.Engine)

var (
	noEvict    = engineChange(func(e *plan.Engine) { e.Evict = plan.EvictNone })
	unchunked  = engineChange(func(e *plan.Engine) { e.ChunkedPrefill = false })
	caching    = engineChange(func(e *plan.Engine) { e.PrefixCaching, e.BlockTokens = true, 16 })
	lpm        = engineChange(func(e *plan.Engine) { caching(e); e.Policy = plan.PolicyLPM })
	single     = engineChange(func(e *plan.Engine) { e.MaxSequences = 2 })
	shortened  = engineChange(func(e *plan.Engine) { e.BlockTokens, e.MaxBatchedTokens = 16, 60 })
	many16     = engineChange(func(e *plan.Engine) { e.BlockTokens, e.MaxSequences = 1, 16 })
	tokenwise  = engineChange(func(e *plan.Engine) { e.BlockTokens = 1 })
	speculates = engineChange(func(e *plan.Engine) {
		e.Speculative = &plan.Speculative{Tokens: 1, Acceptance: 0.5} // 1.5 tokens a step
	})
)

var workedCases = []worked{
	{name: "vllm: prompts share what decoding leaves of an iteration", engine: small(plan.EngineVLLM), tokens: 1000,
		seqs: []workedSeq{
			{input: 60, output: 3, begun: 0, first: 1, ended: 3},
			{input: 80, output: 2, begun: 0, first: 2, ended: 3}, // 40 tokens, then the other 40
		}, load: Load{Prefilled: 140, Generated: 5, Iterations: 3}},
	{name: "vllm: who comes during an iteration waits for its end", engine: small(plan.EngineVLLM), tokens: 1000,
		seqs: []workedSeq{
			{input: 8, output: 5, first: 1, ended: 5},
			{at: 2.5, input: 8, output: 1, begun: 3, first: 4, ended: 4},
			{at: 4, input: 8, output: 1, begun: 4, first: 5, ended: 5},
		}, load: Load{Prefilled: 24, Generated: 7, Iterations: 5}},
	// 5 blocks. Both have 2; the first takes the fifth for its 9th token, then there is none for the second. It comes
	// back with 9 tokens to compute when the first has ended.
	{name: "vllm: the latest loses its cache and is computed again", engine: small(plan.EngineVLLM), tokens: 20,
		seqs: []workedSeq{
			{input: 8, output: 5, first: 1, ended: 5},
			{input: 8, output: 5, first: 1, ended: 9, preempted: 1},
			{input: 1, output: 1, begun: 0, first: 1, ended: 1},
		}, load: Load{Prefilled: 26, Generated: 11, Iterations: 9, Preemptions: 1}},
	{name: "tensorrt-llm: max utilization", engine: small(plan.EngineTRTLLM), tokens: 20,
		seqs: []workedSeq{
			{input: 8, output: 5, first: 1, ended: 5},
			{input: 8, output: 5, first: 1, ended: 9, preempted: 1},
		}, load: Load{Prefilled: 25, Generated: 10, Iterations: 9, Preemptions: 1}},
	{name: "tensorrt-llm: guaranteed no evict", engine: noEvict.of(plan.EngineTRTLLM), tokens: 20,
		seqs: []workedSeq{
			{input: 8, output: 5, first: 1, ended: 5},
			{input: 8, output: 5, begun: 5, first: 6, ended: 10}, // 3 blocks each in the end
		}, load: Load{Prefilled: 16, Generated: 10, Iterations: 10}},
	{name: "tensorrt-llm: a whole prompt beside decoding", engine: unchunked.of(plan.EngineTRTLLM), tokens: 1000,
		seqs: []workedSeq{
			{input: 8, output: 5, first: 1, ended: 5},
			{at: 0.5, input: 99, output: 1, begun: 1, first: 2, ended: 2},
			{at: 0.5, input: 100, output: 1, begun: 5, first: 6, ended: 6}, // 99 tokens are left beside the first
		}, load: Load{Prefilled: 207, Generated: 7, Iterations: 6}},
	{name: "vllm without chunks: prompts first and alone", engine: unchunked.of(plan.EngineVLLM), tokens: 1000,
		seqs: []workedSeq{
			{input: 8, output: 10, first: 1, ended: 11}, // stands still for one iteration
			{at: 2.5, input: 300, output: 1, begun: 3, first: 4, ended: 4},
		}, load: Load{Prefilled: 308, Generated: 11, Iterations: 11}},
	{name: "tgi: between prompts there is a step of decoding", engine: small(plan.EngineTGI), tokens: 1000,
		seqs: []workedSeq{
			{input: 8, output: 10, first: 1, ended: 12},
			{at: 2.5, input: 8, output: 1, begun: 3, first: 4, ended: 4},
			{at: 3.5, input: 8, output: 1, begun: 5, first: 6, ended: 6},
		}, load: Load{Prefilled: 24, Generated: 12, Iterations: 12}},
	// 4 run, so that there must be 1 that waits; with 7 there must be 2, or 20 steps must have passed since the last
	// prompts: at 1 … 20 ms.
	{name: "tgi: waiting served ratio", engine: small(plan.EngineTGI), tokens: 1000,
		seqs: []workedSeq{
			{input: 8, output: 30, first: 1, ended: 31}, {input: 8, output: 30, first: 1, ended: 31},
			{input: 8, output: 30, first: 1, ended: 31}, {input: 8, output: 30, first: 1, ended: 31},
			{input: 8, output: 30, first: 1, ended: 31}, {input: 8, output: 30, first: 1, ended: 31},
			{input: 8, output: 30, first: 1, ended: 31},
			{at: 2.5, input: 8, output: 1, begun: 20, first: 21, ended: 21},
		}, load: Load{Prefilled: 64, Generated: 211, Iterations: 31}},
	{name: "tgi: a prompt can be found again when its request has ended", engine: caching.of(plan.EngineTGI), tokens: 1600,
		seqs: []workedSeq{
			{input: 40, output: 3, prefix: []uint64{1, 2, 3}, first: 1, ended: 4},
			{at: 1.5, input: 40, output: 1, prefix: []uint64{1, 2, 3}, begun: 2, first: 3, ended: 3},
			{at: 5, input: 40, output: 1, prefix: []uint64{1, 2, 3}, begun: 5, first: 6, ended: 6, cached: 32},
		}, load: Load{Prefilled: 40 + 40 + 8, Generated: 5, Iterations: 5, PrefixHits: 32, PrefixQueries: 120}},
	// 10 run, so that 3 have to come together; of the 3 that wait 2 have room. They come 20 steps after the last prompts.
	{name: "tgi: too few that would have room wait on", engine: many16.of(plan.EngineTGI), tokens: 10*31 + 2*10 + 5,
		seqs: append(repeated(10, workedSeq{input: 2, output: 30, first: 1, ended: 31}),
			workedSeq{at: 2.5, input: 2, output: 9, begun: 20, first: 21, ended: 29},
			workedSeq{at: 2.5, input: 2, output: 9, begun: 20, first: 21, ended: 29},
			workedSeq{at: 2.5, input: 2, output: 9, begun: 31, first: 32, ended: 40}),
		load: Load{Prefilled: 26, Generated: 327, Iterations: 40}},
	{name: "sglang: prompts at once", engine: small(plan.EngineSGLang), tokens: 1000,
		seqs: []workedSeq{
			{input: 8, output: 10, first: 1, ended: 12},
			{at: 2.5, input: 8, output: 1, begun: 3, first: 4, ended: 4},
			{at: 3.5, input: 8, output: 1, begun: 4, first: 5, ended: 5},
		}, load: Load{Prefilled: 24, Generated: 12, Iterations: 12}},
	{name: "sglang: nobody decodes while a long prompt is computed", engine: small(plan.EngineSGLang), tokens: 1000,
		seqs: []workedSeq{
			{input: 8, output: 10, first: 1, ended: 13},
			{at: 2.5, input: 250, output: 1, begun: 3, first: 6, ended: 6},
		}, load: Load{Prefilled: 258, Generated: 11, Iterations: 13}},
	// When the second comes the first has 8 of 40 tokens and 15 to go, of which 0.7 count, so that 22 are free for a prompt
	// of 4, 16 to generate and one. 16 ms later they have 21 and 19; the second has generated less.
	{name: "sglang: retraction of the one with the least output", engine: tokenwise.of(plan.EngineSGLang), tokens: 40,
		seqs: []workedSeq{
			{input: 4, output: 20, first: 1, ended: 21},
			{at: 4.5, input: 4, output: 16, begun: 5, first: 6, ended: 22, preempted: 1},
		}, load: Load{Prefilled: 4 + 4 + 19, Generated: 36, Iterations: 22, Preemptions: 1}},
	// Whoever found no room is looked at again when a step of decoding has been formed with fewer.
	{name: "sglang: a place is free a step later", engine: single.of(plan.EngineSGLang), tokens: 1000,
		seqs: []workedSeq{
			{input: 4, output: 3, first: 1, ended: 3}, {input: 4, output: 5, first: 1, ended: 7},
			{at: 1.5, input: 4, output: 1, begun: 4, first: 5, ended: 5},
			{at: 1.5, input: 4, output: 1, begun: 5, first: 6, ended: 6}, // its prompt's end frees the place at once
		}, load: Load{Prefilled: 16, Generated: 10, Iterations: 7}},
	// The third has its beginning in the cache. The second and the fourth begin alike: the second takes what is left of
	// the iteration, 92 tokens, and 3 of the next one, where the fourth finds them.
	{name: "sglang: longest prefix match", engine: lpm.of(plan.EngineSGLang), tokens: 1600,
		seqs: []workedSeq{
			{input: 40, output: 1, prefix: []uint64{1, 2}, first: 1, ended: 1},
			{at: 0.5, input: 95, output: 1, prefix: []uint64{3, 4, 5}, begun: 1, first: 3, ended: 3},
			{at: 0.5, input: 40, output: 1, prefix: []uint64{1, 2}, begun: 1, first: 2, ended: 2, cached: 32},
			{at: 0.5, input: 40, output: 1, prefix: []uint64{3, 4}, begun: 2, first: 3, ended: 3, cached: 32},
		}, load: Load{Prefilled: 40 + 95 + 8 + 8, Generated: 4, Iterations: 3, PrefixHits: 64, PrefixQueries: 215}},
	{name: "sglang: first come first served", engine: caching.of(plan.EngineSGLang), tokens: 1600,
		seqs: []workedSeq{
			{input: 40, output: 1, prefix: []uint64{1, 2}, first: 1, ended: 1},
			{at: 0.5, input: 40, output: 1, prefix: []uint64{3, 4}, begun: 1, first: 2, ended: 2},
			{at: 0.5, input: 40, output: 1, prefix: []uint64{3, 4}, begun: 1, first: 2, ended: 2}, // together
			{at: 0.5, input: 40, output: 1, prefix: []uint64{1, 2}, begun: 1, first: 2, ended: 2, cached: 32},
		}, load: Load{Prefilled: 40 + 40 + 40 + 8, Generated: 4, Iterations: 2, PrefixHits: 32, PrefixQueries: 160}},
	{name: "tensorrt-llm: who needs what is being computed waits for it", engine: caching.of(plan.EngineTRTLLM), tokens: 1600,
		seqs: []workedSeq{
			{input: 40, output: 1, prefix: []uint64{1, 2}, first: 1, ended: 1},
			{input: 40, output: 1, prefix: []uint64{1, 2}, begun: 1, first: 2, ended: 2, cached: 32},
			{input: 40, output: 1, prefix: []uint64{3, 4}, begun: 0, first: 1, ended: 1}, // passes it
		}, load: Load{Prefilled: 40 + 40 + 8, Generated: 3, Iterations: 2, PrefixHits: 32, PrefixQueries: 120}},
	// 6 blocks of 16 tokens: the second's first 60 tokens would have room beside the first, all 70 have not.
	{name: "vllm: a prompt has to have room as a whole", engine: shortened.of(plan.EngineVLLM), tokens: 96,
		seqs: []workedSeq{
			{input: 30, output: 2, first: 1, ended: 2},
			{input: 70, output: 1, begun: 2, first: 4, ended: 4},
		}, load: Load{Prefilled: 100, Generated: 3, Iterations: 4}},
	{name: "prefix caching: full pieces, and the last token is computed", engine: caching.of(plan.EngineVLLM), tokens: 1600,
		seqs: []workedSeq{
			{input: 40, output: 1, prefix: []uint64{1, 2, 3}, first: 1, ended: 1},
			{at: 5, input: 40, output: 1, prefix: []uint64{1, 2, 3}, begun: 5, first: 6, ended: 6, cached: 32},
			{at: 10, input: 32, output: 1, prefix: []uint64{1, 2}, begun: 10, first: 11, ended: 11, cached: 16},
			{at: 15, input: 40, output: 1, prefix: []uint64{4, 2, 3}, begun: 15, first: 16, ended: 16},
		}, load: Load{Prefilled: 40 + 8 + 16 + 40, Generated: 4, Iterations: 4, PrefixHits: 48, PrefixQueries: 152}},
	{name: "prefix caching: beginnings are forgotten when others need the room", engine: caching.of(plan.EngineVLLM), tokens: 64,
		seqs: []workedSeq{
			{input: 40, output: 1, prefix: []uint64{1, 2, 3}, first: 1, ended: 1},
			{at: 5, input: 48, output: 1, begun: 5, first: 6, ended: 6}, // takes the free block, the last one, and a piece
			{at: 10, input: 40, output: 1, prefix: []uint64{1, 2, 3}, begun: 10, first: 11, ended: 11, cached: 16},
		}, load: Load{Prefilled: 40 + 48 + 24, Generated: 3, Iterations: 3, PrefixHits: 16, PrefixQueries: 128}},
	{name: "prefill: the first token is the last", engine: small(plan.EngineVLLM), role: plan.RolePrefill, tokens: 1000,
		seqs: []workedSeq{{input: 250, output: 100, first: 3, ended: 3}},
		load: Load{Prefilled: 250, Generated: 1, Iterations: 3}},
	{name: "decode: what has come needs blocks", engine: small(plan.EngineVLLM), role: plan.RoleDecode, tokens: 20,
		seqs: []workedSeq{
			{input: 8, output: 5, received: true, ended: 4},
			{input: 8, output: 5, received: true, begun: 4, ended: 8},
			{at: 2, input: 8, output: 1, received: true, begun: 2, ended: 2},
		}, load: Load{Generated: 8, Iterations: 8}},
	{name: "speculation: one and a half tokens a step", engine: speculates.of(plan.EngineVLLM), tokens: 1000,
		seqs: []workedSeq{{input: 8, output: 10, first: 1, ended: 7}}, // 9 tokens in 6 steps
		load: Load{Prefilled: 8, Generated: 10, Iterations: 7}},
	{name: "abort: the place is free at the end of the iteration", engine: noEvict.of(plan.EngineVLLM), tokens: 20,
		seqs: []workedSeq{
			{input: 8, output: 5, first: 1, abort: 2.5, generated: 2},
			{input: 8, output: 5, begun: 3, first: 4, ended: 8},
		}, load: Load{Prefilled: 16, Generated: 8, Iterations: 8}},
	{name: "speed: what is left of an iteration takes longer too", engine: small(plan.EngineVLLM), tokens: 1000,
		seqs: []workedSeq{{input: 8, output: 5, first: 1, ended: 7.5, slower: 2.5}},
		load: Load{Prefilled: 8, Generated: 5, Iterations: 5}},
}

// TestWorked compares both replicas with cases worked out by hand.
func TestWorked(t *testing.T) {
	for _, c := range workedCases {
		t.Run(c.name, func(t *testing.T) {
			if c.role == "" {
				c.role = plan.RoleBoth
			}
			s := Spec{Engine: c.engine, Role: c.role}
			step := linear{base: 1e-3}
			slow, err := newReference(&s, step, c.tokens)
			if err != nil {
				t.Fatal(err)
			}
			quick, err := newFast(&s, step, c.tokens)
			if err != nil {
				t.Fatal(err)
			}
			c.check(t, "reference", slow)
			c.check(t, "fast", quick)
		})
	}
}

func repeated(n int, s workedSeq) (out []workedSeq) {
	for range n {
		out = append(out, s)
	}
	return out
}

func millis(ms float64) units.Time { return units.Time(ms*1e6 + 0.5) }

func (c *worked) check(t *testing.T, name string, r Replica) {
	t.Helper()
	var none recycle
	seqs := make([]*Sequence, len(c.seqs))
	for i, w := range c.seqs {
		seqs[i] = &Sequence{Input: w.input, Output: w.output, Prefix: w.prefix, PrefixTokens: 16, Received: w.received,
			First: Never}
		if !r.Submit(millis(w.at), seqs[i]) {
			t.Fatalf("%s: %d refused: %s", name, i, seqs[i].Refused)
		}
	}
	for i, w := range c.seqs {
		if w.abort > 0 {
			r.Abort(millis(w.abort), seqs[i])
			if seqs[i].Generated != w.generated {
				t.Errorf("%s: %d had %d tokens when it was aborted, want %d", name, i, seqs[i].Generated, w.generated)
			}
		}
		if w.slower > 0 {
			r.SetSpeed(millis(w.slower), full/2)
		}
	}
	r.Advance(1e15, &none)
	for i, w := range c.seqs {
		q := seqs[i]
		first, ended := Never, Never
		if w.first > 0 {
			first = millis(w.first)
		}
		if w.ended > 0 {
			ended = millis(w.ended)
		}
		if q.Begun != millis(w.begun) || q.First != first || q.Ended != ended || q.Cached != w.cached ||
			q.Preempted != w.preempted {
			t.Errorf("%s: %d begun %v, first %v, ended %v, %d cached, %d preempted; want %+v", name, i, q.Begun, q.First, q.Ended,
				q.Cached, q.Preempted, w)
		}
	}
	l := r.Load()
	got := Load{Prefilled: l.Prefilled, Generated: l.Generated, Iterations: l.Iterations, Preemptions: l.Preemptions,
		PrefixHits: l.PrefixHits, PrefixQueries: l.PrefixQueries}
	if got != c.load {
		t.Errorf("%s: %+v, want %+v", name, got, c.load)
	}
}
