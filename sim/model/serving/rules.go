package serving

import (
	"fmt"

	"orrery/sim/plan"
)

// Figures of the engines' schedulers that plan.Engine has no field for.
const (
	// SGLang (sgl-project/sglang, commit 00550cd, srt/environ.py and managers/scheduler.py): the part of their remaining
	// output that running requests are expected to need, in millionths. It starts at 0.7, falls to 0.14 of that within
	// 600 decode steps, starts again when the server is idle, and is estimated anew at a retraction from what 20 more
	// steps would bring.
	ratioFirst, ratioLeast = 700_000, 98_000
	ratioFall              = (ratioFirst - ratioLeast) / 600
	retractSteps           = 20
	// SGLang, managers/schedule_policy.py of the same commit: output beyond so many tokens is not expected
	// (CLIP_MAX_NEW_TOKENS); a queue of more requests than that is not put in order; and what the prefix cache has so many
	// tokens of at most, but another that waits shares so many with, comes last (IN_BATCH_PREFIX_CACHING_*_THRESHOLD).
	clipOutput, orderedQueue, sharedTokens = 4096, 128, 32
	// TGI (huggingface/text-generation-inference, commit 120d577, launcher/src/main.rs): waiting_served_ratio in tenths,
	// and max_waiting_tokens.
	servedTenths, waitingTokens = 3, 20
)

// rules are a spec's, resolved: what the scheduler of a replica does.
type rules struct {
	speculation
	preset    string
	mixed     bool // prompts and decoding share iterations; otherwise prompts go first and alone
	chunked   bool
	whole     bool // a request is admitted only when all of its output will fit
	ordered   bool // the queue is put in order by what the prefix cache has of each prompt
	naming    naming
	budget    int // tokens of an iteration
	sequences int
	block     int64 // tokens
	blocks    int   // of the cache
	prefixes  bool
	longest   int // prompt and output of a request
	role      string
}

// naming is from when on others find the pieces of a prompt in the prefix cache.
type naming int

const (
	namedAhead  naming = iota // vLLM (v1/core/kv_cache_manager.py, allocate_slots): when their iteration is formed
	namedChunk                // SGLang (mem_cache/radix_cache.py, cache_unfinished_req): when it has ended
	namedPrompt               // TensorRT-LLM (batch_manager, storeContextBlocks): when the whole prompt has been computed
	namedEnd                  // TGI (backends/v3/src/radix.rs, RadixAllocator::free): when the sequence is gone
)

func rulesOf(s *Spec, kvTokens int64) (*rules, error) {
	e := &s.Engine
	r := &rules{speculation: speculationOf(e.Speculative), preset: e.Preset, chunked: e.ChunkedPrefill,
		whole: e.Evict == plan.EvictNone, budget: e.MaxBatchedTokens, sequences: e.MaxSequences,
		block: int64(e.BlockTokens), prefixes: e.PrefixCaching, longest: e.MaxModelTokens, role: s.Role}
	switch e.Preset {
	case plan.EngineVLLM:
		r.mixed = r.chunked
	case plan.EngineTRTLLM:
		r.mixed, r.naming = true, namedPrompt
	case plan.EngineSGLang:
		r.naming, r.ordered = namedChunk, e.Policy == plan.PolicyLPM && e.PrefixCaching
	case plan.EngineTGI:
		r.chunked, r.whole, r.naming = false, true, namedEnd
	default:
		return nil, fmt.Errorf("preset %q has no scheduler of language models; there are %s, %s, %s and %s", e.Preset,
			plan.EngineVLLM, plan.EngineSGLang, plan.EngineTRTLLM, plan.EngineTGI)
	}
	switch s.Role {
	case plan.RoleBoth, plan.RolePrefill, plan.RoleDecode:
	default:
		return nil, fmt.Errorf("role %q: a replica is %s, %s or %s", s.Role, plan.RoleBoth, plan.RolePrefill,
			plan.RoleDecode)
	}
	if r.sequences < 1 || r.block < 1 {
		return nil, fmt.Errorf("%d sequences and blocks of %d tokens: both are at least 1", r.sequences, r.block)
	}
	if least := r.sequences * (1 + r.proposed); r.mixed && r.budget < least || r.budget < 1 {
		return nil, fmt.Errorf("%d tokens an iteration are too few for %d sequences with %d proposed tokens each: take at "+
			"least %d tokens, or at most %d sequences", r.budget, r.sequences, r.proposed, max(least, 1),
			max(r.budget/(1+r.proposed), 1))
	}
	if e.Policy != "" && e.Policy != plan.PolicyFCFS && (e.Policy != plan.PolicyLPM || e.Preset != plan.EngineSGLang) {
		return nil, fmt.Errorf("policy %q of %s: it is %s, or with %s %s", e.Policy, e.Preset, plan.PolicyFCFS,
			plan.EngineSGLang, plan.PolicyLPM)
	}
	if e.Evict != plan.EvictNone && e.Evict != plan.EvictRecompute {
		return nil, fmt.Errorf("evict %q: it is %s or %s", e.Evict, plan.EvictRecompute, plan.EvictNone)
	}
	r.blocks = int(kvTokens / r.block)
	if r.blocks < 1 {
		return nil, fmt.Errorf("the KV cache of %d tokens has no block of %d", kvTokens, r.block)
	}
	return r, nil
}

// output is what the replica generates of a sequence.
func (r *rules) output(q *Sequence) int {
	if r.role == plan.RolePrefill {
		return 1
	}
	return q.Output
}

// logical is the blocks of a sequence while so many parts of tokens are in the cache or about to be written.
func (r *rules) logical(parts int64) int {
	return int((parts + r.block*r.parts - 1) / (r.block * r.parts))
}

// prompted is the blocks of a sequence of which so many tokens of target have been computed. Behind the last one there
// is room for the proposed tokens that the first step of decoding does not ask for itself.
func (r *rules) prompted(done, target int) int {
	if done < target {
		return r.logical(int64(done) * r.parts)
	}
	return r.logical(int64(target+1+r.proposed)*r.parts - r.gain)
}

// entering is the parts of tokens of a sequence in its first step of decoding, when target tokens were computed before.
func (r *rules) entering(target int) int64 { return int64(target+1+r.proposed) * r.parts }

// steps is the iterations of decoding from generated tokens to the output.
func (r *rules) steps(generated, output int) int64 {
	return (int64(output-generated)*r.parts + r.gain - 1) / r.gain
}

// grown is the tokens that steps of decoding bring to a sequence, which has generated so many before.
func (r *rules) grown(generated, output int, steps int64) int {
	return int(min(int64(output), int64(generated)+steps*r.gain/r.parts))
}

// peak is the most blocks that a sequence needs.
func (r *rules) peak(q *Sequence) int {
	generated := 1
	if q.Received {
		generated = max(q.Generated, 1)
	}
	target := q.Input + generated - 1
	p := r.prompted(target, target)
	if n := r.steps(generated, r.output(q)); n > 0 {
		p = max(p, r.logical(r.entering(target)+(n-1)*r.gain))
	}
	if r.parts > 1 { // one that is computed again may be ahead by a part of a step
		p = max(p, r.logical(int64(q.Input+r.output(q)+r.proposed)*r.parts))
	}
	return p
}

// least is the blocks that must be free before a prompt of so many tokens is let in, beside those of its first piece.
// vLLM (commit 003df29, v1/core/kv_cache_manager.py, full_sequence_must_fit) asks for the whole prompt's.
func (r *rules) least(target int) int {
	if r.preset != plan.EngineVLLM {
		return 0
	}
	return r.logical(int64(target) * r.parts)
}

// fitsWhole says whether there will be room for the whole output of a sequence with this peak: of the peaks of those
// that run, so many blocks are promised. TensorRT-LLM (batch_manager/kvCacheManager.cpp,
// getRemainingBlocksToCompletion) does not count on what it finds in the prefix cache, and TGI (queue.rs, next_batch)
// counts shared blocks for everyone.
func (r *rules) fitsWhole(peak, cached, unused, free, promised, peaks int) bool {
	switch r.preset {
	case plan.EngineTRTLLM:
		return peak <= free-promised
	case plan.EngineTGI:
		return peak <= r.blocks-peaks
	}
	return peak-cached+unused <= free-promised
}

// reserved is the tokens that SGLang (srt/managers/schedule_policy.py, PrefillAdder) sets aside for a request that it
// lets in, beside its prompt: a page, and its output unless only a piece of the prompt is computed.
func (r *rules) reserved(q *Sequence, piece bool) int64 {
	if piece {
		return r.block
	}
	return r.block + int64(min(r.output(q)-q.Generated, clipOutput))
}

// refuses says why a sequence cannot be served, "" = it can.
func (r *rules) refuses(q *Sequence) string {
	if q.Input < 1 || q.Output < 1 {
		return fmt.Sprintf("%d input and %d output tokens: both are at least 1", q.Input, q.Output)
	}
	if n := q.Input + q.Output; r.longest > 0 && n > r.longest {
		return fmt.Sprintf("%d input and %d output tokens are %d together, more than the %d that a request may have",
			q.Input, q.Output, n, r.longest)
	}
	if p := r.peak(q); p > r.blocks {
		return fmt.Sprintf("%d input and %d output tokens need %d blocks of %d tokens of the KV cache, which has %d",
			q.Input, q.Output, p, r.block, r.blocks)
	}
	return ""
}

// pieces is how many named pieces a prompt fills.
func (r *rules) pieces(q *Sequence) int {
	if !r.prefixes || q.PrefixTokens < 1 || q.Received {
		return 0
	}
	return min(len(q.Prefix), q.Input/q.PrefixTokens)
}

// upTo is the whole blocks in the first i pieces.
func (r *rules) upTo(q *Sequence, i int) int { return int(int64(i*q.PrefixTokens) / r.block) }

// hits looks a prompt up of which target tokens have to be in the cache: how many pieces from its beginning are there,
// the name of the last of them, the blocks that need not be computed, and those of them that are free now. The last
// token is always computed, for its successor, and so is the whole piece that it is in.
func (r *rules) hits(p *pool, q *Sequence, target int) (found int, name uint64, cached, idle int) {
	n := r.pieces(q)
	most := int(int64(target-1) / r.block)
	for found < n && r.upTo(q, found+1) <= most {
		next := chain(name, q.Prefix[found])
		x := p.find(next)
		if x == nil {
			break
		}
		if x.refs == 0 {
			idle += x.blocks
		}
		found, name = found+1, next
	}
	return found, name, r.upTo(q, found), idle
}
