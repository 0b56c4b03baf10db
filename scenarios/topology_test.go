package scenarios

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"orrery/sim/plan"
	"orrery/sim/topology"
)

// cluster makes a scenario of a cluster section alone.
func cluster(text string) string {
	return "apiVersion: orrery/v1\nkind: Scenario\nname: x\ntrace: {builtin: empty}\ncluster:\n  " +
		strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
}

// TestTopology runs testdata/topology. The input is a cluster section. "layers" prints the layers and their domains,
// "labels" the labels that the first node of each pool has of its own, "links" those of the pools; each prints all
// problems if there are any.
func TestTopology(t *testing.T) {
	datadriven.RunTest(t, "testdata/topology", func(t *testing.T, td *datadriven.TestData) string {
		s, err := Parse("testdata/x.yaml", []byte(cluster(td.Input)))
		if err != nil {
			return clean(t, err.Error()) + "\n"
		}
		p, err := s.Outline()
		if err != nil {
			t.Fatal(err)
		}
		g, err := topology.New(p)
		if err != nil {
			t.Fatalf("a valid scenario makes no graph: %v", err)
		}
		again(t, s)
		switch td.Cmd {
		case "layers":
			return printLayers(p, g)
		case "labels":
			return printLabels(p)
		case "links":
			return printLinks(p)
		}
		t.Fatalf("unknown command %s", td.Cmd)
		return ""
	})
}

// again checks that the resolved scenario gives the same places and the same text.
func again(t *testing.T, s *Scenario) {
	t.Helper()
	text, err := s.Resolved()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Parse("testdata/x.yaml", text)
	if err != nil {
		t.Fatalf("the resolved scenario does not load: %v\n%s", err, text)
	}
	samePlan(t, s, r)
}

func printLayers(p *plan.Plan, g *topology.Graph) string {
	var b strings.Builder
	for i, l := range p.Topology.Layers {
		fmt.Fprintf(&b, "%s (%s)", l.Name, l.Kind)
		if len(l.Labels) > 0 {
			fmt.Fprintf(&b, ": %s", strings.Join(l.Labels, " "))
		}
		b.WriteByte('\n')
		if l.Kind == plan.LayerNode {
			continue
		}
		for _, d := range p.Topology.Domains {
			if d.Layer != i {
				continue
			}
			var nodes []string
			for _, at := range g.Domains() {
				if at.Layer == i && at.Name == d.Name {
					for _, n := range at.Nodes {
						nodes = append(nodes, p.Nodes[n].Name)
					}
				}
			}
			fmt.Fprintf(&b, "  %s: %s of %d places", d.Name, spans(nodes), d.Places)
			if d.UplinkGBs > 0 {
				fmt.Fprintf(&b, ", up %v GB/s, %v:1", d.UplinkGBs, d.Oversubscription)
			}
			if d.Rails > 1 {
				fmt.Fprintf(&b, ", %d rails", d.Rails)
			}
			if d.HopNs > 0 {
				fmt.Fprintf(&b, ", hop %d ns", d.HopNs)
			}
			b.WriteByte('\n')
		}
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "warning %s (%d): %s\n", w.Code, w.Count, w.Message)
	}
	return b.String()
}

// spans shortens a list of names to its ends.
func spans(names []string) string {
	if len(names) < 3 {
		return strings.Join(names, " ")
	}
	return fmt.Sprintf("%s … %s (%d)", names[0], names[len(names)-1], len(names))
}

func printLabels(p *plan.Plan) string {
	var b strings.Builder
	pool := -1
	for _, n := range p.Nodes {
		if n.Pool == pool {
			continue
		}
		pool = n.Pool
		fmt.Fprintf(&b, "%s\n", n.Name)
		for _, k := range sortedKeys(n.Labels) {
			fmt.Fprintf(&b, "  %s: %s\n", k, n.Labels[k])
		}
	}
	return b.String()
}

func printLinks(p *plan.Plan) string {
	var b strings.Builder
	for _, pool := range p.Pools {
		fmt.Fprintf(&b, "%s: %+v\n", pool.Name, pool.Links)
	}
	return b.String()
}

// TestPresets holds the sizes of the presets against the catalogue's reference networks.
func TestPresets(t *testing.T) {
	for name, tc := range map[string]struct {
		pool, fabric, reference, layer string
		kind                           string
	}{
		"H100 SuperPOD": {"gpu: h100-sxm, gpusPerNode: 8, nodes: 127", "preset: rail-optimized, network: infiniband-ndr",
			"h100-superpod", "scalable-unit", plan.LayerLeaf},
		"GB200 SuperPOD": {"gpu: gb200, gpusPerNode: 4, nodes: 300", "preset: nvl72, network: infiniband-ndr",
			"gb200-superpod", "scalable-unit", plan.LayerLeaf},
		"GB200 rack": {"gpu: gb200, gpusPerNode: 4, nodes: 300", "preset: nvl72, network: infiniband-ndr",
			"gb200-superpod", "rack", plan.LayerNVLink},
		"Meta pod": {"gpu: h100-sxm, gpusPerNode: 8, nodes: 400", "preset: roce-3-tier, network: roce-400",
			"meta-roce-24k", "pod", plan.LayerSpine},
		"Meta rack": {"gpu: h100-sxm, gpusPerNode: 8, nodes: 400", "preset: roce-3-tier, network: roce-400",
			"meta-roce-24k", "rack", plan.LayerLeaf},
	} {
		s, err := Parse("x.yaml", []byte(cluster("pools: [{name: a, "+tc.pool+", cpu: 1, memory: 1Gi}]\n"+
			"topology: {fabrics: [{"+tc.fabric+"}]}")))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, err := s.Outline()
		if err != nil {
			t.Fatal(err)
		}
		ref, err := s.catalog.LookupTopology(tc.reference)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range ref.Layers {
			if l.Name != tc.layer {
				continue
			}
			at := slices.IndexFunc(p.Topology.Layers, func(x plan.Layer) bool { return x.Kind == tc.kind })
			first := slices.IndexFunc(p.Topology.Domains, func(d plan.Domain) bool { return d.Layer == at })
			d := p.Topology.Domains[first]
			if got := d.Places * p.Pools[0].GPUsPerNode; float64(got) != l.GPUs.Value {
				t.Errorf("%s: %s has places for %d GPUs, want %v", name, d.Name, got, l.GPUs.Value)
			}
			if o := l.Oversubscription; o != nil && d.Oversubscription != o.Value {
				t.Errorf("%s: oversubscription %v, want %v", name, d.Oversubscription, o.Value)
			}
			if ref.Rails != nil && tc.kind == plan.LayerLeaf && float64(d.Rails) != ref.Rails.Value {
				t.Errorf("%s: %d rails, want %v", name, d.Rails, ref.Rails.Value)
			}
		}
	}
}

// TestReadmeNamesLabels checks that README.md has every scheme and every key, or the part of it behind the slash.
func TestReadmeNamesLabels(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	field, _ := reflect.TypeFor[Topology]().FieldByName("Labels")
	for _, scheme := range strings.Split(field.Tag.Get("enum"), "|") {
		if !strings.Contains(string(text), "`"+scheme+"`") {
			t.Errorf("README.md does not name %s", scheme)
		}
		found := 0
		for _, kind := range plan.LayerKinds() {
			tier := slices.Index([]string{plan.LayerLeaf, plan.LayerSpine, plan.LayerCore}, kind)
			for _, k := range placeKeys(scheme, kind, tier) {
				found++
				domain, name, _ := strings.Cut(k, "/")
				if !strings.Contains(string(text), domain) || !strings.Contains(string(text), name+"`") {
					t.Errorf("README.md does not name %s of %s", k, scheme)
				}
				if !isKey(k) {
					t.Errorf("%s is not a label key", k)
				}
			}
		}
		if found == 0 {
			t.Errorf("%s has no key", scheme)
		}
	}
}
