package sim

import (
	"slices"

	"orrery/sim/journal"
	"orrery/sim/mig"
	"orrery/sim/plan"
)

// describe says in a job's record where the job may run, for accounts of why it waits.
func (c *cluster) describe(j *plan.Job, r *journal.JobSubmit) {
	if j.Gang != nil {
		r.Within = j.Gang.TopologyKey
	}
	if r.GPUs > 0 {
		r.Pools = admittingPools(c.plan.Pools, j)
	}
}

// admittingPools names the pools with GPUs whose labels, taints and extended resource admit the job's pods, as
// JobSubmit.Pools has them. Labels that no pool has are those of single nodes: they are taken as met, as are resources
// that no pool has.
func admittingPools(pools []plan.Pool, j *plan.Job) []string {
	var out []string
	all := true
	for i := range pools {
		switch p := &pools[i]; {
		case p.GPUsPerNode == 0:
		case admits(pools, p, j):
			out = append(out, p.Name)
		default:
			all = false
		}
	}
	switch {
	case all:
		return nil
	case out == nil:
		return []string{""}
	}
	return out
}

func admits(pools []plan.Pool, p *plan.Pool, j *plan.Job) bool {
	for _, q := range j.Require {
		value, ok := p.Labels[q.Key]
		if ok && !slices.Contains(q.Values, value) {
			return false
		}
		if !ok && slices.ContainsFunc(pools, func(o plan.Pool) bool { _, ok := o.Labels[q.Key]; return ok }) {
			return false
		}
	}
	for _, pod := range j.Pods {
		offers := func(o plan.Pool) bool { return o.Resource == pod.Resource || o.Offers()[pod.Resource] > 0 }
		if pod.Slots > 0 && !offers(*p) && slices.ContainsFunc(pools, offers) {
			return false
		}
		if !offersClaims(p, pod.Claims) && slices.ContainsFunc(pools, func(o plan.Pool) bool {
			return offersClaims(&o, pod.Claims)
		}) {
			return false
		}
	}
	for _, t := range p.Taints {
		keepsAway := t.Effect == "NoSchedule" || t.Effect == "NoExecute"
		if keepsAway && !slices.ContainsFunc(j.Tolerations, func(o plan.Toleration) bool { return tolerates(o, t) }) {
			return false
		}
	}
	return true
}

// tolerates is Toleration.ToleratesTaint of the Kubernetes API.
func tolerates(o plan.Toleration, t plan.Taint) bool {
	switch {
	case o.Effect != "" && o.Effect != t.Effect, o.Key != "" && o.Key != t.Key:
		return false
	case o.Operator == "Exists":
		return true
	}
	return (o.Operator == "" || o.Operator == "Equal") && o.Value == t.Value
}

// migProfile returns the MIG profile that one unit of an extended resource stands for in the pools; "" for none.
func migProfile(pools []plan.Pool, resource string) string {
	if profile := mig.Asked(resource); profile != "" {
		return profile
	}
	for i := range pools {
		if _, profile, ok := pools[i].Asks(resource); ok && pools[i].Slots != nil {
			return profile
		}
	}
	return ""
}
