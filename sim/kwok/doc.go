// Package kwok is what a KWOK cluster has in place of machines: Stage objects (kwok.x-k8s.io/v1alpha1) that move pods
// and nodes through their life, and around them the part of a kubelet that decides about devices.
//
// # Stages
//
// Stage files are read verbatim; the same files drive a KWOK v0.8.0 cluster. Selection, weights, delays and steps are
// evaluated by KWOK's own packages (lifecycle, expression, cel) wherever these need no clock and no randomness; the
// draws, the timers and the templates' functions are ours, so that a run repeats. The stages shipped in stages/ have in
// addition a native form without jq and templates, which a test holds equal to the general form.
//
// Where a run differs from a KWOK cluster, on purpose:
//
//   - A change of an object that leaves its pending stage selected does not restart the stage's delay, and a pending
//     stage whose object matches no stage any more is dropped. KWOK v0.8.0 draws a new delay on every change, so that
//     editing a label makes a job run longer, and plays the left-over stage. Params.KWOKTiming restores both.
//   - Impersonation is accepted and has no effect: the in-memory API has no users.
//   - Steps of kind apply, and template functions that read the machine (env, uuidv4, …), are refused when files are
//     read. CEL's Rand() is, too; CEL's Now() and SinceSecond() read the process clock, which a run's bubble makes
//     virtual.
//   - Pod IPs come one after the other out of 10.0.0.0/8, not out of a pool of each CIDR.
//
// # Hidden physics
//
// A controller may not know how long a job will run, so that is never on a stored object. Stages see a view of the
// object with additional annotations (Params.Hidden), as a real cluster's work "knows" when it ends.
//
// # Threads
//
// Everything belongs to the driver goroutine.
package kwok
