package kwok

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/apis/v1alpha1"
	"sigs.k8s.io/kwok/pkg/utils/expression"
	k8syaml "sigs.k8s.io/yaml"

	"orrery/sim/plan"
)

//go:embed stages/*.yaml
var shippedFS embed.FS

// Shipped returns the stage files that runs use when the user gives none: pod-ready, pod-complete, pod-fail,
// pod-delete and node-initialize, modelled on KWOK's "fast" set. They work in a KWOK v0.8.0 cluster as they are.
func Shipped() []plan.File {
	entries, err := shippedFS.ReadDir("stages")
	if err != nil {
		panic(err) // embedded
	}
	var out []plan.File
	for _, e := range entries {
		data, err := shippedFS.ReadFile("stages/" + e.Name())
		if err != nil {
			panic(err)
		}
		out = append(out, plan.File{Name: path.Join("builtin", e.Name()), Data: data})
	}
	return out
}

// source is where a stage was read, for messages about its parts.
type source struct {
	file string
	line int
	shape
}

// loader reads stage files and collects what is wrong with them.
type loader struct {
	problems Problems
	seen     map[string]string // stage name → file:line
}

// Load reads Stage objects from YAML files of one or more documents and compiles them; no file means the shipped
// stages. The error, if any, is Problems: everything that is wrong with all files.
func Load(files []plan.File) (*Set, error) {
	if len(files) == 0 {
		files = Shipped()
	}
	l := &loader{seen: map[string]string{}}
	set := newSet()
	for _, f := range files {
		before, first := len(l.seen), len(l.problems)
		dec := yaml.NewDecoder(bytes.NewReader(f.Data))
		for {
			var doc yaml.Node
			err := dec.Decode(&doc)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				l.yamlError(f.Name, err)
				break
			}
			if s := l.stage(f.Name, doc.Content[0]); s != nil {
				set.add(s)
			}
		}
		slices.SortStableFunc(l.problems[first:], func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
		if len(l.seen) == before && len(l.problems) == first {
			l.problems = append(l.problems, Problem{f.Name, 1, "no Stage in this file; remove the file or add one"})
		}
	}
	if len(l.problems) > 0 {
		return nil, l.problems
	}
	return set, set.compile()
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

func (l *loader) yamlError(file string, err error) {
	line, msg := 1, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(msg); m != nil {
		line, _ = strconv.Atoi(m[1])
		msg = strings.Replace(msg, m[0], "", 1)
	}
	l.problems = append(l.problems, Problem{file, line, "not valid YAML: " + msg})
}

// stage reads one document; nil when something is wrong with it, or when it is empty.
func (l *loader) stage(file string, n *yaml.Node) *internalversion.Stage {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil
	}
	before := len(l.problems)
	found := func(n *yaml.Node, format string, args ...any) {
		msg := strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ") // CEL draws pictures
		l.problems = append(l.problems, Problem{file, n.Line, msg})
	}
	src := &source{file: file, line: n.Line, shape: shape{paths: map[string]*yaml.Node{}, lines: map[string]int{},
		found: found}}
	if !rightKind(n, found) {
		return nil
	}
	src.check(n, reflect.TypeFor[v1alpha1.Stage](), "")
	if len(l.problems) > before {
		return nil
	}
	data, err := yaml.Marshal(n)
	if err != nil {
		found(n, "cannot be read: %v", err)
		return nil
	}
	var stage v1alpha1.Stage
	if err := k8syaml.UnmarshalStrict(data, &stage); err != nil {
		found(n, "cannot be read: %v", err)
		return nil
	}
	v1alpha1.SetObjectDefaults_Stage(&stage)
	internal, err := internalversion.ConvertToInternalStage(stage.DeepCopy()) // changes its argument
	if err != nil {
		found(n, "cannot be read: %v", err)
		return nil
	}
	l.checkStage(src, &stage, internal)
	if len(l.problems) > before {
		return nil
	}
	return internal
}

// rightKind checks apiVersion and kind, without which nothing else makes sense.
func rightKind(n *yaml.Node, found func(*yaml.Node, string, ...any)) bool {
	if n.Kind != yaml.MappingNode {
		found(n, "want a Stage object, found %s", kindName(n.Kind))
		return false
	}
	ok := true
	for _, want := range [][2]string{{"apiVersion", v1alpha1.GroupVersion.String()}, {"kind", v1alpha1.StageKind}} {
		i := slices.IndexFunc(n.Content, func(c *yaml.Node) bool { return c.Value == want[0] })
		switch {
		case i < 0 || i%2 != 0:
			found(n, "%s is missing; write %s: %s", want[0], want[0], want[1])
			ok = false
		case n.Content[i+1].Value != want[1]:
			found(n.Content[i+1], "%s: %q is not supported here; write %s: %s", want[0], n.Content[i+1].Value, want[0], want[1])
			ok = false
		}
	}
	return ok
}

// at returns the node of a path, or the nearest one above it that the file has, as the place of a problem.
func (s *source) at(path string) *yaml.Node {
	for {
		if n, ok := s.paths[path]; ok {
			if line, ok := s.lines[path]; ok {
				at := *n
				at.Line = line
				return &at
			}
			return n
		}
		if i := strings.LastIndexAny(path, ".["); i >= 0 {
			path = path[:i]
		} else {
			path = ""
		}
	}
}

// checkStage checks what a stage means: in its internal form, with messages about the form it was written in.
func (l *loader) checkStage(src *source, written *v1alpha1.Stage, s *internalversion.Stage) {
	bad := func(path, format string, args ...any) { src.found(src.at(path), format, args...) }
	switch where, twice := l.seen[s.Name]; {
	case s.Name == "":
		bad("metadata.name", "metadata.name is missing; give the stage a name")
	case twice:
		bad("metadata.name", "stage %q is already defined at %s; rename or remove one", s.Name, where)
	default:
		l.seen[s.Name] = fmt.Sprintf("%s:%d", src.file, src.line)
	}
	if s.Spec.ResourceRef.Kind == "" {
		bad("spec.resourceRef", "spec.resourceRef.kind is missing; write Pod or Node")
	} else if _, ok := kindOf(s.Spec.ResourceRef); !ok {
		bad("spec.resourceRef", "spec.resourceRef: no kind %s in %s; write one of Kubernetes' own kinds, e.g. Pod in v1",
			s.Spec.ResourceRef.Kind, s.Spec.ResourceRef.APIGroup)
	}
	if s.Spec.Selector == nil {
		bad("spec", "spec.selector is missing, so the stage would select nothing; write selector: {} to select everything")
	}
	if s.Spec.Weight < 0 {
		bad("spec.weight", "spec.weight: %d is negative; write 0 or more", s.Spec.Weight)
	}
	if len(written.Spec.Steps) > 0 && written.Spec.Next != nil { //nolint:staticcheck // files in use say next
		bad("spec.next", "spec.next has no effect beside spec.steps; keep one of them")
	}
	//nolint:staticcheck // files in use say next
	if n := written.Spec.Next; n != nil && len(n.Patches) > 0 && n.StatusTemplate != "" {
		bad("spec.next.statusTemplate", "spec.next.statusTemplate has no effect beside spec.next.patches; keep one of them")
	}
	l.checkSelector(bad, s)
	l.checkValues(bad, s)
	l.checkSteps(src, written, s)
}

func (l *loader) checkSelector(bad func(string, string, ...any), s *internalversion.Stage) {
	if s.Spec.Selector == nil {
		return
	}
	for i, e := range s.Spec.Selector.MatchExpressions {
		path := fmt.Sprintf("spec.selector.matchExpressions[%d]", i)
		switch {
		case e.JQ != nil:
			if _, err := expression.NewRequirement(e.JQ.Key, e.JQ.Operator, e.JQ.Values); err != nil {
				bad(path, "%s: key %q, operator %q: %v", path, e.JQ.Key, e.JQ.Operator, err)
			}
		case e.CEL != nil:
			checkCEL(bad, path+".cel", e.CEL.Expression, s.Spec.ResourceRef)
		default:
			bad(path, "%s: no key; write key and operator, or a jq or cel expression", path)
		}
	}
}

// checkValues checks the weight's and the delay's expressions.
func (l *loader) checkValues(bad func(string, string, ...any), s *internalversion.Stage) {
	from := func(path string, e *internalversion.ExpressionFrom) {
		switch {
		case e == nil:
		case e.CEL != nil:
			checkCEL(bad, path, e.CEL.Expression, s.Spec.ResourceRef)
		case e.JQ == nil:
			bad(path, "%s is empty; write expressionFrom, jq or cel, or remove it", path)
		default:
			if _, err := expression.NewQuery(e.JQ.Expression); err != nil {
				bad(path, "%s: %q is no jq expression: %v", path, e.JQ.Expression, err)
			}
		}
	}
	from("spec.weightFrom", s.Spec.WeightFrom)
	d := s.Spec.Delay
	if d == nil {
		return
	}
	from("spec.delay.durationFrom", d.DurationFrom)
	from("spec.delay.jitterDurationFrom", d.JitterDurationFrom)
	for _, x := range []struct {
		name string
		ms   *int64
	}{{"durationMilliseconds", d.DurationMilliseconds}, {"jitterDurationMilliseconds", d.JitterDurationMilliseconds}} {
		if x.ms != nil && *x.ms < 0 {
			bad("spec.delay."+x.name, "spec.delay.%s: %d is negative; write 0 or more", x.name, *x.ms)
		}
	}
	if d.JitterDurationFrom != nil && d.JitterDurationFrom.CEL != nil {
		bad("spec.delay.jitterDurationFrom", "spec.delay.jitterDurationFrom: KWOK v0.8.0 ignores cel here; write jq")
	}
}

// checkSteps checks templates and refuses what a run cannot do.
func (l *loader) checkSteps(src *source, written *v1alpha1.Stage, s *internalversion.Stage) {
	root := "spec.steps"
	if len(written.Spec.Steps) == 0 {
		root = "spec.next"
	}
	patches := 0
	for i, step := range s.Spec.Steps {
		path := fmt.Sprintf("spec.steps[%d]", i)
		if step.Apply != nil {
			src.found(src.at(path), "%s: apply is not supported in a simulated cluster; create the object from a manifest",
				path)
		}
		p := step.Patch
		if p == nil {
			continue
		}
		where := path + ".patch.template"
		if root == "spec.next" {
			where = fmt.Sprintf("spec.next.patches[%d].template", patches)
			if _, ok := src.paths["spec.next.statusTemplate"]; ok {
				where = "spec.next.statusTemplate"
			}
		}
		patches++
		if line, err := checkTemplate(p.Template); err != nil {
			n := src.at(where)
			if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
				line++ // the text begins on the line after the | or >
			}
			l.problems = append(l.problems, Problem{src.file, n.Line + line - 1, fmt.Sprintf("%s: %v", where, err)})
		}
		if t := p.Type; t != nil && *t != internalversion.StagePatchTypeJSONPatch &&
			*t != internalversion.StagePatchTypeMergePatch && *t != internalversion.StagePatchTypeStrategicMergePatch {
			where := strings.TrimSuffix(strings.TrimSuffix(where, "template"), "statusTemplate") + "type"
			src.found(src.at(where), "%s: %q is no patch type; write json, merge or strategic", where, *t)
		}
	}
}
