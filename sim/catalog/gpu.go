package catalog

import "fmt"

// Figure is a number with its provenance. Its unit is in the name of the field that holds it.
type Figure struct {
	Value      float64 `json:"value"`
	Source     string  `json:"source"`     // document, commit or page, with its date: "AWS EC2 on-demand …, 2026-07-20"
	Date       string  `json:"date"`       // of the source: YYYY, YYYY-MM or YYYY-MM-DD
	Confidence string  `json:"confidence"` // high, medium or low
	Note       string  `json:"note,omitempty"`
	// Alternatives are what other documents say, where they contradict Value.
	Alternatives []Alternative `json:"alternatives,omitempty"`
}

// Alternative is what another source says in place of a figure's value.
type Alternative struct {
	Value  float64 `json:"value"`
	Source string  `json:"source"` // with its date
	Note   string  `json:"note,omitempty"`
}

// String gives the source of the figure for people.
func (f Figure) String() string {
	s := fmt.Sprintf("%s; confidence %s", f.Source, f.Confidence)
	if f.Note != "" {
		s += " (" + f.Note + ")"
	}
	return s
}

// Precisions of GPU.TFLOPS and GPU.Ceiling.
const (
	FP16 = "fp16"
	BF16 = "bf16"
	FP8  = "fp8"
	FP4  = "fp4"
	INT8 = "int8" // in tera-operations per second
)

// Precisions lists the precisions in the order in which they are shown, wide before narrow.
func Precisions() []string { return []string{FP16, BF16, FP8, INT8, FP4} }

// GPU is a model of accelerator. Figures that are not known are nil.
type GPU struct {
	Key     string // lower-case name, unique in the catalogue
	Vendor  string // nvidia, amd, intel or undisclosed
	Product string // value of the product label that the vendor's feature discovery sets
	Family  string
	Aliases []string
	// Resource is the extended resource a device plugin offers it as, e.g. nvidia.com/gpu.
	Resource string
	// Undisclosed marks a model that the publisher of a trace masked; see Note.
	Undisclosed bool
	Note        string
	// Missing says why a figure that every GPU has is not known: name of the YAML field → reason.
	Missing map[string]string

	MemoryMiB *Figure
	MemoryGBs *Figure // bandwidth of the device memory, 1e9 bytes per second
	// TFLOPS is the peak of the data sheet by precision, dense (no structured sparsity), 1e12 operations per second.
	// A precision that the GPU does not have, or of which no figure was read, has no entry.
	TFLOPS map[string]*Figure
	// Ceiling is the best that a matrix multiplication was measured to reach, in the units of TFLOPS.
	Ceiling   map[string]*Figure
	Link      Link
	PCIeGen   *Figure // generation of the host's PCIe link, 16 lanes; nil where the GPU hangs on its CPU by another link
	MIG       bool    // can be partitioned into MIG instances
	TDPWatts  *Figure // maximum power of board or module
	IdleWatts *Figure // power without work
}

// Kinds of scale-up link.
const (
	NVLink       = "nvlink"
	NVLinkBridge = "nvlink-bridge" // joins two or four PCIe cards
	XGMI         = "xgmi"
	Ethernet     = "ethernet" // Gaudi's own ports
)

// Link is the scale-up link of a GPU: what joins it to its neighbours faster than the network does.
type Link struct {
	Kind string // "" when the GPU has none, or none is known
	// GBs is what one GPU sends to all its peers together, in one direction, 1e9 bytes per second: half of what data
	// sheets call NVLink bandwidth.
	GBs *Figure
	// PeerGBs is the most that one GPU sends to any one peer, in one direction. Nil: all of GBs, as behind a switch.
	PeerGBs *Figure
	// DomainGPUs is how many GPUs the link joins.
	DomainGPUs *Figure
}

// Domain is how many GPUs the link joins, 1 without a link.
func (l Link) Domain() int {
	if l.DomainGPUs == nil {
		return 1
	}
	return int(l.DomainGPUs.Value)
}

// Named is a figure with the name that its YAML field has, which ends with the unit.
type Named struct {
	Name   string `json:"name"`
	Figure Figure `json:"figure"`
}

// Figures lists the figures of the GPU that are known, in a fixed order.
func (g GPU) Figures() []Named {
	var l figureList
	l.add("memoryMiB", g.MemoryMiB)
	l.add("memoryGBs", g.MemoryGBs)
	for _, p := range Precisions() {
		l.add("tflops."+p, g.TFLOPS[p])
	}
	for _, p := range Precisions() {
		l.add("ceilingTFLOPS."+p, g.Ceiling[p])
	}
	l.add("link.totalGBs", g.Link.GBs)
	l.add("link.peerGBs", g.Link.PeerGBs)
	l.add("link.domainGPUs", g.Link.DomainGPUs)
	l.add("pcieGen", g.PCIeGen)
	l.add("tdpWatts", g.TDPWatts)
	l.add("idleWatts", g.IdleWatts)
	return l
}

// figureList collects the figures that are known.
type figureList []Named

func (l *figureList) add(name string, f *Figure) {
	if f != nil {
		*l = append(*l, Named{name, *f})
	}
}
