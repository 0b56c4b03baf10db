package tidy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const (
	linesPerFile     = 500
	linesPerFunction = 70
	columns          = 120
)

// file is a parsed Go file of the repository.
type file struct {
	path string // slash-separated, relative to the repository's root
	text string
	fset *token.FileSet
	ast  *ast.File
}

func (f file) test() bool { return strings.HasSuffix(f.path, "_test.go") }

// layer says what the packages below a folder may import. The first entry that matches a file's folder counts.
type layer struct {
	folder string
	may    []string // project folders, prefixes
	third  []string // restricted third-party prefixes
}

const (
	kubernetes = "k8s.io/"
	sigs       = "sigs.k8s.io/"
	echarts    = "github.com/go-echarts/"
)

// layers is the project's architecture: an import only goes down.
var layers = []layer{
	{"cmd", []string{"cmd", "reports", "scenarios", "traces", "sim"}, nil},
	{"reports/html", []string{"reports", "sim/result", "sim/units"}, []string{echarts}},
	{"reports", []string{"reports", "sim/result", "sim/units"}, nil},
	{"scenarios", []string{"scenarios", "traces", "sim/catalog", "sim/cost", "sim/mig", "sim/model", "sim/plan", "sim/rng",
		"sim/topology", "sim/units", "sim/journal", "sim/result", "sim/strict"}, nil},
	{"traces", []string{"traces", "sim/model/exact", "sim/rng", "sim/units", "sim/strict"}, nil},
	{"sim/policy", []string{"sim/policy", "sim/kube", "sim/engine", "sim/journal", "sim/plan", "sim/rng", "sim/units"},
		[]string{kubernetes, sigs}},
	{"sim/kwok", []string{"sim/kwok", "sim/kube", "sim/fleet", "sim/mig", "sim/engine", "sim/journal", "sim/plan",
		"sim/rng", "sim/units", "sim/strict"}, []string{kubernetes, sigs}},
	{"sim/kube", []string{"sim/kube", "sim/strict", "sim/units"}, []string{kubernetes, sigs}},
	{"sim/bench", []string{"sim", "scenarios", "traces"}, []string{kubernetes, sigs}},
	{"sim/account", []string{"sim/account", "sim/journal", "sim/result", "sim/sketch", "sim/units"}, nil},
	{"sim/cost", []string{"sim/cost", "sim/result", "sim/units", "sim/strict"}, nil},
	{"sim/catalog", []string{"sim/catalog", "sim/cost", "sim/strict", "sim/units"}, nil},
	{"sim/model", []string{"sim/model", "sim/catalog", "sim/topology", "sim/mig", "sim/fleet", "sim/plan", "sim/rng",
		"sim/units", "sim/strict"}, nil},
	{"sim/fleet", []string{"sim/fleet", "sim/mig", "sim/journal", "sim/units"}, nil},
	{"sim/serving", []string{"sim/serving", "sim/model", "sim/journal", "sim/plan", "sim/rng", "sim/sketch", "sim/units"}, nil},
	{"sim/topology", []string{"sim/topology", "sim/plan", "sim/units"}, nil},
	{"sim/mig", []string{"sim/mig", "sim/strict", "sim/units"}, nil},
	{"sim/workload", []string{"sim/workload", "sim/engine", "sim/journal", "sim/plan", "sim/units"}, nil},
	{"sim/plan", []string{"sim/units"}, nil},
	{"sim/engine", []string{"sim/units"}, nil},
	{"sim/journal", []string{"sim/units"}, nil},
	{"sim/result", []string{"sim/journal", "sim/units"}, nil},
	{"sim/sketch", nil, nil},
	{"sim/strict", nil, nil},
	{"sim/tidy", nil, nil},
	{"sim/rng", nil, nil},
	{"sim/units", nil, nil},
	// sim itself is the only place where all parts meet; it hands objects between them.
	{"sim", []string{"sim"}, []string{kubernetes, sigs}},
}

// banned are calls that would make a run depend on the wall clock, the host or a global generator.
var banned = []struct {
	call   *regexp.Regexp
	under  string
	except []string
	say    string
}{
	{regexp.MustCompile(`\btime\.(Now|Since|Until|Sleep|After|Tick)\(`), "sim/",
		[]string{"sim/engine/", "sim/policy/kubescheduler/", "sim/bench/", "sim/execute.go"},
		"use engine.Now, engine.Clock and engine.After"},
	{regexp.MustCompile(`\brand\.(Int|Intn|Float64|Perm|Shuffle|Int63|IntN|N)\(`), "sim/", nil,
		"take a stream of sim/rng"},
	{regexp.MustCompile(`\bos\.(Getenv|LookupEnv|Environ)\(`), "sim/", nil, "take it as a parameter"},
	{regexp.MustCompile(`\bos\.Exit\(`), "", []string{"cmd/"}, "return an error; only cmd exits"},
	{regexp.MustCompile(`(?m)^func init\(\)`), "", nil, "register in an explicit list"},
	{regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`), "", []string{"sim/tidy/tidy_test.go"}, "finish it"},
}

func repository(t *testing.T) []file {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var files []file
	for _, top := range []string{"cmd", "sim", "scenarios", "traces", "reports"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fset := token.NewFileSet()
			tree, err := parser.ParseFile(fset, path, text, parser.ParseComments)
			if err != nil {
				return err
			}
			rel, _ := filepath.Rel(root, path)
			files = append(files, file{filepath.ToSlash(rel), string(text), fset, tree})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(files) < 50 {
		t.Fatalf("only %d Go files found: the walk is broken", len(files))
	}
	return files
}

// TestLayers checks that an import only goes down, and that Kubernetes and the chart library stay where they belong.
func TestLayers(t *testing.T) {
	for _, f := range repository(t) {
		l, ok := layerOf(f.path)
		if !ok {
			t.Errorf("%s: its folder is in no layer: add it to the list in sim/tidy/tidy_test.go", f.path)
			continue
		}
		if f.test() {
			continue // a test may look at anything below or beside
		}
		for _, imp := range f.ast.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			if msg := l.refuses(path); msg != "" {
				t.Errorf("%s: imports %s: %s", f.fset.Position(imp.Pos()), path, msg)
			}
		}
	}
}

func layerOf(path string) (layer, bool) {
	for _, l := range layers {
		if strings.HasPrefix(path, l.folder+"/") {
			return l, true
		}
	}
	return layer{}, false
}

func (l layer) refuses(path string) string {
	if own, ok := strings.CutPrefix(path, "orrery/"); ok {
		for _, m := range l.may {
			if own == m || strings.HasPrefix(own, m+"/") {
				return ""
			}
		}
		return fmt.Sprintf("%s may import only %v", l.folder, l.may)
	}
	for _, r := range []string{kubernetes, sigs, echarts} {
		if !strings.HasPrefix(path, r) {
			continue
		}
		for _, m := range l.third {
			if m == r {
				return ""
			}
		}
		return "this library stays in its own layer"
	}
	return ""
}

// TestSizes checks the limits on files, functions and lines.
func TestSizes(t *testing.T) {
	for _, f := range repository(t) {
		lines := strings.Split(f.text, "\n")
		if len(lines) > linesPerFile+1 {
			t.Errorf("%s: %d lines, limit %d: split it by topic", f.path, len(lines), linesPerFile)
		}
		for i, l := range lines {
			if n := len([]rune(l)); n > columns && !f.test() && !strings.Contains(l, "`") {
				t.Errorf("%s:%d: %d columns, limit %d", f.path, i+1, n, columns)
			}
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil || f.test() {
				continue
			}
			if n := f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line + 1; n > linesPerFunction {
				t.Errorf("%s: %s has %d lines, limit %d", f.fset.Position(fn.Pos()), fn.Name.Name, n, linesPerFunction)
			}
		}
	}
}

// TestBannedCalls checks that nothing under sim reads the wall clock, the environment or global randomness.
func TestBannedCalls(t *testing.T) {
	for _, f := range repository(t) {
		for _, b := range banned {
			if f.test() && b.under != "" || !strings.HasPrefix(f.path, b.under) || excepted(f.path, b.except) {
				continue
			}
			for i, line := range strings.Split(f.text, "\n") {
				code, _, _ := strings.Cut(line, "// ")
				if strings.Contains(b.say, "finish") {
					code = line
				}
				if m := b.call.FindString(code); m != "" {
					t.Errorf("%s:%d: %s: %s", f.path, i+1, m, b.say)
				}
			}
		}
	}
}

func excepted(path string, except []string) bool {
	for _, e := range except {
		if strings.HasPrefix(path, e) {
			return true
		}
	}
	return false
}

// TestDocumented checks that exported names and packages carry a comment.
func TestDocumented(t *testing.T) {
	documented := map[string]bool{}
	packages := map[string]string{}
	for _, f := range repository(t) {
		if f.test() {
			continue
		}
		dir := filepath.Dir(f.path)
		packages[dir] = f.ast.Name.Name
		if f.ast.Doc != nil {
			documented[dir] = true
		}
		for _, d := range f.ast.Decls {
			for _, name := range undocumented(d) {
				t.Errorf("%s: exported %s has no comment", f.fset.Position(d.Pos()), name)
			}
		}
	}
	for dir, name := range packages {
		if !documented[dir] {
			t.Errorf("%s: package %s has no package comment", dir, name)
		}
	}
}

func undocumented(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || exportedReceiver(d)) && !obvious[d.Name.Name] {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					names = append(names, s.Name.Name)
				}
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if n.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}

// obvious are methods whose meaning a well-known interface fixes.
var obvious = map[string]bool{"Error": true, "String": true, "Kind": true, "Len": true, "Less": true, "Swap": true,
	"Close": true, "Read": true, "Write": true, "Unwrap": true, "DeepCopyObject": true, "GetObjectKind": true,
	"MarshalJSON": true, "UnmarshalJSON": true, "UnmarshalYAML": true, "MarshalYAML": true, "RoundTrip": true}

func exportedReceiver(d *ast.FuncDecl) bool {
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}
