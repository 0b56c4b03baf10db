// Package serving is the model of inference servers: how long an iteration of a model takes on a device (a roofline),
// how many tokens the KV cache holds, and how engines put requests into iterations.
//
// NewStep prepares how long iterations take, FitOf the memory, Slice makes a device of a MIG instance, Preset fills in
// an engine's defaults. None of them has a clock, randomness or Kubernetes. README.md, which a test writes, holds the
// roofline's card and its validation against published figures.
package serving
