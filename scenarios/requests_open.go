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
	steps := transform.Steps{Services: r.Services, Tenants: r.Tenants, Seed: seed, MaxInput: r.MaxInput,
		MaxOutput: r.MaxOutput, After: time.Duration(r.After)}
	if r.Clip != nil {
		steps.From, steps.To = time.Duration(r.Clip.From), time.Duration(r.Clip.To)
	}
	if r.ScaleRate != nil {
		steps.Rate = *r.ScaleRate
	}
	if r.Thin != nil {
		steps.Share = *r.Thin
	}
	return steps.Apply(src)
}
