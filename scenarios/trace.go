package scenarios

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"orrery/sim/strict"
	"orrery/traces"
	"orrery/traces/formats"
	"orrery/traces/transform"
)

// knownFormat says whether a trace format exists, else what to write.
func knownFormat(name string) (hint string, ok bool) {
	names := []string{traces.Canonical}
	for _, f := range formats.All() {
		names = append(names, f.Info().Name)
	}
	return strict.Suggest(name, names), contains(names, name)
}

// checkGenerated checks the generator's specification and the transformation steps.
func (s *Scenario) checkGenerated() {
	p := s.doc.Problemf
	if s.Trace.Generate != nil {
		_, problems := s.generatorSpec()
		for _, problem := range problems {
			s.doc.Foreign(problem)
		}
	}
	for i, step := range s.Trace.Transform {
		path := fmt.Sprintf("trace.transform[%d]", i)
		given := 0
		for _, yes := range []bool{step.Clip != nil, step.First != nil, step.ScaleTime != nil, step.CompressGaps != nil,
			step.Thin != nil, s.doc.Has(path + ".tenants")} {
			if yes {
				given++
			}
		}
		switch {
		case given != 1 && s.doc.Err() == nil:
			p(path, "%s: want exactly one of clip, first, scaleTime, compressGaps, thin and tenants", path)
		case step.Clip != nil && step.Clip.From >= step.Clip.To:
			p(path+".clip", "%s.clip: to must be after from", path)
		case s.doc.Has(path+".tenants") && len(step.Tenants) == 0:
			p(path+".tenants", "%s.tenants: names no tenant; add one or remove the step", path)
		}
	}
}

// traceName says what the jobs are, and the requests of services, for people.
func (s *Scenario) traceName() string {
	var names []string
	if s.Trace.Builtin == "" || len(s.Services) == 0 {
		names = append(names, s.jobsName())
	}
	for i := range s.Services {
		switch r := s.Services[i].Requests; {
		case r == nil:
		case r.File != "":
			names = append(names, fmt.Sprintf("requests of %s: %s", s.Services[i].Name, filepath.Base(r.File)))
		default:
			names = append(names, fmt.Sprintf("requests of %s: generated", s.Services[i].Name))
		}
	}
	return strings.Join(names, "; ")
}

// jobsName says what the jobs are.
func (s *Scenario) jobsName() string {
	switch t := &s.Trace; {
	case t.File != "" && t.Format != "":
		return fmt.Sprintf("%s (%s)", filepath.Base(t.File), t.Format)
	case t.File != "":
		return filepath.Base(t.File)
	case t.Builtin != "":
		return t.Builtin
	}
	if spec, problems := s.generatorSpec(); len(problems) == 0 {
		return "generated: " + spec.Name
	}
	return "generated"
}

// openTrace opens the trace with its transformations. The caller closes it.
func (s *Scenario) openTrace() (traces.Source, error) {
	src, err := s.openUntransformed()
	if err != nil {
		return nil, err
	}
	for i, step := range s.Trace.Transform {
		next, err := step.apply(src, s.Seed)
		if err != nil {
			_ = src.Close() // the step's error is the one to report
			return nil, fmt.Errorf("%s: %w", s.doc.Pos(fmt.Sprintf("trace.transform[%d]", i)), err)
		}
		src = next
	}
	return src, nil
}

func (s *Scenario) openUntransformed() (traces.Source, error) {
	t := &s.Trace
	switch {
	case t.Builtin == builtinEmpty:
		return traces.FromJobs(traces.Header{Name: builtinEmpty,
			Source: "built in: no jobs", Licence: "CC0-1.0"}, nil), nil
	case t.Generate != nil:
		return s.openGenerator()
	}
	if t.SHA256 != "" {
		sum, err := fileSHA256(t.File)
		if err != nil {
			return nil, err
		}
		if sum != t.SHA256 {
			return nil,
				fmt.Errorf("%s: the trace %s has SHA-256 %s, not %s; find the file the scenario was made with, "+
					"or remove sha256", s.doc.Pos("trace.sha256"), t.File, sum, t.SHA256)
		}
	}
	return formats.Open(t.File, traces.Options{Format: t.Format, Set: t.Options, SkipBad: t.SkipBad})
}

func (step Step) apply(src traces.Source, seed uint64) (traces.Source, error) {
	switch {
	case step.Clip != nil:
		return transform.Clip(src, time.Duration(step.Clip.From), time.Duration(step.Clip.To))
	case step.First != nil:
		return transform.First(src, *step.First)
	case step.ScaleTime != nil:
		return transform.ScaleTime(src, *step.ScaleTime)
	case step.CompressGaps != nil:
		return transform.CompressGaps(src, *step.CompressGaps)
	case step.Thin != nil:
		return transform.Thin(src, *step.Thin, seed)
	}
	return transform.Tenants(src, step.Tenants...)
}

func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading the trace: %w", err)
	}
	defer f.Close() // read only: nothing can be lost
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("reading the trace %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
