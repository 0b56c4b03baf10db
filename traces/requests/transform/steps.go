package transform

import (
	"cmp"
	"time"

	"orrery/traces"
	"orrery/traces/requests"
)

// Steps are changes to a trace, applied in the order of the fields; the zero value changes nothing.
type Steps struct {
	Services, Tenants   []string      // keep the requests of these
	From, To            time.Duration // keep the requests in [From, To), From becomes time zero; To 0 = the end
	Rate                float64       // multiply the rate by it; 0 = as it is
	Share               float64       // keep each request with this probability; 0 = all
	Seed                uint64        // of that
	MaxInput, MaxOutput int           // cut lengths to so many tokens; 0 = as they are
	After               time.Duration // move all requests later
}

// Apply wraps src in what the steps ask for. When it fails, src is still the caller's to close.
func (p Steps) Apply(src requests.Source) (requests.Source, error) {
	for _, step := range []struct {
		wanted bool
		wrap   func(requests.Source) (requests.Source, error)
	}{
		{len(p.Services) > 0, func(s requests.Source) (requests.Source, error) { return Services(s, p.Services...) }},
		{len(p.Tenants) > 0, func(s requests.Source) (requests.Source, error) { return Tenants(s, p.Tenants...) }},
		{p.From != 0 || p.To != 0, func(s requests.Source) (requests.Source, error) {
			return Clip(s, p.From, cmp.Or(p.To, traces.MaxTime+1))
		}},
		{p.Rate != 0, func(s requests.Source) (requests.Source, error) { return ScaleRate(s, p.Rate) }},
		{p.Share != 0, func(s requests.Source) (requests.Source, error) { return Thin(s, p.Share, p.Seed) }},
		{p.MaxInput != 0 || p.MaxOutput != 0, func(s requests.Source) (requests.Source, error) {
			return ClipTokens(s, p.MaxInput, p.MaxOutput)
		}},
		{p.After != 0, func(s requests.Source) (requests.Source, error) { return Shift(s, p.After) }},
	} {
		if !step.wanted {
			continue
		}
		next, err := step.wrap(src)
		if err != nil {
			return nil, err
		}
		src = next
	}
	return src, nil
}
