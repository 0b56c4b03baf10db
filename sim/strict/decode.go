package strict

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Defaulter is a type whose values have defaults; Decode calls it on every new list element and map value.
type Defaulter interface{ SetDefaults() }

// NodeDecoder is a type that decodes itself. It reports problems with Doc.Problemf(path, …).
type NodeDecoder interface {
	DecodeNode(d *Doc, n *yaml.Node, path string)
}

var nodeType = reflect.TypeFor[yaml.Node]()

// Decode fills target, a pointer to a struct that holds its defaults. Problems are kept in the document.
func (d *Doc) Decode(target any) { d.DecodeAt(d.Root, "", target) }

// DecodeAt fills target from a node of the document; path is the node's own.
func (d *Doc) DecodeAt(n *yaml.Node, path string, target any) {
	d.decode(n, path, reflect.ValueOf(target).Elem(), "")
}

func (d *Doc) decode(n *yaml.Node, path string, v reflect.Value, tag reflect.StructTag) {
	d.paths[path] = n
	if v.Type() == nodeType {
		v.Set(reflect.ValueOf(*n))
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		d.fail(n, named(path)+" has no value; give one or remove the line")
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		setDefaults(v)
		d.decode(n, path, v.Elem(), tag)
		return
	}
	switch t := v.Addr().Interface().(type) {
	case NodeDecoder:
		t.DecodeNode(d, n, path)
		return
	case encoding.TextUnmarshaler:
		if n.Kind != yaml.ScalarNode {
			d.fail(n, fmt.Sprintf("%s: want one value, found %s", named(path), kindOf(n)))
		} else if err := t.UnmarshalText([]byte(n.Value)); err != nil {
			d.fail(n, fmt.Sprintf("%s: %v", named(path), err))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.decodeStruct(n, path, v)
	case reflect.Slice:
		d.decodeSlice(n, path, v, tag)
	case reflect.Map:
		d.decodeMap(n, path, v)
	default:
		d.decodeScalar(n, path, v, tag)
	}
}

func setDefaults(pointer reflect.Value) {
	if t, ok := pointer.Interface().(Defaulter); ok {
		t.SetDefaults()
	}
}

func (d *Doc) decodeStruct(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, fmt.Sprintf("%s: want fields (name: value), found %s", named(path), kindOf(n)))
		return
	}
	fields := Fields(v.Type())
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !d.keyOK(key, seen) {
			continue
		}
		field, ok := fields.find(key.Value)
		if !ok {
			d.add(key, unknownField(key.Value, path, fields))
			continue
		}
		if fv := v.FieldByIndex(field.Index); fv.Kind() == reflect.Slice && fv.Len() > 0 {
			fv.SetZero() // a list replaces its default, it does not extend it
		}
		d.decode(value, join(path, key.Value), v.FieldByIndex(field.Index), field.Tag)
	}
	for _, f := range fields {
		if _, given := seen[f.Key]; !given && f.Tag.Get("required") == "true" {
			d.add(n, fmt.Sprintf("%s is missing; add it", named(join(path, f.Key))))
		}
	}
}

// keyOK checks the key of a mapping: text, written once.
func (d *Doc) keyOK(key *yaml.Node, seen map[string]int) bool {
	if key.Kind != yaml.ScalarNode {
		d.add(key, fmt.Sprintf("want a field name, found %s", kindOf(key)))
		return false
	}
	if key.Tag == "!!merge" {
		d.add(key, "merge keys (<<) are not supported; write the fields out, or use an alias for a whole value")
		return false
	}
	if line, twice := seen[key.Value]; twice {
		d.add(key, fmt.Sprintf("field %q is given twice, first on line %d; keep one", key.Value, line))
		return false
	}
	seen[key.Value] = key.Line
	return true
}

func unknownField(name, path string, fields FieldList) string {
	where := ""
	if path != "" {
		where = " in " + path
	}
	return fmt.Sprintf("unknown field %q%s; %s", name, where, Suggest(name, fields.names()))
}

func (d *Doc) decodeSlice(n *yaml.Node, path string, v reflect.Value, tag reflect.StructTag) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n, fmt.Sprintf("%s: want a list ([a, b] or lines beginning with \"- \"), found %s", named(path),
			kindOf(n)))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, child := range n.Content {
		setDefaults(v.Index(i).Addr())
		d.decode(child, fmt.Sprintf("%s[%d]", path, i), v.Index(i), tag)
	}
}

func (d *Doc) decodeMap(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, fmt.Sprintf("%s: want fields (name: value), found %s", named(path), kindOf(n)))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !d.keyOK(key, seen) {
			continue
		}
		elem := reflect.New(v.Type().Elem())
		setDefaults(elem)
		d.decode(value, join(path, key.Value), elem.Elem(), "")
		v.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), elem.Elem())
	}
}

func (d *Doc) decodeScalar(n *yaml.Node, path string, v reflect.Value, tag reflect.StructTag) {
	bad := func(want string) { d.fail(n, fmt.Sprintf("%s: want %s, found %s", named(path), want, kindOf(n))) }
	switch v.Kind() {
	case reflect.String:
		d.decodeString(n, path, v, tag)
	case reflect.Bool:
		b, err := strconv.ParseBool(n.Value)
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || err != nil {
			bad("true or false")
			return
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int32, reflect.Int64:
		var i int64
		if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || n.Decode(&i) != nil || v.OverflowInt(i) {
			bad("a whole number")
			return
		}
		v.SetInt(i)
		d.checkRange(n, path, float64(i), tag)
	case reflect.Uint64:
		var u uint64
		if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || n.Decode(&u) != nil {
			bad("a whole number from 0 to 18446744073709551615")
			return
		}
		v.SetUint(u)
	case reflect.Float64:
		var f float64
		number := n.Tag == "!!int" || n.Tag == "!!float"
		if n.Kind != yaml.ScalarNode || !number || n.Decode(&f) != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			bad("a number")
			return
		}
		v.SetFloat(f)
		d.checkRange(n, path, f, tag)
	default:
		panic(fmt.Sprintf("strict: field %s has the unsupported type %s", path, v.Type()))
	}
}

func (d *Doc) decodeString(n *yaml.Node, path string, v reflect.Value, tag reflect.StructTag) {
	if n.Kind != yaml.ScalarNode {
		d.fail(n, fmt.Sprintf("%s: want text, found %s", named(path), kindOf(n)))
		return
	}
	if n.Tag != "!!str" && n.Tag != "!!timestamp" {
		d.fail(n, fmt.Sprintf("%s: want text, found %s; put it in quotes: %q", named(path), kindOf(n), n.Value))
		return
	}
	v.SetString(n.Value)
	if enum := tag.Get("enum"); enum != "" {
		allowed := strings.Split(enum, "|")
		for _, a := range allowed {
			if a == n.Value {
				return
			}
		}
		allowed = slices.DeleteFunc(allowed, func(a string) bool { return a == "" }) // which is to leave the field out
		d.fail(n, fmt.Sprintf("%s: %q is not one of its values; %s", named(path), shorten(n.Value), Suggest(n.Value,
			allowed)))
		return
	}
	d.checkRange(n, path, float64(len(n.Value)), tag)
}

// checkRange reports a number, or the length of a text, outside the bounds of the field's tags.
func (d *Doc) checkRange(n *yaml.Node, path string, f float64, tag reflect.StructTag) {
	what := func() string {
		if n.Tag == "!!str" {
			if n.Value == "" {
				return "is empty"
			}
			return "is too long"
		}
		return n.Value + " is out of range"
	}
	lo, hi := tag.Get("min"), tag.Get("max")
	low, high := math.Inf(-1), math.Inf(1)
	if lo != "" {
		low, _ = strconv.ParseFloat(lo, 64)
	}
	if hi != "" {
		high, _ = strconv.ParseFloat(hi, 64)
	}
	if f >= low && f <= high {
		return
	}
	unit := ""
	if n.Tag == "!!str" {
		unit = " characters"
	}
	switch {
	case hi == "":
		d.fail(n, fmt.Sprintf("%s: %s; want at least %s%s", named(path), what(), lo, unit))
	case lo == "":
		d.fail(n, fmt.Sprintf("%s: %s; want at most %s%s", named(path), what(), hi, unit))
	default:
		d.fail(n, fmt.Sprintf("%s: %s; want %s to %s%s", named(path), what(), lo, hi, unit))
	}
}

func named(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}

func join(path, key string) string {
	if strings.ContainsAny(key, ".[]\"") {
		return path + "[" + strconv.Quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
