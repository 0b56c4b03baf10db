package strict

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// nodesMax bounds the nodes of a document after aliases are expanded, so that a few lines cannot become gigabytes.
const nodesMax = 2_000_000

// Doc is one YAML document with its problems. It is not for concurrent use.
type Doc struct {
	File string
	Root *yaml.Node // never nil; a mapping in a document that Parse accepted

	origins  map[*yaml.Node]string // nodes that come from an override → the flag as written
	paths    map[string]*yaml.Node // decoded path → its node
	broken   map[*yaml.Node]bool   // values that could not be decoded
	problems []problem
	foreign  []string
	nodes    int
}

type problem struct {
	origin    string // the flag; "" for the file
	line, col int
	text      string
}

// Parse reads data, which must hold one YAML document that is a mapping. Problems are kept in the document: see Err.
func Parse(file string, data []byte) *Doc {
	d := &Doc{File: file, origins: map[*yaml.Node]string{}, paths: map[string]*yaml.Node{},
		broken: map[*yaml.Node]bool{}}
	d.Root = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: 1, Column: 1}
	root, err := parse(data)
	if err != nil {
		line, text := SplitError(err)
		d.add(&yaml.Node{Line: line, Column: 1}, text)
		return d
	}
	if root == nil {
		d.add(d.Root, "the file is empty; write at least its apiVersion and kind")
		return d
	}
	d.File = file
	root = d.expand(root, nil)
	if root.Kind != yaml.MappingNode {
		d.add(root, fmt.Sprintf("want fields (name: value), found %s", kindOf(root)))
		return d
	}
	d.Root = root
	return d
}

// parse returns the root node of the only document in data, or nil for none. yaml.v3 panics on a few broken inputs;
// a user's file must not end the program.
func parse(data []byte) (root *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, fmt.Errorf("yaml: line 1: not readable as YAML: %v", r)
		}
	}()
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var first, second yaml.Node
	if err := dec.Decode(&first); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		return nil, fmt.Errorf("yaml: line %d: a second document begins here; keep one document a file", second.Line)
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	if len(first.Content) == 0 || first.Content[0].Tag == "!!null" && first.Content[0].Value == "" {
		return nil, nil
	}
	return first.Content[0], nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// SplitError splits an error of the YAML parser into its line, at least 1, and what is wrong.
func SplitError(err error) (int, string) {
	text := err.Error()
	m := yamlLine.FindStringSubmatch(text)
	if m == nil {
		return 1, text
	}
	line, _ := strconv.Atoi(m[1])
	return max(line, 1), "not valid YAML: " + strings.TrimPrefix(text, m[0])
}

// expand replaces aliases by copies of what they stand for.
func (d *Doc) expand(n *yaml.Node, inside []*yaml.Node) *yaml.Node {
	if d.nodes++; d.nodes > nodesMax {
		if d.nodes == nodesMax+1 {
			d.add(n, fmt.Sprintf("more than %d values after expanding aliases; write fewer aliases", nodesMax))
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line, Column: n.Column}
	}
	if n.Kind == yaml.AliasNode {
		if slices.Contains(inside, n.Alias) {
			d.add(n, "the alias *"+n.Value+" contains itself; remove it")
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line, Column: n.Column}
		}
		return d.expand(n.Alias, inside)
	}
	if len(n.Content) == 0 {
		return n
	}
	c := *n
	c.Anchor = ""
	c.Content = make([]*yaml.Node, len(n.Content))
	inside = append(inside, n)
	for i, child := range n.Content {
		c.Content[i] = d.expand(child, inside)
	}
	return &c
}

// Has says whether the document gives a value for path, e.g. "cluster.pools[0].nodes". Ask after Decode.
func (d *Doc) Has(path string) bool { return d.paths[path] != nil }

// Node returns the node decoded for path, or nil.
func (d *Doc) Node(path string) *yaml.Node { return d.paths[path] }

// FromFlag says whether the value for path was given by an override rather than by the file.
func (d *Doc) FromFlag(path string) bool {
	n := d.paths[path]
	return n != nil && d.origins[n] != ""
}

// Problemf adds a problem with the value at path, or with its nearest ancestor that is in the document. A value that
// could not be decoded is left alone: its problem is known, and others would only follow from it.
func (d *Doc) Problemf(path, format string, args ...any) {
	if n := d.paths[path]; n != nil && d.broken[n] {
		return
	}
	d.add(d.nearest(path), fmt.Sprintf(format, args...))
}

// fail adds a problem with a value that cannot be decoded.
func (d *Doc) fail(n *yaml.Node, text string) {
	d.add(n, text)
	d.broken[n] = true
}

// ProblemAt adds a problem at a line of the document.
func (d *Doc) ProblemAt(line, col int, text string) {
	d.add(&yaml.Node{Line: line, Column: col}, text)
}

// Foreign adds a problem of another file, which carries its own place.
func (d *Doc) Foreign(text string) {
	if !slices.Contains(d.foreign, text) {
		d.foreign = append(d.foreign, text)
	}
}

// Pos returns where the value at path stands: file:line:column, or the flag.
func (d *Doc) Pos(path string) string {
	n := d.nearest(path)
	return d.pos(problem{origin: d.origins[n], line: n.Line, col: n.Column})
}

func (d *Doc) nearest(path string) *yaml.Node {
	for path != "" {
		if n := d.paths[path]; n != nil {
			return n
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			break
		}
		path = path[:cut]
	}
	return d.Root
}

func (d *Doc) add(n *yaml.Node, text string) {
	p := problem{origin: d.origins[n], line: max(n.Line, 1), col: max(n.Column, 1), text: text}
	if !slices.Contains(d.problems, p) {
		d.problems = append(d.problems, p)
	}
}

func (d *Doc) pos(p problem) string {
	if p.origin != "" {
		return p.origin
	}
	return fmt.Sprintf("%s:%d:%d", d.File, p.line, p.col)
}

// Error is all problems of a document.
type Error struct {
	Problems []string // each "file:line:column: what, remedy" or "--set …: what, remedy"
}

// Error lists the problems, one a line.
func (e *Error) Error() string { return strings.Join(e.Problems, "\n") }

// Err returns all problems found so far as an *Error in the order of the file, those of flags and then
// those of other files last, or nil.
func (d *Doc) Err() error {
	if len(d.problems)+len(d.foreign) == 0 {
		return nil
	}
	sorted := slices.Clone(d.problems)
	slices.SortStableFunc(sorted, func(a, b problem) int {
		if (a.origin != "") != (b.origin != "") {
			if a.origin == "" {
				return -1
			}
			return 1
		}
		if a.line != b.line {
			return a.line - b.line
		}
		return a.col - b.col
	})
	e := &Error{}
	for _, p := range sorted {
		e.Problems = append(e.Problems, d.pos(p)+": "+p.text)
	}
	e.Problems = append(e.Problems, d.foreign...)
	return e
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "fields (name: value)"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!bool":
		return n.Value
	}
	return "the text " + strconv.Quote(shorten(n.Value))
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:37]) + "..."
	}
	return s
}
