// Package traces defines the canonical job trace, a versioned streaming format, and holds what makes and changes
// traces: importers (formats/<name>, one folder each), the generator (gen) and transformations.
//
// It sits above sim and below scenarios: it knows no Kubernetes and no cluster. How a job becomes pods is decided by
// the scenario.
package traces

import "time"

// FormatVersion is the version of the canonical format. Readers refuse a newer one.
const FormatVersion = 1

// Header is the first line of a canonical trace. Every field but Format, TimeZero is optional; an importer fills what
// it knows.
type Header struct {
	Format    int    `json:"orrery_trace"` // FormatVersion; its presence marks the file as canonical
	Name      string `json:"name"`
	Source    string `json:"source"`  // where the data comes from: dataset, commit, or the generator's parameters
	Licence   string `json:"licence"` // SPDX identifier or sentence
	Citation  string `json:"citation,omitempty"`
	TimeZero  string `json:"time_zero"` // RFC 3339 instant of t = 0; "" when the source does not say
	Units     Units  `json:"units"`     // fixed in version 1; written so that a file explains itself
	Generator string `json:"generator,omitempty"`
	Importer  string `json:"importer,omitempty"` // format name and version of the importer
	Skipped   []Skip `json:"skipped,omitempty"`  // rows of the source left out, and why
	// Notes say what an importer or a transformation changed or had to assume, one sentence each.
	Notes []string `json:"notes,omitempty"`
	Jobs  int64    `json:"jobs,omitempty"` // 0 = unknown (streaming)
}

// Units names the units of Job's fields for readers of the file.
type Units struct {
	Time   string `json:"time"`   // "s"
	CPU    string `json:"cpu"`    // "milli"
	Memory string `json:"memory"` // "MiB"
	GPU    string `json:"gpu"`    // "milli"
}

// Skip counts rows of the source that were left out for one reason.
type Skip struct {
	Reason string `json:"reason"`
	Rows   int64  `json:"rows"`
	First  string `json:"first,omitempty"` // file:line of the first
}

// Job is one line after the header. Lines are ordered by Submit; equal instants keep the source's order.
type Job struct {
	ID     string        // unique in the trace
	Submit time.Duration // since time zero, ≥ 0
	// Run is the length of the work once all resources are there. 0 with Outcome "" means unknown/forever (placement
	// only traces): the job stays until the end.
	Run       time.Duration
	GPUs      int      // GPUs of the whole job, ≥ 0
	GPUMilli  int      // share of each GPU in thousandths; 1000 = whole GPUs; 0 when GPUs = 0
	Pods      int      // number of pods if the source says so; 0 = let the scenario decide
	CPUMilli  int64    // of the whole job; 0 = unknown
	MemoryMiB int64    // of the whole job; 0 = unknown
	GPUModels []string // acceptable GPU models; empty = any
	Tenant    string   // virtual cluster, user group, …
	User      string
	Class     string // QoS or workload class of the source
	Priority  string // priority class name; "" = none
	Outcome   string // succeeded, failed, killed, or "" = unknown (treated as succeeded)
	// Observed wait in the source system, for comparison only; -1 s = unknown.
	ObservedWait time.Duration
}
