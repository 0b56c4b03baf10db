package incremental

import (
	"context"
	"reflect"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/tools/cache"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/dynamic-resource-allocation/structured"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
)

// deviceFilter is the Filter of upstream's DynamicResources with a memory for refusals. A claim that cannot be
// allocated on a node costs a search through all of its devices, with CEL expressions for each, and pods that wait are
// refused again after every release anywhere. What decides is the claim's specification, the node, what its drivers
// publish and what of that is allocated; while none of these changes upstream would say the same, and is not asked.
//
// Only refusals are kept, and only the one that says nothing of the pod: a node that can take the pod has to be asked,
// as upstream keeps the allocation it found for the steps that follow.
type deviceFilter struct {
	fwk.FilterPlugin
	manager fwk.SharedDRAManager
	stock   *stock

	state   fwk.CycleState // of the attempt that key is for
	key     string         // what the pod's claims ask for; "" = not to be kept
	refused map[refusalKey]refusal
}

type refusalKey struct{ claims, node string }

// refusal holds while the node and what is allocated on it are what they were.
type refusal struct {
	version string // of the node
	changed uint64 // stock.changed of the node
	status  *fwk.Status
}

// cannotAllocate is upstream's reason for claims that do not fit (dynamicresources.go, Filter).
const cannotAllocate = "cannot allocate all claims"

// refusalsKept bounds the memory: when full it forgets everything.
const refusalsKept = 1 << 17

// rememberDevices puts the memory into a profile's framework, if it has the plugin.
func rememberDevices(f framework.Framework, s *stock) error {
	list, err := field(reflect.ValueOf(f), "filterPlugins", reflect.Slice)
	if err != nil {
		return err
	}
	plugins, ok := list.Interface().([]fwk.FilterPlugin)
	if !ok || f.SharedDRAManager() == nil {
		return nil
	}
	for i, p := range plugins {
		if p.Name() == names.DynamicResources {
			plugins[i] = &deviceFilter{FilterPlugin: p, manager: f.SharedDRAManager(), stock: s,
				refused: map[refusalKey]refusal{}}
		}
	}
	return nil
}

// Filter implements fwk.FilterPlugin.
func (d *deviceFilter) Filter(ctx context.Context, state fwk.CycleState, pod *v1.Pod, node fwk.NodeInfo) *fwk.Status {
	if d.state != state {
		d.state, d.key = state, d.look(pod)
	}
	if d.key == "" {
		return d.FilterPlugin.Filter(ctx, state, pod, node)
	}
	key := refusalKey{d.key, node.Node().Name}
	now := refusal{version: node.Node().ResourceVersion, changed: d.stock.changed[key.node]}
	if old, ok := d.refused[key]; ok && old.version == now.version && old.changed == now.changed {
		return old.status.Clone()
	}
	now.status = d.FilterPlugin.Filter(ctx, state, pod, node)
	if now.status.IsSuccess() {
		return now.status
	}
	if r := now.status.Reasons(); len(r) == 1 && r[0] == cannotAllocate {
		if len(d.refused) >= refusalsKept {
			clear(d.refused)
		}
		kept := now
		kept.status = now.status.Clone()
		d.refused[key] = kept
	}
	return now.status
}

// look returns what a pod's claims ask for, and brings the stock up to date. It returns "" when a refusal could depend
// on something else.
func (d *deviceFilter) look(pod *v1.Pod) string {
	var b strings.Builder
	for i := range pod.Spec.ResourceClaims {
		name, _, err := resourceclaim.Name(pod, &pod.Spec.ResourceClaims[i])
		if err != nil || name == nil {
			return ""
		}
		claim, err := d.manager.ResourceClaims().Get(pod.Namespace, *name)
		if err != nil || claim.Status.Allocation != nil || d.manager.ResourceClaims().GetPendingAllocation(claim.UID) != nil {
			return ""
		}
		spec, err := claim.Spec.Marshal()
		if err != nil {
			return ""
		}
		b.Write(spec)
		b.WriteByte(0)
	}
	if !d.extended(pod, &b) || b.Len() == 0 || !d.stock.follow(d.manager) {
		return ""
	}
	return b.String()
}

// extended adds the extended resources for which the pod gets a claim of its own. It reports false when the pod may
// have such a claim already: upstream then refuses the pod until that is gone.
func (d *deviceFilter) extended(pod *v1.Pod, b *strings.Builder) bool {
	asks := false
	for i := range pod.Spec.Containers {
		asks = asks || d.asks(pod.Spec.Containers[i].Resources.Requests)
	}
	for i := range pod.Spec.InitContainers {
		asks = asks || d.asks(pod.Spec.InitContainers[i].Resources.Requests)
	}
	if !asks {
		return true
	}
	claims, err := d.manager.ResourceClaims().List()
	if err != nil || slices.ContainsFunc(claims, func(c *resourceapi.ResourceClaim) bool {
		return c.Annotations[resourceapi.ExtendedResourceClaimAnnotation] == "true" && c.Namespace == pod.Namespace &&
			slices.ContainsFunc(c.OwnerReferences, ownedBy(pod))
	}) {
		return false
	}
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			text, err := list[i].Resources.Marshal()
			if err != nil {
				return false
			}
			b.WriteByte(1)
			b.Write(text)
			if p := list[i].RestartPolicy; p != nil {
				b.WriteString(string(*p))
			}
		}
		b.WriteByte(2)
	}
	return true
}

// asks reports whether a container asks for an extended resource for which a DeviceClass stands.
func (d *deviceFilter) asks(requests v1.ResourceList) bool {
	for name, q := range requests {
		if !q.IsZero() && d.manager.DeviceClassResolver().GetDeviceClass(name) != nil {
			return true
		}
	}
	return false
}

// stock is what of the published devices is allocated, by node.
type stock struct {
	world   uint64 // moves when what is published, or a class, changes
	seen    uint64 // world of what follows
	valid   bool   // every pool belongs to one node
	nodeOf  map[pool]string
	owned   map[string]map[structured.DeviceID]struct{}
	changed map[string]uint64 // by node: moves when what is allocated there, or the world, changes
	clock   uint64
	next    map[string]int // scratch
}

type pool struct{ driver, name string }

// newStock follows what informers tell of classes, devices and their taints.
func newStock(f framework.Framework) (*stock, error) {
	s := &stock{world: 1, next: map[string]int{}}
	moved := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { s.world++ },
		UpdateFunc: func(any, any) { s.world++ },
		DeleteFunc: func(any) { s.world++ },
	}
	resources := f.SharedInformerFactory().Resource().V1()
	informers := []cache.SharedIndexInformer{resources.ResourceSlices().Informer(), resources.DeviceClasses().Informer()}
	if utilfeature.DefaultFeatureGate.Enabled(features.DRADeviceTaintRules) {
		informers = append(informers, resources.DeviceTaintRules().Informer())
	}
	for _, i := range informers {
		if _, err := i.AddEventHandler(moved); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// follow brings the stock up to date. It reports false when it cannot say what a node's refusals depend on: pools that
// several nodes share, or devices of which pods get a part.
func (s *stock) follow(m fwk.SharedDRAManager) bool {
	if s.seen != s.world {
		s.restock(m)
	}
	if !s.valid {
		return false
	}
	state, err := m.ResourceClaims().GatherAllocatedState()
	if err != nil || state == nil || len(state.AllocatedSharedDeviceIDs) > 0 || len(state.AggregatedCapacity) > 0 {
		return false
	}
	clear(s.next)
	moved := map[string]bool{}
	for id := range state.AllocatedDevices {
		node := s.nodeOf[pool{id.Driver.String(), id.Pool.String()}]
		s.next[node]++
		if _, ok := s.owned[node][id]; !ok {
			moved[node] = true
		}
	}
	for node, had := range s.owned {
		if len(had) != s.next[node] {
			moved[node] = true
		}
	}
	for node := range moved {
		s.clock++
		s.changed[node] = s.clock
		s.owned[node] = map[structured.DeviceID]struct{}{}
	}
	if len(moved) > 0 {
		for id := range state.AllocatedDevices {
			if node := s.nodeOf[pool{id.Driver.String(), id.Pool.String()}]; moved[node] {
				s.owned[node][id] = struct{}{}
			}
		}
	}
	return true
}

// restock reads what is published.
func (s *stock) restock(m fwk.SharedDRAManager) {
	s.seen, s.valid = s.world, false
	s.nodeOf, s.owned = map[pool]string{}, map[string]map[structured.DeviceID]struct{}{}
	list, err := m.ResourceSlices().ListWithDeviceTaintRules()
	if err != nil {
		return
	}
	for _, slice := range list {
		p := pool{slice.Spec.Driver, slice.Spec.Pool.Name}
		if slice.Spec.NodeName == nil || s.nodeOf[p] != "" && s.nodeOf[p] != *slice.Spec.NodeName {
			return
		}
		s.nodeOf[p] = *slice.Spec.NodeName
	}
	// Every refusal of before is void: no node has a clock that it had.
	old := s.changed
	s.changed = make(map[string]uint64, len(old))
	s.clock++
	for _, node := range s.nodeOf {
		s.changed[node] = s.clock
	}
	for node := range old {
		s.changed[node] = s.clock
	}
	s.valid = true
}

func ownedBy(pod *v1.Pod) func(o metav1.OwnerReference) bool {
	return func(o metav1.OwnerReference) bool { return o.UID == pod.UID }
}
