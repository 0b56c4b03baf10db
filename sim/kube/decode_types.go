package kube

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
)

// typeErrorsMax bounds the values of wrong types that are reported of one object, and what is tried to find them.
const typeErrorsMax, typeTriesMax = 20, 5000

// place is a value of a document and how one gets there.
type place struct {
	node *yaml.Node
	path string
}

// places lists the values under a node, parts before wholes, as the document has them.
func places(n *yaml.Node, path string, out []place) []place {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			if path == "" && (key == "apiVersion" || key == "kind") {
				continue // without them nothing is decoded
			}
			at := strings.TrimPrefix(path+"."+key, ".")
			if strings.ContainsAny(key, ".[]/") {
				at = fmt.Sprintf("%s[%q]", path, key)
			}
			out = append(places(n.Content[i+1], at, out), place{n.Content[i+1], at})
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			at := fmt.Sprintf("%s[%d]", path, i)
			out = append(places(item, at, out), place{item, at})
		}
	}
	return out
}

// typeErrors reports the values that the decoder refuses, each at its place. The decoder's own error names the first
// only, and not where it is: a value is to blame when the error is another one without it and what precedes it. What
// the decoder says when all of them are gone is returned; nil when that is nothing.
func (d *decoder) typeErrors(doc document, n *yaml.Node, err error) error {
	list := places(n, "", nil)
	var blamed []place
	texts := map[*yaml.Node]string{}
	for range typeErrorsMax {
		if err == nil || runtime.IsStrictDecodingError(err) || len(list) > typeTriesMax {
			break
		}
		p, saved, next := d.blame(n, list, err)
		if p.node == nil {
			break
		}
		blamed, texts[p.node] = append(blamed, p), fmt.Sprintf("%s: %s", p.path, wrongType(&saved, err))
		err = next
	}
	slices.SortStableFunc(blamed, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.node.Line, b.node.Line), cmp.Compare(a.node.Column, b.node.Column))
	})
	for _, p := range blamed {
		d.fail(doc.line+p.node.Line-1, "%s", texts[p.node])
	}
	return err
}

// blame finds a value without which a document has another error, takes it out and returns it with that error.
func (d *decoder) blame(n *yaml.Node, list []place, err error) (found place, saved yaml.Node, next error) {
	decode := func() (error, bool) {
		text, err := yaml.Marshal(n)
		if err != nil {
			return nil, false // an alias has lost its anchor
		}
		_, _, err = d.strict.Decode(text, nil, nil)
		return err, true
	}
	old := make([]yaml.Node, len(list))
	tried := 0
	for i, p := range list {
		old[i], tried = *p.node, i+1
		*p.node = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null", Line: p.node.Line, Column: p.node.Column}
		if now, ok := decode(); ok && (now == nil || now.Error() != err.Error()) {
			found, saved = p, old[i]
			break
		}
	}
	for i := range tried {
		if list[i].node != found.node {
			*list[i].node = old[i]
		}
	}
	next, _ = decode()
	return found, saved, next
}

var goType = regexp.MustCompile(`cannot unmarshal (\S+) .*of type (\S+)$`)

// wrongType says what should be there instead of a value.
func wrongType(n *yaml.Node, err error) string {
	have := map[yaml.Kind]string{yaml.MappingNode: "fields", yaml.SequenceNode: "a list"}[n.Kind]
	if have == "" {
		have = map[string]string{"!!str": "the text", "!!int": "the number", "!!float": "the number",
			"!!bool": "the truth value"}[n.ShortTag()]
		have = strings.TrimSpace(have + " " + n.Value)
		if n.ShortTag() == "!!str" {
			have = fmt.Sprintf("the text %q", n.Value)
		}
	}
	m := goType.FindStringSubmatch(err.Error())
	if m != nil && m[1] == "bool" && n.ShortTag() == "!!str" { // y, no, on, as Kubernetes reads YAML
		have = "the truth value " + n.Value
	}
	if strings.Contains(err.Error(), resource.ErrFormatWrong.Error()) {
		return "want a quantity like 500m or 16Gi, found " + have
	}
	if m == nil {
		return fmt.Sprintf("%s: %v", have, err)
	}
	want, remedy := m[2], ""
	switch kind := strings.TrimRight(want, "0123456789"); {
	case kind == "int":
		want = "a whole number"
		if n.ShortTag() == "!!int" {
			want += " of at most " + m[2][3:] + " bits"
		}
	case kind == "uint":
		want = "a whole number, not negative"
	case kind == "float":
		want = "a number"
	case want == "bool":
		want = "true or false"
	case want == "string":
		want = "text"
		if n.Kind == yaml.ScalarNode {
			remedy = fmt.Sprintf("; put it in quotes: %q", n.Value)
		}
	case strings.HasPrefix(want, "[]"):
		want = "a list"
	case strings.HasPrefix(want, "map["), strings.Contains(want, "."):
		want = "fields"
	}
	return fmt.Sprintf("want %s, found %s%s", want, have, remedy)
}
