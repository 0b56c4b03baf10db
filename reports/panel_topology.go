package reports

import (
	"fmt"
	"strings"

	"orrery/sim/result"
)

func topologyPanel() Panel {
	return Panel{"topology", "Topology", "Where do the nodes stand, and how wide are the ways between them?",
		buildTopology}
}

// width is the bandwidth that one GPU has of something when all send at once, GB/s in one direction.
type width struct {
	name        string
	least, most float64
	over        float64 // largest oversubscription; 0 = not said
}

func (w *width) add(gbs float64) {
	if w.most == 0 {
		w.least = gbs
	}
	w.least, w.most = min(w.least, gbs), max(w.most, gbs)
}

func buildTopology(d *result.Data) Content {
	top := d.Topology
	if top == nil {
		return Content{Headline: "Where the nodes stand in a network is not known.", Absent: true}
	}
	layers := Table{ID: "layers", Title: "Layers, coarse to fine", Columns: []Column{{"layer", "Layer", "", Text},
		{"kind", "Kind", "", Text}, {"domains", "Domains", "", Count}, {"nodes", "Nodes", "", Count},
		{"gpus", "GPUs", "", Count}, {"gpus_least", "GPUs of the smallest", "", Count},
		{"gpus_most", "GPUs of the largest", "", Count}, {"uplink_least_gbs", "Narrowest uplink", "GB/s", Number},
		{"uplink_most_gbs", "Widest uplink", "GB/s", Number}, {"oversubscription", "Down ÷ up, most", "", Number},
		{"labels", "Node labels", "", Text}}}
	domains := Table{ID: "domains", Title: "Domains", Columns: []Column{{"layer", "Layer", "", Text},
		{"domain", "Domain", "", Text}, {"within", "Within", "", Text}, {"nodes", "Nodes", "", Count},
		{"places", "Places", "", Count}, {"gpus", "GPUs", "", Count}, {"uplink_gbs", "Uplink", "GB/s", Number},
		{"oversubscription", "Down ÷ up", "", Number}, {"rails", "Rails", "", Count}}}
	var widths []width
	for _, l := range top.Layers {
		w := width{name: l.Name}
		row, up := layerRow(&l)
		layers.Rows = append(layers.Rows, row)
		for _, o := range l.Domains {
			domains.Rows = append(domains.Rows, []Cell{T(l.Name), T(o.Name), T(o.Within), I(int64(o.Nodes)),
				I(int64(o.Places)), I(o.GPUs), numIf(o.UplinkGBs > 0, o.UplinkGBs),
				numIf(o.UplinkGBs > 0, o.Oversubscription), I(int64(o.Rails))})
			if full := ratio(float64(o.GPUs)*float64(o.Places), float64(o.Nodes)); o.UplinkGBs > 0 && full > 0 {
				w.add(o.UplinkGBs / full)
			}
		}
		if w.over = up.over; w.most > 0 {
			widths = append(widths, w)
		}
	}
	pools, nics := poolLinks(d)
	if nics.most > 0 {
		widths = append(widths, nics)
	}
	c := Content{Headline: topologyText(top, widths), Tables: []Table{layers, domains, pools},
		Notes: []string{"Bandwidths are in one direction, 10⁹ bytes per second. An empty uplink is without limit, or that " +
			"of an NVLink domain, which has none: what leaves it goes through the nodes' NICs.",
			"Down ÷ up is the oversubscription: what a domain's members can send up together ÷ its uplink. " +
				"Places are the nodes a domain was built for. Rails are leaves side by side, NIC r of every node on leaf r; each " +
				"carries an equal part of the uplink."}}
	if len(widths) > 0 {
		c.Charts = []Chart{widthChart(widths)}
	}
	return c
}

// layerRow sums a layer up.
func layerRow(l *result.TopologyLayer) ([]Cell, width) {
	var up, gpus width
	for _, o := range l.Domains {
		gpus.add(float64(o.GPUs))
		if o.UplinkGBs > 0 {
			up.add(o.UplinkGBs)
			up.over = max(up.over, o.Oversubscription)
		}
	}
	count, some := int64(len(l.Domains)), len(l.Domains) > 0
	if !some {
		count = int64(l.Nodes) // the nodes themselves
	}
	return []Cell{T(l.Name), T(l.Kind), I(count), I(int64(l.Nodes)), I(l.GPUs), numIf(some, gpus.least),
		numIf(some, gpus.most), numIf(up.most > 0, up.least), numIf(up.most > 0, up.most), numIf(up.over > 0, up.over),
		T(strings.Join(l.Labels, " "))}, up
}

// poolLinks lists how the nodes of each pool are joined, and what a GPU has of its node's NICs.
func poolLinks(d *result.Data) (Table, width) {
	t := Table{ID: "links", Title: "Links of the nodes", Columns: []Column{{"pool", "Pool", "", Text},
		{"gpu_model", "GPU model", "", Text}, {"link", "Link between GPUs", "", Text},
		{"link_gbs", "Of one GPU", "GB/s", Number}, {"nics", "NICs of a node", "", Count},
		{"nic_gbs", "Of one NIC", "GB/s", Number}}}
	nics := width{name: "a node's NICs"}
	for _, p := range d.Topology.Pools {
		model, per := "", 0.0
		for _, q := range d.Pools {
			if q.Name == p.Name {
				model, per = q.GPUModel, ratio(float64(q.GPUs), float64(q.Nodes))
			}
		}
		link := p.Link
		if link == "" {
			link = "PCIe"
		}
		t.Rows = append(t.Rows, []Cell{T(p.Name), T(modelName(model)), T(link), numIf(p.LinkGBs > 0, p.LinkGBs),
			I(int64(p.NICs)), numIf(p.NICGBs > 0, p.NICGBs)})
		if per > 0 && p.NICGBs > 0 {
			nics.add(float64(p.NICs) * p.NICGBs / per)
		}
	}
	return t, nics
}

// widthChart draws what one GPU has of each layer's uplinks.
func widthChart(widths []width) Chart {
	c := Chart{ID: "widths", Title: "Bandwidth of one GPU out of a domain, when all GPUs send at once", Kind: Bar,
		X: Axis{"out of a domain of", "layer"}, Y: Axis{"bandwidth", "GB/s"}}
	narrow := ChartSeries{Name: "narrowest domain", Role: RoleTail}
	wide := ChartSeries{Name: "widest domain", Role: RoleTypical}
	for _, w := range widths {
		c.Categories = append(c.Categories, clip(w.name, 40))
		narrow.Values, wide.Values = append(narrow.Values, w.least), append(wide.Values, w.most)
	}
	c.Series = []ChartSeries{wide, narrow}
	return c
}

// topologyText says where a job that spreads loses most bandwidth.
func topologyText(top *result.Topology, widths []width) string {
	narrow := -1
	for i := range widths {
		if narrow < 0 || widths[i].least <= widths[narrow].least {
			narrow = i
		}
	}
	s := fmt.Sprintf("The topology has %s.", plural(int64(len(top.Layers)), "layer"))
	if narrow < 0 {
		return s + " How wide the ways between domains are is not said."
	}
	w := &widths[narrow]
	s += fmt.Sprintf(" The narrowest way is out of %s: %s GB/s a GPU when all send", clip(w.name, 40),
		FormatNumber(w.least))
	if w.over > 1 {
		s += fmt.Sprintf(", oversubscribed %s to 1", FormatNumber(w.over))
	}
	return s + "."
}
