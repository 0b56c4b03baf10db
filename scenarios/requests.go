package scenarios

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"orrery/sim/plan"
	"orrery/sim/strict"
	"orrery/sim/units"
	"orrery/traces"
	"orrery/traces/requests"
	"orrery/traces/requests/formats"
)

// WarnRequests is the code of what a trace of requests has to say: rows left out, lengths cut.
const WarnRequests = "request-trace"

// checkRequests checks where a service's requests come from.
func (s *Scenario) checkRequests(path string, r *Requests) {
	if r == nil {
		return
	}
	p := s.doc.Problemf
	switch {
	case (r.File == "") == (r.Generate == nil):
		p(path, "%s: give exactly one of file and generate", path)
		return
	case r.File == "":
		for _, f := range []string{"format", "options", "skipBad", "reorder", "sha256"} {
			if s.doc.Has(path + "." + f) {
				p(path+"."+f, "%s.%s: only a file has one; remove it, or write file", path, f)
			}
		}
		spec := s.requestSpec(path, r)
		if spec.Span == 0 && spec.Requests == 0 && s.Horizon == 0 && r.Clip == nil {
			p(path+".generate", "%s.generate: its requests never end, and neither would the run; add span or requests, or "+
				"the scenario's horizon", path)
		}
	case r.Format != "":
		names := []string{requests.Canonical}
		for _, f := range formats.All() {
			names = append(names, f.Info().Name)
		}
		if !contains(names, r.Format) {
			p(path+".format", "%s.format: %q is not a format of requests; %s", path, r.Format, strict.Suggest(r.Format, names))
		}
	}
	if r.SHA256 != "" && !sha256Form.MatchString(r.SHA256) {
		p(path+".sha256", "%s.sha256: want 64 hexadecimal digits in lower case; write the file's own or remove it", path)
	}
	if r.Clip != nil && r.Clip.From >= r.Clip.To {
		p(path+".clip", "%s.clip: to must be after from", path)
	}
}

// Requests opens the requests of all services, in the order in which the plan names them. The caller closes them.
func (s *Scenario) Requests() ([]plan.RequestSource, error) {
	var out []plan.RequestSource
	for i := range s.Services {
		v := &s.Services[i]
		if v.Requests == nil {
			continue
		}
		path := fmt.Sprintf("services[%d].requests", i)
		src, err := s.openRequests(path, v)
		if err != nil {
			for _, o := range out {
				_ = o.Close() // the first error is the one to report
			}
			return nil, err
		}
		out = append(out, src)
	}
	return out, nil
}

// openRequests opens the requests of one service.
func (s *Scenario) openRequests(path string, v *Service) (plan.RequestSource, error) {
	r := v.Requests
	src, err := s.openRequestTrace(path, v)
	if err != nil {
		return nil, err
	}
	next, err := r.transform(src, s.Seed)
	if err != nil {
		_ = src.Close() // the step's error is the one to report
		return nil, fmt.Errorf("%s: %w", s.doc.Pos(path), err)
	}
	return &requestSource{src: next}, nil
}

func (s *Scenario) openRequestTrace(path string, v *Service) (requests.Source, error) {
	r := v.Requests
	if r.Generate != nil {
		return s.openRequestGenerator(path, v)
	}
	if r.SHA256 != "" {
		sum, err := fileSHA256(r.File)
		if err != nil {
			return nil, err
		}
		if sum != r.SHA256 {
			return nil, fmt.Errorf("%s: the trace %s has SHA-256 %s, not %s; find the file the scenario was made with, or "+
				"remove sha256", s.doc.Pos(path+".sha256"), r.File, sum, r.SHA256)
		}
	}
	o := formats.Options()
	o.Format, o.Set, o.SkipBad, o.Reorder = r.Format, r.Options, r.SkipBad, r.Reorder
	src, err := requests.Open(r.File, o)
	if len(r.Options) > 0 && unlocated(err) {
		err = fmt.Errorf("%s: %w", s.doc.Pos(path+".options"), err)
	}
	return src, err
}

// unlocated reports whether an error is about no place in a file: about its format's options.
func unlocated(err error) bool {
	var problems *traces.Errors
	return errors.As(err, &problems) && len(problems.Problems) > 0 && problems.Problems[0].File == ""
}

// requestSource turns a trace's requests into the plan's.
type requestSource struct {
	src requests.Source
	n   int64
}

// Next implements plan.RequestSource.
func (q *requestSource) Next() (plan.Request, error) {
	r, err := q.src.Next()
	if err != nil {
		return plan.Request{}, err
	}
	q.n++
	return plan.Request{ID: q.n, At: units.Time(r.At).RoundUp(), Input: r.Input, Output: r.Output, Prefix: r.Prefix,
		Session: r.Session, Tenant: r.Tenant}, nil
}

// PrefixTokens implements plan.RequestSource.
func (q *requestSource) PrefixTokens() int { return q.src.Header().PrefixTokens }

// Warnings implements plan.RequestSource.
func (q *requestSource) Warnings() []plan.Warning {
	var out []plan.Warning
	h := q.src.Header()
	for _, skip := range h.Skipped {
		out = append(out, plan.Warning{Code: WarnRequests, Message: h.Name + ": rows left out: " + skip.Reason,
			Count: skip.Rows})
	}
	for _, note := range h.Notes {
		out = append(out, plan.Warning{Code: WarnRequests, Message: h.Name + ": " + note, Count: 1})
	}
	if q.n == 0 {
		out = append(out, plan.Warning{Code: WarnRequests, Count: 1, Message: h.Name +
			": there is not one request in it, or none that services, tenants, clip and thin leave"})
	}
	slices.SortStableFunc(out, func(a, b plan.Warning) int { return cmp.Compare(a.Code, b.Code) })
	return out
}

// Close implements plan.RequestSource.
func (q *requestSource) Close() error { return q.src.Close() }
