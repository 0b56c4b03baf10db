package account

import (
	"cmp"
	"slices"

	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/units"
)

// longestMax is how many of the longest waits a result names.
const longestMax = 50

// stats holds the samples of finished and placed jobs: 16 bytes a placed job, 24 a completed one.
type stats struct {
	waits                          []waitSample
	startup, completion, slowdowns []float64
	longest                        []result.JobRow // by wait, descending, then name
}

type waitSample struct {
	seconds      float64
	tenant, size int32
}

// wait adds the queue wait of a job that has been placed.
func (s *stats) wait(j *job, seconds float64) {
	s.waits = append(s.waits, waitSample{seconds, j.tenant.index, int32(j.size.index)})
}

// completed adds a succeeded job. Slowdown is at least 1: a completion can fall short of the trace's run time only by
// the rounding of instants.
func (s *stats) completed(completion, run units.Duration) {
	s.completion = append(s.completion, completion.Seconds())
	if run > 0 {
		s.slowdowns = append(s.slowdowns, max(1, float64(completion)/float64(run)))
	}
}

// longestWait keeps the row if it is among the longest waits.
func (s *stats) longestWait(row result.JobRow) {
	at, _ := slices.BinarySearchFunc(s.longest, row, func(a, b result.JobRow) int {
		return cmp.Or(cmp.Compare(b.WaitSeconds, a.WaitSeconds), cmp.Compare(a.Job, b.Job))
	})
	if at >= longestMax {
		return
	}
	s.longest = slices.Insert(s.longest, at, row)
	s.longest = s.longest[:min(len(s.longest), longestMax)]
}

// distribution summarises a sample; it sorts it. Percentiles are nearest-rank: the smallest value that at least p % of
// the sample do not exceed.
func distribution(sample []float64) result.Distribution {
	n := len(sample)
	if n == 0 {
		return result.Distribution{}
	}
	slices.Sort(sample)
	var sum float64
	for _, v := range sample {
		sum += v
	}
	rank := func(percent int) float64 { return sample[(percent*n+99)/100-1] }
	return result.Distribution{Count: int64(n), Mean: sum / float64(n), P50: rank(50), P90: rank(90), P95: rank(95),
		P99: rank(99), Max: sample[n-1]}
}

// waitsBy returns the waits of each of n groups as distributions.
func (s *stats) waitsBy(n int, of func(waitSample) int32) []result.Distribution {
	counts := make([]int, n)
	for _, w := range s.waits {
		counts[of(w)]++
	}
	samples := make([][]float64, n)
	for i, c := range counts {
		samples[i] = make([]float64, 0, c)
	}
	for _, w := range s.waits {
		samples[of(w)] = append(samples[of(w)], w.seconds)
	}
	out := make([]result.Distribution, n)
	for i := range out {
		out[i] = distribution(samples[i])
	}
	return out
}

// histogram counts waits in bins at 0 and 1, 2, 5 × powers of ten from 0.1 s to the longest wait: evenly spaced on a
// log axis as near as round numbers allow.
func (s *stats) histogram() result.Histogram {
	if len(s.waits) == 0 {
		return result.Histogram{}
	}
	var longest float64
	for _, w := range s.waits {
		longest = max(longest, w.seconds)
	}
	h := result.Histogram{Edges: []float64{0}}
	for decade, i := 0.1, 0; h.Edges[len(h.Edges)-1] < longest || len(h.Edges) == 1; i++ {
		h.Edges = append(h.Edges, decade*[...]float64{1, 2, 5}[i%3])
		if i%3 == 2 {
			decade *= 10
		}
	}
	h.Counts = make([]int64, len(h.Edges)-1)
	for _, w := range s.waits {
		at, _ := slices.BinarySearch(h.Edges, w.seconds)
		h.Counts[max(0, at-1)]++
	}
	return h
}

// warnings adds up the run's warnings by code and message.
type warnings struct {
	group group[[2]string, *result.Warning]
	codes map[string]int // distinct messages by code
}

// messagesMax is how many distinct messages of a code are kept; the rest are added up under one line.
const messagesMax = 20

func newWarnings() warnings {
	return warnings{newGroup[[2]string, *result.Warning](), map[string]int{}}
}

func (w *warnings) add(b journal.Warn) {
	key := [2]string{b.Code, b.Message}
	if w.group.byKey[key] == nil {
		if w.codes[b.Code] >= messagesMax {
			key[1] = "further messages of this kind"
		}
		w.codes[b.Code]++
	}
	entry := w.group.get(key, func(int) *result.Warning { return &result.Warning{Code: key[0], Message: key[1]} })
	entry.Count += max(1, b.Count)
}

// table returns the warnings by code and message.
func (w *warnings) table() []result.Warning {
	out := make([]result.Warning, 0, len(w.group.list))
	for _, e := range w.group.list {
		out = append(out, *e)
	}
	slices.SortFunc(out, func(a, b result.Warning) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
	})
	return out
}
