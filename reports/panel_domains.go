package reports

import (
	"fmt"

	"orrery/sim/result"
)

// layersMax is how many layers get a heat map: the finest ones.
const layersMax = 3

func domainsPanel() Panel {
	return Panel{"domains", "Use by domain", "Are some parts of the network full while others stay empty?", buildDomains}
}

func buildDomains(d *result.Data) Content {
	t := Table{ID: "domains", Title: "Domains of the topology", Columns: []Column{{"layer", "Layer", "", Text},
		{"domain", "Domain", "", Text}, {"nodes", "Nodes", "", Count}, {"gpus", "GPUs", "", Count},
		{"used_gpu_hours", "Used", "GPU-hours", Number}, {"capacity_gpu_hours", "Capacity", "GPU-hours", Number},
		{"down_gpu_hours", "Down", "GPU-hours", Number}, {"used_share", "Used share of time in service", "", Share}}}
	var layers []result.Layer
	for _, l := range d.Layers {
		for _, o := range l.Domains {
			service := o.CapHours - o.DownHours
			t.Rows = append(t.Rows, []Cell{T(l.Name), T(o.Name), I(int64(o.Nodes)), I(o.GPUs), N(o.UsedHours),
				N(o.CapHours), N(o.DownHours), numIf(service > 0, ratio(o.UsedHours, service))})
		}
		if len(l.Domains) > 1 {
			layers = append(layers, l)
		}
	}
	switch {
	case len(t.Rows) == 0:
		return Content{Headline: "Where the nodes stand in a network is not known.", Absent: true}
	case len(layers) == 0:
		return Content{Headline: "No layer of the topology has more than one domain.", Tables: []Table{t}}
	}
	c := Content{Headline: domainsText(&layers[len(layers)-1]), Tables: []Table{t}}
	if len(d.Series.HeatT) == 0 {
		return c
	}
	for i, l := range layers[max(0, len(layers)-layersMax):] {
		rows := make([]result.Node, 0, len(l.Domains))
		for _, o := range l.Domains {
			if o.GPUs > 0 {
				rows = append(rows, result.Node{Name: o.Name, GPUs: int(o.GPUs), Heat: o.Heat})
			}
		}
		if len(rows) == 0 {
			continue
		}
		chart, note := heatMap(rows, "domain", &d.Series)
		chart.ID = fmt.Sprintf("heat-%d", i+1)
		chart.Title = fmt.Sprintf("GPUs used, in %% of each domain of layer %s", clip(l.Name, 40))
		chart.Y, chart.Value = Axis{"domains", "name"}, Axis{"used", "% of the domain's GPUs"}
		c.Charts = append(c.Charts, chart)
		c.Notes = append(c.Notes, fmt.Sprintf("Layer %s: %s", clip(l.Name, 40), note))
	}
	return c
}

// domainsText speaks of the finest layer that has several domains.
func domainsText(l *result.Layer) string {
	low, high := -1, -1
	share := func(i int) float64 {
		o := &l.Domains[i]
		return ratio(o.UsedHours, o.CapHours-o.DownHours)
	}
	for i, o := range l.Domains {
		if o.GPUs <= 0 || !(o.CapHours-o.DownHours > 0) {
			continue
		}
		if low < 0 || share(i) < share(low) {
			low = i
		}
		if high < 0 || share(i) > share(high) {
			high = i
		}
	}
	name := clip(l.Name, 40)
	switch {
	case low < 0:
		return fmt.Sprintf("No domain of layer %s had GPUs in service.", name)
	case share(low) == share(high):
		return fmt.Sprintf("The domains of layer %s were used equally: %s of their time in service.", name,
			FormatShare(share(low)))
	}
	return fmt.Sprintf("Use of the domains of layer %s ranges from %s (%s) to %s (%s) of their time in service.", name,
		FormatShare(share(low)), clip(l.Domains[low].Name, 60), FormatShare(share(high)), clip(l.Domains[high].Name, 60))
}
