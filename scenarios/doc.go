// Package scenarios defines what a run is, in YAML (README.md beside this file lists every field), checks it strictly
// and turns it into what the simulator runs: a plan and a stream of jobs.
//
// Load reads a file, Open a scenario of the shipped library, Parse text in memory. Every problem is reported at once,
// as file:line:column or as the flag that caused it, with what to write instead. A scenario in hand is valid. Resolved
// writes it with all defaults explicit, so that a result folder can be run again; Plan builds the run.
//
// It sits above traces and sim: it knows trace formats and the catalogue, and no Kubernetes. Scheduler configurations,
// stages and manifests travel as text; only names are read from them, to find typing errors early.
package scenarios
