package cost

import "orrery/sim/result"

// services puts money and energy on the services: a service pays the device time that its replicas owned, which is its
// tenant's, and draws busy power while they compute.
func (a *applier) services() {
	all := a.data.Summary.Serving
	if all == nil {
		return
	}
	usd := map[string]float64{}
	for i, t := range a.data.Tenants {
		usd[t.Name] = a.tenants[i].USD()
	}
	all.USD = 0
	for i := range a.data.Services {
		d := &a.data.Services[i]
		s := all.Services[d.Name]
		s.USD, s.EnergyKWh = usd[servicePrefix+d.Name], 0
		busy := 0.0
		if s.GPUHours > 0 {
			busy = s.BusyHours / s.GPUHours
		}
		for _, h := range d.ByPool {
			for j := range a.data.Pools {
				if p := &a.data.Pools[j]; p.Name == h.Pool {
					watts := p.IdleWatts + float64(busy*(p.BusyWatts-p.IdleWatts))
					s.EnergyKWh += float64(watts*h.GPUHours/1000*a.book.PUE.Value) + float64(a.ownKWh[p.Name]*h.GPUHours)
				}
			}
		}
		per := func(amount, n float64) float64 {
			if n == 0 {
				return 0
			}
			return amount / n
		}
		in, out := float64(s.InputTokens)/1e6, float64(s.OutputTokens)/1e6
		prompts := inputShare(&s, d)
		s.USDPerMInput, s.USDPerMOutput = per(s.USD*prompts, in), per(s.USD*(1-prompts), out)
		s.USDPerMTokens, s.KWhPerMTokens = per(s.USD, in+out), per(s.EnergyKWh, in+out)
		s.USDPerRequest = per(s.USD, float64(s.Requests.Completed))
		s.USDPerGoodRequest = per(s.USD, float64(s.Requests.Good))
		all.Services[d.Name] = s
		all.USD += s.USD
	}
}

// inputShare is the part of a service's money that its input pays.
func inputShare(s *result.Service, d *result.ServiceDetail) float64 {
	switch {
	case s.OutputTokens == 0:
		return 1
	case s.InputTokens == 0:
		return 0
	}
	var prefill, decode float64
	for _, g := range d.Groups {
		switch g.Role {
		case "prefill":
			prefill += g.GPUHours
		case "decode":
			decode += g.GPUHours
		}
	}
	if prefill > 0 && decode > 0 {
		return prefill / (prefill + decode)
	}
	return s.ComputeFraction
}

// servicePrefix begins the names of the tenants that stand for services.
const servicePrefix = "service "
