package gen

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"orrery/sim/strict"
	"orrery/traces"
)

// Check adds what is wrong with a decoded spec to the document it was read from; path is the spec's own, "" at the
// root.
func (s *Spec) Check(d *strict.Doc, path string) {
	c := &checker{d: d, root: path}
	c.preset("preset", s.Preset)
	c.process("arrival", s.Arrival)
	c.shape("shape", s.Shape)
	c.lengths("lengths", s.Lengths)
	c.prefix("prefix", s.Prefix)
	if _, many := mixtures[s.Preset]; many && len(s.Streams) > 0 {
		c.bad("streams", "preset %s has streams of its own, its clients; remove one of the two", s.Preset)
	}
	if time.Duration(s.Starts) >= week {
		c.bad("starts", "is %v; write less than 7d", s.Starts)
	}
	names := map[string]bool{}
	for i := range s.Streams {
		st, at := &s.Streams[i], fmt.Sprintf("streams[%d]", i)
		c.preset(at+".preset", st.Preset)
		c.process(at+".arrival", st.Arrival)
		c.shape(at+".shape", st.Shape)
		c.lengths(at+".lengths", st.Lengths)
		c.prefix(at+".prefix", st.Prefix)
		if (st.Weight > 0) == (st.RatePerSecond > 0) {
			c.bad(at, "give either weight or rate_per_second, above 0")
		}
		if name := st.name(); names[name] {
			c.bad(at, "another stream is called %q; give it a name of its own", name)
		} else {
			names[name] = true
		}
		for _, text := range []string{st.Name, st.Service, st.Tenant} {
			if strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\ufffd' }) {
				c.bad(at, "%q has control characters; write plain text", text)
			}
		}
	}
	if len(d.Root.Content) > 0 && c.count == 0 {
		c.resolved(s)
	}
}

// checker adds problems below a path of a document.
type checker struct {
	d     *strict.Doc
	root  string
	count int
}

func (c *checker) bad(path, format string, args ...any) {
	c.count++
	full := path
	if c.root != "" {
		full = strings.TrimSuffix(c.root+"."+path, ".")
	}
	c.d.Problemf(full, "%s: "+format, append([]any{full}, args...)...)
}

// resolved checks what every stream has in the end.
func (c *checker) resolved(s *Spec) {
	rate, shaped := 0.0, false
	for i, st := range s.streams() {
		at := fmt.Sprintf("streams[%d]", i)
		if len(s.Streams) == 0 { // one, or those of the preset
			at = ""
		}
		if st.Lengths == nil {
			c.bad(strings.TrimPrefix(at+".lengths", "."),
				"nothing says how many tokens requests have; give lengths or a preset")
		}
		if !(st.RatePerSecond > 0) {
			c.bad(strings.TrimPrefix(at+".rate_per_second", "."),
				"nothing sets a rate above 0; give rate_per_second or a preset")
		}
		rate += st.RatePerSecond
		for _, f := range st.Shape {
			shaped = shaped || f.Points != nil || f.Flash != nil // which change the mean
		}
	}
	if years := float64(s.Requests) / rate / (365.25 * day.Seconds()); s.Span == 0 && !shaped && rate > 0 && years > 100 {
		c.bad("requests", "%d of them at %v a second take %.3g years, and a trace has at most 100; write fewer, a larger "+
			"rate_per_second, or span", s.Requests, rate, years)
	}
}

func (c *checker) preset(path, name string) {
	if _, many := mixtures[name]; many && path != "preset" {
		c.bad(path, "%s is a mixture of clients, which no single stream can be; write it beside streams' place, as the "+
			"preset of the whole, without streams", name)
		return
	}
	if name != "" && !slices.Contains(PresetNames(), name) {
		c.bad(path, "no preset %q; %s", name, strict.Suggest(name, PresetNames()))
	}
}

func (c *checker) process(path string, a *Arrival) {
	if a == nil {
		return
	}
	if (a.Process == Gamma) != (a.CV > 0) {
		c.bad(path+".cv", "a gamma process has a cv, and no other; 1 is Poisson, more is burstier")
	}
	if (a.Process == MMPP) != (len(a.States) > 0) {
		c.bad(path+".states", "an mmpp has states, and no other process")
	}
	sum := 0.0
	for i, st := range a.States {
		sum += st.Rate
		if st.Mean < Duration(time.Millisecond) {
			c.bad(fmt.Sprintf("%s.states[%d].mean", path, i), "is %v; write at least 1ms", st.Mean)
		}
	}
	if len(a.States) > 0 && !(sum > 0) {
		c.bad(path+".states", "all rates are 0; give one more")
	}
}

func (c *checker) shape(path string, list []Shape) {
	for i, f := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		given := 0
		for _, is := range []bool{f.HourOfDay != nil, f.DayOfWeek != nil, f.Points != nil, f.Flash != nil} {
			if is {
				given++
			}
		}
		if given != 1 {
			c.bad(at, "give exactly one of hour_of_day, day_of_week, points and flash")
		}
		c.weights(at+".hour_of_day", f.HourOfDay, 24)
		c.weights(at+".day_of_week", f.DayOfWeek, 7)
		for k := 1; k < len(f.Points); k++ {
			if f.Points[k].At < f.Points[k-1].At {
				c.bad(fmt.Sprintf("%s.points[%d].at", at, k), "is before the point above; order the points by time")
			}
		}
		if fl := f.Flash; fl != nil && fl.Every > 0 && fl.Every < fl.Rise+fl.Hold+20*fl.Decay {
			c.bad(at+".flash.every", "is shorter than rise + hold + 20 × decay; a crowd must be over before the next")
		}
	}
}

func (c *checker) weights(path string, w []float64, n int) {
	if w == nil {
		return
	}
	sum := 0.0
	for _, f := range w {
		sum += f
	}
	if len(w) != n || !(sum > 0) {
		c.bad(path, "write %d weights, not all of them 0; there are %d", n, len(w))
	}
}

func (c *checker) lengths(path string, l *Lengths) {
	if l != nil {
		c.tokens(path+".input", l.Input)
		c.tokens(path+".output", l.Output)
	}
}

func (c *checker) tokens(path string, t Tokens) {
	given := 0
	for _, is := range []bool{t.Fixed > 0, t.Median > 0 || t.P99 > 0, t.Quantiles != nil} {
		if is {
			given++
		}
	}
	if given != 1 {
		c.bad(path, "give exactly one of fixed, median with p99, and quantiles")
		return
	}
	if (t.Median > 0 || t.P99 > 0) && !(t.Median > 0 && t.P99 >= t.Median) {
		c.bad(path, "a lognormal has a median and a p99 that is not less")
	}
	if t.Max > 0 && t.Max < t.Min {
		c.bad(path+".max", "is less than min")
	}
	if q := t.Quantiles; q != nil {
		if len(q) < 2 || q[0].At != 0 || q[len(q)-1].At != 1 {
			c.bad(path+".quantiles", "begin with at: 0 and end with at: 1")
		}
		for i := 1; i < len(q); i++ {
			if !(q[i].At > q[i-1].At) || q[i].Tokens < q[i-1].Tokens {
				c.bad(fmt.Sprintf("%s.quantiles[%d]", path, i), "shares must rise and tokens must not fall")
			}
		}
	}
}

func (c *checker) prefix(path string, p *Prefix) {
	if p == nil || p.Sessions == nil {
		return
	}
	s := p.Sessions
	if s.Think <= 0 || s.ThinkP99 < s.Think || time.Duration(s.ThinkP99) > traces.MaxTime/100 {
		c.bad(path+".sessions", "choose 0 < think ≤ think_p99 ≤ 1 year")
	}
}

func (s Stream) name() string {
	if s.Name != "" {
		return s.Name
	}
	return s.Service + "/" + s.Tenant
}

// streams returns the streams with every block in place and a rate each.
func (s *Spec) streams() []Stream {
	base := Stream{RatePerSecond: s.RatePerSecond, Arrival: s.Arrival, Shape: s.Shape, Lengths: s.Lengths,
		Prefix: s.Prefix}
	if p, ok := presets[s.Preset]; ok {
		base = base.over(p.stream)
	}
	if m, ok := mixtures[s.Preset]; ok && len(s.Streams) == 0 {
		return m.clients(base)
	}
	if len(s.Streams) == 0 {
		return []Stream{base.over(fallback)}
	}
	weights := 0.0
	for _, st := range s.Streams {
		weights += st.Weight
	}
	out := slices.Clone(s.Streams)
	for i, st := range out {
		rate := st.RatePerSecond
		if st.Weight > 0 {
			rate = base.RatePerSecond * (st.Weight / weights)
		}
		if p, ok := presets[st.Preset]; ok {
			st = st.over(p.stream)
		}
		out[i] = st.over(base).over(fallback)
		out[i].RatePerSecond = rate
	}
	return out
}

// fallback is what a stream is of which nothing else says how it arrives.
var fallback = Stream{Arrival: &Arrival{Process: Poisson}, Prefix: &Prefix{}}

// over fills the blocks that s leaves out from below.
func (s Stream) over(below Stream) Stream {
	if s.RatePerSecond == 0 {
		s.RatePerSecond = below.RatePerSecond
	}
	if s.Arrival == nil {
		s.Arrival = below.Arrival
	}
	if s.Shape == nil {
		s.Shape = below.Shape
	}
	if s.Lengths == nil {
		s.Lengths = below.Lengths
	}
	if s.Prefix == nil {
		s.Prefix = below.Prefix
	}
	return s
}

const (
	day  = 24 * time.Hour
	week = 7 * day
)

var inf = math.Inf(1)
