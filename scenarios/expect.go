package scenarios

import (
	"fmt"
	"reflect"
	"strings"

	"orrery/sim/result"
	"orrery/sim/strict"
)

// numberPath checks that a path of JSON names joined by dots leads to a number of result.json.
func numberPath(path string) error {
	t := reflect.TypeFor[result.Summary]()
	done := ""
	rest := path
	for {
		name, after, more := strings.Cut(rest, ".")
		fields := jsonFields(t)
		field, ok := fields[name]
		if ok && field.Kind() == reflect.Pointer {
			field = field.Elem() // a section that is there when it has something to say
		}
		if !ok {
			where := "result.json"
			if done != "" {
				where = strings.TrimSuffix(done, ".")
			}
			return fmt.Errorf("%q is not a number of result.json: %s has no field %q; %s", path, where, name,
				strict.Suggest(name, numericNames(t)))
		}
		if done += name; field.Kind() == reflect.Map && isNumber(field.Elem()) && more && after != "" {
			return nil // the rest is a key, e.g. the name of a plugin
		}
		if isNumber(field) && !more {
			return nil
		}
		if field.Kind() == reflect.Map && field.Elem().Kind() == reflect.Struct && after != "" {
			_, rest, more = strings.Cut(after, ".") // behind the key, e.g. the name of a layer
			if t, done = field.Elem(), path[:len(path)-len(rest)]; !more {
				return fmt.Errorf("%q is a group of numbers, not one; write e.g. %s.%s", path, path, numericNames(t)[0])
			}
			continue
		}
		if field.Kind() != reflect.Struct {
			return fmt.Errorf("%q is not a number of result.json; %s", path, endings(t, strings.TrimSuffix(done, name)))
		}
		if !more {
			return fmt.Errorf("%q is a group of numbers, not one; write e.g. %s.%s", path, path, numericNames(field)[0])
		}
		t, rest, done = field, after, done+"."
	}
}

func endings(t reflect.Type, prefix string) string {
	names := numericNames(t)
	if len(names) == 0 {
		return "nothing beside it is a number"
	}
	return fmt.Sprintf("write e.g. %s%s", prefix, names[0])
}

// jsonFields returns the fields of a struct by JSON name.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" && name != "-" {
			out[name] = t.Field(i).Type
		}
	}
	return out
}

// numericNames returns the JSON names of fields that are numbers or lead to numbers, in order of declaration.
func numericNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		typ := f.Type
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		numbers := isNumber(typ) || typ.Kind() == reflect.Struct && len(numericNames(typ)) > 0 ||
			typ.Kind() == reflect.Map && (isNumber(typ.Elem()) || typ.Elem().Kind() == reflect.Struct)
		if name != "" && name != "-" && numbers {
			names = append(names, name)
		}
	}
	return names
}

func isNumber(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint64, reflect.Float64:
		return true
	}
	return false
}
