package requests

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"orrery/traces"
)

// requestKeys are the keys of a request line, in the order in which they are written.
const requestKeys = "at_seconds, input, output, service, tenant, session, prefix"

const headerKeys = "orrery_requests, name, source, licence, citation, time_zero, prefix_tokens, generator, importer, " +
	"skipped, notes, requests"

// IsCanonical says whether a file's first bytes are those of a canonical request trace.
func IsCanonical(head []byte) bool {
	line, _, _ := bytes.Cut(head, []byte{'\n'})
	return bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte{'{'}) && bytes.Contains(line, []byte(`"orrery_requests"`))
}

// openCanonical reads the header line.
func openCanonical(in *bufio.Reader, path string, o StreamOptions) (Source, error) {
	rows := &canonicalRows{file: path, lines: NewLines(in, path)}
	rows.add = rows.member
	line, whole, err := rows.lines.lines.Next()
	if err != nil {
		return nil, one(traces.ReadProblem(path, 1, err))
	}
	if line == nil {
		return nil, one(rows.lines.lines.TooLong(path))
	}
	h, problems := decodeHeader(line)
	var errs traces.Errors
	for _, p := range problems {
		if !whole {
			p.Code, p.Fix = traces.CodeTruncated, "the file ends inside its header: get the whole file again"
		}
		p.File, p.Line = path, 1
		errs.Add(p)
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}
	rows.want = h.Requests
	if o.SkipBad {
		h.Requests = 0
	}
	return NewStream(h, rows, o), nil
}

func decodeHeader(line []byte) (Header, []traces.Problem) {
	var h Header
	bad := func(fix, format string, args ...any) []traces.Problem {
		return []traces.Problem{{Code: traces.CodeHeader, Message: fmt.Sprintf(format, args...), Fix: fix}}
	}
	if !IsCanonical(line) {
		return h, bad(`the first line must be {"orrery_requests":1,"name":…}; name the format if the file is another dataset`,
			"not the header of a request trace: %q", traces.Shorten(string(line)))
	}
	// The version comes first: a newer one may well have fields this one does not know.
	var version struct {
		Format int `json:"orrery_requests"`
	}
	if err := json.Unmarshal(line, &version); err != nil {
		return h, bad("write one JSON object on one line", "%s", traces.JSONMessage(err))
	}
	if version.Format != FormatVersion {
		return h, bad(fmt.Sprintf("this program reads version %d; use the release that wrote the file", FormatVersion),
			"format version %d", version.Format)
	}
	if err := json.Unmarshal(line, &h, json.RejectUnknownMembers(true)); err != nil {
		return h, bad("keys: "+headerKeys, "%s", traces.JSONMessage(err))
	}
	return h, checkHeader(h)
}

func checkHeader(h Header) []traces.Problem {
	var out []traces.Problem
	bad := func(fix, format string, args ...any) {
		out = append(out, traces.Problem{Code: traces.CodeHeader, Message: fmt.Sprintf(format, args...), Fix: fix})
	}
	if h.TimeZero != "" {
		if _, err := time.Parse(time.RFC3339Nano, h.TimeZero); err != nil {
			bad("write an instant like 2023-11-16T18:00:00Z, or leave it empty", "time_zero is %q",
				traces.Shorten(h.TimeZero))
		}
	}
	if h.Requests < 0 {
		bad("write the number of request lines, or 0 for unknown", "requests is %d", h.Requests)
	}
	if h.PrefixTokens < 0 || h.PrefixTokens > TokensMax {
		bad("write the tokens of a block of prefix, e.g. 512, or leave it out", "prefix_tokens is %d", h.PrefixTokens)
	}
	for _, s := range h.Skipped {
		if s.Rows < 0 || s.Reason == "" {
			bad("give each skip a reason and a number of rows", "skipped has %d rows for reason %q", s.Rows, s.Reason)
		}
	}
	return out
}

// canonicalRows reads the lines after the header.
type canonicalRows struct {
	traces.Object
	file   string
	lines  Lines
	add    func(string, jsontext.Value)
	row    *Row
	seen   uint8 // bit i: the i-th required key was there
	want   int64
	count  int64
	blocks Blocks
}

// Read implements Rows.
func (c *canonicalRows) Read(row *Row) (bool, error) {
	line, more, err := c.lines.Next(row)
	if err != nil || !more {
		if err == nil && c.want > 0 && c.want != c.count {
			err = one(traces.Problem{File: c.file, Line: c.lines.lines.Line, Code: traces.CodeTruncated,
				Message: fmt.Sprintf("the header announces %d requests, the file has %d", c.want, c.count),
				Fix:     "get the whole file again; after a change by hand, correct or remove requests in the header"})
		}
		return false, err
	}
	c.count++
	if len(row.Problems) > 0 {
		return true, nil
	}
	c.row, c.seen = row, 0
	if c.Object.Read(line, c.add) && c.seen != 7 {
		for i, key := range []string{"at_seconds", "input", "output"} {
			if c.seen&(1<<i) == 0 {
				c.Bad(traces.CodeMissing, "every request has at_seconds, input and output", "%s is missing", key)
			}
		}
	}
	row.Problems = c.Problems()
	return true, c.lines.Whole(line, len(row.Problems) > 0)
}

// Notes implements Rows.
func (c *canonicalRows) Notes() []string { return nil }

func (c *canonicalRows) member(key string, v jsontext.Value) {
	r := c.row
	switch key {
	case "at_seconds":
		c.seen |= 1
		r.At = c.Seconds(key, v)
	case "input":
		c.seen |= 2
		r.Input = int(c.Amount(key, v))
	case "output":
		c.seen |= 4
		r.Output = int(c.Amount(key, v))
	case "service":
		r.Service = c.Shared(key, v)
	case "tenant":
		r.Tenant = c.Shared(key, v)
	case "session":
		n, err := strconv.ParseUint(string(v), 10, 64)
		if err != nil {
			c.Bad(traces.CodeValue, "write a whole number, 0 or more", "%s is %s", key, traces.Shorten(string(v)))
		}
		r.Session = n
	case "prefix":
		var ok bool
		if r.Prefix, ok = c.blocks.Parse(v); !ok {
			c.Bad(traces.CodeValue, "write a list of whole numbers from 0 on such as [1,2,3]", "%s is %s", key,
				traces.Shorten(string(v)))
		}
	default:
		c.Bad(traces.CodeUnknown, "keys: "+requestKeys, "unknown key %q", traces.Shorten(key))
	}
}
