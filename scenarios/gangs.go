package scenarios

import (
	"fmt"
	"slices"

	"orrery/sim/plan"
	"orrery/sim/strict"
	"orrery/traces"
)

// Gangs is which jobs are placed as a whole, and how. A gang's work starts when all its pods run, whatever
// workload.start says.
type Gangs struct {
	// none: pods are placed one by one. pod-groups: a job becomes a PodGroup of the Kubernetes API, whose minCount is the
	// number of its pods: kube-scheduler places all of them or none. It switches the feature gate GenericWorkload on.
	Policy string `yaml:"policy" enum:"none|pod-groups"`
	// Jobs with fewer pods are no gangs.
	MinPods int `yaml:"minPods" min:"1" max:"100000"`
	// Where the members of a gang must stand to each other.
	Topology GangTopology `yaml:"topology"`
	// What preemption may take. single: one member. all: the whole gang or nothing.
	Disruption string `yaml:"disruption" enum:"single|all"`
	// What becomes of the others when a member is lost. wait: they keep their nodes until its replacement runs. restart:
	// all are deleted and the gang queues again. Default: wait, with disruption: all restart, but with as: job wait.
	OnLoss string `yaml:"onLoss" enum:"|wait|restart"`
	// Rules that treat jobs otherwise; the first that matches counts. What it does not say is as above.
	Rules []GangRule `yaml:"rules"`
}

// GangTopology is where the members of a gang must stand to each other.
type GangTopology struct {
	// A layer of cluster.topology by its name, e.g. leaf, or a node label: all members in one domain of it, on nodes with
	// one value of the label. It switches the feature gate TopologyAwareWorkloadScheduling on. Empty: anywhere.
	Required string `yaml:"required"`
}

// GangRule treats the jobs that it matches otherwise. Without conditions it matches all.
type GangRule struct {
	// Tenant the rule is for. Empty: all.
	Tenant string `yaml:"tenant"`
	// Class the rule is for. Empty: all.
	Class string `yaml:"class"`
	// Fewest GPUs of a job the rule is for.
	MinGPUs int `yaml:"minGPUs" min:"0" max:"1000000"`
	// Most GPUs of a job the rule is for. 0: any number.
	MaxGPUs int `yaml:"maxGPUs" min:"0" max:"1000000"`
	// As above.
	Policy string `yaml:"policy" enum:"|none|pod-groups"`
	// As above. Absent: as above; {} anywhere.
	Topology *GangTopology `yaml:"topology,omitempty"`
	// As above.
	Disruption string `yaml:"disruption" enum:"|single|all"`
	// As above.
	OnLoss string `yaml:"onLoss" enum:"|wait|restart"`
}

// Values of disruption.
const (
	disruptSingle = "single"
	disruptAll    = "all"
)

// Feature gates of kube-scheduler that gangs need.
const (
	gateGangs    = "GenericWorkload"
	gateTopology = "TopologyAwareWorkloadScheduling"
)

// SetDefaults places pods one by one.
func (g *Gangs) SetDefaults() {
	*g = Gangs{Policy: plan.GangsNone, MinPods: 2, Disruption: disruptSingle}
}

// with returns the policy of the jobs that a rule matches.
func (g *Gangs) with(r *GangRule) Gangs {
	out := *g
	if r.Policy != "" {
		out.Policy = r.Policy
	}
	if r.Topology != nil {
		out.Topology = *r.Topology
	}
	if r.Disruption != "" {
		out.Disruption = r.Disruption
		out.OnLoss = "" // that of the block is for its own disruption
	}
	if r.OnLoss != "" {
		out.OnLoss = r.OnLoss
	}
	return out
}

// lost returns what becomes of the others when a member is lost.
func (g *Gangs) lost() string {
	switch {
	case g.OnLoss != "":
		return g.OnLoss
	case g.Disruption == disruptAll:
		return plan.LossRestart
	}
	return plan.LossWait
}

// each calls fn for the block's own policy and for those of its rules, with their paths.
func (g *Gangs) each(fn func(path string, p Gangs)) {
	fn("workload.gangs", *g)
	for i := range g.Rules {
		fn(fmt.Sprintf("workload.gangs.rules[%d]", i), g.with(&g.Rules[i]))
	}
}

// gates returns the feature gates that gangs need, and the field that asks for each.
func (g *Gangs) gates() map[string]string {
	out := map[string]string{}
	g.each(func(path string, p Gangs) {
		if p.Policy != plan.GangsPodGroups {
			return
		}
		if out[gateGangs] == "" {
			out[gateGangs] = path + ".policy"
		}
		if p.Topology.Required != "" && out[gateTopology] == "" {
			out[gateTopology] = path + ".topology"
		}
	})
	return out
}

func (s *Scenario) checkGangs() {
	p := s.doc.Problemf
	g := &s.Workload.Gangs
	g.each(func(path string, q Gangs) {
		said := s.doc.Has(path+".disruption") || s.doc.Has(path+".onLoss")
		if said && s.Workload.As != plan.AsJob && q.Disruption == disruptAll && q.OnLoss == plan.LossWait {
			p(path, "%s: with disruption: all the scheduler takes the whole gang, so that nobody is left to wait; "+
				"write onLoss: restart, or leave it out", path)
		}
		if key := q.Topology.Required; key != "" && s.doc.Has(path+".topology.required") && s.doc.Has("cluster") {
			if _, ok := s.topologyKey(key); !ok {
				p(path+".topology.required", "%s.topology.required: no node has the label %q, and no layer is called so; %s",
					path, key, strict.Suggest(key, s.topologyKeys()))
			}
		}
	})
	for i, r := range g.Rules {
		if r.MaxGPUs > 0 && r.MaxGPUs < r.MinGPUs {
			p(fmt.Sprintf("workload.gangs.rules[%d].maxGPUs", i),
				"workload.gangs.rules[%d].maxGPUs: %d is below minGPUs %d; exchange them", i, r.MaxGPUs, r.MinGPUs)
		}
	}
	needs := g.gates()
	for _, gate := range sortedKeys(needs) {
		if on, said := s.Scheduler.FeatureGates[gate]; said && !on {
			p("scheduler.featureGates."+gate, "scheduler.featureGates.%s: false, but %s needs it; remove one of the two",
				gate, needs[gate])
		}
	}
}

// topologyKey returns the node label that a scenario means: a layer of the topology by its name, or the label itself.
// ok is false when no node has it.
func (s *Scenario) topologyKey(name string) (key string, ok bool) {
	for _, l := range s.layers() {
		if l.Name == name && len(l.Labels) > 0 {
			return l.Labels[0], true
		}
	}
	return name, slices.Contains(s.topologyKeys(), name)
}

// topologyKeys returns the labels that nodes have, and the topology's layers by name, sorted.
func (s *Scenario) topologyKeys() []string {
	keys := map[string]bool{hostnameLabel: true}
	for i := range s.Cluster.Pools {
		for key := range s.labels(&s.Cluster.Pools[i]) {
			keys[key] = true
		}
	}
	for _, l := range s.layers() {
		for _, key := range l.Labels {
			keys[l.Name], keys[key] = true, true
		}
	}
	return sortedKeys(keys)
}

// layers returns the layers of the topology with their labels; none without one, or while the scenario has mistakes.
func (s *Scenario) layers() []plan.Layer {
	if s.Cluster.Topology == nil || s.doc.Err() != nil {
		return nil
	}
	if s.places == nil {
		s.places = new(plan.Plan)
		s.planNodes(s.places)
	}
	return s.places.Topology.Layers
}

// completeGangs writes out what gangs imply.
func (s *Scenario) completeGangs() {
	needs := s.Workload.Gangs.gates()
	for _, gate := range sortedKeys(needs) {
		if s.Scheduler.FeatureGates == nil {
			s.Scheduler.FeatureGates = map[string]bool{}
		}
		s.Scheduler.FeatureGates[gate] = true
	}
	asJob := s.Workload.As == plan.AsJob
	if _, said := s.Scheduler.FeatureGates[gateJobGangs]; asJob && len(needs) > 0 && !said {
		s.Scheduler.FeatureGates[gateJobGangs] = true
	}
	if g := &s.Workload.Gangs; asJob && g.Policy != plan.GangsNone {
		g.OnLoss = plan.LossWait
	} else if g.Policy != plan.GangsNone || len(g.Rules) > 0 {
		g.OnLoss = g.lost()
	}
}

// gang returns the gang that a job's pods make, or nil.
func (j *jobs) gang(t *traces.Job, pods int) *plan.Gang {
	g := j.s.Workload.Gangs
	for i := range g.Rules {
		if r := &g.Rules[i]; r.matches(t) {
			g = g.with(r)
			break
		}
	}
	if g.Policy != plan.GangsPodGroups || pods < g.MinPods {
		return nil
	}
	key, _ := j.s.topologyKey(g.Topology.Required)
	lost := g.lost()
	if j.s.Workload.As == plan.AsJob {
		lost = plan.LossWait // the Job controller replaces the pods that are lost
	}
	return &plan.Gang{Min: pods, TopologyKey: key, DisruptAll: g.Disruption == disruptAll, OnLoss: lost}
}

// manifestGangs is the gang of the jobs that operators' objects among the manifests stand for; nil = they are none.
// Rules are for jobs of the trace.
func (s *Scenario) manifestGangs() *plan.Gang {
	g := &s.Workload.Gangs
	if g.Policy != plan.GangsPodGroups {
		return nil
	}
	key, _ := s.topologyKey(g.Topology.Required)
	all := g.Disruption == disruptAll
	lost := g.lost()
	if all {
		lost = plan.LossRestart // also beside Job objects, whose controller replaces what is lost
	}
	return &plan.Gang{Min: g.MinPods, TopologyKey: key, DisruptAll: all, OnLoss: lost}
}

func (r *GangRule) matches(t *traces.Job) bool {
	return (r.Tenant == "" || r.Tenant == t.Tenant) && (r.Class == "" || r.Class == t.Class) &&
		t.GPUs >= r.MinGPUs && (r.MaxGPUs == 0 || t.GPUs <= r.MaxGPUs)
}
