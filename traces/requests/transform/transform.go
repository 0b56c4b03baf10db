// Package transform changes traces of requests: each function wraps a source in another one that streams.
//
// The header of the result says what was done (Notes) and leaves the number of requests open. Closing a result closes
// what it reads from.
package transform

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"orrery/traces"
	"orrery/traces/requests"
)

// stage is a source that maps or drops the requests of another one.
type stage struct {
	requests.Source
	note func() string
	// step changes r in place. keep false drops it; an error ends the stream, io.EOF regularly.
	step func(r *requests.Request) (keep bool, err error)
	zero time.Duration // what the time zero moved by
	err  error
}

func says(format string, args ...any) func() string {
	text := fmt.Sprintf(format, args...)
	return func() string { return text }
}

// Header implements requests.Source.
func (s *stage) Header() requests.Header {
	h := s.Source.Header()
	h.Requests = 0
	h.Notes = slices.Concat(h.Notes, []string{s.note()})
	h.TimeZero = moved(h.TimeZero, s.zero)
	return h
}

func moved(zero string, by time.Duration) string {
	at, err := time.Parse(time.RFC3339Nano, zero)
	if by == 0 || err != nil {
		return zero
	}
	return at.Add(by).Format(time.RFC3339Nano)
}

// Next implements requests.Source.
func (s *stage) Next() (requests.Request, error) {
	for s.err == nil {
		var r requests.Request
		if r, s.err = s.Source.Next(); s.err != nil {
			break
		}
		var keep bool
		if keep, s.err = s.step(&r); s.err == nil && keep {
			return r, nil
		}
	}
	return requests.Request{}, s.err
}

// Clip keeps the requests in [from, to) and makes from the time zero.
func Clip(src requests.Source, from, to time.Duration) (requests.Source, error) {
	if from < 0 || to <= from {
		return nil, bad("clip", fmt.Sprintf("window from %v to %v", from, to), "choose 0 ≤ from < to")
	}
	return &stage{Source: src, zero: from,
		note: says("clipped to requests from %s s to %s s", traces.FormatSeconds(from), traces.FormatSeconds(to)),
		step: func(r *requests.Request) (bool, error) {
			if r.At >= to {
				return false, io.EOF
			}
			r.At -= from
			return r.At >= 0, nil
		}}, nil
}

// ScaleRate divides all times by factor: factor 2 doubles the rate and keeps burstiness and lengths.
func ScaleRate(src requests.Source, factor float64) (requests.Source, error) {
	if !(factor > 0) || math.IsInf(factor, 0) {
		return nil, bad("scale rate", fmt.Sprintf("factor %v", factor), "choose a number above 0")
	}
	return &stage{Source: src, note: says("rate × %v", factor),
		step: func(r *requests.Request) (bool, error) {
			at := math.Round(float64(r.At) / factor)
			if at > float64(traces.MaxTime) {
				return false, bad("scale rate", fmt.Sprintf("a time of %v becomes more than 100 years", r.At), "scale by more")
			}
			r.At = time.Duration(at)
			return true, nil
		}}, nil
}

// ScaleTime multiplies all times by factor: factor 2 makes the trace twice as long. It is ScaleRate by 1 ÷ factor.
func ScaleTime(src requests.Source, factor float64) (requests.Source, error) {
	return ScaleRate(src, 1/factor)
}

// Shift moves all times later, so that a part of a merge begins after others.
func Shift(src requests.Source, by time.Duration) (requests.Source, error) {
	if by < 0 || by > traces.MaxTime {
		return nil, bad("shift", fmt.Sprintf("by %v", by), "choose 0 to 100 years; to begin later in the trace, clip it")
	}
	return &stage{Source: src, zero: -by, note: says("moved by %s s", traces.FormatSeconds(by)),
		step: func(r *requests.Request) (bool, error) {
			r.At += by
			if r.At > traces.MaxTime {
				return false, bad("shift", "a time becomes more than 100 years", "shift by less")
			}
			return true, nil
		}}, nil
}

// Thin keeps each request with probability share, conversations as a whole. What is kept depends on seed and on the
// request's place in the trace or its session; what is kept with a smaller share is kept with a larger one.
func Thin(src requests.Source, share float64, seed uint64) (requests.Source, error) {
	if !(share > 0 && share <= 1) {
		return nil, bad("thin", fmt.Sprintf("share %v", share), "choose a share above 0, at most 1")
	}
	n := uint64(0)
	return &stage{Source: src, note: says("thinned to a share of %v, seed %d", share, seed),
		step: func(r *requests.Request) (bool, error) {
			n++
			var b [17]byte
			binary.LittleEndian.PutUint64(b[:8], seed)
			binary.LittleEndian.PutUint64(b[8:16], n)
			if r.Session != 0 {
				binary.LittleEndian.PutUint64(b[8:16], r.Session)
				b[16] = 1
			}
			return float64(xxhash.Sum64(b[:])>>11) < share*(1<<53), nil
		}}, nil
}

// Services keeps the requests to the named services, Tenants those of the named tenants. A name that no request has is
// not an error: the stream cannot know it before its end.
func Services(src requests.Source, names ...string) (requests.Source, error) {
	return only(src, "services", names, func(r *requests.Request) string { return r.Service })
}

// Tenants keeps the requests of the named tenants.
func Tenants(src requests.Source, names ...string) (requests.Source, error) {
	return only(src, "tenants", names, func(r *requests.Request) string { return r.Tenant })
}

func only(src requests.Source, what string, names []string,
	of func(*requests.Request) string) (requests.Source, error) {
	if len(names) == 0 {
		return nil, bad("filter by "+what, "nothing named", "name at least one")
	}
	return &stage{Source: src, note: says("only %s %s", what, strings.Join(names, ", ")),
		step: func(r *requests.Request) (bool, error) { return slices.Contains(names, of(r)), nil }}, nil
}

// ClipTokens cuts prompts to maxInput and outputs to maxOutput tokens, 0 = as they are, and counts what it cut.
func ClipTokens(src requests.Source, maxInput, maxOutput int) (requests.Source, error) {
	if maxInput < 0 || maxOutput < 0 || maxInput+maxOutput == 0 {
		return nil, bad("clip tokens", fmt.Sprintf("to %d and %d", maxInput, maxOutput), "choose a number above 0 for one")
	}
	block := src.Header().PrefixTokens
	var inputs, outputs int64
	return &stage{Source: src,
		note: func() string {
			return fmt.Sprintf("lengths cut to at most %d input and %d output tokens (0 = any): %d inputs, %d outputs", maxInput,
				maxOutput, inputs, outputs)
		},
		step: func(r *requests.Request) (bool, error) {
			if maxInput > 0 && r.Input > maxInput {
				inputs++
				r.Input = maxInput
				if block > 0 { // whole blocks only: the block that was cut is another one
					r.Prefix = r.Prefix[:min(len(r.Prefix), maxInput/block)]
				}
			}
			if maxOutput > 0 && r.Output > maxOutput {
				outputs++
				r.Output = maxOutput
			}
			return true, nil
		}}, nil
}

func bad(what, message, fix string) error {
	return &traces.Errors{Count: 1, Problems: []traces.Problem{{Path: what, Code: traces.CodeValue, Message: message,
		Fix: fix}}}
}
