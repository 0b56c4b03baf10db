package training

import (
	"fmt"
	"strings"

	"orrery/sim/catalog"
	"orrery/sim/plan"
)

// Host is what a GPU has of its node: network adapters and neighbours.
type Host struct {
	PerNode int
	// NICGBs is one GPU's share of the node's adapters, 1e9 bytes per second in one direction; 0 = not known.
	NICGBs float64
	// LinkGPUs is how many GPUs the scale-up link joins; 0 = the catalogue's.
	LinkGPUs int
}

// reached is what a matrix multiplication reaches of the data sheet's peak where no ceiling was measured: means of what
// was, by family (Machine Learning Engineering, compute/accelerator, MAMF tables, commit 744d01e). Half precision, then
// fp8; of fp4 nothing was measured, and it takes fp8's.
var reached = map[string][2]float64{
	"pascal": {0.87, 0}, "volta": {0.87, 0}, "turing": {0.87, 0}, "ampere": {0.87, 0}, // A100: 271 of 312
	"ada-lovelace": {0.80, 0.72}, "hopper": {0.80, 0.72}, // H100: 794 of 989, fp8 1403 of 1979; H200: 1453
	"blackwell": {0.755, 0.74},                                           // B200 78 and 76 %, GB200 73 and 72 %
	"cdna2":     {0.56, 0}, "cdna3": {0.56, 0.56}, "cdna4": {0.68, 0.68}, // MI300X 51 %, MI325X 60 %, MI355X 68 %
	"gaudi": {0.855, 0.855}, // Gaudi2 97 %, Gaudi3 74 %
}

// reachedElsewhere is for families without any measurement: the mean over all.
const reachedElsewhere = 0.75

// pcieGBs is the rate of 16 lanes in one direction by generation (Machine Learning Engineering, network, commit
// 744d01e; generation 3: PCI Express base specification, 8 GT/s with 128b/130b).
var pcieGBs = map[int]float64{3: 15.75, 4: 31, 5: 63, 6: 121}

// Accelerator is what the speed model knows of a GPU of the catalogue in a node. The error says which figure is missing
// that the model cannot do without.
func Accelerator(g catalog.GPU, h Host) (*plan.Accelerator, error) {
	a := &plan.Accelerator{GPU: g.Key, Family: g.Family, LinkKind: g.Link.Kind, LinkGBs: value(g.Link.GBs),
		PeerGBs: value(g.Link.PeerGBs), LinkGPUs: g.Link.Domain(), NICGBs: h.NICGBs, PerNode: h.PerNode,
		MemoryMiB: value(g.MemoryMiB), MemoryGBs: value(g.MemoryGBs)}
	if h.LinkGPUs > 0 {
		a.LinkGPUs = h.LinkGPUs
	}
	if g.PCIeGen != nil {
		a.PCIeGBs = pcieGBs[int(g.PCIeGen.Value)]
	}
	var derived []string
	take := func(to *float64, of int, names ...string) {
		for _, name := range names {
			if f := g.Ceiling[name]; f != nil {
				*to = f.Value
				return
			}
		}
		for _, name := range names {
			if f := g.TFLOPS[name]; f != nil {
				share := reachedElsewhere
				if r, ok := reached[g.Family]; ok && r[of] > 0 {
					share = r[of]
				}
				*to = f.Value * share
				derived = append(derived, fmt.Sprintf("%s: no ceiling was measured, %.0f %% of the peak %.4g", name,
					100*share, f.Value))
				return
			}
		}
	}
	take(&a.Half, 0, catalog.BF16, catalog.FP16)
	take(&a.FP8, 1, catalog.FP8)
	take(&a.FP4, 1, catalog.FP4)
	a.Estimated = strings.Join(derived, "; ")
	switch {
	case a.Half == 0:
		return nil, fmt.Errorf("the catalogue has no rate of bf16 or fp16 operations of %s, so that its speed is not known",
			g.Key)
	case a.MemoryGBs == 0:
		return nil, fmt.Errorf("the catalogue has no memory bandwidth of %s, so that its speed is not known", g.Key)
	}
	return a, nil
}

func value(f *catalog.Figure) float64 {
	if f == nil {
		return 0
	}
	return f.Value
}
