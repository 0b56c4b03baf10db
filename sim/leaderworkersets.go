package sim

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	lwsv1 "sigs.k8s.io/lws/api/leaderworkerset/v1"

	"orrery/sim/kube"
	"orrery/sim/plan"
	"orrery/sim/policy/keda"
	"orrery/sim/policy/lws"
)

// servesSets reports whether a service has replicas over several nodes. Then upstream's controllers keep all
// LeaderWorkerSets of the run, those of the manifests, too; otherwise they are mapped to pods, as those of other
// operators are.
func servesSets(p *plan.Plan) bool {
	for i := range p.Services {
		for g := range p.Services[i].Groups {
			if p.Services[i].Groups[g].Kind == plan.KindLeaderWorkerSet {
				return true
			}
		}
	}
	return false
}

// apiOptions are the kinds that the API of a run serves beside Kubernetes' own.
func apiOptions(withKarpenter, sets bool) (kube.Options, error) {
	schemes, customs, err := served(withKarpenter)
	o := kube.Options{Schemes: schemes, Customs: customs, ClusterScoped: keda.ClusterScoped()}
	if sets {
		o.Schemes, o.Webhooks = append(o.Schemes, lws.Scheme()), lws.Webhooks()
	}
	return o, err
}

// buildSets starts the controllers of LeaderWorkerSets.
func (c *cluster) buildSets() error {
	if !servesSets(c.plan) {
		return nil
	}
	// A program of its own: its informers are not those of kube-controller-manager.
	own := c.store.InformerFactory(nil, kube.Deliver(c.deliver), kube.AllPods())
	var err error
	c.controllers.sets, err = lws.Start(lws.Params{Engine: c.engine, Mapper: c.store.RESTMapper(), Informers: own,
		Client: c.store.RESTConfig(c.limited(lws.DefaultQPS, lws.DefaultBurst))})
	return err
}

// createLeaderWorkerSet makes the object of a group of replicas over several nodes.
func (c *cluster) createLeaderWorkerSet(s *plan.Service, g *plan.ReplicaGroup) error {
	n, size := int32(g.Replicas), int32(g.PodsPerReplica)
	labels := map[string]string{"app": g.Name, serviceLabel: s.Name, groupLabel: g.Name}
	set := &lwsv1.LeaderWorkerSet{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: g.Name, Labels: labels}}
	set.Spec.Replicas = &n
	set.Spec.LeaderWorkerTemplate = lwsv1.LeaderWorkerTemplate{Size: &size, WorkerTemplate: c.podTemplate(s, g, labels),
		RestartPolicy: lwsv1.RecreateGroupOnPodRestart}
	_, err := c.store.Create(set)
	return err
}
