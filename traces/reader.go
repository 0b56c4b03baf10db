package traces

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cespare/xxhash/v2"
)

// canonical streams a canonical trace. Its memory is that of one line and of 8-byte hashes of the ids.
type canonical struct {
	file    string
	lines   Lines
	dec     *jobDecoder
	header  Header
	records int64 // job lines read, good or not
	last    time.Duration
	seen    idSet
	skipBad bool
	skips   Skips
	err     error // sticky
}

func looksCanonical(head []byte) bool {
	line, _, _ := bytes.Cut(head, []byte{'\n'})
	return bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte{'{'}) && bytes.Contains(line, []byte(`"orrery_trace"`))
}

func newCanonical(in *bufio.Reader, file string, skipBad bool) (Source, error) {
	c := &canonical{file: file, lines: Lines{In: in}, dec: newJobDecoder(), skipBad: skipBad, seen: idSet{}}
	line, whole, err := c.lines.Next()
	switch {
	case err == io.EOF:
		return nil, failed(Problem{File: file, Code: CodeEmpty, Message: "the file is empty",
			Fix: "a trace starts with a header line; an interrupted copy may have left nothing"})
	case err != nil:
		return nil, failed(ReadProblem(file, 1, err))
	case line == nil:
		return nil, failed(c.lines.TooLong(file))
	}
	h, problems := decodeHeader(line)
	if len(problems) > 0 {
		var errs Errors
		for _, p := range problems {
			if !whole {
				p.Code, p.Fix = CodeTruncated, "the file ends inside its header: get the whole file again"
			}
			p.File, p.Line = file, 1
			errs.Add(p)
		}
		return nil, errs.Err()
	}
	c.header = h
	c.header.Units = StandardUnits()
	return c, nil
}

// Header implements Source.
func (c *canonical) Header() Header {
	h := c.header
	if c.skipBad {
		h.Jobs = 0
		h.Skipped = c.skips.After(h.Skipped)
	}
	return h
}

// Next implements Source.
func (c *canonical) Next() (Job, error) {
	for c.err == nil {
		j, problems := c.read()
		if len(problems) == 0 && c.err == nil {
			return j, nil
		}
		if c.err == nil && !c.skipBad {
			c.err = c.drain(problems)
		}
		for _, p := range problems[:min(len(problems), 1)] {
			c.skips.Add("malformed: "+p.Code, fmt.Sprintf("%s:%d", c.file, p.Line))
		}
	}
	return Job{}, c.err
}

// Close implements Source.
func (c *canonical) Close() error {
	if c.err == nil {
		c.err = errors.New("traces: read after Close")
	}
	c.seen = nil
	return nil
}

// drain reads the rest of the file for its problems, so that the user sees all of them at once.
func (c *canonical) drain(problems []Problem) error {
	var errs Errors
	for c.err == nil {
		for _, p := range problems {
			errs.Add(p)
		}
		_, problems = c.read()
	}
	if c.err != io.EOF {
		errs.Merge(c.err)
	}
	return errs.Err()
}

// read reads one line. Either the job is good, or there are problems with the line, or c.err is set.
func (c *canonical) read() (Job, []Problem) {
	line, whole, err := c.lines.Next()
	if err != nil {
		c.err = c.end(err)
		return Job{}, nil
	}
	c.records++
	if line == nil {
		return Job{}, []Problem{c.lines.TooLong(c.file)}
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return Job{}, []Problem{{File: c.file, Line: c.lines.Line, Code: CodeSyntax, Message: "the line is empty",
			Fix: "remove it"}}
	}
	j, problems := c.dec.decode(line)
	if !whole && len(problems) > 0 {
		c.err = failed(Problem{File: c.file, Line: c.lines.Line, Code: CodeTruncated,
			Message: fmt.Sprintf("the file ends inside a job: %q", Shorten(string(line))), Fix: "get the whole file again"})
		return Job{}, nil
	}
	if len(problems) == 0 {
		problems = c.checkOrder(j)
	}
	for i := range problems {
		problems[i].File, problems[i].Line = c.file, c.lines.Line
	}
	return j, problems
}

// end turns what ended the reading into the final error: io.EOF when the file is whole.
func (c *canonical) end(err error) error {
	if err != io.EOF {
		return failed(ReadProblem(c.file, c.lines.Line+1, err))
	}
	if want := c.header.Jobs; want > 0 && want != c.records {
		return failed(Problem{File: c.file, Line: c.lines.Line, Code: CodeTruncated,
			Message: fmt.Sprintf("the header announces %d jobs, the file has %d", want, c.records),
			Fix:     "get the whole file again; after a change by hand, correct or remove jobs in the header"})
	}
	return io.EOF
}

func (c *canonical) checkOrder(j Job) []Problem {
	if c.seen.Has(j.ID) {
		return []Problem{{Code: CodeDuplicate, Message: fmt.Sprintf("job id %q was used before", Shorten(j.ID)),
			Fix: "give every job its own id"}}
	}
	if j.Submit < c.last {
		return []Problem{{Code: CodeOrder,
			Message: fmt.Sprintf("submit_s %s is before %s of the lines above", FormatSeconds(j.Submit), FormatSeconds(c.last)),
			Fix:     "sort the jobs by submit_s"}}
	}
	c.seen.Add(j.ID)
	c.last = j.Submit
	return nil
}

// idSet remembers job ids by a 64-bit hash: 1M ids take about 20 MB. Two different ids of one trace collide with a
// probability of n²/2^65, 3·10^-8 for 1M jobs; the trace would then be refused, never read wrongly.
type idSet map[uint64]struct{}

// Has says whether id was added.
func (s idSet) Has(id string) bool {
	_, ok := s[xxhash.Sum64String(id)]
	return ok
}

// Add adds id.
func (s idSet) Add(id string) { s[xxhash.Sum64String(id)] = struct{}{} }

// Skips counts rows left out, by reason. The zero value is ready.
type Skips struct{ list []Skip }

// Add counts one row; where is its file:line.
func (s *Skips) Add(reason, where string) {
	for i := range s.list {
		if s.list[i].Reason == reason {
			s.list[i].Rows++
			return
		}
	}
	s.list = append(s.list, Skip{Reason: reason, Rows: 1, First: where})
}

// After returns the skips that were there before followed by those counted, in order of first appearance.
func (s *Skips) After(before []Skip) []Skip {
	return append(append([]Skip(nil), before...), s.list...)
}
