package gen

import (
	"fmt"
	"math"
	"slices"
	"time"

	"orrery/traces"
)

// amountMax bounds the CPU and memory of one GPU or job, so that those of the largest job fit a trace.
const amountMax = 1_000_000

// checker collects problems with their paths inside the spec.
type checker struct{ errs traces.Errors }

func (c *checker) bad(path, fix, format string, args ...any) {
	c.errs.Add(traces.Problem{Path: path, Code: traces.CodeValue, Message: fmt.Sprintf(format, args...), Fix: fix})
}

func (c *checker) number(path string, f float64) {
	if !finite(f) {
		c.bad(path, "write a number from 0 on", "is %v", f)
	}
}

// weights checks a list of weights: finite, not negative, not all 0.
func (c *checker) weights(path string, w []float64) {
	sum := 0.0
	for i, f := range w {
		c.number(fmt.Sprintf("%s[%d]", path, i), f)
		sum += f
	}
	if !(sum > 0) || math.IsInf(sum, 0) {
		c.bad(path, "give at least one a weight above 0", "the weights add up to %v", sum)
	}
}

// Validate returns an *traces.Errors with every problem of the spec, each with its path ("classes[1].duration[0].max"),
// or nil.
func (s *Spec) Validate() error {
	c := &checker{}
	if s.Name == "" {
		c.bad("name", "name the trace; job ids start with it", "is empty")
	}
	if s.Jobs < 0 || s.Span < 0 || s.Span > traces.MaxTime {
		c.bad("jobs, span", "write numbers from 0 on, and at most 100 years", "are %d and %v", s.Jobs, s.Span)
	}
	if s.Jobs == 0 && s.Span == 0 {
		c.bad("jobs", "say how many jobs, or how long a span, e.g. span: 168h", "neither jobs nor span is given")
	}
	s.checkArrival(c)
	s.checkSizes(c)
	s.checkClasses(c)
	for i, v := range []int64{s.Resources.CPUMilliPerGPU, s.Resources.MemoryMiBPerGPU, s.Resources.CPUMilliPerCPUJob,
		s.Resources.MemoryMiBPerCPUJob} {
		if v < 0 || v > amountMax {
			c.bad("resources", "write amounts from 0 to 1000000", "value %d of the block is %d", i+1, v)
		}
	}
	checkNamed(c, "tenants", s.Tenants)
	checkNamed(c, "priorities", s.Priorities)
	s.checkModels(c)
	if c.errs.Count == 0 {
		s.checkRate(c)
	}
	return c.errs.Err()
}

func (s *Spec) checkArrival(c *checker) {
	a := s.Arrival
	switch a.Process {
	case Poisson:
		if a.CV != 0 {
			c.bad("arrival.cv", "leave it out, or write process: gamma", "is %v for a Poisson process", a.CV)
		}
	case Gamma:
		// Below 0.01 the gaps are constant for all purposes; above 100 nearly all of them are 0.
		if !(a.CV >= 0.01 && a.CV <= 100) {
			c.bad("arrival.cv", "write a number from 0.01 to 100; above 1 is burstier than Poisson", "is %v", a.CV)
		}
	default:
		c.bad("arrival.process", "write poisson or gamma", "is %q", a.Process)
	}
	c.number("arrival.rate_per_hour", a.RatePerHour)
	if a.Load != nil {
		if !(a.Load.GPUs > 0) || math.IsInf(a.Load.GPUs, 0) {
			c.bad("arrival.load.gpus", "write the number of GPUs of the cluster", "is %v", a.Load.GPUs)
		}
		if !(a.Load.Factor > 0) || math.IsInf(a.Load.Factor, 0) {
			c.bad("arrival.load.factor", "write a number above 0; 1 = as much work as the GPUs can do", "is %v", a.Load.Factor)
		}
	}
	switch given := a.RatePerHour != 0; {
	case given && a.Load != nil:
		c.bad("arrival", "keep one of rate_per_hour and load (load: null drops that of a preset)", "both set the rate")
	case !given && a.Load == nil && (s.Jobs == 0 || s.Span == 0):
		c.bad("arrival", "set rate_per_hour, or load, or both jobs and span", "nothing sets the rate")
	}
	for _, list := range []struct {
		path string
		w    []float64
		n    int
	}{{"arrival.hour_of_day", a.HourOfDay, 24}, {"arrival.day_of_week", a.DayOfWeek, 7}} {
		if len(list.w) == 0 {
			continue
		}
		if len(list.w) != list.n {
			c.bad(list.path, fmt.Sprintf("write %d weights", list.n), "has %d weights", len(list.w))
		}
		c.weights(list.path, list.w)
	}
}

func (s *Spec) checkSizes(c *checker) {
	var w []float64
	seen := map[int]bool{}
	for i, size := range s.Sizes {
		path := fmt.Sprintf("sizes[%d].gpus", i)
		if size.GPUs < 0 || size.GPUs > traces.GPUsMax {
			c.bad(path, "write a whole number from 0 to 1000000", "is %d", size.GPUs)
		}
		if seen[size.GPUs] {
			c.bad(path, "add the weights up in one entry", "%d is listed twice", size.GPUs)
		}
		seen[size.GPUs] = true
		w = append(w, size.Weight)
	}
	c.weights("sizes", w)
	if f := s.Fractional; f.Share != 0 {
		if !(f.Share > 0 && f.Share <= 1) {
			c.bad("fractional.share", "write a share from 0 to 1", "is %v", f.Share)
		}
		var w []float64
		for i, m := range f.Milli {
			if m.Milli < 1 || m.Milli > 999 {
				c.bad(fmt.Sprintf("fractional.milli[%d].milli", i), "write thousandths of a GPU, 1 to 999", "is %d", m.Milli)
			}
			w = append(w, m.Weight)
		}
		c.weights("fractional.milli", w)
	}
}

func (s *Spec) checkClasses(c *checker) {
	most := 0
	for _, size := range s.Sizes {
		most = max(most, size.GPUs)
	}
	for i, class := range s.Classes {
		path := fmt.Sprintf("classes[%d]", i)
		if class.Name == "" {
			c.bad(path+".name", "name the class", "is empty")
		}
		if i > 0 && class.UpToGPUs <= s.Classes[i-1].UpToGPUs {
			c.bad(path+".up_to_gpus", "order the classes by up_to_gpus", "%d is not above the class before", class.UpToGPUs)
		}
		var w []float64
		for k, d := range class.Duration {
			d.check(c, fmt.Sprintf("%s.duration[%d]", path, k))
			w = append(w, d.weight())
		}
		c.weights(path+".duration", w)
		if o := class.Outcomes; o != (Outcomes{}) {
			c.weights(path+".outcomes", o.weights())
		}
	}
	if n := len(s.Classes); n == 0 || s.Classes[n-1].UpToGPUs < most {
		c.bad("classes", fmt.Sprintf("let the last class reach up_to_gpus: %d", most), "no class holds jobs of %d GPUs", most)
	}
}

func (d Component) check(c *checker, path string) {
	c.number(path+".weight", d.Weight)
	lo := d.min()
	if lo < time.Millisecond || d.Max <= lo || d.Max > traces.MaxTime {
		c.bad(path+".max", "choose 1ms ≤ min < max ≤ 100 years", "min %v, max %v", lo, d.Max)
		return
	}
	switch d.Kind {
	case Lognormal:
		if d.Alpha != 0 {
			c.bad(path+".alpha", "leave it out", "a lognormal has none")
		}
		if d.Median <= lo || d.Median >= d.Max {
			c.bad(path+".median", "choose it between min and max", "is %v", d.Median)
			return
		}
		d.checkSpread(c, path)
	case Pareto:
		if d.Median != 0 || d.Mean != 0 || d.Sigma != 0 {
			c.bad(path, "a pareto has min, max and alpha", "median, mean or sigma is given")
		}
		if !(d.Alpha > 0 && d.Alpha <= 100) {
			c.bad(path+".alpha", "write a number above 0, at most 100", "is %v", d.Alpha)
		}
	case Exponential:
		if d.Median != 0 || d.Sigma != 0 || d.Alpha != 0 {
			c.bad(path, "an exponential has min, max and mean", "median, sigma or alpha is given")
		}
		// Outside these bounds the part inside [min, max] is too small to compute with.
		if d.Mean < lo/100 || d.Mean <= 0 || d.Mean > 1000*d.Max {
			c.bad(path+".mean", "write a length of time of the order of min to max", "is %v", d.Mean)
		}
	default:
		c.bad(path+".kind", "write lognormal, pareto or exponential", "is %q", d.Kind)
	}
}

// checkSpread checks the mean or sigma of a lognormal whose other values are good.
func (d Component) checkSpread(c *checker, path string) {
	switch {
	case (d.Mean != 0) == (d.Sigma != 0):
		c.bad(path, "give either mean or sigma", "mean %v, sigma %v", d.Mean, d.Sigma)
		return
	case d.Sigma != 0:
		if !(d.Sigma >= sigmaMin && d.Sigma <= sigmaMax) {
			c.bad(path+".sigma", fmt.Sprintf("write a number from %v to %v", sigmaMin, sigmaMax), "is %v", d.Sigma)
		}
	default:
		low, high := d.meanRange()
		if m := d.Mean.Seconds(); m < low || m > high {
			c.bad(path+".mean", fmt.Sprintf("with this median, min and max it can be %.4g s to %.4g s", low, high),
				"is %.4g s", m)
			return
		}
	}
	if d.Sigma != 0 && !(d.Sigma >= sigmaMin && d.Sigma <= sigmaMax) {
		return
	}
	if got := d.sampler().at(0.5); math.Abs(got/d.Median.Seconds()-1) > 1e-3 {
		c.bad(path+".median", "move it away from min and max, or widen the spread", "%v cannot be reached", d.Median)
	}
}

func checkNamed(c *checker, path string, list []Named) {
	if len(list) == 0 {
		return
	}
	var w []float64
	seen := map[string]bool{}
	for i, n := range list {
		if n.Name == "" || seen[n.Name] {
			c.bad(fmt.Sprintf("%s[%d].name", path, i), "give each its own name", "%q is empty or listed twice", n.Name)
		}
		seen[n.Name] = true
		w = append(w, n.Share)
	}
	c.weights(path, w)
}

func (s *Spec) checkModels(c *checker) {
	if len(s.Models) == 0 {
		return
	}
	var w []float64
	for i, m := range s.Models {
		for k, name := range m.AnyOf {
			if name == "" || slices.Contains(m.AnyOf[:k], name) {
				c.bad(fmt.Sprintf("gpu_models[%d].any_of", i), "name each model once", "%q is empty or listed twice", name)
			}
		}
		w = append(w, m.Share)
	}
	c.weights("gpu_models", w)
}

// checkRate makes sure that the rate can be derived and that the trace ends within 100 years.
func (s *Spec) checkRate(c *checker) {
	rate := s.RatePerHour()
	if !(rate > 0) || math.IsInf(rate, 0) {
		c.bad("arrival", "let some jobs ask for GPUs, or set rate_per_hour", "the load gives a rate of %v jobs an hour", rate)
		return
	}
	const margin = 10 // random traces last longer than their mean
	if hours := float64(s.Jobs) / rate; s.Span == 0 && hours > traces.MaxTime.Hours()/margin {
		c.bad("jobs", "ask for fewer jobs, or a higher rate", "%d jobs take about %.0f years", s.Jobs, hours/8766)
	}
}
