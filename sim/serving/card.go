package serving

import "orrery/sim/model/card"

// Card describes the model of what happens to requests outside of replicas.
func Card() card.Card {
	return card.Card{
		Name: "requests", Title: "Requests between clients and replicas",
		Question: "When does a request reach which replica, what becomes of it when something fails, and when " +
			"has the client its answer?",
		Formula: []string{
			"latency = Σ over stages and the model of (hop + time + hop), over all tries, back-offs included; " +
				"first token at the client = first token of the model + hop, or the end of the answer when a stage " +
				"behind the model may refuse it",
			"time per output token = (last − first token of the model) ÷ (output − 1)",
			"timed stage: log-normal, median and P99 as given; at most so many requests at a time, first come first served",
			"back-off before retry n: uniform between 0 and min(most, base × 2^(n−1))",
			"router: round robin, uniform, fewest requests, the less loaded of two, or the greatest weighted sum " +
				"of the scores of queue depth ((most − waiting) ÷ (most − least)), KV cache (1 − used part) and prefix " +
				"(matched ÷ all blocks), ties at random, from figures as old as the router's scrape",
			"saturated: the mean over replicas of max(waiting ÷ bound, used part of the KV cache ÷ bound) is 1 or more; " +
				"requests that may be shed are rejected then",
			"transfer of a KV cache = set-up + bytes ÷ min(rate of sender, rate of receiver); rate = GPUs × links' " +
				"rate × the part of it that is reached; one after the other at each end",
		},
		Sources: []string{
			"kubernetes-sigs/gateway-api-inference-extension, pkg/epp: queue-scorer at cb1c67d, " +
				"kv-cache-utilization-scorer at 33173e4, prefix-cache-scorer at 05aed77, max-score-picker at 02308be, " +
				"default profile at 0c8fd51, approximate prefixes and admission at 014fd18, utilization detector at 275ac76",
			"M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 4 March 2015",
			"llm-d/llm-d-inference-sim at eec055a, docs/latency-profiles.md: rates and set-ups of KV transfers",
			"stas00/ml-engineering at 744d01e, compute/accelerator: copies over NVLink",
			"vllm-project/vllm, vllm/v1/metrics/loggers.py at 005a810; sgl-project/sglang, python/sglang/srt/metrics/" +
				"collector.py at 00ae9c1; huggingface/text-generation-inference, docs/source/reference/metrics.md at 53fdbe6; " +
				"NVIDIA/TensorRT-LLM, tensorrt_llm/metrics/collector.py at 050f80d; triton-inference-server/server, " +
				"docs/user_guide/metrics.md at 067c1e9: names and bounds of what servers expose",
		},
		Error: []string{"not measured against a cluster. Central queues are tested against Erlang C, replicas " +
			"against Little's law, one replica behind a router against the engine alone."},
		Omits: []string{
			"time that the router itself needs, and its limits",
			"of the inference extension: its flow control (queues by priority and fairness, off by default), figures that " +
				"count as saturated when they are older than 200 ms, LoRA affinity, scores from predicted latency",
			"time-outs and retries of proxies, which come on top of the client's where they are configured",
			"connections: a client's requests are independent of one another",
			"memory that the KV cache of a request takes at a prefill replica while it waits to be sent",
			"sharing of network adapters between KV transfers and other traffic",
			"gaps between single tokens: an inter-token latency that a server exposes is the mean of its request",
			"metrics of servers about adapters, grammars, speculation and single iterations",
		},
	}
}
