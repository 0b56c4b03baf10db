package reports

import (
	"fmt"

	"orrery/sim/result"
)

// The heat map is at most this large: a row per node or block of nodes, a column per heat bin or group of them. More
// could not be told apart on a screen and would make the report heavy.
const (
	heatRowsMax = 200
	heatColsMax = 160
)

func nodesPanel() Panel {
	return Panel{"nodes", "Use by node", "Are some nodes full while others stay empty?", buildNodes}
}

func buildNodes(d *result.Data) Content {
	t := Table{ID: "nodes", Title: "Nodes", Columns: []Column{{"node", "Node", "", Text}, {"pool", "Pool", "", Text},
		{"gpus", "GPUs", "", Count}, {"used_gpu_hours", "Used", "GPU-hours", Number},
		{"capacity_gpu_hours", "Capacity", "GPU-hours", Number}, {"down_gpu_hours", "Down", "GPU-hours", Number},
		{"used_share", "Used share of time in service", "", Share}}}
	var nodes []result.Node
	low, high := -1, -1
	for _, n := range d.Nodes {
		service := n.CapHours - n.DownHours
		t.Rows = append(t.Rows, []Cell{T(n.Name), T(n.Pool), I(int64(n.GPUs)), N(n.UsedHours), N(n.CapHours),
			N(n.DownHours), numIf(service > 0, ratio(n.UsedHours, service))})
		if n.GPUs <= 0 {
			continue
		}
		nodes = append(nodes, n)
		if i := len(nodes) - 1; service > 0 {
			if low < 0 || use(n) < use(nodes[low]) {
				low = i
			}
			if high < 0 || use(n) > use(nodes[high]) {
				high = i
			}
		}
	}
	c := Content{Tables: []Table{t}}
	if none := len(d.Nodes) - len(nodes); none > 0 {
		c.Notes = append(c.Notes, plural(int64(none), "node")+" without GPUs in the table but not in the heat map.")
	}
	switch {
	case len(nodes) == 0:
		c.Headline = "No node has GPUs."
		return c
	case low < 0:
		c.Headline = "No node with GPUs was ever in service."
	case use(nodes[low]) == use(nodes[high]):
		c.Headline = fmt.Sprintf("Every node was used equally: %s of its time in service.", FormatShare(use(nodes[low])))
	default:
		c.Headline = fmt.Sprintf("Use ranges from %s (%s) to %s (%s) of a node's time in service.",
			FormatShare(use(nodes[low])), nodes[low].Name, FormatShare(use(nodes[high])), nodes[high].Name)
	}
	if len(d.Series.HeatT) > 0 {
		chart, note := heatMap(nodes, "node", &d.Series)
		c.Charts, c.Notes = []Chart{chart}, append(c.Notes, note)
	}
	return c
}

// use is the used share of a node's GPU time in service.
func use(n result.Node) float64 { return ratio(n.UsedHours, n.CapHours-n.DownHours) }

// heatMap draws the used share of GPUs by node (or what else rows are) and time, with nodes grouped in blocks where
// there are too many.
func heatMap(nodes []result.Node, what string, s *result.Series) (Chart, string) {
	b := newBins(s.HeatT, s.HeatBin, len(s.HeatT), heatColsMax)
	per := (len(nodes) + heatRowsMax - 1) / heatRowsMax
	c := Chart{ID: "heat", Title: "GPUs used, in % of each node's", Kind: HeatMap,
		X: Axis{"time since start", b.unit.name},
		Y: Axis{"nodes", "name"}, Value: Axis{"used", "% of the node's GPUs"}}
	for _, t := range b.edges[:len(b.edges)-1] {
		c.Categories = append(c.Categories, FormatNumber(t))
	}
	for i := 0; i < len(nodes); i += per {
		block := nodes[i:min(i+per, len(nodes))]
		label := block[0].Name
		if len(block) > 1 {
			label = fmt.Sprintf("%s +%d", block[0].Name, len(block)-1)
		}
		c.Rows = append(c.Rows, label)
		c.Heat = append(c.Heat, heatRow(block, b))
	}
	note := fmt.Sprintf("n = %s. A cell is the average over %s; empty where the %s was not there.",
		plural(int64(len(nodes)), what), FormatDuration(s.HeatBin*float64(b.per)), what)
	if per > 1 {
		note += fmt.Sprintf(" Each row is a block of up to %d %ss: the one named and those that follow it by name, "+
			"weighted by their GPUs.", per, what)
	}
	return c, note
}

// heatRow averages a block of nodes over each group of heat bins, weighted with their GPUs; -1 where no node was there.
func heatRow(block []result.Node, b bins) []float64 {
	row := make([]float64, 0, len(b.edges)-1)
	for i := 0; i < b.n; i += b.per {
		sum, weight := 0.0, 0.0
		for _, n := range block {
			for j := i; j < min(i+b.per, b.n, len(n.Heat)); j++ {
				if v := float64(n.Heat[j]); finite(v) && v >= 0 {
					sum += float64(v * float64(n.GPUs))
					weight += float64(n.GPUs)
				}
			}
		}
		if weight == 0 {
			row = append(row, -1)
			continue
		}
		row = append(row, 100*sum/weight)
	}
	return row
}
