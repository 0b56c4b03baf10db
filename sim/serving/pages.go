package serving

import (
	"slices"
	"strconv"

	model "orrery/sim/model/serving"
	"orrery/sim/plan"
)

// line is one metric of a server's page: a number, or a histogram of times in seconds.
type line struct {
	name   string
	labels []Label
	value  func(*view) float64
	times  func(*metrics) *histogram
}

// view is what the lines of a page are made from at a scrape.
type view struct {
	load    model.Load
	m       *metrics
	blocks  float64 // of the KV cache
	used    float64 // part of the KV cache that running sequences hold
	seconds float64 // since the scrape before
}

// Bounds of histograms, seconds. vLLM's: vllm-project/vllm, vllm/v1/metrics/loggers.py at 005a810 (the name
// inter_token_latency has the bounds of time_per_output_token since it has replaced it); TensorRT-LLM has taken them
// over (NVIDIA/TensorRT-LLM, tensorrt_llm/metrics/collector.py at 050f80d). SGLang's: sgl-project/sglang,
// python/sglang/srt/metrics/collector.py at 00ae9c1. TGI's are a geometric sequence: huggingface/
// text-generation-inference, router/src/server.rs of v3.
var (
	boundsTTFT = []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40,
		80, 160, 640, 2560}
	boundsToken = []float64{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80}
	boundsE2E   = []float64{0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680}

	boundsPrefillTRT = []float64{0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 640,
		2560}

	boundsTTFTSGL = []float64{0.1, 0.2, 0.4, 0.6, 0.8, 1, 2, 4, 6, 8, 10, 20, 40, 60, 80, 100, 200, 400}
	boundsE2ESGL  = []float64{0.1, 0.2, 0.4, 0.6, 0.8, 1, 2, 4, 6, 8, 10, 20, 40, 60, 80, 100, 200, 400, 600, 1200, 1800,
		2400}
	boundsTokenSGL = []float64{0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.06, 0.08, 0.1,
		0.2, 0.4, 0.6, 0.8, 1, 2, 4, 6, 8}
	boundsQueueSGL = []float64{0, 0.1, 0.2, 0.5, 1, 2, 3, 4, 5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 100, 200, 300, 400,
		500, 600, 700, 800, 900, 1000, 1200, 1400, 1600, 1800, 2000, 2500, 3000}
)

// boundsTGI are 35 bounds from 0.15 ms on, each half as large again as the one before.
func boundsTGI() []float64 {
	out, v := make([]float64, 35), 0.0001
	for i := range out {
		v *= 1.5
		out[i] = v
	}
	return out
}

// bounds are those of a server's histograms of times.
type bounds struct{ ttft, token, perOutput, e2e, wait, inference, prefill, decode []float64 }

func boundsOf(preset string) bounds {
	switch preset {
	case plan.EngineSGLang:
		return bounds{ttft: boundsTTFTSGL, token: boundsTokenSGL, e2e: boundsE2ESGL, wait: boundsQueueSGL}
	case plan.EngineTGI:
		b := boundsTGI()
		return bounds{perOutput: b, e2e: b, wait: b, inference: b}
	case plan.EngineTRTLLM:
		return bounds{ttft: boundsTTFT, perOutput: boundsToken, e2e: boundsE2E, wait: boundsE2E, inference: boundsE2E,
			prefill: boundsPrefillTRT, decode: boundsE2E}
	case plan.EngineBatch:
		return bounds{}
	}
	return bounds{ttft: boundsTTFT, token: boundsToken, perOutput: boundsToken, e2e: boundsE2E, wait: boundsE2E}
}

// subject is what labels of a page name.
type subject struct {
	service, model, role string
	engine               *plan.Engine
	blocks               int64
}

// pageOf lists what a server shows under its own names. Of each server those are left out for which there is nothing to
// show: adapters, grammars, rates of speculation, times of iterations.
func pageOf(s subject) []line {
	switch s.engine.Preset {
	case plan.EngineSGLang:
		return pageSGLang(s)
	case plan.EngineTGI:
		return pageTGI()
	case plan.EngineTRTLLM:
		return slices.Concat(pageTRTLLM(s), pageTriton(s), pageTritonTRT(s))
	case plan.EngineBatch:
		return pageTriton(s)
	}
	return pageVLLM(s)
}

// Values that several servers show.
func running(v *view) float64     { return float64(v.load.Running) }
func waiting(v *view) float64     { return float64(v.load.Waiting) }
func kvUsed(v *view) float64      { return v.used }
func preemptions(v *view) float64 { return float64(v.load.Preemptions) }
func prompts(v *view) float64     { return float64(v.m.prompt) }
func generated(v *view) float64   { return float64(v.load.Generated) }
func hits(v *view) float64        { return float64(v.load.PrefixHits) }
func succeeded(v *view) float64   { return float64(v.m.succeeded) }
func aborted(v *view) float64     { return float64(v.m.aborted) }
func one(*view) float64           { return 1 }

// hitRate is the part of looked-up tokens that the prefix cache had.
func hitRate(v *view) float64 {
	if v.load.PrefixQueries == 0 {
		return 0
	}
	return float64(v.load.PrefixHits) / float64(v.load.PrefixQueries)
}

func ttft(m *metrics) *histogram      { return &m.ttft }
func tokenGap(m *metrics) *histogram  { return &m.token }
func perOutput(m *metrics) *histogram { return &m.perOutput }
func endToEnd(m *metrics) *histogram  { return &m.e2e }
func queueTime(m *metrics) *histogram { return &m.wait }
func inference(m *metrics) *histogram { return &m.inference }
func prefill(m *metrics) *histogram   { return &m.prefill }
func decode(m *metrics) *histogram    { return &m.decode }

// with returns labels with one more.
func with(labels []Label, name, value string) []Label {
	return append(slices.Clone(labels), Label{name, value})
}

// pageVLLM is vLLM's (vllm/v1/metrics/loggers.py at 005a810, without what it calls deprecated and, as nobody scales on
// them, without the times of the phases of a request and the histograms of its tokens).
func pageVLLM(s subject) []line {
	m, e := []Label{{"model_name", s.model}, {"engine", "0"}}, s.engine
	return []line{
		{name: "vllm:num_requests_running", labels: m, value: running},
		{name: "vllm:num_requests_waiting", labels: m, value: waiting},
		{name: "vllm:kv_cache_usage_perc", labels: m, value: kvUsed},
		{name: "vllm:num_preemptions_total", labels: m, value: preemptions},
		{name: "vllm:prompt_tokens_total", labels: m, value: prompts},
		{name: "vllm:generation_tokens_total", labels: m, value: generated},
		{name: "vllm:prefix_cache_queries_total", labels: m,
			value: func(v *view) float64 { return float64(v.load.PrefixQueries) }},
		{name: "vllm:prefix_cache_hits_total", labels: m, value: hits},
		{name: "vllm:request_success_total", labels: with(m, "finished_reason", "stop"), value: succeeded},
		{name: "vllm:request_success_total", labels: with(m, "finished_reason", "abort"), value: aborted},
		{name: "vllm:time_to_first_token_seconds", labels: m, times: ttft},
		{name: "vllm:inter_token_latency_seconds", labels: m, times: tokenGap},
		{name: "vllm:request_time_per_output_token_seconds", labels: m, times: perOutput},
		{name: "vllm:e2e_request_latency_seconds", labels: m, times: endToEnd},
		{name: "vllm:request_queue_time_seconds", labels: m, times: queueTime},
		{name: "vllm:cache_config_info", value: one, labels: []Label{{"block_size", strconv.Itoa(e.BlockTokens)},
			{"enable_prefix_caching", pythonBool(e.PrefixCaching)}, {"engine", "0"},
			{"gpu_memory_utilization", strconv.FormatFloat(e.MemoryUtilization, 'f', -1, 64)},
			{"num_gpu_blocks", strconv.FormatInt(s.blocks, 10)}}},
	}
}

// pageSGLang is SGLang's (python/sglang/srt/metrics/collector.py at 00ae9c1; the labels of the scheduler's metrics are
// those of scheduler_metrics_mixin.py). Tokens are counted there when a request ends; here as they are generated.
func pageSGLang(s subject) []line {
	kind := map[string]string{plan.RolePrefill: "prefill", plan.RoleDecode: "decode"}[s.role]
	if kind == "" {
		kind = "unified"
	}
	m := []Label{{"model_name", s.model}}
	of := []Label{{"engine_type", kind}, {"model_name", s.model}, {"pp_rank", "0"}, {"tp_rank", "0"}}
	return []line{
		{name: "sglang:num_running_reqs", labels: of, value: running},
		{name: "sglang:num_queue_reqs", labels: of, value: waiting},
		{name: "sglang:num_used_tokens", labels: of, value: func(v *view) float64 { return float64(v.load.KVUsed) }},
		{name: "sglang:max_total_num_tokens", labels: of, value: func(v *view) float64 { return float64(v.load.KVTokens) }},
		{name: "sglang:token_usage", labels: of, value: kvUsed},
		{name: "sglang:cache_hit_rate", labels: of, value: hitRate},
		{name: "sglang:gen_throughput", labels: of, value: throughput},
		{name: "sglang:num_retracted_requests_total", labels: of, value: preemptions},
		{name: "sglang:queue_time_seconds", labels: of, times: queueTime},
		{name: "sglang:prompt_tokens_total", labels: m, value: prompts},
		{name: "sglang:generation_tokens_total", labels: m, value: generated},
		{name: "sglang:cached_tokens_total", labels: m, value: hits},
		{name: "sglang:num_requests_total", labels: m, value: succeeded},
		{name: "sglang:num_aborted_requests_total", labels: m, value: aborted},
		{name: "sglang:time_to_first_token_seconds", labels: m, times: ttft},
		{name: "sglang:inter_token_latency_seconds", labels: m, times: tokenGap},
		{name: "sglang:e2e_request_latency_seconds", labels: m, times: endToEnd},
	}
}

// throughput is the rate of generated tokens since the scrape before.
func throughput(v *view) float64 {
	if v.seconds <= 0 {
		return 0
	}
	return float64(v.load.Generated-v.m.scraped.Generated) / v.seconds
}

// pageTGI is TGI's (huggingface/text-generation-inference, docs/source/reference/metrics.md at 53fdbe6). Its counters
// do not end in _total, and tokens are the sums of histograms, whose buckets are left out.
func pageTGI() []line {
	return []line{
		{name: "tgi_queue_size", value: waiting},
		{name: "tgi_batch_current_size", value: running},
		{name: "tgi_request_count", value: func(v *view) float64 {
			return float64(v.m.succeeded+v.m.aborted) + float64(v.load.Running+v.load.Waiting)
		}},
		{name: "tgi_request_success", value: succeeded},
		{name: "tgi_request_input_length_sum", value: prompts},
		{name: "tgi_request_generated_tokens_sum", value: func(v *view) float64 { return float64(v.m.output) }},
		{name: "tgi_request_generated_tokens_count", value: succeeded},
		{name: "tgi_request_duration", times: endToEnd},
		{name: "tgi_request_queue_duration", times: queueTime},
		{name: "tgi_request_inference_duration", times: inference},
		{name: "tgi_request_mean_time_per_token_duration", times: perOutput},
	}
}

// pageTRTLLM is that of trtllm-serve (NVIDIA/TensorRT-LLM, tensorrt_llm/metrics/collector.py at 050f80d).
func pageTRTLLM(s subject) []line {
	m := []Label{{"engine_type", "trtllm"}, {"model_name", s.model}}
	return []line{
		{name: "trtllm_num_requests_running", labels: m, value: running},
		{name: "trtllm_num_requests_waiting", labels: m, value: waiting},
		{name: "trtllm_kv_cache_utilization", labels: m, value: kvUsed},
		{name: "trtllm_kv_cache_hit_rate", labels: m, value: hitRate},
		{name: "trtllm_kv_cache_max_blocks", labels: m, value: maxBlocks},
		{name: "trtllm_kv_cache_used_blocks", labels: m, value: usedBlocks},
		{name: "trtllm_kv_cache_free_blocks", labels: m, value: freeBlocks},
		{name: "trtllm_prompt_tokens_total", labels: m, value: prompts},
		{name: "trtllm_generation_tokens_total", labels: m, value: generated},
		{name: "trtllm_request_success_total", labels: with(m, "finished_reason", "stop"), value: succeeded},
		{name: "trtllm_num_requests_completed_total", labels: m, value: succeeded},
		{name: "trtllm_e2e_request_latency_seconds", labels: m, times: endToEnd},
		{name: "trtllm_time_to_first_token_seconds", labels: m, times: ttft},
		{name: "trtllm_time_per_output_token_seconds", labels: m, times: perOutput},
		{name: "trtllm_request_queue_time_seconds", labels: m, times: queueTime},
		{name: "trtllm_request_prefill_time_seconds", labels: m, times: prefill},
		{name: "trtllm_request_decode_time_seconds", labels: m, times: decode},
		{name: "trtllm_request_inference_time_seconds", labels: m, times: inference},
	}
}

func maxBlocks(v *view) float64  { return v.blocks }
func usedBlocks(v *view) float64 { return float64(v.used * v.blocks) }
func freeBlocks(v *view) float64 { return v.blocks - usedBlocks(v) }

// pageTriton is Triton's of every model (triton-inference-server/server, docs/user_guide/metrics.md).
func pageTriton(s subject) []line {
	m := tritonLabels(s)
	micros := func(name string, of func(*metrics) int64) line {
		return line{name: name, labels: m, value: func(v *view) float64 { return float64(of(v.m)) }}
	}
	return []line{
		{name: "nv_inference_request_success", labels: m, value: succeeded},
		{name: "nv_inference_request_failure", labels: m, value: func(v *view) float64 { return float64(v.m.failures) }},
		{name: "nv_inference_count", labels: m, value: succeeded},
		{name: "nv_inference_exec_count", labels: m, value: func(v *view) float64 { return float64(v.load.Iterations) }},
		micros("nv_inference_request_duration_us", func(m *metrics) int64 { return m.took.Microseconds() }),
		micros("nv_inference_queue_duration_us", func(m *metrics) int64 { return (m.took - m.computing).Microseconds() }),
		micros("nv_inference_compute_infer_duration_us", func(m *metrics) int64 { return m.computing.Microseconds() }),
		{name: "nv_inference_pending_request_count", labels: m, value: waiting},
	}
}

func tritonLabels(s subject) []Label {
	name := s.service
	if s.engine.Preset == plan.EngineTRTLLM {
		name = "tensorrt_llm" // of the model repository's examples
	}
	return []Label{{"model", name}, {"version", "1"}}
}

// pageTritonTRT is that of Triton's backend for TensorRT-LLM (triton-inference-server/tensorrtllm_backend, README.md,
// "Triton Metrics").
func pageTritonTRT(s subject) []line {
	m := tritonLabels(s)
	requests := func(kind string, value func(*view) float64) line {
		return line{name: "nv_trt_llm_request_metrics", labels: with(m, "request_type", kind), value: value}
	}
	blocks := func(kind string, value func(*view) float64) line {
		return line{name: "nv_trt_llm_kv_cache_block_metrics", labels: with(m, "kv_cache_block_type", kind), value: value}
	}
	most, block := float64(s.engine.MaxSequences), float64(s.engine.BlockTokens)
	return []line{
		requests("waiting", waiting), requests("scheduled", running),
		requests("active", func(v *view) float64 { return float64(v.load.Running + v.load.Waiting) }),
		requests("max", func(*view) float64 { return most }),
		blocks("fraction", kvUsed), blocks("max", maxBlocks), blocks("used", usedBlocks), blocks("free", freeBlocks),
		blocks("tokens_per", func(*view) float64 { return block }),
	}
}

// Names returns the names of the metrics that a server of a preset shows, sorted; of a histogram those of its series.
func Names(preset string) []string {
	var out []string
	for _, l := range pageOf(subject{engine: &plan.Engine{Preset: preset}}) {
		if l.times == nil {
			out = append(out, l.name)
			continue
		}
		out = append(out, l.name+"_bucket", l.name+"_sum", l.name+"_count")
	}
	slices.Sort(out)
	return slices.Compact(out)
}
