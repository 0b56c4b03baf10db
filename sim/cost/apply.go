package cost

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"orrery/sim/result"
	"orrery/sim/units"
)

// Codes of the warnings Apply adds. Pricing again replaces them.
const (
	warnPrefix        = "cost."
	WarnUnpriced      = "cost.unpriced"       // GPUs without a price on the basis; they count as 0 USD
	WarnUnpricedNodes = "cost.unpriced-nodes" // nodes without GPU and without a price; they count as 0 USD
	WarnPower         = "cost.no-power"       // GPUs whose power is not known; their energy counts as 0
)

// parts is money or energy of one pool, split as the ledger splits time.
type parts struct{ used, idle, down, nodes units.MicroUSD }

func (p parts) total() units.MicroUSD { return p.used + p.idle + p.down + p.nodes }

func (p *parts) add(q parts) {
	p.used += q.used
	p.idle += q.idle
	p.down += q.down
	p.nodes += q.nodes
}

// Apply prices data: it sets Summary.Cost, the prices and costs of Pools and the USD of Tenants, and replaces the
// warnings about prices. It reads only hours, so it can be applied again with another book or basis.
//
// Every amount is rounded once, to the nearest µUSD (halves away from zero), per pool and per part of the ledger, and
// then summed in integers: the parts of every total add up to it exactly, and so do the tenants to the used part.
//
// A down GPU is taken to draw idle power: most failures leave the node on. Energy is reported on every basis and part
// of the cost on the basis Owned only; elsewhere the price includes it.
func Apply(data *result.Data, book *Book, basis Basis) error {
	if _, err := ParseBasis(string(basis)); err != nil {
		return err
	}
	if err := book.Validate(); err != nil {
		return err
	}
	a := applier{data: data, book: book, basis: basis, tenants: make([]units.MicroUSD, len(data.Tenants)),
		ownKWh: map[string]float64{}}
	for i := range data.Pools {
		if err := a.pool(&data.Pools[i]); err != nil {
			return fmt.Errorf("pricing pool %s: %w", data.Pools[i].Name, err)
		}
	}
	for i := range data.Tenants {
		data.Tenants[i].USD = a.tenants[i].USD()
	}
	a.services()
	c := &data.Summary.Cost
	*c = result.Cost{
		Basis: string(basis), TotalUSD: a.sum.total().USD(), UsedUSD: a.sum.used.USD(), IdleUSD: a.sum.idle.USD(),
		DownUSD: a.sum.down.USD(), NodesUSD: a.sum.nodes.USD(), EnergyKWh: a.kWh, EnergyUSD: a.energy.total().USD(),
		PUE: book.PUE.Value, USDPerKWh: book.USDPerKWh.Value, Unpriced: a.unpriced,
	}
	if used := data.Summary.GPU.UsedHours; used > 0 {
		c.PerGPUUSD = c.TotalUSD / used
	}
	data.Summary.Warnings = slices.DeleteFunc(data.Summary.Warnings,
		func(w result.Warning) bool { return strings.HasPrefix(w.Code, warnPrefix) })
	data.Summary.Warnings = append(data.Summary.Warnings, a.warnings...)
	slices.SortStableFunc(data.Summary.Warnings, func(x, y result.Warning) int {
		return cmp.Or(cmp.Compare(x.Code, y.Code), cmp.Compare(x.Message, y.Message))
	})
	return nil
}

type applier struct {
	data        *result.Data
	book        *Book
	basis       Basis
	sum, energy parts
	kWh         float64
	unpriced    int64
	tenants     []units.MicroUSD
	ownKWh      map[string]float64 // by pool: of nodes without their GPUs, for each GPU-hour
	warnings    []result.Warning
}

// pool prices one pool and adds it to the sums.
func (a *applier) pool(p *result.Pool) error {
	r := a.book.rates(p.Name, p.GPUModel)
	p.USDPerGPUHour, p.PriceSource = 0, ""
	p.IdleWatts, p.IdleWattsSrc, p.BusyWatts, p.BusyWattsSrc = 0, "", 0, ""
	energy, err := a.power(p, &r)
	if err != nil {
		return err
	}
	var money parts
	if p.GPUs > 0 {
		money, err = a.gpus(p, &r)
	} else {
		money.nodes, err = a.nodes(p, &r)
	}
	if err != nil {
		return err
	}
	if a.basis == Owned {
		money.add(energy)
	}
	p.TotalUSD, p.UsedUSD = money.total().USD(), money.used.USD()
	p.IdleUSD, p.DownUSD = money.idle.USD(), money.down.USD()
	a.sum.add(money)
	a.energy.add(energy)
	a.split(p.Name, money.used)
	return nil
}

// gpus prices the GPU time of a pool.
func (a *applier) gpus(p *result.Pool, r *Rates) (parts, error) {
	usd, source, ok := r.price(a.basis)
	p.USDPerGPUHour, p.PriceSource = usd, source
	if !ok {
		a.unpriced += p.GPUs
		a.warn(WarnUnpriced, p.GPUs, "pool %s: GPU model %q has no %s price; its GPUs count as 0 USD",
			p.Name, p.GPUModel, a.basis)
		return parts{}, nil
	}
	var m rounder
	out := parts{used: m.usd(p.UsedHours * usd), idle: m.usd(p.IdleHours * usd), down: m.usd(p.DownHours * usd)}
	return out, m.err
}

// nodes prices a pool without GPUs.
func (a *applier) nodes(p *result.Pool, r *Rates) (units.MicroUSD, error) {
	var m rounder
	if p.NodeHours == 0 { // none of its machines was ever bought
		return 0, nil
	}
	cpu, mem := a.book.Nodes.USDPerCPUHour, a.book.Nodes.USDPerGiBHour
	switch {
	case r.NodeUSD != nil:
		p.PriceSource = r.NodeUSD.Source
		return m.usd(p.NodeHours * r.NodeUSD.Value), m.err
	case cpu != nil && mem != nil:
		p.PriceSource = cpu.Source
		hour := float64(float64(p.CPUMilli)/1000*cpu.Value) + float64(float64(p.MemoryMiB)/1024*mem.Value)
		return m.usd(p.NodeHours * hour), m.err
	}
	a.warn(WarnUnpricedNodes, p.Nodes, "pool %s: nodes without GPU have no price; they count as 0 USD", p.Name)
	return 0, nil
}

// power sets the pool's powers and returns the cost of its energy; a node's own energy goes to its GPUs by their time.
func (a *applier) power(p *result.Pool, r *Rates) (parts, error) {
	var idle, busy, node float64
	if r.IdleWatts != nil {
		idle = r.IdleWatts.Value
		p.IdleWatts, p.IdleWattsSrc = idle, r.IdleWatts.Source
	}
	if r.BusyWatts != nil {
		busy = r.BusyWatts.Value
		p.BusyWatts, p.BusyWattsSrc = busy, r.BusyWatts.Source
	}
	if r.NodeWatts != nil {
		node = r.NodeWatts.Value
	}
	if p.GPUs > 0 && (r.IdleWatts == nil || r.BusyWatts == nil) {
		a.warn(WarnPower, p.GPUs, "pool %s: the idle or busy power of GPU model %q is not known and counts as 0 W",
			p.Name, p.GPUModel)
	}
	var m rounder
	kWh := func(watts, hours float64) float64 { return float64(watts * hours / 1000 * a.book.PUE.Value) }
	own := kWh(node, p.NodeHours)
	usd := a.book.USDPerKWh.Value
	if p.GPUs == 0 || p.CapacityHours == 0 {
		a.kWh += own
		return parts{nodes: m.usd(own * usd)}, m.err
	}
	each := own / p.CapacityHours
	a.ownKWh[p.Name] = each
	part := func(watts, hours float64) units.MicroUSD {
		e := kWh(watts, hours) + float64(each*hours)
		a.kWh += e
		return m.usd(e * usd)
	}
	used := part(busy, p.UsedHours-p.ServingIdleHours) + part(idle, p.ServingIdleHours)
	out := parts{used: used, idle: part(idle, p.IdleHours), down: part(idle, p.DownHours)}
	return out, m.err
}

// split gives the used money of a pool to the tenants by their hours there, by the method of largest remainders, so
// that their shares add up to it; equal remainders go to the earlier tenant.
func (a *applier) split(pool string, money units.MicroUSD) {
	type share struct {
		tenant    int
		hours     float64
		remainder float64
	}
	var shares []share
	var sum float64
	for i, t := range a.data.Tenants {
		for _, h := range t.ByPool {
			if h.Pool == pool && h.GPUHours > 0 {
				shares = append(shares, share{tenant: i, hours: h.GPUHours})
				sum += h.GPUHours
			}
		}
	}
	left := money
	for i := range shares {
		exact := float64(float64(money) * (shares[i].hours / sum))
		floor := min(math.Floor(exact), float64(left))
		shares[i].remainder = exact - floor
		a.tenants[shares[i].tenant] += units.MicroUSD(floor)
		left -= units.MicroUSD(floor)
	}
	slices.SortStableFunc(shares, func(x, y share) int { return cmp.Compare(y.remainder, x.remainder) })
	for i := 0; left > 0 && len(shares) > 0; i = (i + 1) % len(shares) {
		a.tenants[shares[i].tenant]++
		left--
	}
}

func (a *applier) warn(code string, count int64, format string, args ...any) {
	a.warnings = append(a.warnings, result.Warning{Code: code, Message: fmt.Sprintf(format, args...), Count: count})
}

// rounder turns dollars into µUSD and remembers the first amount that is none.
type rounder struct{ err error }

// usd rounds to the nearest µUSD, halves away from zero.
func (r *rounder) usd(v float64) units.MicroUSD {
	micro := math.Round(v * 1e6)
	if !(math.Abs(micro) < 1<<62) { // NaN fails too
		if r.err == nil {
			r.err = fmt.Errorf("an amount of %v USD cannot be", v)
		}
		return 0
	}
	return units.MicroUSD(micro)
}
