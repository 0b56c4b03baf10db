package sim

import (
	"fmt"
	"slices"
	"strings"

	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/serving"
)

// renamed are names of metrics that servers have had once, or that only some of them have, and what to write instead.
// Of vLLM's those of its engine V0 and those that it calls deprecated (vllm-project/vllm, docs/design/metrics.md and
// vllm/v1/metrics/loggers.py), of SGLang's those before python/sglang/srt/metrics/collector.py at 00ae9c1.
var renamed = map[string]string{
	"vllm:gpu_cache_usage_perc":                 "vllm:kv_cache_usage_perc",
	"vllm:cpu_cache_usage_perc":                 "nothing: vLLM V1 does not swap",
	"vllm:num_requests_swapped":                 "nothing: vLLM V1 does not swap",
	"vllm:time_per_output_token_seconds":        "vllm:inter_token_latency_seconds",
	"vllm:gpu_prefix_cache_hits_total":          "vllm:prefix_cache_hits_total",
	"vllm:gpu_prefix_cache_queries_total":       "vllm:prefix_cache_queries_total",
	"vllm:avg_prompt_throughput_toks_per_s":     "rate(vllm:prompt_tokens_total[1m])",
	"vllm:avg_generation_throughput_toks_per_s": "rate(vllm:generation_tokens_total[1m])",
	"sglang:time_per_output_token_seconds":      "sglang:inter_token_latency_seconds",
	"sglang:avg_request_queue_latency":          "sglang:queue_time_seconds",
	"sglang:num_requests_running":               "sglang:num_running_reqs",
	"sglang:num_requests_waiting":               "sglang:num_queue_reqs",
	"DCGM_FI_DEV_GPU_UTIL":                      "DCGM_FI_PROF_GR_ENGINE_ACTIVE: GPUs in MIG mode have no other",
}

// prefixes are how the names of servers' metrics begin.
var prefixes = map[string]string{plan.EngineVLLM: "vllm:", plan.EngineSGLang: "sglang:", plan.EngineTGI: "tgi_",
	plan.EngineTRTLLM: "trtllm_, nv_trt_llm_ or nv_inference_", plan.EngineBatch: "nv_inference_"}

// unseen warns of metrics that autoscalers have asked for in vain: nobody shows them, and they say so only in their
// status.
func (c *cluster) unseen() {
	if c.metrics.store == nil {
		return
	}
	for _, name := range c.metrics.store.Unseen() {
		c.record(journal.Warn{Code: "metric-not-shown", Count: 1, Message: fmt.Sprintf(
			"no target has shown the metric %s, which an autoscaler asks for%s", name, c.instead(name))})
	}
}

// instead says what could be meant by a metric that nobody shows.
func (c *cluster) instead(name string) string {
	base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
	engine, rest, colon := strings.Cut(base, "_")
	written := base
	if colon && (engine == "vllm" || engine == "sglang") {
		written = engine + ":" + rest
	}
	for _, x := range []string{name, base, written} {
		if to, ok := renamed[x]; ok {
			return "; write " + to
		}
	}
	var have []string
	for i := range c.plan.Services {
		s := &c.plan.Services[i]
		if slices.Contains(serving.Names(s.Engine.Preset), strings.Replace(name, base, written, 1)) {
			if written != base {
				return "; write " + strings.Replace(name, base, written, 1)
			}
			return "; service " + s.Name + " would, but has had no replica that was ready: what its pods show cannot bring " +
				"the first; use what its router shows, e.g. inference_objective_running_requests"
		}
		have = append(have, fmt.Sprintf("service %s: %s…", s.Name, prefixes[s.Engine.Preset]))
	}
	if len(have) == 0 {
		return ""
	}
	return "; what there is begins with inference_ (routers), DCGM_ (GPUs), " + strings.Join(have, ", ")
}
