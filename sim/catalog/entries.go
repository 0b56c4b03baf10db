package catalog

import (
	"fmt"
	"strings"
)

// entries is the keys and aliases of one kind of entry, and which file gave each last.
type entries struct {
	what  string            // "GPU", …
	index map[string]int    // key → index
	file  map[string]string // key → file that gave it last
	owner map[string]string // lower-case key or alias → key
}

func newEntries(what string) *entries {
	return &entries{what: what, index: map[string]int{}, file: map[string]string{}, owner: map[string]string{}}
}

// again reports a key that is malformed, or in the file a second time; in the latter case it returns true.
func (e *entries) again(d document, path, key string) bool {
	if e.file[key] == d.File {
		d.Problemf(path+".key", "%s %q is in this file twice; keep one entry", e.what, key)
		return true
	}
	if !keyForm.MatchString(key) {
		d.Problemf(path+".key", "the key %q is not made of a-z, 0-9 and -; write it like h100-sxm", key)
	}
	return false
}

// put claims the names of an entry and adds it to the list, or puts it in the place of one of an earlier file. A name
// may mean one entry only.
func put[T any](e *entries, list []T, d document, path string, entry T, key string, aliases []string) []T {
	for i, name := range append([]string{key}, aliases...) {
		at := path + ".key"
		if i > 0 {
			at = fmt.Sprintf("%s.aliases[%d]", path, i-1)
		}
		lower := strings.ToLower(name)
		if other, taken := e.owner[lower]; taken && other != key {
			d.Problemf(at, "the name %q already means %s %q; choose another", name, e.what, other)
			continue
		}
		e.owner[lower] = key
	}
	e.file[key] = d.File
	if i, ok := e.index[key]; ok {
		list[i] = entry
		return list
	}
	e.index[key] = len(list)
	return append(list, entry)
}

// names returns lower-case key or alias → index.
func (e *entries) names() map[string]int {
	out := map[string]int{}
	for name, key := range e.owner {
		out[name] = e.index[key]
	}
	return out
}
