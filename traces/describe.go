package traces

import (
	"cmp"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"orrery/sim/units"
)

// Description sums up a trace. Hours and seconds are in the field names; slices are in a fixed order.
type Description struct {
	Header            Header    `json:"header"`
	Jobs              int64     `json:"jobs"`
	GPUJobs           int64     `json:"gpu_jobs"`
	FractionalJobs    int64     `json:"fractional_gpu_jobs"` // ask for less than whole GPUs
	ForeverJobs       int64     `json:"jobs_without_end"`    // length and outcome unknown; not in Run and hours
	GPUsAsked         float64   `json:"gpus_asked"`          // sum over all jobs
	FirstSubmit       float64   `json:"first_submit_seconds"`
	LastSubmitSeconds float64   `json:"last_submit_seconds"`
	GPUHours          float64   `json:"gpu_hours"`    // GPUs × run
	GPUsOffered       float64   `json:"gpus_offered"` // GPU-hours ÷ span of submissions: mean demand if nothing waited
	Run               Quantiles `json:"run_seconds"`  // of jobs with an end
	Wait              Quantiles `json:"wait_seconds"` // as observed in the source, where known
	Arrivals          Arrivals  `json:"arrivals"`     //
	Sizes             []Share   `json:"sizes"`        // by GPUs of the job, ascending
	Tenants           []Share   `json:"tenants"`      // by GPU-hours, descending, then name
	Outcomes          []Share   `json:"outcomes"`     // by jobs, descending, then name
	Models            []Share   `json:"gpu_models"`   // sets of acceptable models, by jobs, descending, then name
	Priorities        []Share   `json:"priorities"`   // by jobs, descending, then name
	CPUHours          float64   `json:"cpu_hours"`    // cores × run
	MemoryGiBHours    float64   `json:"memory_gib_hours"`
}

// Quantiles describes a sample in seconds. Percentiles are nearest-rank: the smallest value with at least that share
// of the sample at or below it. All are 0 when N is.
type Quantiles struct {
	N    int64   `json:"n"`
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
}

// Arrivals describes how bursty submissions are. A Poisson process has GapCV 1 and HourlyDispersion 1.
type Arrivals struct {
	PerHour          float64 `json:"per_hour"`
	GapCV            float64 `json:"gap_cv"`            // standard deviation ÷ mean of the gaps between submissions
	HourlyDispersion float64 `json:"hourly_dispersion"` // variance ÷ mean of submissions per hour
	HourlyPeakToMean float64 `json:"hourly_peak_to_mean"`
}

// Share is one slice of the trace.
type Share struct {
	Name     string  `json:"name"`
	GPUs     float64 `json:"gpus,omitempty"` // of sizes
	Jobs     int64   `json:"jobs"`
	GPUHours float64 `json:"gpu_hours"`
}

// Describe reads src to its end and sums it up. Memory: 16 bytes a job, and the tenants. It does not close src.
func Describe(src Source) (Description, error) {
	d := newDescriber()
	for {
		j, err := src.Next()
		if err == io.EOF {
			return d.finish(src.Header()), nil
		}
		if err != nil {
			return Description{}, err
		}
		d.add(&j)
	}
}

type describer struct {
	out           Description
	gpu, cpu, mem units.Integral
	milli         int64
	first, last   time.Duration
	runs, waits   []float64
	gaps          moments
	hours         moments
	hour          int64 // the hour being counted
	inHour        float64
	peak          float64
	sizes         map[int64]*tally
	tenants       map[string]*tally
	outcomes      map[string]*tally
	models        map[string]*tally
	priorities    map[string]*tally
}

type tally struct {
	jobs int64
	gpu  units.Integral
}

// moments are the running mean and sum of squared deviations (Welford's method).
type moments struct{ n, mean, square float64 }

func (m *moments) add(x float64) {
	m.n++
	step := x - m.mean
	m.mean += step / m.n
	m.square += float64(step * (x - m.mean))
}

func (m *moments) variance() float64 {
	if m.n == 0 {
		return 0
	}
	return m.square / m.n
}

func newDescriber() *describer {
	return &describer{sizes: map[int64]*tally{}, tenants: map[string]*tally{}, outcomes: map[string]*tally{},
		models: map[string]*tally{}, priorities: map[string]*tally{}}
}

func (d *describer) add(j *Job) {
	d.arrive(j.Submit)
	d.out.Jobs++
	asked := j.GPUAsked()
	d.milli += asked
	if j.GPUs > 0 {
		d.out.GPUJobs++
		if j.GPUMilli < 1000 {
			d.out.FractionalJobs++
		}
	}
	if j.Forever() {
		d.out.ForeverJobs++
	} else {
		d.runs = append(d.runs, j.Run.Seconds())
	}
	if j.ObservedWait != WaitUnknown {
		d.waits = append(d.waits, j.ObservedWait.Seconds())
	}
	d.gpu.Add(asked, j.Run)
	d.cpu.Add(j.CPUMilli, j.Run)
	d.mem.Add(j.MemoryMiB, j.Run)
	count1(d.sizes, asked, asked, j.Run)
	count1(d.tenants, j.Tenant, asked, j.Run)
	count1(d.outcomes, j.Outcome, asked, j.Run)
	count1(d.priorities, j.Priority, asked, j.Run)
	if len(j.GPUModels) > 0 {
		count1(d.models, strings.Join(j.GPUModels, "|"), asked, j.Run)
	}
}

func count1[K comparable](m map[K]*tally, key K, asked int64, run time.Duration) {
	t := m[key]
	if t == nil {
		t = &tally{}
		m[key] = t
	}
	t.jobs++
	t.gpu.Add(asked, run)
}

func (d *describer) arrive(at time.Duration) {
	if d.out.Jobs == 0 {
		d.first, d.last, d.hour = at, at, int64(at/time.Hour)
	} else {
		d.gaps.add((at - d.last).Seconds())
		d.last = at
	}
	d.closeHours(int64(at / time.Hour))
	d.inHour++
}

// closeHours ends the counting of all hours before hour. Hours without submissions are added in one step.
func (d *describer) closeHours(hour int64) {
	if hour == d.hour {
		return
	}
	d.hours.add(d.inHour)
	d.peak = max(d.peak, d.inHour)
	if empty := float64(hour - d.hour - 1); empty > 0 {
		n := d.hours.n + empty
		d.hours.square += d.hours.mean * d.hours.mean * d.hours.n * empty / n
		d.hours.mean *= d.hours.n / n
		d.hours.n = n
	}
	d.hour, d.inHour = hour, 0
}

func (d *describer) finish(h Header) Description {
	o := d.out
	o.Header = h
	o.GPUsAsked = float64(d.milli) / 1000
	o.FirstSubmit, o.LastSubmitSeconds = d.first.Seconds(), d.last.Seconds()
	o.GPUHours, o.CPUHours = d.gpu.GPUHours(), d.cpu.Hours()/1000
	o.MemoryGiBHours = d.mem.Hours() / 1024
	if span := (d.last - d.first).Hours(); span > 0 {
		o.GPUsOffered = o.GPUHours / span
		o.Arrivals.PerHour = float64(o.Jobs-1) / span
		o.Arrivals.GapCV = math.Sqrt(d.gaps.variance()) / d.gaps.mean
	}
	// The last hour is cut off by the trace's end: it counts only when it is the only one.
	if d.hours.n == 0 && d.inHour > 0 {
		d.closeHours(d.hour + 1)
	}
	if d.hours.mean > 0 {
		o.Arrivals.HourlyDispersion = d.hours.variance() / d.hours.mean
		o.Arrivals.HourlyPeakToMean = d.peak / d.hours.mean
	}
	o.Run, o.Wait = quantiles(d.runs), quantiles(d.waits)
	for _, milli := range sortedInts(d.sizes) {
		t := d.sizes[milli]
		gpus := float64(milli) / 1000
		o.Sizes = append(o.Sizes, Share{Name: trimFloat(gpus), GPUs: gpus, Jobs: t.jobs, GPUHours: t.gpu.GPUHours()})
	}
	byJobs := func(a, b Share) int { return cmp.Compare(b.Jobs, a.Jobs) }
	o.Tenants = shares(d.tenants, func(a, b Share) int { return cmp.Compare(b.GPUHours, a.GPUHours) })
	o.Outcomes = shares(d.outcomes, byJobs)
	o.Models = shares(d.models, byJobs)
	o.Priorities = shares(d.priorities, byJobs)
	return o
}

func shares(m map[string]*tally, order func(a, b Share) int) []Share {
	out := make([]Share, 0, len(m))
	for _, k := range sortedKeys(m) {
		out = append(out, Share{Name: k, Jobs: m[k].jobs, GPUHours: m[k].gpu.GPUHours()})
	}
	slices.SortStableFunc(out, order) // stable after the sort by name: ties stay in order of name
	return out
}

func sortedInts(m map[int64]*tally) []int64 {
	out := make([]int64, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func quantiles(x []float64) Quantiles {
	n := len(x)
	if n == 0 {
		return Quantiles{}
	}
	var m moments
	for _, v := range x {
		m.add(v)
	}
	slices.Sort(x)
	at := func(q float64) float64 { return x[max(int(math.Ceil(q*float64(n)))-1, 0)] }
	return Quantiles{N: int64(n), Mean: m.mean, P50: at(0.5), P90: at(0.9), P95: at(0.95), P99: at(0.99), Max: x[n-1]}
}
