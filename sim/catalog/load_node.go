package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"orrery/sim/strict"
)

type nodeYAML struct {
	Key          string            `yaml:"key" required:"true"`
	Aliases      []string          `yaml:"aliases"`
	GPU          string            `yaml:"gpu" required:"true"`
	GPUs         int               `yaml:"gpus" required:"true" min:"1" max:"1024"`
	Source       string            `yaml:"source"`
	Confidence   string            `yaml:"confidence" enum:"high|medium|low"`
	Note         string            `yaml:"note"`
	Missing      map[string]string `yaml:"missing"`
	CPUs         *figureYAML       `yaml:"cpus"`
	MemoryMiB    *figureYAML       `yaml:"memoryMiB"`
	NICs         *figureYAML       `yaml:"nics"`
	NICGbps      *figureYAML       `yaml:"nicGbps"`
	MaxWatts     *figureYAML       `yaml:"maxWatts"`
	DomainGPUs   *figureYAML       `yaml:"domainGPUs"`
	Arch         string            `yaml:"arch" enum:"amd64|arm64"`
	Fabric       string            `yaml:"fabric"`
	InstanceType string            `yaml:"instanceType"`
	Provider     string            `yaml:"provider"`
}

func (b *builder) addNode(d document, path string, y nodeYAML) {
	if b.nodes.again(d, path, y.Key) {
		return
	}
	o := origin{y.Source, y.Confidence, ""}
	n := Node{Key: y.Key, Aliases: y.Aliases, GPU: y.GPU, GPUs: y.GPUs, Note: y.Note, Missing: y.Missing,
		Arch: firstOf(y.Arch, "amd64"), InstanceType: y.InstanceType, Provider: y.Provider,
		CPUs:       d.figure(path+".cpus", y.CPUs, o, limits{1, 1e5, true}),
		MemoryMiB:  d.figure(path+".memoryMiB", y.MemoryMiB, o, limits{1024, 1 << 30, true}),
		NICs:       d.figure(path+".nics", y.NICs, o, limits{1, 1024, true}),
		NICGbps:    d.figure(path+".nicGbps", y.NICGbps, o, limits{1, 1e5, false}),
		MaxWatts:   d.figure(path+".maxWatts", y.MaxWatts, o, limits{1, 1e6, false}),
		DomainGPUs: d.figure(path+".domainGPUs", y.DomainGPUs, o, limits{1, 1 << 16, true})}
	if !labelForm.MatchString(n.InstanceType) && n.InstanceType != "" {
		d.Problemf(path+".instanceType", "%q cannot be a label value (letters, digits, - _ . and at most 63 of them); "+
			"correct it", n.InstanceType)
	}
	d.excuses(path, "node type", y.Key, y.Missing, map[string]bool{"cpus": y.CPUs != nil,
		"memoryMiB": y.MemoryMiB != nil, "nics": y.NICs != nil && y.NICGbps != nil})
	if (y.NICs == nil) != (y.NICGbps == nil) {
		d.Problemf(path, "node type %q has one of nics and nicGbps; give both", y.Key)
	}
	b.nodeGPU(d, path, &n)
	b.nodeFabric(d, path, y.Fabric, &n)
	b.c.Nodes = put(b.nodes, b.c.Nodes, d, path, n, n.Key, n.Aliases)
}

// nodeGPU finds the GPU of a node type and compares the two.
func (b *builder) nodeGPU(d document, path string, n *Node) {
	key, known := b.gpus.owner[strings.ToLower(n.GPU)]
	if !known {
		d.Problemf(path+".gpu", "GPU %q is not in the catalogue; %s", n.GPU,
			strict.Suggest(n.GPU, sortedKeys(b.gpus.index)))
		return
	}
	gpu := b.c.GPUs[b.gpus.index[key]]
	n.GPU = key
	if gpu.TDPWatts != nil && n.MaxWatts != nil && n.MaxWatts.Value < gpu.TDPWatts.Value*float64(n.GPUs) {
		d.Problemf(path+".maxWatts", "maxWatts %v is less than %d GPUs of %v W draw; one of them is wrong",
			n.MaxWatts.Value, n.GPUs, gpu.TDPWatts.Value)
	}
	if n.DomainGPUs == nil {
		return
	}
	domain, most := int(n.DomainGPUs.Value), gpu.Link.Domain()
	if f := gpu.Link.DomainGPUs; f != nil {
		for _, a := range f.Alternatives {
			most = max(most, int(a.Value))
		}
	}
	switch {
	case domain > most:
		d.Problemf(path+".domainGPUs", "domainGPUs %d is more than the %d that the link of %s joins; one of them is "+
			"wrong", domain, most, key)
	case domain > n.GPUs && domain%n.GPUs != 0, domain < n.GPUs && n.GPUs%domain != 0:
		d.Problemf(path+".domainGPUs", "domainGPUs %d and %d GPUs in a node: a domain is made of whole nodes, or a node "+
			"of whole domains; correct one", domain, n.GPUs)
	}
}

func (b *builder) nodeFabric(d document, path, name string, n *Node) {
	if name == "" {
		return
	}
	key, known := b.fabrics.owner[strings.ToLower(name)]
	if !known {
		d.Problemf(path+".fabric", "fabric %q is not in the catalogue; %s", name,
			strict.Suggest(name, sortedKeys(b.fabrics.index)))
		return
	}
	n.Fabric = key
	f := b.c.Fabrics[b.fabrics.index[key]]
	d.below(path+".nicGbps", "nicGbps", n.NICGbps, "linkGbps of "+key, f.LinkGbps, true)
}

// excuses asks for the figures that every entry of a kind has, or for the reason why they are not known. given says
// which of them are there, be they wrong.
func (d document) excuses(path, what, key string, missing map[string]string, given map[string]bool) {
	var lacks []string
	for _, name := range slices.Sorted(maps.Keys(given)) {
		reason, excused := missing[name]
		switch {
		case given[name] && excused:
			d.Problemf(path+".missing."+name, "%s is given and missing: says that it is not; remove one", name)
		case !given[name] && !excused:
			lacks = append(lacks, name)
		case excused && strings.TrimSpace(reason) == "":
			d.Problemf(path+".missing."+name, "missing.%s gives no reason; write one", name)
		}
	}
	if len(lacks) > 0 {
		d.Problemf(path, "%s %q has no %s; add them, or say why they are not known: missing: {%s: reason}", what, key,
			strings.Join(lacks, ", "), lacks[0])
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		if _, ok := given[name]; !ok {
			d.Problemf(path+".missing."+name, "missing.%s: no such figure is asked for; %s", name,
				strict.Suggest(name, slices.Sorted(maps.Keys(given))))
		}
	}
}

type fabricYAML struct {
	Key          string            `yaml:"key" required:"true"`
	Aliases      []string          `yaml:"aliases"`
	Kind         string            `yaml:"kind" required:"true" enum:"infiniband|roce|efa|gpudirect-tcp"`
	Source       string            `yaml:"source"`
	Confidence   string            `yaml:"confidence" enum:"high|medium|low"`
	Note         string            `yaml:"note"`
	Missing      map[string]string `yaml:"missing"`
	LinkGbps     *figureYAML       `yaml:"linkGbps"`
	SwitchPorts  *figureYAML       `yaml:"switchPorts"`
	SwitchMicros *figureYAML       `yaml:"switchMicros"`
	NICMicros    *figureYAML       `yaml:"nicMicros"`
	NodeGBs      *figureYAML       `yaml:"nodeGBs"`
}

func (b *builder) addFabric(d document, path string, y fabricYAML) {
	if b.fabrics.again(d, path, y.Key) {
		return
	}
	o := origin{y.Source, y.Confidence, ""}
	f := Fabric{Key: y.Key, Aliases: y.Aliases, Kind: y.Kind, Note: y.Note, Missing: y.Missing,
		LinkGbps:     d.figure(path+".linkGbps", y.LinkGbps, o, limits{1, 1e5, false}),
		SwitchPorts:  d.figure(path+".switchPorts", y.SwitchPorts, o, limits{2, 1 << 16, true}),
		SwitchMicros: d.figure(path+".switchMicros", y.SwitchMicros, o, limits{0.001, 1e4, false}),
		NICMicros:    d.figure(path+".nicMicros", y.NICMicros, o, limits{0.001, 1e4, false}),
		NodeGBs:      d.figure(path+".nodeGBs", y.NodeGBs, o, limits{0.1, 1e5, false})}
	d.excuses(path, "fabric", y.Key, y.Missing, map[string]bool{"linkGbps": y.LinkGbps != nil,
		"switchPorts": y.SwitchPorts != nil, "switchMicros": y.SwitchMicros != nil, "nicMicros": y.NICMicros != nil})
	b.c.Fabrics = put(b.fabrics, b.c.Fabrics, d, path, f, f.Key, f.Aliases)
}

type topologyYAML struct {
	Key        string      `yaml:"key" required:"true"`
	Aliases    []string    `yaml:"aliases"`
	Fabric     string      `yaml:"fabric" required:"true"`
	Node       string      `yaml:"node"`
	Source     string      `yaml:"source"`
	Confidence string      `yaml:"confidence" enum:"high|medium|low"`
	Note       string      `yaml:"note"`
	Rails      *figureYAML `yaml:"rails"`
	Layers     []layerYAML `yaml:"layers" required:"true"`
}

type layerYAML struct {
	Name             string      `yaml:"name" required:"true" min:"1"`
	GPUs             *figureYAML `yaml:"gpus" required:"true"`
	Oversubscription *figureYAML `yaml:"oversubscription"`
}

func (b *builder) addTopology(d document, path string, y topologyYAML) {
	if b.topologies.again(d, path, y.Key) {
		return
	}
	o := origin{y.Source, y.Confidence, ""}
	t := Topology{Key: y.Key, Aliases: y.Aliases, Note: y.Note,
		Rails: d.figure(path+".rails", y.Rails, o, limits{1, 1024, true})}
	var known bool
	if t.Fabric, known = b.fabrics.owner[strings.ToLower(y.Fabric)]; !known {
		d.Problemf(path+".fabric", "fabric %q is not in the catalogue; %s", y.Fabric,
			strict.Suggest(y.Fabric, sortedKeys(b.fabrics.index)))
	}
	if t.Node, known = b.nodes.owner[strings.ToLower(y.Node)]; !known && y.Node != "" {
		d.Problemf(path+".node", "node type %q is not in the catalogue; %s", y.Node,
			strict.Suggest(y.Node, sortedKeys(b.nodes.index)))
	}
	for i, l := range y.Layers {
		at := fmt.Sprintf("%s.layers[%d]", path, i)
		layer := Layer{Name: l.Name, GPUs: d.figure(at+".gpus", l.GPUs, o, limits{1, 1e9, true}),
			Oversubscription: d.figure(at+".oversubscription", l.Oversubscription, o, limits{1, 1000, false})}
		if i > 0 {
			d.below(at+".gpus", "gpus", layer.GPUs, "gpus of the layer above", t.Layers[i-1].GPUs, false)
		}
		t.Layers = append(t.Layers, layer)
	}
	if len(y.Layers) == 0 {
		d.Problemf(path+".layers", "topology %q has no layers; list them from coarse to fine", y.Key)
	}
	b.c.Topologies = put(b.topologies, b.c.Topologies, d, path, t, t.Key, t.Aliases)
}
