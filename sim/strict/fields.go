package strict

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Field is a field of a struct as it is called in YAML.
type Field struct {
	Key string
	reflect.StructField
}

// FieldList is the fields of a struct in the order of declaration.
type FieldList []Field

// Fields returns the fields of a struct type that have a yaml name.
func Fields(t reflect.Type) FieldList {
	var list FieldList
	for i := range t.NumField() {
		f := t.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key != "" && key != "-" && f.IsExported() {
			list = append(list, Field{key, f})
		}
	}
	return list
}

func (l FieldList) find(key string) (Field, bool) {
	for _, f := range l {
		if f.Key == key {
			return f, true
		}
	}
	return Field{}, false
}

func (l FieldList) names() []string {
	names := make([]string, len(l))
	for i, f := range l {
		names[i] = f.Key
	}
	return names
}

// suggestMax is how many names a message lists when none is close.
const suggestMax = 24

// Suggest words what to write instead of an unknown name: the closest allowed name if one is close, else all of them
// if they are few.
func Suggest(name string, allowed []string) string {
	best, bestDistance := "", 1+max(1, len(name)/3)
	for _, a := range allowed {
		if strings.EqualFold(a, name) {
			best = a
			break
		}
		if dist := distance(strings.ToLower(name), strings.ToLower(a)); dist < bestDistance {
			best, bestDistance = a, dist
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("did you mean %q?", best)
	case len(allowed) == 0:
		return "none is allowed here"
	case len(allowed) <= suggestMax:
		return "want one of: " + strings.Join(allowed, ", ")
	}
	sorted := slices.Sorted(slices.Values(allowed))
	return fmt.Sprintf("want one of: %s, … (%d in all)", strings.Join(sorted[:suggestMax], ", "), len(sorted))
}

// distance is the Levenshtein distance with swaps of neighbours counted as one change.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
