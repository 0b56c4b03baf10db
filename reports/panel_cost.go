package reports

import (
	"fmt"

	"orrery/sim/result"
)

func costPanel() Panel {
	return Panel{"cost", "Cost", "What did the run cost, and what did the money buy?", buildCost}
}

func buildCost(d *result.Data) Content {
	k, g := &d.Summary.Cost, &d.Summary.GPU
	t := Table{ID: "cost", Title: "Cost by what it bought", Columns: []Column{{"item", "Item", "", Text},
		{"cost_usd", "Cost", "USD", Money}, {"share_of_total", "Share", "", Share}}}
	add := func(item string, usd float64) {
		t.Rows = append(t.Rows, []Cell{T(item), N(usd), numIf(k.TotalUSD > 0, ratio(usd, k.TotalUSD))})
	}
	add("used GPUs", k.UsedUSD)
	add("idle GPUs", k.IdleUSD)
	add("GPUs down", k.DownUSD)
	add("nodes without GPUs", k.NodesUSD)
	add("total", k.TotalUSD)
	per := Table{ID: "per-gpu-hour", Title: "Cost of a used GPU-hour", Columns: []Column{{"figure", "Figure", "", Text},
		{"usd_per_gpu_hour", "Cost per used GPU-hour", "USD", Money}},
		Rows: [][]Cell{{T("everything included"), numIf(g.UsedHours > 0, k.PerGPUUSD)},
			{T("the used GPUs' own price"), numIf(g.UsedHours > 0, ratio(k.UsedUSD, g.UsedHours))}}}
	c := Content{Tables: []Table{t, per}}
	if _, text, ok := findCost(d); ok {
		c.Headline = text
	} else {
		c.Headline = "The run cost nothing."
	}
	basis := k.Basis
	if basis == "" {
		basis = "not stated"
	}
	c.Notes = []string{"Price basis: " + basis + ". Prices and their sources are listed under Pools and Definitions."}
	if k.Unpriced > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("%s of a model without a price: they count as $0.",
			plural(k.Unpriced, "GPU")))
	}
	var chart = Chart{ID: "cost-by-pool", Title: "Cost by pool", Kind: StackedBar, X: Axis{"pool", "name"},
		Y: Axis{"cost", "USD"}, Series: []ChartSeries{{Name: "used GPUs", Role: RoleUsed},
			{Name: "idle GPUs", Role: RoleIdle}, {Name: "down, and nodes without GPUs", Role: RoleDown}}}
	const shown = 30
	for _, p := range d.Pools[:min(shown, len(d.Pools))] {
		chart.Categories = append(chart.Categories, clip(p.Name, 16))
		rest := max(0, clean(p.TotalUSD)-clean(p.UsedUSD)-clean(p.IdleUSD))
		for i, v := range []float64{p.UsedUSD, p.IdleUSD, rest} {
			chart.Series[i].Values = append(chart.Series[i].Values, clean(v))
		}
	}
	if len(d.Pools) > shown {
		c.Notes = append(c.Notes, fmt.Sprintf("The chart shows the first %d of %d pools.", shown, len(d.Pools)))
	}
	if k.TotalUSD > 0 && len(d.Pools) > 0 {
		c.Charts = []Chart{chart}
	}
	return c
}
