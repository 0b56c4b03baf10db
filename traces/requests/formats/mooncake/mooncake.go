// Package mooncake imports the request traces of Mooncake (Kimi): lines of JSON with timestamp in milliseconds,
// input_length, output_length and hash_ids, one for each block of 512 tokens of the prompt, the last one partly filled.
// An id stands for its block and all before it, so that equal ids mean equal beginnings.
//
// The published times are multiples of 3 s. Played as they are, they make bursts of about ten requests that were not
// there. Unless told otherwise the importer spreads the requests of an instant over the time until the next step, 3 s
// at most: uniformly, as a Poisson process would be given its number, and in their order. Seed and stream are fixed, so
// the same file gives the same times.
package mooncake

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"orrery/sim/rng"
	"orrery/sim/units"
	"orrery/traces"
	"orrery/traces/requests"
)

// Version is the version of this importer; it changes when the same file gives other requests.
const Version = "1"

// BlockTokens is the size of a block of hash_ids.
const BlockTokens = 512

// Step is the published resolution of time.
const Step = 3 * time.Second

// instantMax bounds the requests of one instant that are kept in memory to be spread.
const instantMax = 1 << 20

// Format implements requests.Format.
type Format struct{}

// Info implements requests.Format.
func (Format) Info() traces.Info {
	return traces.Info{
		Name:    "mooncake",
		Summary: "Mooncake (Kimi) 2024, an hour of conversations or tool use: tokens and the blocks that prompts share",
		Licence: "Apache-2.0",
		Citation: "Qin et al., Mooncake: Trading More Storage for Less Computation, USENIX FAST 2025; " +
			"github.com/kvcache-ai/Mooncake",
		Options: []traces.Option{
			{Key: "smooth", Default: "uniform", Values: []string{"uniform", "none"},
				Meaning: "uniform: spread the requests of an instant over the 3 s to which the source rounds its times"},
			{Key: "seed", Default: "1", Meaning: "of the spreading"},
		},
	}
}

// Detect implements requests.Format.
func (Format) Detect(_ string, head []byte) bool {
	line, _, _ := bytes.Cut(head, []byte{'\n'})
	line = bytes.TrimLeft(line, " \t")
	for _, key := range []string{`"timestamp"`, `"input_length"`, `"output_length"`} {
		if !bytes.Contains(line, []byte(key)) {
			return false
		}
	}
	return bytes.HasPrefix(line, []byte{'{'})
}

// Open implements requests.Format.
func (f Format) Open(in traces.Input, o requests.StreamOptions) (requests.Source, error) {
	seed, err := strconv.ParseUint(in.Set["seed"], 10, 64)
	if err != nil {
		return nil, &traces.Errors{Count: 1, Problems: []traces.Problem{{Code: traces.CodeValue,
			Message: fmt.Sprintf("option seed of format mooncake is %q", in.Set["seed"]),
			Fix:     "write a whole number, 0 or more"}}}
	}
	r := &rows{file: in.Path, lines: requests.NewLines(bufio.NewReaderSize(in.Reader, 256<<10), in.Path)}
	r.add = r.member
	info := f.Info()
	h := requests.Header{Name: info.Name, Licence: info.Licence, Citation: info.Citation,
		Source:   "github.com/kvcache-ai/Mooncake, FAST25-release/traces",
		Importer: info.Name + " " + Version, PrefixTokens: BlockTokens,
		Notes: []string{"times are multiples of 3 s in the source and were left so"}}
	if in.Set["smooth"] == "none" {
		return requests.NewStream(h, r, o), nil
	}
	h.Notes = []string{fmt.Sprintf("times are multiples of 3 s in the source; the requests of an instant were spread "+
		"uniformly over the time to the next, 3 s at most, in their order, seed %d", seed)}
	return requests.NewStream(h, &smooth{rows: r, rng: rng.New(seed).Stream("mooncake/smooth")}, o), nil
}

type rows struct {
	traces.Object
	file   string
	lines  requests.Lines
	add    func(string, jsontext.Value)
	row    *requests.Row
	seen   uint8
	blocks requests.Blocks
}

// Read implements requests.Rows.
func (r *rows) Read(row *requests.Row) (bool, error) {
	line, more, err := r.lines.Next(row)
	if err != nil || !more || len(row.Problems) > 0 {
		return more, err
	}
	r.row, r.seen = row, 0
	if r.Object.Read(line, r.add) && r.seen != 7 {
		for i, key := range []string{"timestamp", "input_length", "output_length"} {
			if r.seen&(1<<i) == 0 {
				r.Bad(traces.CodeMissing, "every request has timestamp, input_length and output_length", "%s is missing", key)
			}
		}
	}
	row.Problems = r.Problems()
	return true, r.lines.Whole(line, len(row.Problems) > 0)
}

// timestampMax is a hundred years in milliseconds.
const timestampMax = int64(traces.MaxTime / time.Millisecond)

func (r *rows) member(key string, v jsontext.Value) {
	switch key {
	case "timestamp":
		r.seen |= 1
		ms := r.Amount(key, v)
		if ms > timestampMax {
			r.Bad(traces.CodeValue, "write milliseconds from 0 to 3155760000000 (100 years)", "%s is %d", key, ms)
			ms = 0
		}
		r.row.At = time.Duration(ms) * time.Millisecond
	case "input_length":
		r.seen |= 2
		r.row.Input = int(r.Amount(key, v))
	case "output_length":
		r.seen |= 4
		r.row.Output = int(r.Amount(key, v))
	case "hash_ids":
		var ok bool
		if r.row.Prefix, ok = r.blocks.Parse(v); !ok {
			r.Bad(traces.CodeValue, "write a list of whole numbers from 0 on", "%s is %s", key, traces.Shorten(string(v)))
		}
	default:
		r.Bad(traces.CodeUnknown, "keys: timestamp, input_length, output_length, hash_ids", "unknown key %q",
			traces.Shorten(key))
	}
}

// Notes implements requests.Rows.
func (r *rows) Notes() []string { return nil }

// smooth spreads the rows of one instant over the time to the next.
type smooth struct {
	rows  *rows
	rng   *rand.Rand
	ready []requests.Row // to be given out, from next on
	next  int
	ahead requests.Row // the first row behind them
	has   bool
	end   bool
	draws []float64
}

// Read implements requests.Rows.
func (s *smooth) Read(row *requests.Row) (bool, error) {
	if s.next == len(s.ready) {
		if err := s.group(); err != nil || len(s.ready) == 0 {
			return false, err
		}
	}
	*row = s.ready[s.next]
	s.next++
	return true, nil
}

// group reads the rows of the next instant and spreads them. Bad rows come along and count for nothing.
func (s *smooth) group() error {
	s.ready, s.next = s.ready[:0], 0
	good, room := 0, Step
	var at time.Duration
	for {
		if !s.has && !s.end {
			s.ahead = requests.Row{}
			more, err := s.rows.Read(&s.ahead)
			if err != nil {
				return err
			}
			s.has, s.end = more, !more
			s.ahead.Problems = slices.Clone(s.ahead.Problems)
		}
		if !s.has {
			break
		}
		if len(s.ahead.Problems) == 0 {
			if good > 0 && s.ahead.At != at {
				if s.ahead.At > at {
					room = min(room, s.ahead.At-at)
				}
				break
			}
			at = s.ahead.At
			good++
		}
		s.ready = append(s.ready, s.ahead)
		s.has = false
		if len(s.ready) > instantMax {
			return &traces.Errors{Count: 1, Problems: []traces.Problem{{File: s.rows.file, Line: s.ahead.Line,
				Code: traces.CodeValue, Message: fmt.Sprintf("more than %d requests at one instant", instantMax),
				Fix: "set smooth=none"}}}
		}
	}
	s.draws = s.draws[:0]
	for range good {
		s.draws = append(s.draws, s.rng.Float64())
	}
	slices.Sort(s.draws)
	k := 0
	for i := range s.ready {
		if len(s.ready[i].Problems) > 0 {
			continue
		}
		// Whole ticks below the room: the product is rounded down.
		s.ready[i].At += time.Duration(s.draws[k]*float64(room/units.Tick)) * units.Tick
		k++
	}
	return nil
}

// Notes implements requests.Rows.
func (s *smooth) Notes() []string { return nil }
