package metrics

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// metricName is the label that holds a series' name.
const metricName = "__name__"

// point is a sample: milliseconds since 1970 and a value.
type point struct {
	t int64
	v float64
}

// series is one time series: a ring of samples, the oldest first. It grows while the samples that it must keep do not
// fit, and not after that.
type series struct {
	labels labels.Labels
	keep   int64 // milliseconds before the latest sample that queries may look back to
	ring   []point
	first  int
	count  int
	// The samples since this instant all have the value of the latest, with this gap between each and the next.
	since, gap int64
	users      int // targets that show it: of the same labels there is one series
}

var _ storage.Series = (*series)(nil)

// add appends a sample. One that is not newer than the latest is dropped, as Prometheus drops it.
func (s *series) add(t int64, v float64) {
	if s.count > 0 && t <= s.latest().t {
		return
	}
	s.run(t, v)
	if s.count == len(s.ring) && (s.count == 0 || s.keep > 0 && s.at(0).t >= t-s.keep) {
		s.grow()
	}
	if s.count == len(s.ring) {
		s.ring[s.first] = point{t, v}
		if s.first++; s.first == len(s.ring) {
			s.first = 0
		}
		return
	}
	i := s.first + s.count
	if i >= len(s.ring) {
		i -= len(s.ring)
	}
	s.ring[i] = point{t, v}
	s.count++
}

// run keeps since and gap before a sample is appended.
func (s *series) run(t int64, v float64) {
	if s.count == 0 || math.Float64bits(s.latest().v) != math.Float64bits(v) {
		s.since, s.gap = t, 0
		return
	}
	if before := s.latest().t; t-before != s.gap {
		s.since, s.gap = before, t-before
	}
}

// grow doubles the ring.
func (s *series) grow() {
	ring := make([]point, max(1, 2*len(s.ring)))
	for i := range s.count {
		ring[i] = s.at(i)
	}
	s.ring, s.first = ring, 0
}

// at returns sample i, counted from the oldest.
func (s *series) at(i int) point {
	if i += s.first; i >= len(s.ring) {
		i -= len(s.ring)
	}
	return s.ring[i]
}

// latest returns the latest sample of a series that has one.
func (s *series) latest() point { return s.at(s.count - 1) }

// Labels implements storage.Series.
func (s *series) Labels() labels.Labels { return s.labels }

// Iterator implements storage.Series.
func (s *series) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	if r, ok := it.(*ringIterator[int64]); ok {
		*r = ringIterator[int64]{s: s, i: -1}
		return r
	}
	return &ringIterator[int64]{s: s, i: -1}
}

// ringIterator walks over a series. T is int64, the type of instants; it is a parameter because go vet takes a method
// Seek(int64) for a broken io.Seeker.
type ringIterator[T ~int64] struct {
	s *series
	i int
}

// Next implements chunkenc.Iterator.
func (it *ringIterator[T]) Next() chunkenc.ValueType {
	it.i++
	return it.kind()
}

// Seek implements chunkenc.Iterator.
func (it *ringIterator[T]) Seek(t T) chunkenc.ValueType {
	if it.i < 0 {
		it.i = 0
	}
	for it.i < it.s.count && it.s.at(it.i).t < int64(t) {
		it.i++
	}
	return it.kind()
}

func (it *ringIterator[T]) kind() chunkenc.ValueType {
	if it.i >= it.s.count {
		return chunkenc.ValNone
	}
	return chunkenc.ValFloat
}

// At implements chunkenc.Iterator.
func (it *ringIterator[T]) At() (int64, float64) {
	p := it.s.at(it.i)
	return p.t, p.v
}

// AtT implements chunkenc.Iterator.
func (it *ringIterator[T]) AtT() int64 { return it.s.at(it.i).t }

// AtST implements chunkenc.Iterator: start times are not stored.
func (it *ringIterator[T]) AtST() int64 { return 0 }

// Err implements chunkenc.Iterator.
func (it *ringIterator[T]) Err() error { return nil }

// AtHistogram implements chunkenc.Iterator: there are none.
func (it *ringIterator[T]) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	return 0, nil
}

// AtFloatHistogram implements chunkenc.Iterator: there are none.
func (it *ringIterator[T]) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return 0, nil
}

// nameIndex holds the series of one metric name, sorted by labels.
type nameIndex struct {
	name    string
	list    []*series
	version uint64 // counts changes of list
	// places are the series by their objects, those that label names, as of version placed.
	places map[place][]*series
	placed uint64
	label  string
}

// series returns the series with the labels for one more target.
func (s *Store) series(ls labels.Labels, keep int64) *series {
	name := ls.Get(metricName)
	x := s.names[name]
	if x == nil {
		x = &nameIndex{name: name}
		s.names[name] = x
	}
	i, found := x.find(ls)
	if !found {
		x.list = slices.Insert(x.list, i, &series{labels: ls, keep: keep})
		x.version++
		s.changes++
	}
	x.list[i].users++
	return x.list[i]
}

// drop takes a target away from a series, and an unused one out of the index. The name stays known.
func (s *Store) drop(ser *series) {
	if ser.users--; ser.users > 0 {
		return
	}
	x := s.names[ser.labels.Get(metricName)]
	if i, found := x.find(ser.labels); found {
		x.list = slices.Delete(x.list, i, i+1)
		x.version++
		s.changes++
	}
}

func (x *nameIndex) find(ls labels.Labels) (int, bool) {
	return slices.BinarySearchFunc(x.list, ls, func(a *series, b labels.Labels) int { return labels.Compare(a.labels, b) })
}
