package catalog

import (
	"fmt"
	"slices"
	"strings"

	"orrery/sim/strict"
)

type priceYAML struct {
	GPU        string  `yaml:"gpu" required:"true"`
	Basis      string  `yaml:"basis" required:"true" enum:"on-demand|spot|reserved-1y|reserved-3y"`
	USD        float64 `yaml:"usdPerGPUHour" required:"true" min:"0"`
	Provider   string  `yaml:"provider"`
	Region     string  `yaml:"region"`
	SKU        string  `yaml:"sku"`
	Source     string  `yaml:"source" required:"true"`
	Confidence string  `yaml:"confidence" required:"true" enum:"high|medium|low"`
	Default    bool    `yaml:"default"`
	Note       string  `yaml:"note"`
}

type energyYAML struct {
	PUE       *figureYAML `yaml:"pue"`
	USDPerKWh *figureYAML `yaml:"usdPerKWh"`
}

func (b *builder) addPrice(d document, path string, p priceYAML) {
	gpu, known := b.gpus.owner[strings.ToLower(p.GPU)]
	if !known {
		d.Problemf(path+".gpu", "GPU %q is not in the catalogue; %s", p.GPU,
			strict.Suggest(p.GPU, sortedKeys(b.gpus.index)))
		return
	}
	y := figureYAML{Value: p.USD, Source: p.Source, Confidence: p.Confidence, Note: p.Note}
	f := d.figure(path, &y, origin{}, limits{0, 1e4, false})
	if f == nil {
		return
	}
	price := Price{GPU: gpu, Basis: p.Basis, USD: *f, Provider: p.Provider, Region: p.Region, SKU: p.SKU,
		Default: p.Default}
	for _, o := range b.prices {
		if o.place() == (priced{price, ""}).place() && o.SKU == p.SKU && o.file == d.File {
			d.Problemf(path, "a second price for %s, %v beside %v; keep one, or give each its sku", o.place(), p.USD,
				o.USD.Value)
			return
		}
	}
	b.prices = slices.DeleteFunc(b.prices, func(o priced) bool {
		return o.file != d.File && o.place() == (priced{price, ""}).place()
	})
	if p.Default { // a later file's default takes the place of an earlier one's
		for i, o := range b.prices {
			if o.GPU == gpu && o.Basis == p.Basis && o.file != d.File {
				b.prices[i].Default = false
			}
		}
	}
	b.prices = append(b.prices, priced{price, d.File})
}

// priced is a price and the file that gives it.
type priced struct {
	Price
	file string
}

// place is what a price of a later file takes over.
func (p priced) place() string {
	return strings.TrimRight(strings.Join([]string{p.GPU, p.Basis, p.Provider, p.Region}, " "), " ")
}

type capexYAML struct {
	GPU         string      `yaml:"gpu" required:"true"`
	What        string      `yaml:"what" required:"true" min:"1"`
	GPUs        int         `yaml:"gpus" required:"true" min:"1" max:"100000"`
	Source      string      `yaml:"source"`
	Confidence  string      `yaml:"confidence" enum:"high|medium|low"`
	USD         *figureYAML `yaml:"usd" required:"true"`
	FacilityUSD *figureYAML `yaml:"facilityUSD"`
}

func (b *builder) addCapex(d document, path string, y capexYAML) {
	gpu, known := b.gpus.owner[strings.ToLower(y.GPU)]
	if !known {
		d.Problemf(path+".gpu", "GPU %q is not in the catalogue; %s", y.GPU,
			strict.Suggest(y.GPU, sortedKeys(b.gpus.index)))
		return
	}
	o := origin{y.Source, y.Confidence, ""}
	usd := d.figure(path+".usd", y.USD, o, limits{1, 1e12, false})
	if usd == nil {
		return
	}
	c := Capex{GPU: gpu, What: y.What, GPUs: y.GPUs, USD: *usd,
		FacilityUSD: d.figure(path+".facilityUSD", y.FacilityUSD, o, limits{1, 1e12, false})}
	id := gpu + " " + y.What
	if b.capexAt[id] == d.File {
		d.Problemf(path, "a second figure for %s; keep one", id)
		return
	}
	b.c.Capex = slices.DeleteFunc(b.c.Capex, func(o Capex) bool { return o.GPU == gpu && o.What == y.What })
	b.c.Capex = append(b.c.Capex, c)
	b.capexAt[id] = d.File
}

func (b *builder) addEnergy(d document) {
	if f := d.figure("energy.pue", d.y.Energy.PUE, origin{}, limits{1, 10, false}); f != nil {
		b.c.Energy.PUE = *f
	}
	if f := d.figure("energy.usdPerKWh", d.y.Energy.USDPerKWh, origin{}, limits{0, 10, false}); f != nil {
		b.c.Energy.USDPerKWh = *f
	}
}

// checkDefaults asks for exactly one default among several prices of one GPU and basis.
func (b *builder) checkDefaults(d document) {
	for i, p := range d.y.Prices {
		gpu := b.gpus.owner[strings.ToLower(p.GPU)]
		count, defaults := 0, 0
		for _, q := range b.prices {
			if q.GPU != gpu || q.Basis != p.Basis {
				continue
			}
			if count++; q.Default {
				defaults++
			}
		}
		if gpu != "" && count > 1 && defaults != 1 {
			d.Problemf(fmt.Sprintf("prices[%d]", i),
				"%d of the %d %s prices of %s have default: true; mark exactly one",
				defaults, count, p.Basis, gpu)
		}
	}
}
