package catalog

import (
	"fmt"
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
	id := priceID(price)
	if i, ok := b.prices[id]; !ok {
		b.prices[id] = len(b.c.Prices)
		b.c.Prices = append(b.c.Prices, price)
	} else if b.priceAt[id] == d.File {
		d.Problemf(path, "a second price for %s, %v beside %v; keep one", id, p.USD, b.c.Prices[i].USD.Value)
	} else {
		b.c.Prices[i] = price
	}
	b.priceAt[id] = d.File
	if p.Default { // a later file's default takes the place of an earlier one's
		for i, other := range b.c.Prices {
			if other.GPU == gpu && other.Basis == p.Basis && b.priceAt[priceID(other)] != d.File {
				b.c.Prices[i].Default = false
			}
		}
	}
}

// priceID is what no two prices of a file may share.
func priceID(p Price) string {
	return strings.Join([]string{p.GPU, p.Basis, p.Provider, p.Region}, " ")
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
		for _, q := range b.c.Prices {
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
