package catalog

type gpuYAML struct {
	Key         string            `yaml:"key" required:"true"`
	Vendor      string            `yaml:"vendor" required:"true" enum:"nvidia|amd|intel|undisclosed"`
	Product     string            `yaml:"product" required:"true"`
	Family      string            `yaml:"family" required:"true"`
	Aliases     []string          `yaml:"aliases"`
	Resource    string            `yaml:"resource"`
	Undisclosed bool              `yaml:"undisclosed"`
	Note        string            `yaml:"note"`
	Missing     map[string]string `yaml:"missing"`
	MemoryMiB   *figureYAML       `yaml:"memoryMiB"`
	MemoryGBs   *figureYAML       `yaml:"memoryGBs"`
	TFLOPS      *ratesYAML        `yaml:"tflops"`
	Ceiling     *ratesYAML        `yaml:"ceilingTFLOPS"`
	Link        *linkYAML         `yaml:"link"`
	PCIeGen     *figureYAML       `yaml:"pcieGen"`
	MIG         bool              `yaml:"mig"`
	TDPWatts    *figureYAML       `yaml:"tdpWatts"`
	IdleWatts   *figureYAML       `yaml:"idleWatts"`
}

// ratesYAML is operations per second by precision.
type ratesYAML struct {
	Source     string      `yaml:"source"`
	Confidence string      `yaml:"confidence" enum:"high|medium|low"`
	Note       string      `yaml:"note"`
	FP16       *figureYAML `yaml:"fp16"`
	BF16       *figureYAML `yaml:"bf16"`
	FP8        *figureYAML `yaml:"fp8"`
	INT8       *figureYAML `yaml:"int8"`
	FP4        *figureYAML `yaml:"fp4"`
}

type linkYAML struct {
	Kind       string      `yaml:"kind" required:"true" enum:"none|nvlink|nvlink-bridge|xgmi|ethernet"`
	Source     string      `yaml:"source"`
	Confidence string      `yaml:"confidence" enum:"high|medium|low"`
	Note       string      `yaml:"note"`
	TotalGBs   *figureYAML `yaml:"totalGBs"`
	PeerGBs    *figureYAML `yaml:"peerGBs"`
	DomainGPUs *figureYAML `yaml:"domainGPUs"`
}

// resources are the extended resources of the vendors' device plugins (NVIDIA/k8s-device-plugin,
// ROCm/k8s-device-plugin and HabanaAI's plugin, August 2026).
var resources = map[string]string{"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu", "intel": "habana.ai/gaudi"}

func (b *builder) addGPU(d document, path string, g gpuYAML) {
	if b.gpus.again(d, path, g.Key) {
		return
	}
	if !labelForm.MatchString(g.Product) {
		d.Problemf(path+".product", "%q cannot be a label value (letters, digits, - _ . and at most 63 of them); "+
			"replace spaces by dashes", g.Product)
	}
	gpu := GPU{Key: g.Key, Vendor: g.Vendor, Product: g.Product, Family: g.Family, Aliases: g.Aliases,
		Resource: g.Resource, Undisclosed: g.Undisclosed, Note: g.Note, Missing: g.Missing, MIG: g.MIG}
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
	if g.MIG && g.Vendor != "nvidia" {
		d.Problemf(path+".mig", "mig: only NVIDIA GPUs have MIG, and the vendor is %s; remove it", g.Vendor)
	}
	var none origin
	gpu.MemoryMiB = d.figure(path+".memoryMiB", g.MemoryMiB, none, limits{1, 1 << 24, true})
	gpu.MemoryGBs = d.figure(path+".memoryGBs", g.MemoryGBs, none, limits{20, 1e6, false})
	gpu.TFLOPS = d.rates(path+".tflops", g.TFLOPS)
	gpu.Ceiling = d.rates(path+".ceilingTFLOPS", g.Ceiling)
	gpu.Link = d.link(path+".link", g.Link)
	gpu.PCIeGen = d.figure(path+".pcieGen", g.PCIeGen, none, limits{1, 8, true})
	gpu.TDPWatts = d.figure(path+".tdpWatts", g.TDPWatts, none, limits{1, 1e5, false})
	gpu.IdleWatts = d.figure(path+".idleWatts", g.IdleWatts, none, limits{0, 1e5, false})
	d.contradictions(path, gpu)
	d.missing(path, gpu, g)
	b.c.GPUs = put(b.gpus, b.c.GPUs, d, path, gpu, gpu.Key, gpu.Aliases)
}

// given says whether there is a figure at all, be it wrong.
func (r *ratesYAML) given() bool {
	return r != nil && (r.FP16 != nil || r.BF16 != nil || r.FP8 != nil || r.INT8 != nil || r.FP4 != nil)
}

func (d document) rates(path string, r *ratesYAML) map[string]*Figure {
	if r == nil {
		return nil
	}
	out := map[string]*Figure{}
	given := map[string]*figureYAML{FP16: r.FP16, BF16: r.BF16, FP8: r.FP8, INT8: r.INT8, FP4: r.FP4}
	for _, p := range Precisions() {
		f := d.figure(path+"."+p, given[p], origin{r.Source, r.Confidence, r.Note}, limits{0.1, 1e6, false})
		if f != nil {
			out[p] = f
		}
	}
	return out
}

func (d document) link(path string, l *linkYAML) Link {
	if l == nil {
		return Link{}
	}
	if l.Kind == "none" {
		if l.TotalGBs != nil || l.PeerGBs != nil || l.DomainGPUs != nil {
			d.Problemf(path, "%s: kind: none with figures; write the kind of link, or remove them", path)
		}
		return Link{}
	}
	if l.TotalGBs == nil || l.DomainGPUs == nil {
		d.Problemf(path, "%s: totalGBs or domainGPUs is missing for kind %s; add it, or write kind: none", path, l.Kind)
	}
	o := origin{l.Source, l.Confidence, l.Note}
	out := Link{Kind: l.Kind,
		GBs:        d.figure(path+".totalGBs", l.TotalGBs, o, limits{0.1, 1e5, false}),
		PeerGBs:    d.figure(path+".peerGBs", l.PeerGBs, o, limits{0.1, 1e5, false}),
		DomainGPUs: d.figure(path+".domainGPUs", l.DomainGPUs, o, limits{1, 1 << 16, true})}
	d.below(path+".peerGBs", "peerGBs", out.PeerGBs, "totalGBs", out.GBs, true)
	return out
}

// below asks that a figure is not above another.
func (d document) below(path, name string, f *Figure, other string, than *Figure, equal bool) {
	if f == nil || than == nil || f.Value < than.Value || equal && f.Value == than.Value {
		return
	}
	what := "below"
	if equal {
		what = "at most"
	}
	d.Problemf(path, "%s %v is not %s %s %v; one of them is wrong", name, f.Value, what, other, than.Value)
}

// contradictions reports figures of one GPU that cannot all be true.
func (d document) contradictions(path string, g GPU) {
	d.below(path+".idleWatts", "idleWatts", g.IdleWatts, "tdpWatts", g.TDPWatts, false)
	d.below(path+".link.totalGBs", "link.totalGBs", g.Link.GBs, "memoryGBs", g.MemoryGBs, true)
	for _, p := range Precisions() {
		at := path + ".ceilingTFLOPS." + p
		if g.Ceiling[p] != nil && g.TFLOPS[p] == nil {
			d.Problemf(at, "ceilingTFLOPS.%s has no tflops.%s to be compared with; add it", p, p)
		}
		d.below(at, "ceilingTFLOPS."+p, g.Ceiling[p], "tflops."+p, g.TFLOPS[p], true)
	}
	// Halving the width never makes a multiplier slower.
	wide := ""
	for _, p := range []string{BF16, FP8, FP4} {
		if g.TFLOPS[p] == nil {
			continue
		}
		if wide != "" {
			d.below(path+".tflops."+wide, "tflops."+wide, g.TFLOPS[wide], "tflops."+p, g.TFLOPS[p], true)
		}
		wide = p
	}
}

// missing asks for the figures that every GPU has, or for the reason why they are not known.
func (d document) missing(path string, g GPU, y gpuYAML) {
	if g.Undisclosed {
		return
	}
	d.excuses(path, "GPU", g.Key, g.Missing, map[string]bool{"memoryMiB": y.MemoryMiB != nil,
		"memoryGBs": y.MemoryGBs != nil, "tflops": y.TFLOPS.given(), "link": y.Link != nil, "tdpWatts": y.TDPWatts != nil})
}
