package scenarios

import "orrery/sim/catalog"

// Pricing is how costs are computed.
type Pricing struct {
	// Which price counts. owned: pools need prices of their own, and energy is paid for.
	Basis string `yaml:"basis" enum:"on-demand|spot|reserved-1y|reserved-3y|owned"`
	// Take this provider's prices (aws, azure, gcp, …). Empty: the catalogue's default for each GPU.
	Provider string `yaml:"provider"`
	// Power usage effectiveness: energy of the site ÷ energy of the IT equipment. Default: the catalogue's.
	PUE *float64 `yaml:"pue,omitempty" min:"1" max:"10"`
	// Price of electricity, USD. Default: the catalogue's.
	USDPerKWh *float64 `yaml:"usdPerKWh,omitempty" min:"0" max:"10"`
}

// SetDefaults takes on-demand prices.
func (p *Pricing) SetDefaults() { p.Basis = catalog.OnDemand }

// Journal is what the journal holds beyond the usual.
type Journal struct {
	// Record every committed write of the in-memory API.
	API bool `yaml:"api"`
	// Record every request of a service that has ended.
	Requests bool `yaml:"requests"`
}

// Report is how reports look.
type Report struct {
	// Heading. Default: the scenario's name.
	Title string `yaml:"title"`
}

// Bound is a bound on a number of result.json; at least one side.
type Bound struct {
	// Smallest value that passes.
	Min *float64 `yaml:"min,omitempty"`
	// Largest value that passes.
	Max *float64 `yaml:"max,omitempty"`
}
