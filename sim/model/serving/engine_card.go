package serving

import "orrery/sim/model/card"

// EngineCard describes how requests become iterations.
func EngineCard() card.Card {
	return card.Card{
		Name: "engines", Title: "Engines of inference servers",
		Question: "Which requests take part in which iteration of a replica, and when does each get its tokens?",
		Formula: []string{
			"Time is the sum of the roofline's iterations. Whoever has come when an iteration ends may take part in the next.",
			"vllm (V1): sequences that run get their token in the order of admission, then prompts get what is left of the " +
				"iteration's tokens, in pieces; then those that wait are let in, first come first served, while tokens, places " +
				"and blocks last. When blocks run out the latest loses its cache, waits at the front, and all of its tokens " +
				"are computed again. Without chunked prefill whole prompts come first, and nobody decodes meanwhile.",
			"sglang: prompts come first and alone, one at a time in pieces; a sequence is let in when its prompt, its output " +
				"and new_token_ratio of the output that others have to go fit. When memory runs out those with the least output " +
				"are retracted and wait at the end; the ratio is estimated anew.",
			"tensorrt-llm: prompts share iterations with decoding, in pieces only with chunked prefill. With evict: none " +
				"(GUARANTEED_NO_EVICT) a sequence is let in when its whole output will fit; with evict: recompute " +
				"(MAX_UTILIZATION) the latest pauses when memory runs out.",
			"tgi: whole prompts in an iteration of their own, up to max_batch_prefill_tokens, after a step of decoding at " +
				"least, once 0.3 of those that run are waiting or 20 steps have passed; a sequence is let in when its whole " +
				"output will fit.",
			"The KV cache is counted in blocks. Prefix caching finds whole named pieces of prompts that are still there; the " +
				"longest unused is forgotten first; the piece with the last token is computed again.",
			"Speculation: an iteration checks k proposed tokens of each sequence and gives it 1 + a + … + a^k of them, the " +
				"expected number, in 32nds of a token; proposing takes k × draft share of a step at batch 1.",
			"batch: a queue in front of instances of a classic model; a batch starts when it is full or its oldest request " +
				"has waited the longest delay.",
			"What is simulated jumps from one change of the batch to the next: context grows linearly between them, so that " +
				"times are arithmetic sums, in whole 2^-20 ns.",
		},
		Sources: []string{
			"vLLM, commit 00024d3: v1/core/sched/scheduler.py; commit 003df29: v1/core/kv_cache_manager.py",
			"SGLang, commit 00550cd: srt/managers/schedule_policy.py, schedule_batch.py, scheduler.py",
			"TensorRT-LLM: cpp/tensorrt_llm/batch_manager/capacityScheduler.cpp (GuaranteedNoEvictScheduler, " +
				"MaxUtilizationScheduler), read in copies of 1.x",
			"Text Generation Inference, commit 120d577: backends/v3/src/queue.rs, backend.rs",
			"Leviathan et al., arXiv 2211.17192: tokens of a speculative step",
			"Triton Inference Server, user guide: dynamic batching",
		},
		Error: []string{
			"against the rules as stated: none. A second implementation goes through every iteration and every sequence, and " +
				"random scripts of calls give the same events at the same instants (TestFast); cases worked out by hand " +
				"(TestWorked), M/M/1, M/M/c, M/D/1 and M/G/1 (TestQueues, TestSingleServer) hold.",
			"against real engines: not known beyond the roofline's validation; their schedulers were read, not run",
		},
		Omits: []string{
			"what generated tokens leave in the prefix cache: only prompts are found again",
			"the engine knows the output's length where it really knows the bound that the client set",
			"sglang: admission by longest prefix, mixed chunks, the cap of 4096 on expected output; a queue whose first " +
				"found no room is looked at again every 16 steps",
			"tgi: a batch of prompts smaller than the ratio asks for is computed, not put back",
			"tensorrt-llm: a sequence that is paused comes back first, as in vLLM; max utilization looks one step ahead, " +
				"not two",
			"priorities, LoRA, multimodal inputs, structured output, host offloading of the cache, asynchronous scheduling",
			"what varies in speculation: every sequence gets the expected tokens",
			"the hold of a prompt's cache at a prefill replica until it has been sent on",
		},
	}
}
