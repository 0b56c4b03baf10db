package cost

import (
	"math"
	"testing"

	"orrery/sim/result"
	"orrery/sim/units"
)

// TestInputShare divides the money of a service by hand, for each rule, and holds that the parts make the whole.
func TestInputShare(t *testing.T) {
	groups := func(roles ...string) (d result.ServiceDetail) {
		for i, r := range roles {
			d.Groups = append(d.Groups, result.ServiceGroup{Role: r, GPUHours: float64(1 + 2*i)})
		}
		return d
	}
	for name, c := range map[string]struct {
		in, out int64
		detail  result.ServiceDetail
		want    float64
	}{
		"one kind of replica":    {100, 10, groups("both"), 0.3},
		"prefill and decode":     {100, 10, groups("prefill", "decode"), 0.25},
		"decode never ran":       {100, 10, groups("prefill"), 0.3},
		"a batch server":         {100, 0, groups("both"), 1},
		"nothing was completed":  {0, 0, groups("both"), 1},
		"answers without prompt": {0, 10, groups("both"), 0},
	} {
		s := result.Service{InputTokens: c.in, OutputTokens: c.out, ComputeFraction: 0.3}
		if got := inputShare(&s, &c.detail); got != c.want {
			t.Errorf("%s: the input pays %v, want %v", name, got, c.want)
		}
		c.detail.Name = "chat"
		d := &result.Data{Services: []result.ServiceDetail{c.detail}, Tenants: []result.Tenant{{Name: "service chat"}}}
		d.Summary.Serving = &result.Serving{Services: map[string]result.Service{"chat": s}}
		a := &applier{data: d, book: testBook(t), tenants: []units.MicroUSD{12_000_000}}
		a.services()
		s = d.Summary.Serving.Services["chat"]
		sum := s.USDPerMInput*float64(s.InputTokens)/1e6 + s.USDPerMOutput*float64(s.OutputTokens)/1e6
		if c.in+c.out > 0 && math.Abs(sum-12) > 1e-9 {
			t.Errorf("%s: input and output pay %v USD of 12", name, sum)
		}
	}
}
