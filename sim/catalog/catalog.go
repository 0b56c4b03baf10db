// Package catalog holds what is known of GPUs, nodes, networks, prices and energy: embedded YAML, every figure with its
// unit, source, date and confidence. A new entry is YAML alone, here or in a file of the user; figures that are not
// known are absent with the reason, never guessed.
package catalog

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"orrery/sim/strict"
)

// Pricing bases.
const (
	OnDemand   = "on-demand"
	Spot       = "spot"
	Reserved1Y = "reserved-1y"
	Reserved3Y = "reserved-3y"
)

// Price is a list price of one GPU for one hour, its share of the instance included.
type Price struct {
	GPU      string // key
	Basis    string
	USD      Figure // per GPU-hour
	Provider string
	Region   string
	SKU      string
	Default  bool
}

// Source says where the price comes from: provider, instance, region, list and date.
func (p Price) Source() string {
	parts := []string{p.Provider, p.SKU, p.Region}
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	if len(parts) == 0 {
		return p.USD.String()
	}
	return strings.Join(parts, " ") + ": " + p.USD.String()
}

// Capex is what hardware costs to buy.
type Capex struct {
	GPU         string  // key
	What        string  // what is bought: "server", "rack"
	GPUs        int     // in it
	USD         Figure  // the IT equipment alone
	FacilityUSD *Figure // building, power and cooling for it; nil when not known
}

// USDPerGPU is the price of one GPU with its share of the server or rack, without the facility.
func (c Capex) USDPerGPU() float64 { return c.USD.Value / float64(c.GPUs) }

// Energy is the default energy figures.
type Energy struct {
	PUE       Figure // energy of the site ÷ energy of its IT equipment
	USDPerKWh Figure
}

// Catalog is a loaded catalogue. It does not change after loading.
type Catalog struct {
	GPUs       []GPU // each list in the order of the files
	Nodes      []Node
	Fabrics    []Fabric
	Topologies []Topology
	Prices     []Price
	Capex      []Capex
	Energy     Energy

	gpus, nodes, fabrics, topologies map[string]int // lower-case key or alias → index into the list
}

// File is a catalogue file of the user.
type File struct {
	Name string
	Data []byte
}

//go:embed nvidia.yaml others.yaml fabrics.yaml nodes.yaml topologies.yaml prices.yaml energy.yaml
var embedded embed.FS

// embeddedFiles is the explicit list of the shipped files, in loading order.
var embeddedFiles = []string{"nvidia.yaml", "others.yaml", "fabrics.yaml", "nodes.yaml", "topologies.yaml",
	"prices.yaml", "energy.yaml"}

// Load returns the embedded catalogue with the entries of extra files added. An entry of a later file replaces an
// earlier one of the same key; a price replaces those of the same GPU, basis, provider and region; a figure of capex
// those of the same GPU and thing. Within one file a second one is an error. The error lists every problem of every
// file as file:line:column.
func Load(extra ...File) (*Catalog, error) {
	b := newBuilder()
	for _, name := range embeddedFiles {
		data, err := embedded.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading the embedded catalogue: %w", err)
		}
		b.add(File{"catalog/" + name, data})
	}
	for _, f := range extra {
		b.add(f)
	}
	return b.build()
}

// Lookup returns the GPU with the given key or alias; upper and lower case are the same. The error suggests names.
func (c *Catalog) Lookup(name string) (GPU, error) {
	return lookup(c.gpus, c.GPUs, name, "GPU", func(g GPU) []string { return slices.Concat(g.Aliases, []string{g.Key}) })
}

// lookup finds an entry by name. names gives all names of an entry, the key last.
func lookup[T any](index map[string]int, list []T, name, what string, names func(T) []string) (T, error) {
	if i, ok := index[strings.ToLower(name)]; ok {
		return list[i], nil
	}
	var all, keys []string
	for _, e := range list {
		n := names(e)
		all, keys = append(all, n...), append(keys, n[len(n)-1])
	}
	hint := strict.Suggest(name, all)
	if !strings.HasPrefix(hint, "did you mean") {
		slices.Sort(keys)
		hint = strict.Suggest(name, keys)
	}
	var none T
	return none, fmt.Errorf("%s %q is not in the catalogue; %s", what, name, hint)
}

// Keys returns all keys, sorted.
func (c *Catalog) Keys() []string {
	keys := make([]string, len(c.GPUs))
	for i, g := range c.GPUs {
		keys[i] = g.Key
	}
	slices.Sort(keys)
	return keys
}

// Price returns the price of a GPU (by key) on a basis. With a provider it is that provider's (the one marked default,
// else the first listed); without, the one marked default, else the only one. ok is false when there is none.
func (c *Catalog) Price(gpu, basis, provider string) (price Price, ok bool) {
	for _, p := range c.Prices {
		if p.GPU != gpu || p.Basis != basis || provider != "" && p.Provider != provider {
			continue
		}
		if p.Default {
			return p, true
		}
		if !ok {
			price, ok = p, true
		}
	}
	return price, ok
}

// Providers returns the providers that have a price, sorted.
func (c *Catalog) Providers() []string {
	var list []string
	for _, p := range c.Prices {
		if p.Provider != "" && !slices.Contains(list, p.Provider) {
			list = append(list, p.Provider)
		}
	}
	slices.Sort(list)
	return list
}
