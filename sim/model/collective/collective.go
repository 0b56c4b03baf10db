// Package collective says how long a collective takes on the links that it really uses: inside a scale-up domain
// (NVLink, xGMI, PCIe) by measured bandwidth curves, between nodes by the network adapters' rate and a measured
// efficiency, across the upper layers of the network by what is left of their uplinks.
//
// Card states formulas, sources, error and what is left out.
package collective

import (
	"fmt"
	"math"
	"slices"

	"orrery/sim/model/exact"
)

// Op is a collective operation.
type Op int

// The operations. Bytes are those of the whole vector for AllReduce, of the gathered result for AllGather, of the input
// for ReduceScatter, of what one rank sends to all for AllToAll, and of the message for PointToPoint.
const (
	AllReduce Op = iota
	AllGather
	ReduceScatter
	AllToAll
	PointToPoint
)

// volume is what each rank sends, as a part of bytes.
func volume(op Op, n int) float64 {
	part := float64(n-1) / float64(n)
	switch op {
	case AllReduce:
		return 2 * part
	case PointToPoint:
		return 1
	}
	return part
}

// Link is a GPU's links. Rates in 1e9 bytes per second, one direction; 0 = there is none.
type Link struct {
	GPU     string  // catalogue key; a kind without measurements is derived from the nearest
	Kind    string  // nvlink, nvlink-bridge, xgmi, ethernet or ""
	GBs     float64 // to all peers together
	PeerGBs float64 // to any one peer; 0 = all of GBs
	GPUs    int     // joined by the link
	PCIeGBs float64
	NICGBs  float64 // one GPU's share of its node's adapters
}

// Group is the ranks of a collective and where they are.
type Group struct {
	Link    Link
	Ranks   int
	Domains int // scale-up domains (nodes, or racks joined by NVLink) the ranks are in
	Least   int // ranks in the domain that has fewest: as many adapters carry the traffic between domains
	// Slow is what crossing the network's upper layers multiplies the time between nodes by, ≥ 1 or 0 for 1.
	Slow float64
	// Copies is, for AllToAll, to how many ranks each piece of data goes when pieces for ranks of one domain are sent to
	// the domain once: experts that see a token. 0 = all pieces differ.
	Copies int
	// HopMicros is added for every step between domains: the latency of the layers crossed.
	HopMicros float64
}

// smallestBytes is the size below which nothing but latency counts.
const smallestBytes = 1

// Time returns the seconds of an operation on bytes.
func Time(op Op, bytes float64, g Group) float64 {
	if g.Ranks < 2 || bytes <= 0 {
		return 0
	}
	bytes = math.Max(bytes, smallestBytes)
	if op == PointToPoint {
		return pointToPoint(bytes, g)
	}
	within := intra(op, bytes, g)
	if g.Domains < 2 {
		return within
	}
	// The ring inside the domains and the one between them run at once; the slower one shows. The efficiency between
	// nodes is calibrated on measurements that contain both.
	return math.Max(within, inter(op, bytes, g))
}

// intra is the part of an operation inside one scale-up domain.
func intra(op Op, bytes float64, g Group) float64 {
	n := g.Ranks
	if g.Domains > 1 {
		n = (g.Ranks + g.Domains - 1) / g.Domains
	}
	if n < 2 {
		return 0
	}
	return float64(volume(op, n)*bytes) / (BusGBs(op, bytes, n, g.Link) * 1e9)
}

// inter is the part of an operation between domains: each of Least adapters of a domain carries its part of the data,
// reduced or gathered before inside the domain.
func inter(op Op, bytes float64, g Group) float64 {
	k := g.Domains
	rails := float64(max(g.Least, 1))
	nic := g.Link.NICGBs
	if nic <= 0 {
		nic = defaultNICGBs
	}
	// An adapter's efficiency depends on how long its part keeps it busy: the curve was measured on 8 adapters of
	// 50 GB/s.
	f := library().Network
	perNode := float64(f.Ranks / f.Nodes)
	like := bytes / rails * perNode * f.NICGBs / nic
	var sent float64
	switch op {
	case AllToAll: // each rank's data to other domains passes its domain's adapters
		perDomain := float64(g.Ranks) / float64(k)
		sent = bytes * perDomain / rails * float64(k-1) / float64(k) * distinct(k, g.Copies)
		like = bytes * perNode * f.NICGBs / nic
	default:
		sent = volume(op, k) * bytes / rails
	}
	slow := math.Max(g.Slow, 1)
	t := float64(sent / (nic * Efficiency(like) * 1e9) * slow)
	// Latency of more nodes than were measured grows with the logarithm of their number (tree), that of fewer shrinks.
	more := exact.Log2(float64(k)) - exact.Log2(float64(f.Nodes))
	t += float64(2 * more * (hopNetMicros + g.HopMicros) * 1e-6)
	return math.Max(t, sent/(nic*1e9))
}

// distinct is the part of an all-to-all that crosses domains when a piece for several ranks of a domain crosses once:
// the expected number of different domains that n random ones are, by n.
func distinct(domains, n int) float64 {
	if n < 2 {
		return 1
	}
	none := 1.0
	for range n {
		none *= 1 - 1/float64(domains)
	}
	return float64(domains) * (1 - none) / float64(n)
}

const (
	// hopNetMicros is NCCL's latency of a step of a tree over the network with protocol LL128 (NVIDIA/nccl
	// src/graph/tuning.cc, commit 5067397: 8.5 µs).
	hopNetMicros = 8.5
	// defaultNICGBs stands in for a node whose adapters are not known: 100 Gb/s a GPU, the least of the GPU servers of
	// the catalogue with eight GPUs and RDMA (GCP a3-highgpu: 4 × 200 Gb/s over 8 GPUs).
	defaultNICGBs = 12.5
	// peerMicros is the start of a copy between two GPUs of different nodes (aiconfigurator, commit 095f58a: 10 µs) and
	// within one (NCCL's ring over NVLink, protocol Simple: base 8.4 + 3.4 µs).
	peerNetMicros, peerLinkMicros = 10, 11.8
	// peerNet is what one stream reaches of its adapter: AWS EFA v1 340 of 400 Gb/s (Machine Learning Engineering,
	// network, commit 744d01e).
	peerNet = 0.85
	// peerSlow turns the penalty of a collective that crosses the network's upper layers into that of a point-to-point
	// stream: 70 % against 17 % at worst (Arnold, arXiv 2509.15940).
	peerSlow = 70.0 / 17
)

func pointToPoint(bytes float64, g Group) float64 {
	if g.Domains < 2 {
		return peerLinkMicros*1e-6 + bytes/(PeerGBs(g.Link)*1e9)
	}
	nic := g.Link.NICGBs
	if nic <= 0 {
		nic = defaultNICGBs
	}
	slow := 1 + float64((math.Max(g.Slow, 1)-1)*peerSlow)
	return float64((peerNetMicros+g.HopMicros)*1e-6) + float64(bytes/(nic*peerNet*1e9)*slow)
}

// Efficiency is what an adapter reaches of its rate in an all-reduce of bytes over nodes of 8 GPUs with adapters of
// 50 GB/s: per-GPU wire rate = bus bandwidth × (nodes-1)/(ranks-1).
func Efficiency(bytes float64) float64 {
	f := library().Network
	bus := interpolate(f.Points, bytes)
	return bus * float64(f.Nodes-1) / float64(f.Ranks-1) / f.NICGBs
}

// BusGBs is the bus bandwidth of an operation over n GPUs of one scale-up domain: measured, or derived from the nearest
// kind that was.
func BusGBs(op Op, bytes float64, n int, l Link) float64 {
	b, _ := busGBs(op, bytes, n, l)
	return b
}

// Provenance says whether the figures of a GPU are measured, or from which kind they are derived and how.
func Provenance(l Link) string {
	_, how := busGBs(AllReduce, 1<<20, max(2, min(l.GPUs, 8)), l)
	return how
}

func busGBs(op Op, bytes float64, n int, l Link) (float64, string) {
	c, scale, how := l.curve(n)
	b := c.bus(bytes) * scale
	if l.PeerGBs > 0 && c.PeerGBs > 0 { // a mesh: a rank reaches only as much as its peers can take
		whole := math.Min(c.LinkGBs, float64(c.Width-1)*c.PeerGBs)
		mine := math.Min(l.GBs, float64(n-1)*l.PeerGBs)
		b = c.bus(bytes) * mine / whole * c.meshFactor(n)
	} else {
		b *= c.factor(n, op != AllReduce)
	}
	return b * c.share(op), how
}

// meshFactor corrects the per-peer rule by what was measured: two GPUs reach a larger part of their one link than eight
// of their seven.
func (c *curve) meshFactor(n int) float64 {
	for _, w := range c.Widths {
		if w.Ranks == n {
			whole := math.Min(c.LinkGBs, float64(c.Width-1)*c.PeerGBs)
			mine := math.Min(c.LinkGBs, float64(n-1)*c.PeerGBs)
			return w.BusGBs / c.bus(w.Bytes) * whole / mine
		}
	}
	return 1
}

// shareBytes is the size at which all-gather and all-to-all were measured.
const shareBytes = 512 << 20

// share is the bus bandwidth of an operation as a part of all-reduce's.
func (c *curve) share(op Op) float64 {
	whole := c.bus(shareBytes)
	switch {
	case (op == AllGather || op == ReduceScatter) && c.Gather > 0:
		return c.Gather / whole
	case op == AllToAll && c.AllToAll > 0:
		return c.AllToAll / whole
	}
	return 1
}

// PeerGBs is the rate of a copy from one GPU to a peer of its domain.
func PeerGBs(l Link) float64 {
	c, scale, _ := l.curve(2)
	switch {
	case l.PeerGBs > 0:
		return l.PeerGBs * meshPeer
	case c.Peer > 0:
		return c.Peer * scale
	}
	return busAt2(c) * scale
}

// meshPeer is what two GPUs reach of the one link between them: MI300X 47.7 of 64 GB/s (Machine Learning Engineering,
// network benchmarks, commit 744d01e).
const meshPeer = 47.7 / 64

func busAt2(c *curve) float64 { return c.bus(shareBytes) * c.factor(2, true) }

// curve finds what was measured of the GPU, or of the nearest kind with the factor between the links.
func (l Link) curve(n int) (c *curve, scale float64, how string) {
	f := library()
	for i := range f.Curves {
		if c := &f.Curves[i]; slices.Contains(c.GPUs, l.GPU) {
			return c, 1, "measured: " + f.Sources[c.Source].Title
		}
	}
	kind, rate := l.Kind, l.GBs
	switch {
	case kind == "xgmi" || kind == "ethernet":
		kind = "mesh"
	case kind == "nvlink-bridge" && n <= max(l.GPUs, 2) && rate > 0:
		kind = "nvlink"
	case kind != "nvlink" || rate <= 0:
		kind, rate = "pcie", l.PCIeGBs
	}
	if rate <= 0 {
		rate = defaultPCIeGBs
	}
	best := -1
	for i := range f.Curves {
		o := &f.Curves[i]
		if o.Link == kind && (best < 0 || off(o.LinkGBs, rate) < off(f.Curves[best].LinkGBs, rate)) {
			best = i
		}
	}
	c = &f.Curves[best]
	return c, rate / c.LinkGBs, fmt.Sprintf("derived: no measurement of %s; that of %s scaled by the link, "+
		"%.4g of %.4g GB/s", l.GPU, c.GPUs[0], rate, c.LinkGBs)
}

// defaultPCIeGBs is a PCIe 4 link of 16 lanes, one direction (Machine Learning Engineering, network, commit 744d01e).
const defaultPCIeGBs = 31

func off(a, b float64) float64 { return math.Max(a, b) / math.Min(a, b) }
