package reports

import (
	"fmt"

	"orrery/sim/result"
)

func servingCostPanel() Panel {
	return Panel{"serving-cost", "Cost of serving", "What does a token cost, and how much of the money is idle capacity?",
		buildServingCost}
}

func buildServingCost(d *result.Data) Content {
	s := d.Summary.Serving
	if s == nil || len(s.ServiceNames) == 0 {
		return Content{Headline: "There were no services.", Absent: true}
	}
	hours := Table{ID: "gpu-hours", Title: "GPU time of replicas", Columns: []Column{{"service", "Service", "", Text},
		{"paid_gpu_hours", "Paid", "GPU-hours", Number}, {"starting_gpu_hours", "Starting", "GPU-hours", Number},
		{"idle_gpu_hours", "Ready and idle", "GPU-hours", Number}, {"busy_gpu_hours", "Busy", "GPU-hours", Number},
		{"busy_share", "Busy of paid", "", Share}, {"cost_usd", "Cost", "USD", Money}}}
	price := Table{ID: "prices", Title: "Cost and energy of tokens and requests", Columns: []Column{
		{"service", "Service", "", Text}, {"usd_per_million_input", "Million input tokens", "USD", Price},
		{"usd_per_million_output", "Million output tokens", "USD", Price},
		{"usd_per_million", "Million tokens, both", "USD", Price},
		{"usd_per_thousand_requests", "Thousand requests", "USD", Price},
		{"usd_per_thousand_good_requests", "Thousand good requests", "USD", Price},
		{"kwh_per_million", "Energy per million tokens", "kWh", Number}, {"energy_kwh", "Energy", "kWh", Number}}}
	chart := Chart{ID: "gpu-hours-by-service", Title: "GPU time by service", Kind: StackedBar, X: Axis{"service", "name"},
		Y: Axis{"GPU time", "GPU-hours"}, Series: []ChartSeries{{Name: "busy", Role: RoleUsed},
			{Name: "ready and idle", Role: RoleIdle}, {Name: "starting", Role: RoleTypical}}}
	const shown = 30
	for _, name := range s.ServiceNames {
		v := s.Services[name]
		idle, starting := max(0, v.ReadyHours-v.BusyHours), max(0, v.GPUHours-v.ReadyHours)
		hours.Rows = append(hours.Rows, []Cell{T(name), N(v.GPUHours), N(starting), N(idle), N(v.BusyHours),
			numIf(v.GPUHours > 0, ratio(v.BusyHours, v.GPUHours)), N(v.USD)})
		tokens := v.InputTokens+v.OutputTokens > 0 && v.USD > 0
		price.Rows = append(price.Rows, []Cell{T(name), numIf(tokens, v.USDPerMInput), numIf(tokens, v.USDPerMOutput),
			numIf(tokens, v.USDPerMTokens), numIf(v.Requests.Completed > 0, 1000*v.USDPerRequest),
			numIf(v.Requests.Good > 0, 1000*v.USDPerGoodRequest), numIf(tokens, v.KWhPerMTokens), N(v.EnergyKWh)})
		if len(chart.Categories) < shown {
			chart.Categories = append(chart.Categories, clip(name, 16))
			for i, h := range []float64{v.BusyHours, idle, starting} {
				chart.Series[i].Values = append(chart.Series[i].Values, clean(h))
			}
		}
	}
	c := Content{Tables: []Table{hours, price}, Headline: servingCostText(s), Notes: []string{
		"Paid: from a replica's binding to the release of its GPUs. Starting: the part before it took requests and after " +
			"it had ended the last. How cost is divided among input and output is a " +
			"convention: where prefill and decode have replicas of their own it goes by their GPU time; else the input's part " +
			"is that of the busy time which arithmetic limited, as prompts are, and the output's is the rest, idle time " +
			"shared in proportion. “Both” needs no convention. A busy GPU is taken to draw its maximum power, an idle one its " +
			"idle power."}}
	if clean(s.GPUHours) > 0 {
		c.Charts = []Chart{chart}
	}
	return c
}

func servingCostText(s *result.Serving) string {
	if clean(s.GPUHours) <= 0 {
		return "The services held no GPU time."
	}
	text := fmt.Sprintf("Replicas held %s GPU-hours", FormatNumber(s.GPUHours))
	if clean(s.USD) > 0 {
		text += " for " + FormatUSD(s.USD)
	}
	text += fmt.Sprintf(" and computed in %s of them", FormatShare(ratio(s.BusyHours, s.GPUHours)))
	if good := s.Requests.Good; good > 0 && clean(s.USD) > 0 {
		text += fmt.Sprintf("; a thousand good requests cost %s", FormatPrice(1000*s.USD/float64(good)))
	}
	return text + "."
}
