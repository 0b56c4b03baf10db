package transform

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"orrery/traces"
)

// Part is one trace of a merge.
type Part struct {
	Prefix string // put before the ids of its jobs and different in every part, e.g. "a/"
	Source traces.Source
}

// Merge overlays traces: all time zeros become one, jobs come in order of Submit, those of the same instant in the
// order of the parts. Source, licence and citation of the result name all parts. It takes the parts over.
func Merge(name string, parts ...Part) (traces.Source, error) {
	seen := map[string]bool{}
	for _, p := range parts {
		if seen[p.Prefix] {
			return nil, bad("merge", fmt.Sprintf("prefix %q is used twice", p.Prefix), "give every part its own prefix")
		}
		seen[p.Prefix] = true
	}
	if len(parts) == 0 {
		return nil, bad("merge", "no traces", "name at least one trace")
	}
	return &merge{name: name, parts: slices.Clone(parts), heads: make([]*traces.Job, len(parts)),
		done: make([]bool, len(parts))}, nil
}

type merge struct {
	name  string
	parts []Part
	heads []*traces.Job // next job of each part, nil = to be read
	done  []bool
	err   error
}

// Header implements traces.Source.
func (m *merge) Header() traces.Header {
	out := traces.Header{Format: traces.FormatVersion, Name: m.name, Units: traces.StandardUnits()}
	for _, p := range m.parts {
		h := p.Source.Header()
		out.Source = join(out.Source, h.Source)
		out.Licence = join(out.Licence, h.Licence)
		out.Citation = join(out.Citation, h.Citation)
		out.Importer = join(out.Importer, h.Importer)
		out.Generator = join(out.Generator, h.Generator)
		for _, s := range h.Skipped {
			s.Reason = fmt.Sprintf("%s: %s", h.Name, s.Reason)
			out.Skipped = append(out.Skipped, s)
		}
		for _, n := range h.Notes {
			out.Notes = append(out.Notes, fmt.Sprintf("%s: %s", h.Name, n))
		}
		out.Notes = append(out.Notes, fmt.Sprintf("merged %s, ids with prefix %q", h.Name, p.Prefix))
	}
	return out
}

// join appends text to a list in words, unless it is empty or was the last.
func join(list, text string) string {
	switch {
	case list == "":
		return text
	case text == "" || list == text || strings.HasSuffix(list, "; "+text):
		return list
	}
	return list + "; " + text
}

// Next implements traces.Source.
func (m *merge) Next() (traces.Job, error) {
	best := -1
	for i := range m.parts {
		if m.err != nil {
			return traces.Job{}, m.err
		}
		m.fill(i)
		if m.heads[i] != nil && (best < 0 || m.heads[i].Submit < m.heads[best].Submit) {
			best = i
		}
	}
	switch {
	case m.err != nil:
		return traces.Job{}, m.err
	case best < 0:
		return traces.Job{}, io.EOF
	}
	j := *m.heads[best]
	m.heads[best] = nil
	return j, nil
}

// fill reads the next job of a part.
func (m *merge) fill(i int) {
	if m.done[i] || m.heads[i] != nil {
		return
	}
	j, err := m.parts[i].Source.Next()
	switch {
	case err == io.EOF:
		m.done[i] = true
	case err != nil:
		m.err = err
	default:
		j.ID = m.parts[i].Prefix + j.ID
		m.heads[i] = &j
	}
}

// Close implements traces.Source.
func (m *merge) Close() error {
	var err error
	for _, p := range m.parts {
		err = errors.Join(err, p.Source.Close())
	}
	return err
}
