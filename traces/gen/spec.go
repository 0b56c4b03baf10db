// Package gen makes job traces of training clusters from a few parameters, with presets fitted to published traces.
//
// A trace is a renewal process of submissions (Poisson or bursty), bent by the hours of the day and the days of the
// week, whose jobs draw a number of GPUs, a length that depends on it, an outcome, a tenant and a priority. Everything
// comes from one random stream: equal specs and seeds give equal traces. What is not modelled: dependence between jobs
// (a user's batch of equal jobs, resubmission after failure), changes of the mix over time, and the dependence of a
// job's length on its outcome within one size class.
package gen

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"gopkg.in/yaml.v3"

	"orrery/traces"
)

// Spec is everything that determines a generated trace but its random stream. Lengths of time are Go durations in YAML
// ("36h", "90s").
type Spec struct {
	Name   string        `yaml:"name"`               // of the trace; prefix of the job ids
	Jobs   int64         `yaml:"jobs,omitempty"`     // number of jobs; 0 = as many as fall into Span
	Span   time.Duration `yaml:"span,omitempty"`     // of submissions; 0 = until Jobs. With both, the first ends it
	Source string        `yaml:"based_on,omitempty"` // where the parameters come from

	Arrival    Arrival    `yaml:"arrival"`
	Sizes      []Size     `yaml:"sizes"`
	Fractional Fractional `yaml:"fractional,omitempty"`
	Classes    []Class    `yaml:"classes"`
	Resources  Resources  `yaml:"resources,omitempty"`
	Tenants    []Named    `yaml:"tenants,omitempty"`    // shares; none = no tenant
	Priorities []Named    `yaml:"priorities,omitempty"` // priority classes and their shares; none = no priority
	Models     []Models   `yaml:"gpu_models,omitempty"` // what jobs with GPUs accept; none = any GPU
}

// Models is a set of GPU models that a job accepts, and its share of the jobs with GPUs.
type Models struct {
	AnyOf []string `yaml:"any_of,flow"` // empty = any GPU
	Share float64  `yaml:"share"`
}

// Arrival says when jobs are submitted. Exactly one of RatePerHour and Load sets the mean rate; with neither, Jobs ÷
// Span does.
type Arrival struct {
	Process     string  `yaml:"process"`                 // poisson, or gamma for bursts
	CV          float64 `yaml:"cv,omitempty"`            // of gamma: standard deviation ÷ mean of the gaps; 1 is Poisson
	RatePerHour float64 `yaml:"rate_per_hour,omitempty"` // mean over a week
	Load        *Load   `yaml:"load,omitempty"`
	// Relative weights of the 24 hours of a day and the 7 days of a week from Monday; the trace starts on a Monday at
	// 0:00. Empty = all equal. Gaps are drawn in a time that runs faster in busy hours, so the mean rate holds over a
	// week.
	HourOfDay []float64 `yaml:"hour_of_day,omitempty,flow"`
	DayOfWeek []float64 `yaml:"day_of_week,omitempty,flow"`
}

// Load derives the rate from the work that the jobs bring: GPU-time submitted per time = Factor × GPUs.
type Load struct {
	GPUs   float64 `yaml:"gpus"`   // capacity
	Factor float64 `yaml:"factor"` // 1 = as much work as the capacity can do
}

// Size is a number of GPUs per job and its weight among the sizes. 0 GPUs is a CPU job.
type Size struct {
	GPUs   int     `yaml:"gpus"`
	Weight float64 `yaml:"weight"`
}

// Fractional makes a share of the jobs with one GPU ask for a part of it.
type Fractional struct {
	Share float64 `yaml:"share,omitempty"`
	Milli []Milli `yaml:"milli,omitempty"`
}

// Milli is a part of a GPU in thousandths and its weight.
type Milli struct {
	Milli  int     `yaml:"milli"`
	Weight float64 `yaml:"weight"`
}

// Class holds what depends on a job's size. The first class whose UpToGPUs is not below the job's GPUs applies.
type Class struct {
	Name     string      `yaml:"name"` // becomes the jobs' class
	UpToGPUs int         `yaml:"up_to_gpus"`
	Duration []Component `yaml:"duration"` // a mixture
	Outcomes Outcomes    `yaml:"outcomes,omitempty"`
}

// Component is one part of a mixture of job lengths, cut to [Min, Max]: the distribution given that it falls inside.
type Component struct {
	Kind   string        `yaml:"kind"`             // lognormal, pareto or exponential
	Weight float64       `yaml:"weight,omitempty"` // default 1
	Min    time.Duration `yaml:"min,omitempty"`    // default 1 s; for pareto the scale
	Max    time.Duration `yaml:"max"`
	// Of lognormal: the median, and either the mean or sigma. Median and mean are those after the cut to [Min, Max];
	// sigma is that of the logarithm before it.
	Median time.Duration `yaml:"median,omitempty"`
	Mean   time.Duration `yaml:"mean,omitempty"`
	Sigma  float64       `yaml:"sigma,omitempty"`
	// Of exponential: the mean before the cut; queueing theory has exact answers for it.
	// Of pareto: the tail index.
	Alpha float64 `yaml:"alpha,omitempty"`
}

// Outcomes are shares of how jobs end. Unknown is what the trace does not tell; all 0 means all unknown.
type Outcomes struct {
	Succeeded float64 `yaml:"succeeded,omitempty"`
	Failed    float64 `yaml:"failed,omitempty"`
	Killed    float64 `yaml:"killed,omitempty"`
	Unknown   float64 `yaml:"unknown,omitempty"`
}

// Resources are what jobs ask for besides GPUs; 0 = unknown. A fractional job asks for its share of a GPU's part.
type Resources struct {
	CPUMilliPerGPU     int64 `yaml:"cpu_milli_per_gpu,omitempty"`
	MemoryMiBPerGPU    int64 `yaml:"memory_mib_per_gpu,omitempty"`
	CPUMilliPerCPUJob  int64 `yaml:"cpu_milli_per_cpu_job,omitempty"`
	MemoryMiBPerCPUJob int64 `yaml:"memory_mib_per_cpu_job,omitempty"`
}

// Named is a name and its share.
type Named struct {
	Name  string  `yaml:"name"`
	Share float64 `yaml:"share"`
}

// Distribution kinds and arrival processes.
const (
	Lognormal   = "lognormal"
	Pareto      = "pareto"
	Exponential = "exponential"
	Poisson     = "poisson"
	Gamma       = "gamma"
)

// document is a spec as written by a user: a preset and what differs from it.
type document struct {
	Preset string `yaml:"preset"`
	Spec   `yaml:",inline"`
}

// Parse reads a spec from YAML, strictly. "preset: philly-like" starts from a preset; what is written beside it
// replaces the preset's values, lists as a whole. The result is validated; the error is an *traces.Errors. file names
// the input in messages.
func Parse(file string, data []byte) (Spec, error) {
	var head struct {
		Preset string `yaml:"preset"`
	}
	if err := yaml.Unmarshal(data, &head); err != nil {
		return Spec{}, yamlProblems(file, err)
	}
	var doc document
	if head.Preset != "" {
		base, ok := Preset(head.Preset)
		if !ok {
			return Spec{}, &traces.Errors{Count: 1, Problems: []traces.Problem{{File: file, Path: "preset",
				Code: traces.CodeUnknown, Message: fmt.Sprintf("no preset %q", head.Preset), Fix: presetFix()}}}
		}
		doc.Spec = base
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return Spec{}, yamlProblems(file, err)
	}
	if err := doc.Spec.Validate(); err != nil {
		var list *traces.Errors
		if errors.As(err, &list) {
			for i := range list.Problems {
				list.Problems[i].File = file
			}
		}
		return Spec{}, err
	}
	return doc.Spec, nil
}

func yamlProblems(file string, err error) error {
	var errs traces.Errors
	var typed *yaml.TypeError
	if !errors.As(err, &typed) {
		typed = &yaml.TypeError{Errors: []string{err.Error()}}
	}
	for _, message := range typed.Errors {
		p := traces.Problem{File: file, Code: traces.CodeSyntax, Message: message,
			Fix: "write YAML with the keys that traces/README.md and gen.Spec name"}
		if n, _ := fmt.Sscanf(message, "line %d:", &p.Line); n == 1 {
			p.Message = message[len(fmt.Sprintf("line %d: ", p.Line)):]
		}
		errs.Add(p)
	}
	return errs.Err()
}

// finite says whether f is a number from 0 on.
func finite(f float64) bool { return f >= 0 && !math.IsInf(f, 0) }
