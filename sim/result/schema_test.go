package result

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("result.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("result.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

func summaryJSON(t *testing.T, s *Summary) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteJSON(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSchemaAcceptsSummaries(t *testing.T) {
	schema := compileSchema(t)
	full := example().Summary
	full.Journal = Journal{2, strings.Repeat("0a", 32)}
	bare := Summary{Schema: 1, EndReason: "horizon", Versions: map[string]string{}, Warnings: []Warning{},
		Scheduler: Scheduler{ByPlugin: map[string]int64{}}, Journal: full.Journal}
	for name, s := range map[string]*Summary{"full": &full, "bare": &bare} {
		if err := validate(t, schema, summaryJSON(t, s)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	schema := compileSchema(t)
	s := example().Summary
	s.Journal = Journal{2, strings.Repeat("0a", 32)}
	good := string(summaryJSON(t, &s))
	for name, edit := range map[string][2]string{
		"unknown-field": {`"seed": 7`, `"seed": 7, "sead": 7`},
		"missing":       {`"seed": 7,`, ``},
		"negative":      {`"submitted": 2`, `"submitted": -2`},
		"reason":        {`"drained"`, `"bored"`},
		"fraction":      {`"allocated_fraction": 0.25`, `"allocated_fraction": 1.25`},
		"hash":          {`0a0a`, `0x0a`},
	} {
		bad := strings.Replace(good, edit[0], edit[1], 1)
		if bad == good {
			t.Fatalf("%s changes nothing", name)
		}
		if err := validate(t, schema, []byte(bad)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// TestSchemaDescribesEveryField walks Summary's type and the schema side by side.
func TestSchemaDescribesEveryField(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	defs := root["$defs"].(map[string]any)
	var walk func(path string, typ reflect.Type, node map[string]any)
	walk = func(path string, typ reflect.Type, node map[string]any) {
		if d, _ := node["description"].(string); len(d) < 4 || !strings.HasSuffix(d, ".") {
			t.Errorf("%s: description %q is no sentence", path, d)
		}
		if ref, ok := node["$ref"].(string); ok {
			node = defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		}
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		switch typ.Kind() {
		case reflect.Map:
			if typ.Elem().Kind() == reflect.Struct {
				walk(path+"{}", typ.Elem(), node["additionalProperties"].(map[string]any))
			}
			return
		case reflect.Slice:
			walk(path+"[]", typ.Elem(), node["items"].(map[string]any))
			return
		case reflect.Struct:
		default:
			return
		}
		props, _ := node["properties"].(map[string]any)
		required := map[string]bool{}
		for _, name := range node["required"].([]any) {
			required[name.(string)] = true
		}
		if node["additionalProperties"] != false || len(props) != typ.NumField() {
			t.Errorf("%s: %d properties for %d fields, or open to others", path, len(props), typ.NumField())
		}
		for i := range typ.NumField() {
			name, opts, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			p, ok := props[name].(map[string]any)
			if !ok {
				t.Errorf("%s.%s is not in the schema", path, name)
				continue
			}
			if required[name] == (opts == "omitempty") {
				t.Errorf("%s.%s: required is %v, options are %q", path, name, required[name], opts)
			}
			walk(path+"."+name, typ.Field(i).Type, p)
		}
	}
	walk("summary", reflect.TypeFor[Summary](), root)
}
