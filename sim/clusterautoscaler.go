package sim

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"orrery/sim/plan"
	"orrery/sim/policy/clusterautoscaler"
)

// buildClusterAutoscaler starts the model of the Cluster Autoscaler, if the plan has it, over its elastic pools.
func (c *cluster) buildClusterAutoscaler() {
	flags := c.plan.Autoscalers.ClusterAutoscaler
	if flags == nil {
		return
	}
	params := clusterautoscaler.Params{Engine: c.engine, Store: c.store, Cloud: c.cloud.of(plan.ByClusterAutoscaler),
		Flags: *flags, Random: c.streams, Record: c.record, Fail: c.fail,
		Promised: c.promised}
	for _, p := range c.cloud.elastic(plan.ByClusterAutoscaler) {
		params.Groups = append(params.Groups, nodeGroup(p))
	}
	clusterautoscaler.Start(params)
}

// promised reports whether the cloud will have one more machine of a pool: now, or when a stock-out ends.
func (c *cluster) promised(pool string) bool {
	i := slices.IndexFunc(c.plan.Pools, func(p plan.Pool) bool { return p.Name == pool })
	return c.cloud.promised(&c.plan.Pools[i])
}

// nodeGroup is a pool as the Cluster Autoscaler knows it.
func nodeGroup(p *plan.Pool) clusterautoscaler.Group {
	n := nodeObject(plan.Node{Name: "template-" + p.Name}, p)
	n.Labels = maps.Clone(n.Labels)
	n.Labels[corev1.LabelInstanceTypeStable] = p.Elastic.InstanceType
	if zone := zones(p)[0]; zone != "" {
		n.Labels[corev1.LabelTopologyZone] = zone
	}
	g := clusterautoscaler.Group{Name: p.Name, InstanceType: p.Elastic.InstanceType, CapacityType: p.Elastic.CapacityType,
		Min: p.Elastic.Min, Max: p.Elastic.Max, Template: n, Price: price(p)}
	if p.GPUsPerNode > 0 && p.Driver != plan.DriverDRA {
		g.GPU = corev1.ResourceName(slices.Min(slices.Collect(maps.Keys(p.Offers()))))
	}
	return g
}
