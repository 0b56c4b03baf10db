package requests

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"orrery/traces"
)

// ReorderMax bounds the requests that a stream holds back to put them in order; 1M take about 100 MB.
const ReorderMax = 1 << 20

// Row is one row of a file.
type Row struct {
	Request
	Line     int
	Problems []traces.Problem // with any, the request is of no use
	Skip     string           // why the row is left out on purpose; "" = it is not
}

// Rows is what an importer makes of its file, before order and bounds are checked.
type Rows interface {
	// Read fills row, which is empty, with the next row; false at the end. An error ends the reading.
	Read(row *Row) (bool, error)
	// Notes says what was assumed. It is asked after the end.
	Notes() []string
}

// StreamOptions say how a stream treats its rows.
type StreamOptions struct {
	Path    string // for messages
	SkipBad bool   // leave malformed rows out and count them instead of failing
	// Reorder is how many requests are held back to put rows in order that are not; 0 = rows must be in order.
	Reorder int
	// Calendar says that the rows have their At since the Unix epoch. The first becomes the time zero.
	Calendar bool
}

// NewStream returns a source over rows under header h: it checks every request, keeps the order, counts what is left
// out, and reports all problems of the file at once.
func NewStream(h Header, rows Rows, o StreamOptions) Source {
	h.Format = FormatVersion
	s := &stream{header: h, rows: rows, opts: o, prefix: h.PrefixTokens}
	// The first request tells the time zero, so that the header is complete from the start.
	s.ahead, s.err = s.pull()
	s.has = s.err == nil
	return s
}

type stream struct {
	header Header
	rows   Rows
	opts   StreamOptions
	prefix int
	row    Row

	ahead Request // read before it was asked for
	has   bool

	held  []held // min-heap by time, then by place in the file
	count int64
	moved int64
	ended bool // no more rows

	started   bool
	zero      time.Duration
	top, last time.Duration // latest instant read and given out
	skips     traces.Skips
	notes     []string
	err       error
}

type held struct {
	Request
	seq  int64
	line int
}

// Header implements Source.
func (s *stream) Header() Header {
	h := s.header
	if s.opts.Calendar && s.started {
		h.TimeZero = time.Unix(0, int64(s.zero)).UTC().Format(time.RFC3339Nano)
	}
	h.Notes = slices.Concat(h.Notes, s.notes)
	if s.moved > 0 {
		h.Notes = append(h.Notes, fmt.Sprintf("%d rows were not in order of time and were put in order", s.moved))
	}
	h.Skipped = s.skips.After(h.Skipped)
	return h
}

// Next implements Source.
func (s *stream) Next() (Request, error) {
	if s.has {
		s.has = false
		return s.ahead, nil
	}
	if s.err != nil {
		return Request{}, s.err
	}
	var r Request
	if r, s.err = s.pull(); s.err != nil {
		return Request{}, s.err
	}
	return r, nil
}

// Close implements Source.
func (s *stream) Close() error {
	s.has, s.held = false, nil
	if s.err == nil {
		s.err = errors.New("requests: read after Close")
	}
	return nil
}

// pull returns the next request in order.
func (s *stream) pull() (Request, error) {
	for {
		if s.ended && len(s.held) == 0 {
			s.notes = s.rows.Notes()
			return Request{}, io.EOF
		}
		if !s.ended && len(s.held) <= s.opts.Reorder {
			if err := s.read(); err != nil {
				return Request{}, err
			}
			continue
		}
		h := s.pop()
		problems := s.place(&h.Request)
		if len(problems) == 0 {
			return h.Request, nil
		}
		if err := s.refuse(h.line, problems); err != nil {
			return Request{}, err
		}
	}
}

// read takes one row into those held back.
func (s *stream) read() error {
	s.row = Row{}
	more, err := s.rows.Read(&s.row)
	if err != nil {
		return asProblems(err)
	}
	if !more {
		s.ended = true
		return nil
	}
	r := &s.row
	switch {
	case len(r.Problems) > 0:
		return s.refuse(r.Line, r.Problems)
	case r.Skip != "":
		s.skips.Add(r.Skip, fmt.Sprintf("%s:%d", s.opts.Path, r.Line))
		return nil
	}
	if problems := s.check(r); len(problems) > 0 {
		return s.refuse(r.Line, problems)
	}
	s.count++
	if s.count > 1 && r.At < s.top {
		s.moved++
	}
	s.top = max(s.top, r.At)
	s.push(held{r.Request, s.count, r.Line})
	return nil
}

// check checks all of a request but its time, which is not yet that of the trace.
func (s *stream) check(r *Row) []traces.Problem {
	at := r.At
	r.At = 0
	problems := r.Check(s.prefix)
	r.At = at
	return problems
}

// place moves a request from the file's time to the trace's and checks it.
func (s *stream) place(r *Request) []traces.Problem {
	if s.started && r.At < s.last {
		return []traces.Problem{s.early(r.At)}
	}
	if !s.started && s.opts.Calendar {
		s.zero = r.At
	}
	at := r.At
	r.At -= s.zero
	if r.At < 0 || r.At > traces.MaxTime {
		return r.Check(s.prefix)
	}
	s.started, s.last = true, at
	return nil
}

func (s *stream) early(at time.Duration) traces.Problem {
	p := traces.Problem{Code: traces.CodeOrder, Message: fmt.Sprintf("the time is %v before that of a line above",
		s.last-at),
		Fix: "sort the file by time, or let it be put in order (reorder)"}
	if s.opts.Reorder > 0 {
		s.moved = max(s.moved-1, 0)
		p.Message = fmt.Sprintf("the time is %v before that of a line more than %d lines above", s.last-at, s.opts.Reorder)
		p.Fix = fmt.Sprintf("sort the file by time, or hold more lines back (reorder), at most %d", ReorderMax)
	}
	return p
}

// refuse counts a bad row, or ends the stream with the problems of this row and of all rows behind it.
func (s *stream) refuse(line int, problems []traces.Problem) error {
	if s.opts.SkipBad {
		s.skips.Add("malformed: "+problems[0].Code, fmt.Sprintf("%s:%d", s.opts.Path, line))
		return nil
	}
	var errs traces.Errors
	add := func(line int, problems []traces.Problem) {
		for _, p := range problems {
			p.File, p.Line = s.opts.Path, line
			errs.Add(p)
		}
	}
	add(line, problems)
	for {
		s.row = Row{}
		more, err := s.rows.Read(&s.row)
		errs.Merge(err)
		if !more || err != nil {
			return errs.Err()
		}
		if s.row.Skip != "" {
			continue
		}
		problems := s.row.Problems
		if len(problems) == 0 {
			problems = s.check(&s.row)
		}
		if len(problems) == 0 && s.opts.Reorder == 0 {
			if s.started && s.row.At < s.last {
				problems = []traces.Problem{s.early(s.row.At)}
			} else {
				s.started, s.last = true, s.row.At
			}
		}
		add(s.row.Line, problems)
	}
}

func asProblems(err error) error {
	var errs traces.Errors
	errs.Merge(err)
	return errs.Err()
}

func (a held) before(b held) bool { return a.At < b.At || a.At == b.At && a.seq < b.seq }

func (s *stream) push(h held) {
	s.held = append(s.held, h)
	for i := len(s.held) - 1; i > 0; {
		up := (i - 1) / 2
		if !s.held[i].before(s.held[up]) {
			return
		}
		s.held[i], s.held[up] = s.held[up], s.held[i]
		i = up
	}
}

func (s *stream) pop() held {
	out := s.held[0]
	n := len(s.held) - 1
	s.held[0] = s.held[n]
	s.held[n] = held{}
	s.held = s.held[:n]
	for i := 0; ; {
		least := i
		for _, k := range [2]int{2*i + 1, 2*i + 2} {
			if k < n && s.held[k].before(s.held[least]) {
				least = k
			}
		}
		if least == i {
			return out
		}
		s.held[i], s.held[least] = s.held[least], s.held[i]
		i = least
	}
}
