package journal

import "orrery/sim/units"

// Sink takes the records of a run in order. Bodies are passed by value, at never goes back, and a sink does not keep
// or change the slices and maps of a body. A sink that fails remembers its first error, ignores what follows and
// reports it from its own Err method: the engine's hot path has no error to look at, the driver asks between events.
type Sink interface {
	Append(at units.Time, b Body)
}

// Multi feeds several sinks with the same records, in the order of the slice.
type Multi []Sink

// Append hands the record to every sink.
func (m Multi) Append(at units.Time, b Body) {
	for _, s := range m {
		s.Append(at, b)
	}
}
