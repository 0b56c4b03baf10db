package reports

import (
	"fmt"

	"orrery/sim/result"
)

func tenantsPanel() Panel {
	return Panel{"tenants", "Tenants", "Who used the GPUs, who waited, and what did each cost?", buildTenants}
}

func buildTenants(d *result.Data) Content {
	if len(d.Tenants) == 0 {
		return Content{Headline: "No job was submitted."}
	}
	t := Table{ID: "tenants", Title: "Tenants by GPU time", Columns: append(append([]Column{
		{"tenant", "Tenant", "", Text}, {"jobs", "Jobs", "", Count}, {"completed_jobs", "Completed", "", Count},
		{"pending_jobs", "Pending", "", Count}, {"preempted_jobs", "Preempted", "", Count}}, waitColumns()...),
		Column{"gpu_hours", "Used", "GPU-hours", Number}, Column{"lost_gpu_hours", "Lost", "GPU-hours", Number},
		Column{"cost_usd", "Cost", "USD", Money})}
	total := 0.0
	for _, x := range d.Tenants {
		total += clean(x.GPUHours)
		row := append([]Cell{T(tenantName(x.Name)), I(x.Jobs), I(x.Completed), I(x.Pending), I(x.Preempt)},
			waitCells(&x.Wait)...)
		t.Rows = append(t.Rows, append(row, N(x.GPUHours), N(x.LostGPUHours), N(x.USD)))
	}
	c := Content{Tables: []Table{t}, Notes: []string{"Cost: the tenant's used GPU time at the price of the GPUs used; " +
		"idle GPUs are charged to nobody. Lost: progress thrown away by restarts, part of the used time."}}
	first := d.Tenants[0]
	switch {
	case total <= 0:
		c.Headline = "No tenant used a GPU."
	case len(d.Tenants) == 1:
		c.Headline = "There is one tenant."
	default:
		c.Headline = fmt.Sprintf("%s used most: %s of all used GPU time, of %s.", tenantName(first.Name),
			FormatShare(ratio(first.GPUHours, total)), plural(int64(len(d.Tenants)), "tenant"))
	}
	const shown = 15
	top := d.Tenants[:min(shown, len(d.Tenants))]
	if len(d.Tenants) > shown {
		c.Notes = append(c.Notes, fmt.Sprintf("The charts show the %d tenants with most GPU time, of %d.", shown,
			len(d.Tenants)))
	}
	if len(d.Tenants) > 1 { // one bar would say nothing
		c.Charts = tenantCharts(top)
	}
	return c
}

func tenantCharts(top []result.Tenant) []Chart {
	var names []string
	var waits []result.Distribution
	hours := Chart{ID: "hours-by-tenant", Title: "GPU time by tenant", Kind: Bar, X: Axis{"tenant", "name"},
		Y: Axis{"used", "GPU-hours"}, Series: []ChartSeries{{Name: "used", Role: RoleUsed}}}
	for _, x := range top {
		names, waits = append(names, clip(tenantName(x.Name), 16)), append(waits, x.Wait)
		hours.Series[0].Values = append(hours.Series[0].Values, clean(x.GPUHours))
	}
	hours.Categories = names
	return []Chart{hours, waitBars("waits-by-tenant", "Queue wait by tenant", "tenant", "name", names, waits)}
}

// tenantName is how a tenant is called; jobs without one share an account.
func tenantName(s string) string {
	if s == "" {
		return "(no tenant)"
	}
	return s
}
