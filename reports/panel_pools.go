package reports

import (
	"fmt"

	"orrery/sim/result"
)

func poolsPanel() Panel {
	return Panel{"pools", "Node pools", "Which pool is worth its money?", buildPools}
}

func buildPools(d *result.Data) Content {
	if len(d.Pools) == 0 {
		return Content{Headline: "The cluster has no node pools."}
	}
	t := Table{ID: "pools", Title: "Node pools", Columns: []Column{{"pool", "Pool", "", Text},
		{"gpu_model", "GPU model", "", Text}, {"nodes", "Nodes", "", Count}, {"gpus", "GPUs", "", Count},
		{"capacity_gpu_hours", "Capacity", "GPU-hours", Number}, {"used_gpu_hours", "Used", "GPU-hours", Number},
		{"idle_gpu_hours", "Idle", "GPU-hours", Number}, {"down_gpu_hours", "Down", "GPU-hours", Number},
		{"used_share", "Used share of time in service", "", Share},
		{"price_usd_per_gpu_hour", "Price per GPU-hour", "USD", Money}, {"total_usd", "Cost", "USD", Money},
		{"idle_usd", "Cost of idle GPUs", "USD", Money}}}
	least, with := -1, 0
	share := func(p result.Pool) float64 { return ratio(p.UsedHours, p.CapacityHours-p.DownHours) }
	for i, p := range d.Pools {
		service := p.CapacityHours - p.DownHours
		t.Rows = append(t.Rows, []Cell{T(p.Name), T(modelName(p.GPUModel)), I(p.Nodes), I(p.GPUs), N(p.CapacityHours),
			N(p.UsedHours), N(p.IdleHours), N(p.DownHours), numIf(service > 0, share(p)),
			numIf(p.USDPerGPUHour > 0, p.USDPerGPUHour), N(p.TotalUSD), N(p.IdleUSD)})
		if p.GPUs > 0 && service > 0 {
			with++
			if least < 0 || share(p) < share(d.Pools[least]) {
				least = i
			}
		}
	}
	c := Content{Tables: []Table{t}, Notes: []string{"An empty price means that none is known or the pool has no GPUs."}}
	switch {
	case least < 0:
		c.Headline = "No pool had GPUs in service."
	case with == 1:
		c.Headline = fmt.Sprintf("The one pool with GPUs, %s, was %s used.", d.Pools[least].Name,
			FormatShare(share(d.Pools[least])))
	default:
		c.Headline = fmt.Sprintf("Of %d pools with GPUs, %s was used least: %s of its time in service.", with,
			d.Pools[least].Name, FormatShare(share(d.Pools[least])))
	}
	return c
}

func modelName(s string) string {
	if s == "" {
		return "–"
	}
	return s
}
