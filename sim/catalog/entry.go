package catalog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"orrery/sim/strict"
)

// Kinds of entries, as Entries takes them.
const (
	KindGPUs       = "gpus"
	KindNodes      = "nodes"
	KindFabrics    = "fabrics"
	KindTopologies = "topologies"
	KindPrices     = "prices"
	KindCapex      = "capex"
	KindEnergy     = "energy"
)

// Kinds lists the kinds of entries.
func Kinds() []string {
	return []string{KindGPUs, KindNodes, KindFabrics, KindTopologies, KindPrices, KindCapex, KindEnergy}
}

// Entry is any entry of the catalogue in one form: what it is, and its figures with their sources.
type Entry struct {
	Kind    string            `json:"kind"`
	Key     string            `json:"key"` // of prices and capex: the GPU's
	Aliases []string          `json:"aliases,omitempty"`
	Facts   []Fact            `json:"facts,omitempty"`
	Figures []Named           `json:"figures,omitempty"`
	Missing map[string]string `json:"missing,omitempty"` // figure → why it is not known
}

// Fact is something of an entry that is not a figure.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// facts makes a list of name, value, name, value, …; empty values are left out.
func facts(pairs ...string) []Fact {
	var out []Fact
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out = append(out, Fact{pairs[i], pairs[i+1]})
		}
	}
	return out
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

// Entries lists the entries of a kind, in the order of the files. It returns none for a kind that does not exist.
func (c *Catalog) Entries(kind string) []Entry {
	var out []Entry
	switch kind {
	case KindGPUs:
		for _, g := range c.GPUs {
			out = append(out, g.entry())
		}
	case KindNodes:
		for _, n := range c.Nodes {
			out = append(out, n.entry())
		}
	case KindFabrics:
		for _, f := range c.Fabrics {
			out = append(out, Entry{Kind: kind, Key: f.Key, Aliases: f.Aliases,
				Facts: facts("kind", f.Kind, "note", f.Note), Figures: f.Figures(), Missing: f.Missing})
		}
	case KindTopologies:
		for _, t := range c.Topologies {
			out = append(out, t.entry())
		}
	case KindPrices:
		for _, p := range c.Prices {
			out = append(out, Entry{Kind: kind, Key: p.GPU, Facts: facts("basis", p.Basis, "provider", p.Provider,
				"region", p.Region, "sku", p.SKU, "default", yes(p.Default)),
				Figures: []Named{{"usdPerGPUHour", p.USD}}})
		}
	case KindCapex:
		for _, x := range c.Capex {
			var l figureList
			l.add("usd", &x.USD)
			l.add("facilityUSD", x.FacilityUSD)
			out = append(out, Entry{Kind: kind, Key: x.GPU, Facts: facts("what", x.What, "gpus", strconv.Itoa(x.GPUs)),
				Figures: l})
		}
	case KindEnergy:
		out = []Entry{{Kind: kind, Key: kind, Figures: []Named{{"pue", c.Energy.PUE}, {"usdPerKWh", c.Energy.USDPerKWh}}}}
	}
	return out
}

func (g GPU) entry() Entry {
	link := g.Link.Kind
	if link == "" && !g.Undisclosed {
		link = "none"
	}
	return Entry{Kind: KindGPUs, Key: g.Key, Aliases: g.Aliases, Facts: facts("vendor", g.Vendor, "product", g.Product,
		"family", g.Family, "resource", g.Resource, "link", link, "mig", yes(g.MIG), "undisclosed", yes(g.Undisclosed),
		"note", g.Note), Figures: g.Figures(), Missing: g.Missing}
}

func (n Node) entry() Entry {
	return Entry{Kind: KindNodes, Key: n.Key, Aliases: n.Aliases, Facts: facts("gpu", n.GPU, "gpus",
		strconv.Itoa(n.GPUs), "scaleUpDomain", strconv.Itoa(n.Domain), "fabric", n.Fabric, "arch", n.Arch, "provider",
		n.Provider, "instanceType", n.InstanceType, "note", n.Note), Figures: n.Figures(), Missing: n.Missing}
}

func (t Topology) entry() Entry {
	var layers []string
	for _, l := range t.Layers {
		layers = append(layers, l.Name)
	}
	return Entry{Kind: KindTopologies, Key: t.Key, Aliases: t.Aliases, Facts: facts("fabric", t.Fabric, "node", t.Node,
		"layers", strings.Join(layers, " > "), "note", t.Note), Figures: t.Figures()}
}

// Find returns every entry that a key or an alias means, upper and lower case being the same: of a GPU, its prices and
// capex too. The error suggests names.
func (c *Catalog) Find(name string) ([]Entry, error) {
	var found []Entry
	var names []string
	key := strings.ToLower(name)
	if gpu, err := c.Lookup(name); err == nil {
		key = gpu.Key
	}
	for _, kind := range Kinds() {
		for _, e := range c.Entries(kind) {
			own := append([]string{e.Key}, e.Aliases...)
			names = append(names, own...)
			if slices.ContainsFunc(own, func(s string) bool { return strings.EqualFold(s, name) || s == key }) {
				found = append(found, e)
			}
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	hint := strict.Suggest(name, names)
	if !strings.HasPrefix(hint, "did you mean") {
		hint = "see `orrery catalog list`"
	}
	return nil, fmt.Errorf("%q is not in the catalogue; %s", name, hint)
}
