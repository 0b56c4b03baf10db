package scenarios

import (
	"encoding"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"orrery/sim/strict"
)

const (
	tablesBegin = "<!-- begin generated: fields -->\n"
	tablesEnd   = "<!-- end generated: fields -->\n"
	listBegin   = "<!-- begin generated: library -->\n"
	listEnd     = "<!-- end generated: library -->\n"
)

// TestReadme keeps the tables of README.md equal to the comments and tags of the structs and to the library. Run the
// tests with -rewrite to write them anew.
func TestReadme(t *testing.T) {
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := between(t, string(data), tablesBegin, tablesEnd, fieldTables(t))
	text = between(t, text, listBegin, listEnd, libraryTable())
	if text == string(data) {
		return
	}
	if f := flag.Lookup("rewrite"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile("README.md", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Error("README.md is not up to date; run: go test ./scenarios -run TestReadme -rewrite")
}

func between(t *testing.T, text, begin, end, body string) string {
	t.Helper()
	before, rest, ok := strings.Cut(text, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("README.md lacks %s… %s", begin, end)
	}
	return before + begin + body + end + after
}

func libraryTable() string {
	var b strings.Builder
	b.WriteString("| name | what it shows |\n|---|---|\n")
	for _, e := range List() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", e.Name, e.Description)
	}
	return b.String()
}

// docs returns the comments of struct fields by "Struct.Field" and of structs by "Struct".
func docs(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var decls []ast.Decl
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		decls = append(decls, file.Decls...)
	}
	out := map[string]string{}
	for _, decl := range decls {
		g, ok := decl.(*ast.GenDecl)
		if !ok || g.Tok != token.TYPE {
			continue
		}
		for _, spec := range g.Specs {
			ts := spec.(*ast.TypeSpec)
			st, ok := ts.Type.(*ast.StructType)
			if !ok {
				continue
			}
			out[ts.Name.Name] = oneLine(g.Doc.Text())
			for _, f := range st.Fields.List {
				if f.Doc != nil && len(f.Names) == 1 {
					out[ts.Name.Name+"."+f.Names[0].Name] = oneLine(f.Doc.Text())
				}
			}
		}
	}
	return out
}

func oneLine(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", "\\|")
}

// fieldTables writes one table for each struct, in the order in which they are met.
func fieldTables(t *testing.T) string {
	comments := docs(t)
	var b strings.Builder
	type block struct {
		path string
		t    reflect.Type
	}
	queue := []block{{"", reflect.TypeFor[Scenario]()}}
	seen := map[reflect.Type]bool{}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if seen[at.t] {
			continue
		}
		seen[at.t] = true
		title := at.path
		if title == "" {
			title = "top level"
		}
		fmt.Fprintf(&b, "\n### `%s`\n\n%s\n\n| field | type | default | meaning |\n|---|---|---|---|\n", title,
			comments[at.t.Name()])
		def := reflect.New(at.t)
		if d, ok := def.Interface().(strict.Defaulter); ok {
			d.SetDefaults()
		}
		for _, f := range strict.Fields(at.t) {
			doc := comments[at.t.Name()+"."+f.Name]
			if doc == "" {
				t.Errorf("field %s of %s has no comment", f.Name, at.t.Name())
			}
			name, elem := typeName(f)
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Key, name, defaultText(f, def.Elem().FieldByIndex(f.Index)), doc)
			if elem.Kind() == reflect.Struct && elem.PkgPath() == at.t.PkgPath() && !isScalar(elem) {
				path := strings.TrimPrefix(at.path+"."+f.Key, ".")
				switch f.Type.Kind() {
				case reflect.Slice:
					path += "[]"
				case reflect.Map:
					path += ".*"
				}
				queue = append(queue, block{path, elem})
			}
		}
	}
	return b.String() + "\n"
}

func isScalar(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) || t == reflect.TypeFor[File]() ||
		t == reflect.TypeFor[GPUSet]()
}

// typeName names the type of a field for readers, and returns its innermost type.
func typeName(f strict.Field) (string, reflect.Type) {
	t := f.Type
	prefix := ""
	for {
		switch {
		case t.Kind() == reflect.Pointer:
			t = t.Elem()
			continue
		case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
			prefix, t = prefix+"list of ", t.Elem()
			continue
		case t.Kind() == reflect.Map:
			prefix, t = prefix+"map to ", t.Elem()
			continue
		}
		break
	}
	if enum := f.Tag.Get("enum"); enum != "" {
		return strings.ReplaceAll(strings.TrimPrefix(enum, "|"), "|", ", "), t
	}
	name := map[reflect.Type]string{
		reflect.TypeFor[Duration](): "duration", reflect.TypeFor[Time](): "time", reflect.TypeFor[CPU](): "cpu",
		reflect.TypeFor[Memory](): "memory", reflect.TypeFor[File](): "file", reflect.TypeFor[GPUSet](): "GPUs", reflect.TypeFor[yaml.Node](): "fields",
	}[t]
	if name == "" {
		name = map[reflect.Kind]string{reflect.String: "text", reflect.Bool: "bool", reflect.Int: "integer",
			reflect.Int64: "integer", reflect.Uint64: "integer", reflect.Float64: "number",
			reflect.Struct: "fields"}[t.Kind()]
	}
	if lo, hi := f.Tag.Get("min"), f.Tag.Get("max"); hi != "" {
		name += fmt.Sprintf(", %s to %s", lo, hi)
	}
	return prefix + name, t
}

func defaultText(f strict.Field, v reflect.Value) string {
	if f.Tag.Get("required") == "true" {
		return "required"
	}
	if unless := f.Tag.Get("required"); unless != "" { // checked by the scenario itself
		return "required " + unless
	}
	inner := v.Type()
	if v.Kind() == reflect.Struct && !isScalar(inner) || v.Kind() == reflect.Pointer {
		return ""
	}
	if list, ok := v.Interface().([]string); ok && len(list) > 0 {
		return "`[" + strings.Join(list, ", ") + "]`"
	}
	data, err := yaml.Marshal(v.Interface())
	if err != nil {
		return "?"
	}
	text := strings.TrimSpace(string(data))
	if text == `""` || text == "[]" || text == "{}" {
		return ""
	}
	return "`" + text + "`"
}
