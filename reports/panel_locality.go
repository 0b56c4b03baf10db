package reports

import (
	"fmt"

	"orrery/sim/result"
)

func localityPanel() Panel {
	return Panel{"locality", "Locality", "How close to each other did the pods of a job run?", buildLocality}
}

func buildLocality(d *result.Data) Content {
	l := d.Summary.Locality
	if l == nil || l.Jobs <= 0 || len(l.LayerNames) == 0 {
		return Content{Headline: "No job of several pods ran on nodes whose place in the topology is known."}
	}
	t := Table{ID: "layers", Title: "Jobs of several pods within one domain", Columns: []Column{
		{"layer", "Layer", "", Text}, {"within_jobs", "Within one domain", "jobs", Count},
		{"within_share", "Share of jobs", "", Share}, {"within_gpu_hours", "Their GPU time", "GPU-hours", Number},
		{"within_gpu_hours_share", "Share of GPU time", "", Share},
		{"domains_mean", "Domains spanned, mean", "domains", Number}}}
	chart := Chart{ID: "within-by-layer", Title: "Jobs of several pods within one domain of each layer", Kind: Bar,
		X: Axis{"layer", "coarse to fine"}, Y: Axis{"within one domain", "%"},
		Series: []ChartSeries{{Name: "of jobs", Role: RoleTypical}, {Name: "of their GPU time", Role: RoleUsed}}}
	for _, name := range l.LayerNames {
		w := l.Layers[name]
		some := clean(l.GPUHours) > 0
		t.Rows = append(t.Rows, []Cell{T(name), I(w.WithinJobs), N(w.WithinFraction), N(w.WithinGPUHours),
			numIf(some, w.WithinGPUShare), N(w.DomainsMean)})
		if len(chart.Categories) < pointsMax {
			chart.Categories = append(chart.Categories, name)
			chart.Series[0].Values = append(chart.Series[0].Values, 100*clean(w.WithinFraction))
			chart.Series[1].Values = append(chart.Series[1].Values, 100*clean(w.WithinGPUShare))
		}
	}
	return Content{Headline: localityText(l), Charts: []Chart{chart}, Tables: []Table{t}, Notes: []string{
		fmt.Sprintf("n = %s of several pods, where their pods stood when all were bound for the first time. A node that is "+
			"in no domain of a layer counts as a domain of its own.", plural(l.Jobs, "job")),
		"A layer is a kind of place, a domain one such place. Of the usual layers, core, spine and leaf are network " +
			"switches with all nodes below them, leaf the one that nodes are plugged into; nvlink is a set of nodes whose " +
			"GPUs share one NVLink network."}}
}

// localityText speaks of the finest layer that can hold more than one node's pods: the one before the nodes themselves,
// where the last layer is the nodes.
func localityText(l *result.Locality) string {
	name := l.LayerNames[len(l.LayerNames)-1]
	if n := len(l.LayerNames); n > 1 && name == "node" {
		name = l.LayerNames[n-2]
	}
	w := l.Layers[name]
	switch {
	case w.WithinJobs <= 0:
		return fmt.Sprintf("No job of several pods ran within one domain of layer %s.", clip(name, 40))
	case w.WithinJobs >= l.Jobs:
		return fmt.Sprintf("All jobs of several pods ran within one domain of layer %s.", clip(name, 40))
	}
	return fmt.Sprintf("%s of the jobs of several pods ran within one domain of layer %s, and %s of their GPU time.",
		FormatShare(ratio(float64(w.WithinJobs), float64(l.Jobs))), clip(name, 40), FormatShare(clean(w.WithinGPUShare)))
}
