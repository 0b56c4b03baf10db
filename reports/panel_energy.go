package reports

import (
	"orrery/sim/result"
)

func energyPanel() Panel {
	return Panel{"energy", "Energy", "How much electricity did the GPUs draw?", buildEnergy}
}

func buildEnergy(d *result.Data) Content {
	k, g := &d.Summary.Cost, &d.Summary.GPU
	t := Table{ID: "energy", Title: "Energy", Columns: []Column{{"figure", "Figure", "", Text},
		{"value", "Value", "", Number}, {"unit", "Unit", "", Text}}, Rows: [][]Cell{
		{T("energy at the meter"), N(k.EnergyKWh), T("kWh")},
		{T("cost of energy"), N(k.EnergyUSD), T("USD")},
		{T("energy per used GPU-hour"), numIf(g.UsedHours > 0, ratio(k.EnergyKWh, g.UsedHours)), T("kWh")},
		{T("PUE"), numIf(k.PUE > 0, k.PUE), T("×")},
		{T("price of electricity"), numIf(k.USDPerKWh > 0, k.USDPerKWh), T("USD per kWh")}}}
	watts := Table{ID: "power", Title: "Power assumed per GPU", Columns: []Column{{"pool", "Pool", "", Text},
		{"gpu_model", "GPU model", "", Text}, {"idle_watts", "Idle", "W", Number}, {"busy_watts", "In use", "W", Number}}}
	for _, p := range d.Pools {
		if p.GPUs > 0 {
			watts.Rows = append(watts.Rows, []Cell{T(p.Name), T(modelName(p.GPUModel)),
				numIf(p.IdleWatts > 0, p.IdleWatts), numIf(p.BusyWatts > 0, p.BusyWatts)})
		}
	}
	c := Content{Tables: []Table{t}}
	if len(watts.Rows) > 0 {
		c.Tables = append(c.Tables, watts)
	}
	if k.EnergyKWh > 0 {
		c.Headline = "The GPUs drew " + FormatNumber(k.EnergyKWh) + " kWh at the meter, worth " +
			FormatUSD(k.EnergyUSD) + "."
	} else {
		c.Headline = "No energy was accounted."
	}
	note := "Energy is part of the total cost only when the GPUs are owned; other prices include it."
	if k.Basis == "owned" {
		note = "The GPUs are owned, so the cost of energy is part of the total cost."
	}
	c.Notes = []string{note, "At the meter: the PUE (power usage effectiveness) of the building is included. " +
		"The rest of the nodes (CPUs, fans, network) counts as 0 unless the price book gives its power. " +
		"Sources of the assumed power are listed under Definitions."}
	return c
}
