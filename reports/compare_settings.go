package reports

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// settingsShown bounds the rows of settings that differ.
const settingsShown = 60

// settings shows which settings of the resolved scenarios differ.
func (x *compared) settings() Content {
	t := Table{ID: "settings", Title: "Settings that differ", Columns: []Column{{"setting", "Setting", "", Text}}}
	maps := make([]map[string]string, len(x.runs))
	var paths []string // in the order in which they are met
	known := map[string]bool{}
	for i, r := range x.runs {
		t.Columns = append(t.Columns, Column{"run_" + strconv.Itoa(i+1), r.Name, "", Text})
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(r.Data.Config), &doc); err != nil || r.Data.Config == "" {
			return Content{Headline: "The scenario of " + r.Name + " is not known.", Absent: true}
		}
		maps[i] = map[string]string{}
		flatten(&doc, "", maps[i], func(path string) {
			if !known[path] {
				known[path] = true
				paths = append(paths, path)
			}
		})
	}
	differ := 0
	for _, p := range paths {
		cells := make([]string, len(maps))
		for i, m := range maps {
			cells[i] = m[p]
		}
		if untold(p) || !slices.ContainsFunc(cells, func(s string) bool { return s != cells[0] }) {
			continue
		}
		if differ++; differ > settingsShown {
			continue
		}
		row := []Cell{T(p)}
		for _, s := range ownLines(cells) {
			if s == "" {
				row = append(row, None())
				continue
			}
			row = append(row, T(clip(s, 400)))
		}
		t.Rows = append(t.Rows, row)
	}
	c := Content{Tables: []Table{t}, Headline: plural(int64(differ), "setting") + " of the resolved scenarios differ.",
		Notes: []string{"Of texts of several lines, such as manifests, the lines with values that not all runs have. " +
			"Names, descriptions and what a scenario expects are left out."}}
	switch {
	case differ == 0:
		return Content{Headline: "No setting differs but names."}
	case differ == 1:
		c.Headline = "One setting of the resolved scenarios differs."
	case differ > settingsShown:
		c.Notes = append(c.Notes, fmt.Sprintf("The first %d of them.", settingsShown))
	}
	return c
}

// untold says whether a setting changes nothing that happens.
func untold(path string) bool {
	first, _, _ := strings.Cut(strings.ReplaceAll(path, "[", "."), ".")
	return strings.HasPrefix(path, "manifests") && strings.HasSuffix(path, ".name") ||
		slices.Contains([]string{"name", "description", "report", "expect", "metadata"}, first)
}

// flatten collects the scalars of a document by path. Members of lists go by their name, where they have one.
func flatten(n *yaml.Node, path string, into map[string]string, met func(path string)) {
	switch n.Kind {
	case yaml.DocumentNode:
		for _, c := range n.Content {
			flatten(c, path, into, met)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			if path != "" {
				key = path + "." + key
			}
			flatten(n.Content[i+1], key, into, met)
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			flatten(c, path+member(c, i), into, met)
		}
	case yaml.ScalarNode:
		met(path)
		into[path] = n.Value
	}
}

// member is the step of a path to a member of a list, as --set takes it: by its name, or else its place.
func member(n *yaml.Node, i int) string {
	if n.Kind == yaml.MappingNode {
		for k := 0; k+1 < len(n.Content); k += 2 {
			if name := n.Content[k+1].Value; n.Content[k].Value == "name" && name != "" {
				if strings.ContainsAny(name, ".[]\"= ") {
					return "[" + strconv.Quote(name) + "]"
				}
				return "." + name
			}
		}
	}
	return "[" + strconv.Itoa(i) + "]"
}

// ownLines reduces texts of several lines to the lines that not all of them have.
func ownLines(texts []string) []string {
	if !slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(strings.TrimSpace(s), "\n") }) {
		return texts
	}
	in := map[string]int{}
	lines := make([][]string, len(texts))
	for i, s := range texts {
		seen := map[string]bool{}
		for line := range strings.SplitSeq(s, "\n") {
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "#") || strings.HasSuffix(line, ":") { // no value
				continue
			}
			lines[i] = append(lines[i], line)
			if !seen[line] {
				seen[line] = true
				in[line]++
			}
		}
	}
	out := make([]string, len(texts))
	for i := range texts {
		own := slices.DeleteFunc(lines[i], func(s string) bool { return in[s] == len(texts) })
		out[i] = strings.Join(own, " · ")
		if out[i] == "" && texts[i] != "" {
			out[i] = "(nothing else)"
		}
	}
	return out
}
