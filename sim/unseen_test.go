package sim_test

import (
	"strings"
	"testing"

	"orrery/sim/journal"
)

// sliced stands for a cluster whose GPUs are all in slices, and a model that fits one.
const sliced = "sliced"

func inSlices(text, to string) string {
	if to != sliced {
		return text
	}
	return strings.NewReplacer("nodes: 1}", "nodes: 1, sharing: {strategy: mig, mig: {strategy: single, config: all-1g.10gb}}}",
		"llama-3-8b", "llama-3.2-1b", "name: served", "name: "+sliced).Replace(text)
}

// TestUnseen: metrics that nobody shows are told at the end, with what could be meant.
func TestUnseen(t *testing.T) {
	text := strings.Replace(chatScenario, "FILE", requestFile(t, 20, 1), 1)
	one := func(query string) string { return "sum(" + query + ")" }
	for _, x := range []struct{ from, to, query, want string }{
		{"", "", "vllm:gpu_cache_usage_perc", "vllm:gpu_cache_usage_perc, which an autoscaler asks for; write vllm:kv_cache_us"},
		{"", "", "rate(vllm:time_per_output_token_seconds_sum[1m])", "; write vllm:inter_token_latency_seconds"},
		{"", "", "vllm_num_requests_waiting", "; write vllm:num_requests_waiting"},
		{"", "", "vllm:num_requests_waiting", ""},
		{"preset: vllm", "preset: sglang", "vllm:num_requests_waiting", "DCGM_ (GPUs), service chat: sglang:…"},
		{"preset: vllm", "preset: sglang", "sglang:num_queue_reqs", ""},
		{sliced, sliced, "DCGM_FI_DEV_GPU_UTIL", "; write DCGM_FI_PROF_GR_ENGINE_ACTIVE: GPUs in MIG mode"},
		{"count: 2", "count: 0", "vllm:num_requests_waiting", "; service chat would, but has had no replica that was ready"},
	} {
		var got []string
		for _, r := range play(t, strings.Replace(inSlices(text, x.to), x.from, x.to, 1)+probes(one(x.query))+"horizon: 3m\n").records {
			if b, ok := r.Body.(journal.Warn); ok && b.Code == "metric-not-shown" {
				got = append(got, b.Message)
			}
		}
		if x.want == "" && len(got) > 0 || x.want != "" && (len(got) != 1 || !strings.Contains(got[0], x.want)) {
			t.Errorf("%s %s: %q, want %q", x.to, x.query, got, x.want)
		}
	}
}
