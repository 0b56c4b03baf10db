package kube

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	sigsyaml "sigs.k8s.io/yaml"
)

// DecodeManifests reads the Kubernetes objects of a YAML or JSON file of any number of documents, strictly: unknown
// and duplicate fields are errors. Lists (kind: List) are unfolded. schemes add types to those of Kubernetes itself.
// All problems are reported at once, joined, each as file:line: what is wrong; name is the file's name. The objects are
// returned with their type meta set and without defaults.
func DecodeManifests(name string, data []byte, schemes ...*runtime.Scheme) ([]runtime.Object, error) {
	return Decoding{Schemes: schemes}.Manifests(name, data)
}

// Decoding says how manifests are read. The zero value knows Kubernetes' own types.
type Decoding struct {
	Schemes []*runtime.Scheme // add types to those of Kubernetes itself
	Customs *Customs          // custom resources whose defaults are set and whose rules are applied
}

// Manifests is DecodeManifests. Custom resources with a definition have their defaults, as it is the text that says
// what was left out; their mistakes are told in the API's words.
func (o Decoding) Manifests(name string, data []byte) ([]runtime.Object, error) {
	schemes := o.Schemes
	scheme := clientgoscheme.Scheme
	if len(schemes) > 0 {
		scheme = runtime.NewScheme()
		addTypes(scheme, clientgoscheme.Scheme)
		for _, s := range schemes {
			addTypes(scheme, s)
		}
	}
	d := decoder{file: name, scheme: scheme, customs: o.Customs}
	d.strict = json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme,
		json.SerializerOptions{Yaml: true, Strict: true})
	for _, doc := range splitDocuments(data) {
		d.document(doc)
	}
	return d.objects, errors.Join(d.errs...)
}

// document is one YAML document of a file.
type document struct {
	line int // line of the file its first line is on
	text []byte
}

// splitDocuments splits a file at its "---" lines.
func splitDocuments(data []byte) []document {
	var out []document
	cur := document{line: 1}
	n := 0
	for line := range bytes.Lines(data) {
		n++
		if trimmed := bytes.TrimRight(line, " \t\r\n"); bytes.Equal(trimmed, []byte("---")) {
			out = append(out, cur)
			cur = document{line: n + 1}
			continue
		}
		cur.text = append(cur.text, line...)
	}
	return append(out, cur)
}

// decoder collects the objects and problems of one file.
type decoder struct {
	file    string
	scheme  *runtime.Scheme
	strict  runtime.Serializer
	customs *Customs
	objects []runtime.Object
	errs    []error
}

// fail notes a problem at a line of the file.
func (d *decoder) fail(line int, format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf("%s:%d: %s", d.file, line, fmt.Sprintf(format, args...)))
}

// document decodes one document.
func (d *decoder) document(doc document) {
	var root yaml.Node
	if err := yaml.Unmarshal(doc.text, &root); err != nil {
		d.yamlError(doc, err)
		return
	}
	if len(root.Content) == 0 || root.Content[0].Tag == "!!null" {
		return // nothing but comments
	}
	top := root.Content[0]
	if top.Kind != yaml.MappingNode {
		d.fail(doc.line+top.Line-1, "a Kubernetes object must be a mapping with apiVersion and kind")
		return
	}
	d.object(doc, top, doc.text)
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

// yamlError reports a syntax error at its line of the file.
func (d *decoder) yamlError(doc document, err error) {
	line, msg := 1, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(msg); m != nil {
		line, _ = strconv.Atoi(m[1])
		msg = strings.Replace(msg, m[0], "", 1)
	}
	d.fail(doc.line+line-1, "%s", msg)
}

// object decodes one object, whose YAML is text and whose node is n.
func (d *decoder) object(doc document, n *yaml.Node, text []byte) {
	at := doc.line + n.Line - 1
	version, kind := child(n, "apiVersion"), child(n, "kind")
	if version == nil || kind == nil {
		d.fail(at, "apiVersion and kind are required")
		return
	}
	gv, err := schema.ParseGroupVersion(version.Value)
	if err != nil {
		d.fail(doc.line+version.Line-1, "apiVersion %q: %v", version.Value, err)
		return
	}
	gvk := gv.WithKind(kind.Value)
	if gvk.Group == "" && gvk.Kind == "List" {
		d.list(doc, n)
		return
	}
	if !d.scheme.Recognizes(gvk) {
		d.fail(doc.line+kind.Line-1, "unknown kind %q in %q: write a kind and apiVersion of Kubernetes 1.37",
			kind.Value, version.Value)
		return
	}
	obj, _, err := d.strict.Decode(text, nil, nil)
	if c := d.customs.of(gvk); c != nil {
		d.custom(doc, n, text, c, err)
		return
	}
	if err != nil {
		d.decodeErrors(doc, n, err)
		return
	}
	d.objects = append(d.objects, obj)
}

// custom decodes an object that has a definition. unset is what is wrong with it before it has its defaults.
func (d *decoder) custom(doc document, n *yaml.Node, text []byte, c *custom, unset error) {
	before := len(d.errs)
	if unset != nil && runtime.IsStrictDecodingError(unset) {
		d.decodeErrors(doc, n, unset)
	}
	full, err := sigsyaml.YAMLToJSON(text)
	var content *unstructured.Unstructured
	if err == nil {
		full, content, err = c.defaulted(full)
	}
	if err == nil {
		err = c.check(content)
	}
	var obj runtime.Object
	if err == nil && len(d.errs) == before {
		obj, _, err = d.strict.Decode(full, nil, nil)
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Details != nil {
		for _, cause := range status.Status().Details.Causes {
			if cause.Field == "<nil>" {
				continue // upstream: some rules were not checked because of the other mistakes
			}
			d.fail(doc.line+lineOf(n, cause.Field)-1, "%s: %s", cause.Field, cause.Message)
		}
	}
	switch {
	case len(d.errs) > before:
	case err != nil:
		d.fail(doc.line+n.Line-1, "%v", err)
	default:
		d.objects = append(d.objects, obj)
	}
}

// list decodes the items of a List.
func (d *decoder) list(doc document, n *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch key := n.Content[i]; key.Value {
		case "apiVersion", "kind", "metadata", "items":
		default:
			d.fail(doc.line+key.Line-1, "unknown field %q", key.Value)
		}
	}
	items := child(n, "items")
	if items == nil || items.Kind != yaml.SequenceNode {
		d.fail(doc.line+n.Line-1, "a List needs a sequence of items")
		return
	}
	for _, item := range items.Content {
		text, err := yaml.Marshal(item)
		if err != nil || item.Kind != yaml.MappingNode {
			d.fail(doc.line+item.Line-1, "an item of a List must be a mapping with apiVersion and kind")
			continue
		}
		d.object(doc, item, text)
	}
}

var quotedPath = regexp.MustCompile(`(?:unknown|duplicate) field "([^"]+)"`)

// decodeErrors reports what the strict decoder found, each problem at the line of its field where that can be found.
func (d *decoder) decodeErrors(doc document, n *yaml.Node, err error) {
	if err = d.typeErrors(doc, n, err); err == nil {
		return
	}
	strict, ok := runtime.AsStrictDecodingError(err)
	if !ok {
		d.fail(doc.line+n.Line-1, "%v", err)
		return
	}
	for _, e := range strict.Errors() {
		line := n.Line
		msg := strings.TrimPrefix(e.Error(), "yaml: ")
		if m := yamlLine.FindStringSubmatch(msg); m != nil {
			line, _ = strconv.Atoi(m[1])
			msg = strings.TrimSpace(msg[strings.Index(msg, m[0])+len(m[0]):])
		} else if m := quotedPath.FindStringSubmatch(msg); m != nil {
			line = lineOf(n, m[1])
		}
		d.fail(doc.line+line-1, "%s", msg)
	}
}

// lineOf follows a path like spec.containers[0].image as far as it goes and returns the line of the last key reached.
func lineOf(n *yaml.Node, path string) int {
	line := n.Line
	for step := range strings.SplitSeq(strings.NewReplacer("[", ".[", "]", "").Replace(path), ".") {
		if index, ok := strings.CutPrefix(step, "["); ok {
			i, err := strconv.Atoi(index)
			if err != nil || n.Kind != yaml.SequenceNode || i >= len(n.Content) {
				return line
			}
			n = n.Content[i]
			line = n.Line
			continue
		}
		key, val := pair(n, step)
		if key == nil {
			return line
		}
		n, line = val, key.Line
	}
	return line
}

// pair returns the last key node with a name and its value, or nils. The last is the one a duplicate is reported for.
func pair(n *yaml.Node, name string) (key, val *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			key, val = n.Content[i], n.Content[i+1]
		}
	}
	return key, val
}

// child returns the value under a key of a mapping, or nil.
func child(n *yaml.Node, name string) *yaml.Node {
	_, val := pair(n, name)
	return val
}

// FieldLine returns the line of a manifest file on which the field of an object stands: path is like
// spec.containers[0].image, and is followed as far as it goes. An object that is not found is on line 1.
func FieldLine(data []byte, kind, name, path string) int {
	for _, doc := range splitDocuments(data) {
		var root yaml.Node
		if yaml.Unmarshal(doc.text, &root) != nil || len(root.Content) == 0 {
			continue
		}
		objects := []*yaml.Node{root.Content[0]}
		if items := child(objects[0], "items"); items != nil {
			objects = append(objects, items.Content...)
		}
		for _, n := range objects {
			k, meta := child(n, "kind"), child(n, "metadata")
			if k == nil || k.Value != kind || meta == nil {
				continue
			}
			if c := child(meta, "name"); c != nil && c.Value == name || c == nil && name == "" {
				return doc.line + lineOf(n, path) - 1
			}
		}
	}
	return 1
}
