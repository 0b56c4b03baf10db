package metrics

import (
	"context"
	"maps"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// queryable is the storage as one evaluation sees it.
type queryable struct {
	store *Store
	cache bool // the selectors come again with the same matchers
	at    int64
	until int64 // the first instant at which a latest sample that is seen now counts no longer
	of    restriction
	memo  *memo // notes what is seen
}

// restriction limits an evaluation to the series of objects, which have the objects' names under one label. The zero
// value limits nothing.
type restriction struct {
	label, namespace string
	objects          []string
}

// place is an object as series name it.
type place struct{ label, namespace, object string }

// Querier implements storage.Queryable.
func (q *queryable) Querier(int64, int64) (storage.Querier, error) { return q, nil }

// Close implements storage.Querier.
func (q *queryable) Close() error { return nil }

// Select implements storage.Querier. Series come sorted by labels, so that sums are added in one order.
func (q *queryable) Select(_ context.Context, _ bool, h *storage.SelectHints, m ...*labels.Matcher) storage.SeriesSet {
	set := &seriesSet{i: -1}
	list, back := q.selected(m), q.at-h.Start
	if h.Range == 0 {
		back = Lookback.Milliseconds() - 1 // what is as old as that is not seen
	}
	q.note(m, back, h.Range > 0, list)
	for _, ser := range list {
		if ser.count == 0 || ser.at(0).t > h.End {
			continue
		}
		if ser.latest().t < h.Start {
			continue
		}
		q.limit(ser.latest())
		set.list = append(set.list, ser)
	}
	return set
}

// limit notes when a latest sample counts no longer.
func (q *queryable) limit(last point) {
	if end := last.t + Lookback.Milliseconds(); math.Float64bits(last.v) != value.StaleNaN && end > q.at {
		q.until = min(q.until, end)
	}
}

// found is what matchers found.
type found struct {
	version uint64
	list    []*series
}

// selected returns the series that satisfy the matchers.
func (q *queryable) selected(m []*labels.Matcher) []*series {
	s := q.store
	var x *nameIndex
	version := s.changes
	for _, m := range m {
		if m.Name == metricName && m.Type == labels.MatchEqual {
			if x = s.names[m.Value]; x == nil {
				return nil
			}
			version = x.version
		}
	}
	if q.of.label != "" && x != nil {
		var out []*series
		for _, object := range q.of.objects {
			for _, ser := range x.of(place{q.of.label, q.of.namespace, object}) {
				if matches(ser.labels, m) {
					out = append(out, ser)
				}
			}
		}
		return out
	}
	if q.cache {
		if f, ok := s.selections[m[0]]; ok && f.version == version {
			return f.list
		}
	}
	var out []*series
	if x != nil {
		out = x.matching(nil, m)
	} else {
		for _, name := range slices.Sorted(maps.Keys(s.names)) {
			out = s.names[name].matching(out, m)
		}
	}
	if q.cache {
		s.selections[m[0]] = found{version, out}
	}
	return out
}

// matching appends the series that satisfy the matchers.
func (x *nameIndex) matching(out []*series, m []*labels.Matcher) []*series {
	for _, ser := range x.list {
		if matches(ser.labels, m) {
			out = append(out, ser)
		}
	}
	return out
}

// of returns the series of an object, sorted.
func (x *nameIndex) of(p place) []*series {
	if x.places == nil || x.placed != x.version || x.label != p.label {
		x.places, x.placed, x.label = map[place][]*series{}, x.version, p.label
		for _, ser := range x.list {
			at := place{p.label, ser.labels.Get("namespace"), ser.labels.Get(p.label)}
			x.places[at] = append(x.places[at], ser)
		}
	}
	return x.places[p]
}

// LabelValues implements storage.Querier. Evaluations do not ask for it.
func (q *queryable) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string,
	annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements storage.Querier. Evaluations do not ask for it.
func (q *queryable) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string,
	annotations.Annotations, error) {
	return nil, nil, nil
}

// seriesSet is a list of series.
type seriesSet struct {
	list []*series
	i    int
}

// Next implements storage.SeriesSet.
func (s *seriesSet) Next() bool {
	s.i++
	return s.i < len(s.list)
}

// At implements storage.SeriesSet.
func (s *seriesSet) At() storage.Series { return s.list[s.i] }

// Err implements storage.SeriesSet.
func (s *seriesSet) Err() error { return nil }

// Warnings implements storage.SeriesSet.
func (s *seriesSet) Warnings() annotations.Annotations { return nil }
