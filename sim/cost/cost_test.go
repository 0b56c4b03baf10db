package cost

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"orrery/sim/result"
)

const bookYAML = `
models:
  h100:
    onDemand: {usdPerGPUHour: 6.88, source: "provider list", date: 2026-07-20}
    spot: {usdPerGPUHour: 3, source: "spot list"}
    owned: {usdPerGPU: 35064, years: 4, residual: 0, source: "quote"}
    idleWatts: {value: 100, source: "measured"}
    busyWatts: {value: 600, source: "measured"}
    nodeWatts: {value: 800, source: "estimate"}
pools:
  contract:
    onDemand: {usdPerGPUHour: 2, source: "our contract"}
  cpu:
    nodeWatts: {value: 500, source: "estimate"}
nodesWithoutGPU:
  usdPerCPUHour: {value: 0.05, source: "vm list"}
  usdPerGiBHour: {value: 0.01, source: "vm list"}
pue: {value: 1.25, source: "survey"}
usdPerKWh: {value: 0.1, source: "tariff"}
`

func testBook(t *testing.T) *Book {
	t.Helper()
	var b Book
	dec := yaml.NewDecoder(strings.NewReader(bookYAML))
	dec.KnownFields(true)
	if err := dec.Decode(&b); err != nil {
		t.Fatal(err)
	}
	return &b
}

// account returns two GPU pools of which one has a contract price, and one without GPU.
func account() *result.Data {
	return &result.Data{
		Summary: result.Summary{GPU: result.GPU{UsedHours: 15},
			Warnings: []result.Warning{{Code: "a", Message: "b", Count: 1}}},
		Pools: []result.Pool{
			{Name: "list", GPUModel: "h100", Nodes: 1, GPUs: 8, CapacityHours: 20, UsedHours: 10, IdleHours: 6,
				DownHours: 4,
				NodeHours: 2.5},
			{Name: "contract", GPUModel: "h100", Nodes: 1, GPUs: 8, CapacityHours: 10, UsedHours: 5, IdleHours: 5,
				NodeHours: 1.25},
			{Name: "cpu", Nodes: 2, NodeHours: 10, CPUMilli: 4000, MemoryMiB: 8192},
		},
		Tenants: []result.Tenant{
			{Name: "x", GPUHours: 12,
				ByPool: []result.PoolHours{{Pool: "list", GPUHours: 9}, {Pool: "contract", GPUHours: 3}}},
			{Name: "y", GPUHours: 3,
				ByPool: []result.PoolHours{{Pool: "list", GPUHours: 1}, {Pool: "contract", GPUHours: 2}}},
		},
	}
}

// TestApplyByHand checks every number against sums done by hand.
func TestApplyByHand(t *testing.T) {
	d := account()
	if err := Apply(d, testBook(t), OnDemand); err != nil {
		t.Fatal(err)
	}
	// Energy: list 10·600 + 10·100 + 2.5·800 Wh, contract 5·600 + 5·100 + 1.25·800 Wh, cpu 10·500 Wh; × 1.25.
	kWh := (9.0 + 4.5 + 5.0) * 1.25
	want := result.Cost{Basis: "on-demand", UsedUSD: 68.8 + 10, IdleUSD: 41.28 + 10, DownUSD: 27.52,
		NodesUSD: 10 * (4*0.05 + 8*0.01), TotalUSD: 160.4, EnergyKWh: kWh, EnergyUSD: kWh / 10, PUE: 1.25,
		USDPerKWh: 0.1, PerGPUUSD: 160.4 / 15}
	near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 2e-6 })
	if diff := cmp.Diff(want, d.Summary.Cost, near); diff != "" {
		t.Error(diff)
	}
	if x, y := d.Tenants[0].USD, d.Tenants[1].USD; math.Abs(x-(9*6.88+6)) > 1e-6 || math.Abs(y-(6.88+4)) > 1e-6 {
		t.Errorf("tenants pay %v and %v", x, y)
	}
	if p := d.Pools[0]; p.USDPerGPUHour != 6.88 || p.PriceSource != "provider list, 2026-07-20" || p.IdleWatts != 100 {
		t.Errorf("pool %+v", p)
	}
	if len(d.Summary.Warnings) != 1 {
		t.Errorf("warnings %+v", d.Summary.Warnings)
	}
}

func TestOwnedIsCapitalAndEnergy(t *testing.T) {
	d := account()
	if err := Apply(d, testBook(t), Owned); err != nil {
		t.Fatal(err)
	}
	// 35064 USD over 4 Julian years of 8766 h are 1 USD an hour. The CPU nodes cost their price and their energy.
	c := d.Summary.Cost
	if want := 30 + c.EnergyUSD + c.NodesUSD - 5*1.25*0.1; math.Abs(c.TotalUSD-want) > 2e-6 {
		t.Errorf("total %v, want %v", c.TotalUSD, want)
	}
	if math.Abs(c.EnergyUSD-18.5*1.25/10) > 2e-6 {
		t.Errorf("energy %v", c.EnergyUSD)
	}
}

// TestPricingAgain holds that a second pricing leaves no trace of the first, and that what has no price is counted.
func TestPricingAgain(t *testing.T) {
	d, fresh := account(), account()
	if err := Apply(d, testBook(t), Reserved3y); err != nil {
		t.Fatal(err)
	}
	if c := d.Summary.Cost; c.Unpriced != 16 || c.UsedUSD != 0 || len(d.Summary.Warnings) != 3 {
		t.Errorf("%+v %+v", c, d.Summary.Warnings)
	}
	for _, data := range []*result.Data{d, fresh} {
		if err := Apply(data, testBook(t), Spot); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(fresh, d); diff == "" {
		return
	}
	// The contract pool has no spot price of its own; the model's holds in both.
	t.Error(cmp.Diff(fresh, d))
}

func micro(usd float64) int64 { return int64(math.Round(usd * 1e6)) }

// TestMoneyBalancesToTheMicro prices random accounts: parts add up to totals and tenants to the used part, exactly.
func TestMoneyBalancesToTheMicro(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		d := account()
		for i := range d.Pools {
			p := &d.Pools[i]
			p.UsedHours, p.IdleHours, p.DownHours = r.Float64()*1e5, r.Float64()*1e3, r.Float64()
			p.CapacityHours = p.UsedHours + p.IdleHours + p.DownHours
			a := r.Float64() * p.UsedHours
			if i < 2 {
				d.Tenants[0].ByPool[i].GPUHours, d.Tenants[1].ByPool[i].GPUHours = a, p.UsedHours-a
			}
		}
		for _, basis := range []Basis{OnDemand, Owned} {
			if err := Apply(d, testBook(t), basis); err != nil {
				t.Fatal(err)
			}
			c := d.Summary.Cost
			if micro(c.TotalUSD) != micro(c.UsedUSD)+micro(c.IdleUSD)+micro(c.DownUSD)+micro(c.NodesUSD) {
				t.Fatalf("parts do not add up: %+v", c)
			}
			if micro(c.UsedUSD) != micro(d.Tenants[0].USD)+micro(d.Tenants[1].USD) {
				t.Fatalf("tenants pay %v + %v of %v", d.Tenants[0].USD, d.Tenants[1].USD, c.UsedUSD)
			}
			var pools int64
			for _, p := range d.Pools {
				pools += micro(p.TotalUSD)
			}
			if pools != micro(c.TotalUSD) {
				t.Fatalf("pools cost %d of %d", pools, micro(c.TotalUSD))
			}
		}
	}
}

func TestBadBooksAndBases(t *testing.T) {
	b := testBook(t)
	b.PUE.Value = 0.5
	b.USDPerKWh.Value = math.NaN()
	b.Models["h100"].Owned.Years = 0
	b.Models["h100"].OnDemand.USDPerGPUHour = -1
	err := Apply(account(), b, OnDemand)
	for _, says := range []string{"pue: 0.5", "usdPerKWh: NaN", "models.h100.owned.years",
		"models.h100.on-demand: -1"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error does not say %q: %v", says, err)
		}
	}
	if err := Apply(account(), testBook(t), "barter"); err == nil || !strings.Contains(err.Error(), "reserved-1y") {
		t.Errorf("got %v", err)
	}
	d := account()
	d.Pools[0].UsedHours = math.Inf(1)
	if err := Apply(d, testBook(t), OnDemand); err == nil || !strings.Contains(err.Error(), "pool list") {
		t.Errorf("got %v", err)
	}
}
