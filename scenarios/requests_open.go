package scenarios

import (
	"time"

	"orrery/sim/rng"
	"orrery/traces/requests"
	"orrery/traces/requests/gen"
	"orrery/traces/requests/transform"
)

// requestSpec reads the specification of a generator of requests; what is wrong with it goes into the document.
func (s *Scenario) requestSpec(path string, r *Requests) gen.Spec {
	var spec gen.Spec
	spec.SetDefaults()
	s.doc.DecodeAt(r.Generate, path+".generate", &spec)
	spec.Check(s.doc, path+".generate")
	return spec
}

// openRequestGenerator starts the generator of a service's requests, which draws from streams of the service's own.
func (s *Scenario) openRequestGenerator(path string, v *Service) (requests.Source, error) {
	spec := s.requestSpec(path, v.Requests)
	if err := s.doc.Err(); err != nil {
		return nil, err
	}
	return gen.New(spec, rng.New(s.Seed), "requests/"+v.Name)
}

// transform applies what the scenario asks of a trace of requests, in the order of the fields.
func (r *Requests) transform(src requests.Source, seed uint64) (requests.Source, error) {
	var err error
	step := func(wanted bool, make func(requests.Source) (requests.Source, error)) {
		if !wanted || err != nil {
			return
		}
		var next requests.Source
		if next, err = make(src); err == nil {
			src = next
		}
	}
	step(len(r.Services) > 0, func(s requests.Source) (requests.Source, error) {
		return transform.Services(s, r.Services...)
	})
	step(len(r.Tenants) > 0, func(s requests.Source) (requests.Source, error) {
		return transform.Tenants(s, r.Tenants...)
	})
	step(r.Clip != nil, func(s requests.Source) (requests.Source, error) {
		return transform.Clip(s, time.Duration(r.Clip.From), time.Duration(r.Clip.To))
	})
	step(r.ScaleRate != nil, func(s requests.Source) (requests.Source, error) {
		return transform.ScaleRate(s, *r.ScaleRate)
	})
	step(r.Thin != nil, func(s requests.Source) (requests.Source, error) { return transform.Thin(s, *r.Thin, seed) })
	step(r.MaxInput > 0 || r.MaxOutput > 0, func(s requests.Source) (requests.Source, error) {
		return transform.ClipTokens(s, r.MaxInput, r.MaxOutput)
	})
	step(r.After > 0, func(s requests.Source) (requests.Source, error) {
		return transform.Shift(s, time.Duration(r.After))
	})
	return src, err
}
