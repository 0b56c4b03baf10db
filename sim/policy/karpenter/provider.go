package karpenter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/awslabs/operatorpkg/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/scheduling"

	"orrery/sim/engine"
	"orrery/sim/plan"
	"orrery/sim/policy/cloud"
	"orrery/sim/units"
)

// providerName is that of the cloud provider in Karpenter's metrics and messages.
const providerName = "orrery"

// unzoned is the zone of machines of a cloud without zones: Karpenter does not consolidate nodes without the label.
const unzoned = "local"

// provider implements cloudprovider.CloudProvider over a cloud. What providers decide, it decides as
// karpenter-provider-aws v1.14 does: the capacity type (reserved before spot before on-demand), the cheapest offering
// first, and that an offering without stock is left alone for three minutes. Whether there is stock it learns only by
// asking for a machine.
type provider struct {
	e     *engine.Engine
	cloud cloud.Cloud
	why   func(*v1.NodeClaim) string // a machine is terminated
	// failed is told of launches: of an error that stands for want of stock, with the pools that were asked, or of nil.
	failed  func(err error, pools []string)
	changed func() // what is known of the offer
	// overlay applies what NodeOverlays say of a NodePool's types. Nil = nothing.
	overlay func(pool string, types []*cloudprovider.InstanceType) ([]*cloudprovider.InstanceType, error)

	mu      sync.Mutex
	catalog catalog
	claims  map[string]*v1.NodeClaim // by provider ID: what Create answered
}

var _ cloudprovider.CloudProvider = (*provider)(nil)

// priceRefresh is how often providers look at the cloud's types and prices again (karpenter-provider-aws v1.14.1
// pkg/controllers/providers/pricing and instancetype: 12 h).
const priceRefresh = 12 * time.Hour

func newProvider(e *engine.Engine, c cloud.Cloud) *provider {
	p := &provider{e: e, cloud: c, claims: map[string]*v1.NodeClaim{},
		catalog: catalog{off: map[market]units.Time{}}}
	p.refresh()
	return p
}

// refresh looks at the cloud's types and prices. Driver only.
func (p *provider) refresh() {
	types := p.cloud.Types()
	for i := range types {
		t := &types[i]
		t.Arch = cmp.Or(t.Arch, "amd64")
		t.Offerings = slices.Clone(t.Offerings)
		for k := range t.Offerings {
			t.Offerings[k].Zone = cmp.Or(t.Offerings[k].Zone, unzoned)
		}
	}
	declareLabels(types)
	p.mu.Lock()
	p.catalog.types, p.catalog.known = types, nil
	p.mu.Unlock()
	if p.changed != nil {
		p.changed()
	}
	p.e.Background(p.e.Now().Add(priceRefresh), engine.PhaseObserve, "karpenter: prices", p.refresh)
}

// GetInstanceTypes implements cloudprovider.CloudProvider.
func (p *provider) GetInstanceTypes(context.Context, *v1.NodePool) ([]*cloudprovider.InstanceType, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list, again := p.catalog.list(p.e.Now())
	if again {
		p.changed()
	}
	return slices.Clone(list), nil // upstream sorts them in place
}

// choice is an offering that a machine may be had by.
type choice struct {
	t  *cloudprovider.InstanceType
	of *cloudprovider.Offering
}

func (c choice) market() market { return market{c.t.Name, c.of.Zone(), c.of.CapacityType()} }

// choices are the offerings that a NodeClaim may be launched by, the first to try first.
func (p *provider) choices(nc *v1.NodeClaim) ([]choice, error) {
	p.mu.Lock()
	types, _ := p.catalog.list(p.e.Now())
	p.mu.Unlock()
	if p.overlay != nil {
		var err error
		if types, err = p.overlay(nc.Labels[v1.NodePoolLabelKey], types); err != nil {
			return nil, err
		}
	}
	reqs := scheduling.NewNodeSelectorRequirementsWithMinValues(nc.Spec.Requirements...)
	byKind := map[string][]choice{}
	for _, t := range types {
		if !reqs.IsCompatible(t.Requirements, scheduling.AllowUndefinedWellKnownLabels) || !fits(nc, t) {
			continue
		}
		for _, of := range t.Offerings.Available().Compatible(reqs) {
			byKind[of.CapacityType()] = append(byKind[of.CapacityType()], choice{t, of})
		}
	}
	for _, kind := range []string{plan.CapacityReserved, plan.CapacitySpot, plan.CapacityOnDemand} {
		if list := byKind[kind]; len(list) > 0 {
			slices.SortStableFunc(list, func(a, b choice) int {
				return cmp.Or(cmp.Compare(a.of.Price, b.of.Price), cmp.Compare(a.t.Name, b.t.Name),
					cmp.Compare(a.of.Zone(), b.of.Zone()))
			})
			return list, nil
		}
	}
	return nil, nil
}

// fits reports whether a machine of the type has what the NodeClaim asks for.
func fits(nc *v1.NodeClaim, t *cloudprovider.InstanceType) bool {
	has := t.Allocatable()
	for name, want := range nc.Spec.Resources.Requests {
		have := has[name]
		if want.Cmp(have) > 0 {
			return false
		}
	}
	return true
}

// Create implements cloudprovider.CloudProvider.
func (p *provider) Create(_ context.Context, nc *v1.NodeClaim) (out *v1.NodeClaim, err error) {
	p.e.Call("cloud/create/"+nc.Name, 0, func() { out, err = p.create(nc) })
	return out, err
}

// create is Create on the driver.
func (p *provider) create(nc *v1.NodeClaim) (*v1.NodeClaim, error) {
	var last error
	var pools []string
	choices, err := p.choices(nc)
	if err != nil {
		return nil, fmt.Errorf("creating a machine: %w", err)
	}
	for _, c := range choices {
		machine, err := p.cloud.Order(p.order(nc, c))
		var none *cloud.NoCapacity
		switch {
		case err == nil:
			out := launched(nc, c, machine)
			p.mu.Lock()
			p.claims[machine.ID] = out
			p.mu.Unlock()
			p.failed(nil, nil)
			return out.DeepCopy(), nil
		case errors.As(err, &none):
			last = err
			pools = append(pools, p.pools(c.market())...)
			p.unavailable(c.market())
		default:
			return nil, cloudprovider.NewCreateError(err, "LaunchFailed", err.Error())
		}
	}
	if last == nil {
		last = errors.New("all requested instance types were unavailable during launch")
	}
	p.failed(last, pools)
	return nil, cloudprovider.NewInsufficientCapacityError(last)
}

// pools are the pools that machines of a market are of.
func (p *provider) pools(m market) (out []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.catalog.types {
		for _, o := range t.Offerings {
			if (market{t.Name, o.Zone, o.CapacityType}) == m {
				out = append(out, o.Pool)
			}
		}
	}
	return out
}

// unavailable notes that an offering is out of stock, for a while. Driver only.
func (p *provider) unavailable(m market) {
	p.mu.Lock()
	p.catalog.unavailable(m, p.e.Now())
	p.mu.Unlock()
	p.changed()
	p.e.Background(p.e.Now().Add(ice), engine.PhaseFault, "karpenter: an offering may be back", p.changed)
}

// order asks for a machine for a NodeClaim.
func (p *provider) order(nc *v1.NodeClaim, c choice) cloud.Order {
	m := c.market()
	zone := m.zone
	if zone == unzoned {
		zone = ""
	}
	taints := append(slices.Clone(nc.Spec.Taints), nc.Spec.StartupTaints...)
	return cloud.Order{Node: nc.Name, InstanceType: m.instanceType, CapacityType: m.capacityType, Zone: zone,
		Labels: labelsOf(nc, c), Taints: append(taints, v1.UnregisteredNoExecuteTaint),
		By: "NodePool/" + nc.Labels[v1.NodePoolLabelKey], Reason: "NodeClaim " + nc.Name}
}

// labelsOf are the labels that the node of a machine begins with.
func labelsOf(nc *v1.NodeClaim, c choice) map[string]string {
	out := map[string]string{}
	for _, reqs := range []scheduling.Requirements{c.t.Requirements, c.of.Requirements} {
		for key, r := range reqs {
			if r.Operator() == corev1.NodeSelectorOpIn && r.Len() == 1 {
				out[key] = r.Any()
			}
		}
	}
	maps.Copy(out, nc.Labels)
	for _, key := range []string{v1.CapacityTypeLabelKey, corev1.LabelTopologyZone} {
		out[key] = c.of.Requirements.Get(key).Any()
	}
	return out
}

// launched is a NodeClaim with what is known of its machine.
func launched(nc *v1.NodeClaim, c choice, m cloud.Machine) *v1.NodeClaim {
	out := nc.DeepCopy()
	out.Labels = labelsOf(nc, c)
	out.Status.ProviderID = m.ID
	out.Status.Capacity = c.t.Capacity.DeepCopy()
	out.Status.Allocatable = c.t.Allocatable().DeepCopy()
	return out
}

// machine finds a machine that Karpenter has ordered. Driver only.
func (p *provider) machine(id string) (cloud.Machine, *v1.NodeClaim, bool) {
	p.mu.Lock()
	nc := p.claims[id]
	p.mu.Unlock()
	if nc == nil {
		return cloud.Machine{}, nil, false
	}
	for _, m := range p.cloud.Machines() {
		if m.ID == id {
			return m, nc, true
		}
	}
	p.mu.Lock()
	delete(p.claims, id)
	p.mu.Unlock()
	return cloud.Machine{}, nil, false
}

func notFound(id string) error {
	return cloudprovider.NewNodeClaimNotFoundError(fmt.Errorf("machine %q does not exist", id))
}

// Delete implements cloudprovider.CloudProvider.
func (p *provider) Delete(_ context.Context, nc *v1.NodeClaim) (err error) {
	id := nc.Status.ProviderID
	p.e.Call("cloud/delete/"+id, 0, func() {
		m, _, ok := p.machine(id)
		switch {
		case !ok:
			err = notFound(id)
		case m.State != cloud.Terminating:
			err = p.cloud.Terminate(id, p.why(nc))
		}
	})
	return err
}

// Get implements cloudprovider.CloudProvider.
func (p *provider) Get(_ context.Context, id string) (out *v1.NodeClaim, err error) {
	p.e.Call("cloud/get/"+id, 0, func() {
		m, nc, ok := p.machine(id)
		if !ok {
			err = notFound(id)
			return
		}
		out = p.shown(m, nc)
	})
	return out, err
}

// shown is how a provider tells of a machine.
func (p *provider) shown(m cloud.Machine, nc *v1.NodeClaim) *v1.NodeClaim {
	out := nc.DeepCopy()
	out.CreationTimestamp = metav1.NewTime(p.e.Clock().Add(m.Ordered.Sub(p.e.Now())).Truncate(time.Second))
	if m.State == cloud.Terminating {
		now := metav1.NewTime(p.e.Clock())
		out.DeletionTimestamp = &now
	}
	return out
}

// List implements cloudprovider.CloudProvider.
func (p *provider) List(context.Context) (out []*v1.NodeClaim, err error) {
	p.e.Call("cloud/list", 0, func() {
		for _, m := range p.cloud.Machines() {
			p.mu.Lock()
			nc := p.claims[m.ID]
			p.mu.Unlock()
			if nc != nil {
				out = append(out, p.shown(m, nc))
			}
		}
	})
	return out, nil
}

// IsDrifted implements cloudprovider.CloudProvider. Drift from the NodePool is found by Karpenter itself; machine
// images, which providers look at, do not exist here.
func (p *provider) IsDrifted(context.Context, *v1.NodeClaim) (cloudprovider.DriftReason, error) {
	return "", nil
}

// RepairPolicies implements cloudprovider.CloudProvider with the kubelet's conditions of karpenter-provider-aws v1.14.1
// (pkg/cloudprovider/cloudprovider.go). They count with feature gate NodeRepair only.
func (p *provider) RepairPolicies() []cloudprovider.RepairPolicy {
	return []cloudprovider.RepairPolicy{
		{ConditionType: corev1.NodeReady, ConditionStatus: corev1.ConditionFalse, TolerationDuration: 30 * time.Minute},
		{ConditionType: corev1.NodeReady, ConditionStatus: corev1.ConditionUnknown, TolerationDuration: 30 * time.Minute},
	}
}

// Name implements cloudprovider.CloudProvider.
func (p *provider) Name() string { return providerName }

// GetSupportedNodeClasses implements cloudprovider.CloudProvider.
func (p *provider) GetSupportedNodeClasses() []status.Object { return nodeClasses() }
