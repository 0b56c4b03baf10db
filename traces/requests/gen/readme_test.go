package gen

import (
	"encoding"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	"orrery/sim/strict"
)

const (
	fieldsStart = "<!-- generator fields: written by go test ./traces/requests/gen -run TestReadme with ORRERY_REWRITE=1 -->\n"
	fieldsEnd   = "<!-- end of generator fields -->"
)

// TestReadme holds the tables of fields in traces/README.md to the comments in spec.go.
func TestReadme(t *testing.T) {
	const path = "../../README.md"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(data), fieldsStart)
	old, after, ok2 := strings.Cut(rest, fieldsEnd)
	if !ok1 || !ok2 {
		t.Fatal("the README has lost the marks around its tables of fields")
	}
	want := fieldTables(t)
	if old == want {
		return
	}
	if os.Getenv("ORRERY_REWRITE") == "" {
		t.Fatalf("the README's tables of fields are stale; set ORRERY_REWRITE=1 to write\n%s", want)
	}
	if err := os.WriteFile(path, []byte(before+fieldsStart+want+fieldsEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// comments returns the comments of types and fields, by "Type" and "Type.Field".
func comments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "spec.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	line := func(g *ast.CommentGroup) string {
		return strings.ReplaceAll(strings.Join(strings.Fields(g.Text()), " "), "|", "\\|")
	}
	ast.Inspect(file, func(n ast.Node) bool {
		decl, ok := n.(*ast.GenDecl)
		if !ok || decl.Tok != token.TYPE {
			return true
		}
		spec := decl.Specs[0].(*ast.TypeSpec)
		out[spec.Name.Name] = line(decl.Doc)
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			out[spec.Name.Name+"."+f.Names[0].Name] = line(f.Doc)
		}
		return true
	})
	return out
}

func fieldTables(t *testing.T) string {
	t.Helper()
	docs := comments(t)
	var b strings.Builder
	type block struct {
		path string
		typ  reflect.Type
	}
	queue, seen := []block{{"", reflect.TypeFor[Spec]()}}, map[reflect.Type]bool{}
	for ; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if seen[at.typ] {
			continue
		}
		seen[at.typ] = true
		title := "top level"
		if at.path != "" {
			title = "`" + at.path + "`"
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n| field | type | meaning |\n|---|---|---|\n", title, docs[at.typ.Name()])
		for _, f := range strict.Fields(at.typ) {
			doc := docs[at.typ.Name()+"."+f.Name]
			if doc == "" {
				t.Errorf("field %s of %s has no comment", f.Name, at.typ.Name())
			}
			typ, kind, path := f.Type, "", strings.TrimPrefix(at.path+"."+f.Key, ".")
			if typ.Kind() == reflect.Slice {
				typ, kind, path = typ.Elem(), "list of ", path+"[]"
			}
			if typ.Kind() == reflect.Pointer {
				typ = typ.Elem()
			}
			switch {
			case reflect.PointerTo(typ).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
				kind += "time"
			case typ.Kind() == reflect.Struct:
				kind += "fields"
				queue = append(queue, block{path, typ})
			case typ.Kind() == reflect.String:
				kind += "text"
			default:
				kind += "number"
			}
			if f.Tag.Get("required") != "" {
				kind += ", required"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Key, kind, doc)
		}
	}
	return b.String() + "\n"
}
