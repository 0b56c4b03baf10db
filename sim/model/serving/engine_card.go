package serving

import "orrery/sim/model/card"

// EngineCard describes how requests become iterations.
func EngineCard() card.Card {
	return card.Card{
		Name: "engines", Title: "Engines of inference servers",
		Question: "Which requests take part in which iteration of a replica, and when does each get its tokens?",
		Formula:  engineRules(),
		Sources: []string{
			"vLLM, commit 00024d3: v1/core/sched/scheduler.py; commit 003df29: v1/core/kv_cache_manager.py",
			"SGLang, commit 00550cd: srt/managers/schedule_policy.py, schedule_batch.py, scheduler.py, " +
				"srt/mem_cache/radix_cache.py",
			"TensorRT-LLM, commit 02a10fe: cpp/tensorrt_llm/batch_manager/capacityScheduler.cpp (GuaranteedNoEvictScheduler, " +
				"MaxUtilizationScheduler, beneficialToSkip); kvCacheManager.cpp (getRemainingBlocksToCompletion, " +
				"storeContextBlocks), read in copies of 1.x",
			"Text Generation Inference, commit 120d577: backends/v3/src/queue.rs, backend.rs; radix.rs (free)",
			"Leviathan et al., arXiv 2211.17192: tokens of a speculative step",
			"Triton Inference Server, user guide: dynamic batching; triton-inference-server/core, commit 01ea7d9: " +
				"src/dynamic_batch_scheduler.cc (GetDynamicBatch); commit 05295b7: src/scheduler_utils.cc (PriorityQueue, " +
				"RejectTimeoutRequests)",
		},
		Error: []string{
			"against the rules as stated: none. A second implementation goes through every iteration and every sequence, and " +
				"random scripts of calls give the same events at the same instants (TestFast), and so does a batcher that walks " +
				"over all that wait (TestTriton); cases worked out by hand (TestWorked, TestPriorities), M/M/1, M/M/c, M/D/1 " +
				"and M/G/1 (TestQueues, TestSingleServer) hold.",
			"against real engines: not known beyond the roofline's validation; their schedulers were read, not run",
		},
		Omits: []string{
			"what generated tokens leave in the prefix cache: only prompts are found again",
			"the engine knows the output's length where it really knows the bound that the client set",
			"sglang: mixed chunks, the policies lof, random, dfs-weight, hrrn and routing-key; decode replicas let in by the " +
				"rule above, not with 512 tokens set aside for each that runs",
			"tgi: prompts in pieces (3.x); more than 128 requests at a time wait, where the server refuses them",
			"tensorrt-llm: pieces of prompts in whole blocks; max utilization looks one step ahead, not two as with several " +
				"micro batches",
			"vllm: scheduling by priority, the watermark (0 by default), bounds on long prompts (off by default)",
			"batch: time-outs that requests bring along; batches of requests that are batches themselves",
			"priorities of language models, LoRA, multimodal inputs, structured output, host offloading of the cache, " +
				"asynchronous scheduling",
			"what varies in speculation: every sequence gets the expected tokens",
			"the hold of a prompt's cache at a prefill replica until it has been sent on",
		},
	}
}

// engineRules are how engines schedule.
func engineRules() []string {
	return []string{
		"Time is the sum of the roofline's iterations. Whoever has come when an iteration ends may take part in the next.",
		"vllm (V1): sequences that run get their token in the order of admission, then prompts get what is left of the " +
			"iteration's tokens, in pieces; then those that wait are let in, first come first served, while tokens, " +
			"places and blocks for the whole prompt last. When blocks run out the latest loses its cache, waits at the " +
			"front, and all of its tokens are computed again. Without chunked prefill whole prompts come first, and " +
			"nobody decodes meanwhile.",
		"sglang: prompts come first and alone, one at a time in pieces; a sequence is let in when its prompt, its output " +
			"and new_token_ratio of the output that others have to go fit, of each 4096 tokens at most. Once one has " +
			"found no room nobody looks until a step of decoding with fewer has been formed (batch_is_full). When " +
			"memory runs out those with the least output are retracted, with speculation the latest, and wait at the " +
			"end; the ratio is estimated anew. With lpm the queue, up to 128, is sorted by what the prefix cache has of " +
			"each prompt; of those that lack a beginning of 32 tokens or more that others share, all but the first come " +
			"last.",
		"tensorrt-llm: prompts share iterations with decoding, in pieces only with chunked prefill. With evict: none " +
			"(GUARANTEED_NO_EVICT) a sequence is let in when its whole output will fit, whatever the prefix cache has; " +
			"with evict: recompute (MAX_UTILIZATION) the latest pauses when memory runs out. Whoever needs a piece that " +
			"is being computed for another is passed over until it is there.",
		"tgi: whole prompts in an iteration of their own, up to max_batch_prefill_tokens, after a step of decoding at " +
			"least, once 0.3 of those that run can be let in together or 20 steps have passed; a sequence is let in when " +
			"its whole output will fit, what it shares counted for everyone.",
		"The KV cache is counted in blocks. Prefix caching finds whole named pieces of prompts that are still there; the " +
			"longest unused is forgotten first; the piece with the last token is computed again. Others find a piece " +
			"when the iteration that computes it is formed (vllm) or has ended (sglang), when the whole prompt is there " +
			"(tensorrt-llm), or when its request has gone (tgi).",
		"Speculation: an iteration checks k proposed tokens of each sequence and gives it 1 + a + … + a^k of them, the " +
			"expected number, in 32nds of a token; proposing takes k × draft share of a step at batch 1.",
		"batch: queues by priority in front of instances of a classic model. A batch starts when it has a preferred size, " +
			"the largest if no other is given, or its oldest request has waited the longest delay. Queues may be bounded; " +
			"who waits longer than a queue's time-out fails then, or goes behind the others of its level; answers may " +
			"be held until those of earlier batches are there.",
		"What is simulated jumps from one change of the batch to the next: context grows linearly between them, so that " +
			"times are arithmetic sums, in whole 2^-20 ns.",
	}
}
