package dra_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	resourcev1 "k8s.io/api/resource/v1"

	"orrery/sim/kube"
	"orrery/sim/kwok/dra"
	"orrery/sim/mig"
)

// nodes are all kinds of nodes that a driver can describe.
func nodes() map[string]dra.Node {
	out := map[string]dra.Node{}
	uuids := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf("GPU-%d", i))
		}
		return list
	}
	for _, gpu := range mig.GPUs() {
		g, _ := mig.Lookup(gpu)
		n := node(g, "Hopper")
		n.UUIDs = uuids(8)
		out[gpu+" dynamic"] = n
		n.UUIDs = uuids(20)
		out[gpu+" dynamic, 20 GPUs"] = n
		n.Dynamic, n.Layouts = false, g.Maximal()
		out[gpu+" static"] = n
	}
	g, _ := mig.Lookup("a100-80")
	n := node(g, "Ampere")
	n.UUIDs, n.Clique = uuids(4), "c.1"
	out["ampere with a clique"] = n
	out["amd"] = dra.Node{Name: "n", Driver: dra.AMD, UUIDs: uuids(12), Product: "AMD_Instinct_MI300X", MemoryMiB: 196608}
	out["gaudi"] = dra.Node{Name: "n", Driver: dra.Gaudi, UUIDs: uuids(8), Product: "Gaudi3"}
	return out
}

// TestSlices holds what is published against the API's own validation and the rules of pools, and against what Devices
// says the names mean.
func TestSlices(t *testing.T) {
	for name, n := range nodes() {
		t.Run(name, func(t *testing.T) {
			store, err := kube.New(kube.Options{Now: func() time.Time { return time.Unix(0, 0) }})
			if err != nil {
				t.Fatal(err)
			}
			known := dra.Devices(n)
			count := map[string]int64{}
			published := dra.Slices(n)
			for i, s := range published {
				if _, err := store.Create(s); err != nil {
					t.Fatalf("the API refuses slice %d: %v", i, err)
				}
				if i > 0 && s.Spec.Driver == published[i-1].Spec.Driver && s.Name <= published[i-1].Name {
					t.Errorf("%s follows %s", s.Name, published[i-1].Name)
				}
				count[s.Spec.Driver]++
				total := 0
				for j, d := range s.Spec.Devices {
					if j > 0 && d.Name <= s.Spec.Devices[j-1].Name {
						t.Errorf("%s: %s follows %s", s.Name, d.Name, s.Spec.Devices[j-1].Name)
					}
					for _, c := range d.ConsumesCounters {
						total += len(c.Counters)
					}
					if _, ok := known[s.Spec.Driver+"/"+d.Name]; !ok {
						t.Errorf("nobody knows what %s is", d.Name)
					}
					delete(known, s.Spec.Driver+"/"+d.Name)
				}
				if total > 2048 {
					t.Errorf("%s: %d counters consumed, limit 2048", s.Name, total)
				}
			}
			for _, s := range published {
				if s.Spec.Pool.ResourceSliceCount != count[s.Spec.Driver] {
					t.Errorf("pool %s has %d slices and says %d", s.Spec.Driver, count[s.Spec.Driver],
						s.Spec.Pool.ResourceSliceCount)
				}
			}
			for left := range known {
				if !strings.Contains(left, "/gpu-") || n.Architecture != "Ampere" || strings.Contains(left, "-mig-") {
					t.Errorf("%s is not published", left)
				}
			}
		})
	}
}

// TestNames holds device names against examples of the vendors' documents.
func TestNames(t *testing.T) {
	all := nodes()
	for name, want := range map[string]string{
		"h100-sxm dynamic": "gpu-0-mig-1g10gb-19-3", "h100-sxm dynamic, 20 GPUs": "gpu-19-mig-1g10gb-me-20-6",
		"amd": "gpu-0-128", "gaudi": "0000-10-00-0-0x1060",
	} {
		n, ok := all[name]
		if !ok {
			t.Fatalf("no node %s", name)
		}
		found := false
		for _, s := range dra.Slices(n) {
			for _, d := range s.Spec.Devices {
				found = found || d.Name == want
			}
		}
		if !found {
			t.Errorf("%s: no device %s", name, want)
		}
	}
}

// TestClasses holds that the API takes every driver's classes.
func TestClasses(t *testing.T) {
	store, err := kube.New(kube.Options{Now: func() time.Time { return time.Unix(0, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]*resourcev1.DeviceClass{}
	for _, driver := range []string{dra.NVIDIA, dra.AMD, dra.Gaudi, dra.ComputeDomainDriver} {
		for _, class := range dra.Classes(driver) {
			if _, err := store.Create(class); err != nil {
				t.Errorf("%s: %v", class.Name, err)
			}
			names[class.Name] = class
		}
	}
	if r := names[dra.NVIDIA].Spec.ExtendedResourceName; r == nil || *r != "nvidia.com/gpu" || len(names) != 6 {
		t.Errorf("classes %v", names)
	}
}
