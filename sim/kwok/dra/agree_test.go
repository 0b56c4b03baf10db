package dra_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"

	"orrery/sim/kwok/dra"
	"orrery/sim/mig"
)

// classes is what upstream's allocator asks for DeviceClasses.
type classes []*resourcev1.DeviceClass

func (c classes) Get(name string) (*resourcev1.DeviceClass, error) {
	for _, x := range c {
		if x.Name == name {
			return x, nil
		}
	}
	return nil, fmt.Errorf("no class %s", name)
}

func (c classes) List() ([]*resourcev1.DeviceClass, error) { return c, nil }

// node is a node with one GPU that nobody uses.
func node(g *mig.Geometry, architecture string) dra.Node {
	return dra.Node{Name: "n", Driver: dra.NVIDIA, UUIDs: []string{"GPU-0"}, Product: "NVIDIA H100 80GB HBM3",
		Architecture: architecture, ComputeCapability: "9.0.0", MemoryMiB: 81559, MIG: g, Dynamic: true}
}

// allocator is upstream's allocator over one node.
type allocator struct {
	t     *testing.T
	cache *cel.Cache
	names map[string]dra.Device // by device name
}

// allocate asks for one device of the class with the profile ("" = any) beside the taken ones, from slices. It returns
// the name of what it got, or "".
func (a *allocator) allocate(published []*resourcev1.ResourceSlice, taken []string, class, profile string) string {
	a.t.Helper()
	state := structured.AllocatedState{AllocatedDevices: sets.New[structured.DeviceID](),
		AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](),
		AggregatedCapacity:       structured.NewConsumedCapacityCollection()}
	for _, name := range taken {
		state.AllocatedDevices.Insert(structured.MakeDeviceID(dra.NVIDIA, "n", name))
	}
	ctx := context.Background()
	x, err := structured.NewAllocator(ctx, structured.Features{PartitionableDevices: true, PrioritizedList: true,
		ConsumableCapacity: true, DeviceTaints: true, DeviceBindingAndStatus: true}, state, classes(dra.Classes(dra.NVIDIA)),
		published, a.cache)
	if err != nil {
		a.t.Fatal(err)
	}
	request := &resourcev1.ExactDeviceRequest{DeviceClassName: class, Count: 1,
		AllocationMode: resourcev1.DeviceAllocationModeExactCount}
	if profile != "" {
		request.Selectors = []resourcev1.DeviceSelector{{CEL: &resourcev1.CELDeviceSelector{
			Expression: fmt.Sprintf(`device.attributes["gpu.nvidia.com"].profile == %q`, profile)}}}
	}
	claim := &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: "c", UID: "c"},
		Spec: resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{
			Requests: []resourcev1.DeviceRequest{{Name: "r", Exactly: request}}}}}
	got, err := x.Allocate(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, []*resourcev1.ResourceClaim{claim})
	if err != nil && !strings.Contains(err.Error(), "cannot allocate") {
		a.t.Fatal(err)
	}
	if len(got) == 0 {
		return ""
	}
	return got[0].Devices.Results[0].Device
}

// only returns the slices with no other devices than those named.
func only(published []*resourcev1.ResourceSlice, names ...string) []*resourcev1.ResourceSlice {
	out := make([]*resourcev1.ResourceSlice, len(published))
	for i, s := range published {
		s = s.DeepCopy()
		s.Spec.Devices = slices.DeleteFunc(s.Spec.Devices, func(d resourcev1.Device) bool {
			return !slices.Contains(names, d.Name)
		})
		out[i] = s
	}
	return out
}

// TestAgreesWithGeometry holds upstream's allocator, fed with the driver's slices, against the geometry: beside any
// instances reached by random requests and releases, the places that the allocator accepts for a partition are those at
// which the geometry lets it be made, the whole GPU is to be had when nothing is, and the device it picks is the first
// by name.
func TestAgreesWithGeometry(t *testing.T) {
	for _, gpu := range mig.GPUs() {
		t.Run(gpu, func(t *testing.T) {
			g, _ := mig.Lookup(gpu)
			n := node(g, "Hopper")
			published := dra.Slices(n)
			a := &allocator{t, cel.NewCache(100, cel.Features{}), dra.Devices(n)}
			r := rand.New(rand.NewPCG(1, 2))
			var taken []string
			for range 25 {
				if len(taken) > 0 && r.IntN(3) == 0 {
					i := r.IntN(len(taken))
					taken = slices.Delete(taken, i, i+1)
				}
				a.compare(g, published, taken)
				if p := g.Profiles[r.IntN(len(g.Profiles))]; true {
					if name := a.allocate(published, taken, dra.ClassMIG, p.Name); name != "" {
						taken = append(taken, name)
					}
				}
			}
		})
	}
}

// compare asks for every placement of every profile.
func (a *allocator) compare(g *mig.Geometry, published []*resourcev1.ResourceSlice, taken []string) {
	a.t.Helper()
	var occupied []mig.Instance
	for _, name := range taken {
		s := a.names[dra.NVIDIA+"/"+name].Slot
		occupied = append(occupied, mig.Instance{Profile: s.Profile, Start: s.Start})
	}
	if err := g.Check(occupied); err != nil {
		a.t.Fatalf("the allocator made an illegal layout: %v", err)
	}
	for name, d := range a.names {
		name := strings.TrimPrefix(name, dra.NVIDIA+"/")
		class, want := dra.NVIDIA, len(occupied) == 0
		if d.Slot.Profile != "" {
			class, want = dra.ClassMIG, slices.Contains(g.Free(occupied, d.Slot.Profile), d.Slot.Start)
		}
		got := a.allocate(only(published, append(slices.Clone(taken), name)...), taken, class, d.Slot.Profile)
		if (got == name) != want {
			a.t.Errorf("%s beside %s: the allocator says %q, the geometry %v", name, mig.Describe(occupied), got, want)
		}
	}
}
