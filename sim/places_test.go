package sim_test

import (
	"slices"
	"strings"
	"testing"

	"orrery/scenarios"
	"orrery/sim"
	"orrery/sim/journal"
)

const racks = `apiVersion: orrery/v1
kind: Scenario
name: racks
cluster:
  pools:
  - {name: gb200, node: gb200-nvl72, nodes: 40, zone: z, labels: {example.com/team: a}}
  - {name: login, nodes: 1, cpu: 8, memory: 16Gi}
  topology:
    fabrics:
    - {preset: nvl72, network: infiniband-ndr, layers: [{kind: spine, nodes: 288, oversubscription: 2}]}
trace: {generate: {preset: philly-like, jobs: 20}}
`

// TestTopologyInJournal checks that the records of a run tell where its nodes stand, in order, and that the account of
// them is the plan's topology again.
func TestTopologyInJournal(t *testing.T) {
	p := play(t, racks)
	var order []string
	domains := map[string][]string{}
	for _, r := range p.records {
		kind := r.Body.Kind()
		if len(order) == 0 || order[len(order)-1] != kind {
			order = append(order, kind)
		}
		if b, ok := r.Body.(journal.Node); ok {
			domains[b.Node] = b.Domains
		}
		if _, ok := r.Body.(journal.JobSubmit); ok {
			break
		}
	}
	if got := strings.Join(order[:6], " "); got != "run pool topology layer domain node" {
		t.Errorf("the journal begins with %s", got)
	}
	if got := domains["gb200-18"]; !slices.Equal(got, []string{"z", "spine-0", "leaf-0", "nvlink-1", "gb200-18"}) {
		t.Errorf("gb200-18 stands in %v", got)
	}
	if got := domains["login-0"]; !slices.Equal(got, []string{"", "", "", "", "login-0"}) {
		t.Errorf("login-0 stands in %v", got)
	}
	top := p.data.Topology
	if len(top.Layers) != 5 || len(top.Pools) != 1 {
		t.Fatalf("the account has %+v", top)
	}
	spine, rack, node := top.Layers[1], top.Layers[3], top.Layers[4]
	if d := spine.Domains[0]; d.UplinkGBs != 288*4*50/2 || d.Oversubscription != 2 || d.Nodes != 40 || d.GPUs != 160 ||
		d.Places != 288 || d.Within != "z" {
		t.Errorf("the spine is %+v", d)
	}
	if len(rack.Domains) != 3 || rack.Domains[2].Nodes != 4 || rack.Domains[2].Within != "leaf-0" || rack.Kind != "nvlink" {
		t.Errorf("the racks are %+v", rack)
	}
	if node.Nodes != 41 || node.GPUs != 160 || len(node.Domains) != 0 {
		t.Errorf("the nodes are %+v", node)
	}
	if pool := top.Pools[0]; pool.NICs != 4 || pool.NICGBs != 50 || pool.Link != "nvlink" || pool.LinkGBs != 900 {
		t.Errorf("the pool is %+v", pool)
	}
}

// TestPlaceLabels checks the labels on Node objects, and that without a topology a run tells nothing of places.
func TestPlaceLabels(t *testing.T) {
	s, err := scenarios.Parse("test.yaml", []byte(racks))
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Outline()
	if err != nil {
		t.Fatal(err)
	}
	nodes := sim.Nodes(p)
	for key, want := range map[string]string{"fabric.topograph.run/tier-0": "leaf-0", "example.com/team": "a",
		"accelerator.topograph.run/domain": "nvlink-2", "topology.kubernetes.io/zone": "z",
		"kubernetes.io/hostname": "gb200-39", "nvidia.com/gpu.present": "true"} {
		if got := nodes[39].Labels[key]; got != want {
			t.Errorf("gb200-39: %s is %q, want %q", key, got, want)
		}
	}
	clique := nodes[36].Labels["nvidia.com/gpu.clique"]
	if clique == "" || clique != nodes[39].Labels["nvidia.com/gpu.clique"] || clique == nodes[35].Labels["nvidia.com/gpu.clique"] {
		t.Errorf("clique of gb200-36 is %q", clique)
	}
	if _, ok := nodes[40].Labels["fabric.topograph.run/tier-0"]; ok {
		t.Errorf("login-0 has labels of a fabric")
	}
	for _, r := range play(t, "quickstart-small").records {
		switch b := r.Body.(type) {
		case journal.Topology, journal.Layer, journal.Domain:
			t.Fatalf("a run without topology records %s", b.Kind())
		case journal.Node:
			if b.Domains != nil {
				t.Fatalf("node %s has domains without a topology", b.Node)
			}
		case journal.Pool:
			if b.NICs+int(b.NICMB+b.LinkMB) > 0 || b.Link != "" {
				t.Fatalf("pool %s tells its links without a topology", b.Pool)
			}
		}
	}
}
