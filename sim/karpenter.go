package sim

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"orrery/sim/journal"
	"orrery/sim/kube"
	"orrery/sim/kwok/dra"
	"orrery/sim/plan"
	"orrery/sim/policy/cloud"
	"orrery/sim/policy/karpenter"
	"orrery/sim/policy/keda"
	"orrery/sim/units"
)

// karpenterCustoms are the definitions of Karpenter's kinds, read on first use.
var karpenterCustoms = sync.OnceValues(func() (*kube.Customs, error) {
	return kube.NewCustoms(karpenter.Definitions()...)
})

// namesKarpenter reports whether a manifest file may hold objects of Karpenter's kinds.
func namesKarpenter(f plan.File) bool { return bytes.Contains(f.Data, []byte("karpenter")) }

// served are the types that the API serves besides Kubernetes' own, with the definitions of the custom resources among
// them: Karpenter's only if there may be such objects, as reading the definitions takes a while.
func served(withKarpenter bool) ([]*runtime.Scheme, *kube.Customs, error) {
	if !withKarpenter {
		return []*runtime.Scheme{dra.Scheme(), keda.Scheme()}, nil, nil
	}
	customs, err := karpenterCustoms()
	return []*runtime.Scheme{dra.Scheme(), keda.Scheme(), karpenter.Scheme()}, customs, err
}

// mayNeedKarpenter reports whether a plan may have anything of Karpenter's.
func mayNeedKarpenter(p *plan.Plan) bool {
	return p.Autoscalers.Karpenter != nil || slices.ContainsFunc(p.Manifests, namesKarpenter)
}

// karpenterRepeats reports whether runs of a plan repeat as far as Karpenter has a part in them. Not known to are those
// with feature gates, and those in which it adds up prices in the order of a map.
func karpenterRepeats(p *plan.Plan) bool {
	balanced := func(f plan.File) bool { return namesKarpenter(f) && bytes.Contains(f.Data, []byte("Balanced")) }
	k := p.Autoscalers.Karpenter
	return (k == nil || k.FeatureGates == "") && !slices.ContainsFunc(p.Manifests, balanced)
}

// needsKarpenter reports whether Karpenter is run: when it is configured, or when there is a NodePool.
func needsKarpenter(p *plan.Plan, manifests []manifest) bool {
	return p.Autoscalers.Karpenter != nil || slices.ContainsFunc(manifests, func(m manifest) bool {
		_, ok := karpenter.IsNodePool(m.object)
		return ok
	})
}

// buildKarpenter starts Karpenter, and gives NodePools the node classes that they refer to and nobody has given.
func (c *cluster) buildKarpenter() error {
	if !needsKarpenter(c.plan, c.parts.manifests) {
		return nil
	}
	if err := c.implyClasses(); err != nil {
		return err
	}
	bought := slices.ContainsFunc(c.plan.Pools, func(p plan.Pool) bool {
		return p.Elastic != nil && p.Elastic.By == plan.ByKarpenter
	})
	pools := slices.ContainsFunc(c.parts.manifests, func(m manifest) bool {
		_, ok := karpenter.IsNodePool(m.object)
		return ok
	})
	switch {
	case !bought:
		c.upstream.add("no-machines", "there are NodePools, but no pool of the cluster has elastic: {by: karpenter}: there "+
			"are no machines to buy")
	case !pools:
		c.upstream.add("no-node-pool", "pools have elastic: {by: karpenter}, but there is no NodePool among the manifests: "+
			"Karpenter buys nothing")
	}
	var flags plan.Karpenter
	if c.plan.Autoscalers.Karpenter != nil {
		flags = *c.plan.Autoscalers.Karpenter
	}
	informers := c.store.InformerFactory(nil, kube.Deliver(c.deliver), kube.AllPods())
	var err error
	c.karpenter, err = karpenter.Start(karpenter.Params{Engine: c.engine,
		Client: c.store.RESTConfig(c.limited(karpenter.DefaultQPS, karpenter.DefaultBurst)),
		Mapper: c.store.RESTMapper(), Cloud: c.cloud.of(plan.ByKarpenter), Flags: flags, Record: c.karpenterSaid,
		Promised: c.promised,
		Informer: func(gvr schema.GroupVersionResource) (cache.SharedIndexInformer, error) {
			g, err := informers.ForResource(gvr)
			if err != nil {
				return nil, err
			}
			return g.Informer(), nil
		},
		Error: func(message string, err error) {
			if !routine(err) {
				c.upstream.add("karpenter-error", message+": "+err.Error())
			}
		}})
	if err != nil {
		return &InputError{err}
	}
	c.cloud.onInterrupt(func(m cloud.Machine, _ units.Duration) { c.karpenter.Interrupt(m) })
	return nil
}

// karpenterSaid records what Karpenter says. What it warns of about a NodePool, that no machine can be had by it above
// all, stands in the result, too: nothing else need show it.
func (c *cluster) karpenterSaid(b journal.Body) {
	if x, ok := b.(journal.Condition); ok && x.Status == "Warning" && strings.HasPrefix(x.Object, "NodePool/") {
		c.upstream.add("node-pool-warning", x.Object+": "+x.Type+": "+x.Message)
	}
	c.record(b)
}

// implyClasses creates the node classes that NodePools refer to and that are not among the manifests: what machines are
// made of is said by the run's pools.
func (c *cluster) implyClasses() error {
	for _, m := range c.parts.manifests {
		np, ok := karpenter.IsNodePool(m.object)
		if !ok {
			continue
		}
		ref := np.Spec.Template.Spec.NodeClassRef
		mapping, err := c.store.RESTMapper().RESTMapping(schema.GroupKind{Group: ref.Group, Kind: ref.Kind})
		if err != nil {
			return &InputError{fmt.Errorf("%s: NodePool %s: nodeClassRef: there is no provider with node class %s.%s here; "+
				"write one of %s", m.at, np.Name, ref.Kind, ref.Group, strings.Join(karpenter.NodeClasses(), ", "))}
		}
		if _, err := c.store.Get(mapping.Resource, "", ref.Name); err == nil {
			continue
		}
		obj, err := c.store.Scheme().New(mapping.GroupVersionKind)
		if err != nil {
			return err
		}
		obj.(metav1.Object).SetName(ref.Name)
		if _, err := c.store.Create(obj); err != nil {
			return err
		}
		c.upstream.add("node-class-implied", fmt.Sprintf("%s %s is not among the manifests, but NodePool %s refers to it; "+
			"it is taken as ready, as the run's pools say what machines are made of", ref.Kind, ref.Name, np.Name))
	}
	return nil
}

// karpenterCommitted records what changes in the conditions of Karpenter's objects.
func (c *cluster) karpenterCommitted(k kube.Commit) {
	if c.karpenter == nil {
		return
	}
	c.karpenter.Committed(k)
	if k.Verb == kube.VerbDelete {
		c.karpenter.Forget(k.New)
		return
	}
	for _, r := range karpenter.Conditions(k.Old, k.New) {
		c.record(r)
	}
}
