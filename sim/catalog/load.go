package catalog

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"orrery/sim/strict"
)

// file is the YAML form of a catalogue file.
type file struct {
	APIVersion string                `yaml:"apiVersion" required:"true" enum:"orrery/v1"`
	Kind       string                `yaml:"kind" required:"true" enum:"Catalog"`
	Sources    map[string]sourceYAML `yaml:"sources"`
	GPUs       []gpuYAML             `yaml:"gpus"`
	Prices     []priceYAML           `yaml:"prices"`
	Energy     *energyYAML           `yaml:"energy"`
}

type sourceYAML struct {
	Title string `yaml:"title" required:"true" min:"1"`
	Date  date   `yaml:"date" required:"true"`
}

type figureYAML struct {
	Value      float64 `yaml:"value" required:"true"`
	Source     string  `yaml:"source" required:"true"`
	Confidence string  `yaml:"confidence" required:"true" enum:"high|medium|low"`
	Note       string  `yaml:"note"`
}

type gpuYAML struct {
	Key         string      `yaml:"key" required:"true"`
	Vendor      string      `yaml:"vendor" required:"true" enum:"nvidia|amd|intel|undisclosed"`
	Product     string      `yaml:"product" required:"true"`
	Family      string      `yaml:"family" required:"true"`
	Aliases     []string    `yaml:"aliases"`
	Resource    string      `yaml:"resource"`
	Undisclosed bool        `yaml:"undisclosed"`
	Note        string      `yaml:"note"`
	MemoryMiB   *figureYAML `yaml:"memoryMiB"`
	TDPWatts    *figureYAML `yaml:"tdpWatts"`
	IdleWatts   *figureYAML `yaml:"idleWatts"`
}

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

// date is YYYY, YYYY-MM or YYYY-MM-DD; YAML would read some of them as numbers.
type date string

var dateForm = regexp.MustCompile(`^\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?$`)

// UnmarshalText checks the form.
func (d *date) UnmarshalText(text []byte) error {
	if !dateForm.Match(text) {
		return fmt.Errorf("%q is not a date; write YYYY, YYYY-MM or YYYY-MM-DD", text)
	}
	*d = date(text)
	return nil
}

// resources are the extended resources of the vendors' device plugins (NVIDIA/k8s-device-plugin,
// ROCm/k8s-device-plugin and HabanaAI's plugin, August 2026).
var resources = map[string]string{"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu", "intel": "habana.ai/gaudi"}

// builder collects files into a catalogue.
type builder struct {
	c        *Catalog
	gpus     map[string]int    // key → index
	gpuFile  map[string]string // key → file that gave it last
	prices   map[string]int    // gpu, basis, provider, region → index
	priceAt  map[string]string // the same → file that gave it last
	owner    map[string]string // lower-case key or alias → key
	problems []error
}

func newBuilder() *builder {
	return &builder{
		c:    &Catalog{byName: map[string]int{}},
		gpus: map[string]int{}, gpuFile: map[string]string{},
		prices: map[string]int{}, priceAt: map[string]string{}, owner: map[string]string{},
	}
}

func (b *builder) add(f File) {
	d := strict.Parse(f.Name, f.Data)
	var y file
	d.Decode(&y)
	if d.Err() == nil {
		for i, g := range y.GPUs {
			b.addGPU(d, y, fmt.Sprintf("gpus[%d]", i), g)
		}
		for i, p := range y.Prices {
			b.addPrice(d, y, fmt.Sprintf("prices[%d]", i), p)
		}
		if y.Energy != nil {
			b.addEnergy(d, y)
		}
		b.checkDefaults(d, y)
	}
	if err := d.Err(); err != nil {
		b.problems = append(b.problems, err)
	}
}

func (b *builder) addGPU(d *strict.Doc, y file, path string, g gpuYAML) {
	if b.gpuFile[g.Key] == d.File {
		d.Problemf(path+".key", "GPU %q is in this file twice; keep one entry", g.Key)
		return
	}
	if !keyForm.MatchString(g.Key) {
		d.Problemf(path+".key", "the key %q is not made of a-z, 0-9 and -; write it like h100-sxm", g.Key)
	}
	if !labelForm.MatchString(g.Product) {
		d.Problemf(path+".product", "%q cannot be a label value (letters, digits, - _ . and at most 63 of them); "+
			"replace spaces by dashes", g.Product)
	}
	gpu := GPU{Key: g.Key, Vendor: g.Vendor, Product: g.Product, Family: g.Family, Aliases: g.Aliases,
		Resource: g.Resource, Undisclosed: g.Undisclosed, Note: g.Note}
	if gpu.Resource == "" {
		gpu.Resource = resources[g.Vendor]
	}
	if gpu.Resource == "" {
		d.Problemf(path, "resource is missing and the vendor %q has no usual one; add e.g. resource: nvidia.com/gpu",
			g.Vendor)
	}
	if g.Undisclosed != (g.Vendor == "undisclosed") || g.Undisclosed && g.Note == "" {
		d.Problemf(path, "a masked model has vendor: undisclosed, undisclosed: true and a note that says who masked it")
	}
	gpu.MemoryMiB = figure(d, y, path+".memoryMiB", g.MemoryMiB, 1, 1<<24)
	gpu.TDPWatts = figure(d, y, path+".tdpWatts", g.TDPWatts, 1, 1e5)
	gpu.IdleWatts = figure(d, y, path+".idleWatts", g.IdleWatts, 0, 1e5)
	if gpu.IdleWatts != nil && gpu.TDPWatts != nil && gpu.IdleWatts.Value >= gpu.TDPWatts.Value {
		d.Problemf(path+".idleWatts", "idleWatts %v is not below tdpWatts %v; one of them is wrong",
			gpu.IdleWatts.Value, gpu.TDPWatts.Value)
	}
	b.names(d, path, gpu)
	b.gpuFile[g.Key] = d.File
	if i, ok := b.gpus[g.Key]; ok {
		b.c.GPUs[i] = gpu
		return
	}
	b.gpus[g.Key] = len(b.c.GPUs)
	b.c.GPUs = append(b.c.GPUs, gpu)
}

// names claims the key and the aliases of a GPU; a name may mean one GPU only.
func (b *builder) names(d *strict.Doc, path string, gpu GPU) {
	for i, name := range append([]string{gpu.Key}, gpu.Aliases...) {
		at := path + ".key"
		if i > 0 {
			at = fmt.Sprintf("%s.aliases[%d]", path, i-1)
		}
		lower := strings.ToLower(name)
		if other, taken := b.owner[lower]; taken && other != gpu.Key {
			d.Problemf(at, "the name %q already means GPU %q; choose another", name, other)
			continue
		}
		b.owner[lower] = gpu.Key
	}
}

func (b *builder) addPrice(d *strict.Doc, y file, path string, p priceYAML) {
	gpu, known := b.owner[strings.ToLower(p.GPU)]
	if !known {
		d.Problemf(path+".gpu", "GPU %q is not in the catalogue; %s", p.GPU, strict.Suggest(p.GPU, sortedKeys(b.gpus)))
		return
	}
	f := figure(d, y, path, &figureYAML{p.USD, p.Source, p.Confidence, p.Note}, 0, 1e4)
	if f == nil {
		return
	}
	price := Price{GPU: gpu, Basis: p.Basis, USD: *f, Provider: p.Provider, Region: p.Region, SKU: p.SKU,
		Default: p.Default}
	id := strings.Join([]string{gpu, p.Basis, p.Provider, p.Region}, " ")
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

func priceID(p Price) string {
	return strings.Join([]string{p.GPU, p.Basis, p.Provider, p.Region}, " ")
}

func (b *builder) addEnergy(d *strict.Doc, y file) {
	if f := figure(d, y, "energy.pue", y.Energy.PUE, 1, 10); f != nil {
		b.c.Energy.PUE = *f
	}
	if f := figure(d, y, "energy.usdPerKWh", y.Energy.USDPerKWh, 0, 10); f != nil {
		b.c.Energy.USDPerKWh = *f
	}
}

// checkDefaults asks for exactly one default among several prices of one GPU and basis.
func (b *builder) checkDefaults(d *strict.Doc, y file) {
	for i, p := range y.Prices {
		gpu := b.owner[strings.ToLower(p.GPU)]
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

// figure resolves a figure's source and checks its range; nil when absent or wrong.
func figure(d *strict.Doc, y file, path string, f *figureYAML, low, high float64) *Figure {
	if f == nil {
		return nil
	}
	source, ok := y.Sources[f.Source]
	if !ok {
		d.Problemf(path+".source", "source %q is not under sources:; %s", f.Source,
			strict.Suggest(f.Source, sortedKeys(y.Sources)))
		return nil
	}
	if f.Value < low || f.Value > high {
		d.Problemf(path, "%v is out of range; want %v to %v", f.Value, low, high)
		return nil
	}
	return &Figure{Value: f.Value, Source: source.Title + ", " + string(source.Date), Date: string(source.Date),
		Confidence: f.Confidence, Note: f.Note}
}

func (b *builder) build() (*Catalog, error) {
	if err := errors.Join(b.problems...); err != nil {
		return nil, err
	}
	if b.c.Energy.PUE.Source == "" || b.c.Energy.USDPerKWh.Source == "" {
		return nil, errors.New("catalogue: energy.pue or energy.usdPerKWh is given by no file")
	}
	for name, key := range b.owner {
		b.c.byName[name] = b.gpus[key]
	}
	return b.c, nil
}

var (
	keyForm   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	labelForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`)
)

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
