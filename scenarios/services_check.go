package scenarios

import (
	"fmt"
	"slices"
	"strings"

	"orrery/sim/model/serving"
	"orrery/sim/model/training"
	"orrery/sim/plan"
	"orrery/sim/strict"
	"orrery/sim/units"
)

// checkServices finds services that cannot be: without or with two kinds of replicas, on GPUs that no pool has, with
// models that do not fit, with stages that lead nowhere or in a circle.
func (s *Scenario) checkServices() {
	p := s.doc.Problemf
	names, objects := map[string]int{}, map[string]string{}
	for i := range s.Services {
		path := fmt.Sprintf("services[%d]", i)
		v := &s.Services[i]
		if s.doc.Has(path+".name") && !labelName.MatchString(v.Name) {
			p(path+".name", "%s.name: %q is not made of a-z, 0-9 and -, at most 63 of them; write it like chat", path, v.Name)
		}
		if first, twice := names[v.Name]; twice && v.Name != "" {
			p(path+".name", "%s.name: service %q is there twice, first as services[%d]; rename one", path, v.Name, first)
		}
		names[v.Name] = i
		if !labelName.MatchString(v.Namespace) {
			p(path+".namespace", "%s.namespace: %q is not made of a-z, 0-9 and -; write it like default", path, v.Namespace)
		}
		s.checkServed(path, v)
		s.checkGroups(path, v, objects)
		s.checkRequests(path+".requests", v.Requests)
	}
	s.checkStages(names)
	s.checkInPipeline(names)
}

// checkServed checks what a service computes.
func (s *Scenario) checkServed(path string, v *Service) {
	p := s.doc.Problemf
	if v.Engine.Preset == plan.EngineBatch {
		switch b := v.Engine.Batch; {
		case b == nil:
			p(path+".engine", "%s.engine.batch is missing: nothing says how long a batch takes; add e.g. "+
				"batch: {base: 2ms, perItem: 1ms, maxBatch: 32}", path)
		case b.Base == 0 && b.PerItem == 0 && b.PerToken == 0:
			p(path+".engine.batch", "%s.engine.batch: a batch takes no time; add base, perItem or perToken", path)
		default:
			s.checkBatch(path+".engine.batch", b)
		}
		if v.Model != "" || v.Shape != nil || v.Prefill != nil || v.Decode != nil {
			p(path, "%s: engine batch serves a classic model; remove model, shape, prefill and decode", path)
		}
		return
	}
	if v.Engine.Batch != nil {
		p(path+".engine.batch", "%s.engine.batch: only with preset batch; remove one of them", path)
	}
	if o := v.Engine.SchedulePolicy; o != nil && *o == plan.PolicyLPM && v.Engine.Preset != plan.EngineSGLang {
		p(path+".engine.schedulePolicy", "%s.engine.schedulePolicy: lpm is %s's, and the preset is %s; write fcfs, or "+
			"preset: %s", path, plan.EngineSGLang, v.Engine.Preset, plan.EngineSGLang)
	}
	switch {
	case (v.Model == "") == (v.Shape == nil):
		p(path, "%s: give exactly one of model and shape", path)
	case v.Model != "":
		if _, err := training.Lookup(v.Model); err != nil {
			p(path+".model", "%s.model: %v; or give its numbers under shape:", path, err)
		}
	default:
		s.checkShape(path+".shape", v.Shape)
	}
}

// groups lists a service's groups with their fields' names and roles.
func (v *Service) groups() (out []namedGroup) {
	for _, g := range []namedGroup{{"replicas", plan.RoleBoth, "", v.Replicas},
		{"prefill", plan.RolePrefill, "-prefill", v.Prefill}, {"decode", plan.RoleDecode, "-decode", v.Decode}} {
		if g.Replicas != nil {
			out = append(out, g)
		}
	}
	return out
}

type namedGroup struct {
	field, role, suffix string
	*Replicas
}

// object is the name of a group's object.
func (g namedGroup) object(v *Service) string {
	if g.Name != "" {
		return g.Name
	}
	return v.Name + g.suffix
}

// devices is how many units of its resource each pod asks for.
func (g namedGroup) devices() int {
	if g.PodDevices > 0 {
		return g.PodDevices
	}
	return g.Tensor * g.Pipeline / g.PodsPerReplica
}

func (s *Scenario) checkGroups(path string, v *Service, objects map[string]string) {
	p := s.doc.Problemf
	if (v.Replicas == nil) == (v.Prefill == nil && v.Decode == nil) {
		p(path, "%s: give either replicas, or prefill and decode", path)
		return
	}
	if v.Replicas == nil && (v.Prefill == nil || v.Decode == nil) {
		p(path, "%s: prefill and decode need each other; add the one that is missing, or write replicas", path)
	}
	for _, g := range v.groups() {
		at := path + "." + g.field
		key := g.Kind + " " + v.Namespace + "/" + g.object(v)
		if other, twice := objects[key]; twice {
			p(at, "%s: %s is also that of %s; set another name", at, key, other)
		}
		objects[key] = at
		if !labelName.MatchString(g.object(v)) {
			p(at+".name", "%s.name: %q is not made of a-z, 0-9 and -, at most 63 of them; write it like chat", at, g.object(v))
		}
		s.checkGroup(at, v, g)
	}
}

// checkGroup checks what the pods of a group ask for, and that some pool's GPUs hold the model.
func (s *Scenario) checkGroup(at string, v *Service, g namedGroup) {
	p := s.doc.Problemf
	for _, key := range sortedKeys(g.NodeSelector) {
		if !isKey(key) || !labelValues.MatchString(g.NodeSelector[key]) {
			p(at+".nodeSelector", "%s.nodeSelector: %s=%q is no label; write it like example.com/name: value", at, key,
				g.NodeSelector[key])
		}
	}
	gpus := g.Tensor * g.Pipeline
	switch {
	case g.PodsPerReplica > 1 && g.Kind != plan.KindLeaderWorkerSet:
		p(at+".podsPerReplica", "%s.podsPerReplica: only with kind: LeaderWorkerSet; add that or remove it", at)
		return
	case gpus%g.PodsPerReplica != 0:
		p(at+".podsPerReplica", "%s.podsPerReplica: tensor %d × pipeline %d is %d GPUs, which %d pods cannot share evenly; "+
			"change one of them", at, g.Tensor, g.Pipeline, gpus, g.PodsPerReplica)
		return
	case g.GPU != "":
		if _, err := s.catalog.Lookup(g.GPU); err != nil {
			p(at+".gpu", "%s.gpu: %v; or add it in a file under catalog:", at, err)
			return
		}
	}
	spread := func(field string, x *Spread) {
		if x != nil && (x.Low > x.Mode || x.High != 0 && x.High < x.Mode) {
			p(at+".start."+field, "%s.start.%s: want low ≤ mode ≤ high", at, field)
		}
	}
	spread("engine", g.Start.Engine)
	if s.doc.Err() != nil && !s.fitsToSay() {
		return
	}
	s.checkFit(at, v, g)
}

// fitsToSay reports whether the cluster is described well enough to ask what fits where.
func (s *Scenario) fitsToSay() bool { return s.doc.Has("cluster") && len(s.Cluster.Pools) > 0 }

// checkFit holds that some pool offers what a group's pods ask for, and that the model fits its devices.
func (s *Scenario) checkFit(at string, v *Service, g namedGroup) {
	p := s.doc.Problemf
	homes := s.homes(g)
	if len(homes) == 0 {
		resource, offered := s.groupResource(g), s.offered()
		if resource == "" {
			switch {
			case v.Engine.Preset == plan.EngineBatch:
			case len(offered) == 0:
				p(at, "%s: no pool offers GPUs; give one a gpu, or a node type with some", at)
			default:
				p(at, "%s.resource is missing: the pools offer %s; name one", at, strings.Join(offered, " and "))
			}
			return
		}
		what := resource
		if g.GPU != "" {
			what += " of " + g.GPU
		}
		remedy := strict.Suggest(resource, offered)
		if contains(offered, resource) { // but not of that GPU
			remedy = "want one of: " + strings.Join(s.poolGPUs(), ", ")
		}
		p(at, "%s: no pool offers %s; %s", at, what, remedy)
		return
	}
	if !s.checkDevices(at, v, g, homes) {
		return
	}
	var first error
	for _, h := range homes {
		if v.Engine.Preset == plan.EngineBatch {
			if err := batchFits(v.Engine.Batch, g, h); err == nil {
				return
			} else if first == nil {
				first = err
			}
			continue
		}
		spec, err := s.replicaSpec(v, g, h)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		if _, err = serving.FitOf(spec); err == nil {
			return
		}
		if first == nil {
			first = err
		}
	}
	if first != nil {
		p(at, "%s: %v", at, first)
	}
}

// poolGPUs lists the GPUs that pools have.
func (s *Scenario) poolGPUs() []string {
	keys := map[string]bool{}
	for i := range s.Cluster.Pools {
		if gpu, err := s.catalog.Lookup(s.Cluster.Pools[i].GPU); s.Cluster.Pools[i].GPU != "" && err == nil {
			keys[gpu.Key] = true
		}
	}
	return sortedKeys(keys)
}

// checkDevices holds that a replica has as many devices as its model is spread over, and that one node has those of a
// pod.
func (s *Scenario) checkDevices(at string, v *Service, g namedGroup, homes []home) bool {
	p := s.doc.Problemf
	need := g.Tensor * g.Pipeline
	if v.Engine.Preset != plan.EngineBatch && g.PodDevices > 0 && g.PodDevices*g.PodsPerReplica < need {
		p(at+".resourceCount", "%s.resourceCount: a replica has %d × %d GPUs, and tensor %d × pipeline %d need %d; write "+
			"%d, or remove it", at, g.PodsPerReplica, g.PodDevices, g.Tensor, g.Pipeline, need,
			(need+g.PodsPerReplica-1)/g.PodsPerReplica)
		return false
	}
	if v.Engine.Preset != plan.EngineBatch && !s.checkSpread(at, g, homes) {
		return false
	}
	most := 0
	for _, h := range homes {
		pool := s.planPool(h.pool)
		if h.unit != "" || pool.SlotsPerGPU < 1 {
			return true // as many instances as the layout has, which may change
		}
		most = max(most, pool.GPUsPerNode*pool.SlotsPerGPU)
	}
	if n := g.devices(); n > most {
		p(at, "%s: each pod asks for %d %s, and no node has more than %d; write less tensor or pipeline, or "+
			"kind: LeaderWorkerSet with podsPerReplica: %d", at, n, s.groupResource(g), most,
			g.PodsPerReplica*((n+most-1)/most))
		return false
	}
	return true
}

// checkSpread holds that somebody has said over how many GPUs a replica is spread when its pods, in the user's own
// manifest, ask for several: a server that computes on one of four is paid for four times.
func (s *Scenario) checkSpread(at string, g namedGroup, homes []home) bool {
	need, has := g.Tensor*g.Pipeline, g.PodDevices*g.PodsPerReplica
	whole := func(h home) bool { return h.unit == "" && h.share == units.GPU }
	if !g.FromManifest || has <= need || !slices.ContainsFunc(homes, whole) {
		return true
	}
	if s.doc.Has(at+".tensor") || s.doc.Has(at+".pipeline") {
		text := fmt.Sprintf("%s: a replica has %d GPUs and computes on tensor %d × pipeline %d; the rest is idle", at, has,
			g.Tensor, g.Pipeline)
		s.notes = append(s.notes, plan.Warning{Code: WarnIdleDevices, Count: 1, Message: text})
		return true
	}
	s.doc.Problemf(at, "%s.tensor is missing: a replica's pods ask for %d GPUs, and neither the scenario nor a flag of "+
		"the server says over how many it is spread; write tensor: %d (with tensor: 1 the others are idle)", at, has, has)
	return false
}

// batchFits returns an error when a classic model does not fit the devices of a pod.
func batchFits(b *BatchModel, g namedGroup, h home) error {
	have := float64(float64(g.devices()) * h.device.MemoryMiB / 1024)
	if b != nil && h.device.MemoryMiB > 0 && b.MemoryGiB > have {
		return fmt.Errorf("the model takes %.1f GiB, and %d × %s have %.1f GiB: %.1f GiB too little", b.MemoryGiB,
			g.devices(), h.device.GPU, have, b.MemoryGiB-have)
	}
	return nil
}

// checkStages checks the stages of every pipeline.
func (s *Scenario) checkStages(names map[string]int) {
	p := s.doc.Problemf
	for i := range s.Services {
		v := &s.Services[i]
		for _, list := range []struct {
			field  string
			stages []Stage
		}{{"before", v.Before}, {"after", v.After}} {
			for j := range list.stages {
				at := fmt.Sprintf("services[%d].%s[%d]", i, list.field, j)
				stage := &list.stages[j]
				switch target, ok := names[stage.Service]; {
				case stage.Service == "" && stage.Median == 0:
					p(at, "%s: it takes no time; add service, or median and p99", at)
				case stage.Service == "" && stage.P99 < stage.Median:
					p(at+".p99", "%s.p99: want at least the median, %s", at, stage.Median)
				case stage.Service != "" && stage.Median > 0:
					p(at, "%s: a stage is a service or has a time of its own; remove service or median and p99", at)
				case stage.Service != "" && !ok:
					p(at+".service", "%s.service: there is no service %q; %s", at, stage.Service,
						strict.Suggest(stage.Service, sortedKeys(names)))
				case stage.Service != "" && target == i:
					p(at+".service", "%s.service: a service cannot be a stage of itself; name another", at)
				case stage.Service != "" && len(s.Services[target].Before)+len(s.Services[target].After) > 0:
					p(at+".service", "%s.service: %q has stages of its own, which would not be passed; list them here instead", at,
						stage.Service)
				}
				if stage.Hit+stage.Reject > 1 {
					p(at, "%s: hit and reject together are more than 1; write less", at)
				}
			}
		}
	}
}

// checkInPipeline holds that every service gets requests from somewhere.
func (s *Scenario) checkInPipeline(names map[string]int) {
	used := map[string]bool{}
	for i := range s.Services {
		for _, list := range [][]Stage{s.Services[i].Before, s.Services[i].After} {
			for j := range list {
				used[list[j].Service] = true
			}
		}
	}
	for i := range s.Services {
		if v := &s.Services[i]; v.Requests == nil && !used[v.Name] {
			s.doc.Problemf(fmt.Sprintf("services[%d]", i), "services[%d]: nobody asks %q anything; add requests, or make it a "+
				"stage of another service", i, v.Name)
		}
	}
}

// checkElastic checks pools whose nodes come and go.
func (s *Scenario) checkElastic(path string, pool *Pool) {
	p := s.doc.Problemf
	e := pool.Elastic
	if e == nil {
		if pool.Nodes == 0 && s.doc.Has(path+".nodes") {
			p(path+".nodes", "%s.nodes: 0 nodes for ever; write at least 1, or add elastic", path)
		}
		return
	}
	at := path + ".elastic"
	if pool.InstanceType == "" {
		p(path, "%s.instanceType is missing: a cloud sells machines by their type; add e.g. instanceType: p5.48xlarge", path)
	}
	if e.By == plan.ByKarpenter && (e.Min > 0 || e.Max > 0) {
		p(at, "%s: min and max are the Cluster Autoscaler's; Karpenter has limits in its NodePools", at)
	}
	if e.By == plan.ByClusterAutoscaler && e.Max < max(e.Min, pool.Nodes, 1) {
		p(at+".max", "%s.max: want at least 1, min %d and nodes %d", at, e.Min, pool.Nodes)
	}
	for i, o := range e.StockOuts {
		if o.From >= o.To {
			p(fmt.Sprintf("%s.stockOuts[%d]", at, i), "%s.stockOuts[%d]: to must be after from", at, i)
		}
	}
	if e.CapacityType == plan.CapacitySpot && s.Pricing.Basis == BasisOwned {
		p(at+".capacityType", "%s.capacityType: with pricing.basis owned there is no spot price; choose another", at)
	}
	if pool.Driver == plan.DriverDRA || pool.Sharing.Strategy == plan.SharingFraction || len(pool.Repartition) > 0 {
		p(at, "%s: pools with driver dra, sharing fraction or repartition cannot be elastic; remove one", at)
	}
}

// checkExpander checks how the Cluster Autoscaler chooses among node groups.
func (s *Scenario) checkExpander() {
	const at = "autoscaling.clusterAutoscaler.expander"
	for name := range strings.SplitSeq(s.Autoscaling.ClusterAutoscaler.Expander, ",") {
		if !slices.Contains(plan.Expanders, name) {
			s.doc.Problemf(at, "%s: there is no expander %q; %s", at, name, strict.Suggest(name, plan.Expanders))
		}
	}
}
