package kwok

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/Masterminds/sprig/v3"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/kwok/pkg/utils/gotpl"
	"sigs.k8s.io/yaml"
)

// kwokVersion is what the template function Version returns, and what fake nodes call themselves.
const kwokVersion = "v0.8.0"

// renderer renders stage templates as gotpl.NewRenderer does, but compiles each once, makes no JSON round trip, and
// offers no function that reads the machine.
type renderer struct {
	funcs    template.FuncMap
	compiled map[string]*template.Template
	buf      bytes.Buffer
	// object and tree are the object of the steps being done and its form for templates, made once.
	object any
	tree   any
}

var _ gotpl.Renderer = (*renderer)(nil)

func newRenderer(funcs template.FuncMap) *renderer {
	return &renderer{funcs: funcs, compiled: map[string]*template.Template{}}
}

// ToText implements gotpl.Renderer.
func (r *renderer) ToText(text string, original any) ([]byte, error) {
	t, ok := r.compiled[text]
	if !ok {
		var err error
		if t, err = parseTemplate(text, r.funcs); err != nil {
			return nil, err
		}
		r.compiled[text] = t
	}
	if r.object != original {
		r.object, r.tree = original, forTemplate(original)
	}
	r.buf.Reset()
	if err := t.Execute(&r.buf, r.tree); err != nil {
		return nil, fmt.Errorf("executing the template: %w", err)
	}
	return slices.Clone(r.buf.Bytes()), nil
}

// ToJSON implements gotpl.Renderer.
func (r *renderer) ToJSON(text string, original any) ([]byte, error) {
	out, err := r.ToText(text, original)
	if err != nil {
		return nil, err
	}
	data, err := yaml.YAMLToJSON(out)
	if err != nil {
		return nil, fmt.Errorf("the template's result is no YAML: %w: %s", err, out)
	}
	return data, nil
}

func parseTemplate(text string, funcs template.FuncMap) (*template.Template, error) {
	return template.New("_").Funcs(pureFuncs()).Funcs(funcs).Parse(strings.TrimSpace(text))
}

// impure are the functions of sprig that read the machine: its randomness, keys, environment or network.
var impure = []string{"bcrypt", "encryptAES", "env", "expandenv", "genCA", "genCAWithKey", "genPrivateKey",
	"genSelfSignedCert", "genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey", "getHostByName", "htpasswd",
	"randAlpha", "randAlphaNum", "randAscii", "randBytes", "randInt", "randNumeric", "shuffle", "uuidv4"}

// pureFuncs are KWOK's template functions that need no cluster, less the impure ones. Sources: gotpl/funcs.go of KWOK
// v0.8.0 (Quote, YAML, NodeConditions) and sprig v3.
func pureFuncs() template.FuncMap {
	f := sprig.TxtFuncMap()
	for _, name := range impure {
		delete(f, name)
	}
	f["keys"], f["values"] = sortedKeys, sortedValues // sprig's are in the order of a Go map
	f["Quote"] = quote
	f["YAML"] = indentYAML
	f["NodeConditions"] = func() any { return nodeConditions() }
	return f
}

func sortedKeys(dicts ...map[string]any) []string {
	var out []string
	for _, d := range dicts {
		out = append(out, slices.Sorted(maps.Keys(d))...)
	}
	return out
}

func sortedValues(d map[string]any) []any {
	var out []any
	for _, k := range slices.Sorted(maps.Keys(d)) {
		out = append(out, d[k])
	}
	return out
}

// quote writes any value as a YAML string.
func quote(x any) string {
	data, err := json.Marshal(x)
	switch {
	case err != nil:
		return strconv.Quote(fmt.Sprint(x))
	case len(data) == 0:
		return `""`
	case data[0] == '"':
		return string(data)
	}
	return strconv.Quote(string(data))
}

// indentYAML writes a value as YAML, from a new line and indented by two spaces for each level of indent.
func indentYAML(x any, indent ...int) (string, error) {
	d, err := yaml.Marshal(x)
	if err != nil {
		return "", err
	}
	if len(indent) == 1 && indent[0] > 0 {
		return strings.ReplaceAll("\n"+string(d), "\n", "\n"+strings.Repeat("  ", indent[0])), nil
	}
	return string(d), nil
}

// nodeConditions is what a healthy kubelet says about its node (as gotpl/funcs.go of KWOK v0.8.0, from
// https://kubernetes.io/docs/concepts/architecture/nodes/#condition).
func nodeConditions() []any {
	list := healthyNode()
	out := make([]any, len(list))
	for i, c := range list {
		out[i] = map[string]any{"type": string(c.Type), "status": string(c.Status), "reason": c.Reason,
			"message": c.Message, "lastHeartbeatTime": nil, "lastTransitionTime": nil}
	}
	return out
}

func healthyNode() []corev1.NodeCondition {
	return []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady",
			Message: "kubelet is posting ready status"},
		{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientMemory",
			Message: "kubelet has sufficient memory available"},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasNoDiskPressure",
			Message: "kubelet has no disk pressure"},
		{Type: corev1.NodePIDPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientPID",
			Message: "kubelet has sufficient PID available"},
		{Type: corev1.NodeNetworkUnavailable, Status: corev1.ConditionFalse, Reason: "RouteCreated",
			Message: "RouteController created a route"},
	}
}

// clusterFuncs names the functions that need a cluster, for checking templates without one.
func clusterFuncs() template.FuncMap {
	f := template.FuncMap{}
	for _, name := range []string{"Now", "StartTime", "now", "Version", "NodeIP", "NodeName", "NodePort", "PodIP",
		"NodeIPWith", "NodeIPsWith", "PodIPWith", "PodIPsWith"} {
		f[name] = func(...any) any { return nil }
	}
	return f
}

var (
	templateLine     = regexp.MustCompile(`^template: _:(\d+)(:\d+)?: `)
	templateFunction = regexp.MustCompile(`^function "(\w+)" not defined$`)
)

// checkTemplate compiles a template; line is where in its text the error is, from 1.
func checkTemplate(text string) (line int, err error) {
	_, err = parseTemplate(text, clusterFuncs())
	if err == nil {
		return 0, nil
	}
	line, msg := 1, err.Error()
	if m := templateLine.FindStringSubmatch(msg); m != nil {
		line, _ = strconv.Atoi(m[1])
		msg = strings.TrimPrefix(msg, m[0])
	}
	line += strings.Count(text[:len(text)-len(strings.TrimLeft(text, " \t\r\n"))], "\n")
	if m := templateFunction.FindStringSubmatch(msg); m != nil && slices.Contains(impure, m[1]) {
		msg = fmt.Sprintf("the function %s reads the machine, so no two runs would be equal; write a fixed value", m[1])
	}
	return line, fmt.Errorf("%s", msg)
}

// stamp is an instant as KWOK's Now writes it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
