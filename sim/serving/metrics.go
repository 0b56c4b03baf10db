package serving

import (
	"slices"
	"strconv"
	"strings"

	model "orrery/sim/model/serving"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// Bounds of vLLM's histograms, seconds (vllm-project/vllm, vllm/v1/metrics/loggers.py at 005a810; the name
// inter_token_latency has the bounds of time_per_output_token since it has replaced it).
var (
	boundsTTFT = []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40,
		80, 160, 640, 2560}
	boundsToken = []float64{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80}
	boundsE2E   = []float64{0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680}
)

// histogram is a Prometheus histogram.
type histogram struct {
	bounds []units.Duration
	counts []int64 // by bucket, the last without bound
	n      int64
	sum    units.Duration
}

func newHistogram(seconds []float64) histogram {
	h := histogram{counts: make([]int64, len(seconds)+1)}
	for _, s := range seconds {
		h.bounds = append(h.bounds, units.FromSeconds(s))
	}
	return h
}

func (h *histogram) add(d units.Duration, n int64) {
	i, _ := slices.BinarySearch(h.bounds, d)
	h.counts[i] += n
	h.n += n
	h.sum += d * units.Duration(n)
}

// metrics is what a replica's server counts since it is ready.
type metrics struct {
	succeeded, aborted, failures int64
	prompt                       int64 // tokens of prompts that were computed or found, at the first token
	ttft, token, perOutput       histogram
	e2e, wait                    histogram
	took, computing              units.Duration // of requests that ended: in the server, in the model
	scraped                      model.Load     // at the last scrape
	scrapedAt                    units.Time
	series                       []series
}

func (m *metrics) init(r *replica) {
	m.ttft, m.token, m.perOutput = newHistogram(boundsTTFT), newHistogram(boundsToken), newHistogram(boundsToken)
	m.e2e, m.wait = newHistogram(boundsE2E), newHistogram(boundsE2E)
	m.scraped, m.scrapedAt = r.engine.Load(), r.since
	m.series = r.describe()
}

// began counts a first token.
func (m *metrics) began(q *model.Sequence) {
	m.prompt += int64(q.Input)
	m.ttft.add(q.First.Sub(q.Submitted), 1)
}

// ended counts a request that has ended. The engine does not tell every token, so that all gaps of a request count as
// their mean.
func (m *metrics) ended(q *model.Sequence) {
	m.succeeded++
	took, wait := q.Ended.Sub(q.Submitted), q.Begun.Sub(q.Submitted)
	m.took += took
	m.computing += took - wait
	m.e2e.add(took, 1)
	m.wait.add(wait, 1)
	if gaps := int64(q.Generated - 1); gaps > 0 && q.First != never {
		gap := q.Ended.Sub(q.First) / units.Duration(gaps)
		m.token.add(gap, gaps)
		m.perOutput.add(gap, 1)
	}
}

// Label is a label of a sample.
type Label struct{ Name, Value string }

// series is a time series that a scrape finds: what does not change of its samples.
type series struct {
	id     int
	name   string
	labels []Label
	hidden bool
}

// describer lists the series of a replica or a router, in the order in which they are scraped.
type describer struct {
	p   *Plane
	out []series
}

func (d *describer) add(name string, labels ...Label) {
	d.p.series++
	d.out = append(d.out, series{d.p.series, name, labels, d.p.p.Exposed != nil && !d.p.p.Exposed(name)})
}

func (d *describer) histogram(name string, bounds []float64, labels ...Label) {
	for _, b := range bounds {
		d.add(name+"_bucket", append(slices.Clone(labels), Label{"le", bound(b)})...)
	}
	d.add(name+"_bucket", append(slices.Clone(labels), Label{"le", "+Inf"})...)
	d.add(name+"_sum", labels...)
	d.add(name+"_count", labels...)
}

// bound writes a bucket's bound as Prometheus clients in Python do.
func bound(b float64) string {
	text := strconv.FormatFloat(b, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// describe lists the series of a replica, in the order of Plane.scrapeReplica.
func (r *replica) describe() []series {
	d := describer{p: r.p}
	e := &r.Spec.Engine
	if e.Preset == plan.EngineBatch {
		m := []Label{{"model", r.svc.plan.Name}, {"version", "1"}}
		for _, name := range []string{
			"nv_inference_request_success", "nv_inference_request_failure", "nv_inference_count", "nv_inference_exec_count",
			"nv_inference_request_duration_us", "nv_inference_queue_duration_us", "nv_inference_compute_infer_duration_us",
			"nv_inference_pending_request_count",
		} {
			d.add(name, m...)
		}
	} else {
		m := []Label{{"model_name", modelName(r.svc.plan)}, {"engine", "0"}}
		for _, name := range []string{
			"vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc", "vllm:num_preemptions_total",
			"vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:prefix_cache_queries_total",
			"vllm:prefix_cache_hits_total",
		} {
			d.add(name, m...)
		}
		d.add("vllm:request_success_total", append(slices.Clone(m), Label{"finished_reason", "stop"})...)
		d.add("vllm:request_success_total", append(slices.Clone(m), Label{"finished_reason", "abort"})...)
		d.histogram("vllm:time_to_first_token_seconds", boundsTTFT, m...)
		d.histogram("vllm:inter_token_latency_seconds", boundsToken, m...)
		d.histogram("vllm:request_time_per_output_token_seconds", boundsToken, m...)
		d.histogram("vllm:e2e_request_latency_seconds", boundsE2E, m...)
		d.histogram("vllm:request_queue_time_seconds", boundsE2E, m...)
		blocks := int64(0)
		if e.BlockTokens > 0 {
			blocks = r.engine.Load().KVTokens / int64(e.BlockTokens)
		}
		d.add("vllm:cache_config_info", Label{"block_size", strconv.Itoa(e.BlockTokens)},
			Label{"enable_prefix_caching", pythonBool(e.PrefixCaching)}, Label{"engine", "0"},
			Label{"gpu_memory_utilization", strconv.FormatFloat(e.MemoryUtilization, 'f', -1, 64)},
			Label{"num_gpu_blocks", strconv.FormatInt(blocks, 10)})
	}
	for _, name := range []string{"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_DEV_FB_USED",
		"DCGM_FI_DEV_FB_FREE"} {
		d.add(name, Label{"modelName", r.Spec.Device.GPU})
	}
	return d.out
}

// describe lists the series of a service's router, in the order of Plane.scrapeRouter. Names and labels are those of
// the endpoint picker (kubernetes-sigs/gateway-api-inference-extension, pkg/epp/metrics/metrics.go at 04a97e6; the
// queue of its flow control, inference_extension_flow_control_queue_size, came later).
func (s *service) describe() []series {
	d := describer{p: s.p}
	name := modelName(s.plan)
	m := []Label{{"model_name", name}, {"target_model_name", name}}
	d.add("inference_objective_request_total", m...)
	d.add("inference_objective_request_error_total",
		append(slices.Clone(m), Label{"error_code", "InferencePoolResourceExhausted"})...)
	d.add("inference_objective_running_requests", Label{"model_name", name})
	pool := Label{"name", s.plan.Name}
	d.add("inference_pool_average_kv_cache_utilization", pool)
	d.add("inference_pool_average_queue_size", pool)
	d.add("inference_pool_ready_pods", pool)
	d.add("inference_extension_flow_control_queue_size", append([]Label{{"fairness_id", "default-flow"}, {"priority", "0"},
		{"inference_pool", s.plan.Name}}, m...)...)
	return d.out
}

func modelName(s *plan.Service) string {
	if s.Engine.Model != nil && s.Engine.Model.Name != "" {
		return s.Engine.Model.Name
	}
	return s.Name
}

func pythonBool(b bool) string {
	if b {
		return "True"
	}
	return "False"
}
