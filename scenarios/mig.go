package scenarios

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"orrery/sim/mig"
	"orrery/sim/plan"
	"orrery/sim/units"
)

const nvidiaResource = "nvidia.com/gpu"

// WarnMIGSingle says that the device plugin offers nothing of a node whose MIG instances are not all alike.
const WarnMIGSingle = "mig-single-invalid"

// geometry returns how the pool's GPUs can be divided.
func (s *Scenario) geometry(pool *Pool) (*mig.Geometry, bool) {
	gpu, err := s.catalog.Lookup(pool.GPU)
	if err != nil {
		return nil, false
	}
	return mig.Lookup(gpu.Key)
}

// problemf reports a problem at a path, as strict.Doc.Problemf does.
type problemf func(path, format string, args ...any)

// divide returns the instances of each divided GPU of a node, by index, and reports what is wrong with the layouts.
func (s *Scenario) divide(path string, g *mig.Geometry, pool *Pool, config string, layouts []MIGLayout,
	p problemf) map[int][]mig.Instance {
	if (config == "") == (len(layouts) == 0) {
		p(path, "%s: give exactly one of config and layouts, e.g. config: all-balanced", path)
		return nil
	}
	if config != "" {
		layouts = []MIGLayout{{Config: config}}
	}
	out := map[int][]mig.Instance{}
	named := map[int]int{}
	for i := range layouts {
		l, at := &layouts[i], fmt.Sprintf("%s.layouts[%d]", path, i)
		if config != "" {
			at = path
		}
		list, missing := l.GPUs.of(pool.GPUsPerNode)
		if !l.GPUs.bad && (missing >= 0 || len(list) == 0) {
			p(at+".gpus", "%s.gpus: a node has the GPUs 0 to %d; name some of them", at, pool.GPUsPerNode-1)
		}
		instances, divided := l.instances(at, g, p)
		for _, gpu := range list {
			if first, twice := named[gpu]; twice {
				p(at+".gpus", "%s.gpus: GPU %d is in layouts[%d] already; name it once", at, gpu, first)
				break
			}
			named[gpu] = i
			if divided {
				out[gpu] = instances
			}
		}
	}
	return out
}

// instances returns the instances of a layout; divided is false when it leaves MIG mode off or is wrong.
func (l *MIGLayout) instances(at string, g *mig.Geometry, p problemf) (list []mig.Instance, divided bool) {
	given := 0
	for _, yes := range []bool{l.Config != "", l.Profiles != nil, l.Placements != nil} {
		if yes {
			given++
		}
	}
	if given != 1 {
		p(at, "%s: give exactly one of config, profiles and placements", at)
		return nil, false
	}
	if l.Placements != nil {
		for _, x := range l.Placements {
			list = append(list, mig.Instance{Profile: x.Profile, Start: x.Start})
		}
		if err := g.Check(list); err != nil {
			p(at+".placements", "%s.placements: %v", at, err)
			return nil, false
		}
		mig.Sort(list)
		return list, true
	}
	profiles, enabled, field := l.Profiles, true, ".profiles"
	if l.Config != "" {
		var err error
		field = ".config"
		if profiles, enabled, err = g.Config(l.Config); err != nil {
			p(at+field, "%s%s: %v", at, field, err)
			return nil, false
		}
	}
	for _, name := range sortedKeys(profiles) {
		if profiles[name] < 1 {
			p(at+field, "%s%s: %d of %s; write at least 1, or remove it", at, field, profiles[name], name)
			return nil, false
		}
	}
	list, err := g.Place(profiles)
	if err != nil {
		p(at+field, "%s%s: %v", at, field, err)
		return nil, false
	}
	return list, enabled
}

// silent reports nothing: the scenario was checked.
func silent(string, string, ...any) {}

// migPool is a pool whose GPUs are divided, in one of the ways it is over time.
type migPool struct {
	pool      *Pool
	g         *mig.Geometry
	instances map[int][]mig.Instance // by GPU that is in MIG mode
}

// migOf returns the pool's division at first; ok is false when it has none.
func (s *Scenario) migOf(pool *Pool) (m migPool, ok bool) {
	if pool.Sharing.Strategy != plan.SharingMIG || pool.Sharing.MIG == nil {
		return migPool{}, false
	}
	g, ok := s.geometry(pool)
	if !ok {
		return migPool{}, false
	}
	at := pool.Sharing.MIG
	return migPool{pool, g, s.divide("", g, pool, at.Config, at.Layouts, silent)}, true
}

// invalid says why the plugin's strategy single offers nothing of the node, or "".
//
// Source: github.com/NVIDIA/k8s-device-plugin, internal/lm/mig-strategy.go at 1b826ac: GPUs with and without MIG,
// GPUs in MIG mode without instances, and instances of more than one profile.
func (m migPool) invalid() string {
	if m.pool.Sharing.MIG.Strategy != migSingle || len(m.instances) == 0 {
		return ""
	}
	if len(m.instances) < m.pool.GPUsPerNode {
		return "not all GPUs are divided"
	}
	profile := ""
	for gpu := range m.pool.GPUsPerNode {
		list := m.instances[gpu]
		if len(list) == 0 {
			return fmt.Sprintf("GPU %d has no instances", gpu)
		}
		for _, i := range list {
			if profile != "" && i.Profile != profile {
				return fmt.Sprintf("there are instances of %s and of %s", profile, i.Profile)
			}
			profile = i.Profile
		}
	}
	return ""
}

// resource is the extended resource of a profile's instances, and the number of replicas of each.
func (m migPool) resource(base, profile string) (string, int) {
	replicas := max(m.pool.Sharing.MIG.TimeSlicing[profile], 1)
	name := base
	if m.pool.Sharing.MIG.Strategy == migMixed {
		name = mig.Resource(profile)
	}
	if replicas > 1 && m.pool.Sharing.Rename {
		name += sharedSuffix
	}
	return name, replicas
}

// slots returns the plan's division of a node.
func (m migPool) slots(base string) map[int][]plan.Slot {
	out := map[int][]plan.Slot{}
	bad := m.invalid() != ""
	for gpu := range m.pool.GPUsPerNode {
		list, divided := m.instances[gpu]
		if bad {
			out[gpu] = []plan.Slot{}
			continue
		}
		if !divided {
			continue
		}
		out[gpu] = []plan.Slot{}
		for _, i := range list {
			p, _ := m.g.Profile(i.Profile)
			name, n := m.resource(base, i.Profile)
			share := m.g.Share(i)
			for r := range n {
				r, total := units.MilliGPU(r), units.MilliGPU(n)
				out[gpu] = append(out[gpu], plan.Slot{Resource: name, Replica: int(r), Profile: i.Profile, Start: i.Start,
					Slices: p.Slices, Share: share*(r+1)/total - share*r/total})
			}
		}
	}
	return out
}

// labels sets the labels of NVIDIA's GPU feature discovery for MIG, over those of whole GPUs.
//
// Source: github.com/NVIDIA/k8s-device-plugin, internal/lm/mig-strategy.go and resource.go at 1b826ac. Where a figure
// is not known its label is left out.
func (m migPool) labels(out map[string]string, product string) {
	sh := m.pool.Sharing
	out["nvidia.com/mig.strategy"] = sh.MIG.Strategy
	out["nvidia.com/mig.capable"] = "true"
	if m.invalid() != "" {
		out[nvidiaProductLabel] = product + "-MIG-INVALID"
		for _, key := range []string{"count", "replicas", "memory"} {
			out["nvidia.com/gpu."+key] = "0"
		}
		return
	}
	counts := map[string]int{}
	for _, list := range m.instances {
		for _, i := range list {
			counts[i.Profile]++
		}
	}
	for _, profile := range sortedKeys(counts) {
		prefix := mig.Resource(profile)
		if sh.MIG.Strategy == migSingle {
			prefix = nvidiaResource
		}
		m.profileLabels(out, prefix, product, profile, counts[profile])
	}
}

func (m migPool) profileLabels(out map[string]string, prefix, product, profile string, count int) {
	p, _ := m.g.Profile(profile)
	_, replicas := m.resource("", profile)
	set := func(key, value string) { out[prefix+"."+key] = value }
	product += "-MIG-" + strings.ReplaceAll(profile, "+", ".")
	strategy := plan.SharingNone
	if replicas > 1 {
		strategy = plan.SharingTimeSlicing
		if !m.pool.Sharing.Rename {
			product += sharedProductSuffix
		}
	}
	set("product", product)
	set("count", strconv.Itoa(count))
	set("replicas", strconv.Itoa(replicas))
	set("sharing-strategy", strategy)
	set("slices.gi", strconv.Itoa(p.Compute))
	set("slices.ci", strconv.Itoa(p.Compute))
	if delete(out, prefix+".memory"); p.MemoryMiB > 0 {
		set("memory", strconv.FormatInt(p.MemoryMiB, 10))
	}
	if p.SMs > 0 {
		set("multiprocessors", strconv.Itoa(p.SMs))
	}
	if e := p.Engines; e != nil {
		for key, n := range map[string]int{"copy": e.Copy, "decoder": e.Decoders, "encoder": e.Encoders, "jpeg": e.JPEG,
			"ofa": e.OFA} {
			set("engines."+key, strconv.Itoa(n))
		}
	}
}

// planRepartitions returns the changes of all pools, by time; nodes are the plan's.
func (s *Scenario) planRepartitions(nodes []plan.Node) []plan.Repartition {
	var out []plan.Repartition
	for i := range s.Cluster.Pools {
		pool := &s.Cluster.Pools[i]
		first, ok := s.migOf(pool)
		if !ok {
			continue
		}
		var of []int
		for n := range nodes {
			if nodes[n].Pool == i {
				of = append(of, n)
			}
		}
		for j := range pool.Repartition {
			r := &pool.Repartition[j]
			m := migPool{pool, first.g, s.divide("", first.g, pool, r.Config, r.Layouts, silent)}
			x := plan.Repartition{At: units.Time(r.At), Config: r.Config, Drain: r.Drain, Apply: units.Duration(r.Apply),
				Slots: m.slots(s.baseResource(pool)), Labels: s.labelsOf(pool, &m), Nodes: of}
			if x.Config == "" {
				x.Config = fmt.Sprintf("%s-%d", pool.Name, j+1)
			}
			if r.Reboot {
				x.Apply += units.Duration(r.RebootTime)
			}
			if r.Nodes > 0 {
				x.Nodes = of[:r.Nodes]
			}
			out = append(out, x)
		}
	}
	slices.SortStableFunc(out, func(a, b plan.Repartition) int { return int(min(max(a.At-b.At, -1), 1)) })
	return out
}

// most returns the bounds of one request for each resource of which the plugin refuses more than one.
func (s *Scenario) most(pool *Pool) map[string]int {
	sh := &pool.Sharing
	shared := s.baseResource(pool)
	if sh.Rename && sh.replicated() {
		shared += sharedSuffix
	}
	switch {
	case sh.Strategy == plan.SharingMPS, sh.Strategy == plan.SharingTimeSlicing && sh.FailRequestsGreaterThanOne:
		return map[string]int{shared: 1}
	case sh.MIG == nil || !sh.FailRequestsGreaterThanOne:
		return nil
	}
	most := map[string]int{}
	m, _ := s.migOf(pool)
	for _, profile := range sortedKeys(sh.MIG.TimeSlicing) {
		if name, n := m.resource(s.baseResource(pool), profile); n > 1 {
			most[name] = 1
		}
	}
	return most
}

// migWarnings names the pools of which the device plugin offers nothing.
func (s *Scenario) migWarnings() []plan.Warning {
	var out []plan.Warning
	for i := range s.Cluster.Pools {
		pool := &s.Cluster.Pools[i]
		if m, ok := s.migOf(pool); ok && m.invalid() != "" {
			out = append(out, plan.Warning{Code: WarnMIGSingle, Count: int64(pool.Nodes), Message: fmt.Sprintf("pool %s: the "+
				"device plugin's strategy single offers nothing of a node whose MIG instances are not all alike: %s", pool.Name,
				m.invalid())})
		}
	}
	return out
}
