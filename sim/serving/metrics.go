package serving

import (
	"slices"
	"strconv"
	"strings"

	model "orrery/sim/model/serving"
	"orrery/sim/plan"
	"orrery/sim/units"
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
	if h.bounds == nil { // the server does not show it
		return
	}
	i, _ := slices.BinarySearch(h.bounds, d)
	h.counts[i] += n
	h.n += n
	h.sum += d * units.Duration(n)
}

// metrics is what a replica's server counts since it is ready.
type metrics struct {
	succeeded, aborted, failures int64
	prompt                       int64 // tokens of prompts that were computed or found, at the first token
	output                       int64 // tokens that requests which ended had generated
	ttft, token, perOutput       histogram
	e2e, wait                    histogram
	inference, prefill, decode   histogram
	busy                         float64        // part of the time between the last two scrapes
	took, computing              units.Duration // of requests that ended: in the server, in the model
	scraped                      model.Load     // at the last scrape
	scrapedAt                    units.Time
	lines                        []line
	series                       []series // of the lines, one after the other
}

func (m *metrics) init(r *replica) {
	b := boundsOf(r.Spec.Engine.Preset)
	m.ttft, m.token, m.perOutput = newHistogram(b.ttft), newHistogram(b.token), newHistogram(b.perOutput)
	m.e2e, m.wait = newHistogram(b.e2e), newHistogram(b.wait)
	m.inference, m.prefill, m.decode = newHistogram(b.inference), newHistogram(b.prefill), newHistogram(b.decode)
	m.scraped, m.scrapedAt = r.engine.Load(), r.since
	m.lines, m.series = r.describe()
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
	m.output += int64(q.Generated)
	m.e2e.add(took, 1)
	m.wait.add(wait, 1)
	m.inference.add(took-wait, 1)
	if q.First != never {
		m.prefill.add(q.First.Sub(q.Begun), 1)
		m.decode.add(q.Ended.Sub(q.First), 1)
	}
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

func (d *describer) histogram(name string, bounds []units.Duration, labels ...Label) {
	for _, b := range bounds {
		d.add(name+"_bucket", append(slices.Clone(labels), Label{"le", bound(b.Seconds())})...)
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

// describe lists what a replica's server shows, and the series that this is.
func (r *replica) describe() ([]line, []series) {
	of := subject{service: r.svc.plan.Name, model: modelName(r.svc.plan), role: r.Spec.Role, engine: &r.Spec.Engine}
	if of.engine.BlockTokens > 0 {
		of.blocks = r.engine.Load().KVTokens / int64(of.engine.BlockTokens)
	}
	d := describer{p: r.p}
	lines := pageOf(of)
	for _, l := range lines {
		if l.times == nil {
			d.add(l.name, l.labels...)
		} else {
			d.histogram(l.name, l.times(&r.metrics).bounds, l.labels...)
		}
	}
	return lines, d.out
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
