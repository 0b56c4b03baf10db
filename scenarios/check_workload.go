package scenarios

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"orrery/sim/plan"
	"orrery/sim/strict"
)

// checkSharing finds ways of sharing under which a pod's request would not say what it asks for.
func (s *Scenario) checkSharing() {
	p := s.doc.Problemf
	anyShared, anyWhole, anyMIG := false, false, false
	first := map[string]int{} // base resource → index of the first shared pool
	for i := range s.Cluster.Pools {
		pool := &s.Cluster.Pools[i]
		base := s.baseResource(pool)
		if base == "" {
			continue
		}
		anyWhole = anyWhole || s.offersWhole(pool)
		anyMIG = anyMIG || pool.Sharing.MIG != nil
		anyShared = anyShared || pool.Sharing.replicated()
		path := fmt.Sprintf("cluster.pools[%d].sharing", i)
		if pool.Sharing.replicated() {
			if j, ok := first[base]; ok && s.Cluster.Pools[j].Sharing != pool.Sharing {
				p(path, "%s: differs from that of pool %q, so that a request for %s would mean different shares; "+
					"make them equal", path, s.Cluster.Pools[j].Name, base)
				continue
			}
			first[base] = i
		}
		s.checkNames(path, pool, base)
	}
	switch fractions := s.Workload.Fractions; {
	case fractions == FractionsTimeSlice && !anyShared:
		p("workload.fractions", "workload.fractions: time-slice needs a pool with sharing: {strategy: time-slicing, "+
			"replicas: n}; add it or write whole")
	case fractions == FractionsMIG && !anyMIG && s.Workload.Request != RequestClaim:
		p("workload.fractions", "workload.fractions: mig needs a pool with sharing: {strategy: mig, mig: {config: "+
			"all-balanced}}, or request: claim and a pool with driver: dra; add them or write whole")
	case fractions == FractionsWhole && anyShared && anyWhole && len(s.Services) == 0: // services may be meant for them
		p("workload.fractions",
			"workload.fractions: whole leaves the time-sliced pools without jobs; write time-slice, "+
				"or remove their sharing")
	}
	s.checkResources()
}

// checkNames reports a pool whose parts of GPUs have the name of another pool's whole ones.
func (s *Scenario) checkNames(path string, pool *Pool, base string) {
	single := pool.Sharing.MIG != nil && pool.Sharing.MIG.Strategy == migSingle && !s.offersWhole(pool)
	if !single && (!pool.Sharing.replicated() || pool.Sharing.Rename) {
		return
	}
	instead := "add rename: true"
	if single {
		instead = "write mig.strategy: mixed"
	}
	for j := range s.Cluster.Pools {
		whole := &s.Cluster.Pools[j]
		if whole != pool && s.offersWhole(whole) && s.baseResource(whole) == base {
			s.doc.Problemf(path,
				"%s: pool %q offers whole GPUs as %s too, so that a request would not say which; %s",
				path, whole.Name, base, instead)
			return
		}
	}
}

// offersWhole says whether a pool offers whole GPUs at first.
func (s *Scenario) offersWhole(pool *Pool) bool {
	if m, ok := s.migOf(pool); ok {
		return len(m.instances) < pool.GPUsPerNode && m.invalid() == ""
	}
	return pool.GPU != "" && pool.Sharing.Strategy == plan.SharingNone
}

// checkResources checks that somebody offers what the rules of workload.resources ask for.
func (s *Scenario) checkResources() {
	if len(s.Workload.Resources) == 0 {
		return
	}
	_, capacity := s.offers()
	for i, rule := range s.Workload.Resources {
		if _, ok := capacity[rule.Resource]; !ok && rule.Resource != "" {
			path := fmt.Sprintf("workload.resources[%d].resource", i)
			s.doc.Problemf(path, "%s: no pool offers %q; %s", path, rule.Resource, strict.Suggest(rule.Resource,
				sortedKeys(capacity)))
		}
	}
}

// checkFractions holds that either all GPUs are shared by annotation and all jobs ask that way, or none.
func (s *Scenario) checkFractions() {
	p := s.doc.Problemf
	annotate := s.Workload.Fractions == FractionsAnnotate
	any := false
	for i := range s.Cluster.Pools {
		pool := &s.Cluster.Pools[i]
		path := fmt.Sprintf("cluster.pools[%d].sharing", i)
		fraction := pool.Sharing.Strategy == plan.SharingFraction
		any = any || fraction
		switch {
		case pool.GPU == "":
		case annotate && !fraction:
			p(path, "%s: jobs ask by annotation (workload.fractions: annotate), which pool %q does not heed; "+
				"write strategy: fraction", path, pool.Name)
		case fraction && !annotate:
			p(path, "%s: strategy fraction is for jobs that ask by annotation; add workload.fractions: annotate", path)
		}
	}
	if annotate && !any {
		p("workload.fractions", "workload.fractions: annotate needs a pool with sharing: {strategy: fraction}")
	}
	if t := s.Workload.TypicalPods; t != nil {
		ns, name, ok := strings.Cut(t.ConfigMap, "/")
		if !ok || !dnsNames.MatchString(ns) || !dnsNames.MatchString(name) {
			p("workload.typicalPods.configMap", "workload.typicalPods.configMap: %q is not NAMESPACE/NAME; "+
				"write e.g. kube-system/typical-pods", t.ConfigMap)
		}
	}
}

// baseResource is the extended resource of a pool's GPUs before renaming; "" without GPUs.
func (s *Scenario) baseResource(pool *Pool) string {
	if pool.GPU == "" {
		return ""
	}
	gpu, err := s.catalog.Lookup(pool.GPU)
	if err != nil {
		return ""
	}
	return gpu.Resource
}

// baseResources returns the resources of all pools, sorted.
func (s *Scenario) baseResources() []string {
	set := map[string]bool{}
	for i := range s.Cluster.Pools {
		if base := s.baseResource(&s.Cluster.Pools[i]); base != "" {
			set[base] = true
		}
	}
	return sortedKeys(set)
}

func (s *Scenario) checkWorkload() {
	p := s.doc.Problemf
	w := &s.Workload
	if most := s.gpusPerNodeMax(); most > 0 && w.MaxGPUsPerPod > most {
		p("workload.maxGPUsPerPod", "workload.maxGPUsPerPod: %d is more than any node has; write at most %d",
			w.MaxGPUsPerPod, most)
	}
	bases := s.baseResources()
	switch {
	case w.Resource == "" && len(bases) > 1 && w.Request == RequestResource:
		p("workload",
			"workload.resource is missing: the pools offer %s, and a job without GPU model could ask for any; "+
				"add e.g. resource: %s", strings.Join(bases, " and "), bases[0])
	case w.Resource != "" && len(bases) > 0 && !contains(bases, w.Resource):
		p("workload.resource", "workload.resource: no pool offers %q; %s", w.Resource, strict.Suggest(w.Resource,
			bases))
	}
	s.checkModelLabel()
	s.checkClaims()
	for i, t := range w.Tolerations {
		at := fmt.Sprintf("workload.tolerations[%d]", i)
		switch {
		case t.Key == "" && t.Operator != "Exists":
			p(at, "%s: without a key the operator must be Exists; add key, or operator: Exists", at)
		case t.Operator == "Exists" && t.Value != "":
			p(at+".value", "%s.value: the operator Exists takes no value; remove it", at)
		case t.Key != "" && !isKey(t.Key):
			p(at+".key", "%s.key: %q is not a taint key; write it like example.com/name", at, t.Key)
		case t.Seconds != nil && t.Effect != "NoExecute":
			p(at+".tolerationSeconds", "%s.tolerationSeconds: only with effect: NoExecute; remove it", at)
		}
	}
	r := w.Restart
	switch {
	case r.Lost == LostCheckpoint && r.CheckpointInterval == 0:
		p("workload.restart", "workload.restart: lost: checkpoint needs a checkpointInterval above 0s; add e.g. 30m")
	case r.Lost == LostAll && r.CheckpointInterval != 0:
		p("workload.restart.checkpointInterval",
			"workload.restart.checkpointInterval: without lost: checkpoint it means "+
				"nothing; add that or remove it")
	case r.Policy == plan.RestartNever && r.Lost == LostCheckpoint:
		p("workload.restart.lost", "workload.restart.lost: with policy never nothing is restarted; remove it")
	}
}

func (s *Scenario) checkModelLabel() {
	p := s.doc.Problemf
	key := s.Workload.GPUModelLabel
	switch {
	case key == "":
		return
	case s.Workload.GPUModels == ModelsIgnore:
		p("workload.gpuModelLabel", "workload.gpuModelLabel: with gpuModels: ignore it means nothing; remove one")
	case !isKey(key):
		p("workload.gpuModelLabel", "workload.gpuModelLabel: %q is not a label key; write it like example.com/name",
			key)
	default:
		for i := range s.Cluster.Pools {
			pool := &s.Cluster.Pools[i]
			if pool.GPU != "" && s.labels(pool)[key] == "" {
				p(fmt.Sprintf("cluster.pools[%d]", i),
					"cluster.pools[%d]: the label %s of workload.gpuModelLabel is missing; "+
						"add it under labels", i, key)
			}
		}
	}
}

// gpusPerNodeMax is the largest number of GPUs of a node.
func (s *Scenario) gpusPerNodeMax() int {
	most := 0
	for _, pool := range s.Cluster.Pools {
		most = max(most, pool.GPUsPerNode)
	}
	return most
}

func (s *Scenario) checkSubmit() {
	p := s.doc.Problemf
	sub := s.Workload.Submit
	if sub.Mode == SubmitSequential {
		if sub.Interval == 0 {
			p("workload.submit.interval", "workload.submit.interval: 0s would submit all jobs at once; write e.g. 1s")
		}
		if sub.FillTo > 0 && s.doc.Has("cluster") && s.gpusPerNodeMax() == 0 {
			p("workload.submit.fillTo", "workload.submit.fillTo: the cluster has no GPUs to fill; remove it")
		}
		return
	}
	for _, f := range []string{"interval", "fillTo", "shuffle"} {
		path := "workload.submit." + f
		if f == "interval" && sub.Interval == defaultInterval || f == "fillTo" && sub.FillTo == 0 ||
			f == "shuffle" && !sub.Shuffle {
			continue // as in a resolved scenario, where defaults are written out
		}
		if s.doc.Has(path) {
			p(path, "%s: only with mode: sequential; add that or remove it", path)
		}
	}
}

// object is what any Kubernetes object says of itself.
type object struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Profiles []struct {
		SchedulerName string `yaml:"schedulerName"`
	} `yaml:"profiles"`
	Items []object `yaml:"items"`
}

// objects reads the documents of a file of the user as far as names are needed here; the parts that use the file read
// it in full.
func objects(f File) ([]object, error) {
	var list []object
	dec := yaml.NewDecoder(strings.NewReader(f.Text))
	for {
		var o object
		err := decodeObject(dec, &o)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		list = append(append(list, o), o.Items...)
	}
}

func decodeObject(dec *yaml.Decoder, o *object) (err error) {
	defer func() {
		if r := recover(); r != nil { // yaml.v3 panics on a few broken inputs
			err = fmt.Errorf("yaml: line 1: %v", r)
		}
	}()
	return dec.Decode(o)
}

// checkProfiles checks the scheduler's configuration as far as names go, and that every profile that jobs use exists.
func (s *Scenario) checkProfiles() {
	profiles := []string{DefaultProfile}
	if f := s.Scheduler.Config; f != nil && f.Text != "" {
		profiles = s.profiles(f)
	}
	if profiles == nil {
		return // reported already
	}
	check := func(path, name string) {
		if name != "" && !contains(profiles, name) {
			s.doc.Problemf(path, "%s: no profile of the scheduler is called %q; %s", path, name, strict.Suggest(name,
				profiles))
		}
	}
	check("workload.schedulerName", s.Workload.SchedulerName)
	for i, rule := range s.Workload.SchedulerNames {
		check(fmt.Sprintf("workload.schedulerNames[%d].profile", i), rule.Profile)
	}
}

// profiles returns the profile names of a scheduler configuration, or nil after reporting a problem.
func (s *Scenario) profiles(f *File) []string {
	list, err := objects(*f)
	if err != nil {
		s.foreign(fileError(*f, err))
		return nil
	}
	if len(list) != 1 || list[0].Kind != "KubeSchedulerConfiguration" {
		s.doc.Foreign(fmt.Sprintf("%s:1: this is not one KubeSchedulerConfiguration; begin it with "+
			"apiVersion: kubescheduler.config.k8s.io/v1 and kind: KubeSchedulerConfiguration", f.Name))
		return nil
	}
	var names []string
	for _, profile := range list[0].Profiles {
		if profile.SchedulerName == "" {
			profile.SchedulerName = DefaultProfile
		}
		names = append(names, profile.SchedulerName)
	}
	if len(names) == 0 {
		names = []string{DefaultProfile}
	}
	return names
}

// fileError gives an error of the YAML parser the place of the file.
func fileError(f File, err error) error {
	line, text := strict.SplitError(err)
	return fmt.Errorf("%s:%d: %s; correct the file", f.Name, line, strings.Join(strings.Fields(text), " "))
}

// builtinClasses are the PriorityClasses every cluster has.
var builtinClasses = []string{"system-cluster-critical", "system-node-critical"}

// checkPriorities checks that every PriorityClass that jobs use is in the manifests.
func (s *Scenario) checkPriorities() {
	classes, ok := s.priorityClasses()
	if !ok {
		return
	}
	for _, m := range []struct {
		path    string
		classes map[string]string
	}{{"workload.priority", s.Workload.Priority}, {"workload.classPriority", s.Workload.ClassPriority}} {
		for _, key := range sortedKeys(m.classes) {
			path := m.path
			at := path + "." + key
			if strings.ContainsAny(key, ".[]\"") {
				at = fmt.Sprintf("%s[%q]", path, key)
			}
			if class := m.classes[key]; class != "" && !contains(classes, class) {
				s.doc.Problemf(at, "%s: no PriorityClass %q is in the manifests; %s", at, class, strict.Suggest(class,
					classes))
			}
		}
	}
}

// priorityClasses returns the names of all PriorityClasses, sorted; ok is false when a manifest is not readable.
func (s *Scenario) priorityClasses() (classes []string, ok bool) {
	set := map[string]bool{}
	for _, name := range builtinClasses {
		set[name] = true
	}
	ok = true
	for _, f := range s.Manifests {
		list, err := objects(f)
		if err != nil {
			s.foreign(fileError(f, err))
			ok = false
			continue
		}
		for _, o := range list {
			if o.Kind == "PriorityClass" && o.Metadata.Name != "" {
				set[o.Metadata.Name] = true
			}
		}
	}
	return sortedKeys(set), ok
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
