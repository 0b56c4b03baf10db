package scenarios

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"orrery/sim/catalog"
	"orrery/sim/plan"
	"orrery/sim/units"
	"orrery/traces"
)

// Codes of warnings counted while jobs are mapped.
const (
	WarnShare       = "gpu-share-rounded"    // a part of a GPU became a whole one
	WarnModel       = "gpu-model-unknown"    // a model that the catalogue does not have
	WarnNoPool      = "gpu-model-absent"     // a model that no pool has
	WarnPriority    = "priority-unknown"     // a priority that is no PriorityClass; the job has none
	WarnResource    = "gpu-resource-mixed"   // models of several vendors; the first one's counts
	WarnSkipped     = "trace-rows-skipped"   // rows of the trace left out
	WarnNote        = "trace-note"           // what the importer assumed
	WarnResampled   = "trace-resampled"      // jobs drawn again to fill the cluster
	WarnThinned     = "trace-thinned"        // jobs left out so as not to overfill the cluster
	WarnParallelism = "training-parallelism" // models that a job's number of GPUs does not suit
	WarnTimesUnset  = "trace-times-unheeded" // times not used, mode sequential
)

// podNameMax leaves room for the pod's index and replacement number in 63 characters, so that a pod's name is a valid
// host name too.
const podNameMax = 52

// jobs maps the jobs of a trace to pods. It implements plan.JobSource.
type jobs struct {
	s       *Scenario
	src     traces.Source
	offers  map[string]*offer         // by base resource
	units   map[string]units.MilliGPU // by extended resource: the GPU capacity of one of it
	most    map[string]int            // by extended resource: what the plugin gives to one pod
	base    string                    // resource of jobs without model
	classes []string                  // PriorityClasses there are
	names   *namer
	spaces  *namer
	tenants map[string]string // tenant → namespace
	models  map[string]model  // as the trace calls it
	tol     []plan.Toleration
	kinds   []kind                   // of GPUs that claims can ask for
	counts  map[string]*plan.Warning // by code and message
	speeds  *speeds                  // nil when all jobs run as the trace says
	list    []traces.Job             // mode sequential
	next    int
}

// model is what a GPU model of the trace asks of nodes.
type model struct {
	base string // extended resource; "" = not known
	key  string // node label
	in   []string
}

func newJobs(s *Scenario, src traces.Source) (*jobs, error) {
	j := s.mapper(src)
	if s.Workload.Submit.Mode == SubmitSequential {
		return j, j.readAll()
	}
	return j, nil
}

// mapper returns what maps jobs to pods, without reading any.
func (s *Scenario) mapper(src traces.Source) *jobs {
	j := &jobs{s: s, src: src, names: newNamer(podNameMax),
		spaces:  newNamer(63, "default", "kube-system", "kube-public", "kube-node-lease"),
		tenants: map[string]string{"": "default"}, models: map[string]model{}, counts: map[string]*plan.Warning{},
		speeds: newSpeeds(s)}
	j.classes, _ = s.priorityClasses()
	j.kinds = s.kinds()
	j.offers, j.units = s.offers()
	j.most = map[string]int{}
	for i := range s.Cluster.Pools {
		maps.Copy(j.most, s.most(&s.Cluster.Pools[i]))
	}
	j.base = s.Workload.Resource
	if bases := sortedKeys(j.offers); j.base == "" && len(bases) == 1 {
		j.base = bases[0]
	} else if j.base == "" {
		j.base = "nvidia.com/gpu" // no pool has GPUs: the jobs wait, and say for what
	}
	j.tol = planTolerations(s.Workload.Tolerations)
	return j
}

func planTolerations(list []Toleration) (out []plan.Toleration) {
	for _, t := range list {
		out = append(out, plan.Toleration{Key: t.Key, Operator: t.Operator, Value: t.Value, Effect: t.Effect,
			Seconds: t.Seconds})
	}
	return out
}

// Next implements plan.JobSource.
func (j *jobs) Next() (plan.Job, error) {
	if j.s.Workload.Submit.Mode == SubmitSequential {
		return j.nextSequential()
	}
	t, err := j.src.Next()
	if err != nil {
		return plan.Job{}, err
	}
	job, err := j.job(&t)
	job.Submit = units.Time(t.Submit).RoundUp()
	job.Run = onGrid(t.Run)
	job.Forever = t.Forever()
	return job, err
}

// onGrid rounds a span up to the engine's grid.
func onGrid(d units.Duration) units.Duration { return units.Duration(units.Time(d).RoundUp()) }

// Close implements plan.JobSource.
func (j *jobs) Close() error { return j.src.Close() }

// job maps everything but times.
func (j *jobs) job(t *traces.Job) (plan.Job, error) {
	job := plan.Job{
		Name: j.names.name(t.ID), ID: t.ID, Namespace: j.namespace(t.Tenant), Tenant: t.Tenant, User: t.User,
		Class: t.Class, Outcome: t.Outcome, SchedulerName: j.profile(t), PriorityClass: j.priority(t),
		Tolerations: j.tol,
	}
	if job.Outcome == traces.Unknown {
		job.Outcome = traces.Succeeded
	}
	base := j.base
	if t.GPUs > 0 && len(t.GPUModels) > 0 && j.s.Workload.GPUModels == ModelsRequire &&
		j.s.Workload.Request != RequestClaim && j.s.Workload.Fractions != FractionsAnnotate {
		base, job.Require = j.require(t.GPUModels)
	}
	var err error
	job.Pods, err = j.pods(t, base)
	job.Gang = j.gang(t, len(job.Pods))
	job.Training = j.training(t, job.Pods)
	if err == nil {
		job.Batch = j.batch(&job)
	}
	return job, err
}

func (j *jobs) namespace(tenant string) string {
	if j.s.Workload.Namespaces == NamespaceSingle {
		return "default"
	}
	space, ok := j.tenants[tenant]
	if !ok {
		space = j.spaces.name(tenant)
		j.tenants[tenant] = space
	}
	return space
}

func (j *jobs) profile(t *traces.Job) string {
	for _, rule := range j.s.Workload.SchedulerNames {
		if (rule.Tenant == "" || rule.Tenant == t.Tenant) && (rule.Class == "" || rule.Class == t.Class) {
			return rule.Profile
		}
	}
	return j.s.Workload.SchedulerName
}

// priority returns the PriorityClass of a job: that of its priority, else that of its class, else none.
func (j *jobs) priority(t *traces.Job) string {
	if t.Priority == "" {
		return j.s.Workload.ClassPriority[t.Class]
	}
	if class, ok := j.s.Workload.Priority[t.Priority]; ok {
		return class
	}
	if contains(j.classes, t.Priority) {
		return t.Priority
	}
	j.warn(WarnPriority, fmt.Sprintf("jobs have the priority %q, which is no PriorityClass of the manifests and not "+
		"under workload.priority; they have none", t.Priority), 1)
	return ""
}

// require returns the resource and node labels of jobs that name GPU models.
func (j *jobs) require(names []string) (base string, out []plan.Requirement) {
	byKey := map[string][]string{}
	mixed := false
	for _, name := range names {
		m := j.model(name)
		if base == "" {
			base = m.base
		}
		if m.base != base {
			mixed = true
			continue
		}
		byKey[m.key] = append(byKey[m.key], m.in...)
	}
	if mixed {
		j.warn(WarnResource, fmt.Sprintf("jobs name GPU models of different resources (%s); the first one's counts",
			strings.Join(names, ", ")), 1)
	}
	for _, key := range sortedKeys(byKey) {
		values := byKey[key]
		slices.Sort(values)
		out = append(out, plan.Requirement{Key: key, Values: slices.Compact(values)})
	}
	return base, out
}

// model returns what a GPU model of the trace asks of nodes, and warns once when no node can have it.
func (j *jobs) model(name string) model {
	if m, ok := j.models[name]; ok {
		return m
	}
	gpu, err := j.s.catalog.Lookup(name)
	m := model{base: gpu.Resource, key: j.labelKey(gpu)}
	if err != nil {
		m = model{base: j.base, key: j.labelKey(gpu), in: []string{labelValue(name)}}
		j.warn(WarnModel,
			fmt.Sprintf("the trace's GPU model %q is not in the catalogue; jobs that require it match only "+
				"nodes with the label %s=%s", name, m.key, m.in[0]), 1)
		j.models[name] = m
		return m
	}
	for i := range j.s.Cluster.Pools {
		if pool := &j.s.Cluster.Pools[i]; pool.GPU == gpu.Key {
			m.in = append(m.in, j.s.labels(pool)[m.key])
		}
	}
	if len(m.in) == 0 {
		m.in = []string{gpu.Product}
		j.warn(WarnNoPool, fmt.Sprintf("no pool has the trace's GPU model %q (%s); jobs that require it can never run",
			name, gpu.Key), 1)
	}
	j.models[name] = m
	return m
}

func (j *jobs) labelKey(gpu catalog.GPU) string {
	if key := j.s.Workload.GPUModelLabel; key != "" {
		return key
	}
	switch gpu.Vendor {
	case "amd":
		return amdProductLabel
	case "intel":
		return habanaProductLabel
	}
	return nvidiaProductLabel
}

// labelValue turns text into something that can be a label value.
func labelValue(text string) string {
	out := []rune(text)
	for i, r := range out {
		if !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.", r) {
			out[i] = '-'
		}
	}
	s := strings.Trim(string(out[:min(len(out), 63)]), "-_.")
	if s == "" {
		return "unnamed"
	}
	return s
}

func (j *jobs) warn(code, message string, count int64) {
	key := code + "\x00" + message
	if w := j.counts[key]; w != nil {
		w.Count += count
		return
	}
	j.counts[key] = &plan.Warning{Code: code, Message: message, Count: count}
}

// Warnings implements plan.JobSource.
func (j *jobs) Warnings() []plan.Warning {
	var out []plan.Warning
	for _, key := range sortedKeys(j.counts) {
		out = append(out, *j.counts[key])
	}
	h := j.src.Header()
	for _, skip := range h.Skipped {
		out = append(out, plan.Warning{Code: WarnSkipped, Count: skip.Rows,
			Message: fmt.Sprintf("rows of the trace were left out: %s (first: %s)", skip.Reason, skip.First)})
	}
	for _, note := range h.Notes {
		out = append(out, plan.Warning{Code: WarnNote, Message: note, Count: 1})
	}
	slices.SortStableFunc(out, func(a, b plan.Warning) int { return strings.Compare(a.Code, b.Code) })
	return out
}

var errTooManyPods = errors.New("more than 100000 pods for one job")

// readAll reads the trace for mode sequential.
func (j *jobs) readAll() error {
	for {
		t, err := j.src.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		j.list = append(j.list, t)
	}
	return j.arrange()
}
