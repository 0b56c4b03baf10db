package kube

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// Patches are applied to the fields they name only: the rest of the object is never turned into JSON, which makes the
// common patch of one condition several times cheaper and gives the same result, as a merge looks at nothing else.

// merger combines the generic form of an object, restricted to the fields a patch names, with the patch.
type merger struct {
	// directives says whether "$..." keys of a patch are directives.
	directives bool
	merge      func(obj any, before, patch map[string]any) (map[string]any, error)
}

// strategicMerge is Kubernetes' strategic merge patch.
var strategicMerge = merger{true, mergeStrategically}

// mergeStrategically calls upstream's merge, which panics on a merge key that is not a scalar; a real API server
// recovers from that too.
func mergeStrategically(obj any, before, patch map[string]any) (after map[string]any, err error) {
	meta, err := patchMeta(obj)
	if err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("merging: %v", r)
		}
	}()
	return strategicpatch.StrategicMergeMapPatchUsingLookupPatchMeta(before, patch, meta)
}

// plainMerge is the JSON merge patch of RFC 7386.
var plainMerge = merger{false, func(_ any, before, patch map[string]any) (map[string]any, error) {
	return mergeMap(before, patch), nil
}}

// patchMetas caches the merge keys of Go types, by type.
var patchMetas sync.Map

// patchMeta returns the merge keys of obj's type.
func patchMeta(obj any) (strategicpatch.LookupPatchMeta, error) {
	t := reflect.TypeOf(obj)
	if m, ok := patchMetas.Load(t); ok {
		return m.(strategicpatch.LookupPatchMeta), nil
	}
	m, err := strategicpatch.NewPatchMetaFromStruct(obj)
	if err != nil {
		return nil, err
	}
	patchMetas.Store(t, m)
	return m, nil
}

// mergeMap applies an RFC 7386 patch to a map.
func mergeMap(before, patch map[string]any) map[string]any {
	out := make(map[string]any, len(before)+len(patch))
	for k, v := range before {
		out[k] = v
	}
	for k, v := range patch {
		sub, isMap := v.(map[string]any)
		switch {
		case v == nil:
			delete(out, k)
		case isMap:
			have, _ := out[k].(map[string]any)
			out[k] = mergeMap(have, sub)
		default:
			out[k] = v
		}
	}
	return out
}

// mergeInto patches obj in place.
func mergeInto(obj runtime.Object, data []byte, m merger) error {
	var patch map[string]any
	if err := utiljson.Unmarshal(data, &patch); err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("decoding the patch: %v", err))
	}
	v := reflect.ValueOf(obj).Elem()
	part := partOf(v.Type(), patch, m.directives)
	before, err := part.extract(v)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	after, err := m.merge(obj, before, patch)
	if err != nil {
		return invalidPatch(data, err)
	}
	if err := part.inject(v, after); err != nil {
		return invalidPatch(data, err)
	}
	return nil
}

// part is the set of fields of a struct type that a patch touches. A field is either taken whole or, if it is a
// struct of which the patch names some fields, in part.
type part struct {
	fields []partField
}

type partField struct {
	name  string
	index []int
	sub   *part // nil: whole
}

// partOf finds the fields a patch touches. Keys that are no field are ignored, as upstream does when it does not
// validate strictly.
func partOf(t reflect.Type, patch map[string]any, directives bool) *part {
	known := jsonFields(t)
	out := &part{}
	seen := map[string]bool{}
	add := func(name string, v any) {
		index, ok := known[name]
		if !ok || seen[name] {
			return
		}
		seen[name] = true
		f := partField{name: name, index: index}
		ft := t.FieldByIndex(index).Type
		if sub, isMap := v.(map[string]any); isMap && ft.Kind() == reflect.Struct && plainStruct(ft) {
			f.sub = partOf(ft, sub, directives)
		}
		out.fields = append(out.fields, f)
	}
	for key := range patch {
		if directives && strings.HasPrefix(key, "$") && !strings.Contains(key, "/") {
			for name := range known { // $patch, $retainKeys: about all fields, and all of each
				add(name, nil)
			}
		}
	}
	for key, v := range patch {
		if _, name, ok := strings.Cut(key, "/"); ok && directives && key[0] == '$' {
			add(name, patch[name]) // $setElementOrder/<field>, $deleteFromPrimitiveList/<field>
			continue
		}
		add(key, v)
	}
	return out
}

// fieldCache caches jsonFields by type.
var fieldCache sync.Map

// jsonFields maps the JSON names of a struct's fields to their indexes, through inlined structs.
func jsonFields(t reflect.Type) map[string][]int {
	if m, ok := fieldCache.Load(t); ok {
		return m.(map[string][]int)
	}
	out := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() || name == "" {
			continue
		}
		if len(f.Index) > 1 && !inlined(t, f.Index) {
			continue
		}
		out[name] = f.Index
	}
	fieldCache.Store(t, out)
	return out
}

// inlined reports whether the structs on the way to a promoted field have no JSON name of their own.
func inlined(t reflect.Type, index []int) bool {
	for i := 1; i < len(index); i++ {
		f := t.FieldByIndex(index[:i])
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" || f.Type.Kind() != reflect.Struct {
			return false
		}
	}
	return true
}

var unmarshalerInterface = reflect.TypeFor[json.Unmarshaler]()

// plainStruct reports whether JSON of t is an object with its fields.
func plainStruct(t reflect.Type) bool { return !reflect.PointerTo(t).Implements(unmarshalerInterface) }

// extract returns the generic form of the part.
func (p *part) extract(v reflect.Value) (map[string]any, error) {
	out := make(map[string]any, len(p.fields))
	for _, f := range p.fields {
		fv := v.FieldByIndex(f.index)
		if f.sub != nil {
			sub, err := f.sub.extract(fv)
			if err != nil {
				return nil, err
			}
			out[f.name] = sub
			continue
		}
		if fv.IsZero() {
			continue
		}
		data, err := json.Marshal(fv.Addr().Interface())
		if err != nil {
			return nil, err
		}
		var generic any
		if err := utiljson.Unmarshal(data, &generic); err != nil {
			return nil, err
		}
		out[f.name] = generic
	}
	return out, nil
}

// inject writes the generic form of the part back.
func (p *part) inject(v reflect.Value, from map[string]any) error {
	for _, f := range p.fields {
		fv := v.FieldByIndex(f.index)
		val, ok := from[f.name]
		if !ok || val == nil {
			fv.SetZero()
			continue
		}
		if sub, isMap := val.(map[string]any); isMap && f.sub != nil {
			if err := f.sub.inject(fv, sub); err != nil {
				return err
			}
			continue
		}
		data, err := json.Marshal(val)
		if err != nil {
			return err
		}
		fresh := reflect.New(fv.Type())
		if err := json.Unmarshal(data, fresh.Interface()); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		fv.Set(fresh.Elem())
	}
	return nil
}

// newLike returns an empty object of obj's type.
func newLike(obj runtime.Object) runtime.Object {
	return reflect.New(reflect.TypeOf(obj).Elem()).Interface().(runtime.Object)
}
