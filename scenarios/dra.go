package scenarios

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"orrery/sim/catalog"
	"orrery/sim/mig"
	"orrery/sim/plan"
	"orrery/sim/units"
	"orrery/traces"
)

// DRA is how the drivers of dynamic resource allocation of a pool's nodes behave.
type DRA struct {
	// Offer every GPU whole and in each of its MIG partitions, which are made when a pod gets them (the feature gate
	// DynamicMIG of NVIDIA's driver). On Ampere, whose MIG mode needs a reset to change, only the partitions.
	DynamicMIG bool `yaml:"dynamicMIG"`
	// How long the driver takes to prepare a pod's devices.
	Prepare Triangle `yaml:"prepare"`
	// What the making of each MIG partition adds.
	CreateMIG Triangle `yaml:"createMIG"`
	// How long the daemon of a compute domain takes on a node until pods of the domain may start there.
	DomainDaemon Triangle `yaml:"domainDaemon"`
}

// SetDefaults takes the assumed spans; nobody has published measurements.
func (d *DRA) SetDefaults() {
	span := func(low, mode, high time.Duration) Triangle {
		return Triangle{Duration(low), Duration(mode), Duration(high)}
	}
	*d = DRA{Prepare: span(200*time.Millisecond, 500*time.Millisecond, 2*time.Second),
		CreateMIG:    span(300*time.Millisecond, 500*time.Millisecond, time.Second),
		DomainDaemon: span(5*time.Second, 20*time.Second, 60*time.Second)}
}

// Triangle is a span drawn from a triangular distribution.
type Triangle struct {
	// Shortest.
	Low Duration `yaml:"low"`
	// Likeliest.
	Mode Duration `yaml:"mode"`
	// Longest.
	High Duration `yaml:"high"`
}

// Values of workload.request.
const (
	RequestResource = "resource"
	RequestClaim    = "claim"
)

// WarnAlternatives counts jobs that name more kinds of GPUs than one claim can.
const WarnAlternatives = "claim-alternatives-cut"

// alternativesMax is how many alternatives a prioritized list may have (k8s.io/api v0.37.2 resource/v1,
// FirstAvailableDeviceRequestMaxSize).
const alternativesMax = 8

// The drivers of dynamic resource allocation, whose classes of whole GPUs have their names.
var deviceDrivers = map[string]string{"nvidia": "gpu.nvidia.com", "amd": "gpu.amd.com", "intel": "gaudi.intel.com"}

// migClass is the class of MIG partitions.
const migClass = "mig.nvidia.com"

// architectures are the names that NVIDIA's driver (go-nvlib, device.go) gives to the families of the catalogue, with
// the CUDA compute capability of the family's data-centre GPUs (developer.nvidia.com/cuda-gpus, August 2026). Those
// that differ within a family are in computeCapabilities.
var architectures = map[string][2]string{"pascal": {"Pascal", "6.0.0"}, "volta": {"Volta", "7.0.0"},
	"turing": {"Turing", "7.5.0"}, "ampere": {"Ampere", "8.0.0"}, "ada-lovelace": {"Ada Lovelace", "8.9.0"},
	"hopper": {"Hopper", "9.0.0"}, "blackwell": {"Blackwell", "10.0.0"}}

var computeCapabilities = map[string]string{"a10": "8.6.0", "b300": "10.3.0", "gb300": "10.3.0",
	"rtx-pro-6000": "12.0.0"}

// deviceProduct is the productName that a driver publishes. NVIDIA's is NVML's, of which the product label has dashes
// for spaces; the form factor keeps its dashes in NVML, too.
func deviceProduct(gpu catalog.GPU) string {
	if gpu.Vendor != "nvidia" {
		return gpu.Product
	}
	name := strings.ReplaceAll(gpu.Product, "-", " ")
	for _, form := range []string{"SXM2", "SXM3", "SXM4", "SXM5"} {
		name = strings.ReplaceAll(name, " "+form+" ", "-"+form+"-")
	}
	return name
}

// planDRA is the driver of a pool in the plan.
func (s *Scenario) planDRA(pool *Pool, out *plan.Pool) {
	out.Driver = pool.Driver
	gpu, err := s.catalog.Lookup(pool.GPU)
	if pool.Driver != plan.DriverDRA || err != nil {
		return
	}
	span := func(t Triangle) plan.Spread {
		return plan.Spread{Low: units.Duration(t.Low), Mode: units.Duration(t.Mode), High: units.Duration(t.High)}
	}
	out.DRA = plan.DRA{Device: deviceDrivers[gpu.Vendor], Product: deviceProduct(gpu), DynamicMIG: pool.DRA.DynamicMIG,
		Prepare: span(pool.DRA.Prepare), CreateMIG: span(pool.DRA.CreateMIG), Daemon: span(pool.DRA.DomainDaemon)}
	if gpu.Vendor == "nvidia" {
		a := architectures[gpu.Family]
		out.DRA.Architecture, out.DRA.ComputeCapability = a[0], a[1]
		if v, ok := computeCapabilities[gpu.Key]; ok {
			out.DRA.ComputeCapability = v
		}
	}
}

// checkDRA reports what is wrong with a pool's driver.
func (s *Scenario) checkDRA(path string, pool *Pool) {
	p := s.doc.Problemf
	for name, t := range map[string]Triangle{"prepare": pool.DRA.Prepare, "createMIG": pool.DRA.CreateMIG,
		"domainDaemon": pool.DRA.DomainDaemon} {
		if t.Low < 0 || t.Low > t.Mode || t.Mode > t.High {
			at := path + ".dra." + name
			p(at, "%s: low %s, mode %s and high %s are not in this order; correct them", at, t.Low, t.Mode, t.High)
		}
	}
	if pool.Driver != plan.DriverDRA {
		if pool.DRA.DynamicMIG {
			p(path+".dra.dynamicMIG", "%s.dra.dynamicMIG: the pool's driver is the device plugin; add driver: dra", path)
		}
		return
	}
	gpu, err := s.catalog.Lookup(pool.GPU)
	if pool.GPU == "" || err != nil {
		if pool.GPU == "" {
			p(path+".driver", "%s.driver: dra without GPUs; remove it, or add gpu and gpusPerNode", path)
		}
		return
	}
	_, partitioned := mig.Lookup(gpu.Key)
	switch {
	case deviceDrivers[gpu.Vendor] == "":
		p(path+".driver", "%s.driver: no driver of dynamic resource allocation is known for %s; write device-plugin", path,
			gpu.Key)
	case pool.Sharing.Strategy != plan.SharingNone && pool.Sharing.Strategy != plan.SharingMIG,
		pool.Sharing.MIG != nil && len(pool.Sharing.MIG.TimeSlicing) > 0:
		p(path+".sharing.strategy", "%s.sharing.strategy: replicas and fractions of GPUs are not modelled with driver: dra; "+
			"write none, or mig without timeSlicing", path)
	case len(pool.Repartition) > 0:
		p(path+".repartition", "%s.repartition: not modelled with driver: dra; write dra: {dynamicMIG: true}", path)
	case pool.DRA.DynamicMIG && pool.Sharing.Strategy == plan.SharingMIG:
		p(path+".sharing.strategy", "%s.sharing.strategy: mig divides GPUs for good, and dra.dynamicMIG when a pod needs "+
			"it; remove one", path)
	case pool.DRA.DynamicMIG && !partitioned:
		p(path+".dra.dynamicMIG", "%s.dra.dynamicMIG: %s has no MIG; it is known of %s", path, gpu.Key,
			strings.Join(mig.GPUs(), ", "))
	}
}

// checkClaims reports what pods that ask by claims cannot get.
func (s *Scenario) checkClaims() {
	w := &s.Workload
	if w.Request != RequestClaim {
		return
	}
	if s.doc.Has("cluster.pools") && len(s.kinds()) == 0 {
		s.doc.Problemf("workload.request", "workload.request: claim, but no pool offers GPUs so; add driver: dra to one, or "+
			"write resource")
	}
	if len(w.Resources) > 0 {
		s.doc.Problemf("workload.resources", "workload.resources: with request: claim no job asks for an extended resource; "+
			"remove one of the two")
	}
}

// kind is a model of GPUs that pools offer by dynamic resource allocation.
type kind struct {
	gpu   catalog.GPU
	whole bool          // some pool offers whole GPUs
	mig   *mig.Geometry // some pool offers partitions
	parts []string      // profiles that can be had, in the geometry's order
}

// kinds lists the models that pools with driver dra have, in the pools' order.
func (s *Scenario) kinds() (out []kind) {
	for i := range s.Cluster.Pools {
		pool := &s.Cluster.Pools[i]
		gpu, err := s.catalog.Lookup(pool.GPU)
		if pool.Driver != plan.DriverDRA || err != nil {
			continue
		}
		at := slices.IndexFunc(out, func(k kind) bool { return k.gpu.Key == gpu.Key })
		if at < 0 {
			at = len(out)
			out = append(out, kind{gpu: gpu})
		}
		k := &out[at]
		if !pool.DRA.DynamicMIG {
			k.static(s, pool)
			continue
		}
		k.whole = k.whole || gpu.Family != "ampere"
		k.mig, _ = mig.Lookup(gpu.Key)
		if k.mig != nil {
			k.parts = k.mig.Names()
		}
	}
	return out
}

// static adds what a pool offers whose GPUs nobody divides at run time.
func (k *kind) static(s *Scenario, pool *Pool) {
	m, divided := s.migOf(pool)
	if !divided {
		k.whole = true
		return
	}
	k.whole = k.whole || len(m.instances) < pool.GPUsPerNode
	k.mig, _ = mig.Lookup(k.gpu.Key)
	have := map[string]bool{}
	for _, name := range k.parts {
		have[name] = true
	}
	for _, list := range m.instances {
		for _, i := range list {
			have[i.Profile] = true
		}
	}
	k.parts = slices.DeleteFunc(k.mig.Names(), func(name string) bool { return !have[name] })
}

// claim fills in what a pod of a job asks for by a claim for its n GPUs: the kinds of GPUs that the job names, in its
// order, else those that the cluster has.
func (j *jobs) claim(pod *plan.Pod, t *traces.Job, n int) {
	if n == 0 {
		return
	}
	c := plan.Claim{Name: "gpus"}
	if t.GPUMilli > 0 && t.GPUMilli < 1000 && j.s.Workload.Fractions == FractionsMIG {
		c.Any = j.partitions(t, n)
	}
	if len(c.Any) == 0 {
		if t.GPUMilli > 0 && t.GPUMilli < 1000 {
			j.warn(WarnShare, "jobs ask for a part of a GPU and get a whole one", 1)
		}
		c.Any = j.wholes(t, n)
	}
	if len(c.Any) > alternativesMax {
		j.warn(WarnAlternatives, fmt.Sprintf("jobs could use more than %d kinds of devices; their claims name the first %d",
			alternativesMax, alternativesMax), 1)
		c.Any = c.Any[:alternativesMax]
	}
	pod.GPUs = c.Any[0].GPUs
	pod.Claims = []plan.Claim{c}
}

// wanted returns the kinds of GPUs a job may have and whether it names them.
func (j *jobs) wanted(t *traces.Job) (out []kind, named bool) {
	if len(t.GPUModels) == 0 || j.s.Workload.GPUModels != ModelsRequire {
		return j.kinds, false
	}
	for _, name := range t.GPUModels {
		gpu, err := j.s.catalog.Lookup(name)
		if err != nil {
			j.model(name) // warns
			continue
		}
		at := slices.IndexFunc(j.kinds, func(k kind) bool { return k.gpu.Key == gpu.Key })
		if at < 0 {
			j.model(name)
			out = append(out, kind{gpu: gpu, whole: true})
			continue
		}
		out = append(out, j.kinds[at])
	}
	return out, true
}

// wholes are requests for n whole GPUs: one of each kind, or of each driver when the job names no kind.
func (j *jobs) wholes(t *traces.Job, n int) (out []plan.DeviceRequest) {
	list, named := j.wanted(t)
	for _, k := range list {
		driver := deviceDrivers[k.gpu.Vendor]
		if driver == "" || !k.whole {
			continue
		}
		r := plan.DeviceRequest{Class: driver, Device: driver, Count: n, GPUs: units.MilliGPU(n) * units.GPU}
		if named {
			r.Name, r.Model, r.Selectors = requestName(k.gpu.Key), k.gpu.Key, []string{productIs(k.gpu)}
		} else {
			r.Name = requestName(k.gpu.Vendor)
		}
		if !slices.ContainsFunc(out, func(o plan.DeviceRequest) bool { return o.Name == r.Name }) {
			out = append(out, r)
		}
	}
	if len(out) == 0 { // nobody offers any: the job waits, and says for what
		nvidia := deviceDrivers["nvidia"]
		out = append(out, plan.DeviceRequest{Name: "gpu", Class: nvidia, Device: nvidia, Count: n,
			GPUs: units.MilliGPU(n) * units.GPU})
	}
	return out
}

// partitions are requests for n partitions that cover the job's part of a GPU, one of each kind with partitions.
func (j *jobs) partitions(t *traces.Job, n int) (out []plan.DeviceRequest) {
	list, named := j.wanted(t)
	for _, k := range list {
		profile, share := k.covering(units.MilliGPU(t.GPUMilli))
		if profile == "" {
			continue
		}
		r := plan.DeviceRequest{Name: requestName(profile), Class: migClass, Device: deviceDrivers[k.gpu.Vendor],
			MIG: profile, Count: n, GPUs: units.MilliGPU(n) * share,
			Selectors: []string{fmt.Sprintf(`device.attributes["gpu.nvidia.com"].profile == %q`, profile)}}
		if named {
			r.Name, r.Model = requestName(k.gpu.Key+"-"+profile), k.gpu.Key
			r.Selectors = append(r.Selectors, productIs(k.gpu))
		}
		if !slices.ContainsFunc(out, func(o plan.DeviceRequest) bool { return o.Name == r.Name }) {
			out = append(out, r)
		}
	}
	return out
}

// covering returns the smallest profile that can be had and has at least a part of the GPU's compute slices, with its
// share: of equals the first, which is the plain one with the least memory.
func (k *kind) covering(part units.MilliGPU) (profile string, share units.MilliGPU) {
	for _, name := range k.parts {
		p, _ := k.mig.Profile(name)
		s := k.mig.Share(mig.Instance{Profile: name, Start: p.Starts[0]})
		has := (units.GPU*units.MilliGPU(p.Compute) + units.MilliGPU(k.mig.ComputeSlices) - 1) /
			units.MilliGPU(k.mig.ComputeSlices)
		if has >= part && (profile == "" || s < share) {
			profile, share = name, s
		}
	}
	return profile, share
}

// productIs is a CEL expression for one model of GPU.
func productIs(gpu catalog.GPU) string {
	attribute := "productName"
	if gpu.Vendor == "intel" {
		attribute = "model"
	}
	return fmt.Sprintf("device.attributes[%q].%s == %q", deviceDrivers[gpu.Vendor], attribute, deviceProduct(gpu))
}

// requestName turns text into the name of a request: a DNS label.
func requestName(text string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return '-'
	}, strings.ToLower(text)), "-")
}
