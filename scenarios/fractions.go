package scenarios

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"orrery/sim/plan"
	"orrery/sim/units"
	"orrery/traces"
)

// dnsNames are names of objects that are labels of the domain name system, as namespaces are.
var dnsNames = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// typicalPodsKey is the key of the ConfigMap of typical pods; the plugin FGD reads it (sim/policy/plugins/fgd).
const typicalPodsKey = "typical-pods.yaml"

// fraction is what a pod with n GPUs of a job asks for by annotation.
func (j *jobs) fraction(t *traces.Job, n int) *plan.Fraction {
	f := &plan.Fraction{GPUs: n, Milli: units.GPU}
	if t.GPUMilli > 0 {
		f.Milli = min(units.MilliGPU(t.GPUMilli), units.GPU)
	}
	if j.s.Workload.GPUModels == ModelsRequire {
		for _, name := range t.GPUModels {
			f.Models = append(f.Models, j.modelKey(name))
		}
		slices.Sort(f.Models)
		f.Models = slices.Compact(f.Models)
	}
	return f
}

// modelKey returns the catalogue key of a GPU model of the trace, and warns once when no pool has it.
func (j *jobs) modelKey(name string) string {
	if m, ok := j.models[name]; ok {
		return m.key
	}
	gpu, err := j.s.catalog.Lookup(name)
	key := gpu.Key
	switch {
	case err != nil:
		key = labelValue(name)
		j.warn(WarnModel, fmt.Sprintf("the trace's GPU model %q is not in the catalogue; jobs that require it match only "+
			"nodes with the label %s=%s", name, plan.FractionModelLabel, key), 1)
	case !slices.ContainsFunc(j.s.Cluster.Pools, func(p Pool) bool { return p.GPU == key }):
		j.warn(WarnNoPool, fmt.Sprintf("no pool has the trace's GPU model %q (%s); jobs that require it can never run",
			name, key), 1)
	}
	j.models[name] = model{key: key}
	return key
}

// typicalPod is a kind of pod of the trace. The keys are those that the plugin FGD reads.
type typicalPod struct {
	CPUMilli int64    `yaml:"cpuMilli"`
	GPUs     int      `yaml:"gpus"`
	GPUMilli int64    `yaml:"gpuMilli"`
	Models   []string `yaml:"models,omitempty,flow"`
	Count    int64    `yaml:"count"`
}

// typicalPods returns the kinds of pods that cover the wanted part of the trace, most frequent first. Kinds are told
// apart by CPU, GPUs and models.
func (s *Scenario) typicalPods() ([]typicalPod, error) {
	src, err := s.openTrace()
	if err != nil {
		return nil, err
	}
	defer func() { _ = src.Close() }() // it was only read
	j := s.mapper(src)
	kinds := map[string]*typicalPod{}
	var all int64
	for {
		t, err := src.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		job, err := j.job(&t)
		if err != nil {
			return nil, err
		}
		for _, pod := range job.Pods {
			kind := kindOf(pod)
			key := fmt.Sprintf("%d/%d/%d/%s", kind.CPUMilli, kind.GPUs, kind.GPUMilli, strings.Join(kind.Models, "|"))
			if kinds[key] == nil {
				kinds[key] = &kind
			}
			kinds[key].Count++
			all++
		}
	}
	return covering(kinds, all, s.Workload.TypicalPods.Coverage), nil
}

func kindOf(pod plan.Pod) typicalPod {
	kind := typicalPod{CPUMilli: pod.CPUMilli}
	switch f := pod.Fraction; {
	case f != nil:
		kind.GPUs, kind.GPUMilli, kind.Models = f.GPUs, int64(f.Milli), f.Models
	case pod.GPUs > 0:
		kind.GPUs, kind.GPUMilli = int((pod.GPUs+units.GPU-1)/units.GPU), int64(units.GPU)
	}
	return kind
}

// covering returns the most frequent kinds until they make up this part of all pods. Of kinds as frequent as each other
// the smaller key comes first.
func covering(kinds map[string]*typicalPod, all int64, part float64) []typicalPod {
	keys := sortedKeys(kinds)
	slices.SortStableFunc(keys, func(a, b string) int { return cmp.Compare(kinds[b].Count, kinds[a].Count) })
	var out []typicalPod
	var covered int64
	for _, key := range keys {
		if float64(covered) >= part*float64(all) {
			break
		}
		out = append(out, *kinds[key])
		covered += kinds[key].Count
	}
	return out
}

// typicalPodsManifest is the ConfigMap of the trace's typical pods.
func (s *Scenario) typicalPodsManifest() (plan.File, error) {
	kinds, err := s.typicalPods()
	if err != nil {
		return plan.File{}, err
	}
	list, err := yaml.Marshal(kinds)
	if err != nil {
		return plan.File{}, fmt.Errorf("writing the typical pods: %w", err)
	}
	ns, name, _ := strings.Cut(s.Workload.TypicalPods.ConfigMap, "/")
	text, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]string{"namespace": ns, "name": name},
		"data":     map[string]string{typicalPodsKey: string(list)}})
	if err != nil {
		return plan.File{}, fmt.Errorf("writing the typical pods: %w", err)
	}
	return plan.File{Name: "workload.typicalPods", Data: text}, nil
}
