package sim

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"orrery/sim/engine"
	"orrery/sim/kube"
	"orrery/sim/kwok"
	"orrery/sim/kwok/dra"
	"orrery/sim/units"
)

// domains is a model of the controller of NVIDIA's compute domains and of the daemons that it puts on nodes. The
// controller makes the claim template that a domain names. The first pod of a domain on a node brings the domain's
// daemon there; it and later ones wait in ContainerCreating until that local daemon runs, whatever other nodes do
// (the driver's default, IMEXDaemonsWithDNSNames). Not modelled: the daemons' pods and what they ask for, their end,
// and NVLink itself, which a job's speed takes from the topology.
type domains struct {
	byID map[string]*domain
}

// domain is a ComputeDomain by its name, and when its daemon is ready on each node.
type domain struct {
	namespace, name string
	ready           map[string]units.Time
}

var domainsResource = dra.NVIDIAGroup.WithResource("computedomains")

// cliqueLabel is the label that NVIDIA's GPU feature discovery gives nodes with multi-node NVLink: the UUID of the
// cluster, a dot and the ID of the clique.
const cliqueLabel = "nvidia.com/gpu.clique"

// domainCommitted follows ComputeDomains.
func (c *cluster) domainCommitted(k kube.Commit, d *dra.ComputeDomain) {
	switch k.Verb {
	case kube.VerbCreate:
		c.domains.byID[string(d.UID)] = &domain{d.Namespace, d.Name, map[string]units.Time{}}
		c.engine.After(c.plan.Scheduler.Latency.API, engine.PhaseObserve, "compute domain "+d.Name, func() {
			if _, err := c.store.Create(dra.ChannelTemplate(d)); err != nil {
				c.upstream.add("compute-domain", fmt.Sprintf("making the template of domain %s: %v", d.Name, err))
			}
		})
	case kube.VerbDelete:
		delete(c.domains.byID, string(d.UID))
	}
}

// awaitDaemon returns how long a pod that has got a channel on a node waits for the domain's daemon there.
func (c *cluster) awaitDaemon(pod *corev1.Pod, node string, claim *resourcev1.ResourceClaim) units.Duration {
	d := c.domains.byID[dra.DomainOf(claim)]
	driver := c.drivers.byNode[node]
	if d == nil || driver == nil {
		return 0
	}
	at, ok := d.ready[node]
	if !ok {
		r := c.streams.Stream("compute-domain/" + d.namespace + "/" + d.name + "/" + node)
		at = c.engine.Now().Add(kwok.Triangular(driver.Timing.Daemon, r.Float64())).RoundUp()
		d.ready[node] = at
		index := len(d.ready) - 1
		c.engine.After(0, engine.PhaseObserve, "join "+d.name, func() { c.tellDomain(d, node, index, dra.DomainNotReady) })
		c.engine.At(at, engine.PhaseObserve, "daemon of "+d.name, func() { c.tellDomain(d, node, index, dra.DomainReady) })
	}
	return max(at.Sub(c.engine.Now()), 0)
}

// tellDomain writes the state of a node into the domain's status. A domain of no said size is ready when all the nodes
// it has are.
func (c *cluster) tellDomain(d *domain, node string, index int, status string) {
	obj, err := c.store.Get(domainsResource, d.namespace, d.name)
	if err != nil {
		return // deleted meanwhile
	}
	domain := obj.(*dra.ComputeDomain).DeepCopy()
	list := &domain.Status.Nodes
	i := slices.IndexFunc(*list, func(n dra.ComputeDomainNode) bool { return n.Name == node })
	if i < 0 {
		i = len(*list)
		*list = append(*list, dra.ComputeDomainNode{Name: node, CliqueID: c.clique(node), Index: index})
	}
	(*list)[i].Status = status
	ready := 0
	for _, n := range *list {
		if n.Status == dra.DomainReady {
			ready++
		}
	}
	domain.Status.Status = dra.DomainNotReady
	if ready == len(*list) && (domain.Spec.NumNodes == 0 || ready >= domain.Spec.NumNodes) {
		domain.Status.Status = dra.DomainReady
	}
	if _, err := c.store.Update(domain, "status"); err != nil && !apierrors.IsNotFound(err) {
		c.upstream.add("compute-domain", fmt.Sprintf("writing the status of compute domain %s: %v", d.name, err))
	}
}

// clique returns the NVLink domain of a node.
func (c *cluster) clique(node string) string {
	obj, err := c.store.Get(corev1.SchemeGroupVersion.WithResource("nodes"), "", node)
	if err != nil {
		return ""
	}
	return obj.(*corev1.Node).Labels[cliqueLabel]
}
