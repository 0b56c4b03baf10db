package collective

import (
	_ "embed"
	"fmt"

	"slices"
	"sync"

	"orrery/sim/model/exact"
	"orrery/sim/strict"
)

//go:embed curves.yaml
var curvesYAML []byte

type file struct {
	Sources map[string]source `yaml:"sources" required:"true"`
	Curves  []curve           `yaml:"curves" required:"true"`
	Network network           `yaml:"network" required:"true"`
}

type source struct {
	Title string `yaml:"title" required:"true"`
	Date  string `yaml:"date" required:"true"`
}

type point struct {
	Bytes  float64 `yaml:"bytes" required:"true" min:"1"`
	Micros float64 `yaml:"micros" min:"0"`
	BusGBs float64 `yaml:"busGBs" min:"0"`
}

type width struct {
	Ranks     int     `yaml:"ranks" required:"true" min:"2"`
	Bytes     float64 `yaml:"bytes" required:"true" min:"1"`
	BusGBs    float64 `yaml:"busGBs" required:"true" min:"0"`
	Algorithm string  `yaml:"algorithm" enum:"|ring"`
	Note      string  `yaml:"note"`
}

// curve is what was measured of one kind of GPU inside its scale-up domain.
type curve struct {
	GPUs       []string `yaml:"gpus" required:"true"`
	Link       string   `yaml:"link" required:"true" enum:"nvlink|pcie|mesh"`
	LinkGBs    float64  `yaml:"linkGBs" required:"true"`
	PeerGBs    float64  `yaml:"peerGBs"`
	Width      int      `yaml:"width" required:"true"`
	Shape      string   `yaml:"shape"`
	Points     []point  `yaml:"points" required:"true"`
	Widths     []width  `yaml:"widths"`
	Gather     float64  `yaml:"gather"`
	AllToAll   float64  `yaml:"allToAll"`
	Ring       float64  `yaml:"ring"`
	Peer       float64  `yaml:"peer"`
	Source     string   `yaml:"source" required:"true"`
	Confidence string   `yaml:"confidence" required:"true" enum:"high|medium|low"`
}

// network is what was measured between nodes.
type network struct {
	Nodes      int     `yaml:"nodes" required:"true"`
	Ranks      int     `yaml:"ranks" required:"true"`
	NICGBs     float64 `yaml:"nicGBs" required:"true"`
	Points     []point `yaml:"points" required:"true"`
	Source     string  `yaml:"source" required:"true"`
	Confidence string  `yaml:"confidence" required:"true" enum:"high|medium|low"`
}

// library is the embedded measurements, read once. They are part of the program, so an error in them is a broken
// invariant, and a test reads them first.
var library = sync.OnceValue(func() *file {
	d := strict.Parse("collective/curves.yaml", curvesYAML)
	var f file
	d.Decode(&f)
	if err := d.Err(); err != nil {
		panic(fmt.Sprintf("collective: %v", err))
	}
	for i := range f.Curves {
		f.Curves[i].normalise(&f)
	}
	for i := range f.Network.Points {
		f.Network.Points[i].toBus(f.Network.Ranks)
	}
	return &f
})

// toBus turns a time into a bus bandwidth.
func (p *point) toBus(n int) {
	if p.BusGBs == 0 {
		p.BusGBs = volume(AllReduce, n) * p.Bytes / (p.Micros * 1e-6) / 1e9
	}
}

func (c *curve) normalise(f *file) {
	if c.Shape != "" {
		i := slices.IndexFunc(f.Curves, func(o curve) bool { return slices.Contains(o.GPUs, c.Shape) })
		from, last := f.Curves[i], c.Points[len(c.Points)-1]
		scale := last.BusGBs / from.bus(last.Bytes)
		c.Points = slices.Clone(from.Points)
		for j := range c.Points {
			c.Points[j].BusGBs *= scale
		}
	}
	for j := range c.Points {
		c.Points[j].toBus(c.Width)
	}
}

// bus is the bus bandwidth of an all-reduce of bytes over the curve's own width.
func (c *curve) bus(bytes float64) float64 { return interpolate(c.Points, bytes) }

// interpolate reads a curve between its points: the logarithm of bandwidth is linear in that of bytes. Before the first
// point the time is that of the first, as latency alone counts; after the last the bandwidth is that of the last.
func interpolate(points []point, bytes float64) float64 {
	first, last := points[0], points[len(points)-1]
	switch {
	case bytes <= first.Bytes:
		return first.BusGBs * bytes / first.Bytes
	case bytes >= last.Bytes:
		return last.BusGBs
	}
	i := 1
	for points[i].Bytes < bytes {
		i++
	}
	a, b := points[i-1], points[i]
	x := exact.Log2(bytes/a.Bytes) / exact.Log2(b.Bytes/a.Bytes)
	return a.BusGBs * exact.Exp2(float64(x*exact.Log2(b.BusGBs/a.BusGBs)))
}

// factor is what the curve is multiplied by over n GPUs instead of its own width: 1 at that width, the measured
// quotients at the others, and linear in log2(n) between them. ring asks for collectives that no switch reduces.
func (c *curve) factor(n int, ring bool) float64 {
	type at struct {
		n int
		f float64
	}
	list := []at{{c.Width, 1}}
	for _, w := range c.Widths {
		switch {
		case !ring && w.Algorithm == "ring", ring && w.Ranks > c.Width && w.Algorithm != "ring",
			ring && w.Ranks < c.Width && w.Ranks > reducedAbove:
			continue // another algorithm's figure
		case ring:
			list = append(list, at{w.Ranks, w.BusGBs / c.ringBus(w.Bytes)})
		default:
			list = append(list, at{w.Ranks, w.BusGBs / c.bus(w.Bytes)})
		}
	}
	slices.SortFunc(list, func(a, b at) int { return a.n - b.n })
	if n <= list[0].n {
		return list[0].f
	}
	for i := 1; i < len(list); i++ {
		if a, b := list[i-1], list[i]; n <= b.n {
			x := exact.Log2(float64(n)/float64(a.n)) / exact.Log2(float64(b.n)/float64(a.n))
			return a.f + float64(x*(b.f-a.f))
		}
	}
	return list[len(list)-1].f
}

// reducedAbove is the number of GPUs up to which nothing is reduced in the switch, so that an all-reduce is a ring's
// (Machine Learning Engineering, network benchmarks, commit 744d01e: NVLS sets in at 5 GPUs of an H200 node and at 6 of
// a B200 node).
const reducedAbove = 4

// ringBus is the bus bandwidth over the curve's own width without reduction in the switch.
func (c *curve) ringBus(bytes float64) float64 {
	switch {
	case c.Ring > 0 && bytes > shareBytes:
		return c.Ring
	case c.Gather > 0:
		return c.bus(bytes) * c.Gather / c.bus(shareBytes)
	}
	return c.bus(bytes)
}
