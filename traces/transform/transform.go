// Package transform changes traces: each function wraps a source in another one that streams.
//
// The header of the result says what was done (Notes) and leaves the number of jobs open. Closing a result closes what
// it reads from.
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
)

// stage is a source that maps or drops the jobs of another one.
type stage struct {
	traces.Source
	note string
	// step changes j in place. keep false drops it; an error ends the stream, io.EOF regularly.
	step func(j *traces.Job) (keep bool, err error)
	zero time.Duration // what the time zero moved by
	err  error
}

// Header implements traces.Source.
func (s *stage) Header() traces.Header {
	h := s.Source.Header()
	h.Jobs = 0
	h.Notes = slices.Concat(h.Notes, []string{s.note})
	if s.zero != 0 && h.TimeZero != "" {
		if at, err := time.Parse(time.RFC3339Nano, h.TimeZero); err == nil {
			h.TimeZero = at.Add(s.zero).Format(time.RFC3339Nano)
		}
	}
	return h
}

// Next implements traces.Source.
func (s *stage) Next() (traces.Job, error) {
	for s.err == nil {
		var j traces.Job
		if j, s.err = s.Source.Next(); s.err != nil {
			break
		}
		var keep bool
		if keep, s.err = s.step(&j); s.err == nil && keep {
			return j, nil
		}
	}
	return traces.Job{}, s.err
}

// Clip keeps the jobs submitted in [from, to) and makes from the time zero. Jobs running at from are left out, so the
// clipped trace starts with an empty cluster.
func Clip(src traces.Source, from, to time.Duration) (traces.Source, error) {
	if from < 0 || to <= from {
		return nil, bad("clip", fmt.Sprintf("window from %v to %v", from, to), "choose 0 ≤ from < to")
	}
	return &stage{Source: src, zero: from,
		note: fmt.Sprintf("clipped to submissions from %s s to %s s", traces.FormatSeconds(from), traces.FormatSeconds(to)),
		step: func(j *traces.Job) (bool, error) {
			if j.Submit >= to {
				return false, io.EOF
			}
			j.Submit -= from
			return j.Submit >= 0, nil
		}}, nil
}

// First keeps the first n jobs.
func First(src traces.Source, n int64) (traces.Source, error) {
	if n < 1 {
		return nil, bad("first", fmt.Sprintf("%d jobs", n), "take at least one job")
	}
	taken := int64(0)
	return &stage{Source: src, note: fmt.Sprintf("first %d jobs", n),
		step: func(*traces.Job) (bool, error) {
			if taken == n {
				return false, io.EOF
			}
			taken++
			return true, nil
		}}, nil
}

// ScaleTime multiplies all times (submissions, runs, observed waits) by factor, rounded to the nanosecond: the load
// stays, everything takes longer or shorter. A run that was not 0 stays above 0.
func ScaleTime(src traces.Source, factor float64) (traces.Source, error) {
	if err := checkFactor("scale time", factor); err != nil {
		return nil, err
	}
	return &stage{Source: src, note: fmt.Sprintf("all times × %v", factor),
		step: func(j *traces.Job) (bool, error) {
			run := j.Run
			for _, d := range []*time.Duration{&j.Submit, &j.Run} {
				if err := scale(j, d, factor); err != nil {
					return false, err
				}
			}
			if run > 0 {
				j.Run = max(j.Run, 1)
			}
			if j.ObservedWait != traces.WaitUnknown {
				return true, scale(j, &j.ObservedWait, factor)
			}
			return true, nil
		}}, nil
}

// CompressGaps divides the time between submissions by factor and leaves the runs: factor 2 doubles the load.
func CompressGaps(src traces.Source, factor float64) (traces.Source, error) {
	if err := checkFactor("compress gaps", factor); err != nil {
		return nil, err
	}
	return &stage{Source: src, note: fmt.Sprintf("time between submissions ÷ %v", factor),
		step: func(j *traces.Job) (bool, error) { return true, scale(j, &j.Submit, 1/factor) }}, nil
}

// Thin keeps each job with probability share, decided by a hash of seed and the job's id: the same jobs are kept
// whatever else is done to the trace, and those kept with a smaller share are among those kept with a larger one.
func Thin(src traces.Source, share float64, seed uint64) (traces.Source, error) {
	if !(share > 0 && share <= 1) {
		return nil, bad("thin", fmt.Sprintf("share %v", share), "choose a share above 0, at most 1")
	}
	limit := uint64(math.MaxUint64)
	if share < 1 {
		limit = uint64(math.Ldexp(share, 64))
	}
	return &stage{Source: src, note: fmt.Sprintf("thinned to a share of %v of the jobs, seed %d", share, seed),
		step: func(j *traces.Job) (bool, error) {
			var d xxhash.Digest
			d.ResetWithSeed(seed)
			// The seed alone is only mixed into the state; hashing it too separates neighbouring seeds.
			var b [8]byte
			binary.LittleEndian.PutUint64(b[:], seed)
			if _, err := d.Write(b[:]); err != nil {
				return false, err
			}
			if _, err := d.WriteString(j.ID); err != nil {
				return false, err
			}
			return share == 1 || d.Sum64() < limit, nil
		}}, nil
}

// Tenants keeps the jobs of the named tenants. A name that no job has is not an error: the stream cannot know it before
// its end.
func Tenants(src traces.Source, names ...string) (traces.Source, error) {
	if len(names) == 0 {
		return nil, bad("filter by tenant", "no tenant named", "name at least one tenant")
	}
	sorted := slices.Sorted(slices.Values(names))
	return &stage{Source: src, note: "only tenants " + strings.Join(sorted, ", "),
		step: func(j *traces.Job) (bool, error) {
			_, found := slices.BinarySearch(sorted, j.Tenant)
			return found, nil
		}}, nil
}

func scale(j *traces.Job, d *time.Duration, factor float64) error {
	f := math.Round(float64(*d) * factor)
	if f > float64(traces.MaxTime) {
		return bad("scale", fmt.Sprintf("job %q: a time of %v becomes more than 100 years", j.ID, *d), "scale by less")
	}
	*d = time.Duration(f)
	return nil
}

func checkFactor(what string, f float64) error {
	if !(f > 0) || math.IsInf(f, 0) {
		return bad(what, fmt.Sprintf("factor %v", f), "choose a number above 0")
	}
	return nil
}

func bad(what, message, fix string) error {
	return &traces.Errors{Count: 1, Problems: []traces.Problem{{Path: what, Code: traces.CodeValue, Message: message,
		Fix: fix}}}
}
