package traces

import (
	"io"
	"maps"
	"slices"
)

// slice is a Source over jobs in memory.
type slice struct {
	header Header
	jobs   []Job
	next   int
}

// FromJobs returns a source over jobs, sorted by Submit; equal instants keep their order. It takes jobs over. The
// header's Format, Units and Jobs are set.
func FromJobs(h Header, jobs []Job) Source {
	slices.SortStableFunc(jobs, func(a, b Job) int {
		switch {
		case a.Submit < b.Submit:
			return -1
		case a.Submit > b.Submit:
			return 1
		}
		return 0
	})
	h.Format, h.Units, h.Jobs = FormatVersion, StandardUnits(), int64(len(jobs))
	return &slice{header: h, jobs: jobs}
}

// Header implements Source.
func (s *slice) Header() Header { return s.header }

// Next implements Source.
func (s *slice) Next() (Job, error) {
	if s.next == len(s.jobs) {
		return Job{}, io.EOF
	}
	s.next++
	return s.jobs[s.next-1], nil
}

// Close implements Source.
func (s *slice) Close() error {
	s.jobs, s.next = nil, 0
	return nil
}

// ReadAll reads the rest of src into memory. It does not close src.
func ReadAll(src Source) ([]Job, error) {
	var out []Job
	for {
		j, err := src.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, j)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
