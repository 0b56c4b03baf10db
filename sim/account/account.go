// Package account folds a journal into the account of a run: the double-entry ledger of GPU time, queueing, reasons,
// tenants, series, and a story of any one pod.
//
// A Fold takes records one by one, during the run or from a file, with the same result. It keeps live jobs and pods
// and a few numbers per finished job, and it checks the physics on the way: nobody owns what another owns, nothing
// happens before its cause, and at every instant capacity = used + idle + down. The first broken rule stops the fold
// with the record's number and time.
package account

import (
	"errors"
	"fmt"

	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/units"
)

// Options configures a Fold. The zero value is usable.
type Options struct {
	// OnJob and OnPod, where not nil, get every job's and pod's row once: when it can no longer change, the others at
	// Finish. An error stops the fold.
	OnJob func(result.JobRow) error
	OnPod func(result.PodRow) error
	// OnRequest, where not nil, gets every request that the journal has a record of.
	OnRequest func(result.RequestRow) error

	Description string // of the scenario, for the summary
	Config      string // resolved scenario, YAML, for Data
	Repeatable  bool   // whether the run is byte-repeatable, for the summary
}

// Fold is the running account of one run. It is a journal.Sink. Not safe for concurrent use.
type Fold struct {
	opt     Options
	err     error
	now     units.Time
	records int64
	run     journal.Run
	end     string // reason of the end record
	done    bool

	pools   []*pool
	byPool  map[string]*pool
	nodes   map[string]*node
	inOrder []*node         // of appearance
	jobs    map[string]*job // live: not ended, or with pods left
	pods    map[string]*pod // live: not ended, or with devices
	retired map[uint64]struct{}
	left    []*pod // retired at this instant: what upstream reports after its deed may still name them
	tenants group[string, *tenant]
	sizes   group[units.MilliGPU, *size]
	noJob   *tenant // of pods without job that own devices; nil until there is one

	profiles profiles
	led      ledger
	mig      migBooks
	both     togetherBook
	speed    speedBook
	shapes   shapes
	frag     fragmentation
	series   series
	heat     heatScale
	places   places
	services serviceBooks
	verdicts verdicts
	stats    stats
	warns    warnings

	jobCount result.Jobs
	podCount result.Pods
	sched    result.Scheduler
}

// New returns an empty fold.
func New(opt Options) *Fold {
	f := &Fold{
		opt: opt, byPool: map[string]*pool{}, nodes: map[string]*node{}, jobs: map[string]*job{},
		pods: map[string]*pod{}, retired: map[uint64]struct{}{},
		tenants: newGroup[string, *tenant](), sizes: newGroup[units.MilliGPU, *size](),
		profiles: newProfiles(), shapes: newShapes(), verdicts: newVerdicts(), warns: newWarnings(),
	}
	f.services.byName = map[string]*service{}
	f.sched.ByPlugin = map[string]int64{}
	return f
}

// Err returns the first error, nil while all is well.
func (f *Fold) Err() error { return f.err }

// Append takes the next record. After an error it does nothing.
func (f *Fold) Append(at units.Time, b journal.Body) {
	if f.err != nil {
		return
	}
	f.records++
	err := f.append(at, b)
	if err == nil {
		err = f.led.check()
	}
	if err != nil {
		f.err = fmt.Errorf("account: record %d (%s) at %v: %w", f.records, b.Kind(), at, err)
	}
}

func (f *Fold) append(at units.Time, b journal.Body) error {
	switch {
	case f.done || f.end != "":
		return errors.New("a record after the end")
	case at < f.now:
		return fmt.Errorf("time goes back from %v", f.now)
	}
	f.advance(at)
	if known, err := f.podRecord(b); known {
		return err
	}
	if known, err := f.jobRecord(b); known {
		return err
	}
	if known, err := f.serviceRecord(b); known {
		return err
	}
	switch b := b.(type) {
	case journal.Run:
		if f.records != 1 {
			return errors.New("a second run record")
		}
		f.run = b
	case journal.Pool:
		return f.addPool(b)
	case journal.Node:
		return f.setNode(b)
	case journal.Warn:
		f.warns.add(b)
	case journal.End:
		f.end = b.Reason
		if f.end == "" {
			return errors.New("an end record without reason")
		}
	case journal.Partition:
		return f.partition(b)
	case journal.Layer:
		return f.places.layer(b)
	case journal.Domain:
		return f.places.domain(b)
	case journal.Topology:
		return f.topology(b)
	case journal.API: // the account is of jobs and devices; API writes are for explanations and audits
	default:
		return fmt.Errorf("unknown body %T", b)
	}
	return nil
}

// advance moves the books to at under the state that held since the last record.
func (f *Fold) advance(at units.Time) {
	if at == f.now {
		return
	}
	now := f.led.split()
	f.led.add(now, at.Sub(f.now))
	f.series.add(f.now, at, &now)
	f.fragmented(f.now, at, now[chFragmented])
	clear(f.left)
	f.left = f.left[:0]
	f.now = at
}

// FromJournal folds a whole journal file's reader and finishes at its end record.
func FromJournal(r *journal.Reader, opt Options) (*result.Data, error) {
	f := New(opt)
	err := journal.Each(r, func(rec journal.Record) error {
		f.Append(rec.At, rec.Body)
		return f.err
	})
	if err != nil {
		return nil, err
	}
	data, err := f.Finish(f.now)
	if err != nil {
		return nil, err
	}
	data.Summary.Journal = result.Journal{Records: r.Records(), SHA256: r.Head()}
	return data, nil
}

// group is a set of accounts by key that remembers the order of first appearance, so that no output and no sum follows
// the order of a map.
type group[K comparable, V any] struct {
	byKey map[K]V
	list  []V
}

func newGroup[K comparable, V any]() group[K, V] { return group[K, V]{byKey: map[K]V{}} }

// get returns the account of key, made by create on first use from its index.
func (g *group[K, V]) get(key K, create func(index int) V) V {
	v, ok := g.byKey[key]
	if !ok {
		v = create(len(g.list))
		g.byKey[key] = v
		g.list = append(g.list, v)
	}
	return v
}
