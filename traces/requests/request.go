// Package requests is about traces of inference requests: when each came, how many tokens it brought and got, whose it
// was, and what its prompt shares with others. It defines a canonical streaming format; importers of public datasets
// (formats), the generator (gen) and transformations (transform) are in folders of their own.
//
// It is to requests what package traces is to jobs, and shares with it problems, compression and detection.
package requests

import (
	"fmt"
	"time"
	"unicode/utf8"

	"orrery/traces"
)

// FormatVersion is the version of the canonical format. Readers refuse a newer one.
const FormatVersion = 1

// Canonical is the name of this package's own format.
const Canonical = "requests"

// Bounds of a request. They are above any model's context and any tenant's prompt and keep sums inside 64 bits.
const (
	TokensMax = 100_000_000
	PrefixMax = 1 << 20 // blocks
)

// Header is the first line of a canonical trace. Every field but Format is optional.
type Header struct {
	Format   int    `json:"orrery_requests"` // FormatVersion; its presence marks the file as canonical
	Name     string `json:"name"`
	Source   string `json:"source"`  // where the data comes from: dataset, or the generator's parameters
	Licence  string `json:"licence"` // SPDX identifier or sentence
	Citation string `json:"citation,omitempty"`
	TimeZero string `json:"time_zero"` // RFC 3339 instant of 0 s; "" when the source does not say
	// PrefixTokens is the size of the blocks that Request.Prefix names; 0 = no request has a prefix.
	PrefixTokens int           `json:"prefix_tokens,omitempty"`
	Generator    string        `json:"generator,omitempty"`
	Importer     string        `json:"importer,omitempty"` // format name and version of the importer
	Skipped      []traces.Skip `json:"skipped,omitempty"`  // rows of the source left out, and why
	// Notes say what an importer or a transformation changed or had to assume, one sentence each.
	Notes    []string `json:"notes,omitempty"`
	Requests int64    `json:"requests,omitempty"` // 0 = unknown (streaming)
}

// Request is one line after the header. Lines are ordered by At; equal instants keep the source's order. Two equal
// lines are two requests.
type Request struct {
	At            time.Duration // of sending, since time zero, ≥ 0
	Input, Output int           // tokens, ≥ 1; Output is what the model generates
	Service       string        // model or application asked; "" = the only one
	Tenant        string        // who asks; "" = not known
	Session       uint64        // groups requests of one conversation, 0 = none
	// Prefix are identifiers of the prompt's blocks of Header.PrefixTokens tokens each, from its beginning; the last may
	// be partly filled. An identifier stands for its block and all before it: equal ones mean equal beginnings. Empty =
	// nothing is shared. It is not changed after it was handed out.
	Prefix []uint64
}

// Source is a stream of requests in order of At.
type Source interface {
	// Header describes the trace. Its Skipped and Notes are complete once Next has returned io.EOF.
	Header() Header
	// Next returns the next request, io.EOF after the last, or an error after which the source is of no more use. What is
	// wrong with the input is an *traces.Errors that holds every problem of it, not only the first.
	Next() (Request, error)
	// Close frees what the source holds. It is safe to call it twice.
	Close() error
}

// Check returns everything wrong with a request on its own, without file and line. A request that passes can be written
// and read back unchanged. prefixTokens is that of its trace's header.
func (r *Request) Check(prefixTokens int) []traces.Problem {
	// The first test is all that most requests need.
	if r.At >= 0 && r.At <= traces.MaxTime && r.Input > 0 && r.Input <= TokensMax && r.Output > 0 &&
		r.Output <= TokensMax && len(r.Prefix) == 0 && r.Service == "" && r.Tenant == "" {
		return nil
	}
	var out []traces.Problem
	bad := func(fix, format string, args ...any) {
		out = append(out, traces.Problem{Code: traces.CodeValue, Message: fmt.Sprintf(format, args...), Fix: fix})
	}
	if r.At < 0 || r.At > traces.MaxTime {
		bad("write seconds between 0 and 3155760000 (100 years)", "at_seconds is %.9g", r.At.Seconds())
	}
	tokens := func(name string, n int) {
		if n < 1 || n > TokensMax {
			bad(fmt.Sprintf("write a whole number from 1 to %d; leave requests that failed out", TokensMax), "%s is %d tokens",
				name, n)
		}
	}
	tokens("input", r.Input)
	tokens("output", r.Output)
	for _, text := range []struct{ name, value string }{{"service", r.Service}, {"tenant", r.Tenant}} {
		if !plain(text.value) {
			bad("write plain UTF-8 text", "%s %q has control characters or is not valid UTF-8", text.name,
				traces.Shorten(text.value))
		}
	}
	switch n := len(r.Prefix); {
	case n > 0 && prefixTokens == 0:
		bad("write prefix_tokens in the header, or leave prefix out", "prefix has blocks of unknown size")
	case n > PrefixMax:
		bad("write larger blocks", "prefix has %d blocks, at most %d", n, PrefixMax)
	case n > 0 && n > (r.Input-1)/prefixTokens+1:
		bad("leave the blocks behind the prompt's end out", "prefix has %d blocks of %d tokens, the prompt only %d tokens", n,
			prefixTokens, r.Input)
	}
	return out
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
	}
	return utf8.ValidString(s)
}

// Slice is a Source over requests in memory, which must be in order of At. The header's Format and Requests are set.
func Slice(h Header, list []Request) Source {
	h.Format, h.Requests = FormatVersion, int64(len(list))
	return &slice{header: h, rest: list}
}
