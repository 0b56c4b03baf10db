// Package serving is the model of inference servers: how long an iteration of a model takes on a device (a roofline),
// how many tokens the KV cache holds, and how engines put requests into iterations.
//
// Engines come twice. NewReference goes through every iteration and every sequence in it. New jumps from one change of
// the batch to the next and is what runs use; it gives the same events at the same instants. Their rules, and what they
// leave out, are on EngineCard.
//
// Instants: whoever is submitted at or before the end of an iteration may take part in the next one. Events are on the
// grid of simulated time, rounded up, while iterations follow each other without rounding. A sequence that is aborted
// keeps its place until the iteration ends.
//
// NewStep prepares how long iterations take, FitOf the memory, Slice makes a device of a MIG instance, Preset fills in
// an engine's defaults. None of them has a clock, randomness or Kubernetes. README.md, which a test writes, holds the
// roofline's card and its validation against published figures.
package serving
