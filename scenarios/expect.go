package scenarios

import (
	"fmt"
	"reflect"
	"strings"

	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/strict"
)

// numberPath checks that a path of JSON names joined by dots leads to a number of the result.json of this scenario.
func (s *Scenario) numberPath(path string) error {
	if err := numberPath(path); err != nil {
		return err
	}
	for _, x := range []struct {
		prefix, what string
		keys         []string
	}{{"serving.services.", "service", s.serviceNames()}, {"starts.stage_seconds.", "stage of a start", startStages},
		{"machines.step_seconds.", "state of a machine", machineStates}} {
		rest, ok := strings.CutPrefix(path, x.prefix)
		if !ok {
			continue
		}
		if key, _, _ := strings.Cut(rest, "."); len(x.keys) == 0 {
			return fmt.Errorf("%q: the scenario has no %s; remove the bound, or add one", path, x.what)
		} else if !contains(x.keys, key) {
			return fmt.Errorf("%q: there is no %s %q; %s", path, x.what, key, strict.Suggest(key, x.keys))
		}
	}
	if section, _, _ := strings.Cut(path, "."); len(s.Services) == 0 && (section == "serving" || section == "starts") {
		return fmt.Errorf("%q: the scenario has no services, so its result has no %s; remove the bound, or add services",
			path, section)
	}
	return nil
}

func (s *Scenario) serviceNames() (names []string) {
	for i := range s.Services {
		names = append(names, s.Services[i].Name)
	}
	return names
}

// Keys of maps in result.json that are known before a run.
var (
	startStages = []string{journal.StageSandbox, journal.StageImage, journal.StageWeights, journal.StageEngine,
		journal.StageSnapshot, journal.StageJoin}
	machineStates = []string{journal.MachineFailed, journal.MachineLaunched, journal.MachineRegistered,
		journal.MachineDriver, journal.MachineReady, journal.MachineInterrupted, journal.MachineTerminating,
		journal.MachineGone}
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
