package scenarios

import (
	"cmp"
	"slices"

	"orrery/sim/plan"
	"orrery/sim/units"
	"orrery/traces"
)

// More codes of warnings counted while jobs are mapped.
const (
	WarnReplica  = "gpu-replica-limit" // a job needs more replicas than a pod can have
	WarnInstance = "gpu-mig-instance"  // a job asks for whole GPUs and gets MIG instances
	WarnNoWhole  = "gpu-none-whole"    // a job asks for whole GPUs, and all are divided
)

// offer is how the pools offer the GPUs of one base resource.
type offer struct {
	whole    bool   // some pool offers whole GPUs
	shared   string // name of the resource of replicated GPUs; "" = none
	replicas int    // slots of one replicated GPU
	one      bool   // the plugin gives one replica to a pod
	// instances are the MIG profiles that are offered, the smallest first.
	instances []instanceOffer
	single    bool // the base resource is that of MIG instances, by the plugin's strategy single
}

// instanceOffer is a MIG profile as it is offered.
type instanceOffer struct {
	resource          string
	compute, of       int // slices, and those of the GPU
	slices            int // of memory
	replicas          int
	milli             units.MilliGPU // of one unit of the resource, rounded up
	profile, gpuModel string
}

// covers reports whether an instance has at least a share of a GPU in thousandths. Compute slices count, not their
// rounded thousandths.
func (o instanceOffer) covers(milli int) bool { return milli*o.of*o.replicas <= 1000*o.compute }

// offers returns what the pools offer, by base resource, and the GPU capacity that one unit of each extended resource
// stands for. Where pools differ in that, the largest counts.
func (s *Scenario) offers() (map[string]*offer, map[string]units.MilliGPU) {
	out, capacity := map[string]*offer{}, map[string]units.MilliGPU{}
	for i := range s.Cluster.Pools {
		pool := &s.Cluster.Pools[i]
		base := s.baseResource(pool)
		if base == "" {
			continue
		}
		o := out[base]
		if o == nil {
			o = &offer{}
			out[base] = o
		}
		switch {
		case pool.Sharing.replicated():
			o.shared, o.replicas = base, pool.Sharing.Replicas
			o.one = pool.Sharing.Strategy == plan.SharingMPS || pool.Sharing.FailRequestsGreaterThanOne
			if pool.Sharing.Rename {
				o.shared += sharedSuffix
			}
			n := units.MilliGPU(o.replicas)
			capacity[o.shared] = max(capacity[o.shared], (units.GPU+n-1)/n)
		case pool.Sharing.MIG != nil:
			s.instanceOffers(pool, base, o, capacity)
		default:
			o.whole = true
			capacity[base] = units.GPU
		}
	}
	return out, capacity
}

// instanceOffers adds what a pool with MIG offers, at first or later.
func (s *Scenario) instanceOffers(pool *Pool, base string, o *offer, capacity map[string]units.MilliGPU) {
	first, ok := s.migOf(pool)
	if !ok {
		return
	}
	times := []migPool{first}
	for i := range pool.Repartition {
		r := &pool.Repartition[i]
		times = append(times, migPool{pool, first.g, s.divide("", first.g, pool, r.Config, r.Layouts, silent)})
	}
	for _, m := range times {
		if len(m.instances) < pool.GPUsPerNode {
			o.whole = o.whole || m.invalid() == ""
			capacity[base] = units.GPU
		}
		for _, list := range m.instances {
			for _, i := range list {
				p, _ := m.g.Profile(i.Profile)
				name, n := m.resource(base, i.Profile)
				x := instanceOffer{resource: name, compute: p.Compute, of: m.g.ComputeSlices, slices: p.Slices, replicas: n,
					profile: i.Profile, gpuModel: pool.GPU}
				parts := units.MilliGPU(x.of * n)
				x.milli = (units.GPU*units.MilliGPU(x.compute) + parts - 1) / parts
				o.single = o.single || pool.Sharing.MIG.Strategy == migSingle
				capacity[name] = max(capacity[name], x.milli)
				if !slices.Contains(o.instances, x) {
					o.instances = append(o.instances, x)
				}
			}
		}
	}
	slices.SortFunc(o.instances, func(a, b instanceOffer) int {
		return cmp.Or(cmp.Compare(a.milli, b.milli), cmp.Compare(a.slices, b.slices), cmp.Compare(a.resource, b.resource),
			cmp.Compare(a.profile, b.profile), cmp.Compare(a.gpuModel, b.gpuModel))
	})
}

// slots fills in what a pod of a job asks of the device plugin for its n GPUs, and keeps to what the plugin gives out
// at once: a pod that asks for more would be bound and refused again and again.
func (j *jobs) slots(pod *plan.Pod, t *traces.Job, n int, base string) {
	if j.s.Workload.Request == RequestClaim {
		j.claim(pod, t, n)
		return
	}
	j.ask(pod, t, n, base)
	if most, ok := j.most[pod.Resource]; ok && pod.Slots > most {
		j.warn(WarnReplica, "jobs need more than one replica of a GPU, and the device plugin gives one to a pod; they get "+
			"one", 1)
		pod.GPUs = pod.GPUs * units.MilliGPU(most) / units.MilliGPU(pod.Slots)
		pod.Slots = most
	}
}

func (j *jobs) ask(pod *plan.Pod, t *traces.Job, n int, base string) {
	if n == 0 {
		return
	}
	if j.s.Workload.Fractions == FractionsAnnotate {
		pod.Slots, pod.Fraction = n, j.fraction(t, n)
		pod.GPUs = units.MilliGPU(n) * pod.Fraction.Milli
		return
	}
	if rule := j.resourceRule(t); rule != nil {
		pod.Resource, pod.Slots = rule.Resource, cmp.Or(rule.Count, n)
		pod.GPUs = j.units[rule.Resource] * units.MilliGPU(pod.Slots)
		return
	}
	o := j.offers[base]
	if o == nil {
		o = &offer{whole: true} // nobody offers it: the pod waits
	}
	fraction := t.GPUMilli > 0 && t.GPUMilli < 1000
	switch {
	case fraction && j.s.Workload.Fractions == FractionsTimeSlice && o.shared != "":
		if need := n * ((t.GPUMilli*o.replicas + 999) / 1000); need == 1 || !o.one || !o.whole {
			j.replicas(pod, o, need)
			return
		}
		j.warn(WarnShare, "jobs ask for a part of a GPU and get a whole one", 1)
	case fraction && j.s.Workload.Fractions == FractionsMIG && j.instance(pod, o, n, t.GPUMilli):
		return
	case fraction:
		j.warn(WarnShare, "jobs ask for a part of a GPU and get a whole one", 1)
	}
	j.whole(pod, o, n, base)
}

// replicas gives the pod n replicas of GPUs.
func (j *jobs) replicas(pod *plan.Pod, o *offer, n int) {
	pod.Resource, pod.Slots = o.shared, n
	pod.GPUs = units.MilliGPU((int64(n)*1000 + int64(o.replicas) - 1) / int64(o.replicas))
}

// instance gives the pod n MIG instances of the smallest profile that covers the share, if there is one.
func (j *jobs) instance(pod *plan.Pod, o *offer, n, milli int) bool {
	for _, x := range o.instances {
		if x.covers(milli) {
			pod.Resource, pod.Slots = x.resource, n
			pod.GPUs = units.MilliGPU(n) * j.units[x.resource]
			return true
		}
	}
	return false
}

// whole gives the pod n whole GPUs, or what stands for them where there are none.
func (j *jobs) whole(pod *plan.Pod, o *offer, n int, base string) {
	pod.GPUs = units.MilliGPU(n) * units.GPU
	switch {
	case o.whole, o.shared == "" && len(o.instances) == 0:
		pod.Resource, pod.Slots = base, n
	case o.shared != "":
		j.replicas(pod, o, n*o.replicas)
	case o.single:
		j.warn(WarnInstance, "jobs ask for whole GPUs and get as many MIG instances, which the device plugin's strategy "+
			"single offers under the same name", 1)
		pod.Resource, pod.Slots = base, n
		pod.GPUs = units.MilliGPU(n) * j.units[base]
	case !j.instance(pod, o, n, 1000):
		j.warn(WarnNoWhole, "jobs need whole GPUs and wait for ever, because all GPUs are divided; workload.resources "+
			"gives jobs other resources", 1)
		pod.Resource, pod.Slots = base, n
	}
}

// resourceRule returns the first rule of workload.resources that matches the job, or nil.
func (j *jobs) resourceRule(t *traces.Job) *ResourceRule {
	for i := range j.s.Workload.Resources {
		rule := &j.s.Workload.Resources[i]
		if (rule.Tenant == "" || rule.Tenant == t.Tenant) && (rule.Class == "" || rule.Class == t.Class) {
			return rule
		}
	}
	return nil
}
