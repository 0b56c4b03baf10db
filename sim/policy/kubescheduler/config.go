package kubescheduler

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"k8s.io/apimachinery/pkg/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/featuregate"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/validation"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
)

// DefaultConfig is the configuration used when the scenario names none: upstream's defaults.
const DefaultConfig = `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
`

// LoadConfig decodes a KubeSchedulerConfiguration strictly with upstream's own scheme, applies upstream's defaults and
// validates it with upstream's validation. name appears in errors, which carry the line where it can be found.
// outside are the plugins it may name beside upstream's own. All problems are returned, joined.
func LoadConfig(name string, data []byte, outside ...Outside) (*config.KubeSchedulerConfiguration, error) {
	obj, gvk, err := scheme.Codecs.UniversalDecoder().Decode(data, nil, nil)
	if err != nil {
		return nil, locate(name, data, err)
	}
	cfg, ok := obj.(*config.KubeSchedulerConfiguration)
	if !ok {
		return nil, fmt.Errorf("%s:1: kind %s is not a KubeSchedulerConfiguration: start the file with\n%s",
			name, gvk.Kind, DefaultConfig)
	}
	cfg.TypeMeta.APIVersion = gvk.GroupVersion().String() // as upstream's loader does
	var errs []error
	if e := validation.ValidateKubeSchedulerConfiguration(cfg); e != nil {
		for _, err := range e.Errors() {
			errs = append(errs, locate(name, data, err))
		}
	}
	errs = append(errs, unknownPlugins(name, data, cfg, outside)...)
	errs = append(errs, wrongArgs(name, data, cfg, outside)...)
	if len(cfg.Extenders) > 0 {
		errs = append(errs, fmt.Errorf("%s:%d: extenders: HTTP extenders cannot take part in virtual time; "+
			"remove the block, or compile the policy in as a scheduler plugin", name, lineOf(data, "extenders")))
	}
	return cfg, errors.Join(errs...)
}

var (
	pathPattern = regexp.MustCompile(`(?:unknown field|duplicate field|key) "([^"]+)"|^([A-Za-z0-9_.\[\]]+): `)
	linePattern = regexp.MustCompile(`line (\d+)`)
)

// unknownPlugins reports enabled or configured plugins that kube-scheduler does not have. Upstream refuses the former
// only when it starts, and reads the configuration of the latter for nobody.
func unknownPlugins(name string, data []byte, cfg *config.KubeSchedulerConfiguration, outside []Outside) (
	errs []error) {
	registry := plugins.NewInTreeRegistry()
	for _, o := range outside {
		registry[o.Name] = nil
	}
	for _, profile := range cfg.Profiles {
		used := enabledPlugins(profile)
		for _, p := range profile.PluginConfig {
			used = append(used, p.Name)
		}
		sort.Strings(used)
		for _, p := range slices.Compact(used) {
			if _, ok := registry[p]; !ok {
				errs = append(errs, fmt.Errorf("%s:%d: profile %s: kube-scheduler %s has no plugin %q; write one of %s",
					name, lineOfName(data, p), profile.SchedulerName, KubernetesVersion, p,
					strings.Join(sortedKeys(registry), ", ")))
			}
		}
	}
	return errs
}

// enabledPlugins names the plugins that a profile enables, some twice.
func enabledPlugins(profile config.KubeSchedulerProfile) []string {
	if profile.Plugins == nil {
		return nil
	}
	used := profile.Plugins.Names()
	for _, p := range profile.Plugins.MultiPoint.Enabled {
		used = append(used, p.Name)
	}
	return used
}

// Outside is a plugin from outside kube-scheduler that a configuration may name.
type Outside struct {
	Name string
	// Args says what is wrong with its arguments. It is given what upstream would hand to the plugin's factory.
	Args func(args runtime.Object) error
}

// wrongArgs reports arguments that a plugin from outside would refuse, also those of a plugin that nobody enables.
func wrongArgs(name string, data []byte, cfg *config.KubeSchedulerConfiguration, outside []Outside) (errs []error) {
	for _, profile := range cfg.Profiles {
		given := map[string]runtime.Object{}
		for _, p := range profile.PluginConfig {
			given[p.Name] = p.Args
		}
		used := enabledPlugins(profile)
		for _, o := range outside {
			args, configured := given[o.Name]
			if !configured && !slices.Contains(used, o.Name) {
				continue
			}
			if err := o.Args(args); err != nil {
				errs = append(errs, fmt.Errorf("%s:%d: profile %s: %w", name, lineOfName(data, o.Name), profile.SchedulerName,
					err))
			}
		}
	}
	return errs
}

// lineOfName returns the first line that holds name: x in a YAML text, else 1.
func lineOfName(data []byte, x string) int {
	pattern := regexp.MustCompile(`\bname"?:\s*["']?` + regexp.QuoteMeta(x) + `\b`)
	for i, line := range strings.Split(string(data), "\n") {
		if pattern.MatchString(line) {
			return i + 1
		}
	}
	return 1
}

// locate rewrites an upstream decoding or validation error so that every problem carries file and line.
func locate(name string, data []byte, err error) error {
	msg := strings.TrimPrefix(err.Error(), "strict decoding error: ")
	var out []string
	for _, part := range strings.Split(msg, ", unknown field") {
		if part != msg && !strings.Contains(part, "unknown field") {
			part = "unknown field" + part
		}
		line := 1
		if m := linePattern.FindStringSubmatch(part); m != nil {
			line, _ = strconv.Atoi(m[1])
		} else if m := pathPattern.FindStringSubmatch(part); m != nil {
			line = lineOf(data, m[1]+m[2])
		}
		if strings.Contains(part, "unknown field") {
			part += " (remove it, or check its spelling against the kubescheduler.config.k8s.io/v1 reference)"
		}
		out = append(out, fmt.Sprintf("%s:%d: %s", name, line, part))
	}
	return fmt.Errorf("%s", strings.Join(out, "\n"))
}

// lineOf returns the line of a path such as profiles[0].plugins.score in a YAML text: that of the deepest element of
// the path that exists. 1 when nothing does.
func lineOf(data []byte, path string) int {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 {
		return 1
	}
	node, line := doc.Content[0], 1
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		next, at := child(node, step)
		if next == nil {
			return line
		}
		node, line = next, at
	}
	return line
}

// child returns the value of a key or an index and the line where the key or the element stands.
func child(n *yaml.Node, step string) (*yaml.Node, int) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1], n.Content[i].Line
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i < len(n.Content) {
			return n.Content[i], n.Content[i].Line
		}
	}
	return nil, 0
}

// refusedGates are gates whose code paths the lockstep does not follow, or which need a controller that does not run:
// a run with one of them on could differ from the next, end too early or never.
var refusedGates = map[string]string{
	"CompositePodGroup": "upstream submits the groups of a tree in Go's map order; use pod groups without a parent and " +
		"leave it out",
	"DRAWorkloadResourceClaims": "the controller that makes claims for pod groups does not run; leave it out",
}

// SetFeatureGates sets upstream feature gates for the process and returns a function that restores what they were. A
// run owns its process, so this is called once before anything upstream is built. All unknown or locked gates are
// reported at once.
func SetFeatureGates(gates map[string]bool) (restore func(), err error) {
	mutable := utilfeature.DefaultMutableFeatureGate
	known := mutable.GetAll()
	before := map[string]bool{}
	var errs []error
	for _, name := range sortedKeys(gates) {
		if _, ok := known[featuregate.Feature(name)]; !ok {
			errs = append(errs, fmt.Errorf("feature gate %q is unknown to Kubernetes %s: remove it, or check its spelling",
				name, KubernetesVersion))
			continue
		}
		if why, ok := refusedGates[name]; ok && gates[name] {
			errs = append(errs, fmt.Errorf("feature gate %q cannot be on: %s", name, why))
			continue
		}
		before[name] = mutable.Enabled(featuregate.Feature(name))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if err := mutable.SetFromMap(gates); err != nil {
		return nil, fmt.Errorf("setting feature gates: %w", err)
	}
	return func() { _ = mutable.SetFromMap(before) }, nil
}

// repeatableGates are the gates with which the tests show that a run repeats byte for byte.
var repeatableGates = map[string]bool{
	"GenericWorkload": true, "TopologyAwareWorkloadScheduling": true, "PodGroupPreemptionPolicy": true,
	"WorkloadWithJob":        true,
	"SchedulerAsyncAPICalls": true, "SchedulerAsyncPreemption": true,
}

// Repeatable reports whether a run with these feature gates is known to repeat byte for byte: no more is claimed than a
// test shows. It is without any gate. Without SchedulerPopFromBackoffQ it is not: an event that comes whole seconds
// after a pod failed finds it backing off or not by the order in which upstream walks a map.
func Repeatable(gates map[string]bool) bool {
	if gates["GenericWorkload"] && gates["SchedulerAsyncAPICalls"] {
		return false // whether a member's nomination is still written before its binding is a race between goroutines
	}
	for name, on := range gates {
		if !repeatableGates[name] && !(name == "SchedulerPopFromBackoffQ" && on) {
			return false
		}
	}
	return true
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
