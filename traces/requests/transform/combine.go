package transform

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"orrery/traces"
	"orrery/traces/requests"
)

// Repeat plays a trace n times, each time period later: open opens it anew. A period shorter than the trace is an error
// when it shows. Sessions of one pass are not those of another; prefixes are.
func Repeat(open func() (requests.Source, error), n int, period time.Duration) (requests.Source, error) {
	if n < 1 || period <= 0 || int64(n) > int64(traces.MaxTime/period) {
		return nil, bad("repeat", fmt.Sprintf("%d times every %v", n, period),
			"choose n ≥ 1 and a period above 0, 100 years in all")
	}
	src, err := open()
	if err != nil {
		return nil, err
	}
	return &repeat{Source: src, open: open, left: n - 1, n: n, period: period}, nil
}

type repeat struct {
	requests.Source
	open   func() (requests.Source, error)
	left   int
	n      int
	pass   uint64
	period time.Duration
	err    error
}

// Header implements requests.Source.
func (p *repeat) Header() requests.Header {
	h := p.Source.Header()
	h.Requests = 0
	h.Notes = slices.Concat(h.Notes, []string{fmt.Sprintf("played %d times, every %s s", p.n,
		traces.FormatSeconds(p.period))})
	return h
}

// Next implements requests.Source.
func (p *repeat) Next() (requests.Request, error) {
	for p.err == nil {
		r, err := p.Source.Next()
		if err == io.EOF && p.left > 0 {
			p.left--
			p.pass++
			if p.err = p.Source.Close(); p.err == nil {
				var next requests.Source
				if next, p.err = p.open(); p.err == nil {
					p.Source = next
				}
			}
			continue
		}
		if err == nil && r.At >= p.period && p.n > 1 {
			err = bad("repeat", fmt.Sprintf("a request at %v, the period is %v", r.At, p.period), "clip the trace to the period")
		}
		if p.err = err; err == nil {
			r.At += time.Duration(p.pass) * p.period
			if r.Session != 0 {
				r.Session += p.pass * 0x9e3779b97f4a7c15 // far from those of the other passes
			}
			return r, nil
		}
	}
	return requests.Request{}, p.err
}

// Merge overlays traces: requests come in order of time, those of the same instant in the order of the parts. All parts
// with prefixes must have blocks of one size. Sessions and blocks of different parts are kept apart.
func Merge(name string, parts ...requests.Source) (requests.Source, error) {
	if len(parts) == 0 {
		return nil, bad("merge", "no traces", "name at least one trace")
	}
	m := &merge{parts: parts, heads: make([]requests.Request, len(parts)), state: make([]byte, len(parts))}
	m.header = requests.Header{Format: requests.FormatVersion, Name: name}
	for _, p := range parts {
		h := p.Header()
		if size := h.PrefixTokens; size > 0 {
			if m.header.PrefixTokens > 0 && m.header.PrefixTokens != size {
				return nil, bad("merge", fmt.Sprintf("prefixes in blocks of %d and of %d tokens", m.header.PrefixTokens, size),
					"merge traces with blocks of one size")
			}
			m.header.PrefixTokens = size
		}
	}
	return m, nil
}

type merge struct {
	header requests.Header
	parts  []requests.Source
	heads  []requests.Request
	state  []byte // 0 = to be read, 1 = there, 2 = at its end
	err    error
}

// Header implements requests.Source.
func (m *merge) Header() requests.Header {
	out := m.header
	add := func(list *string, text string) {
		if text != "" && *list != "" {
			*list += "; "
		}
		*list += text
	}
	for _, p := range m.parts {
		h := p.Header()
		add(&out.Source, h.Source)
		if out.Licence != h.Licence {
			add(&out.Licence, h.Licence)
		}
		add(&out.Citation, h.Citation)
		out.Skipped = append(out.Skipped, h.Skipped...)
		for _, n := range h.Notes {
			out.Notes = append(out.Notes, h.Name+": "+n)
		}
		out.Notes = append(out.Notes, "merged "+h.Name)
	}
	return out
}

// Next implements requests.Source.
func (m *merge) Next() (requests.Request, error) {
	best := -1
	for i := range m.parts {
		if m.state[i] == 0 && m.err == nil {
			m.fill(i)
		}
		if m.state[i] == 1 && (best < 0 || m.heads[i].At < m.heads[best].At) {
			best = i
		}
	}
	switch {
	case m.err != nil:
		return requests.Request{}, m.err
	case best < 0:
		return requests.Request{}, io.EOF
	}
	m.state[best] = 0
	return m.heads[best], nil
}

func (m *merge) fill(i int) {
	r, err := m.parts[i].Next()
	switch {
	case err == io.EOF:
		m.state[i] = 2
		return
	case err != nil:
		m.err = err
		return
	}
	apart := uint64(i) * 0x9e3779b97f4a7c15
	if r.Session != 0 {
		r.Session += apart
	}
	if i > 0 && len(r.Prefix) > 0 {
		r.Prefix = slices.Clone(r.Prefix)
		for k := range r.Prefix {
			r.Prefix[k] += apart
		}
	}
	m.heads[i], m.state[i] = r, 1
}

// Close implements requests.Source.
func (m *merge) Close() error {
	var err error
	for _, p := range m.parts {
		err = errors.Join(err, p.Close())
	}
	return err
}
