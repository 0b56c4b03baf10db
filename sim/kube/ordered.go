package kube

// ordered is a map that iterates in insertion order. Replacing a value keeps its place; a deleted key that comes back
// goes to the end. The zero value is empty.
type ordered[V any] struct {
	at    map[string]int
	slots []slot[V]
	dead  int
}

type slot[V any] struct {
	key  string
	val  V
	live bool
}

// get returns the value under key.
func (o *ordered[V]) get(key string) (V, bool) {
	if i, ok := o.at[key]; ok {
		return o.slots[i].val, true
	}
	var zero V
	return zero, false
}

// set stores val under key.
func (o *ordered[V]) set(key string, val V) {
	if i, ok := o.at[key]; ok {
		o.slots[i].val = val
		return
	}
	if o.at == nil {
		o.at = map[string]int{}
	}
	o.at[key] = len(o.slots)
	o.slots = append(o.slots, slot[V]{key, val, true})
}

// remove deletes key. Holes are squeezed out once they outnumber the values, so the amortised cost is constant.
func (o *ordered[V]) remove(key string) {
	i, ok := o.at[key]
	if !ok {
		return
	}
	delete(o.at, key)
	o.slots[i] = slot[V]{}
	o.dead++
	if o.dead <= 16 || o.dead*2 < len(o.slots) {
		return
	}
	live := o.slots[:0]
	for _, s := range o.slots {
		if s.live {
			o.at[s.key] = len(live)
			live = append(live, s)
		}
	}
	clear(o.slots[len(live):])
	o.slots, o.dead = live, 0
}

// len returns the number of values.
func (o *ordered[V]) len() int { return len(o.at) }

// keys returns the keys in order.
func (o *ordered[V]) keys() []string {
	out := make([]string, 0, len(o.at))
	for i := range o.slots {
		if o.slots[i].live {
			out = append(out, o.slots[i].key)
		}
	}
	return out
}

// values returns the values in order.
func (o *ordered[V]) values() []V {
	out := make([]V, 0, len(o.at))
	for i := range o.slots {
		if o.slots[i].live {
			out = append(out, o.slots[i].val)
		}
	}
	return out
}
