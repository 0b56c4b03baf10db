package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"orrery/reports"
	"orrery/sim"
	"orrery/sim/plan"
	"orrery/sim/topology"
)

// topologyView writes a topology for people and for machines.
type topologyView struct {
	plan   *plan.Plan
	graph  *topology.Graph
	depth  int // layers drawn; 0 = all
	expand bool
	b      strings.Builder
}

func (v *topologyView) text() string {
	gpus := 0
	for _, n := range v.plan.Nodes {
		gpus += v.plan.Pools[n.Pool].GPUsPerNode
	}
	fmt.Fprintf(&v.b, "%s: %s, %s\n", v.plan.Name, many(len(v.plan.Nodes), "node"), many(gpus, "GPU"))
	v.draw(v.graph.Top(), "", 1)
	v.b.WriteString("\n")
	v.layers()
	before := "\n"
	for _, w := range v.plan.Warnings {
		if w.Code == "topology-no-uplink" {
			fmt.Fprintf(&v.b, before+"warning: %s (%d)\n", w.Message, w.Count)
			before = ""
		}
	}
	return v.b.String()
}

// many says how many of a thing there are, with separators.
func many(n int, thing string) string {
	s := reports.FormatCount(float64(n)) + " " + thing
	if n != 1 {
		s += "s"
	}
	return s
}

// draw writes domains and what is in them, those that are alike once.
func (v *topologyView) draw(ids []int, indent string, level int) {
	if v.depth > 0 && level > v.depth {
		return
	}
	var groups [][]int
	if v.expand {
		for _, id := range ids {
			groups = append(groups, []int{id})
		}
	} else {
		groups = v.graph.Alike(ids)
	}
	for i, group := range groups {
		branch, below := "├─ ", "│  "
		if i == len(groups)-1 {
			branch, below = "└─ ", "   "
		}
		d := &v.graph.Domains()[group[0]]
		v.b.WriteString(indent + branch + v.names(group) + "  " + v.about(d) + "\n")
		v.draw(d.Inside, indent+below, level+1)
	}
}

// names names a group of domains that are alike.
func (v *topologyView) names(group []int) string {
	all := v.graph.Domains()
	first, last := all[group[0]].Name, all[group[len(group)-1]].Name
	switch len(group) {
	case 1:
		return first
	case 2:
		return first + ", " + last + " (2 alike)"
	}
	return fmt.Sprintf("%s … %s (%s alike)", first, last, reports.FormatCount(float64(len(group))))
}

// about says what is to be known of a domain.
func (v *topologyView) about(d *topology.Domain) string {
	if d.Layer == v.graph.NodeLayer() {
		return v.aboutNode(&v.plan.Pools[v.plan.Nodes[d.Nodes[0]].Pool])
	}
	parts := []string{many(len(d.Nodes), "node")}
	if d.Places > len(d.Nodes) {
		parts[0] += fmt.Sprintf(" of %s", reports.FormatCount(float64(d.Places)))
	}
	parts = append(parts, reports.FormatCount(float64(d.GPUs))+" GPUs")
	if d.Up < 0 {
		links := v.plan.Pools[v.plan.Nodes[d.Nodes[0]].Pool].Links
		return strings.Join(append(parts, "one NVLink domain, "+perGPU(links.GBs)), " · ")
	}
	if v.alone(d.Layer) && v.graph.Links()[d.Up].GBs == 0 {
		return strings.Join(parts, " · ") // nothing lies above it
	}
	return strings.Join(append(parts, "uplink "+v.uplink(d)), " · ")
}

// alone reports whether a layer has one domain only.
func (v *topologyView) alone(layer int) bool {
	n := 0
	for i := range v.graph.Domains() {
		if v.graph.Domains()[i].Layer == layer {
			n++
		}
	}
	return n == 1
}

func (v *topologyView) uplink(d *topology.Domain) string {
	gbs := v.graph.Links()[d.Up].GBs
	if gbs == 0 {
		return "no limit"
	}
	s := fmt.Sprintf("%s GB/s, %s", reports.FormatNumber(gbs), oversubscription(d.Oversubscription))
	if d.Rails > 1 {
		s += fmt.Sprintf(", %d rails of %s", d.Rails, reports.FormatNumber(gbs/float64(d.Rails)))
	}
	return s
}

func oversubscription(o float64) string { return reports.FormatNumber(o) + ":1" }

func perGPU(gbs float64) string { return reports.FormatNumber(gbs) + " GB/s a GPU" }

// aboutNode says how the nodes of a pool are joined.
func (v *topologyView) aboutNode(pool *plan.Pool) string {
	if pool.GPUsPerNode == 0 {
		return "no GPUs"
	}
	l := pool.Links
	inside := "PCIe"
	switch {
	case l.Kind != "" && l.PeerGBs > 0:
		inside = fmt.Sprintf("%s %s, %s to any one peer", l.Kind, perGPU(l.GBs), reports.FormatNumber(l.PeerGBs))
	case l.Mesh != "":
		inside = fmt.Sprintf("%s %s in a mesh without switch", l.Kind, perGPU(l.GBs))
	case l.Kind == plan.LinkBridge:
		inside = fmt.Sprintf("bridges over %d GPUs, %s", l.Domain, perGPU(l.GBs))
	case l.Kind != "":
		inside = l.Kind + " " + perGPU(l.GBs)
	}
	nics := "NICs not known"
	if l.NICGBs > 0 {
		nics = fmt.Sprintf("%s of %s GB/s", many(l.NICs, "NIC"), reports.FormatNumber(l.NICGBs))
	}
	return fmt.Sprintf("%d × %s · %s · %s", pool.GPUsPerNode, pool.GPUModel, inside, nics)
}

// layers lists the layers with the range of their domains.
func (v *topologyView) layers() {
	rows := [][]string{{"LAYER", "DOMAINS", "NODES EACH", "GPUS EACH", "UPLINK EACH", "OVERSUBSCRIPTION", "HOP", "LABELS"}}
	for i, l := range v.graph.Layers() {
		var nodes, gpus, up, over span
		var hop int64
		count := 0
		for j := range v.graph.Domains() {
			d := &v.graph.Domains()[j]
			if d.Layer != i {
				continue
			}
			count++
			nodes.add(float64(len(d.Nodes)))
			gpus.add(float64(d.GPUs))
			hop = max(hop, d.HopNs)
			if d.Up >= 0 {
				if gbs := v.graph.Links()[d.Up].GBs; gbs > 0 || d.Layer != v.graph.NodeLayer() {
					up.add(gbs)
					over.add(d.Oversubscription)
				}
			}
		}
		name := l.Name
		if l.Kind != l.Name {
			name += " (" + l.Kind + ")"
		}
		row := []string{name, reports.FormatCount(float64(count)), nodes.text(), gpus.text(), up.limit(" GB/s"),
			over.limit(":1"), "–", strings.Join(l.Labels, " ")}
		if i == v.graph.NodeLayer() {
			row[5] = "–"
		}
		if count == 1 && up.high == 0 {
			row[4], row[5] = "–", "–"
		}
		if hop > 0 {
			row[6] = (time.Duration(hop) * time.Nanosecond).String()
		}
		rows = append(rows, row)
	}
	v.table(rows)
}

// span is the least and the most of some numbers.
type span struct {
	low, high float64
	any       bool
}

func (s *span) add(f float64) {
	if !s.any {
		s.low, s.high, s.any = f, f, true
	}
	s.low, s.high = min(s.low, f), max(s.high, f)
}

func (s *span) text() string {
	switch {
	case !s.any:
		return "–"
	case s.low == s.high:
		return reports.FormatNumber(s.low)
	}
	return reports.FormatNumber(s.low) + "–" + reports.FormatNumber(s.high)
}

// limit is text for numbers of which 0 is no limit.
func (s *span) limit(unit string) string {
	switch {
	case !s.any:
		return "–"
	case s.high == 0:
		return "no limit"
	case s.low == 0:
		return reports.FormatNumber(s.high) + unit + " or no limit"
	}
	return s.text() + unit
}

// table writes rows of equal width; the last column is as wide as it is.
func (v *topologyView) table(rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	for _, r := range rows {
		var line strings.Builder
		for i, cell := range r {
			line.WriteString(cell)
			if i < len(r)-1 {
				line.WriteString(strings.Repeat(" ", width[i]-len([]rune(cell))+2))
			}
		}
		v.b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

type topologyJSON struct {
	Layers  []layerJSON  `json:"layers"`
	Domains []domainJSON `json:"domains"`
	Pools   []poolJSON   `json:"pools"`
	Nodes   []nodeJSON   `json:"nodes"`
}

type layerJSON struct {
	Name   string   `json:"name"`
	Kind   string   `json:"kind"`
	Labels []string `json:"labels"`
}

type domainJSON struct {
	Layer            string   `json:"layer"`
	Name             string   `json:"name"`
	Within           string   `json:"within,omitempty"`
	Places           int      `json:"places"`
	Nodes            int      `json:"nodes"`
	GPUs             int      `json:"gpus"`
	UplinkGBs        *float64 `json:"uplink_gbs"` // null = without limit, or none
	Oversubscription *float64 `json:"oversubscription"`
	Rails            int      `json:"rails"`
	HopNs            int64    `json:"hop_ns"`
}

type poolJSON struct {
	Name          string  `json:"name"`
	GPUModel      string  `json:"gpu_model,omitempty"`
	GPUsPerNode   int     `json:"gpus_per_node"`
	Link          string  `json:"link,omitempty"`
	LinkGBs       float64 `json:"link_gbs"`
	LinkPeerGBs   float64 `json:"link_peer_gbs,omitempty"`
	LinkDomainGPU int     `json:"link_domain_gpus"`
	PCIeGBs       float64 `json:"pcie_gbs"`
	NICs          int     `json:"nics"`
	NICGBs        float64 `json:"nic_gbs"`
}

type nodeJSON struct {
	Name    string            `json:"name"`
	Pool    string            `json:"pool"`
	Domains []string          `json:"domains"` // by layer; "" = in none
	Labels  map[string]string `json:"labels"`  // that say where it stands
}

// json writes everything that is known, for machines. Bandwidths are 10⁹ bytes per second in one direction.
func (v *topologyView) json() (string, error) {
	out := topologyJSON{Domains: []domainJSON{}}
	keys := map[string]bool{}
	for _, l := range v.graph.Layers() {
		out.Layers = append(out.Layers, layerJSON{l.Name, l.Kind, append([]string{}, l.Labels...)})
		for _, k := range l.Labels {
			keys[k] = true
		}
	}
	for i := range v.graph.Domains() {
		d := &v.graph.Domains()[i]
		if d.Layer == v.graph.NodeLayer() {
			break
		}
		j := domainJSON{Layer: v.graph.Layers()[d.Layer].Name, Name: d.Name, Places: d.Places, Nodes: len(d.Nodes),
			GPUs: d.GPUs, Rails: d.Rails, HopNs: d.HopNs}
		if d.Parent >= 0 {
			j.Within = v.graph.Domains()[d.Parent].Name
		}
		if d.Up >= 0 && v.graph.Links()[d.Up].GBs > 0 {
			j.UplinkGBs, j.Oversubscription = &v.graph.Links()[d.Up].GBs, &d.Oversubscription
		}
		out.Domains = append(out.Domains, j)
	}
	for _, p := range v.plan.Pools {
		l := p.Links
		out.Pools = append(out.Pools, poolJSON{p.Name, p.GPUModel, p.GPUsPerNode, l.Kind, l.GBs, l.PeerGBs, l.Domain,
			l.PCIeGBs, l.NICs, l.NICGBs})
	}
	for i, obj := range sim.Nodes(v.plan) {
		n := v.plan.Nodes[i]
		labels := maps.Clone(obj.Labels)
		maps.DeleteFunc(labels, func(k, _ string) bool { return !keys[k] })
		out.Nodes = append(out.Nodes, nodeJSON{n.Name, v.plan.Pools[n.Pool].Name, n.Domains, labels})
	}
	text, err := json.MarshalIndent(out, "", "  ")
	return string(text) + "\n", err
}
