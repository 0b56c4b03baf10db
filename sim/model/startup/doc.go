// Package startup models what a served pod does between its binding and its readiness, and what a machine of a cloud
// does between its order and the moment when its GPUs can be used.
//
// Images come from a registry and weights from an object store or the node's disk. Both move over links that several
// pods share, by weighted max-min fairness (package contention), divided anew whenever a transfer begins or ends. The
// other stages take times from triangular distributions, as they are known to the nearest half minute at best.
package startup
