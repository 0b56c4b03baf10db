// Package gen makes traces of inference requests from a few parameters, with presets fitted to published traces.
//
// A trace is a mixture of streams, one for each tenant or service. A stream is an arrival process whose rate follows
// cycles, ramps and flash crowds; each arrival is a request, or opens a conversation of several; each request draws how
// many tokens it brings and gets, and what its prompt shares with others. Every stream has random streams of its own,
// named after it: another stream beside it moves none of its draws. Equal specs and seeds give equal traces.
//
// Not modelled: dependence of one client's requests on the answers it got (the sources are open loops; clients of the
// simulation may retry), changes of the mix of lengths over time, and images or other inputs that are not tokens.
package gen

import (
	"orrery/sim/strict"
)

// Version is the version of the generator; it changes when the same spec and seed give another trace.
const Version = "1"

// Spec is everything that determines a generated trace but its seed. A block that a stream leaves out is that of its
// preset, then that of the spec, then that of the spec's preset.
type Spec struct {
	// Name of the trace.
	Name string `yaml:"name" required:"true" min:"1"`
	// Preset to start from: azure-code, azure-conv, burstgpt, mooncake or sharegpt; or servegen-r1, which is a mixture of
	// clients. What is written beside it replaces its blocks as a whole.
	Preset string `yaml:"preset,omitempty"`
	// Span is how long requests arrive; without it and Requests the trace has no end.
	Span Duration `yaml:"span,omitempty"`
	// Requests ends the trace after so many; 0 = no bound. With both, the first ends it.
	Requests int64 `yaml:"requests,omitempty" min:"0"`
	// BlockTokens is the size of the blocks in which prefixes are named.
	BlockTokens int `yaml:"block_tokens,omitempty" min:"1" max:"1000000"`
	// Starts is the time of the week at which the trace begins, counted from Monday 0:00, e.g. 4d9h for Friday morning.
	Starts Duration `yaml:"starts,omitempty"`
	// RatePerSecond is the mean rate of all streams that give a weight; before the shape, which multiplies it.
	RatePerSecond float64 `yaml:"rate_per_second,omitempty" min:"0" max:"10000000"`
	// Arrival is the process of arrivals.
	Arrival *Arrival `yaml:"arrival,omitempty"`
	// Shape is what multiplies the rate over time; its elements multiply each other.
	Shape []Shape `yaml:"shape,omitempty"`
	// Lengths are the tokens of a request.
	Lengths *Lengths `yaml:"lengths,omitempty"`
	// Prefix is what prompts share.
	Prefix *Prefix `yaml:"prefix,omitempty"`
	// Streams are the parts of the mixture; without them there is one, without service and tenant.
	Streams []Stream `yaml:"streams,omitempty"`
}

// Stream is the requests of one tenant to one service.
type Stream struct {
	// Name of the stream, which names its random numbers; without it "service/tenant".
	Name string `yaml:"name,omitempty"`
	// Service that the requests ask.
	Service string `yaml:"service,omitempty"`
	// Tenant who asks.
	Tenant string `yaml:"tenant,omitempty"`
	// Preset of the stream's own.
	Preset string `yaml:"preset,omitempty"`
	// Weight is the stream's part of the spec's rate among the streams with a weight. Another stream with a weight changes
	// it; give rate_per_second instead to avoid that.
	Weight float64 `yaml:"weight,omitempty" min:"0" max:"1000000"`
	// RatePerSecond is the stream's own rate, instead of a weight.
	RatePerSecond float64 `yaml:"rate_per_second,omitempty" min:"0" max:"10000000"`
	// Arrival of the stream's own.
	Arrival *Arrival `yaml:"arrival,omitempty"`
	// Shape of the stream's own; it replaces the spec's.
	Shape []Shape `yaml:"shape,omitempty"`
	// Lengths of the stream's own.
	Lengths *Lengths `yaml:"lengths,omitempty"`
	// Prefix of the stream's own.
	Prefix *Prefix `yaml:"prefix,omitempty"`
}

// Arrival processes.
const (
	Poisson       = "poisson"
	Gamma         = "gamma"
	Deterministic = "deterministic"
	MMPP          = "mmpp"
)

// Arrival is the process of arrivals. Gaps are drawn with mean 1 and mapped to a time in which the rate has its shape
// (time rescaling), which is exact for any shape.
type Arrival struct {
	// Process is poisson, gamma (bursty above CV 1, more even below), deterministic (equal gaps) or mmpp (a Poisson
	// process whose rate jumps between states).
	Process string `yaml:"process" required:"true" enum:"poisson|gamma|deterministic|mmpp"`
	// CV of the gaps of a gamma process: standard deviation ÷ mean.
	CV float64 `yaml:"cv,omitempty" min:"0.01" max:"100"`
	// States of an mmpp, visited in turn. Their rates are relative: the mean over time is the stream's rate.
	States []State `yaml:"states,omitempty"`
}

// State is a state of a Markov-modulated Poisson process.
type State struct {
	// Rate relative to that of the other states.
	Rate float64 `yaml:"rate,omitempty" min:"0" max:"1000000"`
	// Mean time in the state, exponentially distributed.
	Mean Duration `yaml:"mean" required:"true"`
}

// Shape is one thing that multiplies the rate; exactly one of its fields is given. Between the points in which a shape
// is computed, at most a minute apart, the rate is a straight line.
type Shape struct {
	// HourOfDay are 24 weights, each for the middle of its hour, with straight lines between them; their mean becomes 1.
	HourOfDay []float64 `yaml:"hour_of_day,omitempty" min:"0" max:"1000000"`
	// DayOfWeek are 7 weights from Monday, constant over each day; their mean becomes 1.
	DayOfWeek []float64 `yaml:"day_of_week,omitempty" min:"0" max:"1000000"`
	// Points are factors at points in time with straight lines between them, constant before the first and after the last;
	// two at one instant are a step.
	Points []Point `yaml:"points,omitempty"`
	// Flash is a flash crowd.
	Flash *Flash `yaml:"flash,omitempty"`
}

// Point is a factor at an instant of the trace.
type Point struct {
	// At is the instant since the trace's beginning.
	At Duration `yaml:"at,omitempty"`
	// Factor that multiplies the rate.
	Factor float64 `yaml:"factor,omitempty" min:"0" max:"1000000"`
}

// Flash is a flash crowd: the rate rises in a straight line to Factor times itself, stays, and decays exponentially.
type Flash struct {
	// At is when the rise begins.
	At Duration `yaml:"at,omitempty"`
	// Factor at the top, e.g. 10.
	Factor float64 `yaml:"factor" required:"true" min:"0" max:"1000000"`
	// Rise is the time until the top, e.g. 2m.
	Rise Duration `yaml:"rise,omitempty"`
	// Hold is how long the top lasts.
	Hold Duration `yaml:"hold,omitempty"`
	// Decay is the time in which the excess halves; 0 = it ends at once.
	Decay Duration `yaml:"decay,omitempty"`
	// Every repeats the crowd after so long; 0 = it comes once.
	Every Duration `yaml:"every,omitempty"`
}

// Lengths are the tokens of a request.
type Lengths struct {
	// Input are the tokens of the prompt that only this request has; what it shares (prefix) comes on top.
	Input Tokens `yaml:"input" required:"true"`
	// Output are the tokens generated.
	Output Tokens `yaml:"output" required:"true"`
	// Correlation between input and output, of the normal variables behind both (a Gaussian copula).
	Correlation float64 `yaml:"correlation,omitempty" min:"-1" max:"1"`
}

// Tokens is a distribution of a number of tokens: fixed, or median and p99 of a lognormal, or quantiles.
type Tokens struct {
	// Fixed is always the same number.
	Fixed int `yaml:"fixed,omitempty" min:"1" max:"10000000"`
	// Median of a lognormal.
	Median float64 `yaml:"median,omitempty" min:"1" max:"10000000"`
	// P99 of the lognormal.
	P99 float64 `yaml:"p99,omitempty" min:"1" max:"10000000"`
	// Quantiles are points of the distribution, from at 0 (the least) to at 1 (the most). Between them the logarithm of
	// the tokens is a straight line over the normal quantile, so that each piece is one of a lognormal; 0 and 1 stand for
	// 4 standard deviations.
	Quantiles []Quantile `yaml:"quantiles,omitempty"`
	// Min is the least; less becomes Min. 0 = 1.
	Min int `yaml:"min,omitempty" min:"0" max:"10000000"`
	// Max is the most, e.g. the context of the model; more becomes Max. 0 = no bound.
	Max int `yaml:"max,omitempty" min:"0" max:"10000000"`
}

// Quantile is a point of a distribution.
type Quantile struct {
	// At is the share of requests with at most so many tokens.
	At float64 `yaml:"at,omitempty" min:"0" max:"1"`
	// Tokens at that share.
	Tokens float64 `yaml:"tokens" required:"true" min:"1" max:"10000000"`
}

// Prefix is what prompts share: system prompt, then document, then the conversation so far.
type Prefix struct {
	// SystemTokens is the length of the system prompt, the same for all requests to the service.
	SystemTokens int `yaml:"system_tokens,omitempty" min:"0" max:"10000000"`
	// Documents that requests are about, one each.
	Documents *Documents `yaml:"documents,omitempty"`
	// Sessions make conversations of requests.
	Sessions *Sessions `yaml:"sessions,omitempty"`
}

// Documents are long beginnings that some requests share, drawn by a Zipf law.
type Documents struct {
	// Count of documents.
	Count int `yaml:"count" required:"true" min:"1" max:"1000000"`
	// Tokens of each document.
	Tokens int `yaml:"tokens" required:"true" min:"1" max:"10000000"`
	// Zipf is the exponent: the document of rank r has the weight r^-zipf; 0 = all alike.
	Zipf float64 `yaml:"zipf,omitempty" min:"0" max:"10"`
}

// Sessions are conversations: each turn's prompt is that of the turn before, its answer, and new input.
type Sessions struct {
	// MeanTurns of a conversation, geometrically distributed. The rate counts requests, not conversations.
	MeanTurns float64 `yaml:"mean_turns" required:"true" min:"1" max:"10000"`
	// Think is the median time from one turn to the next, lognormal: reading the answer and writing the next question.
	Think Duration `yaml:"think" required:"true"`
	// ThinkP99 is the 99th percentile of that time.
	ThinkP99 Duration `yaml:"think_p99" required:"true"`
	// MaxInput ends a conversation before a turn whose prompt would be longer; 0 = no bound.
	MaxInput int `yaml:"max_input,omitempty" min:"0" max:"10000000"`
}

// SetDefaults implements strict.Defaulter.
func (s *Spec) SetDefaults() { s.BlockTokens = 16 }

// Parse reads a spec from YAML, strictly. The error is an *strict.Error with every problem as file:line:column.
func Parse(file string, data []byte) (Spec, error) {
	var s Spec
	s.SetDefaults()
	doc := strict.Parse(file, data)
	doc.Decode(&s)
	s.Check(doc, "")
	return s, doc.Err()
}
