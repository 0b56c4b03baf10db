// Package cost puts prices on a finished account: a price book, what the cluster cost under one pricing basis, and how
// that splits into used, idle and down time and over tenants.
//
// It is a function of result.Data and a book, independent of the run, so an old journal can be folded and priced again
// with other prices. Where prices come from is the catalogue's business; this package holds none.
package cost

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Basis says how capacity is paid for.
type Basis string

// The bases.
const (
	OnDemand   Basis = "on-demand"
	Reserved1y Basis = "reserved-1y"
	Reserved3y Basis = "reserved-3y"
	Spot       Basis = "spot"
	Owned      Basis = "owned" // capital cost written off over the life of the hardware, plus energy
)

// bases lists all of them, the first four in the order of the prices of Rates.
var bases = []Basis{OnDemand, Reserved1y, Reserved3y, Spot, Owned}

// ParseBasis returns the basis called s; the error lists the names.
func ParseBasis(s string) (Basis, error) {
	if slices.Contains(bases, Basis(s)) {
		return Basis(s), nil
	}
	var names []string
	for _, b := range bases {
		names = append(names, string(b))
	}
	return "", fmt.Errorf("unknown pricing basis %q; write one of %s", s, strings.Join(names, ", "))
}

// Book is a price book: rates by GPU model, overridden field by field by the rates of a pool, and what holds for the
// whole site.
type Book struct {
	Models map[string]Rates `yaml:"models"` // by catalogue key of the GPU
	Pools  map[string]Rates `yaml:"pools"`  // by pool name: a contract price, or a pool of nodes without GPU
	Nodes  NodeRates        `yaml:"nodesWithoutGPU"`

	PUE       Figure `yaml:"pue"`       // power usage effectiveness, site energy ÷ IT energy, ≥ 1
	USDPerKWh Figure `yaml:"usdPerKWh"` // electricity at the meter
}

// Figure is a number and where it comes from.
type Figure struct {
	Value  float64 `yaml:"value"`
	Source string  `yaml:"source"` // document and date
}

// Price is a price of one GPU for one hour, its share of the node's CPU, memory and disks included.
type Price struct {
	USDPerGPUHour float64 `yaml:"usdPerGPUHour"`
	Source        string  `yaml:"source"` // provider, SKU and document
	Date          string  `yaml:"date"`   // day the price was read
}

// Rates are the prices and powers of a GPU model or a pool. What is nil is not known (or, in a pool, not overridden).
type Rates struct {
	OnDemand   *Price  `yaml:"onDemand,omitempty"`
	Reserved1y *Price  `yaml:"reserved1y,omitempty"`
	Reserved3y *Price  `yaml:"reserved3y,omitempty"`
	Spot       *Price  `yaml:"spot,omitempty"`
	Owned      *Capex  `yaml:"owned,omitempty"`
	IdleWatts  *Figure `yaml:"idleWatts,omitempty"` // per GPU that nobody owns, or that is down
	BusyWatts  *Figure `yaml:"busyWatts,omitempty"` // per GPU owned by a pod
	NodeWatts  *Figure `yaml:"nodeWatts,omitempty"` // of a node without its GPUs: CPUs, fans, NICs
	NodeUSD    *Figure `yaml:"usdPerNodeHour,omitempty"`
}

// Capex is the purchase of hardware, written off in a straight line over every hour of its life.
type Capex struct {
	USDPerGPU float64 `yaml:"usdPerGPU"` // share of server, network and building included, as the buyer counts
	Years     float64 `yaml:"years"`     // life
	Residual  float64 `yaml:"residual"`  // fraction of the price left at the end, 0 to 1
	Source    string  `yaml:"source"`
	Date      string  `yaml:"date"`
}

// hoursPerYear is a Julian year; a write-off over years has leap days in it.
const hoursPerYear = 365.25 * 24

// USDPerGPUHour returns the write-off per hour.
func (c Capex) USDPerGPUHour() float64 {
	return c.USDPerGPU * (1 - c.Residual) / (c.Years * hoursPerYear)
}

// NodeRates price nodes without GPU by their size, whatever the basis. A pool's usdPerNodeHour comes first.
type NodeRates struct {
	USDPerCPUHour *Figure `yaml:"usdPerCPUHour,omitempty"` // per core or vCPU
	USDPerGiBHour *Figure `yaml:"usdPerGiBHour,omitempty"`
}

// rates returns what holds for a pool: its own rates over those of its GPU model.
func (b *Book) rates(pool, model string) Rates {
	r, own := b.Models[model], b.Pools[pool]
	override(&r.OnDemand, own.OnDemand)
	override(&r.Reserved1y, own.Reserved1y)
	override(&r.Reserved3y, own.Reserved3y)
	override(&r.Spot, own.Spot)
	override(&r.Owned, own.Owned)
	override(&r.IdleWatts, own.IdleWatts)
	override(&r.BusyWatts, own.BusyWatts)
	override(&r.NodeWatts, own.NodeWatts)
	override(&r.NodeUSD, own.NodeUSD)
	return r
}

func override[T any](dst **T, v *T) {
	if v != nil {
		*dst = v
	}
}

// price returns the price of a GPU-hour under a basis without energy, and its source; ok is false when there is none.
func (r *Rates) price(basis Basis) (usd float64, source string, ok bool) {
	var p *Price
	switch basis {
	case OnDemand:
		p = r.OnDemand
	case Reserved1y:
		p = r.Reserved1y
	case Reserved3y:
		p = r.Reserved3y
	case Spot:
		p = r.Spot
	case Owned:
		if r.Owned != nil {
			return r.Owned.USDPerGPUHour(), dated(r.Owned.Source, r.Owned.Date), true
		}
	}
	if p == nil {
		return 0, "", false
	}
	return p.USDPerGPUHour, dated(p.Source, p.Date), true
}

func dated(source, date string) string {
	if date == "" {
		return source
	}
	return source + ", " + date
}

// Validate reports every number of the book that cannot be, all at once, each with its place.
func (b *Book) Validate() error {
	var errs []error
	amount := func(place string, v float64) {
		if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			errs = append(errs, fmt.Errorf("price book: %s: %v is no amount; write a number ≥ 0", place, v))
		}
	}
	figure := func(place string, f *Figure) {
		if f != nil {
			amount(place, f.Value)
		}
	}
	for kind, group := range [...]map[string]Rates{b.Models, b.Pools} {
		for _, name := range slices.Sorted(maps.Keys(group)) {
			r, place := group[name], [...]string{"models.", "pools."}[kind]+name
			for i, p := range [...]*Price{r.OnDemand, r.Reserved1y, r.Reserved3y, r.Spot} {
				if p != nil {
					amount(place+"."+string(bases[i]), p.USDPerGPUHour)
				}
			}
			if r.Owned != nil {
				errs = append(errs, r.Owned.validate(place+".owned"))
				amount(place+".owned.usdPerGPU", r.Owned.USDPerGPU)
			}
			figure(place+".idleWatts", r.IdleWatts)
			figure(place+".busyWatts", r.BusyWatts)
			figure(place+".nodeWatts", r.NodeWatts)
			figure(place+".usdPerNodeHour", r.NodeUSD)
		}
	}
	figure("nodesWithoutGPU.usdPerCPUHour", b.Nodes.USDPerCPUHour)
	figure("nodesWithoutGPU.usdPerGiBHour", b.Nodes.USDPerGiBHour)
	amount("usdPerKWh", b.USDPerKWh.Value)
	if !(b.PUE.Value >= 1) || math.IsInf(b.PUE.Value, 0) {
		errs = append(errs, fmt.Errorf("price book: pue: %v; write a number ≥ 1", b.PUE.Value))
	}
	return errors.Join(errs...)
}

// validate reports a life or residual value that cannot be.
func (c *Capex) validate(place string) error {
	var errs []error
	if !(c.Years > 0) || math.IsInf(c.Years, 0) {
		errs = append(errs, fmt.Errorf("price book: %s.years: %v; write a number > 0", place, c.Years))
	}
	if !(c.Residual >= 0 && c.Residual <= 1) {
		errs = append(errs, fmt.Errorf("price book: %s.residual: %v; write a fraction from 0 to 1", place, c.Residual))
	}
	return errors.Join(errs...)
}
