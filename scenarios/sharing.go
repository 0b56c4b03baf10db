package scenarios

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"orrery/sim/plan"
	"orrery/sim/strict"
)

// Sharing is how the device plugin offers GPUs.
type Sharing struct {
	// none: whole GPUs. time-slicing: every GPU is offered as several replicas that take turns. mps: as several replicas
	// that run at once, each with an equal part of memory and threads. mig: GPUs are divided into MIG instances.
	// fraction: pods ask for any part of a GPU by annotation, and a scheduler plugin such as GPUShare picks the GPUs (see
	// workload.fractions: annotate).
	Strategy string `yaml:"strategy" enum:"none|time-slicing|mps|mig|fraction"`
	// Replicas of each GPU, with time-slicing or mps; at most 48 with mps.
	Replicas int `yaml:"replicas" min:"1" max:"100"`
	// Offer replicas as a resource of their own, nvidia.com/gpu.shared, as the NVIDIA device plugin's
	// renameByDefault does.
	Rename bool `yaml:"rename"`
	// Refuse pods that ask for more than one replica, as the NVIDIA device plugin does when told to; with mps it always
	// does. Such a pod is bound, and fails with UnexpectedAdmissionError.
	FailRequestsGreaterThanOne bool `yaml:"failRequestsGreaterThanOne,omitempty"`
	// How GPUs are divided, with strategy mig.
	MIG *MIG `yaml:"mig,omitempty"`
}

// SetDefaults offers whole GPUs.
func (s *Sharing) SetDefaults() { *s = Sharing{Strategy: plan.SharingNone, Replicas: 1} }

// replicated says whether whole GPUs are offered as replicas.
func (s *Sharing) replicated() bool {
	return s.Strategy == plan.SharingTimeSlicing || s.Strategy == plan.SharingMPS
}

// MIG is how the GPUs of a node are divided into MIG instances: exactly one of config and layouts.
type MIG struct {
	// How the device plugin offers instances. mixed: as nvidia.com/mig-<profile>, with . for +, as in
	// nvidia.com/mig-1g.10gb.me, and GPUs that are not divided as nvidia.com/gpu. single: as nvidia.com/gpu; all GPUs must
	// be divided, and all instances must have one profile.
	Strategy string `yaml:"strategy" enum:"single|mixed"`
	// A configuration of NVIDIA's mig-parted by name: all-disabled, all-enabled, all-balanced, or all-<profile> with . for
	// +, e.g. all-1g.10gb.
	Config string `yaml:"config,omitempty"`
	// Divisions of single GPUs. A GPU that none names is not divided.
	Layouts []MIGLayout `yaml:"layouts,omitempty"`
	// Replicas of each instance, by profile: time-slicing on top of MIG.
	TimeSlicing map[string]int `yaml:"timeSlicing,omitempty"`
}

// SetDefaults offers instances by profile.
func (m *MIG) SetDefaults() { m.Strategy = migMixed }

// MIGLayout is a division of one or more GPUs of a node: exactly one of config, profiles and placements.
type MIGLayout struct {
	// The GPUs: all, an index, a range like 0-3, or a list of indices.
	GPUs GPUSet `yaml:"gpus"`
	// As above, for these GPUs.
	Config string `yaml:"config,omitempty"`
	// Instances by profile, e.g. {1g.10gb: 2, 3g.40gb: 1}. Where each is placed is the driver's choice, as with
	// mig-parted. {}: MIG mode without instances.
	Profiles map[string]int `yaml:"profiles,omitempty"`
	// Instances by profile and place.
	Placements []MIGPlacement `yaml:"placements,omitempty"`
}

// MIGPlacement is one MIG instance at a place.
type MIGPlacement struct {
	// Profile, e.g. 3g.40gb.
	Profile string `yaml:"profile" required:"true" min:"1"`
	// First memory slice.
	Start int `yaml:"start" required:"true" min:"0" max:"63"`
}

// Repartition is a new division of GPUs by the GPU operator's MIG manager: the label nvidia.com/mig.config of the nodes
// changes, the device plugin stops, the GPUs are divided anew, and the device plugin offers what there is then. Exactly
// one of config and layouts.
type Repartition struct {
	// When, since time zero.
	At Duration `yaml:"at" required:"true"`
	// As in sharing.mig.
	Config string `yaml:"config,omitempty"`
	// As in sharing.mig.
	Layouts []MIGLayout `yaml:"layouts,omitempty"`
	// How many of the pool's nodes, the first ones. 0: all.
	Nodes int `yaml:"nodes" min:"0" max:"200000"`
	// Cordon a node first, evict its pods as PodDisruptionBudgets allow, and uncordon it afterwards. The MIG manager
	// does not do that itself: without, a node whose GPUs are in use fails and keeps its division.
	Drain bool `yaml:"drain"`
	// How long the GPUs of a node are out of service. An assumption: nobody has published measurements.
	Apply Duration `yaml:"apply"`
	// Reboot the node, as the MIG manager does on clouds that need it.
	Reboot bool `yaml:"reboot"`
	// How long a reboot takes on top. An assumption, too.
	RebootTime Duration `yaml:"rebootTime"`
}

// SetDefaults takes assumptions of confidence low: the MIG manager needs 30 s to 5 min from end to end (one operations
// note of an OpenShift cluster says 3 to 5 min), and a reboot 5 to 10 min.
func (r *Repartition) SetDefaults() {
	r.Apply, r.RebootTime = Duration(2*time.Minute), Duration(7*time.Minute+30*time.Second)
}

// ResourceRule gives the jobs that it matches an extended resource. Without tenant and class it matches all with GPUs.
type ResourceRule struct {
	// Tenant the rule is for. Empty: all.
	Tenant string `yaml:"tenant"`
	// Class the rule is for. Empty: all.
	Class string `yaml:"class"`
	// Extended resource that each pod with GPUs asks for, e.g. nvidia.com/mig-1g.10gb.
	Resource string `yaml:"resource" required:"true" min:"1"`
	// How much of it each pod asks for. 0: as much as the pod has GPUs.
	Count int `yaml:"count" min:"0" max:"1024"`
}

// SetDefaults asks for one.
func (r *ResourceRule) SetDefaults() { r.Count = 1 }

// Strategies of the device plugin for MIG.
const (
	migSingle = "single"
	migMixed  = "mixed"
)

// mpsClientsMax is the largest number of clients of one MPS server (NVIDIA MPS documentation, Volta and later; the MIG
// user guide repeats it).
const mpsClientsMax = 48

// GPUSet is a set of GPUs of a node by index; the zero value is all of them.
type GPUSet struct {
	indices []int // ascending; nil = all
	bad     bool  // reported already
}

// DecodeNode reads all, an index, a range or a list of indices.
func (g *GPUSet) DecodeNode(d *strict.Doc, n *yaml.Node, path string) {
	*g = GPUSet{indices: []int{}, bad: true}
	if n.Kind == yaml.SequenceNode {
		d.DecodeAt(n, path, &g.indices)
		slices.Sort(g.indices)
		g.bad = false
		return
	}
	if n.Kind != yaml.ScalarNode {
		d.Problemf(path, "%s: want all, an index, a range like 0-3, or a list of indices", path)
		return
	}
	if n.Value == "all" {
		*g = GPUSet{}
		return
	}
	from, to, isRange := strings.Cut(n.Value, "-")
	if !isRange {
		to = from
	}
	first, err1 := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	if err1 != nil || err2 != nil || first < 0 || last < first || last >= gpusMax {
		d.Problemf(path, "%s: %q is not a set of GPUs; write all, an index, a range like 0-3, or a list of indices", path,
			n.Value)
		return
	}
	g.bad = false
	for i := first; i <= last; i++ {
		g.indices = append(g.indices, i)
	}
}

// gpusMax bounds the GPUs of a node, as gpusPerNode does.
const gpusMax = 1024

// MarshalYAML writes all or the list.
func (g GPUSet) MarshalYAML() (any, error) {
	if g.indices == nil {
		return "all", nil
	}
	return g.indices, nil
}

// of returns the indices that a node with n GPUs has, and the first that it has not, or -1.
func (g GPUSet) of(n int) (list []int, missing int) {
	if g.indices == nil {
		for i := range n {
			list = append(list, i)
		}
		return list, -1
	}
	missing = -1
	for _, i := range g.indices {
		if i < 0 || i >= n {
			missing = i
			continue
		}
		list = append(list, i)
	}
	return list, missing
}

// checkPoolSharing reports what is wrong with the sharing of one pool.
func (s *Scenario) checkPoolSharing(path string, pool *Pool) {
	p := s.doc.Problemf
	sh := &pool.Sharing
	nvidia := s.baseResource(pool) == nvidiaResource
	switch {
	case sh.Strategy != plan.SharingNone && pool.GPU == "":
		p(path+".sharing", "%s.sharing: there are no GPUs to share; add a gpu or remove sharing", path)
	case sh.replicated() && sh.Replicas == 1:
		p(path+".sharing", "%s.sharing: %s needs at least 2 replicas; add e.g. replicas: 4", path, sh.Strategy)
	case sh.Strategy == plan.SharingMPS && sh.Replicas > mpsClientsMax:
		p(path+".sharing.replicas", "%s.sharing.replicas: MPS has at most %d clients; write less", path, mpsClientsMax)
	case !sh.replicated() && sh.Replicas != 1:
		instead := "write strategy: time-slicing, or remove it"
		if sh.Strategy == plan.SharingMIG {
			instead = "write mig.timeSlicing: {<profile>: n}"
		}
		p(path+".sharing.replicas", "%s.sharing.replicas: %d with strategy %s; %s", path, sh.Replicas, sh.Strategy,
			instead)
	case sh.Strategy == plan.SharingFraction && (sh.Rename || sh.FailRequestsGreaterThanOne):
		p(path+".sharing", "%s.sharing: strategy fraction knows no replicas; remove rename and failRequestsGreaterThanOne",
			path)
	case sh.Strategy == plan.SharingNone && (sh.Rename || sh.FailRequestsGreaterThanOne):
		field := "rename"
		if !sh.Rename {
			field = "failRequestsGreaterThanOne"
		}
		p(path+".sharing."+field, "%s.sharing.%s: only shared GPUs are renamed or refused; write strategy: time-slicing, "+
			"or remove it", path, field)
	case (sh.Strategy == plan.SharingMPS || sh.Strategy == plan.SharingMIG) && pool.GPU != "" && !nvidia:
		p(path+".sharing.strategy", "%s.sharing.strategy: %s is NVIDIA's, and the GPU is not; write none or time-slicing",
			path, sh.Strategy)
	}
	switch {
	case sh.Strategy == plan.SharingMIG && sh.MIG == nil:
		p(path+".sharing", "%s.sharing.mig is missing; add e.g. mig: {config: all-balanced}", path)
	case sh.Strategy != plan.SharingMIG && sh.MIG != nil:
		p(path+".sharing.mig", "%s.sharing.mig: only with strategy: mig; add that or remove it (MPS and MIG exclude each "+
			"other)", path)
	case sh.Strategy != plan.SharingMIG && len(pool.Repartition) > 0:
		p(path+".repartition", "%s.repartition: only with sharing: {strategy: mig}; write that, with mig: {config: "+
			"all-disabled} for GPUs that are whole at first", path)
	case sh.MIG != nil && pool.GPU != "" && nvidia:
		s.checkMIG(path, pool)
	}
}

// checkMIG reports what is wrong with a pool's division and its changes.
func (s *Scenario) checkMIG(path string, pool *Pool) {
	p := s.doc.Problemf
	g, ok := s.geometry(pool)
	if !ok {
		p(path+".sharing.strategy", "%s.sharing.strategy: the GPU %s cannot be divided by MIG; write none, time-slicing or "+
			"mps", path, pool.GPU)
		return
	}
	m := pool.Sharing.MIG
	at := path + ".sharing.mig"
	s.divide(at, g, pool, m.Config, m.Layouts, p)
	for _, name := range sortedKeys(m.TimeSlicing) {
		switch _, ok := g.Profile(name); {
		case !ok:
			p(at+".timeSlicing", "%s.timeSlicing: the GPU has no profile %q; %s", at, name, strict.Suggest(name, g.Names()))
		case m.TimeSlicing[name] < 1 || m.TimeSlicing[name] > 100:
			p(at+".timeSlicing", "%s.timeSlicing: %d replicas of %s; write 1 to 100", at, m.TimeSlicing[name], name)
		}
	}
	last := Duration(-1)
	for i := range pool.Repartition {
		r, at := &pool.Repartition[i], fmt.Sprintf("%s.repartition[%d]", path, i)
		s.divide(at, g, pool, r.Config, r.Layouts, p)
		switch {
		case r.Nodes > pool.Nodes:
			p(at+".nodes", "%s.nodes: %d of the pool's %d; write less, or 0 for all", at, r.Nodes, pool.Nodes)
		case r.At <= last:
			p(at+".at", "%s.at: %s is not after the one before it; put them in order", at, r.At)
		}
		last = r.At + r.Apply
		if r.Reboot {
			last += r.RebootTime
		}
	}
}
