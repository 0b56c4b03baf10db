package kwok

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Problem is one thing wrong with a file of the user.
type Problem struct {
	File    string
	Line    int // 1-based
	Message string
}

// Problems is everything wrong with the user's files; it is returned only when there is something.
type Problems []Problem

// Error lists the problems, one a line, as file:line: message.
func (p Problems) Error() string {
	var b strings.Builder
	for i, x := range p {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s:%d: %s", x.File, x.Line, x.Message)
	}
	return b.String()
}

// shape checks a YAML document against a Kubernetes API type: fields that the type does not have, fields given twice
// and values of the wrong kind are problems, each where it is. Decoders of Kubernetes stop at the first and know no
// lines.
type shape struct {
	paths map[string]*yaml.Node // values by path, e.g. spec.next.patches[0].template
	lines map[string]int        // where the path's field begins: the line of its name
	found func(n *yaml.Node, format string, args ...any)
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func (s *shape) check(n *yaml.Node, t reflect.Type, path string) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	s.paths[path] = n
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // an absent value
	}
	if p := reflect.PointerTo(t); p.Implements(jsonUnmarshaler) || p.Implements(textUnmarshaler) {
		return // has a form of its own, which decoding checks
	}
	switch t.Kind() {
	case reflect.Struct:
		s.checkStruct(n, t, path)
	case reflect.Map:
		if s.kind(n, yaml.MappingNode, path) {
			s.pairs(n, func(key, value *yaml.Node) { s.check(value, t.Elem(), path+"."+key.Value) })
		}
	case reflect.Slice:
		if s.kind(n, yaml.SequenceNode, path) {
			for i, c := range n.Content {
				s.check(c, t.Elem(), fmt.Sprintf("%s[%d]", path, i))
			}
		}
	default:
		s.checkScalar(n, t, path)
	}
}

func (s *shape) checkStruct(n *yaml.Node, t reflect.Type, path string) {
	if !s.kind(n, yaml.MappingNode, path) {
		return
	}
	fields := map[string]reflect.Type{}
	var names []string
	jsonFields(t, func(name string, t reflect.Type) {
		fields[name] = t
		names = append(names, name)
	})
	s.pairs(n, func(key, value *yaml.Node) {
		ft, ok := fields[key.Value]
		if !ok {
			s.found(key, "unknown field %q%s; known are %s", key.Value, in(path), strings.Join(names, ", "))
			return
		}
		child := strings.TrimPrefix(path+"."+key.Value, ".")
		s.lines[child] = key.Line
		s.check(value, ft, child)
	})
}

// pairs calls fn for the fields of a mapping, merge keys resolved, and reports fields given twice.
func (s *shape) pairs(n *yaml.Node, fn func(key, value *yaml.Node)) {
	var seen []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" {
			s.found(key, "merge keys (<<) are not supported here; write the fields out")
			continue
		}
		if slices.Contains(seen, key.Value) {
			s.found(key, "field %q is given twice; keep one", key.Value)
			continue
		}
		seen = append(seen, key.Value)
		fn(key, value)
	}
}

func (s *shape) kind(n *yaml.Node, want yaml.Kind, path string) bool {
	if n.Kind == want {
		return true
	}
	s.found(n, "%s: want %s, found %s", strings.TrimPrefix(path, "."), kindName(want), kindName(n.Kind))
	return false
}

func (s *shape) checkScalar(n *yaml.Node, t reflect.Type, path string) {
	if !s.kind(n, yaml.ScalarNode, path) {
		return
	}
	want := map[reflect.Kind]string{
		reflect.String: "!!str", reflect.Bool: "!!bool", reflect.Int: "!!int", reflect.Int32: "!!int",
		reflect.Int64: "!!int",
	}[t.Kind()]
	if want == "" || n.Tag == want {
		return
	}
	switch want {
	case "!!str":
		s.found(n, "%s: want text, found %s; put it in quotes", path, n.Value)
	case "!!bool":
		s.found(n, "%s: want true or false, found %q", path, n.Value)
	default:
		s.found(n, "%s: want a whole number, found %q", path, n.Value)
	}
}

func kindName(k yaml.Kind) string {
	switch k {
	case yaml.MappingNode:
		return "fields (name: value)"
	case yaml.SequenceNode:
		return "a list"
	}
	return "one value"
}

func in(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

// jsonFields calls fn for the fields of a struct by their JSON names, embedded ones included, in order.
func jsonFields(t reflect.Type, fn func(name string, t reflect.Type)) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			jsonFields(f.Type, fn)
		case name != "" && name != "-":
			fn(name, f.Type)
		}
	}
}
