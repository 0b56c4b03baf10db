package sim_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"orrery/scenarios"
	"orrery/sim"
	"orrery/sim/account"
	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/units"
)

// tape keeps the records of a run.
type tape struct{ records []journal.Record }

func (t *tape) Append(at units.Time, b journal.Body) {
	t.records = append(t.records, journal.Record{At: at, Body: b})
}

// played is a finished run in memory.
type played struct {
	data    *result.Data
	records []journal.Record
	file    []byte // the journal as it would be on disk
	head    string // of its hash chain
}

// play runs a scenario text, or a shipped scenario by name, with overrides.
func play(t testing.TB, scenario string, sets ...string) played {
	t.Helper()
	p, err := try(scenario, sets...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func try(scenario string, sets ...string) (played, error) {
	return tryWith(func(*sim.Params) {}, scenario, sets...)
}

// tryWith is try of a run whose parameters edit has changed.
func tryWith(edit func(*sim.Params), scenario string, sets ...string) (played, error) {
	var s *scenarios.Scenario
	var err error
	if strings.Contains(scenario, "\n") {
		s, err = scenarios.Parse("test.yaml", []byte(scenario), sets...)
	} else {
		s, err = scenarios.Open(scenario, sets)
	}
	if err != nil {
		return played{}, err
	}
	p, jobs, err := s.Plan()
	if err != nil {
		return played{}, err
	}
	defer func() { _ = jobs.Close() }()
	asked, err := s.Requests()
	if err != nil {
		return played{}, err
	}
	var buf bytes.Buffer
	w, fold, keep := journal.NewWriter(&buf), account.New(account.Options{}), new(tape)
	params := sim.Params{Plan: p, Jobs: jobs, Requests: asked, Sink: journal.Multi{w, fold, keep}}
	edit(&params)
	out, err := sim.Run(params)
	if err != nil {
		return played{}, err
	}
	data, err := fold.Finish(out.End)
	if err != nil {
		return played{}, fmt.Errorf("the account does not balance: %w", err)
	}
	records, head, err := w.Close()
	if err != nil {
		return played{}, err
	}
	data.Summary.Journal = result.Journal{Records: records, SHA256: head}
	return played{data, keep.records, buf.Bytes(), head}, sim.Settle(data, p, s.Book())
}

// asUpstream is an edit of tryWith: upstream's own scheduling cycle.
func asUpstream(p *sim.Params) { p.ExactUpstream = true }

// repeats plays a run at several numbers of processors, each of which must give the journal of the first, and returns
// the first.
func repeats(t testing.TB, procs []int, play func() played) played {
	t.Helper()
	var first played
	for i, n := range procs {
		old := runtime.GOMAXPROCS(n)
		got := play()
		runtime.GOMAXPROCS(old)
		if i == 0 {
			first = got
		} else if !bytes.Equal(got.file, first.file) {
			t.Fatalf("run %d, GOMAXPROCS %d: another journal than the first: %s", i, n, difference(first.records, got.records))
		}
	}
	return first
}
