package scenarios

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"orrery/sim/rng"
	"orrery/sim/strict"
	"orrery/traces"
	"orrery/traces/gen"
)

// generatorSpec reads the inline specification of the generator. Problems carry the lines of the scenario's file.
func (s *Scenario) generatorSpec() (gen.Spec, []string) {
	file := s.doc.File
	node := plain(s.Trace.Generate)
	data, err := yaml.Marshal(node)
	if err != nil {
		return gen.Spec{}, []string{fmt.Sprintf("%s: trace.generate cannot be read: %v", s.doc.Pos("trace.generate"),
			err)}
	}
	spec, err := gen.Parse(file, data)
	if err == nil {
		return spec, nil
	}
	var list *traces.Errors
	if !errors.As(err, &list) {
		list = &traces.Errors{Problems: []traces.Problem{{Message: err.Error(), Fix: "correct trace.generate"}}}
	}
	lines := generatedLines(data, s.Trace.Generate)
	var out []string
	for _, p := range list.Problems {
		if m := unknownInGenerator.FindStringSubmatch(p.Message); m != nil {
			p.Message, p.Fix = fmt.Sprintf("unknown field %q", m[1]), "the fields are in the README of the scenarios"
		}
		at := s.Trace.Generate
		if n := lines[p.Line]; n != nil {
			at = n
		} else if p.Path != "" {
			at = walk(s.Trace.Generate, p.Path)
		}
		path := ""
		if p.Path != "" {
			path = "." + p.Path
		}
		line := max(at.Line, 1)
		if s.doc.FromFlag("trace.generate") || at.Line == 0 {
			line = max(s.Trace.Generate.Line, 1)
		}
		out = append(out, fmt.Sprintf("%s:%d:%d: trace.generate%s: %s; %s", file, line, max(at.Column, 1), path,
			p.Message, p.Fix))
	}
	return gen.Spec{}, out
}

// unknownInGenerator is yaml.v3's message for an unknown field.
var unknownInGenerator = regexp.MustCompile(`^field (\S+) not found in type`)

// generatedLines maps lines of a node as text to the nodes they come from.
func generatedLines(data []byte, original *yaml.Node) map[int]*yaml.Node {
	lines := map[int]*yaml.Node{}
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) != 1 {
		return lines
	}
	var pair func(a, b *yaml.Node)
	pair = func(a, b *yaml.Node) {
		if lines[a.Line] == nil {
			lines[a.Line] = b
		}
		for i := range min(len(a.Content), len(b.Content)) {
			pair(a.Content[i], b.Content[i])
		}
	}
	pair(doc.Content[0], original)
	return lines
}

// walk follows a path like classes[1].duration[0].max as far as it leads.
func walk(n *yaml.Node, path string) *yaml.Node {
	for _, part := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		next := n
		if i, err := strconv.Atoi(part); err == nil && n.Kind == yaml.SequenceNode && i < len(n.Content) {
			next = n.Content[i]
		}
		for i := 0; i+1 < len(n.Content) && n.Kind == yaml.MappingNode; i += 2 {
			if n.Content[i].Value == part {
				next = n.Content[i+1]
			}
		}
		if next == n {
			return n
		}
		n = next
	}
	return n
}

func (s *Scenario) openGenerator() (traces.Source, error) {
	spec, problems := s.generatorSpec()
	if len(problems) > 0 {
		return nil, &strict.Error{Problems: problems}
	}
	return gen.New(spec, rng.New(s.Seed).Stream("trace/generate"))
}
