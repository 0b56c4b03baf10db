package gen

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
	"gopkg.in/yaml.v3"

	"orrery/traces"
)

// Version is the version of the generator; it changes when the same spec and seed give another trace.
const Version = "1"

// Generator is a traces.Source of a spec's jobs, in constant memory.
type Generator struct {
	spec    Spec
	rng     *rand.Rand
	header  traces.Header
	clock   clock
	sizes   choice
	milli   choice
	classes []class
	tenants choice
	prios   choice
	models  choice
	made    int64
	done    bool
}

// class is a Class ready to draw from.
type class struct {
	name     string
	upTo     int
	parts    choice
	samplers []sampler
	outcomes choice
}

// outcomes in the order of Outcomes.weights.
var outcomes = [...]string{traces.Succeeded, traces.Failed, traces.Killed, traces.Unknown}

func (o Outcomes) weights() []float64 { return []float64{o.Succeeded, o.Failed, o.Killed, o.Unknown} }

// New returns the trace of a spec. All draws come from rng, which the generator takes over. The error is that of
// Validate.
func New(s Spec, rng *rand.Rand) (*Generator, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	params, err := yaml.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("writing the parameters of trace %s: %w", s.Name, err)
	}
	g := &Generator{spec: s, rng: rng, clock: newClock(s.Arrival, s.RatePerHour(), rng)}
	g.header = traces.Header{Format: traces.FormatVersion, Units: traces.StandardUnits(), Name: s.Name,
		Source: "generated with\n" + string(params), Licence: "CC0-1.0", Citation: s.Source,
		Generator: "orrery gen " + Version}
	if s.Span == 0 {
		g.header.Jobs = s.Jobs
	}
	var w []float64
	for _, size := range s.Sizes {
		w = append(w, size.Weight)
	}
	g.sizes = newChoice(w)
	if s.Fractional.Share > 0 {
		w = nil
		for _, m := range s.Fractional.Milli {
			w = append(w, m.Weight)
		}
		g.milli = newChoice(w)
	}
	for _, c := range s.Classes {
		g.classes = append(g.classes, newClass(c))
	}
	g.tenants, g.prios = newNamed(s.Tenants), newNamed(s.Priorities)
	w = nil
	for _, m := range s.Models {
		w = append(w, m.Share)
	}
	g.models = newChoice(w)
	return g, nil
}

func newClass(c Class) class {
	out := class{name: c.Name, upTo: c.UpToGPUs}
	var w []float64
	for _, d := range c.Duration {
		w = append(w, d.weight())
		out.samplers = append(out.samplers, d.sampler())
	}
	out.parts = newChoice(w)
	if c.Outcomes != (Outcomes{}) {
		out.outcomes = newChoice(c.Outcomes.weights())
	}
	return out
}

func newNamed(list []Named) choice {
	var w []float64
	for _, n := range list {
		w = append(w, n.Share)
	}
	return newChoice(w)
}

// mean returns the mean length in seconds.
func (c class) mean() float64 {
	m := 0.0
	for i, s := range c.samplers {
		m += float64(c.parts.share(i) * s.mean)
	}
	return m
}

// Header implements traces.Source.
func (g *Generator) Header() traces.Header { return g.header }

// Close implements traces.Source.
func (g *Generator) Close() error { return nil }

// Next implements traces.Source. Each job takes the same number of draws from the stream in the same order, whatever it
// draws, but for the gap of a bursty process.
func (g *Generator) Next() (traces.Job, error) {
	if g.done || g.spec.Jobs > 0 && g.made == g.spec.Jobs {
		return traces.Job{}, io.EOF
	}
	at := g.clock.next()
	if g.spec.Span > 0 && at >= g.spec.Span {
		g.done = true // holds for further calls, which must not draw
		return traces.Job{}, io.EOF
	}
	if at > traces.MaxTime {
		return traces.Job{}, fmt.Errorf("generating trace %s: submissions pass 100 years after %d jobs", g.spec.Name, g.made)
	}
	g.made++
	j := traces.Job{ID: fmt.Sprintf("%s-%07d", g.spec.Name, g.made), Submit: at, ObservedWait: traces.WaitUnknown}
	g.fill(&j)
	return j, nil
}

func (g *Generator) fill(j *traces.Job) {
	size, part, length := g.rng.Float64(), g.rng.Float64(), g.rng.Float64()
	fraction, milli, outcome := g.rng.Float64(), g.rng.Float64(), g.rng.Float64()
	tenant, priority := g.rng.Float64(), g.rng.Float64()
	j.GPUs = g.spec.Sizes[g.sizes.pick(size)].GPUs
	if j.GPUs > 0 {
		j.GPUMilli = 1000
	}
	if j.GPUs == 1 && fraction < g.spec.Fractional.Share {
		j.GPUMilli = g.spec.Fractional.Milli[g.milli.pick(milli)].Milli
	}
	c := g.classes[slices.IndexFunc(g.classes, func(c class) bool { return j.GPUs <= c.upTo })]
	j.Class = c.name
	// Milliseconds: finer than any source, coarse enough that the last bit of a logarithm does not show.
	j.Run = toMillis(c.samplers[c.parts.pick(part)].at(length))
	if len(c.outcomes) > 0 {
		j.Outcome = outcomes[c.outcomes.pick(outcome)]
	}
	if len(g.tenants) > 0 {
		j.Tenant = g.spec.Tenants[g.tenants.pick(tenant)].Name
	}
	if len(g.prios) > 0 {
		j.Priority = g.spec.Priorities[g.prios.pick(priority)].Name
	}
	if len(g.models) > 0 { // specs without it have drawn one number less ever since
		if m := g.spec.Models[g.models.pick(g.rng.Float64())]; j.GPUs > 0 {
			j.GPUModels = m.AnyOf
		}
	}
	r := g.spec.Resources
	j.CPUMilli = j.GPUAsked() * r.CPUMilliPerGPU / 1000
	j.MemoryMiB = j.GPUAsked() * r.MemoryMiBPerGPU / 1000
	if j.GPUs == 0 {
		j.CPUMilli, j.MemoryMiB = r.CPUMilliPerCPUJob, r.MemoryMiBPerCPUJob
	}
}

func toMillis(seconds float64) time.Duration {
	return max(time.Duration(math.Round(seconds*1000)), 1) * time.Millisecond
}

// RatePerHour returns the mean rate of submissions that the spec asks for or implies. The spec must be valid but for
// the rate.
func (s *Spec) RatePerHour() float64 {
	switch {
	case s.Arrival.RatePerHour > 0:
		return s.Arrival.RatePerHour
	case s.Arrival.Load != nil:
		return s.Arrival.Load.Factor * s.Arrival.Load.GPUs * 3600 / s.WorkMean()
	}
	return float64(s.Jobs) / s.Span.Hours()
}

// WorkMean returns the mean work of a job in GPU·seconds.
func (s *Spec) WorkMean() float64 {
	total, work := 0.0, 0.0
	fraction := 1.0 // of a GPU, mean over jobs with one
	if f := s.Fractional; f.Share > 0 {
		sum, milli := 0.0, 0.0
		for _, m := range f.Milli {
			sum += m.Weight
			milli += float64(m.Weight * float64(m.Milli) / 1000)
		}
		fraction = 1 - f.Share + float64(f.Share*(milli/sum))
	}
	for _, size := range s.Sizes {
		i := slices.IndexFunc(s.Classes, func(c Class) bool { return size.GPUs <= c.UpToGPUs })
		gpus := float64(size.GPUs)
		if size.GPUs == 1 {
			gpus = fraction
		}
		total += size.Weight
		work += float64(size.Weight * gpus * newClass(s.Classes[i]).mean())
	}
	return work / total
}

// choice draws an index with given weights: cumulative shares, the last one 1.
type choice []float64

func newChoice(w []float64) choice {
	sum := 0.0
	for _, f := range w {
		sum += f
	}
	c := make(choice, len(w))
	part := 0.0
	for i, f := range w {
		part += f
		c[i] = part / sum
	}
	return c
}

// pick returns the index for u in [0, 1). Indices of weight 0 are never returned.
func (c choice) pick(u float64) int {
	i := slices.IndexFunc(c, func(share float64) bool { return u < share })
	if i < 0 { // the last share is 1 but for rounding
		return len(c) - 1
	}
	return i
}

func (c choice) share(i int) float64 {
	if i == 0 {
		return c[0]
	}
	return c[i] - c[i-1]
}

// clock draws submission times. Gaps of mean 1 are drawn in operational time, which is then mapped to the time in which
// the hours of the week have their rates.
type clock struct {
	gap   func() float64
	rate  []float64 // submissions per hour in each of the 168 hours of a week
	hours int64     // whole hours passed
	part  float64   // of the current hour, 0 to 1
}

const weekHours = 7 * 24

func newClock(a Arrival, perHour float64, rng *rand.Rand) clock {
	c := clock{gap: rng.ExpFloat64, rate: make([]float64, weekHours)}
	if a.Process == Gamma {
		shape := 1 / (a.CV * a.CV)
		c.gap = distuv.Gamma{Alpha: shape, Beta: shape, Src: rng}.Rand
	}
	weight := func(w []float64, i int) float64 {
		if len(w) == 0 {
			return 1
		}
		return w[i]
	}
	sum := 0.0
	for h := range c.rate {
		c.rate[h] = weight(a.HourOfDay, h%24) * weight(a.DayOfWeek, h/24)
		sum += c.rate[h]
	}
	for h := range c.rate {
		c.rate[h] *= perHour * weekHours / sum
	}
	return c
}

// next returns the next submission.
func (c *clock) next() time.Duration {
	left := c.gap()
	for {
		rate := c.rate[c.hours%weekHours]
		if need := rate * (1 - c.part); left >= need {
			left -= need
			c.hours++
			c.part = 0
			if float64(c.hours) > traces.MaxTime.Hours() {
				return traces.MaxTime + 1
			}
			continue
		}
		c.part = min(c.part+left/rate, 1)
		return time.Duration(c.hours)*time.Hour + time.Duration(math.Round(c.part*3600e3))*time.Millisecond
	}
}
