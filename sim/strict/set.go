package strict

import (
	"fmt"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// step is one part of an override's path: a field name or a list index.
type step struct {
	key   string
	index int // -1 for a field
}

// Set applies an override of the form path=value, given by flag (e.g. "--set"), before Decode. A path is field names
// joined by dots; a list element is named by its index, pools[0], or by the value of its field name, pools.a100; a
// field whose name holds dots is quoted, expect["queue_wait_seconds.p95"]. The value is YAML. Fields that do not
// exist yet are added; unknown ones are then found by Decode. Problems are kept in the document and name the flag.
func (d *Doc) Set(flag, expr string) {
	origin := flag + " " + expr
	fail := func(format string, args ...any) {
		n := &yaml.Node{}
		d.origins[n] = origin
		d.add(n, fmt.Sprintf(format, args...))
	}
	path, text, ok := cutAssignment(expr)
	if !ok {
		fail("want path=value, e.g. cluster.pools[0].nodes=32")
		return
	}
	steps, err := parsePath(path)
	if err != nil {
		fail("%v", err)
		return
	}
	value, err := parse([]byte(text))
	if err != nil {
		_, msg := SplitError(err)
		fail("the value is %s", msg)
		return
	}
	if value == nil {
		value = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle}
	}
	value = d.expand(value, nil)
	d.mark(value, origin)
	if err := d.assign(steps, value, origin); err != nil {
		fail("%v", err)
	}
}

func (d *Doc) mark(n *yaml.Node, origin string) {
	d.origins[n] = origin
	for _, c := range n.Content {
		d.mark(c, origin)
	}
}

// cutAssignment splits at the first = that is not inside quotes.
func cutAssignment(expr string) (path, value string, ok bool) {
	quoted := false
	for i, r := range expr {
		if r == '"' {
			quoted = !quoted
		}
		if r == '=' && !quoted {
			return expr[:i], expr[i+1:], i > 0
		}
	}
	return "", "", false
}

func parsePath(path string) ([]step, error) {
	var steps []step
	rest := path
	for rest != "" {
		switch {
		case strings.HasPrefix(rest, `["`):
			quoted, err := strconv.QuotedPrefix(rest[1:])
			if err != nil || !strings.HasPrefix(rest[1+len(quoted):], "]") {
				return nil, fmt.Errorf("the path %q has an unfinished [\"…\"]; close it", path)
			}
			key, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, fmt.Errorf("the path %q has a broken quoted name %s", path, quoted)
			}
			steps = append(steps, step{key, -1})
			rest = rest[len(quoted)+2:]
		case rest[0] == '[':
			end := strings.IndexByte(rest, ']')
			i, err := strconv.Atoi(rest[1:max(end, 1)])
			if end < 0 || err != nil || i < 0 {
				return nil, fmt.Errorf("the path %q needs a number from 0 in [ ], or a quoted name", path)
			}
			steps = append(steps, step{"", i})
			rest = rest[end+1:]
		default:
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			if end == 0 {
				return nil, fmt.Errorf("the path %q has an empty name; write it like cluster.pools[0].nodes", path)
			}
			steps = append(steps, step{rest[:end], -1})
			rest = rest[end:]
		}
		if after, dot := strings.CutPrefix(rest, "."); dot {
			if rest = after; rest == "" {
				return nil, fmt.Errorf("the path %q ends with a dot; remove it or add a name", path)
			}
		}
	}
	return steps, nil
}

// assign walks the steps from the root, adding mappings where nothing is, and puts value at the end.
func (d *Doc) assign(steps []step, value *yaml.Node, origin string) error {
	at := d.Root
	for i, s := range steps {
		slot, err := d.slot(at, s, origin)
		if err != nil {
			return err
		}
		if i == len(steps)-1 {
			at.Content[slot] = value
			return nil
		}
		if at.Content[slot].Kind == yaml.ScalarNode && at.Content[slot].Tag == "!!null" {
			at.Content[slot] = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
			d.origins[at.Content[slot]] = origin
		}
		at = at.Content[slot]
	}
	return fmt.Errorf("the path is empty; write it like cluster.pools[0].nodes=32")
}

// slot returns the index in at.Content of the value that s names; in a mapping it adds an empty one when missing.
func (d *Doc) slot(at *yaml.Node, s step, origin string) (int, error) {
	switch {
	case at.Kind == yaml.SequenceNode && s.index >= 0:
		if s.index >= len(at.Content) {
			return 0, fmt.Errorf("[%d] is beyond the end of the list, which has %d elements", s.index, len(at.Content))
		}
		return s.index, nil
	case at.Kind == yaml.SequenceNode:
		return slotByName(at, s.key)
	case at.Kind == yaml.MappingNode && s.index >= 0:
		return 0, fmt.Errorf("[%d] is used on fields, not on a list; use a name", s.index)
	case at.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(at.Content); i += 2 {
			if at.Content[i].Value == s.key {
				return i + 1, nil
			}
		}
		key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s.key}
		value := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
		d.origins[key], d.origins[value] = origin, origin
		at.Content = append(at.Content, key, value)
		return len(at.Content) - 1, nil
	}
	return 0, fmt.Errorf("the path goes on inside %s, which has no fields", kindOf(at))
}

func slotByName(at *yaml.Node, name string) (int, error) {
	var names []string
	for i, element := range at.Content {
		for j := 0; j+1 < len(element.Content) && element.Kind == yaml.MappingNode; j += 2 {
			if element.Content[j].Value != "name" {
				continue
			}
			if element.Content[j+1].Value == name {
				return i, nil
			}
			names = append(names, element.Content[j+1].Value)
		}
	}
	return 0, fmt.Errorf("no element of the list has the name %q; %s", name, Suggest(name, names))
}
